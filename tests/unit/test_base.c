/* test_base.c - status texts, messages, the two macros. */
#include "base/base.h"

#include "base/text.h"
#include "tests/check.h"

static void every_status_has_a_text(void)
{
    CHECK_TEXT(gm_status_text(GM_OK), "no error");
    CHECK_TEXT(gm_status_text(GM_ECHECK), "a check failed");
    CHECK_TEXT(gm_status_text((gm_status)1000), "unknown status");
#define CHECK_NAMED(code, text) CHECK_TEXT(gm_status_text(code), text);
    GM_STATUS_LIST(CHECK_NAMED)
#undef CHECK_NAMED
}

static void fail_fills_the_error_and_gives_the_code(void)
{
    gm_error err = {0};
    CHECK_INT(gm_fail(&err, GM_ESHAPE, "'%s' has %d rows", "w", 2), GM_ESHAPE);
    CHECK_INT(err.code, GM_ESHAPE);
    CHECK_TEXT(err.text, "'w' has 2 rows");
    CHECK_INT(gm_fail(NULL, GM_EIO, "nobody listens"), GM_EIO);
}

static void fail_may_quote_its_own_error(void)
{
    gm_error err = {0};
    (void)gm_fail(&err, GM_EIO, "inner");
    (void)gm_fail(&err, GM_EIO, "outer: %s", err.text);
    CHECK_TEXT(err.text, "outer: inner");
}

static void messages_are_one_clean_line(void)
{
    gm_error err = {0};
    (void)gm_fail(&err, GM_EARG, "%s", "a\nb\tc\x1b[1m \xff \\n \xe2\x80\xae \xc2\x9b");
    CHECK_TEXT(err.text, "a\\nb\\tc\\x1b[1m \\xff \\n \\u{202e} \\u{9b}");
}

static void long_messages_are_cut_at_a_character(void)
{
    gm_error err = {0};
    char two_bytes[1001];
    for (size_t i = 0; i < 1000; i += 2) memcpy(two_bytes + i, "\xd1\x8f", 2);
    two_bytes[1000] = '\0';
    for (int shift = 0; shift < 2; shift++) { /* the cut falls on both halves */
        (void)gm_fail(&err, GM_EARG, "%.*s%s", shift, "x", two_bytes);
        size_t n = strlen(err.text);
        CHECK(n < sizeof err.text && n > sizeof err.text - 8);
        CHECK_TEXT(err.text + n - 3, "...");
        CHECK_INT(gm_utf8_valid(err.text, n), n);
    }
}

/* The shape of every fallible function. */
static gm_status three_steps(int failing, int *freed, gm_error *err)
{
    gm_status status = GM_OK;
    GM_TRY(failing == 1 ? GM_EIO : GM_OK);
    if (failing == 2) GM_FAIL(GM_EARG, "step %d", failing);
out:
    ++*freed;
    return status;
}

static void the_macros_leave_through_out(void)
{
    gm_error err = {0};
    int freed = 0;
    CHECK_INT(three_steps(0, &freed, &err), GM_OK);
    CHECK_INT(three_steps(1, &freed, &err), GM_EIO);
    CHECK_INT(three_steps(2, &freed, &err), GM_EARG);
    CHECK_INT(freed, 3);
    CHECK_TEXT(err.text, "step 2");
}

TESTS(TEST(every_status_has_a_text), TEST(fail_fills_the_error_and_gives_the_code),
      TEST(fail_may_quote_its_own_error), TEST(messages_are_one_clean_line),
      TEST(long_messages_are_cut_at_a_character), TEST(the_macros_leave_through_out))
