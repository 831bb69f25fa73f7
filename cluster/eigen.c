/* eigen.c - block Chebyshev subspace iteration. See eigen.h.
 *
 * The block X is (N, W) row-major with W columns, more than are wanted: the spare ones
 * make the last wanted converge.
 */
#include "cluster/eigen.h"

#include "base/rng.h"
#include "cluster/eigen_rows.h"

#include <math.h>
#include <string.h>

enum {
    W = GM_EIGEN_WIDTH,  /* columns of the block */
    PER_PASS = 4,        /* vectors that one block finds */
    DEGREE = 32,         /* of the Chebyshev filter */
    CHUNK = 4096,        /* rows that are summed together */
    ROWS_PER_TASK = 512, /* rows that a thread takes */
    SMALL = 32,          /* up to here the dense matrix is solved at once */
    SERIAL_ROWS = 2048,  /* up to here one thread is faster than several */
    MAX_SWEEPS = 60
};

typedef struct eigen {
    size_t n, n_chunks;
    const gm_eigen_rows *rows;
    uint32_t *order;   /* (N) points of the graph, those near each other close together */
    gm_eigen_matrix s; /* S in that order */
    double *known;     /* (n_known, N) of length 1: that of value 1, sqrt(degree); those found */
    size_t n_known;
    double *x, *y, *z; /* (N,W) */
    double *partial;   /* (n_chunks, W*W) */
} eigen;

/* out = alpha S in + beta in + gamma old, row by row; `old` may be NULL. */
static void apply(const eigen *e, double *out, const double *in, const double *old, double alpha,
                  double beta, double gamma)
{
#pragma omp parallel for schedule(dynamic, 1) if (e->n > SERIAL_ROWS)
    for (size_t i = 0; i < e->n; i += ROWS_PER_TASK) {
        size_t end = i + ROWS_PER_TASK < e->n ? i + ROWS_PER_TASK : e->n;
        e->rows->apply(&e->s, i, end, out, in, old, alpha, beta, gamma);
    }
}

/* gram (W,W) = a' b: chunks of rows are summed apart, then one after another. */
static void gram_of(const eigen *e, const double *a, const double *b, double gram[W * W])
{
#pragma omp parallel for schedule(static) if (e->n > SERIAL_ROWS)
    for (size_t k = 0; k < e->n_chunks; k++) {
        size_t end = (k + 1) * CHUNK < e->n ? (k + 1) * CHUNK : e->n;
        e->rows->gram(k * CHUNK, end, a, b, e->partial + k * W * W);
    }
    memset(gram, 0, sizeof *gram * W * W);
    for (size_t k = 0; k < e->n_chunks; k++)
        for (size_t c = 0; c < (size_t)W * W; c++) gram[c] += e->partial[k * W * W + c];
}

/* out = in q, q (W,W); `out` may be `in`. */
static void multiply(const eigen *e, double *out, const double *in, const double q[W * W])
{
#pragma omp parallel for schedule(static) if (e->n > SERIAL_ROWS)
    for (size_t i = 0; i < e->n; i += ROWS_PER_TASK)
        e->rows->multiply(i, i + ROWS_PER_TASK < e->n ? i + ROWS_PER_TASK : e->n, out, in, q);
}

static void remove_known(const eigen *e, double *x)
{
    for (size_t k = 0; k < e->n_known; k++) {
        const double *v = e->known + k * e->n; /* (N) */
        double along[W] = {0};
        for (size_t i = 0; i < e->n; i++)
            for (size_t c = 0; c < W; c++) along[c] += v[i] * x[i * W + c];
        for (size_t i = 0; i < e->n; i++)
            for (size_t c = 0; c < W; c++) x[i * W + c] -= v[i] * along[c];
    }
}

/* Zero h[r][c] of the symmetric h (n,n) by a rotation, and turn the columns of q with it. */
static void rotate(double *h, double *q, size_t n, size_t r, size_t c)
{
    if (h[r * n + c] == 0) return;
    double theta = (h[c * n + c] - h[r * n + r]) / (2 * h[r * n + c]);
    double t = (theta < 0 ? -1 : 1) / (fabs(theta) + sqrt(theta * theta + 1));
    double cosine = 1 / sqrt(t * t + 1), sine = t * cosine;
    for (size_t k = 0; k < n; k++) {
        double a = h[k * n + r], b = h[k * n + c];
        h[k * n + r] = cosine * a - sine * b, h[k * n + c] = sine * a + cosine * b;
    }
    for (size_t k = 0; k < n; k++) {
        double a = h[r * n + k], b = h[c * n + k];
        h[r * n + k] = cosine * a - sine * b, h[c * n + k] = sine * a + cosine * b;
        a = q[k * n + r], b = q[k * n + c];
        q[k * n + r] = cosine * a - sine * b, q[k * n + c] = sine * a + cosine * b;
    }
}

