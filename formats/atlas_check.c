/* atlas_check.c - the values of an atlas that was read: whatever a file holds, what is let
 * through can be indexed, divided by and shown.
 */
#include "formats/atlas_schema.h"
#include "formats/shape.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

/* Index of the first value outside [lo, hi], or n; NaN is outside. */
static size_t first_outside(const float *value, size_t n, float lo, float hi)
{
    size_t i = 0;
    while (i < n && value[i] >= lo && value[i] <= hi) i++;
    return i;
}

static gm_status check_documents(const gm_atlas *a, hid_t file, gm_error *err)
{
    for (size_t i = 0; i < a->n; i++) {
        if (a->cluster[i] < -1 || a->cluster[i] >= (int64_t)a->n_clusters)
            return gm_h5_fail(err, GM_EFORMAT, file,
                              "document %zu is in cluster %d, but there are only %zu", i,
                              a->cluster[i], a->n_clusters);
        if (a->subset[i] >= a->n_subsets)
            return gm_h5_fail(err, GM_EFORMAT, file,
                              "document %zu is in subset %u, but there are only %zu", i,
                              a->subset[i], a->n_subsets);
        if (!isfinite(a->xy[2 * i]) || !isfinite(a->xy[2 * i + 1]))
            return gm_h5_fail(err, GM_EFORMAT, file,
                              "the map position of document %zu is not finite", i);
    }
    const size_t values = a->cluster_dim > 2 ? a->n * (size_t)a->cluster_dim : 0;
    for (size_t i = 0; i < values; i++)
        if (!isfinite(a->space[i]))
            return gm_h5_fail(err, GM_EFORMAT, file,
                              "'/samples/space' of document %zu is not finite",
                              i / (size_t)a->cluster_dim);
    size_t p = first_outside(a->probability, a->n, 0, 1), o = first_outside(a->outlier, a->n, 0, 1);
    if (p < a->n || o < a->n)
        return gm_h5_fail(err, GM_EFORMAT, file, "document %zu has %s outside [0,1]",
                          p < a->n ? p : o, p < a->n ? "a probability" : "an outlier score");
    return GM_OK;
}

static gm_status check_rates(const gm_atlas *a, hid_t file, gm_error *err)
{
    size_t cells = (size_t)a->n_layers * (size_t)a->n_experts;
    const struct {
        const char *name;
        const float *value;
        size_t n;
    } rate[] = {{"/clusters/usage", a->usage, a->n_clusters * cells},
                {"/clusters/usage_half", a->usage_half, 2 * a->n_clusters * cells},
                {"/corpus/usage", a->corpus_usage, cells},
                {"/corpus/usage_half", a->corpus_usage_half, 2 * cells},
                {"/corpus/subset_usage", a->subset_usage, a->n_subsets * cells},
                {"/corpus/subset_usage_half", a->subset_usage_half, 2 * a->n_subsets * cells}};
    for (size_t k = 0; k < sizeof rate / sizeof rate[0]; k++) {
        size_t i = first_outside(rate[k].value, rate[k].n, 0, 1.001f);
        if (i < rate[k].n)
            return gm_h5_fail(err, GM_EFORMAT, file, "'%s' is %g at index %zu, expected 0 to 1",
                              rate[k].name, (double)rate[k].value[i], i);
    }
    size_t i = first_outside(a->lift, a->n_clusters * cells, 0, FLT_MAX);
    if (i < a->n_clusters * cells)
        return gm_h5_fail(err, GM_EFORMAT, file,
                          "'/clusters/lift' is %g at index %zu, expected a finite number from 0",
                          (double)a->lift[i], i);
    for (i = 0; i < a->n_clusters * cells; i++)
        if (a->important[i] > 1)
            return gm_h5_fail(err, GM_EFORMAT, file,
                              "'/clusters/important' is %u at index %zu, expected 0 or 1",
                              a->important[i], i);
    return GM_OK;
}

static gm_status check_graph(const gm_atlas *a, hid_t file, gm_error *err)
{
    if (a->graph_indptr[0] != 0 || a->graph_indptr[a->n] != a->n_edges)
        return gm_h5_fail(err, GM_EFORMAT, file, "'/graph/indptr' does not run from 0 to %zu",
                          a->n_edges);
    for (size_t i = 0; i < a->n; i++)
        if (a->graph_indptr[i] > a->graph_indptr[i + 1])
            return gm_h5_fail(err, GM_EFORMAT, file, "'/graph/indptr' decreases at index %zu", i);
    for (size_t i = 0; i < a->n_edges; i++)
        if (a->graph_indices[i] >= a->n)
            return gm_h5_fail(err, GM_EFORMAT, file,
                              "edge %zu leads to document %u, but there are only %zu", i,
                              a->graph_indices[i], a->n);
    size_t w = first_outside(a->graph_weight, a->n_edges, 0, 1);
    if (w < a->n_edges)
        return gm_h5_fail(err, GM_EFORMAT, file,
                          "'/graph/weight' is %g at index %zu, expected 0 to 1",
                          (double)a->graph_weight[w], w);
    return GM_OK;
}

