/* test_contrast_groups.c - probe/contrast_groups.c: the same texts in two traces find each other
 * where they must; against itself a trace has no difference, exchanged traces exchange signs;
 * groups by subset; every allocation failing. */
#include "probe/contrast_groups.h"

#include "figures/figures.h"
#include "tests/synthetic_trace.h"

enum { N = 12, TOPICS = 3 };

static const gm_opt_list EVERYTHING = {0};

static gm_trace *open_written(const synthetic *s, const size_t *order, const char *path)
{
    gm_trace *trace = NULL;
    gm_error err = {0};
    synthetic_write(s, order, false, path);
    CHECK_OK(gm_trace_open(&trace, path, &err), err);
    return trace;
}

/* Let document i have the text of document j. */
static void copy_text(synthetic *s, size_t i, size_t j)
{
    memcpy(s->document[i].sha, s->document[j].sha, sizeof s->document[i].sha);
}

/* The second trace stands in reverse; every text has the counts of the next, the last those of 1.
 * Text 0 is another there, 3 has no choices, and 5 repeats 4: as it stands before it, 4 of the
 * first is compared with it. In the first trace 7 repeats 6. */
static void make_two(gm_trace *trace[2])
{
    size_t reverse[N];
    synthetic s = synthetic_make(N, TOPICS), t = synthetic_make(N, TOPICS);
    for (size_t i = 0; i < N; i++) reverse[i] = N - 1 - i;
    for (size_t i = 0; i < N; i++) synthetic_copy_counts(&t, i, i + 1 < N ? i + 1 : 0);
    copy_text(&s, 7, 6);
    t.document[0].sha[0] ^= 1;
    synthetic_empty(&t, 3);
    copy_text(&t, 5, 4);
    trace[0] = open_written(&s, NULL, "a.h5");
    trace[1] = open_written(&t, reverse, "b.h5");
    synthetic_clear(&s);
    synthetic_clear(&t);
}

static void close_two(gm_trace *trace[2])
{
    gm_trace_close(trace[0]);
    gm_trace_close(trace[1]);
}

static void same_texts_meet(void)
{
    gm_trace *trace[2];
    gm_contrast_groups g;
    gm_error err = {0};
    const size_t first[] = {1, 2, 4, 6, 8, 9, 10, 11}, second[] = {2, 3, 6, 7, 9, 10, 11, 1};
    synthetic s = synthetic_make(N, TOPICS);
    make_two(trace);
    CHECK_OK(gm_contrast_groups_of_traces(&g, trace[0], trace[1], &EVERYTHING, &err), err);
    CHECK_INT(g.n_a, 9);
    CHECK_INT(g.n_b, 8);
    CHECK_INT(g.n_left, 1);
    CHECK_INT(g.n_alone[0], 2); /* 0, 5 */
    CHECK_INT(g.n_alone[1], 2); /* 0, 7 */
    CHECK_INT(g.n_copies, 2);
    CHECK_INT(g.data.n_pairs, 8);
    for (size_t p = 0; p < g.data.n_pairs; p++) /* by whose counts they got */
        for (size_t j = 0; j < SYN_DIM; j++) {
            const uint32_t *pair = g.data.pair + 2 * p;
            CHECK_NEAR(g.data.rate[pair[0] * SYN_DIM + j],
                       s.counts[first[p] * SYN_DIM + j] / (double)SYN_TOKENS, 1e-6);
            CHECK_NEAR(g.data.rate[pair[1] * SYN_DIM + j],
                       s.counts[second[p] * SYN_DIM + j] / (double)SYN_TOKENS, 1e-6);
        }
    gm_contrast_groups_clear(&g);
    close_two(trace);
    synthetic_clear(&s);
}

static void texts_of_a_subset(void)
{
    gm_trace *trace[2];
    gm_contrast_groups g;
    gm_error err = {0};
    gm_opt_list topic = {.at = (const char *[]){"subset1"}, .n = 1};
    make_two(trace); /* 1, 4, 10, and 7, whose text is also of another subset, before it */
    CHECK_OK(gm_contrast_groups_of_traces(&g, trace[0], trace[1], &topic, &err), err);
    CHECK_INT(g.data.n_pairs, 4);
    CHECK_INT(g.data.N, 8);
    CHECK_INT(g.n_alone[0], 0);
    CHECK_INT(g.n_copies, 1); /* of the second trace */
    gm_contrast_groups_clear(&g);
    topic.at[0] = "subset9";
    CHECK_FAILS(gm_contrast_groups_of_traces(&g, trace[0], trace[1], &topic, &err), err, GM_EARG,
                "subset 'subset9' does not exist");
    close_two(trace);
}

static void contrast(gm_contrast_expert *e, gm_trace *a, gm_trace *b)
{
    gm_contrast_groups g;
    gm_error err = {0};
    CHECK_OK(gm_contrast_groups_of_traces(&g, a, b, &EVERYTHING, &err), err);
    CHECK_OK(gm_contrast_make(e, &g.data, 99, 7, true, &err), err);
    gm_contrast_groups_clear(&g);
}

