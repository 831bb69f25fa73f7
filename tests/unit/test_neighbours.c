/* test_neighbours.c - cluster/neighbours.c and hnsw.cpp: what is approximate is nearly right, says
 * how nearly, and is the same for any number of threads and any instructions.
 * label: threads */
#include "cluster/neighbours.h"

#include "base/rng.h"
#include "base/threads.h"
#include "cluster/hnsw.h"
#include "tests/check.h"

enum { N = 600, D = 20, K = 10 };

static float rows[N * D];

static gm_points make_points(void)
{
    gm_points points;
    gm_error err = {0};
    gm_rng rng = gm_rng_make(6, 1);
    for (size_t i = 0; i < N * D; i++)
        rows[i] = (float)gm_rng_normal(&rng) + (i / D % 7 == i % D ? 8.0f : 0.0f);
    for (size_t i = 50; i < N; i += 50)
        memcpy(rows + i * D, rows + (i - 1) * D, D * sizeof *rows); /* some coincide */
    CHECK_OK(gm_points_init(&points, rows, N, D, GM_EUCLIDEAN, &err), err);
    return points;
}

static gm_knn find(const gm_points *points, gm_neighbour_method method, int effort)
{
    gm_knn knn;
    gm_error err = {0};
    const gm_neighbour_options how = {method, effort};
    CHECK_OK(gm_neighbours_find(&knn, points, K, &how, NULL, &err), err);
    return knn;
}

/* Recall as it is told is near what it is over all points; more effort finds more. */
static void recall_is_what_it_is(void)
{
    if (!gm_hnsw_is_there()) TEST_SKIP("a build without hnswlib");
    gm_points points = make_points();
    gm_knn exact = find(&points, GM_NEIGHBOURS_AUTO, 0);
    double before = 0;
    CHECK_INT(exact.n_checked, 0);
    for (int effort = 20; effort <= 110; effort += 90) {
        gm_knn near = find(&points, GM_NEIGHBOURS_APPROXIMATE, effort);
        size_t n_found = 0;
        CHECK_INT(near.n_checked, N); /* all of them, being few */
        for (size_t i = 0; i < N; i++) {
            const uint32_t *mine = near.index + i * K, *all = exact.index + i * K;
            CHECK_INT(mine[0], i);
            CHECK(near.distance[i * K] == 0);
            for (size_t j = 1; j < K; j++) {
                const double s = gm_points_squared(&points, i, mine[j]);
                CHECK(near.distance[i * K + j] == gm_metric_distance(GM_EUCLIDEAN, s));
                CHECK(near.distance[i * K + j] >= near.distance[i * K + j - 1]);
                CHECK(near.distance[i * K + j] >= exact.distance[i * K + j]);
                for (size_t o = 1; o < K; o++) n_found += mine[j] == all[o];
            }
        }
        const double recall = (double)n_found / (N * (K - 1));
        CHECK_NEAR(near.recall, recall, 1e-12);
        CHECK(recall >= before && recall > 0.5);
        before = recall;
        gm_knn_clear(&near);
    }
    CHECK(before > 0.99 && before <= 1);
    gm_knn_clear(&exact);
    gm_points_clear(&points);
}

static void threads_and_instructions_change_nothing(void)
{
    if (!gm_hnsw_is_there()) TEST_SKIP("a build without hnswlib");
    gm_points points = make_points();
    const gm_isa best = points.isa;
    gm_set_threads(1);
    points.isa = GM_ISA_PORTABLE;
    gm_knn one = find(&points, GM_NEIGHBOURS_APPROXIMATE, 30);
    gm_set_threads(3);
    points.isa = best;
    gm_knn other = find(&points, GM_NEIGHBOURS_APPROXIMATE, 30);
    CHECK_BYTES(other.index, one.index, N * K * sizeof *one.index);
    CHECK_BYTES(other.distance, one.distance, N * K * sizeof *one.distance);
    CHECK(other.recall == one.recall && one.recall < 1);
    gm_knn_clear(&one);
    gm_knn_clear(&other);
    gm_points_clear(&points);
}

/* Where nothing is found, as in a graph that fell apart, exact neighbours are taken. */
static void few_points(void)
{
    gm_error err = {0};
    gm_knn knn;
    const gm_neighbour_options how = {GM_NEIGHBOURS_APPROXIMATE, 8};
    gm_points points = make_points();
    points.n = 5;
    if (gm_hnsw_is_there()) {
        CHECK_OK(gm_neighbours_find(&knn, &points, 5, &how, NULL, &err), err);
        CHECK(knn.recall == 1);
        gm_knn_clear(&knn);
        CHECK_FAILS(gm_neighbours_find(&knn, &points, 6, &how, NULL, &err), err, GM_EARG,
                    "6 neighbours requested, but there are only 5 points");
    } else {
        CHECK_FAILS(gm_neighbours_find(&knn, &points, 5, &how, NULL, &err), err, GM_EABSENT,
                    "use --neighbours exact");
    }
    points.n = N;
    gm_points_clear(&points);
}

static void many_points_are_approximate(void)
{
    const gm_neighbour_options automatic = {0}, exact = {GM_NEIGHBOURS_EXACT, 0};
    const size_t most = gm_neighbours_exact_up_to(1600);
    CHECK_INT(most, 240000);
    CHECK(gm_neighbours_exact(&automatic, most, 1600));
    CHECK(gm_neighbours_exact(&automatic, most + 1, 1600) == !gm_hnsw_is_there());
    CHECK(gm_neighbours_exact(&automatic, most + 1, 1000));
    CHECK(gm_neighbours_exact(&exact, most + 1, 1600));
    CHECK_INT(gm_neighbours_effort(&automatic), GM_DEFAULT_EFFORT);
}

static gm_status find_few(void *state, gm_error *err)
{
    gm_knn knn;
    const gm_neighbour_options how = {GM_NEIGHBOURS_APPROXIMATE, 8};
    gm_status status = gm_neighbours_find(&knn, state, 3, &how, NULL, err);
    gm_knn_clear(&knn);
    return status;
}

static void survives_every_allocation_failure(void)
{
    if (!gm_hnsw_is_there()) TEST_SKIP("a build without hnswlib");
    gm_points points = make_points();
    points.n = 20;
    check_every_allocation(find_few, &points);
    points.n = N;
    gm_points_clear(&points);
}

TESTS(TEST(recall_is_what_it_is), TEST(threads_and_instructions_change_nothing), TEST(few_points),
      TEST(many_points_are_approximate), TEST(survives_every_allocation_failure))