static uint64_t tree_size(const gm_atlas *a, uint32_t node)
{
    return node < a->n ? 1 : a->tree_size[node - a->n];
}

/* Every row joins two nodes that no row joined before: so it is one tree. joined (2N) is zero. */
static gm_status check_joins(const gm_atlas *a, bool *joined, hid_t file, gm_error *err)
{
    for (size_t i = 0; i + 1 < a->n; i++) {
        if (joined[a->tree_left[i]] || joined[a->tree_right[i]])
            return gm_h5_fail(err, GM_EFORMAT, file,
                              "row %zu of '/tree' joins a node that an earlier row has joined", i);
        joined[a->tree_left[i]] = joined[a->tree_right[i]] = true;
    }
    return GM_OK;
}

static gm_status check_tree(const gm_atlas *a, hid_t file, gm_error *err)
{
    double last = 0;
    for (size_t i = 0; i + 1 < a->n; i++) {
        uint32_t left = a->tree_left[i], right = a->tree_right[i];
        if (left >= a->n + i || right >= a->n + i || left == right)
            return gm_h5_fail(err, GM_EFORMAT, file,
                              "row %zu of '/tree' joins a node that does not exist yet", i);
        if (a->tree_size[i] != tree_size(a, left) + tree_size(a, right) || a->tree_size[i] > a->n)
            return gm_h5_fail(err, GM_EFORMAT, file,
                              "'/tree/size' is %u at row %zu, expected %" PRIu64, a->tree_size[i],
                              i, tree_size(a, left) + tree_size(a, right));
        if (!(a->tree_distance[i] >= last) || !isfinite(a->tree_distance[i]))
            return gm_h5_fail(err, GM_EFORMAT, file,
                              "'/tree/distance' is %g at row %zu, expected at least %g",
                              a->tree_distance[i], i, last);
        last = a->tree_distance[i];
    }
    bool *joined = gm_alloc2(a->n, 2, sizeof *joined);
    if (joined == NULL) return gm_fail(err, GM_EMEM, "no memory to check '/tree'");
    gm_status status = check_joins(a, joined, file, err);
    gm_free(joined);
    return status;
}

/* The sizes and subsets of clusters are those of the documents. */
static gm_status check_clusters(const gm_atlas *a, hid_t file, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t S = a->n_subsets;
    uint32_t *count = gm_alloc2(a->n_clusters, S, sizeof *count);
    if (count == NULL)
        return gm_fail(err, GM_EMEM, "no memory to count %zu clusters", a->n_clusters);
    for (size_t i = 0; i < a->n; i++)
        if (a->cluster[i] >= 0) count[(size_t)a->cluster[i] * S + a->subset[i]]++;
    for (size_t c = 0; status == GM_OK && c < a->n_clusters; c++) {
        uint64_t size = 0;
        for (size_t s = 0; s < S; s++) size += count[c * S + s];
        if (size != a->size[c])
            status =
                gm_h5_fail(err, GM_EFORMAT, file,
                           "cluster %zu has %" PRIu64 " documents, but '/clusters/size' says %u", c,
                           size, a->size[c]);
        else if (S > 0 && memcmp(count + c * S, a->subset_count + c * S, S * sizeof *count) != 0)
            status = gm_h5_fail(
                err, GM_EFORMAT, file,
                "'/clusters/subset_count' of cluster %zu does not match its documents", c);
    }
    gm_free(count);
    return status;
}

static gm_status check_ascent(const int *layer, int n, const char *name, hid_t file, gm_error *err)
{
    for (int i = 0; i < n; i++)
        if (layer[i] < 0 || (i > 0 && layer[i] <= layer[i - 1]))
            return gm_h5_fail(err, GM_EFORMAT, file, "'%s' does not ascend at index %d", name, i);
    return GM_OK;
}

static gm_status check_layers(const gm_atlas *a, hid_t file, gm_error *err)
{
    gm_status status = check_ascent(a->layer_of_moe, a->n_layers, "/layer", file, err);
    if (status == GM_OK)
        status = check_ascent(a->trace_layer, a->n_trace_layers, "/trace_layer", file, err);
    for (int i = 0; status == GM_OK && i < a->n_layers; i++)
        if (gm_find_layer(a->trace_layer, a->n_trace_layers, a->layer_of_moe[i]) < 0)
            status =
                gm_h5_fail(err, GM_EFORMAT, file, "layer %d of '/layer' is not in '/trace_layer'",
                           a->layer_of_moe[i]);
    return status;
}

/* Is it NaN, or within [lo, 1]? */
static bool known_within(double value, double lo)
{
    return isnan(value) || (value >= lo && value <= 1);
}

