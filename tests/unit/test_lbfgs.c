/* test_lbfgs.c - text/lbfgs.c: minima that are known. */
#include "tests/check.h"
#include "text/lbfgs.h"

/* sum k (x_k - k)^2: condition number n. */
static double bowl(const double *x, double *gradient, void *state)
{
    const size_t n = *(const size_t *)state;
    double sum = 0;
    for (size_t k = 0; k < n; k++) {
        double d = x[k] - (double)k, by = (double)(k + 1);
        gradient[k] = 2 * by * d;
        sum += by * d * d;
    }
    return sum;
}

static void finds_the_bottom_of_a_bowl(void)
{
    double x[50] = {0};
    size_t n = 50;
    gm_lbfgs_report report;
    gm_error err = {0};
    CHECK_OK(gm_lbfgs(x, n, bowl, &n, 1e-8, 500, &report, &err), err);
    CHECK(report.converged);
    for (size_t k = 0; k < n; k++) CHECK_NEAR(x[k], k, 1e-8);
}

static double valley(const double *x, double *gradient, void *state)
{
    (void)state;
    double a = 1 - x[0], b = x[1] - x[0] * x[0];
    gradient[0] = -2 * a - 400 * x[0] * b;
    gradient[1] = 200 * b;
    return a * a + 100 * b * b;
}

static void follows_rosenbrocks_valley(void)
{
    double x[2] = {-1.2, 1};
    gm_lbfgs_report report;
    gm_error err = {0};
    CHECK_OK(gm_lbfgs(x, 2, valley, NULL, 1e-9, 500, &report, &err), err);
    CHECK(report.converged);
    CHECK(report.steps < 100);
    CHECK_NEAR(x[0], 1, 1e-8);
    CHECK_NEAR(x[1], 1, 1e-8);
}

static void stops_at_the_limit(void)
{
    double x[2] = {-1.2, 1};
    gm_lbfgs_report report;
    gm_error err = {0};
    CHECK_OK(gm_lbfgs(x, 2, valley, NULL, 1e-9, 3, &report, &err), err);
    CHECK_INT(report.steps, 3);
    CHECK(!report.converged);
}

static double nowhere(const double *x, double *gradient, void *state)
{
    (void)x, (void)state;
    gradient[0] = 1;
    return NAN;
}

static void refuses_what_is_not_finite(void)
{
    double x[1] = {0};
    gm_lbfgs_report report;
    gm_error err = {0};
    CHECK_FAILS(gm_lbfgs(x, 1, nowhere, NULL, 1e-9, 3, &report, &err), err, GM_ENUMERIC,
                "not finite");
}

TESTS(TEST(finds_the_bottom_of_a_bowl), TEST(follows_rosenbrocks_valley), TEST(stops_at_the_limit),
      TEST(refuses_what_is_not_finite))
