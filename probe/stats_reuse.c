/* stats_reuse.c - repeated experts, caches and guesses: see stats_reuse.h. */
#include "probe/stats_reuse.h"

#include "formats/trace.h"

#include <math.h>
#include <stdlib.h>

#define HINT_UNIT 4096.0
enum { LEFT_OUT, COUNTS, NEIGHBOUR }; /* kinds of rows */
enum { SAME_FIRST, SAME_ANY, SHARED, SAMES };

gm_status gm_reuse_init(gm_reuse *r, size_t L, size_t E, size_t K, size_t batch, gm_error *err)
{
    size_t pairs = (L - 1) * E;
    *r = (gm_reuse){.L = L,
                    .E = E,
                    .K = K,
                    .batch = batch,
                    .same = gm_alloc2(L, SAMES, sizeof *r->same),
                    .first = gm_alloc2(L, E, sizeof *r->first),
                    .chose = gm_alloc2(L, E, sizeof *r->chose),
                    .depth = gm_alloc2(L, E, sizeof *r->depth),
                    .rank = gm_alloc2(L, E, sizeof *r->rank),
                    .next = gm_alloc2(pairs, E, sizeof *r->next),
                    .age = gm_alloc2(L, E, sizeof *r->age),
                    .hint = gm_alloc2(pairs, E, sizeof *r->hint),
                    .score = gm_alloc2(L, E, sizeof *r->score),
                    .sum = gm_alloc2(L, E, sizeof *r->sum),
                    .kind = gm_alloc(batch, sizeof *r->kind)};
    if (!(r->same && r->first && r->chose && r->depth && r->rank && r->next && r->age && r->hint &&
          r->score && r->sum && r->kind)) {
        gm_reuse_clear(r);
        return gm_fail(err, GM_EMEM, "no memory for pairs of %zu experts in %zu layers", E, L);
    }
    for (size_t i = 0; i < L * E; i++) r->age[i] = (uint16_t)(i % E);
    return GM_OK;
}

void gm_reuse_clear(gm_reuse *r)
{
    gm_free(r->same);
    gm_free(r->first);
    gm_free(r->chose);
    gm_free(r->depth);
    gm_free(r->rank);
    gm_free(r->next);
    gm_free(r->age);
    gm_free(r->hint);
    gm_free(r->score);
    gm_free(r->sum);
    gm_free(r->kind);
    *r = (gm_reuse){0};
}

/* ---- adding ---- */

/* Fill r->kind. Returns how many rows count. */
static size_t judge_rows(gm_reuse *r, const uint32_t *pos, const uint8_t *phase, const bool *good,
                         size_t n)
{
    size_t counted = 0;
    for (size_t t = 0; t < n; t++) {
        bool counts = good[t] && phase[t] != GM_TRACE_TEMPLATE;
        bool follows = counts && r->last_counts && pos[t] == r->next_pos;
        r->kind[t] = follows ? NEIGHBOUR : counts ? COUNTS : LEFT_OUT;
        r->neighbours += follows;
        counted += counts;
        r->next_pos = pos[t] + 1;
        r->last_counts = counts;
    }
    return counted;
}

/* Make `e` the latest used of a layer's experts, age (E). */
static inline void use(uint16_t *age, size_t E, size_t e)
{
    const uint16_t from = age[e];
    for (size_t i = 0; i < E; i++) age[i] = (uint16_t)(age[i] + (age[i] < from));
    age[e] = 0;
}

/* One token in layer l. The experts of a token before it have the ages 0 to K-1 in the order of
 * their ranks. */
static inline void add_choices(gm_reuse *r, size_t l, const uint16_t *chosen, bool neighbour,
                               uint64_t same[SAMES])
{
    const size_t E = r->E, K = r->K;
    uint16_t *age = r->age + l * E;
    uint64_t shared = 0;
    for (size_t k = 0; k < K; k++) {
        uint16_t at = age[chosen[k]];
        r->depth[l * E + at]++;
        r->chose[l * E + chosen[k]]++;
        shared += at < K;
    }
    r->first[l * E + chosen[0]]++;
    if (neighbour) {
        same[SAME_FIRST] += age[chosen[0]] == 0;
        same[SAME_ANY] += shared > 0;
        same[SHARED] += shared;
    }
    for (size_t k = K; k-- > 0;) use(age, E, chosen[k]);
}

/* The hints from layer l-1 to layer l. The sums of `next` are K times the tokens that chose an
 * expert. Half a token more keeps logarithms finite. */
static void learn(gm_reuse *r, size_t l, uint64_t tokens)
{
    const size_t E = r->E;
    const double K = (double)r->K;
    const uint32_t *next = r->next + (l - 1) * E * E; /* (E,E) */
    int32_t *hint = r->hint + (l - 1) * E * E;        /* (E,E) */
    uint64_t *chose = r->sum + l * E;                 /* (E) of layer l */
    for (size_t j = 0; j < E; j++) chose[j] = 0;
    for (size_t i = 0; i < E; i++)
        for (size_t j = 0; j < E; j++) chose[j] += next[i * E + j];
    for (size_t i = 0; i < E; i++, next += E, hint += E) {
        uint64_t before = 0; /* that chose i in layer l-1 */
        for (size_t j = 0; j < E; j++) before += next[j];
        for (size_t j = 0; j < E; j++) {
            double p = ((double)chose[j] / K + 0.5) / ((double)tokens + 1);
            double given = ((double)next[j] + 0.5) / ((double)before / K + 1);
            hint[j] = (int32_t)lrint((log(given / p) + log(p) / K) * HINT_UNIT);
        }
    }
}

