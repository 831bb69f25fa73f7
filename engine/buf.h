/* buf.h - a handle to an array of a backend: where it lives and how it is laid out.
 *
 * Above the operations (ops.h) a gm_buf is passed around and never looked into;
 * `address` is for the files that implement operations, and for staging.
 *
 * Layouts, of `count` matrices of (rows, cols):
 *   ROWS    row-major, rows `stride` elements apart, stride = cols rounded up to 32;
 *           padding after `cols` is zero; the scales of 8-bit weights follow the rows of their
 *           matrix, and a matrix begins at a multiple of 32 bytes
 *   PANELS  weights of a product, rows = outputs N, cols = inputs K, in panels of 16
 *           outputs; see cpu/pack.h
 */
#ifndef GM_BUF_H
#define GM_BUF_H

#include "engine/checkpoint.h"

enum {
    GM_PANEL = 16,   /* outputs of a panel: the lanes of a vector */
    GM_K_BLOCK = 32, /* inputs that bf16 products sum before they add to the result */
};

typedef enum gm_buf_place { GM_PLACE_NOWHERE, GM_PLACE_HOST, GM_PLACE_DEVICE } gm_buf_place;
typedef enum gm_buf_layout { GM_LAYOUT_ROWS, GM_LAYOUT_PANELS } gm_buf_layout;

typedef struct gm_buf {
    gm_buf_place place;
    gm_buf_layout layout;
    gm_dtype dtype;
    size_t count, rows, cols;
    size_t stride;     /* ROWS: elements from one row to the next */
    size_t item_bytes; /* bytes from one matrix to the next */
    void *address;     /* NULL: described, not (yet) allocated */
} gm_buf;

static inline size_t gm_round_up(size_t n, size_t multiple)
{
    return (n + multiple - 1) / multiple * multiple;
}

/* Weights of 8 bits, I8 and FP8, come with a scale (f32) for each output. */
static inline bool gm_is_scaled(gm_dtype dtype)
{
    return dtype == GM_I8 || dtype == GM_FP8;
}

/* Bytes of a panel of 16 outputs and k inputs (cpu/pack.h), with its 16 scales if it has any. */
size_t gm_panel_bytes(gm_dtype dtype, size_t k);

/* Describe a buffer; nothing is allocated. */
gm_buf gm_buf_rows(gm_dtype dtype, size_t count, size_t rows, size_t cols);
gm_buf gm_buf_panels(gm_dtype dtype, size_t count, size_t rows, size_t cols);

/* Rows an odd number of cache lines apart; at a multiple of 4 KiB, the rows of a tile would share
 * a few sets of first-level cache. */
gm_buf gm_buf_spread_rows(gm_dtype dtype, size_t count, size_t rows, size_t cols);

/* Bytes that the described buffer takes. */
uint64_t gm_buf_bytes(const gm_buf *buf);

/* Zeroed memory for a described buffer, freed with gm_buf_free. GM_EMEM names `what`. */
gm_status gm_buf_create(gm_buf *buf, const char *what, gm_error *err) GM_MUST_USE;
void gm_buf_free(gm_buf *buf);

#endif
