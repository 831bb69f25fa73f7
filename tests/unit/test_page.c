/* test_page - the page of an atlas: its policy, its data, what is read from the trace, its limit.
 */
#include "base/json.h"
#include "base/sha256.h"
#include "cluster/atlas_page.h"
#include "cluster/from_atlas.h"
#include "cluster/page_data.h"
#include "cluster/page_documents.h"
#include "cluster/page_tree.h"
#include "cluster/usage.h"
#include "figures/html.h"
#include "tests/written_sample.h"

#include <zlib.h>

#include <unistd.h>

/* As CHECK_HAS, for texts that are too long to be shown. */
#define CHECK_PAGE(page, part)                                             \
    do {                                                                   \
        if (strstr(page, part) == NULL) TEST_FAILED_("no %s in it", part); \
    } while (0)

/* An atlas of the sample trace with E experts: five documents, two clusters. */
enum { N = SAMPLE_DOCUMENTS, C = 2, L = SAMPLE_L, E = 4, D = L * E, NODES = 3 };

static gm_atlas sample_atlas(void)
{
    static const float xy[2 * N] = {0, 0, 1, 0, 0, 1, 4, 4, 5, 4}, share[N] = {1, 1, .5f, 1, 0};
    static const int32_t cluster[N] = {0, 0, 0, 1, -1};
    static const uint16_t subset[N] = {0, 0, 1, 0, 1};
    static const uint32_t size[C] = {3, 1}, subset_count[C * 2] = {2, 1, 1, 0},
                          n_tokens[N] = {3, 5, 7, 9, 11};
    static const char *const name[2] = {"Books", "Code"}, *const id[N] = {"a", "b", "c", "d", "e"};
    static const char *const keyword[C * GM_N_KEYWORDS] = {"wine"};
    static const float usage[C * D] = {.5f, .25f, .25f}, corpus[D] = {.25f, .25f, .5f};
    static const float lift[C * D] = {2, 1, .5f, [D + 1] = 3, [D + 5] = 4};
    static const uint8_t important[C * D] = {[0] = 1, [D + 1] = 1, [D + 5] = 1};
    static const float stability[C] = {.25f, .5f};
    static const uint32_t node[N] = {1, 1, 1, 2, 0}, node_parent[NODES] = {0},
                          node_size[NODES] = {5, 3, 1};
    static const double lambda[N] = {2, 8, 4, 3, .5}, node_birth[NODES] = {0, 1, 1};
    static const int32_t node_cluster[NODES] = {-1, 0, 1};
    return (gm_atlas){.n = N,
                      .n_clusters = C,
                      .n_subsets = 2,
                      .n_layers = L,
                      .n_experts = E,
                      .n_chosen = SAMPLE_K,
                      .layer_of_moe = SAMPLE_LAYERS,
                      .xy = xy,
                      .cluster = cluster,
                      .probability = share,
                      .outlier = share,
                      .subset = subset,
                      .n_tokens = n_tokens,
                      .id = id,
                      .subset_name = name,
                      .size = size,
                      .keyword = keyword,
                      .usage = usage,
                      .lift = lift,
                      .important = important,
                      .stability = stability,
                      .subset_count = subset_count,
                      .corpus_usage = corpus,
                      .n_nodes = NODES,
                      .node = node,
                      .lambda = lambda,
                      .node_parent = node_parent,
                      .node_size = node_size,
                      .node_birth = node_birth,
                      .node_cluster = node_cluster,
                      .model = "tiny",
                      .trace_fingerprint = "f00d",
                      .parameters = "{}",
                      .quality = "{}"};
}

/* The sample trace, its texts replaced by `text`; the caller closes it. */
static gm_trace *open_sample(const char *text)
{
    static sample s;
    sample_fill(&s, GM_RECORD_CHOICES, E, 0);
    for (int d = 0; d < N; d++) s.document[d].text = text, s.document[d].n_text = strlen(text);
    return sample_open(&s, "t.h5");
}

/* ---- scripts and data of any page ---- */

