/* kernels_amx.c - bf16 products on AMX tiles; every other loop as for AVX-512F.
 *
 * TDPBF16PS multiplies 16 rows x 32 inputs by 32 inputs x 16 outputs, in exactly the
 * order that kernels.h defines (per output an even and an odd chain, then added; no
 * denormals), so these products are bit-equal to plain C. A block of a panel is the B
 * tile as it lies in memory, and A tiles are loaded from rows of bf16 where they lie: two
 * by two tiles of C take each tile of A and B twice. What rows are left have tiles of
 * their own height, so a product of one row does not pay for sixteen.
 */
/* gcc spells the macro __AMX_BF16__, clang before 17 __AMXBF16__ */
#if (defined(__AMX_BF16__) || defined(__AMXBF16__)) && defined(__AVX512F__)
#define _GNU_SOURCE /* syscall */
#define GM_LANES_AVX512
#define KERNELS      gm_kernels_amx
#define KERNELS_NAME "amx"
#define PRODUCT_BF16         \
    {                        \
        gather_amx, gemm_amx \
    }
#define PRODUCT_I8              \
    {                           \
        gather_amx, gemm_amx_i8 \
    }
#define SHAPES_F32  X(8, 2) X(4, 4) X(2, 8) X(1, 8)
#define SHAPES_BF16 X(8, 1) X(4, 2) X(2, 4) X(1, 8)
#include "engine/cpu/kernels.h"

static gm_gather gather_amx;
static gm_gemm gemm_amx, gemm_amx_i8;
#include "engine/cpu/kernels_body.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    TILE = 16,             /* rows of A and C, outputs of B and C */
    PAIR = 2 * TILE,       /* rows multiplied at once */
    ROW_BYTES = 64,        /* of every tile: 32 bf16 or 16 f32 */
    STEP = TILE * K_BLOCK, /* elements of a tile of B */
    LINES = STEP / 32,     /* of a tile of B */
    BYTES = STEP,          /* of one that is stored in int8 */
    SQUARE = TILE * TILE,  /* elements of a tile of C */
    PART = 8,              /* blocks of inputs of two panels that stay in first-level cache */
    FEWEST_PAIRS = 3,      /* of tiles of rows for which that pays */
    MOST_PAIRS = 16,
};

/* Tiles 0 to 3 hold C, 4 and 5 A, 6 and 7 B; tiles 0, 1 and 4 have `upper` rows, 2, 3 and
 * 5 `lower`. The constants are static, so that no compiler drops their stores (GCC 12
 * takes _tile_loadconfig to read eight bytes only). */
struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};

#define CONFIG(upper, lower)                                         \
    {                                                                \
        .palette = 1, .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64}, \
        .rows = {upper, upper, lower, lower, upper, lower, 16, 16},  \
    }
#define ONE(n) CONFIG(n, 1) /* up to 16 rows; the lower tiles are not used */
#define TWO(n) CONFIG(16, n)
static const struct tile_config configs[PAIR] __attribute__((aligned(64))) = {
    ONE(1), ONE(2),  ONE(3),  ONE(4),  ONE(5),  ONE(6),  ONE(7),  ONE(8),
    ONE(9), ONE(10), ONE(11), ONE(12), ONE(13), ONE(14), ONE(15), ONE(16),
    TWO(1), TWO(2),  TWO(3),  TWO(4),  TWO(5),  TWO(6),  TWO(7),  TWO(8),
    TWO(9), TWO(10), TWO(11), TWO(12), TWO(13), TWO(14), TWO(15), TWO(16),
};

bool gm_amx_here(void)
{
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18, AMX_BF16 = 1 << 22, AMX_TILE = 1 << 24 };
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
    if (!(d & AMX_BF16) || !(d & AMX_TILE)) return false;
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}

static const void *gather_amx(const void *x, size_t ldx, const uint32_t *row, size_t m, size_t k,
                              void *room, size_t *ld)
{
    const size_t bytes = (k + K_BLOCK - 1) / K_BLOCK * ROW_BYTES;
    const size_t step = (bytes / ROW_BYTES | 1) * ROW_BYTES; /* see gm_buf_spread_rows */
    *ld = row ? step : ldx * sizeof(uint16_t);
    if (row == NULL) return x;
    for (size_t r = 0; r < m; r++)
        memcpy((char *)room + r * step, (const uint16_t *)x + row[r] * ldx, bytes);
    return room;
}

/* What is brought near during a tile of C, so many bytes for each block of inputs. */
typedef struct ahead {
    const char *panels, *rows;
    size_t panel_bytes, row_bytes;
} ahead;

