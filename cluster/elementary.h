/* elementary.h - exponential, logarithm and power of our own, so that results do not
 * depend on the C library and its choice of instructions.
 *
 * Only +, *, / and exact scaling in a written order: the same bits from every compiler
 * that is kept from contracting (-ffp-contract=off). Not for NaN or infinity.
 */
#ifndef GM_ELEMENTARY_H
#define GM_ELEMENTARY_H

#include <stdint.h>
#include <string.h>

/* 2^n for n in [-1022, 1023], and in [-126, 127]. */
static inline double gm_pow2(int n)
{
    uint64_t bits = (uint64_t)(n + 1023) << 52;
    double out;
    memcpy(&out, &bits, sizeof out);
    return out;
}

static inline float gm_pow2f(int n)
{
    uint32_t bits = (uint32_t)(n + 127) << 23;
    float out;
    memcpy(&out, &bits, sizeof out);
    return out;
}

/* e^x, relative error below 3e-16 (two units in the last place); 0 for x < -708. */
static inline double gm_exp(double x)
{
    /* x = n ln 2 + r, |r| <= 0.35; ln 2 in two parts, the first ending in 20 zero bits */
    const double log2_e = 0x1.71547652b82fep+0, hi = 0x1.62e42fee00000p-1,
                 lo = 0x1.a39ef35793c76p-33;
    if (x < -708) return 0;
    if (x > 708) x = 708;
    int n = (int)(x * log2_e + (x < 0 ? -0.5 : 0.5));
    double r = (x - n * hi) - n * lo, sum = 1;
    for (int k = 13; k > 0; k--) sum = 1 + r / k * sum; /* Taylor by Horner; next term < 1e-17 */
    return sum * gm_pow2(n);
}

/* ln x for a positive normal double, absolute error below 5e-16 times 1 + |ln x|. */
static inline double gm_log(double x)
{
    const double ln_2 = 0x1.62e42fefa39efp-1;
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int n = (int)((int64_t)(bits - 0x3fe6a09e667f3bcdu) >> 52); /* m in [sqrt 1/2, sqrt 2) */
    bits -= (uint64_t)n << 52;
    double m;
    memcpy(&m, &bits, sizeof m);
    double t = (m - 1) / (m + 1), t2 = t * t, sum = 0;
    for (int k = 21; k > 0; k -= 2) sum = 1.0 / k + t2 * sum; /* 2 (t + t^3/3 + ...) */
    return n * ln_2 + 2 * t * sum;
}

/* log2 x for a positive normal float, absolute error below 2e-7 (relative near 1). */
static inline float gm_log2f(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    int n = (int32_t)(bits - 0x3f3504f3u) >> 23; /* so that m is in [sqrt 1/2, sqrt 2) */
    uint32_t m_bits = bits - ((uint32_t)n << 23);
    float m;
    memcpy(&m, &m_bits, sizeof m);
    float t = (m - 1.0f) / (m + 1.0f), t2 = t * t;
    /* 2/ln 2 (t + t^3/3 + t^5/5 + t^7/7) */
    float series = ((0.41219859f * t2 + 0.57707802f) * t2 + 0.96179669f) * t2 + 2.8853901f;
    return (float)n + t * series;
}

/* 2^x, relative error below 2.5e-7; x is clipped to [-125, 126]. */
static inline float gm_exp2f(float x)
{
    x = x < -125.0f ? -125.0f : x;
    x = x > 126.0f ? 126.0f : x;
    int n = (int)(x + (x < 0 ? -0.5f : 0.5f));
    float r = x - (float)n; /* |r| <= 1/2 */
    float sum = 1.5403530e-4f;
    sum = sum * r + 1.3333558e-3f;
    sum = sum * r + 9.6181291e-3f;
    sum = sum * r + 5.5504109e-2f;
    sum = sum * r + 2.4022651e-1f;
    sum = sum * r + 6.9314718e-1f;
    sum = sum * r + 1.0f;
    return sum * gm_pow2f(n);
}

/* x^y for a positive normal float x. */
static inline float gm_powf(float x, float y)
{
    return gm_exp2f(y * gm_log2f(x));
}

#endif
