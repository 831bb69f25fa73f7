/* test_keywords_golden.c - words, TF-IDF and stop words against scikit-learn, class TF-IDF against
 * BERTopic; agreement of labelings and trustworthiness against scikit-learn's metrics.
 */
#include "cluster/map_quality.h"
#include "cluster/quality.h"
#include "tests/golden_tensors.h"
#include "text/stop_words.h"
#include "text/tfidf.h"

enum { MAX_TEXTS = 64, N_CLASSES = 4, N_BEST = 10, N_ALL = 256 };

typedef struct corpus {
    gm_json *root;
    const char *text[MAX_TEXTS];
    size_t n_bytes[MAX_TEXTS], n;
    int32_t label[MAX_TEXTS];
    gm_vocabulary *vocabulary;
    gm_bag counts;
} corpus;

static corpus open_corpus(unsigned stop)
{
    corpus c = {.root = golden_json("cluster/corpus.json")};
    gm_error err = {0};
    const gm_words_options how = {.stop = stop};
    const gm_json *t = gm_json_first(gm_json_find(c.root, "texts"));
    for (; t && c.n < MAX_TEXTS; t = gm_json_next(t), c.n++) {
        int64_t label = 0;
        c.text[c.n] = gm_json_text(gm_json_find(t, "text"), &c.n_bytes[c.n]);
        gm_json_i64(gm_json_find(t, "class"), &label);
        c.label[c.n] = (int32_t)label;
    }
    CHECK_OK(gm_vocabulary_create(&c.vocabulary, &err), err);
    CHECK_OK(gm_bag_count(&c.counts, c.vocabulary, false, (gm_texts){c.text, c.n_bytes, c.n}, &how,
                          &err),
             err);
    return c;
}

static void close_corpus(corpus *c)
{
    gm_bag_clear(&c->counts);
    gm_vocabulary_free(c->vocabulary);
    gm_json_free(c->root);
}

/* [[word, score], ...], best first, against one class; nothing comes after the last. */
static void check_class(const gm_keyword *got, size_t n_best, const gm_json *want,
                        const gm_vocabulary *vocabulary)
{
    size_t k = 0;
    for (const gm_json *row = gm_json_first(want); row && k < n_best;
         row = gm_json_next(row), k++) {
        const gm_json *word = gm_json_first(row);
        CHECK(got[k].word != UINT32_MAX);
        if (got[k].word == UINT32_MAX) return;
        CHECK_NEAR(got[k].score, golden_number(gm_json_next(word)), 1e-9);
        CHECK_TEXT(gm_vocabulary_word(vocabulary, got[k].word), gm_json_text(word, NULL));
    }
    for (; k < n_best; k++) CHECK_INT(got[k].word, UINT32_MAX);
}

static void check_keywords(const corpus *c, const gm_json *entry, gm_keyword_method method,
                           const gm_tfidf_options *how, size_t n_best)
{
    static gm_keyword got[N_CLASSES * N_ALL];
    gm_error err = {0};
    const gm_keyword_classes classes = {.label = c->label, .n = N_CLASSES, .keyword = got};
    const gm_keyword_options options = {.method = method, .n_keywords = n_best, .tfidf = *how};
    CHECK_OK(gm_keywords_find(&classes, 1, &c->counts, c->vocabulary, &options, &err), err);
    const gm_json *want = gm_json_find(entry, "keywords");
    for (int k = 0; k < N_CLASSES; k++) {
        char name[16];
        snprintf(name, sizeof name, "%d", k);
        check_class(got + (size_t)k * n_best, n_best, gm_json_find(want, name), c->vocabulary);
    }
}

/* idf of every term, and that no other word has one. */
static void check_idf(const corpus *c, const gm_json *entry, const gm_tfidf_options *how)
{
    const size_t n = gm_vocabulary_n(c->vocabulary);
    double *idf = gm_alloc(n, sizeof *idf);
    gm_error err = {0};
    size_t n_terms = 0, n_kept = 0;
    CHECK_OK(gm_tfidf_fit(idf, &c->counts, c->vocabulary, how, &err), err);
    const gm_json *term = gm_json_first(gm_json_find(entry, "terms"));
    const gm_json *value = gm_json_first(gm_json_find(entry, "idf"));
    for (; term; term = gm_json_next(term), value = gm_json_next(value), n_terms++) {
        uint32_t id;
        size_t length;
        const char *word = gm_json_text(term, &length);
        bool found = gm_vocabulary_find(c->vocabulary, word, length, &id);
        if (!found) TEST_FAILED_("no word '%s'", word);
        if (found) CHECK_NEAR(idf[id], golden_number(value), 1e-9);
    }
    for (size_t w = 0; w < n; w++) n_kept += idf[w] > 0;
    CHECK_INT(n_kept, n_terms);
    gm_free(idf);
}