static inline void fetch(ahead *next)
{
    for (size_t i = 0; i < next->panel_bytes; i += 64) _mm_prefetch(next->panels + i, _MM_HINT_T1);
    for (size_t i = 0; i < next->row_bytes; i += 64) _mm_prefetch(next->rows + i, _MM_HINT_T1);
    next->panels += next->panel_bytes;
    next->rows += next->row_bytes;
}

/* Block b of two panels, or if there is none the first of the next two: few rows wait
 * for memory, which gives more when it is asked a block ahead. */
static inline void fetch_blocks(const uint16_t *w, const uint16_t *w1, size_t blocks, size_t b)
{
    const size_t at = b < blocks ? b * STEP : 2 * blocks * STEP;
    for (size_t i = 0; i < STEP; i += 32) {
        _mm_prefetch((const char *)(w + at + i), _MM_HINT_T0);
        _mm_prefetch((const char *)(w1 + at + i), _MM_HINT_T0);
    }
}

/* One or two tiles of rows by two panels, straight to out; `far`: the panels are in memory. */
static void two_panels(const char *a, size_t ldx, bool lower, const uint16_t *w, size_t blocks,
                       bool far, float *out, size_t ldo, ahead next)
{
    const uint16_t *w1 = w + blocks * STEP;
    const char *a1 = a + TILE * ldx;
    const size_t row = ldo * sizeof *out;
    _tile_zero(0);
    _tile_zero(1);
    if (!lower) {
        for (size_t b = 0; b < blocks; b++) {
            if (far) fetch_blocks(w, w1, blocks, b + 1);
            _tile_loadd(4, a + b * ROW_BYTES, ldx);
            _tile_loadd(6, w + b * STEP, ROW_BYTES);
            _tile_dpbf16ps(0, 4, 6);
            _tile_loadd(7, w1 + b * STEP, ROW_BYTES);
            _tile_dpbf16ps(1, 4, 7);
        }
    } else {
        _tile_zero(2);
        _tile_zero(3);
        for (size_t b = 0; b < blocks; b++) {
            fetch(&next);
            _tile_loadd(4, a + b * ROW_BYTES, ldx);
            _tile_loadd(6, w + b * STEP, ROW_BYTES);
            _tile_dpbf16ps(0, 4, 6);
            _tile_loadd(7, w1 + b * STEP, ROW_BYTES);
            _tile_dpbf16ps(1, 4, 7);
            _tile_loadd(5, a1 + b * ROW_BYTES, ldx);
            _tile_dpbf16ps(2, 5, 6);
            _tile_dpbf16ps(3, 5, 7);
        }
        _tile_stored(2, out + TILE * ldo, row);
        _tile_stored(3, out + TILE * ldo + TILE, row);
    }
    _tile_stored(0, out, row);
    _tile_stored(1, out + TILE, row);
}

static void one_panel(const char *a, size_t ldx, bool lower, const uint16_t *w, size_t blocks,
                      float *out, size_t ldo)
{
    const char *a1 = a + TILE * ldx;
    const size_t row = ldo * sizeof *out;
    _tile_zero(0);
    if (lower) _tile_zero(2);
    for (size_t b = 0; b < blocks; b++) {
        _tile_loadd(4, a + b * ROW_BYTES, ldx);
        _tile_loadd(6, w + b * STEP, ROW_BYTES);
        _tile_dpbf16ps(0, 4, 6);
        if (lower) {
            _tile_loadd(5, a1 + b * ROW_BYTES, ldx);
            _tile_dpbf16ps(2, 5, 6);
        }
    }
    _tile_stored(0, out, row);
    if (lower) _tile_stored(2, out + TILE * ldo, row);
}

