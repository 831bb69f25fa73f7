/* analysis.c - the steps of gm-cluster fit in order. */
#include "cluster/analysis.h"

#include "base/cli.h"
#include "base/machine.h"
#include "base/text.h"
#include "cluster/profile.h"
#include "cluster/quality.h"

#include <math.h>
#include <stdio.h>

enum { MIN_DOCUMENTS = 15 };

gm_fit_options gm_fit_defaults(void)
{
    return (gm_fit_options){.n_neighbors = 15,
                            .umap = gm_umap_defaults_to_cluster(),
                            .cluster_dim = 2,
                            .naming = {.stems = true}};
}

static gm_status check_usage(const gm_usage *usage, const gm_trace *trace,
                             const gm_fit_options *options, gm_error *err)
{
    const bool whole = gm_trace_get_whole_samples(trace)->n == usage->n;
    const char *where = whole ? "the trace" : "this part of the trace";
    const size_t n = usage->n, points = usage->n_distinct, copies = n - usage->n_zero - points;
    if (n < MIN_DOCUMENTS)
        return gm_fail(err, GM_EARG, "%s has %zu document%s, but a map needs at least %d", where, n,
                       gm_plural(n), MIN_DOCUMENTS);
    if (points == 0)
        return gm_fail(err, GM_EARG, "none of the %zu documents of %s has a counted choice", n,
                       where);
    if (points == 1)
        return gm_fail(
            err, GM_EARG,
            "all documents use the experts in the same way, so there is nothing to cluster");
    if (points < MIN_DOCUMENTS)
        return gm_fail(err, GM_EARG,
                       "the %zu documents of %s use the experts in %zu different ways, but a map "
                       "needs at least %d",
                       n, where, points, MIN_DOCUMENTS);
    if ((size_t)options->n_neighbors > points)
        return gm_fail(err, GM_EARG, "--n-neighbors is %d, but %s has only %zu distinct documents",
                       options->n_neighbors, where, points);
    if (usage->n_zero > 0)
        gm_warn("%zu of %zu documents ha%s no counted choice: placed beside the map, in no cluster",
                usage->n_zero, n, usage->n_zero == 1 ? "s" : "ve");
    if (copies > 0)
        gm_warn("%zu of %zu documents use%s the experts exactly like another one, with the same "
                "place and cluster",
                copies, n, copies == 1 ? "s" : "");
    return GM_OK;
}

