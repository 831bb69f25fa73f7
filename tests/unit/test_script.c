/* test_script.c - text/script.c: the script of most letters. */
#include "text/script.h"
#include "tests/check.h"

#include <string.h>

static gm_script script_of(const char *text)
{
    return gm_script_of(text, strlen(text));
}

static void texts_have_the_script_of_most_letters(void)
{
    CHECK_INT(script_of(""), GM_SCRIPT_NONE);
    CHECK_INT(script_of("12 + 34 = {}"), GM_SCRIPT_NONE);
    CHECK_INT(script_of("Hello, 2024"), GM_SCRIPT_LATIN);
    CHECK_INT(script_of("Za\xc5\xbc\xc3\xb3\xc5\x82\xc4\x87"), GM_SCRIPT_LATIN);
    CHECK_INT(script_of("\xd0\xba\xd0\xbe\xd1\x82 in"), GM_SCRIPT_CYRILLIC);
    CHECK_INT(script_of("\xd0\xba\xd0\xbe inside"), GM_SCRIPT_LATIN);
    CHECK_INT(script_of("\xce\xb1\xce\xb2\xce\xb3"), GM_SCRIPT_GREEK);
    CHECK_INT(script_of("\xe1\xbc\x80"), GM_SCRIPT_GREEK);
    CHECK_INT(script_of("\xd7\xa9\xd7\x9c"), GM_SCRIPT_HEBREW);
    CHECK_INT(script_of("\xd8\xb3\xd9\x84"), GM_SCRIPT_ARABIC);
    CHECK_INT(script_of("\xe0\xa4\x95"), GM_SCRIPT_INDIC);
    CHECK_INT(script_of("\xe6\x96\x87\xe5\xad\x97"), GM_SCRIPT_CJK);
    CHECK_INT(script_of("\xea\xb0\x80"), GM_SCRIPT_CJK);
    CHECK_INT(script_of("\xe0\xb8\x81"), GM_SCRIPT_OTHER); /* Thai */
    CHECK_TEXT(gm_script_name(script_of("a")), "Latin");
    CHECK_TEXT(gm_script_name(GM_SCRIPT_OTHER), "other");
}

static void ties_and_bad_bytes(void)
{
    CHECK_INT(script_of("ab\xd0\xba\xd0\xbe"), GM_SCRIPT_LATIN);
    CHECK_INT(script_of("a\xff\xfe\xd0"), GM_SCRIPT_LATIN);
    CHECK_INT(gm_script_of("a\0\xd0\xba\xd0\xba", 6), GM_SCRIPT_CYRILLIC);
}

TESTS(TEST(texts_have_the_script_of_most_letters), TEST(ties_and_bad_bytes))
