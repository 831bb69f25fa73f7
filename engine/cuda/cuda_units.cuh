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

/* What an MLP makes of gate and up (cpu/kernels.h). NaN stays. */
__device__ __forceinline__ float unit_of(const gm_activation &activation, float gate, float up)
{
    const float limit = activation.limit;
    float steep = gate;
    if (limit > 0.0f) {
        gate = gate > limit ? limit : gate;
        up = up > limit ? limit : up;
        up = (up < -limit ? -limit : up) + 1.0f;
        steep = activation.slope * gate;
    }
    return gate / (1.0f + expf(-steep)) * up;
}

/* A unit of an MLP: its rows of gate and up, what is added to both, and where it goes among the
 * hidden units. */
template <typename W> struct Unit {
    Stretch<PAIR, W> s; /* nothing: there is no such unit */
    At<W> matrix;
    int row, width, unit;
    size_t hidden;
    float bias[PAIR] = {-0.0f, -0.0f}; /* which adds nothing, to no bit */
};

template <typename W> __device__ __forceinline__ void find_rows(Unit<W> &u, size_t stride)
{
    u.s.w[0] = u.matrix + u.unit * stride;
    u.s.w[1] = u.matrix + (u.width + u.unit) * stride;
    u.s.first = (int)threadIdx.x % WARP;
    u.s.vecs = (int)(stride / VEC);
}

/* Unit i of the MLP that all rows take. */
template <typename W> __device__ __forceinline__ Unit<W> known_unit(const gm_cuda_experts &p, int i)
{
    Unit<W> u = {};
    if (i >= p.always_width) return u;
    u.width = p.always_width, u.unit = i, u.hidden = (size_t)i;
    u.matrix = Pointer<W>::to(p.always_gate_up, PAIR * p.always_width * p.d_stride);
    find_rows(u, p.d_stride);
    return u;
}

/* Unit i of those of row 0's choices, row 1's, ... */
template <typename W>
__device__ __forceinline__ Unit<W> chosen_unit(const gm_cuda_experts &p, int i)
{
    Unit<W> u = {};
    if (i >= p.n_rows * p.n_chosen * p.expert_width) return u;
    const int choice = i / p.expert_width, expert = p.expert[choice]; /* row and rank */
    u.row = choice / p.n_chosen, u.width = p.expert_width, u.unit = i % p.expert_width;
    u.hidden = choice * p.f_stride + u.unit;
    if (expert == GM_NO_EXPERT) return u;
    u.matrix = item_of<W>(p.gate_up, expert, p.gate_up_bytes, PAIR * p.expert_width * p.d_stride);
    find_rows(u, p.d_stride);
    if (p.in_bias) {
        const float *bias = p.in_bias + PAIR * expert * p.in_stride + u.unit;
        u.bias[0] = bias[0], u.bias[1] = bias[p.in_stride];
    }
    return u;
}

/* From the lanes' parts of gate and up to the unit, of which lane 0 keeps the value. PLAIN: no
 * biases, silu(gate) * up, as gm_cuda_check_arch has seen to; eight rows leave no registers. */
template <bool PLAIN, typename W>
__device__ __forceinline__ void keep_unit(const gm_cuda_experts &p, const Unit<W> &u, float gate,
                                          float up, typename Input<W>::type *to)
{
    const size_t rows = 2 * (size_t)u.width;
    const gm_activation activation = PLAIN ? gm_activation{0.0f, 1.0f, false, false} : p.activation;
    gate = warp_sum(gate) * scale_of(u.matrix, rows, p.d_stride, u.unit);
    up = warp_sum(up) * scale_of(u.matrix, rows, p.d_stride, u.width + u.unit);
    if (!PLAIN) gate += u.bias[0], up += u.bias[1];
    if (threadIdx.x % WARP == 0) store(to, unit_of(activation, gate, up));
}

/* Units of known_unit or chosen_unit, by n_blocks blocks of UNIT_THREADS of which this is one: a
 * warp a unit, the blocks' warps side by side. Shared memory holds the R rows. KNOWN: units that
 * need no router, so that their weights are asked for before the previous kernel has ended; with
 * more rows than one these take all rows, the others one each; their norm has no bias, as
 * gm_cuda_check_arch has seen to. */
template <typename W, int R, bool KNOWN>
__device__ __forceinline__ void make_units(const gm_cuda_experts &p, int block, int n_blocks)
{
    enum { WARPS = UNIT_THREADS / WARP, TAKEN = KNOWN ? R : 1 };
    typedef typename Input<W>::type X;
    __shared__ float scratch[WARP];
    float *x = dynamic_shared(); /* (R, placed) */
    const size_t floats = placed_floats((size_t)p.width);
    const int lane = threadIdx.x % WARP;
    const int n = KNOWN ? p.always_width : p.n_rows * p.n_chosen * p.expert_width;
    const int step = n_blocks * WARPS;
    int i = block * WARPS + (int)threadIdx.x / WARP;
    Batch<PAIR, W> batch;
    float sum[PAIR][TAKEN];
    if (!KNOWN) wait_for_previous();
    Unit<W> now = KNOWN ? known_unit<W>(p, i) : chosen_unit<W>(p, i);
    ask(now.s.w, now.s.first, now.s.vecs, batch);
    if (KNOWN) wait_for_previous();
    let_next_start();
    place_rows<W, R>(p.x, p.norm, KNOWN ? nullptr : p.norm_bias, p.x_stride, nullptr, p.n_rows,
                     p.width, p.epsilon, x, scratch);
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
#pragma unroll
            for (int r = 0; r < TAKEN; r++) {
                X *to = KNOWN ? (X *)p.always + r * p.a_stride : (X *)p.hidden;
                if (!is_nothing(now.matrix) && r < p.n_rows)
                    keep_unit<KNOWN>(p, now, sum[0][r], sum[1][r], to + now.hidden);
            }
            set_zero(sum);
            i += step;
        }
        now = next;
    }
}

#endif
