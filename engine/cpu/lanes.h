/* lanes.h - sixteen floats at once: the vector that every CPU kernel is written in.
 *
 * Included once by each kernels_*.c, which says which form it wants:
 *   (nothing)         plain C, one lane after the other: the definition
 *   GM_LANES_AVX2     two 256-bit registers
 *   GM_LANES_AVX512   one 512-bit register
 *   GM_LANES_NEON     four 128-bit registers
 * Every function does the same IEEE operation on each lane, and the only sum and
 * maximum across lanes have a fixed tree, so all forms give the same bits.
 */
#ifndef GM_LANES_H
#define GM_LANES_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { LANES = 16 };

#if defined(GM_LANES_AVX512)

#include <immintrin.h>

typedef __m512 v16;
typedef __m512i v16i;

/* clang-format off */
static inline v16 v16_load(const float *p) { return _mm512_loadu_ps(p); }
static inline void v16_store(float *p, v16 a) { _mm512_storeu_ps(p, a); }
static inline v16 v16_all(float x) { return _mm512_set1_ps(x); }
static inline v16 v16_add(v16 a, v16 b) { return _mm512_add_ps(a, b); }
static inline v16 v16_sub(v16 a, v16 b) { return _mm512_sub_ps(a, b); }
static inline v16 v16_mul(v16 a, v16 b) { return _mm512_mul_ps(a, b); }
static inline v16 v16_div(v16 a, v16 b) { return _mm512_div_ps(a, b); }
static inline v16 v16_fma(v16 a, v16 b, v16 c) { return _mm512_fmadd_ps(a, b, c); }
static inline v16 v16_max(v16 a, v16 b) { return _mm512_max_ps(a, b); }
static inline v16 v16_if_less(v16 a, v16 b, v16 yes, v16 no)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes);
}
static inline v16 v16_if_nan(v16 a, v16 yes, v16 no)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q), no, yes);
}
static inline v16i v16_bits(v16 a) { return _mm512_castps_si512(a); }
static inline v16 v16_from_bits(v16i a) { return _mm512_castsi512_ps(a); }
static inline v16i v16i_load(const void *p) { return _mm512_loadu_si512(p); }
static inline v16i v16i_all(uint32_t x) { return _mm512_set1_epi32((int)x); }
static inline v16i v16i_add(v16i a, v16i b) { return _mm512_add_epi32(a, b); }
static inline v16i v16i_and(v16i a, v16i b) { return _mm512_and_si512(a, b); }
static inline v16i v16i_up(v16i a, unsigned n) { return _mm512_slli_epi32(a, n); }
static inline v16i v16i_down(v16i a, unsigned n) { return _mm512_srli_epi32(a, n); }
/* sixteen halves as the low halves of lanes, and back */
static inline v16i v16i_load_half(const uint16_t *p)
{
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
static inline void v16i_store_half(uint16_t *p, v16i a)
{
    _mm256_storeu_si256((__m256i *)(void *)p, _mm512_cvtepi32_epi16(a));
}
static inline v16 v16_load_i8(const int8_t *p)
{
    return _mm512_cvtepi32_ps(
        _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p)));
}
static inline float v16_first(v16 a) { return _mm512_cvtss_f32(a); }
/* lanes 8, 4, 2 or 1 further on come to lane 0 (and others somewhere) */
static inline v16 v16_near8(v16 a) { return _mm512_shuffle_f32x4(a, a, 0x4e); }
static inline v16 v16_near4(v16 a) { return _mm512_shuffle_f32x4(a, a, 0xb1); }
static inline v16 v16_near2(v16 a) { return _mm512_permute_ps(a, 0x4e); }
static inline v16 v16_near1(v16 a) { return _mm512_permute_ps(a, 0xb1); }
/* clang-format on */

#elif defined(GM_LANES_AVX2)

#include <immintrin.h>

typedef struct v16 {
    __m256 lo, hi;
} v16;
typedef struct v16i {
    __m256i lo, hi;
} v16i;

