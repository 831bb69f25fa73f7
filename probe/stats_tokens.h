/* stats_tokens.h - private to probe: which experts the router chooses for which token ids, and
 * which experts it chooses together, in one layer and in two that follow each other.
 *
 * Sizes: L layers, E experts, K per token, R token ids with a row of their own: the most
 * frequent (ties to the lower id). All others share row R, so that the tables are of one size
 * whatever the vocabulary; mutual information is then with the row, which is at most what it is
 * with the id. The token is the one that goes in, at the position where the choice is made.
 * Sources: vocabulary specialisation and co-activation: OLMoE, arXiv:2409.02060, sections 5.4
 *          and 5.2. Its published script (allenai/OLMoE, run_moe_analysis.py) takes the strongest
 *          expert alone for the first, as a plain mean over ids, and pairs of neighbouring ranks
 *          for the second; here all K and all their pairs count. With `olmoe` both are counted.
 */
#ifndef GM_STATS_TOKENS_H
#define GM_STATS_TOKENS_H

#include "formats/trace.h"
#include "probe/best.h"
#include "probe/measures.h"

/* Row of a table, and which token of a batch it is for. */
typedef struct gm_token_place {
    uint32_t row, t;
} gm_token_place;

/* What is said of a layer, as counted and of the null. */
typedef struct gm_token_layer {
    gm_mutual mutual, null; /* of row and expert */
    double specialisation, null_specialisation;
} gm_token_layer;

typedef struct gm_token_counts {
    size_t L, E, K;
    size_t R;                 /* rows of their own */
    uint32_t *token_id;       /* (R) by frequency */
    uint32_t *row_of;         /* (n_ids) row of an id */
    size_t n_ids;             /* above every id of the trace */
    uint32_t *shuffled;       /* (counted tokens) their rows, shuffled: the null */
    uint64_t n_shuffled;      /* of them used */
    uint32_t *count;          /* (L,R+1,E) tokens of a row that chose e */
    uint32_t *null_count;     /* (L,R+1,E) the same with rows permuted among the tokens */
    uint32_t *together;       /* (L,E,E) tokens that chose i at a rank above or equal to j's; the
                                 diagonal: that chose i */
    const uint32_t *next;     /* (L-1,E,E) that chose i in a layer and j in the next; borrowed */
    uint32_t *first;          /* (L,R+1,E) tokens of a row whose strongest is e; NULL: not asked */
    uint32_t *neighbour;      /* (L,E,E) that chose i one rank above j; NULL: not asked */
    gm_token_layer *layer;    /* (L) */
    uint64_t *scratch;        /* (R+1,E) */
    gm_token_place *place;    /* (2,batch) of good tokens, by row: own rows; shuffled ones */
    gm_token_place *unsorted; /* (2,batch) */
} gm_token_counts;

typedef struct gm_token_options {
    size_t most;          /* rows of their own at most */
    size_t batch;         /* tokens added at a time */
    uint64_t seed;        /* of the null */
    bool olmoe;           /* count what OLMoE's script counts as well */
    const uint32_t *next; /* see above; read when all tokens are added */
} gm_token_options;

/* Count the ids of the trace and choose the rows. Holds 4 bytes a token and 8 L (R+1) E bytes of
 * tables (12 with olmoe). GM_EARG for more than 2^32 - 1 tokens; GM_EFORMAT for an id above 2^24;
 * GM_EMEM, GM_EIO. */
gm_status gm_token_counts_init(gm_token_counts *c, gm_trace *trace, const gm_token_options *options,
                               gm_error *err) GM_MUST_USE;
void gm_token_counts_clear(gm_token_counts *c);

/* Add the next n rows of the trace, in order: expert (L,batch,K) in [0,E) where good, token_id and
 * phase (n), good (n): the row has choices at every layer. Layers are shared out over threads. */
void gm_token_counts_add(gm_token_counts *c, const uint16_t *expert, size_t batch,
                         const uint32_t *token_id, const uint8_t *phase, const bool *good,
                         size_t n);

/* When all are added: fill c->layer. */
void gm_token_counts_conclude(gm_token_counts *c);

/* ---- what they say ---- */

/* Mutual information of row and expert in layer l, as counted or of the null. */
gm_mutual gm_token_information(const gm_token_counts *c, size_t l, bool null);

/* Mean over the tokens with rows of their own of max_e P(e | row): 1 when an id always meets
 * one and the same expert. Rare ids raise it, hence the null. NaN: no such tokens. */
double gm_token_specialisation(const gm_token_counts *c, size_t l, bool null);

/* As OLMoE's script has it: the plain mean over ids of the share of an id's occurrences whose
 * strongest expert is its most frequent one. Where `first` was counted. NaN: no ids. */
double gm_token_script_specialisation(const gm_token_counts *c, size_t l);

/* OLMoE's co-activation P(j | i): of the tokens of layer l that chose expert i, the share that
 * chose j too; NaN where none did. */
double gm_token_together(const gm_token_counts *c, size_t l, size_t i, size_t j);

/* The same of pairs at neighbouring ranks alone, as OLMoE's script has it. Where `neighbour` was
 * counted. */
double gm_token_script_together(const gm_token_counts *c, size_t l, size_t i, size_t j);

/* Of the tokens that chose expert i in layer l < L-1, the share that chose j in layer l+1. */
double gm_token_follows(const gm_token_counts *c, size_t l, size_t i, size_t j);

/* The tokens that expert e of layer l is about: rows r < R by what they add to the
 * information, N_re ln(N_re N / (N_r N_e)), the positive ones. */
void gm_token_best(const gm_token_counts *c, size_t l, size_t e, gm_best *best);

/* Tokens of row r in layer l, of them those that chose e, and all tokens. */
uint64_t gm_token_row(const gm_token_counts *c, size_t l, size_t r);

/* Two experts, and how far beyond their loads they are chosen together (gm_domain_of). */
typedef struct gm_token_pair {
    bool found; /* some pair has at least the support asked for */
    size_t i, j;
    double npmi;
} gm_token_pair;

/* The strongest pair of layer l with `support` tokens that chose both; of expert i of layer
 * l < L-1 and j of the next. */
gm_token_pair gm_token_pair_of(const gm_token_counts *c, size_t l, uint64_t support);
gm_token_pair gm_token_next_pair_of(const gm_token_counts *c, size_t l, uint64_t support);

#endif
