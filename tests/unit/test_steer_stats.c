/* test_steer_stats.c - steer/stats.c by hand-worked values and properties. */
#include "steer/stats.h"

#include "base/rng.h"
#include "tests/check.h"

static void fisher_by_hand(void)
{
    /* Fisher's tea: 3 of 4 against 1 of 4: (16 + 1) / 70. */
    CHECK_NEAR(gm_fisher_greater(3, 4, 1, 4), 17.0 / 70, 1e-12);
    CHECK_NEAR(gm_fisher_greater(4, 4, 0, 4), 1.0 / 70, 1e-12);
    CHECK_NEAR(gm_fisher_greater(0, 4, 4, 4), 1, 1e-12);
    CHECK_NEAR(gm_fisher_greater(0, 40, 0, 200), 1, 1e-12);
    CHECK_NEAR(gm_fisher_greater(0, 0, 1, 2), 1, 0);
    /* 2 of 3 against 0 of 2: C(3,2) C(2,0) / C(5,2). */
    CHECK_NEAR(gm_fisher_greater(2, 3, 0, 2), 0.3, 1e-12);
}

static void differences_are_taken_within_blocks(void)
{
    const gm_observation at[] = {{5, 0, true},  {1, 0, false},  {3, 0, false},
                                 {10, 1, true}, {11, 1, false}, {99, 2, false}};
    CHECK_NEAR(gm_block_difference(at, 6), (3.0 - 1.0) / 2, 1e-12);
    CHECK(isnan(gm_block_difference(at + 5, 1)));
    CHECK(isnan(gm_block_difference(at, 0)));
}

static void permutation_agrees_with_counting(void)
{
    /* One treated value, the largest of five: exact p is 1/5. */
    const gm_observation at[] = {
        {9, 0, true}, {1, 0, false}, {2, 0, false}, {3, 0, false}, {4, 0, false}};
    double p, again;
    gm_error err = {0};
    CHECK_OK(gm_permutation_greater(&p, at, 5, 20000, 3, &err), err);
    CHECK_NEAR(p, 0.2, 0.01);
    CHECK_OK(gm_permutation_greater(&again, at, 5, 20000, 3, &err), err);
    CHECK_NEAR(again, p, 0);
    CHECK_OK(gm_permutation_greater(&p, at, 1, 100, 3, &err), err);
    CHECK(isnan(p));
}

static void p_is_even_without_an_effect_and_small_with_one(void)
{
    gm_observation at[240];
    gm_rng rng = gm_rng_make(11, 0);
    gm_error err = {0};
    double p, sum = 0;
    for (int trial = 0; trial < 40; trial++) {
        for (uint32_t i = 0; i < 240; i++)
            at[i] = (gm_observation){gm_rng_normal(&rng), i / 12, i % 12 < 2};
        CHECK_OK(gm_permutation_greater(&p, at, 240, 200, (uint64_t)trial, &err), err);
        sum += p;
    }
    CHECK_NEAR(sum / 40, 0.5, 0.15);
    for (int i = 0; i < 240; i++) at[i].value += at[i].treated ? 1.5 : 0;
    CHECK_OK(gm_permutation_greater(&p, at, 240, 2000, 1, &err), err);
    CHECK(p < 0.001);
}

TESTS(TEST(fisher_by_hand), TEST(differences_are_taken_within_blocks),
      TEST(permutation_agrees_with_counting), TEST(p_is_even_without_an_effect_and_small_with_one))
