/* place.c - neighbours by usage, a place among them, a branch of the tree. See place.h. */
#include "cluster/place.h"

#include "base/text.h"
#include "cluster/elementary.h"
#include "cluster/kdtree.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

enum { MAX_K = 64 };

typedef struct ground {
    const gm_atlas *atlas;
    const gm_atlas_points *points;
    gm_points all; /* the M points, then the Q new documents, by usage */
    gm_knn near;   /* (Q) the nearest points of each new document, by usage */
    size_t dim;    /* D */
    double *at;    /* (M,D) the points where clusters were found */
    double *core;  /* (M) */
    double *death; /* (R) the largest lambda at which anything leaves a node */
    double *own;   /* (n_own) from the points to their nearest by usage, ascending */
    size_t n_own;  /* points that have an edge */
    int k, min_samples, count_self;
    double epsilon;
} ground;

/* ---- a place ---- */

/* Weights (k) of the nearest: exp(-d/sigma), relative to the first: the same mean, and never 0 for
 * all. Returns their sum. */
static double weigh(double *weight, const double *d, size_t k)
{
    double mean = 0, sum = 0;
    for (size_t i = 0; i < k; i++) mean += d[i] / (double)k;
    const double sigma = k > 1 ? fmax(gm_graph_sigma(d, k, 0), 1e-3 * mean) : 1;
    for (size_t i = 0; i < k; i++) sum += weight[i] = gm_exp(-(d[i] - d[0]) / sigma);
    return sum;
}

/* The place on the map, and where clusters are: in `space` (D), by the k nearest points `best` at
 * the distances d. */
static void find_place(gm_placed *out, double *space, const ground *g, const uint32_t *best,
                       const double *d, size_t k)
{
    assert(k > 0 && k <= MAX_K);
    double weight[MAX_K], x = 0, y = 0;
    const double sum = weigh(weight, d, k);
    for (size_t c = 0; c < g->dim; c++) space[c] = 0;
    for (size_t i = 0; i < k; i++) {
        const float *xy = g->atlas->xy + 2 * (size_t)g->points->document[best[i]];
        x += weight[i] * (double)xy[0], y += weight[i] * (double)xy[1];
        for (size_t c = 0; c < g->dim; c++)
            space[c] += weight[i] / sum * g->at[best[i] * g->dim + c];
    }
    out->xy[0] = (float)(x / sum), out->xy[1] = (float)(y / sum);
    if (g->dim == 2) space[0] = (double)out->xy[0], space[1] = (double)out->xy[1];
    out->nearest = g->points->document[best[0]];
    out->distance = d[0];
}

/* ---- a cluster ---- */

/* The point nearest by mutual reachability, and 1 over that. */
static uint32_t find_branch(double *lambda, const ground *g, const double *space,
                            gm_neighbour *best)
{
    const size_t m = g->points->m, want = 2 * (size_t)g->min_samples;
    const size_t most = want < m ? want : m, own = (size_t)g->min_samples;
    size_t n = 0;
    for (size_t p = 0; p < m; p++) {
        double s = 0;
        for (size_t c = 0; c < g->dim; c++) {
            double d = g->at[p * g->dim + c] - space[c];
            s += d * d;
        }
        gm_neighbour_insert(best, &n, most, (gm_neighbour){s, (uint32_t)p});
    }
    double core = sqrt(best[own < n ? own : n - 1].s), least = INFINITY;
    uint32_t found = best[0].index;
    for (size_t i = 0; i < n; i++) {
        double reach = fmax(sqrt(best[i].s), fmax(core, g->core[best[i].index]));
        if (reach < least) least = reach, found = best[i].index;
    }
    *lambda = least > 0 ? 1 / least : INFINITY;
    return found;
}

