/* stats_outputs_print.c - norms of experts' outputs as a member of a JSON object or as tables. */
#include "probe/stats.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

/* ---- JSON ---- */

typedef double score_of(const gm_outputs *o, size_t l, size_t e);

static void put_scores(const gm_outputs *o, size_t l, const char *key, score_of *score,
                       gm_json_out *out)
{
    gm_json_open_array(out, key);
    for (size_t e = 0; e < o->E; e++) gm_json_put_f64(out, NULL, score(o, l, e));
    gm_json_close_array(out);
}

static double largest_of(const gm_outputs *o, size_t l, size_t e)
{
    return o->sum[l * o->E + e].largest;
}

void gm_stats_put_outputs(const gm_stats *s, gm_json_out *out)
{
    const gm_outputs *o = &s->outputs;
    gm_json_open_object(out, "outputs");
    gm_json_open_array(out, "layers");
    for (size_t l = 0; l < o->L; l++) {
        gm_json_open_object(out, NULL);
        gm_json_put_i64(out, "layer", s->info->layer_of_moe[l]);
        gm_json_put_f64(out, "mean_reap", gm_outputs_mean_reap(o, l));
        put_scores(o, l, "ean", gm_outputs_ean, out);
        put_scores(o, l, "reap", gm_outputs_reap, out);
        put_scores(o, l, "largest_norm", largest_of, out);
        gm_json_open_array(out, "choices");
        for (size_t e = 0; e < o->E; e++) gm_json_put_u64(out, NULL, o->sum[l * o->E + e].n);
        gm_json_close_array(out);
        gm_json_close_object(out);
    }
    gm_json_close_array(out);
    gm_json_close_object(out);
}

/* ---- tables ---- */

static void print_expert(const gm_stats *s, size_t at)
{
    const gm_outputs *o = &s->outputs;
    const size_t l = at / o->E, e = at % o->E;
    printf("  %5d:%-4zu %11.4g %8.3f %10.4f %12.4f %13.4g\n", s->info->layer_of_moe[l], e,
           gm_outputs_reap(o, l, e), gm_outputs_relative_reap(o, l, e),
           gm_outputs_ean_share(o, l, e), gm_outputs_choice_share(o, l, e), largest_of(o, l, e));
}

/* The `top` experts of layers [first, end) with the largest REAP over its mean (sign 1), or with
 * the smallest (-1), to *best, which was cleared. */
static gm_status find_extremes(gm_best *best, const gm_outputs *o, size_t first, size_t end,
                               size_t top, double sign, gm_error *err)
{
    gm_status status = gm_best_init(best, top, err);
    for (size_t at = first * o->E; status == GM_OK && at < end * o->E; at++)
        gm_best_offer(best, at, sign * gm_outputs_relative_reap(o, at / o->E, at % o->E));
    return status;
}

/* The extreme experts of one layer, or of all. */
static gm_status print_extremes(const gm_stats *s, double sign, size_t top, gm_error *err)
{
    gm_best best = {0};
    gm_status status = find_extremes(&best, &s->outputs, 0, s->L, top, sign, err);
    for (size_t i = 0; i < best.n; i++) print_expert(s, best.at[i]);
    gm_best_clear(&best);
    return status;
}

/* The layer's expert of the most or the least REAP. */
static gm_status print_extreme(const gm_stats *s, size_t l, double sign, gm_error *err)
{
    gm_best best = {0};
    gm_status status = find_extremes(&best, &s->outputs, l, l + 1, 1, sign, err);
    if (best.n > 0) {
        const size_t e = best.at[0] - l * s->E;
        printf(" | %5zu %7.3f", e, gm_outputs_relative_reap(&s->outputs, l, e));
    }
    gm_best_clear(&best);
    return status;
}

static gm_status print_layer(const gm_stats *s, size_t l, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_outputs *o = &s->outputs;
    size_t widest = 0, n_never = 0;
    for (size_t e = 0; e < s->E; e++) {
        if (largest_of(o, l, e) > largest_of(o, l, widest)) widest = e;
        n_never += o->sum[l * s->E + e].n == 0;
    }
    printf("%5d %9.4g", s->info->layer_of_moe[l], gm_outputs_mean_reap(o, l));
    GM_TRY(print_extreme(s, l, 1.0, err));
    GM_TRY(print_extreme(s, l, -1.0, err));
    printf(" | %12.4g %5zu | %5zu\n", largest_of(o, l, widest), widest, n_never);
out:
    return status;
}

gm_status gm_stats_print_outputs(const gm_stats *s, size_t top, gm_error *err)
{
    gm_status status = GM_OK;
    printf("\nnorms of experts' outputs: REAP (mean of gate times norm) of the most and the least "
           "important expert, over the layer's mean\n"
           "layer mean_reap |  most   /mean | least   /mean | largest_norm    of | never chosen\n");
    for (size_t l = 0; l < s->L; l++) GM_TRY(print_layer(s, l, err));
    if (top == 0) goto out;
    printf("\nlayer:expert        reap    /mean  ean_share choice_share  largest_norm (of all "
           "layers; ean: sum of norms; shares of the layer)\nmost important\n");
    GM_TRY(print_extremes(s, 1.0, top, err));
    printf("least important\n");
    GM_TRY(print_extremes(s, -1.0, top, err));
out:
    return status;
}
