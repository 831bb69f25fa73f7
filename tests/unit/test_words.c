/* test_words.c - text/words.c: what a word is, in which form, and how often it is counted.
 * label: threads */
#include "text/words.h"

#include "base/rng.h"
#include "base/text.h"
#include "base/threads.h"
#include "tests/check.h"

/* "word:count word:count " of one text, words in order of first appearance. */
static const char *words_of(const char *text, size_t n, const gm_words_options *how)
{
    static char shown[1024];
    gm_vocabulary *vocabulary = NULL;
    gm_bag bag = {0};
    gm_error err = {0};
    size_t at = 0;
    shown[0] = '\0';
    CHECK_OK(gm_vocabulary_create(&vocabulary, &err), err);
    CHECK_OK(gm_bag_count(&bag, vocabulary, false, (gm_texts){&text, &n, 1}, how, &err), err);
    for (size_t e = 0; e < bag.n_entries && at < sizeof shown; e++)
        at += (size_t)snprintf(shown + at, sizeof shown - at, "%s:%g ",
                               gm_vocabulary_word(vocabulary, bag.word[e]), bag.value[e]);
    gm_bag_clear(&bag);
    gm_vocabulary_free(vocabulary);
    return shown;
}

static const char *plain(const char *text)
{
    return words_of(text, strlen(text), NULL);
}

static void runs_of_two_or_more_characters_are_words(void)
{
    CHECK_TEXT(plain("The cat, the CAT: a b c!"), "the:2 cat:2 ");
    CHECK_TEXT(plain("rock'n'roll it's x_1 __ 42 7"), "rock:1 roll:1 it:1 x_1:1 __:1 42:1 ");
    CHECK_TEXT(plain(""), "");
    CHECK_TEXT(plain("a I x ..."), "");
    CHECK_TEXT(plain("end"), "end:1 ");
}

static void letters_of_all_scripts_count(void)
{
    CHECK_TEXT(plain("Кот и КОТ: Ёлка"), "кот:2 ёлка:1 ");
    CHECK_TEXT(plain("x² ½ 1st Straße"), "x²:1 1st:1 straße:1 ");
    CHECK_TEXT(plain("٣٤ ⅷ 한국어 Ⅷⅷ"), "٣٤:1 한국어:1 ⅷⅷ:1 ");
}

/* A mark never ends a word, nor begins one, nor makes one of a single letter. */
static void marks_belong_to_the_letter_before(void)
{
    CHECK_TEXT(plain("x अनुभव में राजा"), "अनुभव:1 राजा:1 ");
    CHECK_TEXT(plain("שָׁלוֹם q\xcc\x81 \xcc\x81no"), "שָׁלוֹם:1 no:1 ");
}

static void words_without_spaces_are_pairs(void)
{
    CHECK_TEXT(plain("日本語と日本"), "日本:2 本語:1 ");
    CHECK_TEXT(plain("用Python写3月三月 𠮷野家"), "python:1 月三:1 三月:1 𠮷野:1 野家:1 ");
    CHECK_TEXT(plain("コンピューターにほん中\xcc\x81国"), "コンピューター:1 にほ:1 ほん:1 中国:1 ");
    /* the ends of the ranges */
    CHECK_TEXT(plain("にゟ ｶﾅb アㇰ 人々 二〇 〡〩 〸〻人 \xef\xa8\x8e人"),
               "にゟ:1 ｶﾅ:1 アㇰ:1 人々:1 二〇:1 〡〩:1 〸〻:1 〻人:1 \xef\xa8\x8e人:1 ");
}

/* Letters whose lower case is more than one for one, as Python's str.lower. */
static void special_lower_case(void)
{
    CHECK_TEXT(plain("İstanbul ıst"), "i̇stanbul:1 ıst:1 ");
    CHECK_TEXT(plain("abİ İ"), "abi̇:1 ");
    CHECK_TEXT(plain("ΟΔΟΣ ΣΟΣ ΣΑ Σ1 ΟΣΑ"), "οδος:1 σος:1 σα:1 σ1:1 οσα:1 ");
    CHECK_TEXT(plain("Ǆungla ﬁlm"), "ǆungla:1 ﬁlm:1 ");
}

static void decomposed_and_composed_are_one(void)
{
    CHECK_TEXT(plain("cafe\xcc\x81 café"), "café:2 ");
    CHECK_TEXT(plain("ча\xd0\xb8\xcc\x86 чай"), "чай:2 ");
}

static void yo_folds_when_asked(void)
{
    const gm_words_options fold = {.fold_yo = true};
    const char text[] = "Ёлка елка ЕЩЁ е\xcc\x88жик";
    CHECK_TEXT(words_of(text, sizeof text - 1, &fold), "елка:2 еще:1 ежик:1 ");
    CHECK_TEXT(words_of(text, sizeof text - 1, NULL), "ёлка:1 елка:1 ещё:1 ёжик:1 ");
}

static void stop_words_are_left_out(void)
{
    const char text[] = "The house and и ещё еще дом foo";
    const char *const extra[] = {"foo", "house bar", NULL};
    const gm_words_options english = {.stop = GM_STOP_ENGLISH}, russian = {.stop = GM_STOP_RUSSIAN};
    const gm_words_options both = {.stop = GM_STOP_ENGLISH | GM_STOP_RUSSIAN, .extra_stop = extra};
    const size_t n = sizeof text - 1;
    CHECK_TEXT(words_of(text, n, &english), "house:1 ещё:1 еще:1 дом:1 foo:1 ");
    CHECK_TEXT(words_of(text, n, &russian), "the:1 house:1 and:1 дом:1 foo:1 ");
    CHECK_TEXT(words_of(text, n, &both), "дом:1 ");
}