/* Eigenvalues (descending) and eigenvectors (columns of q) of a symmetric matrix h (n,n),
 * by Jacobi's rotations; h is used up. */
static void jacobi(double *h, size_t n, double *value, double *q)
{
    for (size_t i = 0; i < n * n; i++) q[i] = i % (n + 1) == 0;
    for (int sweep = 0; sweep < MAX_SWEEPS; sweep++) {
        double off = 0;
        for (size_t r = 0; r < n; r++)
            for (size_t c = r + 1; c < n; c++) off += h[r * n + c] * h[r * n + c];
        if (!(off > 1e-300)) break;
        for (size_t r = 0; r < n; r++)
            for (size_t c = r + 1; c < n; c++) rotate(h, q, n, r, c);
    }
    for (size_t c = 0; c < n; c++) value[c] = h[c * n + c];
    for (size_t c = 0; c < n; c++) { /* selection sort, largest first */
        size_t best = c;
        for (size_t k = c + 1; k < n; k++) best = value[k] > value[best] ? k : best;
        double v = value[c];
        value[c] = value[best], value[best] = v;
        for (size_t k = 0; k < n; k++) {
            v = q[k * n + c];
            q[k * n + c] = q[k * n + best], q[k * n + best] = v;
        }
    }
}

/* Make the columns of x orthonormal: x <- x V diag(value)^-1/2 of its Gram matrix, twice,
 * because the first pass loses digits when columns are nearly parallel. */
static void orthonormalise(const eigen *e, double *x)
{
    double gram[W * W], value[W], q[W * W];
    for (int pass = 0; pass < 2; pass++) {
        gram_of(e, x, x, gram);
        jacobi(gram, W, value, q);
        for (int c = 0; c < W; c++) {
            double least = 1e-28 * value[0];
            double by = 1 / sqrt(value[c] > least ? value[c] : least);
            for (int r = 0; r < W; r++) q[r * W + c] *= by;
        }
        multiply(e, x, x, q);
    }
}

/* Rayleigh-Ritz: turn x into the best eigenvectors in its span; y = S x. */
static void ritz(const eigen *e, double value[W])
{
    double h[W * W], q[W * W];
    apply(e, e->y, e->x, NULL, 1, 0, 0);
    gram_of(e, e->x, e->y, h);
    for (int r = 0; r < W; r++)
        for (int c = 0; c < r; c++) h[r * W + c] = h[c * W + r];
    jacobi(h, W, value, q);
    multiply(e, e->x, e->x, q);
    multiply(e, e->y, e->y, q);
}

/* The largest |S v - value v| of the first m columns. */
static double residual(const eigen *e, const double value[W], int m)
{
    double worst = 0;
    for (size_t c = 0; c < (size_t)m; c++) {
        double sum = 0;
        for (size_t i = 0; i < e->n; i++) {
            double r = e->y[i * W + c] - value[c] * e->x[i * W + c];
            sum += r * r;
        }
        worst = fmax(worst, sqrt(sum));
    }
    return worst;
}

/* x <- T(S) x, T the Chebyshev polynomial that is small on [-1, cut] and large above it. */
static void filter(eigen *e, double cut)
{
    const double half = (cut + 1) / 2, centre = (cut - 1) / 2;
    double sigma = half / (1 - centre), first = sigma;
    apply(e, e->y, e->x, NULL, sigma / half, -centre * sigma / half, 0);
    for (int k = 2; k <= DEGREE; k++) {
        double next = 1 / (2 / first - sigma);
        apply(e, e->z, e->y, e->x, 2 * next / half, -2 * next * centre / half, -sigma * next);
        double *oldest = e->x;
        e->x = e->y, e->y = e->z, e->z = oldest;
        sigma = next;
    }
    double *swap = e->x;
    e->x = e->y, e->y = swap;
}

