/* kernels_body.h - the loops of kernels.h over lanes.h; compiled by each kernels_*.c.
 *
 * The including file defines KERNELS and KERNELS_NAME, and as SHAPES_F32 and
 * SHAPES_BF16 the tiles of a product that fit in its registers, tallest first:
 * X(8, 2) is 8 rows by 2 panels. The last one has 1 row. PRODUCT_BF16 and PRODUCT_I8 are
 * products of its own, if it has them; PRODUCT_DOT comes with a tile_dot that is defined behind
 * this file.
 */
#include "engine/cpu/kernels.h"
#include "engine/cpu/lanes.h"

#include "base/half.h"

enum {
    PANEL = LANES,
    K_BLOCK = 32,
    TILE_ROWS = 8, /* at most */
    TILE_PANELS = 8,
    CACHED_ROWS = 64, /* of f32 */
};

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

/* All whole tiles of `rows` rows: panel by panel, so that a panel is read once. */
#define SWEEP(tile, rows, panels)                                                              \
    for (size_t p = 0, n, end = m - (m - r) % (rows); p < n_panels && r < end; p += n) {       \
        n = p + (panels) <= n_panels ? (panels) : 1;                                           \
        for (size_t i = r; i < end; i += (rows)) {                                             \
            const float *at[rows];                                                             \
            for (size_t j = 0; j < (rows); j++) at[j] = row_of(x, ldx, i + j);                 \
            if (n == (panels))                                                                 \
                tile(at, w + p * panel_size, k, out + i * ldo + p * PANEL, ldo, rows, panels); \
            else                                                                               \
                tile(at, w + p * panel_size, k, out + i * ldo + p * PANEL, ldo, rows, 1);      \
        }                                                                                      \
    }                                                                                          \
    r = m - (m - r) % (rows);

static inline const float *row_of(const void *x, size_t ldx, size_t r)
{
    return (const float *)(const void *)((const char *)x + r * ldx);
}

static void block_f32(const void *x, size_t ldx, size_t m, const void *panels, size_t k,
                      size_t n_panels, float *out, size_t ldo)
{
    const float *w = panels;
    const size_t panel_size = k * PANEL;
    size_t r = 0;
#define X(rows, n) SWEEP(tile_f32, rows, n)
    SHAPES_F32
#undef X
}

/* Blocks of rows that stay in cache while all panels pass by. */
#define IN_BLOCKS(block)                                                                        \
    for (size_t r = 0; r < m; r += CACHED_ROWS)                                                 \
    block((const char *)x + r * ldx, ldx, m - r < CACHED_ROWS ? m - r : CACHED_ROWS, panels, k, \
          n_panels, out + r * ldo, ldo)

static void gemm_f32(const void *x, size_t ldx, size_t m, const void *panels, size_t k,
                     size_t n_panels, float *out, size_t ldo, bool next)
{
    (void)next;
    IN_BLOCKS(block_f32);
}

static const void *gather_f32(const void *x, size_t ldx, const uint32_t *row, size_t m, size_t k,
                              void *room, size_t *ld)
{
    *ld = (row ? k : ldx) * sizeof(float);
    if (row == NULL) return x;
    for (size_t r = 0; r < m; r++)
        memcpy((float *)room + r * k, (const float *)x + row[r] * ldx, k * sizeof(float));
    return room;
}

/* As floats, which these products multiply. */
static const void *gather_bf16(const void *x, size_t ldx, const uint32_t *row, size_t m, size_t k,
                               void *room, size_t *ld)
{
    const size_t depth = (k + K_BLOCK - 1) / K_BLOCK * K_BLOCK;
    *ld = depth * sizeof(float);
    for (size_t r = 0; r < m; r++) {
        const uint16_t *from = (const uint16_t *)x + (row ? row[r] : r) * ldx;
        float *to = (float *)room + r * depth;
        for (size_t i = 0; i < depth; i += LANES) v16_store(to + i, v16_load_bf16(from + i));
    }
    return room;
}

#ifndef PRODUCT_DOT
#define PRODUCT_DOT           \
    {                         \
        gather_bf16, gemm_dot \
    }

/* A tile of a dot product: one chain, of each pair the odd input first. */
INLINE void tile_dot(const float *const *x, const uint16_t *w, size_t k, float *out, size_t ldo,
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
    for (size_t i = 0; i < depth; i += 2) {
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
            for (int p = 0; p < panels; p++)
                c[r][p] = v16_fma(a0, b0[p], v16_fma(a1, b1[p], c[r][p]));
        }
    }
    UNROLL
    for (int r = 0; r < rows; r++) {
        UNROLL
        for (int p = 0; p < panels; p++) v16_store(out + (size_t)r * ldo + p * PANEL, c[r][p]);
    }
}
#else
INLINE void tile_dot(const float *const *x, const uint16_t *w, size_t k, float *out, size_t ldo,
                     const int rows, const int panels);
#endif

static void block_dot(const void *x, size_t ldx, size_t m, const void *panels, size_t k,
                      size_t n_panels, float *out, size_t ldo)
{
    const uint16_t *w = panels;
    const size_t panel_size = (k + K_BLOCK - 1) / K_BLOCK * K_BLOCK * PANEL;
    size_t r = 0;
#define X(rows, n) SWEEP(tile_dot, rows, n)
    SHAPES_F32
#undef X
}