/* rows [[term, weight], ...], terms numbered as in `terms`. */
static void check_rows(corpus *c, const gm_json *entry, const gm_tfidf_options *how)
{
    const size_t n = gm_vocabulary_n(c->vocabulary);
    double *idf = gm_alloc(n, sizeof *idf);
    const char *term[1024];
    gm_error err = {0};
    size_t n_terms = 0, i = 0;
    const gm_json *t = gm_json_first(gm_json_find(entry, "terms"));
    for (; t && n_terms < 1024; t = gm_json_next(t)) term[n_terms++] = gm_json_text(t, NULL);
    CHECK_OK(gm_tfidf_fit(idf, &c->counts, c->vocabulary, how, &err), err);
    gm_tfidf_apply(&c->counts, idf, how->sublinear);
    const gm_json *row = gm_json_first(gm_json_find(entry, "rows"));
    for (; row; row = gm_json_next(row), i++) {
        CHECK_INT(gm_json_n_items(row), c->counts.indptr[i + 1] - c->counts.indptr[i]);
        for (const gm_json *cell = gm_json_first(row); cell; cell = gm_json_next(cell)) {
            double weight = NAN, want = golden_number(gm_json_next(gm_json_first(cell)));
            const char *word = term[(size_t)golden_number(gm_json_first(cell))];
            for (uint64_t e = c->counts.indptr[i]; e < c->counts.indptr[i + 1]; e++)
                if (strcmp(gm_vocabulary_word(c->vocabulary, c->counts.word[e]), word) == 0)
                    weight = c->counts.value[e];
            CHECK_NEAR(weight, want, 1e-9);
        }
    }
    CHECK_INT(i, c->n);
    gm_free(idf);
}

typedef struct setting {
    const char *name;
    unsigned stop;
    bool rows; /* compared whole */
    gm_tfidf_options how;
} setting;

static void tfidf_agrees(void)
{
    static const setting settings[] = {
        {"default", GM_STOP_NONE, true, {.min_df = 1}},
        {"df-limits", GM_STOP_NONE, true, {.min_df = 2, .max_df = 0.2}},
        {"english-stop-words", GM_STOP_ENGLISH, false, {.min_df = 1}},
        {"max-features", GM_STOP_NONE, false, {.min_df = 1, .max_features = 49}},
        {"sublinear", GM_STOP_NONE, true, {.min_df = 1, .sublinear = true}},
    };
    gm_json *golden = golden_json("cluster/keywords.json");
    for (size_t s = 0; s < sizeof settings / sizeof *settings; s++) {
        const gm_json *entry = gm_json_find(gm_json_find(golden, "tfidf"), settings[s].name);
        corpus c = open_corpus(settings[s].stop);
        check_idf(&c, entry, &settings[s].how);
        check_keywords(&c, entry, GM_KEYWORDS_TFIDF, &settings[s].how, N_BEST);
        if (settings[s].rows) check_rows(&c, entry, &settings[s].how);
        close_corpus(&c);
    }
    gm_json_free(golden);
}

/* Every word of every class. */
static void class_tfidf_agrees(void)
{
    const gm_tfidf_options how = {.min_df = 1};
    gm_json *golden = golden_json("cluster/keywords.json");
    corpus c = open_corpus(GM_STOP_NONE);
    check_keywords(&c, gm_json_find(golden, "ctfidf"), GM_KEYWORDS_CLASS, &how, N_ALL);
    close_corpus(&c);
    gm_json_free(golden);
}

/* The words of one text, against a list of them: how often each, whatever the order. */
static void check_tokens(const char *text, size_t n_bytes, const gm_json *want)
{
    gm_vocabulary *vocabulary = NULL;
    gm_bag bag;
    gm_error err = {0};
    size_t n_words = 0;
    CHECK_OK(gm_vocabulary_create(&vocabulary, &err), err);
    CHECK_OK(gm_bag_count(&bag, vocabulary, false, (gm_texts){&text, &n_bytes, 1}, NULL, &err),
             err);
    for (const gm_json *w = gm_json_first(want); w; w = gm_json_next(w)) {
        size_t n;
        uint32_t id;
        const char *word = gm_json_text(w, &n);
        bool found = gm_vocabulary_find(vocabulary, word, n, &id);
        if (!found) TEST_FAILED_("no word '%s' in '%s'", word, text);
        if (found) bag.value[id]--; /* one row: entries are numbered as the words are */
    }
    for (size_t e = 0; e < bag.n_entries; e++, n_words++)
        if (bag.value[e] != 0)
            TEST_FAILED_("'%s' is counted %+g times too often",
                         gm_vocabulary_word(vocabulary, bag.word[e]), bag.value[e]);
    CHECK_INT(n_words, gm_vocabulary_n(vocabulary));
    gm_bag_clear(&bag);
    gm_vocabulary_free(vocabulary);
}

