/* neighbour.h - a short list of the nearest, kept in order while others come.
 *
 * The order is total: by s, which may be any number that grows with distance, then by index. So the
 * list is the same in whatever order they come.
 */
#ifndef GM_NEIGHBOUR_H
#define GM_NEIGHBOUR_H

#include "base/base.h"

#include <assert.h>

typedef struct gm_neighbour {
    double s;
    uint32_t index;
} gm_neighbour;

static inline bool gm_neighbour_before(gm_neighbour a, gm_neighbour b)
{
    return a.s < b.s || (a.s == b.s && a.index < b.index);
}

/* Insert into best[0..*n), ascending, which keeps the `most` >= 1 nearest. */
static inline void gm_neighbour_insert(gm_neighbour *best, size_t *n, size_t most, gm_neighbour it)
{
    assert(most > 0);
    if (*n == most && !gm_neighbour_before(it, best[most - 1])) return;
    size_t at = *n < most ? (*n)++ : most - 1;
    for (; at > 0 && gm_neighbour_before(it, best[at - 1]); at--) best[at] = best[at - 1];
    best[at] = it;
}

#endif
