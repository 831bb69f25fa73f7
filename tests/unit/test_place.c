/* test_place.c - cluster/place.c: documents of the topics of a map stand with them, copies where
 * the original stands, and what a merge by epsilon or by hand made one is one.
 */
#include "cluster/place.h"

#include "cluster/atlas_make.h"
#include "cluster/graph.h"
#include "tests/synthetic_trace.h"

enum { N = 240, TOPICS = 4, NEW = 80 };

typedef struct made {
    gm_trace *fitted, *news;
    gm_analysis analysis;
    gm_arena arena;
    gm_atlas atlas;
    gm_fit_options how;
    gm_usage of_fitted, of_news;
    gm_atlas_points points;
    gm_placed placed[NEW];
} made;

/* The first N documents are fitted, the next NEW are new; the first of those is a copy of document
 * 5, the second is empty. */
static void make(made *m)
{
    gm_error err = {0};
    synthetic s = synthetic_make(N + NEW, TOPICS);
    size_t order[N + NEW];
    for (size_t i = 0; i < N + NEW; i++) order[i] = (i + N) % (N + NEW);
    synthetic_copy_counts(&s, N, 5);
    synthetic_empty(&s, N + 1);
    s.n = N;
    synthetic_write(&s, NULL, true, "fitted.trace.h5");
    s.n = NEW;
    synthetic_write(&s, order, true, "new.trace.h5");
    s.n = N + NEW;
    synthetic_clear(&s);
    m->how = gm_fit_defaults();
    m->how.quiet = true;
    m->how.umap.n_epochs = 100;
    m->how.quality = GM_QUALITY_NONE;
    CHECK_OK(gm_trace_open(&m->fitted, "fitted.trace.h5", &err), err);
    CHECK_OK(gm_trace_open(&m->news, "new.trace.h5", &err), err);
    CHECK_OK(gm_analysis_run(&m->analysis, m->fitted, &m->how, &err), err);
    CHECK_OK(gm_atlas_make(&m->atlas, &m->arena, &m->analysis, m->fitted, "fitted.trace.h5",
                           &m->how, "test", &err),
             err);
    CHECK_OK(gm_usage_read(&m->of_fitted, m->fitted, m->how.usage, NULL, &err), err);
    CHECK_OK(gm_usage_read(&m->of_news, m->news, m->how.usage, NULL, &err), err);
    CHECK_OK(gm_from_atlas_points(&m->points, &m->atlas, &err), err);
    m->how.hdbscan = m->analysis.hdbscan;
}

static gm_status place(void *state, gm_error *err)
{
    made *m = state;
    return gm_place(m->placed, &m->of_news, &m->of_fitted, &m->atlas, &m->points, &m->how, NULL,
                    err);
}

static void end(made *m)
{
    gm_atlas_points_clear(&m->points);
    gm_usage_clear(&m->of_fitted);
    gm_usage_clear(&m->of_news);
    gm_arena_clear(&m->arena);
    gm_analysis_clear(&m->analysis);
    gm_trace_close(m->fitted);
    gm_trace_close(m->news);
}

typedef struct other {
    double distance;
    size_t document; /* of the atlas */
} other;

static int nearer_first(const void *p, const void *q)
{
    const other *a = p, *b = q;
    return (a->distance > b->distance) - (a->distance < b->distance);
}

static double hellinger(const float *x, const float *y)
{
    double s = 0;
    for (size_t c = 0; c < SYN_DIM; c++) {
        double d = sqrt((double)x[c]) - sqrt((double)y[c]);
        s += d * d;
    }
    return sqrt(s / 2);
}

/* Against its definition: the share of documents whose nearest other one is nearer. */
static void check_quantile(const made *m, const gm_placed *p)
{
    double nearer = 0;
    for (size_t i = 0; i < N; i++) {
        double least = INFINITY;
        for (size_t j = 0; j < N; j++)
            if (j != i) least = fmin(least, hellinger(m->of_fitted.row[i], m->of_fitted.row[j]));
        nearer += least < p->distance;
    }
    CHECK_NEAR(p->quantile, nearer / N, 1e-12);
}

/* Against its definition: the nearest by Hellinger's distance, and the mean place of the k nearest
 * by UMAP's weights. */
