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

/* The place p (dim) after a step from q, the place of a point whose terms are given where densMAP
 * acts. */
static void step_by_hand(float *p, const float *own, const float *q, const float *other, float mu,
                         int dim, bool push, const gm_forces *f)
{
    float d2 = 0;
    for (int c = 0; c < dim; c++) d2 += (p[c] - q[c]) * (p[c] - q[c]);
    if (!(d2 > 1e-30f)) return;
    float power = gm_powf(d2, f->b), over = f->a * power, under = over + 1.0f;
    float pull = -2.0f * f->a * f->b * power / (d2 * under);
    float by = push ? 2.0f * f->repulsion * f->b / ((0.001f + d2) * under) : pull;
    float phi = 1.0f / (1.0f + over), also = 0;
    if (f->term && !push)
        also = f->scale * phi * mu *
               ((1.0f - f->b * (1.0f - phi)) * (own[1] + other[1]) +
                f->b * over / d2 * phi * (own[0] + other[0]));
    for (int c = 0; c < dim; c++) {
        float d = p[c] - q[c];
        p[c] += f->alpha * (f->term ? clip(by * d) + clip(also * d) : clip(by * d));
    }
}

enum { TAKEN = 20 };

/* Points near and far, some in one place; lanes with 0 to 30 steps of which at most 20 are taken.
 */
static void check_lanes(int dim, bool dense, gm_isa isa)
{
    gm_rng rng = gm_rng_make(4, 4);
    const size_t wide = (size_t)dim;
    float at[POINTS * GM_MAX_LAYOUT_DIM], term[2 * POINTS], inverse[GM_LANES * STEPS];
    gm_layout_step step[GM_LANES * STEPS];
    gm_lanes lanes = {0};
    gm_forces forces = FORCES;
    for (size_t i = 0; i < POINTS * wide; i++) {
        size_t p = i / wide;
        float scale = p % 3 == 0 ? 1e-4f : p % 3 == 1 ? 1.0f : 1e3f;
        at[i] = p % 10 == 9 ? at[i - wide] : scale * (float)gm_rng_normal(&rng);
    }
    for (size_t i = 0; i < 2 * POINTS; i++) term[i] = (float)gm_rng_normal(&rng);
    for (size_t s = 0; s < GM_LANES * STEPS; s++) {
        step[s] = (gm_layout_step)(gm_rng_below(&rng, POINTS) << 1 | gm_rng_below(&rng, 2));
        inverse[s] = (float)(1 + 5 * gm_rng_unit(&rng));
    }
    if (dense) forces.term = term, forces.scale = 0.3f;
    for (int l = 0; l < GM_LANES; l++) {
        for (size_t c = 0; c < wide; c++) lanes.at[c][l] = at[(size_t)l * wide + c];
        for (int c = 0; c < 2; c++) lanes.term[c][l] = term[2 * l + c];
        lanes.next[l] = l * STEPS, lanes.left[l] = 31 * l / GM_LANES;
    }
    gm_lanes_move(&lanes, TAKEN, step, dense ? inverse : NULL, at, dim, &forces, isa);
    for (int l = 0; l < GM_LANES; l++) {
        const int left = 31 * l / GM_LANES, taken = left < TAKEN ? left : TAKEN;
        float p[GM_MAX_LAYOUT_DIM];
        memcpy(p, at + (size_t)l * wide, wide * sizeof *p);
        for (int t = 0; t < taken; t++) {
            size_t s = (size_t)(l * STEPS + t), other = (size_t)step[s] >> 1;
            step_by_hand(p, term + 2 * l, at + other * wide, term + 2 * other, inverse[s], dim,
                         step[s] & 1, &forces);
        }
        for (size_t c = 0; c < wide; c++) CHECK_BYTES(&lanes.at[c][l], &p[c], sizeof p[c]);
        CHECK_INT(lanes.next[l], l * STEPS + taken);
        CHECK_INT(lanes.left[l], left - taken);
    }
}

static void lanes_are_points_one_by_one(void)
{
    for (gm_isa isa = GM_ISA_PORTABLE; isa <= gm_isa_best(); isa++)
        for (int dim = 2; dim <= GM_MAX_LAYOUT_DIM; dim += 4)
            for (int dense = 0; dense < 2; dense++) check_lanes(dim, dense, isa);
}

TESTS(TEST(lanes_are_points_one_by_one))