static void the_policy_names_every_script_and_style(void)
{
    static const unsigned char code[] = "let a = 1 < 2;", rules[] = ".a{color:red}";
    const gm_asset script = {code, sizeof code - 1}, style = {rules, sizeof rules - 1};
    const gm_asset *const all[] = {&script};
    gm_error err = {0};
    gm_html page, hash = {0}, styles = {0};
    uint8_t digest[32];
    gm_html_begin_scripted(&page, "a/run.atlas.h5", "t<i>", &style, all, 1);
    gm_html_script(&page, &script);
    CHECK_OK(gm_html_end(&page, &err), err);
    CHECK_PAGE(page.text.at, "default-src 'none'");
    CHECK_PAGE(page.text.at, "<script>let a = 1 < 2;</script>");
    CHECK(strstr(page.text.at, "unsafe") == NULL);

    gm_sha256_of(code, sizeof code - 1, digest);
    gm_html_raw(&hash, "script-src 'sha256-");
    gm_html_base64(&hash, digest, sizeof digest);
    CHECK_PAGE(page.text.at, hash.text.at);
    CHECK_PAGE(page.text.at, "<title>run.atlas.h5: t&lt;i&gt;</title>");
    gm_html_asset(&styles, &gm_asset_every_page); /* what every page has, and then its own */
    gm_html_raw(&styles, (const char *)rules);
    CHECK_PAGE(page.text.at, styles.text.at);
    gm_sha256_of(styles.text.at, styles.text.n, digest);
    gm_html_clear(&hash);
    gm_html_raw(&hash, "style-src 'sha256-");
    gm_html_base64(&hash, digest, sizeof digest);
    CHECK_PAGE(page.text.at, hash.text.at);
    gm_html_clear(&hash);
    gm_html_clear(&styles);
    gm_html_clear(&page);
}

static int digit_of(char c)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = strchr(digit, c);
    return at ? (int)(at - digit) : 0;
}

/* The bytes of element `id`, unpacked into out (cap); their number. */
static size_t unpack(const gm_text *page, const char *id, unsigned char *out, size_t cap)
{
    static unsigned char packed[1 << 16];
    char mark[64];
    snprintf(mark, sizeof mark, "id=\"%s\">", id);
    const char *at = strstr(page->at, mark);
    CHECK(at != NULL);
    if (at == NULL) return 0;
    at += strlen(mark);
    size_t n = 0;
    unsigned long bits = 0;
    for (int k = 1; *at != '<' && n < sizeof packed; at++, k++) {
        bits = bits << 6 | (unsigned long)digit_of(*at);
        for (int b = 0; k % 4 == 0 && b < 3; b++)
            packed[n++] = (unsigned char)(bits >> (16 - 8 * b));
        if (k % 4 == 0) bits = 0;
    }
    z_stream z = {.next_in = packed, .avail_in = (uInt)n, .next_out = out, .avail_out = (uInt)cap};
    CHECK_INT(inflateInit(&z), Z_OK);
    CHECK_INT(inflate(&z, Z_FINISH), Z_STREAM_END);
    inflateEnd(&z);
    return z.total_out;
}

static void data_comes_out_as_it_went_in(void)
{
    unsigned char in[5000], out[5001];
    gm_html page = {0};
    for (size_t n = 0; n < 5; n++) {
        size_t size = n * n * n * 78;
        for (size_t i = 0; i < size; i++) in[i] = (unsigned char)(i * i >> 3);
        gm_html_clear(&page);
        gm_html_raw(&page, "<p>");
        size_t taken = gm_html_data(&page, "x", in, size);
        CHECK_INT(taken, page.text.n - 3);
        CHECK_INT(unpack(&page.text, "x", out, sizeof out), size);
        CHECK_BYTES(out, in, size);
    }
    gm_html_clear(&page);
}

static void json_for_scripts_cannot_end_its_element(void)
{
    gm_html page = {0};
    gm_json *root = NULL;
    gm_error err = {0};
    gm_html_json(&page, "j", "{\"a\":\"</script><!-- \\\" \\\\\",\"b\":[1,\"&\\u0041\"]}");
    const char *json = strchr(page.text.at, '>') + 1, *end = strstr(json, "</script>");
    CHECK(end != NULL && end[9] == '\n' && end[10] == '\0');
    CHECK(strpbrk(json, "<>&") == end); /* nothing before it that could be markup */
    CHECK_OK(gm_json_parse(&root, json, (size_t)(end - json), "j", &err), err);
    CHECK_TEXT(gm_json_text(gm_json_find(root, "a"), NULL), "</script><!-- \" \\");
    gm_json_free(root);
    gm_html_clear(&page);
}

