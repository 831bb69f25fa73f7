/* shortlist.c - lists that are gone through whenever they have grown by a few dozen. */
#include "cluster/shortlist.h"

#include <float.h>
#include <math.h>

enum { GROWTH = 64 };

gm_status gm_shortlist_init(gm_shortlist *out, const gm_bytes *bytes, size_t want, gm_error *err)
{
    const size_t n = bytes->n, room = 4 * want + (size_t)3 * GROWTH;
    *out = (gm_shortlist){.bytes = bytes, .want = want, .room = room};
    out->list = gm_alloc2(n, room, sizeof *out->list);
    out->n_listed = gm_alloc(n, sizeof *out->n_listed);
    out->trim_at = gm_alloc(n, sizeof *out->trim_at);
    out->limit = gm_alloc(n, sizeof *out->limit);
    if (!out->list || !out->n_listed || !out->trim_at || !out->limit) {
        gm_shortlist_clear(out);
        return gm_fail(err, GM_EMEM, "no memory for short lists of %zu points", n);
    }
    for (size_t q = 0; q < n; q++) {
        out->limit[q] = FLT_MAX;
        out->trim_at[q] = (uint32_t)(want + GROWTH);
    }
    return GM_OK;
}

void gm_shortlist_clear(gm_shortlist *shortlist)
{
    gm_free(shortlist->list);
    gm_free(shortlist->n_listed);
    gm_free(shortlist->trim_at);
    gm_free(shortlist->limit);
    *shortlist = (gm_shortlist){0};
}

/* What the limit becomes with these n >= want on the list, which are reordered. Errors are the sum
 * of D parts of either sign, their bound is as if all had the same; so a few times one part in the
 * root of D is enough for the `want`-th of them to be nearer than what is dropped. Where it is not,
 * that is noticed. */
static float find_limit(const gm_bytes *bytes, size_t want, size_t q, gm_candidate *list, size_t n)
{
    const float share = 3.0f / sqrtf((float)bytes->dim);
    gm_candidate last = 0;
    gm_candidate_select(list, n, want);
    for (size_t i = 0; i < want; i++) last = list[i] > last ? list[i] : last;
    return gm_candidate_s(last) + share * gm_bytes_error(bytes, q, gm_candidate_index(last));
}

/* Limits only fall, though the `want`-th may have a larger error than the one before it: what has
 * been dropped was farther than the limit of that time. */
static void lower_limit(gm_shortlist *l, size_t q, gm_candidate *list, size_t n)
{
    l->limit[q] = fminf(l->limit[q], find_limit(l->bytes, l->want, q, list, n));
}

/* Those within the limit come to the front. */
static size_t keep_near(const gm_bytes *bytes, size_t q, gm_candidate *list, size_t n, float limit)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        const float error = gm_bytes_error(bytes, q, gm_candidate_index(list[i]));
        if (gm_candidate_s(list[i]) - error <= limit) list[kept++] = list[i];
    }
    return kept;
}

/* With n on the list, look through it again when it has grown. */
static void set_listed(gm_shortlist *l, size_t q, size_t n)
{
    l->n_listed[q] = (uint32_t)n;
    l->trim_at[q] = (uint32_t)(n + GROWTH < l->room ? n + GROWTH : l->room);
}

static void give_up(gm_shortlist *l, size_t q)
{
    l->limit[q] = -1;
    set_listed(l, q, 0);
}

void gm_shortlist_begin(gm_shortlist *l, size_t q, gm_candidate *offered, size_t n)
{
    if (n >= l->want) {
        lower_limit(l, q, offered, n);
        n = keep_near(l->bytes, q, offered, n, l->limit[q]);
    }
    if (n >= l->room) {
        give_up(l, q);
        return;
    }
    memcpy(l->list + q * l->room, offered, n * sizeof *offered);
    set_listed(l, q, n);
}

void gm_shortlist_trim(gm_shortlist *l, size_t q)
{
    gm_candidate *list = l->list + q * l->room; /* (room) */
    size_t n = l->n_listed[q];
    if (n < l->want || l->limit[q] < 0) return;
    lower_limit(l, q, list, n);
    n = keep_near(l->bytes, q, list, n, l->limit[q]);
    if (n == l->room)
        give_up(l, q);
    else
        set_listed(l, q, n);
}
