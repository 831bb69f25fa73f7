/* cuda_experts.cu - the MLPs of a layer.
 *
 * Few rows: organised around outputs, not experts. A warp owns a unit of one chosen expert
 * (gate-up) or two columns of the result (down, where it walks over the row's experts in their
 * order and adds in registers); no sorting, no padding, no atomics. Many rows: what lies between
 * cuBLAS's products.
 */
#include "engine/cuda/cuda_device.cuh"

enum { THREADS = 256, WARPS = THREADS / WARP, COLUMNS = 2 /* of a warp at once */ };

/* Matrix `item` of several. */
template <typename W>
__device__ __forceinline__ const W *item_of(const void *matrices, int item, size_t bytes)
{
    return (const W *)(const void *)((const char *)matrices + (size_t)item * bytes);
}

__device__ __forceinline__ float silu_times(float gate, float up)
{
    return gate / (1.0f + expf(-gate)) * up;
}

/* One unit of an MLP for the R rows at x: gate and up side by side. */
template <typename W, int R>
__device__ __forceinline__ void unit_of(const W *matrix, int unit, int width, size_t stride,
                                        const float *x, size_t floats, float (&out)[R])
{
    const W *const w[2] = {matrix + unit * stride, matrix + (width + unit) * stride};
    const float gate = scale_of(matrix, 2 * (size_t)width, stride, unit);
    const float up = scale_of(matrix, 2 * (size_t)width, stride, width + unit);
    float sum[2][R];
    dot_rows(w, (int)(stride / VEC), x, floats, sum);
#pragma unroll
    for (int r = 0; r < R; r++) out[r] = silu_times(sum[0][r] * gate, sum[1][r] * up);
}

/* Units of the MLP that all rows take come first, then those of row 0's choices, row 1's, ...; the
 * warps of a grid take neighbours. Launch: THREADS; shared: the rows. */
template <typename W, int R>
__global__ static void __launch_bounds__(THREADS) gate_up_kernel(gm_cuda_experts p)
{
    typedef typename Input<W>::type X;
    __shared__ float scratch[WARP];
    float *x = dynamic_shared(); /* (R, placed) */
    const size_t floats = placed_floats((size_t)p.width);
    const int warp = (int)(blockIdx.x * WARPS + threadIdx.x / WARP), lane = threadIdx.x % WARP;
    const W *always = (const W *)p.always_gate_up;
    if (warp < p.always_width) /* known before the router has chosen */
        prefetch_row(always + warp * p.d_stride, p.width);
    wait_for_previous();
    let_next_start();
    for (int r = 0; r < R; r++) {
        if (r < p.n_rows)
            place_row<W>(p.x + r * p.x_stride, p.norm, p.width, p.epsilon, x + r * floats, scratch);
        else
            for (int i = threadIdx.x; i < (int)floats; i += THREADS) x[r * floats + i] = 0.0f;
    }
    __syncthreads();
    const int row_units = p.n_chosen * p.expert_width;
    const int n = p.always_width + p.n_rows * row_units;
    for (int i = warp; i < n; i += (int)gridDim.x * WARPS) {
        if (i < p.always_width) {
            float out[R];
            unit_of(always, i, p.always_width, p.d_stride, x, floats, out);
            for (int r = 0; r < R; r++)
                if (lane == 0 && r < p.n_rows) store((X *)p.always + r * p.a_stride + i, out[r]);
            continue;
        }
        const int at = i - p.always_width, r = at / row_units;
        const int k = at % row_units / p.expert_width, unit = at % p.expert_width;
        const int expert = p.expert[r * p.n_chosen + k];
        if (expert == GM_NO_EXPERT) continue;
        const W *matrix = item_of<W>(p.gate_up, expert, p.gate_up_bytes);
        float out[1];
        unit_of(matrix, unit, p.expert_width, p.d_stride, x + r * floats, floats, out);
        if (lane == 0)
            store((X *)p.hidden + ((size_t)r * p.n_chosen + k) * p.f_stride + unit, out[0]);
    }
}

template <typename W, int R>
static cudaError_t gate_up(const gm_cuda_how *how, const gm_cuda_experts *p)
{
    const size_t shared = R * placed_floats((size_t)p->width) * sizeof(float);
    const size_t n = (size_t)p->always_width + (size_t)p->n_rows * p->n_chosen * p->expert_width;
    unsigned blocks = blocks_for(n, WARPS);
    const unsigned most = (unsigned)how->multiprocessors * 4;
    return launch(how, gate_up_kernel<W, R>, blocks < most ? blocks : most, THREADS, shared, *p);
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
    default: return gate_up_rows<bf16>(how, p);
    }
}

template <typename W> static cudaError_t allow_gate_up(void)
{
    cudaError_t e = allow_shared(gate_up_kernel<W, 1>);
    if (e == cudaSuccess) e = allow_shared(gate_up_kernel<W, 2>);
    if (e == cudaSuccess) e = allow_shared(gate_up_kernel<W, 4>);
    return e != cudaSuccess ? e : allow_shared(gate_up_kernel<W, GM_CUDA_FEW>);
}

extern "C" cudaError_t gm_cuda_experts_prepare(void)
{
    cudaError_t e = allow_gate_up<float>();
    if (e == cudaSuccess) e = allow_gate_up<bf16>();
    if (e == cudaSuccess) e = allow_gate_up<int8>();
    return e != cudaSuccess ? e : allow_gate_up<fp8>();
}

/* ---- down ---- */

/* Columns d and `second` of an MLP's output, of `rows`, for one row of hidden units, which all
 * warps read. */
