/* target_clusters.c - the smallest cluster size that gives about as many clusters as are wanted. */
#include "cluster/hdbscan.h"

#include "base/progress.h"

enum { CLOSE_LOOKS = 64 }; /* sizes tried between two of the coarse scan */

typedef struct aim {
    const gm_linkage *linkage;
    gm_hdbscan_options options;
    size_t wanted, best_size, best_count;
} aim;

static size_t distance(size_t a, size_t b)
{
    return a > b ? a - b : b - a;
}

/* Try a size; the larger one of those that come as near stays. */
static gm_status try_size(aim *a, size_t size, gm_error *err)
{
    gm_status status = GM_OK;
    gm_condensed tree = {0};
    bool *chosen = NULL;
    double *stability = NULL;
    size_t count = 0;
    a->options.min_cluster_size = size;
    GM_TRY(gm_condense(&tree, a->linkage, size, err));
    chosen = gm_alloc(tree.n_clusters, sizeof *chosen);
    stability = gm_alloc(tree.n_clusters, sizeof *stability);
    if (!chosen || !stability)
        GM_FAIL(GM_EMEM, "no memory to choose among %zu clusters", tree.n_clusters);
    GM_TRY(gm_select_clusters(chosen, stability, &tree, &a->options, err));
    for (size_t c = 0; c < tree.n_clusters; c++) count += chosen[c];
    size_t off = distance(count, a->wanted), best = distance(a->best_count, a->wanted);
    if (a->best_size == 0 || off < best || (off == best && size > a->best_size))
        a->best_size = size, a->best_count = count;
out:
    gm_free(chosen);
    gm_free(stability);
    gm_condensed_clear(&tree);
    return status;
}

/* The next size of the coarse scan: a twelfth more. */
static size_t next_size(size_t size)
{
    return size + size / 12 + 1;
}

gm_status gm_hdbscan_aim(size_t *min_cluster_size, size_t *n_clusters, const gm_linkage *linkage,
                         const gm_hdbscan_options *options, size_t wanted, gm_error *err)
{
    gm_status status = GM_OK;
    aim a = {.linkage = linkage, .options = *options, .wanted = wanted};
    const size_t most = linkage->n / 2 > 2 ? linkage->n / 2 : 2;
    size_t before = 2, after = 2;
    for (size_t size = 2; size <= most; size = next_size(size)) GM_TRY(try_size(&a, size, err));
    /* Between its neighbours in that scan, where the best one left something to wish for. */
    for (size_t size = 2; size <= most && after <= a.best_size; size = next_size(size)) {
        if (size < a.best_size) before = size;
        after = next_size(size);
    }
    if (after > most) after = most;
    size_t step = (after - before) / CLOSE_LOOKS + 1;
    for (size_t size = before; size <= after && a.best_count != wanted; size += step)
        GM_TRY(try_size(&a, size, err));
    if (a.best_count != wanted)
        gm_warn("found no --min-cluster-size that gives %zu clusters; %zu gives %zu", wanted,
                a.best_size, a.best_count);
    *min_cluster_size = a.best_size;
    *n_clusters = a.best_count;
out:
    return status;
}
