/* test_keywords.c - text/keywords.c: scores worked by hand, ties, noise, words of one stem. */
#include "tests/text_bag.h"
#include "text/tfidf.h"

enum { N_BEST = 4 };

static const char *const TEXTS[] = {"ball goal ball", "goal team", "flour milk", "milk salt",
                                    "noise goal"};
static const int32_t LABEL[] = {0, 0, 1, 1, -1};

/* "word word " of class c, as many as were found. */
static const char *shown(const text_bag *bag, const gm_keyword *best, size_t c)
{
    static char text[256];
    size_t at = 0;
    text[0] = '\0';
    for (size_t k = 0; k < N_BEST; k++) {
        uint32_t word = best[c * N_BEST + k].word;
        if (word == UINT32_MAX) continue;
        at += (size_t)snprintf(text + at, sizeof text - at, "%s ",
                               gm_vocabulary_word(bag->vocabulary, word));
    }
    return text;
}

static void find(gm_keyword *best, const text_bag *bag, const int32_t *label, size_t n_classes,
                 gm_keyword_method method, bool stems)
{
    const gm_keyword_classes classes = {.label = label, .n = n_classes, .keyword = best};
    const gm_keyword_options how = {
        .method = method, .n_keywords = N_BEST, .stems = stems, .tfidf.min_df = 1};
    gm_error err = {0};
    CHECK_OK(gm_keywords_find(&classes, 1, &bag->counts, bag->vocabulary, &how, &err), err);
}

/* Means of rows: idf of goal (3 of 5 texts) ln(6/4)+1, of milk ln(6/3)+1, of the rest
 * ln(6/2)+1. */
static void tfidf_by_hand(void)
{
    text_bag bag = text_bag_make(TEXTS, 5, NULL);
    gm_keyword best[2 * N_BEST];
    const double goal = log(6.0 / 4) + 1, milk = log(2) + 1, rare = log(3) + 1;
    find(best, &bag, LABEL, 2, GM_KEYWORDS_TFIDF, false);
    CHECK_TEXT(shown(&bag, best, 0), "ball goal team ");
    CHECK_NEAR(best[0].score, 2 * rare / hypot(2 * rare, goal) / 2, 1e-15);
    CHECK_NEAR(best[1].score, (goal / hypot(2 * rare, goal) + goal / hypot(rare, goal)) / 2, 1e-15);
    CHECK_NEAR(best[2].score, rare / hypot(rare, goal) / 2, 1e-15);
    CHECK_INT(best[3].word, UINT32_MAX);
    CHECK_NEAR(best[3].score, 0, 0);
    CHECK_TEXT(shown(&bag, best, 1), "milk flour salt "); /* equal scores: by word */
    CHECK_NEAR(best[N_BEST].score, milk / hypot(milk, rare), 1e-15);
    text_bag_clear(&bag);
}

/* Five, four and two words in the classes and the noise: A = floor(11/3) = 3. */
static void class_tfidf_by_hand(void)
{
    text_bag bag = text_bag_make(TEXTS, 5, NULL);
    gm_keyword best[2 * N_BEST];
    find(best, &bag, LABEL, 2, GM_KEYWORDS_CLASS, false);
    CHECK_TEXT(shown(&bag, best, 0), "ball goal team ");
    CHECK_NEAR(best[0].score, 2.0 / 5 * log(1 + 3.0 / 2), 1e-15);
    CHECK_NEAR(best[1].score, 2.0 / 5 * log(1 + 3.0 / 3), 1e-15);
    CHECK_NEAR(best[2].score, 1.0 / 5 * log(1 + 3.0 / 1), 1e-15);
    CHECK_TEXT(shown(&bag, best, 1), "milk flour salt ");
    CHECK_NEAR(best[N_BEST].score, 2.0 / 4 * log(1 + 3.0 / 2), 1e-15);
    text_bag_clear(&bag);
}

static void no_more_than_were_asked(void)
{
    const char *const text[] = {"aa bb cc dd ee ff", "gg"};
    const int32_t label[] = {0, 1};
    text_bag bag = text_bag_make(text, 2, NULL);
    gm_keyword best[2 * N_BEST];
    find(best, &bag, label, 2, GM_KEYWORDS_TFIDF, false);
    CHECK_TEXT(shown(&bag, best, 0), "aa bb cc dd ");
    CHECK_TEXT(shown(&bag, best, 1), "gg ");
    text_bag_clear(&bag);
}

