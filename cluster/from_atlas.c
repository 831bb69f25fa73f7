/* from_atlas.c - an atlas taken up again. See from_atlas.h. */
#include "cluster/from_atlas.h"

#include "base/json.h"
#include "cluster/atlas_selection.h"

#include <math.h>
#include <string.h>

/* ---- options ---- */

static const char where[] = "/parameters";

/* The place of a name among "a|b|c". */
static gm_status get_choice(const gm_json *object, const char *key, const char *choices, int *out,
                            gm_error *err)
{
    const char *name = NULL;
    gm_status status = gm_json_get_text(object, key, &name, where, err);
    if (status != GM_OK) return status;
    const size_t n = strlen(name);
    *out = 0;
    for (const char *at = choices;; (*out)++) {
        const char *end = strchr(at, '|');
        size_t length = end ? (size_t)(end - at) : strlen(at);
        if (length == n && memcmp(at, name, n) == 0) return GM_OK;
        if (end == NULL) break;
        at = end + 1;
    }
    return gm_fail(err, GM_EFORMAT, "'%s': '%s' is '%s', expected %s", where, key, name, choices);
}

static gm_status get_count(const gm_json *object, const char *key, int64_t lo, int64_t hi,
                           int64_t *out, gm_error *err)
{
    return gm_json_get_i64(object, key, lo, hi, out, where, err);
}

static gm_status get_number(const gm_json *object, const char *key, double lo, double hi,
                            double *out, gm_error *err)
{
    return gm_json_get_f64(object, key, lo, hi, out, where, err);
}

static gm_status get_map_options(gm_fit_options *o, const gm_json *root, gm_error *err)
{
    gm_status status = GM_OK;
    int usage, metric, layout, approximate = 0; /* as older atlases do not say */
    int64_t neighbors, effort, epochs, negative, seed;
    GM_TRY(get_choice(root, "usage", GM_USAGE_CHOICES, &usage, err));
    GM_TRY(get_choice(root, "metric", GM_METRIC_CHOICES, &metric, err));
    GM_TRY(get_choice(root, "layout", GM_LAYOUT_CHOICES, &layout, err));
    GM_TRY(get_count(root, "n_neighbors", 2, 64, &neighbors, err));
    if (gm_json_find(root, "neighbours"))
        GM_TRY(get_choice(root, "neighbours", "exact|approximate", &approximate, err));
    GM_TRY(gm_json_get_i64_or(root, "effort", 1, 100000, GM_DEFAULT_EFFORT, &effort, where, err));
    GM_TRY(get_count(root, "epochs", 1, 1000000, &epochs, err));
    GM_TRY(get_count(root, "negative_samples", 1, 100, &negative, err));
    GM_TRY(get_count(root, "seed", 0, INT64_MAX, &seed, err));
    GM_TRY(get_number(root, "min_dist", 0, 100, &o->umap.min_dist, err));
    GM_TRY(get_number(root, "spread", 1e-3, 100, &o->umap.spread, err));
    GM_TRY(get_number(root, "set_op_mix", 0, 1, &o->umap.mix, err));
    GM_TRY(get_number(root, "learning_rate", 1e-6, 100, &o->umap.learning_rate, err));
    GM_TRY(get_number(root, "repulsion", 0, 100, &o->umap.repulsion, err));
    GM_TRY(gm_json_get_bool_or(root, "densmap", false, &o->umap.densmap, where, err));
    if (o->umap.densmap) {
        GM_TRY(get_number(root, "dens_lambda", 0, 1000, &o->umap.density.lambda, err));
        GM_TRY(get_number(root, "dens_frac", 0, 1, &o->umap.density.fraction, err));
        GM_TRY(get_number(root, "dens_var_shift", 0, 100, &o->umap.density.var_shift, err));
    }
    o->usage = (gm_usage_kind)usage;
    o->metric = (gm_metric)metric;
    o->umap.layout = (gm_layout)layout;
    o->n_neighbors = (int)neighbors;
    o->neighbours.effort = (int)effort;
    o->neighbours.method = approximate ? GM_NEIGHBOURS_APPROXIMATE : GM_NEIGHBOURS_EXACT;
    o->umap.n_epochs = (int)epochs;
    o->umap.negative_rate = (int)negative;
    o->umap.seed = (uint64_t)seed;
out:
    return status;
}