/* ---- what is read from the trace ---- */

/* Of an atlas made of gates they are shares of gate weights. */
static void shares_are_what_the_atlas_was_made_of(void)
{
    gm_atlas atlas = sample_atlas();
    gm_trace *trace = open_sample("text");
    gm_error err = {0};
    gm_page_documents found;
    gm_usage usage;
    atlas.parameters = "{\"usage\":\"gates\"}";
    CHECK_OK(gm_usage_read(&usage, trace, GM_USAGE_GATES, NULL, &err), err);
    CHECK_OK(gm_page_documents_read(&found, &atlas, trace, 100, &err), err);
    for (size_t d = 0; d < D; d++) {
        double sum = 0, square = 0;
        for (size_t i = 0; i < N; i++) {
            const double u = (double)usage.row[i][d];
            sum += u, square += u * u;
        }
        CHECK_NEAR(found.spread[d], sqrt(fmax(0, square / N - sum / N * sum / N)), 1e-7);
    }
    gm_page_documents_clear(&found);
    atlas.parameters = "{\"usage\":\"both\"}";
    CHECK_FAILS(gm_page_documents_read(&found, &atlas, trace, 100, &err), err, GM_EFORMAT,
                "'usage' is 'both', expected counts|gates");
    gm_usage_clear(&usage);
    gm_trace_close(trace);
}

static void shares_are_of_the_experts_that_stand_out(void)
{
    gm_atlas atlas = sample_atlas();
    gm_trace *trace = open_sample("text");
    gm_error err = {0};
    gm_page_documents found;
    uint32_t counts[N * D];
    CHECK_OK(gm_trace_read_counts(trace, 0, N, counts, &err), err);
    CHECK_OK(gm_page_documents_read(&found, &atlas, trace, 2, &err), err);
    CHECK_INT(found.n_columns, 2);
    CHECK_INT(found.column[0], 0); /* the strongest of cluster 0, then that of cluster 1 */
    CHECK_INT(found.column[1], 5);
    for (size_t m = 0; m < 2; m++)
        for (size_t i = 0; i < N; i++) {
            double total = 0, root = found.level[m * N + i] / 15.0;
            for (size_t d = 0; d < D; d++) total += counts[i * D + d];
            double u = counts[i * D + found.column[m]] / total;
            CHECK_NEAR(sqrt(u / (double)found.most[m]), root, 0.5 / 15 + 1e-6);
        }
    gm_page_documents_clear(&found);

    CHECK_OK(gm_page_documents_read(&found, &atlas, trace, 100, &err), err);
    CHECK_INT(found.n_columns, D); /* all */
    for (size_t d = 0; d < D; d++) {
        double sum = 0, square = 0;
        for (size_t i = 0; i < N; i++) {
            double total = 0;
            for (size_t k = 0; k < D; k++) total += counts[i * D + k];
            double u = counts[i * D + d] / total;
            sum += u, square += u * u;
        }
        CHECK_INT(found.column[d], d);
        CHECK_NEAR(found.spread[d], sqrt(fmax(0, square / N - sum / N * sum / N)), 1e-7);
    }
    gm_page_documents_clear(&found);
    gm_trace_close(trace);
}

static void another_trace_is_refused(void)
{
    gm_atlas atlas = sample_atlas();
    gm_trace *trace = open_sample("text");
    gm_error err = {0};
    CHECK_OK(gm_atlas_check_trace(&atlas, trace, &err), err);
    atlas.trace_fingerprint = "beef";
    CHECK_FAILS(gm_atlas_check_trace(&atlas, trace, &err), err, GM_EARG, "fingerprint is f00d");
    atlas.n_experts = 5;
    CHECK_FAILS(gm_atlas_check_trace(&atlas, trace, &err), err, GM_EARG, "3 layers of 4 experts");
    atlas.n = 4;
    CHECK_FAILS(gm_atlas_check_trace(&atlas, trace, &err), err, GM_EARG,
                "5 documents, but the atlas has 4");
    gm_trace_close(trace);
}

