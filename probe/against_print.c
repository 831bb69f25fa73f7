/* against_print.c - the agreement of two traces as members of a JSON object, or as tables. */
#include "probe/against.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

/* Where bin b begins; b = GM_MARGIN_BINS: it has no end. */
static double edge(int b)
{
    if (b == 0) return 0;
    return b < GM_MARGIN_BINS ? ldexp(1, b + GM_MARGIN_EXPONENT) : INFINITY;
}

static double over(uint64_t part, uint64_t n)
{
    return n ? (double)part / (double)n : NAN;
}

static void put(const gm_against *a, const gm_agree *agree, gm_json_out *out)
{
    gm_json_put_u64(out, "pairs", agree->n);
    gm_json_put_f64(out, "same_set", over(agree->same_set, agree->n));
    gm_json_put_f64(out, "same_first", over(agree->same_first, agree->n));
    gm_json_put_f64(out, "shared", over(agree->shared, agree->n * (uint64_t)a->info->n_chosen));
}

void gm_against_put(const gm_against *a, gm_json_out *out)
{
    size_t L = (size_t)a->info->n_layers;
    gm_json_put_u64(out, "documents", a->documents);
    gm_json_put_u64(out, "documents_alone", a->alone);
    gm_json_put_u64(out, "tokens", a->tokens);
    gm_json_put_u64(out, "tokens_left_out", a->left);
    gm_json_open_array(out, "layers");
    for (size_t l = 0; l < L; l++) {
        gm_agree agree = gm_against_sum(a, l, 1, -1);
        gm_json_open_object(out, NULL);
        gm_json_put_i64(out, "layer", a->info->layer_of_moe[l]);
        put(a, &agree, out);
        gm_json_close_object(out);
    }
    gm_json_close_array(out);
    gm_json_open_array(out, "margins");
    for (int b = 0; b < GM_MARGIN_BINS && !a->info->no_margins; b++) {
        gm_agree agree = gm_against_sum(a, 0, L, b);
        if (agree.n == 0) continue;
        gm_json_open_object(out, NULL);
        gm_json_put_f64(out, "from", edge(b));
        gm_json_put_f64(out, "below", edge(b + 1));
        put(a, &agree, out);
        gm_json_close_object(out);
    }
    gm_json_close_array(out);
    gm_loss_put(a->loss, a->samples, out);
}

static void print(const gm_against *a, const gm_agree *agree)
{
    uint64_t all = agree->n * (uint64_t)a->info->n_chosen;
    if (agree->n == 0) {
        printf(" %14d %9s %10s %7s\n", 0, "-", "-", "-");
        return;
    }
    printf(" %14" PRIu64 " %9.5f %10.5f %7.5f\n", agree->n, over(agree->same_set, agree->n),
           over(agree->same_first, agree->n), over(agree->shared, all));
}

void gm_against_print(const gm_against *a)
{
    size_t L = (size_t)a->info->n_layers;
    printf("%" PRIu64 " document%s in both, %" PRIu64 " only in the first; %" PRIu64
           " token%s compared, %" PRIu64 " left out\n\n",
           a->documents, gm_plural(a->documents), a->alone, a->tokens, gm_plural(a->tokens),
           a->left);
    printf("layer                    pairs  same_set same_first  shared\n");
    for (size_t l = 0; l < L; l++) {
        gm_agree agree = gm_against_sum(a, l, 1, -1);
        printf("%-15d", a->info->layer_of_moe[l]);
        print(a, &agree);
    }
    gm_agree whole = gm_against_sum(a, 0, L, -1);
    printf("%-15s", "all");
    print(a, &whole);
    if (!a->info->no_margins)
        printf("\nmargin from              pairs  same_set same_first  shared\n");
    for (int b = 0; b < GM_MARGIN_BINS && !a->info->no_margins; b++) {
        gm_agree agree = gm_against_sum(a, 0, L, b);
        if (agree.n == 0) continue;
        printf("%-15.4g", edge(b));
        print(a, &agree);
    }
    gm_loss_print(a->loss, a->samples);
}
