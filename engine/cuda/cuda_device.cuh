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
    ON_THEIR_WAY = 64,  /* bytes of a row that a lane asks for before it uses the first */
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

/* To nearest even; a NaN stays one (base/half.h). */
__device__ __forceinline__ void store(bf16 *to, float x)
{
    unsigned bits = __float_as_uint(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        to->bits = (uint16_t)(bits >> 16 | 0x40u);
    else
        to->bits = (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
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

/* Weights are read once a token: they go past L1, which keeps the vectors. */
__device__ __forceinline__ uint4 load_once(const uint4 *at)
{
#ifdef GM_EMULATED_CUDA
    return *at;
#else
    uint4 q;
    asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(q.x), "=r"(q.y), "=r"(q.z), "=r"(q.w)
                 : "l"(at));
    return q;
#endif
}

__device__ __forceinline__ uint2 load_once(const uint2 *at)
{
#ifdef GM_EMULATED_CUDA
    return *at;
#else
    uint2 q;
    asm volatile("ld.global.nc.L1::no_allocate.v2.u32 {%0, %1}, [%2];"
                 : "=r"(q.x), "=r"(q.y)
                 : "l"(at));
    return q;
#endif
}

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

/* Eight elements that other warps read too: they stay in L1. */
__device__ __forceinline__ void load_shared(const bf16 *at, Raw<bf16> *raw)
{
    raw->q = *(const uint4 *)(const void *)at;
}

__device__ __forceinline__ void load_shared(const float *at, Raw<float> *raw)
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

/* Loads of a row that a lane has on their way at once: all are asked for before the first is
 * used, the last ones of a row too. */
template <typename W> struct Depth {
    enum { value = ON_THEIR_WAY / (int)sizeof(W) / VEC };
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

/* Eight elements that other warps read too. */
__device__ __forceinline__ void load_vector(const bf16 *at, float out[VEC])
{
    split(*(const uint4 *)(const void *)at, out);
}

__device__ __forceinline__ void load_vector(const float *at, float out[VEC])
{
    const float4 a = *(const float4 *)(const void *)at;
    const float4 b = *(const float4 *)(const void *)(at + 4);
    out[0] = a.x, out[1] = a.y, out[2] = a.z, out[3] = a.w;
    out[4] = b.x, out[5] = b.y, out[6] = b.z, out[7] = b.w;
}

/* ---- rows ---- */

/* The first 4 KiB of a row of `width` weights, a line of 128 bytes for each lane. */
template <typename W> __device__ __forceinline__ void prefetch_row(const W *row, int width)
{
    const int at = (int)(threadIdx.x % WARP) * (int)(128 / sizeof(W));
    if (at < width) prefetch(row + at);
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
        const float4 low = *(const float4 *)(const void *)(at + r * x_floats);
        const float4 high = *(const float4 *)(const void *)(at + r * x_floats + SWEEP / 2);
        b[0] = low.x, b[1] = low.y, b[2] = low.z, b[3] = low.w;
        b[4] = high.x, b[5] = high.y, b[6] = high.z, b[7] = high.w;
#pragma unroll
        for (int n = 0; n < N; n++)
#pragma unroll
            for (int i = 0; i < VEC; i++) sum[n][r] = fmaf(a[n][i], b[i], sum[n][r]);
    }
}

/* sum[n][r] = row n of the weights times vector r, for this warp's lanes together. `vecs` is the
 * rows' length in vectors of 8; vectors lie `x_floats` apart in shared memory. */
template <int N, int R, typename W>
__device__ __forceinline__ void dot_rows(const W *const (&w)[N], int vecs, const float *x,
                                         size_t x_floats, float (&sum)[N][R])
{
    constexpr int DEPTH = Depth<W>::value;
    const int lane = threadIdx.x % WARP;
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int r = 0; r < R; r++) sum[n][r] = 0.0f;
    for (int first = lane; first < vecs; first += WARP * DEPTH) {
        Raw<W> raw[DEPTH][N];
#pragma unroll
        for (int d = 0; d < DEPTH; d++)
#pragma unroll
            for (int n = 0; n < N; n++)
                if (first + d * WARP < vecs)
                    load_raw(w[n] + (size_t)(first + d * WARP) * VEC, &raw[d][n]);
#pragma unroll
        for (int d = 0; d < DEPTH; d++) {
            const int v = first + d * WARP;
            if (v >= vecs) break;
            float a[N][VEC];
#pragma unroll
            for (int n = 0; n < N; n++) expand(raw[d][n], a[n]);
            add_products(a, x + v / WARP * SWEEP + lane * 4, x_floats, sum);
        }
    }
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int r = 0; r < R; r++) sum[n][r] = warp_sum(sum[n][r]);
}

/* A row of x through the norm into shared memory, by the whole block; `norm` NULL: as it is.
 * W: rounded for products with W. Zeros behind `width`. */
template <typename W>
__device__ __forceinline__ void place_row(const float *x, const float *norm, int width,
                                          float epsilon, float *to, float *scratch)
{
    float scale = 1.0f;
    if (norm) {
        float squares = 0.0f;
        for (int i = threadIdx.x; i < width; i += blockDim.x) squares = fmaf(x[i], x[i], squares);
        scale = 1.0f / sqrtf(block_sum(squares, scratch) / (float)width + epsilon);
    }
    const int all = (int)placed_floats((size_t)width);
    for (int i = threadIdx.x; i < all; i += blockDim.x) {
        float value = 0.0f;
        if (i < width) value = rounded<W>(norm ? (x[i] * scale) * norm[i] : x[i]);
        to[place_of(i)] = value;
    }
}

/* More shared memory than 48 KiB has to be asked for, once a kernel. */
template <typename... P> static cudaError_t allow_shared(void (*kernel)(P...))
{
    return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                GM_CUDA_SHARED_BYTES);
}

#endif
