/* test_quality.c - cluster/quality.c: figures worked by hand; trustworthiness against its
 * definition. Against scikit-learn: golden/test_keywords_golden.c.
 * label: threads */
#include "cluster/quality.h"

#include <omp.h>

#include "base/rng.h"
#include "tests/check.h"

static gm_agreement compare(const int32_t *found, const int32_t *truth, size_t n)
{
    gm_agreement got;
    gm_error err = {0};
    CHECK_OK(gm_quality_agreement(&got, found, truth, n, &err), err);
    return got;
}

static void equal_labelings_agree_whole(void)
{
    const int32_t a[] = {0, 0, 1, 1, -1, -1}, b[] = {5, 5, -1, -1, 2, 2};
    gm_agreement got = compare(a, b, 6);
    CHECK_NEAR(got.ari, 1, 1e-12);
    CHECK_NEAR(got.nmi, 1, 1e-12);
    CHECK_NEAR(got.homogeneity, 1, 1e-12);
    CHECK_NEAR(got.completeness, 1, 1e-12);
    CHECK_NEAR(got.purity, 1, 1e-12);
}

/* Two by two, two points in each cell: nothing is learned. 4 pairs of 28 together in both, 12
 * in either one. */
static void independent_labelings(void)
{
    const int32_t a[] = {0, 0, 0, 0, 1, 1, 1, 1}, b[] = {0, 0, 1, 1, 0, 0, 1, 1};
    gm_agreement got = compare(a, b, 8);
    double chance = 12 * 12 / 28.0;
    CHECK_NEAR(got.ari, (4 - chance) / (12 - chance), 1e-12);
    CHECK_NEAR(got.nmi, 0, 1e-12);
    CHECK_NEAR(got.purity, 0.5, 0);
}

/* {a a | a b}: H(truth) of 3:1, H(truth|found) = ln 2 / 2, H(found) = ln 2. */
static void entropies_by_hand(void)
{
    const int32_t found[] = {0, 0, 1, 1}, truth[] = {0, 0, 0, 1};
    gm_agreement got = compare(found, truth, 4);
    double h = -(0.75 * log(0.75) + 0.25 * log(0.25)), mutual = h - log(2) / 2;
    CHECK_NEAR(got.homogeneity, mutual / h, 1e-12);
    CHECK_NEAR(got.completeness, mutual / log(2), 1e-12);
    CHECK_NEAR(got.nmi, 2 * mutual / (h + log(2)), 1e-12);
    CHECK_NEAR(got.purity, 0.75, 0);
}

static void labels_out_of_range_are_refused(void)
{
    const int32_t good[] = {0}, low[] = {-2}, high[] = {65536};
    gm_agreement got;
    gm_error err = {0};
    CHECK_FAILS(gm_quality_agreement(&got, good, low, 1, &err), err, GM_EARG, "label -2");
    CHECK_FAILS(gm_quality_agreement(&got, high, good, 1, &err), err, GM_EARG, "label 65536");
    CHECK_FAILS(gm_quality_agreement(&got, good, good, 0, &err), err, GM_EARG, "no points");
}

enum { N = 90, K = 7, D = 3 };

/* Sum over i and its k map neighbours j of max(0, rank of j from i in the space - k), the
 * plain way. */
static double penalty_of(const gm_points *points, const float *xy, size_t i)
{
    double sum = 0;
    for (size_t j = 0; j < N; j++) {
        size_t map_rank = 1, rank = 1;
        double s = gm_points_squared(points, i, j);
        double m = hypot((double)(xy[2 * i] - xy[2 * j]), (double)(xy[2 * i + 1] - xy[2 * j + 1]));
        if (j == i) continue;
        for (size_t o = 0; o < N; o++) {
            if (o == i || o == j) continue;
            rank += gm_points_squared(points, i, o) < s;
            map_rank +=
                hypot((double)(xy[2 * i] - xy[2 * o]), (double)(xy[2 * i + 1] - xy[2 * o + 1])) < m;
        }
        if (map_rank <= K && rank > K) sum += (double)(rank - K);
    }
    return sum;
}

