/* test_graph.c - cluster/graph.c: scales, memberships and their union by hand; parts of a
 * graph. Against umap-learn: golden/test_umap_golden.c.
 * label: threads */
#include "cluster/graph.h"

#include "tests/check.h"

/* Neighbours of 4 points, themselves first: distances of 1, 2 and 3. */
static uint32_t index_of[] = {0, 1, 2, 3, 1, 0, 2, 3, 2, 1, 0, 3, 3, 0, 1, 2};
static double distance_of[] = {0, 1, 2, 3, 0, 1, 1, 2, 0, 0, 2, 2, 0, 0, 0, 0};
static const gm_knn KNN = {.n = 4, .k = 4, .index = index_of, .distance = distance_of};

static double weight_of(const gm_graph *g, uint32_t i, uint32_t j)
{
    for (uint64_t e = g->indptr[i]; e < g->indptr[i + 1]; e++)
        if (g->index[e] == j) return (double)g->weight[e];
    return 0;
}

static void scales_by_definition(void)
{
    double rho[4], sigma[4];
    gm_graph_scales(&KNN, rho, sigma);
    CHECK_NEAR(rho[0], 1, 0);
    CHECK_NEAR(rho[1], 1, 0);
    CHECK_NEAR(rho[2], 2, 0);                                         /* the first that is not 0 */
    CHECK_NEAR(rho[3], 0, 0);                                         /* all coincide */
    CHECK_NEAR(1 + exp(-1 / sigma[0]) + exp(-2 / sigma[0]), 2, 1e-5); /* log2 of 4 */
    /* 1 + 1 is 2 already at every sigma that lets the third vanish: it shrinks to its floor or
     * to where the third is below the tolerance. */
    CHECK(exp(-1 / sigma[1]) < 1e-5 || sigma[1] <= 1e-3);
    CHECK(sigma[2] >= 1e-3 * 1);                 /* mean of the row: 1 */
    CHECK_NEAR(sigma[3], 1e-3 * 14 / 16, 1e-15); /* mean of all rows */
}

static gm_graph make(const double *rho, const double *sigma, double mix, double disconnected)
{
    gm_graph g;
    gm_error err = {0};
    CHECK_OK(gm_graph_make(&g, &KNN, rho, sigma, mix, disconnected, &err), err);
    for (uint32_t i = 0; i < 4; i++)
        for (uint64_t e = g.indptr[i]; e < g.indptr[i + 1]; e++) {
            CHECK(g.index[e] != i);
            CHECK(e == g.indptr[i] || g.index[e] > g.index[e - 1]);
            CHECK_NEAR(weight_of(&g, g.index[e], i), g.weight[e], 0);
        }
    return g;
}

static void union_and_intersection_by_hand(void)
{
    const double rho[] = {1, 1, 0, 0}, sigma[] = {1, 2, 1, 1};
    gm_graph g = make(rho, sigma, 1, INFINITY);
    CHECK_NEAR(weight_of(&g, 0, 1), 1, 0);
    double a = exp(-1), b = exp(-2); /* 0 to 2; 2 to 0 */
    CHECK_NEAR(weight_of(&g, 0, 2), a + b - a * b, 1e-7);
    a = exp(-1.0 / 2), b = 1; /* 1 to 3; 3 to 1 */
    CHECK_NEAR(weight_of(&g, 1, 3), 1, 1e-7);
    gm_graph_clear(&g);
    g = make(rho, sigma, 0, INFINITY);
    CHECK_NEAR(weight_of(&g, 0, 2), exp(-1) * exp(-2), 1e-7);
    CHECK_NEAR(weight_of(&g, 1, 3), exp(-0.5), 1e-7);
    gm_graph_clear(&g);
    g = make(rho, sigma, 0.25, INFINITY);
    a = exp(-1), b = exp(-2);
    CHECK_NEAR(weight_of(&g, 0, 2), 0.25 * (a + b - a * b) + 0.75 * a * b, 1e-7);
    gm_graph_clear(&g);
    g = make(rho, sigma, 1, 2); /* neighbours at 2 or more are none */
    CHECK_NEAR(weight_of(&g, 0, 2), 0, 0);
    CHECK_NEAR(weight_of(&g, 1, 2), 1, 0);
    CHECK_NEAR(weight_of(&g, 0, 3), 1, 0); /* 3 says so */
    gm_graph_clear(&g);
}

