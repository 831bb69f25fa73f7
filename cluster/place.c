/* place.c - neighbours by usage, a place among them, a branch of the tree. See place.h. */
#include "cluster/place.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "cluster/kdtree.h"

enum { MAX_K = 64 };

typedef struct ground {
    const gm_atlas *atlas;
    const gm_atlas_points *points;
    gm_points all; /* the M points, then the Q new documents, by usage */
    double *at;    /* (M,2) the points on the map */
    double *core;  /* (M) */
    double *death; /* (R) the largest lambda at which anything leaves a node */
    int k, min_samples, count_self;
    double epsilon;
} ground;

typedef struct near_point {
    double s;
    uint32_t point;
} near_point;

static void insert(near_point *best, size_t *n, size_t most, double s, size_t point)
{
    assert(most > 0);
    if (*n == most && !(s < best[most - 1].s)) return; /* ties: the lower number came first */
    size_t at = *n < most ? (*n)++ : most - 1;
    for (; at > 0 && s < best[at - 1].s; at--) best[at] = best[at - 1];
    best[at] = (near_point){s, (uint32_t)point};
}

/* ---- a place ---- */

/* sigma such that the sum over all but the nearest of exp(-d/sigma) is log2 k. */
static double find_sigma(const double *d, size_t k)
{
    const double target = log2((double)k);
    double lo = 0, hi = INFINITY, mid = 1;
    for (int step = 0; step < 64; step++) {
        double sum = 0;
        for (size_t i = 1; i < k; i++) sum += exp(-d[i] / mid);
        if (fabs(sum - target) < 1e-5) break;
        if (sum > target)
            hi = mid, mid = (lo + hi) / 2;
        else
            lo = mid, mid = isinf(hi) ? mid * 2 : (lo + hi) / 2;
    }
    double mean = 0;
    for (size_t i = 0; i < k; i++) mean += d[i] / (double)k;
    return fmax(mid, 1e-3 * mean);
}

static void find_place(gm_placed *out, const ground *g, const near_point *best, size_t k)
{
    assert(k > 0 && k <= MAX_K);
    double d[MAX_K] = {0}, sum = 0, x = 0, y = 0;
    for (size_t i = 0; i < k; i++) d[i] = gm_metric_distance(g->all.metric, best[i].s);
    const double sigma = k > 1 ? find_sigma(d, k) : 1;
    for (size_t i = 0; i < k; i++) {
        /* relative to the nearest: the same mean, and never 0 for all */
        double w = exp(-(d[i] - d[0]) / sigma);
        const double *at = g->at + 2 * (size_t)best[i].point;
        x += w * at[0], y += w * at[1];
        sum += w;
    }
    out->xy[0] = (float)(x / sum), out->xy[1] = (float)(y / sum);
    out->nearest = g->points->document[best[0].point];
    out->distance = d[0];
}

/* ---- a cluster ---- */

/* The point nearest by mutual reachability, and 1 over that. */
static uint32_t find_branch(double *lambda, const ground *g, const float xy[2], near_point *best)
{
    const size_t m = g->points->m, want = 2 * (size_t)g->min_samples;
    const size_t most = want < m ? want : m, own = (size_t)g->min_samples;
    size_t n = 0;
    for (size_t p = 0; p < m; p++) {
        double dx = g->at[2 * p] - (double)xy[0], dy = g->at[2 * p + 1] - (double)xy[1];
        insert(best, &n, most, dx * dx + dy * dy, p);
    }
    double core = sqrt(best[own < n ? own : n - 1].s), least = INFINITY;
    uint32_t found = best[0].point;
    for (size_t i = 0; i < n; i++) {
        double reach = fmax(sqrt(best[i].s), fmax(core, g->core[best[i].point]));
        if (reach < least) least = reach, found = best[i].point;
    }
    *lambda = least > 0 ? 1 / least : INFINITY;
    return found;
}

static void find_cluster(gm_placed *out, const ground *g, near_point *scratch)
{
    const gm_atlas *a = g->atlas;
    double lambda;
    uint32_t p = find_branch(&lambda, g, out->xy, scratch);
    uint32_t d = g->points->document[p], node = a->node[d];
    if (g->points->graph.indptr[p + 1] == g->points->graph.indptr[p]) return; /* on the ring */
    if (node == GM_ATLAS_NONE) return;
    if (a->lambda[d] > lambda)
        while (node > 0 && a->node_birth[node] >= lambda) node = a->node_parent[node];
    while (node > 0 && a->node_cluster[node] < 0) node = a->node_parent[node];
    if (a->node_cluster[node] < 0) return;
    if (node == 0 && !(lambda >= (g->epsilon > 0 ? 1 / g->epsilon : g->death[0]))) return;
    out->cluster = a->node_cluster[node];
    out->probability =
        g->death[node] > 0 ? (float)(fmin(lambda, g->death[node]) / g->death[node]) : 1;
}

/* ---- all of them ---- */

