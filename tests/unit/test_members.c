/* test_members.c - cluster/members.c: lists from labels, by hand. */
#include "cluster/members.h"

#include "tests/check.h"

static void members_stand_group_by_group(void)
{
    const int32_t label[] = {2, 0, -1, 2, 0, 3, 2};
    const uint32_t want[] = {1, 4, 0, 3, 6};
    const size_t first[] = {0, 2, 2, 5};
    gm_members m;
    gm_error err = {0};
    CHECK_OK(gm_members_find(&m, label, 7, 3, &err), err);
    CHECK_BYTES(m.first, first, sizeof first);
    CHECK_BYTES(m.at, want, sizeof want);
    gm_members_clear(&m);
    CHECK_OK(gm_members_find(&m, label, 7, 0, &err), err);
    CHECK_INT(m.first[0], 0);
    gm_members_clear(&m);
}

static gm_status find(void *state, gm_error *err)
{
    gm_members m;
    gm_status status = gm_members_find(&m, state, 2, 2, err);
    gm_members_clear(&m);
    return status;
}

static void survives_every_allocation_failure(void)
{
    int32_t label[] = {1, 0};
    check_every_allocation(find, label);
}

TESTS(TEST(members_stand_group_by_group), TEST(survives_every_allocation_failure))
