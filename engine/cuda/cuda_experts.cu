/* cuda_experts.cu - the MLPs of a layer.
 *
 * Few rows: organised around outputs, not experts. A warp owns a unit of an MLP (gate-up), a
 * block some columns of the result (down, where its warps take pieces of the row's experts and of
 * the MLP that all rows take); no sorting, no padding, no atomics. Many rows: what lies between
 * cuBLAS's products.
 */
#include "engine/cuda/cuda_units.cuh"

enum {
    THREADS = UNIT_THREADS,
    WARPS = THREADS / WARP,
    BLOCKS = UNIT_BLOCKS,
    COLUMNS = 8, /* of the result, that a block of down owns */
};

/* Units of every expert of the rows, or those of a dense layer. Launch: THREADS; shared: the rows.
 */
template <typename W, int R, bool KNOWN>
__global__ static void __launch_bounds__(THREADS, BLOCKS) gate_up_kernel(gm_cuda_experts p)
{
    make_units<W, R, KNOWN>(p, (int)blockIdx.x, (int)gridDim.x);
}

template <typename W, int R>
static cudaError_t gate_up(const gm_cuda_how *how, const gm_cuda_experts *p)
{
    const size_t shared = R * placed_floats((size_t)p->width) * sizeof(float);
    const bool dense = p->n_chosen == 0;
    const size_t n =
        dense ? (size_t)p->always_pairs : (size_t)p->n_rows * p->n_chosen * p->expert_pairs;
    unsigned blocks = blocks_for(n, WARPS);
    const unsigned most = (unsigned)how->multiprocessors * BLOCKS;
    if (blocks > most) blocks = most;
    if constexpr (!Pointer<W>::experts_only)
        if (dense) return launch(how, gate_up_kernel<W, R, true>, blocks, THREADS, shared, *p);
    return launch(how, gate_up_kernel<W, R, false>, blocks, THREADS, shared, *p);
}

template <typename W>
static cudaError_t gate_up_rows(const gm_cuda_how *how, const gm_cuda_experts *p)
{
    if (p->n_rows == 1) return gate_up<W, 1>(how, p);
    if (p->n_rows == 2) return gate_up<W, 2>(how, p);
    if (p->n_rows <= 4) return gate_up<W, 4>(how, p);
    return gate_up<W, GM_CUDA_FEW>(how, p);
}

extern "C" cudaError_t gm_cuda_gate_up_few(const gm_cuda_how *how, const gm_cuda_experts *p)
{
    switch (p->dtype) {
    case GM_F32: return gate_up_rows<float>(how, p);
    case GM_I8: return gate_up_rows<int8>(how, p);
    case GM_FP8: return gate_up_rows<fp8>(how, p);
    case GM_U8: return gate_up_rows<mxfp4>(how, p);
    default: return gate_up_rows<bf16>(how, p);
    }
}

template <typename W, int R> static cudaError_t allow_rows(void)
{
    cudaError_t e = cudaSuccess;
    if constexpr (!Pointer<W>::experts_only) e = allow_shared(gate_up_kernel<W, R, true>);
    return e != cudaSuccess ? e : allow_shared(gate_up_kernel<W, R, false>);
}

template <typename W> static cudaError_t allow_gate_up(void)
{
    cudaError_t e = allow_rows<W, 1>();
    if (e == cudaSuccess) e = allow_rows<W, 2>();
    if (e == cudaSuccess) e = allow_rows<W, 4>();
    return e != cudaSuccess ? e : allow_rows<W, GM_CUDA_FEW>();
}

extern "C" cudaError_t gm_cuda_experts_prepare(void)
{
    cudaError_t e = allow_gate_up<float>();
    if (e == cudaSuccess) e = allow_gate_up<bf16>();
    if (e == cudaSuccess) e = allow_gate_up<int8>();
    if (e == cudaSuccess) e = allow_gate_up<mxfp4>();
    return e != cudaSuccess ? e : allow_gate_up<fp8>();
}

/* ---- down ---- */

/* Where a warp is: two columns of a piece, which is a part of the hidden units of one of a row's
 * experts, or of the MLP that all rows take. */
template <typename W> struct Place {
    Stretch<PAIR, W> s;                    /* nothing: a row that has no experts */
    At<W> matrix;                          /* nothing: likewise, or after the last place */
    const typename Input<W>::type *hidden; /* the piece's units */
    int r, piece, d, n;                    /* n units */
    size_t stride;
    float gate;
};

