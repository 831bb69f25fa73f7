/* test_eigen.c - cluster/eigen.c: graphs whose eigenvectors are known, small and large.
 * label: threads */
#include "cluster/eigen.h"

#include "base/rng.h"
#include "base/threads.h"
#include "tests/check.h"

static const double PI = 3.14159265358979323846;

static gm_graph alloc_graph(size_t n, size_t m)
{
    return (gm_graph){.n = n,
                      .indptr = gm_alloc(n + 1, sizeof(uint64_t)),
                      .index = gm_alloc(m, sizeof(uint32_t)),
                      .weight = gm_alloc(m, sizeof(float))};
}

/* 0 - 1 - ... - n-1. */
static gm_graph make_path(size_t n)
{
    gm_graph g = alloc_graph(n, 2 * n);
    uint64_t m = 0;
    for (size_t i = 0; i < n; i++) {
        if (i > 0) g.index[m] = (uint32_t)i - 1, g.weight[m++] = 1;
        if (i + 1 < n) g.index[m] = (uint32_t)i + 1, g.weight[m++] = 1;
        g.indptr[i + 1] = m;
    }
    return g;
}

/* Every point joined to 8 random others; many parts would be bad luck. */
static gm_graph make_random(size_t n)
{
    enum { EACH = 8 };
    bool *joined = gm_alloc2(n, n, sizeof *joined);
    gm_rng rng = gm_rng_make(3, n);
    gm_graph g = alloc_graph(n, 2 * EACH * n);
    uint64_t m = 0;
    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < EACH; k++) {
            size_t j = k ? (size_t)gm_rng_below(&rng, n) : (i + 1) % n;
            if (j != i) joined[i * n + j] = joined[j * n + i] = true;
        }
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++)
            if (joined[i * n + j])
                g.index[m] = (uint32_t)j, g.weight[m++] = 0.1f + 0.001f * (float)((i + j) % 500);
        g.indptr[i + 1] = m;
    }
    gm_free(joined);
    return g;
}

/* |S v - value v|, S = D^-1/2 A D^-1/2. */
static double residual(const gm_graph *g, const double *v, size_t m, size_t column, double value)
{
    double sum = 0, *degree = gm_alloc(g->n, sizeof *degree);
    for (size_t i = 0; i < g->n; i++)
        for (uint64_t e = g->indptr[i]; e < g->indptr[i + 1]; e++)
            degree[i] += (double)g->weight[e];
    for (size_t i = 0; i < g->n; i++) {
        double r = -value * v[i * m + column];
        for (uint64_t e = g->indptr[i]; e < g->indptr[i + 1]; e++) {
            size_t j = g->index[e];
            r += (double)g->weight[e] / sqrt(degree[i] * degree[j]) * v[j * m + column];
        }
        sum += r * r;
    }
    gm_free(degree);
    return sqrt(sum);
}

static void check_vectors(const gm_graph *g, int m, double tolerance)
{
    double *v = gm_alloc2(g->n, (size_t)m, sizeof *v);
    gm_eigen_report report;
    gm_error err = {0};
    CHECK_OK(gm_eigen_leading(v, m, g, tolerance, 400, 1, &report, &err), err);
    CHECK(report.converged);
    for (size_t c = 0; c < (size_t)m; c++) {
        double square = 0, top = 0;
        CHECK(residual(g, v, (size_t)m, c, report.value[c]) <= 1.01 * tolerance);
        CHECK(c == 0 || report.value[c] <= report.value[c - 1]);
        CHECK(report.value[c] < 1);
        for (size_t i = 0; i < g->n; i++) {
            double x = v[i * (size_t)m + c];
            square += x * x;
            if (fabs(x) > fabs(top)) top = x;
        }
        CHECK_NEAR(square, 1, 1e-9);
        CHECK(top > 0);
    }
    gm_free(v);
}

