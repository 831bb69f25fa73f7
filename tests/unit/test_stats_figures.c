/* test_stats_figures.c - probe/stats_figures.c: the numbers of every picture, by hand. What draws
 * heatmaps and curves is this file's own, and keeps what it is to draw. Which pictures there are:
 * test_stats_page.c.
 */
#include "probe/stats_figures.h"

#include "figures/curves.h"
#include "tests/written_sample.h"

enum { E = 8, LE = SAMPLE_L * E, PANELS = 6, POINTS = 32 };

/* What was to be drawn last. */
static struct drawn {
    int n_panels;
    char title[PANELS][80];
    float value[PANELS][E * E];
    size_t n_line[PANELS], n_band[PANELS];
    gm_curve_point line[PANELS][POINTS], band[PANELS][POINTS];
} drawn;

gm_status gm_figure_heat(const gm_heat_figure *f, const char *path, bool replace, gm_error *err)
{
    (void)path, (void)replace, (void)err;
    drawn = (struct drawn){.n_panels = f->n_panels};
    CHECK(f->n_panels <= PANELS && f->rows * f->cols <= E * E);
    for (int p = 0; p < f->n_panels; p++) {
        snprintf(drawn.title[p], sizeof drawn.title[p], "%s", f->panel[p].title);
        memcpy(drawn.value[p], f->panel[p].value, (size_t)(f->rows * f->cols) * sizeof(float));
    }
    return GM_OK;
}

gm_status gm_figure_curves(const gm_curve_figure *f, const char *path, bool replace, gm_error *err)
{
    (void)path, (void)replace, (void)err;
    drawn = (struct drawn){.n_panels = f->n_panels};
    CHECK(f->n_panels <= PANELS);
    for (int p = 0; p < f->n_panels; p++) {
        const gm_curve_panel *q = &f->panel[p];
        snprintf(drawn.title[p], sizeof drawn.title[p], "%s", q->title);
        drawn.n_line[p] = q->n_line, drawn.n_band[p] = q->n_band;
        CHECK(q->n_line <= POINTS && q->n_band <= POINTS);
        for (size_t i = 0; i < q->n_line; i++) drawn.line[p][i] = q->line[i];
        for (size_t i = 0; i < q->n_band; i++) drawn.band[p][i] = q->band[i];
    }
    return GM_OK;
}

gm_status gm_figure_heat_png(const gm_heat_figure *f, gm_text *png, gm_error *err)
{
    (void)png;
    return gm_figure_heat(f, NULL, true, err);
}

gm_status gm_figure_curves_png(const gm_curve_figure *f, gm_text *png, gm_error *err)
{
    (void)png;
    return gm_figure_curves(f, NULL, true, err);
}

/* In every layer a row chooses 0 and 1, 0 and 2, or 2 and 3, by its number; documents 0 to 2 are of
 * subset "a", the others of "b". */
static const uint16_t CHOSEN[3][SAMPLE_K] = {{0, 1}, {0, 2}, {2, 3}};

/* Counted rows that chose so, by document: without the template, which is row 0, 4, 10, 18, 28. */
static const uint32_t TIMES[SAMPLE_DOCUMENTS][3] = {
    {1, 1, 1}, {2, 1, 2}, {2, 2, 3}, {3, 3, 3}, {4, 3, 4}};
enum { N01 = 12, N02 = 10, N23 = 13, TOKENS = 35 };

static gm_trace *open_sample(void)
{
    static sample s;
    sample_fill(&s, GM_RECORD_CHOICES, E, 0);
    memset(s.counts, 0, sizeof s.counts);
    for (size_t i = 0; i < SAMPLE_ROWS * SAMPLE_L * SAMPLE_K; i++)
        s.expert[i] = CHOSEN[i / SAMPLE_L / SAMPLE_K % 3][i % SAMPLE_K];
    for (size_t d = 0; d < SAMPLE_DOCUMENTS; d++) {
        s.document[d].subset = d < 3 ? "a" : "b";
        for (size_t i = 0; i < SAMPLE_L * 3 * SAMPLE_K; i++) {
            const size_t l = i / SAMPLE_K / 3, kind = i / SAMPLE_K % 3;
            s.counts[d * LE + l * E + CHOSEN[kind][i % SAMPLE_K]] += TIMES[d][kind];
        }
    }
    return sample_open(&s, "t.h5");
}

static void count(gm_stats *stats, gm_trace *trace)
{
    gm_error err = {0};
    const gm_stats_options options = {
        .permutations = 3, .seed = 1, .vocabulary = 20, .quiet = true};
    CHECK_OK(gm_stats_count(stats, trace, &options, &err), err);
}

static void draw(const gm_stats *stats, gm_stats_figure figure, size_t subset)
{
    gm_error err = {0};
    const gm_picture_target to = {.path = "unused.svg"};
    CHECK_OK(gm_stats_figure_draw(stats, figure, subset, &to, &err), err);
}

