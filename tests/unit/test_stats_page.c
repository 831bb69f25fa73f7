/* test_stats_page.c - probe/stats_page.c, stats_figures.c: a page of a trace whose texts are
 * markup, its bytes twice; which pictures there are; every allocation failing.
 */
#include "probe/stats_page.h"
#include "probe/stats_figures.h"
#include "tests/written_sample.h"

#include <sys/stat.h>

static const char HOSTILE[] = "<b onclick=\"x\">&\x1b[2J";

static gm_trace *open_sample(gm_record_level level)
{
    static sample s;
    sample_fill(&s, level, 8, 0);
    s.info.model = "<script>alert(1)</script>";
    for (int d = 0; d < SAMPLE_DOCUMENTS; d++) {
        s.document[d].id = "<img src=x>";
        if (d == 0 || d == 3) s.document[d].subset = HOSTILE;
    }
    return sample_open(&s, "t.h5");
}

static void count(gm_stats *stats, gm_trace *trace)
{
    gm_error err = {0};
    const gm_stats_options options = {.permutations = 3, .vocabulary = 20, .quiet = true};
    CHECK_OK(gm_stats_count(stats, trace, &options, &err), err);
}

static gm_text read_file(const char *path)
{
    gm_text text = {0};
    gm_error err = {0};
    CHECK_OK(gm_text_read_file(&text, path, 1 << 24, &err), err);
    return text;
}

static size_t n_of(const gm_text *page, const char *part)
{
    size_t n = 0;
    for (const char *at = page->at; (at = strstr(at, part)) != NULL; at++) n++;
    return n;
}

static void write_page(const gm_stats *stats, gm_trace *trace, const char *path)
{
    gm_error err = {0};
    const size_t subset[] = {0, 1};
    gm_expert_view view;
    CHECK_OK(gm_expert_parse(&view, "2:3", gm_trace_get_info(trace), &err), err);
    CHECK_OK(gm_expert_find(&view, 1, 2, stats, trace, &err), err);
    const gm_stats_page_options options = {.trace = "<script>alert(1)</script>.h5",
                                           .subset = subset,
                                           .n_subsets = 2,
                                           .view = &view,
                                           .n_views = 1,
                                           .top = 2,
                                           .replace = true};
    CHECK_OK(gm_stats_page_write(stats, &options, path, &err), err);
    gm_expert_clear(&view);
}

/* Whatever a corpus calls its subsets and documents stays text, and nothing is fetched. */
static void markup_stays_text(void)
{
    gm_stats stats = {0};
    gm_trace *trace = open_sample(GM_RECORD_LOGITS);
    count(&stats, trace);
    write_page(&stats, trace, "one.html");
    write_page(&stats, trace, "two.html");
    gm_text one = read_file("one.html"), two = read_file("two.html");
    CHECK_INT(one.n, two.n);
    CHECK(one.n == two.n && memcmp(one.at, two.at, one.n) == 0);
    CHECK_INT(n_of(&one, "<script"), 0);
    CHECK_INT(n_of(&one, "<b onclick"), 0);
    CHECK_INT(n_of(&one, "<img src=x"), 0);
    CHECK_INT(n_of(&one, "http"), 1); /* http-equiv */
    CHECK_INT(n_of(&one, "<title>script&gt;.h5: statistics of its experts</title>"), 1);
    CHECK(n_of(&one, "&lt;script&gt;alert(1)") >= 2);
    CHECK(n_of(&one, "&lt;b onclick=&quot;x&quot;&gt;&amp;") >= 1);
    CHECK_INT(n_of(&one, "data:image/png;base64,"), 9); /* two of them subsets */
    CHECK(gm_utf8_valid(one.at, one.n) == one.n);
    gm_text_clear(&one);
    gm_text_clear(&two);
    gm_stats_clear(&stats);
    gm_trace_close(trace);
}

/* Without choices there is nothing of the router, and no token. */
static void pictures_that_there_are(void)
{
    static const char *const all[] = {"load",     "information", "subset-0", "subset-1", "router",
                                      "together", "next",        "reuse",    "cache"};
    for (int level = GM_RECORD_COUNTS; level <= GM_RECORD_CHOICES; level++) {
        gm_stats stats = {0};
        gm_error err = {0};
        gm_trace *trace = open_sample((gm_record_level)level);
        const size_t subset[] = {0, 1};
        const char *folder = level == GM_RECORD_COUNTS ? "counts" : "choices";
        count(&stats, trace);
        CHECK_OK(gm_stats_write_figures(&stats, subset, 2, folder, true, &err), err);
        for (size_t i = 0; i < 9; i++)
            for (int e = 0; e < 2; e++) {
                char path[80];
                struct stat about;
                bool of_choices = i >= 4;
                snprintf(path, sizeof path, "%s/%s.%s", folder, all[i], e ? "svg" : "png");
                CHECK_INT(stat(path, &about) == 0, level == GM_RECORD_CHOICES || !of_choices);
            }
        CHECK_FAILS(gm_stats_write_figures(&stats, subset, 2, folder, false, &err), err, GM_EEXIST,
                    "load.png' exists");
        gm_stats_clear(&stats);
        gm_trace_close(trace);
    }
}

