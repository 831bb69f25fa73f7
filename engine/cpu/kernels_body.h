/* kernels_body.h - the loops of kernels.h over lanes.h; compiled by each kernels_*.c.
 *
 * The including file defines KERNELS and KERNELS_NAME, and as SHAPES_F32 and
 * SHAPES_BF16 the tiles of a product that fit in its registers, tallest first:
 * X(8, 2) is 8 rows by 2 panels. The last one has 1 row. KERNELS_BF16 names a product
 * of its own, if it has one.
 */
#include "engine/cpu/kernels.h"
#include "engine/cpu/lanes.h"

enum { PANEL = LANES, K_BLOCK = 32, TILE_ROWS = 8, TILE_PANELS = 8 }; /* at most */

#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
#define INLINE static inline __attribute__((always_inline))

/* ---- products ---- */

/* A tile of `rows` x `panels` outputs in registers; both are constants. */
INLINE void tile_f32(const float *const *x, const float *w, size_t k, float *out, size_t ldo,
                     const int rows, const int panels)
{
    v16 c[TILE_ROWS][TILE_PANELS];
    UNROLL
    for (int r = 0; r < rows; r++) {
        UNROLL
        for (int p = 0; p < panels; p++) c[r][p] = v16_all(0.0f);
    }
    for (size_t i = 0; i < k; i++) {
        v16 b[TILE_PANELS];
        UNROLL
        for (int p = 0; p < panels; p++) b[p] = v16_load(w + ((size_t)p * k + i) * PANEL);
        UNROLL
        for (int r = 0; r < rows; r++) {
            v16 a = v16_all(x[r][i]);
            UNROLL
            for (int p = 0; p < panels; p++) c[r][p] = v16_fma(a, b[p], c[r][p]);
        }
    }
    UNROLL
    for (int r = 0; r < rows; r++) {
        UNROLL
        for (int p = 0; p < panels; p++) v16_store(out + (size_t)r * ldo + p * PANEL, c[r][p]);
    }
}

/* The same for bf16: a panel's block of 32 inputs is 16 pairs of 16 outputs; a pair
 * of an output is one 32-bit word, the even input in its low half. */
INLINE void tile_bf16(const float *const *x, const uint16_t *w, size_t k, float *out, size_t ldo,
                      const int rows, const int panels)
{
    const size_t depth = (k + K_BLOCK - 1) / K_BLOCK * K_BLOCK;
    const v16i high = v16i_all(0xffff0000u);
    v16 c[TILE_ROWS][TILE_PANELS];
    UNROLL
    for (int r = 0; r < rows; r++) {
        UNROLL
        for (int p = 0; p < panels; p++) c[r][p] = v16_all(0.0f);
    }
    for (size_t block = 0; block < depth; block += K_BLOCK) {
        v16 even[TILE_ROWS][TILE_PANELS], odd[TILE_ROWS][TILE_PANELS];
        UNROLL
        for (int r = 0; r < rows; r++) {
            UNROLL
            for (int p = 0; p < panels; p++) even[r][p] = odd[r][p] = v16_all(0.0f);
        }
        for (size_t i = block; i < block + K_BLOCK; i += 2) {
            v16 b0[TILE_PANELS], b1[TILE_PANELS];
            UNROLL
            for (int p = 0; p < panels; p++) {
                v16i pair = v16i_load(w + ((size_t)p * depth + i) * PANEL);
                b0[p] = v16_from_bits(v16i_up(pair, 16));
                b1[p] = v16_from_bits(v16i_and(pair, high));
            }
            UNROLL
            for (int r = 0; r < rows; r++) {
                v16 a0 = v16_all(x[r][i]), a1 = v16_all(x[r][i + 1]);
                UNROLL
                for (int p = 0; p < panels; p++) {
                    even[r][p] = v16_fma(a0, b0[p], even[r][p]);
                    odd[r][p] = v16_fma(a1, b1[p], odd[r][p]);
                }
            }
        }
        UNROLL
        for (int r = 0; r < rows; r++) {
            UNROLL
            for (int p = 0; p < panels; p++)
                c[r][p] = v16_add(c[r][p], v16_add(even[r][p], odd[r][p]));
        }
    }
    UNROLL
    for (int r = 0; r < rows; r++) {
        UNROLL
        for (int p = 0; p < panels; p++) v16_store(out + (size_t)r * ldo + p * PANEL, c[r][p]);
    }
}

