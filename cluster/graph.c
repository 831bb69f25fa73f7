/* graph.c - from neighbour lists to the fuzzy graph. Steps as in umap-learn, in double. */
#include "cluster/graph.h"

#include "cluster/elementary.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double TOLERANCE = 1e-5, MIN_SCALE = 1e-3;
enum { MAX_BISECTIONS = 64 };

static double mean_distance(const double *distance, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += distance[i];
    return sum / (double)n;
}

/* By bisection, doubling while there is no upper end. */
double gm_graph_sigma(const double *d, size_t k, double rho)
{
    const double target = log2((double)k);
    double lo = 0, hi = FLT_MAX, sigma = 1;
    for (int step = 0; step < MAX_BISECTIONS; step++) {
        double sum = 0;
        for (size_t j = 1; j < k; j++) sum += d[j] > rho ? gm_exp(-(d[j] - rho) / sigma) : 1;
        if (fabs(sum - target) < TOLERANCE) break;
        if (sum > target) {
            hi = sigma;
            sigma = (lo + hi) / 2;
        } else {
            lo = sigma;
            sigma = hi == (double)FLT_MAX ? 2 * sigma : (lo + hi) / 2;
        }
    }
    return sigma;
}

void gm_graph_scales(const gm_knn *knn, double *rho, double *sigma)
{
    const size_t n = knn->n, k = (size_t)knn->k;
    const double mean_all = mean_distance(knn->distance, n * k);
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++) {
        const double *d = knn->distance + i * k; /* (k) ascending */
        rho[i] = 0;
        for (size_t j = 0; j < k && rho[i] == 0; j++) rho[i] = d[j];
        double mean = rho[i] > 0 ? mean_distance(d, k) : mean_all;
        sigma[i] = fmax(gm_graph_sigma(d, k, rho[i]), MIN_SCALE * mean);
    }
}

/* One directed membership; rows are lists of these until they become a graph. */
typedef struct entry {
    uint32_t index;
    float weight;
} entry;

static int by_index(const void *a, const void *b)
{
    uint32_t x = ((const entry *)a)->index, y = ((const entry *)b)->index;
    return (x > y) - (x < y);
}

/* Directed memberships: row i in row[i*k .. i*k + n_row[i]), columns ascending. */
static void memberships(const gm_knn *knn, const double *rho, const double *sigma,
                        double disconnected, entry *row, uint32_t *n_row)
{
    const size_t k = (size_t)knn->k;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < knn->n; i++) {
        entry *to = row + i * k;
        uint32_t m = 0;
        for (size_t j = 1; j < k; j++) {
            double d = knn->distance[i * k + j];
            if (d >= disconnected) continue;
            double w = d <= rho[i] || sigma[i] == 0 ? 1 : gm_exp(-(d - rho[i]) / sigma[i]);
            to[m++] = (entry){knn->index[i * k + j], (float)w};
        }
        qsort(to, m, sizeof *to, by_index);
        n_row[i] = m;
    }
}

/* The transpose as lists one after another: column i is at[start[i] .. start[i+1]); rows are
 * gone through in order, so each list ascends. `start` (n+1) and `at` are written. */
static void transpose(const entry *row, const uint32_t *n_row, size_t n, size_t k, uint64_t *start,
                      entry *at)
{
    memset(start, 0, (n + 1) * sizeof *start);
    for (size_t i = 0; i < n; i++)
        for (size_t e = 0; e < n_row[i]; e++) start[row[i * k + e].index + 1]++;
    for (size_t i = 0; i < n; i++) start[i + 1] += start[i];
    for (size_t i = 0; i < n; i++)
        for (size_t e = 0; e < n_row[i]; e++)
            at[start[row[i * k + e].index]++] = (entry){(uint32_t)i, row[i * k + e].weight};
    memmove(start + 1, start, n * sizeof *start);
    start[0] = 0;
}

/* Merge two ascending lists into the union of memberships; returns how many there are. */
static size_t merge_rows(const entry *a, size_t na, const entry *b, size_t nb, float mix,
                         uint32_t *index, float *weight)
{
    size_t i = 0, j = 0, m = 0;
    while (i < na || j < nb) {
        uint32_t x = i < na ? a[i].index : UINT32_MAX, y = j < nb ? b[j].index : UINT32_MAX;
        float wa = x <= y ? a[i++].weight : 0, wb = y <= x ? b[j++].weight : 0;
        float both = wa * wb, w = mix * ((wa + wb) - both) + (1 - mix) * both;
        if (!(w > 0)) continue;
        index[m] = x < y ? x : y;
        weight[m++] = w;
    }
    return m;
}

