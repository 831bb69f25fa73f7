/* neighbours.c - a choice between knn.h and hnsw.h. See neighbours.h. */
#include "cluster/neighbours.h"

#include "base/cli.h"
#include "base/threads.h"
#include "cluster/dots.h"
#include "cluster/hnsw.h"
#include "cluster/knn_bytes.h"
#include "cluster/neighbour.h"
#include "cluster/quality.h"

enum {
    LINKS = 16, /* of a point */
    SPARE = 16  /* candidates beyond k whose distances are computed again */
};
static const double MIN_RECALL = 0.95; /* without a warning */

int gm_neighbours_effort(const gm_neighbour_options *options)
{
    return options->effort > 0 ? options->effort : GM_DEFAULT_EFFORT;
}

/* Exact ones take 6e-12 s of each pair and dimension, approximate ones 1 ms of each point and 0.8
 * us of each of its dimensions, at the sizes where the two meet. */
size_t gm_neighbours_exact_up_to(size_t dim)
{
    return 140000 + 160000000 / dim;
}

bool gm_neighbours_exact(const gm_neighbour_options *options, size_t n, size_t dim)
{
    if (options->method != GM_NEIGHBOURS_AUTO) return options->method == GM_NEIGHBOURS_EXACT;
    return n <= gm_neighbours_exact_up_to(dim) || !gm_hnsw_is_there();
}

double gm_neighbours_seconds(const gm_neighbour_options *options, size_t n, size_t dim)
{
    /* of a thread, for a pair and dimension: NOTES.md's 1.9 and 12.3 s of two threads */
    const double each = gm_isa_best() >= GM_ISA_AMX ? 1.4e-12 : 9e-12;
    if (!gm_neighbours_exact(options, n, dim)) return 0;
    return each * (double)n * (double)n * (double)dim / (double)gm_max_threads();
}

static float rough_distance(const void *space, uint32_t i, uint32_t j)
{
    const gm_points *points = space;
    const size_t dim = points->dim;
    return gm_dots_of(points->isa)->rough(points->at + i * dim, points->at + j * dim, dim);
}

static gm_status build_index(gm_hnsw **out, const gm_points *points, size_t effort,
                             gm_progress *progress, gm_error *err)
{
    gm_status status = GM_OK;
    gm_hnsw *index = gm_hnsw_create(points->n, rough_distance, points, LINKS, effort);
    if (index == NULL) GM_FAIL(GM_EMEM, "no memory for an index of %zu points", points->n);
    for (size_t i = 0; i < points->n; i++) {
        if (!gm_hnsw_add(index, (uint32_t)i))
            GM_FAIL(GM_EMEM, "no memory for an index of %zu points", points->n);
        if (progress) gm_progress_set(progress, (double)(i + 1));
        if (gm_interrupted()) GM_FAIL(GM_EINTERRUPTED, GM_KNN_INTERRUPTED);
    }
    *out = index;
    index = NULL;
out:
    gm_hnsw_free(index);
    return status;
}

/* ---- searching ---- */

/* Write row i: itself, then the nearest of what the index names, ties to the lower number; false
 * when these are too few. found (most), best (most) are scratch. */
static bool search_point(gm_knn *out, const gm_points *points, const gm_hnsw *index, size_t i,
                         size_t most, uint32_t *found, gm_neighbour *best)
{
    const size_t k = (size_t)out->k, n_found = gm_hnsw_search(index, (uint32_t)i, most, found);
    size_t n = 0;
    for (size_t f = 0; f < n_found; f++) {
        if (found[f] == i) continue;
        gm_neighbour_insert(best, &n, most,
                            (gm_neighbour){gm_points_squared(points, i, found[f]), found[f]});
    }
    out->index[i * k] = (uint32_t)i;
    out->distance[i * k] = 0;
    for (size_t j = 1; j < k && j <= n; j++) {
        out->index[i * k + j] = best[j - 1].index;
        out->distance[i * k + j] = gm_metric_distance(points->metric, best[j - 1].s);
    }
    return n + 1 >= k;
}

/* Rows of all points; todo (N) receives those that found too few. */
static gm_status search_all(gm_knn *out, const gm_points *points, const gm_hnsw *index,
                            size_t effort, uint32_t *todo, size_t *n_todo, gm_error *err)
{
    const size_t most = effort < (size_t)out->k + SPARE ? effort : (size_t)out->k + SPARE;
    bool fine = true;
    bool *enough = gm_alloc(points->n, sizeof *enough);
    if (enough == NULL) return gm_fail(err, GM_EMEM, "no memory for neighbour lists");
#pragma omp parallel reduction(&& : fine)
    {
        uint32_t *found = gm_alloc(most, sizeof *found);
        gm_neighbour *best = gm_alloc(most, sizeof *best);
        fine = found && best;
#pragma omp for schedule(dynamic, 64)
        for (size_t i = 0; i < points->n; i++)
            if (found && best) enough[i] = search_point(out, points, index, i, most, found, best);
        gm_free(found);
        gm_free(best);
    }
    for (size_t i = 0; i < points->n; i++)
        if (!enough[i]) todo[(*n_todo)++] = (uint32_t)i;
    gm_free(enough);
    return fine ? GM_OK : gm_fail(err, GM_EMEM, "no memory for neighbour lists");
}

