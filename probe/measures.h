/* measures.h - what is said of experts, as pure functions of counts: load, information,
 * specialisation. They read no file and allocate nothing.
 *
 * Sizes:  L layers, E experts, K chosen per token, S subsets (domains).
 * Units:  entropies and information in bits; a "choice" is one (token, expert) pair, so that
 *         a layer has K choices a token. No measure is NaN unless it is said here.
 * Sources: Gini 1912 by differences of pairs; committee: arXiv:2601.03425; domain
 *         specialisation: OLMoE, arXiv:2409.02060, section 5.3; risk difference:
 *         SteerMoE, arXiv:2509.09660; capacity: Switch Transformer, arXiv:2101.03961;
 *         normalised pointwise mutual information: Bouma 2009; bias of mutual information:
 *         Miller 1955 (Miller-Madow).
 */
#ifndef GM_MEASURES_H
#define GM_MEASURES_H

#include "base/base.h"

/* How evenly a layer's choices c_e fall on its experts. */
typedef struct gm_load {
    uint64_t choices;     /* n = sum of c_e */
    double gini;          /* sum over pairs |c_i - c_j| / (2 E n): 0 even, 1 - 1/E one expert */
    double cv;            /* standard deviation over mean, of the E counts as a population */
    double max_over_mean; /* E max(c) / n */
    double entropy_bits;  /* -sum c/n log2 c/n; log2 E when even */
    int dead;             /* experts never chosen */
    int committee;        /* the fewest experts that have half of all choices */
} gm_load;

/* count (E); scratch (E), written. All zero but `dead` where nothing was chosen. */
gm_load gm_load_of(const uint64_t *count, uint64_t *scratch, size_t E);

/* Choices that each of E experts takes of a batch of tokens at a capacity factor of quarters / 4:
 * ceil(factor tokens K / E). The others are dropped. */
uint64_t gm_capacity_of(uint64_t tokens, size_t K, size_t E, unsigned quarters);

/* Of the choices of one expert, those beyond its capacity. */
uint64_t gm_dropped_of(uint64_t count, uint64_t capacity);

/* Mutual information of the row and the column of a table of counts. */
typedef struct gm_mutual {
    uint64_t n;                   /* sum of the table */
    double bits;                  /* plug-in: sum c/n log2(c n / (row column)) */
    double miller_madow_bits;     /* bits - (cells - rows - columns + 1) / (2 n ln 2), counting what
                                     is not empty; may be below 0 */
    double row_bits, column_bits; /* their entropies, which bound it */
} gm_mutual;

/* table (rows, columns), a row every `stride` counts. All zero for an empty table. */
gm_mutual gm_mutual_of(const uint64_t *table, size_t rows, size_t columns, size_t stride);

/* One expert and one domain D, by tokens: `both` of the domain's `in_domain` tokens chose the
 * expert, `chose` of all `n` did. */
typedef struct gm_domain_measure {
    double specialisation;  /* P(e|D) = both / in_domain; K/E when even. NaN: no tokens in D */
    double lift;            /* (P(e|D) + s) / (P(e) + s), s = 0.05 K/E */
    double npmi;            /* ln(P(e,D) / (P(e) P(D))) / -ln P(e,D), in [-1,1]: -1 never
                               together, 0 independent. NaN: e or D never seen, or too little
                               to tell */
    double risk_difference; /* P(e|D) - P(e|not D). NaN: no tokens in D or none outside */
} gm_domain_measure;

/* `support`: nPMI needs as many tokens that are of D and chose e, or that would be if the two were
 * independent; it runs to its ends where there are few. */
gm_domain_measure gm_domain_of(uint64_t both, uint64_t in_domain, uint64_t chose, uint64_t n,
                               size_t E, size_t K, uint64_t support);

/* Cosine of two lists of n counts, in [0,1]; NaN where one is all zero. */
double gm_cosine_of(const uint64_t *a, const uint64_t *b, size_t n);

#endif
