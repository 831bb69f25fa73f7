/* test_cluster_verdict.c - cluster/cluster_verdict.c: thresholds, and what is printed of a quality
 * JSON. What fit says of a trace: test_analysis.c. */
#include "cluster/cluster_verdict.h"

#include "base/text.h"
#include "tests/check.h"

static void figures_are_judged(void)
{
    CHECK_INT(gm_threshold_judge("trustworthiness", 0.95), GM_VERDICT_TRUST);
    CHECK_INT(gm_threshold_judge("trustworthiness", 0.9), GM_VERDICT_TRUST);
    CHECK_INT(gm_threshold_judge("trustworthiness", 0.85), GM_VERDICT_FAIR);
    CHECK_INT(gm_threshold_judge("trustworthiness", 0.79), GM_VERDICT_DOUBT);
    CHECK_INT(gm_threshold_judge("noise_share", 0.1), GM_VERDICT_TRUST); /* less is better */
    CHECK_INT(gm_threshold_judge("noise_share", 0.3), GM_VERDICT_FAIR);
    CHECK_INT(gm_threshold_judge("noise_share", 0.41), GM_VERDICT_DOUBT);
    CHECK_INT(gm_threshold_judge("dbcv", (double)NAN), GM_VERDICT_FAIR);
    CHECK_INT(gm_threshold_judge("ari", 0.01), GM_VERDICT_FAIR); /* never a gate */
    CHECK(gm_threshold_find("ari") == NULL && gm_threshold_find("seed_jaccard") != NULL);
}

static void check_printed(const char *quality, const char *want)
{
    gm_error err = {0};
    gm_text got = {0};
    FILE *to = fopen("said.txt", "w");
    CHECK_OK(gm_verdict_print(to, quality, &err), err);
    fclose(to);
    CHECK_OK(gm_text_read_file(&got, "said.txt", 1 << 20, &err), err);
    CHECK_TEXT(got.at ? got.at : "", want);
    gm_text_clear(&got);
}

static void doubts_come_first(void)
{
    check_printed("{\"verdict\":[{\"level\":\"trust\",\"text\":\"A\"},{\"level\":\"doubt\","
                  "\"text\":\"B\\u001b[2J\"},{\"level\":\"fair\",\"text\":\"C\"},{\"level\":1},"
                  "{\"text\":\"D\"},7]}",
                  "doubt B\\x1b[2J\nfair  C\ntrust A\n");
    check_printed("{}", "");
    check_printed("", "");
    check_printed("{\"verdict\":null}", "");
}

/* A name of 63 bytes, as long as a stored one can be, with a character across its 60th. */
static void names_are_said_whole(void)
{
    enum { N = 60, OF_NAME = 22, NOISE = 12 };
    const char name[] = "abc"
                        "\u0436\u0436\u0436\u0436\u0436\u0436\u0436\u0436\u0436\u0436"
                        "\u0436\u0436\u0436\u0436\u0436\u0436\u0436\u0436\u0436\u0436"
                        "\u0436\u0436\u0436\u0436\u0436\u0436\u0436\u0436\u0436\u0436";
    const char *const names[] = {"soup", name};
    const uint32_t size = N - NOISE, count[] = {N - OF_NAME, OF_NAME - NOISE};
    int32_t cluster[N];
    uint16_t subset[N];
    gm_analysis a = {.distinct.m = N};
    gm_json_out out = {0};
    gm_error err = {0};
    for (size_t i = 0; i < N; i++) {
        subset[i] = i < OF_NAME;
        cluster[i] = i < NOISE ? -1 : 0;
    }
    const gm_atlas atlas = {.n = N,
                            .n_clusters = 1,
                            .n_subsets = 2,
                            .cluster = cluster,
                            .subset = subset,
                            .subset_name = names,
                            .size = &size,
                            .subset_count = count};
    CHECK_INT(strlen(name), 63);
    gm_json_open_object(&out, NULL);
    CHECK_OK(gm_verdict_put(&out, &a, &atlas, &err), err);
    gm_json_close_object(&out);
    CHECK_OK(gm_json_out_done(&out, &err), err);
    CHECK_HAS(out.text.at, name);
    CHECK_HAS(out.text.at, "55 % are in no cluster (of all: 20 %)");
    gm_text_clear(&out.text);
}

