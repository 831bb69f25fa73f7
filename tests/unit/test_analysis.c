/* test_analysis.c - cluster/analysis.c and atlas_make.c, whole: a trace whose topics are
 * known comes out as its topics, whatever the order of documents and the threads.
 * label: long */
#include "cluster/analysis.h"

#include "base/threads.h"
#include "cluster/atlas_make.h"
#include "cluster/quality.h"
#include "tests/synthetic_trace.h"

enum {
    N = 240,
    N_TOPICS = 4,
    A_FEW = 20 /* epochs, where it does not matter which map comes out */
};

typedef struct run {
    gm_trace *trace;
    gm_analysis analysis;
    gm_arena arena;
    gm_atlas atlas;
} run;

static gm_fit_options options(void)
{
    gm_fit_options how = gm_fit_defaults();
    how.quiet = true;
    how.umap.n_epochs = test_small() ? 80 : 200;
    how.quality = GM_QUALITY_NONE; /* seven more maps are made where a test is about them */
    return how;
}

static run run_fit(const char *path, const gm_fit_options *how)
{
    run r = {0};
    gm_error err = {0};
    CHECK_OK(gm_trace_open(&r.trace, path, &err), err);
    CHECK_OK(gm_analysis_run(&r.analysis, r.trace, how, &err), err);
    CHECK_OK(gm_atlas_make(&r.atlas, &r.arena, &r.analysis, r.trace, path, how, "test", &err), err);
    return r;
}

static void end_run(run *r)
{
    gm_arena_clear(&r->arena);
    gm_analysis_clear(&r->analysis);
    gm_trace_close(r->trace);
}

static run fit_topics(const gm_fit_options *how)
{
    synthetic s = synthetic_make(N, N_TOPICS);
    synthetic_write(&s, NULL, true, "topics.trace.h5");
    synthetic_clear(&s);
    return run_fit("topics.trace.h5", how);
}

/* Clusters against topics, document i being of topic i mod N_TOPICS. */
static double agreement_with_topics(const gm_atlas *atlas)
{
    int32_t *truth = gm_alloc(atlas->n, sizeof *truth);
    gm_agreement found;
    gm_error err = {0};
    for (size_t i = 0; i < atlas->n; i++) truth[i] = (int32_t)(i % N_TOPICS);
    CHECK_OK(gm_quality_agreement(&found, atlas->cluster, truth, atlas->n, &err), err);
    gm_free(truth);
    return found.ari;
}

static void topics_come_out(void)
{
    static const gm_metric metrics[] = {GM_HELLINGER, GM_EUCLIDEAN, GM_COSINE};
    for (size_t m = 0; m < 3; m++) {
        gm_fit_options how = options();
        how.metric = metrics[m];
        run r = fit_topics(&how);
        CHECK_INT(r.atlas.n_clusters, N_TOPICS);
        CHECK(agreement_with_topics(&r.atlas) >= 0.95);
        CHECK(r.analysis.map.trustworthiness > 0.7);
        CHECK_INT(r.analysis.n_uncertified, 0);
        end_run(&r);
    }
}

static void the_reference_layout_finds_them_too(void)
{
    gm_fit_options how = options();
    how.umap.layout = GM_LAYOUT_REFERENCE;
    run r = fit_topics(&how);
    CHECK(agreement_with_topics(&r.atlas) >= 0.95);
    end_run(&r);
}

static void keywords_and_experts_are_the_topics_own(void)
{
    const gm_fit_options how = options();
    run r = fit_topics(&how);
    for (size_t c = 0; c < r.atlas.n_clusters; c++) {
        size_t topic = N_TOPICS, found = 0;
        for (size_t i = 0; i < N && topic == N_TOPICS; i++)
            if (r.atlas.cluster[i] == (int32_t)c) topic = i % N_TOPICS;
        char prefix[8];
        snprintf(prefix, sizeof prefix, "topic%c", (int)('a' + topic));
        for (int k = 0; k < 8; k++)
            CHECK(strncmp(r.atlas.keyword[c * GM_N_KEYWORDS + (size_t)k], prefix, 6) == 0);
        for (size_t x = 0; x < SYN_DIM; x++) {
            bool own = synthetic_is_own(topic, x % SYN_EXPERTS);
            found += r.atlas.important[c * SYN_DIM + x];
            CHECK_INT(r.atlas.important[c * SYN_DIM + x], own);
        }
        CHECK_INT(found, SYN_LAYERS * SYN_OWN);
    }
    end_run(&r);
}

