/* test_spectral.c - cluster/spectral.c: where points start, for one part, few and many. */
#include "base/rng.h"
#include "cluster/umap.h"
#include "tests/check.h"

enum { MAX_N = 400 };

typedef struct rings {
    size_t n;
    gm_graph graph;
    gm_points points;
    uint32_t point_of[MAX_N];
    double at[2 * MAX_N];
    float xy[2 * MAX_N];
    gm_umap_report report;
} rings;

/* `parts` rings of `size` points each (2 and up), one part's features near another's. */
static void make(rings *r, size_t parts, size_t size)
{
    *r = (rings){.n = parts * size};
    float rows[MAX_N * 2];
    gm_error err = {0};
    r->graph = (gm_graph){.n = r->n,
                          .indptr = gm_alloc(r->n + 1, sizeof(uint64_t)),
                          .index = gm_alloc(2 * r->n, sizeof(uint32_t)),
                          .weight = gm_alloc(2 * r->n, sizeof(float))};
    uint64_t m = 0;
    for (size_t i = 0; i < r->n; i++) {
        size_t base = i / size * size, at = i % size;
        size_t next = base + (at + 1) % size, before = base + (at + size - 1) % size;
        r->graph.index[m] = (uint32_t)(before < next ? before : next), r->graph.weight[m++] = 1;
        if (before != next)
            r->graph.index[m] = (uint32_t)(before < next ? next : before), r->graph.weight[m++] = 1;
        r->graph.indptr[i + 1] = m;
        r->point_of[i] = (uint32_t)i;
        rows[2 * i] = (float)(i / size);
        rows[2 * i + 1] = (float)at / (float)size;
    }
    CHECK_OK(gm_points_init(&r->points, rows, r->n, 2, GM_EUCLIDEAN, &err), err);
}

static void start(rings *r, uint64_t seed)
{
    gm_error err = {0};
    CHECK_OK(
        gm_spectral_start(r->at, 2, &r->graph, &r->points, r->point_of, seed, &r->report, &err),
        err);
    gm_spectral_scale(r->xy, r->at, r->n, 2, seed);
}

static void clear(rings *r)
{
    gm_graph_clear(&r->graph);
    gm_points_clear(&r->points);
}

static void check_range(const rings *r)
{
    float lo[2] = {99, 99}, hi[2] = {-99, -99};
    for (size_t i = 0; i < 2 * r->n; i++) {
        CHECK(isfinite(r->xy[i]));
        lo[i % 2] = fminf(lo[i % 2], r->xy[i]), hi[i % 2] = fmaxf(hi[i % 2], r->xy[i]);
    }
    for (int d = 0; d < 2; d++) {
        CHECK_NEAR(lo[d], 0, 1e-5);
        CHECK_NEAR(hi[d], 10, 1e-5);
    }
}

/* The two leading vectors of a ring are a circle: neighbours stay neighbours. */
static void a_ring_is_a_circle(void)
{
    static rings r;
    make(&r, 1, 60);
    start(&r, 42);
    CHECK_INT(r.report.n_components, 1);
    CHECK(r.report.spectral_converged);
    check_range(&r);
    for (size_t i = 0; i < 60; i++) {
        const float *p = r.xy + 2 * i, *q = r.xy + 2 * ((i + 1) % 60);
        double radius = hypot((double)p[0] - 5, (double)p[1] - 5);
        CHECK_NEAR(radius, 5, 0.6);
        CHECK(hypot((double)(p[0] - q[0]), (double)(p[1] - q[1])) < 1);
    }
    clear(&r);
}

