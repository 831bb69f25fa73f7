/* test_lanes_twin.c - cluster/layout_lanes.c: every instruction set that this processor has against
 * the steps one after another in scalar floats.
 */
#include "base/rng.h"
#include "cluster/elementary.h"
#include "cluster/layout_lanes.h"
#include "tests/check.h"

enum { POINTS = 2 * GM_LANES, STEPS = 40 };

static const gm_forces FORCES = {.a = 1.577f, .b = 0.895f, .repulsion = 0.7f, .alpha = 0.5f};

static float clip(float v)
{
    return v > 4.0f ? 4.0f : v < -4.0f ? -4.0f : v;
}

static gm_place step_by_hand(gm_place p, gm_place q, bool push)
{
    float dx = p.x - q.x, dy = p.y - q.y, d2 = dx * dx + dy * dy;
    if (!(d2 > 1e-30f)) return p;
    float power = gm_powf(d2, FORCES.b), under = FORCES.a * power + 1.0f;
    float pull = -2.0f * FORCES.a * FORCES.b * power / (d2 * under);
    float by = push ? 2.0f * FORCES.repulsion * FORCES.b / ((0.001f + d2) * under) : pull;
    p.x += FORCES.alpha * clip(by * dx);
    p.y += FORCES.alpha * clip(by * dy);
    return p;
}

/* Points near and far, some in one place; lanes with 0 to 30 steps of which at most 20 are taken.
 */
static void lanes_are_points_one_by_one(void)
{
    enum { TAKEN = 20 };
    gm_rng rng = gm_rng_make(4, 4);
    gm_place at[POINTS];
    gm_step step[GM_LANES * STEPS];
    for (size_t i = 0; i < POINTS; i++) {
        float scale = i % 3 == 0 ? 1e-4f : i % 3 == 1 ? 1.0f : 1e3f;
        at[i] = (gm_place){scale * (float)gm_rng_normal(&rng), scale * (float)gm_rng_normal(&rng)};
        if (i % 10 == 9) at[i] = at[i - 1];
    }
    for (size_t s = 0; s < GM_LANES * STEPS; s++)
        step[s] = (gm_step)(gm_rng_below(&rng, POINTS) << 1 | gm_rng_below(&rng, 2));
    for (gm_isa isa = GM_ISA_PORTABLE; isa <= gm_isa_best(); isa++) {
        gm_lanes lanes = {0};
        for (int l = 0; l < GM_LANES; l++) {
            lanes.x[l] = at[l].x, lanes.y[l] = at[l].y;
            lanes.next[l] = l * STEPS, lanes.left[l] = 31 * l / GM_LANES;
        }
        gm_lanes_move(&lanes, TAKEN, step, at, &FORCES, isa);
        for (int l = 0; l < GM_LANES; l++) {
            const int left = 31 * l / GM_LANES, taken = left < TAKEN ? left : TAKEN;
            gm_place p = at[l];
            for (int t = 0; t < taken; t++) {
                gm_step s = step[l * STEPS + t];
                p = step_by_hand(p, at[s >> 1], s & 1);
            }
            CHECK_BYTES(&lanes.x[l], &p.x, sizeof p.x);
            CHECK_BYTES(&lanes.y[l], &p.y, sizeof p.y);
            CHECK_INT(lanes.next[l], l * STEPS + taken);
            CHECK_INT(lanes.left[l], left - taken);
        }
    }
}

TESTS(TEST(lanes_are_points_one_by_one))