/* A picture of one subset says whose it is, where a font can write that. */
static void picture_names_its_subset(void)
{
    static const char *const name[] = {"law", "wine", HOSTILE, "other\x1b"};
    gm_error err = {0};
    gm_stats stats = {0};
    gm_trace *trace = open_sample(GM_RECORD_COUNTS);
    count(&stats, trace);
    gm_trace_samples samples = *stats.samples;
    gm_text png[4] = {0};
    stats.samples = &samples;
    for (int i = 0; i < 4; i++) {
        const char *const names[] = {name[i], name[i]};
        const gm_picture_target to = {.png = &png[i]};
        samples.subset_name = names;
        CHECK_OK(gm_stats_figure_draw(&stats, GM_FIGURE_SUBSET, 1, &to, &err), err);
    }
    CHECK(png[0].n != png[1].n || memcmp(png[0].at, png[1].at, png[0].n) != 0);
    CHECK(png[2].n == png[3].n && memcmp(png[2].at, png[3].at, png[2].n) == 0);
    for (int i = 0; i < 4; i++) gm_text_clear(&png[i]);
    gm_stats_clear(&stats);
    gm_trace_close(trace);
}

/* One layer: nothing follows it; one subset: nothing is special to it. */
static void least_of_traces(void)
{
    static const uint64_t one = 1;
    gm_trace_info info = {.n_layers = 1, .n_experts = 1, .n_chosen = 1};
    const gm_stats none = {.info = &info, .S = 1, .L = 1, .E = 1, .K = 1};
    gm_stats some = none;
    some.n_tokens = one, some.has_tokens = true;
    for (int f = 0; f < GM_N_STATS_FIGURES; f++) {
        bool there = f == GM_FIGURE_LOAD || f == GM_FIGURE_INFORMATION || f == GM_FIGURE_TOGETHER;
        CHECK(!gm_stats_figure_there(&none, (gm_stats_figure)f));
        CHECK_INT(gm_stats_figure_there(&some, (gm_stats_figure)f), there);
    }
}

/* A trace agrees with itself; its page and its pictures say so twice alike. */
static void page_of_two_traces(void)
{
    gm_against against = {0};
    gm_error err = {0};
    gm_trace *a = open_sample(GM_RECORD_CHOICES), *b = NULL;
    CHECK_OK(gm_trace_open(&b, "t.h5", &err), err);
    CHECK_OK(gm_against_compare(&against, a, b, true, &err), err);
    const gm_stats_page_options options = {
        .trace = "x/u.h5", .against = "y/<b>.h5", .replace = true};
    CHECK_OK(gm_against_page_write(&against, &options, "a.html", &err), err);
    CHECK_OK(gm_against_page_write(&against, &options, "b.html", &err), err);
    CHECK_OK(gm_against_write_figures(&against, "two", true, &err), err);
    gm_text one = read_file("a.html"), two = read_file("b.html"),
            svg = read_file("two/agreement.svg");
    CHECK(one.n == two.n && memcmp(one.at, two.at, one.n) == 0);
    CHECK_INT(n_of(&one, "<script"), 0);
    CHECK(n_of(&one, ">1.00000<") >= 3 * (1 + SAMPLE_L));
    CHECK_INT(n_of(&one, "<title>u.h5: agreement of two traces</title>"), 1);
    CHECK_INT(n_of(&one, "The first is x/u.h5, the second y/&lt;b&gt;.h5; model "), 1);
    CHECK_INT(n_of(&one, "<code>gm-probe stats x/u.h5 --against y/&lt;b&gt;.h5</code>"), 1);
    CHECK_INT(n_of(&svg, "<svg"), 1);
    gm_text_clear(&one);
    gm_text_clear(&two);
    gm_text_clear(&svg);
    gm_against_clear(&against);
    gm_trace_close(a);
    gm_trace_close(b);
}

static gm_status attempt(void *context, gm_error *err)
{
    const gm_stats_page_options options = {.trace = "t.h5", .top = 2, .replace = true};
    return gm_stats_page_write(context, &options, "fail.html", err);
}

static void allocations_fail(void)
{
    gm_stats stats = {0};
    gm_trace *trace = open_sample(GM_RECORD_COUNTS);
    count(&stats, trace);
    check_every_allocation(attempt, &stats);
    gm_stats_clear(&stats);
    gm_trace_close(trace);
}

TESTS(TEST(markup_stays_text), TEST(pictures_that_there_are), TEST(picture_names_its_subset),
      TEST(least_of_traces), TEST(page_of_two_traces), TEST(allocations_fail))
