/* half.c - float32 to float16 and bfloat16 and back, by integer arithmetic. */
#include "base/half.h"

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
