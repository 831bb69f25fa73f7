/* kernels.h - the inner loops of the CPU's operations, one table for each kind of
 * processor, all giving the same bits.
 *
 * kernels_body.h holds every loop once, over the sixteen lanes of lanes.h;
 * the other kernels_*.c compile it. Arrays need no alignment. Lengths called `n16` are
 * multiples of 16; padding after the data is zero.
 */
#ifndef GM_KERNELS_H
#define GM_KERNELS_H

#include "base/base.h"

/* Rows of a product in the form that its gemm reads them.
 *
 *   x     rows of k inputs, `ldx` elements apart, zeros up to the next multiple of 32:
 *         f32 for f32 products, bf16 for the others
 *   row   (m) the rows taken; NULL: 0, 1, ..., m-1
 *   room  gm_room_floats(m, k), for rows that have to be copied
 *   *ld   bytes from one row to the next, written
 *
 * Gives their address: in x or in room. */
typedef const void *gm_gather(const void *x, size_t ldx, const uint32_t *row, size_t m, size_t k,
                              void *room, size_t *ld);

/* out[r][0 .. 16 n_panels) = row r times the panels, for r in [0, m).
 *
 *   x, ldx  from the gather of the same product; ldx in bytes
 *   panels  n_panels panels of 16 outputs and k inputs (pack.h)
 *   out     (m, 16 n_panels) f32, rows `ldo` floats apart, written
 *   next    the rows are followed by others, which will be multiplied next and may be
 *           prefetched
 *
 * An output depends on its row and its column only, not on m or n_panels.
 * f32: one chain of fused multiply-adds from 0, k ascending.
 * bf16: from c = 0, per 32 inputs one chain over even k and one over odd k, both from 0,
 *   then c = c + (even + odd). This is what AMX tiles compute.
 * int8, fp8: the same with the weights' whole numbers, or the values of their bytes, then c
 *   times the output's scale.
 * dot: from c = 0 one chain of fused multiply-adds, of each pair of inputs the odd one
 *   first. This is what AVX512-BF16's VDPBF16PS computes. */
typedef void gm_gemm(const void *x, size_t ldx, size_t m, const void *panels, size_t k,
                     size_t n_panels, float *out, size_t ldo, bool next);

typedef struct gm_kernel_product {
    gm_gather *gather;
    gm_gemm *gemm;
} gm_kernel_product;

/* Floats of the room that m rows of k inputs need, for any product. */
static inline size_t gm_room_floats(size_t m, size_t k)
{
    return m * ((k + 63) / 64 * 64 + 16);
}

enum { GM_MOST_ROWS = 256 };

/* Most rows of k inputs that are multiplied together: their bf16 take 1 MiB of cache. */
static inline size_t gm_block_rows(size_t k)
{
    size_t rows = ((size_t)1 << 19) / (k ? k : 1) / 32 * 32;
    return rows < 32 ? 32 : rows > GM_MOST_ROWS ? GM_MOST_ROWS : rows;
}