/* Choices relative to even ones. */
static void check_load(void)
{
    static const double chose[E] = {N01 + N02, N01, N02 + N23, N23};
    CHECK_INT(drawn.n_panels, 1);
    for (size_t i = 0; i < LE; i++)
        CHECK_NEAR(drawn.value[0][i], chose[i % E] * E / (TOKENS * SAMPLE_K), 1e-6);
}

/* Shares of the 15 tokens of "a" and the 20 of "b" that chose an expert. */
static void check_subset(bool is_a)
{
    static const double of_a[E] = {5 + 4, 5, 4 + 6, 6}, of_b[E] = {7 + 6, 7, 6 + 7, 7};
    CHECK_INT(drawn.n_panels, 2);
    for (size_t i = 0; i < LE; i++) {
        const double a = of_a[i % E] / 15, b = of_b[i % E] / 20, own = is_a ? a : b;
        CHECK_NEAR(drawn.value[0][i], own * E / SAMPLE_K, 1e-6);
        CHECK_NEAR(drawn.value[1][i], is_a ? a - b : b - a, 1e-6);
    }
}

/* Of the 22 tokens that chose 0, 12 chose 1 too; all layers are alike, and 0 follows on itself. */
static void check_pairs(bool next)
{
    static const char *const one[] = {"layer 1", "layer 2", "layer 4"};
    static const char *const two[] = {"layer 1, then 2", "layer 2, then 4"};
    const double smooth = 0.05 * SAMPLE_K / E, n0 = N01 + N02, n2 = N02 + N23;
    CHECK_INT(drawn.n_panels, next ? 2 : 3);
    for (int p = 0; p < drawn.n_panels; p++) {
        const float *at = drawn.value[p];
        CHECK_TEXT(drawn.title[p], next ? two[p] : one[p]);
        CHECK_NEAR(at[0 * E + 1], log2((N01 / n0 + smooth) / ((double)N01 / TOKENS + smooth)),
                   1e-6);
        CHECK_NEAR(at[1 * E + 0], log2((1 + smooth) / (n0 / TOKENS + smooth)), 1e-6);
        CHECK_NEAR(at[2 * E + 3], log2((N23 / n2 + smooth) / ((double)N23 / TOKENS + smooth)),
                   1e-6);
        CHECK_NEAR(at[1 * E + 3], log2(smooth / ((double)N23 / TOKENS + smooth)), 1e-6);
        CHECK(isnan(at[6 * E + 0])); /* nobody chose it */
        if (next)
            CHECK_NEAR(at[0], log2((1 + smooth) / (n0 / TOKENS + smooth)), 1e-6);
        else
            CHECK(isnan(at[0]));
    }
}

static void heatmaps(void)
{
    gm_stats stats = {0};
    gm_trace *trace = open_sample();
    const size_t a = gm_trace_get_samples(trace)->subset[0];
    count(&stats, trace);
    CHECK_INT(stats.n_tokens, TOKENS);
    draw(&stats, GM_FIGURE_LOAD, 0);
    check_load();
    draw(&stats, GM_FIGURE_SUBSET, a);
    check_subset(true);
    draw(&stats, GM_FIGURE_SUBSET, 1 - a);
    check_subset(false);
    draw(&stats, GM_FIGURE_TOGETHER, 0);
    check_pairs(false);
    draw(&stats, GM_FIGURE_NEXT, 0);
    check_pairs(true);
    gm_stats_clear(&stats);
    gm_trace_close(trace);
}

/* Gates of 1/2 and 1/4, a mass of 3/4; eighths of the row are the margin: position 1 is of rows 1,
 * 5, 11, 19, 29. Positions of prompts: 1; 2 and 3; 4 to 7; 8 to 11. */
static void the_router_by_position(void)
{
    gm_stats stats = {0};
    gm_trace *trace = open_sample();
    count(&stats, trace);
    draw(&stats, GM_FIGURE_ROUTER, 0);
    CHECK_INT(drawn.n_panels, 3);
    CHECK_TEXT(drawn.title[0], "prompt: entropy of the gates, bits");
    CHECK_TEXT(drawn.title[2], "prompt: margin, nats");
    for (int p = 0; p < 3; p++) {
        CHECK_INT(drawn.n_line[p], 4);
        CHECK_INT(drawn.n_band[p], 0);
        for (size_t i = 0; i < 4; i++) CHECK_NEAR(drawn.line[p][i].x, i + 1, 0);
    }
    for (size_t i = 0; i < 4; i++) {
        CHECK_NEAR(drawn.line[0][i].y, log2(3) - 2.0 / 3, 1e-5);
        CHECK_NEAR(drawn.line[1][i].y, 0.75, 1e-5);
    }
    CHECK_NEAR(drawn.line[2][0].y, (1 + 5 + 3 + 3 + 5) / 8.0 / 5, 1e-5);
    gm_stats_clear(&stats);
    gm_trace_close(trace);
}

/* By layer what tokens have in common, above chance; by size what a cache holds. The 30 tokens of
 * the trace are too few to guess from. */
