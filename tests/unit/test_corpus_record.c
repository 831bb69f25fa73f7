/* test_corpus_record.c - text/corpus_record.c: what a line of a corpus holds: its text, its subset,
 * its language, and what is said of one that cannot be used.
 */
#include "text/corpus_record.h"
#include "base/sha256.h"
#include "tests/check.h"

/* A line, and what it becomes: "SUBSET|TEXT", or why it is left out. */
typedef struct expected {
    const char *line, *want;
    gm_skip skip;
} expected;

static void check_lines(const gm_corpus_options *options, const expected *at, size_t n)
{
    gm_error err = {0};
    gm_corpus_record record = {0};
    CHECK_OK(gm_corpus_record_init(&record, options, &err), err);
    for (size_t i = 0; i < n; i++) {
        char found[200];
        gm_document d = {.text = "", .subset = ""};
        CHECK_OK(gm_corpus_record_read(&record, at[i].line, strlen(at[i].line), &d, &err), err);
        (void)snprintf(found, sizeof found, "%s|%.*s", d.subset, (int)d.n_bytes, d.text);
        CHECK_INT(d.skip, at[i].skip);
        CHECK_TEXT(d.skip == GM_SKIP_NONE ? found : d.why_not, at[i].want);
    }
    gm_corpus_record_clear(&record);
}
#define CHECK_LINES(options, at) check_lines(options, at, sizeof(at) / sizeof *(at))

static void other_fields_can_be_named(void)
{
    const gm_corpus_options options = {.text_field = "body.ru", .subset_field = "lang"};
    const expected at[] = {{.line = "{\"body\":{\"ru\":\"слово\"},\"lang\":\"ru\",\"text\":\"no\"}",
                            .want = "ru|слово"}};
    CHECK_LINES(&options, at);
}

static void what_is_wrong_with_a_line_is_said(void)
{
    const gm_corpus_options options = {0};
    const expected at[] = {
        {"", "the line is blank", GM_SKIP_NOT_JSON},
        {" \t\r", "the line is blank", GM_SKIP_NOT_JSON},
        {"[\"text\"]", "the line has type array, expected an object", GM_SKIP_NO_TEXT},
        {"[{\"text\":\"x\"}]", "the line has type array, expected an object", GM_SKIP_NO_TEXT},
        {"\"text\"", "the line has type string, expected an object", GM_SKIP_NO_TEXT},
        {"5", "the line has type number, expected an object", GM_SKIP_NO_TEXT},
        {"{}", "field 'text' is missing, expected a string", GM_SKIP_NO_TEXT},
        {"{\"ten_bytes_\":1,\"a_long_name_that_ends_four_bytes_before_the_end_\":2,\"x\":3}",
         "field 'text' is missing, expected a string; there are: ten_bytes_, ...", GM_SKIP_NO_TEXT},
        {"{\"text\":[\"x\"]}", "field 'text' has type array, expected a string", GM_SKIP_NO_TEXT},
        {"{\"text\":[{\"role\":\"user\",\"content\":\"x\"}]}",
         "field 'text' has type array, expected a string; make each chat one text first, as "
         "transformers' apply_chat_template(..., tokenize=False) does",
         GM_SKIP_NO_TEXT},
        {"{\"text\":[]}", "field 'text' has type array, expected a string", GM_SKIP_NO_TEXT},
        {"{\"text\":\"\"}", "the text is empty", GM_SKIP_EMPTY},
        {"{\"text\":\"x\",\"text\":\"y\"}", "not JSON: key 'text' appears twice in one object",
         GM_SKIP_NOT_JSON},
        {"{\"text\":\"\xFF\"}", "byte 10 (0xff) is not UTF-8", GM_SKIP_NOT_UTF8},
        {"\xFF\xFE{", "byte 1 (0xff) is not UTF-8; it looks like UTF-16", GM_SKIP_NOT_UTF8},
    };
    CHECK_LINES(&options, at);
}

