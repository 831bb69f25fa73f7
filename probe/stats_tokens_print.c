/* stats_tokens_print.c - experts by token id and experts chosen together, as members of a JSON
 * object or as a table.
 */
#include "probe/stats.h"

#include <math.h>
#include <stdio.h>

/* Tokens whose id has a row of its own, over all. */
static double own_share(const gm_token_counts *c)
{
    uint64_t own = 0;
    for (size_t r = 0; r < c->R; r++) own += gm_token_row(c, 0, r);
    uint64_t all = own + gm_token_row(c, 0, c->R);
    return all ? (double)own / (double)all : NAN;
}

typedef double pair_measure(const gm_token_counts *c, size_t l, size_t i, size_t j);

static void put_pairs(const gm_token_counts *c, size_t l, const char *key, pair_measure *measure,
                      gm_json_out *out)
{
    gm_json_open_array(out, key);
    for (size_t i = 0; i < c->E; i++) {
        gm_json_open_array(out, NULL);
        for (size_t j = 0; j < c->E; j++) gm_json_put_f64(out, NULL, measure(c, l, i, j));
        gm_json_close_array(out);
    }
    gm_json_close_array(out);
}

static void put_layer(const gm_stats *s, size_t l, gm_json_out *out)
{
    const gm_token_counts *c = &s->by_token;
    const gm_token_layer *said = &c->layer[l];
    gm_json_open_object(out, NULL);
    gm_json_put_i64(out, "layer", s->info->layer_of_moe[l]);
    gm_json_put_f64(out, "bits", said->mutual.bits);
    gm_json_put_f64(out, "miller_madow_bits", said->mutual.miller_madow_bits);
    gm_json_put_f64(out, "null_bits", said->null.bits);
    gm_json_put_f64(out, "excess_bits", said->mutual.bits - said->null.bits);
    gm_json_put_f64(out, "token_entropy_bits", said->mutual.row_bits);
    gm_json_put_f64(out, "vocabulary_specialisation", said->specialisation);
    gm_json_put_f64(out, "null_specialisation", said->null_specialisation);
    put_pairs(c, l, "coactivation", gm_token_together, out);
    if (l + 1 < c->L) put_pairs(c, l, "coactivation_next", gm_token_follows, out);
    if (c->first) {
        gm_json_open_object(out, "olmoe_script");
        gm_json_put_f64(out, "vocabulary_specialisation", gm_token_script_specialisation(c, l));
        put_pairs(c, l, "coactivation", gm_token_script_together, out);
        gm_json_close_object(out);
    }
    gm_json_close_object(out);
}

void gm_stats_put_tokens(const gm_stats *s, gm_json_out *out)
{
    gm_json_open_object(out, "by_token");
    gm_json_put_u64(out, "ids", s->by_token.R);
    gm_json_put_f64(out, "share", own_share(&s->by_token));
    gm_json_open_array(out, "layers");
    for (size_t l = 0; l < s->L; l++) put_layer(s, l, out);
    gm_json_close_array(out);
    gm_json_close_object(out);
}

static void print_pair(gm_token_pair pair, char between)
{
    if (pair.found)
        printf(" %6zu %c %-5zu %7.4f", pair.i, between, pair.j, pair.npmi);
    else
        printf(" %14s %7s", "-", "-");
}

void gm_stats_print_tokens(const gm_stats *s)
{
    const gm_token_counts *c = &s->by_token;
    printf("\n%zu token id%s counted one by one, %.2f %% of the tokens\n", c->R, gm_plural(c->R),
           100 * own_share(c));
    printf("layer token_bits   null  excess | vocabulary   null | strongest pair    npmi | and in "
           "the next    npmi\n");
    for (size_t l = 0; l < s->L; l++) {
        const gm_token_layer *said = &c->layer[l];
        printf("%5d %10.4f %6.4f %7.4f | %10.4f %6.4f |", s->info->layer_of_moe[l],
               said->mutual.bits, said->null.bits, said->mutual.bits - said->null.bits,
               said->specialisation, said->null_specialisation);
        print_pair(gm_token_pair_of(c, l, s->support), '+');
        printf(" | ");
        print_pair(l + 1 < s->L ? gm_token_next_pair_of(c, l, s->support)
                                : (gm_token_pair){.found = false},
                   '>');
        putchar('\n');
    }
}
