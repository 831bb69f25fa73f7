/* stats_print.c - what gm-probe stats says: members of one JSON object, or tables. */
#include "probe/stats.h"
#include "text/terminal.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

/* Sums over all layers have each token once a layer. */
static uint64_t tokens_of(const gm_stats *s, const gm_router_sum *r)
{
    assert(s->L > 0);
    return r->n / s->L;
}

/* First position of bin b; the last position of it is that of the next one less 1. */
static uint64_t bin_first(int b)
{
    return b == 0 ? 0 : UINT64_C(1) << (b - 1);
}

void gm_stats_bin_name(int b, char name[GM_STATS_NAME_BYTES])
{
    if (b < 2 || b == GM_STATS_POSITIONS - 1)
        snprintf(name, GM_STATS_NAME_BYTES, "%" PRIu64 "%s", bin_first(b), b < 2 ? "" : "-");
    else
        snprintf(name, GM_STATS_NAME_BYTES, "%" PRIu64 "-%" PRIu64, bin_first(b),
                 bin_first(b + 1) - 1);
}

/* ---- JSON ---- */

static void put_router(const gm_stats *s, const gm_router_sum *r, gm_json_out *out)
{
    gm_router_mean mean = gm_router_mean_of(r);
    gm_json_put_f64(out, "gate_entropy_bits", mean.entropy_bits);
    gm_json_put_f64(out, "topk_mass", mean.mass);
    gm_json_put_f64(out, "margin", mean.margin);
    if (!gm_stats_has_softmax(s)) return;
    gm_json_put_u64(out, "softmax_pairs", r->n_softmax);
    gm_json_put_f64(out, "softmax_entropy_bits", mean.softmax_bits);
}

static void put_information(const gm_subset_information *i, gm_json_out *out)
{
    gm_json_open_object(out, "subset_information");
    gm_json_put_f64(out, "bits", i->mutual.bits);
    gm_json_put_f64(out, "miller_madow_bits", i->mutual.miller_madow_bits);
    gm_json_put_f64(out, "subset_entropy_bits", i->mutual.row_bits);
    gm_json_put_f64(out, "null_bits", i->null_bits);
    gm_json_put_f64(out, "null_95_bits", i->null_95_bits);
    gm_json_put_f64(out, "excess_bits", i->mutual.bits - i->null_bits);
    gm_json_put_f64(out, "p", i->p);
    gm_json_close_object(out);
}

/* Load of layer l; share (E): of its choices. `scratch` (E). */
static void put_layer(const gm_stats *s, size_t l, uint64_t *scratch, gm_json_out *out)
{
    gm_load load = gm_load_of(s->all + l * s->E, scratch, s->E);
    gm_json_open_object(out, NULL);
    gm_json_put_i64(out, "layer", s->info->layer_of_moe[l]);
    gm_json_put_u64(out, "choices", load.choices);
    gm_json_put_f64(out, "gini", load.gini);
    gm_json_put_f64(out, "cv", load.cv);
    gm_json_put_f64(out, "max_over_mean", load.max_over_mean);
    gm_json_put_f64(out, "load_entropy_bits", load.entropy_bits);
    gm_json_put_i64(out, "dead", load.dead);
    gm_json_put_i64(out, "committee", load.committee);
    gm_stats_put_dropped(s, l, out);
    if (s->router) {
        gm_router_sum r = gm_stats_router_sum(s, l, 1, -1, -1);
        put_router(s, &r, out);
    }
    if (s->information) put_information(&s->information[l], out);
    gm_json_open_array(out, "share");
    for (size_t e = 0; e < s->E; e++)
        gm_json_put_f64(out, NULL, (double)s->all[l * s->E + e] / (double)load.choices);
    gm_json_close_array(out);
    gm_json_close_object(out);
}

static void put_places(const gm_stats *s, gm_json_out *out)
{
    gm_json_open_array(out, "phases");
    for (int p = 0; p < GM_TRACE_N_PHASES; p++) {
        gm_router_sum r = gm_stats_router_sum(s, 0, s->L, p, -1);
        if (r.n == 0) continue;
        gm_json_open_object(out, NULL);
        gm_json_put_string(out, "phase", gm_trace_phase_name[p]);
        gm_json_put_u64(out, "tokens", tokens_of(s, &r));
        put_router(s, &r, out);
        gm_json_close_object(out);
    }
    gm_json_close_array(out);
    gm_json_open_array(out, "positions");
    for (int b = 0; b < GM_STATS_POSITIONS; b++) {
        gm_router_sum r = gm_stats_router_sum(s, 0, s->L, -1, b);
        if (r.n == 0) continue;
        gm_json_open_object(out, NULL);
        gm_json_put_u64(out, "first", bin_first(b));
        gm_json_put_u64(out, "tokens", tokens_of(s, &r));
        put_router(s, &r, out);
        gm_json_close_object(out);
    }
    gm_json_close_array(out);
}