static gm_status get_cluster_options(gm_fit_options *o, const gm_json *root, gm_error *err)
{
    gm_status status = GM_OK;
    int selection, keywords, stop;
    int64_t least, samples, most;
    gm_hdbscan_options *h = &o->hdbscan;
    GM_TRY(get_count(root, "min_cluster_size", 2, UINT32_MAX, &least, err));
    GM_TRY(get_count(root, "min_samples", 1, 100000, &samples, err));
    GM_TRY(get_count(root, "max_cluster_size", 0, UINT32_MAX, &most, err));
    GM_TRY(get_choice(root, "selection", GM_SELECTION_CHOICES, &selection, err));
    GM_TRY(get_number(root, "epsilon", 0, 1e9, &h->epsilon, err));
    GM_TRY(gm_json_get_bool_or(root, "count_self", false, &h->count_self, where, err));
    GM_TRY(gm_json_get_bool_or(root, "allow_single_cluster", false, &h->allow_single_cluster, where,
                               err));
    GM_TRY(get_choice(root, "keywords", GM_KEYWORD_CHOICES, &keywords, err));
    GM_TRY(get_choice(root, "stop_words", GM_STOP_CHOICES, &stop, err));
    GM_TRY(gm_json_get_f64_or(root, "max_df", 0, 1e9, 0, &o->naming.max_df, where, err));
    GM_TRY(gm_json_get_bool_or(root, "stems", true, &o->naming.stems, where, err));
    h->min_cluster_size = (size_t)least;
    h->min_samples = (int)samples;
    h->max_cluster_size = (size_t)most;
    h->selection = (gm_selection)selection;
    o->naming.method = (gm_keyword_method)keywords;
    o->naming.stop = (gm_stop_choice)stop;
out:
    return status;
}

gm_status gm_from_atlas_options(gm_fit_options *out, const gm_atlas *atlas, gm_error *err)
{
    gm_status status = GM_OK;
    gm_json *root = NULL;
    *out = gm_fit_defaults();
    GM_TRY(gm_json_parse(&root, atlas->parameters, strlen(atlas->parameters), where, err));
    GM_TRY(gm_atlas_selection_options(out, root, err));
    GM_TRY(get_map_options(out, root, err));
    out->cluster_dim = atlas->cluster_dim;
    GM_TRY(get_cluster_options(out, root, err));
out:
    gm_json_free(root);
    return status;
}

gm_status gm_from_atlas_usage(gm_usage_kind *out, const gm_atlas *atlas, gm_error *err)
{
    gm_status status = GM_OK;
    gm_json *root = NULL;
    int usage = GM_USAGE_COUNTS;
    if (atlas->parameters && atlas->parameters[0]) {
        GM_TRY(gm_json_parse(&root, atlas->parameters, strlen(atlas->parameters), where, err));
        if (gm_json_find(root, "usage"))
            GM_TRY(get_choice(root, "usage", GM_USAGE_CHOICES, &usage, err));
    }
    *out = (gm_usage_kind)usage;
out:
    gm_json_free(root);
    return status;
}

/* ---- points and their tree ---- */

void gm_atlas_points_clear(gm_atlas_points *points)
{
    gm_free(points->point);
    gm_free(points->document);
    gm_linkage_clear(&points->linkage);
    gm_graph_clear(&points->graph);
    *points = (gm_atlas_points){0};
}

static void number_points(gm_atlas_points *p, const gm_atlas *atlas)
{
    for (size_t i = 0; i < atlas->n; i++)
        if (atlas->first[i] == i) {
            p->point[i] = (uint32_t)p->m;
            p->document[p->m++] = (uint32_t)i;
        }
    for (size_t i = 0; i < atlas->n; i++)
        p->point[i] = atlas->first[i] == GM_ATLAS_NONE ? GM_NO_POINT : p->point[atlas->first[i]];
}