static void rates_add_up(void)
{
    gm_fit_options how = options();
    how.umap.n_epochs = A_FEW;
    run r = fit_topics(&how);
    double corpus = 0;
    for (size_t x = 0; x < SYN_DIM; x++) corpus += (double)r.atlas.corpus_usage[x];
    CHECK_NEAR(corpus, 1, 1e-6);
    for (size_t x = 0; x < SYN_DIM; x++) { /* equal subsets: the corpus is their mean */
        double mean = 0;
        for (size_t s = 0; s < N_TOPICS; s++)
            mean += (double)r.atlas.subset_usage[s * SYN_DIM + x] / N_TOPICS;
        CHECK_NEAR(mean, r.atlas.corpus_usage[x], 1e-8);
    }
    for (size_t c = 1; c < r.atlas.n_clusters; c++) CHECK(r.atlas.size[c] <= r.atlas.size[c - 1]);
    end_run(&r);
}

static void threads_change_nothing(void)
{
    static const char *const path[] = {"one.atlas.h5", "two.atlas.h5"};
    char digest[2][65];
    for (int t = 0; t < 2; t++) {
        const gm_fit_options how = options();
        gm_error err = {0};
        gm_set_threads(t + 1);
        run r = fit_topics(&how);
        CHECK_OK(gm_atlas_write(path[t], &r.atlas, true, &err), err);
        memcpy(digest[t], r.atlas.digest, 65);
        end_run(&r);
    }
    CHECK_TEXT(digest[1], digest[0]);
}

static void permuting_documents_permutes_the_result(void)
{
    size_t order[N];
    const gm_fit_options how = options();
    synthetic s = synthetic_make(N, N_TOPICS);
    for (size_t i = 0; i < N; i++) order[i] = (i * 77 + 13) % N;
    synthetic_write(&s, NULL, true, "straight.trace.h5");
    synthetic_write(&s, order, true, "shuffled.trace.h5");
    run a = run_fit("straight.trace.h5", &how), b = run_fit("shuffled.trace.h5", &how);
    for (size_t i = 0; i < N; i++) {
        CHECK_INT(b.atlas.cluster[i], a.atlas.cluster[order[i]]);
        CHECK(memcmp(b.atlas.xy + 2 * i, a.atlas.xy + 2 * order[i], 2 * sizeof(float)) == 0);
    }
    size_t dim = a.atlas.n_clusters * SYN_DIM;
    CHECK(memcmp(a.atlas.usage, b.atlas.usage, dim * sizeof(float)) == 0);
    for (size_t k = 0; k < a.atlas.n_clusters * GM_N_KEYWORDS; k++)
        CHECK_TEXT(b.atlas.keyword[k], a.atlas.keyword[k]);
    end_run(&a);
    end_run(&b);
    synthetic_clear(&s);
}

static void twins_share_a_label_and_empty_documents_are_finite(void)
{
    const gm_fit_options how = options();
    synthetic s = synthetic_make(N, N_TOPICS);
    for (size_t i = 4; i < 84; i += 4) synthetic_copy_counts(&s, i, 0);
    synthetic_empty(&s, 101);
    synthetic_empty(&s, 102);
    synthetic_write(&s, NULL, true, "twins.trace.h5");
    run r = run_fit("twins.trace.h5", &how);
    for (size_t i = 4; i < 84; i += 4) CHECK_INT(r.atlas.cluster[i], r.atlas.cluster[0]);
    for (size_t i = 0; i < N; i++) {
        CHECK(isfinite(r.atlas.xy[2 * i]) && isfinite(r.atlas.xy[2 * i + 1]));
        CHECK(r.atlas.probability[i] >= 0 && r.atlas.probability[i] <= 1);
        CHECK(r.atlas.outlier[i] >= 0 && r.atlas.outlier[i] <= 1);
    }
    CHECK_INT(r.analysis.usage.n_zero, 2);
    end_run(&r);
    synthetic_clear(&s);
}