static void put_rollout(const gm_stats *s, gm_json_out *out)
{
    gm_json_open_object(out, "rollout");
    gm_json_put_u64(out, "documents", s->rollout.documents);
    gm_json_open_array(out, "layers");
    for (size_t l = 0; l < s->L; l++) {
        gm_json_open_object(out, NULL);
        gm_json_put_i64(out, "layer", s->info->layer_of_moe[l]);
        gm_json_put_f64(out, "own_prompt_cosine", s->rollout.own[l]);
        gm_json_put_f64(out, "other_prompt_cosine", s->rollout.other[l]);
        gm_json_close_object(out);
    }
    gm_json_close_array(out);
    gm_json_close_object(out);
}

/* The measures of one subset, each a list of layers of lists of experts. */
static void put_domain(const gm_stats *s, size_t subset, int which, const char *key,
                       gm_json_out *out)
{
    gm_json_open_array(out, key);
    for (size_t l = 0; l < s->L; l++) {
        gm_json_open_array(out, NULL);
        for (size_t e = 0; e < s->E; e++) {
            gm_domain_measure m = gm_stats_domain(s, subset, l, e);
            const double value[] = {m.specialisation, m.lift, m.npmi, m.risk_difference};
            gm_json_put_f64(out, NULL, value[which]);
        }
        gm_json_close_array(out);
    }
    gm_json_close_array(out);
}

static void put_subset(const gm_stats *s, size_t subset, gm_json_out *out)
{
    static const char *const key[] = {"specialisation", "lift", "npmi", "risk_difference"};
    gm_json_open_object(out, NULL);
    gm_json_put_string(out, "subset", s->samples->subset_name[subset]);
    gm_json_put_u64(out, "documents", s->documents[subset]);
    gm_json_put_u64(out, "tokens", s->tokens[subset]);
    gm_json_put_f64(out, "within_cosine", s->within[subset]);
    for (int which = 0; which < 4; which++) put_domain(s, subset, which, key[which], out);
    gm_json_close_object(out);
}

