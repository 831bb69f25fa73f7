/* test_stability.c - cluster/stability.c and rerun.c: clusters that come out again and clusters
 * that are made up.
 * label: threads */
#include "cluster/stability.h"

#include "base/rng.h"
#include "base/threads.h"
#include "tests/check.h"

static void options_shrink_in_proportion(void)
{
    const gm_hdbscan_options used = {
        .min_cluster_size = 80, .min_samples = 15, .max_cluster_size = 1000};
    gm_hdbscan_options some = gm_rerun_scale(&used, 40000, 5000);
    CHECK_INT(some.min_cluster_size, 10);
    CHECK_INT(some.min_samples, 10);
    CHECK_INT(some.max_cluster_size, 125);
    CHECK_INT(gm_rerun_scale(&used, 40000, 400).min_cluster_size, 5);
    CHECK_INT(gm_rerun_scale(&used, 400, 400).min_samples, 15);
    const gm_hdbscan_options tiny = {.min_cluster_size = 3, .min_samples = 1};
    CHECK_INT(gm_rerun_scale(&tiny, 400, 40).min_cluster_size, 3);
    const gm_hdbscan_options automatic = {0};
    CHECK_INT(gm_rerun_defaults(&automatic, 40000).min_cluster_size, 200);
    CHECK_INT(gm_rerun_defaults(&automatic, 100).min_samples, 15);
}

enum { N = 240, D = 16, BLOBS = 4 };

/* Points of four far blobs. */
static void make_rows(float *rate, const float **row)
{
    gm_rng rng = gm_rng_make(12, 1);
    for (size_t i = 0; i < N; i++) {
        row[i] = rate + i * D;
        for (size_t c = 0; c < D; c++)
            rate[i * D + c] =
                (c == i % BLOBS ? 20.0f : 0.0f) + 0.3f + 0.1f * (float)gm_rng_unit(&rng);
    }
}

typedef struct made {
    float rate[N * D];
    const float *row[N];
    int32_t label[N];
    gm_umap_options umap;
    gm_hdbscan_options hdbscan;
    gm_stability_input in;
} made;

static void make(made *m)
{
    make_rows(m->rate, m->row);
    m->umap = gm_umap_defaults();
    m->umap.n_epochs = 60;
    m->hdbscan = (gm_hdbscan_options){.min_cluster_size = 15, .min_samples = 15};
    m->in = (gm_stability_input){.row = m->row,
                                 .m = N,
                                 .dim = D,
                                 .metric = GM_EUCLIDEAN,
                                 .n_neighbors = 15,
                                 .umap = &m->umap,
                                 .hdbscan = &m->hdbscan,
                                 .label = m->label,
                                 .n_clusters = BLOBS};
}

static gm_stability find(made *m)
{
    gm_stability got = {0};
    gm_error err = {0};
    CHECK_OK(gm_stability_find(&got, &m->in, NULL, &err), err);
    return got;
}

/* The blobs come out of every seed and either half; a label that cuts through them does not. */
static void what_is_there_comes_out_again(void)
{
    static made m;
    make(&m);
    for (size_t i = 0; i < N; i++) m.label[i] = (int32_t)(i % BLOBS);
    gm_stability got = find(&m);
    CHECK(got.seed_ari > 0.99 && got.half_ari > 0.99 && got.among_seeds > 0.99);
    for (size_t c = 0; c < BLOBS; c++)
        CHECK(got.seed_jaccard[c] > 0.98f && got.half_jaccard[c] > 0.95f);
    for (size_t s = 0; s < GM_N_RESEEDS; s++) {
        CHECK_INT(got.seed[s].seed, 43 + s);
        CHECK_INT(got.seed[s].n_clusters, BLOBS);
        CHECK_INT(got.seed[s].largest, N / BLOBS);
        CHECK_INT(got.seed[s].n_points, N);
        CHECK_INT(got.seed[s].n_noise, 0);
    }
    for (size_t h = 0; h < 2; h++) {
        CHECK_INT(got.half[h].n_points, N / 2);
        CHECK_INT(got.half[h].seed, 42); /* the map's own */
    }
    gm_stability_clear(&got);

    for (size_t i = 0; i < N; i++) m.label[i] = (int32_t)(i / (N / BLOBS));
    got = find(&m);
    CHECK(got.seed_ari < 0.1 && got.among_seeds > 0.99);
    for (size_t c = 0; c < BLOBS; c++) CHECK(got.seed_jaccard[c] < 0.5f);
    gm_stability_clear(&got);
}

