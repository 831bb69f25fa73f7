/* test_quality.c - cluster/quality.c: figures worked by hand. Against scikit-learn:
 * golden/test_keywords_golden.c. */
#include "cluster/quality.h"

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
    CHECK_NEAR(got.ami, 1, 1e-12);
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
    CHECK(got.ami < 0); /* less than chance gives */
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

/* Groups 0 to n-1 of a point each, or all points in one, as scikit-learn judges them. */
static void singletons_and_whole_groups(void)
{
    enum { M = 300 };
    static int32_t single[M], reversed[M], one[M], halves[M], almost[M];
    for (int n = 1; n <= M; n++) {
        for (int i = 0; i < n; i++) {
            single[i] = i, reversed[i] = n - 1 - i, one[i] = 0, halves[i] = i % 2;
            almost[i] = i == 1 ? 0 : i;
        }
        CHECK_NEAR(compare(single, reversed, (size_t)n).ami, 1, 0);
        CHECK_NEAR(compare(single, reversed, (size_t)n).ari, 1, 0);
        CHECK_NEAR(compare(one, one, (size_t)n).ami, 1, 0);
        CHECK_NEAR(compare(one, one, (size_t)n).ari, 1, 0);
        if (n < 3) continue;
        CHECK_NEAR(compare(one, single, (size_t)n).ami, 0, 0);
        CHECK_NEAR(compare(halves, one, (size_t)n).ami, 0, 0);
        CHECK_NEAR(compare(single, halves, (size_t)n).ami, 0, 1e-12);
        CHECK_NEAR(compare(almost, single, (size_t)n).ami, 0, 1e-9);
    }
}

static void labels_out_of_range_are_refused(void)
{
    const int32_t good[] = {0}, low[] = {-2};
    gm_agreement got;
    gm_error err = {0};
    CHECK_FAILS(gm_quality_agreement(&got, good, low, 1, &err), err, GM_EARG, "label -2");
    CHECK_FAILS(gm_quality_agreement(&got, low, good, 1, &err), err, GM_EARG, "label -2");
    CHECK_FAILS(gm_quality_agreement(&got, good, good, 0, &err), err, GM_EARG, "no points");
}

/* Clusters of two points each, against clusters of two shifted by one: no pair is together in
 * both. More clusters than 16 bits number. */
static void many_clusters_are_compared(void)
{
    enum { M = 140000 };
    static int32_t a[M], b[M];
    for (int i = 0; i < M; i++) a[i] = i / 2, b[i] = (i + 1) % M / 2;
    gm_agreement got = compare(a, a, M);
    CHECK_NEAR(got.ari, 1, 0);
    CHECK_NEAR(got.ami, 1, 1e-9);
    got = compare(a, b, M);
    CHECK_NEAR(got.ari, 0, 1e-4);
    CHECK_NEAR(got.purity, 0.5, 1e-9);
    CHECK_NEAR(got.homogeneity, 1 - log(2) / log(M / 2.0), 1e-9);
    a[3] = INT32_MAX;
    CHECK_NEAR(compare(a, a, M).nmi, 1, 1e-12);
}

static void purity_of_neighbours(void)
{
    uint32_t index[] = {0, 1, 2, 1, 2, 3, 2, 3, 0, 3, 2, 0};
    const uint16_t label[] = {7, 7, 3, 3};
    const gm_knn knn = {.n = 4, .k = 3, .index = index};
    double chance;
    gm_error err = {0};
    CHECK_NEAR(gm_quality_purity(&knn, label), 3.0 / 8, 0); /* 7: 7 3; 7: 3 3; 3: 3 7; 3: 3 7 */
    CHECK_OK(gm_quality_chance(&chance, label, 4, &err), err);
    CHECK_NEAR(chance, 0.5, 0);
    CHECK_OK(gm_quality_chance(&chance, label, 3, &err), err);
    CHECK_NEAR(chance, 5.0 / 9, 1e-15);
}

static void lengths_with_nothing_to_correlate(void)
{
    const uint32_t length[] = {5, 6, 7, 8}, same[] = {5, 5, 5, 5};
    const int32_t two[] = {0, 0, 1, 1}, one[] = {0, 0, 0, 0}, none[] = {-1, -1, -1, -1};
    const int32_t half[] = {0, -1, 0, -1};
    double noise, cluster;
    gm_error err = {0};
    CHECK_OK(gm_quality_lengths(&noise, &cluster, length, two, 4, 2, &err), err);
    CHECK(isnan(noise));
    CHECK_NEAR(cluster, sqrt(1 - (1.0 / 2) / (5.0 / 3)), 1e-12);
    CHECK_OK(gm_quality_lengths(&noise, &cluster, length, one, 4, 1, &err), err);
    CHECK(isnan(noise) && isnan(cluster));
    CHECK_OK(gm_quality_lengths(&noise, &cluster, length, none, 4, 0, &err), err);
    CHECK(isnan(noise) && isnan(cluster));
    CHECK_OK(gm_quality_lengths(&noise, &cluster, same, half, 4, 1, &err), err);
    CHECK(isnan(noise) && isnan(cluster));
    CHECK_OK(gm_quality_lengths(&noise, &cluster, length, half, 4, 1, &err), err);
    CHECK_NEAR(noise, 1 / sqrt(5), 1e-12);
    const uint32_t six[] = {1, 2, 3, 4, 5, 6}; /* six times 1/6 is not 1 */
    const int32_t nowhere[] = {-1, -1, -1, -1, -1, -1};
    CHECK_OK(gm_quality_lengths(&noise, &cluster, six, nowhere, 6, 0, &err), err);
    CHECK(isnan(noise) && isnan(cluster));
}

static void samples_are_spread_evenly(void)
{
    uint32_t at[10];
    CHECK_INT(gm_quality_sample(at, 100, 4), 4);
    for (uint32_t i = 0; i < 4; i++) CHECK_INT(at[i], 25 * i);
    CHECK_INT(gm_quality_sample(at, 5, 10), 5);
    for (uint32_t i = 0; i < 5; i++) CHECK_INT(at[i], i);
}

static gm_status compare_labels(void *state, gm_error *err)
{
    (void)state;
    const int32_t label[] = {0, 1, -1, 1}, other[] = {0, 1, 1, -1};
    gm_agreement agreement;
    return gm_quality_agreement(&agreement, label, other, 4, err);
}

static gm_status ask_chance(void *state, gm_error *err)
{
    double chance;
    gm_status status = gm_quality_chance(&chance, state, 2, err);
    return status == GM_OK && isnan(chance) ? GM_ENUMERIC : status; /* not in place of an error */
}

static gm_status ask_lengths(void *state, gm_error *err)
{
    (void)state;
    const uint32_t length[] = {5, 6};
    const int32_t label[] = {0, -1};
    double noise, cluster;
    return gm_quality_lengths(&noise, &cluster, length, label, 2, 1, err);
}

static void survives_every_allocation_failure(void)
{
    uint16_t label[] = {7, 3};
    check_every_allocation(compare_labels, NULL);
    check_every_allocation(ask_chance, label);
    check_every_allocation(ask_lengths, NULL);
}

TESTS(TEST(equal_labelings_agree_whole), TEST(independent_labelings), TEST(entropies_by_hand),
      TEST(singletons_and_whole_groups), TEST(labels_out_of_range_are_refused),
      TEST(many_clusters_are_compared), TEST(purity_of_neighbours),
      TEST(lengths_with_nothing_to_correlate), TEST(samples_are_spread_evenly),
      TEST(survives_every_allocation_failure))
