/* dots_amx.c - see dots_amx.h. */
#include "cluster/dots_amx.h"

#if defined(__x86_64__) && defined(__GNUC__) && defined(__linux__)
#include <immintrin.h>

#define AMX __attribute__((target("amx-tile,amx-bf16,amx-int8")))

enum {
    ROW_BYTES = 64,
    BYTES_TILE = 16 * GM_AMX_BYTES_DEPTH,
    BYTES_STEP = 14 /* tiles of a row that are gone through at once */
};

/* Eight whole tiles: 0 to 3 hold C, 4 and 5 A, 6 and 7 B. Static, so that no compiler
 * drops its stores (GCC 12 takes _tile_loadconfig to read eight bytes only). */
static const struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} whole_tiles __attribute__((aligned(64))) = {
    .palette = 1,
    .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
    .rows = {16, 16, 16, 16, 16, 16, 16, 16},
};

/* Two tiles of rows by two of columns. */
AMX static void multiply(const uint16_t *a0, const uint16_t *a1, const uint16_t *b0,
                         const uint16_t *b1, size_t blocks, bool add, float *c, size_t c_stride)
{
    float *below = c + 16 * c_stride;
    const size_t bytes = c_stride * sizeof *c;
    if (add) {
        _tile_loadd(0, c, bytes);
        _tile_loadd(1, c + 16, bytes);
        _tile_loadd(2, below, bytes);
        _tile_loadd(3, below + 16, bytes);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    for (size_t k = 0; k < blocks * GM_AMX_TILE; k += GM_AMX_TILE) {
        _tile_loadd(4, a0 + k, ROW_BYTES);
        _tile_loadd(6, b0 + k, ROW_BYTES);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, b1 + k, ROW_BYTES);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, a1 + k, ROW_BYTES);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, c, bytes);
    _tile_stored(1, c + 16, bytes);
    _tile_stored(2, below, bytes);
    _tile_stored(3, below + 16, bytes);
}

AMX void gm_amx_block(const uint16_t *a, size_t a_stride, const uint16_t *b, size_t b_stride,
                      size_t blocks, size_t rows, size_t cols, bool add, float *c, size_t c_stride)
{
    _tile_loadconfig(&whole_tiles);
    for (size_t j = 0; j < cols; j += GM_AMX_ROWS) {
        const uint16_t *panel = b + j / 16 * b_stride;
        for (size_t i = 0; i < rows; i += GM_AMX_ROWS) {
            const uint16_t *at = a + i / 16 * a_stride;
            multiply(at, at + a_stride, panel, panel + b_stride, blocks, add, c + i * c_stride + j,
                     c_stride);
        }
    }
    _tile_release();
}

/* The same of bytes; all that is loaded comes before what it is loaded for. With every step goes a
 * piece of what is needed next, whose first line is *next. */
AMX static void multiply_bytes(const int8_t *a0, const int8_t *a1, const int8_t *b0,
                               const int8_t *b1, size_t blocks, bool add, int32_t *c,
                               size_t c_stride, const int8_t *next, size_t lines)
{
    int32_t *below = c + 16 * c_stride;
    const size_t bytes = c_stride * sizeof *c;
    if (add) {
        _tile_loadd(0, c, bytes);
        _tile_loadd(1, c + 16, bytes);
        _tile_loadd(2, below, bytes);
        _tile_loadd(3, below + 16, bytes);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    for (size_t k = 0; k < blocks * BYTES_TILE; k += BYTES_TILE) {
        for (size_t l = 0; l < lines; l++, next += ROW_BYTES) __builtin_prefetch(next, 0, 2);
        _tile_loadd(4, a0 + k, ROW_BYTES);
        _tile_loadd(5, a1 + k, ROW_BYTES);
        _tile_loadd(6, b0 + k, ROW_BYTES);
        _tile_loadd(7, b1 + k, ROW_BYTES);
        _tile_dpbssd(0, 4, 6);
        _tile_dpbssd(2, 5, 6);
        _tile_dpbssd(1, 4, 7);
        _tile_dpbssd(3, 5, 7);
    }
    _tile_stored(0, c, bytes);
    _tile_stored(1, c + 16, bytes);
    _tile_stored(2, below, bytes);
    _tile_stored(3, below + 16, bytes);
}

AMX void gm_amx_block_bytes(const int8_t *a, size_t apart, size_t pairs, const int8_t *b,
                            size_t blocks, size_t cols, int32_t *c, const int8_t *next)
{
    const size_t panel = blocks * BYTES_TILE;
    const size_t lines =
        ((size_t)32 * GM_AMX_ROWS + cols - 1) / cols; /* 32 tile rows in each step */
    _tile_loadconfig(&whole_tiles);
    for (size_t j = 0; j < cols; j += GM_AMX_ROWS)
        for (size_t k = 0; k < blocks; k += BYTES_STEP) { /* b's tiles stay near for all rows */
            const size_t left = blocks - k, step = left < BYTES_STEP ? left : BYTES_STEP;
            const int8_t *at = b + j / 16 * panel + k * BYTES_TILE;
            for (size_t i = 0; i < pairs; i++) {
                const int8_t *row = a + 2 * i * panel + k * BYTES_TILE;
                multiply_bytes(row, row + apart, at, at + panel, step, k > 0,
                               c + i * GM_AMX_ROWS * cols + j, cols, next, lines);
                next += step * lines * ROW_BYTES;
            }
        }
    _tile_release();
}
#else
void gm_amx_block(const uint16_t *a, size_t a_stride, const uint16_t *b, size_t b_stride,
                  size_t blocks, size_t rows, size_t cols, bool add, float *c, size_t c_stride)
{
    (void)a, (void)a_stride, (void)b, (void)b_stride, (void)blocks, (void)rows, (void)cols,
        (void)add, (void)c, (void)c_stride;
}

void gm_amx_block_bytes(const int8_t *a, size_t apart, size_t pairs, const int8_t *b, size_t blocks,
                        size_t cols, int32_t *c, const int8_t *next)
{
    (void)a, (void)apart, (void)pairs, (void)b, (void)blocks, (void)cols, (void)c, (void)next;
}
#endif