/* Columns d and its neighbour of the place's piece, whose units begin at `from`. */
template <typename W>
__device__ __forceinline__ void find_columns(const gm_cuda_experts &p, Place<W> &at, int from)
{
    if (is_nothing(at.matrix)) return;
    at.s.w[0] = at.matrix + ((size_t)at.d * at.stride + from);
    at.s.w[1] = at.d + 1 < p.width ? at.s.w[0] + at.stride : at.s.w[0];
    at.s.first = (int)threadIdx.x % WARP;
    at.s.vecs = (at.n + VEC - 1) / VEC;
}

/* The gate of a choice, as a factor of what its expert gives. */
__device__ __forceinline__ float gate_of(const gm_cuda_experts &p, int choice)
{
    return p.gate ? read_shared_by_blocks(p.gate + choice) : 1.0f;
}

/* What an expert's outputs count beside their gates. */
template <typename P> __device__ __forceinline__ float scale_of_expert(const P &p, int expert)
{
    return p.scales && expert != GM_NO_EXPERT ? p.scales[expert] : p.scale;
}

/* Pieces of the row's experts in their order, then those of the MLP that all rows take. The
 * choice is the router's, two kernels ago, so it may be asked for early. */
template <typename W>
__device__ __forceinline__ Place<W> find_place(const gm_cuda_experts &p, int r, int piece, int d)
{
    typedef typename Input<W>::type X;
    const int each = (p.expert_width + p.piece - 1) / p.piece, routed = p.n_chosen * each;
    Place<W> at = {};
    int from, width;
    at.r = r, at.piece = piece, at.d = d;
    if (r >= p.n_rows) return at;
    if (piece < routed) {
        const int choice = r * p.n_chosen + piece / each;
        const int expert = read_shared_by_blocks(p.expert + choice);
        if (expert != GM_NO_EXPERT)
            at.matrix = item_of<W>(p.down, expert, p.down_bytes, p.width * p.f_stride);
        at.hidden = (const X *)p.hidden + choice * p.f_stride;
        from = piece % each * p.piece, width = p.expert_width;
        at.n = p.piece;
        at.stride = p.f_stride;
        at.gate = gate_of(p, choice) * scale_of_expert(p, expert);
    } else {
        at.matrix = Pointer<W>::to(p.always_down, p.width * p.a_stride);
        at.hidden = (const X *)p.always + r * p.a_stride;
        from = (piece - routed) * p.always_piece, width = p.always_width;
        at.n = p.always_piece;
        at.stride = p.a_stride;
        at.gate = p.share ? read_shared_by_blocks(p.share + r) : p.always_scale;
    }
    if (width - from < at.n) at.n = width - from;
    at.hidden += from;
    find_columns(p, at, from);
    return at;
}

/* Eight hidden units, zeros after the piece's n: there lies what another layer left. */
template <typename X>
__device__ __forceinline__ void load_units(const X *hidden, int at, int n, float out[VEC])
{
    load_vector(hidden + at, out);
    if (at + VEC <= n) return;
#pragma unroll
    for (int k = 0; k < VEC; k++)
        if (at + k >= n) out[k] = 0.0f;
}

/* sum[c] += eight weights of each of two columns times b. */
template <typename W>
__device__ __forceinline__ void add_pair(const Raw<W> (&raw)[PAIR], const float (&b)[VEC],
                                         float (&sum)[PAIR])
{
    float a[PAIR][VEC];
    expand(raw[0], a[0]);
    expand(raw[1], a[1]);
#pragma unroll
    for (int k = 0; k < VEC; k++) {
        sum[0] = fmaf(a[0][k], b[k], sum[0]);
        sum[1] = fmaf(a[1][k], b[k], sum[1]);
    }
}

__device__ __forceinline__ void add_pair(const Raw<mxfp4> (&raw)[PAIR], const float (&b)[VEC],
                                         float (&sum)[PAIR])
{
    float a[PAIR][VEC], part[PAIR] = {};
    expand(raw[0], a[0]);
    expand(raw[1], a[1]);
#pragma unroll
    for (int k = 0; k < VEC; k++) {
        part[0] = fmaf(a[0][k], b[k], part[0]);
        part[1] = fmaf(a[1][k], b[k], part[1]);
    }
    sum[0] += scaled(raw[0], part[0]);
    sum[1] += scaled(raw[1], part[1]);
}

/* sum[c] += this lane's part of two columns of a place, while the next stretch is asked for. */
template <typename W>
__device__ __forceinline__ void add_place(const Place<W> &now, const Stretch<PAIR, W> &next,
                                          Batch<PAIR, W> &batch, float (&sum)[PAIR])
{
    constexpr int HALF = Batch<PAIR, W>::HALF;
#pragma unroll
    for (int h = 0; h < 2; h++) {
#pragma unroll
        for (int i = 0; i < HALF; i++) {
            const int v = now.s.first + (h * HALF + i) * WARP;
            if (v >= now.s.vecs) break;
            float b[VEC];
            load_units(now.hidden, v * VEC, now.n, b);
            add_pair(batch.raw[h][i], b, sum);
        }
        ask_half(next.w, next.first, next.vecs, h, batch);
    }
}

