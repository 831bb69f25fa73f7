/* test_layout_steps.c - cluster/layout_steps.c: against umap-learn's schedule with its counters, on
 * every instruction set.
 */
#include "base/rng.h"
#include "cluster/layout_steps.h"
#include "tests/check.h"

#include <stdlib.h>

enum { EDGES = 37, EPOCHS = 60, DRAWS = 7, POINTS = 100, SELF = 41, MAX = EDGES * 20 + 64 };

typedef struct made {
    float rate[EDGES];
    uint32_t to[EDGES];
    gm_edge_list edges;
    gm_step_room room;
} made;

/* Rates whose inverses are whole numbers, so that floats and counters agree; the heaviest first. */
static void make(made *m)
{
    for (uint32_t e = 0; e < EDGES; e++) {
        m->rate[e] = e < 3 ? 1.0f : 1.0f / (float)(1u << e % 5);
        m->to[e] = (e * 13) % POINTS;
    }
    m->edges = (gm_edge_list){EDGES, m->to, m->rate};
    m->room = (gm_step_room){gm_alloc(EDGES, sizeof *m->room.draws),
                             gm_alloc(EDGES + GM_EDGES, sizeof *m->room.due),
                             gm_alloc(MAX, sizeof(gm_layout_step))};
}

static void clear(made *m)
{
    gm_free(m->room.draws);
    gm_free(m->room.due);
    gm_free(m->room.random);
}

/* optimize_layout_single_epoch: next visits and next draws of every edge are carried along. */
static void schedule_is_umap_learns(void)
{
    made m;
    gm_layout_step *step = gm_alloc(MAX, sizeof *step);
    double next[EDGES], next_draw[EDGES];
    make(&m);
    CHECK(gm_steps_max(EDGES, DRAWS) <= MAX);
    for (int e = 0; e < EDGES; e++) {
        next[e] = 1 / (double)m.rate[e];
        next_draw[e] = next[e] / DRAWS;
    }
    for (int epoch = 1; epoch < EPOCHS; epoch++) {
        const gm_step_plan plan = {epoch, DRAWS, POINTS, gm_isa_best()};
        size_t n = gm_steps_list(step, &m.room, &plan, &m.edges, SELF, 1), at = 0;
        for (int e = 0; e < EDGES; e++) {
            const double every = 1 / (double)m.rate[e], of_draw = every / DRAWS;
            if (!(next[e] <= epoch)) continue;
            const int draws = (int)(((double)epoch - next_draw[e]) / of_draw + 1e-9);
            next[e] += every;
            next_draw[e] += draws * of_draw;
            CHECK_INT(step[at], (int)m.to[e] << 1);
            CHECK_INT(step[at + 1], (int)m.to[e] << 1);
            at += 2;
            for (int d = 0; d < draws; d++, at++) {
                CHECK_INT(step[at] & 1, 1);
                CHECK(step[at] >> 1 < POINTS && step[at] >> 1 != SELF);
            }
        }
        CHECK_INT(n, at);
    }
    gm_free(step);
    clear(&m);
}

/* Every other point is drawn, about as often as any; other states draw others. */
static void draws_are_even(void)
{
    made m;
    gm_layout_step *step = gm_alloc(MAX, sizeof *step);
    int count[POINTS] = {0}, all = 0;
    make(&m);
    for (uint64_t state = 0; state < 400; state++) {
        const gm_step_plan plan = {16, DRAWS, POINTS, GM_ISA_PORTABLE};
        size_t n = gm_steps_list(step, &m.room, &plan, &m.edges, SELF, state * 0x123456789);
        for (size_t s = 0; s < n; s++)
            if (step[s] & 1) count[step[s] >> 1]++, all++;
    }
    const double mean = (double)all / (POINTS - 1);
    CHECK_INT(count[SELF], 0);
    for (int k = 0; k < POINTS; k++) CHECK(k == SELF || fabs(count[k] - mean) < 6 * sqrt(mean));
    gm_free(step);
    clear(&m);
}

static void instructions_change_nothing(void)
{
    made m;
    gm_rng rng = gm_rng_make(3, 3);
    gm_layout_step *step[2] = {gm_alloc(MAX, sizeof **step), gm_alloc(MAX, sizeof **step)};
    make(&m);
    for (int e = 0; e < EDGES; e++) m.rate[e] = 1 - (float)gm_rng_unit(&rng) * 0.99f;
    for (gm_isa isa = GM_ISA_AVX2; isa <= gm_isa_best(); isa++)
        for (int epoch = 1; epoch < EPOCHS; epoch++) {
            gm_step_plan plan = {epoch, DRAWS, POINTS, GM_ISA_PORTABLE};
            size_t n = gm_steps_list(step[0], &m.room, &plan, &m.edges, SELF, (uint64_t)epoch);
            plan.isa = isa;
            CHECK_INT(gm_steps_list(step[1], &m.room, &plan, &m.edges, SELF, (uint64_t)epoch), n);
            CHECK_BYTES(step[1], step[0], n * sizeof **step);
        }
    gm_free(step[0]);
    gm_free(step[1]);
    clear(&m);
}

TESTS(TEST(schedule_is_umap_learns), TEST(draws_are_even), TEST(instructions_change_nothing))
