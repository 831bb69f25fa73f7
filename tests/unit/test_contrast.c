/* test_contrast.c - probe/contrast.c: Welch's t by SciPy, p by all deals of five documents; of
 * pairs SciPy's ttest_rel, p by all 32 signs; rates that do not vary, every allocation failing. */
#include "probe/contrast.h"
#include "tests/check.h"

#include <math.h>
#include <string.h>

enum { N = 5, J = 2, DEALS = 4000 };

/* Three documents against two, of one layer of two experts. */
static void fill(gm_contrast_data *d, float rate[N * J], uint8_t of_a[N])
{
    const float first[N] = {.2f, .4f, .6f, .1f, .3f}, second[N] = {.9f, .8f, .85f, .7f, .9f};
    for (int i = 0; i < N; i++) {
        rate[J * i] = first[i];
        rate[J * i + 1] = second[i];
        of_a[i] = i < 3;
    }
    *d = (gm_contrast_data){.N = N, .L = 1, .E = J, .K = 1, .rate = rate, .of_a = of_a};
}

/* scipy.stats.ttest_ind(..., equal_var=False), and of the ten deals those whose largest
 * |t| of both experts is as large. */
static void two_groups(void)
{
    gm_contrast_data d;
    gm_contrast_expert e[J];
    float rate[N * J];
    uint8_t of_a[N];
    gm_error err = {0};
    fill(&d, rate, of_a);
    CHECK_OK(gm_contrast_make(e, &d, DEALS, 7, true, &err), err);
    CHECK_NEAR(e[0].rate_a, 0.4, 1e-7);
    CHECK_NEAR(e[0].rate_b, 0.2, 1e-7);
    CHECK_NEAR(e[0].difference, 0.2, 1e-7);
    CHECK_NEAR(e[0].t, 1.3093073414159548, 1e-5);
    CHECK_NEAR(e[0].low, -0.29754675964107635, 1e-6);
    CHECK_NEAR(e[0].high, 0.6975467596410765, 1e-6);
    CHECK_NEAR(e[0].log_ratio, log((0.4 + 0.025) / (0.2 + 0.025)), 1e-6);
    CHECK_NEAR(e[0].p, 0.5, 4 * sqrt(0.5 * 0.5 / DEALS));
    CHECK_NEAR(e[1].p, 0.8, 4 * sqrt(0.8 * 0.2 / DEALS));
}

/* The groups exchanged: the same numbers of the other sign. */
static void exchanged(void)
{
    gm_contrast_data d;
    gm_contrast_expert e[J], back[J];
    float rate[N * J];
    uint8_t of_a[N];
    gm_error err = {0};
    fill(&d, rate, of_a);
    CHECK_OK(gm_contrast_make(e, &d, 50, 7, true, &err), err);
    fill(&d, rate, of_a);
    for (int i = 0; i < N; i++) of_a[i] = !of_a[i];
    CHECK_OK(gm_contrast_make(back, &d, 50, 7, true, &err), err);
    for (int j = 0; j < J; j++) {
        CHECK_NEAR(back[j].t, -e[j].t, 1e-12);
        CHECK_NEAR(back[j].low, -e[j].high, 1e-12);
        CHECK_NEAR(back[j].log_ratio, -e[j].log_ratio, 1e-12);
        CHECK_NEAR(back[j].p, e[j].p, 0);
    }
}

static void rates_that_do_not_vary(void)
{
    gm_contrast_data d;
    gm_contrast_expert e[J];
    float rate[N * J];
    uint8_t of_a[N];
    gm_error err = {0};
    fill(&d, rate, of_a);
    for (int i = 0; i < N; i++) rate[J * i] = 0.3f, rate[J * i + 1] = i < 3;
    CHECK_OK(gm_contrast_make(e, &d, 200, 7, true, &err), err);
    CHECK_NEAR(e[0].t, 0, 0);
    CHECK_NEAR(e[0].p, 1, 0);
    CHECK_NEAR(e[0].high - e[0].low, 0, 0);
    CHECK(e[1].t == INFINITY);
    CHECK_NEAR(e[1].difference, 1, 1e-7);
    CHECK(e[1].p > 0.02 && e[1].p < 0.2); /* one deal of ten parts them so */
    CHECK_OK(gm_contrast_make(e, &d, 0, 7, true, &err), err);
    CHECK(isnan(e[1].p));
}