static void check_place(const made *m, size_t q)
{
    other near[N];
    const gm_placed *p = &m->placed[q];
    double of_nearest = NAN;
    for (size_t i = 0; i < N; i++) {
        near[i] = (other){hellinger(m->of_news.row[q], m->of_fitted.row[i]), m->of_fitted.place[i]};
        if (near[i].document == p->nearest) of_nearest = near[i].distance;
    }
    qsort(near, N, sizeof *near, nearer_first);
    CHECK_NEAR(p->distance, near[0].distance, 1e-6);
    CHECK_NEAR(of_nearest, near[0].distance, 1e-6);
    double d[N], at[2] = {0}, sum = 0;
    const size_t k = (size_t)m->how.n_neighbors;
    for (size_t i = 0; i < k; i++) d[i] = near[i].distance;
    const double sigma = gm_graph_sigma(d, k, 0);
    for (size_t i = 0; i < k; i++) {
        const double weight = exp(-d[i] / sigma);
        for (size_t c = 0; c < 2; c++)
            at[c] += weight * (double)m->atlas.xy[2 * near[i].document + c];
        sum += weight;
    }
    for (size_t c = 0; c < 2; c++) CHECK_NEAR(p->xy[c], at[c] / sum, 1e-3);
}

static double from_place(const made *m, const float *xy, size_t i)
{
    return hypot((double)xy[0] - (double)m->atlas.xy[2 * i],
                 (double)xy[1] - (double)m->atlas.xy[2 * i + 1]);
}

/* How far the nearest place is by mutual reachability: HDBSCAN's, with the new document's own core
 * distance to the one after min_samples, as approximate_predict has it. */
static double reach_of(const made *m, const gm_placed *p)
{
    double near[N], core = 0, least = INFINITY;
    const size_t own = (size_t)m->how.hdbscan.min_samples, others = own - m->how.hdbscan.count_self;
    for (size_t i = 0; i < N; i++) near[i] = from_place(m, p->xy, i);
    qsort(near, N, sizeof *near, gm_ascending);
    core = near[own];
    for (size_t i = 0; i < N; i++) {
        for (size_t j = 0; j < N; j++) near[j] = from_place(m, m->atlas.xy + 2 * i, j);
        qsort(near, N, sizeof *near, gm_ascending); /* the first is the point itself */
        least = fmin(least, fmax(from_place(m, p->xy, i), fmax(core, near[others])));
    }
    return least;
}

/* In a cluster probabilities are in proportion to density. */
static void check_probabilities(const made *m)
{
    double death[TOPICS] = {0};
    size_t n = 0;
    for (size_t q = 0; q < NEW; q++) {
        const gm_placed *p = &m->placed[q];
        if (m->of_news.place[q] < 2 || p->cluster < 0 || p->probability == 1) continue;
        const double found = 1 / reach_of(m, p) / (double)p->probability;
        if (death[p->cluster] > 0) CHECK_NEAR(found / death[p->cluster], 1, 1e-4);
        n += death[p->cluster] > 0;
        death[p->cluster] = found;
    }
    CHECK(n > 10);
}

static void new_documents_stand_with_their_topic(void)
{
    made m = {0};
    gm_error err = {0};
    make(&m);
    CHECK_INT(m.atlas.n_clusters, TOPICS);
    CHECK_OK(place(&m, &err), err);
    size_t right = 0, of = 0;
    for (size_t q = 0; q < NEW; q++) {
        const gm_placed *p = &m.placed[q];
        size_t at = m.of_news.place[q];
        if (at == 0) { /* the copy */
            CHECK_NEAR(p->distance, 0, 0);
            CHECK_NEAR(p->quantile, 0, 0);
            CHECK_INT(p->nearest, 5);
            CHECK(p->xy[0] == m.atlas.xy[10] && p->xy[1] == m.atlas.xy[11]);
            CHECK_INT(p->cluster, m.atlas.cluster[5]);
            CHECK(p->probability == m.atlas.probability[5]);
        } else if (at == 1) { /* the empty one */
            CHECK(isnan(p->xy[0]) && isnan(p->distance) && p->cluster == -1);
            CHECK(isnan(p->quantile));
            CHECK_INT(p->nearest, GM_ATLAS_NONE);
        } else {
            CHECK(p->distance > 0 && p->probability >= 0 && p->probability <= 1);
            CHECK((p->probability > 0) == (p->cluster >= 0));
            check_place(&m, q);
            if (at < 8) check_quantile(&m, p);
            of++, right += p->cluster == m.atlas.cluster[(N + at) % TOPICS]; /* 0..3: one of each */
        }
    }
    check_probabilities(&m);
    if (!(right >= of * 9 / 10)) TEST_FAILED_("%zu of %zu are with their topic", right, of);
    end(&m);
}