/* Six subsets, all noise but the last: three are named. */
static void many_lost_groups_are_counted(void)
{
    enum { S = 6, OF_LOST = 20, N = 5 * OF_LOST + 300 };
    static const char *const names[S] = {"s0", "s1", "s2", "s3", "s4", "whole"};
    const uint32_t size = N - 5 * OF_LOST, count[S] = {[5] = N - 5 * OF_LOST};
    int32_t cluster[N];
    uint16_t subset[N];
    gm_analysis a = {.distinct.m = N};
    gm_json_out out = {0};
    gm_error err = {0};
    for (int i = 0; i < N; i++) {
        subset[i] = (uint16_t)(i < 5 * OF_LOST ? i / OF_LOST : 5);
        cluster[i] = subset[i] < 5 ? -1 : 0;
    }
    const gm_atlas atlas = {.n = N,
                            .n_clusters = 1,
                            .n_subsets = S,
                            .cluster = cluster,
                            .subset = subset,
                            .subset_name = names,
                            .size = &size,
                            .subset_count = count};
    gm_json_open_object(&out, NULL);
    CHECK_OK(gm_verdict_put(&out, &a, &atlas, &err), err);
    gm_json_close_object(&out);
    CHECK_OK(gm_json_out_done(&out, &err), err);
    CHECK_HAS(out.text.at, "subset s2, 100 % are in no cluster (of all: 25 %)");
    CHECK(strstr(out.text.at, "subset s3") == NULL);
    CHECK_HAS(out.text.at, "The same holds for 2 more subsets; noise_by_subset has them");
    gm_text_clear(&out.text);
}

/* What the verdict on a document in `n_clusters` clusters says of a control with these figures. */
static void put_control(gm_json_out *out, size_t n_clusters, double router_ami, double tokens_ami,
                        double ari)
{
    const int32_t cluster = n_clusters > 0 ? 0 : -1;
    const uint16_t subset = 0;
    const char *const name = "soup";
    gm_analysis a = {.distinct.m = 2};
    gm_error err = {0};
    a.assessment.control = (gm_token_control){
        .basis = GM_BASIS_WORDS, .router_ami = router_ami, .tokens_ami = tokens_ami, .ari = ari};
    const gm_atlas atlas = {.n = 1,
                            .n_clusters = n_clusters,
                            .n_subsets = 1,
                            .cluster = &cluster,
                            .subset = &subset,
                            .subset_name = &name};
    gm_json_open_object(out, NULL);
    CHECK_OK(gm_verdict_put(out, &a, &atlas, &err), err);
    gm_json_close_object(out);
    CHECK_OK(gm_json_out_done(out, &err), err);
}

static void check_control(double router_ami, double tokens_ami, double ari, const char *want)
{
    gm_json_out out = {0};
    put_control(&out, 1, router_ami, tokens_ami, ari);
    CHECK_HAS(out.text.at, want);
    gm_text_clear(&out.text);
}

static void the_control_says_what_it_shows(void)
{
    const double unknown = (double)NAN;
    check_control(0.8, 0.5, 0.5, "The router knows more of the subsets than the vocabulary does");
    check_control(0.8, 0.81, 0.5, "The router knows as much of the subsets as the vocabulary does");
    check_control(-0.01, 0, 0.9, "Neither the router nor the vocabulary knows of the subsets");
    check_control(0.2, 0.5, 0.1, "The vocabulary alone knows more of the subsets");
    check_control(unknown, unknown, 0.9, "The vocabulary alone gives much the same clusters");
    check_control(unknown, unknown, 0.6, "gives these clusters in part at most");

    gm_json_out out = {0};
    put_control(&out, 0, 0, 0, 1); /* nothing to compare */
    CHECK_HAS(out.text.at, "There is no cluster");
    CHECK(strstr(out.text.at, "ocabulary") == NULL);
    gm_text_clear(&out.text);
}

static void lengths_name_what_evens_them(void)
{
    const int32_t none = -1;
    gm_analysis a = {.distinct.m = 2};
    gm_json_out out = {0};
    gm_error err = {0};
    a.assessment.length_noise = (double)NAN;
    a.assessment.length_cluster = 0.73;
    gm_json_open_object(&out, NULL);
    CHECK_OK(gm_verdict_put(&out, &a, &(gm_atlas){.n = 1, .cluster = &none}, &err), err);
    gm_json_close_object(&out);
    CHECK_OK(gm_json_out_done(&out, &err), err);
    CHECK_HAS(out.text.at, "Clusters separate short from long documents; the same number for "
                           "'gm-probe collect' --doc-tokens and --min-tokens makes all equally "
                           "long: correlation with the cluster 0.73");
    gm_text_clear(&out.text);
}