gm_status gm_graph_make(gm_graph *out, const gm_knn *knn, const double *rho, const double *sigma,
                        double mix, double disconnected, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t n = knn->n, k = (size_t)knn->k;
    gm_graph graph = {.n = n};
    entry *row = gm_alloc2(n, k, sizeof *row), *column = gm_alloc2(n, k, sizeof *column);
    uint32_t *n_row = gm_alloc(n, sizeof *n_row);
    uint64_t *start = gm_alloc(n + 1, sizeof *start);
    *out = (gm_graph){0};
    graph.indptr = gm_alloc(n + 1, sizeof *graph.indptr);
    graph.index = gm_alloc2(n, 2 * k, sizeof *graph.index);
    graph.weight = gm_alloc2(n, 2 * k, sizeof *graph.weight);
    if (!row || !column || !n_row || !start || !graph.indptr || !graph.index || !graph.weight)
        GM_FAIL(GM_EMEM, "no memory for the neighbour graph of %zu points", n);

    memberships(knn, rho, sigma, disconnected, row, n_row);
    transpose(row, n_row, n, k, start, column);
    for (size_t i = 0; i < n; i++) {
        uint64_t at = graph.indptr[i];
        graph.indptr[i + 1] =
            at + merge_rows(row + i * k, n_row[i], column + start[i], start[i + 1] - start[i],
                            (float)mix, graph.index + at, graph.weight + at);
    }
    *out = graph;
    graph = (gm_graph){0};
out:
    gm_free(row);
    gm_free(column);
    gm_free(n_row);
    gm_free(start);
    gm_graph_clear(&graph);
    return status;
}

float gm_graph_max_weight(const gm_graph *graph)
{
    float most = 0;
    for (uint64_t e = 0; e < graph->indptr[graph->n]; e++) most = fmaxf(most, graph->weight[e]);
    return most;
}

void gm_graph_prune(gm_graph *graph, int n_epochs)
{
    const float least = gm_graph_max_weight(graph) / (float)n_epochs;
    uint64_t kept = 0, from = 0;
    for (size_t i = 0; i < graph->n; i++) {
        uint64_t end = graph->indptr[i + 1];
        for (; from < end; from++) {
            if (graph->weight[from] < least) continue;
            graph->index[kept] = graph->index[from];
            graph->weight[kept++] = graph->weight[from];
        }
        graph->indptr[i + 1] = kept;
    }
}

gm_status gm_graph_induced(gm_graph *out, const gm_graph *graph, const uint32_t *keep, size_t n,
                           gm_error *err)
{
    gm_status status = GM_OK;
    gm_graph part = {.n = n};
    uint64_t m = 0;
    /* number in the part, from 1; 0: left out */
    uint32_t *place = gm_alloc(graph->n, sizeof *place);
    *out = (gm_graph){0};
    for (size_t i = 0; i < n; i++) m += graph->indptr[keep[i] + 1] - graph->indptr[keep[i]];
    part.indptr = gm_alloc(n + 1, sizeof *part.indptr);
    part.index = gm_alloc(m, sizeof *part.index);
    part.weight = gm_alloc(m, sizeof *part.weight);
    if (!place || !part.indptr || !part.index || !part.weight)
        GM_FAIL(GM_EMEM, "no memory for a part of the graph (%zu points)", n);

    for (size_t i = 0; i < n; i++) place[keep[i]] = (uint32_t)i + 1;
    m = 0;
    for (size_t i = 0; i < n; i++) {
        for (uint64_t e = graph->indptr[keep[i]]; e < graph->indptr[keep[i] + 1]; e++) {
            uint32_t to = place[graph->index[e]];
            if (to == 0) continue;
            part.index[m] = to - 1;
            part.weight[m++] = graph->weight[e];
        }
        part.indptr[i + 1] = m;
    }
    *out = part;
    part = (gm_graph){0};
out:
    gm_free(place);
    gm_graph_clear(&part);
    return status;
}

gm_status gm_graph_components(const gm_graph *graph, uint32_t *component, size_t *n_components,
                              gm_error *err)
{
    const uint32_t unseen = UINT32_MAX;
    uint32_t *stack = gm_alloc(graph->n, sizeof *stack), n = 0;
    *n_components = 0;
    if (stack == NULL) return gm_fail(err, GM_EMEM, "no memory to find connected parts");
    for (size_t i = 0; i < graph->n; i++) component[i] = unseen;
    for (size_t i = 0; i < graph->n; i++) {
        if (component[i] != unseen) continue;
        size_t top = 0;
        component[i] = n;
        stack[top++] = (uint32_t)i;
        while (top > 0) {
            uint32_t at = stack[--top];
            for (uint64_t e = graph->indptr[at]; e < graph->indptr[at + 1]; e++) {
                if (component[graph->index[e]] != unseen) continue;
                component[graph->index[e]] = n;
                stack[top++] = graph->index[e];
            }
        }
        n++;
    }
    *n_components = n;
    gm_free(stack);
    return GM_OK;
}

void gm_graph_clear(gm_graph *graph)
{
    gm_free(graph->indptr);
    gm_free(graph->index);
    gm_free(graph->weight);
    *graph = (gm_graph){0};
}