/* The node of the points' tree that a node of the documents' tree is; false: none. `of` holds the
 * points of documents and of the rows that join copies. */
static bool node_of(uint32_t *out, const uint32_t *of, uint32_t node, size_t n, size_t n_copies,
                    size_t m)
{
    if (node >= n + n_copies) {
        *out = (uint32_t)(node - n - n_copies + m);
        return true;
    }
    *out = of[node];
    return of[node] != GM_NO_POINT;
}

static gm_status read_linkage(gm_linkage *link, const gm_atlas *atlas, const gm_atlas_points *p,
                              gm_error *err)
{
    gm_status status = GM_OK;
    const size_t n = atlas->n, m = p->m;
    size_t n_zero = 0;
    for (size_t i = 0; i < n; i++) n_zero += p->point[i] == GM_NO_POINT;
    const size_t n_copies = n - n_zero - m;
    uint32_t *of = gm_alloc(n + n_copies, sizeof *of);
    if (of == NULL) GM_FAIL(GM_EMEM, "no memory for the tree of %zu points", m);
    memcpy(of, p->point, n * sizeof *of);
    for (size_t r = 0; r < n_copies; r++) {
        uint32_t a = atlas->tree_left[r], b = atlas->tree_right[r];
        if (a >= n + r || b >= n + r || of[a] != of[b] || of[a] == GM_NO_POINT)
            GM_FAIL(GM_EFORMAT, "row %zu of '/tree' does not join copies", r);
        of[n + r] = of[a];
    }
    for (size_t r = 0; r + 1 < m; r++) {
        size_t at = n_copies + r;
        if (!node_of(&link->left[r], of, atlas->tree_left[at], n, n_copies, m) ||
            !node_of(&link->right[r], of, atlas->tree_right[at], n, n_copies, m))
            GM_FAIL(GM_EFORMAT, "row %zu of '/tree' joins a document without a counted choice", at);
        uint32_t left = link->left[r], right = link->right[r];
        link->size[r] =
            (left < m ? 1 : link->size[left - m]) + (right < m ? 1 : link->size[right - m]);
        link->distance[r] = atlas->tree_distance[at];
    }
out:
    gm_free(of);
    return status;
}

gm_status gm_from_atlas_points(gm_atlas_points *out, const gm_atlas *atlas, gm_error *err)
{
    gm_status status = GM_OK;
    gm_atlas_points p = {0};
    *out = (gm_atlas_points){0};
    if (atlas->n_nodes == 0)
        return gm_fail(err, GM_EFORMAT,
                       "the atlas was written by an older gm-cluster, which did not store what "
                       "this needs; run gm-cluster fit again");
    p.point = gm_alloc(atlas->n, sizeof *p.point);
    p.document = gm_alloc(atlas->n, sizeof *p.document);
    p.linkage.left = gm_alloc(atlas->n, sizeof *p.linkage.left);
    p.linkage.right = gm_alloc(atlas->n, sizeof *p.linkage.right);
    p.linkage.size = gm_alloc(atlas->n, sizeof *p.linkage.size);
    p.linkage.distance = gm_alloc(atlas->n, sizeof *p.linkage.distance);
    p.graph.indptr = gm_alloc(atlas->n + 1, sizeof *p.graph.indptr);
    if (!p.point || !p.document || !p.linkage.left || !p.linkage.right || !p.linkage.size ||
        !p.linkage.distance || !p.graph.indptr)
        GM_FAIL(GM_EMEM, "no memory for the tree of %zu documents", atlas->n);
    number_points(&p, atlas);
    if (p.m == 0) GM_FAIL(GM_EFORMAT, "no document of the atlas has a counted choice");
    p.linkage.n = p.graph.n = p.m;
    gm_distinct_count_edges(p.graph.indptr, p.document, p.m, atlas->graph_indptr,
                            atlas->graph_indices, p.point);
    GM_TRY(read_linkage(&p.linkage, atlas, &p, err));
    *out = p;
    p = (gm_atlas_points){0};
out:
    gm_atlas_points_clear(&p);
    return status;
}

/* ---- the analysis ---- */

