/* test_contrast.c - probe/contrast.c: Welch's t by SciPy, p by all permutations of five documents;
 * of pairs SciPy's ttest_rel, p by all 32 signs; rates that do not vary, every allocation failing.
 */
#include "probe/contrast.h"
#include "base/rng.h"
#include "tests/check.h"

#include <math.h>
#include <string.h>

enum { N = 5, J = 2, PAIRS = 5, N_PAIRED = 2 * PAIRS + 1, PERMUTATIONS = 4000 };

static const uint32_t partners[2 * PAIRS] = {2, 1, 4, 3, 6, 5, 8, 7, 10, 9};

/* Documents of one layer of two experts, and what is found of these. */
typedef struct fixture {
    float rate[N_PAIRED * J];
    uint8_t of_a[N_PAIRED];
    gm_contrast_data data;
    gm_contrast_expert expert[J];
} fixture;

/* Three documents against two. */
static void fill(fixture *f)
{
    const float first[N] = {.2f, .4f, .6f, .1f, .3f}, second[N] = {.9f, .8f, .85f, .7f, .9f};
    for (int i = 0; i < N; i++) {
        f->rate[J * i] = first[i];
        f->rate[J * i + 1] = second[i];
        f->of_a[i] = i < 3;
    }
    f->data = (gm_contrast_data){.N = N, .L = 1, .E = J, .K = 1, .rate = f->rate, .of_a = f->of_a};
}

/* Documents 2p + 1 and 2p are a pair; the first is in none. */
static void fill_pairs(fixture *f)
{
    const float a[PAIRS][J] = {{.2f, .9f}, {.4f, .8f}, {.6f, .85f}, {.5f, .8f}, {.45f, .75f}};
    const float b[PAIRS][J] = {{.1f, .7f}, {.3f, .9f}, {.35f, .95f}, {.45f, .8f}, {.25f, .6f}};
    f->rate[0] = 1, f->rate[1] = 0, f->of_a[0] = 1;
    for (int p = 0; p < PAIRS; p++) {
        memcpy(f->rate + J * partners[2 * p], a[p], sizeof a[p]);
        memcpy(f->rate + J * partners[2 * p + 1], b[p], sizeof b[p]);
        f->of_a[partners[2 * p]] = 1, f->of_a[partners[2 * p + 1]] = 0;
    }
    f->data = (gm_contrast_data){.N = N_PAIRED,
                                 .L = 1,
                                 .E = J,
                                 .K = 1,
                                 .rate = f->rate,
                                 .of_a = f->of_a,
                                 .pair = partners,
                                 .n_pairs = PAIRS};
}

static gm_status contrast(fixture *f, size_t permutations, gm_error *err)
{
    return gm_contrast_make(f->expert, &f->data, permutations, 7, true, err);
}

/* scipy.stats.ttest_ind(..., equal_var=False), and of the ten permutations those whose largest
 * |t| of both experts is as large. */
static void two_groups(void)
{
    fixture f;
    const gm_contrast_expert *e = f.expert;
    gm_error err = {0};
    fill(&f);
    CHECK_OK(contrast(&f, PERMUTATIONS, &err), err);
    CHECK_NEAR(e[0].rate_a, 0.4, 1e-7);
    CHECK_NEAR(e[0].rate_b, 0.2, 1e-7);
    CHECK_NEAR(e[0].difference, 0.2, 1e-7);
    CHECK_NEAR(e[0].t, 1.3093073414159548, 1e-5);
    CHECK_NEAR(e[0].low, -0.29754675964107635, 1e-6);
    CHECK_NEAR(e[0].high, 0.6975467596410765, 1e-6);
    CHECK_NEAR(e[0].log_ratio, log((0.4 + 0.025) / (0.2 + 0.025)), 1e-6);
    CHECK_NEAR(e[0].p, 0.5, 4 * sqrt(0.5 * 0.5 / PERMUTATIONS));
    CHECK_NEAR(e[1].p, 0.8, 4 * sqrt(0.8 * 0.2 / PERMUTATIONS));
}

/* The groups exchanged: the same numbers of the other sign. */
static void exchanged(void)
{
    fixture f, other;
    gm_error err = {0};
    gm_rng rng = gm_rng_make(5, 1);
    for (int k = 0; k < 40; k++) {
        fill(&f), fill(&other);
        for (int i = 0; k > 0 && i < J * N; i++)
            f.rate[i] = other.rate[i] = (float)gm_rng_unit(&rng) / 3;
        for (int i = 0; i < N; i++) other.of_a[i] = !other.of_a[i];
        CHECK_OK(contrast(&f, 50, &err), err);
        CHECK_OK(contrast(&other, 50, &err), err);
        for (int j = 0; j < J; j++) {
            const gm_contrast_expert *e = &f.expert[j], *back = &other.expert[j];
            CHECK_NEAR(back->t, -e->t, 1e-9 * (1 + fabs(e->t)));
            CHECK_NEAR(back->low, -e->high, 1e-9);
            CHECK_NEAR(back->log_ratio, -e->log_ratio, 1e-9);
            CHECK_NEAR(back->p, e->p, 0);
        }
    }
}

static void rates_that_do_not_vary(void)
{
    fixture f;
    const gm_contrast_expert *e = f.expert;
    gm_error err = {0};
    fill(&f);
    for (int i = 0; i < N; i++) f.rate[J * i] = 0.3f, f.rate[J * i + 1] = i < 3;
    CHECK_OK(contrast(&f, 200, &err), err);
    CHECK_NEAR(e[0].t, 0, 0);
    CHECK_NEAR(e[0].p, 1, 0);
    CHECK_NEAR(e[0].high - e[0].low, 0, 0);
    CHECK(e[1].t == INFINITY);
    CHECK_NEAR(e[1].difference, 1, 1e-7);
    CHECK(e[1].p > 0.02 && e[1].p < 0.2); /* one permutation of ten parts them so */
    CHECK_OK(contrast(&f, 0, &err), err);
    CHECK(isnan(e[1].p));
}