static size_t whole_lines(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/* The next pair of panels, and of the rows to come their share, spread over this pair. */
static ahead look_ahead(const void *x, size_t ldx, size_t m, size_t blocks, const uint16_t *w,
                        size_t p, size_t n_panels, bool next)
{
    const size_t tiles = m / PAIR, pairs = (n_panels + 1) / 2;
    ahead a = {.panels = (const char *)(w + 2 * blocks * STEP), .rows = x};
    if (tiles == 0) return a;
    a.panel_bytes = whole_lines(sizeof *w * 2 * STEP / tiles);
    if (!next) return a;
    a.rows = (const char *)x + m * ldx + p / 2 * (m * ldx / pairs);
    a.row_bytes = whole_lines(m * ldx / pairs / tiles / blocks);
    return a;
}

/* What becomes ready while a part of two panels is multiplied: at every block `lines` of the part
 * after it, in bf16 asked for, from int8 widened into tiles until none is `left`. */
typedef struct next_part {
    const char *w, *w1;
    uint16_t *tile, *tile1; /* NULL: bf16 */
    size_t lines, left;
} next_part;

/* A line of a tile from 32 whole numbers, which are exact in bf16 up to 127. */
static inline void widen_line(const char *from, uint16_t *to)
{
    const __m512i high = _mm512_set1_epi32((int)0xffff0000u);
    const int8_t *bytes = (const int8_t *)from;
    v16i even = v16_bits(v16_load_i8(bytes)), odd = v16_bits(v16_load_i8(bytes + PANEL));
    __m512i pair = _mm512_or_si512(_mm512_and_si512(odd, high), _mm512_srli_epi32(even, 16));
    _mm512_storeu_si512(to, pair);
}

/* A block of a panel of int8 as a tile of B, 1 KiB further on brought near. */
static inline void widen(const char *from, uint16_t *to)
{
    for (size_t i = 0; i < BYTES; i += PAIR) {
        if (i % 64 == 0) _mm_prefetch(from + i + (size_t)2 * BYTES, _MM_HINT_T0);
        widen_line(from + i, to + i);
    }
}

/* Tile loads read memory without saying so (GCC 12): stores to what was on the stack only would
 * be dropped. */
static inline void be_in_memory(const void *tile)
{
    __asm__ volatile("" : : "r"(tile) : "memory");
}

static inline void widen_part(next_part *next, size_t lines)
{
    for (; lines > 0 && next->left > 0; lines--, next->left--) {
        widen_line(next->w, next->tile);
        widen_line(next->w1, next->tile1);
        next->w += PAIR, next->w1 += PAIR, next->tile += PAIR, next->tile1 += PAIR;
    }
}

static inline void fetch_part(next_part *next)
{
    for (size_t i = 0; i < next->lines; i++, next->w += 64, next->w1 += 64) {
        _mm_prefetch(next->w, _MM_HINT_T1);
        _mm_prefetch(next->w1, _MM_HINT_T1);
    }
}

/* Two tiles of rows by two panels and some blocks of inputs, on top of what the blocks before
 * gave: `sum`, four tiles one after the other. */
INLINE void part_of_two(const char *a, size_t ldx, const uint16_t *w, const uint16_t *w1,
                        size_t blocks, bool first, const float *sum, next_part *next, ahead *rows,
                        bool i8)
{
    const char *a1 = a + TILE * ldx;
    if (first) {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    } else {
        _tile_loadd(0, sum, ROW_BYTES);
        _tile_loadd(1, sum + SQUARE, ROW_BYTES);
        _tile_loadd(2, sum + (size_t)2 * SQUARE, ROW_BYTES);
        _tile_loadd(3, sum + (size_t)3 * SQUARE, ROW_BYTES);
    }
    for (size_t b = 0; b < blocks; b++) {
        if (i8)
            widen_part(next, next->lines);
        else
            fetch_part(next);
        fetch(rows);
        _tile_loadd(4, a + b * ROW_BYTES, ldx);
        _tile_loadd(6, w + b * STEP, ROW_BYTES);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, w1 + b * STEP, ROW_BYTES);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, a1 + b * ROW_BYTES, ldx);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
}

/* The tiles of C, `right` and `down` floats apart, rows of `row` bytes. */
static inline void store_square(float *out, size_t row, size_t right, size_t down)
{
    _tile_stored(0, out, row);
    _tile_stored(1, out + right, row);
    _tile_stored(2, out + down, row);
    _tile_stored(3, out + down + right, row);
}

/* The lines that store_square will write, from far away. */
static inline void fetch_square(const float *out, size_t ldo)
{
    for (size_t r = 0; r < PAIR; r++) {
        __builtin_prefetch(out + r * ldo, 1);
        __builtin_prefetch(out + r * ldo + TILE, 1);
    }
}

/* m rows of what n panels of int8 gave, times the scales at the end of each. */
static inline void scale_rows(const char *panels, size_t panel_bytes, size_t n, size_t m,
                              float *out, size_t ldo)
{
    for (size_t p = 0; p < n; p++, out += PANEL) {
        panels += panel_bytes;
        const v16 by = v16_load((const float *)(const void *)panels - PANEL);
        for (size_t r = 0; r < m; r++)
            v16_store(out + r * ldo, v16_mul(v16_load(out + r * ldo), by));
    }
}

/* Whole pairs of tiles of rows by two panels: for some blocks of inputs after the others all
 * rows, so that these blocks are read from first-level cache but for the first rows. `tile`, for
 * weights of int8: where the two panels are widened. */
