/* test_condense.c - cluster/condense.c: linkage and condensed tree worked by hand. */
#include "cluster/hdbscan.h"
#include "tests/check.h"

enum { N = 6 };

/* Two chains of three, {0,1,2} and {3,4,5}, far apart. */
static const gm_edge EDGE[N - 1] = {
    {1, 0, 1, 0, 1}, {1, 0, 1, 3, 4}, {2, 0, 2, 1, 2}, {4, 0, 4, 4, 5}, {10, 0, 10, 2, 3}};

static gm_linkage make_linkage(void)
{
    gm_linkage link;
    gm_error err = {0};
    CHECK_OK(gm_linkage_make(&link, EDGE, N, &err), err);
    return link;
}

static void rows_join_nodes(void)
{
    gm_linkage link = make_linkage();
    const uint32_t left[] = {0, 3, 6, 7, 8}, right[] = {1, 4, 2, 5, 9}, size[] = {2, 2, 3, 3, 6};
    const double distance[] = {1, 1, 2, 4, 10};
    CHECK_INT(link.n, N);
    CHECK_BYTES(link.left, left, sizeof left);
    CHECK_BYTES(link.right, right, sizeof right);
    CHECK_BYTES(link.size, size, sizeof size);
    CHECK_BYTES(link.distance, distance, sizeof distance);
    gm_linkage_clear(&link);
}

static void check_points(const gm_condensed *tree, const uint32_t *cluster, const double *lambda)
{
    for (size_t i = 0; i < N; i++) {
        CHECK_INT(tree->point_cluster[i], cluster[i]);
        CHECK_NEAR(tree->point_lambda[i], lambda[i], 1e-15);
    }
}

/* The chains part at 1/10; 2 and 5 fall out at 1/2 and 1/4, pairs end at 1. */
static void clusters_of_two(void)
{
    gm_linkage link = make_linkage();
    gm_condensed tree;
    gm_error err = {0};
    CHECK_OK(gm_condense(&tree, &link, 2, &err), err);
    CHECK_INT(tree.n_clusters, 3);
    for (size_t c = 1; c < 3; c++) {
        CHECK_INT(tree.parent[c], 0);
        CHECK_INT(tree.size[c], 3);
        CHECK_NEAR(tree.birth[c], 0.1, 1e-15);
    }
    CHECK_NEAR(tree.birth[0], 0, 0);
    CHECK_INT(tree.size[0], N);
    check_points(&tree, (const uint32_t[]){1, 1, 1, 2, 2, 2},
                 (const double[]){1, 1, 0.5, 1, 1, 0.25});
    gm_condensed_clear(&tree);
    gm_linkage_clear(&link);
}

/* No half of a chain is a cluster: all three fall out together, when the first does. */
static void clusters_of_three(void)
{
    gm_linkage link = make_linkage();
    gm_condensed tree;
    gm_error err = {0};
    CHECK_OK(gm_condense(&tree, &link, 3, &err), err);
    CHECK_INT(tree.n_clusters, 3);
    check_points(&tree, (const uint32_t[]){1, 1, 1, 2, 2, 2},
                 (const double[]){0.5, 0.5, 0.5, 0.25, 0.25, 0.25});
    gm_condensed_clear(&tree);
    gm_linkage_clear(&link);
}

static void clusters_of_four(void)
{
    gm_linkage link = make_linkage();
    gm_condensed tree;
    gm_error err = {0};
    CHECK_OK(gm_condense(&tree, &link, 4, &err), err);
    CHECK_INT(tree.n_clusters, 1);
    check_points(&tree, (const uint32_t[]){0, 0, 0, 0, 0, 0},
                 (const double[]){0.1, 0.1, 0.1, 0.1, 0.1, 0.1});
    gm_condensed_clear(&tree);
    CHECK_FAILS(gm_condense(&tree, &link, 1, &err), err, GM_EARG, "min-cluster-size is 1");
    CHECK_FAILS(gm_condense(&tree, &(gm_linkage){0}, 2, &err), err, GM_EARG, "no points");
    CHECK(tree.parent == NULL);
    gm_linkage_clear(&link);
}

/* A distance of 0 counts as the smallest that is not 0; all 0: as 1. */
static void coinciding_points_stay_finite(void)
{
    gm_edge edge[N - 1];
    gm_linkage link;
    gm_condensed tree;
    gm_error err = {0};
    memcpy(edge, EDGE, sizeof edge);
    edge[0].weight = edge[1].weight = 0;
    CHECK_OK(gm_linkage_make(&link, edge, N, &err), err);
    CHECK_OK(gm_condense(&tree, &link, 2, &err), err);
    check_points(&tree, (const uint32_t[]){1, 1, 1, 2, 2, 2},
                 (const double[]){0.5, 0.5, 0.5, 0.5, 0.5, 0.25});
    gm_condensed_clear(&tree);
    gm_linkage_clear(&link);
    for (size_t i = 0; i < N - 1; i++) edge[i].weight = 0;
    CHECK_OK(gm_linkage_make(&link, edge, N, &err), err);
    CHECK_OK(gm_condense(&tree, &link, 2, &err), err);
    for (size_t i = 0; i < N; i++) CHECK_NEAR(tree.point_lambda[i], 1, 0);
    gm_condensed_clear(&tree);
    gm_linkage_clear(&link);
}

static void one_point(void)
{
    gm_linkage link;
    gm_condensed tree;
    gm_error err = {0};
    CHECK_OK(gm_linkage_make(&link, NULL, 1, &err), err);
    CHECK_OK(gm_condense(&tree, &link, 2, &err), err);
    CHECK_INT(tree.n_clusters, 1);
    CHECK_INT(tree.point_cluster[0], 0);
    gm_condensed_clear(&tree);
    gm_linkage_clear(&link);
}

static gm_status condense(void *state, gm_error *err)
{
    gm_linkage link;
    gm_condensed tree = {0};
    (void)state;
    gm_status status = gm_linkage_make(&link, EDGE, N, err);
    if (status == GM_OK) status = gm_condense(&tree, &link, 2, err);
    gm_condensed_clear(&tree);
    gm_linkage_clear(&link);
    return status;
}

static void survives_every_allocation_failure(void)
{
    check_every_allocation(condense, NULL);
}

TESTS(TEST(rows_join_nodes), TEST(clusters_of_two), TEST(clusters_of_three), TEST(clusters_of_four),
      TEST(coinciding_points_stay_finite), TEST(one_point), TEST(survives_every_allocation_failure))
