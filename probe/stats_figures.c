/* stats_figures.c - pictures of what gm-probe stats counted: see stats_figures.h. */
#include "probe/stats_figures.h"

#include "base/folder.h"
#include "figures/curves.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { LAYERS_SHOWN = 3, MEASURES = 3, AGREEMENTS = 2 * MEASURES };

static gm_status put_heat(const gm_heat_figure *figure, const gm_picture_target *to, gm_error *err)
{
    return to->path ? gm_figure_heat(figure, to->path, to->replace, err)
                    : gm_figure_heat_png(figure, to->png, err);
}

static gm_status put_curves(const gm_curve_figure *figure, const gm_picture_target *to,
                            gm_error *err)
{
    return to->path ? gm_figure_curves(figure, to->path, to->replace, err)
                    : gm_figure_curves_png(figure, to->png, err);
}

/* A panel of curves without the lines that not every panel has. */
static gm_curve_panel panel_of(const char *title)
{
    return (gm_curve_panel){.title = title, .limit_x = (double)NAN, .level_y = (double)NAN};
}

/* Add a point without an interval to a list of n. */
static void add_point(gm_curve_point *list, size_t *n, double x, double y)
{
    list[(*n)++] = (gm_curve_point){x, y, (double)NAN, (double)NAN, NULL};
}

/* ---- layers x experts ---- */

static gm_heat_figure by_expert(const gm_stats *s, const char *title, const gm_heat_panel *panel,
                                int n_panels)
{
    return (gm_heat_figure){.title = title,
                            .panel = panel,
                            .n_panels = n_panels,
                            .rows = (int)s->L,
                            .cols = (int)s->E,
                            .row_number = s->info->layer_of_moe,
                            .row_axis = "layer",
                            .col_axis = "expert"};
}

static gm_status draw_load(const gm_stats *s, const gm_picture_target *to, gm_error *err)
{
    float *value = gm_alloc2(s->L, s->E, sizeof *value);
    if (value == NULL) return gm_fail(err, GM_EMEM, "no memory for a heatmap");
    for (size_t l = 0; l < s->L; l++) {
        const uint64_t *all = s->all + l * s->E;
        uint64_t choices = 0;
        for (size_t e = 0; e < s->E; e++) choices += all[e];
        for (size_t e = 0; e < s->E; e++)
            value[l * s->E + e] = (float)((double)(all[e] * s->E) / (double)choices);
    }
    const gm_heat_panel panel = {
        .title = "share of the layer's choices", .value = value, .unit = "relative to even"};
    const gm_heat_figure figure =
        by_expert(s, "How the choices are spread over the experts", &panel, 1);
    gm_status status = put_heat(&figure, to, err);
    gm_free(value);
    return status;
}

/* Rows and columns as in draw_load: how often is told apart from how much. */
static gm_status draw_outputs(const gm_stats *s, const gm_picture_target *to, gm_error *err)
{
    const size_t n = s->L * s->E;
    float *reap = gm_alloc2(2, n, sizeof *reap);
    if (reap == NULL) return gm_fail(err, GM_EMEM, "no memory for a heatmap");
    float *ean = reap + n;
    for (size_t i = 0; i < n; i++) {
        reap[i] = (float)gm_outputs_relative_reap(&s->outputs, i / s->E, i % s->E);
        ean[i] = (float)(gm_outputs_ean_share(&s->outputs, i / s->E, i % s->E) * (double)s->E);
    }
    const gm_heat_panel panel[] = {
        {.title = "REAP, mean of gate times norm", .value = reap, .unit = "relative to the mean"},
        {.title = "EAN, sum of norms", .value = ean, .unit = "relative to even"}};
    const gm_heat_figure figure = by_expert(s, "How much the experts put out", panel, 2);
    gm_status status = put_heat(&figure, to, err);
    gm_free(reap);
    return status;
}

