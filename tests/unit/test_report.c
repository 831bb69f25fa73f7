/* test_report.c - cluster/report.c: a hand-made atlas: cluster summaries, and the page made from
 * it. */
#include "cluster/report.h"
#include "cluster/summary.h"
#include "base/text.h"
#include "tests/check.h"

#include <unistd.h>

/* As CHECK_HAS, for texts that are too long to be shown. */
#define CHECK_PAGE(page, part)                                             \
    do {                                                                   \
        if (strstr(page, part) == NULL) TEST_FAILED_("no %s in it", part); \
    } while (0)

/* Six documents, two clusters, two MoE layers of four experts. */
enum { N = 6, C = 2, S = 2, L = 2, E = 4 };

static gm_atlas small_atlas(void)
{
    static const float xy[N * 2] = {0, 0, 1, 5, 2, 1, 8, 8, 9, 9, 20, -3};
    static const int32_t cluster[N] = {0, 0, 0, 1, 1, -1};
    static const uint16_t subset[N] = {0, 1, 1, 0, 0, 1};
    static const uint32_t size[C] = {3, 2}, subset_count[C * S] = {1, 2, 2, 0};
    static const char *const name[S] = {"Recipes", "<i>Law</i>"};
    static const char *const keyword[C * GM_N_KEYWORDS] = {"wine", "bread", "", "", "",     "",
                                                           "",     "",      "", "", "court"};
    static const float usage[C * L * E] = {.25f, .25f, 0, 0, .5f, 0, 0, 0, 0, 0, .5f, 0, 0, .5f};
    static const float lift[C * L * E] = {2, 3, 1, 1, 3, 0, 0, 0, 1, 1, 9, 1, 1, 4, 1, 1};
    static const uint8_t important[C * L * E] = {1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 1};
    static const float stability[C] = {.25f, .5f}, probability[N] = {1, .5f, 1, 1, 1, 0},
                       outlier[N] = {0, .5f, 0, 0, 0, 1}, corpus[L * E] = {.1f, .1f, .2f, .1f, .5f};
    static const uint32_t n_tokens[N] = {128, 512, 300, 200, 200, 7};
    static const char *const id[N] = {"a:1", "a:2", "a:3", "b:1", "b:2", "b:3"};
    static const int layer_of_moe[L] = {1, 2};
    return (gm_atlas){.n = N,
                      .n_clusters = C,
                      .n_subsets = S,
                      .n_layers = L,
                      .n_experts = E,
                      .n_chosen = 2,
                      .layer_of_moe = layer_of_moe,
                      .xy = xy,
                      .cluster = cluster,
                      .probability = probability,
                      .outlier = outlier,
                      .n_tokens = n_tokens,
                      .id = id,
                      .corpus_usage = corpus,
                      .subset = subset,
                      .subset_name = name,
                      .size = size,
                      .keyword = keyword,
                      .usage = usage,
                      .lift = lift,
                      .important = important,
                      .stability = stability,
                      .subset_count = subset_count,
                      .model = "tiny",
                      .quality = "{\"noise_share\":0.1667,\"knn\":{\"purity\":0.5},"
                                 "\"split\":[0.25,1],\"none\":null,\"by\":[{\"name\":\"a\",\"n\":1}"
                                 ",{\"name\":\"b\",\"n\":2}],"
                                 "\"verdict\":[{\"level\":\"trust\",\"text\":\"yes\"},{\"level\":"
                                 "\"doubt\",\"text\":\"3 < 4\"}]}",
                      .parameters = "{\"metric\":\"hellinger\",\"seed\":42}"};
}

static void the_largest_subset_and_its_share(void)
{
    gm_atlas atlas = small_atlas();
    double purity;
    CHECK_INT(gm_cluster_main_subset(&atlas, 0, &purity), 1);
    CHECK_NEAR(purity, 2.0 / 3, 1e-12);
    CHECK_INT(gm_cluster_main_subset(&atlas, 1, &purity), 0);
    CHECK_NEAR(purity, 1, 0);
    atlas.n_subsets = 0;
    CHECK_INT(gm_cluster_main_subset(&atlas, 0, &purity), -1);
    CHECK(isnan(purity));
    CHECK_INT(gm_atlas_n_noise(&atlas), 1);
}

