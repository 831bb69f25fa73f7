/* shortlist.h - for every query the points that may be among its nearest, by distances that are
 * off by a known error.
 *
 * Sizes: Q queries, which are points themselves: places of bytes.h.
 *
 * Of a query all points stay whose distance, less its error, is at most a limit: the distance of
 * the one that comes last among those wanted, and a little. What has been dropped is farther than
 * the limit at the end. Where so many stay that a list overflows, the query is given up.
 */
#ifndef GM_SHORTLIST_H
#define GM_SHORTLIST_H

#include "cluster/bytes.h"
#include "cluster/candidates.h"

#include <string.h>

typedef struct gm_shortlist {
    const gm_bytes *bytes; /* borrowed */
    size_t want, room;     /* how many of each query are wanted; the most that are kept */
    gm_candidate *list;    /* (Q, room) */
    uint32_t *n_listed;    /* (Q) */
    uint32_t *trim_at;     /* (Q) so many are looked through */
    float *limit;          /* (Q) finite; negative: given up */
} gm_shortlist;

/* Room for a few hundred of each. Errors: GM_EMEM. */
gm_status gm_shortlist_init(gm_shortlist *out, const gm_bytes *bytes, size_t want, gm_error *err)
    GM_MUST_USE;
void gm_shortlist_clear(gm_shortlist *shortlist);

/* The first offers to query q, all n of them together, in any order; changed. */
void gm_shortlist_begin(gm_shortlist *l, size_t q, gm_candidate *offered, size_t n);

/* Drop what is beyond the limit by now. */
void gm_shortlist_trim(gm_shortlist *l, size_t q);

/* A distance s of query q that is within its limit. */
static inline void gm_shortlist_add(gm_shortlist *l, size_t q, float s, size_t index)
{
    if (l->limit[q] < 0) return;
    l->list[q * l->room + l->n_listed[q]++] = gm_candidate_make(s, index);
    if (l->n_listed[q] == l->trim_at[q]) gm_shortlist_trim(l, q);
}

/* The same of one that may not be. */
static inline void gm_shortlist_offer(gm_shortlist *l, size_t q, float s, size_t index)
{
    if (s - gm_bytes_error(l->bytes, q, index) <= l->limit[q]) gm_shortlist_add(l, q, s, index);
}

#endif
