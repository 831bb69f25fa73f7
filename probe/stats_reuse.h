/* stats_reuse.h - private to probe: what a router keeps from token to token and from layer to
 * layer: repeated experts, hits of a cache of experts, and how well a layer's experts can be
 * guessed from those of the layer before.
 *
 * Sizes: L layers, E experts, K per token. Tokens are added in the order of the trace, bad rows and
 * template tokens left out; a cache goes on from one document to the next.
 * Sources: repeats: Mixtral, arXiv:2401.04088, section 5; LRU of experts: Eliseev and Mazur,
 *          arXiv:2312.17238; hits of every size of cache in one pass: Mattson et al. 1970.
 *
 * A cache of C >= K experts a layer looks the K of a token up at once and then holds them, the
 * strongest as the latest used, and of the others those used last. It begins with experts 0 to
 * C-1. With C = K it holds the previous token's experts, so its hits are the share of the K that a
 * token has in common with the token before.
 *
 * The guess is one of naive Bayes: of ln P(j) + sum over the K experts i of the layer before of
 * ln(P(j | i) / P(j)) the largest; equal ones all take the last of their ranks. The probabilities
 * are learnt when 2^8 tokens are added and again at every following power of two, so that a token
 * is guessed from tokens before it; every fourth is. A router that sees the hidden state would
 * guess better.
 */
#ifndef GM_STATS_REUSE_H
#define GM_STATS_REUSE_H

#include "base/base.h"

enum { GM_REUSE_LEARNT_FROM = 256, GM_REUSE_GUESSED = 4, GM_REUSE_SIZES = 2 };

typedef struct gm_reuse {
    size_t L, E, K, batch;
    uint64_t tokens;     /* added */
    uint64_t neighbours; /* of them, that follow a counted token of their document */
    uint64_t *same;      /* (L,3) neighbours with the strongest expert in common; with some; experts
                            in common */
    uint64_t *first;     /* (L,E) tokens whose strongest expert it is */
    uint64_t *chose;   /* (L,E) that chose it; gm_reuse_conclude: of the most chosen, of two ... */
    uint64_t *depth;   /* (L,E) choices found at that place of the cache; concluded: up to it */
    uint64_t *rank;    /* (L,E) choices that were guessed at that rank; concluded: up to it.
                          Layer 0: none */
    uint32_t *next;    /* (L-1,E,E) tokens that chose i in a layer and j in the next */
    uint16_t *age;     /* (L,E) an expert's place in the cache, 0 the latest used */
    int32_t *hint;     /* (L-1,E,E) ln(P(j | i) / P(j)) + ln P(j) / K, as last learnt, in units of
                          2^-12 */
    int32_t *score;    /* (L,E) scratch, */
    uint64_t *sum;     /* (L,E) and */
    uint8_t *kind;     /* (batch) of a row: does it count, is it a neighbour */
    uint32_t next_pos; /* of a neighbour of the last row; */
    bool last_counts;  /* if that row counted */
} gm_reuse;

/* At most `batch` rows are added at a time. GM_EMEM. */
gm_status gm_reuse_init(gm_reuse *reuse, size_t L, size_t E, size_t K, size_t batch, gm_error *err)
    GM_MUST_USE;
void gm_reuse_clear(gm_reuse *reuse);

/* Add the next n rows: expert (L,batch,K) in [0,E) where good, strongest first; pos, phase, good
 * (n). Layers are shared out over threads. */
void gm_reuse_add(gm_reuse *reuse, const uint16_t *expert, const uint32_t *pos,
                  const uint8_t *phase, const bool *good, size_t n);

/* When all are added, before what follows. */
void gm_reuse_conclude(gm_reuse *reuse);

/* Of a token and the one before it in its document, in one layer; and what two tokens drawn at
 * random give. NaN: no neighbours, no tokens. */
typedef struct gm_repeats {
    double first, first_chance;   /* the strongest expert is the same; sum of its shares squared */
    double any, any_even;         /* an expert in common; of a router that chooses evenly */
    double shared, shared_chance; /* share of the K in common; sum of P(e)^2 / K */
} gm_repeats;
gm_repeats gm_reuse_repeats(const gm_reuse *reuse, size_t l);

/* Share of the choices of layer l that are found in a cache of `size` experts, K <= size <= E: LRU;
 * a cache that holds the most chosen ones throughout. NaN: no tokens. */
double gm_reuse_lru(const gm_reuse *reuse, size_t l, size_t size);
double gm_reuse_fixed(const gm_reuse *reuse, size_t l, size_t size);

/* The sizes of cache that tables have: a quarter and half of the experts, but at least K. */
void gm_reuse_sizes(const gm_reuse *reuse, size_t size[GM_REUSE_SIZES]);

/* Share of the choices of layer l > 0 among the `size` experts guessed from layer l-1. NaN: no
 * token was guessed. */
double gm_reuse_guessed(const gm_reuse *reuse, size_t l, size_t size);

#endif
