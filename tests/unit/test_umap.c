/* test_umap.c - cluster/umap.c: groups stay together, isolated points go on the ring, options
 * are checked. Against umap-learn: golden/test_umap_golden.c.
 * label: threads */
#include "cluster/umap.h"

#include "base/rng.h"
#include "base/threads.h"
#include "tests/check.h"

enum { N = 150, D = 6, K = 10, GROUPS = 3 };

typedef struct cloud {
    size_t n;
    gm_points points;
    gm_knn knn;
    float xy[2 * N];
    gm_graph graph;
    gm_umap_report report;
} cloud;

static void make(cloud *c, const float *rows, size_t n, size_t d, gm_metric metric, int k)
{
    gm_error err = {0};
    *c = (cloud){.n = n};
    CHECK_OK(gm_points_init(&c->points, rows, n, d, metric, &err), err);
    CHECK_OK(gm_knn_find(&c->knn, &c->points, NULL, 0, k, NULL, &err), err);
}

/* Three groups, point i in group i mod 3. */
static void make_groups(cloud *c)
{
    float rows[N * D];
    gm_rng rng = gm_rng_make(5, 5);
    for (size_t i = 0; i < N * D; i++)
        rows[i] = (float)gm_rng_normal(&rng) + (i % D == i / D % GROUPS ? 12 : 0);
    make(c, rows, N, D, GM_EUCLIDEAN, K);
}

static gm_status fit(cloud *c, const gm_umap_options *how, gm_error *err)
{
    return gm_umap_fit(c->xy, &c->graph, &c->points, &c->knn, how, &c->report, NULL, err);
}

static void clear(cloud *c)
{
    gm_graph_clear(&c->graph);
    gm_points_clear(&c->points);
    gm_knn_clear(&c->knn);
}

static double between(const float *xy, size_t i, size_t j)
{
    return hypot((double)(xy[2 * i] - xy[2 * j]), (double)(xy[2 * i + 1] - xy[2 * j + 1]));
}

static void groups_stay_together(void)
{
    static cloud c;
    gm_error err = {0};
    for (int layout = GM_LAYOUT_BATCH; layout <= GM_LAYOUT_REFERENCE; layout++) {
        gm_umap_options how = gm_umap_defaults();
        size_t wrong = 0;
        how.layout = (gm_layout)layout;
        make_groups(&c);
        CHECK_OK(fit(&c, &how, &err), err);
        CHECK_INT(c.report.n_epochs, 500);
        CHECK_INT(c.report.n_isolated, 0);
        CHECK_INT(c.report.n_components, GROUPS);
        CHECK_NEAR(c.report.a, 1.576943, 1e-6);
        for (size_t i = 0; i < N; i++) {
            size_t best = i == 0;
            for (size_t j = 0; j < N; j++)
                if (j != i && between(c.xy, i, j) < between(c.xy, i, best)) best = j;
            wrong += best % GROUPS != i % GROUPS;
        }
        CHECK_INT(wrong, 0);
        clear(&c);
    }
}

static void threads_and_seeds(void)
{
    static cloud c;
    static float first[2 * N];
    gm_umap_options how = gm_umap_defaults();
    gm_error err = {0};
    how.n_epochs = 30;
    make_groups(&c);
    gm_set_threads(1);
    CHECK_OK(fit(&c, &how, &err), err);
    memcpy(first, c.xy, sizeof first);
    gm_graph_clear(&c.graph);
    gm_set_threads(2);
    CHECK_OK(fit(&c, &how, &err), err);
    CHECK_BYTES(c.xy, first, sizeof first);
    gm_graph_clear(&c.graph);
    how.seed = 43;
    CHECK_OK(fit(&c, &how, &err), err);
    CHECK(memcmp(c.xy, first, sizeof first) != 0);
    clear(&c);
}

/* Five dimensions, more than the three groups need; with densMAP; one thread as two. */
static void more_dimensions_keep_groups_too(void)
{
    enum { DIM = 5 };
    static cloud c;
    static float at[2][DIM * N];
    gm_error err = {0};
    make_groups(&c);
    for (int layout = GM_LAYOUT_BATCH; layout <= GM_LAYOUT_REFERENCE; layout++) {
        gm_umap_options how = gm_umap_defaults();
        size_t wrong = 0;
        how.layout = (gm_layout)layout, how.dim = DIM, how.n_epochs = 60, how.densmap = true;
        for (int t = 0; t < 2; t++) {
            gm_set_threads(t + 1);
            CHECK_OK(gm_umap_fit(at[t], &c.graph, &c.points, &c.knn, &how, &c.report, NULL, &err),
                     err);
            gm_graph_clear(&c.graph);
        }
        CHECK_BYTES(at[1], at[0], sizeof at[0]);
        for (size_t i = 0; i < N; i++) {
            double least = INFINITY;
            size_t best = N;
            for (size_t j = 0; j < N; j++) {
                double s = 0;
                for (size_t d = 0; d < DIM; d++)
                    s += pow((double)(at[0][DIM * i + d] - at[0][DIM * j + d]), 2);
                if (j != i && s < least) least = s, best = j;
            }
            wrong += best % GROUPS != i % GROUPS;
        }
        CHECK(wrong <= N / 50); /* densMAP sets some apart from their own */
    }
    gm_umap_options how = gm_umap_defaults();
    how.dim = GM_MAX_LAYOUT_DIM + 1;
    CHECK_FAILS(fit(&c, &how, &err), err, GM_EARG, "the map has 11 dimensions");
    how = gm_umap_defaults(), how.density.fraction = NAN;
    CHECK_FAILS(fit(&c, &how, &err), err, GM_EARG, "densMAP has lambda 2, fraction");
    clear(&c);
}

