/* half.c - float32 to float16, bfloat16 and fp8 and back, by integer arithmetic. */
#include "base/half.h"

#include <math.h>
#include <string.h>

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Drop the low `n` bits (1..31), rounding to nearest, ties to even. */
static uint32_t shift_round(uint32_t bits, unsigned n)
{
    uint32_t half = 1u << (n - 1), odd = bits >> n & 1;
    return (bits + half - 1 + odd) >> n;
}

uint16_t gm_half_from_f32(float value)
{
    uint32_t bits = bits_of(value);
    uint32_t sign = bits >> 16 & 0x8000, size = bits & 0x7FFFFFFF;

    if (size > 0x7F800000) return (uint16_t)(sign | 0x7E00 | (size >> 13 & 0x1FF)); /* NaN */
    if (size >= 0x477FF000) return (uint16_t)(sign | 0x7C00); /* >= 65520 rounds to infinity */
    if (size < 0x33000000) return (uint16_t)sign;             /* < 2^-25 rounds to zero */
    if (size >= 0x38800000) /* normal: move the bias from 127 to 15; a carry raises the exponent */
        return (uint16_t)(sign | shift_round(size - (112u << 23), 13));

    /* Denormal: value = m * 2^-24 with integer m, from the explicit significand. */
    unsigned exponent = size >> 23; /* 102..112 */
    uint32_t significand = (size & 0x7FFFFF) | 0x800000;
    return (uint16_t)(sign | shift_round(significand, 126 - exponent));
}

float gm_half_to_f32(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t exponent = half >> 10 & 0x1F, fraction = half & 0x3FF;

    if (exponent == 0x1F) {
        uint32_t quiet = fraction ? 0x400000 : 0;
        return float_of(sign | 0x7F800000 | quiet | fraction << 13);
    }
    if (exponent == 0) { /* zero or denormal: fraction * 2^-24, exact */
        float size = (float)fraction * 0x1p-24f;
        return float_of(sign | bits_of(size));
    }
    return float_of(sign | (exponent + 112) << 23 | fraction << 13);
}

/* Without a branch, so that compilers make vectors of it: one of three words is chosen. */
void gm_halves_to_f32(float *value, const uint16_t *half, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t h = half[i], sign = (h & 0x8000) << 16, size = (h & 0x7FFF) << 13;
        uint32_t small = bits_of((float)(int32_t)(h & 0x3FF) * 0x1p-24f); /* zero or denormal */
        uint32_t quiet = h & 0x3FF ? 0x400000 : 0;
        uint32_t bits = size + (112u << 23);
        bits = size < 1u << 23 ? small : bits;
        bits = size >= 0x1Fu << 23 ? 0x7F800000 | quiet | size : bits;
        value[i] = float_of(sign | bits);
    }
}

uint16_t gm_bf16_from_f32(float value)
{
    uint32_t bits = bits_of(value);
    if ((bits & 0x7FFFFFFF) > 0x7F800000) return (uint16_t)(bits >> 16 | 0x40); /* NaN, quiet */
    return (uint16_t)shift_round(bits, 16);
}

float gm_bf16_to_f32(uint16_t bits)
{
    bool nan = (bits & 0x7FFF) > 0x7F80;
    return float_of((uint32_t)bits << 16 | (nan ? 0x400000u : 0u));
}

uint8_t gm_fp8_from_f32(float value)
{
    const uint32_t bits = bits_of(value), sign = bits >> 24 & 0x80, size = bits & 0x7FFFFFFF;
    if (size > 0x7F800000) return (uint8_t)(sign | 0x7F);
    if (size >= 0x43E00000) return (uint8_t)(sign | 0x7E); /* 448 */
    if (size < 0x3A800000) return (uint8_t)sign;           /* < 2^-10 rounds to zero */
    if (size >= 0x3C800000) /* normal, from 2^-6 on: the bias from 127 to 7 */
        return (uint8_t)(sign | shift_round(size - (120u << 23), 20));
    /* Denormal: value = m * 2^-9 with integer m, from the explicit significand. */
    const uint32_t significand = (size & 0x7FFFFF) | 0x800000;
    return (uint8_t)(sign | shift_round(significand, 141 - (size >> 23)));
}

/* NOLINTBEGIN(bugprone-macro-parentheses): `sign` is a sign before a number, not a value. */
/* Eight fractions of one exponent, `step` apart. */
#define EIGHT(first, step)                                                                       \
    (first), (first) + (step), (first) + 2 * (step), (first) + 3 * (step), (first) + 4 * (step), \
        (first) + 5 * (step), (first) + 6 * (step), (first) + 7 * (step)
#define ALL_OF(sign)                                                                         \
    EIGHT(sign 0x0p0f, sign 0x1p-9f), EIGHT(sign 0x1p-6f, sign 0x1p-9f),                     \
        EIGHT(sign 0x1p-5f, sign 0x1p-8f), EIGHT(sign 0x1p-4f, sign 0x1p-7f),                \
        EIGHT(sign 0x1p-3f, sign 0x1p-6f), EIGHT(sign 0x1p-2f, sign 0x1p-5f),                \
        EIGHT(sign 0x1p-1f, sign 0x1p-4f), EIGHT(sign 0x1p0f, sign 0x1p-3f),                 \
        EIGHT(sign 0x1p1f, sign 0x1p-2f), EIGHT(sign 0x1p2f, sign 0x1p-1f),                  \
        EIGHT(sign 0x1p3f, sign 0x1p0f), EIGHT(sign 0x1p4f, sign 0x1p1f),                    \
        EIGHT(sign 0x1p5f, sign 0x1p2f), EIGHT(sign 0x1p6f, sign 0x1p3f),                    \
        EIGHT(sign 0x1p7f, sign 0x1p4f), sign 0x1p8f, sign 288.0f, sign 320.0f, sign 352.0f, \
        sign 384.0f, sign 416.0f, sign 448.0f, NAN
const float gm_fp8_values[256] = {ALL_OF(+), ALL_OF(-)};
#undef EIGHT
#undef ALL_OF
/* NOLINTEND(bugprone-macro-parentheses) */