/* clang-format off */
static inline v16 v16_load(const float *p)
{
    return (v16){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
static inline void v16_store(float *p, v16 a)
{
    _mm256_storeu_ps(p, a.lo);
    _mm256_storeu_ps(p + 8, a.hi);
}
static inline v16 v16_all(float x) { return (v16){_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
static inline v16 v16_add(v16 a, v16 b)
{
    return (v16){_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)};
}
static inline v16 v16_sub(v16 a, v16 b)
{
    return (v16){_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)};
}
static inline v16 v16_mul(v16 a, v16 b)
{
    return (v16){_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)};
}
static inline v16 v16_div(v16 a, v16 b)
{
    return (v16){_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)};
}
static inline v16 v16_fma(v16 a, v16 b, v16 c)
{
    return (v16){_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
static inline v16 v16_max(v16 a, v16 b)
{
    return (v16){_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)};
}
static inline v16 v16_if_less(v16 a, v16 b, v16 yes, v16 no)
{
    return (v16){_mm256_blendv_ps(no.lo, yes.lo, _mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ)),
                 _mm256_blendv_ps(no.hi, yes.hi, _mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ))};
}
static inline v16 v16_if_nan(v16 a, v16 yes, v16 no)
{
    return (v16){_mm256_blendv_ps(no.lo, yes.lo, _mm256_cmp_ps(a.lo, a.lo, _CMP_UNORD_Q)),
                 _mm256_blendv_ps(no.hi, yes.hi, _mm256_cmp_ps(a.hi, a.hi, _CMP_UNORD_Q))};
}
static inline v16i v16_bits(v16 a)
{
    return (v16i){_mm256_castps_si256(a.lo), _mm256_castps_si256(a.hi)};
}
static inline v16 v16_from_bits(v16i a)
{
    return (v16){_mm256_castsi256_ps(a.lo), _mm256_castsi256_ps(a.hi)};
}
static inline v16i v16i_load(const void *p)
{
    return (v16i){_mm256_loadu_si256(p), _mm256_loadu_si256((const __m256i *)p + 1)};
}
static inline v16i v16i_all(uint32_t x)
{
    return (v16i){_mm256_set1_epi32((int)x), _mm256_set1_epi32((int)x)};
}
static inline v16i v16i_add(v16i a, v16i b)
{
    return (v16i){_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)};
}
static inline v16i v16i_and(v16i a, v16i b)
{
    return (v16i){_mm256_and_si256(a.lo, b.lo), _mm256_and_si256(a.hi, b.hi)};
}
static inline v16i v16i_up(v16i a, unsigned n)
{
    return (v16i){_mm256_slli_epi32(a.lo, (int)n), _mm256_slli_epi32(a.hi, (int)n)};
}
static inline v16i v16i_down(v16i a, unsigned n)
{
    return (v16i){_mm256_srli_epi32(a.lo, (int)n), _mm256_srli_epi32(a.hi, (int)n)};
}
static inline v16i v16i_load_half(const uint16_t *p)
{
    const __m128i *h = (const __m128i *)(const void *)p;
    return (v16i){_mm256_cvtepu16_epi32(_mm_loadu_si128(h)),
                  _mm256_cvtepu16_epi32(_mm_loadu_si128(h + 1))};
}
static inline void v16i_store_half(uint16_t *p, v16i a)
{
    __m256i both = _mm256_packus_epi32(a.lo, a.hi); /* of each 128 bits in turn */
    _mm256_storeu_si256((__m256i *)(void *)p, _mm256_permute4x64_epi64(both, 0xd8));
}
static inline v16 v16_load_i8(const int8_t *p)
{
    __m128i all = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m256i lo = _mm256_cvtepi8_epi32(all), hi = _mm256_cvtepi8_epi32(_mm_srli_si128(all, 8));
    return (v16){_mm256_cvtepi32_ps(lo), _mm256_cvtepi32_ps(hi)};
}
static inline float v16_first(v16 a) { return _mm256_cvtss_f32(a.lo); }
static inline v16 v16_near8(v16 a) { return (v16){a.hi, a.lo}; }
static inline v16 v16_near4(v16 a)
{
    return (v16){_mm256_permute2f128_ps(a.lo, a.lo, 1), _mm256_permute2f128_ps(a.hi, a.hi, 1)};
}
static inline v16 v16_near2(v16 a)
{
    return (v16){_mm256_permute_ps(a.lo, 0x4e), _mm256_permute_ps(a.hi, 0x4e)};
}
static inline v16 v16_near1(v16 a)
{
    return (v16){_mm256_permute_ps(a.lo, 0xb1), _mm256_permute_ps(a.hi, 0xb1)};
}
/* clang-format on */

