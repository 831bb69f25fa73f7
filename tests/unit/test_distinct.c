/* test_distinct.c - cluster/distinct.c: points to documents, by a hand-worked case.
 *
 * Documents in canonical order and their points:  0 0 0 - 1 2 2   (- counts nothing)
 */
#include "cluster/distinct.h"
#include "tests/check.h"

#include <math.h>
#include <string.h>

enum { N = 7, M = 3 };

static uint32_t POINT[N] = {0, 0, 0, GM_NO_POINT, 1, 2, 2};

static gm_distinct find(void)
{
    const gm_usage usage = {.n = N, .point = POINT, .n_zero = 1, .n_distinct = M};
    gm_distinct d;
    gm_error err = {0};
    CHECK_OK(gm_distinct_find(&d, &usage, &err), err);
    return d;
}

static void points_know_their_documents(void)
{
    gm_distinct d = find();
    const uint32_t first[M] = {0, 4, 5}, count[M] = {3, 1, 2};
    CHECK_INT(d.m, M);
    CHECK_BYTES(d.first, first, sizeof first);
    CHECK_BYTES(d.count, count, sizeof count);
    gm_distinct_clear(&d);
}

static void documents_stand_where_their_point_stands(void)
{
    gm_distinct d = find();
    float xy[2 * N] = {1, 2, 3, 4, 5, 0};
    const float want[2 * N] = {1, 2, 1, 2, 1, 2, NAN, NAN, 3, 4, 5, 0, 5, 0};
    gm_distinct_spread_map(xy, 2, &d);
    for (size_t i = 0; i < 2 * N; i++)
        if (!isnan(want[i])) CHECK_NEAR(xy[i], want[i], 0);
    CHECK_NEAR(xy[7], 2, 1e-6); /* the middle is (3,2), the farthest sqrt(8) away */
    CHECK_NEAR(xy[6], 3 - 1.25 * sqrt(8), 1e-6);
    gm_distinct_clear(&d);
}

/* Points 0 - 1 - 2 in a chain. */
static gm_graph chain(void)
{
    static const uint64_t indptr[M + 1] = {0, 1, 3, 4};
    static const uint32_t index[4] = {1, 0, 2, 1};
    static const float weight[4] = {0.5f, 0.5f, 0.25f, 0.25f};
    gm_graph g = {.n = M};
    g.indptr = gm_alloc(M + 1, sizeof *g.indptr);
    g.index = gm_alloc(4, sizeof *g.index);
    g.weight = gm_alloc(4, sizeof *g.weight);
    memcpy(g.indptr, indptr, sizeof indptr);
    memcpy(g.index, index, sizeof index);
    memcpy(g.weight, weight, sizeof weight);
    return g;
}

static void copies_hang_on_the_first(void)
{
    gm_distinct d = find();
    gm_graph g = chain();
    gm_error err = {0};
    const uint64_t indptr[N + 1] = {0, 3, 4, 5, 5, 7, 9, 10};
    const uint32_t index[] = {1, 2, 4, 0, 0, 0, 5, 4, 6, 5};
    const float weight[] = {1, 1, 0.5f, 1, 1, 0.5f, 0.25f, 0.25f, 1, 1};
    CHECK_OK(gm_distinct_spread_graph(&g, &d, &err), err);
    CHECK_INT(g.n, N);
    CHECK_BYTES(g.indptr, indptr, sizeof indptr);
    CHECK_BYTES(g.index, index, sizeof index);
    CHECK_BYTES(g.weight, weight, sizeof weight);
    const uint64_t of_points[M + 1] = {0, 1, 3, 4}; /* the chain again: copies do not count */
    uint64_t counted[M + 1] = {9, 9, 9, 9};
    gm_distinct_count_edges(counted, d.first, M, g.indptr, g.index, d.point);
    CHECK_BYTES(counted, of_points, sizeof of_points);
    gm_graph_clear(&g);
    gm_distinct_clear(&d);
}

