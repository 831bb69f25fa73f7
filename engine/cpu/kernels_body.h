/* kernels_body.h - the loops of kernels.h over lanes.h, those of products here and the others in
 * kernels_rows.h; compiled by each kernels_*.c.
 *
 * The including file defines KERNELS and KERNELS_NAME, and as SHAPES_F32 and
 * SHAPES_BF16 the tiles of a product that fit in its registers, tallest first:
 * X(8, 2) is 8 rows by 2 panels. The last one has 1 row. PRODUCT_BF16 and PRODUCT_I8 are
 * products of its own, if it has them; PRODUCT_DOT comes with a tile_dot that is defined after this
 * file.
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

/* Blocks of rows that stay in cache while all panels are read. */
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

/* Panels hold inputs in pairs (pack.h). In bf16 a pair of an output is one 32-bit word, the even
 * input in its low half; in 8 bits 16 outputs of the even input are followed by those of the odd
 * one, and the panel by its scales. */
enum pairs { PAIRS_BF16, PAIRS_I8, PAIRS_FP8 };

INLINE v16 load_fp8(const uint8_t *from)
{
    float value[LANES];
    for (int i = 0; i < LANES; i++) value[i] = gm_fp8_values[from[i]];
    return v16_load(value);
}

/* The weights of a pair of inputs. */
INLINE void load_pair(const char *at, const enum pairs of, v16 *even, v16 *odd)
{
    if (of == PAIRS_FP8) {
        *even = load_fp8((const uint8_t *)at);
        *odd = load_fp8((const uint8_t *)at + PANEL);
    } else if (of == PAIRS_I8) {
        *even = v16_load_i8((const int8_t *)at);
        *odd = v16_load_i8((const int8_t *)at + PANEL);
    } else {
        const v16i pair = v16i_load(at);
        *even = v16_from_bits(v16i_up(pair, 16));
        *odd = v16_from_bits(v16i_and(pair, v16i_all(0xffff0000u)));
    }
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
            load_pair((const char *)(w + ((size_t)p * depth + i) * PANEL), PAIRS_BF16, &b0[p],
                      &b1[p]);
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

/* Bytes of a panel. */
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
                load_pair(at, of, &b0[p], &b1[p]);
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
        const char *scales = w + (size_t)p * panel_bytes + depth * PANEL;
        v16 scale = v16_all(1.0f);
        if (scaled) scale = v16_load((const float *)(const void *)scales);
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

#include "engine/cpu/kernels_rows.h"

#include "engine/cpu/kernels_delta.h"

const gm_kernels KERNELS = {
    .name = KERNELS_NAME,
    .f32 = {gather_f32, gemm_f32},
    .bf16 = PRODUCT_BF16,
    .i8 = PRODUCT_I8,
    .fp8 = {gather_bf16, gemm_fp8},
    .dot = PRODUCT_DOT,
    .norm = norm,
    .layer_norm = layer_norm,
    .to_bf16 = to_bf16,
    .add = add,
    .add_scaled = add_scaled,
    .swiglu = swiglu,
    .swiglu_clamped = swiglu_clamped,
    .geglu = geglu,
    .cap = cap,
    .relu_squared = relu_squared,
    .exp_shifted = exp_shifted,
    .exp_sum = exp_sum,
    .attend = attend,
    .merge = merge,
    .rotate = rotate,
    .convolve = convolve,
    .convolve_gated = convolve_gated,
    .unit = unit,
    .delta = delta,
    .norm_gated = norm_gated,
    .gate = gate,
    .scan = scan,
    .gated_norm = gated_norm,
};