/* The middles differ; of few parts, a point's own is mostly its nearest. */
static void parts_stand_apart(size_t parts, size_t size)
{
    static rings r;
    double middle[MAX_N][2] = {{0}};
    size_t wrong = 0;
    make(&r, parts, size);
    start(&r, 42);
    CHECK_INT(r.report.n_components, parts);
    check_range(&r);
    for (size_t i = 0; i < r.n; i++)
        for (size_t d = 0; d < 2; d++)
            middle[i / size][d] += (double)r.xy[2 * i + d] / (double)size;
    for (size_t i = 0; i < r.n; i++) {
        size_t best = 0;
        double away[MAX_N];
        for (size_t c = 0; c < parts; c++) {
            away[c] =
                hypot((double)r.xy[2 * i] - middle[c][0], (double)r.xy[2 * i + 1] - middle[c][1]);
            if (away[c] < away[best]) best = c;
            for (size_t b = 0; b < c && i == 0; b++)
                CHECK(hypot(middle[c][0] - middle[b][0], middle[c][1] - middle[b][1]) > 1e-3);
        }
        wrong += best != i / size;
    }
    if (parts <= 4 && size > 3) CHECK(5 * wrong <= r.n); /* they may touch */
    clear(&r);
}

static void few_parts(void)
{
    for (size_t parts = 2; parts <= 4; parts++) parts_stand_apart(parts, 20);
    parts_stand_apart(3, 2); /* parts too small for eigenvectors */
}

static void many_parts(void)
{
    parts_stand_apart(5, 10);
    parts_stand_apart(40, 10);
    parts_stand_apart(100, 3);
}

/* Where a part goes is decided by its mean row: ring 0 is half (1,0,..), half (0,1,..), ring 1 is
 * (.51,.49,..), so they are neighbours and equally far from the others. */
static void the_centre_of_a_part_is_its_mean_row(void)
{
    static rings r;
    enum { PARTS = 5, SIZE = 10 };
    static const gm_metric metrics[] = {GM_HELLINGER, GM_COSINE};
    for (size_t k = 0; k < 2; k++) {
        float rows[PARTS * SIZE][PARTS] = {{0}};
        double middle[PARTS][2] = {{0}}, far = INFINITY;
        gm_error err = {0};
        make(&r, PARTS, SIZE);
        gm_points_clear(&r.points);
        for (size_t i = 0; i < r.n; i++) {
            size_t part = i / SIZE;
            rows[i][part == 0 ? i % 2 : part] = 1;
            if (part == 1) rows[i][0] = 0.51f, rows[i][1] = 0.49f;
        }
        CHECK_OK(gm_points_init(&r.points, rows[0], r.n, PARTS, metrics[k], &err), err);
        start(&r, 42);
        for (size_t i = 0; i < 2 * r.n; i++) middle[i / 2 / SIZE][i % 2] += (double)r.xy[i] / SIZE;
        for (size_t c = 2; c < PARTS; c++)
            far = fmin(far, hypot(middle[c][0] - middle[0][0], middle[c][1] - middle[0][1]));
        double near = hypot(middle[1][0] - middle[0][0], middle[1][1] - middle[0][1]);
        CHECK(near < 0.01 * far);
        clear(&r);
    }
}

/* Two or three points in all. */
static void hardly_any_points(void)
{
    static rings r;
    for (size_t n = 2; n <= 3; n++) {
        make(&r, 1, n);
        start(&r, 1);
        check_range(&r);
        clear(&r);
    }
}

static void the_seed_decides(void)
{
    static rings r;
    static float first[2 * MAX_N];
    make(&r, 40, 3);
    start(&r, 42);
    memcpy(first, r.xy, sizeof first);
    start(&r, 42);
    CHECK_BYTES(r.xy, first, 2 * r.n * sizeof *first);
    start(&r, 43);
    CHECK(memcmp(r.xy, first, 2 * r.n * sizeof *first) != 0);
    clear(&r);
}

static gm_status start_once(void *state, gm_error *err)
{
    rings *r = state;
    return gm_spectral_start(r->at, 2, &r->graph, &r->points, r->point_of, 42, &r->report, err);
}

static void survives_every_allocation_failure(void)
{
    static rings r;
    make(&r, 6, 40);
    check_every_allocation(start_once, &r);
    clear(&r);
    make(&r, 1, 40);
    check_every_allocation(start_once, &r);
    clear(&r);
}

TESTS(TEST(a_ring_is_a_circle), TEST(few_parts), TEST(many_parts),
      TEST(the_centre_of_a_part_is_its_mean_row), TEST(hardly_any_points), TEST(the_seed_decides),
      TEST(survives_every_allocation_failure))
