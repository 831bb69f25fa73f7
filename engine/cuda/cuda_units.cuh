/* cuda_units.cuh - gate and up of few rows: hidden units of the experts and of the MLP that all
 * rows take. The latter needs no router, so the kernel that routes computes it as well.
 */
#ifndef GM_CUDA_UNITS_CUH
#define GM_CUDA_UNITS_CUH

#include "engine/cuda/cuda_device.cuh"

enum {
    UNIT_THREADS = 256,
    UNIT_BLOCKS = 2, /* of a multiprocessor: what the registers of their batches leave room for */
    PAIR = 2,        /* rows of weights that a warp reads at once */
};

/* Matrix `item` of several of n elements. */
template <typename W>
__device__ __forceinline__ At<W> item_of(const void *matrices, int item, size_t bytes, size_t n)
{
    return Pointer<W>::to((const char *)matrices + (size_t)item * bytes, n);
}

/* What an MLP makes of gate and up (cpu/kernels.h); without a gate, of up alone. NaN stays. */
__device__ __forceinline__ float unit_of(const gm_activation &activation, float gate, float up)
{
    const float limit = activation.limit;
    float steep = gate;
    if (activation.squared) {
        up = up < 0.0f ? 0.0f : up;
        return up * up;
    }
    if (activation.gelu) steep = gate * fmaf(gate * gate, 0.0713548163f, 1.5957691216f);
    if (limit > 0.0f) {
        gate = gate > limit ? limit : gate;
        up = up > limit ? limit : up;
        up = (up < -limit ? -limit : up) + 1.0f;
        steep = activation.slope * gate;
    }
    return gate / (1.0f + expf(-steep)) * up;
}

/* Two rows of weights of an MLP that a warp reads at once: gate and up of a unit, or where there is
 * no gate two units'; what is added to their products, and where the first unit goes among the
 * hidden units. */
template <typename W> struct Unit {
    Stretch<PAIR, W> s; /* nothing: there is no such unit */
    At<W> matrix;
    int row, unit;
    size_t hidden;
    float gate = 1.0f;                 /* of what the expert reads */
    float bias[PAIR] = {-0.0f, -0.0f}; /* which adds nothing, to no bit */
};

template <typename W>
__device__ __forceinline__ void find_rows(const gm_cuda_experts &p, int apart, Unit<W> &u)
{
    u.s.w[0] = u.matrix + u.unit * p.d_stride;
    u.s.w[1] = u.matrix + (apart + u.unit) * p.d_stride;
    u.s.first = (int)threadIdx.x % WARP;
    u.s.vecs = (int)(p.d_stride / VEC);
}

/* Pair i of the MLP that all rows take. */
template <typename W> __device__ __forceinline__ Unit<W> known_unit(const gm_cuda_experts &p, int i)
{
    Unit<W> u = {};
    if (i >= p.always_pairs) return u;
    u.unit = i * p.units, u.hidden = (size_t)u.unit;
    u.matrix = Pointer<W>::to(p.always_gate_up, PAIR * p.always_pairs * p.d_stride);
    find_rows(p, p.always_apart, u);
    return u;
}

/* Pair i of those of row 0's choices, row 1's, ... */
template <typename W>
__device__ __forceinline__ Unit<W> chosen_unit(const gm_cuda_experts &p, int i)
{
    Unit<W> u = {};
    const int each = p.expert_pairs;
    if (i >= p.n_rows * p.n_chosen * each) return u;
    const int choice = i / each, expert = p.expert[choice]; /* row and rank */
    u.row = choice / p.n_chosen, u.unit = i % each * p.units;
    u.hidden = choice * p.f_stride + u.unit;
    if (expert == GM_NO_EXPERT) return u;
    u.matrix = item_of<W>(p.gate_up, expert, p.gate_up_bytes, PAIR * p.expert_pairs * p.d_stride);
    find_rows(p, p.expert_apart, u);
    if (p.in_gate) u.gate = p.in_gate[choice];
    if (p.in_bias) {
        const float *bias = p.in_bias + PAIR * expert * p.in_stride + u.unit;
        u.bias[0] = bias[0], u.bias[1] = bias[p.in_stride];
    }
    return u;
}

