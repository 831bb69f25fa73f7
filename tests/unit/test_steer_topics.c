/* test_steer_topics.c - steer/sweep/topics.c: fixed texts are the first tokens of documents,
 * however long these are.
 */
#include "steer/sweep/topics_given.h"
#include "steer/sweep/topics.h"

#include "tests/check.h"

static const char TINY[] = TEST_DATA "/golden/models/deepseek-tiny";

enum { N = 5, LONG = 40000 };

/* Words, one word without a blank, blanks alone, a short text, none. */
static void write_texts(char *at[N], size_t n[N])
{
    static const char *const words[] = {"salt ", "onion, ", "\n\n", "жизнь ", "  x", "0123456789"};
    for (int i = 0; i < N; i++) {
        gm_text text = {0};
        gm_error err = {0};
        unsigned state = 7;
        while (i < 3 && text.n < LONG) {
            state = state * 1103515245u + 12345u;
            const char *piece = i == 0 ? words[state / 65536u % 6] : i == 1 ? "onion" : "   \n";
            CHECK_OK(gm_text_add(&text, piece, &err), err);
        }
        if (i == 3) CHECK_OK(gm_text_add(&text, "salt and onion", &err), err);
        if (i == 4) CHECK_OK(gm_text_add(&text, "", &err), err);
        at[i] = text.at;
        n[i] = text.n;
    }
}

static void passages_are_heads_of_documents(void)
{
    gm_error err = {0};
    gm_setup_options options = gm_setup_defaults();
    gm_setup setup = {0};
    gm_protocol protocol = {.passages = N};
    char *text[N];
    const char *borrowed[N];
    size_t n_bytes[N];
    int32_t label[N] = {0};
    bool held_out[N] = {0};
    options.model = TINY;
    options.threads = 1;
    CHECK_OK(gm_setup_open(&setup, &options, &err), err);
    CHECK_TEXT(setup.info->device, ""); /* no weight is loaded yet */
    write_texts(text, n_bytes);
    for (int i = 0; i < N; i++) borrowed[i] = text[i] ? text[i] : "";
    gm_study s = {.protocol = &protocol,
                  .setup = &setup,
                  .judge = {.text = borrowed,
                            .n_bytes = n_bytes,
                            .label = label,
                            .held_out = held_out,
                            .n = N,
                            .n_classes = 1}};
    CHECK_OK(gm_topics_read_passages(&s, &err), err);
    CHECK_INT(s.n_passages, 4); /* an empty document is none */
    for (size_t i = 0; i < s.n_passages && i < 4; i++) {
        gm_ids whole = {0};
        CHECK_OK(gm_encode(setup.encoder, borrowed[i], n_bytes[i], true, &whole, NULL, &err), err);
        size_t n = whole.n < GM_PASSAGE_TOKENS ? whole.n : GM_PASSAGE_TOKENS;
        CHECK_INT(s.passage[i].ids.n, n);
        CHECK_BYTES(s.passage[i].ids.at, whole.at, n * sizeof *whole.at);
        gm_ids_clear(&whole);
    }
    for (size_t i = 0; i < s.n_passages; i++) gm_ids_clear(&s.passage[i].ids);
    gm_free(s.passage);
    for (int i = 0; i < N; i++) gm_free(text[i]);
    gm_setup_close(&setup);
}

/* A cluster without documents cannot be named, and is passed over. */
static void an_empty_cluster_is_refused(void)
{
    static const uint32_t size[1] = {0}, count[1] = {0};
    static const char *const names[] = {"soup"};
    static const char *zero[] = {"0"};
    gm_error err = {0};
    const char *filter[] = {"lift"};
    gm_atlas atlas = {.n_clusters = 1,
                      .n_subsets = 1,
                      .n_layers = 1,
                      .n_experts = 1,
                      .size = size,
                      .subset_count = count,
                      .subset_name = names};
    const gm_setup setup = {.atlas = &atlas};
    gm_protocol protocol = {.recipe = gm_recipe_defaults(), .n_clusters = 1, .n_filters = 1};
    gm_study s = {.protocol = &protocol, .setup = &setup};
    protocol.filter[0] = filter[0];
    CHECK_FAILS(gm_topics_choose(&s, &err), err, GM_EARG, "no cluster has a purity of 0");
    gm_free(s.topic);
    gm_given_clear(&s);
    protocol.recipe.clusters = (gm_opt_list){zero, 1};
    CHECK_FAILS(gm_topics_choose(&s, &err), err, GM_EARG, "cluster 0 has no documents");
    gm_free(s.topic);
    gm_given_clear(&s);
}