static void nul_separates_like_any_other(void)
{
    CHECK_TEXT(words_of("ab\0cd", 5, NULL), "ab:1 cd:1 ");
    CHECK_TEXT(words_of("яб\0cd", 7, NULL), "яб:1 cd:1 ");
}

/* Three texts, one of them empty; the frozen vocabulary learns nothing. */
static void rows_are_texts(void)
{
    const char *text[] = {"bb aa bb", "", "cc aa", "dd aa"};
    const size_t n_bytes[] = {8, 0, 5, 5};
    gm_vocabulary *vocabulary = NULL;
    gm_bag bag;
    gm_error err = {0};
    CHECK_OK(gm_vocabulary_create(&vocabulary, &err), err);
    CHECK_OK(gm_bag_count(&bag, vocabulary, false, (gm_texts){text, n_bytes, 3}, NULL, &err), err);
    const uint64_t indptr[] = {0, 2, 2, 4};
    const uint32_t word[] = {0, 1, 1, 2}; /* bb aa | | aa cc */
    const double value[] = {2, 1, 1, 1};
    CHECK_INT(bag.n_entries, 4);
    CHECK_BYTES(bag.indptr, indptr, sizeof indptr);
    CHECK_BYTES(bag.word, word, sizeof word);
    CHECK_BYTES(bag.value, value, sizeof value);
    gm_bag_clear(&bag);

    CHECK_OK(gm_bag_count(&bag, vocabulary, true, (gm_texts){text + 3, n_bytes + 3, 1}, NULL, &err),
             err);
    CHECK_INT(bag.n_entries, 1);
    CHECK_INT(bag.word[0], 1);
    CHECK_INT(gm_vocabulary_n(vocabulary), 3);
    gm_bag_clear(&bag);
    gm_vocabulary_free(vocabulary);
}

/* Many texts go through several threads and vocabularies: words are still numbered as they come. */
static void chunks_change_nothing(void)
{
    enum { TEXTS = 400, WORDS = 30, EACH = 12 };
    static char text[TEXTS][EACH * 4 + 1];
    const char *at[TEXTS];
    size_t n_bytes[TEXTS];
    uint32_t number[WORDS], n_words = 0;
    static uint32_t count[TEXTS][WORDS];
    gm_rng rng = gm_rng_make(2, 2);
    gm_error err = {0};
    memset(count, 0, sizeof count);
    for (size_t w = 0; w < WORDS; w++) number[w] = UINT32_MAX;
    for (size_t i = 0; i < TEXTS; i++) {
        for (size_t k = 0; k < EACH; k++) {
            size_t w =
                gm_rng_below(&rng, i / 40 * 3 + 3); /* ever more words; the first is a stop */
            snprintf(text[i] + 4 * k, 5, "w%02zu ", w);
            if (w > 0 && number[w] == UINT32_MAX) number[w] = n_words++;
            if (w > 0) count[i][number[w]]++;
        }
        at[i] = text[i], n_bytes[i] = 4 * EACH;
    }
    const char *const stop[] = {"w00", NULL};
    const gm_words_options how = {.extra_stop = stop};
    for (int threads = 1; threads <= 4; threads++) {
        gm_vocabulary *vocabulary = NULL;
        gm_bag bag;
        gm_set_threads(threads);
        CHECK_OK(gm_vocabulary_create(&vocabulary, &err), err);
        CHECK_OK(gm_bag_count(&bag, vocabulary, false, (gm_texts){at, n_bytes, TEXTS}, &how, &err),
                 err);
        CHECK_INT(gm_vocabulary_n(vocabulary), n_words);
        size_t e = 0;
        for (size_t i = 0; i < TEXTS; i++) {
            CHECK_INT(bag.indptr[i], e);
            for (uint32_t w = 0; w < n_words; w++) {
                if (count[i][w] == 0) continue;
                CHECK_INT(bag.word[e], w);
                CHECK_NEAR(bag.value[e], count[i][w], 0);
                e++;
            }
        }
        CHECK_INT(bag.n_entries, e);
        gm_bag_clear(&bag);
        gm_vocabulary_free(vocabulary);
    }
}

static gm_status count_some(void *state, gm_error *err)
{
    const char *text[] = {"the house of words", "дом слов", "İx"};
    const size_t n_bytes[] = {18, 15, 3};
    const gm_words_options how = {.stop = GM_STOP_ENGLISH | GM_STOP_RUSSIAN, .fold_yo = true};
    gm_vocabulary *vocabulary = NULL;
    gm_bag bag = {0};
    (void)state;
    gm_status status = gm_vocabulary_create(&vocabulary, err);
    if (status == GM_OK)
        status = gm_bag_count(&bag, vocabulary, false, (gm_texts){text, n_bytes, 3}, &how, err);
    if (status != GM_OK) CHECK(bag.word == NULL && bag.indptr == NULL);
    gm_bag_clear(&bag);
    gm_vocabulary_free(vocabulary);
    return status;
}

static void survives_every_allocation_failure(void)
{
    check_every_allocation(count_some, NULL);
}

TESTS(TEST(runs_of_two_or_more_characters_are_words), TEST(letters_of_all_scripts_count),
      TEST(marks_belong_to_the_letter_before), TEST(words_without_spaces_are_pairs),
      TEST(special_lower_case), TEST(decomposed_and_composed_are_one), TEST(yo_folds_when_asked),
      TEST(stop_words_are_left_out), TEST(nul_separates_like_any_other), TEST(rows_are_texts),
      TEST(chunks_change_nothing), TEST(survives_every_allocation_failure))
