/* test_stats_reuse.c - probe/stats_reuse.c: repeats and caches worked by hand and by caches of one
 * size each; guesses that cannot fail and that cannot succeed.
 * label: threads
 */
#include "probe/stats_reuse.h"

#include "base/rng.h"
#include "tests/check.h"

enum { L = 3, E = 12, K = 3, BATCH = 64, TOKENS = 900 };

/* Tokens that a test makes; layer l of a batch lies at l BATCH K. */
typedef struct texts {
    uint16_t expert[TOKENS][L][K];
    uint32_t pos[TOKENS];
    uint8_t phase[TOKENS];
    bool good[TOKENS];
} texts;

/* K distinct experts. */
static void draw(gm_rng *rng, uint16_t chosen[K])
{
    for (size_t k = 0; k < K;) {
        chosen[k] = (uint16_t)(gm_rng_next(rng) % E);
        bool new = true;
        for (size_t i = 0; i < k; i++) new = new &&chosen[i] != chosen[k];
        k += new;
    }
}

/* Documents of 100 tokens. A token keeps each layer's experts of the token before in two of three
 * cases; every seventh row is bad, every eleventh a template's. */
static void fill(texts *x)
{
    gm_rng rng = gm_rng_make(3, 0);
    for (size_t t = 0; t < TOKENS; t++) {
        for (size_t l = 0; l < L; l++) {
            draw(&rng, x->expert[t][l]);
            if (t > 0 && gm_rng_next(&rng) % 3 > 0)
                memcpy(x->expert[t][l], x->expert[t - 1][l], sizeof x->expert[t][l]);
        }
        x->pos[t] = (uint32_t)(t % 100);
        x->phase[t] = t % 11 == 5 ? 2 : (uint8_t)(t % 2);
        x->good[t] = t % 7 != 3;
    }
}

/* In pieces of `most` tokens. */
static void add(gm_reuse *r, const texts *x, size_t n, size_t most)
{
    static uint16_t expert[L][BATCH][K];
    gm_error err = {0};
    CHECK_OK(gm_reuse_init(r, L, E, K, BATCH, &err), err);
    for (size_t first = 0; first < n; first += most) {
        size_t here = n - first < most ? n - first : most;
        for (size_t t = 0; t < here; t++)
            for (size_t l = 0; l < L; l++)
                memcpy(expert[l][t], x->expert[first + t][l], sizeof expert[l][t]);
        gm_reuse_add(r, expert[0][0], x->pos + first, x->phase + first, x->good + first, here);
    }
    gm_reuse_conclude(r);
}

/* {0,1,2}, {1,0,3}, {1,0,3}; a new document: {4,5,6}, {1,0,3}. The cache begins as 0 1 2 3 ...; the
 * places of the choices are 0 1 2; 1 0 3; 0 1 2; 4 5 6; 3 4 5. Layer 0 always chooses {0,1,2}. */
static void worked_by_hand(void)
{
    static const uint16_t chosen[][K] = {{0, 1, 2}, {1, 0, 3}, {1, 0, 3}, {4, 5, 6}, {1, 0, 3}};
    static const uint32_t pos[] = {0, 1, 2, 0, 1};
    static texts x;
    gm_reuse r;
    for (size_t t = 0; t < 5; t++) {
        for (size_t l = 0; l < L; l++)
            memcpy(x.expert[t][l], chosen[l > 0 ? t : 0], sizeof chosen[t]);
        x.pos[t] = pos[t];
        x.phase[t] = 0;
        x.good[t] = true;
    }
    add(&r, &x, 5, BATCH);
    CHECK_INT(r.tokens, 5);
    CHECK_INT(r.neighbours, 3);
    gm_repeats repeats = gm_reuse_repeats(&r, 1);
    CHECK_NEAR(repeats.first, 1.0 / 3, 1e-15);
    CHECK_NEAR(repeats.any, 2.0 / 3, 1e-15);
    CHECK_NEAR(repeats.shared, (2 + 3) / 9.0, 1e-15);
    CHECK_NEAR(repeats.first_chance, (9 + 1 + 1) / 25.0, 1e-15);
    /* 0 and 1 in four tokens, 3 in three, 2 4 5 6 in one */
    CHECK_NEAR(repeats.shared_chance, (16 + 16 + 9 + 4) / 25.0 / 3, 1e-15);
    CHECK_NEAR(repeats.any_even, 1 - 9.0 * 8 * 7 / (12.0 * 11 * 10), 1e-15);
    CHECK_NEAR(gm_reuse_lru(&r, 2, 3), 8.0 / 15, 1e-15);
    CHECK_NEAR(gm_reuse_lru(&r, 2, 4), 10.0 / 15, 1e-15);
    CHECK_NEAR(gm_reuse_lru(&r, 2, 6), 14.0 / 15, 1e-15);
    CHECK_NEAR(gm_reuse_fixed(&r, 2, 3), 11.0 / 15, 1e-15);
    CHECK_NEAR(gm_reuse_fixed(&r, 2, E), 1, 0);
    CHECK(isnan(gm_reuse_guessed(&r, 1, K)));
    gm_reuse_clear(&r);
}

