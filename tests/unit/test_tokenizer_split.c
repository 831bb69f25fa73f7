/* test_tokenizer_split.c - engine/tokenizer/splitter.c: pre-tokenizers: where a text is cut. */
#include "engine/tokenizer/splitter.h"
#include "tests/check.h"

/* Split `text` and write the pieces as "[a][b]". */
static void check_split(const char *json, const char *text, const char *want)
{
    gm_error err = {0};
    gm_json *parsed = NULL;
    gm_splitter splitter = {0};
    gm_splitter_work work = {0};
    gm_regex_work *regex = NULL;
    gm_view view = {.at = text, .n = strlen(text)};
    const gm_pieces *pieces = NULL;
    char shown[512] = "";
    size_t used = 0;
    CHECK_OK(gm_json_parse(&parsed, json, strlen(json), "t.json", &err), err);
    CHECK_OK(gm_splitter_load(&splitter, parsed, "t.json", &err), err);
    CHECK_OK(gm_regex_work_create(&regex, &err), err);
    CHECK_OK(gm_splitter_apply(&splitter, &work, regex, &view, &pieces, &err), err);
    for (size_t i = 0; pieces && i < pieces->n; i++)
        used += (size_t)snprintf(shown + used, sizeof shown - used, "[%.*s]",
                                 (int)(pieces->at[i].stop - pieces->at[i].start),
                                 view.at + pieces->at[i].start);
    CHECK_TEXT(shown, want);
    gm_regex_work_free(regex);
    gm_splitter_work_clear(&work);
    gm_splitter_clear(&splitter);
    gm_json_free(parsed);
}

#define SPLIT(pattern, behavior, invert)                                                           \
    "{\"type\":\"Split\",\"pattern\":" pattern ",\"behavior\":\"" behavior "\",\"invert\":" invert \
    "}"
#define WORDS "{\"Regex\":\"[a-z]+|[^a-z ]+\"}"
#define DASH  "{\"String\":\"-\"}"

static void behaviors_as_the_reference_documents_them(void)
{
    const char *text = "the-final--countdown";
    check_split(SPLIT(DASH, "Removed", "false"), text, "[the][final][countdown]");
    check_split(SPLIT(DASH, "Isolated", "false"), text, "[the][-][final][-][-][countdown]");
    check_split(SPLIT(DASH, "MergedWithPrevious", "false"), text, "[the-][final-][-][countdown]");
    check_split(SPLIT(DASH, "MergedWithNext", "false"), text, "[the][-final][-][-countdown]");
    check_split(SPLIT(DASH, "Contiguous", "false"), text, "[the][-][final][--][countdown]");
}

/* A normalizer makes texts longer. */
static void what_is_too_long_is_refused(void)
{
    gm_error err = {0};
    gm_splitter splitter = {0};
    gm_splitter_work work = {0};
    gm_view view = {.at = "", .n = (size_t)UINT32_MAX + 1}; /* not read: there are no steps */
    const gm_pieces *pieces = NULL;
    CHECK_FAILS(gm_splitter_apply(&splitter, &work, NULL, &view, &pieces, &err), err, GM_EFORMAT,
                "a text of 4294967296 bytes is too long to encode");
    gm_splitter_work_clear(&work);
}

static void the_ends_of_a_text(void)
{
    check_split(SPLIT(DASH, "MergedWithPrevious", "false"), "-a-", "[-][a-]");
    check_split(SPLIT(DASH, "MergedWithNext", "false"), "-a-", "[-a][-]");
    check_split(SPLIT(DASH, "Removed", "false"), "--", "");
    check_split(SPLIT(DASH, "Isolated", "false"), "", "");
    check_split("null", "a-b", "[a-b]");
}