static gm_status find_cores(ground *g, gm_error *err)
{
    gm_kdtree tree;
    const size_t m = g->points->m;
    const int k = g->min_samples - g->count_self;
    gm_status status = gm_kdtree_build(&tree, g->at, m, 2, err);
    if (status != GM_OK) return status;
    double *work = gm_alloc(k > 0 ? (size_t)k : 1, sizeof *work);
    for (size_t p = 0; work && p < m; p++)
        g->core[p] = k > 0 ? gm_kdtree_kth(&tree, p, (size_t)k, work) : 0;
    if (work == NULL) status = gm_fail(err, GM_EMEM, "no memory for core distances");
    gm_free(work);
    gm_kdtree_clear(&tree);
    return status;
}

static void find_deaths(ground *g)
{
    const gm_atlas *a = g->atlas;
    for (size_t i = 0; i < a->n; i++)
        if (a->node[i] != GM_ATLAS_NONE)
            g->death[a->node[i]] = fmax(g->death[a->node[i]], a->lambda[i]);
    for (size_t r = 1; r < a->n_nodes; r++)
        g->death[a->node_parent[r]] = fmax(g->death[a->node_parent[r]], a->node_birth[r]);
}

/* Usage of the points and of the new documents as points of one space. */
static gm_status gather(ground *g, const gm_usage *news, const gm_usage *fitted,
                        const gm_fit_options *options, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t m = g->points->m, dim = fitted->dim, n = fitted->n;
    float *rows = gm_alloc2(m + news->n, dim, sizeof *rows);
    uint32_t *canonical = gm_alloc(n, sizeof *canonical);
    g->at = gm_alloc2(m, 2, sizeof *g->at);
    g->core = gm_alloc(m, sizeof *g->core);
    g->death = gm_alloc(g->atlas->n_nodes, sizeof *g->death);
    if (!rows || !canonical || !g->at || !g->core || !g->death)
        GM_FAIL(GM_EMEM, "no memory to place %zu documents", news->n);
    for (size_t i = 0; i < n; i++) canonical[fitted->place[i]] = (uint32_t)i;
    for (size_t p = 0; p < m; p++) {
        size_t d = g->points->document[p];
        memcpy(rows + p * dim, fitted->rate + canonical[d] * dim, dim * sizeof *rows);
        g->at[2 * p] = (double)g->atlas->xy[2 * d];
        g->at[2 * p + 1] = (double)g->atlas->xy[2 * d + 1];
    }
    memcpy(rows + m * dim, news->rate, news->n * dim * sizeof *rows);
    GM_TRY(gm_points_init(&g->all, rows, m + news->n, dim, options->metric, err));
    GM_TRY(find_cores(g, err));
    find_deaths(g);
out:
    gm_free(rows);
    gm_free(canonical);
    return status;
}

static void place_one(gm_placed *out, const ground *g, size_t q, near_point *scratch)
{
    const size_t m = g->points->m, most = (size_t)g->k < m ? (size_t)g->k : m;
    near_point best[MAX_K];
    size_t n = 0;
    for (size_t p = 0; p < m; p++) insert(best, &n, most, gm_points_squared(&g->all, m + q, p), p);
    assert(n > 0 && n <= MAX_K);
    find_place(out, g, best, n);
    size_t d = g->points->document[best[0].point];
    if (best[0].s > 0) {
        find_cluster(out, g, scratch);
        return;
    }
    out->xy[0] = g->atlas->xy[2 * d], out->xy[1] = g->atlas->xy[2 * d + 1];
    out->cluster = g->atlas->cluster[d];
    out->probability = g->atlas->probability[d];
}

gm_status gm_place(gm_placed *placed, const gm_usage *news, const gm_usage *fitted,
                   const gm_atlas *atlas, const gm_atlas_points *points,
                   const gm_fit_options *options, gm_error *err)
{
    gm_status status = GM_OK;
    ground g = {.atlas = atlas,
                .points = points,
                .k = options->n_neighbors,
                .min_samples = options->hdbscan.min_samples,
                .count_self = options->hdbscan.count_self,
                .epsilon = options->hdbscan.epsilon};
    const size_t width = 2 * (size_t)g.min_samples;
    near_point *scratch = NULL;
    enum { TOGETHER = 16 };
    GM_TRY(gather(&g, news, fitted, options, err));
    scratch = gm_alloc2(TOGETHER, width, sizeof *scratch);
    if (scratch == NULL) GM_FAIL(GM_EMEM, "no memory to place %zu documents", news->n);
    for (size_t first = 0; first < news->n; first += TOGETHER) {
        size_t count = news->n - first < TOGETHER ? news->n - first : TOGETHER;
#pragma omp parallel for schedule(dynamic, 1)
        for (size_t i = 0; i < count; i++) {
            gm_placed *out = &placed[first + i];
            *out = (gm_placed){{NAN, NAN}, -1, 0, GM_ATLAS_NONE, (double)NAN};
            if (news->point[first + i] != GM_NO_POINT)
                place_one(out, &g, first + i, scratch + i * width);
        }
    }
out:
    gm_points_clear(&g.all);
    gm_free(g.at);
    gm_free(g.core);
    gm_free(g.death);
    gm_free(scratch);
    return status;
}
