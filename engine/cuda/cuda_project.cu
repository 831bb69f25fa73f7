/* cuda_project.cu - norms, and products of few rows with a matrix: query-key-value, the output
 * of attention, and the head. */
#include "engine/cuda/cuda_device.cuh"

enum {
    THREADS = 256,
    OUTPUTS = 2, /* of a warp at once: more bytes on their way */
    BLOCKS = 2,  /* of a multiprocessor: what the registers of their batches leave room for */
};

/* The lane's vectors from `first` on of output n and its neighbour; nothing after the last. */
template <typename W>
__device__ __forceinline__ Stretch<OUTPUTS, W> find_pair(const gm_cuda_project &p, int n, int first)
{
    Stretch<OUTPUTS, W> s = {};
    if (n >= p.n_out) return s;
    s.w[0] = (const W *)p.matrix + (size_t)n * p.stride;
    s.w[1] = n + 1 < p.n_out ? s.w[0] + p.stride : s.w[0];
    s.first = first;
    s.vecs = (int)(p.stride / VEC);
    return s;
}

/* The lanes' parts of outputs n and its neighbour, together. */
template <typename W, int R>
__device__ __forceinline__ void keep_pair(const gm_cuda_project &p, int n,
                                          const float (&sum)[OUTPUTS][R])
{
    const int lane = threadIdx.x % WARP;
    const bool mine = lane < OUTPUTS && n + lane < p.n_out;
    const float scale =
        mine ? scale_of((const W *)p.matrix, (size_t)p.n_out, p.stride, n + lane) : 0.0f;
#pragma unroll
    for (int r = 0; r < R; r++) {
        const float first = warp_sum(sum[0][r]), second = warp_sum(sum[1][r]);
        if (!mine || r >= p.n_rows) continue;
        float y = (lane == 0 ? first : second) * scale;
        float *to = p.out + r * p.out_stride + n + lane;
        if (p.bias) y += p.bias[n + lane];
        *to = p.add ? fmaf(p.factor, y, *to) : p.factor * y;
    }
}

/* A block brings all rows into shared memory; its warps take pairs of outputs, those of a grid side
 * by side. Launch: THREADS; floats of shared memory as its launch asks for. */
template <typename W, int R>
__global__ static void __launch_bounds__(THREADS, BLOCKS) project_kernel(gm_cuda_project p)
{
    __shared__ float scratch[WARP];
    float *x = dynamic_shared(); /* (R, placed) */
    const size_t floats = placed_floats((size_t)p.width);
    const int lane = threadIdx.x % WARP, vecs = (int)(p.stride / VEC);
    const int step = (int)gridDim.x * (THREADS / WARP) * OUTPUTS;
    int n = (int)(blockIdx.x * (THREADS / WARP) + threadIdx.x / WARP) * OUTPUTS;
    Stretch<OUTPUTS, W> now = find_pair<W>(p, n, lane);
    Batch<OUTPUTS, W> batch;
    float sum[OUTPUTS][R];
    ask(now.w, now.first, now.vecs, batch);
    wait_for_previous();
    let_next_start();
    place_rows<W, R>(p.x, p.norm, p.norm_bias, p.x_stride, p.head, p.n_rows, p.width, p.epsilon, x,
                     scratch);
    set_zero(sum);
#pragma unroll 1
    while (n < p.n_out) {
        const int after = now.first + Batch<OUTPUTS, W>::LANES;
        const bool ends = after - lane >= vecs;
        const Stretch<OUTPUTS, W> next =
            ends ? find_pair<W>(p, n + step, lane) : find_pair<W>(p, n, after);
        add_stretch(now, next, batch, x, floats, sum);
        now = next;
        if (!ends) continue;
        keep_pair<W>(p, n, sum);
        set_zero(sum);
        n += step;
    }
}

template <typename W, int R>
static cudaError_t project(const gm_cuda_how *how, const gm_cuda_project *p)
{
    const size_t shared = R * placed_floats((size_t)p->width) * sizeof(float);
    unsigned blocks = blocks_for((size_t)p->n_out, OUTPUTS * THREADS / WARP);
    const unsigned most = (unsigned)how->multiprocessors * BLOCKS;
    return launch(how, project_kernel<W, R>, blocks < most ? blocks : most, THREADS, shared, *p);
}

