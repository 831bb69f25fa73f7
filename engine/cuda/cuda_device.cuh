/* cuda_device.cuh - what the engine's kernels share: the order of floats, products with vectors in
 * shared memory, and how these come there.
 */
#ifndef GM_CUDA_DEVICE_CUH
#define GM_CUDA_DEVICE_CUH

#include "engine/cuda/cuda_elements.cuh"

/* Larger floats give larger integers; -0 counts as 0. */
__device__ __forceinline__ unsigned ordered(float x)
{
    const unsigned bits = __float_as_uint(x + 0.0f);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

/* ---- vectors in shared memory, and products with them ---- */

/* Where element k of a vector is: a sweep of 256 is stored as the first halves of the lanes'
 * eight elements, then the second, so that a warp's 16-byte loads meet no bank twice. */
__device__ __forceinline__ int place_of(unsigned k)
{
    const unsigned lane = k % SWEEP / VEC, half = k % VEC / 4;
    return (int)(k / SWEEP * SWEEP + half * (SWEEP / 2) + lane * 4 + k % 4);
}

/* Floats that a vector of n elements takes there. */
__host__ __device__ inline size_t placed_floats(size_t n)
{
    return (n + SWEEP - 1) / SWEEP * SWEEP;
}

/* sum[n][r] += eight weights of row n times those of vector r at `at`. */
template <int N, int R>
__device__ __forceinline__ void add_products(const float (&a)[N][VEC], const float *at,
                                             size_t x_floats, float (&sum)[N][R])
{
#pragma unroll
    for (int r = 0; r < R; r++) {
        float b[VEC];
        const float4 low = load_float4(at + r * x_floats);
        const float4 high = load_float4(at + r * x_floats + SWEEP / 2);
        b[0] = low.x, b[1] = low.y, b[2] = low.z, b[3] = low.w;
        b[4] = high.x, b[5] = high.y, b[6] = high.z, b[7] = high.w;
#pragma unroll
        for (int n = 0; n < N; n++)
#pragma unroll
            for (int i = 0; i < VEC; i++) sum[n][r] = fmaf(a[n][i], b[i], sum[n][r]);
    }
}

/* The same of weights as they are in memory. */
template <int N, int R, typename W>
__device__ __forceinline__ void add_vectors(const Raw<W> (&raw)[N], const float *at,
                                            size_t x_floats, float (&sum)[N][R])
{
    float a[N][VEC];
#pragma unroll
    for (int n = 0; n < N; n++) expand(raw[n], a[n]);
    add_products(a, at, x_floats, sum);
}

template <int N, int R>
__device__ __forceinline__ void add_vectors(const Raw<mxfp4> (&raw)[N], const float *at,
                                            size_t x_floats, float (&sum)[N][R])
{
    float a[N][VEC], part[N][R] = {};
#pragma unroll
    for (int n = 0; n < N; n++) expand(raw[n], a[n]);
    add_products(a, at, x_floats, part);
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int r = 0; r < R; r++) sum[n][r] += scaled(raw[n], part[n][r]);
}

/* What a warp has asked for of N rows of weights: of each a lane's next vectors, in two halves, so
 * that one is on its way while the other is used. */
template <int N, typename W> struct Batch {
    enum { HALF = Depth<W>::value / 2, LANES = 2 * HALF * WARP /* vectors of a row in all */ };
    Raw<W> raw[2][HALF][N];
};

/* Ask for half h of the lane's vectors `first`, `first` + 32, ... of the rows at w, which have
 * `vecs`. Weights never change, so a kernel asks for its first before it waits for the previous
 * one. */
template <int N, typename W>
__device__ __forceinline__ void ask_half(const At<W> (&w)[N], int first, int vecs, int h,
                                         Batch<N, W> &batch)
{
    constexpr int HALF = Batch<N, W>::HALF;
#pragma unroll
    for (int d = 0; d < HALF; d++)
#pragma unroll
        for (int n = 0; n < N; n++) {
            const int v = first + (h * HALF + d) * WARP;
            if (v < vecs) load_raw(w[n] + (size_t)v * VEC, &batch.raw[h][d][n]);
        }
}

template <int N, typename W>
__device__ __forceinline__ void ask(const At<W> (&w)[N], int first, int vecs, Batch<N, W> &batch)
{
    ask_half(w, first, vecs, 0, batch);
    ask_half(w, first, vecs, 1, batch);
}

/* A stretch of N rows of weights: the lane's vectors from `first` on, of `vecs`. */
template <int N, typename W> struct Stretch {
    At<W> w[N];
    int first, vecs; /* vecs 0: nothing */
};

/* sum[n][r] += this lane's part of a stretch of row n times vector r; the stretch is in the batch,
 * which is asked for the next one as it gets free. Vectors are `x_floats` apart in shared memory.
 */
template <int N, int R, typename W>
__device__ __forceinline__ void add_stretch(const Stretch<N, W> &now, const Stretch<N, W> &next,
                                            Batch<N, W> &batch, const float *x, size_t x_floats,
                                            float (&sum)[N][R])
{
    constexpr int HALF = Batch<N, W>::HALF;
    const int lane = threadIdx.x % WARP;
#pragma unroll
    for (int h = 0; h < 2; h++) {
#pragma unroll
        for (int d = 0; d < HALF; d++) {
            const int v = now.first + (h * HALF + d) * WARP;
            if (v >= now.vecs) break;
            add_vectors(batch.raw[h][d], x + v / WARP * SWEEP + lane * 4, x_floats, sum);
        }
        ask_half(next.w, next.first, next.vecs, h, batch);
    }
}