/* Nor where so many add up that their sums are rounded. */
static void many_rates_that_do_not_vary(void)
{
    enum { MANY = 67 };
    float rate[MANY * J];
    uint8_t of_a[MANY];
    gm_contrast_expert e[J];
    gm_error err = {0};
    for (int k = 1; k < 40; k++) {
        for (int i = 0; i < MANY; i++) {
            of_a[i] = i < 30;
            rate[J * i] = (float)k / 41;
            rate[J * i + 1] = i < 30 ? 0.0f : (float)k / 43;
        }
        gm_contrast_data d = {.N = MANY, .L = 1, .E = J, .K = 1, .rate = rate, .of_a = of_a};
        CHECK_OK(gm_contrast_make(e, &d, 0, 7, true, &err), err);
        CHECK_NEAR(e[0].t, 0, 0);
        CHECK(e[1].t == -INFINITY && e[1].rate_a >= 0);
    }
}

static void groups_of_one(void)
{
    fixture f;
    gm_error err = {0};
    fill(&f);
    memcpy(f.of_a, (uint8_t[N]){0, 0, 1, 0, 0}, N);
    CHECK_FAILS(contrast(&f, 9, &err), err, GM_EARG, "the groups have 1 and 4");
    memset(f.of_a, 1, N);
    CHECK_FAILS(contrast(&f, 9, &err), err, GM_EARG, "the groups have 5 and 0");
}

/* scipy.stats.ttest_rel, and of the 32 ways to exchange the two of some pairs those whose largest
 * |t| of both experts is as large: 2 and 28. */
static void pairs(void)
{
    fixture f;
    const gm_contrast_expert *e = f.expert;
    gm_error err = {0};
    fill_pairs(&f);
    CHECK_OK(contrast(&f, PERMUTATIONS, &err), err);
    CHECK_NEAR(e[0].rate_a, 0.43, 1e-7);
    CHECK_NEAR(e[0].rate_b, 0.29, 1e-7);
    CHECK_NEAR(e[0].difference, 0.14, 1e-7);
    CHECK_NEAR(e[0].t, 3.81031738, 1e-5);
    CHECK_NEAR(e[0].low, 0.03798689, 1e-6);
    CHECK_NEAR(e[0].high, 0.24201311, 1e-6);
    CHECK_NEAR(e[0].log_ratio, log((0.43 + 0.025) / (0.29 + 0.025)), 1e-6);
    CHECK_NEAR(e[0].p, 0.0625, 4 * sqrt(0.0625 * 0.9375 / PERMUTATIONS));
    CHECK_NEAR(e[1].t, 0.48038446, 1e-5);
    CHECK_NEAR(e[1].low, -0.14338894, 1e-6);
    CHECK_NEAR(e[1].p, 0.875, 4 * sqrt(0.875 * 0.125 / PERMUTATIONS));
}

/* Every pair differs by .01, as far as floats can say: no scatter, so t is infinite, not millions.
 */
static void pairs_that_differ_alike(void)
{
    fixture f;
    const gm_contrast_expert *e = f.expert;
    gm_error err = {0};
    fill_pairs(&f);
    for (uint32_t p = 0; p < PAIRS; p++) {
        f.rate[J * partners[2 * p]] = (float)(p + 81) / 100;
        f.rate[J * partners[2 * p + 1]] = (float)(p + 80) / 100;
    }
    CHECK_OK(contrast(&f, 200, &err), err);
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
    enum { MANY = 40, FEW = 254 };
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
    CHECK_OK(gm_contrast_make(e, &d, FEW, 7, true, &err), err);
    CHECK_NEAR(e[0].p, 1.0 / (1 + FEW), 1e-15);
    CHECK(e[1].p < 0.05);
}

static void pairs_that_do_not_differ(void)
{
    fixture f;
    const gm_contrast_expert *e = f.expert;
    gm_error err = {0};
    fill_pairs(&f);
    for (int p = 0; p < PAIRS; p++) { /* expert 0 by nothing, expert 1 by one value */
        f.rate[J * partners[2 * p]] = f.rate[J * partners[2 * p + 1]];
        f.rate[J * partners[2 * p] + 1] = 0.75f;
        f.rate[J * partners[2 * p + 1] + 1] = 0.5f;
    }
    CHECK_OK(contrast(&f, 0, &err), err);
    CHECK_NEAR(e[0].t, 0, 0);
    CHECK_NEAR(e[0].high - e[0].low, 0, 0);
    CHECK(e[1].t == INFINITY);
    fill_pairs(&f);
    f.data.n_pairs = 2;
    CHECK_OK(contrast(&f, 9, &err), err);
    f.data.n_pairs = 1;
    CHECK_FAILS(contrast(&f, 9, &err), err, GM_EARG, "found 1 pair, expected at least two");
}

static gm_status attempt(void *unused, gm_error *err)
{
    fixture f;
    (void)unused;
    fill(&f);
    return contrast(&f, 9, err);
}

static void allocations_fail(void)
{
    check_every_allocation(attempt, NULL);
}

TESTS(TEST(two_groups), TEST(exchanged), TEST(rates_that_do_not_vary),
      TEST(many_rates_that_do_not_vary), TEST(groups_of_one), TEST(pairs),
      TEST(pairs_that_differ_alike), TEST(many_pairs), TEST(pairs_that_do_not_differ),
      TEST(allocations_fail))
