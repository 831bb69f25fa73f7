/* test_steer_columns.c - steer/columns.c: texts side by side, cell by cell. */
#include "steer/columns.h"

#include "tests/check.h"

static void check_printed(const gm_column *columns, size_t n, size_t width, const char *want)
{
    char got[2048] = "";
    FILE *out = fmemopen(got, sizeof got, "w");
    gm_columns_print(out, columns, n, width);
    fclose(out);
    CHECK_TEXT(got, want);
}

static void lines_break_at_blanks(void)
{
    const gm_column columns[] = {{"left", "one two three", 13}, {"right", "abcdefghij", 10}};
    check_printed(columns, 2, 8,
                  "left     | right\n"
                  "---------+---------\n"
                  "one two  | abcdefgh\n"
                  "three    | ij\n");
}

static void newlines_and_empty_texts(void)
{
    const gm_column columns[] = {{"a", "x\n\ny", 4}, {"b", "", 0}};
    check_printed(columns, 2, 3, "a   | b\n----+----\nx   | \n    | \ny   | \n");
    const gm_column none[] = {{"a", "", 0}};
    check_printed(none, 1, 3, "a\n---\n");
}

static void letters_are_not_bytes(void)
{
    const char *text = "ёлка в лесу";
    const gm_column columns[] = {{"по-русски", text, strlen(text)}, {"x", "y", 1}};
    check_printed(columns, 2, 7,
                  "по-русс | x\n"
                  "ки      | \n"
                  "--------+--------\n"
                  "ёлка в  | y\n"
                  "лесу    | \n");
}

/* Two cells for a CJK character or an emoji, none for a combining mark. */
static void columns_are_of_cells(void)
{
    const char *text = "漢字かな😀", *decomposed = "e\xcc\x81t";
    const gm_column columns[] = {{"t", text, strlen(text)}, {"x", "y", 1}};
    check_printed(columns, 2, 5,
                  "t     | x\n"
                  "------+------\n"
                  "漢字  | y\n"
                  "かな  | \n"
                  "😀    | \n");
    check_printed(columns, 2, 1, /* no room for what is wide: one a line */
                  "t | x\n--+--\n漢 | y\n字 | \nか | \nな | \n😀 | \n");
    const gm_column others[] = {{"t", decomposed, strlen(decomposed)}, {"x", "y", 1}};
    check_printed(others, 2, 2, "t  | x\n---+---\ne\xcc\x81t | y\n");
}

static void control_characters_are_blanks(void)
{
    const gm_column columns[] = {{"t", "a\tb\x1b[c", 6}};
    check_printed(columns, 1, 20, "t\n--------------------\na b [c\n");
    /* DEL, CSI as one character, and what turns the direction of writing */
    const char *text = "a\177b\302\2332Jc\u202ed";
    const gm_column others[] = {{"t", text, strlen(text)}, {"x", "y", 1}};
    check_printed(others, 2, 10, "t          | x\n-----------+-----------\na b 2Jc d  | y\n");
}

static void a_file_is_not_a_terminal(void)
{
    FILE *file = fopen("plain", "w");
    CHECK_INT(gm_columns_terminal(file, 77), 77);
    fclose(file);
}

TESTS(TEST(lines_break_at_blanks), TEST(newlines_and_empty_texts), TEST(letters_are_not_bytes),
      TEST(columns_are_of_cells), TEST(control_characters_are_blanks),
      TEST(a_file_is_not_a_terminal))
