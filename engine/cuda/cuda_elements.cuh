/* cuda_elements.cuh - element types of weights and vectors: how eight of them are stored,
 * loaded and become floats.
 */
#ifndef GM_CUDA_ELEMENTS_CUH
#define GM_CUDA_ELEMENTS_CUH

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
/* Weights of 8 bits, with a scale for each output after the matrix: whole numbers, and e4m3. */
struct int8 {
    int8_t number;
};
struct fp8 {
    uint8_t bits;
};
/* Of four bits (stored.h): codes, and after those of a matrix a scale for 32 inputs. */
struct mxfp4 {
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
template <> struct Input<mxfp4> {
    typedef bf16 type;
};

/* Where weights are. It moves as a pointer does, by elements; of four bits by multiples of 8. */
struct Mxfp4Pointer {
    const uint8_t *codes, *scales;
};

__device__ __forceinline__ Mxfp4Pointer operator+(const Mxfp4Pointer &p, size_t n)
{
    return {p.codes + n / 2, p.scales + n / GM_MX_BLOCK};
}

__device__ __forceinline__ long long operator-(const Mxfp4Pointer &p, const Mxfp4Pointer &q)
{
    return (p.codes - q.codes) * 2;
}

__device__ __forceinline__ bool is_nothing(const Mxfp4Pointer &p)
{
    return p.codes == nullptr;
}

template <typename W> __device__ __forceinline__ bool is_nothing(const W *p)
{
    return p == nullptr;
}

/* The pointer's type; one to a matrix of n elements; whether only experts have such weights. */
template <typename W> struct Pointer {
    typedef const W *type;
    static constexpr bool experts_only = false;
    static __device__ __forceinline__ type to(const void *matrix, size_t)
    {
        return (const W *)matrix;
    }
};
template <> struct Pointer<mxfp4> {
    typedef Mxfp4Pointer type;
    static constexpr bool experts_only = true;
    static __device__ __forceinline__ type to(const void *matrix, size_t n)
    {
        return {(const uint8_t *)matrix, (const uint8_t *)matrix + n / 2};
    }
};
template <typename W> using At = typename Pointer<W>::type;

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

__device__ __forceinline__ unsigned load_once(const unsigned *at)
{
    unsigned q;
    asm volatile("ld.global.nc.L1::no_allocate.L2::cache_hint.u32 %0, [%1], %2;"
                 : "=r"(q)
                 : "l"(at), "l"(leaves_first()));
    return q;
}
#endif

/* Eight weights as they are in memory. */
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
template <> struct Raw<mxfp4> {
    unsigned q, scale;
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

/* Four lanes share a scale, and later ones its neighbours: L1 keeps it. */
__device__ __forceinline__ void load_raw(const Mxfp4Pointer &at, Raw<mxfp4> *raw)
{
    raw->q = load_once((const unsigned *)(const void *)at.codes);
    raw->scale = *at.scales;
}

/* Eight elements that an earlier kernel wrote, asked for before the previous one has ended: from
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

/* A code, moved, is that half which is 2^14 times smaller; numbers i and i + 4 at once. The sums of
 * the eight are small by the same factor; scaled makes up for it. */
__device__ __forceinline__ void expand(const Raw<mxfp4> &raw, float out[VEC])
{
#pragma unroll
    for (int i = 0; i < VEC / 2; i++) {
        const unsigned w = raw.q << (12 - 4 * i);
        const unsigned halves = (w & 0x80008000u) | (w >> 3 & 0x0e000e00u);
        out[i] = half_value(halves & 0xffffu);
        out[i + VEC / 2] = half_value(halves >> 16);
    }
}

/* A scale of MXFP4. */
__device__ __forceinline__ float scale_of_block(unsigned scale)
{
    const float power = scale ? __uint_as_float(scale << 23) : 0x1p-127f;
    return scale == 255 ? NAN : power;
}

/* What expand has left small. */
__device__ __forceinline__ float scaled(const Raw<mxfp4> &raw, float x)
{
    return x * 0x1p14f * scale_of_block(raw.scale);
}

/* Vectors of a row that a lane has on their way at once. */
template <typename W> struct Depth {
    enum { most = ON_THEIR_WAY / (int)sizeof(W) / VEC, value = most < 8 ? most : 8 };
};

/* What the sum of output n of a matrix of `rows` is multiplied with. */
__device__ __forceinline__ float scale_of(const Mxfp4Pointer &, size_t, size_t, int)
{
    return 1.0f;
}

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

/* Four floats, from place `at` of x on: a multiple of 4, as x is of 16 bytes. Counted in fours,
 * since in a sum of floats the compiler sees no such multiple, and stores one after the other. */
__device__ __forceinline__ void store_float4(float *x, int at, const float4 &y)
{
    ((float4 *)(void *)x)[(unsigned)at / 4] = y;
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

#endif