/* Rows 8 and 9 share nothing with anybody: no neighbour is nearer than Hellinger's 1. */
static void isolated_points_go_on_the_ring(void)
{
    static cloud c;
    enum { ROWS = 40, DIM = 44 };
    static float rows[ROWS * DIM];
    gm_rng rng = gm_rng_make(6, 6);
    gm_error err = {0};
    gm_umap_options how = gm_umap_defaults();
    for (size_t i = 0; i < ROWS; i++)
        for (size_t d = 0; d < 4; d++)
            rows[i * DIM + d] = i == 8 || i == 9 ? 0 : (float)(1 + gm_rng_below(&rng, 9));
    rows[8 * DIM + 40] = 1;
    rows[9 * DIM + 41] = 1;
    make(&c, rows, ROWS, DIM, GM_HELLINGER, 5);
    CHECK_OK(fit(&c, &how, &err), err);
    CHECK_INT(c.report.n_isolated, 2);
    double centre[2] = {0}, reach = 1;
    for (size_t i = 0; i < ROWS; i++)
        for (size_t d = 0; d < 2; d++)
            centre[d] += i == 8 || i == 9 ? 0 : (double)c.xy[2 * i + d] / (ROWS - 2);
    for (size_t i = 0; i < ROWS; i++) {
        double away = hypot((double)c.xy[2 * i] - centre[0], (double)c.xy[2 * i + 1] - centre[1]);
        CHECK(isfinite(away));
        if (i != 8 && i != 9) reach = fmax(reach, away);
    }
    for (size_t i = 8; i <= 9; i++) {
        CHECK_INT(c.graph.indptr[i + 1], c.graph.indptr[i]);
        CHECK_NEAR(hypot((double)c.xy[2 * i] - centre[0], (double)c.xy[2 * i + 1] - centre[1]),
                   1.25 * reach, 1e-4);
    }
    CHECK(between(c.xy, 8, 9) > 0.1);
    clear(&c);
}

static void nobody_near_anybody(void)
{
    static cloud c;
    const float rows[] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    gm_umap_options how = gm_umap_defaults();
    gm_error err = {0};
    make(&c, rows, 3, 3, GM_HELLINGER, 2);
    CHECK_FAILS(fit(&c, &how, &err), err, GM_ENUMERIC, "no two of 3 points");
    CHECK(c.graph.indptr == NULL);
    clear(&c);
}

static void points_at_one_place(void)
{
    static cloud c;
    static float rows[40];
    gm_umap_options how = gm_umap_defaults();
    gm_error err = {0};
    for (size_t i = 0; i < 40; i++) rows[i] = i < 36; /* 18 alike and two others */
    make(&c, rows, 20, 2, GM_EUCLIDEAN, 5);
    CHECK_OK(fit(&c, &how, &err), err);
    for (size_t i = 0; i < 40; i++) CHECK(isfinite(c.xy[i]));
    clear(&c);
}

static void options_are_checked(void)
{
    static cloud c;
    gm_error err = {0};
    make_groups(&c);
    gm_umap_options how = gm_umap_defaults();
    how.mix = 1.5;
    CHECK_FAILS(fit(&c, &how, &err), err, GM_EARG, "set-op-mix is 1.5");
    how.mix = NAN;
    CHECK_FAILS(fit(&c, &how, &err), err, GM_EARG, "set-op-mix");
    how = gm_umap_defaults(), how.learning_rate = 0;
    CHECK_FAILS(fit(&c, &how, &err), err, GM_EARG, "learning rate 0");
    how = gm_umap_defaults(), how.negative_rate = 0;
    CHECK_FAILS(fit(&c, &how, &err), err, GM_EARG, "0 negative samples");
    how = gm_umap_defaults(), how.repulsion = -1;
    CHECK_FAILS(fit(&c, &how, &err), err, GM_EARG, "repulsion -1");
    how = gm_umap_defaults(), how.min_dist = 2;
    CHECK_FAILS(fit(&c, &how, &err), err, GM_EARG, "min-dist is 2");
    clear(&c);
}

static gm_status fit_once(void *state, gm_error *err)
{
    cloud *c = state;
    gm_umap_options how = gm_umap_defaults();
    how.n_epochs = 2;
    gm_status status = fit(c, &how, err);
    gm_graph_clear(&c->graph);
    return status;
}

static void survives_every_allocation_failure(void)
{
    static cloud c;
    make_groups(&c);
    check_every_allocation(fit_once, &c);
    clear(&c);
}

TESTS(TEST(groups_stay_together), TEST(threads_and_seeds), TEST(more_dimensions_keep_groups_too),
      TEST(isolated_points_go_on_the_ring), TEST(nobody_near_anybody), TEST(points_at_one_place),
      TEST(options_are_checked), TEST(survives_every_allocation_failure))
