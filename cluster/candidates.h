/* candidates.h - the few nearest of many points that are offered one after another, for every
 * query at once.
 *
 * Sizes: Q queries, W candidates kept of each.
 *
 * Which W are kept in the end depends on what was offered, not on the order.
 */
#ifndef GM_CANDIDATES_H
#define GM_CANDIDATES_H

#include "base/base.h"

#include <string.h>

/* One integer, the bits of a distance (never negative, so the bits order as the values do)
 * above the number of the point: ties go to the lower number by themselves. */
typedef uint64_t gm_candidate;

typedef struct gm_candidates {
    size_t width;       /* W */
    gm_candidate *list; /* (Q, 2 W) */
    uint32_t *n_listed; /* (Q) */
    float *limit;       /* (Q) the worst distance kept; infinity while nothing was dropped */
} gm_candidates;

gm_status gm_candidates_init(gm_candidates *out, size_t n_queries, size_t width, gm_error *err)
    GM_MUST_USE;
void gm_candidates_clear(gm_candidates *candidates);

/* Move the `keep` smallest of list[0..n) to the front, 1 <= keep <= n. */
void gm_candidate_select(gm_candidate *list, size_t n, size_t keep);

/* For gm_candidates_offer: keep the W smallest of query q. */
void gm_candidates_shrink(gm_candidates *candidates, size_t q);

/* At the end, once a query: the W smallest, ascending. */
void gm_candidates_close(gm_candidates *candidates, size_t q);

static inline gm_candidate gm_candidate_make(float s, size_t index)
{
    uint32_t bits;
    memcpy(&bits, &s, sizeof bits);
    return (uint64_t)bits << 32 | (uint32_t)index;
}

static inline void gm_candidates_offer(gm_candidates *c, size_t q, float s, size_t index)
{
    if (!(s <= c->limit[q])) return;
    c->list[q * 2 * c->width + c->n_listed[q]++] = gm_candidate_make(s, index);
    if (c->n_listed[q] == 2 * c->width) gm_candidates_shrink(c, q);
}

static inline uint32_t gm_candidate_index(gm_candidate candidate)
{
    return (uint32_t)candidate;
}

static inline float gm_candidate_s(gm_candidate candidate)
{
    uint32_t bits = (uint32_t)(candidate >> 32);
    float s;
    memcpy(&s, &bits, sizeof s);
    return s;
}

#endif