static void check_refused(const synthetic *s, const char *part)
{
    const gm_fit_options how = options();
    gm_trace *trace = NULL;
    gm_analysis analysis;
    gm_error err = {0};
    synthetic_write(s, NULL, false, "refused.trace.h5");
    CHECK_OK(gm_trace_open(&trace, "refused.trace.h5", &err), err);
    CHECK_FAILS(gm_analysis_run(&analysis, trace, &how, &err), err, GM_EARG, part);
    gm_trace_close(trace);
}

static void what_cannot_be_mapped_is_said(void)
{
    synthetic few = synthetic_make(14, 2), one = synthetic_make(1, 1), same = synthetic_make(40, 1);
    check_refused(&few, "14 documents, but a map needs at least 15");
    check_refused(&one, "1 document, but a map needs at least 15");
    for (size_t i = 1; i < same.n; i++) synthetic_copy_counts(&same, i, 0);
    check_refused(&same, "use the experts in the same way");
    synthetic_clear(&few);
    synthetic_clear(&one);
    synthetic_clear(&same);
}

/* Topics that are really there are trusted, and the words know them as well as the router. */
static void the_verdict_is_as_planted(void)
{
    gm_fit_options how = options();
    how.quality = GM_QUALITY_SAMPLE;
    run r = fit_topics(&how);
    const gm_assessment *a = &r.analysis.assessment;
    CHECK(a->stability.seed_ari > 0.95 && a->stability.half_ari > 0.95);
    CHECK(a->dbcv > 0.5 && a->n_dbcv == N);
    CHECK(a->keywords.mean > 0.2 && a->keywords.diversity > 0.9);
    CHECK(isnan(a->length_noise)); /* all are of one length */
    CHECK_INT(a->control.basis, GM_BASIS_WORDS);
    CHECK(a->control.tokens_ami > 0.95 && a->control.router_ami > 0.95 && a->control.ari > 0.95);
    CHECK_NEAR(a->control.chance, 0.25, 1e-9);
    CHECK_NEAR(r.analysis.neighbour_chance, 0.25, 1e-9);
    for (size_t c = 0; c < r.atlas.n_clusters; c++) {
        CHECK(r.atlas.seed_jaccard[c] > 0.9f && r.atlas.half_jaccard[c] > 0.9f);
        for (size_t x = 0; x < GM_N_EXAMPLES; x++) {
            uint32_t d = r.atlas.representative[c * GM_N_EXAMPLES + x];
            CHECK(d < N && r.atlas.cluster[d] == (int32_t)c);
        }
    }
    CHECK_HAS(r.atlas.quality, "\"level\":\"trust\",\"about\":\"seeds\"");
    CHECK_HAS(r.atlas.quality, "\"noise_by_script\":[{\"name\":\"Latin\",\"documents\":240");
    CHECK_HAS(r.atlas.quality, "\"trustworthiness\":[0.9,0.8]");
    end_run(&r);
}

/* Copies are one point: chance is counted over what neighbours are counted over. */
static void chance_is_over_points_that_differ(void)
{
    gm_fit_options how = options();
    how.umap.n_epochs = A_FEW;
    how.quality = GM_QUALITY_SAMPLE;
    synthetic s = synthetic_make(N, N_TOPICS);
    for (size_t i = 4; i < 200; i += 4) synthetic_copy_counts(&s, i, 0);
    synthetic_write(&s, NULL, true, "copies.trace.h5");
    run r = run_fit("copies.trace.h5", &how);
    double of[] = {11, 60, 60, 60}, all = 191, chance = 0;
    for (size_t t = 0; t < 4; t++) chance += of[t] / all * of[t] / all;
    CHECK_INT(r.analysis.distinct.m, 191);
    CHECK_NEAR(r.analysis.neighbour_chance, chance, 1e-12);
    CHECK_NEAR(r.analysis.assessment.control.chance, chance, 1e-12);
    end_run(&r);
    synthetic_clear(&s);
}