/* Walking on a path: the eigenvalues are cos(k pi / (n-1)). */
static void paths_are_known(void)
{
    static const size_t sizes[] = {4, 10, 32, 33, 100};
    for (size_t s = 0; s < 5; s++) {
        gm_graph g = make_path(sizes[s]);
        double *v = gm_alloc2(g.n, 2, sizeof *v);
        gm_eigen_report report;
        gm_error err = {0};
        CHECK_OK(gm_eigen_leading(v, 2, &g, 1e-9, 400, 1, &report, &err), err);
        CHECK(report.converged);
        for (int c = 0; c < 2; c++)
            CHECK_NEAR(report.value[c], cos((c + 1) * PI / (double)(g.n - 1)), 1e-12);
        gm_free(v);
        gm_graph_clear(&g);
    }
}

static void vectors_solve_their_equation(void)
{
    static const size_t sizes[] = {20, 40, 700, 3000};
    for (size_t s = 0; s < (test_small() ? 3 : 4); s++) {
        gm_graph g = make_random(sizes[s]);
        for (int m = 1; m <= GM_MAX_EIGEN; m += 3) check_vectors(&g, m, 1e-8);
        gm_graph_clear(&g);
    }
}

/* In two chunks of rows, whose sums are added up. */
static void threads_change_nothing(void)
{
    const double tolerance = 1e-6;
    gm_graph g = make_random(5000);
    double *v[2] = {gm_alloc2(g.n, 2, sizeof(double)), gm_alloc2(g.n, 2, sizeof(double))};
    for (int t = 0; t < 2; t++) {
        gm_eigen_report report;
        gm_error err = {0};
        gm_set_threads(t + 1);
        CHECK_OK(gm_eigen_leading(v[t], 2, &g, tolerance, 100, 7, &report, &err), err);
        CHECK(report.converged);
        for (size_t c = 0; c < 2; c++)
            CHECK(residual(&g, v[t], 2, c, report.value[c]) <= 1.01 * tolerance);
    }
    CHECK_BYTES(v[1], v[0], 2 * g.n * sizeof(double));
    gm_free(v[0]);
    gm_free(v[1]);
    gm_graph_clear(&g);
}

static void it_says_when_it_is_not_there_yet(void)
{
    gm_graph g = make_path(2000);
    double *v = gm_alloc2(g.n, 2, sizeof *v);
    gm_eigen_report report;
    gm_error err = {0};
    CHECK_OK(gm_eigen_leading(v, 2, &g, 1e-12, 1, 1, &report, &err), err);
    CHECK(!report.converged);
    CHECK_INT(report.rounds, 1);
    for (size_t i = 0; i < 2 * g.n; i++) CHECK(isfinite(v[i]));
    gm_free(v);
    gm_graph_clear(&g);
}

static void what_is_refused(void)
{
    gm_graph g = make_path(3);
    double v[12];
    gm_eigen_report report;
    gm_error err = {0};
    CHECK_FAILS(gm_eigen_leading(v, 2, &g, 1e-6, 9, 1, &report, &err), err, GM_EARG,
                "2 eigenvectors requested, but there are only 3 points");
    CHECK_FAILS(gm_eigen_leading(v, 0, &g, 1e-6, 9, 1, &report, &err), err, GM_EARG, "0 eigen");
    gm_graph_clear(&g);
}

static gm_status find(void *state, gm_error *err)
{
    double v[200];
    gm_eigen_report report;
    return gm_eigen_leading(v, 2, state, 1e-3, 5, 1, &report, err);
}

static void survives_every_allocation_failure(void)
{
    gm_graph g = make_path(100);
    check_every_allocation(find, &g);
    gm_graph_clear(&g);
}

TESTS(TEST(paths_are_known), TEST(vectors_solve_their_equation), TEST(threads_change_nothing),
      TEST(it_says_when_it_is_not_there_yet), TEST(what_is_refused),
      TEST(survives_every_allocation_failure))