static void words_of_one_stem_are_one_keyword(void)
{
    const char *const text[] = {"команда команды команды гол", "команде", "мука мука",
                                "running runs"};
    const int32_t label[] = {0, 0, 1, 1};
    text_bag bag = text_bag_make(text, 4, NULL);
    gm_keyword best[2 * N_BEST];
    find(best, &bag, label, 2, GM_KEYWORDS_CLASS, true);
    CHECK_TEXT(shown(&bag, best, 0), "команды гол ");
    CHECK_TEXT(shown(&bag, best, 1), "running мука "); /* equal scores: by the word */
    find(best, &bag, label, 2, GM_KEYWORDS_CLASS, false);
    CHECK_TEXT(shown(&bag, best, 0), "команды гол команда команде ");
    text_bag_clear(&bag);
}

/* The bag that was given stays as it was. */
static void counts_are_only_read(void)
{
    text_bag bag = text_bag_make(TEXTS, 5, NULL);
    gm_keyword best[2 * N_BEST];
    find(best, &bag, LABEL, 2, GM_KEYWORDS_TFIDF, true);
    CHECK_INT(bag.counts.n_entries, 10);
    CHECK_NEAR(bag.counts.value[0], 2, 0);
    text_bag_clear(&bag);
}

static void a_class_without_words_has_none(void)
{
    const char *const text[] = {"", "aa bb"};
    const int32_t label[] = {0, -1};
    text_bag bag = text_bag_make(text, 2, NULL);
    gm_keyword best[2 * N_BEST];
    for (int method = GM_KEYWORDS_TFIDF; method <= GM_KEYWORDS_CLASS; method++) {
        find(best, &bag, label, 2, (gm_keyword_method)method, true);
        CHECK_TEXT(shown(&bag, best, 0), "");
        CHECK_TEXT(shown(&bag, best, 1), "");
    }
    text_bag_clear(&bag);
    bag = text_bag_make(text, 1, NULL); /* no word at all */
    find(best, &bag, label, 1, GM_KEYWORDS_TFIDF, true);
    CHECK_INT(best[0].word, UINT32_MAX);
    text_bag_clear(&bag);
}

/* Class 0 holds classes 1 and 2: its words are those of the rows of all three. */
static void classes_in_classes(void)
{
    text_bag bag = text_bag_make(TEXTS, 5, NULL);
    const int32_t nested[] = {1, 1, 2, 2, 0}, flat[] = {0, 0, 0, 0, 0};
    const uint32_t parent[] = {0, 0, 0};
    gm_keyword best[3 * N_BEST], alone[3 * N_BEST], all[N_BEST];
    const gm_keyword_options how = {.n_keywords = N_BEST, .tfidf.min_df = 1};
    gm_error err = {0};
    const gm_keyword_classes classes[] = {{.label = flat, .n = 1, .keyword = all},
                                          {nested, parent, 3, best},
                                          {nested, NULL, 3, alone}};
    CHECK_OK(gm_keywords_find(classes, 3, &bag.counts, bag.vocabulary, &how, &err), err);
    CHECK_TEXT(shown(&bag, best, 1), "ball goal team ");
    CHECK_TEXT(shown(&bag, best, 2), "milk flour salt ");
    for (size_t k = 0; k < N_BEST; k++) {
        CHECK_INT(best[k].word, all[k].word);
        CHECK_NEAR(best[k].score, all[k].score, 0);
        CHECK_INT(best[N_BEST + k].word, alone[N_BEST + k].word);
    }
    CHECK_TEXT(shown(&bag, alone, 0), "noise goal ");
    text_bag_clear(&bag);
}

static gm_status find_again(void *state, gm_error *err)
{
    text_bag *bag = state;
    gm_keyword best[2 * N_BEST];
    const gm_keyword_classes classes = {.label = LABEL, .n = 2, .keyword = best};
    const gm_keyword_options how = {.n_keywords = N_BEST, .stems = true, .tfidf.min_df = 1};
    return gm_keywords_find(&classes, 1, &bag->counts, bag->vocabulary, &how, err);
}

static void survives_every_allocation_failure(void)
{
    text_bag bag = text_bag_make(TEXTS, 5, NULL);
    check_every_allocation(find_again, &bag);
    text_bag_clear(&bag);
}

TESTS(TEST(tfidf_by_hand), TEST(class_tfidf_by_hand), TEST(no_more_than_were_asked),
      TEST(words_of_one_stem_are_one_keyword), TEST(counts_are_only_read),
      TEST(a_class_without_words_has_none), TEST(classes_in_classes),
      TEST(survives_every_allocation_failure))