/* What was said of the layout that clusters were found in. */
static gm_status get_dimensions(gm_map_quality *kept, const gm_json *quality, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_json *found = gm_json_find(quality, "dimensions");
    const char *in = "/quality dimensions";
    const double unknown = (double)NAN;
    kept->trustworthiness = kept->continuity = kept->preserved = unknown;
    if (found == NULL || gm_json_kind_of(found) != GM_JSON_OBJECT) return GM_OK;
    GM_TRY(gm_json_get_f64_or(found, "trustworthiness", -10, 1, unknown, &kept->trustworthiness, in,
                              err));
    GM_TRY(gm_json_get_f64_or(found, "continuity", -10, 1, unknown, &kept->continuity, in, err));
    GM_TRY(gm_json_get_f64_or(found, "neighbours_kept", 0, 1, unknown, &kept->preserved, in, err));
out:
    return status;
}

/* What was said of the map: it stays as it is. */
static gm_status get_figures(gm_analysis *a, const gm_atlas *atlas, gm_error *err)
{
    gm_status status = GM_OK;
    gm_json *quality = NULL, *parameters = NULL;
    const double unknown = (double)NAN;
    int64_t k, rows, isolated, parts, uncertified, checked, epochs;
    const char *in = "/quality";
    GM_TRY(gm_json_parse(&quality, atlas->quality, strlen(atlas->quality), in, err));
    GM_TRY(gm_json_parse(&parameters, atlas->parameters, strlen(atlas->parameters), where, err));
    GM_TRY(gm_json_get_f64_or(quality, "trustworthiness", -10, 1, unknown, &a->map.trustworthiness,
                              in, err));
    GM_TRY(gm_json_get_f64_or(quality, "continuity", -10, 1, unknown, &a->map.continuity, in, err));
    GM_TRY(
        gm_json_get_f64_or(quality, "neighbours_kept", 0, 1, unknown, &a->map.preserved, in, err));
    GM_TRY(gm_json_get_i64_or(quality, "map_neighbours", 0, 64, 0, &k, in, err));
    GM_TRY(gm_json_get_i64_or(quality, "map_documents", 0, INT64_MAX, 0, &rows, in, err));
    GM_TRY(gm_json_get_f64_or(quality, "density_correlation", -1, 1, unknown, &a->density_kept, in,
                              err));
    GM_TRY(get_dimensions(&a->dimensions.kept, quality, err));
    GM_TRY(gm_json_get_f64_or(quality, "neighbour_purity", 0, 1, unknown, &a->neighbour_purity, in,
                              err));
    GM_TRY(gm_json_get_f64_or(quality, "neighbour_purity_chance", 0, 1, unknown,
                              &a->neighbour_chance, in, err));
    GM_TRY(gm_json_get_i64_or(quality, "isolated_documents", 0, INT64_MAX, 0, &isolated, in, err));
    GM_TRY(gm_json_get_i64_or(quality, "graph_parts", 0, INT64_MAX, 0, &parts, in, err));
    GM_TRY(gm_json_get_i64_or(quality, "uncertified_neighbours", 0, INT64_MAX, 0, &uncertified, in,
                              err));
    GM_TRY(gm_json_get_i64_or(quality, "neighbour_recall_documents", 0, INT64_MAX, 0, &checked, in,
                              err));
    GM_TRY(gm_json_get_f64_or(quality, "neighbour_recall", 0, 1, unknown, &a->recall, in, err));
    GM_TRY(gm_json_get_f64(parameters, "a", 0, 1e9, &a->umap.a, where, err));
    GM_TRY(gm_json_get_f64(parameters, "b", 0, 1e9, &a->umap.b, where, err));
    GM_TRY(get_count(parameters, "epochs", 0, 1000000, &epochs, err));
    a->map.k = (int)k, a->map.n_rows = (size_t)rows;
    a->umap.n_isolated = (size_t)isolated, a->umap.n_components = (size_t)parts;
    a->n_uncertified = (size_t)uncertified, a->n_checked = (size_t)checked;
    a->umap.n_epochs = (int)epochs;
out:
    gm_json_free(quality);
    gm_json_free(parameters);
    return status;
}

