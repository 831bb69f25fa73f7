/* test_best.c - probe/best.c: order, ties, what is left out. */
#include "probe/best.h"

#include "tests/check.h"

static void the_largest_in_order(void)
{
    static const double value[] = {2, 5, NAN, 5, -1, 7, 2, -INFINITY};
    static const size_t wanted[] = {5, 1, 3, 0, 6, 4, 7}; /* of equal values the earlier */
    gm_error err = {0};
    for (size_t most = 0; most <= 9; most++) {
        gm_best best;
        CHECK_OK(gm_best_init(&best, most, &err), err);
        for (size_t i = 0; i < 8; i++) gm_best_offer(&best, i, value[i]);
        CHECK_INT(best.n, most < 7 ? most : 7);
        for (size_t i = 0; i < best.n; i++) {
            CHECK_INT(best.at[i], wanted[i]);
            CHECK(best.value[i] == value[wanted[i]]);
        }
        gm_best_clear(&best);
    }
}

static gm_status attempt(void *unused, gm_error *err)
{
    gm_best best;
    (void)unused;
    gm_status status = gm_best_init(&best, 3, err);
    CHECK(status == GM_OK || best.at == NULL);
    gm_best_clear(&best);
    return status;
}

static void allocations_fail(void)
{
    check_every_allocation(attempt, NULL);
}

TESTS(TEST(the_largest_in_order), TEST(allocations_fail))
