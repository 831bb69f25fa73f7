/* select.c - which clusters of the condensed tree are taken: excess of mass or leaves,
 * then the merging of those born too near. */
#include "cluster/hdbscan.h"

/* Sum over what leaves a cluster of (lambda - birth) times how many points leave. */
static void find_stability(double *stability, const gm_condensed *tree)
{
    for (size_t c = 0; c < tree->n_clusters; c++) stability[c] = 0;
    for (size_t i = 0; i < tree->n_points; i++) {
        uint32_t c = tree->point_cluster[i];
        stability[c] += tree->point_lambda[i] - tree->birth[c];
    }
    for (size_t c = 1; c < tree->n_clusters; c++) {
        uint32_t p = tree->parent[c];
        stability[p] += (tree->birth[c] - tree->birth[p]) * tree->size[c];
    }
}

/* From the leaves up: a cluster stays when its children together are not more stable. */
static void choose_by_mass(bool *chosen, double *best, const double *stability,
                           const gm_condensed *tree, const gm_hdbscan_options *options)
{
    const size_t first = options->allow_single_cluster ? 0 : 1;
    for (size_t c = 0; c < tree->n_clusters; c++) chosen[c] = c >= first, best[c] = 0;
    for (size_t c = tree->n_clusters; c-- > first;) { /* best: sum of the children */
        bool too_large = options->max_cluster_size && tree->size[c] > options->max_cluster_size;
        chosen[c] = !(best[c] > stability[c]) && !too_large;
        if (chosen[c]) best[c] = stability[c];
        if (c > 0) best[tree->parent[c]] += best[c];
    }
    /* What lies below a chosen cluster is part of it. best is reused: 1 inside one. */
    for (size_t c = 0; c < tree->n_clusters; c++) {
        bool inside = c > 0 && best[tree->parent[c]] != 0;
        if (inside) chosen[c] = false;
        best[c] = inside || chosen[c];
    }
}

static void choose_leaves(bool *chosen, const gm_condensed *tree, bool allow_single)
{
    for (size_t c = 0; c < tree->n_clusters; c++) chosen[c] = true;
    for (size_t c = 1; c < tree->n_clusters; c++) chosen[tree->parent[c]] = false;
    if (tree->n_clusters == 1) chosen[0] = allow_single;
}

/* Replace every chosen cluster born nearer than epsilon by its first ancestor born at a
 * greater distance; below the root, by its ancestor next to the root, unless the root may be
 * chosen. */
static void merge_near(bool *chosen, const gm_condensed *tree, double epsilon, bool allow_single)
{
    for (size_t c = tree->n_clusters; c-- > 1;) {
        if (!chosen[c] || !(1 / tree->birth[c] < epsilon)) continue;
        size_t at = c;
        do {
            if (tree->parent[at] == 0 && !allow_single) break;
            at = tree->parent[at];
        } while (at != 0 && !(1 / tree->birth[at] > epsilon));
        chosen[c] = false;
        chosen[at] = true;
    }
    for (size_t c = 1; c < tree->n_clusters; c++) /* an ancestor takes all below it */
        for (size_t at = tree->parent[c]; chosen[c]; at = tree->parent[at]) {
            if (chosen[at]) chosen[c] = false;
            if (at == 0) break;
        }
}

gm_status gm_select_clusters(bool *chosen, double *stability, const gm_condensed *tree,
                             const gm_hdbscan_options *options, gm_error *err)
{
    double *best = gm_alloc(tree->n_clusters, sizeof *best);
    if (best == NULL)
        return gm_fail(err, GM_EMEM, "no memory to choose among %zu clusters", tree->n_clusters);
    find_stability(stability, tree);
    if (options->selection == GM_SELECT_LEAF)
        choose_leaves(chosen, tree, options->allow_single_cluster);
    else
        choose_by_mass(chosen, best, stability, tree, options);
    if (options->epsilon > 0 && tree->n_clusters > 1)
        merge_near(chosen, tree, options->epsilon, options->allow_single_cluster);
    gm_free(best);
    return GM_OK;
}
