/* test_layout_batch.c - cluster/layout_batch.c: moves worked by hand, threads, clusters.
 * label: threads */

#include "base/rng.h"
#include "base/threads.h"
#include "cluster/umap.h"
#include "tests/check.h"

/* Two points and the edge between them. */
static uint64_t pair_indptr[] = {0, 1, 2};
static uint32_t pair_index[] = {1, 0};
static float pair_weight[] = {1, 1};
static const gm_graph PAIR = {
    .n = 2, .indptr = pair_indptr, .index = pair_index, .weight = pair_weight};

static double clip(double v)
{
    return fmax(-4, fmin(4, v));
}

static void pull(double *p, const double *q, const gm_layout_job *job, double alpha)
{
    double d2 = pow(p[0] - q[0], 2) + pow(p[1] - q[1], 2);
    double by = -2 * job->a * job->b * pow(d2, job->b - 1) / (1 + job->a * pow(d2, job->b));
    const double d[] = {p[0] - q[0], p[1] - q[1]};
    for (int c = 0; c < 2; c++) p[c] += alpha * clip(by * d[c]);
}

static void push(double *p, const double *q, const gm_layout_job *job, double alpha)
{
    double d2 = pow(p[0] - q[0], 2) + pow(p[1] - q[1], 2);
    double by = 2 * job->repulsion * job->b / ((0.001 + d2) * (1 + job->a * pow(d2, job->b)));
    const double d[] = {p[0] - q[0], p[1] - q[1]};
    for (int c = 0; c < 2; c++) p[c] += alpha * clip(by * d[c]);
}

/* The pair after one epoch, of which the seed decides who moves first: each is pulled, and where
 * `pushed` pushed, by the other; the second sees where the first went. */
static bool is_moved_by_hand(const float *xy, const double (*from)[2], const gm_layout_job *job,
                             bool pushed, int first)
{
    double p[2][2];
    memcpy(p, from, sizeof p);
    for (int turn = 0; turn < 2; turn++) {
        double *own = p[turn ^ first];
        const double *other = p[turn ^ first ^ 1];
        for (int twice = 0; twice < 2; twice++) pull(own, other, job, job->learning_rate);
        if (pushed) push(own, other, job, job->learning_rate);
    }
    double worst = 0;
    for (int c = 0; c < 4; c++) worst = fmax(worst, fabs((double)xy[c] - p[c / 2][c % 2]));
    return worst < 1e-6;
}

/* Epochs 1 .. n-1; epoch e has the rate 1 - (e-1)/n, the first the whole. Each point is pulled
 * twice; points move one after another, being of different groups. */
static void pulls_by_hand(void)
{
    static const double curves[][2] = {{1.577, 0.895}, {100, 1}}; /* the second is clipped */
    static const double from[2][2] = {{0, 0.125}, {0.0625, 0}};
    for (int c = 0; c < 2; c++) {
        int n_by_first[2] = {0};
        for (uint64_t seed = 0; seed < 20; seed++) {
            float xy[] = {0, 0.125f, 0.0625f, 0};
            const gm_layout_job job = {.dim = 2,
                                       .graph = &PAIR,
                                       .a = curves[c][0],
                                       .b = curves[c][1],
                                       .learning_rate = 0.01,
                                       .repulsion = 1,
                                       .negative_rate = 1,
                                       .n_epochs = 2,
                                       .seed = seed};
            gm_error err = {0};
            CHECK_OK(gm_layout_batch(xy, &job, &err), err);
            const int first = is_moved_by_hand(xy, from, &job, false, 1);
            CHECK(is_moved_by_hand(xy, from, &job, false, first));
            n_by_first[first]++;
        }
        CHECK(n_by_first[0] > 2 && n_by_first[1] > 2);
    }
}

/* With two draws a visit the first epoch owes one: of the other. */
static void pushes_by_hand(void)
{
    static const double from[2][2] = {{0, 0}, {0.03, 0.04}};
    for (uint64_t seed = 0; seed < 20; seed++) {
        float xy[] = {0, 0, 0.03f, 0.04f};
        const gm_layout_job job = {.dim = 2,
                                   .graph = &PAIR,
                                   .a = 1.577,
                                   .b = 0.895,
                                   .learning_rate = 0.01,
                                   .repulsion = 0.01,
                                   .negative_rate = 2,
                                   .n_epochs = 2,
                                   .seed = seed};
        gm_error err = {0};
        CHECK_OK(gm_layout_batch(xy, &job, &err), err);
        const int first = is_moved_by_hand(xy, from, &job, true, 1);
        CHECK(is_moved_by_hand(xy, from, &job, true, first));
        CHECK(!is_moved_by_hand(xy, from, &job, false, first));
    }
}

