/* stats_tokens.h - private to probe: which experts the router chooses for which token ids, and
 * which experts it chooses together.
 *
 * Sizes: L layers, E experts, K per token, R token ids with a row of their own: the most
 * frequent (ties to the lower id). All others share row R, so that the tables are of one size
 * whatever the vocabulary; mutual information is then with the row, which is at most what it is
 * with the id. The token is the one that goes in, at the position where the choice is made.
 * Sources: vocabulary specialisation and co-activation: OLMoE, arXiv:2409.02060, sections 5.4
 *          and 5.2. Its published script pairs equal ranks of two layers; here all pairs of the K
 *          within a layer count.
 */
#ifndef GM_STATS_TOKENS_H
#define GM_STATS_TOKENS_H

#include "formats/trace.h"
#include "probe/measures.h"

/* Row of a table, and which token of a batch it is for. */
typedef struct gm_token_place {
    uint32_t row, t;
} gm_token_place;

typedef struct gm_token_counts {
    size_t L, E, K;
    size_t R;             /* rows of their own */
    uint32_t *token_id;   /* (R) by frequency */
    uint32_t *row_of;     /* (n_ids) row of an id */
    size_t n_ids;         /* above every id of the trace */
    uint32_t *dealt;      /* (counted tokens) their rows, shuffled: the null */
    uint64_t n_dealt;     /* of them used */
    uint32_t *count;      /* (L,R+1,E) tokens of a row that chose e */
    uint32_t *null_count; /* (L,R+1,E) the same with rows dealt out anew among the tokens */
    uint32_t *together;   /* (L,E,E) tokens that chose i at a rank above or equal to j's; the
                             diagonal: that chose i */
    uint64_t *scratch;    /* (R+1,E) */
    gm_token_place *own,
        *other; /* (rows of a batch) of good tokens: its row; the row dealt to it */
} gm_token_counts;

/* Count the ids of the trace and choose the rows, at most `most`; `batch` rows are added at a
 * time. Holds 4 bytes a token and 8 L (R+1) E bytes of tables. GM_EARG for more than 2^32 - 1
 * tokens; GM_EFORMAT for an id above 2^24; GM_EMEM, GM_EIO. */
gm_status gm_token_counts_init(gm_token_counts *c, gm_trace *trace, size_t most, size_t batch,
                               uint64_t seed, gm_error *err) GM_MUST_USE;
void gm_token_counts_clear(gm_token_counts *c);

/* Add the next n rows of the trace, in order: expert (n,L,K) in [0,E) where good, token_id and
 * phase (n), good (n): the row has choices at every layer. */
void gm_token_counts_add(gm_token_counts *c, const uint16_t *expert, const uint32_t *token_id,
                         const uint8_t *phase, const bool *good, size_t n);

/* Mutual information of row and expert in layer l, as counted or of the null. */
gm_mutual gm_token_information(const gm_token_counts *c, size_t l, bool null);

/* Mean over the tokens with rows of their own of max_e P(e | row): 1 when an id always meets
 * one and the same expert. Rare ids raise it, hence the null. NaN: no such tokens. */
double gm_token_specialisation(const gm_token_counts *c, size_t l, bool null);

/* OLMoE's co-activation P(j | i): of the tokens of layer l that chose expert i, the share that
 * chose j too; NaN where none did. */
double gm_token_together(const gm_token_counts *c, size_t l, size_t i, size_t j);

/* The tokens that expert e of layer l is about: rows r < R by what they add to the
 * information, N_re ln(N_re N / (N_r N_e)), largest first, positive ones, ties to the more
 * frequent. row, written, most `n`; returns how many. */
size_t gm_token_best(const gm_token_counts *c, size_t l, size_t e, size_t n, size_t *row);

/* Tokens of row r in layer l, of them those that chose e, and all tokens. */
uint64_t gm_token_row(const gm_token_counts *c, size_t l, size_t r);

/* The pair of experts of layer l that is chosen together most beyond what their loads say, by
 * normalised pointwise mutual information (gm_domain_of); false where no two were. */
bool gm_token_pair(const gm_token_counts *c, size_t l, size_t *i, size_t *j, double *npmi);

#endif
