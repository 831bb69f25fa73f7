/* candidates.c - lists of twice W that are halved when they are full. */
#include "cluster/candidates.h"

#include <math.h>

gm_status gm_candidates_init(gm_candidates *out, size_t n_queries, size_t width, gm_error *err)
{
    *out = (gm_candidates){.width = width};
    out->list = gm_alloc2(n_queries, 2 * width, sizeof *out->list);
    out->n_listed = gm_alloc(n_queries, sizeof *out->n_listed);
    out->limit = gm_alloc(n_queries, sizeof *out->limit);
    if (!out->list || !out->n_listed || !out->limit) {
        gm_candidates_clear(out);
        return gm_fail(err, GM_EMEM, "no memory for %zu candidates of %zu points", width,
                       n_queries);
    }
    for (size_t q = 0; q < n_queries; q++) out->limit[q] = INFINITY;
    return GM_OK;
}

void gm_candidates_clear(gm_candidates *candidates)
{
    gm_free(candidates->list);
    gm_free(candidates->n_listed);
    gm_free(candidates->limit);
    *candidates = (gm_candidates){0};
}

/* Hoare's selection. */
void gm_candidate_select(gm_candidate *list, size_t n, size_t keep)
{
    size_t lo = 0, hi = n - 1;
    while (lo < hi) {
        gm_candidate pivot = list[lo + (hi - lo) / 2];
        size_t i = lo, j = hi;
        for (;;) {
            while (list[i] < pivot) i++;
            while (list[j] > pivot) j--;
            if (i >= j) break;
            gm_candidate c = list[i];
            list[i++] = list[j], list[j--] = c;
        }
        if (keep == j + 1) return;
        if (keep - 1 <= j)
            hi = j;
        else
            lo = j + 1;
    }
}

void gm_candidates_shrink(gm_candidates *candidates, size_t q)
{
    gm_candidate *list = candidates->list + q * 2 * candidates->width, worst = 0;
    if (candidates->n_listed[q] <= candidates->width) return;
    gm_candidate_select(list, candidates->n_listed[q], candidates->width);
    for (size_t i = 0; i < candidates->width; i++) worst = list[i] > worst ? list[i] : worst;
    candidates->n_listed[q] = (uint32_t)candidates->width;
    candidates->limit[q] = gm_candidate_s(worst);
}

void gm_candidates_close(gm_candidates *candidates, size_t q)
{
    gm_candidate *list = candidates->list + q * 2 * candidates->width;
    gm_candidates_shrink(candidates, q);
    for (size_t i = 1; i < candidates->n_listed[q]; i++) { /* by insertion: they are few */
        gm_candidate it = list[i];
        size_t at = i;
        for (; at > 0 && it < list[at - 1]; at--) list[at] = list[at - 1];
        list[at] = it;
    }
}