/* Point 0 is cluster 0; 1 and 2 are noise. 1 and 2 join at 0.5, then 0 at 2. */
static gm_clustering clustering(void)
{
    gm_clustering c = {.n = M, .n_clusters = 1, .linkage.n = M};
    const gm_edge edge[M - 1] = {{.weight = 0.5, .low = 1, .high = 2},
                                 {.weight = 2, .low = 0, .high = 1}};
    gm_error err = {0};
    c.label = gm_alloc(M, sizeof *c.label);
    c.probability = gm_alloc(M, sizeof *c.probability);
    c.outlier = gm_alloc(M, sizeof *c.outlier);
    c.persistence = gm_alloc(1, sizeof *c.persistence);
    c.label[1] = c.label[2] = -1;
    c.probability[0] = 0.75f;
    c.outlier[2] = 0.125f;
    c.persistence[0] = 0.5;
    CHECK_OK(gm_linkage_make(&c.linkage, edge, M, &err), err);
    return c;
}

static void labels_are_shared_and_nothing_counted_is_noise(void)
{
    gm_distinct d = find();
    gm_clustering c = clustering();
    gm_error err = {0};
    const int32_t label[N] = {0, 0, 0, -1, -1, -1, -1};
    const float probability[N] = {0.75f, 0.75f, 0.75f};
    const float outlier[N] = {0, 0, 0, 1, 0, 0.125f, 0.125f};
    CHECK_OK(gm_distinct_spread_clusters(&c, &d, &err), err);
    CHECK_INT(c.n, N);
    CHECK_INT(c.n_clusters, 1);
    CHECK_BYTES(c.label, label, sizeof label);
    CHECK_BYTES(c.probability, probability, sizeof probability);
    CHECK_BYTES(c.outlier, outlier, sizeof outlier);
    CHECK_NEAR(c.persistence[0], 0.5, 0);
    gm_clustering_clear(&c);
    gm_distinct_clear(&d);
}

/* Rows 7: 0+1, 8: that+2, 9: 5+6, 10: 4 with 9, 11: 8 with 10, 12: all with 3. */
static void the_tree_holds_every_document(void)
{
    gm_distinct d = find();
    gm_clustering c = clustering();
    gm_error err = {0};
    const uint32_t left[N - 1] = {0, 7, 5, 4, 8, 11}, right[N - 1] = {1, 2, 6, 9, 10, 3};
    const uint32_t size[N - 1] = {2, 3, 2, 3, 6, 7};
    const double distance[N - 1] = {0, 0, 0, 0.5, 2, 2};
    CHECK_OK(gm_distinct_spread_clusters(&c, &d, &err), err);
    CHECK_INT(c.linkage.n, N);
    CHECK_BYTES(c.linkage.left, left, sizeof left);
    CHECK_BYTES(c.linkage.right, right, sizeof right);
    CHECK_BYTES(c.linkage.size, size, sizeof size);
    CHECK_BYTES(c.linkage.distance, distance, sizeof distance);
    gm_clustering_clear(&c);
    gm_distinct_clear(&d);
}

static gm_status spread(gm_graph *g, gm_clustering *c, gm_error *err)
{
    const gm_usage usage = {.n = N, .point = POINT, .n_zero = 1, .n_distinct = M};
    gm_distinct d;
    gm_status status = gm_distinct_find(&d, &usage, err);
    if (status == GM_OK) status = gm_distinct_spread_clusters(c, &d, err);
    if (status == GM_OK) status = gm_distinct_spread_graph(g, &d, err);
    gm_distinct_clear(&d);
    return status;
}

static void survives_every_allocation_failure(void)
{
    gm_status status = GM_EMEM;
    long k = 0;
    for (; status != GM_OK && k < 100; k++) {
        gm_error err = {0};
        const long before = gm_alloc_live();
        gm_graph g = chain();
        gm_clustering c = clustering();
        gm_alloc_fail_after(k);
        status = spread(&g, &c, &err);
        gm_alloc_fail_after(-1);
        CHECK_INT(status, g.n == N ? GM_OK : GM_EMEM);
        gm_graph_clear(&g);
        gm_clustering_clear(&c);
        CHECK_INT(gm_alloc_live(), before);
    }
    CHECK_INT(status, GM_OK);
    CHECK(k > 10);
}

TESTS(TEST(points_know_their_documents), TEST(documents_stand_where_their_point_stands),
      TEST(copies_hang_on_the_first), TEST(labels_are_shared_and_nothing_counted_is_noise),
      TEST(the_tree_holds_every_document), TEST(survives_every_allocation_failure))
