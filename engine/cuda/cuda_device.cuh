/* cuda_device.cuh - what the engine's kernels share: element types, vector loads, products with
 * vectors in shared memory.
 */
#ifndef GM_CUDA_DEVICE_CUH
#define GM_CUDA_DEVICE_CUH

#include "base/cuda/cuda_common.cuh"
#include "engine/cuda/cuda_kernels.h"

enum {
    VEC = 8,            /* elements that a lane loads at once: 16 bytes of bf16 */
    SWEEP = WARP * VEC, /* elements that a warp loads at once */
    ON_THEIR_WAY = 128, /* bytes of a row that a lane asks for before it uses the first */
};

struct bf16 {
    uint16_t bits;
};
/* Weights of 8 bits, with a scale for each output behind the matrix: whole numbers, and e4m3. */
struct int8 {
    int8_t number;
};
struct fp8 {
    uint8_t bits;
};

/* What products with weights W read, and what is kept for them between kernels. */
template <typename W> struct Input {
    typedef W type;
};
template <> struct Input<int8> {
    typedef bf16 type;
};
template <> struct Input<fp8> {
    typedef bf16 type;
};

/* ---- elements ---- */

__device__ __forceinline__ float to_float(float x)
{
    return x;
}

__device__ __forceinline__ float to_float(bf16 x)
{
    return __uint_as_float((unsigned)x.bits << 16);
}

__device__ __forceinline__ void store(float *to, float x)
{
    *to = x;
}