/* Guess a token's experts in layer l from those before, and note at which ranks they were: how many
 * others have as high a score. */
static inline void guess(gm_reuse *r, size_t l, const uint16_t *before, const uint16_t *chosen)
{
    const size_t E = r->E, K = r->K;
    int32_t *score = r->score + l * E;
    for (size_t j = 0; j < E; j++) score[j] = 0;
    for (size_t k = 0; k < K; k++) {
        const int32_t *hint = r->hint + ((l - 1) * E + before[k]) * E;
        for (size_t j = 0; j < E; j++) score[j] += hint[j];
    }
    for (size_t k = 0; k < K; k++) {
        const int32_t of = score[chosen[k]];
        uint32_t as_high = 0;
        for (size_t j = 0; j < E; j++) as_high += score[j] >= of;
        r->rank[l * E + as_high - 1]++;
    }
}

/* One token from layer l-1 to layer l, after `tokens` others. */
static inline void add_step(gm_reuse *r, size_t l, const uint16_t *before, const uint16_t *chosen,
                            uint64_t tokens)
{
    const size_t E = r->E, K = r->K;
    uint32_t *next = r->next + (l - 1) * E * E; /* (E,E) */
    if (tokens >= GM_REUSE_LEARNT_FROM) {
        if ((tokens & (tokens - 1)) == 0) learn(r, l, tokens);
        if (tokens % GM_REUSE_GUESSED == 0) guess(r, l, before, chosen);
    }
    for (size_t k = 0; k < K; k++)
        for (size_t m = 0; m < K; m++) next[before[k] * E + chosen[m]]++;
}

static void add_layer(gm_reuse *r, size_t l, const uint16_t *expert, size_t n)
{
    const size_t K = r->K;
    const uint16_t *here = expert + l * r->batch * K; /* (batch,K) */
    uint64_t tokens = r->tokens, same[SAMES] = {0};   /* of its own: layers share cache lines */
    for (size_t t = 0; t < n; t++) {
        if (r->kind[t] == LEFT_OUT) continue;
        const uint16_t *chosen = here + t * K;
        add_choices(r, l, chosen, r->kind[t] == NEIGHBOUR, same);
        if (l > 0) add_step(r, l, chosen - r->batch * K, chosen, tokens);
        tokens++;
    }
    for (size_t i = 0; i < SAMES; i++) r->same[l * SAMES + i] += same[i];
}

void gm_reuse_add(gm_reuse *r, const uint16_t *expert, const uint32_t *pos, const uint8_t *phase,
                  const bool *good, size_t n)
{
    size_t counted = judge_rows(r, pos, phase, good, n);
    /* Static: rows of neighbouring layers share cache lines, so a thread gets layers in a row. */
#pragma omp parallel for schedule(static)
    for (size_t l = 0; l < r->L; l++) add_layer(r, l, expert, n);
    r->tokens += counted;
}

/* ---- what they say ---- */

static int descending(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x < y) - (x > y);
}

void gm_reuse_conclude(gm_reuse *r)
{
    for (size_t l = 0; l < r->L; l++) {
        uint64_t *list[] = {r->chose + l * r->E, r->depth + l * r->E, r->rank + l * r->E};
        qsort(list[0], r->E, sizeof *list[0], descending);
        for (size_t i = 0; i < 3; i++)
            for (size_t e = 1; e < r->E; e++) list[i][e] += list[i][e - 1];
    }
}

static double share_of(uint64_t part, uint64_t n)
{
    return n ? (double)part / (double)n : NAN;
}

gm_repeats gm_reuse_repeats(const gm_reuse *r, size_t l)
{
    const uint64_t *same = r->same + l * SAMES;
    const double K = (double)r->K, E = (double)r->E;
    double first = 0, shared = 0, none = 1;
    for (size_t e = 0; e < r->E; e++) {
        size_t at = l * r->E + e;
        uint64_t chose = r->chose[at] - (e > 0 ? r->chose[at - 1] : 0);
        first += pow(share_of(r->first[at], r->tokens), 2);
        shared += pow(share_of(chose, r->tokens), 2) / K;
    }
    for (size_t k = 0; k < r->K; k++) none *= fmax(0, E - K - (double)k) / (E - (double)k);
    return (gm_repeats){.first = share_of(same[SAME_FIRST], r->neighbours),
                        .first_chance = first,
                        .any = share_of(same[SAME_ANY], r->neighbours),
                        .any_even = 1 - none,
                        .shared = share_of(same[SHARED], r->neighbours * r->K),
                        .shared_chance = shared};
}

double gm_reuse_lru(const gm_reuse *r, size_t l, size_t size)
{
    return share_of(r->depth[l * r->E + size - 1], r->tokens * r->K);
}

double gm_reuse_fixed(const gm_reuse *r, size_t l, size_t size)
{
    return share_of(r->chose[l * r->E + size - 1], r->tokens * r->K);
}

void gm_reuse_sizes(const gm_reuse *r, size_t size[GM_REUSE_SIZES])
{
    for (size_t i = 0; i < GM_REUSE_SIZES; i++) {
        size[i] = (i + 1) * r->E / 4;
        if (size[i] < r->K) size[i] = r->K;
    }
}

double gm_reuse_guessed(const gm_reuse *r, size_t l, size_t size)
{
    const uint64_t *rank = r->rank + l * r->E;
    return share_of(rank[size - 1], rank[r->E - 1]);
}
