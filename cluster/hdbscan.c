/* hdbscan.c - the steps in order, and what is said of each point. See hdbscan.h. */
#include "cluster/hdbscan.h"

#include <math.h>

static const uint32_t NONE = UINT32_MAX;

/* For each cluster of the tree the chosen one it is part of, or NONE. */
static void find_owners(uint32_t *owner, const bool *chosen, const gm_condensed *tree)
{
    for (size_t c = 0; c < tree->n_clusters; c++)
        owner[c] = chosen[c] ? (uint32_t)c : c > 0 ? owner[tree->parent[c]] : NONE;
}

/* The largest lambda at which anything leaves each cluster; *all over the whole tree. */
static void find_deaths(double *death, double *all, const gm_condensed *tree)
{
    for (size_t c = 0; c < tree->n_clusters; c++) death[c] = 0;
    for (size_t i = 0; i < tree->n_points; i++) {
        uint32_t c = tree->point_cluster[i];
        death[c] = fmax(death[c], tree->point_lambda[i]);
    }
    for (size_t c = 1; c < tree->n_clusters; c++)
        death[tree->parent[c]] = fmax(death[tree->parent[c]], tree->birth[c]);
    *all = 0;
    for (size_t c = 0; c < tree->n_clusters; c++) *all = fmax(*all, death[c]);
}

/* Where the root is the only cluster, a point belongs to it when it stays until epsilon, or
 * to the end of the root. */
static bool stays_in_root(double lambda, double root_death, double epsilon)
{
    return epsilon > 0 ? lambda >= 1 / epsilon : lambda >= root_death;
}

static void label_points(gm_clustering *out, const gm_condensed *tree, const uint32_t *owner,
                         const int32_t *number, const double *death,
                         const gm_hdbscan_options *options)
{
    for (size_t i = 0; i < tree->n_points; i++) {
        uint32_t c = owner[tree->point_cluster[i]];
        double lambda = tree->point_lambda[i];
        bool in = c != NONE;
        if (c == 0) in = stays_in_root(lambda, death[0], options->epsilon);
        out->label[i] = in ? number[c] : -1;
        out->probability[i] = 0;
        if (in) out->probability[i] = death[c] > 0 ? (float)(fmin(lambda, death[c]) / death[c]) : 1;
    }
}

/* GLOSH: how far below the last of its neighbourhood a point fell out. `death` is used up:
 * it becomes the largest lambda at or below each cluster. */
static void score_outliers(float *outlier, const gm_condensed *tree, double *death)
{
    for (size_t c = tree->n_clusters; c-- > 1;)
        death[tree->parent[c]] = fmax(death[tree->parent[c]], death[c]);
    for (size_t i = 0; i < tree->n_points; i++) {
        double most = death[tree->point_cluster[i]], lambda = tree->point_lambda[i];
        outlier[i] = most > 0 ? (float)((most - lambda) / most) : 0;
    }
}

static void find_persistence(gm_clustering *out, const bool *chosen, const int32_t *number,
                             const double *stability, size_t n_tree, double all, size_t *size)
{
    for (size_t i = 0; i < out->n; i++)
        if (out->label[i] >= 0) size[out->label[i]]++;
    for (size_t c = 0; c < n_tree; c++) {
        if (!chosen[c]) continue;
        double whole = (double)size[number[c]] * all;
        out->persistence[number[c]] = whole > 0 ? fmin(stability[c] / whole, 1) : 1;
    }
}

static gm_status alloc_result(gm_clustering *out, size_t n, size_t n_clusters, gm_error *err)
{
    out->n = n, out->n_clusters = n_clusters;
    out->label = gm_alloc(n, sizeof *out->label);
    out->probability = gm_alloc(n, sizeof *out->probability);
    out->outlier = gm_alloc(n, sizeof *out->outlier);
    out->persistence = gm_alloc(n_clusters, sizeof *out->persistence);
    if (!out->label || !out->probability || !out->outlier || !out->persistence)
        return gm_fail(err, GM_EMEM, "no memory for the labels of %zu points", n);
    return GM_OK;
}

