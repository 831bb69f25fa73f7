/* test_stem.c - text/stem.c: English and Russian by Snowball, chosen by the letters. */
#include "tests/check.h"
#include "text/words.h"

static gm_stemmer *stemmer;

static void check_stem(const char *word, const char *want)
{
    char got[64];
    size_t n = 0;
    const char *stem = gm_stem(stemmer, word, &n);
    snprintf(got, sizeof got, "%.*s", (int)n, stem);
    CHECK_TEXT(got, want);
}

static void stems_of_both_languages(void)
{
    gm_error err = {0};
    CHECK_OK(gm_stemmer_create(&stemmer, &err), err);
    check_stem("running", "run");
    check_stem("families", "famili");
    check_stem("function", "function");
    check_stem("команды", "команд");
    check_stem("командами", "команд");
    check_stem("важная", "важн");
    check_stem("x86команды", "x86команд"); /* one Cyrillic letter decides */
    check_stem("", "");
    gm_stemmer_free(stemmer);
    gm_stemmer_free(NULL);
}

static gm_status make(void *state, gm_error *err)
{
    (void)state;
    gm_status status = gm_stemmer_create(&stemmer, err);
    gm_stemmer_free(stemmer);
    return status;
}

static void survives_every_allocation_failure(void)
{
    check_every_allocation(make, NULL);
}

TESTS(TEST(stems_of_both_languages), TEST(survives_every_allocation_failure))