#elif defined(GM_LANES_NEON)

#include <arm_neon.h>

typedef struct v16 {
    float32x4_t at[4];
} v16;
typedef struct v16i {
    uint32x4_t at[4];
} v16i;

/* A function that does `expression` with every register i and gives the registers. Written out:
 * in a loop gcc would keep them in memory. */
#define EACH_REGISTER(type, name, parameters, expression) \
    static inline type name parameters                    \
    {                                                     \
        type r;                                           \
        REGISTER(0, expression);                          \
        REGISTER(1, expression);                          \
        REGISTER(2, expression);                          \
        REGISTER(3, expression);                          \
        return r;                                         \
    }
#define REGISTER(number, expression) \
    do {                             \
        enum { i = number };         \
        r.at[i] = (expression);      \
    } while (0)
EACH_REGISTER(v16, v16_load, (const float *p), vld1q_f32(p + 4 * i))
EACH_REGISTER(v16, v16_all, (float x), vdupq_n_f32(x))
EACH_REGISTER(v16, v16_add, (v16 a, v16 b), vaddq_f32(a.at[i], b.at[i]))
EACH_REGISTER(v16, v16_sub, (v16 a, v16 b), vsubq_f32(a.at[i], b.at[i]))
EACH_REGISTER(v16, v16_mul, (v16 a, v16 b), vmulq_f32(a.at[i], b.at[i]))
EACH_REGISTER(v16, v16_div, (v16 a, v16 b), vdivq_f32(a.at[i], b.at[i]))
EACH_REGISTER(v16, v16_fma, (v16 a, v16 b, v16 c), vfmaq_f32(c.at[i], a.at[i], b.at[i]))
EACH_REGISTER(v16, v16_max, (v16 a, v16 b), /* of NaN or two zeros b, as x86; vmaxq does not */
              vbslq_f32(vcgtq_f32(a.at[i], b.at[i]), a.at[i], b.at[i]))
EACH_REGISTER(v16, v16_if_less, (v16 a, v16 b, v16 yes, v16 no),
              vbslq_f32(vcltq_f32(a.at[i], b.at[i]), yes.at[i], no.at[i]))
EACH_REGISTER(v16, v16_if_nan, (v16 a, v16 yes, v16 no),
              vbslq_f32(vceqq_f32(a.at[i], a.at[i]), no.at[i], yes.at[i]))
EACH_REGISTER(v16i, v16_bits, (v16 a), vreinterpretq_u32_f32(a.at[i]))
EACH_REGISTER(v16, v16_from_bits, (v16i a), vreinterpretq_f32_u32(a.at[i]))
EACH_REGISTER(v16i, v16i_load, (const void *p), vld1q_u32((const uint32_t *)p + 4 * i))
EACH_REGISTER(v16i, v16i_all, (uint32_t x), vdupq_n_u32(x))
EACH_REGISTER(v16i, v16i_add, (v16i a, v16i b), vaddq_u32(a.at[i], b.at[i]))
EACH_REGISTER(v16i, v16i_and, (v16i a, v16i b), vandq_u32(a.at[i], b.at[i]))
EACH_REGISTER(v16i, v16i_up, (v16i a, unsigned n), a.at[i] << n)
EACH_REGISTER(v16i, v16i_down, (v16i a, unsigned n), a.at[i] >> n)
EACH_REGISTER(v16i, v16i_load_half, (const uint16_t *p), vmovl_u16(vld1_u16(p + 4 * i)))
EACH_REGISTER(v16, v16_near8, (v16 a), a.at[i ^ 2])
EACH_REGISTER(v16, v16_near4, (v16 a), a.at[i ^ 1])
EACH_REGISTER(v16, v16_near2, (v16 a), vextq_f32(a.at[i], a.at[i], 2))
EACH_REGISTER(v16, v16_near1, (v16 a), vrev64q_f32(a.at[i]))
#undef EACH_REGISTER
#undef REGISTER