static void none_and_full(void)
{
    gm_fit_options how = options();
    how.umap.n_epochs = A_FEW;
    how.quality = GM_QUALITY_NONE;
    run r = fit_topics(&how);
    CHECK(!r.analysis.assessment.has_reruns && isnan(r.analysis.assessment.dbcv));
    CHECK(r.atlas.seed_jaccard == NULL && isnan(r.atlas.validity[0]));
    CHECK_HAS(r.atlas.quality, "\"level\":\"none\"");
    end_run(&r);
    how.quality = GM_QUALITY_FULL;
    r = fit_topics(&how);
    CHECK_INT(r.analysis.map.n_rows, N);
    CHECK_INT(r.analysis.assessment.control.n, N);
    end_run(&r);
}

static void without_texts_there_are_no_keywords(void)
{
    const gm_fit_options how = options();
    synthetic s = synthetic_make(N, N_TOPICS);
    synthetic_write(&s, NULL, false, "textless.trace.h5");
    run r = run_fit("textless.trace.h5", &how);
    CHECK_INT(r.atlas.n_clusters, N_TOPICS);
    for (size_t k = 0; k < r.atlas.n_clusters * GM_N_KEYWORDS; k++)
        CHECK_TEXT(r.atlas.keyword[k], "");
    CHECK_HAS(r.atlas.quality, "\"control\":null");
    end_run(&r);
    synthetic_clear(&s);
}

/* 40 documents of two kinds, and 60 that share no expert with anybody: they stand on a ring, close
 * enough for clusters of their own, and are none. */
static void documents_that_share_nothing_are_no_cluster(void)
{
    enum { ALIKE = 40, ALONE = SYN_DIM - 4 };
    gm_fit_options how = options();
    how.n_neighbors = 8;
    how.hdbscan.min_cluster_size = 15, how.hdbscan.min_samples = 2;
    how.hdbscan.selection = GM_SELECT_LEAF;
    synthetic s = synthetic_make(ALIKE + ALONE, 2);
    gm_rng rng = gm_rng_make(9, 9);
    memset(s.counts, 0, s.n * SYN_DIM * sizeof *s.counts);
    for (size_t i = 0; i < s.n; i++) {
        uint32_t *row = s.counts + i * SYN_DIM;
        if (i >= ALIKE) row[4 + i - ALIKE] = SYN_TOKENS;
        for (size_t c = 0; i < ALIKE && c < 4; c++)
            row[c] = (uint32_t)(10 + gm_rng_below(&rng, 20) + (c / 2 == i % 2 ? 200 : 0));
    }
    synthetic_write(&s, NULL, false, "alone.trace.h5");
    run r = run_fit("alone.trace.h5", &how);
    CHECK_INT(r.analysis.umap.n_isolated, ALONE);
    CHECK(r.atlas.n_clusters >= 1);
    for (size_t c = 0; c < r.atlas.n_clusters; c++) CHECK(r.atlas.size[c] > 0);
    for (size_t i = ALIKE; i < s.n; i++) CHECK_INT(r.atlas.cluster[i], -1);
    end_run(&r);
    synthetic_clear(&s);
}

static void only_noise_is_an_atlas_without_clusters(void)
{
    gm_fit_options how = options();
    how.umap.n_epochs = A_FEW;
    how.hdbscan.min_cluster_size = N;
    gm_error err = {0};
    run r = fit_topics(&how);
    CHECK_INT(r.atlas.n_clusters, 0);
    CHECK_OK(gm_atlas_write("noise.atlas.h5", &r.atlas, true, &err), err);
    end_run(&r);
}

TESTS(TEST(topics_come_out), TEST(the_reference_layout_finds_them_too),
      TEST(keywords_and_experts_are_the_topics_own), TEST(rates_add_up),
      TEST(threads_change_nothing), TEST(permuting_documents_permutes_the_result),
      TEST(twins_share_a_label_and_empty_documents_are_finite), TEST(what_cannot_be_mapped_is_said),
      TEST(the_verdict_is_as_planted), TEST(chance_is_over_points_that_differ), TEST(none_and_full),
      TEST(without_texts_there_are_no_keywords), TEST(documents_that_share_nothing_are_no_cluster),
      TEST(only_noise_is_an_atlas_without_clusters))