/* To nearest even; a NaN stays one (base/half.h), on a GPU with other bits. */
__device__ __forceinline__ void store(bf16 *to, float x)
{
#ifdef GM_EMULATED_CUDA
    unsigned bits = __float_as_uint(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        to->bits = (uint16_t)(bits >> 16 | 0x40u);
    else
        to->bits = (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
#else
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(to->bits) : "f"(x));
#endif
}

/* x as a product with weights W reads it. */
template <typename W> __device__ __forceinline__ float rounded(float x)
{
    typename Input<W>::type w;
    store(&w, x);
    return to_float(w);
}

/* The value of a half's bits; exact, denormals too. */
__device__ __forceinline__ float half_value(unsigned bits)
{
#ifdef GM_EMULATED_CUDA
    const unsigned sign = (bits & 0x8000u) << 16, rest = bits & 0x7fffu;
    if (rest >= 0x7c00u) return __uint_as_float(sign | 0x7f800000u | (rest & 0x3ffu) << 13);
    /* a normal number is moved to f32's exponent by a product; a denormal is a whole number */
    const float size =
        rest < 0x400u ? (float)rest * 0x1p-24f : __uint_as_float(rest << 13) * 0x1p112f;
    return __uint_as_float(sign | __float_as_uint(size));
#else
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"((unsigned short)bits));
    return x;
#endif
}

__device__ __forceinline__ void split(uint4 q, float out[VEC])
{
    const unsigned word[4] = {q.x, q.y, q.z, q.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        out[2 * i] = __uint_as_float(word[i] << 16);
        out[2 * i + 1] = __uint_as_float(word[i] & 0xffff0000u);
    }
}

/* Weights are read once a token: they go past L1, which keeps the vectors, and are the first to
 * leave L2, which keeps what kernels hand on. */
#ifdef GM_EMULATED_CUDA
template <typename Q> __device__ __forceinline__ Q load_once(const Q *at)
{
    return *at;
}
#else
__device__ __forceinline__ unsigned long long leaves_first()
{
    unsigned long long policy;
    asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
    return policy;
}

__device__ __forceinline__ uint4 load_once(const uint4 *at)
{
    uint4 q;
    asm volatile("ld.global.nc.L1::no_allocate.L2::cache_hint.v4.u32 {%0, %1, %2, %3}, [%4], %5;"
                 : "=r"(q.x), "=r"(q.y), "=r"(q.z), "=r"(q.w)
                 : "l"(at), "l"(leaves_first()));
    return q;
}

__device__ __forceinline__ uint2 load_once(const uint2 *at)
{
    uint2 q;
    asm volatile("ld.global.nc.L1::no_allocate.L2::cache_hint.v2.u32 {%0, %1}, [%2], %3;"
                 : "=r"(q.x), "=r"(q.y)
                 : "l"(at), "l"(leaves_first()));
    return q;
}
#endif

/* Eight weights as they lie in memory. */
template <typename W> struct Raw {
    uint4 q;
};
template <> struct Raw<float> {
    uint4 low, high;
};
template <> struct Raw<int8> {
    uint2 q;
};
template <> struct Raw<fp8> {
    uint2 q;
};

__device__ __forceinline__ void load_raw(const bf16 *at, Raw<bf16> *raw)
{
    raw->q = load_once((const uint4 *)(const void *)at);
}

__device__ __forceinline__ void load_raw(const float *at, Raw<float> *raw)
{
    const uint4 *q = (const uint4 *)(const void *)at;
    raw->low = load_once(q);
    raw->high = load_once(q + 1);
}

__device__ __forceinline__ void load_raw(const int8 *at, Raw<int8> *raw)
{
    raw->q = load_once((const uint2 *)(const void *)at);
}

__device__ __forceinline__ void load_raw(const fp8 *at, Raw<fp8> *raw)
{
    raw->q = load_once((const uint2 *)(const void *)at);
}

/* Eight elements that an earlier kernel wrote, asked for before the one in front has ended: from
 * L2, as L1 may hold what was there before. */
__device__ __forceinline__ void load_written(const bf16 *at, Raw<bf16> *raw)
{
    raw->q = read_shared_by_blocks((const uint4 *)(const void *)at);
}

__device__ __forceinline__ void load_written(const float *at, Raw<float> *raw)
{
    raw->low = read_shared_by_blocks((const uint4 *)(const void *)at);
    raw->high = read_shared_by_blocks((const uint4 *)(const void *)(at + 4));
}

/* Eight elements of shared memory. */
__device__ __forceinline__ void load_near(const bf16 *at, Raw<bf16> *raw)
{
    raw->q = *(const uint4 *)(const void *)at;
}

__device__ __forceinline__ void load_near(const float *at, Raw<float> *raw)
{
    raw->low = *(const uint4 *)(const void *)at;
    raw->high = *(const uint4 *)(const void *)(at + 4);
}

/* Their values. */
__device__ __forceinline__ void expand(const Raw<bf16> &raw, float out[VEC])
{
    split(raw.q, out);
}

__device__ __forceinline__ void expand(const Raw<float> &raw, float out[VEC])
{
    const uint4 a = raw.low, b = raw.high;
    const unsigned word[VEC] = {a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w};
#pragma unroll
    for (int i = 0; i < VEC; i++) out[i] = __uint_as_float(word[i]);
}

/* A byte becomes the last one of 2^23's fraction: with its sign bit turned it counts from 128. */
__device__ __forceinline__ void expand(const Raw<int8> &raw, float out[VEC])
{
    const unsigned word[2] = {raw.q.x ^ 0x80808080u, raw.q.y ^ 0x80808080u};
#pragma unroll
    for (int i = 0; i < VEC; i++)
        out[i] =
            __uint_as_float(__byte_perm(word[i / 4], 0x4b000000u, 0x7540u + i % 4)) - 8388736.0f;
}

/* e4m3's exponent and fraction, moved by a bit, are those of a half that is 2^8 times smaller:
 * two at once. The sums are small by the same factor; scale_of makes up for it. */
__device__ __forceinline__ void expand(const Raw<fp8> &raw, float out[VEC])
{
    const unsigned word[2] = {raw.q.x, raw.q.y};
#pragma unroll
    for (int w = 0; w < 2; w++) {
        const unsigned low = word[w] << 8; /* bytes 0 and 2 */
        const unsigned even = (low & 0x80008000u) | (low >> 1 & 0x3f803f80u);
        const unsigned odd = (word[w] & 0x80008000u) | (word[w] >> 1 & 0x3f803f80u);
        out[4 * w] = half_value(even & 0xffffu);
        out[4 * w + 1] = half_value(odd & 0xffffu);
        out[4 * w + 2] = half_value(even >> 16);
        out[4 * w + 3] = half_value(odd >> 16);
    }
}

template <typename W> __device__ __forceinline__ void load_weights(const W *at, float out[VEC])
{
    Raw<W> raw;
    load_raw(at, &raw);
    expand(raw, out);
}

/* Vectors of a row that a lane has on their way at once. */
template <typename W> struct Depth {
    enum { most = ON_THEIR_WAY / (int)sizeof(W) / VEC, value = most < 8 ? most : 8 };
};

/* What the sum of output n of a matrix of `rows` is multiplied with. */
template <typename W>
__device__ __forceinline__ float scale_of(const W *matrix, size_t rows, size_t stride, int n)
{
    (void)matrix, (void)rows, (void)stride, (void)n;
    return 1.0f;
}

__device__ __forceinline__ float scale_of(const int8 *matrix, size_t rows, size_t stride, int n)
{
    return ((const float *)(const void *)(matrix + rows * stride))[n];
}

__device__ __forceinline__ float scale_of(const fp8 *matrix, size_t rows, size_t stride, int n)
{
    return ((const float *)(const void *)(matrix + rows * stride))[n] * 256.0f;
}

__device__ __forceinline__ float4 load_float4(const float *at)
{
    return *(const float4 *)(const void *)at;
}

/* Eight elements that other warps read too. */
__device__ __forceinline__ void load_vector(const bf16 *at, float out[VEC])
{
    split(*(const uint4 *)(const void *)at, out);
}

__device__ __forceinline__ void load_vector(const float *at, float out[VEC])
{
    const float4 a = load_float4(at), b = load_float4(at + 4);
    out[0] = a.x, out[1] = a.y, out[2] = a.z, out[3] = a.w;
    out[4] = b.x, out[5] = b.y, out[6] = b.z, out[7] = b.w;
}

/* ---- vectors in shared memory, and products with them ---- */

/* Where element k of a vector lies: a sweep of 256 is stored as the first halves of the lanes'
 * eight elements, then the second, so that a warp's 16-byte loads meet no bank twice. */
__device__ __forceinline__ int place_of(int k)
{
    const int lane = k % SWEEP / VEC, half = k % VEC / 4;
    return k / SWEEP * SWEEP + half * (SWEEP / 2) + lane * 4 + k % 4;
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

/* What a warp has asked for of N rows of weights: of each a lane's next vectors, in two halves, so
 * that one is on its way while the other is used. */
template <int N, typename W> struct Batch {
    enum { HALF = Depth<W>::value / 2, LANES = 2 * HALF * WARP /* vectors of a row in all */ };
    Raw<W> raw[2][HALF][N];
};

/* Ask for half h of the lane's vectors `first`, `first` + 32, ... of the rows at w, which have
 * `vecs`. Weights never change, so a kernel asks for its first before it waits for the one in
 * front of it. */
template <int N, typename W>
__device__ __forceinline__ void ask_half(const W *const (&w)[N], int first, int vecs, int h,
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
__device__ __forceinline__ void ask(const W *const (&w)[N], int first, int vecs, Batch<N, W> &batch)
{
    ask_half(w, first, vecs, 0, batch);
    ask_half(w, first, vecs, 1, batch);
}

/* A stretch of N rows of weights: the lane's vectors from `first` on, of `vecs`. */
template <int N, typename W> struct Stretch {
    const W *w[N];
    int first, vecs; /* vecs 0: nothing */
};

/* sum[n][r] += this lane's part of a stretch of row n times vector r; the stretch is in the batch,
 * which is asked for the next one as it gets free. Vectors lie `x_floats` apart in shared memory.
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
            float a[N][VEC];
#pragma unroll
            for (int n = 0; n < N; n++) expand(batch.raw[h][d][n], a[n]);
            add_products(a, x + v / WARP * SWEEP + lane * 4, x_floats, sum);
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

/* Elements i .. i + 3 of the n at x, zeros behind them; memory is there up to a multiple of 4. */
__device__ __forceinline__ float4 load_quad(const float *x, int i, int n)
{
    float4 q = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    if (i < n) q = load_float4(x + i);
    if (i + 1 >= n) q.y = 0.0f;
    if (i + 2 >= n) q.z = 0.0f;
    if (i + 3 >= n) q.w = 0.0f;
    return q;
}

/* This thread's quads of the row from element `from` on: all are asked for before one is used. */
__device__ __forceinline__ void bring(float4 (&q)[QUADS], const float *x, int from, int n)
{
#pragma unroll
    for (int i = 0; i < QUADS; i++)
        q[i] = load_quad(x, from + 4 * (int)(threadIdx.x + i * blockDim.x), n);
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

/* A row of x through the norm into shared memory, by the whole block; `norm` NULL: as it is.
 * W: rounded for products with W. Zeros behind `width`. */
template <typename W>
__device__ __forceinline__ void place_row(const float *x, const float *norm, int width,
                                          float epsilon, float *to, float *scratch)
{
    const int step = 4 * QUADS * (int)blockDim.x, all = (int)placed_floats((size_t)width);
    float scale = 1.0f;
    float4 own[QUADS], weight[QUADS];
    bring(own, x, 0, width);
    if (norm) {
        bring(weight, norm, 0, width);
        float squares = add_squares(own, 0.0f);
#pragma unroll 1
        for (int from = step; from < width; from += step) {
            float4 more[QUADS];
            bring(more, x, from, width);
            squares = add_squares(more, squares);
        }
        scale = 1.0f / sqrtf(block_sum(squares, scratch) / (float)width + epsilon);
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
            y.x = rounded<W>(y.x), y.y = rounded<W>(y.y);
            y.z = rounded<W>(y.z), y.w = rounded<W>(y.w);
            if (k < all) *(float4 *)(void *)(to + place_of(k)) = y;
        }
        from += step;
        if (from >= all) break;
        bring(own, x, from, width);
        if (norm) bring(weight, norm, from, width);
    }
}

/* n_rows rows of x into shared memory, as R of them; with `head` row r is head[r].row. Ends
 * synchronised. */
template <typename W, int R>
__device__ __forceinline__ void place_rows(const float *x, const float *norm, size_t x_stride,
                                           const gm_cuda_head *head, int n_rows, int width,
                                           float epsilon, float *to, float *scratch)
{
    const int floats = (int)placed_floats((size_t)width);
#pragma unroll 1
    for (int r = 0; r < n_rows; r++) {
        const size_t from = head ? head[r].row : (size_t)r;
        place_row<W>(x + from * x_stride, norm, width, epsilon, to + r * floats, scratch);
    }
#pragma unroll 1
    for (int i = n_rows * floats + (int)threadIdx.x; R > 1 && i < R * floats; i += blockDim.x)
        to[i] = 0.0f;
    __syncthreads();
}

/* More shared memory than 48 KiB has to be asked for, once a kernel. */
template <typename... P> static cudaError_t allow_shared(void (*kernel)(P...))
{
    return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                GM_CUDA_SHARED_BYTES);
}

#endif
