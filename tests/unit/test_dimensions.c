/* test_dimensions.c - cluster/dimensions.c: clusters that the map has too, and some that it lays
 * over one another; copies and documents without a point. */
#include "cluster/dimensions.h"

#include "base/rng.h"
#include "tests/check.h"

enum { SIDE = 30, GROUPS = 4, M = SIDE * GROUPS, COPY = M, NONE = M + 1, N = M + 2 };

/* Point p of group p % GROUPS; the last two documents: a copy of point 0, and one without a point.
 * Every point has an edge to the next; point `alone` to nobody. */
typedef struct scene {
    float xy[2 * N];
    uint64_t indptr[N + 1];
    uint32_t index[N], first[M], count[M], point[N];
    float weight[N];
    int32_t label[N];
    gm_graph graph;
    gm_distinct distinct;
} scene;

static scene *make(size_t n_places, size_t alone)
{
    static scene s;
    gm_rng rng = gm_rng_make(8, 8);
    s = (scene){.graph = {.n = N, .indptr = s.indptr, .index = s.index, .weight = s.weight},
                .distinct = {N, M, s.first, s.count, s.point}};
    for (uint32_t i = 0; i < M; i++) {
        s.first[i] = s.point[i] = i, s.count[i] = 1;
        s.label[i] = (int32_t)(i % GROUPS);
        for (size_t c = 0; c < 2; c++)
            s.xy[2 * i + c] =
                (float)gm_rng_normal(&rng) * 0.1f + (c ? 0 : (float)(i % n_places * 9));
    }
    s.count[0] = 2, s.point[COPY] = 0, s.point[NONE] = GM_NO_POINT;
    s.label[COPY] = 0, s.label[NONE] = -1;
    for (size_t i = 0; i < N; i++) {
        s.indptr[i + 1] = s.indptr[i] + (i != alone && i != NONE);
        if (i == alone || i == NONE) continue;
        s.index[s.indptr[i]] = i == COPY ? 0 : (uint32_t)((i + 1) % M);
        s.weight[s.indptr[i]] = 1;
    }
    return &s;
}

static const gm_hdbscan_options HOW = {.min_cluster_size = 10, .min_samples = 5};

static gm_dimensions compare(scene *s)
{
    gm_dimensions d = {0};
    gm_error err = {0};
    CHECK_OK(gm_dimensions_compare(&d, s->xy, &s->graph, &s->distinct, s->label, &HOW, &err), err);
    return d;
}

static void the_same_clusters_agree(void)
{
    gm_dimensions d = compare(make(GROUPS, N));
    CHECK_INT(d.n_clusters, GROUPS);
    CHECK_INT(d.n_noise, 1); /* the document without a point */
    CHECK_NEAR(d.ari, 1, 1e-12);
    CHECK_NEAR(d.ami, 1, 1e-9);
    CHECK_NEAR(d.noise_alike, 1, 0);
}

static void what_the_map_lays_over_one_another_does_not(void)
{
    gm_dimensions d = compare(make(2, N));
    CHECK_INT(d.n_clusters, 2);
    CHECK(d.ari > 0.2 && d.ari < 0.6);
    CHECK(d.ami > 0.4 && d.ami < 0.9);
}

/* Point 0 has but its copy for a neighbour: it and the copy are noise of the map. */
static void points_on_the_ring_are_noise(void)
{
    scene *s = make(GROUPS, N);
    s->index[s->indptr[0]] = COPY;
    gm_dimensions d = compare(s);
    CHECK_INT(d.n_noise, 3);
    CHECK_NEAR(d.noise_alike, (N - 2.0) / N, 1e-12);
}

static gm_status compare_once(void *state, gm_error *err)
{
    scene *s = state;
    gm_dimensions d;
    return gm_dimensions_compare(&d, s->xy, &s->graph, &s->distinct, s->label, &HOW, err);
}

static void survives_every_allocation_failure(void)
{
    check_every_allocation(compare_once, make(GROUPS, N));
}

TESTS(TEST(the_same_clusters_agree), TEST(what_the_map_lays_over_one_another_does_not),
      TEST(points_on_the_ring_are_noise), TEST(survives_every_allocation_failure))
