/* recut.c - cutting, taking over, merging, numbering. See recut.h. */
#include "cluster/recut.h"

#include "cluster/rerun.h"

#include <string.h>

void gm_recut_spread(int32_t *label, const gm_atlas_points *points, const int32_t *of_point,
                     size_t n)
{
    for (size_t i = 0; i < n; i++)
        label[i] = points->point[i] == GM_NO_POINT ? -1 : of_point[points->point[i]];
}

/* The atlas's own labels in place of those of the cut that gave its tree. */
static gm_status take_over(gm_clustering *c, const gm_atlas_points *points, const gm_atlas *atlas,
                           gm_error *err)
{
    const size_t C = atlas->n_clusters;
    if (c->tree.n_clusters != atlas->n_nodes)
        return gm_fail(err, GM_EFORMAT,
                       "the condensed tree has %zu nodes, but '/condensed' has %zu; the parameters "
                       "do not match the tree",
                       c->tree.n_clusters, atlas->n_nodes);
    double *persistence = gm_alloc(C, sizeof *persistence);
    if (persistence == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu clusters", C);
    for (size_t k = 0; k < C; k++) persistence[k] = (double)atlas->stability[k];
    gm_free(c->persistence);
    c->persistence = persistence;
    c->n_clusters = C;
    for (size_t p = 0; p < points->m; p++) {
        uint32_t d = points->document[p];
        c->label[p] = atlas->cluster[d];
        c->probability[p] = atlas->probability[d];
        c->outlier[p] = atlas->outlier[d];
    }
    memcpy(c->node_label, atlas->node_cluster, atlas->n_nodes * sizeof *c->node_label);
    return GM_OK;
}

static gm_status number(gm_clustering *c, const gm_atlas_points *points, const gm_atlas *atlas,
                        gm_error *err)
{
    int32_t *label = gm_alloc(atlas->n, sizeof *label);
    if (label == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu labels", atlas->n);
    gm_recut_spread(label, points, c->label, atlas->n);
    gm_status status = gm_rerun_number(c, label, atlas->n, (const uint8_t(*)[32])atlas->sha, err);
    gm_free(label);
    return status;
}

/* The last of a chain of merges; -1 when it never ends. */
static int32_t end_of(int32_t cluster, const gm_recut_merge *merge, size_t n)
{
    for (size_t steps = 0; steps <= n; steps++) {
        size_t i = 0;
        while (i < n && (merge[i].from != cluster || merge[i].from == merge[i].into)) i++;
        if (i == n) return cluster;
        cluster = merge[i].into;
    }
    return -1;
}

/* The persistence of a cluster of several is their mean by points. */
static gm_status merge_all(gm_clustering *c, const gm_recut *how, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t C = c->n_clusters;
    int32_t *into = gm_alloc(C, sizeof *into);
    double *size = gm_alloc(C, sizeof *size), *sum = gm_alloc(C, sizeof *sum);
    if (!into || !size || !sum) GM_FAIL(GM_EMEM, "no memory to merge %zu clusters", C);
    for (size_t i = 0; i < how->n_merges; i++) {
        const gm_recut_merge *m = &how->merge[i];
        int32_t wrong = m->from < 0 || (size_t)m->from >= C ? m->from : m->into;
        if (wrong < 0 || (size_t)wrong >= C)
            GM_FAIL(GM_EARG, "there is no cluster %d to merge; there are %zu", wrong, C);
        for (size_t j = 0; j < i; j++)
            if (how->merge[j].from == m->from && how->merge[j].into != m->into)
                GM_FAIL(GM_EARG, "cluster %d is merged twice", m->from);
    }
    for (size_t k = 0; k < C; k++) {
        into[k] = end_of((int32_t)k, how->merge, how->n_merges);
        if (into[k] < 0) GM_FAIL(GM_EARG, "the merges of cluster %zu form a cycle", k);
    }
    for (size_t p = 0; p < c->n; p++) {
        if (c->label[p] < 0) continue;
        sum[into[c->label[p]]] += c->persistence[c->label[p]];
        c->label[p] = into[c->label[p]];
        size[c->label[p]]++;
    }
    for (size_t k = 0; k < C; k++)
        if (size[k] > 0) c->persistence[k] = sum[k] / size[k];
    for (size_t r = 0; r < c->tree.n_clusters; r++)
        if (c->node_label[r] >= 0) c->node_label[r] = into[c->node_label[r]];
out:
    gm_free(into);
    gm_free(size);
    gm_free(sum);
    return status;
}

gm_status gm_recut_cluster(gm_clustering *out, gm_atlas_points *points, const gm_atlas *atlas,
                           const gm_recut *how, gm_hdbscan_options *options, size_t *n_found,
                           gm_error *err)
{
    gm_status status = GM_OK;
    gm_clustering c = {0};
    *out = (gm_clustering){0};
    if (how->cut && how->target_clusters > 0)
        GM_TRY(gm_hdbscan_aim(&options->min_cluster_size, n_found, &points->linkage, options,
                              how->target_clusters, err));
    GM_TRY(gm_rerun_cut(&c, &points->linkage, &points->graph, options, err));
    if (!how->cut) GM_TRY(take_over(&c, points, atlas, err));
    GM_TRY(number(&c, points, atlas, err));
    *n_found = c.n_clusters;
    if (how->n_merges > 0) {
        GM_TRY(merge_all(&c, how, err));
        GM_TRY(number(&c, points, atlas, err));
    }
    *out = c;
    c = (gm_clustering){0};
out:
    gm_clustering_clear(&c);
    return status;
}
