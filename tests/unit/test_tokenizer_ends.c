/* test_tokenizer_ends.c - engine/tokenizer: where in the text every token ends: what is cut there
 * is whole characters, whatever normalizers and added tokens do in between.
 */
#include "engine/tokenizer/tokenizer.h"
#include "tests/tokenizer_json.h"

/* Single bytes only, so that a character is as many tokens as it has bytes:
 * a e x b i space, D1 8F (ya), C3 A9 (e acute), CC 81 87 A3 (marks), F0 9F 98 80. */
#define BYTES                                                                             \
    "{\"a\":0,\"e\":1,\"x\":2,\"b\":3,\"i\":4,\"\\u0120\":5,\"\\u00d1\":6,\"\\u0131\":7," \
    "\"\\u00c3\":8,\"\\u00a9\":9,\"\\u00cc\":10,\"\\u0123\":11,\"\\u0129\":12,"           \
    "\"\\u00a3\":13,\"\\u00f0\":14,\"\\u0141\":15,\"\\u013a\":16,\"\\u0122\":17}"
#define BYTE_LEVEL "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}"
#define ACUTE      "\xCC\x81"
#define BELOW      "\xCC\xA3"
#define YA         "\xD1\x8F"

static parts bytes_with(const char *normalizer, const char *added)
{
    return (parts){.vocab = BYTES,
                   .merges = "[]",
                   .splitter = BYTE_LEVEL,
                   .normalizer = normalizer,
                   .added = added};
}

static void half_a_character_counts_the_whole(void)
{
    check_once(bytes_with(NULL, NULL), "a" YA "b", "0 6 7 3", "1 3 3 4");
    check_once(bytes_with(NULL, NULL), "\xF0\x9F\x98\x80x", "14 15 16 17 2", "4 4 4 4 5");
}

static void a_composed_character_ends_after_its_marks(void)
{
    const char *nfc = "{\"type\":\"NFC\"}";
    check_once(bytes_with(nfc, NULL), "ae" ACUTE "x", "0 8 9 2", "1 4 4 5");
    /* marks in the wrong order: both characters change, and end together */
    check_once(bytes_with(nfc, NULL), "x" ACUTE BELOW "b", "2 10 13 10 11 3", "5 5 5 5 5 6");
    /* what was composed in the text already keeps its own ends */
    check_once(bytes_with(nfc, NULL), "\xC3\xA9x", "8 9 2", "2 2 3");
    check_once(bytes_with("{\"type\":\"NFD\"}", NULL), "\xC3\xA9x", "1 10 11 2", "2 2 2 3");
}

/* A half-width voicing mark is a letter that becomes a mark; U+1133B is a mark since
 * Unicode 11, which the reference's normal forms do not know: it stops the acute. */
static void marks_are_those_of_the_reference(void)
{
    const char *vocab = "{\"e\":0,\"\\u30ab\":1,\"\\u30ac\":2,\"\\u00e9\":3,\"\\u0301\":4,"
                        "\"\\ud804\\udf3b\":5}";
    parts p = {.vocab = vocab, .merges = "[]", .normalizer = "{\"type\":\"NFKC\"}"};
    check_once(p,
               "\xEF\xBD\xB6\xEF\xBE\x9E"
               "e",
               "2 0", "6 7");
    check_once(p, "e\xCC\x81", "3", "3");
    check_once(p, "e\xF0\x91\x8C\xBB\xCC\x81", "0 5 4", "1 5 7");
}

static void lower_case_may_be_longer(void)
{
    check_once(bytes_with("{\"type\":\"Lowercase\"}", NULL), "\xC4\xB0X", "4 10 12 2", "2 2 2 3");
}

static void what_is_put_in_ends_where_the_text_before_it_ends(void)
{
    const char *prepend = "{\"type\":\"Prepend\",\"prepend\":\"ab\"}";
    check_once(bytes_with(prepend, NULL), "x" YA, "0 3 2 6 7", "0 0 1 3 3");
    const char *space = "{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"use_regex\":false}";
    parts p = bytes_with(NULL, "[{\"id\":18,\"content\":\"[\"}]");
    p.splitter = space;
    check_once(p, "x[a", "5 2 18 5 0", "0 1 2 2 3");
}

static void what_is_taken_out_belongs_to_no_token_before_it(void)
{
    const char *strip = "{\"type\":\"Strip\",\"strip_left\":true,\"strip_right\":true}";
    check_once(bytes_with(strip, NULL), "  ax  ", "0 2", "3 4");
    const char *cut = "{\"type\":\"Replace\",\"pattern\":{\"String\":\"" YA "\"},\"content\":\"\"}";
    check_once(bytes_with(cut, NULL), YA "a" YA YA "x" YA, "0 2", "3 8");
    const char *longer =
        "{\"type\":\"Replace\",\"pattern\":{\"String\":\"" YA "\"},\"content\":\"abx\"}";
    check_once(bytes_with(longer, NULL), "e" YA "e", "1 0 3 2 1", "1 3 3 3 4");
}

static void an_added_token_ends_after_the_white_space_it_takes(void)
{
    parts p = bytes_with(NULL, "[{\"id\":18,\"content\":\"<>\",\"rstrip\":true,\"lstrip\":true}]");
    check_once(p, "a <>  x", "0 18 2", "1 6 7");
    check_once(p, YA "<>", "6 7 18", "2 2 4");
}

static void an_added_token_of_normalized_text_ends_in_the_original(void)
{
    parts p = bytes_with("{\"type\":\"NFC\"}",
                         "[{\"id\":18,\"content\":\"\xC3\xA9\",\"normalized\":true}]");
    check_once(p, "ae" ACUTE "x", "0 18 2", "1 4 5");
    check_once(p, "a\xC3\xA9x", "0 18 2", "1 3 4");
}

/* Tokens found in white space that the token before has taken: the same bytes are
 * met twice, and ends stay where they are. */
static void ends_never_fall(void)
{
    const char *nested = "[{\"id\":18,\"content\":\"<\",\"rstrip\":true},"
                         "{\"id\":19,\"content\":\"  \"}]";
    check_once(bytes_with(NULL, nested), "<    x", "18 19 19 2", "5 5 5 6");
    /* with lstrip nothing of its own is left: it is dropped */
    const char *taken = "[{\"id\":18,\"content\":\"<\",\"rstrip\":true},"
                        "{\"id\":19,\"content\":\"  \",\"lstrip\":true}]";
    check_once(bytes_with(NULL, taken), "<  x", "18 2", "3 4");
}

static void the_template_stands_at_both_ends(void)
{
    parts p = bytes_with("{\"type\":\"Strip\"}", NULL);
    p.template = "{\"type\":\"BertProcessing\",\"cls\":[\"c\",2],\"sep\":[\"d\",3]}";
    check_once(p, " a ", "2 0 3", "0 2 3");
    check_once(p, "", "2 3", "0 0");
}

TESTS(TEST(half_a_character_counts_the_whole), TEST(a_composed_character_ends_after_its_marks),
      TEST(marks_are_those_of_the_reference), TEST(lower_case_may_be_longer),
      TEST(what_is_put_in_ends_where_the_text_before_it_ends),
      TEST(what_is_taken_out_belongs_to_no_token_before_it),
      TEST(an_added_token_ends_after_the_white_space_it_takes),
      TEST(an_added_token_of_normalized_text_ends_in_the_original), TEST(ends_never_fall),
      TEST(the_template_stands_at_both_ends))