static inline void v16_store(float *p, v16 a)
{
    for (int i = 0; i < 4; i++) vst1q_f32(p + 4 * i, a.at[i]);
}
static inline void v16i_store_half(uint16_t *p, v16i a)
{
    for (int i = 0; i < 4; i++) vst1_u16(p + 4 * i, vmovn_u32(a.at[i]));
}
static inline v16 v16_load_i8(const int8_t *p)
{
    const int8x16_t all = vld1q_s8(p);
    const int16x8_t lo = vmovl_s8(vget_low_s8(all)), hi = vmovl_high_s8(all);
    return (v16){{vcvtq_f32_s32(vmovl_s16(vget_low_s16(lo))), vcvtq_f32_s32(vmovl_high_s16(lo)),
                  vcvtq_f32_s32(vmovl_s16(vget_low_s16(hi))), vcvtq_f32_s32(vmovl_high_s16(hi))}};
}
static inline float v16_first(v16 a)
{
    return vgetq_lane_f32(a.at[0], 0);
}

#else

typedef struct v16 {
    float at[LANES];
} v16;
typedef struct v16i {
    uint32_t at[LANES];
} v16i;

/* A function that does `expression` with every lane i and gives the lanes. */
#define EACH_LANE(type, name, parameters, expression)           \
    static inline type name parameters                          \
    {                                                           \
        type r;                                                 \
        for (int i = 0; i < LANES; i++) r.at[i] = (expression); \
        return r;                                               \
    }
EACH_LANE(v16, v16_load, (const float *p), p[i])
EACH_LANE(v16, v16_all, (float x), x)
EACH_LANE(v16, v16_add, (v16 a, v16 b), a.at[i] + b.at[i])
EACH_LANE(v16, v16_sub, (v16 a, v16 b), a.at[i] - b.at[i])
EACH_LANE(v16, v16_mul, (v16 a, v16 b), a.at[i] * b.at[i])
EACH_LANE(v16, v16_div, (v16 a, v16 b), a.at[i] / b.at[i])
EACH_LANE(v16, v16_fma, (v16 a, v16 b, v16 c), fmaf(a.at[i], b.at[i], c.at[i]))
EACH_LANE(v16, v16_max, (v16 a, v16 b), a.at[i] > b.at[i] ? a.at[i] : b.at[i])
EACH_LANE(v16, v16_if_less, (v16 a, v16 b, v16 yes, v16 no),
          a.at[i] < b.at[i] ? yes.at[i] : no.at[i])
EACH_LANE(v16, v16_if_nan, (v16 a, v16 yes, v16 no), isnan(a.at[i]) ? yes.at[i] : no.at[i])
EACH_LANE(v16i, v16i_all, (uint32_t x), x)
EACH_LANE(v16i, v16i_add, (v16i a, v16i b), a.at[i] + b.at[i])
EACH_LANE(v16i, v16i_and, (v16i a, v16i b), a.at[i] & b.at[i])
EACH_LANE(v16i, v16i_up, (v16i a, unsigned n), a.at[i] << n)
EACH_LANE(v16i, v16i_down, (v16i a, unsigned n), a.at[i] >> n)
EACH_LANE(v16i, v16i_load_half, (const uint16_t *p), p[i])
EACH_LANE(v16, v16_load_i8, (const int8_t *p), (float)p[i])
EACH_LANE(v16, v16_near8, (v16 a), a.at[i ^ 8])
EACH_LANE(v16, v16_near4, (v16 a), a.at[i ^ 4])
EACH_LANE(v16, v16_near2, (v16 a), a.at[i ^ 2])
EACH_LANE(v16, v16_near1, (v16 a), a.at[i ^ 1])
#undef EACH_LANE

static inline void v16i_store_half(uint16_t *p, v16i a)
{
    for (int i = 0; i < LANES; i++) p[i] = (uint16_t)a.at[i];
}
static inline float v16_first(v16 a)
{
    return a.at[0];
}