INLINE void in_parts(const char *x, size_t ldx, size_t pairs, const char *panels,
                     size_t panel_bytes, uint16_t *tile, size_t blocks, float *out, size_t ldo,
                     ahead rows)
{
    const bool i8 = tile != NULL;
    const uint16_t *w = i8 ? tile : (const uint16_t *)(const void *)panels;
    const size_t block_bytes = i8 ? BYTES : STEP * sizeof *w;
    float sum[MOST_PAIRS * 4 * SQUARE] __attribute__((aligned(64)));
    rows.panel_bytes = 0;
    next_part next = {.lines = (LINES + pairs - 1) / pairs};
    for (size_t from = 0, n; from < blocks; from += n) {
        n = blocks - from < PART ? blocks - from : PART;
        const size_t left = blocks - from - n;
        next.w = panels + (from + n) * block_bytes;
        if (left == 0) next.w = panels + 2 * panel_bytes; /* the next two panels */
        next.w1 = next.w + panel_bytes;
        if (tile) {
            next.left = (left < PART ? left : PART) * LINES;
            next.tile = tile + (from + n) * STEP, next.tile1 = next.tile + blocks * STEP;
        }
        for (size_t i = 0; i < pairs; i++) {
            float *at = sum + i * 4 * SQUARE;
            if (left > 0 && left <= PART && ldo > (size_t)2 * PANEL)
                fetch_square(out + i * PAIR * ldo, ldo);
            part_of_two(x + i * PAIR * ldx + from * ROW_BYTES, ldx, w + from * STEP,
                        w + (blocks + from) * STEP, n, from == 0, at, &next, &rows, i8);
            if (left > 0)
                store_square(at, ROW_BYTES, SQUARE, (size_t)2 * SQUARE);
            else
                store_square(out + i * PAIR * ldo, ldo * sizeof *out, TILE, TILE * ldo);
            if (i8 && left == 0)
                scale_rows(panels, panel_bytes, 2, PAIR, out + i * PAIR * ldo, ldo);
        }
        if (i8) be_in_memory(tile);
    }
}

static void gemm_amx(const void *x, size_t ldx, size_t m, const void *panels, size_t k,
                     size_t n_panels, float *out, size_t ldo, bool next)
{
    const size_t blocks = (k + K_BLOCK - 1) / K_BLOCK, whole = m / PAIR * PAIR;
    const size_t rest = m - whole;
    const bool parts = whole / PAIR >= FEWEST_PAIRS && whole / PAIR <= MOST_PAIRS;
    const struct tile_config *last = &configs[rest ? rest - 1 : PAIR - 1];
    if (whole == 0) _tile_loadconfig(last);
    for (size_t p = 0; p < n_panels; p += 2) {
        const uint16_t *w = (const uint16_t *)panels + p * blocks * STEP;
        const bool two = p + 1 < n_panels;
        ahead to_come = look_ahead(x, ldx, m, blocks, w, p, n_panels, next);
        if (whole > 0 && (p == 0 || rest > 0)) _tile_loadconfig(&configs[PAIR - 1]);
        if (two && parts)
            in_parts(x, ldx, whole / PAIR, (const char *)w, blocks * STEP * sizeof *w, NULL, blocks,
                     out + p * PANEL, ldo, to_come);
        for (size_t r = two && parts ? whole : 0; r < m; r += PAIR) {
            const char *a = (const char *)x + r * ldx;
            float *to = out + r * ldo + p * PANEL;
            if (r == whole && whole > 0) _tile_loadconfig(last);
            const bool lower = m - r > TILE;
            if (!two)
                one_panel(a, ldx, lower, w, blocks, to, ldo);
            else
                two_panels(a, ldx, lower, w, blocks, whole == 0 && blocks > PART, to, ldo, to_come);
            to_come.panels += blocks * to_come.panel_bytes;
            to_come.rows += blocks * to_come.row_bytes;
        }
    }
    _tile_release();
}

/* ---- int8: the same tiles from whole numbers ---- */

enum {
    FEWEST = 8,             /* rows that are multiplied without tiles */
    MOST_BLOCKS = 4096 / 32 /* of a pair of panels turned into tiles at once: 256 KiB of stack */
};