/* Two clusters made one are one for new documents as well. */
static void what_was_merged_is_one(void)
{
    made m = {0};
    gm_error err = {0};
    make(&m);
    CHECK_OK(place(&m, &err), err);
    size_t before = 0, after = 0;
    for (size_t q = 0; q < NEW; q++) before += m.placed[q].cluster == 0 || m.placed[q].cluster == 1;
    for (size_t r = 0; r < m.analysis.clustering.tree.n_clusters; r++)
        if (m.analysis.clustering.node_label[r] == 1) ((int32_t *)m.atlas.node_cluster)[r] = 0;
    for (size_t i = 0; i < N; i++)
        if (m.atlas.cluster[i] == 1) ((int32_t *)m.atlas.cluster)[i] = 0;
    CHECK_OK(place(&m, &err), err);
    for (size_t q = 0; q < NEW; q++) after += m.placed[q].cluster == 0;
    CHECK(before > 10);
    CHECK_INT(after, before);
    end(&m);
}

/* Where all are one cluster, a new document belongs to it that is as dense as the densest that the
 * root itself loses, here its parts; with an epsilon, one within it. */
static void one_cluster_of_all(void)
{
    made m = {0};
    gm_error err = {0};
    double reach[NEW], mean = 0, least = INFINITY;
    make(&m);
    CHECK_OK(place(&m, &err), err);
    for (size_t q = 0; q < NEW; q++) {
        if (m.of_news.place[q] < 2) continue;
        reach[q] = reach_of(&m, &m.placed[q]);
        mean += reach[q] / (NEW - 2);
        least = fmin(least, reach[q]);
    }
    for (size_t r = 0; r < m.atlas.n_nodes; r++) {
        ((int32_t *)m.atlas.node_cluster)[r] = r == 0 ? 0 : -1;
        if (r > 0 && m.atlas.node_parent[r] == 0) ((double *)m.atlas.node_birth)[r] = 1 / mean;
    }
    for (int within = 0; within < 2; within++) {
        size_t n[2] = {0};
        const double most = within ? (least + mean) / 2 : mean;
        m.how.hdbscan.epsilon = within ? most : 0;
        CHECK_OK(place(&m, &err), err);
        for (size_t q = 0; q < NEW; q++) {
            const gm_placed *p = &m.placed[q];
            if (m.of_news.place[q] < 2) continue;
            const bool in = reach[q] <= most;
            CHECK_INT(p->cluster, in ? 0 : -1);
            if (in) CHECK_NEAR(p->probability, fmin(1, mean / reach[q]), 1e-4);
            n[in]++;
        }
        CHECK(n[0] > 0 && n[1] > 0);
    }
    end(&m);
}

/* Clusters found in the map's plane, laid into three dimensions, are the map's own. */
static void clusters_of_more_dimensions_are_found_there(void)
{
    made m = {0};
    gm_error err = {0};
    static float space[3 * N];
    static gm_placed flat[NEW];
    make(&m);
    CHECK_OK(place(&m, &err), err);
    memcpy(flat, m.placed, sizeof flat);
    for (size_t i = 0; i < N; i++) {
        space[3 * i] = m.atlas.xy[2 * i], space[3 * i + 1] = 7;
        space[3 * i + 2] = m.atlas.xy[2 * i + 1];
    }
    m.atlas.space = space, m.atlas.cluster_dim = 3;
    CHECK_OK(place(&m, &err), err);
    for (size_t q = 0; q < NEW; q++) {
        CHECK_BYTES(m.placed[q].xy, flat[q].xy, sizeof flat[q].xy);
        CHECK_INT(m.placed[q].cluster, flat[q].cluster);
        CHECK_NEAR(m.placed[q].probability, flat[q].probability, 1e-4);
    }
    end(&m);
}

static void survives_every_allocation_failure(void)
{
    made m = {0};
    make(&m);
    check_every_allocation(place, &m);
    end(&m);
}

TESTS(TEST(new_documents_stand_with_their_topic), TEST(what_was_merged_is_one),
      TEST(one_cluster_of_all), TEST(clusters_of_more_dimensions_are_found_there),
      TEST(survives_every_allocation_failure))
