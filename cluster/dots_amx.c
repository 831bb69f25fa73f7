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

/* Two tiles of rows by two of columns, to c. */
AMX static void multiply(float *c, const gm_amx_out *out, gm_amx_tiles rows, gm_amx_tiles cols,
                         size_t blocks)
{
    const uint16_t *a0 = rows.at, *a1 = a0 + rows.stride, *b0 = cols.at, *b1 = b0 + cols.stride;
    float *below = c + 16 * out->stride;
    const size_t bytes = out->stride * sizeof *c;
    if (out->add) {
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

static gm_amx_tiles tiles_from(gm_amx_tiles tiles, size_t i)
{
    return (gm_amx_tiles){tiles.at + i / 16 * tiles.stride, tiles.stride};
}

AMX void gm_amx_block(gm_amx_out out, gm_amx_tiles rows, gm_amx_tiles cols, size_t blocks)
{
    _tile_loadconfig(&whole_tiles);
    for (size_t j = 0; j < out.cols; j += GM_AMX_ROWS)
        for (size_t i = 0; i < out.rows; i += GM_AMX_ROWS)
            multiply(out.c + i * out.stride + j, &out, tiles_from(rows, i), tiles_from(cols, j),
                     blocks);
    _tile_release();
}

/* Two panels of rows and two of columns, `blocks` tiles of each; and what is prefetched meanwhile,
 * from `next` on, so many lines with each tile. */
typedef struct bytes_step {
    const int8_t *a, *b;
    size_t panel; /* bytes from the first panel to the second */
    size_t blocks;
    const int8_t *next;
    size_t lines;
} bytes_step;

/* The same of bytes: all that is loaded comes before what it is loaded for. */
AMX static inline void multiply_bytes(int32_t *c, size_t c_stride, bool add, bytes_step s)
{
    const int8_t *a1 = s.a + s.panel, *b1 = s.b + s.panel, *next = s.next;
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
    for (size_t k = 0; k < s.blocks * BYTES_TILE; k += BYTES_TILE) {
        for (size_t l = 0; l < s.lines; l++, next += ROW_BYTES) __builtin_prefetch(next, 0, 2);
        _tile_loadd(4, s.a + k, ROW_BYTES);
        _tile_loadd(5, a1 + k, ROW_BYTES);
        _tile_loadd(6, s.b + k, ROW_BYTES);
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

AMX void gm_amx_block_bytes(int32_t *c, const gm_amx_bytes_job *job)
{
    const size_t panel = job->blocks * BYTES_TILE, cols = job->cols;
    const size_t lines = ((size_t)32 * GM_AMX_ROWS + cols - 1) / cols; /* 32 tile rows a step */
    const int8_t *next = job->next;
    _tile_loadconfig(&whole_tiles);
    for (size_t j = 0; j < cols; j += GM_AMX_ROWS)
        for (size_t k = 0; k < job->blocks; k += BYTES_STEP) { /* b's stay near for all rows */
            const size_t left = job->blocks - k, step = left < BYTES_STEP ? left : BYTES_STEP;
            for (size_t i = 0; i < job->rows; i += GM_AMX_ROWS) {
                const bytes_step s = {.a = job->a + i / 16 * panel + k * BYTES_TILE,
                                      .b = job->b + j / 16 * panel + k * BYTES_TILE,
                                      .panel = panel,
                                      .blocks = step,
                                      .next = next,
                                      .lines = lines};
                multiply_bytes(c + i * cols + j, cols, k > 0, s);
                next += step * lines * ROW_BYTES;
            }
        }
    _tile_release();
}
#else
void gm_amx_block(gm_amx_out out, gm_amx_tiles rows, gm_amx_tiles cols, size_t blocks)
{
    (void)out, (void)rows, (void)cols, (void)blocks;
}

void gm_amx_block_bytes(int32_t *c, const gm_amx_bytes_job *job)
{
    (void)c, (void)job;
}
#endif