static void find_cluster(gm_placed *out, const ground *g, const double *space,
                         gm_neighbour *scratch)
{
    const gm_atlas *a = g->atlas;
    double lambda;
    uint32_t p = find_branch(&lambda, g, space, scratch);
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
    gm_status status = gm_kdtree_build(&tree, g->at, m, (int)g->dim, err);
    if (status != GM_OK) return status;
    gm_neighbour *work = gm_alloc(k > 0 ? (size_t)k : 1, sizeof *work);
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

/* The distance of point p to its nearest by an edge of the graph; infinity where it has none. */
static double own_distance(const ground *g, size_t p)
{
    const gm_atlas *a = g->atlas;
    const size_t d = g->points->document[p];
    double least = INFINITY;
    for (uint64_t e = a->graph_indptr[d]; e < a->graph_indptr[d + 1]; e++) {
        const uint32_t q = g->points->point[a->graph_indices[e]];
        if (q != GM_NO_POINT && q != p) least = fmin(least, gm_points_squared(&g->all, p, q));
    }
    return gm_metric_distance(g->all.metric, least);
}

static void find_own(ground *g)
{
    const size_t m = g->points->m;
#pragma omp parallel for schedule(dynamic, 64)
    for (size_t p = 0; p < m; p++) g->own[p] = own_distance(g, p);
    qsort(g->own, m, sizeof *g->own, gm_ascending);
    for (g->n_own = m; g->n_own > 0 && isinf(g->own[g->n_own - 1]);) g->n_own--;
}

/* The share of own distances below this one. */
static double quantile_of(const ground *g, double distance)
{
    size_t below = 0, end = g->n_own;
    while (below < end) {
        const size_t middle = below + (end - below) / 2;
        if (g->own[middle] < distance)
            below = middle + 1;
        else
            end = middle;
    }
    return g->n_own > 0 ? (double)below / (double)g->n_own : (double)NAN;
}

/* Usage of the points and of the new documents as points of one space. */
static gm_status gather(ground *g, const gm_usage *news, const gm_usage *fitted,
                        const gm_fit_options *options, gm_progress *progress, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t m = g->points->m, dim = fitted->dim, n = fitted->n;
    const float **row = gm_alloc(m + news->n, sizeof *row);
    uint32_t *canonical = gm_alloc(n, sizeof *canonical);
    const float *from = g->atlas->cluster_dim > 2 ? g->atlas->space : g->atlas->xy; /* (N,D) */
    g->at = gm_alloc2(m, g->dim, sizeof *g->at);
    g->core = gm_alloc(m, sizeof *g->core);
    g->death = gm_alloc(g->atlas->n_nodes, sizeof *g->death);
    g->own = gm_alloc(m, sizeof *g->own);
    if (!row || !canonical || !g->at || !g->core || !g->death || !g->own)
        GM_FAIL(GM_EMEM, "no memory to place %zu documents", news->n);
    for (size_t i = 0; i < n; i++) canonical[fitted->place[i]] = (uint32_t)i;
    for (size_t p = 0; p < m; p++) {
        size_t d = g->points->document[p];
        row[p] = fitted->row[canonical[d]];
        for (size_t c = 0; c < g->dim; c++) g->at[p * g->dim + c] = (double)from[d * g->dim + c];
    }
    for (size_t q = 0; q < news->n; q++) row[m + q] = news->row[q];
    GM_TRY(gm_points_of_rows(&g->all, row, m + news->n, dim, options->metric, err));
    const size_t most = (size_t)g->k < m ? (size_t)g->k : m;
    GM_TRY(gm_knn_find_across(&g->near, &g->all, m, (int)most + 1, progress, err));
    GM_TRY(find_cores(g, err));
    find_deaths(g);
    find_own(g);
out:
    gm_free(row);
    gm_free(canonical);
    return status;
}

static void place_one(gm_placed *out, const ground *g, size_t q, gm_neighbour *scratch)
{
    const size_t at = q * (size_t)g->near.k + 1;    /* after the document itself */
    const uint32_t *best = g->near.index + at;      /* (near.k - 1) */
    const double *distance = g->near.distance + at; /* (near.k - 1) */
    double space[GM_ATLAS_MAX_DIM];
    find_place(out, space, g, best, distance, (size_t)g->near.k - 1);
    out->quantile = quantile_of(g, out->distance);
    size_t d = g->points->document[best[0]];
    if (distance[0] > 0) {
        find_cluster(out, g, space, scratch);
        return;
    }
    out->xy[0] = g->atlas->xy[2 * d], out->xy[1] = g->atlas->xy[2 * d + 1];
    out->cluster = g->atlas->cluster[d];
    out->probability = g->atlas->probability[d];
}

gm_status gm_place(gm_placed *placed, const gm_usage *news, const gm_usage *fitted,
                   const gm_atlas *atlas, const gm_atlas_points *points,
                   const gm_fit_options *options, gm_progress *progress, gm_error *err)
{
    gm_status status = GM_OK;
    ground g = {.atlas = atlas,
                .points = points,
                .dim = atlas->cluster_dim > 2 ? (size_t)atlas->cluster_dim : 2,
                .k = options->n_neighbors,
                .min_samples = options->hdbscan.min_samples,
                .count_self = options->hdbscan.count_self,
                .epsilon = options->hdbscan.epsilon};
    const size_t width = 2 * (size_t)g.min_samples;
    gm_neighbour *scratch = NULL;
    enum { TOGETHER = 16 };
    if (news->n == 0) return GM_OK;
    GM_TRY(gather(&g, news, fitted, options, progress, err));
    scratch = gm_alloc2(TOGETHER, width, sizeof *scratch);
    if (scratch == NULL) GM_FAIL(GM_EMEM, "no memory to place %zu documents", news->n);
    for (size_t first = 0; first < news->n; first += TOGETHER) {
        size_t count = news->n - first < TOGETHER ? news->n - first : TOGETHER;
#pragma omp parallel for schedule(dynamic, 1)
        for (size_t i = 0; i < count; i++) {
            gm_placed *out = &placed[first + i];
            *out = (gm_placed){{NAN, NAN}, -1, 0, GM_ATLAS_NONE, (double)NAN, (double)NAN};
            if (news->point[first + i] != GM_NO_POINT)
                place_one(out, &g, first + i, scratch + i * width);
        }
    }
out:
    gm_points_clear(&g.all);
    gm_knn_clear(&g.near);
    gm_free(g.at);
    gm_free(g.core);
    gm_free(g.death);
    gm_free(g.own);
    gm_free(scratch);
    return status;
}