static void tokens_agree(void)
{
    gm_json *golden = golden_json("cluster/keywords.json"),
            *texts = golden_json("cluster/corpus.json");
    const gm_json *tokens = gm_json_find(golden, "tokens");
    const gm_json *text = gm_json_first(gm_json_find(texts, "texts"));
    const gm_json *want = gm_json_first(gm_json_find(tokens, "texts"));
    size_t n, count = 0;
    for (; want; want = gm_json_next(want), text = gm_json_next(text), count++) {
        const char *at = gm_json_text(gm_json_find(text, "text"), &n);
        check_tokens(at, n, want);
    }
    for (const gm_json *c = gm_json_first(gm_json_find(tokens, "cases")); c; c = gm_json_next(c)) {
        const char *at = gm_json_text(gm_json_find(c, "text"), &n);
        check_tokens(at, n, gm_json_find(c, "tokens"));
        count++;
    }
    CHECK_INT(count, 54);
    gm_json_free(golden);
    gm_json_free(texts);
}

static void stop_words_agree(void)
{
    gm_json *golden = golden_json("cluster/keywords.json");
    const gm_json *want = gm_json_first(gm_json_find(golden, "english_stop_words"));
    const char *ours = gm_stop_list(GM_STOP_ENGLISH);
    for (; want; want = gm_json_next(want)) { /* both in order of the words */
        size_t n;
        const char *word = gm_json_text(want, &n);
        CHECK(strncmp(ours, word, n) == 0 && ours[n] == ' ');
        ours += strcspn(ours, " ") + 1;
    }
    CHECK_TEXT(ours, "");
    gm_json_free(golden);
}

static void labelings_agree(void)
{
    static const char *const names[] = {"close", "independent", "one", "same", "split"};
    gm_json *golden = golden_json("cluster/metrics.json");
    for (size_t s = 0; s < 5; s++) {
        const gm_json *entry = gm_json_find(gm_json_find(golden, "labels"), names[s]);
        int32_t found[128], truth[128];
        size_t n = 0;
        gm_agreement got;
        gm_error err = {0};
        const gm_json *f = gm_json_first(gm_json_find(entry, "found"));
        const gm_json *t = gm_json_first(gm_json_find(entry, "truth"));
        for (; f && n < 128; f = gm_json_next(f), t = gm_json_next(t), n++)
            found[n] = (int32_t)golden_number(f), truth[n] = (int32_t)golden_number(t);
        CHECK_OK(gm_quality_agreement(&got, found, truth, n, &err), err);
        CHECK_NEAR(got.ari, golden_number(gm_json_find(entry, "ari")), 1e-9);
        CHECK_NEAR(got.ami, golden_number(gm_json_find(entry, "ami")), 1e-9);
        CHECK_NEAR(got.nmi, golden_number(gm_json_find(entry, "nmi")), 1e-9);
        CHECK_NEAR(got.homogeneity, golden_number(gm_json_find(entry, "homogeneity")), 1e-9);
        CHECK_NEAR(got.completeness, golden_number(gm_json_find(entry, "completeness")), 1e-9);
        CHECK_NEAR(got.purity, golden_number(gm_json_find(entry, "purity")), 1e-9);
    }
    gm_json_free(golden);
}

/* Columns of iris hold many equal distances, which scikit-learn's sorts leave in any order and
 * we in the order of numbers: within 2e-4. test_quality.c has data without ties. */
static void trustworthiness_and_continuity_agree(void)
{
    gm_json *golden = golden_json("cluster/metrics.json");
    const gm_json *iris = gm_json_find(golden, "iris");
    golden_file file = golden_open("cluster/umap.safetensors");
    size_t n, column[2];
    float *x = golden_floats(&file, "iris.x", &n);
    float xy[300];
    gm_points points;
    gm_error err = {0};
    const gm_json *c = gm_json_first(gm_json_find(iris, "layout_columns"));
    for (int i = 0; i < 2; i++, c = gm_json_next(c)) column[i] = (size_t)golden_number(c);
    n /= 4;
    for (size_t i = 0; i < 2 * n; i++) xy[i] = x[i / 2 * 4 + column[i % 2]];
    CHECK_OK(gm_points_init(&points, x, n, 4, GM_EUCLIDEAN, &err), err);
    for (int side = 0; side < 2; side++) {
        const char *name = side ? "continuity" : "trustworthiness";
        const gm_json *want = gm_json_first(gm_json_find(iris, name));
        CHECK(want != NULL);
        for (; want; want = gm_json_next(want)) {
            gm_map_quality got;
            int k = (int)strtol(gm_json_key(want), NULL, 10);
            CHECK_OK(gm_map_quality_find(&got, &points, xy, 2, k, n, &err), err);
            CHECK_NEAR(side ? got.continuity : got.trustworthiness, golden_number(want), 2e-4);
        }
    }
    gm_points_clear(&points);
    gm_free(x);
    golden_close(&file);
    gm_json_free(golden);
}

TESTS(TEST(tokens_agree), TEST(stop_words_agree), TEST(tfidf_agrees), TEST(class_tfidf_agrees),
      TEST(labelings_agree), TEST(trustworthiness_and_continuity_agree))