/* An atlas of layer 3 alone, of a model with 1, 2 and 3: its important experts are of that. */
static void important_experts_are_in_the_layers_of_the_atlas(void)
{
    static const int some[] = {3}, all[] = {1, 2, 3};
    static const uint32_t size[1] = {9}, count[1] = {9};
    static const char *names[] = {"soup"}, *words[GM_N_KEYWORDS] = {"salt", ""};
    static const float usage[] = {.75f, .25f}, halves[] = {.75f, .25f, .75f, .25f},
                       corpus[] = {.5f, .5f};
    static const uint8_t important[] = {1, 0};
    gm_error err = {0};
    gm_atlas atlas = {.n_clusters = 1,
                      .n_subsets = 1,
                      .n_layers = 1,
                      .n_experts = 2,
                      .layer_of_moe = some,
                      .n_trace_layers = 3,
                      .trace_layer = all,
                      .size = size,
                      .subset_count = count,
                      .subset_name = names,
                      .keyword = words,
                      .usage = usage,
                      .usage_half = halves,
                      .corpus_usage = corpus,
                      .corpus_usage_half = halves,
                      .important = important};
    const gm_model_info info = {.n_moe_layers = 3,
                                .n_experts = 2,
                                .n_chosen = 1,
                                .layer_of_moe = all,
                                .digest = "",
                                .config_digest = ""};
    const gm_setup_options options = gm_setup_defaults();
    const gm_setup setup = {.atlas = &atlas, .info = &info, .options = &options};
    gm_protocol protocol = {
        .recipe = gm_recipe_defaults(), .n_clusters = 1, .n_filters = 1, .dose = {1}, .n_doses = 1};
    gm_study s = {.protocol = &protocol, .setup = &setup, .judge = {.name = names, .n_classes = 1}};
    protocol.filter[0] = "lift";
    CHECK_OK(gm_topics_choose(&s, &err), err);
    CHECK_INT(s.n_topics, 1);
    static const uint8_t want[] = {0, 0, 0, 0, 1, 0};
    if (s.n_topics == 1) CHECK_BYTES(s.topic[0].important, want, sizeof want);
    gm_free(s.topic);
    gm_arena_clear(&s.arena);
    gm_given_clear(&s);
}

/* The fixed texts of both halves, of `there` passages of class 0 and as many of class 1, which
 * is the topic's; "012|345": the judging half's numbers, then the choosing half's. */
static const char *show_halves(int there, int64_t wanted, size_t n_doses, gm_passage_kind kind)
{
    enum { MOST = 20 };
    static char text[64];
    gm_sweep_passage passage[MOST] = {0};
    gm_topic topic = {.class_id = 1};
    const gm_protocol p = {.passages = wanted, .dose = {1, 2}, .n_doses = n_doses, .n_filters = 1};
    for (int i = 0; i < 2 * there; i++) passage[i].class_id = i % 2, passage[i].nth = (size_t)i / 2;
    const gm_study s = {.protocol = &p,
                        .topic = &topic,
                        .n_topics = 1,
                        .passage = passage,
                        .n_passages = (size_t)(2 * there)};
    size_t at[MOST], end = 0;
    for (int half = 1; half >= 0; half--) {
        size_t n = gm_topics_passages(&s, 0, kind, half, at, MOST);
        for (size_t i = 0; i < n; i++) text[end++] = (char)('0' + at[i] / 2);
        text[end++] = half ? '|' : '\0';
    }
    return text;
}

/* What a dose costs is judged on other texts than those on which it was chosen, of the same
 * classes. */
static void each_half_has_its_fixed_texts(void)
{
    CHECK_TEXT(show_halves(8, 3, 2, GM_NEUTRAL), "024|135");
    CHECK_TEXT(show_halves(8, 3, 2, GM_IN_TOPIC), "024|135");
    CHECK_TEXT(show_halves(8, 3, 2, GM_OFF_TOPIC), "024|135");
    CHECK_TEXT(show_halves(4, 3, 2, GM_NEUTRAL), "02|13");
    CHECK_TEXT(show_halves(3, 4, 2, GM_NEUTRAL), "02|1");
    CHECK_TEXT(show_halves(1, 4, 2, GM_NEUTRAL), "0|0");
    CHECK_TEXT(show_halves(8, 3, 1, GM_NEUTRAL), "012|012"); /* nothing is chosen */
}

static void names_fit_a_line(void)
{
    char shown[GM_TOPIC_NAME_BYTES], name[256] = "a";
    const gm_plan plan = {0};
    gm_topic t = {.given = &plan, .name = "food.plan.safetensors", .cluster = 3};
    CHECK_TEXT(gm_topic_show(shown, &t), "plan food.plan.safetensors");
    t.name = "\x1b[31m\xd1.plan";
    CHECK_TEXT(gm_topic_show(shown, &t), "plan \\x1b[31m\\xd1.plan");
    for (size_t i = 1; i < 241; i += 2) memcpy(name + i, "\xd1\x8e", 3);
    t.name = name;
    gm_topic_show(shown, &t);
    CHECK_INT(gm_utf8_valid(shown, strlen(shown)), strlen(shown));
    CHECK_HAS(shown, "\xd1\x8e..."); /* cut between two characters */
    t.given = NULL;
    t.subset = "Food";
    CHECK_TEXT(gm_topic_show(shown, &t), "subset Food");
    t.subset = NULL;
    CHECK_TEXT(gm_topic_show(shown, &t), "cluster 3");
}

TESTS(TEST(each_half_has_its_fixed_texts), TEST(passages_are_heads_of_documents),
      TEST(an_empty_cluster_is_refused), TEST(important_experts_are_in_the_layers_of_the_atlas),
      TEST(names_fit_a_line))