static void top_experts_go_by_lift_then_layer_then_id(void)
{
    gm_atlas atlas = small_atlas();
    gm_top_expert top[3];
    CHECK_INT(gm_cluster_top_experts(&atlas, 0, top, 3), 3);
    CHECK(top[0].moe_layer == 0 && top[0].expert == 1); /* lift 3, layer 0 */
    CHECK(top[1].moe_layer == 1 && top[1].expert == 0); /* lift 3, layer 1 */
    CHECK(top[2].moe_layer == 0 && top[2].expert == 0); /* lift 2 */
    CHECK_NEAR(top[1].usage, .5 * L * E, 1e-6);
    CHECK_INT(gm_cluster_top_experts(&atlas, 0, top, 1), 1);
    CHECK(top[0].moe_layer == 0 && top[0].expert == 1);
    CHECK_INT(gm_cluster_top_experts(&atlas, 1, top, 3), 2);
}

static void a_median_of_an_even_number_is_between_the_two_in_the_middle(void)
{
    const float xy[] = {1, 9, 5, 2, 3, 4, 8, 7};
    const uint32_t n_tokens[] = {30, 10, 20, 40}, three[] = {0, 1, 3};
    const uint16_t language[] = {0, 2, 0, 0};
    const gm_atlas atlas = {
        .n = 4, .xy = xy, .n_tokens = n_tokens, .language = language, .n_languages = 3};
    const gm_some all = {.n = 4}, odd = {three, 3}, none = {three, 0};
    gm_error err = {0};
    float middle[2];
    double median;
    size_t count[3] = {7, 7, 7};
    CHECK_OK(gm_median_place(middle, &atlas, all, &err), err);
    CHECK(middle[0] == 4 && middle[1] == 5.5f);
    CHECK_OK(gm_median_place(middle, &atlas, odd, &err), err);
    CHECK(middle[0] == 5 && middle[1] == 7);
    CHECK_OK(gm_median_tokens(&median, &atlas, all, &err), err);
    CHECK_NEAR(median, 25, 0);
    CHECK_OK(gm_median_tokens(&median, &atlas, odd, &err), err);
    CHECK_NEAR(median, 30, 0);
    CHECK_OK(gm_median_tokens(&median, &atlas, none, &err), err);
    CHECK(isnan(median));
    gm_count_languages(count, &atlas, odd);
    CHECK(count[0] == 2 && count[1] == 0 && count[2] == 1);
}

static void titles_are_cut_at_a_word(void)
{
    gm_atlas atlas = small_atlas();
    char text[32];
    gm_cluster_title(&atlas, 0, 5, text, sizeof text);
    CHECK_TEXT(text, "wine, bread");
    gm_cluster_title(&atlas, 0, 5, text, 9);
    CHECK_TEXT(text, "wine");
    gm_cluster_title(&atlas, 0, 5, text, 1);
    CHECK_TEXT(text, "");
}

static void the_page_holds_everything_and_repeats(void)
{
    gm_atlas atlas = small_atlas();
    gm_error err = {0};
    gm_text first = {0}, second = {0};
    gm_report_options options = {.html = "page.html", .figures = "figures", .replace = true};
    CHECK_OK(gm_report_write(&atlas, &options, &err), err);
    CHECK_OK(gm_text_read_file(&first, "page.html", 1 << 24, &err), err);
    CHECK_OK(gm_report_write(&atlas, &options, &err), err);
    CHECK_OK(gm_text_read_file(&second, "page.html", 1 << 24, &err), err);
    CHECK_PAGE(first.at, "wine, bread");
    CHECK_PAGE(first.at, "&lt;i&gt;Law&lt;/i&gt;");
    CHECK_PAGE(first.at, "<td>knn.purity</td><td>0.5</td><td></td>");
    CHECK_PAGE(first.at,
               "<td>noise_share</td><td>0.1667</td><td>documents that belong to no cluster");
    CHECK_PAGE(first.at, "<td>split</td><td>0.25 1</td>");
    CHECK_PAGE(first.at, "<td>none</td><td>-</td>");
    CHECK_PAGE(first.at, "hellinger");
    CHECK_PAGE(first.at, "1 document (16.7 %) belongs to none");
    CHECK_PAGE(first.at, "<li class=\"light poor\"><b>Doubt.</b> 3 &lt; 4</li>\n"
                         "<li class=\"light good\"><b>Trust.</b> yes</li>");
    CHECK(strstr(first.at, "<td>verdict") == NULL);
    CHECK_PAGE(first.at, "<th scope=\"col\">name</th><th scope=\"col\" class=\"n\">n</th>");
    CHECK_PAGE(first.at, "<td>b</td><td class=\"n\">2</td></tr>");
    CHECK_PAGE(first.at, "<td class=\"n m6\">2</td>"); /* two of three documents */
    CHECK_PAGE(first.at, "written without the trace");
    CHECK(strstr(first.at, "id=\"text\"") == NULL);
    CHECK_INT(first.n, second.n);
    CHECK_BYTES(first.at, second.at, first.n < second.n ? first.n : second.n);
    CHECK(access("figures/map-clusters.png", R_OK) == 0);
    CHECK(access("figures/map-subsets.png", R_OK) == 0);
    CHECK(access("figures/cluster-01.png", R_OK) == 0);
    options.replace = false;
    CHECK_FAILS(gm_report_write(&atlas, &options, &err), err, GM_EEXIST, "page.html");
    gm_text_clear(&first);
    gm_text_clear(&second);
}

