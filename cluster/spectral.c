/* spectral.c - where the layout starts.
 *
 * One connected part: its two leading eigenvectors. Several: each part is laid out alone,
 * shrunk to half the distance to its nearest neighbour part, and set where the layout of
 * the parts' centres says.
 *
 * Source: umap-learn, spectral.py: spectral_layout, multi_component_layout.
 */
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "cluster/dots.h"
#include "cluster/eigen.h"
#include "cluster/elementary.h"
#include "cluster/umap.h"

enum { MAX_ROUNDS = 60 };
static const double TOLERANCE = 1e-4; /* umap-learn's of ARPACK */

typedef struct parts {
    size_t n;            /* C connected parts */
    uint32_t *component; /* (N) */
    uint32_t *member;    /* (N) points part by part, ascending inside */
    size_t *start;       /* (C+1) */
} parts;

static void clear_parts(parts *p)
{
    gm_free(p->component);
    gm_free(p->member);
    gm_free(p->start);
}

static gm_status find_parts(parts *p, const gm_graph *graph, gm_error *err)
{
    gm_status status = GM_OK;
    p->component = gm_alloc(graph->n, sizeof *p->component);
    p->member = gm_alloc(graph->n, sizeof *p->member);
    if (!p->component || !p->member) GM_FAIL(GM_EMEM, "no memory for the parts of the graph");
    GM_TRY(gm_graph_components(graph, p->component, &p->n, err));
    p->start = gm_alloc(p->n + 1, sizeof *p->start);
    if (!p->start) GM_FAIL(GM_EMEM, "no memory for %zu parts of the graph", p->n);

    for (size_t i = 0; i < graph->n; i++) p->start[p->component[i] + 1]++;
    for (size_t c = 0; c < p->n; c++) p->start[c + 1] += p->start[c];
    for (size_t i = 0; i < graph->n; i++) p->member[p->start[p->component[i]]++] = (uint32_t)i;
    memmove(p->start + 1, p->start, p->n * sizeof *p->start);
    p->start[0] = 0;
out:
    return status;
}

/* The mean row of n points, as a point of the space. Under hellinger a row is the squares of its
 * features and sums to 1. Under cosine the mean is that of directions. */
static void find_centre(float *centre, double *sum, const gm_points *points,
                        const uint32_t *point_of, const uint32_t *member, size_t n)
{
    const size_t dim = points->dim;
    const bool squares = points->metric == GM_HELLINGER;
    double length = 0;
    memset(sum, 0, dim * sizeof *sum);
    for (size_t m = 0; m < n; m++) {
        const float *f = points->at + (size_t)point_of[member[m]] * dim; /* (dim) */
        for (size_t d = 0; d < dim; d++) sum[d] += (double)f[d] * (squares ? (double)f[d] : 1);
    }
    for (size_t d = 0; d < dim; d++) {
        sum[d] = squares ? sqrt(sum[d] / (double)n) : sum[d] / (double)n;
        length += sum[d] * sum[d];
    }
    const double by = points->metric == GM_COSINE && length > 0 ? 1 / sqrt(length) : 1;
    for (size_t d = 0; d < dim; d++) centre[d] = (float)(sum[d] * by);
}

/* Distances (C,C) between the centres of the parts. */
static gm_status centre_distances(double *distance, const parts *p, const gm_points *points,
                                  const uint32_t *point_of, gm_error *err)
{
    const size_t dim = points->dim;
    double *sum = gm_alloc(dim, sizeof *sum);
    float *centre = gm_alloc2(p->n, dim, sizeof *centre);
    gm_status status = GM_OK;
    if (!sum || !centre) GM_FAIL(GM_EMEM, "no memory for the centres of %zu parts", p->n);
    for (size_t c = 0; c < p->n; c++)
        find_centre(centre + c * dim, sum, points, point_of, p->member + p->start[c],
                    p->start[c + 1] - p->start[c]);
    for (size_t i = 0; i < p->n; i++) {
        for (size_t j = 0; j < p->n; j++) {
            double s = gm_dots_of(points->isa)->squared(centre + i * dim, centre + j * dim, dim);
            distance[i * p->n + j] = gm_metric_distance(points->metric, s);
        }
    }
out:
    gm_free(sum);
    gm_free(centre);
    return status;
}

static gm_status embed(double *xy, const gm_graph *graph, uint64_t seed, gm_umap_report *report,
                       gm_error *err)
{
    gm_eigen_report eigen;
    gm_status status = gm_eigen_leading(xy, 2, graph, TOLERANCE, MAX_ROUNDS, seed, &eigen, err);
    if (eigen.rounds > report->spectral_rounds) report->spectral_rounds = eigen.rounds;
    report->spectral_converged &= eigen.converged;
    return status;
}

static double largest(const double *v, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++) most = fmax(most, fabs(v[i]));
    return most;
}

/* Places of up to four parts: the unit vectors and their opposites. */
static void place_few(double *place, size_t n)
{
    static const double at[4][2] = {{1, 0}, {0, 1}, {-1, 0}, {0, -1}};
    if (n == 2) { /* half of two is one unit vector */
        place[0] = 1, place[1] = 0, place[2] = -1, place[3] = 0;
        return;
    }
    memcpy(place, at, n * sizeof at[0]);
}