static void gemm_dot(const void *x, size_t ldx, size_t m, const void *panels, size_t k,
                     size_t n_panels, float *out, size_t ldo, bool next)
{
    (void)next;
    IN_BLOCKS(block_dot);
}

/* A tile of a bf16 product: a panel's block of 32 inputs is 16 pairs of 16 outputs; a pair
 * of an output is one 32-bit word, the even input in its low half. Of a product with weights of
 * 8 bits: 16 outputs of the even input, then of the odd one; scales behind the panel. */
enum pairs { PAIRS_BF16, PAIRS_I8, PAIRS_FP8 };

INLINE v16 load_fp8(const uint8_t *from)
{
    float value[LANES];
    for (int i = 0; i < LANES; i++) value[i] = gm_fp8_values[from[i]];
    return v16_load(value);
}

/* Of a panel. */
INLINE size_t pairs_bytes(size_t k, enum pairs of)
{
    const size_t depth = (k + K_BLOCK - 1) / K_BLOCK * K_BLOCK;
    return of == PAIRS_BF16 ? PANEL * 2 * depth : PANEL * (depth + sizeof(float));
}

INLINE void tile_pairs(const float *const *x, const void *panels, size_t k, float *out, size_t ldo,
                       const int rows, const int n, const enum pairs of)
{
    const size_t depth = (k + K_BLOCK - 1) / K_BLOCK * K_BLOCK;
    const bool scaled = of != PAIRS_BF16;
    const size_t element = scaled ? 1 : 2, panel_bytes = pairs_bytes(k, of);
    const v16i high = v16i_all(0xffff0000u);
    const char *w = panels;
    v16 c[TILE_ROWS][TILE_PANELS];
    UNROLL
    for (int r = 0; r < rows; r++) {
        UNROLL
        for (int p = 0; p < n; p++) c[r][p] = v16_all(0.0f);
    }
    for (size_t block = 0; block < depth; block += K_BLOCK) {
        v16 even[TILE_ROWS][TILE_PANELS], odd[TILE_ROWS][TILE_PANELS];
        /* One row waits for memory, which gives more to several streams than to one if
         * each is asked for a block ahead: the next one, or the first of the next panels. */
        const char *next = w + (block + K_BLOCK) * element * PANEL;
        if (block + K_BLOCK == depth) next = w + (size_t)n * panel_bytes;
        UNROLL
        for (int r = 0; r < rows; r++) {
            UNROLL
            for (int p = 0; p < n; p++) even[r][p] = odd[r][p] = v16_all(0.0f);
        }
        for (size_t i = block; i < block + K_BLOCK; i += 2) {
            v16 b0[TILE_PANELS], b1[TILE_PANELS];
            UNROLL
            for (int p = 0; p < n; p++) {
                const char *at = w + (size_t)p * panel_bytes + i * PANEL * element;
                if (rows == 1 && i * PANEL * element % 64 == 0)
                    __builtin_prefetch(next + (size_t)p * panel_bytes +
                                       (i - block) * PANEL * element);
                if (of == PAIRS_FP8) {
                    b0[p] = load_fp8((const uint8_t *)at);
                    b1[p] = load_fp8((const uint8_t *)at + PANEL);
                } else if (of == PAIRS_I8) {
                    b0[p] = v16_load_i8((const int8_t *)at);
                    b1[p] = v16_load_i8((const int8_t *)at + PANEL);
                } else {
                    v16i pair = v16i_load(at);
                    b0[p] = v16_from_bits(v16i_up(pair, 16));
                    b1[p] = v16_from_bits(v16i_and(pair, high));
                }
            }
            UNROLL
            for (int r = 0; r < rows; r++) {
                v16 a0 = v16_all(x[r][i]), a1 = v16_all(x[r][i + 1]);
                UNROLL
                for (int p = 0; p < n; p++) {
                    even[r][p] = v16_fma(a0, b0[p], even[r][p]);
                    odd[r][p] = v16_fma(a1, b1[p], odd[r][p]);
                }
            }
        }
        UNROLL
        for (int r = 0; r < rows; r++) {
            UNROLL
            for (int p = 0; p < n; p++) c[r][p] = v16_add(c[r][p], v16_add(even[r][p], odd[r][p]));
        }
    }
    UNROLL
    for (int p = 0; p < n; p++) {
        const char *behind = w + (size_t)p * panel_bytes + depth * PANEL;
        v16 scale = v16_all(1.0f);
        if (scaled) scale = v16_load((const float *)(const void *)behind);
        UNROLL
        for (int r = 0; r < rows; r++)
            v16_store(out + (size_t)r * ldo + p * PANEL,
                      scaled ? v16_mul(c[r][p], scale) : c[r][p]);
    }
}