gm_status gm_stats_put(const gm_stats *s, gm_json_out *out, gm_error *err)
{
    uint64_t *scratch = gm_alloc(s->E, sizeof *scratch);
    if (scratch == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu experts", s->E);
    gm_json_put_string(out, "model", s->info->model);
    gm_json_put_string(out, "fingerprint", s->info->fingerprint);
    gm_json_put_u64(out, "documents", s->samples->n);
    gm_json_put_u64(out, "tokens", s->n_tokens);
    gm_json_put_u64(out, "experts", s->E);
    gm_json_put_u64(out, "chosen", s->K);
    gm_json_put_i64(out, "permutations", s->n_permutations);
    gm_json_put_u64(out, "npmi_min_support", s->support);
    gm_json_open_array(out, "capacity_factors");
    for (size_t i = 0; i < GM_STATS_CAPACITIES; i++)
        gm_json_put_f64(out, NULL, gm_stats_capacity_quarters[i] / 4.0);
    gm_json_close_array(out);
    gm_json_open_array(out, "layers");
    for (size_t l = 0; l < s->L; l++) put_layer(s, l, scratch, out);
    gm_json_close_array(out);
    if (s->router) put_places(s, out);
    if (s->rollout.documents > 0) put_rollout(s, out);
    if (s->has_routing) gm_stats_put_reuse(s, out);
    if (s->outputs.sum) gm_stats_put_outputs(s, out);
    if (s->has_tokens) gm_stats_put_tokens(s, out);
    gm_json_put_f64(out, "within_cosine", s->within_all);
    gm_json_put_f64(out, "between_cosine", s->between_all);
    gm_json_put_f64(out, "cosine_cohen_d", s->cosine_d);
    gm_json_put_u64(out, "cosine_documents", s->cosine_documents);
    gm_json_open_array(out, "subsets");
    for (size_t subset = 0; subset < s->S; subset++) put_subset(s, subset, out);
    gm_json_close_array(out);
    gm_free(scratch);
    return GM_OK;
}

/* ---- tables ---- */

static void print_number(int width, int places, double value)
{
    if (isnan(value))
        printf(" %*s", width, "-");
    else
        printf(" %*.*f", width, places, value);
}

static void print_router(const gm_stats *s, const gm_router_sum *r)
{
    gm_router_mean mean = gm_router_mean_of(r);
    print_number(12, 3, mean.entropy_bits);
    print_number(9, 4, mean.mass);
    print_number(7, 4, mean.margin);
    if (gm_stats_has_softmax(s)) print_number(7, 3, mean.softmax_bits);
}

static void print_layers(const gm_stats *s, uint64_t *scratch)
{
    printf("layer   gini     cv max/mean dead committee entropy");
    if (s->router) printf(" | gate_entropy topk_mass  margin");
    if (s->router && gm_stats_has_softmax(s)) printf(" softmax");
    if (s->information) printf(" | subset_bits   null null_95      p");
    putchar('\n');
    for (size_t l = 0; l < s->L; l++) {
        gm_load load = gm_load_of(s->all + l * s->E, scratch, s->E);
        printf("%5d %6.3f %6.3f %8.2f %4d %9d %7.3f", s->info->layer_of_moe[l], load.gini, load.cv,
               load.max_over_mean, load.dead, load.committee, load.entropy_bits);
        if (s->router) {
            gm_router_sum r = gm_stats_router_sum(s, l, 1, -1, -1);
            printf(" |");
            print_router(s, &r);
        }
        if (s->information) {
            const gm_subset_information *i = &s->information[l];
            printf(" |");
            print_number(11, 4, i->mutual.bits);
            print_number(6, 4, i->null_bits);
            print_number(7, 4, i->null_95_bits);
            print_number(6, 4, i->p);
        }
        putchar('\n');
    }
}

static void print_place(const gm_stats *s, const gm_router_sum *r)
{
    printf(" %12" PRIu64, tokens_of(s, r));
    print_router(s, r);
    putchar('\n');
}

static void print_places(const gm_stats *s)
{
    printf("\nposition             tokens gate_entropy topk_mass  margin%s\n",
           gm_stats_has_softmax(s) ? " softmax" : "");
    for (int b = 0; b < GM_STATS_POSITIONS; b++) {
        gm_router_sum r = gm_stats_router_sum(s, 0, s->L, -1, b);
        char name[GM_STATS_NAME_BYTES];
        if (r.n == 0) continue;
        gm_stats_bin_name(b, name);
        printf("%-14s", name);
        print_place(s, &r);
    }
    for (int p = 0; p < GM_TRACE_N_PHASES; p++) {
        gm_router_sum r = gm_stats_router_sum(s, 0, s->L, p, -1);
        if (r.n == 0) continue;
        printf("%-14s", gm_trace_phase_name[p]);
        print_place(s, &r);
    }
}

static void print_rollout(const gm_stats *s)
{
    printf("\ndocuments with a prompt and generated tokens: %" PRIu64
           "; cosine of the generated tokens with\n",
           s->rollout.documents);
    printf("layer own_prompt other_prompt\n");
    for (size_t l = 0; l < s->L; l++) {
        printf("%5d", s->info->layer_of_moe[l]);
        print_number(10, 4, s->rollout.own[l]);
        print_number(12, 4, s->rollout.other[l]);
        putchar('\n');
    }
}

/* The experts whose probability a subset raises most; `best` is empty. */
static void print_subset(const gm_stats *s, size_t subset, gm_best *best)
{
    gm_stats_offer_raised(s, subset, best);
    gm_print_column(stdout, 24, s->samples->subset_name[subset]);
    printf(" %9" PRIu64 " document%-1s %12" PRIu64 " token%s\n", s->documents[subset],
           gm_plural(s->documents[subset]), s->tokens[subset], gm_plural(s->tokens[subset]));
    for (size_t i = 0; i < best->n; i++) {
        size_t at = best->at[i];
        gm_domain_measure m = gm_stats_domain(s, subset, at / s->E, at % s->E);
        printf("  %5d:%-4zu", s->info->layer_of_moe[at / s->E], at % s->E);
        print_number(14, 4, m.specialisation);
        print_number(7, 2, m.lift);
        print_number(7, 4, m.npmi);
        print_number(15, 4, m.risk_difference);
        putchar('\n');
    }
}

static gm_status print_subsets(const gm_stats *s, size_t top, gm_error *err)
{
    gm_status status = GM_OK;
    gm_best best = {0};
    printf("\nmean cosine of two documents: within a subset");
    print_number(0, 4, s->within_all);
    printf(", between subsets");
    print_number(0, 4, s->between_all);
    printf("; Cohen's d");
    print_number(0, 2, s->cosine_d);
    printf(" (%zu document%s)\n", s->cosine_documents, gm_plural(s->cosine_documents));
    printf("\nlayer:expert specialisation    lift    npmi risk_difference (even: %.4f)\n",
           (double)s->K / (double)s->E);
    for (size_t subset = 0; subset < s->S; subset++) {
        gm_best_clear(&best);
        GM_TRY(gm_best_init(&best, top, err));
        print_subset(s, subset, &best);
    }
out:
    gm_best_clear(&best);
    return status;
}

gm_status gm_stats_print(const gm_stats *s, size_t top, gm_error *err)
{
    uint64_t *scratch = gm_alloc(s->E, sizeof *scratch);
    if (scratch == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu experts", s->E);
    print_layers(s, scratch);
    gm_free(scratch);
    if (s->n_tokens > 0) gm_stats_print_dropped(s);
    if (s->router && s->n_tokens > 0) print_places(s);
    if (s->rollout.documents > 0) print_rollout(s);
    if (s->has_routing && s->reuse.tokens > 0) gm_stats_print_reuse(s);
    if (s->outputs.sum && s->n_tokens > 0) {
        gm_status status = gm_stats_print_outputs(s, top, err);
        if (status != GM_OK) return status;
    }
    if (s->has_tokens && s->by_token.layer[0].mutual.n > 0) gm_stats_print_tokens(s);
    return s->S >= 2 && top > 0 ? print_subsets(s, top, err) : GM_OK;
}
