/* test_examples.c - cluster/examples.c: nearest and farthest members, copies once. */
#include "cluster/examples.h"

#include "tests/check.h"

enum { N = 7, D = 2 };

/* Cluster 0: places 0..4 on a line, 3 a copy of 2; cluster 1: place 6; 5 is noise. */
static void nearest_and_farthest(void)
{
    float rate[N * D] = {0, 1, 2, 1, 3, 1, 3, 1, 9, 1, 50, 1, 7, 7};
    uint32_t first[] = {0, 1, 2, 4, 5, 6}, count[] = {1, 1, 2, 1, 1, 1};
    uint32_t point[] = {0, 1, 2, 2, 3, 4, 5};
    const float *row[N] = {rate, rate + 2, rate + 4, rate + 4, rate + 8, rate + 10, rate + 12};
    const gm_usage usage = {.n = N, .dim = D, .row = row};
    const gm_distinct distinct = {.n = N, .m = 6, .first = first, .count = count, .point = point};
    const int32_t label[] = {0, 0, 0, 0, 0, -1, 1};
    const float mean[] = {3.4f, 1, 7, 7};
    uint32_t near[2 * GM_N_EXAMPLES], far[2 * GM_N_EXAMPLES];
    const gm_examples_input in = {&usage, &distinct, GM_EUCLIDEAN, label, mean, 2};
    gm_error err = {0};
    CHECK_OK(gm_examples_find(near, far, &in, &err), err);
    const uint32_t want_near[] = {2, 1, 0, 4, UINT32_MAX}, want_far[] = {4, 0, 1, 2, UINT32_MAX};
    for (size_t i = 0; i < 5; i++) {
        CHECK_INT(near[i], want_near[i]);
        CHECK_INT(far[i], want_far[i]);
    }
    CHECK_INT(near[GM_N_EXAMPLES], 6);
    CHECK_INT(far[GM_N_EXAMPLES], 6);
    CHECK_INT(near[GM_N_EXAMPLES + 1], UINT32_MAX);
}

static void ties_and_more_than_ten(void)
{
    enum { MANY = 14 };
    float rate[MANY * D], mean[] = {1, 1};
    const float *row[MANY];
    uint32_t first[MANY], near[GM_N_EXAMPLES], far[GM_N_EXAMPLES];
    int32_t label[MANY] = {0};
    for (uint32_t i = 0; i < MANY; i++) {
        first[i] = i;
        row[i] = rate + 2 * i;
        rate[2 * i] = 1, rate[2 * i + 1] = i == 13 ? 1 : i % 2 ? 0 : 2; /* all but one at 1 */
    }
    const gm_usage usage = {.n = MANY, .dim = D, .row = row};
    const gm_distinct distinct = {.n = MANY, .m = MANY, .first = first};
    const gm_examples_input in = {&usage, &distinct, GM_EUCLIDEAN, label, mean, 1};
    gm_error err = {0};
    CHECK_OK(gm_examples_find(near, far, &in, &err), err);
    CHECK_INT(near[0], 13);
    for (uint32_t i = 1; i < GM_N_EXAMPLES; i++) CHECK_INT(near[i], i - 1);
    for (uint32_t i = 0; i < GM_N_EXAMPLES; i++) CHECK_INT(far[i], i);
}

static gm_status find_some(void *state, gm_error *err)
{
    float rate[] = {1, 2, 3, 4};
    const float *row[] = {rate, rate + 2};
    uint32_t first[] = {0, 1}, near[GM_N_EXAMPLES], far[GM_N_EXAMPLES];
    const gm_usage usage = {.n = 2, .dim = D, .row = row};
    const gm_distinct distinct = {.n = 2, .m = 2, .first = first};
    const int32_t label[] = {0, 0};
    const float mean[] = {2, 3};
    const gm_examples_input in = {&usage, &distinct, GM_HELLINGER, label, mean, 1};
    (void)state;
    return gm_examples_find(near, far, &in, err);
}

static void survives_every_allocation_failure(void)
{
    check_every_allocation(find_some, NULL);
}

TESTS(TEST(nearest_and_farthest), TEST(ties_and_more_than_ten),
      TEST(survives_every_allocation_failure))
