/* test_utf8.c - UTF-8 against the standard's table and against itself. */
#include "base/text.h"
#include "tests/check.h"

static bool is_scalar(uint32_t cp)
{
    return cp < 0xD800 || (cp > 0xDFFF && cp <= 0x10FFFF);
}

static void every_code_point_comes_back(void)
{
    for (uint32_t cp = 0; cp <= 0x10FFFF; cp++) {
        char bytes[4];
        uint32_t back;
        size_t n = gm_utf8_encode(cp, bytes);
        if (!is_scalar(cp)) {
            CHECK_INT(gm_utf8_valid(bytes, n), 0);
            continue;
        }
        CHECK_INT(gm_utf8_valid(bytes, n), n);
        CHECK_INT(gm_utf8_decode(bytes, n, &back), n);
        CHECK_INT(back, cp);
        if (test_failures > 5) return;
    }
}

/* All sequences of two bytes: table 3-7 of the standard has exactly this many. */
static void pairs_of_bytes_are_judged_as_the_table_says(void)
{
    int n_ok = 0;
    for (int a = 0; a < 256; a++)
        for (int b = 0; b < 256; b++)
            n_ok += gm_utf8_valid((const char[]){(char)a, (char)b}, 2) == 2;
    CHECK_INT(n_ok, 128 * 128 + 30 * 64);
}

static void the_place_of_the_first_invalid_byte_is_given(void)
{
    static const struct {
        const char *bytes;
        size_t n, valid;
    } cases[] = {
        {"", 0, 0},
        {"abc\0def", 7, 7},
        {"0123456789abcdef\x80", 17, 16},         /* a tail alone, past a block of eight */
        {"01234567\xc3\xa9 and on \xc3", 19, 18}, /* cut short */
        {"\xc0\x80", 2, 0},                       /* overlong NUL */
        {"\xe0\x9f\xbf", 3, 0},                   /* overlong */
        {"\xed\xa0\x80", 3, 0},                   /* surrogate */
        {"a\xf0\x8f\xbf\xbf", 5, 1},              /* overlong */
        {"\xf4\x90\x80\x80", 4, 0},               /* above U+10FFFF */
        {"\xf5\x80\x80\x80", 4, 0},
        {"ok\xe2\x82", 4, 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CHECK_INT(gm_utf8_valid(cases[i].bytes, cases[i].n), cases[i].valid);
}

static void what_is_no_utf8_is_spelt(void)
{
    static const char *const cases[][2] = {
        {"", ""},
        {"t\xc3\xa9xt\n", "t\xc3\xa9xt\n"},
        {"\xff", "\\xff"},
        {"caf\xe9/b\xff\xfe.txt", "caf\\xe9/b\\xff\\xfe.txt"},
        {"cut \xe2\x82", "cut \\xe2\\x82"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[128];
        CHECK_INT(gm_utf8_spell(out, cases[i][0]), strlen(cases[i][1]));
        CHECK_TEXT(out, cases[i][1]);
    }
}

/* For every prefix of a text: what is pending is what the last character lacks. */
static void pending_bytes_are_those_of_the_cut_character(void)
{
    const char text[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xed\x9f\xbf\xf4\x8f\xbf\xbfz";
    for (size_t n = 0; n < sizeof text; n++)
        CHECK_INT(gm_utf8_pending(text, n), n - gm_utf8_valid(text, n));
}

static void bytes_that_can_never_be_a_character_are_not_held_back(void)
{
    CHECK_INT(gm_utf8_pending("\x80", 1), 0);
    CHECK_INT(gm_utf8_pending("a\x80\x80\x80", 4), 0);
    CHECK_INT(gm_utf8_pending("\xff", 1), 0);
    CHECK_INT(gm_utf8_pending("\xc0", 1), 0);
    CHECK_INT(gm_utf8_pending("\xe0\x80", 2), 0); /* overlong whatever follows */
    CHECK_INT(gm_utf8_pending("\xed\xa0", 2), 0); /* a surrogate whatever follows */
    CHECK_INT(gm_utf8_pending("\xe0", 1), 1);
    CHECK_INT(gm_utf8_pending("\xf0\x90", 2), 2);
}

static void escapes_fit_one_line_and_the_buffer(void)
{
    char out[32];
    gm_text_escape(out, sizeof out, "a\\\n\t\x01\x7f\xfe", 7);
    CHECK_TEXT(out, "a\\\\\\n\\t\\x01\\x7f\\xfe");
    gm_text_escape(out, sizeof out, "\0x", 2);
    CHECK_TEXT(out, "\\x00x");
    gm_text_escape(out, sizeof out, "\xe2\x80\xa8\xd8\x9c\xe2\x81\xa9", 8);
    CHECK_TEXT(out, "\\u{2028}\\u{61c}\\u{2069}");
    gm_text_escape(out, 8, "\xd0\xb6\xd0\xb6\xd0\xb6\xd0\xb6", 8);
    CHECK_TEXT(out, "\xd0\xb6\xd0\xb6...");
    gm_text_escape(out, 8, "1234567", 7);
    CHECK_TEXT(out, "1234567");
    gm_text_escape(out, 8, "12345678", 8);
    CHECK_TEXT(out, "1234...");
    gm_text_escape(out, 3, "12345678", 8);
    CHECK_TEXT(out, "..");
    gm_text_escape(out, 1, "12", 2);
    CHECK_TEXT(out, "");
}

TESTS(TEST(every_code_point_comes_back), TEST(pairs_of_bytes_are_judged_as_the_table_says),
      TEST(the_place_of_the_first_invalid_byte_is_given), TEST(what_is_no_utf8_is_spelt),
      TEST(pending_bytes_are_those_of_the_cut_character),
      TEST(bytes_that_can_never_be_a_character_are_not_held_back),
      TEST(escapes_fit_one_line_and_the_buffer))