typedef struct gm_kernels {
    const char *name;
    gm_kernel_product f32, bf16, i8, fp8, dot;

    /* Root-mean-square norm: out = (x * r) * weight, r = 1 / sqrt(mean of squares +
     * epsilon); lane i sums the squares of elements i, i+16, ... */
    void (*norm)(const float *x, const float *weight, size_t n, float epsilon, float *out);

    /* LayerNorm: out = ((x - mean) * r) * weight + bias, r = 1 / sqrt(mean of squares of x - mean +
     * epsilon); lane i sums elements i, i+16, ... */
    void (*layer_norm)(const float *x, const float *weight, const float *bias, size_t n,
                       float epsilon, float *out);

    void (*to_bf16)(const float *x, size_t n, uint16_t *out);          /* nearest even */
    void (*add)(float *x, const float *y, size_t n16);                 /* x += y */
    void (*add_scaled)(float *x, float a, const float *y, size_t n16); /* x = fma(a, y, x) */

    /* silu(gate) * up of m rows and `pairs` pairs of panels: a row of gate_up holds 16
     * gates, 16 ups, 16 gates, ...; a row of `unit` 16 units a pair, rows ldu elements
     * apart, f32 or bf16. */
    void (*swiglu)(const float *gate_up, size_t ldg, size_t m, size_t pairs, void *unit, size_t ldu,
                   bool bf16);

    /* The same of gate = min(gate, limit) and up = max(-limit, min(up, limit)):
     * gate / (1 + e^(-slope gate)) * (up + 1). NaN stays. */
    void (*swiglu_clamped)(const float *gate_up, size_t ldg, size_t m, size_t pairs, float limit,
                           float slope, void *unit, size_t ldu, bool bf16);

    /* The same of gelu(gate) * up by its tanh form, which is gate / (1 + e^(-2 u)) with
     * u = sqrt(2 / pi) (gate + 0.044715 gate^3). */
    void (*geglu)(const float *gate_up, size_t ldg, size_t m, size_t pairs, void *unit, size_t ldu,
                  bool bf16);

    /* x = limit tanh(x / limit), as limit (1 - 2 / (1 + e^(2 x / limit))) */
    void (*cap)(float *x, size_t n, float limit);

    /* max(up, 0)^2 of m rows and n panels, to units as above; NaN stays. */
    void (*relu_squared)(const float *up, size_t ldg, size_t m, size_t n, void *unit, size_t ldu,
                         bool bf16);

    /* out[i] = e^(x[i] - shift), i < n */
    void (*exp_shifted)(const float *x, float shift, size_t n, float *out);

    /* Sum of e^(x[i] - *top) and *top = largest x[i], a zero of either sign; lane i sums i,
     * i+16, ... */
    float (*exp_sum)(const float *x, size_t n, float *top);

    /* One block of 32 keys in the running softmax of a query: scores (32) become
     * weights e^(scale * score - new maximum), 0 for the keys from `n` on, as f32 or bf16;
     * *top and *total (of the weights before rounding) are updated. Gives the factor for the
     * sums so far. */
    float (*attend)(const float *score, size_t n, float scale, void *weight, bool bf16, float *top,
                    float *total);

    /* x = fma(x, a, y): the sums so far, and this block. */
    void (*merge)(float *x, float a, const float *y, size_t n16);

    /* Rotate pairs (x[i], x[i + half]) by the angles of one position (half each). */
    void (*rotate)(float *x, const float *cosine, const float *sine, size_t half);

    /* Gated DeltaNet, Kimi Delta Attention and Mamba2 (arch.h), a token at a time; the former's in
     * this order.
     *
     * A causal convolution of n channels: x (n), the token's input, becomes silu of one chain of
     * fused multiply-adds from the bias (NULL: 0): h[oldest] w[0], the next rows (cyclically),
     * x w[taps - 1]; then x takes the oldest row's place.
     *   panels   f32 panels (pack.h) of n outputs and `taps` inputs, from the first channel's on
     *   history  (taps - 1, n) rows `ldh` floats apart */
    void (*convolve)(float *x, size_t n, const float *panels, size_t taps, const float *bias,
                     float *history, size_t ldh, size_t oldest);

    /* The same between two gates: what is convolved, and kept, is x before; x becomes after times
     * the chain, which begins at 0, without silu. */
    void (*convolve_gated)(float *x, const float *before, const float *after, size_t n,
                           const float *panels, size_t taps, float *history, size_t ldh,
                           size_t oldest);

    /* x = (x r) scale, r = 1 / sqrt(sum of squares + epsilon); lane i sums elements i, i+16, ... */
    void (*unit)(float *x, size_t n, float epsilon, float scale);

    /* The delta rule on n values of a head, whose keys and queries are `depth` wide:
     *   read  = decay (S^T key), or with `each` S^T (decay key)
     *   step  = beta (value - read)
     *   S     = fma(key, step, decay S)
     *   value = S^T query
     * decay is one number, or with `each` (depth), one for each element of a key. A sum over i <
     * depth is of four chains of fused multiply-adds from 0, chain c of all i with i % 4 = c,
     * ascending, added (0 + 1) + (2 + 3).
     *   state  S: for every 16 values (depth, 16), zeros after the nth */
    void (*delta)(float *state, size_t depth, const float *key, const float *query, float *value,
                  size_t n, const float *decay, bool each, float beta);

    /* out = norm of x, as above, times silu(gate) */
    void (*norm_gated)(const float *x, const float *weight, const float *gate, size_t n,
                       float epsilon, float *out);

    /* x = x / (1 + e^-by) */
    void (*gate)(float *x, const float *by, size_t n);

    /* Mamba2's recurrence, on n values of a head, state and sums as in delta:
     *   S     = fma(key, step value, decay S)
     *   value = fma(skip, value, S^T query) */
    void (*scan)(float *state, size_t depth, const float *key, const float *query, float *value,
                 size_t n, float decay, float step, float skip);

    /* x = x silu(gate), then out = norm of x, as above */
    void (*gated_norm)(float *x, const float *weight, const float *gate, size_t n, float epsilon,
                       float *out);
} gm_kernels;

extern const gm_kernels gm_kernels_portable;
extern const gm_kernels gm_kernels_neon;       /* not on other processors than 64-bit ARM */
extern const gm_kernels gm_kernels_avx2;       /* not on other processors than x86-64 */
extern const gm_kernels gm_kernels_avx512f;    /* not on other processors than x86-64 */
extern const gm_kernels gm_kernels_avx512bf16; /* not on other processors than x86-64 */
extern const gm_kernels gm_kernels_amx;        /* not on other processors than x86-64 */

/* Does the processor have AMX, and may this process use it? */
bool gm_amx_here(void);

/* The i-th fastest kernels of this build, whether or not this processor has them; NULL
 * after the last, which are the portable ones. */
const gm_kernels *gm_kernels_at(size_t i);

/* The kernels called `name`, or with NULL the fastest that this processor has.
 * Errors: GM_EARG unknown name; GM_EABSENT not on this processor. */
gm_status gm_kernels_find(const gm_kernels **out, const char *name, gm_error *err) GM_MUST_USE;

#endif
