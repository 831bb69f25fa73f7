/* test_nearby.c - cluster/nearby.c: every point once, clouds apart from each other.
 * label: threads */
#include "cluster/nearby.h"

#include "base/rng.h"
#include "tests/check.h"

enum { CLOUDS = 3, N = 600, D = 5 };

static gm_points clouds(float *rows)
{
    gm_rng rng = gm_rng_make(2, 2);
    gm_points points;
    gm_error err = {0};
    for (size_t i = 0; i < N * D; i++)
        rows[i] = (float)gm_rng_normal(&rng) + 100 * (float)(i / D % CLOUDS);
    CHECK_OK(gm_points_init(&points, rows, N, D, GM_EUCLIDEAN, &err), err);
    return points;
}

/* Points of three clouds come in turn; in the order they change as often as centres do at most. */
static void clouds_stand_apart(void)
{
    static float rows[N * D];
    gm_points points = clouds(rows);
    uint32_t order[N];
    bool seen[N] = {false};
    size_t changes = 0;
    gm_error err = {0};
    CHECK_OK(gm_nearby_order(order, &points, &err), err);
    for (size_t p = 0; p < N; p++) {
        CHECK(order[p] < N && !seen[order[p]]);
        seen[order[p]] = true;
        changes += p > 0 && order[p] % CLOUDS != order[p - 1] % CLOUDS;
    }
    CHECK(changes < 64);
    gm_points_clear(&points);
}

static void one_point(void)
{
    const float row[] = {1, 2};
    gm_points points;
    gm_error err = {0};
    uint32_t order = 7;
    CHECK_OK(gm_points_init(&points, row, 1, 2, GM_EUCLIDEAN, &err), err);
    CHECK_OK(gm_nearby_order(&order, &points, &err), err);
    CHECK_INT(order, 0);
    gm_points_clear(&points);
}

static gm_status make_order(void *state, gm_error *err)
{
    uint32_t order[N];
    return gm_nearby_order(order, state, err);
}

static void survives_every_allocation_failure(void)
{
    static float rows[N * D];
    gm_points points = clouds(rows);
    check_every_allocation(make_order, &points);
    gm_points_clear(&points);
}

TESTS(TEST(clouds_stand_apart), TEST(one_point), TEST(survives_every_allocation_failure))
