/* test_schedule.c - formats/schedule.c by hand. */
#include "formats/schedule.h"

#include "tests/check.h"

static gm_schedule read(const char *text)
{
    gm_schedule s;
    char back[24];
    CHECK(gm_schedule_parse(&s, text));
    CHECK_TEXT(gm_schedule_show(back, s), text);
    return s;
}

static void check_shares(const char *text, int parts, const int want[6])
{
    const gm_schedule s = read(text);
    CHECK_INT(gm_schedule_parts(s), parts);
    for (size_t i = 0; i < 6; i++) CHECK_INT(gm_schedule_at(s, i), want[i]);
}

static void shares_are_those_of_the_definition(void)
{
    check_shares("constant", 1, (const int[]){1, 1, 1, 1, 1, 1});
    check_shares("first:3", 1, (const int[]){1, 1, 1, 0, 0, 0});
    check_shares("rise:4", 4, (const int[]){1, 2, 3, 4, 4, 4});
    check_shares("fade:4", 4, (const int[]){4, 3, 2, 1, 0, 0});
    check_shares("rise:1", 1, (const int[]){1, 1, 1, 1, 1, 1});
    check_shares("fade:1", 1, (const int[]){1, 0, 0, 0, 0, 0});
    check_shares("fade:1024", 1024, (const int[]){1024, 1023, 1022, 1021, 1020, 1019});
}

static void refuses_other_texts(void)
{
    static const char *const bad[] = {"",           "first",    "first:",   "first:0",
                                      "first:-1",   "first:1x", "fade:1.5", "rise:1025",
                                      "constant:1", "linear:3", "firs:2",   "first:2 "};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        gm_schedule s = {GM_SCHEDULE_FADE, 9};
        CHECK(!gm_schedule_parse(&s, bad[i]));
        CHECK_INT(s.kind, GM_SCHEDULE_CONSTANT);
    }
}

TESTS(TEST(shares_are_those_of_the_definition), TEST(refuses_other_texts))