/* 0-1-2 and 3-4, and 5 alone. */
static uint64_t indptr_of[] = {0, 1, 3, 4, 5, 6, 6};
static uint32_t column_of[] = {1, 0, 2, 1, 4, 3};
static float weights_of[] = {1, 1, 0.01f, 0.01f, 0.5f, 0.5f};

static void parts_are_found(void)
{
    const gm_graph g = {.n = 6, .indptr = indptr_of, .index = column_of, .weight = weights_of};
    const uint32_t want[] = {0, 0, 0, 1, 1, 2};
    uint32_t component[6];
    size_t n;
    gm_error err = {0};
    CHECK_OK(gm_graph_components(&g, component, &n, &err), err);
    CHECK_INT(n, 3);
    CHECK_BYTES(component, want, sizeof want);
    CHECK_NEAR(gm_graph_max_weight(&g), 1, 0);
}

static void a_part_is_cut_out(void)
{
    const gm_graph g = {.n = 6, .indptr = indptr_of, .index = column_of, .weight = weights_of};
    const uint32_t keep[] = {1, 2, 4};
    const uint64_t indptr[] = {0, 1, 2, 2};
    gm_graph part;
    gm_error err = {0};
    CHECK_OK(gm_graph_induced(&part, &g, keep, 3, &err), err);
    CHECK_BYTES(part.indptr, indptr, sizeof indptr);
    CHECK_INT(part.index[0], 1);
    CHECK_INT(part.index[1], 0);
    CHECK_NEAR(part.weight[0], 0.01, 1e-9);
    gm_graph_clear(&part);
}

static void light_edges_are_pruned(void)
{
    uint64_t indptr[7];
    uint32_t column[6];
    float weight[6];
    memcpy(indptr, indptr_of, sizeof indptr);
    memcpy(column, column_of, sizeof column);
    memcpy(weight, weights_of, sizeof weight);
    gm_graph g = {.n = 6, .indptr = indptr, .index = column, .weight = weight};
    gm_graph_prune(&g, 100); /* 0.01 is the limit, and stays */
    CHECK_INT(g.indptr[6], 6);
    gm_graph_prune(&g, 99);
    CHECK_INT(g.indptr[6], 4);
    CHECK_INT(g.indptr[2], 2);
    CHECK_INT(g.index[2], 4);
    gm_graph_prune(&g, 1); /* only what equals the largest */
    CHECK_INT(g.indptr[6], 2);
}

static gm_status make_once(void *state, gm_error *err)
{
    const double rho[] = {1, 1, 0, 0}, sigma[] = {1, 2, 1, 1};
    const uint32_t keep[] = {0, 2};
    uint32_t component[4];
    size_t n;
    gm_graph g = {0}, part = {0};
    (void)state;
    gm_status status = gm_graph_make(&g, &KNN, rho, sigma, 1, INFINITY, err);
    if (status == GM_OK) status = gm_graph_induced(&part, &g, keep, 2, err);
    if (status == GM_OK) status = gm_graph_components(&g, component, &n, err);
    gm_graph_clear(&g);
    gm_graph_clear(&part);
    return status;
}

static void survives_every_allocation_failure(void)
{
    check_every_allocation(make_once, NULL);
}

TESTS(TEST(scales_by_definition), TEST(union_and_intersection_by_hand), TEST(parts_are_found),
      TEST(a_part_is_cut_out), TEST(light_edges_are_pruned),
      TEST(survives_every_allocation_failure))