/* The atlas's places and graph, documents in canonical order. */
static gm_status get_map(gm_analysis *a, const gm_atlas *atlas, gm_error *err)
{
    const size_t n = atlas->n;
    gm_graph *g = &a->graph;
    uint64_t m = 0;
    uint32_t *canonical = gm_alloc(n, sizeof *canonical);
    const size_t dim = atlas->cluster_dim > 2 ? (size_t)atlas->cluster_dim : 0;
    a->xy = gm_alloc2(n, 2, sizeof *a->xy);
    if (dim > 0) a->space = gm_alloc2(n, dim, sizeof *a->space);
    g->indptr = gm_alloc(n + 1, sizeof *g->indptr);
    g->index = gm_alloc(atlas->n_edges, sizeof *g->index);
    g->weight = gm_alloc(atlas->n_edges, sizeof *g->weight);
    g->n = n;
    bool fine = canonical && a->xy && (dim == 0 || a->space) && g->indptr && g->index && g->weight;
    for (size_t i = 0; fine && i < n; i++) canonical[a->usage.place[i]] = (uint32_t)i;
    for (size_t i = 0; fine && i < n; i++) {
        size_t at = a->usage.place[i];
        a->xy[2 * i] = atlas->xy[2 * at], a->xy[2 * i + 1] = atlas->xy[2 * at + 1];
        for (size_t c = 0; c < dim; c++) a->space[dim * i + c] = atlas->space[dim * at + c];
        for (uint64_t e = atlas->graph_indptr[at]; e < atlas->graph_indptr[at + 1]; e++, m++) {
            g->index[m] = canonical[atlas->graph_indices[e]];
            g->weight[m] = atlas->graph_weight[e];
        }
        g->indptr[i + 1] = m;
    }
    gm_free(canonical);
    return fine ? GM_OK : gm_fail(err, GM_EMEM, "no memory for a map of %zu documents", n);
}

static uint32_t renumbered(const uint32_t *to, size_t m, uint32_t node)
{
    return node < m ? to[node] : node;
}

/* Points renumbered: point p becomes to[p]. */
static gm_status renumber(gm_clustering *c, const uint32_t *to, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t m = c->n;
    int32_t *label = gm_alloc(m, sizeof *label);
    float *probability = gm_alloc(m, sizeof *probability);
    float *outlier = gm_alloc(m, sizeof *outlier);
    uint32_t *cluster = gm_alloc(m, sizeof *cluster);
    double *lambda = gm_alloc(m, sizeof *lambda);
    if (!label || !probability || !outlier || !cluster || !lambda)
        GM_FAIL(GM_EMEM, "no memory to renumber %zu points", m);
    for (size_t p = 0; p < m; p++) {
        label[to[p]] = c->label[p];
        probability[to[p]] = c->probability[p];
        outlier[to[p]] = c->outlier[p];
        cluster[to[p]] = c->tree.point_cluster[p];
        lambda[to[p]] = c->tree.point_lambda[p];
    }
    memcpy(c->label, label, m * sizeof *label);
    memcpy(c->probability, probability, m * sizeof *probability);
    memcpy(c->outlier, outlier, m * sizeof *outlier);
    memcpy(c->tree.point_cluster, cluster, m * sizeof *cluster);
    memcpy(c->tree.point_lambda, lambda, m * sizeof *lambda);
    for (size_t r = 0; r + 1 < m; r++) {
        c->linkage.left[r] = renumbered(to, m, c->linkage.left[r]);
        c->linkage.right[r] = renumbered(to, m, c->linkage.right[r]);
    }
out:
    gm_free(label);
    gm_free(probability);
    gm_free(outlier);
    gm_free(cluster);
    gm_free(lambda);
    return status;
}

