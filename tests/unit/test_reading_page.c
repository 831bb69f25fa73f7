/* test_reading_page.c - probe/reading.c, reading_page.c: rows against those that were written, a
 * page whose every text is markup, its bytes twice, its size; every allocation failing.
 */
#include "probe/reading_page.h"

#include "base/half.h"
#include "base/json.h"
#include "tests/check.h"
#include "tests/tokenizer_json.h"
#include "tests/written_sample.h"

static sample s;
static const size_t LAYERS[] = {0, 2};
static const char HOSTILE[] = "</script><b onclick=\"x\">'&\x07";

/* Ids below 1000 in turn: markup, an end of a comment, a byte that is no UTF-8, an ordinary one. */
static gm_tokenizer *open_tokenizer(void)
{
    static const char *const piece[] = {"</script>\\\"'", "<!--", "ÿ", "word"};
    gm_text vocab = {0};
    gm_error err = {0};
    CHECK_OK(gm_text_add(&vocab, "{", &err), err);
    for (int i = 0; i < 1000; i++)
        CHECK_OK(gm_text_printf(&vocab, &err, "%s\"%d%s\":%d", i ? "," : "", i, piece[i % 4], i),
                 err);
    CHECK_OK(gm_text_add(&vocab, "}", &err), err);
    gm_tokenizer *t = test_tokenizer(
        (parts){.vocab = vocab.at, .merges = "[]", .decoder = "{\"type\":\"ByteLevel\"}"});
    gm_text_clear(&vocab);
    return t;
}

static gm_trace *open_sample(bool nll)
{
    sample_fill(&s, GM_RECORD_CHOICES, 8, 0);
    s.info.model = "<script>alert(1)</script>";
    s.info.has_nll = nll;
    if (!nll) s.block.nll = NULL;
    for (int d = 0; d < SAMPLE_DOCUMENTS; d++) s.document[d].id = HOSTILE;
    s.document[4].subset = HOSTILE;
    for (size_t i = 0; i < SAMPLE_ROWS * SAMPLE_L * SAMPLE_K; i++)
        s.gate[i] = i % SAMPLE_K ? 0.125f : 0.5f + (float)i / 1024;
    return sample_open(&s, "t.h5");
}

/* Documents 1 and 3, of the latter rows 2 to 6. */
static gm_passage at[] = {{.document = 1, .first = 4, .n = 6, .hit = GM_NO_HIT, .value = 0.5},
                          {.document = 3, .first = 20, .n = 5, .hit = 1, .value = 0.25}};
static const gm_passages passages = {at, 2};

static gm_status put(gm_html *html, gm_trace *trace, const gm_tokenizer *t, gm_error *err)
{
    gm_reading r = {0};
    gm_status status = gm_reading_read(&r, trace, &passages, LAYERS, 2, err);
    const gm_reading_page page = {.trace = "t.h5",
                                  .info = gm_trace_get_info(trace),
                                  .samples = gm_trace_get_samples(trace),
                                  .tokenizer = t,
                                  .passages = &passages,
                                  .reading = &r,
                                  .layer = LAYERS,
                                  .by_expert = true,
                                  .l = 1,
                                  .e = 3};
    if (status == GM_OK) status = gm_reading_page_put(html, &page, err);
    gm_reading_clear(&r);
    return status;
}

static void rows_are_those_of_the_trace(void)
{
    gm_trace *trace = open_sample(true);
    gm_reading r;
    gm_error err = {0};
    CHECK_OK(gm_reading_read(&r, trace, &passages, LAYERS, 2, &err), err);
    CHECK_INT(r.T, 11);
    for (size_t t = 0; t < r.T; t++) {
        const size_t row = t < 6 ? 4 + t : 14 + t;
        CHECK_INT(r.token[t], s.token_id[row]);
        CHECK_INT(r.pos[t], s.pos[row]);
        CHECK_INT(r.phase[t], s.phase[row]);
        CHECK(r.nll[t] == s.nll[row] || (isnan(r.nll[t]) && isnan(s.nll[row])));
        for (size_t m = 0; m < 2; m++) {
            const size_t from = row * SAMPLE_L + LAYERS[m], to = m * r.T + t;
            CHECK_NEAR(gm_half_to_f32(r.margin[to]), s.margin[from], 0);
            for (size_t k = 0; k < SAMPLE_K; k++) {
                CHECK_INT(r.expert[to * SAMPLE_K + k], s.expert[from * SAMPLE_K + k]);
                CHECK_NEAR(gm_half_to_f32(r.gate[to * SAMPLE_K + k]), s.gate[from * SAMPLE_K + k],
                           0);
            }
        }
    }
    for (size_t m = 0; m < 2; m++)
        for (size_t e = 0; e < 8; e++) {
            uint32_t count = 0;
            for (size_t d = 0; d < SAMPLE_DOCUMENTS; d++)
                count += s.counts[(d * SAMPLE_L + LAYERS[m]) * 8 + e];
            CHECK_NEAR(r.corpus[m * 8 + e], (double)count / 35, 1e-7);
        }
    gm_reading_clear(&r);
    gm_trace_close(trace);
}