static void groups_of_one(void)
{
    gm_contrast_data d;
    gm_contrast_expert e[J];
    float rate[N * J];
    uint8_t of_a[N];
    gm_error err = {0};
    fill(&d, rate, of_a);
    memcpy(of_a, (uint8_t[N]){0, 0, 1, 0, 0}, N);
    CHECK_FAILS(gm_contrast_make(e, &d, 9, 7, true, &err), err, GM_EARG, "the groups have 1 and 4");
    memset(of_a, 1, N);
    CHECK_FAILS(gm_contrast_make(e, &d, 9, 7, true, &err), err, GM_EARG, "the groups have 5 and 0");
}

/* Documents 2p + 1 and 2p are a pair; the first is in none. */
enum { PAIRS = 5, N_PAIRED = 2 * PAIRS + 1 };

static const uint32_t partners[2 * PAIRS] = {2, 1, 4, 3, 6, 5, 8, 7, 10, 9};

static void fill_pairs(gm_contrast_data *d, float rate[N_PAIRED * J], uint8_t of_a[N_PAIRED])
{
    const float a[PAIRS][J] = {{.2f, .9f}, {.4f, .8f}, {.6f, .85f}, {.5f, .8f}, {.45f, .75f}};
    const float b[PAIRS][J] = {{.1f, .7f}, {.3f, .9f}, {.35f, .95f}, {.45f, .8f}, {.25f, .6f}};
    rate[0] = 1, rate[1] = 0, of_a[0] = 1;
    for (int p = 0; p < PAIRS; p++) {
        memcpy(rate + J * partners[2 * p], a[p], sizeof a[p]);
        memcpy(rate + J * partners[2 * p + 1], b[p], sizeof b[p]);
        of_a[partners[2 * p]] = 1, of_a[partners[2 * p + 1]] = 0;
    }
    *d = (gm_contrast_data){.N = N_PAIRED,
                            .L = 1,
                            .E = J,
                            .K = 1,
                            .rate = rate,
                            .of_a = of_a,
                            .pair = partners,
                            .n_pairs = PAIRS};
}

/* scipy.stats.ttest_rel, and of the 32 ways to exchange the two of some pairs those whose largest
 * |t| of both experts is as large: 2 and 28. */
static void pairs(void)
{
    gm_contrast_data d;
    gm_contrast_expert e[J];
    float rate[N_PAIRED * J];
    uint8_t of_a[N_PAIRED];
    gm_error err = {0};
    fill_pairs(&d, rate, of_a);
    CHECK_OK(gm_contrast_make(e, &d, DEALS, 7, true, &err), err);
    CHECK_NEAR(e[0].rate_a, 0.43, 1e-7);
    CHECK_NEAR(e[0].rate_b, 0.29, 1e-7);
    CHECK_NEAR(e[0].difference, 0.14, 1e-7);
    CHECK_NEAR(e[0].t, 3.81031738, 1e-5);
    CHECK_NEAR(e[0].low, 0.03798689, 1e-6);
    CHECK_NEAR(e[0].high, 0.24201311, 1e-6);
    CHECK_NEAR(e[0].log_ratio, log((0.43 + 0.025) / (0.29 + 0.025)), 1e-6);
    CHECK_NEAR(e[0].p, 0.0625, 4 * sqrt(0.0625 * 0.9375 / DEALS));
    CHECK_NEAR(e[1].t, 0.48038446, 1e-5);
    CHECK_NEAR(e[1].low, -0.14338894, 1e-6);
    CHECK_NEAR(e[1].p, 0.875, 4 * sqrt(0.875 * 0.125 / DEALS));
}

/* Every pair differs by .01, as far as floats can say: no scatter, so t is infinite, not millions.
 */
