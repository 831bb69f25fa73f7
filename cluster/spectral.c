/* spectral.c - where the layout starts.
 *
 * Sizes: N points, C connected parts, d dimensions of the layout.
 *
 * One connected part: its d leading eigenvectors. Several: each part is laid out alone,
 * shrunk to half the distance to its nearest neighbour part, and set where the layout of
 * the parts' centres says.
 *
 * Source: umap-learn, spectral.py: spectral_layout, multi_component_layout.
 */
#include "base/rng.h"
#include "cluster/dots.h"
#include "cluster/eigen.h"
#include "cluster/elementary.h"
#include "cluster/umap.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { MAX_ROUNDS = 60 };
static const double TOLERANCE = 1e-4; /* umap-learn's of ARPACK */

typedef struct parts {
    size_t n;            /* C connected parts */
    uint32_t *component; /* (N) */
    uint32_t *member;    /* (N) points part by part, ascending inside */
    size_t *start;       /* (C+1) */
} parts;

/* What every step is told. */
typedef struct start {
    const gm_graph *graph;
    const gm_points *points;
    const uint32_t *point_of; /* (N) */
    size_t dim;               /* d */
    uint64_t seed;
    gm_umap_report *report;
} start;

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

/* The d leading eigenvectors of a connected graph, to at (N,d). */
static gm_status embed(double *at, const gm_graph *graph, const start *s, gm_error *err)
{
    gm_eigen_report eigen;
    gm_status status =
        gm_eigen_leading(at, (int)s->dim, graph, TOLERANCE, MAX_ROUNDS, s->seed, &eigen, err);
    if (eigen.rounds > s->report->spectral_rounds) s->report->spectral_rounds = eigen.rounds;
    s->report->spectral_converged &= eigen.converged;
    return status;
}

/* Too few points for as many eigenvectors. */
static bool is_small(size_t n, size_t dim)
{
    return n < 2 * dim || n <= dim + 1;
}

static double largest(const double *v, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++) most = fmax(most, fabs(v[i]));
    return most;
}

/* Places of up to 2d parts, place (C,d): unit vectors, and then their opposites. */
static void place_few(double *place, size_t n, size_t dim)
{
    const size_t half = (n + 1) / 2;
    assert(half >= 1);
    memset(place, 0, n * dim * sizeof *place);
    for (size_t c = 0; c < n; c++) place[c * dim + c % half] = c < half ? 1 : -1;
}

/* Places of many parts: the spectral embedding of exp(-D^2), brought to at most 1. */
static gm_status place_many(double *place, const double *distance, size_t n, const start *s,
                            gm_error *err)
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
    GM_TRY(embed(place, &g, s, err));
    for (size_t i = 0; i < n; i++) {
        double degree = 0;
        for (uint64_t e = g.indptr[i]; e < g.indptr[i + 1]; e++) degree += (double)g.weight[e];
        for (size_t c = 0; c < s->dim; c++) place[s->dim * i + c] /= sqrt(degree);
    }
    double most = largest(place, s->dim * n);
    for (size_t i = 0; i < s->dim * n; i++) place[i] /= most;
out:
    gm_graph_clear(&g);
    return status;
}

/* Half the distance from place c to the nearest other one; 1 when all coincide. */
static double reach_of(const double *place, size_t c, size_t n, size_t dim)
{
    double reach = INFINITY;
    for (size_t o = 0; o < n; o++) {
        double squared = 0;
        for (size_t a = 0; a < dim; a++) {
            double d = place[dim * o + a] - place[dim * c + a];
            squared += d * d;
        }
        if (squared > 0) reach = fmin(reach, sqrt(squared) / 2);
    }
    return isfinite(reach) ? reach : 1;
}

