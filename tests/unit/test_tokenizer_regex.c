/* test_tokenizer_regex.c - engine/tokenizer/regex.c: patterns of Oniguruma, translated for PCRE2
 * and matched. */
#include "engine/tokenizer/regex.h"
#include "tests/check.h"

static void check_translated(const char *pattern, const char *want)
{
    gm_error err = {0};
    gm_text out = {0};
    CHECK_OK(gm_regex_translate(&out, pattern, strlen(pattern), "t.json", &err), err);
    CHECK_TEXT(out.at, want);
    gm_text_clear(&out);
}

static void what_both_engines_read_alike_is_kept(void)
{
    const char *same[] = {
        "(?i:'s|'t)|[^\\r\\n\\p{Zs}\\p{Pc}]?| ?[^a-z]+[\\r\\n/]*|a{1,3}|b{2}|c{2,}|.$",
        "(?:a)(?=b)(?!c)(?<=d)(?<!e)(?>f)(g)\\.\\[\\-\\t\\A\\z", "(?i)abc", "(?i:[sdmt]|ll)[^st]st",
        "[\\]\\[a]"};
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) check_translated(same[i], same[i]);
}

static void what_they_read_differently_is_rewritten(void)
{
    check_translated("\\v", "\\x0b");
    check_translated("\\u2581", "\\x{2581}");
    check_translated("\\x41", "\\x{41}");
    check_translated("\\p{^Zs}\\P{^Pc}\\p{Greek}", "[^\\p{Zs}][\\p{Pc}][\\p{sc:Greek}]");
    check_translated("[\\p{Hiragana}]\\P{Hiragana}", "[\\p{sc:Hiragana}\\x{1b132}-\\x{1b132}]"
                                                     "[^\\p{sc:Hiragana}\\x{1b132}-\\x{1b132}]");
    check_translated("a{b", "a\\{b");
    check_translated("\\\xE4\xB8\x80", "\xE4\xB8\x80");
}