static gm_status draw_subset(const gm_stats *s, size_t subset, const gm_picture_target *to,
                             gm_error *err)
{
    gm_status status = GM_OK;
    size_t n = s->L * s->E;
    gm_text title = {0};
    float *share = gm_alloc(n, sizeof *share), *difference = gm_alloc(n, sizeof *difference);
    if (share == NULL || difference == NULL) GM_FAIL(GM_EMEM, "no memory for a heatmap");
    const char *name = s->samples->subset_name[subset];
    if (name[0] && gm_fonts_can(name))
        GM_TRY(gm_text_printf(&title, err, "Experts of %s", name));
    else
        GM_TRY(gm_text_printf(&title, err, "Experts of subset %zu", subset));
    for (size_t i = 0; i < n; i++) {
        gm_domain_measure m = gm_stats_domain(s, subset, i / s->E, i % s->E);
        share[i] = (float)(m.specialisation * (double)s->E / (double)s->K);
        difference[i] = (float)m.risk_difference;
    }
    const gm_heat_panel panel[] = {
        {.title = "P(expert | subset), OLMoE's specialisation",
         .value = share,
         .unit = "relative to even"},
        {.title = "minus P(expert | other subsets)", .value = difference, .diverging = true}};
    const gm_heat_figure figure = by_expert(s, title.at, panel, 2);
    GM_TRY(put_heat(&figure, to, err));
out:
    gm_text_clear(&title);
    gm_free(share);
    gm_free(difference);
    return status;
}

/* ---- experts x experts ---- */

/* The first, the middle and the last of n layers, those that differ. */
static size_t choose_layers(size_t n, size_t layer[LAYERS_SHOWN])
{
    const size_t wanted[LAYERS_SHOWN] = {0, (n - 1) / 2, n - 1};
    size_t found = 1;
    layer[0] = wanted[0];
    for (size_t i = 1; i < LAYERS_SHOWN; i++)
        if (layer[found - 1] != wanted[i]) layer[found++] = wanted[i];
    return found;
}

/* log2 of how much more often expert j of layer `to` is chosen by tokens that chose i of layer l
 * than by all: what its load alone gives is 0. */
static float raised(const gm_stats *s, size_t l, size_t to, size_t i, size_t j)
{
    const gm_token_counts *c = &s->by_token;
    double smooth = 0.05 * (double)s->K / (double)s->E; /* as the lift of measures.h */
    double overall = (double)s->all[to * s->E + j] / (double)s->n_tokens;
    if (l == to && i == j) return NAN;
    double share = l == to ? gm_token_together(c, l, i, j) : gm_token_follows(c, l, i, j);
    return (float)log2((share + smooth) / (overall + smooth));
}

/* In one layer, or from a layer to the next. */
static gm_status draw_pairs(const gm_stats *s, bool next, const gm_picture_target *to,
                            gm_error *err)
{
    size_t E = s->E, layer[LAYERS_SHOWN], n = choose_layers(next ? s->L - 1 : s->L, layer);
    char title[LAYERS_SHOWN][64];
    gm_heat_panel panel[LAYERS_SHOWN];
    float *value = gm_alloc2(n * E, E, sizeof *value);
    if (value == NULL) return gm_fail(err, GM_EMEM, "no memory for a heatmap");
    for (size_t p = 0; p < n; p++) {
        size_t l = layer[p];
        float *at = value + p * E * E; /* (E,E) */
        for (size_t i = 0; i < E; i++)
            for (size_t j = 0; j < E; j++) at[i * E + j] = raised(s, l, next ? l + 1 : l, i, j);
        if (next)
            snprintf(title[p], sizeof title[p], "layer %d, then %d", s->info->layer_of_moe[l],
                     s->info->layer_of_moe[l + 1]);
        else
            snprintf(title[p], sizeof title[p], "layer %d", s->info->layer_of_moe[l]);
        panel[p] = (gm_heat_panel){.title = title[p], .value = at, .diverging = true};
    }
    const gm_heat_figure figure = {
        .title =
            next
                ? "Experts chosen in successive layers: column after row, log2 relative to its load"
                : "Experts chosen together: column with row, log2 relative to its load",
        .panel = panel,
        .n_panels = (int)n,
        .rows = (int)E,
        .cols = (int)E,
        .row_axis = "expert",
        .col_axis = "expert"};
    gm_status status = put_heat(&figure, to, err);
    gm_free(value);
    return status;
}

/* ---- curves ---- */

