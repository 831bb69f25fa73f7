/* test_false_discovery.c - probe/false_discovery.c against SciPy 1.17's false_discovery_control. */
#include "probe/false_discovery.h"
#include "tests/check.h"

#include <math.h>
#include <string.h>

enum { N = 11 };

/* Ties, the ends, and one that is no test. */
static const double P[N] = {.04, .0004, .9, .011, .04, NAN, 1, .2, .0007, 0, .03};

static void as_scipy_does(void)
{
    static const double want[N] = {0.05714285714285715,
                                   0.002,
                                   1,
                                   0.0275,
                                   0.05714285714285715,
                                   0,
                                   1,
                                   0.25,
                                   0.0023333333333333335,
                                   0,
                                   0.05714285714285715};
    double p[N];
    gm_error err = {0};
    memcpy(p, P, sizeof p);
    CHECK_OK(gm_false_discovery(p, N, &err), err);
    for (size_t i = 0; i < N; i++)
        if (isnan(P[i]))
            CHECK(isnan(p[i]));
        else
            CHECK_NEAR(p[i], want[i], 1e-15);
    double two[] = {.8, .9}; /* the larger bounds the smaller */
    CHECK_OK(gm_false_discovery(two, 2, &err), err);
    CHECK(two[0] == .9 && two[1] == .9);
}

/* As many as are called discoveries at a level are those that the step-up rule takes there. */
static void the_rule_of_the_paper(void)
{
    double p[N];
    gm_error err = {0};
    memcpy(p, P, sizeof p);
    CHECK_OK(gm_false_discovery(p, N, &err), err);
    for (double q = .001; q < 1; q += .0101) {
        size_t called = 0, k = 0;
        for (size_t i = 0; i < N; i++) {
            size_t rank = 0; /* of p(i) among the ten, ties last */
            for (size_t j = 0; j < N; j++) rank += P[j] <= P[i];
            called += p[i] <= q;
            if (P[i] <= q * (double)rank / 10 && rank > k) k = rank;
        }
        CHECK_INT(called, k);
    }
}

static gm_status attempt(void *state, gm_error *err)
{
    double p[N];
    (void)state;
    memcpy(p, P, sizeof p);
    return gm_false_discovery(p, N, err);
}

static void no_tests_and_no_memory(void)
{
    gm_error err = {0};
    double none[] = {NAN, NAN};
    CHECK_OK(gm_false_discovery(none, 2, &err), err);
    CHECK(isnan(none[0]) && isnan(none[1]));
    CHECK_OK(gm_false_discovery(NULL, 0, &err), err);
    check_every_allocation(attempt, NULL);
}

TESTS(TEST(as_scipy_does), TEST(the_rule_of_the_paper), TEST(no_tests_and_no_memory))