static void the_page_says_what_usage_is(void)
{
    static const char *const parameters[] = {NULL, "{\"usage\":\"gates\"}"};
    static const char *const says[] = {"how often it uses each of 4 routed",
                                       "the gates of each of 4"};
    const gm_report_options options = {.html = "page.html"};
    for (int i = 0; i < 2; i++) {
        gm_atlas atlas = sample_atlas();
        gm_error err = {0};
        gm_html page = {0};
        atlas.parameters = parameters[i];
        CHECK_OK(gm_atlas_page(&page, &atlas, &options, &err), err);
        CHECK_PAGE(page.text.at, says[i]);
        gm_html_clear(&page);
    }
}

/* Document 4 alone is of a subset that is not the first. */
static void of_many_subsets_the_largest_are_columns(void)
{
    enum { MANY = 300 };
    static const uint16_t subset[N] = {7, 7, 7, 7, 299};
    static const char *name[MANY];
    static uint32_t count[C * MANY];
    const gm_report_options options = {.html = "page.html"};
    gm_atlas atlas = sample_atlas();
    gm_error err = {0};
    gm_html page = {0};
    for (size_t s = 0; s < MANY; s++) name[s] = s == 7 ? "wine" : s == 299 ? "last" : "none";
    count[7] = 3, count[MANY + 7] = 1;
    atlas.n_subsets = MANY, atlas.subset = subset;
    atlas.subset_name = name, atlas.subset_count = count;
    CHECK_OK(gm_atlas_page(&page, &atlas, &options, &err), err);
    CHECK_PAGE(page.text.at, "The 100 largest of 300 subsets.");
    CHECK_PAGE(page.text.at, "cluster</th><th scope=\"col\" class=\"up\"><span>wine</span></th>"
                             "<th scope=\"col\" class=\"up\"><span>last<");
    CHECK_PAGE(page.text.at,
               "<th scope=\"row\">1</th><td class=\"n m9\">1</td><td class=\"n m0\">");
    gm_html_clear(&page);
}

static void more_clusters_than_its_numbers_can_name_are_refused(void)
{
    gm_atlas atlas = sample_atlas();
    const gm_report_options options = {.html = "page.html"};
    gm_error err = {0};
    gm_html page = {0};
    atlas.n_clusters = GM_PAGE_MOST_CLUSTERS + 1;
    CHECK_FAILS(gm_atlas_page(&page, &atlas, &options, &err), err, GM_EARG,
                "65536 clusters, but a page shows at most 65535");
    gm_html_clear(&page);
}

static void snippets_are_one_line_each_and_harmless(void)
{
    gm_trace *trace = open_sample("  <b>\n\n\tтекст\x01 \xE2\x80\xAE"
                                  "end ");
    gm_error err = {0};
    gm_text all = {0}, cut = {0};
    CHECK_OK(gm_page_snippets(&all, trace, 100, &err), err);
    static const char line[] = "<b> текст\\x01 \\u{202e}end\n";
    CHECK_INT(all.n, N * (sizeof line - 1));
    CHECK_BYTES(all.at, line, sizeof line - 1);
    CHECK_OK(gm_page_cut_lines(&cut, &all, 6, &err), err);
    CHECK_BYTES(cut.at, "<b> те\n<b> те\n", strlen("<b> те\n<b> те\n"));
    CHECK_INT(cut.n, N * strlen("<b> те\n"));
    gm_text_clear(&all);
    gm_text_clear(&cut);
    gm_trace_close(trace);
}

/* ---- the tree ---- */

static void branches_end_where_the_last_document_leaves(void)
{
    gm_atlas atlas = sample_atlas();
    gm_error err = {0};
    gm_page_tree tree;
    CHECK_OK(gm_page_tree_make(&tree, &atlas, 10, &err), err);
    CHECK_INT(tree.n, 3);
    CHECK(tree.branch[0].end == 1 && tree.branch[1].end == 8 && tree.branch[2].end == 3);
    gm_page_tree_clear(&tree);
    CHECK_OK(gm_page_tree_make(&tree, &atlas, 2, &err), err); /* the smallest goes */
    CHECK(tree.n == 2 && tree.n_left_out == 1 && tree.branch[1].node == 1);
    gm_page_tree_clear(&tree);
    atlas.n_nodes = 0;
    CHECK_OK(gm_page_tree_make(&tree, &atlas, 2, &err), err);
    CHECK_INT(tree.n, 0);
    gm_page_tree_clear(&tree);
}

