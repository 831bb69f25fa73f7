/* test_kdtree.c - cluster/kdtree.c: every point in one leaf, boxes around them, k-th distances
 * by looking at all points.
 */
#include "cluster/kdtree.h"

#include "base/rng.h"
#include "tests/check.h"

static double *make_points(size_t n, int dim, uint64_t places)
{
    double *at = gm_alloc2(n, (size_t)dim, sizeof *at);
    gm_rng rng = gm_rng_make(2, n);
    for (size_t i = 0; i < n * (size_t)dim; i++)
        at[i] = places ? (double)gm_rng_below(&rng, places) : gm_rng_normal(&rng);
    return at;
}

static void check_tree(const gm_kdtree *tree)
{
    bool *seen = gm_alloc(tree->n, sizeof *seen);
    for (size_t node = 0; node < tree->n_nodes; node++) {
        const gm_kdnode *it = &tree->node[node];
        const gm_kdnode *child = it->left ? &tree->node[it->left] : NULL;
        CHECK(it->n > 0);
        for (uint32_t m = it->first; m < it->first + it->n; m++) {
            uint32_t i = tree->order[m];
            CHECK_NEAR(gm_kdtree_box(tree, node, tree->at + i * (size_t)tree->dim), 0, 0);
            if (child == NULL) {
                CHECK(!seen[i]);
                seen[i] = true;
            }
        }
        if (child == NULL) {
            CHECK(it->n <= GM_KD_LEAF);
            continue;
        }
        CHECK(it->left > node && it->left + 1 < tree->n_nodes);
        CHECK_INT(child[0].first, it->first);
        CHECK_INT(child[1].first, it->first + child[0].n);
        CHECK_INT(child[0].n + child[1].n, it->n);
        CHECK(child[1].n - child[0].n <= 1); /* the median: the depth is bounded */
    }
    for (size_t i = 0; i < tree->n; i++) CHECK(seen[i]);
    gm_free(seen);
}

static void points_are_halved_into_leaves(void)
{
    static const size_t sizes[] = {1, 2, GM_KD_LEAF, GM_KD_LEAF + 1, 100, 1000};
    for (size_t s = 0; s < 6; s++)
        for (uint64_t places = 0; places <= 3; places += 3) /* 3: many equal coordinates */
            for (int dim = 1; dim <= 64; dim += dim < 16 ? 5 : 48) {
                gm_kdtree tree;
                gm_error err = {0};
                double *at = make_points(sizes[s], dim, places);
                CHECK_OK(gm_kdtree_build(&tree, at, sizes[s], dim, &err), err);
                check_tree(&tree);
                gm_kdtree_clear(&tree);
                gm_free(at);
            }
}

static void kth_distance_is_that_of_all_pairs(void)
{
    enum { N = 300, K = 12 };
    for (uint64_t places = 0; places <= 6; places += 6) {
        gm_kdtree tree;
        gm_error err = {0};
        double *at = make_points(N, 2, places);
        gm_neighbour work[K];
        CHECK_OK(gm_kdtree_build(&tree, at, N, 2, &err), err);
        for (size_t i = 0; i < N; i++) {
            double best[K];
            uint32_t place[K]; /* of equals the lower numbers */
            size_t n = 0;
            for (size_t j = 0; j < N; j++) {
                double d = gm_kdtree_squared(&tree, at + 2 * i, at + 2 * j);
                if (j == i || (n == K && !(d < best[K - 1]))) continue;
                size_t m = n < K ? n++ : K - 1;
                for (; m > 0 && d < best[m - 1]; m--)
                    best[m] = best[m - 1], place[m] = place[m - 1];
                best[m] = d, place[m] = (uint32_t)j;
            }
            CHECK_NEAR(gm_kdtree_kth(&tree, i, 1, work), sqrt(best[0]), 0);
            CHECK_NEAR(gm_kdtree_kth(&tree, i, K, work), sqrt(best[K - 1]), 0);
            CHECK_INT(gm_kdtree_nearest(&tree, i, K, work), K);
            for (size_t m = 0; m < K; m++) CHECK_INT(work[m].index, place[m]);
        }
        gm_kdtree_clear(&tree);
        gm_free(at);
    }
}

static void fewer_points_than_k_give_the_farthest(void)
{
    const double at[] = {0, 3, 7};
    gm_neighbour work[9];
    gm_kdtree tree;
    gm_error err = {0};
    CHECK_OK(gm_kdtree_build(&tree, at, 3, 1, &err), err);
    CHECK_NEAR(gm_kdtree_kth(&tree, 0, 9, work), 7, 0);
    CHECK_NEAR(gm_kdtree_kth(&tree, 1, 2, work), 4, 0);
    gm_kdtree_clear(&tree);
    CHECK_OK(gm_kdtree_build(&tree, at, 1, 1, &err), err);
    CHECK_NEAR(gm_kdtree_kth(&tree, 0, 3, work), 0, 0);
    gm_kdtree_clear(&tree);
}

static void a_box_is_never_farther_than_what_is_in_it(void)
{
    enum { N = 200 };
    gm_kdtree tree;
    gm_error err = {0};
    double *at = make_points(N, 3, 0);
    CHECK_OK(gm_kdtree_build(&tree, at, N, 3, &err), err);
    for (size_t i = 0; i < N; i += 7)
        for (size_t node = 0; node < tree.n_nodes; node++) {
            double box = gm_kdtree_box(&tree, node, at + 3 * i), least = INFINITY;
            for (uint32_t m = 0; m < tree.node[node].n; m++) {
                uint32_t j = tree.order[tree.node[node].first + m];
                least = fmin(least, gm_kdtree_squared(&tree, at + 3 * i, at + 3 * j));
            }
            CHECK(box <= least);
        }
    gm_kdtree_clear(&tree);
    gm_free(at);
}

static void what_cannot_be_built(void)
{
    const double at[] = {0, 1, NAN, 3}, far[] = {INFINITY};
    gm_kdtree tree;
    gm_error err = {0};
    CHECK_FAILS(gm_kdtree_build(&tree, at, 2, 2, &err), err, GM_EARG, "point 1 is not finite");
    CHECK_FAILS(gm_kdtree_build(&tree, far, 1, 1, &err), err, GM_EARG, "point 0 is not finite");
    CHECK_FAILS(gm_kdtree_build(&tree, at, 0, 2, &err), err, GM_EARG, "0 points");
    CHECK_FAILS(gm_kdtree_build(&tree, at, 1, 0, &err), err, GM_EARG, "0 dimensions");
    CHECK_FAILS(gm_kdtree_build(&tree, at, 1, GM_MAX_KD_DIM + 1, &err), err, GM_EARG,
                "1048577 dimensions");
    CHECK(tree.order == NULL);
}

static gm_status build(void *state, gm_error *err)
{
    gm_kdtree tree;
    gm_status status = gm_kdtree_build(&tree, state, 40, 2, err);
    gm_kdtree_clear(&tree);
    return status;
}

static void survives_every_allocation_failure(void)
{
    double *at = make_points(40, 2, 0);
    check_every_allocation(build, at);
    gm_free(at);
}

TESTS(TEST(points_are_halved_into_leaves), TEST(kth_distance_is_that_of_all_pairs),
      TEST(fewer_points_than_k_give_the_farthest), TEST(a_box_is_never_farther_than_what_is_in_it),
      TEST(what_cannot_be_built), TEST(survives_every_allocation_failure))