/* The rows at `at` times all panels: tiles of `panels`, then of one. */
#define SWEEP(tile, rows, panels)                                                                \
    if (m - r >= (rows)) {                                                                       \
        size_t p = 0;                                                                            \
        for (; p + (panels) <= n_panels; p += (panels))                                          \
            tile(at, w + p * panel_size, k, to + p * PANEL, ldo, rows, panels);                  \
        for (; p < n_panels; p++) tile(at, w + p * panel_size, k, to + p * PANEL, ldo, rows, 1); \
        r += (rows);                                                                             \
        continue;                                                                                \
    }

/* Rows first, first + 1, ... of a tile; behind the last, the last again. */
static inline void find_rows(const float **at, const float *x, size_t ldx, const uint32_t *row,
                             size_t first, size_t m)
{
    for (size_t i = 0; i < TILE_ROWS; i++) {
        size_t r = first + i < m ? first + i : m - 1;
        at[i] = x + (row ? row[r] : r) * ldx;
    }
}

static void gemm_f32(const float *x, size_t ldx, const uint32_t *row, size_t m, const void *panels,
                     size_t k, size_t n_panels, float *out, size_t ldo)
{
    const float *w = panels, *at[TILE_ROWS];
    const size_t panel_size = k * PANEL;
    for (size_t r = 0; r < m;) {
        float *to = out + r * ldo;
        find_rows(at, x, ldx, row, r, m);
#define X(rows, n) SWEEP(tile_f32, rows, n)
        SHAPES_F32
#undef X
    }
}

static void gemm_bf16(const float *x, size_t ldx, const uint32_t *row, size_t m, const void *panels,
                      size_t k, size_t n_panels, float *out, size_t ldo)
{
    const uint16_t *w = panels;
    const float *at[TILE_ROWS];
    const size_t panel_size = (k + K_BLOCK - 1) / K_BLOCK * K_BLOCK * PANEL;
    for (size_t r = 0; r < m;) {
        float *to = out + r * ldo;
        find_rows(at, x, ldx, row, r, m);
#define X(rows, n) SWEEP(tile_bf16, rows, n)
        SHAPES_BF16
#undef X
    }
}

/* ---- rows ---- */

static void norm(const float *x, const float *weight, size_t n, float epsilon, float *out)
{
    const size_t whole = n / LANES * LANES, rest = n - whole;
    v16 squares = v16_all(0.0f);
    for (size_t i = 0; i < whole; i += LANES) {
        v16 a = v16_load(x + i);
        squares = v16_fma(a, a, squares);
    }
    if (rest) {
        v16 a = v16_load_part(x + whole, rest, 0.0f);
        squares = v16_fma(a, a, squares);
    }
    float r = 1.0f / sqrtf(v16_sum(squares) / (float)n + epsilon);
    for (size_t i = 0; i < n; i++) out[i] = (x[i] * r) * weight[i];
}

static void round_bf16(float *x, size_t n16)
{
    for (size_t i = 0; i < n16; i += LANES) v16_store(x + i, v16_bf16(v16_load(x + i)));
}

static void add(float *x, const float *y, size_t n16)
{
    for (size_t i = 0; i < n16; i += LANES)
        v16_store(x + i, v16_add(v16_load(x + i), v16_load(y + i)));
}

static void add_scaled(float *x, float a, const float *y, size_t n16)
{
    const v16 scale = v16_all(a);
    for (size_t i = 0; i < n16; i += LANES)
        v16_store(x + i, v16_fma(scale, v16_load(y + i), v16_load(x + i)));
}