static void an_atlas_without_a_cluster_says_what_to_do(void)
{
    gm_atlas atlas = small_atlas();
    gm_text page = {0};
    gm_error err = {0};
    const int32_t cluster[N] = {-1, -1, -1, -1, -1, -1};
    const gm_report_options options = {.html = "none.html", .replace = true};
    atlas.cluster = cluster, atlas.n_clusters = 0;
    CHECK_OK(gm_report_write(&atlas, &options, &err), err);
    CHECK_OK(gm_text_read_file(&page, "none.html", 1 << 24, &err), err);
    CHECK_PAGE(page.at, "gm-cluster recut ATLAS --min-cluster-size N");
    CHECK(strstr(page.at, "Stability: as in HDBSCAN") == NULL);
    gm_text_clear(&page);
}

/* What an atlas of strangers calls things stays text. */
static void hostile_names_are_text_on_the_page(void)
{
    static const char *const subset[S] = {"a\x1b[31mb\nc", "</td><script>alert(1)</script>"};
    static const char *const id[N] = {"<img src=x>:1", "\xe2\x80\xaetxt", "", "", "", ""};
    const char *keyword[C * GM_N_KEYWORDS];
    gm_atlas atlas = small_atlas();
    gm_text page = {0};
    gm_error err = {0};
    for (size_t k = 0; k < C * GM_N_KEYWORDS; k++) keyword[k] = "";
    keyword[0] = "<b>wine\x07", keyword[1] = "&amp;", keyword[GM_N_KEYWORDS] = "\"onload=x()";
    atlas.keyword = keyword;
    atlas.subset_name = subset;
    atlas.id = id;
    atlas.model = "<!--\x1b]0;t\x07";
    atlas.parameters = "{\"<u>metric\":\"<svg onload=x()>\"}";
    const gm_report_options options = {.html = "hostile.html", .replace = true};
    CHECK_OK(gm_report_write(&atlas, &options, &err), err);
    CHECK_OK(gm_text_read_file(&page, "hostile.html", 1 << 24, &err), err);
    for (size_t i = 0; i < page.n; i++)
        if ((unsigned char)page.at[i] < ' ' && page.at[i] != '\n' && page.at[i] != '\t')
            TEST_FAILED_("byte %zu of the page is %02x", i, (unsigned)page.at[i]);
    const char *const never[] = {"<script>alert", "<b>wine",   "<img src=x", "<svg onload",
                                 "<u>metric",     "\"onload=", "<!--\\x1b",  "\xe2\x80\xae"};
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        if (strstr(page.at, never[i])) TEST_FAILED_("the page holds %s", never[i]);
    CHECK_PAGE(page.at, "&lt;b&gt;wine\\x07");
    CHECK_PAGE(page.at, "&amp;amp;");
    CHECK_PAGE(page.at, "&lt;script&gt;alert(1)");
    gm_text_clear(&page);
}

TESTS(TEST(the_largest_subset_and_its_share), TEST(top_experts_go_by_lift_then_layer_then_id),
      TEST(a_median_of_an_even_number_is_between_the_two_in_the_middle),
      TEST(titles_are_cut_at_a_word), TEST(the_page_holds_everything_and_repeats),
      TEST(an_atlas_without_a_cluster_says_what_to_do), TEST(hostile_names_are_text_on_the_page))
