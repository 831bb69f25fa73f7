/* test_classify.c - text/classify.c: topics of made-up words are told apart.
 * label: threads */
#include "base/rng.h"
#include "base/text.h"
#include "tests/check.h"
#include "text/classify.h"

enum { N_TOPICS = 3, PER_TOPIC = 30, N_TEXTS = N_TOPICS * PER_TOPIC, TEXT_WORDS = 40 };

typedef struct texts {
    gm_text all[N_TEXTS];
    const char *at[N_TEXTS];
    size_t n_bytes[N_TEXTS];
    int32_t label[N_TEXTS];
} texts;

/* Half of a text's words are its topic's own twenty, half are common to all. */
static texts make_texts(uint64_t seed)
{
    texts t = {0};
    gm_error err = {0};
    gm_rng rng = gm_rng_make(seed, 1);
    for (size_t i = 0; i < N_TEXTS; i++) {
        t.label[i] = (int32_t)(i % N_TOPICS);
        for (int w = 0; w < TEXT_WORDS; w++) {
            unsigned word = (unsigned)gm_rng_below(&rng, 20);
            char topic = w % 2 ? (char)('a' + t.label[i]) : 'z';
            CHECK_OK(gm_text_printf(&t.all[i], &err, "%cword%u ", topic, word), err);
        }
        t.at[i] = t.all[i].at;
        t.n_bytes[i] = t.all[i].n;
    }
    return t;
}

static void clear_texts(texts *t)
{
    for (size_t i = 0; i < N_TEXTS; i++) gm_text_clear(&t->all[i]);
}

static gm_classifier *train(const texts *t)
{
    gm_classifier *classifier = NULL;
    gm_error err = {0};
    CHECK_OK(gm_classifier_train(&classifier, (gm_texts){t->at, t->n_bytes, N_TEXTS}, t->label,
                                 N_TOPICS, NULL, &err),
             err);
    return classifier;
}

static void topics_are_told_apart(void)
{
    texts seen = make_texts(1), fresh = make_texts(2);
    gm_classifier *classifier = train(&seen);
    double log_p[N_TEXTS * N_TOPICS];
    gm_error err = {0};
    CHECK_OK(gm_classifier_predict(classifier, (gm_texts){fresh.at, fresh.n_bytes, N_TEXTS}, log_p,
                                   &err),
             err);
    for (size_t i = 0; i < N_TEXTS; i++) {
        const double *row = log_p + i * N_TOPICS;
        double sum = 0;
        for (int c = 0; c < N_TOPICS; c++) {
            sum += exp(row[c]);
            if (c != fresh.label[i]) CHECK(row[fresh.label[i]] > row[c]);
        }
        CHECK_NEAR(sum, 1, 1e-12);
        CHECK(row[fresh.label[i]] > log(0.9));
    }
    gm_classifier_free(classifier);
    clear_texts(&seen);
    clear_texts(&fresh);
}

static void unknown_words_give_the_prior(void)
{
    texts seen = make_texts(1);
    gm_classifier *classifier = train(&seen);
    const char *text[] = {"entirely different", ""};
    const size_t n_bytes[] = {18, 0};
    double log_p[2 * N_TOPICS];
    gm_error err = {0};
    CHECK_OK(gm_classifier_predict(classifier, (gm_texts){text, n_bytes, 2}, log_p, &err), err);
    for (int c = 0; c < 2 * N_TOPICS; c++) CHECK_NEAR(log_p[c], -log(N_TOPICS), 1e-12);
    gm_classifier_free(classifier);
    clear_texts(&seen);
}

static void words_of_two_topics_are_even(void)
{
    texts seen = make_texts(1);
    gm_classifier *classifier = train(&seen);
    const char *text[] = {"aword1 aword2 aword3 bword1 bword2 bword3"};
    const size_t n_bytes[] = {41};
    double log_p[N_TOPICS];
    gm_error err = {0};
    CHECK_OK(gm_classifier_predict(classifier, (gm_texts){text, n_bytes, 1}, log_p, &err), err);
    CHECK_NEAR(log_p[0], log_p[1], 1);
    CHECK(log_p[2] < log_p[0] - 1 && log_p[2] < log_p[1] - 1);
    gm_classifier_free(classifier);
    clear_texts(&seen);
}

static void wrong_labels_are_named(void)
{
    texts t = make_texts(1);
    gm_classifier *classifier = NULL;
    gm_error err = {0};
    CHECK_FAILS(gm_classifier_train(&classifier, (gm_texts){t.at, t.n_bytes, N_TEXTS}, t.label, 4,
                                    NULL, &err),
                err, GM_EARG, "class 3 has no text");
    CHECK_FAILS(gm_classifier_train(&classifier, (gm_texts){t.at, t.n_bytes, N_TEXTS}, t.label, 2,
                                    NULL, &err),
                err, GM_EARG, "label 2");
    CHECK_FAILS(gm_classifier_train(&classifier, (gm_texts){t.at, t.n_bytes, N_TEXTS}, t.label, 1,
                                    NULL, &err),
                err, GM_EARG, "at least two");
    CHECK(classifier == NULL);
    clear_texts(&t);
}

TESTS(TEST(topics_are_told_apart), TEST(unknown_words_give_the_prior),
      TEST(words_of_two_topics_are_even), TEST(wrong_labels_are_named))