/* Columns [skip, skip + m) of x (n, width), whose rows are the points `order` (NULL: 0, 1, ..), to
 * columns of vectors (n, wide), each with its largest entry (the first of equals) positive. */
static void copy_out(double *vectors, size_t wide, size_t m, const double *x, size_t n,
                     size_t width, size_t skip, const uint32_t *order)
{
    for (size_t c = 0; c < m; c++) {
        const double *column = x + skip + c; /* stride `width` */
        size_t top = 0;
        for (size_t i = 0; i < n; i++)
            vectors[(order ? order[i] : i) * wide + c] = column[i * width];
        for (size_t i = 0; i < n; i++)
            if (fabs(vectors[i * wide + c]) > fabs(vectors[top * wide + c])) top = i;
        double sign = vectors[top * wide + c] < 0 ? -1 : 1;
        for (size_t i = 0; i < n; i++) vectors[i * wide + c] *= sign;
    }
}

/* A small graph at once: all eigenvectors of the dense matrix, the trivial one left out. */
static void solve_small(double *vectors, size_t m, const gm_graph *g, gm_eigen_report *report)
{
    const size_t n = g->n;
    double h[SMALL * SMALL] = {0}, q[SMALL * SMALL] = {0}, value[SMALL] = {0}, degree[SMALL] = {0};
    for (size_t i = 0; i < n; i++)
        for (uint64_t at = g->indptr[i]; at < g->indptr[i + 1]; at++)
            degree[i] += (double)g->weight[at];
    for (size_t i = 0; i < n; i++)
        for (uint64_t at = g->indptr[i]; at < g->indptr[i + 1]; at++)
            h[i * n + g->index[at]] =
                (double)g->weight[at] / sqrt(degree[i] * degree[g->index[at]]);
    jacobi(h, n, value, q);
    report->converged = true;
    for (size_t c = 0; c < m; c++) report->value[c] = value[c + 1];
    copy_out(vectors, m, m, q, n, n, 1, NULL);
}

/* Breadth-first order from the first point, so that what a row reads is near what the rows beside
 * it read. place (N), written, is the inverse. */
static void find_order(uint32_t *order, uint32_t *place, const gm_graph *g)
{
    const uint32_t unseen = UINT32_MAX;
    size_t n_seen = 0, next = 0;
    for (size_t i = 0; i < g->n; i++) place[i] = unseen;
    for (size_t first = 0; first < g->n; first++) { /* one pass, the graph being connected */
        if (place[first] != unseen) continue;
        place[first] = (uint32_t)n_seen;
        order[n_seen++] = (uint32_t)first;
        for (; next < n_seen; next++)
            for (uint64_t at = g->indptr[order[next]]; at < g->indptr[order[next] + 1]; at++) {
                const uint32_t j = g->index[at];
                if (place[j] != unseen) continue;
                place[j] = (uint32_t)n_seen;
                order[n_seen++] = j;
            }
    }
}

/* S of a graph whose point i has the inverse root of its degree in scale[i]. */
static void fill_matrix(eigen *e, const gm_graph *g, const double *scale, const uint32_t *place)
{
    uint64_t m = 0;
    for (size_t r = 0; r < e->n; r++) {
        const size_t i = e->order[r];
        for (uint64_t at = g->indptr[i]; at < g->indptr[i + 1]; at++, m++) {
            const uint32_t j = g->index[at];
            e->s.index[m] = place[j];
            e->s.value[m] = (double)g->weight[at] * (scale[i] * scale[j]);
        }
        e->s.indptr[r + 1] = m;
    }
}

static gm_status prepare(eigen *e, const gm_graph *g, gm_error *err)
{
    gm_status status = GM_OK;
    double total = 0, *scale = gm_alloc(e->n, sizeof *scale);
    uint32_t *place = gm_alloc(e->n, sizeof *place);
    if (!scale || !place) GM_FAIL(GM_EMEM, "no memory for eigenvectors of %zu points", e->n);
    find_order(e->order, place, g);
    for (size_t i = 0; i < e->n; i++) {
        double degree = 0;
        for (uint64_t at = g->indptr[i]; at < g->indptr[i + 1]; at++)
            degree += (double)g->weight[at];
        scale[i] = 1 / sqrt(degree);
        e->known[place[i]] = sqrt(degree);
        total += degree;
    }
    for (size_t i = 0; i < e->n; i++) e->known[i] /= sqrt(total);
    e->n_known = 1;
    fill_matrix(e, g, scale, place);
out:
    gm_free(scale);
    gm_free(place);
    return status;
}

