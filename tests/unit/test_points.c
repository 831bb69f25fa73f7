/* test_points.c - cluster/points.c: the three metrics by their formulas, rows of zeros.
 * label: threads */
#include "cluster/points.h"

#include "tests/check.h"

enum { D = 5 };

static const float ROWS[4][D] = {{1, 2, 3, 4, 0}, {4, 3, 2, 1, 0}, {0}, {0, 0, 0, 0, 2}};

static gm_points make(gm_metric metric)
{
    gm_points points;
    gm_error err = {0};
    CHECK_OK(gm_points_init(&points, &ROWS[0][0], 4, D, metric, &err), err);
    CHECK_INT(points.n, 4);
    CHECK_INT(points.dim % 16, 0);
    return points;
}

static double distance(const gm_points *points, size_t i, size_t j)
{
    return gm_metric_distance(points->metric, gm_points_squared(points, i, j));
}

static void distances_are_those_of_the_formulas(void)
{
    gm_points p = make(GM_HELLINGER);
    double shared = 2 * (sqrt(4) + sqrt(6)) / 10;
    CHECK_NEAR(distance(&p, 0, 1), sqrt(1 - shared), 1e-7);
    CHECK_NEAR(distance(&p, 0, 3), 1, 1e-7); /* nothing in common */
    CHECK_NEAR(distance(&p, 0, 0), 0, 0);
    gm_points_clear(&p);
    p = make(GM_EUCLIDEAN);
    CHECK_NEAR(distance(&p, 0, 1), sqrt(9 + 1 + 1 + 9), 1e-12);
    gm_points_clear(&p);
    p = make(GM_COSINE);
    CHECK_NEAR(distance(&p, 0, 1), 1 - 20.0 / 30, 1e-7);
    CHECK_NEAR(distance(&p, 0, 3), 1, 1e-7);
    gm_points_clear(&p);
}

static void rows_of_zeros_are_apart_from_others(void)
{
    const float two[3][2] = {{0, 0}, {0, 0}, {1, 0}};
    for (int m = GM_HELLINGER; m <= GM_COSINE; m++) {
        gm_points p;
        gm_error err = {0};
        CHECK_OK(gm_points_init(&p, &two[0][0], 3, 2, (gm_metric)m, &err), err);
        CHECK_INT(p.n_zero, 2);
        CHECK_NEAR(distance(&p, 0, 1), 0, 0);
        CHECK_NEAR(distance(&p, 0, 2), 1, 0); /* euclidean: by chance too */
        gm_points_clear(&p);
    }
}

static void norms_are_kept(void)
{
    gm_points p = make(GM_EUCLIDEAN);
    CHECK_NEAR(p.norm[0], 30, 0);
    CHECK_NEAR(p.norm[2], 0, 0);
    CHECK_NEAR(p.max_norm, 30, 0);
    gm_points_clear(&p);
    p = make(GM_COSINE);
    for (size_t i = 0; i < 4; i++) CHECK_NEAR(p.norm[i], 1, 1e-6);
    gm_points_clear(&p);
}

static void where_nothing_is_shared(void)
{
    gm_points h = make(GM_HELLINGER), c = make(GM_COSINE);
    CHECK(distance(&h, 0, 3) >= gm_metric_disconnected(GM_HELLINGER));
    CHECK(distance(&h, 0, 2) >= gm_metric_disconnected(GM_HELLINGER)); /* a row of zeros */
    CHECK_NEAR(gm_metric_disconnected(GM_HELLINGER), 1, 2e-6);
    CHECK(gm_metric_disconnected(GM_EUCLIDEAN) == INFINITY);
    CHECK(distance(&c, 0, 3) < gm_metric_disconnected(GM_COSINE)); /* at right angles */
    CHECK_NEAR(gm_metric_disconnected(GM_COSINE), 2, 4e-6);
    gm_points_clear(&h);
    gm_points_clear(&c);
}

static void bad_values_are_named(void)
{
    const float nan[] = {1, 2, 3, NAN}, low[] = {1, 2, -3, 4}, inf[] = {INFINITY, 0, 0, 0};
    const float far[] = {1e18f, 1e18f, 0, 1e25f};
    gm_points p;
    gm_error err = {0};
    CHECK_FAILS(gm_points_init(&p, nan, 2, 2, GM_COSINE, &err), err, GM_EARG,
                "row 1, column 1 is not finite");
    CHECK_FAILS(gm_points_init(&p, inf, 1, 4, GM_EUCLIDEAN, &err), err, GM_EARG, "row 0, column 0");
    CHECK_FAILS(gm_points_init(&p, low, 2, 2, GM_HELLINGER, &err), err, GM_EARG,
                "row 1, column 0 is -3");
    CHECK_FAILS(gm_points_init(&p, low, 0, 2, GM_COSINE, &err), err, GM_EARG, "0 points");
    CHECK_FAILS(gm_points_init(&p, low, 2, 0, GM_COSINE, &err), err, GM_EARG, "0 dimensions");
    CHECK_FAILS(gm_points_init(&p, far, 2, 2, GM_EUCLIDEAN, &err), err, GM_EARG, "row 1 is longer");
    CHECK(p.at == NULL);
    CHECK_OK(gm_points_init(&p, far, 2, 2, GM_HELLINGER, &err), err);
    gm_points_clear(&p);
    CHECK_OK(gm_points_init(&p, low, 2, 2, GM_COSINE, &err), err);
    gm_points_clear(&p);
}

static void rows_can_be_picked(void)
{
    const uint32_t pick[] = {3, 1};
    const float *const row[] = {ROWS[3], ROWS[1]};
    gm_points all, two;
    gm_error err = {0};
    CHECK_OK(gm_points_init(&all, &ROWS[0][0], 4, D, GM_HELLINGER, &err), err);
    CHECK_OK(gm_points_of_rows(&two, row, 2, D, GM_HELLINGER, &err), err);
    CHECK_INT(two.n, 2);
    for (size_t i = 0; i < 2; i++)
        CHECK_BYTES(two.at + i * two.dim, all.at + pick[i] * all.dim, two.dim * sizeof *two.at);
    gm_points_clear(&all);
    gm_points_clear(&two);
}

static gm_status make_again(void *state, gm_error *err)
{
    gm_points p;
    (void)state;
    gm_status status = gm_points_init(&p, &ROWS[0][0], 4, D, GM_HELLINGER, err);
    gm_points_clear(&p);
    return status;
}

static void survives_every_allocation_failure(void)
{
    check_every_allocation(make_again, NULL);
}

TESTS(TEST(distances_are_those_of_the_formulas), TEST(rows_of_zeros_are_apart_from_others),
      TEST(norms_are_kept), TEST(where_nothing_is_shared), TEST(bad_values_are_named),
      TEST(rows_can_be_picked), TEST(survives_every_allocation_failure))