/* Places of many parts: the spectral embedding of exp(-D^2), brought to at most 1. */
static gm_status place_many(double *place, const double *distance, size_t n, uint64_t seed,
                            gm_umap_report *report, gm_error *err)
{
    gm_status status = GM_OK;
    gm_graph g = {.n = n};
    g.indptr = gm_alloc(n + 1, sizeof *g.indptr);
    g.index = gm_alloc2(n, n - 1, sizeof *g.index);
    g.weight = gm_alloc2(n, n - 1, sizeof *g.weight);
    if (!g.indptr || !g.index || !g.weight) GM_FAIL(GM_EMEM, "no memory to place %zu parts", n);
    uint64_t m = 0;
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            double d = distance[i * n + j];
            if (i == j) continue;
            g.index[m] = (uint32_t)j;
            g.weight[m++] = fmaxf((float)gm_exp(-d * d), 1e-30f); /* connected, however far */
        }
        g.indptr[i + 1] = m;
    }
    GM_TRY(embed(place, &g, seed, report, err));
    for (size_t i = 0; i < n; i++) {
        double degree = 0;
        for (uint64_t e = g.indptr[i]; e < g.indptr[i + 1]; e++) degree += (double)g.weight[e];
        for (size_t c = 0; c < 2; c++) place[2 * i + c] /= sqrt(degree);
    }
    double most = largest(place, 2 * n);
    for (size_t i = 0; i < 2 * n; i++) place[i] /= most;
out:
    gm_graph_clear(&g);
    return status;
}

/* Lay out part c around its place and write it to xy (N,2). */
static gm_status embed_part(double *xy, size_t c, const parts *p, const gm_graph *graph,
                            const double *place, uint64_t seed, gm_umap_report *report,
                            gm_error *err)
{
    gm_status status = GM_OK;
    const size_t n = p->start[c + 1] - p->start[c];
    const uint32_t *member = p->member + p->start[c]; /* (n) */
    double *own = gm_alloc2(n, 2, sizeof *own), reach = INFINITY;
    gm_graph part = {0};
    gm_rng rng = gm_rng_make(seed, 0x70617274 + c); /* "part" */
    if (!own) GM_FAIL(GM_EMEM, "no memory for a part of %zu points", n);

    for (size_t o = 0; o < p->n; o++) {
        double dx = place[2 * o] - place[2 * c], dy = place[2 * o + 1] - place[2 * c + 1];
        double d = sqrt(dx * dx + dy * dy);
        if (d > 0) reach = fmin(reach, d / 2);
    }
    if (!isfinite(reach)) reach = 1; /* all places coincide */
    if (n < 4) {
        for (size_t i = 0; i < 2 * n; i++) own[i] = reach * (2 * gm_rng_unit(&rng) - 1);
    } else {
        GM_TRY(gm_graph_induced(&part, graph, member, n, err));
        GM_TRY(embed(own, &part, seed, report, err));
        double by = reach / largest(own, 2 * n);
        for (size_t i = 0; i < 2 * n; i++) own[i] *= by;
    }
    for (size_t i = 0; i < n; i++)
        for (size_t d = 0; d < 2; d++)
            xy[2 * (size_t)member[i] + d] = own[2 * i + d] + place[2 * c + d];
out:
    gm_free(own);
    gm_graph_clear(&part);
    return status;
}

static gm_status embed_parts(double *xy, const parts *p, const gm_graph *graph,
                             const gm_points *points, const uint32_t *point_of, uint64_t seed,
                             gm_umap_report *report, gm_error *err)
{
    gm_status status = GM_OK;
    double *place = gm_alloc2(p->n, 2, sizeof *place);
    double *distance = gm_alloc2(p->n, p->n, sizeof *distance);
    if (!place || !distance) GM_FAIL(GM_EMEM, "no memory to place %zu parts", p->n);
    if (p->n <= 4) {
        place_few(place, p->n);
    } else {
        GM_TRY(centre_distances(distance, p, points, point_of, err));
        GM_TRY(place_many(place, distance, p->n, seed, report, err));
    }
    for (size_t c = 0; c < p->n; c++) GM_TRY(embed_part(xy, c, p, graph, place, seed, report, err));
out:
    gm_free(place);
    gm_free(distance);
    return status;
}

gm_status gm_spectral_start(double *at, const gm_graph *graph, const gm_points *points,
                            const uint32_t *point_of, uint64_t seed, gm_umap_report *report,
                            gm_error *err)
{
    gm_status status = GM_OK;
    parts p = {0};
    report->spectral_converged = true;
    GM_TRY(find_parts(&p, graph, err));
    report->n_components = p.n;
    if (p.n == 1 && graph->n >= 4)
        GM_TRY(embed(at, graph, seed, report, err));
    else
        GM_TRY(embed_parts(at, &p, graph, points, point_of, seed, report, err));
out:
    clear_parts(&p);
    return status;
}

/* Largest coordinate 10, a little noise so that no two points coincide, then each axis to
 * [0,10]. */
void gm_spectral_scale(float *xy, const double *at, size_t n, uint64_t seed)
{
    gm_rng rng = gm_rng_make(seed, 0x6e6f6973); /* "nois" */
    const double most = largest(at, 2 * n), by = most > 0 ? 10 / most : 0;
    float lo[2] = {INFINITY, INFINITY}, hi[2] = {-INFINITY, -INFINITY};
    for (size_t i = 0; i < 2 * n; i++) {
        xy[i] = (float)(at[i] * by + 1e-4 * gm_rng_normal(&rng));
        lo[i % 2] = fminf(lo[i % 2], xy[i]);
        hi[i % 2] = fmaxf(hi[i % 2], xy[i]);
    }
    for (size_t i = 0; i < 2 * n; i++) {
        float range = hi[i % 2] - lo[i % 2];
        xy[i] = range > 0 ? 10.0f * (xy[i] - lo[i % 2]) / range : 0.0f;
    }
}