static void inverted_the_gaps_are_the_matches(void)
{
    check_split(SPLIT(WORDS, "Removed", "true"), "how are you?", "[how][are][you][?]");
    check_split(SPLIT(WORDS, "MergedWithPrevious", "true"), "how are you?", "[how ][are ][you][?]");
    check_split(SPLIT(WORDS, "MergedWithNext", "true"), "how are you?", "[how][ are][ you][?]");
    check_split(SPLIT(WORDS, "Contiguous", "true"), "how are you?", "[how][ ][are][ ][you?]");
}

static void empty_matches_leave_no_empty_pieces(void)
{
    check_split(SPLIT("{\"Regex\":\"x*\"}", "Isolated", "false"), "axxb", "[a][xx][b]");
    check_split(SPLIT("{\"Regex\":\"x*\"}", "Removed", "false"), "ab", "[a][b]");
}

static void classes_of_characters(void)
{
    check_split("{\"type\":\"Digits\",\"individual_digits\":false}",
                "a12\xC2\xBD"
                "b3",
                "[a][12\xC2\xBD][b][3]");
    check_split("{\"type\":\"Digits\",\"individual_digits\":true}", "a12b", "[a][1][2][b]");
    check_split("{\"type\":\"WhitespaceSplit\"}",
                " a \xE3\x80\x80"
                "b\n",
                "[a][b]");
    check_split("{\"type\":\"Punctuation\"}",
                "a,$\xE2\x80\x94"
                "b",
                "[a][,][$][\xE2\x80\x94][b]");
}

static void byte_level_splits_as_gpt2(void)
{
    const char *plain = "{\"type\":\"ByteLevel\",\"add_prefix_space\":false}";
    check_split(plain, "It's  20 cats!\n", "[It]['s][ ][ 20][ cats][!][\n]");
    check_split("{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"use_regex\":false}", "ab cd",
                "[ ab cd]");
    check_split("{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\"},{\"type\":"
                "\"ByteLevel\",\"add_prefix_space\":true}]}",
                "a1 b", "[ a][ 1][ b]");
}

#define META(rest) "{\"type\":\"Metaspace\",\"replacement\":\"_\"" rest "}"

static void metaspace_marks_and_cuts(void)
{
    check_split(META(""), "a b  c", "[_a][_b][_][_c]");
    check_split(META(",\"prepend_scheme\":\"never\""), "a b", "[a][_b]");
    check_split(META(",\"add_prefix_space\":false"), "a b", "[a][_b]");
    check_split(META(",\"split\":false"), " a b", "[_a_b]");
    check_split("{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\"}," META(
                    ",\"prepend_scheme\":\"first\"") "]}",
                "a1b", "[_a][1][b]");
}

static void offsets_follow_what_was_put_in(void)
{
    gm_error err = {0};
    gm_json *json = NULL;
    gm_splitter splitter = {0};
    gm_splitter_work work = {0};
    gm_view view = {.at = "a b", .n = 3};
    const gm_pieces *pieces;
    const char *text = META("");
    CHECK_OK(gm_json_parse(&json, text, strlen(text), "t.json", &err), err);
    CHECK_OK(gm_splitter_load(&splitter, json, "t.json", &err), err);
    CHECK_OK(gm_splitter_apply(&splitter, &work, NULL, &view, &pieces, &err), err);
    const uint32_t want[] = {0, 0, 1, 2, 3}; /* _ a _ b */
    for (size_t i = 0; i <= 4; i++) CHECK_INT(gm_view_end(&view, i), want[i]);
    gm_splitter_work_clear(&work);
    gm_splitter_clear(&splitter);
    gm_json_free(json);
}

TESTS(TEST(behaviors_as_the_reference_documents_them), TEST(what_is_too_long_is_refused),
      TEST(the_ends_of_a_text), TEST(inverted_the_gaps_are_the_matches),
      TEST(empty_matches_leave_no_empty_pieces), TEST(classes_of_characters),
      TEST(byte_level_splits_as_gpt2), TEST(metaspace_marks_and_cuts),
      TEST(offsets_follow_what_was_put_in))
