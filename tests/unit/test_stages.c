/* test_stages.c - cluster/stages.c: names in order, sums, what is too many. */
#include "cluster/stages.h"

#include "tests/check.h"

static void a_name_that_returns_gets_more(void)
{
    gm_stages s = gm_stages_start();
    gm_text text = {0};
    gm_error err = {0};
    gm_stages_end(&s, "a");
    s.last_s -= 2; /* as if 2 s had gone by */
    s.start_s -= 2;
    gm_stages_end(&s, "b");
    gm_stages_end(&s, "a");
    CHECK_INT(s.n, 2);
    CHECK(s.at[0].seconds >= 0 && s.at[0].seconds < 2);
    CHECK(s.at[1].seconds >= 2);
    s.at[0].seconds = 0.125, s.at[1].seconds = 2;
    s.last_s = s.start_s + 2.5;
    CHECK_OK(gm_stages_say(&text, &s, &err), err);
    CHECK_TEXT(text.at, "a 0.12 s, b 2.00 s, 2.50 s in all");
    gm_text_clear(&text);
}

static void the_last_takes_what_is_too_many(void)
{
    static const char *const names[] = {"0", "1", "2", "3", "4", "5", "6", "7", "8",
                                        "9", "a", "b", "c", "d", "e", "f", "g"};
    gm_stages s = gm_stages_start();
    for (size_t i = 0; i < GM_MAX_STAGES; i++) gm_stages_end(&s, names[i]);
    s.last_s -= 1;
    gm_stages_end(&s, names[GM_MAX_STAGES]);
    CHECK_INT(s.n, GM_MAX_STAGES);
    CHECK(s.at[GM_MAX_STAGES - 1].seconds >= 1);
}

TESTS(TEST(a_name_that_returns_gets_more), TEST(the_last_takes_what_is_too_many))