/* The lanes' parts of two columns, together, added to `to`. */
template <typename W>
__device__ __forceinline__ void keep_columns(const gm_cuda_experts &p, const Place<W> &at,
                                             const float (&sum)[PAIR], float *to)
{
    const int lane = threadIdx.x % WARP;
    const float low = warp_sum(sum[0]), high = warp_sum(sum[1]);
    if (lane >= PAIR || at.d + lane >= p.width) return;
    const float scale = scale_of(at.matrix, (size_t)p.width, at.stride, at.d + lane);
    to[lane] = fmaf(at.gate, (lane == 0 ? low : high) * scale, to[lane]);
}

/* What the biases of a row's experts add to column `first` + lane % COLUMNS, by a warp: several
 * experts at once. The choice may be asked for early here too. */
__device__ __forceinline__ float add_biases(const gm_cuda_experts &p, int r, int first)
{
    const int lane = threadIdx.x % WARP, column = first + lane % COLUMNS;
    float sum = 0.0f;
#pragma unroll 1
    for (int k = lane / COLUMNS; k < p.n_chosen; k += WARP / COLUMNS) {
        const int expert = read_shared_by_blocks(p.expert + r * p.n_chosen + k);
        const float gate = gate_of(p, r * p.n_chosen + k) * scale_of_expert(p, expert);
        if (expert != GM_NO_EXPERT)
            sum = fmaf(gate, p.out_bias[expert * p.out_stride + column], sum);
    }
#pragma unroll
    for (int by = COLUMNS; by < WARP; by *= 2) sum += __shfl_xor_sync(ALL, sum, by);
    return sum;
}

/* A warp a piece, two columns at a time; a block adds its warps' sums in their order, that of row
 * r's biases being warp r's. Launch: (columns / COLUMNS), THREADS. */
template <typename W>
__global__ static void __launch_bounds__(THREADS, BLOCKS) down_kernel(gm_cuda_experts p)
{
    static_assert((int)GM_CUDA_FEW <= (int)WARPS, "a warp has one row's biases");
    __shared__ float part[GM_CUDA_FEW][WARPS][COLUMNS];
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    const int pieces = p.n_chosen * ((p.expert_width + p.piece - 1) / p.piece) +
                       (p.always_width + p.always_piece - 1) / p.always_piece;
    const int first = (int)blockIdx.x * COLUMNS;
    const int end = first + COLUMNS < p.width ? first + COLUMNS : p.width;
    Place<W> now = find_place<W>(p, warp < pieces ? 0 : p.n_rows, warp, first);
    Batch<PAIR, W> batch;
    float sum[PAIR] = {};
    ask(now.s.w, now.s.first, now.s.vecs, batch);
    const float biases = p.out_bias && warp < p.n_rows ? add_biases(p, warp, first) : 0.0f;
    wait_for_previous();
    let_next_start();
    if (lane < COLUMNS)
        for (int r = 0; r < p.n_rows; r++) part[r][warp][lane] = r == warp ? biases : 0.0f;
    __syncwarp();
#pragma unroll 1
    while (now.r < p.n_rows) {
        const bool ends = now.s.first - lane + Batch<PAIR, W>::LANES >= now.s.vecs;
        Place<W> next = now;
        if (!ends) {
            next.s.first += Batch<PAIR, W>::LANES;
        } else if (now.d + PAIR < end) {
            next.d += PAIR;
            find_columns(p, next, (int)(now.s.w[0] - now.matrix - (size_t)now.d * now.stride));
        } else {
            const bool wraps = now.piece + WARPS >= pieces;
            next = find_place<W>(p, now.r + wraps, wraps ? warp : now.piece + WARPS, first);
        }
        add_place(now, next.s, batch, sum);
        if (ends) {
            if (!is_nothing(now.matrix))
                keep_columns(p, now, sum, &part[now.r][warp][now.d - first]);
            sum[0] = sum[1] = 0.0f;
        }
        now = next;
    }
    __syncthreads();
    for (int i = threadIdx.x; i < p.n_rows * COLUMNS; i += THREADS) {
        const int r = i / COLUMNS, d = i % COLUMNS;
        if (first + d >= end) continue;
        float all = 0.0f;
        for (int k = 0; k < WARPS; k++) all += part[r][k][d];
        float *to = p.out + r * p.x_stride + first + d;
        *to = p.add ? fmaf(p.residual_scale, all, *to) : all;
    }
}