static inline void v16_store(float *p, v16 a)
{
    memcpy(p, a.at, sizeof a.at);
}
static inline v16i v16i_load(const void *p)
{
    v16i r;
    memcpy(r.at, p, sizeof r.at);
    return r;
}
static inline v16i v16_bits(v16 a)
{
    return v16i_load(a.at);
}
static inline v16 v16_from_bits(v16i a)
{
    v16 r;
    memcpy(r.at, a.at, sizeof r.at);
    return r;
}

#endif

/* The first n lanes from p (all if n is 16 or more), the others `rest`; and back. */
static inline v16 v16_load_part(const float *p, size_t n, float rest)
{
    float lane[LANES];
    if (n >= LANES) return v16_load(p);
    for (size_t i = 0; i < LANES; i++) lane[i] = i < n ? p[i] : rest;
    return v16_load(lane);
}

static inline void v16_store_part(float *p, size_t n, v16 a)
{
    float lane[LANES];
    if (n >= LANES) {
        v16_store(p, a);
        return;
    }
    v16_store(lane, a);
    memcpy(p, lane, n * sizeof *p);
}

/* Across lanes, always as a tree: 8 apart, then 4, 2, 1. */
static inline float v16_sum(v16 a)
{
    a = v16_add(a, v16_near8(a));
    a = v16_add(a, v16_near4(a));
    a = v16_add(a, v16_near2(a));
    return v16_first(v16_add(a, v16_near1(a)));
}

static inline float v16_top(v16 a)
{
    a = v16_max(a, v16_near8(a));
    a = v16_max(a, v16_near4(a));
    a = v16_max(a, v16_near2(a));
    return v16_first(v16_max(a, v16_near1(a)));
}

/* Rounded to bfloat16, nearest even; infinities and NaN stay. */
static inline v16 v16_bf16(v16 a)
{
    const v16i top_half = v16i_all(0xffff0000u);
    v16i bits = v16_bits(a);
    v16i odd = v16i_and(v16i_down(bits, 16), v16i_all(1));
    v16i rounded = v16i_add(v16i_add(bits, v16i_all(0x7fff)), odd);
    v16 nan = v16_all(NAN);
    return v16_if_nan(a, nan, v16_from_bits(v16i_and(rounded, top_half)));
}

/* The same as sixteen halves to memory, and halves from memory. */
static inline void v16_store_bf16(uint16_t *p, v16 a)
{
    v16i_store_half(p, v16i_down(v16_bits(v16_bf16(a)), 16));
}

static inline v16 v16_load_bf16(const uint16_t *p)
{
    return v16_from_bits(v16i_up(v16i_load_half(p), 16));
}

/* e^a with the error of about one unit in the last place: 1 exactly at 0; 0 below
 * -87 (no denormals); +inf above 88.37; NaN stays. Cody and Waite's reduction to
 * |r| <= ln(2)/2, Taylor's series to r^7, 2^n through the exponent bits. */
static inline v16 v16_exp(v16 a)
{
    const v16 shift = v16_all(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer */
    v16 t = v16_fma(a, v16_all(1.44269504f), shift);
    v16 n = v16_sub(t, shift);
    v16 r = v16_fma(n, v16_all(-0.693359375f), a);
    r = v16_fma(n, v16_all(2.12194440e-4f), r);
    v16 p = v16_all(1.0f / 5040);
    p = v16_fma(p, r, v16_all(1.0f / 720));
    p = v16_fma(p, r, v16_all(1.0f / 120));
    p = v16_fma(p, r, v16_all(1.0f / 24));
    p = v16_fma(p, r, v16_all(1.0f / 6));
    p = v16_fma(p, r, v16_all(0.5f));
    p = v16_fma(p, r, v16_all(1.0f));
    p = v16_fma(p, r, v16_all(1.0f));
    v16 e = v16_from_bits(v16i_add(v16_bits(p), v16i_up(v16_bits(t), 23)));
    e = v16_if_less(a, v16_all(-87.0f), v16_all(0.0f), e);
    e = v16_if_less(v16_all(88.37f), a, v16_all(INFINITY), e);
    return v16_if_nan(a, a, e);
}

#endif