static void trustworthiness_is_its_definition(void)
{
    float rows[N * D], xy[2 * N];
    gm_points points;
    gm_error err = {0};
    gm_rng rng = gm_rng_make(3, 1);
    uint32_t some[20];
    double all = 0, sampled = 0, got;
    for (size_t i = 0; i < N * D; i++) rows[i] = (float)gm_rng_normal(&rng);
    for (size_t i = 0; i < 2 * N; i++)
        xy[i] = rows[i / 2 * D + i % 2] + 0.3f * (float)gm_rng_normal(&rng);
    CHECK_OK(gm_points_init(&points, rows, N, D, GM_EUCLIDEAN, &err), err);
    CHECK_INT(gm_quality_sample(some, N, 20), 20);
    for (size_t i = 0; i < N; i++) all += penalty_of(&points, xy, i);
    for (size_t i = 0; i < 20; i++) sampled += penalty_of(&points, xy, some[i]);
    const double scale = 2.0 / (K * (2.0 * N - 3 * K - 1));
    for (int threads = 1; threads <= 2; threads++) {
        omp_set_num_threads(threads);
        CHECK_OK(gm_quality_trustworthiness(&got, &points, xy, K, N, &err), err);
        CHECK_NEAR(got, 1 - scale * all / N, 1e-12);
        CHECK_OK(gm_quality_trustworthiness(&got, &points, xy, K, 20, &err), err);
        CHECK_NEAR(got, 1 - scale * sampled / 20, 1e-12);
    }
    CHECK(got > 0.6 && got < 0.99); /* there was something to lose */
    CHECK_FAILS(gm_quality_trustworthiness(&got, &points, xy, N / 2, N, &err), err, GM_EARG,
                "45 neighbours of 90 points");
    CHECK_FAILS(gm_quality_trustworthiness(&got, &points, xy, 0, N, &err), err, GM_EARG,
                "0 neighbours");
    gm_points_clear(&points);
}

/* A map that is the space itself loses nothing. */
static void the_space_itself_is_trusted(void)
{
    float xy[2 * N];
    gm_points points;
    gm_error err = {0};
    gm_rng rng = gm_rng_make(4, 1);
    double got;
    for (size_t i = 0; i < 2 * N; i++) xy[i] = (float)gm_rng_normal(&rng);
    CHECK_OK(gm_points_init(&points, xy, N, 2, GM_EUCLIDEAN, &err), err);
    CHECK_OK(gm_quality_trustworthiness(&got, &points, xy, K, N, &err), err);
    CHECK_NEAR(got, 1, 0);
    gm_points_clear(&points);
}

static void purity_of_neighbours(void)
{
    uint32_t index[] = {0, 1, 2, 2, 3, 0};
    double distance[6] = {0};
    const uint16_t label[] = {7, 7, 3, 3};
    const uint32_t query[] = {0, 2};
    const gm_knn knn = {.n = 2, .k = 3, .index = index, .distance = distance};
    CHECK_NEAR(gm_quality_purity(&knn, query, label), 0.5, 0); /* 7: 7 3; 3: 3 7 */
    CHECK_NEAR(gm_quality_chance(label, 4), 0.5, 0);
    CHECK_NEAR(gm_quality_chance(label, 3), 5.0 / 9, 1e-15);
}

static void samples_are_spread_evenly(void)
{
    uint32_t at[10];
    CHECK_INT(gm_quality_sample(at, 100, 4), 4);
    for (uint32_t i = 0; i < 4; i++) CHECK_INT(at[i], 25 * i);
    CHECK_INT(gm_quality_sample(at, 5, 10), 5);
    for (uint32_t i = 0; i < 5; i++) CHECK_INT(at[i], i);
}

static gm_status compare_and_trust(void *state, gm_error *err)
{
    const int32_t label[] = {0, 1, -1};
    gm_agreement agreement;
    double got;
    float xy[2 * N] = {0};
    gm_status status = gm_quality_agreement(&agreement, label, label, 3, err);
    return status == GM_OK ? gm_quality_trustworthiness(&got, state, xy, K, N, err) : status;
}

static void survives_every_allocation_failure(void)
{
    float rows[N] = {0};
    gm_points points;
    gm_error err = {0};
    CHECK_OK(gm_points_init(&points, rows, N, 1, GM_EUCLIDEAN, &err), err);
    check_every_allocation(compare_and_trust, &points);
    gm_points_clear(&points);
}

TESTS(TEST(equal_labelings_agree_whole), TEST(independent_labelings), TEST(entropies_by_hand),
      TEST(labels_out_of_range_are_refused), TEST(trustworthiness_is_its_definition),
      TEST(the_space_itself_is_trusted), TEST(purity_of_neighbours),
      TEST(samples_are_spread_evenly), TEST(survives_every_allocation_failure))
