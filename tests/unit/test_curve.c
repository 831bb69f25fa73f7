/* test_curve.c - cluster/curve.c: the curve is where the least squares are; what is refused.
 * Against umap-learn: golden/test_umap_golden.c.
 */
#include "cluster/curve.h"

#include "tests/check.h"

static double squares(double a, double b, double min_dist, double spread)
{
    double sum = 0;
    for (int i = 0; i < 300; i++) {
        double x = 3 * spread * i / 299, y = x < min_dist ? 1 : exp(-(x - min_dist) / spread);
        double r = 1 / (1 + a * pow(x, 2 * b)) - y;
        sum += r * r;
    }
    return sum;
}

static void no_neighbour_is_better(void)
{
    static const double how[][2] = {{0.1, 1}, {0, 1}, {0.5, 0.5}, {0.25, 4}, {1e-3, 0.1}, {10, 10}};
    for (int i = 0; i < 6; i++) {
        double a, b, h = 1e-4;
        gm_error err = {0};
        CHECK_OK(gm_curve_fit(how[i][0], how[i][1], &a, &b, &err), err);
        CHECK(a > 0 && b > 0);
        double here = squares(a, b, how[i][0], how[i][1]);
        CHECK(here < squares(a * (1 + h), b, how[i][0], how[i][1]));
        CHECK(here < squares(a * (1 - h), b, how[i][0], how[i][1]));
        CHECK(here < squares(a, b * (1 + h), how[i][0], how[i][1]));
        CHECK(here < squares(a, b * (1 - h), how[i][0], how[i][1]));
    }
}

static void seven_digits(void)
{
    double a, b;
    char text[32];
    gm_error err = {0};
    CHECK_OK(gm_curve_fit(0.1, 1, &a, &b, &err), err);
    snprintf(text, sizeof text, "%.6e", a);
    CHECK_NEAR(a, strtod(text, NULL), 0);
    CHECK_NEAR(a, 1.576943, 1e-6);
    CHECK_NEAR(b, 0.8950609, 1e-6);
}

static void what_is_refused(void)
{
    double a = 9, b = 9;
    gm_error err = {0};
    CHECK_FAILS(gm_curve_fit(2, 1, &a, &b, &err), err, GM_EARG, "min-dist is 2 and spread is 1");
    CHECK_FAILS(gm_curve_fit(-1, 1, &a, &b, &err), err, GM_EARG, "min-dist");
    CHECK_FAILS(gm_curve_fit(0, 0, &a, &b, &err), err, GM_EARG, "spread is 0");
    CHECK_FAILS(gm_curve_fit(NAN, 1, &a, &b, &err), err, GM_EARG, "min-dist");
    CHECK_FAILS(gm_curve_fit(0.1, NAN, &a, &b, &err), err, GM_EARG, "spread");
    CHECK_NEAR(a, 0, 0);
}

TESTS(TEST(no_neighbour_is_better), TEST(seven_digits), TEST(what_is_refused))