/* Lay out part c around its place and write it to at (N,d). */
static gm_status embed_part(double *at, size_t c, const parts *p, const double *place,
                            const start *s, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t n = p->start[c + 1] - p->start[c], dim = s->dim;
    const uint32_t *member = p->member + p->start[c]; /* (n) */
    const double reach = reach_of(place, c, p->n, dim);
    double *own = gm_alloc2(n, dim, sizeof *own);
    gm_graph part = {0};
    gm_rng rng = gm_rng_make(s->seed, 0x70617274 + c); /* "part" */
    if (!own) GM_FAIL(GM_EMEM, "no memory for a part of %zu points", n);

    if (is_small(n, dim)) {
        for (size_t i = 0; i < dim * n; i++) own[i] = reach * (2 * gm_rng_unit(&rng) - 1);
    } else {
        GM_TRY(gm_graph_induced(&part, s->graph, member, n, err));
        GM_TRY(embed(own, &part, s, err));
        double by = reach / largest(own, dim * n);
        for (size_t i = 0; i < dim * n; i++) own[i] *= by;
    }
    for (size_t i = 0; i < n; i++)
        for (size_t d = 0; d < dim; d++)
            at[dim * (size_t)member[i] + d] = own[dim * i + d] + place[dim * c + d];
out:
    gm_free(own);
    gm_graph_clear(&part);
    return status;
}

static gm_status embed_parts(double *at, const parts *p, const start *s, gm_error *err)
{
    gm_status status = GM_OK;
    double *place = gm_alloc2(p->n, s->dim, sizeof *place);
    double *distance = gm_alloc2(p->n, p->n, sizeof *distance);
    if (!place || !distance) GM_FAIL(GM_EMEM, "no memory to place %zu parts", p->n);
    if (p->n <= 2 * s->dim) {
        place_few(place, p->n, s->dim);
    } else {
        GM_TRY(centre_distances(distance, p, s->points, s->point_of, err));
        GM_TRY(place_many(place, distance, p->n, s, err));
    }
    for (size_t c = 0; c < p->n; c++) GM_TRY(embed_part(at, c, p, place, s, err));
out:
    gm_free(place);
    gm_free(distance);
    return status;
}

gm_status gm_spectral_start(double *at, int dim, const gm_graph *graph, const gm_points *points,
                            const uint32_t *point_of, uint64_t seed, gm_umap_report *report,
                            gm_error *err)
{
    gm_status status = GM_OK;
    parts p = {0};
    const start s = {graph, points, point_of, (size_t)dim, seed, report};
    report->spectral_converged = true;
    GM_TRY(find_parts(&p, graph, err));
    report->n_components = p.n;
    if (p.n == 1 && !is_small(graph->n, s.dim))
        GM_TRY(embed(at, graph, &s, err));
    else
        GM_TRY(embed_parts(at, &p, &s, err));
out:
    clear_parts(&p);
    return status;
}

/* Largest coordinate 10, a little noise so that no two points coincide, then each axis to
 * [0,10]. */
void gm_spectral_scale(float *xy, const double *at, size_t n, int dim, uint64_t seed)
{
    assert(dim >= 1 && dim <= GM_MAX_LAYOUT_DIM);
    const size_t wide = (size_t)dim;
    gm_rng rng = gm_rng_make(seed, 0x6e6f6973); /* "nois" */
    const double most = largest(at, wide * n), by = most > 0 ? 10 / most : 0;
    float lo[GM_MAX_LAYOUT_DIM], hi[GM_MAX_LAYOUT_DIM];
    for (size_t d = 0; d < wide; d++) lo[d] = INFINITY, hi[d] = -INFINITY;
    for (size_t i = 0; i < wide * n; i++) {
        xy[i] = (float)(at[i] * by + 1e-4 * gm_rng_normal(&rng));
        lo[i % wide] = fminf(lo[i % wide], xy[i]);
        hi[i % wide] = fmaxf(hi[i % wide], xy[i]);
    }
    for (size_t i = 0; i < wide * n; i++) {
        float range = hi[i % wide] - lo[i % wide];
        xy[i] = range > 0 ? 10.0f * (xy[i] - lo[i % wide]) / range : 0.0f;
    }
}