/* What a document says of others: copies and the condensed tree. */
static gm_status check_places(const gm_atlas *a, hid_t file, gm_error *err)
{
    for (size_t i = 0; i < a->n; i++) {
        uint32_t first = a->first[i], node = a->node[i];
        if (a->script[i] > 0 && a->script[i] >= a->n_scripts)
            return gm_h5_fail(err, GM_EFORMAT, file,
                              "document %zu is in script %u, but there are only %zu", i,
                              a->script[i], a->n_scripts);
        if (a->language[i] > 0 && a->language[i] >= a->n_languages)
            return gm_h5_fail(err, GM_EFORMAT, file,
                              "document %zu is in language %u, but there are only %zu", i,
                              a->language[i], a->n_languages);
        if (first != GM_ATLAS_NONE && (first >= a->n || a->first[first] != first))
            return gm_h5_fail(
                err, GM_EFORMAT, file,
                "'/samples/first' is %u at document %zu, which is not the first of its kind", first,
                i);
        if ((first == GM_ATLAS_NONE) != (node == GM_ATLAS_NONE))
            return gm_h5_fail(err, GM_EFORMAT, file,
                              "document %zu has only one of '/samples/first' and '/samples/node', "
                              "expected both or neither",
                              i);
        if (node != GM_ATLAS_NONE && node >= a->n_nodes)
            return gm_h5_fail(err, GM_EFORMAT, file,
                              "document %zu is in node %u, but there are only %zu", i, node,
                              a->n_nodes);
        if (node != GM_ATLAS_NONE && !(a->lambda[i] >= 0 && isfinite(a->lambda[i])))
            return gm_h5_fail(
                err, GM_EFORMAT, file,
                "'/samples/lambda' is %g at document %zu, expected a finite number from 0",
                a->lambda[i], i);
    }
    return GM_OK;
}

static gm_status check_figures(const gm_atlas *a, hid_t file, gm_error *err)
{
    size_t s = first_outside(a->stability, a->n_clusters, 0, 1);
    if (s < a->n_clusters)
        return gm_h5_fail(err, GM_EFORMAT, file,
                          "'/clusters/stability' is %g at cluster %zu, expected 0 to 1",
                          (double)a->stability[s], s);
    for (size_t c = 0; c < a->n_clusters; c++) {
        if (!known_within((double)a->seed_jaccard[c], 0) ||
            !known_within((double)a->half_jaccard[c], 0) ||
            !known_within((double)a->validity[c], -1) || !known_within((double)a->coherence[c], -1))
            return gm_h5_fail(err, GM_EFORMAT, file,
                              "a quality measure of cluster %zu is out of its range", c);
        for (size_t x = c * GM_N_EXAMPLES; x < (c + 1) * GM_N_EXAMPLES; x++)
            for (int o = 0; o < 2; o++) {
                uint32_t d = o ? a->outlying[x] : a->representative[x];
                if (d != GM_ATLAS_NONE && (d >= a->n || a->cluster[d] != (int64_t)c))
                    return gm_h5_fail(err, GM_EFORMAT, file,
                                      "document %u is an example of cluster %zu but is not in it",
                                      d, c);
            }
    }
    return GM_OK;
}

static gm_status check_condensed(const gm_atlas *a, hid_t file, gm_error *err)
{
    for (size_t r = 0; r < a->n_nodes; r++) {
        uint32_t p = a->node_parent[r];
        if (r == 0 ? p != 0 : p >= r)
            return gm_h5_fail(err, GM_EFORMAT, file,
                              "node %zu of '/condensed' has parent %u, expected an earlier node", r,
                              p);
        if (!(a->node_birth[r] >= a->node_birth[p]) || !(a->node_birth[r] >= 0) ||
            !isfinite(a->node_birth[r]))
            return gm_h5_fail(err, GM_EFORMAT, file,
                              "'/condensed/birth' is %g at node %zu, expected a finite number not "
                              "below its parent's",
                              a->node_birth[r], r);
        if (a->node_size[r] > a->n || a->node_size[r] > a->node_size[p])
            return gm_h5_fail(err, GM_EFORMAT, file,
                              "'/condensed/size' is %u at node %zu, expected at most its parent's",
                              a->node_size[r], r);
        if (a->node_cluster[r] < -1 || a->node_cluster[r] >= (int64_t)a->n_clusters)
            return gm_h5_fail(err, GM_EFORMAT, file,
                              "node %zu is cluster %d, but there are only %zu", r,
                              a->node_cluster[r], a->n_clusters);
    }
    return GM_OK;
}

gm_status gm_atlas_check(const gm_atlas *atlas, hid_t file, gm_error *err)
{
    gm_status status = GM_OK;
    GM_TRY(check_layers(atlas, file, err));
    GM_TRY(check_documents(atlas, file, err));
    GM_TRY(check_clusters(atlas, file, err));
    GM_TRY(check_rates(atlas, file, err));
    GM_TRY(check_graph(atlas, file, err));
    GM_TRY(check_tree(atlas, file, err));
    GM_TRY(check_places(atlas, file, err));
    GM_TRY(check_figures(atlas, file, err));
    GM_TRY(check_condensed(atlas, file, err));
    GM_TRY(gm_h5_check_object(file, "/parameters", atlas->parameters, err));
    GM_TRY(gm_h5_check_object(file, "/quality", atlas->quality, err));
    GM_TRY(gm_h5_check_object(file, "provenance", atlas->provenance, err));
out:
    return status;
}