INLINE void block_pairs(const void *x, size_t ldx, size_t m, const void *panels, size_t k,
                        size_t n_panels, float *out, size_t ldo, const enum pairs of)
{
    const char *w = panels;
    const size_t panel_size = pairs_bytes(k, of);
    size_t r = 0;
#define TILE(...)  tile_pairs(__VA_ARGS__, of)
#define X(rows, n) SWEEP(TILE, rows, n)
    SHAPES_BF16
#undef X
#undef TILE
}

static void block_fp8(const void *x, size_t ldx, size_t m, const void *panels, size_t k,
                      size_t n_panels, float *out, size_t ldo)
{
    block_pairs(x, ldx, m, panels, k, n_panels, out, ldo, PAIRS_FP8);
}

static void gemm_fp8(const void *x, size_t ldx, size_t m, const void *panels, size_t k,
                     size_t n_panels, float *out, size_t ldo, bool next)
{
    (void)next;
    IN_BLOCKS(block_fp8);
}

static void block_i8(const void *x, size_t ldx, size_t m, const void *panels, size_t k,
                     size_t n_panels, float *out, size_t ldo)
{
    block_pairs(x, ldx, m, panels, k, n_panels, out, ldo, PAIRS_I8);
}

#ifndef PRODUCT_I8
#define PRODUCT_I8           \
    {                        \
        gather_bf16, gemm_i8 \
    }

static void gemm_i8(const void *x, size_t ldx, size_t m, const void *panels, size_t k,
                    size_t n_panels, float *out, size_t ldo, bool next)
{
    (void)next;
    IN_BLOCKS(block_i8);
}
#endif

#ifndef PRODUCT_BF16
#define PRODUCT_BF16           \
    {                          \
        gather_bf16, gemm_bf16 \
    }

static void block_bf16(const void *x, size_t ldx, size_t m, const void *panels, size_t k,
                       size_t n_panels, float *out, size_t ldo)
{
    block_pairs(x, ldx, m, panels, k, n_panels, out, ldo, PAIRS_BF16);
}

static void gemm_bf16(const void *x, size_t ldx, size_t m, const void *panels, size_t k,
                      size_t n_panels, float *out, size_t ldo, bool next)
{
    (void)next;
    IN_BLOCKS(block_bf16);
}
#endif

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

static void to_bf16(const float *x, size_t n, uint16_t *out)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) v16_store_bf16(out + i, v16_load(x + i));
    if (i < n) {
        uint16_t last[LANES];
        v16_store_bf16(last, v16_load_part(x + i, n - i, 0.0f));
        memcpy(out + i, last, (n - i) * sizeof *out);
    }
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

static void swiglu(const float *gate_up, size_t ldg, size_t m, size_t pairs, void *unit, size_t ldu,
                   bool bf16)
{
    for (size_t r = 0; r < m; r++)
        for (size_t p = 0; p < pairs; p++) {
            const float *from = gate_up + r * ldg + p * 2 * LANES;
            v16 gate = v16_load(from), up = v16_load(from + LANES);
            v16 below = v16_add(v16_all(1.0f), v16_exp(v16_sub(v16_all(0.0f), gate)));
            v16 product = v16_mul(v16_div(gate, below), up);
            if (bf16)
                v16_store_bf16((uint16_t *)unit + r * ldu + p * LANES, product);
            else
                v16_store((float *)unit + r * ldu + p * LANES, product);
        }
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

static float attend(const float *score, size_t n, float scale, void *weight, bool bf16, float *top,
                    float *total)
{
    const v16 nothing = v16_all(-INFINITY), by = v16_all(scale);
    v16 a = n >= LANES ? v16_load(score) : v16_load_part(score, n, -INFINITY);
    v16 b = n >= 2 * LANES ? v16_load(score + LANES) : nothing;
    if (n > LANES && n < 2 * LANES) b = v16_load_part(score + LANES, n - LANES, -INFINITY);
    a = v16_mul(a, by);
    b = v16_mul(b, by);
    float block_top = v16_top(v16_max(a, b));
    float new_top = *top > block_top ? *top : block_top;
    if (new_top == -INFINITY) new_top = 0.0f; /* nothing to attend to: all weights are 0 */
    const v16 shift = v16_all(new_top);
    a = v16_exp(v16_sub(a, shift));
    b = v16_exp(v16_sub(b, shift));
    float factor = v16_first(v16_exp(v16_sub(v16_all(*top), shift)));
    *total = fmaf(*total, factor, v16_sum(v16_add(a, b)));
    *top = new_top;
    if (bf16) {
        v16_store_bf16(weight, a);
        v16_store_bf16((uint16_t *)weight + LANES, b);
    } else {
        v16_store(weight, a);
        v16_store((float *)weight + LANES, b);
    }
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
    .f32 = {gather_f32, gemm_f32},
    .bf16 = PRODUCT_BF16,
    .i8 = PRODUCT_I8,
    .fp8 = {gather_bf16, gemm_fp8},
    .dot = PRODUCT_DOT,
    .norm = norm,
    .to_bf16 = to_bf16,
    .add = add,
    .add_scaled = add_scaled,
    .swiglu = swiglu,
    .exp_shifted = exp_shifted,
    .exp_sum = exp_sum,
    .attend = attend,
    .merge = merge,
    .rotate = rotate,
};
