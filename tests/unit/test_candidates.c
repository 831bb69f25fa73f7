/* test_candidates.c - cluster/candidates.c: the smallest of what was offered, in any order. */
#include "cluster/candidates.h"

#include "base/rng.h"
#include "tests/check.h"

enum { OFFERED = 500, WIDTH = 7 };

/* The order of offers changes nothing; equal distances go to the lower numbers. */
static void the_smallest_stay(void)
{
    gm_rng rng = gm_rng_make(3, 3);
    gm_error err = {0};
    uint32_t order[OFFERED];
    for (uint32_t i = 0; i < OFFERED; i++) order[i] = i;
    for (int turn = 0; turn < 20; turn++) {
        gm_candidates c;
        CHECK_OK(gm_candidates_init(&c, 2, WIDTH, &err), err);
        gm_rng_shuffle(&rng, order, OFFERED);
        for (size_t i = 0; i < OFFERED; i++) /* 3 at distance 0, then 3 at 0.5, ... */
            gm_candidates_offer(&c, 1, 0.5f * (float)(order[i] / 3), OFFERED - 1 - order[i]);
        gm_candidates_close(&c, 1);
        CHECK_INT(c.n_listed[0], 0);
        CHECK(isinf(c.limit[0]));
        CHECK_INT(c.n_listed[1], WIDTH);
        CHECK_NEAR(c.limit[1], 1, 0);
        for (uint32_t i = 0; i < WIDTH; i++) {
            uint32_t last = OFFERED - 1 - (i / 3 * 3 + 2); /* the lowest number at that distance */
            CHECK_INT(gm_candidate_index(c.list[2 * WIDTH + i]), last + i % 3);
            CHECK_NEAR(gm_candidate_s(c.list[2 * WIDTH + i]), 0.5 * (i / 3), 0);
        }
        gm_candidates_clear(&c);
    }
}

/* Up to W offers nothing is dropped, and the limit says so. */
static void few_are_all_kept(void)
{
    gm_candidates c;
    gm_error err = {0};
    CHECK_OK(gm_candidates_init(&c, 1, WIDTH, &err), err);
    for (size_t i = 0; i < WIDTH; i++) gm_candidates_offer(&c, 0, (float)(WIDTH - i), i);
    gm_candidates_close(&c, 0);
    CHECK_INT(c.n_listed[0], WIDTH);
    CHECK(isinf(c.limit[0]));
    for (size_t i = 0; i < WIDTH; i++) CHECK_INT(gm_candidate_index(c.list[i]), WIDTH - 1 - i);
    gm_candidates_clear(&c);
}

static gm_status make_lists(void *state, gm_error *err)
{
    (void)state;
    gm_candidates c;
    gm_status status = gm_candidates_init(&c, 3, WIDTH, err);
    if (status == GM_OK) gm_candidates_clear(&c);
    return status;
}

static void survives_every_allocation_failure(void)
{
    check_every_allocation(make_lists, NULL);
}

TESTS(TEST(the_smallest_stay), TEST(few_are_all_kept), TEST(survives_every_allocation_failure))