/* Share of same-subset neighbours; a point is of the subset of its first document. */
static gm_status find_purity(gm_analysis *a, const gm_knn *knn, gm_error *err)
{
    uint16_t *subset = gm_alloc(a->distinct.m, sizeof *subset);
    if (subset == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu subsets", a->distinct.m);
    for (size_t p = 0; p < a->distinct.m; p++) subset[p] = a->usage.subset[a->distinct.first[p]];
    a->neighbour_purity = gm_quality_purity(knn, subset);
    gm_status status = gm_quality_chance(&a->neighbour_chance, subset, a->distinct.m, err);
    gm_free(subset);
    return status;
}

/* Points over whose neighbours a map is judged. */
static size_t judged_rows(const gm_fit_options *options, size_t n)
{
    return options->quality == GM_QUALITY_FULL ? n : GM_MAP_SAMPLE;
}

/* Points, and their neighbours: those that a layout is made by, and exact ones that judge it. */
typedef struct neighbourhoods {
    const gm_points *points;
    const gm_knn *knn, *judges;
} neighbourhoods;

/* A layout of the points in options->umap.dim dimensions, and what it keeps of their neighbours. */
static gm_status lay_out_and_judge(float *at, gm_graph *graph, gm_umap_report *report,
                                   gm_map_quality *kept, const neighbourhoods *of,
                                   const gm_fit_options *options, gm_error *err)
{
    gm_status status = GM_OK;
    gm_progress progress;
    const size_t n = of->points->n;
    const gm_umap_options umap = options->umap;
    gm_progress_start(&progress, "layout", "epochs", 0, options->quiet);
    GM_TRY(gm_umap_fit(at, graph, of->points, of->knn, &umap, report, &progress, err));
    gm_progress_end(&progress);
    if (!report->spectral_converged)
        gm_warn("the spectral initialisation did not converge in %d rounds; the layout starts from "
                "the last one",
                report->spectral_rounds);
    GM_TRY(gm_map_quality_of(kept, of->points, of->judges, at, umap.dim,
                             gm_map_quality_k(options->n_neighbors, n), judged_rows(options, n),
                             err));
    gm_stages_end(umap.stages, "quality");
out:
    return status;
}

/* The same in as many dimensions as clusters are found in, to a->space (M,D). */
static gm_status find_cluster_space(gm_analysis *a, const neighbourhoods *of,
                                    const gm_fit_options *options, gm_error *err)
{
    gm_fit_options how = *options;
    gm_umap_report report; /* of the same graph: a, b, epochs and parts are the map's */
    gm_graph graph = {0};
    how.umap.dim = options->cluster_dim;
    a->space = gm_alloc2(a->usage.n, (size_t)options->cluster_dim, sizeof *a->space);
    if (a->space == NULL)
        return gm_fail(err, GM_EMEM, "no memory for %zu documents in %d dimensions", a->usage.n,
                       options->cluster_dim);
    gm_status status =
        lay_out_and_judge(a->space, &graph, &report, &a->dimensions.kept, of, &how, err);
    gm_graph_clear(&graph);
    return status;
}

/* What neighbours and layout take beside what is there, roughly: the points, once more as their
 * products take them, and lists. */
static gm_status check_memory(size_t n, size_t dim, int k, gm_error *err)
{
    enum { LISTED = 128 }; /* candidates, edges and steps that a neighbour may become, in bytes */
    const uint64_t points = gm_points_bytes(n, dim);
    char what[96];
    snprintf(what, sizeof what, "a map of %zu distinct documents by %zu experts", n, dim);
    return gm_machine_spare(points + points / 2 + (uint64_t)n * (uint64_t)k * LISTED, what, err);
}

/* The map of the points: xy (M,2), and the space in which they are clustered. */
static gm_status find_map(gm_analysis *a, const gm_fit_options *options, gm_error *err)
{
    gm_status status = GM_OK;
    gm_points points = {0};
    /* with those that judge the map, of some points where these are not exact; that make it */
    gm_knn judges = {0}, sampled = {0}, knn = {0};
    gm_progress progress;
    const size_t n = a->distinct.m;
    const int own = options->n_neighbors, judged = gm_map_quality_k(options->n_neighbors, n);
    const float **row = gm_alloc(n, sizeof *row);
    if (row == NULL) GM_FAIL(GM_EMEM, "no memory for a map of %zu documents", n);
    GM_TRY(check_memory(n, a->usage.dim, own, err));
    for (size_t p = 0; p < n; p++) row[p] = a->usage.row[a->distinct.first[p]];
    GM_TRY(gm_points_of_rows(&points, row, n, a->usage.dim, options->metric, err));
    points.gpu = options->gpu;
    gm_progress_start(&progress, "neighbours", "documents", (double)n, options->quiet);
    GM_TRY(gm_neighbours_find(&judges, &points, judged < own ? own : judged + 1,
                              &options->neighbours, &progress, err));
    gm_progress_end(&progress);
    GM_TRY(gm_knn_narrow(&knn, &judges, own, err));
    gm_neighbours_advise(&knn);
    a->n_uncertified = knn.n_uncertified;
    a->n_checked = knn.n_checked;
    a->recall = knn.recall;
    gm_stages_end(&a->stages, "neighbours");
    GM_TRY(find_purity(a, &knn, err));

    if (a->n_checked > 0)
        GM_TRY(gm_map_quality_neighbours(&sampled, &points, judged, judged_rows(options, n), err));
    const neighbourhoods of = {&points, &knn, a->n_checked > 0 ? &sampled : &judges};
    gm_fit_options how = *options;
    how.umap.stages = &a->stages;
    GM_TRY(lay_out_and_judge(a->xy, &a->graph, &a->umap, &a->map, &of, &how, err));
    if (a->umap.n_isolated > 0)
        gm_warn("%zu document%s without any neighbour, placed on a ring around the map",
                a->umap.n_isolated, gm_plural(a->umap.n_isolated));
    a->density_kept = NAN;
    if (options->quality != GM_QUALITY_NONE)
        GM_TRY(gm_density_kept(&a->density_kept, &knn, a->xy, 2, err));
    gm_stages_end(&a->stages, "quality");
    if (options->cluster_dim > 2) GM_TRY(find_cluster_space(a, &of, &how, err));
out:
    gm_free(row);
    gm_points_clear(&points);
    gm_knn_clear(&judges);
    gm_knn_clear(&sampled);
    gm_knn_clear(&knn);
    return status;
}

/* Cut the linkage again, into about as many clusters as are wanted. */
static gm_status aim(gm_analysis *a, size_t wanted, gm_error *err)
{
    gm_status status = GM_OK;
    gm_linkage linkage = a->clustering.linkage;
    a->clustering.linkage = (gm_linkage){0};
    size_t n_found;
    GM_TRY(
        gm_hdbscan_aim(&a->hdbscan.min_cluster_size, &n_found, &linkage, &a->hdbscan, wanted, err));
    gm_clustering_clear(&a->clustering);
    GM_TRY(gm_rerun_cut(&a->clustering, &linkage, &a->graph, &a->hdbscan, err));
out:
    gm_linkage_clear(&linkage);
    return status;
}

/* Clusters of the points, and then everything for all documents. */
static gm_status find_clusters(gm_analysis *a, const gm_fit_options *options, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t n = a->distinct.m;
    gm_hdbscan_options *used = &a->hdbscan;
    *used = gm_rerun_defaults(&options->hdbscan, n);
    GM_TRY(gm_rerun_cluster(&a->clustering, a->space ? a->space : a->xy, options->cluster_dim,
                            &a->graph, used, err));
    gm_stages_end(&a->stages, "hdbscan");
    if (options->target_clusters > 0) GM_TRY(aim(a, options->target_clusters, err));
    if (n < a->usage.n) {
        gm_distinct_spread_map(a->xy, 2, &a->distinct);
        if (a->space) gm_distinct_spread_map(a->space, (size_t)options->cluster_dim, &a->distinct);
        GM_TRY(gm_distinct_spread_graph(&a->graph, &a->distinct, err));
        GM_TRY(gm_distinct_spread_clusters(&a->clustering, &a->distinct, err));
    }
    GM_TRY(gm_rerun_number(&a->clustering, a->clustering.label, a->usage.n,
                           (const uint8_t(*)[32])a->usage.sha, err));
    gm_rerun_advise(&a->clustering, used, "document");
out:
    return status;
}

/* Keywords of the clusters and of the tree's nodes. */
static gm_status name_all(gm_analysis *a, const gm_fit_options *options, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_condensed *tree = &a->clustering.tree;
    int32_t *node = gm_alloc(a->usage.n, sizeof *node);
    const gm_named named = {.label = a->clustering.label,
                            .n_clusters = a->clustering.n_clusters,
                            .node = node,
                            .parent = tree->parent,
                            .n_nodes = tree->n_clusters};
    a->node_keyword = gm_alloc(tree->n_clusters * GM_N_KEYWORDS, sizeof *a->node_keyword);
    if (!node || !a->node_keyword) GM_FAIL(GM_EMEM, "no memory for keywords of the tree");
    for (size_t i = 0; i < a->usage.n; i++) {
        uint32_t p = a->distinct.point[i];
        node[i] = p == GM_NO_POINT ? -1 : (int32_t)tree->point_cluster[p];
    }
    GM_TRY(gm_naming_find(a->keyword, a->score, a->node_keyword, &a->words, &named,
                          &options->naming, err));
out:
    gm_free(node);
    return status;
}

static gm_status find_names(gm_analysis *a, gm_trace *trace, const gm_fit_options *options,
                            gm_error *err)
{
    gm_status status = GM_OK;
    const size_t n = a->clustering.n_clusters * GM_N_KEYWORDS;
    gm_progress progress;
    a->keyword = gm_alloc(n, sizeof *a->keyword);
    a->score = gm_alloc(n, sizeof *a->score);
    if (!a->keyword || !a->score) GM_FAIL(GM_EMEM, "no memory for keywords");
    if (gm_words_basis_of(trace) != GM_WORDS_NONE) {
        gm_progress_start(&progress, "keywords", "documents", (double)a->usage.n, options->quiet);
        GM_TRY(gm_naming_read(&a->words, trace, &a->usage, &options->naming, &progress, err));
        gm_progress_end(&progress);
        gm_stages_end(&a->stages, "keywords");
    } else {
        gm_warn(GM_NO_WORDS "; clusters get no keywords");
        GM_TRY(gm_languages_find(&a->words.languages, trace, &a->usage, NULL, NULL, err));
    }
    GM_TRY(name_all(a, options, err));
    gm_stages_end(&a->stages, "keywords");
out:
    return status;
}

static gm_status assess(gm_analysis *a, gm_trace *trace, const gm_fit_options *options,
                        gm_error *err)
{
    gm_umap_options umap = options->umap; /* of the space in which clusters were found */
    umap.dim = options->cluster_dim;
    const gm_assess_input in = {.control = {.trace = trace,
                                            .usage = &a->usage,
                                            .distinct = &a->distinct,
                                            .words = &a->words,
                                            .label = a->clustering.label,
                                            .metric = options->metric,
                                            .n_neighbors = options->n_neighbors,
                                            .neighbours = &options->neighbours,
                                            .gpu = options->gpu,
                                            .umap = &umap,
                                            .hdbscan = &a->hdbscan},
                                .at = a->space ? a->space : a->xy,
                                .dim = options->cluster_dim,
                                .n_clusters = a->clustering.n_clusters,
                                .keyword = a->keyword,
                                .level = options->quality,
                                .quiet = options->quiet};
    gm_status status = gm_assess(&a->assessment, &in, err);
    a->dimensions.dim = options->cluster_dim;
    if (status == GM_OK && a->space)
        status = gm_dimensions_compare(&a->dimensions, a->xy, &a->graph, &a->distinct,
                                       a->clustering.label, &a->hdbscan, err);
    gm_stages_end(&a->stages, "quality");
    return status;
}

gm_status gm_analysis_finish(gm_analysis *a, gm_trace *trace, const gm_fit_options *options,
                             gm_error *err)
{
    gm_status status = find_names(a, trace, options, err);
    return status == GM_OK ? assess(a, trace, options, err) : status;
}

gm_status gm_analysis_run(gm_analysis *out, gm_trace *trace, const gm_fit_options *options,
                          gm_error *err)
{
    gm_status status = GM_OK;
    gm_analysis a = {.level = options->quality, .stages = gm_stages_start()};
    gm_progress progress;
    *out = (gm_analysis){0};
    const size_t n = gm_trace_get_samples(trace)->n;
    gm_progress_start(&progress, "counts", "documents", (double)n, options->quiet);
    GM_TRY(gm_usage_read(&a.usage, trace, options->usage, &progress, err));
    gm_progress_end(&progress);
    GM_TRY(check_usage(&a.usage, trace, options, err));
    GM_TRY(gm_distinct_find(&a.distinct, &a.usage, err));
    gm_stages_end(&a.stages, "counts");
    a.xy = gm_alloc2(n, 2, sizeof *a.xy);
    if (a.xy == NULL) GM_FAIL(GM_EMEM, "no memory for a map of %zu documents", n);
    GM_TRY(find_map(&a, options, err));
    GM_TRY(find_clusters(&a, options, err));
    GM_TRY(gm_analysis_finish(&a, trace, options, err));
    *out = a;
    a = (gm_analysis){0};
out:
    gm_analysis_clear(&a);
    return status;
}

void gm_analysis_clear(gm_analysis *a)
{
    gm_usage_clear(&a->usage);
    gm_distinct_clear(&a->distinct);
    gm_graph_clear(&a->graph);
    gm_free(a->xy);
    gm_free(a->space);
    gm_clustering_clear(&a->clustering);
    gm_naming_clear(&a->words);
    gm_assessment_clear(&a->assessment);
    gm_free(a->keyword);
    gm_free(a->score);
    gm_free(a->node_keyword);
    *a = (gm_analysis){0};
}