/* Experts of a layer held by a cache of `size`, with when each was used last. */
static double hits_of_one_cache(const texts *x, size_t l, size_t size)
{
    long used[E];
    size_t hits = 0, choices = 0;
    for (size_t e = 0; e < E; e++) used[e] = e < size ? -(long)e - 1 : -1000;
    for (size_t t = 0; t < TOKENS; t++) {
        if (!x->good[t] || x->phase[t] == 2) continue;
        for (size_t k = 0; k < K; k++) {
            hits += used[x->expert[t][l][k]] > -1000;
            choices++;
        }
        for (size_t k = 0; k < K; k++) used[x->expert[t][l][k]] = (long)((t + 1) * K - k);
        for (size_t held = E; held > size;) { /* let the oldest go */
            size_t oldest = E;
            held = 0;
            for (size_t e = 0; e < E; e++) {
                held += used[e] > -1000;
                if (used[e] > -1000 && (oldest == E || used[e] < used[oldest])) oldest = e;
            }
            if (held > size) used[oldest] = -1000;
        }
    }
    return (double)hits / (double)choices;
}

static void caches_of_every_size(void)
{
    static texts x;
    gm_reuse r;
    fill(&x);
    add(&r, &x, TOKENS, BATCH);
    for (size_t l = 0; l < L; l++) {
        for (size_t size = K; size <= E; size++)
            CHECK_NEAR(gm_reuse_lru(&r, l, size), hits_of_one_cache(&x, l, size), 1e-15);
        CHECK_NEAR(gm_reuse_lru(&r, l, E), 1, 0);
    }
    gm_reuse_clear(&r);
}

/* What is left out separates neighbours, and where a batch ends does not. */
static void neighbours_and_batches(void)
{
    static texts x;
    gm_reuse whole, parts;
    uint64_t pairs = 0, same[3] = {0};
    fill(&x);
    for (size_t t = 1; t < TOKENS; t++) {
        bool both = x.good[t] && x.good[t - 1] && x.phase[t] != 2 && x.phase[t - 1] != 2;
        size_t shared = 0;
        if (!both || t % 100 == 0) continue;
        for (size_t k = 0; k < K; k++)
            for (size_t m = 0; m < K; m++) shared += x.expert[t][1][k] == x.expert[t - 1][1][m];
        pairs++;
        same[0] += x.expert[t][1][0] == x.expert[t - 1][1][0];
        same[1] += shared > 0;
        same[2] += shared;
    }
    add(&whole, &x, TOKENS, BATCH);
    add(&parts, &x, TOKENS, 7);
    CHECK_INT(whole.neighbours, pairs);
    for (size_t i = 0; i < 3; i++) CHECK_INT(whole.same[3 + i], same[i]);
    CHECK_INT(parts.neighbours, pairs);
    CHECK(memcmp(whole.same, parts.same, sizeof *whole.same * L * 3) == 0);
    CHECK(memcmp(whole.depth, parts.depth, sizeof *whole.depth * L * E) == 0);
    CHECK(memcmp(whole.rank, parts.rank, sizeof *whole.rank * L * E) == 0);
    CHECK(memcmp(whole.next, parts.next, sizeof *whole.next * (L - 1) * E * E) == 0);
    gm_reuse_clear(&whole);
    gm_reuse_clear(&parts);
}

static void follow(const uint16_t before[K], uint16_t chosen[K])
{
    for (size_t k = 0; k < K; k++) chosen[k] = (uint16_t)((before[k] + 1) % E);
}

/* Layer 1 follows layer 0; layer 2 follows layer 1 once the first guesses are learnt, and is learnt
 * with 512 tokens. */
static void guesses(void)
{
    static texts x;
    gm_rng rng = gm_rng_make(5, 0);
    gm_reuse r;
    for (size_t t = 0; t < TOKENS; t++) {
        draw(&rng, x.expert[t][0]);
        follow(x.expert[t][0], x.expert[t][1]);
        draw(&rng, x.expert[t][2]);
        if (t >= GM_REUSE_LEARNT_FROM) follow(x.expert[t][1], x.expert[t][2]);
        x.good[t] = true;
    }
    add(&r, &x, TOKENS, BATCH);
    CHECK_INT(r.rank[E + E - 1], (TOKENS - GM_REUSE_LEARNT_FROM) / GM_REUSE_GUESSED * K);
    CHECK_NEAR(gm_reuse_guessed(&r, 1, K), 1, 0.01);
    CHECK_NEAR(gm_reuse_guessed(&r, 2, K), (256 * 0.25 + (TOKENS - 512)) / (TOKENS - 256), 0.03);
    CHECK_NEAR(gm_reuse_guessed(&r, 2, E), 1, 0);
    CHECK(isnan(gm_reuse_guessed(&r, 0, K)));
    gm_reuse_clear(&r);
    fill(&x); /* no layer knows of another */
    add(&r, &x, TOKENS, BATCH);
    CHECK_NEAR(gm_reuse_guessed(&r, 1, K), (double)K / E, 0.05);
    CHECK_NEAR(gm_reuse_guessed(&r, 2, K), (double)K / E, 0.05);
    gm_reuse_clear(&r);
}

TESTS(TEST(worked_by_hand), TEST(caches_of_every_size), TEST(neighbours_and_batches), TEST(guesses))
