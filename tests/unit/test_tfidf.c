/* test_tfidf.c - text/tfidf.c: idf and rows worked by hand, limits, words of equal rank. */
#include "text/tfidf.h"

#include "tests/text_bag.h"

static const char *const TEXTS[] = {"aa bb aa", "aa cc", "aa bb dd", ""};
enum { N_TEXTS = 4 };

static double idf_of(const text_bag *bag, const double *idf, const char *word)
{
    return idf[text_bag_id(bag, word)];
}

static void idf_is_smoothed(void)
{
    text_bag bag = text_bag_make(TEXTS, N_TEXTS, NULL);
    const gm_tfidf_options how = {.min_df = 1};
    double idf[4];
    gm_error err = {0};
    CHECK_OK(gm_tfidf_fit(idf, &bag.counts, bag.vocabulary, &how, &err), err);
    CHECK_NEAR(idf_of(&bag, idf, "aa"), log(5.0 / 4) + 1, 1e-15);
    CHECK_NEAR(idf_of(&bag, idf, "bb"), log(5.0 / 3) + 1, 1e-15);
    CHECK_NEAR(idf_of(&bag, idf, "dd"), log(5.0 / 2) + 1, 1e-15);

    gm_tfidf_apply(&bag.counts, idf, false);
    double a = 2 * idf_of(&bag, idf, "aa"), b = idf_of(&bag, idf, "bb"), length = hypot(a, b);
    CHECK_NEAR(bag.counts.value[0], a / length, 1e-15);
    CHECK_NEAR(bag.counts.value[1], b / length, 1e-15);
    CHECK_INT(bag.counts.indptr[4], bag.counts.indptr[3]);
    text_bag_clear(&bag);
}

static void a_word_of_every_text_has_idf_one(void)
{
    text_bag bag = text_bag_make(TEXTS, 3, NULL);
    const gm_tfidf_options how = {.min_df = 1};
    double idf[4];
    gm_error err = {0};
    CHECK_OK(gm_tfidf_fit(idf, &bag.counts, bag.vocabulary, &how, &err), err);
    CHECK_NEAR(idf_of(&bag, idf, "aa"), 1, 0);
    text_bag_clear(&bag);
}

static void rows_have_length_one_or_are_empty(void)
{
    text_bag bag = text_bag_make(TEXTS, N_TEXTS, NULL);
    const gm_tfidf_options how = {.min_df = 2, .max_df = 2, .sublinear = true};
    double idf[4];
    gm_error err = {0};
    CHECK_OK(gm_tfidf_fit(idf, &bag.counts, bag.vocabulary, &how, &err), err);
    gm_tfidf_apply(&bag.counts, idf, true);
    const uint64_t indptr[] = {0, 1, 1, 2, 2}; /* bb alone is in two texts, not three */
    CHECK_BYTES(bag.counts.indptr, indptr, sizeof indptr);
    CHECK_NEAR(bag.counts.value[0], 1, 0);
    CHECK_NEAR(bag.counts.value[1], 1, 0);
    CHECK_INT(bag.counts.n_entries, 2);
    text_bag_clear(&bag);
}

static void sublinear_counts(void)
{
    text_bag bag = text_bag_make(TEXTS, N_TEXTS, NULL);
    const double idf[] = {1, 1, 0, 0};
    gm_tfidf_apply(&bag.counts, idf, true);
    double twice = 1 + log(2);
    CHECK_NEAR(bag.counts.value[0], twice / hypot(twice, 1), 1e-15);
    text_bag_clear(&bag);
}

/* Totals: aa 4, bb 2, cc 1, dd 1; equal totals go by the word. */
static void the_most_frequent_words_are_kept(void)
{
    text_bag bag = text_bag_make(TEXTS, N_TEXTS, NULL);
    gm_tfidf_options how = {.min_df = 1, .max_features = 3};
    double idf[4];
    gm_error err = {0};
    CHECK_OK(gm_tfidf_fit(idf, &bag.counts, bag.vocabulary, &how, &err), err);
    CHECK(idf_of(&bag, idf, "cc") > 0);
    CHECK_NEAR(idf_of(&bag, idf, "dd"), 0, 0);
    how.max_features = 1;
    CHECK_OK(gm_tfidf_fit(idf, &bag.counts, bag.vocabulary, &how, &err), err);
    CHECK(idf_of(&bag, idf, "aa") > 0);
    CHECK_NEAR(idf_of(&bag, idf, "bb"), 0, 0);
    text_bag_clear(&bag);
}

static void shares_and_numbers_of_rows(void)
{
    text_bag bag = text_bag_make(TEXTS, N_TEXTS, NULL);
    gm_tfidf_options how = {.min_df = 0.5, .max_df = 0.5};
    double idf[4];
    gm_error err = {0};
    CHECK_OK(gm_tfidf_fit(idf, &bag.counts, bag.vocabulary, &how, &err), err);
    CHECK_NEAR(idf_of(&bag, idf, "aa"), 0, 0); /* 3 of 4 */
    CHECK(idf_of(&bag, idf, "bb") > 0);        /* 2 of 4 */
    CHECK_NEAR(idf_of(&bag, idf, "cc"), 0, 0); /* 1 of 4 */
    how.min_df = -1;
    CHECK_FAILS(gm_tfidf_fit(idf, &bag.counts, bag.vocabulary, &how, &err), err, GM_EARG,
                "limits are -1 and 0.5");
    how.min_df = NAN;
    CHECK_FAILS(gm_tfidf_fit(idf, &bag.counts, bag.vocabulary, &how, &err), err, GM_EARG, "limits");
    text_bag_clear(&bag);
}

static gm_status fit(void *state, gm_error *err)
{
    text_bag *bag = state;
    const gm_tfidf_options how = {.min_df = 1, .max_features = 2};
    double idf[4];
    return gm_tfidf_fit(idf, &bag->counts, bag->vocabulary, &how, err);
}

static void survives_every_allocation_failure(void)
{
    text_bag bag = text_bag_make(TEXTS, N_TEXTS, NULL);
    check_every_allocation(fit, &bag);
    text_bag_clear(&bag);
}

TESTS(TEST(idf_is_smoothed), TEST(a_word_of_every_text_has_idf_one),
      TEST(rows_have_length_one_or_are_empty), TEST(sublinear_counts),
      TEST(the_most_frequent_words_are_kept), TEST(shares_and_numbers_of_rows),
      TEST(survives_every_allocation_failure))