/* From the lanes' parts of a pair's products with T rows to the units of row `lane`, for the lanes
 * below n. KNOWN: as below, without biases. */
template <bool KNOWN, int T, typename W>
__device__ __forceinline__ void keep_units(const gm_cuda_experts &p, const Unit<W> &u,
                                           const float (&sum)[PAIR][T], int n,
                                           typename Input<W>::type *to)
{
    const int lane = threadIdx.x % WARP, width = KNOWN ? p.always_width : p.expert_width;
    const int other = u.unit + (KNOWN ? p.always_apart : p.expert_apart);
    const size_t rows = PAIR * (size_t)(KNOWN ? p.always_pairs : p.expert_pairs);
    float first = 0.0f, second = 0.0f;
#pragma unroll
    for (int r = 0; r < T; r++) {
        const float a = warp_sum(sum[0][r]), b = warp_sum(sum[1][r]);
        if (lane == r) first = a, second = b;
    }
    if (lane >= n) return;
    first *= scale_of(u.matrix, rows, p.d_stride, u.unit);
    second *= scale_of(u.matrix, rows, p.d_stride, other);
    if (!KNOWN) first = first * u.gate + u.bias[0], second = second * u.gate + u.bias[1];
    to += (KNOWN ? lane * p.a_stride : 0) + u.hidden;
    store(to, unit_of(p.activation, first, p.units == 1 ? second : first));
    if (p.units == 2 && other < width) store(to + 1, unit_of(p.activation, second, second));
}

/* Units of known_unit or chosen_unit, by n_blocks blocks of UNIT_THREADS of which this is one: a
 * warp a pair of rows, the blocks' warps side by side. Shared memory holds the R rows. KNOWN: units
 * that need no router, so that their weights are asked for before the previous kernel has ended;
 * with more rows than one these take all rows, the others one each. */
template <typename W, int R, bool KNOWN>
__device__ __forceinline__ void make_units(const gm_cuda_experts &p, int block, int n_blocks)
{
    enum { WARPS = UNIT_THREADS / WARP, TAKEN = KNOWN ? R : 1 };
    typedef typename Input<W>::type X;
    __shared__ float scratch[WARP];
    float *x = dynamic_shared(); /* (R, placed) */
    const size_t floats = placed_floats((size_t)p.width);
    const int lane = threadIdx.x % WARP;
    const int n = KNOWN ? p.always_pairs : p.n_rows * p.n_chosen * p.expert_pairs;
    const int step = n_blocks * WARPS;
    int i = block * WARPS + (int)threadIdx.x / WARP;
    Batch<PAIR, W> batch;
    float sum[PAIR][TAKEN];
    if (!KNOWN) wait_for_previous();
    Unit<W> now = KNOWN ? known_unit<W>(p, i) : chosen_unit<W>(p, i);
    ask(now.s.w, now.s.first, now.s.vecs, batch);
    if (KNOWN) wait_for_previous();
    let_next_start();
    place_rows<W, R>(p.x, KNOWN ? p.always_norm : p.norm, KNOWN ? p.always_norm_bias : p.norm_bias,
                     p.x_stride, nullptr, p.n_rows, p.width, p.epsilon, x, scratch);
    set_zero(sum);
#pragma unroll 1
    while (i < n) {
        const bool ends = now.s.first - lane + Batch<PAIR, W>::LANES >= now.s.vecs;
        Unit<W> next = now;
        if (ends)
            next = KNOWN ? known_unit<W>(p, i + step) : chosen_unit<W>(p, i + step);
        else
            next.s.first += Batch<PAIR, W>::LANES;
        add_stretch(now.s, next.s, batch, x + now.row * floats, floats, sum);
        if (ends) {
            if (!is_nothing(now.matrix))
                keep_units<KNOWN>(p, now, sum, KNOWN ? p.n_rows : 1,
                                  (X *)(KNOWN ? p.always : p.hidden));
            set_zero(sum);
            i += step;
        }
        now = next;
    }
}

#endif
