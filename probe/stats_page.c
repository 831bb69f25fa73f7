/* stats_page.c - what gm-probe stats says as one HTML file: see stats_page.h. */
#include "probe/stats_page.h"

#include "base/outfile.h"
#include "figures/html.h"
#include "probe/stats_figures.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define N_OF(list) ((int)(sizeof(list) / sizeof *(list)))

static void number(gm_html *h, double value, int decimals)
{
    gm_html_cell_number(h, value, decimals);
}

static void whole(gm_html *h, uint64_t n)
{
    number(h, (double)n, 0);
}

/* The picture, where the trace has what it shows. */
static gm_status put_figure(gm_html *h, const gm_stats *s, gm_stats_figure figure, size_t subset,
                            const char *caption, gm_error *err)
{
    gm_text png = {0};
    const gm_picture_target to = {.png = &png};
    if (!gm_stats_figure_there(s, figure)) return GM_OK;
    gm_status status = gm_stats_figure_draw(s, figure, subset, &to, err);
    if (status == GM_OK) gm_html_picture(h, &png, caption, caption);
    gm_text_clear(&png);
    return status;
}

/* ---- layers ---- */

/* In the words of training: what experts of a fixed capacity would leave out. */
static void put_dropped(gm_html *h, const gm_stats *s)
{
    static const char *const head[] = {"layer",          "by document, 1", "by document, 1.25",
                                       "by document, 2", "all tokens, 1",  "all tokens, 1.25",
                                       "all tokens, 2"};
    gm_html_table_begin(h,
                        "Share of the choices beyond the experts' capacity at a capacity factor of "
                        "1, 1.25 and 2, if each document is a batch of its own, and if all tokens "
                        "are one batch",
                        head, N_OF(head));
    for (size_t l = 0; l < s->L; l++) {
        number(h, s->info->layer_of_moe[l], 0);
        for (size_t i = 0; i < GM_STATS_CAPACITIES; i++)
            number(h, gm_stats_dropped_by_document(s, l, i), 3);
        for (size_t i = 0; i < GM_STATS_CAPACITIES; i++)
            number(h, gm_stats_dropped_of_all(s, l, i), 3);
        gm_html_row_end(h);
    }
    gm_html_table_end(h);
}

