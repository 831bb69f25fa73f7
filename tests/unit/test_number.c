/* test_number.c - numbers read whole, and shown as people write them. */
#include "base/text.h"
#include "tests/check.h"

static void integers_are_read_whole_or_not_at_all(void)
{
    int64_t i = 0;
    uint64_t u = 0;
    CHECK(gm_parse_i64("-9223372036854775808", &i) && i == INT64_MIN);
    CHECK(gm_parse_i64("9223372036854775807", &i) && i == INT64_MAX);
    CHECK(gm_parse_i64("007", &i) && i == 7);
    CHECK(gm_parse_u64("18446744073709551615", &u) && u == UINT64_MAX);

    static const char *const bad[] = {"",   "-",   "+1",  " 1",  "1 ",
                                      "1x", "0x1", "1.0", "--1", "9223372036854775808"};
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        i = 42;
        CHECK(!gm_parse_i64(bad[k], &i));
        CHECK_INT(i, 42);
    }
    CHECK(!gm_parse_u64("-1", &u) && !gm_parse_u64("", &u) && !gm_parse_u64(" 1", &u));
    CHECK(!gm_parse_u64("18446744073709551616", &u) && !gm_parse_u64("1-", &u));
}

static void a_part_of_a_text_is_read_whole_or_not_at_all(void)
{
    int64_t i = 42;
    double x = 42;
    char zeros[GM_NUMBER_BYTES + 2];
    memset(zeros, '0', sizeof zeros);
    zeros[sizeof zeros - 2] = '7'; /* the last that fits */
    CHECK(gm_parse_i64_n("12:34", 2, &i) && i == 12);
    CHECK(gm_parse_f64_n("-1.5,2", 4, &x) && x == -1.5);
    CHECK(!gm_parse_i64_n("12", 0, &i) && !gm_parse_i64_n("1 2", 2, &i) && i == 12);
    CHECK(gm_parse_i64_n(zeros + 1, GM_NUMBER_BYTES, &i) && i == 7);
    CHECK(!gm_parse_i64_n(zeros, GM_NUMBER_BYTES + 1, &i));
    CHECK(!gm_parse_f64_n(zeros, GM_NUMBER_BYTES + 1, &x) && x == -1.5);
}

static void fractions_are_read_whole_or_not_at_all(void)
{
    double x = 0;
    CHECK(gm_parse_f64("-1.5e-3", &x) && x == -1.5e-3);
    CHECK(gm_parse_f64(".5", &x) && x == 0.5);
    CHECK(gm_parse_f64("+2", &x) && x == 2);
    CHECK(gm_parse_f64("-inf", &x) && isinf(x) && x < 0);
    CHECK(gm_parse_f64("nan", &x) && isnan(x));
    CHECK(gm_parse_f64("1e-400", &x) && x == 0);

    static const char *const bad[] = {"",   "-",     "e5",       " 1",     "1 ",    "1,5",
                                      "1e", "0x1p3", "infinity", "nan(1)", "1e999", "1.2.3"};
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) CHECK(!gm_parse_f64(bad[k], &x));
}

static void numbers_ascend(void)
{
    double x[] = {3, -INFINITY, 0.5, -2, 3, INFINITY};
    const double want[] = {-INFINITY, -2, 0.5, 3, 3, INFINITY};
    qsort(x, 6, sizeof *x, gm_ascending);
    for (int i = 0; i < 6; i++) CHECK(x[i] == want[i]);
    uint32_t n[] = {7, UINT32_MAX, 0, 7};
    qsort(n, 4, sizeof *n, gm_ascending_u32);
    CHECK(n[0] == 0 && n[1] == 7 && n[2] == 7 && n[3] == UINT32_MAX);
    const char *text[] = {"b", "", "\xC3\xA4", "ab"};
    qsort(text, 4, sizeof *text, gm_ascending_text);
    CHECK_TEXT(text[0], "");
    CHECK_TEXT(text[1], "ab");
    CHECK_TEXT(text[3], "\xC3\xA4");
}

static void sizes_are_shown_with_their_unit(void)
{
    char buf[24];
    CHECK_TEXT(gm_show_bytes(buf, 0), "0 B");
    CHECK_TEXT(gm_show_bytes(buf, 999), "999 B");
    CHECK_TEXT(gm_show_bytes(buf, 999.7), "1.0 kB");
    CHECK_TEXT(gm_show_bytes(buf, 1500), "1.5 kB");
    CHECK_TEXT(gm_show_bytes(buf, 312e3), "312 kB");
    CHECK_TEXT(gm_show_bytes(buf, 999.96e3), "1.0 MB");
    CHECK_TEXT(gm_show_bytes(buf, 41.2e9), "41.2 GB");
    CHECK_TEXT(gm_show_bytes(buf, 5e19), "50000 PB");
    CHECK_TEXT(gm_show_count(buf, 14200), "14.2 k");
    CHECK_TEXT(gm_show_count(buf, 3.1e6), "3.1 M");
    CHECK_TEXT(gm_show_count(buf, 12), "12");
    CHECK_TEXT(gm_show_count(buf, -2500), "-2.5 k");
}

static void times_are_shown_as_people_write_them(void)
{
    char buf[24];
    CHECK_TEXT(gm_show_seconds(buf, 0.25), "0.2 s");
    CHECK_TEXT(gm_show_seconds(buf, 12.4), "12 s");
    CHECK_TEXT(gm_show_seconds(buf, 59.7), "1:00");
    CHECK_TEXT(gm_show_seconds(buf, 3723), "1:02:03");
    CHECK_TEXT(gm_show_seconds(buf, 360000), "100:00:00");
    CHECK_TEXT(gm_show_seconds(buf, (double)NAN), "?");
    CHECK_TEXT(gm_show_seconds(buf, (double)INFINITY), "?");
    CHECK_TEXT(gm_show_seconds(buf, -1), "?");
}

static void digits_to_sixteen(void)
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < 16; i++) CHECK_INT(gm_hex_digit(digits[i]), i);
    CHECK(gm_hex_digit('A') == 10 && gm_hex_digit('F') == 15);
    for (const char *c = "/:@G`g \xFF"; *c; c++) CHECK_INT(gm_hex_digit(*c), -1);
    CHECK_INT(gm_hex_digit('\0'), -1);
}

static void one_has_no_plural(void)
{
    CHECK_TEXT(gm_plural(0), "s");
    CHECK_TEXT(gm_plural(1), "");
    CHECK_TEXT(gm_plural(2), "s");
}

TESTS(TEST(digits_to_sixteen), TEST(one_has_no_plural), TEST(numbers_ascend),
      TEST(integers_are_read_whole_or_not_at_all), TEST(fractions_are_read_whole_or_not_at_all),
      TEST(a_part_of_a_text_is_read_whole_or_not_at_all), TEST(sizes_are_shown_with_their_unit),
      TEST(times_are_shown_as_people_write_them))