static void samples_are_smaller(void)
{
    static made m;
    make(&m);
    for (size_t i = 0; i < N; i++) m.label[i] = (int32_t)(i % BLOBS);
    m.in.most = 121;                 /* not a divisor: the sample must not be of one blob */
    m.in.m = N - 1;                  /* halves of odd numbers */
    m.hdbscan.min_cluster_size = 32; /* in proportion fewer than a blob of the sample has */
    gm_stability got[2];
    for (int t = 0; t < 2; t++) {
        gm_set_threads(t + 1);
        got[t] = find(&m);
        CHECK_INT(got[t].seed[0].n_points, 121);
        CHECK_INT(got[t].half[0].n_points, 120);
        CHECK_INT(got[t].half[1].n_points, 119);
        CHECK_INT(got[t].seed[0].n_clusters, BLOBS);
        CHECK_INT(got[t].seed[0].largest, 40);
        CHECK(got[t].seed_ari > 0.9);
    }
    CHECK(memcmp(got[0].seed, got[1].seed, sizeof got[0].seed) == 0);
    gm_stability_clear(&got[0]);
    gm_stability_clear(&got[1]);
}

/* Neighbours of a sample are those of so few points, also where those of the map were approximate:
 * of points as far as each other these are others. */
static void a_sample_has_exact_neighbours(void)
{
    static made m;
    make(&m);
    gm_rng rng = gm_rng_make(3, 1);
    for (size_t i = 0; i < N * D; i++) m.rate[i] = gm_rng_unit(&rng) < 0.5;
    for (size_t i = 0; i < N; i++) m.label[i] = (int32_t)(i % BLOBS);
    m.hdbscan.min_cluster_size = 5, m.hdbscan.min_samples = 5;
    m.in.most = 121;
    gm_stability got[2];
    for (int a = 0; a < 2; a++) {
        m.in.neighbours.method = a ? GM_NEIGHBOURS_APPROXIMATE : GM_NEIGHBOURS_EXACT;
        got[a] = find(&m);
    }
    CHECK(memcmp(got[0].seed, got[1].seed, sizeof got[0].seed) == 0);
    /* another seed makes another map of such points */
    CHECK(got[0].seed[0].ari != got[0].seed[1].ari && got[0].among_seeds < 0.9);
    gm_stability_clear(&got[1]);
    m.in.neighbours.method = GM_NEIGHBOURS_EXACT;
    for (int e = 0; e < 2; e++) { /* a sample is laid out as long as a small map is */
        m.umap.n_epochs = e ? 200 : 0;
        gm_stability_clear(&got[e]);
        got[e] = find(&m);
    }
    CHECK(memcmp(got[0].seed, got[1].seed, sizeof got[0].seed) == 0);
    gm_stability_clear(&got[0]);
    gm_stability_clear(&got[1]);
}

static void few_points_have_no_halves(void)
{
    static made m;
    make(&m);
    m.in.m = 24, m.in.n_neighbors = 5;
    gm_stability got = find(&m);
    CHECK(isnan(got.half_ari) && isnan(got.half_jaccard[0]));
    CHECK(!isnan(got.seed_ari));
    gm_stability_clear(&got);
}

/* A sample may have fewer points than neighbours are asked for. */
static void a_sample_may_be_smaller_than_a_neighbourhood(void)
{
    static made m;
    make(&m);
    m.in.most = 12;
    gm_stability got = find(&m);
    CHECK_INT(got.seed[0].n_points, 12);
    gm_stability_clear(&got);
}

static gm_status find_some(void *state, gm_error *err)
{
    made *m = state;
    gm_stability got;
    gm_status status = gm_stability_find(&got, &m->in, NULL, err);
    if (status == GM_OK) gm_stability_clear(&got);
    return status;
}

static void survives_every_allocation_failure(void)
{
    static made m;
    make(&m);
    m.in.m = 24, m.in.n_neighbors = 5, m.umap.n_epochs = 2;
    check_every_allocation(find_some, &m);
}

/* Points that have nothing in common have no map, and are all noise. */
static void strangers_are_noise(void)
{
    enum { FEW = 16 };
    static float rows[FEW * FEW];
    int32_t label[FEW] = {0};
    size_t n_clusters = 9;
    gm_points points;
    gm_knn knn;
    gm_error err = {0};
    const gm_umap_options umap = gm_umap_defaults();
    const gm_hdbscan_options hdbscan = {.min_cluster_size = 5, .min_samples = 5};
    for (size_t i = 0; i < FEW; i++) rows[i * FEW + i] = 1;
    CHECK_OK(gm_points_init(&points, rows, FEW, FEW, GM_HELLINGER, &err), err);
    CHECK_OK(gm_knn_find(&knn, &points, NULL, 0, 5, NULL, &err), err);
    CHECK_OK(gm_rerun_label(label, &n_clusters, &points, &knn, &umap, &hdbscan, &err), err);
    CHECK_INT(n_clusters, 0);
    for (size_t i = 0; i < FEW; i++) CHECK_INT(label[i], -1);
    gm_points_clear(&points);
    gm_knn_clear(&knn);
}

TESTS(TEST(strangers_are_noise), TEST(options_shrink_in_proportion),
      TEST(what_is_there_comes_out_again), TEST(samples_are_smaller),
      TEST(a_sample_has_exact_neighbours), TEST(few_points_have_no_halves),
      TEST(a_sample_may_be_smaller_than_a_neighbourhood), TEST(survives_every_allocation_failure))
