/* test_steer_sweep.c - steer/sweep.c: arms pooled by hand. The measurement itself is run
 * by tests/cli/steer_sweep.cmd.
 */
#include "steer/sweep.h"

#include "tests/check.h"

enum { PROMPTS = 2, RUNS = 4 };

static void fill(gm_arm *arm, gm_arm_kind kind, gm_verdict verdict[RUNS], double base)
{
    *arm = (gm_arm){.kind = kind, .verdict = verdict, .n_runs = RUNS};
    for (int i = 0; i < RUNS; i++) {
        verdict[i] = (gm_verdict){.log_odds = base + i % PROMPTS, .hit = base > 1};
        arm->hits += verdict[i].hit;
    }
}

/* Unsteered and shuffled arms take no part; a prompt of a cluster is a block. */
static void plan_stands_against_random(void)
{
    gm_verdict v[2][4][RUNS];
    gm_arm arm[2][4];
    gm_sweep_cluster c[2] = {{.arm = arm[0], .n_arms = 4}, {.arm = arm[1], .n_arms = 4}};
    gm_pooled p, again;
    gm_error err = {0};
    for (int i = 0; i < 2; i++) {
        fill(&arm[i][0], GM_ARM_NONE, v[i][0], 50);
        fill(&arm[i][1], GM_ARM_PLAN, v[i][1], i ? 2 : 6);
        fill(&arm[i][2], GM_ARM_RANDOM, v[i][2], i ? 0 : 1);
        fill(&arm[i][3], GM_ARM_SHUFFLED, v[i][3], 90);
    }
    CHECK_OK(gm_sweep_pool(&p, c, 2, PROMPTS, 2000, &err), err);
    CHECK_NEAR(p.shift, (5.0 + 2.0) / 2, 1e-12);
    /* Every plan value is above every random one of its block, 2 against 2 in 4 blocks. */
    CHECK_NEAR(p.p_log_odds, 1.0 / (6 * 6 * 6 * 6), 2e-3);
    CHECK_NEAR(p.p_rate, gm_fisher_greater(8, 8, 0, 8), 1e-15);
    CHECK_OK(gm_sweep_pool(&again, c, 2, PROMPTS, 2000, &err), err);
    CHECK_NEAR(again.p_log_odds, p.p_log_odds, 0);
    CHECK_OK(gm_sweep_pool(&p, c + 1, 1, PROMPTS, 2000, &err), err);
    CHECK_NEAR(p.shift, 2, 1e-12);
    CHECK_NEAR(p.p_log_odds, 1.0 / 36, 0.015);
}

static void nothing_to_compare_is_not_a_result(void)
{
    gm_verdict v[RUNS];
    gm_arm arm;
    const gm_sweep_cluster c = {.arm = &arm, .n_arms = 1};
    gm_pooled p;
    gm_error err = {0};
    fill(&arm, GM_ARM_PLAN, v, 3);
    CHECK_OK(gm_sweep_pool(&p, &c, 1, PROMPTS, 100, &err), err);
    CHECK(isnan(p.shift) && isnan(p.p_log_odds));
    CHECK_NEAR(p.p_rate, 1, 0);
}

TESTS(TEST(plan_stands_against_random), TEST(nothing_to_compare_is_not_a_result))