static size_t n_of(const gm_text *page, const char *part)
{
    size_t n = 0;
    for (const char *p = page->at; (p = strstr(p, part)) != NULL; p++) n++;
    return n;
}

/* What a script finds as the text of the element, parsed. */
static gm_json *meta_of(const gm_text *page)
{
    gm_json *meta = NULL;
    gm_error err = {0};
    const char *begin = strstr(page->at, "id=\"meta\">");
    CHECK(begin != NULL);
    if (begin == NULL) return NULL;
    begin += strlen("id=\"meta\">");
    CHECK_OK(
        gm_json_parse(&meta, begin, (size_t)(strstr(begin, "</script>") - begin), "meta", &err),
        err);
    return meta;
}

static const char *text_at(const gm_json *meta, const char *list, size_t i)
{
    const gm_json *value = gm_json_first(gm_json_find(meta, list));
    while (i-- > 0) value = gm_json_next(value);
    return gm_json_text(value, NULL);
}

static void markup_stays_text(void)
{
    gm_trace *trace = open_sample(true);
    gm_tokenizer *t = open_tokenizer();
    gm_html one = {0}, two = {0};
    gm_error err = {0};
    CHECK_OK(put(&one, trace, t, &err), err);
    CHECK_OK(put(&two, trace, t, &err), err);
    CHECK(one.text.n == two.text.n && memcmp(one.text.at, two.text.at, one.text.n) == 0);
    CHECK_INT(n_of(&one.text, "<script"), 1 + 1 + 8); /* ours, meta, arrays */
    CHECK_INT(n_of(&one.text, "</script"), 1 + 1 + 8);
    CHECK_INT(n_of(&one.text, "<b onclick"), 0);
    CHECK_INT(n_of(&one.text, "<!--"), 0);
    CHECK_INT(n_of(&one.text, "unsafe"), 0);
    CHECK_INT(n_of(&one.text, "<article"), 2);
    CHECK(gm_utf8_valid(one.text.at, one.text.n) == one.text.n);
    gm_json *meta = meta_of(&one.text);
    CHECK_TEXT(text_at(meta, "spellings", 0), "100</script>\"'");
    CHECK_TEXT(text_at(meta, "spellings", 1), "101<!--");
    CHECK_TEXT(text_at(meta, "spellings", 2), "102\\xff");
    CHECK_INT(gm_json_n_items(gm_json_find(meta, "ids")), 11);
    gm_json_free(meta);
    gm_html_clear(&one);
    gm_html_clear(&two);
    gm_tokenizer_close(t);
    gm_trace_close(trace);
}

static void without_a_tokenizer_and_nll(void)
{
    gm_trace *trace = open_sample(false);
    gm_html html = {0};
    gm_error err = {0};
    CHECK_OK(put(&html, trace, NULL, &err), err);
    CHECK_INT(n_of(&html.text, "id=\"nll\""), 0);
    CHECK_INT(n_of(&html.text, "<span>101 </span>"), 1);
    CHECK_INT(n_of(&html.text, "<span class=\"hit\">303 </span>"), 1);
    gm_json *meta = meta_of(&html.text);
    CHECK_INT(gm_json_kind_of(gm_json_find(meta, "spellings")), GM_JSON_NULL);
    gm_json_free(meta);
    gm_html_clear(&html);
    gm_trace_close(trace);
}

/* By hand: 40 of markup; 13 of the token, 2 layers of 2 choices (4) and a margin (2), by 4/3. */
static void bytes_of_a_token(void)
{
    const gm_trace_info info = {.n_chosen = 2, .has_nll = true};
    CHECK_INT(gm_reading_token_bytes(&info, 2), 40 + 33 * 4 / 3);
}

static gm_status attempt(void *tokenizer, gm_error *err)
{
    gm_html html = {0};
    gm_trace *trace = NULL;
    gm_status status = gm_trace_open(&trace, "t.h5", err);
    if (status == GM_OK) status = put(&html, trace, tokenizer, err);
    gm_html_clear(&html);
    gm_trace_close(trace);
    return status;
}

static void allocations_fail(void)
{
    gm_tokenizer *t = open_tokenizer();
    gm_trace_close(open_sample(true));
    check_every_allocation(attempt, t);
    gm_tokenizer_close(t);
}

TESTS(TEST(rows_are_those_of_the_trace), TEST(markup_stays_text), TEST(without_a_tokenizer_and_nll),
      TEST(bytes_of_a_token), TEST(allocations_fail))
