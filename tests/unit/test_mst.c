/* test_mst.c - cluster/mst.c: the tree of the total order, against Kruskal over all pairs.
 * label: threads */
#include "cluster/mst.h"

#include "base/rng.h"
#include "base/threads.h"
#include "tests/check.h"

enum { N = 260 };

static void make_points(double *at, size_t n, int dim, uint64_t places)
{
    gm_rng rng = gm_rng_make(8, places);
    for (size_t i = 0; i < n * (size_t)dim; i++)
        at[i] = places ? (double)gm_rng_below(&rng, places) : gm_rng_normal(&rng);
}

static int by_order(const void *p, const void *q)
{
    return gm_edge_compare(p, q);
}

static int by_value(const void *p, const void *q)
{
    double a = *(const double *)p, b = *(const double *)q;
    return (a > b) - (a < b);
}

static double squared(const double *at, int dim, size_t i, size_t j)
{
    double sum = 0;
    for (size_t c = 0; c < (size_t)dim; c++) {
        double d = at[i * (size_t)dim + c] - at[j * (size_t)dim + c];
        sum += d * d;
    }
    return sum;
}

/* All pairs in ascending order, taken where they join two parts. */
static void kruskal(gm_edge *edge, double *core, const double *at, size_t n, int dim, int k)
{
    gm_edge *all = gm_alloc(n * (n - 1) / 2 + 1, sizeof *all);
    double *row = gm_alloc(n, sizeof *row);
    uint32_t *root = gm_alloc(n, sizeof *root);
    size_t m = 0, found = 0;
    for (size_t i = 0; i < n; i++) {
        size_t others = 0;
        for (size_t j = 0; j < n; j++)
            if (j != i) row[others++] = squared(at, dim, i, j);
        qsort(row, others, sizeof *row, by_value);
        size_t last = (size_t)k < others ? (size_t)k : others;
        core[i] = last ? sqrt(row[last - 1]) : 0;
        root[i] = (uint32_t)i;
    }
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = i + 1; j < n; j++)
            all[m++] = gm_edge_make(core, i, j, squared(at, dim, i, j));
    qsort(all, m, sizeof *all, by_order);
    for (size_t e = 0; e < m; e++) {
        uint32_t a = gm_find_root(root, all[e].low), b = gm_find_root(root, all[e].high);
        if (a == b) continue;
        root[a] = b;
        edge[found++] = all[e];
    }
    CHECK_INT(found, n - 1);
    gm_free(all);
    gm_free(row);
    gm_free(root);
}

static void check_tree(const double *at, size_t n, int dim, int k)
{
    static gm_edge got[N], want[N];
    static double core[N], want_core[N];
    gm_error err = {0};
    kruskal(want, want_core, at, n, dim, k);
    for (int threads = 1; threads <= 2; threads++) {
        gm_set_threads(threads);
        CHECK_OK(gm_mst_find(got, core, at, n, dim, k, &err), err);
        for (size_t i = 0; i < n; i++) CHECK_NEAR(core[i], want_core[i], 0);
        for (size_t i = 0; i + 1 < n; i++)
            if (gm_edge_compare(&got[i], &want[i]) != 0)
                TEST_FAILED_("edge %zu is %u-%u (%.9g), expected %u-%u (%.9g)", i, got[i].low,
                             got[i].high, got[i].weight, want[i].low, want[i].high, want[i].weight);
    }
}

static void same_tree_as_kruskal(void)
{
    static double at[N * 40];
    static const int samples[] = {0, 1, 2, 15};
    for (int dim = 1; dim <= 3; dim++)
        for (uint64_t places = 0; places <= 8; places += 4) /* points on a grid: ties */
            for (size_t s = 0; s < 4; s++) {
                make_points(at, N, dim, places);
                check_tree(at, N, dim, samples[s]);
            }
    make_points(at, N, 40, 0);
    check_tree(at, N, 40, 5);
}

static void few_points(void)
{
    const double at[] = {0, 0, 3, 4, 3, 4, 3, 4};
    for (size_t n = 1; n <= 4; n++)
        for (int k = 0; k <= 6; k++) check_tree(at, n, 2, k);
}

/* Weight, then the smaller core, the distance, the numbers. */
static void order_of_edges(void)
{
    const gm_edge base = {2, 1, 1.5, 3, 4};
    gm_edge other = base;
    CHECK_INT(gm_edge_compare(&base, &other), 0);
    other.high = 5;
    CHECK(gm_edge_compare(&base, &other) < 0 && gm_edge_compare(&other, &base) > 0);
    other.low = 2;
    CHECK(gm_edge_compare(&base, &other) > 0);
    other.distance = 1.6;
    CHECK(gm_edge_compare(&base, &other) < 0);
    other.core = 0.5;
    CHECK(gm_edge_compare(&base, &other) > 0);
    other.weight = 3;
    CHECK(gm_edge_compare(&base, &other) < 0);
    const double core[] = {1, 5};
    gm_edge made = gm_edge_make(core, 1, 0, 9);
    CHECK_NEAR(made.weight, 5, 0);
    CHECK_NEAR(made.core, 1, 0);
    CHECK_NEAR(made.distance, 3, 0);
    CHECK_INT(made.low, 0);
    CHECK_INT(made.high, 1);
}

static void what_is_refused(void)
{
    const double at[] = {0, 1, NAN, 2};
    gm_edge edge[2];
    double core[2];
    gm_error err = {0};
    CHECK_FAILS(gm_mst_find(edge, core, at, 2, 2, 1, &err), err, GM_EARG, "point 1");
    CHECK_FAILS(gm_mst_find(edge, core, at, 1, 2, -1, &err), err, GM_EARG, "neighbour -1");
    const double far[] = {0, 0, 1e200, 0, -1e200, 0};
    gm_edge edges[2];
    double cores[3];
    CHECK_FAILS(gm_mst_find(edges, cores, far, 3, 2, 1, &err), err, GM_EARG, "so far apart");
}

static gm_status find(void *state, gm_error *err)
{
    gm_edge edge[50];
    double core[50];
    return gm_mst_find(edge, core, state, 50, 2, 3, err);
}

static void survives_every_allocation_failure(void)
{
    double at[100];
    make_points(at, 50, 2, 0);
    check_every_allocation(find, at);
}

TESTS(TEST(same_tree_as_kruskal), TEST(few_points), TEST(order_of_edges), TEST(what_is_refused),
      TEST(survives_every_allocation_failure))
