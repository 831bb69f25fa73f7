/* test_elementary.c - cluster/elementary.h against the C library, over the whole range. */
#include "cluster/elementary.h"

#include "tests/check.h"

static void exponential(void)
{
    double worst = 0;
    for (double x = -700; x <= 700; x += 0.0837)
        worst = check_larger(worst, fabs(gm_exp(x) / exp(x) - 1));
    CHECK(worst <= 3e-16);
    CHECK_NEAR(gm_exp(0), 1, 0);
    CHECK_NEAR(gm_exp(-709), 0, 0);
    CHECK_NEAR(gm_exp(-1e300), 0, 0);
    CHECK(isfinite(gm_exp(1e300)));
}

static void powers_of_two(void)
{
    for (int n = -1022; n <= 1023; n++) CHECK_NEAR(gm_pow2(n), ldexp(1, n), 0);
    for (int n = -126; n <= 127; n++) CHECK_NEAR(gm_pow2f(n), ldexp(1, n), 0);
    double worst = 0;
    for (float x = -125; x <= 126; x += 0.0137f)
        worst = check_larger(worst, fabs((double)gm_exp2f(x) / exp2((double)x) - 1));
    CHECK(worst <= 2.5e-7);
    CHECK_NEAR(gm_exp2f(-1000) / exp2f(-125), 1, 1e-6);
    CHECK(isfinite(gm_exp2f(1e30f)));
}

static void natural_logarithm(void)
{
    double worst = 0;
    for (double x = 1e-300; x < 1e300; x *= 1.0371)
        worst = check_larger(worst, fabs(gm_log(x) - log(x)) / (1 + fabs(log(x))));
    for (double x = 0.5; x < 2; x += 1.37e-4)
        worst = check_larger(worst, fabs(gm_log(x) - log(x)) / (1 + fabs(log(x))));
    CHECK(worst <= 5e-16);
    CHECK_NEAR(gm_log(1), 0, 0);
}

static void logarithm(void)
{
    double worst = 0, near_one = 0;
    for (float x = 1.2e-38f; x < 3e38f; x *= 1.0137f)
        worst = check_larger(worst, fabs((double)gm_log2f(x) - log2((double)x)) /
                                        fmax(1, fabs(log2((double)x))));
    CHECK(worst <= 2e-7);
    for (float x = 0.75f; x < 1.4f; x += 0.001f)
        if (x != 1.0f)
            near_one = check_larger(near_one, fabs((double)gm_log2f(x) / log2((double)x) - 1));
    CHECK(near_one <= 1e-6);
    CHECK_NEAR(gm_log2f(1), 0, 0);
}

/* What the layout asks for: squared distances to the power b of the curve. */
static void powers(void)
{
    double worst = 0;
    for (float x = 1e-12f; x < 1e6f; x *= 1.07f)
        for (float y = 0.3f; y < 2; y += 0.17f)
            worst =
                check_larger(worst, fabs((double)gm_powf(x, y) / pow((double)x, (double)y) - 1));
    CHECK(worst <= 1e-5);
}

TESTS(TEST(exponential), TEST(powers_of_two), TEST(natural_logarithm), TEST(logarithm),
      TEST(powers))