static void what_might_differ_is_refused_with_its_place(void)
{
    static const struct {
        const char *pattern, *named;
    } cases[] = {{"ab\\w+", "'\\w' at byte 2"},
                 {"\\bx", "'\\b' at byte 0"},
                 {"\\h", "'\\h'"},
                 {"(a)\\1", "'\\1' at byte 3"},
                 {"(?m)a", "'(?m' at byte 0"},
                 {"a(?i)b", "'(?i)' at byte 1"},
                 {"[a[b]]", "'[b' at byte 2"},
                 {"[a&&b]", "'&&' at byte 2"},
                 {"a{,3}", "'{,3}'"},
                 {"a{1,3}+", "'{1,3}+'"},
                 {"a{3}?", "'{3}?'"},
                 {"\\p{l}", "'\\p{l}'"},
                 {"\\pL", "'\\pL'"},
                 {"\\xFF", "'\\xFF'"},
                 {"\\u12", "'\\u12'"},
                 {"[]a]", "'[]'"},
                 {"(*FAIL)", "'(*F'"},
                 {"\\p{Mn}", "'\\p{Mn}'"},
                 {"\\P{C}", "'\\P{C}'"},
                 {"[\\P{L}]", "'\\P{L}' at byte 1"},
                 {"[\\D]", "'\\D' at byte 1"},
                 {"(?i:\\p{L})", "'\\p{L}' at byte 4"},
                 {"(?i)a(b\\d)", "'\\d' at byte 7"},
                 {"(?i:[^a])", "'[^a' at byte 4"},
                 {"(?i:mist)", "'st' at byte 6"},
                 {"(?i:x|FI)", "'FI' at byte 6"},
                 {"(?i:(a)\xC3\xA9)", "'\xC3\xA9' at byte 7"},
                 {"a\\", "'\\' at byte 1"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        gm_error err;
        gm_text out = {0};
        const char *p = cases[i].pattern;
        CHECK_FAILS(gm_regex_translate(&out, p, strlen(p), "t.json", &err), err, GM_EFORMAT,
                    cases[i].named);
        gm_text_clear(&out);
    }
}

static void what_pcre2_refuses_is_refused(void)
{
    gm_error err;
    gm_regex *regex = NULL;
    CHECK_FAILS(gm_regex_compile(&regex, "(a", 2, "t.json", &err), err, GM_EFORMAT, "'(a'");
    CHECK_FAILS(gm_regex_compile(&regex, "\\p{Klingon}", 11, "t.json", &err), err, GM_EFORMAT,
                "Klingon");
    CHECK(regex == NULL);
}

/* Matches as "0-1 3-5". */
static void check_matches(const char *pattern, const char *text, size_t n, const char *want)
{
    gm_error err = {0};
    gm_regex *regex = NULL;
    gm_regex_work *work = NULL;
    gm_regex_walk walk = {.at = text, .n = n};
    char shown[256] = "";
    size_t used = 0, start, stop;
    bool found = true;
    CHECK_OK(gm_regex_compile(&regex, pattern, strlen(pattern), "t.json", &err), err);
    CHECK_OK(gm_regex_work_create(&work, &err), err);
    while (regex && work && used < 200) {
        CHECK_OK(gm_regex_next(regex, work, &walk, &start, &stop, &found, &err), err);
        if (!found) break;
        used += (size_t)snprintf(shown + used, sizeof shown - used, "%s%zu-%zu", used ? " " : "",
                                 start, stop);
    }
    CHECK_TEXT(shown, want);
    gm_regex_work_free(work);
    gm_regex_free(regex);
}

static void white_space_is_the_25_characters(void)
{
    char text[4];
    int n_space = 0;
    gm_regex *space = NULL, *other = NULL;
    gm_regex_work *work = NULL;
    CHECK(gm_regex_compile(&space, "\\s", 2, "t", NULL) == GM_OK);
    CHECK(gm_regex_compile(&other, "[\\S]", 4, "t", NULL) == GM_OK);
    CHECK(gm_regex_work_create(&work, NULL) == GM_OK);
    for (uint32_t c = 0; c < 0x30000; c++) {
        size_t start, stop;
        bool is_space, is_other;
        if (c >= 0xD800 && c < 0xE000) continue;
        gm_regex_walk walk = {.at = text, .n = gm_utf8_encode(c, text)}, again = walk;
        CHECK(gm_regex_next(space, work, &walk, &start, &stop, &is_space, NULL) == GM_OK);
        CHECK(gm_regex_next(other, work, &again, &start, &stop, &is_other, NULL) == GM_OK);
        CHECK(is_space != is_other);
        n_space += is_space;
    }
    CHECK_INT(n_space, 25);
    check_matches("\\s", "\xE1\xA0\x8E", 3, ""); /* U+180E, which PCRE2's own \s takes */
    gm_regex_work_free(work);
    gm_regex_free(space);
    gm_regex_free(other);
}

static void matches_are_walked_like_oniguruma(void)
{
    check_matches("a*", "baac", 4, "0-0 1-3 4-4"); /* 3-3 touches the match before */
    check_matches("x*", "\xC3\xA9", 2, "0-0 2-2");
    check_matches("\\s+(?!\\S)|\\s+", "a   b", 5, "1-3 3-4");
    check_matches("^b$", "a\nb\nc", 5, "2-3");
    check_matches(".", "\n\0\r", 3, "1-2 2-3");
    check_matches("a", "", 0, "");
}

/* One character younger than the Unicode of PCRE2 10.42 in each. */
static void young_characters_have_their_classes(void)
{
    check_matches("\\p{L}", "\xF0\xB1\x8D\x90", 4, "0-4"); /* U+31350, Han */
    check_matches("\\p{Han}|[\\p{Lo}]", "\xF0\xB1\x8D\x90", 4, "0-4");
    check_matches("\\p{^L}", "\xF0\xB1\x8D\x90", 4, "");
    check_matches("[^\\s\\p{L}\\p{N}]", "\xF0\xB1\x8D\x90", 4, "");
    check_matches("\\d", "\xF0\x9D\x8B\x80\xF0\x90\xB5\x80", 8, "4-8"); /* Nd is U+10D40 alone */
    check_matches("\\p{Lu}+", "\xEA\x9F\x8B\xEA\x9F\x8C\xEA\x9F\x8D", 9, "0-6"); /* U+A7CB.. */
    check_matches("\\p{Mc}", "\xF0\x91\x9C\x9E", 4, "0-4"); /* U+1171E, once Mn */
}

static void long_texts_need_no_deep_stack(void)
{
    gm_error err = {0};
    gm_regex *regex = NULL;
    gm_regex_work *work = NULL;
    size_t n = 2000000, start, stop;
    bool found;
    char *text = gm_alloc(n, 1);
    memset(text, 'a', n);
    CHECK_OK(gm_regex_compile(&regex, "(?:a|b)+c|(?:a)+", 16, "t.json", &err), err);
    CHECK_OK(gm_regex_work_create(&work, &err), err);
    gm_regex_walk walk = {.at = text, .n = n};
    gm_status status = gm_regex_next(regex, work, &walk, &start, &stop, &found, &err);
    CHECK(status == GM_OK ? found && stop == n : status == GM_EFORMAT && err.text[0]);
    gm_regex_work_free(work);
    gm_regex_free(regex);
    gm_free(text);
}

TESTS(TEST(what_both_engines_read_alike_is_kept), TEST(what_they_read_differently_is_rewritten),
      TEST(what_might_differ_is_refused_with_its_place), TEST(what_pcre2_refuses_is_refused),
      TEST(young_characters_have_their_classes), TEST(white_space_is_the_25_characters),
      TEST(matches_are_walked_like_oniguruma), TEST(long_texts_need_no_deep_stack))
