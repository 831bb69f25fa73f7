/* test_shortlist.c - cluster/shortlist.c: what may be among the nearest stays, whatever the order.
 */
#include "cluster/shortlist.h"

#include "base/rng.h"
#include "tests/check.h"

enum { N = 700, DIM = 64, WANT = 5 };

/* Points whose errors are 2 (reach lost + lost reach) = 0.8 with each other. */
static gm_bytes made_up(float *reach, float *lost)
{
    for (size_t i = 0; i < N; i++) reach[i] = 1, lost[i] = 0.2f;
    return (gm_bytes){.n = N, .dim = DIM, .reach = reach, .lost = lost};
}

/* Query 3 is offered 0, 0.01, 0.02, ...: the fifth is 0.04; 0.3 is what luck may do to errors. */
static void the_near_stay(void)
{
    static float reach[N], lost[N];
    const gm_bytes bytes = made_up(reach, lost);
    gm_rng rng = gm_rng_make(3, 3);
    uint32_t order[N];
    for (uint32_t i = 0; i < N; i++) order[i] = i;
    for (int turn = 0; turn < 10; turn++) {
        gm_shortlist l;
        gm_error err = {0};
        CHECK_OK(gm_shortlist_init(&l, &bytes, WANT, &err), err);
        gm_rng_shuffle(&rng, order, N);
        size_t begun = turn % 2 == 0 ? 0 : 100;
        gm_candidate first[100];
        for (size_t i = 0; i < begun; i++)
            first[i] = gm_candidate_make(0.01f * (float)order[i], order[i]);
        if (begun > 0) gm_shortlist_begin(&l, 3, first, begun);
        for (size_t i = begun; i < N; i++)
            gm_shortlist_offer(&l, 3, 0.01f * (float)order[i], order[i]);
        gm_shortlist_trim(&l, 3);
        CHECK_NEAR(l.limit[3], 0.04 + 0.3, 1e-5);
        CHECK_INT(l.n_listed[3], 115); /* up to 0.34 and 0.8 */
        for (size_t i = 0; i < l.n_listed[3]; i++)
            CHECK(gm_candidate_index(l.list[3 * l.room + i]) < 115);
        CHECK_INT(l.n_listed[2], 0);
        gm_shortlist_clear(&l);
    }
}

/* A nearer one with a larger error would raise the limit, and what was dropped before would not be
 * farther than it. */
static void limits_only_fall(void)
{
    static float reach[N], lost[N];
    const gm_bytes bytes = made_up(reach, lost);
    gm_shortlist l;
    gm_error err = {0};
    for (size_t i = 0; i < WANT; i++) lost[i] = 0.01f;
    CHECK_OK(gm_shortlist_init(&l, &bytes, WANT, &err), err);
    for (size_t i = 0; i < WANT; i++) gm_shortlist_offer(&l, 3, 1.0f, i);
    gm_shortlist_trim(&l, 3);
    const float before = l.limit[3];
    for (size_t i = 0; i < WANT; i++) gm_shortlist_offer(&l, 3, 0.99f, 100 + i);
    gm_shortlist_trim(&l, 3);
    CHECK(l.limit[3] <= before);
    gm_shortlist_clear(&l);
}

/* Where more may be the nearest than there is room for, none is kept any longer. */
static void too_many_are_given_up(void)
{
    static float reach[N], lost[N];
    const gm_bytes bytes = made_up(reach, lost);
    static gm_candidate all[N];
    gm_shortlist l;
    gm_error err = {0};
    CHECK_OK(gm_shortlist_init(&l, &bytes, WANT, &err), err);
    for (size_t i = 0; i < N; i++) {
        gm_shortlist_offer(&l, 1, 1, i);
        all[i] = gm_candidate_make(1, i);
    }
    gm_shortlist_begin(&l, 2, all, N);
    for (size_t q = 1; q < 3; q++) {
        CHECK(l.limit[q] < 0);
        CHECK_INT(l.n_listed[q], 0);
    }
    gm_shortlist_clear(&l);
}

static gm_status make_list(void *state, gm_error *err)
{
    gm_shortlist l;
    gm_status status = gm_shortlist_init(&l, state, WANT, err);
    if (status == GM_OK) gm_shortlist_clear(&l);
    return status;
}

static void survives_every_allocation_failure(void)
{
    static float reach[N], lost[N];
    gm_bytes bytes = made_up(reach, lost);
    check_every_allocation(make_list, &bytes);
}

TESTS(TEST(the_near_stay), TEST(limits_only_fall), TEST(too_many_are_given_up),
      TEST(survives_every_allocation_failure))
