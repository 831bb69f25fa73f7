/* test_spelt_tokens.c - probe/spelt_tokens.c: characters cut between tokens, what is markup or no
 * text, phases; every allocation failing.
 */
#include "probe/spelt_tokens.h"

#include "formats/trace.h"
#include "tests/tokenizer_json.h"

/* Of bytes, as byte-level tokenizers spell them: Ñ is D1, Ĥ 82, Ġ a space, Ċ a line end, ĉ a tab, ć
 * BEL, ÿ FF; ð, Ł and ĺĢ are F0, 9F and 98 80, in all U+1F600. */
static gm_tokenizer *open_bytes(void)
{
    return test_tokenizer(
        (parts){.vocab = "{\"a\":0,\"aÑ\":1,\"Ĥb\":2,\"Ñ\":3,\"Ĥ\":4,\"Ġ</script>\\\"'&\":5,"
                         "\"Ċ\":6,\"ĉ\":7,\"ć\":8,\"ÿ\":9,\"ð\":12,\"Ł\":13,\"ĺĢ\":14,\"<s>\":11}",
                .merges = "[]",
                .decoder = "{\"type\":\"ByteLevel\"}",
                .added = "[{\"id\":11,\"content\":\"<s>\",\"special\":true}]"});
}

static gm_text put(const gm_tokenizer *t, const uint32_t *id, const uint8_t *phase, size_t n,
                   int64_t hit)
{
    gm_html page = {0};
    gm_error err = {0};
    gm_html_raw(&page, "|");
    CHECK_OK(gm_spelt_tokens_put(&page, t, id, phase, n, hit, &err), err);
    CHECK_INT(page.status, GM_OK);
    return page.text;
}

static void check_ids(const gm_tokenizer *t, const uint32_t *id, size_t n, const char *want)
{
    static const uint8_t phase[8];
    gm_text got = put(t, id, phase, n, -1);
    CHECK_TEXT(got.at + 1, want);
    gm_text_clear(&got);
}

static void characters_of_several_tokens_stand_in_the_first(void)
{
    gm_tokenizer *t = open_bytes();
    check_ids(t, (uint32_t[]){1, 2}, 2, "<span>aт</span><span>b</span>");
    check_ids(t, (uint32_t[]){3, 4, 0}, 3,
              "<span>т</span><span class=\"more\"></span><span>a</span>");
    check_ids(t, (uint32_t[]){12, 13, 14}, 3,
              "<span>\U0001F600</span><span class=\"more\"></span><span class=\"more\"></span>");
    check_ids(t, (uint32_t[]){1, 0, 3}, 3, "<span>a\\xd1</span><span>a</span><span>\\xd1</span>");
    check_ids(t, (uint32_t[]){4, 12, 13, 0}, 4,
              "<span>\\x82</span><span>\\xf0</span><span>\\x9f</span><span>a</span>");
    check_ids(t, NULL, 0, "");
    gm_tokenizer_close(t);
}

static void what_is_no_text_is_shown(void)
{
    gm_tokenizer *t = open_bytes();
    check_ids(t, (uint32_t[]){5, 6, 7}, 3,
              "<span> &lt;/script&gt;&quot;&#39;&amp;</span><span><i>↵</i>\n</span>"
              "<span><i>→</i>\t</span>");
    check_ids(t, (uint32_t[]){8, 9, 10}, 3,
              "<span>\\x07</span><span>\\xff</span><span>[10]</span>");
    check_ids(NULL, (uint32_t[]){8, 4000000000u}, 2, "<span>8 </span><span>4000000000 </span>");
    gm_tokenizer_close(t);
}

static void phases_are_told_apart(void)
{
    gm_tokenizer *t = open_bytes();
    const uint32_t id[] = {11, 0, 0, 11, 0};
    const uint8_t phase[] = {GM_TRACE_TEMPLATE, GM_TRACE_PROMPT, GM_TRACE_GENERATED,
                             GM_TRACE_TEMPLATE, GM_TRACE_PROMPT};
    gm_text got = put(t, id, phase, 5, 2);
    CHECK_TEXT(
        got.at + 1,
        "<span class=\"template\" dir=\"ltr\">&lt;s&gt;</span><span>a</span>"
        "<em>generated</em><span class=\"hit\">a</span>"
        "<span class=\"template\" dir=\"ltr\">&lt;s&gt;</span><em>prompt</em><span>a</span>");
    gm_text_clear(&got);
    got = put(t, id, phase, 1, 0);
    CHECK_TEXT(got.at + 1, "<span class=\"template hit\" dir=\"ltr\">&lt;s&gt;</span>");
    gm_text_clear(&got);
    gm_tokenizer_close(t);
}

/* A trace is a file: what stands there as a phase may be none. */
static void a_phase_that_is_none_is_no_part_of_the_text(void)
{
    gm_tokenizer *t = open_bytes();
    gm_text got = put(t, (uint32_t[]){0, 0}, (uint8_t[]){255, GM_TRACE_GENERATED}, 2, -1);
    CHECK_TEXT(got.at + 1, "<span>a</span><em>generated</em><span>a</span>");
    gm_text_clear(&got);
    gm_tokenizer_close(t);
}

static void spellings_fit_a_line(void)
{
    static const char *const want[] = {"a", "a\\xd1", "\\x82b", "\\xd1", "\\x82"};
    gm_tokenizer *t = open_bytes();
    gm_text got = {0};
    gm_error err = {0};
    for (uint32_t id = 0; id < 5; id++) {
        got.n = 0;
        CHECK_OK(gm_spelt_token(&got, t, id, &err), err);
        CHECK_TEXT(got.at, want[id]);
    }
    got.n = 0;
    CHECK_OK(gm_spelt_token(&got, t, 6, &err), err);
    CHECK_TEXT(got.at, "\\n");
    CHECK_OK(gm_spelt_token(&got, t, 10, &err), err);
    CHECK_OK(gm_spelt_token(&got, NULL, 0, &err), err);
    CHECK_TEXT(got.at, "\\n");
    CHECK_FAILS(gm_spelt_token(&got, t, 15, &err), err, GM_EARG, "token id 15");
    gm_text_clear(&got);
    gm_tokenizer_close(t);
}

static gm_status attempt(void *tokenizer, gm_error *err)
{
    gm_html page = {0};
    gm_text spelling = {0};
    const uint32_t id[] = {1, 2, 5};
    const uint8_t phase[3] = {0};
    gm_status status = gm_spelt_tokens_put(&page, tokenizer, id, phase, 3, -1, err);
    if (status == GM_OK) status = gm_spelt_token(&spelling, tokenizer, 5, err);
    if (status == GM_OK) status = gm_html_end(&page, err);
    gm_text_clear(&spelling);
    gm_html_clear(&page);
    return status;
}

static void allocations_fail(void)
{
    gm_tokenizer *t = open_bytes();
    check_every_allocation(attempt, t);
    gm_tokenizer_close(t);
}

TESTS(TEST(characters_of_several_tokens_stand_in_the_first), TEST(what_is_no_text_is_shown),
      TEST(phases_are_told_apart), TEST(a_phase_that_is_none_is_no_part_of_the_text),
      TEST(spellings_fit_a_line), TEST(allocations_fail))