static gm_status draw_router(const gm_stats *s, const gm_picture_target *to, gm_error *err)
{
    enum { PHASES = GM_TRACE_TEMPLATE }; /* those before it: of texts */
    static const char *const measure[MEASURES] = {"entropy of the gates, bits",
                                                  "mass of the chosen experts", "margin, nats"};
    char title[PHASES * MEASURES][80];
    gm_curve_point point[PHASES * MEASURES][GM_STATS_POSITIONS];
    gm_curve_panel panel[PHASES * MEASURES];
    int n_panels = 0;
    for (int p = 0; p < PHASES; p++) {
        if (gm_stats_router_sum(s, 0, s->L, p, -1).n == 0) continue;
        for (int m = 0; m < MEASURES; m++, n_panels++) {
            size_t n = 0;
            for (int b = 0; b < GM_STATS_POSITIONS; b++) {
                gm_router_sum sum = gm_stats_router_sum(s, 0, s->L, p, b);
                gm_router_mean mean = gm_router_mean_of(&sum);
                const double value[MEASURES] = {mean.entropy_bits, mean.mass, mean.margin};
                if (sum.n > 0) add_point(point[n_panels], &n, b, value[m]);
            }
            snprintf(title[n_panels], sizeof title[n_panels], "%s: %s", gm_trace_phase_name[p],
                     measure[m]);
            panel[n_panels] = panel_of(title[n_panels]);
            panel[n_panels].line = point[n_panels];
            panel[n_panels].n_line = n;
        }
    }
    const gm_curve_figure figure = {.title = "The router by position and phase",
                                    .subtitle = "means over layers and tokens; at 8: positions 8 "
                                                "to 15, and so on",
                                    .x_axis = "position in the document",
                                    .x_doubles = true,
                                    .panel = panel,
                                    .n_panels = n_panels,
                                    .columns = MEASURES,
                                    .by_column = true};
    return put_curves(&figure, to, err);
}