/* Exact rows for the points todo[0..n_todo). */
static gm_status search_exactly(gm_knn *out, const gm_points *points, const uint32_t *todo,
                                size_t n_todo, gm_error *err)
{
    gm_knn exact = {0};
    const size_t k = (size_t)out->k;
    gm_status status = gm_knn_find(&exact, points, todo, n_todo, out->k, NULL, err);
    for (size_t i = 0; status == GM_OK && i < n_todo * k; i++) {
        const size_t at = todo[i / k] * k + i % k;
        out->index[at] = exact.index[i];
        out->distance[at] = exact.distance[i];
    }
    out->n_uncertified = n_todo;
    gm_knn_clear(&exact);
    return status;
}

/* ---- how good ---- */

static gm_status measure_recall(gm_knn *knn, const gm_points *points, gm_error *err)
{
    gm_status status = GM_OK;
    gm_knn exact = {0};
    const size_t k = (size_t)knn->k;
    size_t n_found = 0;
    uint32_t *row = gm_alloc(GM_RECALL_SAMPLE, sizeof *row);
    if (row == NULL) GM_FAIL(GM_EMEM, "no memory for %d exact rows", GM_RECALL_SAMPLE);
    knn->n_checked = gm_quality_sample(row, points->n, GM_RECALL_SAMPLE);
    GM_TRY(gm_knn_find(&exact, points, row, knn->n_checked, knn->k, NULL, err));
    for (size_t q = 0; q < knn->n_checked; q++) {
        const uint32_t *mine = knn->index + row[q] * k, *true_ones = exact.index + q * k; /* (k) */
        for (size_t i = 1; i < k; i++)
            for (size_t j = 1; j < k; j++) n_found += mine[i] == true_ones[j];
    }
    knn->recall = k > 1 ? (double)n_found / (double)(knn->n_checked * (k - 1)) : 1;
out:
    gm_knn_clear(&exact);
    gm_free(row);
    return status;
}

static gm_status find_approximate(gm_knn *out, const gm_points *points, int k, size_t effort,
                                  gm_progress *progress, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t n = points->n;
    gm_knn knn = {.n = n, .k = k, .effort = effort};
    gm_hnsw *index = NULL;
    uint32_t *todo = gm_alloc(n, sizeof *todo);
    size_t n_todo = 0;
    *out = (gm_knn){0};
    if (!gm_hnsw_is_there())
        GM_FAIL(GM_EABSENT, "this build cannot find approximate neighbours, because it was made "
                            "without hnswlib or a C++ compiler; use --neighbours exact");
    if (k < 1 || (size_t)k > n)
        GM_FAIL(GM_EARG, "%d neighbours requested, but there are only %zu points", k, n);
    knn.index = gm_alloc2(n, (size_t)k, sizeof *knn.index);
    knn.distance = gm_alloc2(n, (size_t)k, sizeof *knn.distance);
    if (!todo || !knn.index || !knn.distance)
        GM_FAIL(GM_EMEM, "no memory for %d neighbours of %zu points", k, n);
    GM_TRY(build_index(&index, points, effort, progress, err));
    GM_TRY(search_all(&knn, points, index, effort, todo, &n_todo, err));
    if (n_todo > 0) GM_TRY(search_exactly(&knn, points, todo, n_todo, err));
    GM_TRY(measure_recall(&knn, points, err));
    *out = knn;
    knn = (gm_knn){0};
out:
    gm_hnsw_free(index);
    gm_free(todo);
    gm_knn_clear(&knn);
    return status;
}

void gm_neighbours_advise(const gm_knn *knn)
{
    if (knn->n_checked > 0 && !(knn->recall >= MIN_RECALL))
        gm_warn("only %.1f %% of the nearest neighbours were found (measured on %zu points); raise "
                "--effort (%zu), or use the slower --neighbours exact",
                100 * knn->recall, knn->n_checked, knn->effort);
}

gm_status gm_neighbours_find(gm_knn *out, const gm_points *points, int k,
                             const gm_neighbour_options *options, gm_progress *progress,
                             gm_error *err)
{
    const bool by_gpu = options->method == GM_NEIGHBOURS_AUTO && points->gpu;
    if (by_gpu || gm_neighbours_exact(options, points->n, points->columns))
        return gm_knn_find(out, points, NULL, 0, k, progress, err);
    const int effort = gm_neighbours_effort(options), least = 2 * k;
    return find_approximate(out, points, k, (size_t)(effort > least ? effort : least), progress,
                            err);
}
