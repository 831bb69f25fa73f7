/* matrix_fit.c - see matrix_fit.h. */
#include "cluster/matrix_fit.h"

#include "cluster/assess.h"
#include "cluster/rerun.h"

#include <math.h>

enum { MIN_POINTS = 4 };

gm_matrix_options gm_matrix_defaults(void)
{
    return (gm_matrix_options){.map = true,
                               .metric = GM_EUCLIDEAN,
                               .n_neighbors = 15,
                               .umap = gm_umap_defaults_to_cluster()};
}

/* Rows that differ and are one as floats have no distance between them on any map. */
static gm_status warn_of_floats(const float *at, size_t m, size_t dim, gm_error *err)
{
    size_t n_alike;
    gm_status status = gm_rows_alike(&n_alike, at, m, dim, err);
    if (status == GM_OK && n_alike > 0)
        gm_warn("%zu of %zu rows differ%s from another one by less than the precision of the map's "
                "floats; subtract what all rows have in common, or scale them closer to 1",
                n_alike, m, n_alike == 1 ? "s" : "");
    return status;
}

static void warn_of_rows(const gm_rows *rows, bool merged)
{
    const size_t aside = rows->n - rows->n_used, copies = rows->n_used - rows->distinct.m;
    if (aside > 0)
        gm_warn("%zu of %zu rows contain%s a number that is not finite, and so %s no place and no "
                "cluster",
                aside, rows->n, aside == 1 ? "s" : "", aside == 1 ? "has" : "have");
    if (merged && copies > 0)
        gm_warn("%zu of %zu rows equal%s another one, with the same place and cluster", copies,
                rows->n, copies == 1 ? "s" : "");
}

/* Memberships and places of the distinct rows: xy (M,2), with room for U. */
static gm_status find_map(gm_matrix_found *f, const gm_matrix_options *options, gm_error *err)
{
    gm_status status = GM_OK;
    gm_points points = {0};
    /* with those that judge the map, of some rows where these are not exact; that make it */
    gm_knn wide = {0}, sampled = {0}, knn = {0};
    gm_progress progress;
    gm_umap_report report;
    float *at = NULL;
    const size_t m = f->rows.distinct.m;
    f->n_neighbors = options->n_neighbors;
    if (m == 1)
        GM_FAIL(GM_EARG, "the matrix's %zu rows are all equal, so there is nothing to cluster",
                f->rows.n_used);
    if (m < MIN_POINTS)
        GM_FAIL(GM_EARG,
                "the matrix has %zu distinct rows, but a map needs at least %d; --no-map clusters "
                "the rows without one",
                m, MIN_POINTS);
    if ((size_t)f->n_neighbors > m) {
        f->n_neighbors = (int)m - 1;
        gm_warn("--n-neighbors is %d, but the matrix has only %zu distinct rows; using %d",
                options->n_neighbors, m, f->n_neighbors);
    }
    GM_TRY(gm_rows_distinct(&at, &f->rows, options->metric, err));
    GM_TRY(warn_of_floats(at, m, f->rows.dim, err));
    GM_TRY(gm_points_init(&points, at, m, f->rows.dim, options->metric, err));
    points.gpu = options->gpu;
    gm_progress_start(&progress, "neighbours", "rows", (double)m, options->quiet);
    const int own = f->n_neighbors, judged = gm_map_quality_k(own, m);
    GM_TRY(gm_neighbours_find(&wide, &points, judged < own ? own : judged + 1, &options->neighbours,
                              &progress, err));
    gm_progress_end(&progress);
    GM_TRY(gm_knn_narrow(&knn, &wide, own, err));
    gm_neighbours_advise(&knn);
    f->n_checked = knn.n_checked;
    if (knn.n_checked > 0) {
        f->recall = knn.recall;
        GM_TRY(gm_map_quality_neighbours(&sampled, &points, judged, GM_MAP_SAMPLE, err));
    }
    f->xy = gm_alloc2(f->rows.n_used, 2, sizeof *f->xy);
    if (f->xy == NULL) GM_FAIL(GM_EMEM, "no memory for a map of %zu rows", f->rows.n_used);
    gm_progress_start(&progress, "layout", "epochs", 0, options->quiet);
    GM_TRY(gm_umap_fit(f->xy, &f->graph, &points, &knn, &options->umap, &report, &progress, err));
    gm_progress_end(&progress);
    if (report.n_isolated > 0)
        gm_warn("%zu row%s without any neighbour, placed on a ring around the map",
                report.n_isolated, gm_plural(report.n_isolated));
    GM_TRY(gm_map_quality_of(&f->map, &points, knn.n_checked > 0 ? &sampled : &wide, f->xy, 2,
                             judged, GM_MAP_SAMPLE, err));
out:
    gm_free(at);
    gm_points_clear(&points);
    gm_knn_clear(&wide);
    gm_knn_clear(&sampled);
    gm_knn_clear(&knn);
    return status;
}

static gm_status find_clusters(gm_matrix_found *f, const gm_matrix_options *options, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_rows *r = &f->rows;
    f->used = gm_rerun_defaults(&options->hdbscan, f->on_rows ? r->n_used : r->distinct.m);
    if (f->on_rows)
        GM_TRY(gm_hdbscan_fit(&f->clustering, r->at, r->n_used, (int)r->dim, &f->used, err));
    else
        GM_TRY(gm_rerun_cluster(&f->clustering, f->xy, 2, &f->graph, &f->used, err));
    if (f->xy && r->distinct.m < r->n_used) {
        gm_distinct_spread_map(f->xy, 2, &r->distinct);
        GM_TRY(gm_distinct_spread_graph(&f->graph, &r->distinct, err));
        if (!f->on_rows) GM_TRY(gm_distinct_spread_clusters(&f->clustering, &r->distinct, err));
    }
    GM_TRY(gm_rerun_number(&f->clustering, f->clustering.label, r->n_used,
                           (const uint8_t(*)[32])r->sha, err));
    gm_rerun_advise(&f->clustering, &f->used, "row");
out:
    return status;
}

gm_status gm_matrix_fit(gm_matrix_found *out, gm_matrix *matrix, const gm_matrix_options *options,
                        gm_error *err)
{
    gm_status status = GM_OK;
    gm_matrix_found f = {.on_rows = options->cluster_rows || !options->map,
                         .recall = NAN,
                         .map = {.trustworthiness = NAN, .continuity = NAN, .preserved = NAN}};
    *out = (gm_matrix_found){0};
    GM_TRY(gm_rows_take(&f.rows, matrix, err));
    warn_of_rows(&f.rows, options->map);
    if (options->map) GM_TRY(find_map(&f, options, err));
    GM_TRY(find_clusters(&f, options, err));
    *out = f;
    f = (gm_matrix_found){0};
out:
    gm_matrix_clear(matrix);
    gm_matrix_found_clear(&f);
    return status;
}

void gm_matrix_found_clear(gm_matrix_found *found)
{
    gm_rows_clear(&found->rows);
    gm_free(found->xy);
    gm_graph_clear(&found->graph);
    gm_clustering_clear(&found->clustering);
    *found = (gm_matrix_found){0};
}