static void itself_and_exchanged(void)
{
    gm_trace *trace[2];
    gm_contrast_expert e[SYN_DIM], back[SYN_DIM];
    size_t differ = 0;
    make_two(trace);
    contrast(e, trace[0], trace[0]);
    for (size_t j = 0; j < SYN_DIM; j++) {
        CHECK_NEAR(e[j].t, 0, 0);
        CHECK_NEAR(e[j].high - e[j].low, 0, 0);
        CHECK_NEAR(e[j].log_ratio, 0, 0);
        CHECK_NEAR(e[j].p, 1, 0);
    }
    contrast(e, trace[0], trace[1]);
    contrast(back, trace[1], trace[0]);
    for (size_t j = 0; j < SYN_DIM; j++) {
        differ += fabs(e[j].difference) > 0.01;
        CHECK_NEAR(back[j].t, -e[j].t, 1e-6);
        CHECK_NEAR(back[j].low, -e[j].high, 1e-9);
        CHECK_NEAR(back[j].log_ratio, -e[j].log_ratio, 1e-12);
    }
    CHECK(differ > 10);
    close_two(trace);
}

static void too_few_texts_in_both(void)
{
    gm_trace *trace[2];
    gm_contrast_groups g;
    gm_error err = {0};
    synthetic s = synthetic_make(N, TOPICS);
    trace[0] = open_written(&s, NULL, "a.h5");
    for (size_t i = 1; i < N; i++) s.document[i].sha[0] ^= 1;
    s.n = N - 1;
    trace[1] = open_written(&s, NULL, "b.h5");
    CHECK_FAILS(gm_contrast_groups_of_traces(&g, trace[0], trace[1], &EVERYTHING, &err), err,
                GM_EARG,
                "1 of the first trace's 12 documents has the text of one of the second's 11, "
                "expected at least two");
    synthetic_clear(&s);
    close_two(trace);
}

static void groups_by_subset(void)
{
    gm_contrast_groups g;
    gm_error err = {0};
    gm_opt_list a = {.at = (const char *[]){"subset1"}, .n = 1};
    gm_opt_list b = {.at = (const char *[]){"subset2"}, .n = 1};
    synthetic s = synthetic_make(N, TOPICS);
    synthetic_empty(&s, 1);
    gm_trace *trace = open_written(&s, NULL, "a.h5");
    CHECK_OK(gm_contrast_groups_of_subsets(&g, trace, &a, &EVERYTHING, GM_UNPAIRED, &err), err);
    CHECK_INT(g.n_a, 3);
    CHECK_INT(g.n_b, 8);
    CHECK_INT(g.n_left, 1);
    CHECK(g.data.pair == NULL);
    gm_contrast_groups_clear(&g);
    CHECK_OK(gm_contrast_groups_of_subsets(&g, trace, &a, &b, GM_UNPAIRED, &err), err);
    CHECK_INT(g.n_b, 4);
    gm_contrast_groups_clear(&g);
    CHECK_FAILS(gm_contrast_groups_of_subsets(&g, trace, &a, &a, GM_UNPAIRED, &err), err, GM_EARG,
                "subset 'subset1' is in both groups");
    gm_trace_close(trace);
    synthetic_clear(&s);
}

static gm_status attempt(void *trace, gm_error *err)
{
    gm_contrast_groups g;
    gm_trace **two = trace;
    gm_status status = gm_contrast_groups_of_traces(&g, two[0], two[1], &EVERYTHING, err);
    gm_contrast_groups_clear(&g);
    return status;
}

static void allocations_fail(void)
{
    gm_trace *trace[2];
    gm_error err = {0};
    make_two(trace);
    CHECK_OK(attempt(trace, &err), err); /* opens the files, which stay open */
    check_every_allocation(attempt, trace);
    close_two(trace);
}

/* How many shapes of the SVG have the grey of NaN? */
static size_t count_grey(const char *svg)
{
    size_t n = 0;
    double r, g, b;
    const double grey = 100.0 * gm_colour_sequential((double)NAN).r / 255;
    for (; (svg = strstr(svg, "rgb(")) != NULL; svg++)
        n += sscanf(svg, "rgb(%lf%%, %lf%%, %lf", &r, &g, &b) == 3 && fabs(r - grey) < 0.01 &&
             fabs(g - grey) < 0.01 && fabs(b - grey) < 0.01;
    return n;
}

/* Of six experts two do not differ: grey in either heatmap. Without permutations all are shown. */
static void a_picture_shows_what_differs(void)
{
    static const int layer_of_moe[] = {1, 2};
    const gm_trace_info info = {.layer_of_moe = layer_of_moe};
    const gm_contrast_groups groups = {.info = &info, .data = {.L = 2, .E = 3}};
    gm_contrast_expert expert[6];
    gm_text svg[2] = {{0}};
    gm_error err = {0};
    for (int all = 0; all < 2; all++) {
        for (int j = 0; j < 6; j++)
            expert[j] = (gm_contrast_expert){.difference = 0.1 * (j + 1),
                                             .log_ratio = -0.2 * (j + 1),
                                             .p = all          ? (double)NAN
                                                  : j % 3 == 1 ? 0.06
                                                               : 0.05};
        CHECK_OK(gm_contrast_figure(&groups, expert, 0.05, "contrast.svg", true, &err), err);
        CHECK_OK(gm_text_read_file(&svg[all], "contrast.svg", 1 << 20, &err), err);
    }
    CHECK_INT(count_grey(svg[0].at), 4);
    CHECK_INT(count_grey(svg[1].at), 0);
    CHECK_FAILS(gm_contrast_figure(&groups, expert, 0.05, "contrast.gif", true, &err), err, GM_EARG,
                ".png nor .svg");
    for (int all = 0; all < 2; all++) gm_text_clear(&svg[all]);
}

TESTS(TEST(same_texts_meet), TEST(a_picture_shows_what_differs), TEST(texts_of_a_subset),
      TEST(itself_and_exchanged), TEST(too_few_texts_in_both), TEST(groups_by_subset),
      TEST(allocations_fail))