static void a_text_is_taken_as_it_is(void)
{
    gm_document d = {0};
    gm_document_read("\xFE\xFF\0a", 4, &d);
    CHECK_INT(d.skip, GM_SKIP_NOT_UTF8);
    CHECK_TEXT(d.why_not, "byte 1 (0xfe) is not UTF-8; it looks like UTF-16");
    d = (gm_document){0};
    gm_document_read("{\r\n", 3, &d);
    CHECK_INT(d.skip, GM_SKIP_NONE);
    CHECK_INT(d.n_bytes, 3);
}

static void a_subset_may_be_a_number_and_a_key_may_hold_a_dot(void)
{
    const gm_corpus_options options = {.text_field = "m.text", .subset_field = "m.kind"};
    const expected at[] = {
        {.line = "{\"m.text\":\"a\",\"m.kind\":\"x\"}", .want = "x|a"},
        {.line = "{\"m.text\":\"b\",\"m.kind\":-3}", .want = "-3|b"},
        {.line = "{\"m.text\":\"c\",\"m.kind\":true}", .want = "true|c"},
        {.line = "{\"m.text\":\"d\",\"m.kind\":0.5}", .want = "0.5|d"},
        {.line = "{\"m\":{\"text\":\"e\",\"kind\":9007199254740993},\"m.text\":\"no\"}",
         .want = "9007199254740993|e"},
        {.line = "{\"m\":{\"text\":\"f\",\"kind\":[1]}}", .want = "|f"},
        {.line = "{\"m.text\":\"g\",\"m.kind\":1.0}", .want = "1|g"},
        {.line = "{\"m.text\":\"h\",\"m.kind\":0.30000000000000004}",
         .want = "0.30000000000000004|h"},
        {.line = "{\"m.text\":\"i\",\"m.kind\":-1e300}", .want = "-1e+300|i"},
    };
    CHECK_LINES(&options, at);
}

static void nul_in_a_subset_is_written_out(void)
{
    const gm_corpus_options options = {.subset_field = "s"};
    const expected at[] = {
        {.line = "{\"text\":\"1\",\"s\":\"a\\u0000b\"}", .want = "a\\x00b|1"},
        {.line = "{\"text\":\"2\",\"s\":\"\\u0000a\\u0000\"}", .want = "\\x00a\\x00|2"},
        {.line = "{\"text\":\"3\",\"s\":\"a\"}", .want = "a|3"},
    };
    CHECK_LINES(&options, at);
}

static void a_language_may_be_named(void)
{
    static const char *const line[] = {"{\"text\":\"a\",\"meta\":{\"lang\":\"d\\u0000e\"}}",
                                       "{\"text\":\"b\",\"meta\":{\"lang\":7}}",
                                       "{\"text\":\"c\"}"};
    static const char *const want[] = {"d\\x00e", "", ""};
    const gm_corpus_options options = {.language_field = "meta.lang"};
    gm_error err = {0};
    gm_corpus_record record = {0};
    CHECK_OK(gm_corpus_record_init(&record, &options, &err), err);
    for (int i = 0; i < 3; i++) {
        gm_document d = {.language = ""};
        CHECK_OK(gm_corpus_record_read(&record, line[i], strlen(line[i]), &d, &err), err);
        CHECK_TEXT(d.language, want[i]);
    }
    gm_corpus_record_clear(&record);
}

static void nul_in_a_text_is_kept(void)
{
    static const char line[] = "{\"text\":\"a\\u0000b\"}";
    const gm_corpus_options options = {0};
    gm_error err = {0};
    gm_corpus_record record = {0};
    gm_document d = {0};
    uint8_t sha[32];
    CHECK_OK(gm_corpus_record_init(&record, &options, &err), err);
    CHECK_OK(gm_corpus_record_read(&record, line, sizeof line - 1, &d, &err), err);
    CHECK_INT(d.n_bytes, 3);
    CHECK_BYTES(d.text, "a\0b", 3);
    gm_sha256_of("a\0b", 3, sha);
    CHECK_BYTES(d.sha, sha, 32);
    gm_corpus_record_clear(&record);
}

TESTS(TEST(other_fields_can_be_named), TEST(what_is_wrong_with_a_line_is_said),
      TEST(a_text_is_taken_as_it_is), TEST(a_subset_may_be_a_number_and_a_key_may_hold_a_dot),
      TEST(nul_in_a_subset_is_written_out), TEST(a_language_may_be_named),
      TEST(nul_in_a_text_is_kept))
