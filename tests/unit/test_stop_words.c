/* test_stop_words.c - text/stop_words.c: lower case, one space, no word twice. */
#include "text/stop_words.h"

#include "tests/check.h"

static size_t check_list(gm_stop_words language, bool cyrillic)
{
    gm_vocabulary *seen = NULL;
    gm_error err = {0};
    size_t n_words = 0;
    CHECK_OK(gm_vocabulary_create(&seen, &err), err);
    for (const char *at = gm_stop_list(language); *at; n_words++) {
        uint32_t id;
        size_t n = strcspn(at, " ");
        CHECK(n > 0);
        CHECK_INT(at[n], ' ');
        CHECK_INT((unsigned char)at[0] >= 0x80, cyrillic);
        for (size_t i = 0; i < n; i++) CHECK(!(at[i] >= 'A' && at[i] <= 'Z'));
        CHECK_OK(gm_vocabulary_add(seen, at, n, &id, &err), err);
        if (id != n_words) TEST_FAILED_("'%.*s' stands there twice", (int)n, at);
        at += n + 1;
    }
    gm_vocabulary_free(seen);
    return n_words;
}

static void lists_are_in_order(void)
{
    CHECK_INT(check_list(GM_STOP_ENGLISH, false), 318);
    CHECK(check_list(GM_STOP_RUSSIAN, true) > 250);
    CHECK_TEXT(gm_stop_list(GM_STOP_NONE), "");
}

/* Who folds yo to ye must find the word in the list too. */
static void every_word_with_yo_stands_there_with_ye(void)
{
    static const char yo[] = "ё";
    for (const char *at = gm_stop_list(GM_STOP_RUSSIAN); *at;) {
        size_t n = strcspn(at, " ");
        char folded[64], wanted[68];
        snprintf(folded, sizeof folded, "%.*s", (int)n, at);
        char *letter = strstr(folded, yo);
        if (letter) {
            memcpy(letter, "е", 2);
            snprintf(wanted, sizeof wanted, " %s ", folded);
            if (strstr(gm_stop_list(GM_STOP_RUSSIAN), wanted) == NULL)
                TEST_FAILED_("no '%s' beside '%.*s'", folded, (int)n, at);
        }
        at += n + 1;
    }
}

TESTS(TEST(lists_are_in_order), TEST(every_word_with_yo_stands_there_with_ye))
