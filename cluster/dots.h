/* dots.h - many dot products at once: the inner kernel of neighbours and ranks.
 *
 * Portable C, AVX2+FMA and AVX-512, chosen at run time. `tile` is approximate (float;
 * gm_dots_error bounds it) and only proposes; `squared` is the definition, the same
 * bits in every variant, and decides.
 */
#ifndef GM_DOTS_H
#define GM_DOTS_H

#include "cluster/points.h"

enum {
    GM_TILE_ROWS = 12,  /* rows of one tile */
    GM_TILE_COLS = 16,  /* columns of one tile: one panel */
    GM_TILE_DEPTH = 256 /* length of one chain of additions */
};

typedef struct gm_dots {
    const char *name; /* "avx512f", "avx2", "plain" */

    /* c (12,16; row stride c_stride) += a (12, depth) . b (depth, 16), a's rows packed one
     * after another, b by panels; each output is one chain from 0 over depth <= 256,
     * then added to c. */
    void (*tile)(const float *a, const float *b, size_t depth, float *c, size_t c_stride);

    /* sum of (x-y)^2 over dim (a multiple of 16) in double: lane l takes the dimensions
     * l mod 8, the 8 lanes are added pairwise. */
    double (*squared)(const float *x, const float *y, size_t dim);
} gm_dots;

const gm_dots *gm_dots_best(void);
const gm_dots *gm_dots_plain(void); /* for the twin test */

/* A block of columns of a (dim x N) matrix, packed for `tile`. */
enum { GM_BLOCK_ROWS = 48, GM_BLOCK_COLS = 512 };

/* Pack points [first, first + n), n <= GM_BLOCK_COLS, into `packed` (dim * GM_BLOCK_COLS
 * floats); columns past n are zero. Call inside or outside a parallel region. */
void gm_dots_pack(const gm_points *points, size_t first, size_t n, float *packed);

/* Approximate s = |f_i|^2 + |f_j|^2 - 2 f_i.f_j of the points row[0..n_rows), n_rows <=
 * GM_BLOCK_ROWS, against a packed block of n columns that starts at point `first`.
 *   scratch  GM_BLOCK_ROWS * GM_TILE_DEPTH floats
 *   s        (GM_BLOCK_ROWS, GM_BLOCK_COLS), written, never negative */
void gm_dots_block(const gm_points *points, const uint32_t *row, size_t n_rows, const float *packed,
                   size_t first, size_t n, float *scratch, float *s);

/* |approximate s - exact s| is at most this for point i against any other. */
double gm_dots_error(const gm_points *points, size_t i);

#endif
