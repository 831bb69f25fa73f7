/* cuda_project.cu - norms, and products of few rows with a matrix: query-key-value, the output
 * of attention, and the head. */
#include "engine/cuda/cuda_device.cuh"

enum { THREADS = 256, OUTPUTS = 2 /* of a warp at once: more bytes on their way */ };

/* A block brings all rows into shared memory; its warps then take pairs of outputs, those of a
 * grid side by side. Launch: THREADS; floats of shared memory as its launch asks for. */
template <typename W, int R>
__global__ static void __launch_bounds__(THREADS) project_kernel(gm_cuda_project p)
{
    __shared__ float scratch[WARP];
    float *x = dynamic_shared(); /* (R, placed) */
    const size_t floats = placed_floats((size_t)p.width);
    const int warp = (int)(blockIdx.x * (THREADS / WARP) + threadIdx.x / WARP);
    const int step = (int)(gridDim.x * (THREADS / WARP)) * OUTPUTS, lane = threadIdx.x % WARP;
    const W *matrix = (const W *)p.matrix;

    if (warp * OUTPUTS < p.n_out)
        prefetch_row(matrix + (size_t)(warp * OUTPUTS) * p.stride, p.width);
    wait_for_previous();
    let_next_start();
    for (int r = 0; r < R; r++) {
        const int from = p.head && r < p.n_rows ? (int)p.head[r].row : r;
        if (r < p.n_rows)
            place_row<W>(p.x + from * p.x_stride, p.norm, p.width, p.epsilon, x + r * floats,
                         scratch);
        else
            for (int i = threadIdx.x; i < (int)floats; i += THREADS) x[r * floats + i] = 0.0f;
    }
    __syncthreads();
    for (int n = warp * OUTPUTS; n < p.n_out; n += step) {
        const int second = n + 1 < p.n_out ? n + 1 : n;
        const W *const w[OUTPUTS] = {matrix + n * p.stride, matrix + second * p.stride};
        float sum[OUTPUTS][R];
        dot_rows(w, (int)(p.stride / VEC), x, floats, sum);
        if (lane >= OUTPUTS || n + lane >= p.n_out) continue;
        const float scale = scale_of(matrix, (size_t)p.n_out, p.stride, n + lane);
        for (int r = 0; r < R; r++) {
            if (r >= p.n_rows) continue;
            float y = (lane == 0 ? sum[0][r] : sum[1][r]) * scale;
            float *to = p.out + r * p.out_stride + n + lane;
            if (p.bias) y += p.bias[n + lane];
            *to = p.add ? *to + y : y;
        }
    }
}

template <typename W, int R>
static cudaError_t project(const gm_cuda_how *how, const gm_cuda_project *p)
{
    const size_t shared = R * placed_floats((size_t)p->width) * sizeof(float);
    unsigned blocks = blocks_for((size_t)p->n_out, OUTPUTS * THREADS / WARP);
    const unsigned most = (unsigned)how->multiprocessors * 4;
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
    float scale = 1.0f;
    if (p.norm) {
        float squares = 0.0f;
        for (int i = threadIdx.x; i < p.width; i += blockDim.x) squares = fmaf(x[i], x[i], squares);
        scale = 1.0f / sqrtf(block_sum(squares, scratch) / (float)p.width + p.epsilon);
    }
    for (int i = threadIdx.x; i < p.width; i += blockDim.x) {
        const float y = p.norm ? (x[i] * scale) * p.norm[i] : x[i];
        if (p.rounded) store((W *)p.rounded + r * p.rounded_stride + i, y);
        if (p.exact) p.exact[r * p.exact_stride + i] = y;
    }
}

extern "C" cudaError_t gm_cuda_norm_rows(const gm_cuda_how *how, const gm_cuda_norm *p)
{
    const dim3 grid((unsigned)p->n_rows);
    return p->wide ? launch(how, norm_kernel<float>, grid, THREADS, 0, *p)
                   : launch(how, norm_kernel<bf16>, grid, THREADS, 0, *p);
}

/* Launch: (rows), THREADS. */
__global__ static void bias_kernel(float *to, const float *bias, size_t stride, int width)
{
    wait_for_previous();
    for (int i = threadIdx.x; i < width; i += blockDim.x) to[blockIdx.x * stride + i] += bias[i];
}

extern "C" cudaError_t gm_cuda_add_bias(const gm_cuda_how *how, float *to, const float *bias,
                                        size_t stride, int n_rows, int width)
{
    return launch(how, bias_kernel, dim3((unsigned)n_rows), dim3(THREADS), 0, to, bias, stride,
                  width);
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