/* An edge of a quarter of the weight is due every fourth epoch. */
static void light_edges_are_seldom_due(void)
{
    uint64_t indptr[] = {0, 1, 2, 3, 4};
    uint32_t index[] = {1, 0, 3, 2};
    float weight[] = {1, 1, 0.25f, 0.25f}, xy[] = {0, 0, 1, 0, 50, 0, 51, 0};
    const gm_graph graph = {.n = 4, .indptr = indptr, .index = index, .weight = weight};
    gm_layout_job job = {.dim = 2,
                         .graph = &graph,
                         .a = 1.577,
                         .b = 0.895,
                         .learning_rate = 0.01,
                         .negative_rate = 1,
                         .n_epochs = 4,
                         .seed = 1};
    gm_error err = {0};
    CHECK_OK(gm_layout_batch(xy, &job, &err), err); /* epochs 1, 2, 3 */
    CHECK_NEAR(xy[4], 50, 0);
    CHECK(xy[0] > 0.01f);
    job.n_epochs = 5;
    CHECK_OK(gm_layout_batch(xy, &job, &err), err);
    CHECK(xy[4] > 50 && xy[4] < 50.1f);
}

static void coinciding_points_stay_finite(void)
{
    float xy[] = {1, 1, 1, 1};
    const gm_layout_job job = {.dim = 2,
                               .graph = &PAIR,
                               .a = 1.577,
                               .b = 0.895,
                               .learning_rate = 1,
                               .repulsion = 1,
                               .negative_rate = 5,
                               .n_epochs = 50};
    gm_error err = {0};
    CHECK_OK(gm_layout_batch(xy, &job, &err), err);
    for (int i = 0; i < 4; i++) CHECK_NEAR(xy[i], 1, 0);
}

enum { N = 2500, CLIQUE = 10 }; /* more than one thread is worth */

/* Circles of 10 points, each joined to its neighbours in the circle. */
static gm_graph make_rings(void)
{
    gm_graph g = {.n = N,
                  .indptr = gm_alloc(N + 1, sizeof *g.indptr),
                  .index = gm_alloc(N * 2, sizeof *g.index),
                  .weight = gm_alloc(N * 2, sizeof *g.weight)};
    for (uint32_t i = 0; i < N; i++) {
        uint32_t base = i / CLIQUE * CLIQUE, at = i % CLIQUE;
        uint32_t before = base + (at + CLIQUE - 1) % CLIQUE, after = base + (at + 1) % CLIQUE;
        g.index[2 * i] = before < after ? before : after;
        g.index[2 * i + 1] = before < after ? after : before;
        for (uint32_t e = 2 * i; e < 2 * i + 2; e++)
            g.weight[e] = (i + g.index[e]) % 3 ? 1.0f : 0.7f; /* the same from both ends */
        g.indptr[i + 1] = 2 * i + 2;
    }
    return g;
}

static void threads_change_nothing_and_neighbours_end_near(void)
{
    static float xy[2][2 * N];
    gm_graph g = make_rings();
    const gm_layout_job job = {.dim = 2,
                               .graph = &g,
                               .a = 1.577,
                               .b = 0.895,
                               .learning_rate = 1,
                               .repulsion = 1,
                               .negative_rate = 5,
                               .n_epochs = 200,
                               .seed = 9};
    for (int t = 0; t < 2; t++) {
        gm_rng rng = gm_rng_make(4, 4);
        gm_error err = {0};
        for (size_t i = 0; i < 2 * N; i++) xy[t][i] = 10 * (float)gm_rng_unit(&rng);
        gm_set_threads(t + 1);
        CHECK_OK(gm_layout_batch(xy[t], &job, &err), err);
    }
    CHECK_BYTES(xy[1], xy[0], sizeof xy[0]);
    double near = 0, far = 0;
    for (size_t i = 0; i < N; i++) {
        const float *p = xy[0] + 2 * i, *q = xy[0] + 2 * g.index[2 * i];
        const float *r = xy[0] + 2 * ((i + N / 2) % N);
        CHECK(isfinite(p[0]) && isfinite(p[1]));
        near += hypot((double)(p[0] - q[0]), (double)(p[1] - q[1])) / N;
        far += hypot((double)(p[0] - r[0]), (double)(p[1] - r[1])) / N;
    }
    CHECK(near * 4 < far);
    gm_graph_clear(&g);
}

static gm_status lay_out(void *state, gm_error *err)
{
    float xy[] = {0, 0, 3, 4};
    (void)state;
    const gm_layout_job job = {.dim = 2,
                               .graph = &PAIR,
                               .a = 1,
                               .b = 1,
                               .learning_rate = 1,
                               .negative_rate = 1,
                               .n_epochs = 3};
    gm_status status = gm_layout_batch(xy, &job, err);
    return status == GM_OK ? gm_layout_reference(xy, &job, err) : status;
}

static void survives_every_allocation_failure(void)
{
    check_every_allocation(lay_out, NULL);
}

TESTS(TEST(pulls_by_hand), TEST(pushes_by_hand), TEST(light_edges_are_seldom_due),
      TEST(coinciding_points_stay_finite), TEST(threads_change_nothing_and_neighbours_end_near),
      TEST(survives_every_allocation_failure))