template <typename W>
static cudaError_t project_rows(const gm_cuda_how *how, const gm_cuda_project *p)
{
    if (p->n_rows == 1) return project<W, 1>(how, p);
    if (p->n_rows == 2) return project<W, 2>(how, p);
    if (p->n_rows <= 4) return project<W, 4>(how, p);
    return project<W, GM_CUDA_FEW>(how, p);
}

extern "C" cudaError_t gm_cuda_project_few(const gm_cuda_how *how, const gm_cuda_project *p)
{
    switch (p->dtype) {
    case GM_F32: return project_rows<float>(how, p);
    case GM_I8: return project_rows<int8>(how, p);
    case GM_FP8: return project_rows<fp8>(how, p);
    default: return project_rows<bf16>(how, p);
    }
}

/* ---- norms of many rows ---- */

/* A block a row. Launch: (rows), THREADS. */
template <typename W> __global__ static void norm_kernel(gm_cuda_norm p)
{
    __shared__ float scratch[WARP];
    wait_for_previous();
    const size_t r = blockIdx.x;
    const float *x = p.x + (p.head ? p.head[r].row : r) * p.x_stride;
    const float mean = p.norm_bias ? block_mean(x, p.width, scratch) : 0.0f;
    float scale = 1.0f;
    if (p.norm) {
        float squares = 0.0f;
        for (int i = threadIdx.x; i < p.width; i += blockDim.x)
            squares = fmaf(x[i] - mean, x[i] - mean, squares);
        scale = factor_of(block_sum(squares, scratch), p.width, p.epsilon);
    }
    for (int i = threadIdx.x; i < p.width; i += blockDim.x) {
        float y = p.norm ? ((x[i] - mean) * scale) * p.norm[i] : x[i];
        if (p.norm_bias) y += p.norm_bias[i];
        if (p.rounded) store((W *)p.rounded + r * p.rounded_stride + i, y);
        if (!p.exact) continue;
        float *to = p.exact + r * p.exact_stride + i;
        *to = p.factor != 0.0f ? fmaf(p.factor, y, *to) : y;
    }
}

extern "C" cudaError_t gm_cuda_norm_rows(const gm_cuda_how *how, const gm_cuda_norm *p)
{
    const dim3 grid((unsigned)p->n_rows);
    return p->wide ? launch(how, norm_kernel<float>, grid, THREADS, 0, *p)
                   : launch(how, norm_kernel<bf16>, grid, THREADS, 0, *p);
}

/* Launch: (rows), THREADS. */
__global__ static void bias_kernel(float *to, const float *bias, float factor, size_t stride,
                                   int width)
{
    wait_for_previous();
    for (int i = threadIdx.x; i < width; i += blockDim.x) {
        float *at = to + blockIdx.x * stride + i;
        *at = fmaf(factor, bias[i], *at);
    }
}

extern "C" cudaError_t gm_cuda_add_bias(const gm_cuda_how *how, float *to, const float *bias,
                                        float factor, size_t stride, int n_rows, int width)
{
    return launch(how, bias_kernel, dim3((unsigned)n_rows), dim3(THREADS), 0, to, bias, factor,
                  stride, width);
}

template <typename W> static cudaError_t allow_project(void)
{
    cudaError_t e = allow_shared(project_kernel<W, 1>);
    if (e == cudaSuccess) e = allow_shared(project_kernel<W, 2>);
    if (e == cudaSuccess) e = allow_shared(project_kernel<W, 4>);
    return e != cudaSuccess ? e : allow_shared(project_kernel<W, GM_CUDA_FEW>);
}

extern "C" cudaError_t gm_cuda_project_prepare(void)
{
    cudaError_t e = allow_project<float>();
    if (e == cudaSuccess) e = allow_project<bf16>();
    if (e == cudaSuccess) e = allow_project<int8>();
    return e != cudaSuccess ? e : allow_project<fp8>();
}