static void pairs_that_differ_alike(void)
{
    gm_contrast_data d;
    gm_contrast_expert e[J];
    float rate[N_PAIRED * J];
    uint8_t of_a[N_PAIRED];
    gm_error err = {0};
    fill_pairs(&d, rate, of_a);
    for (uint32_t p = 0; p < PAIRS; p++) {
        rate[J * partners[2 * p]] = (float)(p + 81) / 100;
        rate[J * partners[2 * p + 1]] = (float)(p + 80) / 100;
    }
    CHECK_OK(gm_contrast_make(e, &d, 200, 7, true, &err), err);
    CHECK(e[0].t == INFINITY);
    CHECK_NEAR(e[0].difference, 0.01, 1e-7);
    CHECK_NEAR(e[0].high - e[0].low, 0, 0);
    CHECK(e[0].p > 0.01 && e[0].p < 0.15); /* 2 of 32 signs part them so */
    CHECK_NEAR(e[1].t, 0.48038446, 1e-5);
}

/* More pairs than a random word has bits: expert 0 differs in pairs 16 to 31, expert 1 in those
 * after them. As large a t by chance: of 16 signs and of 8 all alike, or nearly. */
static void many_pairs(void)
{
    enum { MANY = 40, PERMUTATIONS = 254 };
    float rate[2 * MANY * J] = {0};
    uint8_t of_a[2 * MANY] = {0};
    uint32_t pair[2 * MANY];
    gm_contrast_expert e[J];
    gm_error err = {0};
    for (uint32_t p = 0; p < MANY; p++) {
        pair[2 * p] = 2 * p, pair[2 * p + 1] = 2 * p + 1;
        of_a[2 * p] = 1;
        if (p >= 16) rate[2 * p * J + (p >= 32)] = 0.5f;
    }
    gm_contrast_data d = {.N = 2 * MANY, .L = 1, .E = J, .K = 1, .rate = rate, .of_a = of_a};
    d.pair = pair, d.n_pairs = MANY;
    CHECK_OK(gm_contrast_make(e, &d, PERMUTATIONS, 7, true, &err), err);
    CHECK_NEAR(e[0].p, 1.0 / (1 + PERMUTATIONS), 1e-15);
    CHECK(e[1].p < 0.05);
}

static void pairs_that_do_not_differ(void)
{
    gm_contrast_data d;
    gm_contrast_expert e[J];
    float rate[N_PAIRED * J];
    uint8_t of_a[N_PAIRED];
    gm_error err = {0};
    fill_pairs(&d, rate, of_a);
    for (int p = 0; p < PAIRS; p++) { /* expert 0 by nothing, expert 1 by one value */
        rate[J * partners[2 * p]] = rate[J * partners[2 * p + 1]];
        rate[J * partners[2 * p] + 1] = 0.75f;
        rate[J * partners[2 * p + 1] + 1] = 0.5f;
    }
    CHECK_OK(gm_contrast_make(e, &d, 0, 7, true, &err), err);
    CHECK_NEAR(e[0].t, 0, 0);
    CHECK_NEAR(e[0].high - e[0].low, 0, 0);
    CHECK(e[1].t == INFINITY);
    fill_pairs(&d, rate, of_a);
    d.n_pairs = 2;
    CHECK_OK(gm_contrast_make(e, &d, 9, 7, true, &err), err);
    d.n_pairs = 1;
    CHECK_FAILS(gm_contrast_make(e, &d, 9, 7, true, &err), err, GM_EARG,
                "found 1 pair, expected at least two");
}

static gm_status attempt(void *unused, gm_error *err)
{
    gm_contrast_data d;
    gm_contrast_expert e[J];
    float rate[N * J];
    uint8_t of_a[N];
    (void)unused;
    fill(&d, rate, of_a);
    return gm_contrast_make(e, &d, 9, 7, true, err);
}

static void allocations_fail(void)
{
    check_every_allocation(attempt, NULL);
}

TESTS(TEST(two_groups), TEST(exchanged), TEST(rates_that_do_not_vary), TEST(groups_of_one),
      TEST(pairs), TEST(pairs_that_differ_alike), TEST(many_pairs), TEST(pairs_that_do_not_differ),
      TEST(allocations_fail))
