/* dots.h - the inner loops of neighbours and ranks, for every instruction set.
 *
 * `tile` and `distances` are approximate (float; product.h bounds the error) and only
 * propose; `squared` is the definition, the same bits in every variant, and decides.
 */
#ifndef GM_DOTS_H
#define GM_DOTS_H

#include "cluster/isa.h"

enum {
    GM_DOTS_TILE_ROWS = 12,  /* rows of one tile */
    GM_DOTS_TILE_COLS = 16,  /* columns of one tile: one panel */
    GM_DOTS_TILE_DEPTH = 256 /* length of one chain of additions */
};

typedef struct gm_dots {
    /* c (12,16; row stride c_stride) += a (12, depth) . b (depth, 16), a's rows packed one
     * after another, b by panels; each output is one chain from 0 over depth <= 256,
     * then added to c. */
    void (*tile)(const float *a, const float *b, size_t depth, float *c, size_t c_stride);

    /* sum of (x-y)^2 over dim (a multiple of 16) in double: lane l takes the dimensions
     * l mod 8, the 8 lanes are added pairwise. */
    double (*squared)(const float *x, const float *y, size_t dim);

    /* The same in float, 16 lanes; the same bits in every variant as well. */
    float (*rough)(const float *x, const float *y, size_t dim);

    /* One row of products becomes one of distances: at[j] = max(0, own + norm[j] - 2 at[j]) for
     * j in [0,n), n a multiple of 16; near[j/16] is set where one of sixteen is at most `limit`
     * or its own other[j]. */
    void (*distances)(float *at, const float *norm, float own, float limit, const float *other,
                      size_t n, uint8_t *near);

    /* How many of at[0..n) are below `low`, and how many in [low, high]. */
    void (*count)(const float *at, size_t n, float low, float high, uint32_t *below,
                  uint32_t *within);
} gm_dots;

const gm_dots *gm_dots_of(gm_isa isa);

#endif