extern "C" cudaError_t gm_cuda_down_few(const gm_cuda_how *how, const gm_cuda_experts *p)
{
    const unsigned blocks = blocks_for((size_t)p->width, COLUMNS);
    switch (p->dtype) {
    case GM_F32: return launch(how, down_kernel<float>, blocks, THREADS, 0, *p);
    case GM_I8: return launch(how, down_kernel<int8>, blocks, THREADS, 0, *p);
    case GM_FP8: return launch(how, down_kernel<fp8>, blocks, THREADS, 0, *p);
    case GM_U8: return launch(how, down_kernel<mxfp4>, blocks, THREADS, 0, *p);
    default: return launch(how, down_kernel<bf16>, blocks, THREADS, 0, *p);
    }
}

/* ---- between the products of many rows ---- */

/* Launch: (most), THREADS. */
__global__ static void gather_kernel(gm_cuda_gather p)
{
    wait_for_previous();
    const int i = (int)blockIdx.x;
    if (i >= *p.n) return;
    const uint4 *from = (const uint4 *)p.from + p.index[i] * (p.row_bytes / sizeof(uint4));
    uint4 *to = (uint4 *)p.to + i * (p.row_bytes / sizeof(uint4));
    for (size_t j = threadIdx.x; j < p.row_bytes / sizeof(uint4); j += THREADS) to[j] = from[j];
}

extern "C" cudaError_t gm_cuda_gather_rows(const gm_cuda_how *how, const gm_cuda_gather *p)
{
    return launch(how, gather_kernel, dim3((unsigned)p->most), THREADS, 0, *p);
}

/* The gate of the choice whose place is i, as a factor of what its expert reads. */
__device__ __forceinline__ float gate_of_place(const gm_cuda_swiglu &p, int i)
{
    if (p.gate == nullptr) return 1.0f;
    int choice = p.slot_row[i] * p.n_chosen;
    while (p.slot[choice] != i) choice++;
    return p.gate[choice];
}

/* Launch: (most), THREADS. */
template <typename W> __global__ static void swiglu_kernel(gm_cuda_swiglu p)
{
    __shared__ int owner;
    wait_for_previous();
    const int i = (int)blockIdx.x;
    if (p.first && i >= p.first[p.n_experts]) return;
    const float *from = p.gate_up + i * p.stride, *bias = p.bias;
    W *to = (W *)p.hidden + i * p.hidden_stride;
    if (bias) {
        for (int e = threadIdx.x; e < p.n_experts; e += THREADS)
            if (p.first[e] <= i && i < p.first[e + 1]) owner = e;
        __syncthreads();
        bias += 2 * owner * p.bias_stride;
    }
    const int apart = p.activation.squared ? 0 : p.width; /* without a gate both are up */
    const float by = gate_of_place(p, i);
    for (int f = threadIdx.x; f < p.width; f += THREADS) {
        const float a = from[f] * by, b = from[apart + f] * by;
        const float gate = bias ? a + bias[f] : a, up = bias ? b + bias[p.bias_stride + f] : b;
        store(to + f, unit_of(p.activation, gate, up));
    }
}

extern "C" cudaError_t gm_cuda_swiglu_rows(const gm_cuda_how *how, const gm_cuda_swiglu *p)
{
    const dim3 grid((unsigned)p->most);
    return p->wide ? launch(how, swiglu_kernel<float>, grid, THREADS, 0, *p)
                   : launch(how, swiglu_kernel<bf16>, grid, THREADS, 0, *p);
}

/* Launch: (rows), THREADS. */
__global__ static void combine_kernel(gm_cuda_combine p)
{
    wait_for_previous();
    const size_t r = blockIdx.x;
    const int32_t *expert = p.expert + r * p.n_chosen, *slot = p.slot + r * p.n_chosen;
    const bool routed = p.y && expert[0] != GM_NO_EXPERT;
    for (int d = threadIdx.x; d < p.width; d += THREADS) {
        float sum = 0.0f;
        for (int k = 0; routed && k < p.n_chosen; k++) {
            const float by = p.gate ? p.gate[r * p.n_chosen + k] : 1.0f;
            const float gate = by * scale_of_expert(p, expert[k]);
            sum = fmaf(gate, p.y[slot[k] * p.y_stride + d], sum);
            if (p.bias) sum = fmaf(gate, p.bias[expert[k] * p.bias_stride + d], sum);
        }
        if (p.always)
            sum =
                fmaf(p.share ? p.share[r] : p.always_scale, p.always[r * p.always_stride + d], sum);
        float *to = p.x + r * p.x_stride + d;
        *to = p.add ? fmaf(p.residual_scale, sum, *to) : sum;
    }
}

extern "C" cudaError_t gm_cuda_combine_rows(const gm_cuda_how *how, const gm_cuda_combine *p)
{
    return launch(how, combine_kernel, dim3((unsigned)p->n_rows), THREADS, 0, *p);
}
