/* stats_tokens_measures.c - what the counts by token id and of experts together say. */
#include "probe/stats_tokens.h"

#include <math.h>

static const uint32_t *table_of(const gm_token_counts *c, size_t l, bool null)
{
    return (null ? c->null_count : c->count) + l * (c->R + 1) * c->E;
}

gm_mutual gm_token_information(const gm_token_counts *c, size_t l, bool null)
{
    const uint32_t *table = table_of(c, l, null);
    for (size_t i = 0; i < (c->R + 1) * c->E; i++) c->scratch[i] = table[i];
    return gm_mutual_of(c->scratch, c->R + 1, c->E, c->E);
}

double gm_token_specialisation(const gm_token_counts *c, size_t l, bool null)
{
    const uint32_t *row = table_of(c, l, null);
    uint64_t most = 0, choices = 0;
    for (size_t r = 0; r < c->R; r++, row += c->E) {
        uint32_t largest = 0;
        for (size_t e = 0; e < c->E; e++) {
            choices += row[e];
            if (row[e] > largest) largest = row[e];
        }
        most += largest; /* N_r max_e P(e|r) */
    }
    return choices ? (double)most * (double)c->K / (double)choices : NAN;
}

void gm_token_counts_conclude(gm_token_counts *c)
{
    for (size_t l = 0; l < c->L; l++)
        c->layer[l] = (gm_token_layer){.mutual = gm_token_information(c, l, false),
                                       .null = gm_token_information(c, l, true),
                                       .specialisation = gm_token_specialisation(c, l, false),
                                       .null_specialisation = gm_token_specialisation(c, l, true)};
}

double gm_token_script_specialisation(const gm_token_counts *c, size_t l)
{
    const uint32_t *row = c->first + l * (c->R + 1) * c->E;
    double sum = 0;
    size_t ids = 0;
    for (size_t r = 0; r < c->R; r++, row += c->E) {
        uint64_t tokens = 0;
        uint32_t largest = 0;
        for (size_t e = 0; e < c->E; e++) {
            tokens += row[e];
            if (row[e] > largest) largest = row[e];
        }
        if (tokens == 0) continue;
        sum += (double)largest / (double)tokens;
        ids++;
    }
    return ids ? sum / (double)ids : NAN;
}

uint64_t gm_token_row(const gm_token_counts *c, size_t l, size_t r)
{
    const uint32_t *row = table_of(c, l, false) + r * c->E;
    uint64_t sum = 0;
    for (size_t e = 0; e < c->E; e++) sum += row[e];
    return sum / c->K;
}

/* What row r adds to the information of expert e. */
static double adds(const gm_token_counts *c, size_t l, size_t e, size_t r, double n)
{
    double both = table_of(c, l, false)[r * c->E + e];
    double chose = (double)c->together[(l * c->E + e) * c->E + e];
    return both > 0 ? both * log(both * n / ((double)gm_token_row(c, l, r) * chose)) : 0;
}

void gm_token_best(const gm_token_counts *c, size_t l, size_t e, gm_best *best)
{
    double tokens = 0;
    for (size_t i = 0; i < c->E; i++)
        tokens += (double)c->together[(l * c->E + i) * c->E + i] / (double)c->K;
    for (size_t r = 0; r < c->R; r++) {
        double value = adds(c, l, e, r, tokens);
        if (value > 0) gm_best_offer(best, r, value);
    }
}

/* Tokens of layer l that chose both. */
static uint64_t both_of(const gm_token_counts *c, size_t l, size_t i, size_t j)
{
    const uint32_t *together = c->together + l * c->E * c->E;
    uint64_t one = together[i * c->E + j];
    return i == j ? one : one + (uint64_t)together[j * c->E + i];
}

double gm_token_together(const gm_token_counts *c, size_t l, size_t i, size_t j)
{
    uint64_t chose = both_of(c, l, i, i);
    return chose ? (double)both_of(c, l, i, j) / (double)chose : NAN;
}

double gm_token_script_together(const gm_token_counts *c, size_t l, size_t i, size_t j)
{
    const uint32_t *neighbour = c->neighbour + l * c->E * c->E;
    uint64_t chose = both_of(c, l, i, i);
    uint64_t both = (uint64_t)neighbour[i * c->E + j] + neighbour[j * c->E + i];
    return chose ? (double)both / (double)chose : NAN;
}

double gm_token_follows(const gm_token_counts *c, size_t l, size_t i, size_t j)
{
    uint64_t chose = both_of(c, l, i, i);
    return chose ? (double)c->next[(l * c->E + i) * c->E + j] / (double)chose : NAN;
}

static uint64_t tokens_of(const gm_token_counts *c, size_t l)
{
    uint64_t choices = 0;
    for (size_t e = 0; e < c->E; e++) choices += both_of(c, l, e, e);
    return choices / c->K;
}

/* Keep the pair if it is the strongest so far; the first of equal ones stays. */
static void offer_pair(gm_token_pair *best, size_t i, size_t j, double npmi)
{
    if (isnan(npmi) || (best->found && !(npmi > best->npmi))) return;
    *best = (gm_token_pair){true, i, j, npmi};
}

gm_token_pair gm_token_pair_of(const gm_token_counts *c, size_t l, uint64_t support)
{
    gm_token_pair best = {.found = false};
    uint64_t n = tokens_of(c, l);
    for (size_t i = 0; i < c->E; i++)
        for (size_t j = i + 1; j < c->E; j++) {
            uint64_t both = both_of(c, l, i, j);
            if (both == 0 || both < support) continue;
            gm_domain_measure m = gm_domain_of(both, both_of(c, l, j, j), both_of(c, l, i, i), n,
                                               c->E, c->K, support);
            offer_pair(&best, i, j, m.npmi);
        }
    return best;
}

gm_token_pair gm_token_next_pair_of(const gm_token_counts *c, size_t l, uint64_t support)
{
    gm_token_pair best = {.found = false};
    uint64_t n = tokens_of(c, l);
    for (size_t i = 0; i < c->E; i++)
        for (size_t j = 0; j < c->E; j++) {
            uint64_t both = c->next[(l * c->E + i) * c->E + j];
            if (both == 0 || both < support) continue;
            gm_domain_measure m = gm_domain_of(both, both_of(c, l + 1, j, j), both_of(c, l, i, i),
                                               n, c->E, c->K, support);
            offer_pair(&best, i, j, m.npmi);
        }
    return best;
}