/* to (M): the canonical number of each point; every document must be of the kind the atlas says. */
static gm_status match_points(uint32_t *to, const gm_analysis *a, const gm_atlas_points *points,
                              gm_error *err)
{
    if (a->distinct.m != points->m)
        return gm_fail(err, GM_EARG, "the trace has %zu distinct documents, but the atlas has %zu",
                       a->distinct.m, points->m);
    for (size_t p = 0; p < points->m; p++) to[p] = UINT32_MAX;
    for (size_t i = 0; i < a->usage.n; i++) {
        uint32_t p = points->point[a->usage.place[i]], q = a->distinct.point[i];
        bool same = (p == GM_NO_POINT) == (q == GM_NO_POINT);
        if (same && p != GM_NO_POINT) {
            if (to[p] == UINT32_MAX) to[p] = q;
            same = to[p] == q;
        }
        if (!same)
            return gm_fail(err, GM_EARG,
                           "document %u uses the experts differently in the trace and in the atlas",
                           a->usage.place[i]);
    }
    return GM_OK;
}

gm_status gm_atlas_check_trace(const gm_atlas *atlas, const gm_trace *trace, gm_error *err)
{
    const gm_trace_info *info = gm_trace_get_info(trace);
    const size_t n = gm_trace_get_samples(trace)->n;
    if (n != atlas->n)
        return gm_fail(err, GM_EARG, "the trace has %zu documents, but the atlas has %zu", n,
                       atlas->n);
    if (info->n_layers != atlas->n_layers || info->n_experts != atlas->n_experts)
        return gm_fail(err, GM_EARG,
                       "the trace has %d layers of %d experts, but the atlas has %d of %d",
                       info->n_layers, info->n_experts, atlas->n_layers, atlas->n_experts);
    const char *mine = atlas->trace_fingerprint ? atlas->trace_fingerprint : "";
    if (strcmp(info->fingerprint, mine) != 0)
        return gm_fail(err, GM_EARG,
                       "the trace is not the one that the atlas was made from: its fingerprint is "
                       "%.12s, expected %.12s",
                       info->fingerprint, mine);
    return GM_OK;
}

gm_status gm_atlas_open_trace(gm_trace **out, const gm_atlas *atlas, const char *path,
                              gm_error *err)
{
    gm_status status = gm_trace_open(out, path ? path : atlas->trace_path, err);
    if (status == GM_OK) status = gm_atlas_selection_apply(*out, atlas, err);
    if (status == GM_OK) status = gm_atlas_check_trace(atlas, *out, err);
    if (status == GM_OK) return GM_OK;
    gm_trace_close(*out);
    *out = NULL;
    if (path || status == GM_EMEM) return status;
    return gm_fail(err, status, "%s; give the atlas's trace with --trace FILE", err->text);
}

gm_status gm_from_atlas_analysis(gm_analysis *out, const gm_atlas *atlas,
                                 const gm_atlas_points *points, gm_clustering *clustering,
                                 gm_trace *trace, const gm_fit_options *options, gm_error *err)
{
    gm_status status = GM_OK;
    gm_analysis a = {.level = options->quality, .hdbscan = options->hdbscan};
    gm_fit_options how = *options;
    uint32_t *to = gm_alloc(points->m, sizeof *to);
    *out = (gm_analysis){0};
    if (to == NULL) GM_FAIL(GM_EMEM, "no memory to match %zu points", points->m);
    GM_TRY(gm_atlas_check_trace(atlas, trace, err));
    GM_TRY(gm_usage_read(&a.usage, trace, options->usage, NULL, err));
    GM_TRY(gm_distinct_find(&a.distinct, &a.usage, err));
    GM_TRY(match_points(to, &a, points, err));
    GM_TRY(get_figures(&a, atlas, err));
    GM_TRY(get_map(&a, atlas, err));
    a.clustering = *clustering;
    *clustering = (gm_clustering){0};
    GM_TRY(renumber(&a.clustering, to, err));
    if (a.distinct.m < a.usage.n)
        GM_TRY(gm_distinct_spread_clusters(&a.clustering, &a.distinct, err));
    /* Maps of samples take fewer epochs than one that was not told how many. */
    if (how.umap.n_epochs == gm_umap_epochs(points->m, how.umap.densmap)) how.umap.n_epochs = 0;
    GM_TRY(gm_analysis_finish(&a, trace, &how, err));
    *out = a;
    a = (gm_analysis){0};
out:
    gm_free(to);
    gm_analysis_clear(&a);
    return status;
}
