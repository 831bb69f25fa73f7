/* test_validity.c - cluster/validity.c: a case by hand, what has no validity, threads. Against
 * hdbscan: golden/test_quality_golden.c.
 * label: threads */
#include "cluster/validity.h"

#include "base/rng.h"
#include "base/threads.h"
#include "tests/check.h"

static double find(double *each, const float *at, size_t dim, const int32_t *label, size_t n,
                   size_t n_clusters)
{
    double whole = 0;
    gm_error err = {0};
    const gm_validity_input in = {at, label, n, dim, n_clusters};
    CHECK_OK(gm_validity_find(&whole, each, &in, &err), err);
    return whole;
}

/* 0 1 3 | 13 14 on a line: the cores of 0 1 3 are the harmonic means 1.5, 4/3, 2.4; the tree is
 * 0-1 (1.5), 1-3 (2.4), inner only 1, so all edges count: 2.4. Of 13 14: cores 1, tree 1, the first
 * stands for it. From 1 to 13: 12. */
static void by_hand(void)
{
    const float at[] = {0, 1, 3, 13, 14, 100};
    const int32_t label[] = {0, 0, 0, 1, 1, -1};
    double each[2], whole = find(each, at, 1, label, 6, 2);
    CHECK_NEAR(each[0], (12 - 2.4) / 12, 1e-12);
    CHECK_NEAR(each[1], (12 - 1.0) / 12, 1e-12);
    CHECK_NEAR(whole, 0.5 * each[0] + each[1] / 3, 1e-12);
}

static void what_has_no_validity_is_nan(void)
{
    const float at[] = {0, 1, 3, 13, 14, 100};
    const int32_t single[] = {0, 0, 0, 1, 1, 2}, one[] = {0, 0, 0, 0, 0, -1},
                  none[] = {-1, -1, -1, -1, -1, -1};
    double each[3];
    CHECK_NEAR(find(each, at, 1, single, 6, 3), 0.5 * each[0] + each[1] / 3, 1e-12);
    CHECK(isnan(each[2]));
    CHECK(isnan(find(each, at, 1, one, 6, 1)) && isnan(each[0]));
    CHECK(isnan(find(each, at, 1, none, 6, 0)));
    CHECK(isnan(find(each, at, 1, none, 6, 2)) && isnan(each[1]));
}

/* Points that coincide: core 0, sparseness 0; nothing is infinite. */
static void equal_points(void)
{
    const float at[] = {2, 2, 2, 9, 9, 9, 9, 9};
    const int32_t label[] = {0, 0, 0, 1, 1, 1, 1, 1}, same[] = {0, 1, 0, -1, -1, -1, 1, -1};
    const float all[8] = {0};
    double each[2];
    CHECK_NEAR(find(each, at, 1, label, 8, 2), 1, 1e-12);
    CHECK(isnan(find(each, all, 1, same, 8, 2)));
}

enum { N = 300, CLUSTERS = 4 };

static void threads_change_nothing(void)
{
    float at[2 * N];
    int32_t label[N];
    double each[2][CLUSTERS], whole[2];
    gm_rng rng = gm_rng_make(7, 1);
    for (size_t i = 0; i < N; i++) {
        label[i] = (int32_t)(i % (CLUSTERS + 1)) - 1;
        at[2 * i] = 3 * (float)label[i] + (float)gm_rng_normal(&rng);
        at[2 * i + 1] = (float)gm_rng_normal(&rng);
    }
    for (int t = 0; t < 2; t++) {
        gm_set_threads(t + 1);
        whole[t] = find(each[t], at, 2, label, N, CLUSTERS);
    }
    CHECK(whole[0] == whole[1] && memcmp(each[0], each[1], sizeof each[0]) == 0);
    CHECK(whole[0] > -1 && whole[0] < 1);
}

static gm_status find_something(void *state, gm_error *err)
{
    const float at[] = {0, 1, 3, 13, 14, 100};
    const int32_t label[] = {0, 0, 0, 1, 1, -1};
    const gm_validity_input in = {at, label, 6, 1, 2};
    double each[2], whole;
    (void)state;
    return gm_validity_find(&whole, each, &in, err);
}

static void survives_every_allocation_failure(void)
{
    check_every_allocation(find_something, NULL);
}

TESTS(TEST(by_hand), TEST(what_has_no_validity_is_nan), TEST(equal_points),
      TEST(threads_change_nothing), TEST(survives_every_allocation_failure))