/* What is said of one cluster, of 100 documents of three subsets, that other seeds give with an ARI
 * of `ari` and of which the largest of theirs has `largest`. */
static void put_seeds(gm_json_out *out, double ari, size_t largest, size_t min, size_t most)
{
    enum { N = 100 };
    static int32_t cluster[N];
    static uint32_t first[N];
    static uint16_t subset[N];
    static const char *const names[] = {"soup", "ships", "stars"};
    const uint32_t size = N, count[] = {34, 33, 33};
    float jaccard = 1;
    gm_analysis a = {.distinct = {.m = N, .first = first},
                     .clustering = {.label = cluster, .n_clusters = 1},
                     .hdbscan = {.min_cluster_size = min, .max_cluster_size = most}};
    gm_stability *s = &a.assessment.stability;
    gm_error err = {0};
    a.assessment.has_reruns = true;
    for (int i = 0; i < GM_N_RESEEDS; i++)
        s->seed[i] = (gm_rerun_figures){.n_points = N, .largest = largest, .ari = ari};
    s->seed_ari = s->among_seeds = ari, s->half_ari = (double)NAN, s->seed_jaccard = &jaccard;
    gm_json_open_object(out, NULL);
    for (int i = 0; i < N; i++) subset[i] = (uint16_t)(i % 3);
    const gm_atlas atlas = {.n = N,
                            .n_clusters = 1,
                            .n_subsets = 3,
                            .cluster = cluster,
                            .subset = subset,
                            .subset_name = names,
                            .size = &size,
                            .subset_count = count};
    CHECK_OK(gm_verdict_put(out, &a, &atlas, &err), err);
    gm_json_close_object(out);
    CHECK_OK(gm_json_out_done(out, &err), err);
}

static void seeds_that_disagree_name_what_helps(void)
{
    static const struct {
        double ari;
        size_t largest, most;
        bool helps;
    } cases[] = {{0.79, 11, 0, true},   /* */
                 {0.8, 11, 0, false},   /* they agree */
                 {0.4, 10, 0, false},   /* no cluster is larger */
                 {0.4, 11, 50, false}}; /* there is a limit */
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        gm_json_out out = {0};
        put_seeds(&out, cases[i].ari, cases[i].largest, 4, cases[i].most);
        CHECK_HAS(out.text.at, "ARI with five other seeds");
        const bool helps = strstr(out.text.at, "; --max-cluster-size 10 makes maps agree better");
        CHECK_INT(helps, cases[i].helps);
        gm_text_clear(&out.text);
    }
}

/* Three sentences advise a limit on the size of clusters: the same one. */
static void one_limit_is_named(void)
{
    static const char option[] = "--max-cluster-size ";
    gm_json_out out = {0};
    size_t n = 0;
    put_seeds(&out, 0.4, 11, 4, 0);
    CHECK_HAS(out.text.at, "Try --seed 0, or --max-cluster-size 10 (also in recut)");
    CHECK_HAS(out.text.at, "soup, makes up 34 % of it; recut with --max-cluster-size 10 splits it");
    for (const char *at = out.text.at; (at = strstr(at, option)) != NULL; at++, n++)
        CHECK(strncmp(at + sizeof option - 1, "10 ", 3) == 0);
    CHECK_INT(n, 3);
    gm_text_clear(&out.text);
    out = (gm_json_out){0};
    put_seeds(&out, 0.4, 11, 50, 0); /* one of 101 would split none of these 100 */
    CHECK_HAS(out.text.at, "Try --seed 0\"");
    gm_text_clear(&out.text);
}

TESTS(TEST(lengths_name_what_evens_them), TEST(seeds_that_disagree_name_what_helps),
      TEST(one_limit_is_named), TEST(the_control_says_what_it_shows),
      TEST(many_lost_groups_are_counted), TEST(figures_are_judged), TEST(doubts_come_first),
      TEST(names_are_said_whole))