static gm_status put_load(gm_html *h, const gm_stats *s, gm_error *err)
{
    static const char *const head[] = {
        "layer", "Gini", "CV", "largest over mean", "never chosen", "committee", "entropy, bits"};
    uint64_t *scratch = gm_alloc(s->E, sizeof *scratch);
    if (scratch == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu experts", s->E);
    gm_html_heading(h, 2, "Load");
    gm_status status =
        put_figure(h, s, GM_FIGURE_LOAD, 0,
                   "Layers down, experts across; 1: chosen as often as the average expert", err);
    gm_html_table_begin(
        h,
        "Gini: 0 if all experts are chosen equally often, near 1 if few are chosen. "
        "CV: standard deviation over mean of the experts' counts. Committee: the "
        "fewest experts that make up half of all choices. Entropy: at most log2 "
        "of the number of experts.",
        head, N_OF(head));
    for (size_t l = 0; l < s->L; l++) {
        gm_load load = gm_load_of(s->all + l * s->E, scratch, s->E);
        number(h, s->info->layer_of_moe[l], 0);
        number(h, load.gini, 3);
        number(h, load.cv, 3);
        number(h, load.max_over_mean, 2);
        number(h, load.dead, 0);
        number(h, load.committee, 0);
        number(h, load.entropy_bits, 3);
        gm_html_row_end(h);
    }
    gm_html_table_end(h);
    gm_free(scratch);
    put_dropped(h, s);
    return status;
}

/* ---- the router ---- */

static void put_router_row(gm_html *h, const gm_stats *s, const char *name, gm_router_sum sum)
{
    gm_router_mean mean = gm_router_mean_of(&sum);
    if (sum.n == 0) return;
    gm_html_cell(h, name);
    whole(h, sum.n);
    number(h, mean.entropy_bits, 3);
    number(h, mean.mass, 4);
    number(h, mean.margin, 4);
    if (gm_stats_has_softmax(s)) number(h, mean.softmax_bits, 3);
    gm_html_row_end(h);
}

static gm_status put_router(gm_html *h, const gm_stats *s, gm_error *err)
{
    static const char *const head[] = {
        "where",  "(token, layer) pairs",        "entropy of gates, bits", "mass",
        "margin", "entropy of the softmax, bits"};
    if (s->router == NULL) return GM_OK;
    gm_html_heading(h, 2, "The router");
    gm_status status = put_figure(h, s, GM_FIGURE_ROUTER, 0,
                                  "Entropy of the K gates scaled to sum to 1; sum of the chosen "
                                  "probabilities; score of rank K minus that of rank K+1",
                                  err);
    gm_html_table_begin(h, "By phase, position and layer", head,
                        N_OF(head) - !gm_stats_has_softmax(s));
    for (int p = 0; p < GM_TRACE_N_PHASES; p++)
        put_router_row(h, s, gm_trace_phase_name[p], gm_stats_router_sum(s, 0, s->L, p, -1));
    for (int b = 0; b < GM_STATS_POSITIONS; b++) {
        char bin[GM_STATS_NAME_BYTES], name[GM_STATS_NAME_BYTES + 16];
        gm_stats_bin_name(b, bin);
        snprintf(name, sizeof name, "position %s", bin);
        put_router_row(h, s, name, gm_stats_router_sum(s, 0, s->L, -1, b));
    }
    for (size_t l = 0; l < s->L; l++) {
        char name[32];
        snprintf(name, sizeof name, "layer %d", s->info->layer_of_moe[l]);
        put_router_row(h, s, name, gm_stats_router_sum(s, l, 1, -1, -1));
    }
    gm_html_table_end(h);
    return status;
}

/* ---- from token to token, from layer to layer ---- */

/* What a token has in common with the one before. */
static void put_repeats(gm_html *h, const gm_stats *s)
{
    static const char *const head[] = {"layer",
                                       "same strongest expert",
                                       "by chance",
                                       "some expert in common",
                                       "by chance, equal loads",
                                       "share of experts in common",
                                       "by chance"};
    const gm_reuse *r = &s->reuse;
    char caption[192];
    snprintf(caption, sizeof caption,
             "%" PRIu64 " token%s beside the one before in its document, %zu experts each. By "
             "chance: if every token chose by the experts' loads alone",
             r->neighbours, gm_plural(r->neighbours), r->K);
    gm_html_table_begin(h, caption, head, N_OF(head));
    for (size_t l = 0; l < r->L; l++) {
        gm_repeats repeats = gm_reuse_repeats(r, l);
        number(h, s->info->layer_of_moe[l], 0);
        number(h, repeats.first, 3);
        number(h, repeats.first_chance, 3);
        number(h, repeats.any, 3);
        number(h, repeats.any_even, 3);
        number(h, repeats.shared, 3);
        number(h, repeats.shared_chance, 3);
        gm_html_row_end(h);
    }
    gm_html_table_end(h);
}

/* Of a token's experts, those that a few of the layer hold. */
static void put_caches(gm_html *h, const gm_stats *s)
{
    enum { BEFORE = 1, PAIRS = GM_REUSE_SIZES + 1, TITLE_BYTES = 48 };
    const gm_reuse *r = &s->reuse;
    char title[2 * PAIRS][TITLE_BYTES];
    const char *head[BEFORE + 2 * PAIRS] = {"layer"};
    size_t size[PAIRS];
    gm_reuse_sizes(r, size);
    size[GM_REUSE_SIZES] = r->K;
    for (size_t i = 0; i < PAIRS; i++) {
        const char *which = i < GM_REUSE_SIZES ? "used last" : "guessed";
        snprintf(title[2 * i], TITLE_BYTES, "%zu %s", size[i], which);
        snprintf(title[2 * i + 1], TITLE_BYTES, "%zu most chosen", size[i]);
    }
    for (size_t i = 0; i < N_OF(title); i++) head[BEFORE + i] = title[i];
    gm_html_table_begin(h,
                        "Share of the choices that are among a few experts of the layer: those "
                        "used last (LRU cache), those most chosen (fixed cache), or those guessed "
                        "from the experts of the layer before",
                        head, N_OF(head));
    for (size_t l = 0; l < r->L; l++) {
        number(h, s->info->layer_of_moe[l], 0);
        for (size_t i = 0; i < GM_REUSE_SIZES; i++) {
            number(h, gm_reuse_lru(r, l, size[i]), 3);
            number(h, gm_reuse_fixed(r, l, size[i]), 3);
        }
        number(h, gm_reuse_guessed(r, l, r->K), 3);
        number(h, l > 0 ? gm_reuse_fixed(r, l, r->K) : (double)NAN, 3);
        gm_html_row_end(h);
    }
    gm_html_table_end(h);
}

static gm_status put_reuse(gm_html *h, const gm_stats *s, gm_error *err)
{
    gm_status status = GM_OK;
    if (!gm_stats_figure_there(s, GM_FIGURE_REUSE)) return GM_OK;
    gm_html_heading(h, 2, "From token to token, from layer to layer");
    GM_TRY(
        put_figure(h, s, GM_FIGURE_REUSE, 0,
                   "What a token has in common with the token before; of the experts of a layer, "
                   "the share that the experts of the layer before let guess",
                   err));
    put_repeats(h, s);
    GM_TRY(put_figure(h, s, GM_FIGURE_CACHE, 0,
                      "Share of the choices that a cache of so many experts of the layer holds",
                      err));
    put_caches(h, s);
out:
    return status;
}

static gm_status put_outputs(gm_html *h, const gm_stats *s, gm_error *err)
{
    if (!gm_stats_figure_there(s, GM_FIGURE_OUTPUTS)) return GM_OK;
    gm_html_heading(h, 2, "What the experts put out");
    return put_figure(
        h, s, GM_FIGURE_OUTPUTS, 0,
        "Norms of the experts' outputs: REAP, the mean over an expert's tokens of gate "
        "times norm, and EAN, the sum of the norms",
        err);
}

/* ---- information and pairs ---- */

static gm_status put_information(gm_html *h, const gm_stats *s, gm_error *err)
{
    static const char *const head[] = {
        "layer",   "bits of the subset",   "shuffled, mean", "shuffled, 95th percentile",
        "p",       "bits of the token id", "shuffled",       "vocabulary specialisation",
        "shuffled"};
    if (!gm_stats_figure_there(s, GM_FIGURE_INFORMATION)) return GM_OK;
    gm_html_heading(h, 2, "What an expert tells");
    gm_status status = put_figure(h, s, GM_FIGURE_INFORMATION, 0,
                                  "Mutual information of the chosen expert with the document's "
                                  "subset and with the input token",
                                  err);
    gm_html_table_begin(
        h, "Beside what is left after shuffling subsets among documents, ids among tokens", head,
        N_OF(head));
    for (size_t l = 0; l < s->L; l++) {
        const gm_subset_information *i = s->information ? &s->information[l] : NULL;
        const gm_token_layer *t = s->has_tokens ? &s->by_token.layer[l] : NULL;
        number(h, s->info->layer_of_moe[l], 0);
        number(h, i ? i->mutual.bits : (double)NAN, 4);
        number(h, i ? i->null_bits : (double)NAN, 4);
        number(h, i ? i->null_95_bits : (double)NAN, 4);
        number(h, i ? i->p : (double)NAN, 4);
        number(h, t ? t->mutual.bits : (double)NAN, 4);
        number(h, t ? t->null.bits : (double)NAN, 4);
        number(h, t ? t->specialisation : (double)NAN, 4);
        number(h, t ? t->null_specialisation : (double)NAN, 4);
        gm_html_row_end(h);
    }
    gm_html_table_end(h);
    return status;
}

static void put_pair(gm_html *h, gm_token_pair pair)
{
    gm_html_raw(h, "<td>");
    if (pair.found) gm_html_printf(h, "%zu, %zu", pair.i, pair.j);
    gm_html_raw(h, "</td>");
    number(h, pair.found ? pair.npmi : (double)NAN, 4);
}

static gm_status put_pairs(gm_html *h, const gm_stats *s, gm_error *err)
{
    static const char *const head[] = {"layer", "together", "nPMI", "and in the next layer",
                                       "nPMI"};
    gm_status status = GM_OK;
    char caption[160];
    if (!s->has_tokens) return GM_OK;
    gm_html_heading(h, 2, "Experts chosen together");
    GM_TRY(put_figure(
        h, s, GM_FIGURE_TOGETHER, 0,
        "log2 of P(column | row) / P(column), each plus a twentieth of an even share; slightly "
        "below 0 where nothing is special, since the K experts of a token differ",
        err));
    GM_TRY(put_figure(h, s, GM_FIGURE_NEXT, 0, "The same from one layer to the next", err));
    snprintf(caption, sizeof caption,
             "The pair most often chosen together beyond what its experts' loads explain, of those "
             "that at least %" PRIu64 " tokens chose",
             s->support);
    gm_html_table_begin(h, caption, head, N_OF(head));
    for (size_t l = 0; l < s->L; l++) {
        number(h, s->info->layer_of_moe[l], 0);
        put_pair(h, gm_token_pair_of(&s->by_token, l, s->support));
        put_pair(h, l + 1 < s->L ? gm_token_next_pair_of(&s->by_token, l, s->support)
                                 : (gm_token_pair){.found = false});
        gm_html_row_end(h);
    }
    gm_html_table_end(h);
out:
    return status;
}

/* ---- subsets ---- */

/* The experts whose probability the subset raises most. */
static gm_status put_raised(gm_html *h, const gm_stats *s, size_t subset, size_t top, gm_error *err)
{
    gm_best best;
    gm_status status = gm_best_init(&best, top, err);
    if (status != GM_OK) return status;
    gm_stats_offer_raised(s, subset, &best);
    gm_html_raw(h, "<td class=\"list\">");
    for (size_t i = 0; i < best.n; i++) {
        size_t at = best.at[i];
        gm_domain_measure m = gm_stats_domain(s, subset, at / s->E, at % s->E);
        gm_html_printf(h, "%s%d:%zu %.3f (%+.3f, x%.2f)", i ? "; " : "",
                       s->info->layer_of_moe[at / s->E], at % s->E, m.specialisation,
                       m.risk_difference, m.lift);
    }
    gm_html_raw(h, "</td>");
    gm_best_clear(&best);
    return GM_OK;
}

/* "-" for what is not known. */
static const char *show(char text[24], double value, int decimals)
{
    if (isnan(value)) return "-";
    snprintf(text, 24, "%.*f", decimals, value);
    return text;
}

static gm_status put_subsets(gm_html *h, const gm_stats *s, const gm_stats_page_options *o,
                             gm_error *err)
{
    static const char *const head[] = {
        "subset", "documents", "tokens", "mean cosine of two documents",
        "layer:expert P(expert | subset) (minus that of the others, lift)"};
    gm_status status = GM_OK;
    char within[24], between[24], d[24];
    if (s->S < 2) return GM_OK;
    gm_html_heading(h, 2, "Subsets");
    gm_html_raw(h, "<p>");
    gm_html_printf(h,
                   "Mean cosine of two documents' usage: %s within a subset, %s between "
                   "subsets; Cohen's d %s, over the pairs of %zu documents. An expert without "
                   "preference is chosen by %.4f of the tokens.",
                   show(within, s->within_all, 4), show(between, s->between_all, 4),
                   show(d, s->cosine_d, 2), s->cosine_documents, (double)s->K / (double)s->E);
    gm_html_raw(h, "</p>\n");
    gm_html_table_begin(h, "Experts whose probability is raised most", head, N_OF(head));
    for (size_t i = 0; i < s->S; i++) {
        gm_html_cell(h, s->samples->subset_name[i]);
        whole(h, s->documents[i]);
        whole(h, s->tokens[i]);
        number(h, s->within[i], 4);
        GM_TRY(put_raised(h, s, i, o->top, err));
        gm_html_row_end(h);
    }
    gm_html_table_end(h);
    for (size_t i = 0; i < o->n_subsets; i++) {
        gm_html_heading(h, 3, s->samples->subset_name[o->subset[i]]);
        GM_TRY(put_figure(h, s, GM_FIGURE_SUBSET, o->subset[i],
                          "1: chosen as often as by a router without preference; on the right, the "
                          "subset raises what is orange and lowers what is blue",
                          err));
    }
out:
    return status;
}

static void put_rollout(gm_html *h, const gm_stats *s)
{
    static const char *const head[] = {"layer", "with its own prompt", "with the previous prompt"};
    if (s->rollout.documents == 0) return;
    gm_html_heading(h, 2, "Generated text compared with its prompt");
    gm_html_table_begin(h, "Mean cosine of the experts of generated tokens", head, N_OF(head));
    for (size_t l = 0; l < s->L; l++) {
        number(h, s->info->layer_of_moe[l], 0);
        number(h, s->rollout.own[l], 4);
        number(h, s->rollout.other[l], 4);
        gm_html_row_end(h);
    }
    gm_html_table_end(h);
}

/* ---- single experts ---- */

static void put_expert(gm_html *h, const gm_stats *s, const gm_expert_view *v,
                       const gm_tokenizer *tokenizer)
{
    static const char *const token_head[] = {"token id", "spelling", "tokens",
                                             "chose it", "share",    "lift"};
    static const char *const document_head[] = {"document", "subset", "share of its tokens"};
    char title[64];
    snprintf(title, sizeof title, "Expert %d:%zu", s->info->layer_of_moe[v->l], v->e);
    gm_html_heading(h, 3, title);
    gm_html_table_begin(h, "Tokens that contribute most to what it tells", token_head,
                        N_OF(token_head));
    for (size_t i = 0; i < v->rows.n; i++) {
        gm_expert_token t = gm_expert_token_of(v, i, s, tokenizer);
        whole(h, t.id);
        gm_html_raw(h, "<td>");
        if (t.spelling) gm_html_text(h, t.spelling, t.n);
        gm_html_raw(h, "</td>");
        whole(h, t.tokens);
        whole(h, t.chose);
        number(h, t.share, 4);
        number(h, t.lift, 2);
        gm_html_row_end(h);
    }
    gm_html_table_end(h);
    gm_html_table_begin(h, "Documents", document_head, N_OF(document_head));
    for (size_t i = 0; i < v->documents.n; i++) {
        size_t d = v->documents.at[i];
        gm_html_cell(h, s->samples->id[d]);
        gm_html_cell(h, s->samples->subset_name[s->samples->subset[d]]);
        number(h, v->documents.value[i], 4);
        gm_html_row_end(h);
    }
    gm_html_table_end(h);
}

/* ---- pages ---- */

static void put_intro(gm_html *h, const gm_stats *s)
{
    gm_html_raw(h, "<p>");
    gm_html_printf(
        h,
        "%zu document%s of %zu subset%s, %" PRIu64
        " token%s; %zu of %zu experts chosen a token in each of %zu MoE layers. Template "
        "tokens and rows that were not finite are left out. Fingerprint of the run: %s.",
        s->samples->n, gm_plural(s->samples->n), s->S, gm_plural(s->S), s->n_tokens,
        gm_plural(s->n_tokens), s->K, s->E, s->L, s->info->fingerprint);
    gm_html_raw(h, "</p>\n");
}

gm_status gm_stats_page_write(const gm_stats *s, const gm_stats_page_options *o, const char *path,
                              gm_error *err)
{
    gm_status status = GM_OK;
    gm_html h = {0};
    gm_text title = {0};
    GM_TRY(gm_text_printf(&title, err, "Experts of %s", s->info->model));
    gm_html_begin(&h, o->trace, "statistics of its experts", "");
    gm_html_raw(&h, "<main>\n");
    gm_html_heading(&h, 1, title.at);
    put_intro(&h, s);
    GM_TRY(put_load(&h, s, err));
    GM_TRY(put_router(&h, s, err));
    GM_TRY(put_reuse(&h, s, err));
    GM_TRY(put_outputs(&h, s, err));
    GM_TRY(put_information(&h, s, err));
    GM_TRY(put_pairs(&h, s, err));
    GM_TRY(put_subsets(&h, s, o, err));
    put_rollout(&h, s);
    if (o->n_views > 0) gm_html_heading(&h, 2, "Requested experts");
    for (size_t i = 0; i < o->n_views; i++) put_expert(&h, s, &o->view[i], o->tokenizer);
    gm_html_raw(&h, "</main>\n");
    gm_html_footer(&h, "gm-probe stats", o->trace);
    GM_TRY(gm_html_end(&h, err));
    GM_TRY(gm_outfile_write(path, o->replace, h.text.at, h.text.n, err));
out:
    gm_text_clear(&title);
    gm_html_clear(&h);
    return status;
}
