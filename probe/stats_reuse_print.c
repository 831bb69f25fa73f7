/* stats_reuse_print.c - repeated experts, caches, guesses and capacity, as members of a JSON object
 * or as tables.
 */
#include "probe/stats.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

/* ---- JSON ---- */

typedef double share_by_size(const gm_reuse *r, size_t l, size_t size);

/* Element i is of i+1 experts; null below `least` and in a layer that has none. */
static void put_sizes(const gm_reuse *r, size_t l, const char *key, share_by_size *share,
                      size_t least, gm_json_out *out)
{
    gm_json_open_array(out, key);
    for (size_t size = 1; size <= r->E; size++)
        gm_json_put_f64(out, NULL, size < least ? (double)NAN : share(r, l, size));
    gm_json_close_array(out);
}

void gm_stats_put_reuse(const gm_stats *s, gm_json_out *out)
{
    const gm_reuse *r = &s->reuse;
    gm_json_open_object(out, "reuse");
    gm_json_put_u64(out, "neighbours", r->neighbours);
    gm_json_open_array(out, "layers");
    for (size_t l = 0; l < r->L; l++) {
        gm_repeats repeats = gm_reuse_repeats(r, l);
        gm_json_open_object(out, NULL);
        gm_json_put_i64(out, "layer", s->info->layer_of_moe[l]);
        gm_json_put_f64(out, "same_first", repeats.first);
        gm_json_put_f64(out, "same_first_chance", repeats.first_chance);
        gm_json_put_f64(out, "same_any", repeats.any);
        gm_json_put_f64(out, "same_any_even", repeats.any_even);
        gm_json_put_f64(out, "shared", repeats.shared);
        gm_json_put_f64(out, "shared_chance", repeats.shared_chance);
        put_sizes(r, l, "lru_hits", gm_reuse_lru, r->K, out);
        put_sizes(r, l, "fixed_hits", gm_reuse_fixed, 1, out);
        put_sizes(r, l, "guessed", gm_reuse_guessed, 1, out);
        gm_json_close_object(out);
    }
    gm_json_close_array(out);
    gm_json_close_object(out);
}

void gm_stats_put_dropped(const gm_stats *s, size_t l, gm_json_out *out)
{
    gm_json_open_array(out, "dropped_by_document");
    for (size_t i = 0; i < GM_STATS_CAPACITIES; i++)
        gm_json_put_f64(out, NULL, gm_stats_dropped_by_document(s, l, i));
    gm_json_close_array(out);
    gm_json_open_array(out, "dropped_of_all");
    for (size_t i = 0; i < GM_STATS_CAPACITIES; i++)
        gm_json_put_f64(out, NULL, gm_stats_dropped_of_all(s, l, i));
    gm_json_close_array(out);
}

/* ---- tables ---- */

static void print_share(int width, double share)
{
    if (isnan(share))
        printf(" %*s", width, "-");
    else
        printf(" %*.3f", width, share);
}

void gm_stats_print_reuse(const gm_stats *s)
{
    const gm_reuse *r = &s->reuse;
    size_t size[GM_REUSE_SIZES];
    gm_reuse_sizes(r, size);
    printf("\n%" PRIu64 " token%s beside the one before; caches of %zu and of %zu experts in each "
           "layer; %zu guessed from the layer before\n",
           r->neighbours, gm_plural(r->neighbours), size[0], size[1], r->K);
    printf("layer same_first chance | any_same  even | shared chance");
    for (size_t i = 0; i < GM_REUSE_SIZES; i++) printf(" | lru_%-5zu fixed", size[i]);
    printf(" | guessed fixed\n");
    for (size_t l = 0; l < r->L; l++) {
        gm_repeats repeats = gm_reuse_repeats(r, l);
        printf("%5d", s->info->layer_of_moe[l]);
        print_share(10, repeats.first);
        print_share(6, repeats.first_chance);
        printf(" |");
        print_share(8, repeats.any);
        print_share(5, repeats.any_even);
        printf(" |");
        print_share(6, repeats.shared);
        print_share(6, repeats.shared_chance);
        for (size_t i = 0; i < GM_REUSE_SIZES; i++) {
            printf(" |");
            print_share(9, gm_reuse_lru(r, l, size[i]));
            print_share(5, gm_reuse_fixed(r, l, size[i]));
        }
        printf(" |");
        print_share(7, gm_reuse_guessed(r, l, r->K));
        print_share(5, l > 0 ? gm_reuse_fixed(r, l, r->K) : (double)NAN);
        putchar('\n');
    }
}

void gm_stats_print_dropped(const gm_stats *s)
{
    printf("\nshare of the choices dropped at a capacity factor: each document a batch | all "
           "tokens one batch\nlayer");
    for (size_t i = 0; i < (size_t)2 * GM_STATS_CAPACITIES; i++) {
        if (i == GM_STATS_CAPACITIES) printf(" |");
        printf(" %7.2f", gm_stats_capacity_quarters[i % GM_STATS_CAPACITIES] / 4.0);
    }
    putchar('\n');
    for (size_t l = 0; l < s->L; l++) {
        printf("%5d", s->info->layer_of_moe[l]);
        for (size_t i = 0; i < GM_STATS_CAPACITIES; i++)
            print_share(7, gm_stats_dropped_by_document(s, l, i));
        printf(" |");
        for (size_t i = 0; i < GM_STATS_CAPACITIES; i++)
            print_share(7, gm_stats_dropped_of_all(s, l, i));
        putchar('\n');
    }
}