/* Up to two tiles of rows by one or two panels, turned into tiles block by block. */
static void few_rows_i8(const char *a, size_t ldx, bool lower, const char *w, size_t panel_bytes,
                        bool two, size_t blocks, float *out, size_t ldo)
{
    uint16_t tile[2][STEP] __attribute__((aligned(64)));
    const char *a1 = a + TILE * ldx;
    const size_t row = ldo * sizeof *out;
    _tile_zero(0);
    _tile_zero(1);
    if (lower) _tile_zero(2);
    if (lower) _tile_zero(3);
    for (size_t b = 0; b < blocks; b++) {
        be_in_memory(tile); /* the loads of the block before are done with it */
        widen(w + b * BYTES, tile[0]);
        if (two) widen(w + panel_bytes + b * BYTES, tile[1]);
        be_in_memory(tile);
        _tile_loadd(4, a + b * ROW_BYTES, ldx);
        _tile_loadd(6, tile[0], ROW_BYTES);
        _tile_dpbf16ps(0, 4, 6);
        if (two) _tile_loadd(7, tile[1], ROW_BYTES);
        if (two) _tile_dpbf16ps(1, 4, 7);
        if (!lower) continue;
        _tile_loadd(5, a1 + b * ROW_BYTES, ldx);
        _tile_dpbf16ps(2, 5, 6);
        if (two) _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, out, row);
    if (two) _tile_stored(1, out + TILE, row);
    if (lower) _tile_stored(2, out + TILE * ldo, row);
    if (lower && two) _tile_stored(3, out + TILE * ldo + TILE, row);
}

/* Many rows: one or two panels are turned into tiles once, of two a part while the one before it
 * is multiplied. */
static void many_rows_i8(const char *x, size_t ldx, size_t m, const char *w, size_t panel_bytes,
                         size_t n_panels, size_t k, float *out, size_t ldo)
{
    uint16_t tile[2 * MOST_BLOCKS][STEP] __attribute__((aligned(64)));
    const size_t blocks = (k + K_BLOCK - 1) / K_BLOCK, pairs = m / PAIR;
    const bool parts = n_panels == 2 && pairs >= FEWEST_PAIRS && pairs <= MOST_PAIRS;
    const size_t first = parts && blocks > PART ? PART : blocks, done = parts ? pairs * PAIR : 0;
    for (size_t p = 0; p < n_panels; p++)
        for (size_t b = 0; b < first; b++)
            widen(w + p * panel_bytes + b * BYTES, tile[p * blocks + b]);
    be_in_memory(tile);
    if (parts) {
        _tile_loadconfig(&configs[PAIR - 1]);
        in_parts(x, ldx, pairs, w, panel_bytes, tile[0], blocks, out, ldo, (ahead){0});
    }
    if (done == m) return;
    out += done * ldo;
    gemm_amx(x + done * ldx, ldx, m - done, tile, k, n_panels, out, ldo, false);
    scale_rows(w, panel_bytes, n_panels, m - done, out, ldo);
}

/* Rows so few that tiles would take longer to fill than vectors to multiply. */
static void fewest_rows_i8(const void *x, size_t ldx, size_t m, const void *panels, size_t k,
                           size_t n_panels, float *out, size_t ldo)
{
    float row[FEWEST * MOST_BLOCKS * K_BLOCK] __attribute__((aligned(64)));
    size_t ld;
    const void *rows = gather_bf16(x, ldx / sizeof(uint16_t), NULL, m, k, row, &ld);
    block_i8(rows, ld, m, panels, k, n_panels, out, ldo);
}

static void gemm_amx_i8(const void *x, size_t ldx, size_t m, const void *panels, size_t k,
                        size_t n_panels, float *out, size_t ldo, bool next)
{
    (void)next;
    const size_t blocks = (k + K_BLOCK - 1) / K_BLOCK;
    if (m <= FEWEST && blocks <= MOST_BLOCKS) {
        fewest_rows_i8(x, ldx, m, panels, k, n_panels, out, ldo);
        return;
    }
    const size_t panel_bytes = blocks * BYTES + PANEL * sizeof(float);
    for (size_t p = 0, n; p < n_panels; p += n) {
        const char *w = (const char *)panels + p * panel_bytes;
        float *to = out + p * PANEL;
        n = p + 1 < n_panels ? 2 : 1;
        if (m > PAIR && blocks <= MOST_BLOCKS) {
            many_rows_i8(x, ldx, m, w, panel_bytes, n, k, to, ldo);
            continue;
        }
        for (size_t r = 0; r < m; r += PAIR) {
            const size_t rows = m - r < PAIR ? m - r : PAIR;
            if (r == 0 || rows < PAIR) _tile_loadconfig(&configs[rows - 1]);
            few_rows_i8((const char *)x + r * ldx, ldx, rows > TILE, w, panel_bytes, n == 2, blocks,
                        to + r * ldo, ldo);
        }
        scale_rows(w, panel_bytes, n, m, to, ldo);
    }
    _tile_release();
}
#else
typedef int gm_no_amx_here; /* ISO C wants a declaration */
#endif