template <int N, int R> __device__ __forceinline__ void set_zero(float (&sum)[N][R])
{
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int r = 0; r < R; r++) sum[n][r] = 0.0f;
}

/* ---- rows of x ---- */

enum { QUADS = 2 /* of four elements, that a thread brings at once */ };

/* Elements i .. i + 3 of the n at x, less `mean`, zeros after them; memory exists up to a
 * multiple of 4. */
__device__ __forceinline__ float4 load_quad(const float *x, int i, int n, float mean = 0.0f)
{
    float4 q = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    if (i < n) {
        q = load_float4(x + i);
        q.x -= mean, q.y -= mean, q.z -= mean, q.w -= mean;
    }
    if (i + 1 >= n) q.y = 0.0f;
    if (i + 2 >= n) q.z = 0.0f;
    if (i + 3 >= n) q.w = 0.0f;
    return q;
}

/* This thread's quads of the row from element `from` on: all are asked for before one is used. */
__device__ __forceinline__ void bring(float4 (&q)[QUADS], const float *x, int from, int n,
                                      float mean = 0.0f)
{
#pragma unroll
    for (int i = 0; i < QUADS; i++)
        q[i] = load_quad(x, from + 4 * (int)(threadIdx.x + i * blockDim.x), n, mean);
}

__device__ __forceinline__ float add_squares(const float4 (&q)[QUADS], float sum)
{
#pragma unroll
    for (int i = 0; i < QUADS; i++) {
        sum = fmaf(q[i].x, q[i].x, sum);
        sum = fmaf(q[i].y, q[i].y, sum);
        sum = fmaf(q[i].z, q[i].z, sum);
        sum = fmaf(q[i].w, q[i].w, sum);
    }
    return sum;
}

/* Mean of the n at x, by the whole block. */
__device__ __forceinline__ float block_mean(const float *x, int n, float *scratch)
{
    float sum = 0.0f;
#pragma unroll 1
    for (int from = 0; from < n; from += 4 * QUADS * (int)blockDim.x) {
        float4 q[QUADS];
        bring(q, x, from, n);
#pragma unroll
        for (int i = 0; i < QUADS; i++) sum += (q[i].x + q[i].y) + (q[i].z + q[i].w);
    }
    return block_sum(sum, scratch) / (float)n;
}

/* A norm's, from the sum of squares of n elements; of LayerNorm's, less their mean. */
__device__ __forceinline__ float factor_of(float squares, int n, float epsilon)
{
    return 1.0f / sqrtf(squares / (float)n + epsilon);
}

/* A row of x through the norm into shared memory, by the whole block; `norm` NULL: as it is.
 * W: rounded for products with W. Zeros after `width`. */
template <typename W>
__device__ __forceinline__ void place_row(const float *x, const float *norm, const float *norm_bias,
                                          int width, float epsilon, float *to, float *scratch)
{
    const int step = 4 * QUADS * (int)blockDim.x, all = (int)placed_floats((size_t)width);
    const float mean = norm_bias ? block_mean(x, width, scratch) : 0.0f;
    float scale = 1.0f;
    float4 own[QUADS], weight[QUADS];
    bring(own, x, 0, width, mean);
    if (norm) {
        bring(weight, norm, 0, width);
        float squares = add_squares(own, 0.0f);
#pragma unroll 1
        for (int from = step; from < width; from += step) {
            float4 more[QUADS];
            bring(more, x, from, width, mean);
            squares = add_squares(more, squares);
        }
        scale = factor_of(block_sum(squares, scratch), width, epsilon);
    }
#pragma unroll 1
    for (int from = 0;;) {
#pragma unroll
        for (int i = 0; i < QUADS; i++) {
            const int k = from + 4 * (int)(threadIdx.x + i * blockDim.x);
            float4 y = own[i];
            if (norm) {
                y.x = y.x * scale * weight[i].x, y.y = y.y * scale * weight[i].y;
                y.z = y.z * scale * weight[i].z, y.w = y.w * scale * weight[i].w;
            }
            if (norm_bias) {
                const float4 bias = load_quad(norm_bias, k, width);
                y.x += bias.x, y.y += bias.y, y.z += bias.z, y.w += bias.w;
            }
            y.x = rounded<W>(y.x), y.y = rounded<W>(y.y);
            y.z = rounded<W>(y.z), y.w = rounded<W>(y.w);
            if (k < all) store_float4(to, place_of(k), y);
        }
        from += step;
        if (from >= all) break;
        bring(own, x, from, width, mean);
        if (norm) bring(weight, norm, from, width);
    }
}

/* n_rows rows of x into shared memory, as R of them; with `head` row r is head[r].row. Ends
 * synchronised. */
template <typename W, int R>
__device__ __forceinline__ void place_rows(const float *x, const float *norm,
                                           const float *norm_bias, size_t x_stride,
                                           const gm_cuda_head *head, int n_rows, int width,
                                           float epsilon, float *to, float *scratch)
{
    const int floats = (int)placed_floats((size_t)width);
#pragma unroll 1
    for (int r = 0; r < n_rows; r++) {
        const size_t from = head ? head[r].row : (size_t)r;
        place_row<W>(x + from * x_stride, norm, norm_bias, width, epsilon, to + r * floats,
                     scratch);
    }
#pragma unroll 1
    for (int i = n_rows * floats + (int)threadIdx.x; R > 1 && i < R * floats; i += blockDim.x)
        to[i] = 0.0f;
    __syncthreads();
}

/* More shared memory than 48 KiB has to be asked for, once a kernel. */
template <typename... P>
static cudaError_t allow_shared(void (*kernel)(P...), int bytes = GM_CUDA_SHARED_BYTES)
{
    return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
}

#endif