gm_status gm_hdbscan_cut(gm_clustering *out, gm_linkage *linkage, const gm_hdbscan_options *options,
                         gm_error *err)
{
    gm_status status = GM_OK;
    gm_condensed tree = {0};
    gm_clustering done = {0};
    bool *chosen = NULL;
    double *stability = NULL, *death = NULL, all;
    uint32_t *owner = NULL;
    int32_t *number = NULL;
    size_t *size = NULL, n_chosen = 0;
    *out = (gm_clustering){0};

    GM_TRY(gm_condense(&tree, linkage, options->min_cluster_size, err));
    chosen = gm_alloc(tree.n_clusters, sizeof *chosen);
    stability = gm_alloc(tree.n_clusters, sizeof *stability);
    death = gm_alloc(tree.n_clusters, sizeof *death);
    owner = gm_alloc(tree.n_clusters, sizeof *owner);
    number = gm_alloc(tree.n_clusters, sizeof *number);
    size = gm_alloc(tree.n_clusters, sizeof *size);
    if (!chosen || !stability || !death || !owner || !number || !size)
        GM_FAIL(GM_EMEM, "no memory for %zu clusters", tree.n_clusters);
    GM_TRY(gm_select_clusters(chosen, stability, &tree, options, err));
    for (size_t c = 0; c < tree.n_clusters; c++) number[c] = chosen[c] ? (int32_t)n_chosen++ : -1;

    GM_TRY(alloc_result(&done, linkage->n, n_chosen, err));
    find_owners(owner, chosen, &tree);
    find_deaths(death, &all, &tree);
    label_points(&done, &tree, owner, number, death, options);
    find_persistence(&done, chosen, number, stability, tree.n_clusters, all, size);
    score_outliers(done.outlier, &tree, death);
    done.linkage = *linkage;
    *linkage = (gm_linkage){0};
    done.tree = tree;
    tree = (gm_condensed){0};
    done.node_label = number;
    number = NULL;
    *out = done;
    done = (gm_clustering){0};
out:
    gm_free(chosen);
    gm_free(stability);
    gm_free(death);
    gm_free(owner);
    gm_free(number);
    gm_free(size);
    gm_condensed_clear(&tree);
    gm_clustering_clear(&done);
    return status;
}

gm_status gm_hdbscan_fit(gm_clustering *out, const double *at, size_t n, int dim,
                         const gm_hdbscan_options *options, gm_error *err)
{
    gm_status status = GM_OK;
    gm_linkage linkage = {0};
    double *core = gm_alloc(n, sizeof *core);
    gm_edge *edge = gm_alloc(n, sizeof *edge);
    const int n_others = options->min_samples - options->count_self;
    *out = (gm_clustering){0};
    if (!core || !edge) GM_FAIL(GM_EMEM, "no memory to cluster %zu points", n);
    if (options->min_samples < 1)
        GM_FAIL(GM_EARG, "min-samples is %d, expected at least 1", options->min_samples);
    GM_TRY(gm_mst_find(edge, core, at, n, dim, n_others, err));
    GM_TRY(gm_linkage_make(&linkage, edge, n, err));
    GM_TRY(gm_hdbscan_cut(out, &linkage, options, err));
out:
    gm_free(core);
    gm_free(edge);
    gm_linkage_clear(&linkage);
    return status;
}

void gm_clustering_clear(gm_clustering *clustering)
{
    gm_free(clustering->label);
    gm_free(clustering->probability);
    gm_free(clustering->outlier);
    gm_free(clustering->persistence);
    gm_free(clustering->node_label);
    gm_condensed_clear(&clustering->tree);
    gm_linkage_clear(&clustering->linkage);
    *clustering = (gm_clustering){0};
}