/* ---- the page ---- */

static void texts_are_cut_until_the_page_is_small_enough(void)
{
    gm_atlas atlas = sample_atlas();
    char text[2000];
    unsigned state = 1;
    for (size_t i = 0; i + 1 < sizeof text; i++) /* letters that hardly pack */
        text[i] = (char)('a' + (state = state * 1103515245u + 12345u) / 65536 % 26);
    text[sizeof text - 1] = '\0';
    gm_trace *trace = open_sample(text);
    gm_error err = {0};
    gm_html none = {0}, whole = {0}, cut = {0};
    gm_report_options how = {.trace = trace};
    CHECK_OK(gm_atlas_page(&none, &atlas, &how, &err), err);
    CHECK(strstr(none.text.at, "id=\"text\"") == NULL);
    CHECK_PAGE(none.text.at, "It has no texts.");
    how.snippet = -1;
    CHECK_OK(gm_atlas_page(&whole, &atlas, &how, &err), err);
    CHECK_PAGE(whole.text.at, "at most the first 160 characters");
    how.most_bytes = none.text.n + 280; /* texts of 160 letters take more than is left of it */
    CHECK_OK(gm_atlas_page(&cut, &atlas, &how, &err), err);
    CHECK(cut.text.n <= how.most_bytes && cut.text.n < whole.text.n);
    CHECK(strstr(cut.text.at, "the first 160 characters") == NULL);
    CHECK_PAGE(cut.text.at, "characters of each text");
    gm_html_clear(&none);
    gm_html_clear(&whole);
    gm_html_clear(&cut);
    gm_trace_close(trace);
}

static void documents_are_where_the_atlas_has_them(void)
{
    gm_atlas atlas = sample_atlas();
    gm_trace *trace = open_sample("text");
    gm_error err = {0};
    gm_html page = {0};
    unsigned char bytes[5 * N + 1];
    const gm_report_options how = {.trace = trace, .snippet = 10};
    CHECK_OK(gm_atlas_page(&page, &atlas, &how, &err), err);
    CHECK_INT(unpack(&page.text, "xy", bytes, sizeof bytes), 4 * N);
    CHECK_INT(bytes[0] | bytes[1] << 8, 0);                  /* x of the first: left */
    CHECK_INT(bytes[2 * 4] | bytes[2 * 4 + 1] << 8, 0xFFFE); /* of the last: right */
    CHECK_INT(unpack(&page.text, "cluster", bytes, sizeof bytes), 2 * N);
    CHECK_BYTES(bytes, "\0\0\0\0\0\0\1\0\xFF\xFF", 2 * N);
    CHECK_INT(unpack(&page.text, "text", bytes, sizeof bytes), 5 * N);
    CHECK_BYTES(bytes, "text\ntext\n", 10);
    gm_html_clear(&page);
    gm_trace_close(trace);
}

static gm_status make_page(void *state, gm_error *err)
{
    gm_atlas atlas = sample_atlas();
    gm_html page = {0};
    const gm_report_options how = {.trace = state, .snippet = -1};
    gm_status status = gm_atlas_page(&page, &atlas, &how, err);
    gm_html_clear(&page);
    return status;
}

static void survives_every_allocation_failure(void)
{
    gm_trace *trace = open_sample("text");
    gm_error err = {0};
    CHECK_OK(make_page(trace, &err), err); /* the trace keeps what it opened */
    check_every_allocation(make_page, trace);
    gm_trace_close(trace);
}

TESTS(TEST(the_policy_names_every_script_and_style), TEST(data_comes_out_as_it_went_in),
      TEST(json_for_scripts_cannot_end_its_element), TEST(shares_are_of_the_experts_that_stand_out),
      TEST(shares_are_what_the_atlas_was_made_of), TEST(another_trace_is_refused),
      TEST(the_page_says_what_usage_is), TEST(of_many_subsets_the_largest_are_columns),
      TEST(more_clusters_than_its_numbers_can_name_are_refused),
      TEST(snippets_are_one_line_each_and_harmless),
      TEST(branches_end_where_the_last_document_leaves),
      TEST(texts_are_cut_until_the_page_is_small_enough),
      TEST(documents_are_where_the_atlas_has_them), TEST(survives_every_allocation_failure))