static void swiglu(const float *gate_up, float *unit, bool round)
{
    v16 gate = v16_load(gate_up), up = v16_load(gate_up + LANES);
    v16 below = v16_add(v16_all(1.0f), v16_exp(v16_sub(v16_all(0.0f), gate)));
    v16 product = v16_mul(v16_div(gate, below), up);
    v16_store(unit, round ? v16_bf16(product) : product);
}

static void exp_shifted(const float *x, float shift, size_t n, float *out)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        v16_store(out + i, v16_exp(v16_sub(v16_load(x + i), v16_all(shift))));
    if (i < n) {
        v16 a = v16_load_part(x + i, n - i, 0.0f);
        v16_store_part(out + i, n - i, v16_exp(v16_sub(a, v16_all(shift))));
    }
}

static float exp_sum(const float *x, size_t n, float *top)
{
    const size_t whole = n / LANES * LANES, rest = n - whole;
    const v16 last = rest ? v16_load_part(x + whole, rest, -INFINITY) : v16_all(-INFINITY);
    v16 m = last;
    for (size_t i = 0; i < whole; i += LANES) m = v16_max(m, v16_load(x + i));
    *top = v16_top(m);
    const v16 shift = v16_all(*top);
    v16 sum = v16_all(0.0f);
    for (size_t i = 0; i < whole; i += LANES)
        sum = v16_add(sum, v16_exp(v16_sub(v16_load(x + i), shift)));
    if (rest) sum = v16_add(sum, v16_exp(v16_sub(last, shift)));
    return v16_sum(sum);
}

/* ---- attention ---- */

static float attend(float *score, size_t n, float scale, bool round, float *top, float *total)
{
    for (size_t j = n; j < 2 * LANES; j++) score[j] = -INFINITY;
    v16 a = v16_mul(v16_load(score), v16_all(scale));
    v16 b = v16_mul(v16_load(score + LANES), v16_all(scale));
    float block_top = v16_top(v16_max(a, b));
    float new_top = *top > block_top ? *top : block_top;
    if (new_top == -INFINITY) new_top = 0.0f; /* nothing to attend to: all weights are 0 */
    a = v16_exp(v16_sub(a, v16_all(new_top)));
    b = v16_exp(v16_sub(b, v16_all(new_top)));
    float factor;
    exp_shifted(top, new_top, 1, &factor);
    *total = fmaf(*total, factor, v16_sum(v16_add(a, b)));
    *top = new_top;
    v16_store(score, round ? v16_bf16(a) : a);
    v16_store(score + LANES, round ? v16_bf16(b) : b);
    return factor;
}

static void merge(float *x, float a, const float *y, size_t n16)
{
    const v16 scale = v16_all(a);
    for (size_t i = 0; i < n16; i += LANES)
        v16_store(x + i, v16_fma(v16_load(x + i), scale, v16_load(y + i)));
}

static void rotate(float *x, const float *cosine, const float *sine, size_t half)
{
    for (size_t i = 0; i < half; i++) {
        float a = x[i], b = x[i + half];
        x[i] = fmaf(-b, sine[i], a * cosine[i]);
        x[i + half] = fmaf(a, sine[i], b * cosine[i]);
    }
}

const gm_kernels KERNELS = {
    .name = KERNELS_NAME,
    .gemm_f32 = gemm_f32,
#ifdef KERNELS_BF16
    .gemm_bf16 = KERNELS_BF16,
#else
    .gemm_bf16 = gemm_bf16,
#endif
    .norm = norm,
    .round_bf16 = round_bf16,
    .add = add,
    .add_scaled = add_scaled,
    .swiglu = swiglu,
    .exp_shifted = exp_shifted,
    .exp_sum = exp_sum,
    .attend = attend,
    .merge = merge,
    .rotate = rotate,
};
