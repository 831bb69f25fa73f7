/* test_split.c - text/split.c: what is taken to be composed already is; words of texts that take
 * the short way are those of texts that take the long one.
 */
#include "text/split.h"
#include "tests/check.h"

#include <utf8proc.h>

/* Is "x" + c what NFC makes of it, for letters x that compose with marks and vowels? */
static bool stays(const char *before, uint32_t c)
{
    char text[16];
    size_t n = strlen(before);
    memcpy(text, before, n);
    n += gm_utf8_encode(c, text + n);
    utf8proc_uint8_t *out = NULL;
    utf8proc_ssize_t length = utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)n,
                                           &out, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    bool same = length == (utf8proc_ssize_t)n && memcmp(out, text, n) == 0;
    free(out);
    return same;
}

static void composed_characters_stay_what_they_are(void)
{
    static const char *const before[] = {"e", "\xd0\xb8", "\xe4\xb8\x80", "\xe1\x84\x80"};
    size_t n = 0;
    for (uint32_t c = 0; c < 0x110000; c++) {
        if (!gm_is_composed(c)) continue;
        const utf8proc_property_t *property = utf8proc_get_property((utf8proc_int32_t)c);
        CHECK_INT(property->combining_class, 0);
        for (size_t b = 0; b < 4; b++)
            if (!stays(before[b], c)) TEST_FAILED_("U+%04X changes what is before it", c);
        n++;
        if (test_failures > 5) return;
    }
    CHECK(n > 20000);
    CHECK(!gm_is_composed(0x301) && !gm_is_composed(0x486) && !gm_is_composed(0x2000));
    CHECK(!gm_is_composed(0x212B) && !gm_is_composed(0x1161));
}

static gm_status append(void *to, const char *word, size_t n, gm_error *err)
{
    return gm_text_printf(to, err, "%.*s|", (int)n, word);
}

/* The same text alone and after a character that sends all of it through normalisation. */
static void both_ways_give_the_same_words(void)
{
    static const char text[] =
        "Caf\xc3\xa9 \xd0\x81\xd0\xbb\xd0\xba\xd0\xb0 x snake_case 42 \xe4\xb8\xad\xe6\x96\x87"
        "\xe2\x80\x94mid\xe2\x80\x99s \xc4\xb0stanbul A1 \xc3\x9f\xc3\x9f";
    gm_alphabet alphabet;
    gm_text room = {0}, words[2] = {{0}}, with = {0};
    gm_error err = {0};
    gm_alphabet_init(&alphabet, true);
    CHECK_OK(gm_text_printf(&with, &err, "%s \xe1\x84\x80", text), err);
    CHECK_OK(gm_split_words(&alphabet, text, strlen(text), &room, append, &words[0], &err), err);
    CHECK_OK(gm_split_words(&alphabet, with.at, with.n, &room, append, &words[1], &err), err);
    CHECK_TEXT(words[0].at, "caf\xc3\xa9|\xd0\xb5\xd0\xbb\xd0\xba\xd0\xb0|snake_case|42|"
                            "\xe4\xb8\xad\xe6\x96\x87|mid|i\xcc\x87stanbul|a1|\xc3\x9f\xc3\x9f|");
    CHECK_TEXT(words[1].at, words[0].at);
    gm_text_clear(&room);
    gm_text_clear(&with);
    for (int w = 0; w < 2; w++) gm_text_clear(&words[w]);
}

static gm_status measure(void *to, const char *word, size_t n, gm_error *err)
{
    (void)err;
    for (size_t i = 0; i < n; i += 3) CHECK_BYTES(word + i, "i\xcc\x87", 3);
    *(size_t *)to += n;
    return GM_OK;
}

/* In lower case a word may be half as long again. */
static void words_may_grow(void)
{
    enum { N = 5000 };
    gm_alphabet alphabet;
    gm_text text = {0}, room = {0};
    gm_error err = {0};
    size_t n = 0;
    gm_alphabet_init(&alphabet, false);
    for (int i = 0; i < N; i++) CHECK_OK(gm_text_add(&text, "\xc4\xb0", &err), err);
    CHECK_OK(gm_split_words(&alphabet, text.at, text.n, &room, measure, &n, &err), err);
    CHECK_INT(n, 3 * N);
    gm_text_clear(&text);
    gm_text_clear(&room);
}

TESTS(TEST(composed_characters_stay_what_they_are), TEST(words_may_grow),
      TEST(both_ways_give_the_same_words))