template <typename W, typename X>
__device__ __forceinline__ void columns_of(const W *matrix, int rows, int d, int second,
                                           size_t stride, const X *hidden, int width,
                                           float (&sum)[COLUMNS])
{
    const W *const w[COLUMNS] = {matrix + d * stride, matrix + second * stride};
    constexpr int DEPTH = Depth<W>::value;
    const int vecs = (width + VEC - 1) / VEC;
    sum[0] = sum[1] = 0.0f;
    for (int first = (int)threadIdx.x % WARP; first < vecs; first += WARP * DEPTH) {
        Raw<W> raw[DEPTH][COLUMNS];
        Raw<X> own[DEPTH];
#pragma unroll
        for (int i = 0; i < DEPTH; i++) {
            const size_t at = (size_t)(first + i * WARP) * VEC;
            if (first + i * WARP >= vecs) break;
            load_raw(w[0] + at, &raw[i][0]);
            load_raw(w[1] + at, &raw[i][1]);
            load_shared(hidden + at, &own[i]);
        }
#pragma unroll
        for (int i = 0; i < DEPTH; i++) {
            const int at = (first + i * WARP) * VEC;
            if (first + i * WARP >= vecs) break;
            float a[COLUMNS][VEC], b[VEC];
            expand(raw[i][0], a[0]);
            expand(raw[i][1], a[1]);
            expand(own[i], b);
#pragma unroll
            for (int k = 0; k < VEC; k++) {
                /* behind the width lies what another layer left */
                const float x = at + k < width ? b[k] : 0.0f;
                sum[0] = fmaf(a[0][k], x, sum[0]);
                sum[1] = fmaf(a[1][k], x, sum[1]);
            }
        }
    }
    sum[0] = warp_sum(sum[0]) * scale_of(matrix, (size_t)rows, stride, d);
    sum[1] = warp_sum(sum[1]) * scale_of(matrix, (size_t)rows, stride, second);
}

/* A warp two columns of every row. Launch: THREADS. */
template <typename W>
__global__ static void __launch_bounds__(THREADS) down_kernel(gm_cuda_experts p)
{
    typedef typename Input<W>::type X;
    const int warp = (int)(blockIdx.x * WARPS + threadIdx.x / WARP), lane = threadIdx.x % WARP;
    const W *always_down = (const W *)p.always_down;
    if (p.always_width && warp * COLUMNS < p.width)
        prefetch_row(always_down + (size_t)warp * COLUMNS * p.a_stride, p.always_width);
    wait_for_previous();
    let_next_start();
    for (int d = warp * COLUMNS; d < p.width; d += (int)gridDim.x * WARPS * COLUMNS) {
        const int second = d + 1 < p.width ? d + 1 : d;
        for (int r = 0; r < p.n_rows; r++) {
            float sum[COLUMNS] = {}, y[COLUMNS];
            for (int k = 0; k < p.n_chosen; k++) {
                const size_t at = (size_t)r * p.n_chosen + k;
                const int expert = p.expert[at];
                if (expert == GM_NO_EXPERT) break; /* a bad row has none */
                columns_of(item_of<W>(p.down, expert, p.down_bytes), p.width, d, second, p.f_stride,
                           (const X *)p.hidden + at * p.f_stride, p.expert_width, y);
                const float gate = p.gate[at] * p.scale;
                sum[0] = fmaf(gate, y[0], sum[0]);
                sum[1] = fmaf(gate, y[1], sum[1]);
            }
            if (p.always_width) {
                columns_of(always_down, p.width, d, second, p.a_stride,
                           (const X *)p.always + r * p.a_stride, p.always_width, y);
                sum[0] += y[0];
                sum[1] += y[1];
            }
            if (lane < COLUMNS && d + lane < p.width)
                p.out[r * p.x_stride + d + lane] += lane == 0 ? sum[0] : sum[1];
        }
    }
}

extern "C" cudaError_t gm_cuda_down_few(const gm_cuda_how *how, const gm_cuda_experts *p)
{
    unsigned blocks = blocks_for((size_t)p->width, COLUMNS * WARPS);
    const unsigned most = (unsigned)how->multiprocessors * 8;
    if (blocks > most) blocks = most;
    switch (p->dtype) {
    case GM_F32: return launch(how, down_kernel<float>, blocks, THREADS, 0, *p);
    case GM_I8: return launch(how, down_kernel<int8>, blocks, THREADS, 0, *p);
    case GM_FP8: return launch(how, down_kernel<fp8>, blocks, THREADS, 0, *p);
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

/* Launch: (most), THREADS. */
template <typename W> __global__ static void swiglu_kernel(gm_cuda_swiglu p)
{
    wait_for_previous();
    const int i = (int)blockIdx.x;
    if (p.n && i >= *p.n) return;
    const float *from = p.gate_up + i * p.stride;
    W *to = (W *)p.hidden + i * p.hidden_stride;
    for (int f = threadIdx.x; f < p.width; f += THREADS)
        store(to + f, silu_times(from[f], from[p.width + f]));
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
        for (int k = 0; routed && k < p.n_chosen; k++)
            sum = fmaf(p.gate[r * p.n_chosen + k] * p.scale, p.y[slot[k] * p.y_stride + d], sum);
        if (p.always) sum += p.always[r * p.always_stride + d];
        p.x[r * p.x_stride + d] += sum;
    }
}

extern "C" cudaError_t gm_cuda_combine_rows(const gm_cuda_how *how, const gm_cuda_combine *p)
{
    return launch(how, combine_kernel, dim3((unsigned)p->n_rows), THREADS, 0, *p);
}
