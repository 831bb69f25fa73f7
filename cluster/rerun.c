/* rerun.c - map and clusters again. See rerun.h. */
#include "cluster/rerun.h"

#include "base/progress.h"
#include "cluster/profile.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MIN_SIZE = 5 };

static void exclude_isolated(gm_clustering *c, const gm_graph *graph)
{
    for (size_t i = 0; i < c->n; i++) {
        if (graph->indptr[i + 1] > graph->indptr[i]) continue;
        c->label[i] = -1;
        c->probability[i] = 0;
        c->outlier[i] = 1;
    }
}

gm_status gm_rerun_cluster(gm_clustering *out, const float *xy, int dim, const gm_graph *graph,
                           const gm_hdbscan_options *options, gm_error *err)
{
    const size_t n = graph->n, values = n * (size_t)dim;
    double *at = gm_alloc2(n, (size_t)dim, sizeof *at);
    *out = (gm_clustering){0};
    if (at == NULL) return gm_fail(err, GM_EMEM, "no memory to cluster %zu documents", n);
    for (size_t i = 0; i < values; i++) at[i] = (double)xy[i];
    gm_status status = gm_hdbscan_fit(out, at, n, dim, options, err);
    if (status == GM_OK) exclude_isolated(out, graph);
    gm_free(at);
    return status;
}

gm_status gm_rerun_cut(gm_clustering *out, gm_linkage *linkage, const gm_graph *graph,
                       const gm_hdbscan_options *options, gm_error *err)
{
    gm_status status = gm_hdbscan_cut(out, linkage, options, err);
    if (status == GM_OK) exclude_isolated(out, graph);
    return status;
}

gm_status gm_rerun_number(gm_clustering *c, const int32_t *label, size_t n,
                          const uint8_t (*sha)[32], gm_error *err)
{
    gm_status status = GM_OK;
    const size_t C = c->n_clusters;
    uint32_t *order = gm_alloc(C, sizeof *order);
    int32_t *number = gm_alloc(C, sizeof *number); /* the new one of each old one */
    int32_t *copy = gm_alloc(n, sizeof *copy);
    double *persistence = gm_alloc(C, sizeof *persistence);
    size_t n_left = 0;
    if (!order || !number || !copy || !persistence)
        GM_FAIL(GM_EMEM, "no memory to number %zu clusters", C);
    memcpy(copy, label, n * sizeof *copy);
    GM_TRY(gm_profile_number(copy, n, sha, C, order, err));
    for (size_t i = 0; i < n; i++) /* clusters without a document come last */
        if (copy[i] >= 0 && (size_t)copy[i] >= n_left) n_left = (size_t)copy[i] + 1;
    for (size_t i = 0; i < C; i++) {
        persistence[i] = c->persistence[order[i]];
        number[order[i]] = i < n_left ? (int32_t)i : -1;
    }
    for (size_t i = 0; i < c->n; i++)
        if (c->label[i] >= 0) c->label[i] = number[c->label[i]];
    for (size_t r = 0; r < c->tree.n_clusters; r++)
        if (c->node_label[r] >= 0) c->node_label[r] = number[c->node_label[r]];
    memcpy(c->persistence, persistence, C * sizeof *persistence);
    c->n_clusters = n_left;
out:
    gm_free(order);
    gm_free(number);
    gm_free(copy);
    gm_free(persistence);
    return status;
}

gm_hdbscan_options gm_rerun_defaults(const gm_hdbscan_options *options, size_t m)
{
    gm_hdbscan_options used = *options;
    if (used.min_cluster_size == 0) used.min_cluster_size = m / 200 > 15 ? m / 200 : 15;
    if (used.min_samples == 0)
        used.min_samples = used.min_cluster_size < 15 ? (int)used.min_cluster_size : 15;
    return used;
}

void gm_rerun_advise(const gm_clustering *c, const gm_hdbscan_options *used, const char *what)
{
    const char *single =
        used->allow_single_cluster ? "" : ", or give --allow-single-cluster if all may be one";
    char most[64] = "";
    if (used->max_cluster_size > 0)
        snprintf(most, sizeof most, "raise --max-cluster-size (%zu), ", used->max_cluster_size);
    if (c->n_clusters == 0)
        gm_warn("no cluster was found, so every %s is noise: %slower --min-cluster-size (%zu) or "
                "--min-samples (%d)%s",
                what, most, used->min_cluster_size, used->min_samples, single);
    else if (c->n_clusters == 1 && !used->allow_single_cluster)
        gm_warn(
            "only one cluster was found: lower --min-cluster-size (%zu) or use --selection leaf",
            used->min_cluster_size);
}

static size_t in_proportion(size_t size, size_t from, size_t to)
{
    size_t scaled = (size_t)round((double)size * (double)to / (double)from);
    return scaled > MIN_SIZE ? scaled : size < MIN_SIZE ? size : MIN_SIZE;
}

gm_hdbscan_options gm_rerun_scale(const gm_hdbscan_options *used, size_t from, size_t to)
{
    gm_hdbscan_options scaled = *used;
    if (to == from) return scaled;
    scaled.min_cluster_size = in_proportion(used->min_cluster_size, from, to);
    if (used->max_cluster_size > 0)
        scaled.max_cluster_size = in_proportion(used->max_cluster_size, from, to);
    if ((size_t)scaled.min_samples > scaled.min_cluster_size)
        scaled.min_samples = (int)scaled.min_cluster_size;
    return scaled;
}

gm_status gm_rerun_label_from(int32_t *label, size_t *n_clusters, const gm_umap_base *base,
                              const gm_umap_options *umap, const gm_hdbscan_options *hdbscan,
                              gm_error *err)
{
    gm_status status = GM_OK;
    const size_t n = base->graph.n;
    gm_clustering clustering = {0};
    float *at = gm_alloc2(n, (size_t)umap->dim, sizeof *at);
    *n_clusters = 0;
    if (at == NULL) GM_FAIL(GM_EMEM, "no memory for another map of %zu documents", n);
    for (size_t i = 0; i < n; i++) label[i] = -1;
    if (base->report.n_isolated == n) goto out; /* nobody is a neighbour of anybody */
    GM_TRY(gm_umap_lay_out(at, base, umap, NULL, err));
    GM_TRY(gm_rerun_cluster(&clustering, at, umap->dim, &base->graph, hdbscan, err));
    memcpy(label, clustering.label, n * sizeof *label);
    *n_clusters = clustering.n_clusters;
out:
    gm_free(at);
    gm_clustering_clear(&clustering);
    return status;
}

gm_status gm_rerun_label(int32_t *label, size_t *n_clusters, const gm_points *points,
                         const gm_knn *knn, const gm_umap_options *umap,
                         const gm_hdbscan_options *hdbscan, gm_error *err)
{
    gm_umap_base base;
    gm_status status = gm_umap_prepare(&base, points, knn, umap, err);
    if (status == GM_OK) status = gm_rerun_label_from(label, n_clusters, &base, umap, hdbscan, err);
    gm_umap_base_clear(&base);
    return status;
}