static gm_status make_room(eigen *e, const gm_graph *g, size_t m, gm_error *err)
{
    const size_t n = e->n;
    e->order = gm_alloc(n, sizeof *e->order);
    e->s = (gm_eigen_matrix){.n = n,
                             .indptr = gm_alloc(n + 1, sizeof *e->s.indptr),
                             .index = gm_alloc(g->indptr[n], sizeof *e->s.index),
                             .value = gm_alloc(g->indptr[n], sizeof *e->s.value)};
    e->known = gm_alloc2(m + 1, n, sizeof *e->known);
    e->x = gm_alloc2(n, W, sizeof *e->x);
    e->y = gm_alloc2(n, W, sizeof *e->y);
    e->z = gm_alloc2(n, W, sizeof *e->z);
    e->partial = gm_alloc2(e->n_chunks, (size_t)W * W, sizeof *e->partial);
    if (!e->order || !e->s.indptr || !e->s.index || !e->s.value || !e->known || !e->x || !e->y ||
        !e->z || !e->partial)
        return gm_fail(err, GM_EMEM, "no memory for eigenvectors of %zu points", n);
    return GM_OK;
}

static void clear_room(eigen *e)
{
    gm_free(e->order);
    gm_free(e->s.indptr);
    gm_free(e->s.index);
    gm_free(e->s.value);
    gm_free(e->known);
    gm_free(e->x);
    gm_free(e->y);
    gm_free(e->z);
    gm_free(e->partial);
}

/* The m <= PER_PASS leading vectors beside those that are known, to the first columns of x. */
static void run_pass(eigen *e, int m, double value[W], double tolerance, int max_rounds,
                     uint64_t seed, gm_eigen_report *report)
{
    gm_rng rng = gm_rng_make(seed, 0x65696765 + e->n_known - 1); /* "eige" */
    bool converged;
    int rounds = 0;
    for (size_t c = 0; c < e->n * W; c++) e->x[c] = gm_rng_normal(&rng);
    for (;; rounds++) {
        remove_known(e, e->x);
        orthonormalise(e, e->x);
        ritz(e, value);
        converged = residual(e, value, m) <= tolerance;
        if (converged || rounds == max_rounds) break;
        filter(e, fmin(value[W - 1], value[m - 1] - 1e-12));
    }
    report->converged &= converged;
    if (rounds > report->rounds) report->rounds = rounds;
}

static void remember(eigen *e, size_t m)
{
    for (size_t c = 0; c < m; c++, e->n_known++)
        for (size_t i = 0; i < e->n; i++) e->known[e->n_known * e->n + i] = e->x[i * W + c];
}

gm_status gm_eigen_leading(double *vectors, int m, const gm_graph *graph, double tolerance,
                           int max_rounds, uint64_t seed, gm_eigen_report *report, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t n = graph->n;
    eigen e = {
        .n = n, .n_chunks = (n + CHUNK - 1) / CHUNK, .rows = gm_eigen_rows_of(gm_isa_best())};
    double value[W];
    *report = (gm_eigen_report){0};
    if (m < 1 || m > GM_MAX_EIGEN || n <= (size_t)m + 1)
        return gm_fail(err, GM_EARG, "%d eigenvectors requested, but there are only %zu points", m,
                       n);
    if (n <= SMALL) {
        solve_small(vectors, (size_t)m, graph, report);
        return GM_OK;
    }
    GM_TRY(make_room(&e, graph, (size_t)m, err));
    GM_TRY(prepare(&e, graph, err));
    report->converged = true;
    for (int first = 0; first < m; first += PER_PASS) {
        const int these = m - first < PER_PASS ? m - first : PER_PASS;
        run_pass(&e, these, value, tolerance, max_rounds, seed, report);
        for (int c = 0; c < these; c++) report->value[first + c] = value[c];
        copy_out(vectors + first, (size_t)m, (size_t)these, e.x, n, W, 0, e.order);
        if (first + these < m) remember(&e, (size_t)these);
    }
out:
    clear_room(&e);
    return status;
}