/* By layer; the band reaches from nothing to what chance, or the loads alone, would give. */
static gm_status draw_reuse(const gm_stats *s, const gm_picture_target *to, gm_error *err)
{
    static const char *const title[MEASURES] = {"strongest expert as the token before",
                                                "share of the K as the token before",
                                                "share guessed from the layer before"};
    const gm_reuse *r = &s->reuse;
    gm_curve_panel panel[MEASURES];
    gm_curve_point *point = gm_alloc2((size_t)2 * MEASURES, s->L, sizeof *point);
    if (point == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu layers", s->L);
    for (size_t m = 0; m < MEASURES; m++) {
        gm_curve_point *line = point + 2 * m * s->L, *band = line + s->L;
        size_t n = 0;
        for (size_t l = 0; l < s->L; l++) {
            gm_repeats repeats = gm_reuse_repeats(r, l);
            const double value[] = {repeats.first, repeats.shared, gm_reuse_guessed(r, l, r->K)};
            const double base[] = {repeats.first_chance, repeats.shared_chance,
                                   l > 0 ? gm_reuse_fixed(r, l, r->K) : (double)NAN};
            double layer = s->info->layer_of_moe[l];
            add_point(line, &n, layer, value[m]);
            band[l] = (gm_curve_point){layer, base[m], 0, base[m], NULL};
        }
        panel[m] = panel_of(title[m]);
        panel[m].line = line, panel[m].n_line = n;
        panel[m].band = band, panel[m].n_band = s->L;
    }
    const gm_curve_figure figure = {
        .title = "What stays from token to token and from layer to layer",
        .subtitle = "grey: by chance, from the experts' loads; on the right, the most chosen K",
        .x_axis = "layer",
        .y_axis = "share",
        .panel = panel,
        .n_panels = s->L > 1 ? MEASURES : MEASURES - 1};
    gm_status status = put_curves(&figure, to, err);
    gm_free(point);
    return status;
}

/* Hits by size. */
static gm_status draw_cache(const gm_stats *s, const gm_picture_target *to, gm_error *err)
{
    enum { SIZES = 33 };
    const gm_reuse *r = &s->reuse;
    gm_curve_point line[LAYERS_SHOWN][SIZES], band[LAYERS_SHOWN][SIZES];
    char title[LAYERS_SHOWN][24];
    gm_curve_panel panel[LAYERS_SHOWN];
    size_t layer[LAYERS_SHOWN], n_panels = choose_layers(s->L, layer);
    for (size_t p = 0; p < n_panels; p++) {
        size_t n = 0;
        for (size_t i = 0, last = 0; i < SIZES; i++) {
            size_t size = r->K + (r->E - r->K) * i / (SIZES - 1);
            double fixed = gm_reuse_fixed(r, layer[p], size), x = (double)size;
            if (size == last) continue;
            band[p][n] = (gm_curve_point){x, fixed, x / (double)r->E, fixed, NULL};
            add_point(line[p], &n, x, gm_reuse_lru(r, layer[p], size));
            last = size;
        }
        snprintf(title[p], sizeof title[p], "layer %d", s->info->layer_of_moe[layer[p]]);
        panel[p] = panel_of(title[p]);
        panel[p].line = line[p], panel[p].n_line = n;
        panel[p].band = band[p], panel[p].n_band = n;
    }
    const gm_curve_figure figure = {
        .title = "Share of the choices that a cache of experts holds",
        .subtitle = "blue: of the experts used last (LRU); grey: of the most chosen ones, down to "
                    "what an even router gives",
        .x_axis = "experts in the cache of the layer",
        .y_axis = "share of the choices",
        .panel = panel,
        .n_panels = (int)n_panels};
    return put_curves(&figure, to, err);
}

/* Bits by layer; the band reaches from 0 to where 95 of 100 nulls end. */
static gm_status draw_information(const gm_stats *s, const gm_picture_target *to, gm_error *err)
{
    gm_curve_point *point = gm_alloc2(4, s->L, sizeof *point); /* lines, bands */
    if (point == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu layers", s->L);
    gm_curve_panel panel[2];
    int n_panels = 0;
    for (int kind = 0; kind < 2; kind++) { /* subset, token id */
        if (kind == 0 ? s->information == NULL : !s->has_tokens) continue;
        gm_curve_point *line = point + (size_t)n_panels * 2 * s->L, *band = line + s->L;
        size_t n = 0;
        for (size_t l = 0; l < s->L; l++) {
            double layer = s->info->layer_of_moe[l], bits, null, null_95;
            if (kind == 0) {
                bits = s->information[l].mutual.bits;
                null = s->information[l].null_bits, null_95 = s->information[l].null_95_bits;
            } else {
                bits = s->by_token.layer[l].mutual.bits;
                null = null_95 = s->by_token.layer[l].null.bits;
            }
            add_point(line, &n, layer, bits);
            band[l] = (gm_curve_point){layer, null, 0, null_95, NULL};
        }
        panel[n_panels] = panel_of(kind == 0 ? "of the document's subset" : "of the token id");
        panel[n_panels].line = line, panel[n_panels].n_line = n;
        panel[n_panels].band = band, panel[n_panels].n_band = s->L;
        n_panels++;
    }
    const gm_curve_figure figure = {
        .title = "What an expert tells, in bits",
        .subtitle = "grey: the 95th percentile when subsets or ids are shuffled",
        .x_axis = "layer",
        .y_axis = "bits",
        .panel = panel,
        .n_panels = n_panels,
        .by_column = true};
    gm_status status = put_curves(&figure, to, err);
    gm_free(point);
    return status;
}

gm_status gm_against_figure(const gm_against *a, const gm_picture_target *to, gm_error *err)
{
    static const char *const title[MEASURES] = {
        "all K experts are the same", "the strongest is the same", "share of the K in common"};
    assert(a != NULL);
    size_t L = (size_t)a->info->n_layers, K = (size_t)a->info->n_chosen;
    const bool margins = !a->info->no_margins;
    size_t most = L > GM_MARGIN_BINS ? L : GM_MARGIN_BINS;
    gm_curve_point *point = gm_alloc2(AGREEMENTS, most, sizeof *point);
    if (point == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu layers", L);
    gm_curve_panel panel[AGREEMENTS];
    char name[AGREEMENTS][80];
    const size_t columns = margins ? 2 : 1; /* by margin, by layer: a row a measure */
    for (size_t i = 0; i < columns * MEASURES; i++) {
        const bool by_margin = margins && i % 2 == 0;
        const size_t m = i / columns;
        size_t n = 0, n_places = by_margin ? GM_MARGIN_BINS : L;
        for (size_t p = 0; p < n_places; p++) {
            gm_agree g = by_margin ? gm_against_sum(a, 0, L, (int)p) : gm_against_sum(a, p, 1, -1);
            const uint64_t part[MEASURES] = {g.same_set, g.same_first, g.shared};
            double x = by_margin ? (double)p + GM_MARGIN_EXPONENT : a->info->layer_of_moe[p];
            double of = (double)g.n * (m == 2 ? (double)K : 1);
            if (g.n > 0) add_point(point + i * most, &n, x, (double)part[m] / of);
        }
        snprintf(name[i], sizeof name[i], "%s, by %s", title[m],
                 by_margin ? "log2 of the margin" : "layer");
        panel[i] = panel_of(name[i]);
        panel[i].line = point + i * most;
        panel[i].n_line = n;
    }
    const gm_curve_figure figure = {
        .title = "How far two traces choose the same experts",
        .subtitle = margins ? "share of the (token, layer) pairs; margins of the first trace, from "
                              "2^x to 2^(x+1); the first bin begins at 0, the last has no end"
                            : "share of the (token, layer) pairs",
        .panel = panel,
        .n_panels = (int)columns * MEASURES,
        .columns = margins ? 2 : MEASURES,
        .by_column = margins};
    gm_status status = put_curves(&figure, to, err);
    gm_free(point);
    return status;
}

/* ---- all of them ---- */

bool gm_stats_figure_there(const gm_stats *s, gm_stats_figure figure)
{
    switch (figure) {
    case GM_FIGURE_LOAD: return s->n_tokens > 0;
    case GM_FIGURE_ROUTER: return s->router && gm_stats_router_sum(s, 0, s->L, -1, -1).n > 0;
    case GM_FIGURE_REUSE:
    case GM_FIGURE_CACHE: return s->has_routing && s->reuse.tokens > 0;
    case GM_FIGURE_INFORMATION: return s->information != NULL || s->has_tokens;
    case GM_FIGURE_TOGETHER: return s->has_tokens;
    case GM_FIGURE_NEXT: return s->has_tokens && s->L > 1;
    case GM_FIGURE_OUTPUTS: return s->outputs.sum && s->n_tokens > 0;
    case GM_FIGURE_SUBSET: return s->S > 1;
    case GM_N_STATS_FIGURES: break;
    }
    return false;
}

gm_status gm_stats_figure_draw(const gm_stats *s, gm_stats_figure figure, size_t subset,
                               const gm_picture_target *to, gm_error *err)
{
    switch (figure) {
    case GM_FIGURE_LOAD: return draw_load(s, to, err);
    case GM_FIGURE_ROUTER: return draw_router(s, to, err);
    case GM_FIGURE_REUSE: return draw_reuse(s, to, err);
    case GM_FIGURE_CACHE: return draw_cache(s, to, err);
    case GM_FIGURE_INFORMATION: return draw_information(s, to, err);
    case GM_FIGURE_TOGETHER: return draw_pairs(s, false, to, err);
    case GM_FIGURE_NEXT: return draw_pairs(s, true, to, err);
    case GM_FIGURE_OUTPUTS: return draw_outputs(s, to, err);
    case GM_FIGURE_SUBSET: return draw_subset(s, subset, to, err);
    case GM_N_STATS_FIGURES: break;
    }
    return gm_fail(err, GM_EARG, "no such figure");
}

/* A figure of a trace, or (`s` NULL) that of two. */
typedef struct drawing {
    const gm_stats *s;
    gm_stats_figure figure;
    size_t subset;
    const gm_against *against;
} drawing;

/* Draw to folder/name.png and .svg. */
static gm_status write_both(const drawing *what, const char *folder, const char *name, bool replace,
                            gm_error *err)
{
    static const char *const ending[] = {"png", "svg"};
    gm_status status = GM_OK;
    gm_text path = {0};
    for (int i = 0; i < 2; i++) {
        gm_text_clear(&path);
        GM_TRY(gm_text_printf(&path, err, "%s/%s.%s", folder, name, ending[i]));
        const gm_picture_target to = {.path = path.at, .replace = replace};
        GM_TRY(what->s ? gm_stats_figure_draw(what->s, what->figure, what->subset, &to, err)
                       : gm_against_figure(what->against, &to, err));
    }
out:
    gm_text_clear(&path);
    return status;
}

gm_status gm_stats_write_figures(const gm_stats *s, const size_t *subset, size_t n,
                                 const char *folder, bool replace, gm_error *err)
{
    static const char *const name[] = {"load",        "router",   "reuse", "cache",
                                       "information", "together", "next",  "outputs"};
    gm_status status = GM_OK;
    GM_TRY(gm_folder_make(folder, err));
    for (int i = 0; i < GM_FIGURE_SUBSET; i++) {
        const drawing what = {.s = s, .figure = (gm_stats_figure)i};
        if (!gm_stats_figure_there(s, what.figure)) continue;
        GM_TRY(write_both(&what, folder, name[i], replace, err));
    }
    for (size_t i = 0; i < n && gm_stats_figure_there(s, GM_FIGURE_SUBSET); i++) {
        const drawing what = {.s = s, .figure = GM_FIGURE_SUBSET, .subset = subset[i]};
        char number[32]; /* names of subsets may be anything */
        snprintf(number, sizeof number, "subset-%zu", subset[i]);
        GM_TRY(write_both(&what, folder, number, replace, err));
    }
out:
    return status;
}

gm_status gm_against_write_figures(const gm_against *against, const char *folder, bool replace,
                                   gm_error *err)
{
    const drawing what = {.against = against};
    gm_status status = gm_folder_make(folder, err);
    return status == GM_OK ? write_both(&what, folder, "agreement", replace, err) : status;
}
