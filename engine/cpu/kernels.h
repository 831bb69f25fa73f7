/* kernels.h - the inner loops of the CPU's operations, one table for each kind of
 * processor, all giving the same bits.
 *
 * kernels_body.h holds every loop once, over the sixteen lanes of lanes.h;
 * kernels_portable.c, kernels_avx2.c and kernels_avx512.c compile it. Arrays need
 * no alignment. Lengths called `n16` are multiples of 16; what lies behind the data
 * is then zero.
 */
#ifndef GM_KERNELS_H
#define GM_KERNELS_H

#include "base/base.h"

/* out[r][0 .. 16 n_panels) = x[row[r]] times the panels, for r in [0, m).
 *
 *   x       rows of f32, `ldx` floats apart; row NULL: rows 0, 1, ..., m-1
 *   panels  n_panels panels of 16 outputs and k inputs (pack.h)
 *   out     (m, 16 n_panels) f32, rows `ldo` floats apart, written
 *
 * An output depends on its row and its column only, not on m or n_panels.
 * f32: one chain of fused multiply-adds from 0, k ascending.
 * bf16: x holds values already rounded to bf16, and zeros up to the next multiple of
 *   32; from c = 0, per 32 inputs one chain over even k and one over odd k, both
 *   from 0, then c = c + (even + odd). This is what AMX tiles compute. */
typedef void gm_gemm(const float *x, size_t ldx, const uint32_t *row, size_t m, const void *panels,
                     size_t k, size_t n_panels, float *out, size_t ldo);

typedef struct gm_kernels {
    const char *name;
    gm_gemm *gemm_f32, *gemm_bf16;

    /* Root-mean-square norm: out = (x * r) * weight, r = 1 / sqrt(mean of squares +
     * epsilon); lane i sums the squares of elements i, i+16, ... */
    void (*norm)(const float *x, const float *weight, size_t n, float epsilon, float *out);

    void (*round_bf16)(float *x, size_t n16);                          /* in place */
    void (*add)(float *x, const float *y, size_t n16);                 /* x += y */
    void (*add_scaled)(float *x, float a, const float *y, size_t n16); /* x = fma(a, y, x) */

    /* unit[i] = silu(gate[i]) * up[i] for one pair of panels: gate_up holds 16 gates,
     * then 16 ups. */
    void (*swiglu)(const float *gate_up, float *unit, bool round);

    /* out[i] = e^(x[i] - shift), i < n */
    void (*exp_shifted)(const float *x, float shift, size_t n, float *out);

    /* Sum of e^(x[i] - *top) and *top = largest x[i]; lane i sums i, i+16, ... */
    float (*exp_sum)(const float *x, size_t n, float *top);

    /* One block of 32 keys in the running softmax of a query: scores (32) become
     * weights e^(scale * score - new maximum), 0 for the keys from `n` on, rounded if
     * asked; *top and *total go on. Gives the factor for what was summed before. */
    float (*attend)(float *score, size_t n, float scale, bool round, float *top, float *total);

    /* x = fma(x, a, y): what was summed before, and this block. */
    void (*merge)(float *x, float a, const float *y, size_t n16);

    /* Rotate pairs (x[i], x[i + half]) by the angles of one position (half each). */
    void (*rotate)(float *x, const float *cosine, const float *sine, size_t half);
} gm_kernels;

extern const gm_kernels gm_kernels_portable;
extern const gm_kernels gm_kernels_avx2;    /* not on other processors than x86-64 */
extern const gm_kernels gm_kernels_avx512f; /* not on other processors than x86-64 */
extern const gm_kernels gm_kernels_amx;     /* not on other processors than x86-64 */

/* AMX is there, and the system lets this process use it. */
bool gm_amx_here(void);

/* The i-th fastest kernels of this build, whether or not this processor has them; NULL
 * behind the last, which are the portable ones. */
const gm_kernels *gm_kernels_at(size_t i);

/* The kernels called `name`, or with NULL the fastest that this processor has.
 * Errors: GM_EARG unknown name; GM_EABSENT not on this processor. */
gm_status gm_kernels_find(const gm_kernels **out, const char *name, gm_error *err) GM_MUST_USE;

#endif
