/* test_terminal.c - text/terminal.c: texts of others on a terminal, padded and cut by its cells. */
#include "text/terminal.h"

#include "base/text.h"
#include "tests/check.h"

typedef void print_function(FILE *out, int width, const char *text);

static void check_printed(print_function *print, int width, const char *text, const char *want)
{
    char got[256] = "";
    FILE *out = fmemopen(got, sizeof got, "w");
    print(out, width, text);
    fclose(out);
    CHECK_TEXT(got, want);
}

static void what_others_wrote_is_printed_clean(void)
{
    static const char *const cases[][2] = {
        {"plain \\ \xc3\xa9", "plain \\ \xc3\xa9"},
        {"a\x1b[2J\nb\r\x7f", "a\\x1b[2J\\nb\\x0d\\x7f"},
        {"\xe2\x80\xae|\xc2\x9b", "\\u{202e}|\\u{9b}"},
        {"\xff", "\\xff"},
        {"\xe4\xb8", "\\xe4\\xb8"}, /* a character that is cut */
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
        {"", ""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_printed(gm_print_text, 0, cases[i][0], cases[i][1]);
}

static void texts_are_counted_in_cells(void)
{
    CHECK_INT(gm_text_cells(""), 0);
    CHECK_INT(gm_text_cells("caf\xc3\xa9"), 4);
    CHECK_INT(gm_text_cells("cafe\xcc\x81"), 4); /* a combining accent */
    CHECK_INT(gm_text_cells("漢字"), 4);
    CHECK_INT(gm_text_cells("😀!"), 3);
    CHECK_INT(gm_text_cells("a\tb"), 4); /* a\\tb */
}

static void blanks_follow_up_to_the_width(void)
{
    check_printed(gm_print_text, 4, "\xc3\xa9", "\xc3\xa9   ");
    check_printed(gm_print_text, 6, "漢字", "漢字  ");
    check_printed(gm_print_text, 3, "e\xcc\x81", "e\xcc\x81  ");
    check_printed(gm_print_text, 3, "long", "long");
}

static void columns_cut_what_is_longer(void)
{
    check_printed(gm_print_column, 5, "abc", "abc  ");
    check_printed(gm_print_column, 5, "abcde", "abcde");
    check_printed(gm_print_column, 5, "abcdef", "abcd…");
    check_printed(gm_print_column, 1, "abcdef", "…");
    check_printed(gm_print_column, 4, "漢字", "漢字");
    check_printed(gm_print_column, 4, "漢字か", "漢… "); /* 3 cells, and half of one is no place */
    check_printed(gm_print_column, 5, "漢字か", "漢字…");
    check_printed(gm_print_column, 3, "ae\xcc\x81tc", "ae\xcc\x81…"); /* its accent stays with it */
    check_printed(gm_print_column, 3, "a\nbc", "a… ");                /* no half of an escape */
}

TESTS(TEST(what_others_wrote_is_printed_clean), TEST(texts_are_counted_in_cells),
      TEST(blanks_follow_up_to_the_width), TEST(columns_cut_what_is_longer))