static void reuse_and_caches(void)
{
    gm_stats stats = {0};
    gm_trace *trace = open_sample();
    count(&stats, trace);
    draw(&stats, GM_FIGURE_REUSE, 0);
    CHECK_INT(drawn.n_panels, 3);
    for (size_t l = 0; l < SAMPLE_L; l++) {
        gm_repeats repeats = gm_reuse_repeats(&stats.reuse, l);
        CHECK_NEAR(drawn.line[0][l].x, SAMPLE_LAYERS[l], 0);
        CHECK_NEAR(drawn.line[0][l].y, repeats.first, 0);
        CHECK_NEAR(drawn.band[0][l].hi, repeats.first_chance, 0);
        CHECK_NEAR(drawn.line[1][l].y, repeats.shared, 0);
        CHECK_NEAR(drawn.band[1][l].y, repeats.shared_chance, 0);
        CHECK(isnan(drawn.line[2][l].y));
    }
    draw(&stats, GM_FIGURE_CACHE, 0);
    CHECK_INT(drawn.n_panels, 3);
    CHECK_TEXT(drawn.title[0], "layer 1");
    CHECK_INT(drawn.n_line[0], 8 - SAMPLE_K + 1); /* sizes from K to E */
    for (size_t i = 0; i < drawn.n_line[1]; i++) {
        CHECK_NEAR(drawn.line[1][i].x, (double)(SAMPLE_K + i), 0);
        CHECK_NEAR(drawn.line[1][i].y, gm_reuse_lru(&stats.reuse, 1, SAMPLE_K + i), 0);
        CHECK_NEAR(drawn.band[1][i].y, gm_reuse_fixed(&stats.reuse, 1, SAMPLE_K + i), 0);
        CHECK_NEAR(drawn.band[1][i].hi, drawn.band[1][i].y, 0);
        CHECK_NEAR(drawn.band[1][i].lo, (double)(SAMPLE_K + i) / 8, 0);
    }
    gm_stats_clear(&stats);
    gm_trace_close(trace);
}

/* Bits and their nulls, which stats_route.c and stats_tokens.c count. */
static void information_by_layer(void)
{
    gm_stats stats = {0};
    gm_trace *trace = open_sample();
    count(&stats, trace);
    draw(&stats, GM_FIGURE_INFORMATION, 0);
    CHECK_INT(drawn.n_panels, 2);
    for (int p = 0; p < 2; p++) {
        CHECK_INT(drawn.n_line[p], SAMPLE_L);
        CHECK_INT(drawn.n_band[p], SAMPLE_L);
    }
    for (size_t l = 0; l < SAMPLE_L; l++) {
        const gm_subset_information *i = &stats.information[l];
        const double of_ids = stats.by_token.layer[l].mutual.bits;
        CHECK(i->mutual.bits > 0 && of_ids > i->mutual.bits);
        CHECK_NEAR(drawn.line[0][l].x, SAMPLE_LAYERS[l], 0);
        CHECK_NEAR(drawn.line[0][l].y, i->mutual.bits, 0);
        CHECK_NEAR(drawn.band[0][l].x, SAMPLE_LAYERS[l], 0);
        CHECK_NEAR(drawn.band[0][l].y, i->null_bits, 0);
        CHECK_NEAR(drawn.band[0][l].lo, 0, 0);
        CHECK_NEAR(drawn.band[0][l].hi, i->null_95_bits, 0);
        CHECK_NEAR(drawn.line[1][l].y, of_ids, 0);
        CHECK_NEAR(drawn.band[1][l].hi, stats.by_token.layer[l].null.bits, 0);
    }
    gm_stats_clear(&stats);
    gm_trace_close(trace);
}

/* By margin on the left, by layer on the right; margins are 0 to 7/8, of which bins 0 (0) and 9 to
 * 11 have some. */
static void agreement_of_a_trace_with_itself(void)
{
    gm_against against;
    gm_error err = {0};
    gm_trace *trace = open_sample();
    const gm_picture_target to = {.path = "unused.svg"};
    const double margins[] = {-12, -3, -2, -1};
    CHECK_OK(gm_against_compare(&against, trace, trace, true, &err), err);
    CHECK_OK(gm_against_figure(&against, &to, &err), err);
    CHECK_INT(drawn.n_panels, 6);
    CHECK_TEXT(drawn.title[1], "all K experts are the same, by layer");
    CHECK_TEXT(drawn.title[4], "share of the K in common, by log2 of the margin");
    for (int p = 0; p < 6; p++) {
        CHECK_INT(drawn.n_line[p], p % 2 == 0 ? 4 : SAMPLE_L);
        for (size_t i = 0; i < drawn.n_line[p]; i++) {
            CHECK_NEAR(drawn.line[p][i].x, p % 2 == 0 ? margins[i] : SAMPLE_LAYERS[i], 0);
            CHECK_NEAR(drawn.line[p][i].y, 1, 0);
        }
    }
    gm_against_clear(&against);
    gm_trace_close(trace);
}

TESTS(TEST(heatmaps), TEST(the_router_by_position), TEST(reuse_and_caches),
      TEST(information_by_layer), TEST(agreement_of_a_trace_with_itself))
