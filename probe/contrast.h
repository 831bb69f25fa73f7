/* contrast.h - private to probe: which experts two groups of documents use differently.
 *
 * Sizes:  N documents, of which n_a in group a and n_b in b, L layers, E experts, K chosen.
 * A document's rate of an expert is the share of its tokens that choose it; groups are compared by
 * the mean of their documents' rates, documents being what is independent, not tokens: difference
 * with a 95 % interval, and t, by Welch 1947. p is that of the largest |t| over all L*E experts
 * when the documents are permuted between groups of the same sizes (Westfall & Young 1993, single
 * step): 1 in 20 contrasts of two groups that do not differ has any expert at or below .05.
 * Of pairs, a text and its translation say, the differences within them are compared with none
 * (Student 1908), and p is by permuting which document of a pair is of which group.
 * The rate of SteerMoE's risk difference (arXiv:2509.09660) pools tokens instead, and has no p.
 */
#ifndef GM_CONTRAST_H
#define GM_CONTRAST_H

#include "base/base.h"

/* One expert. Where no rate of either group varies, or all pairs differ by the same, t is 0 or an
 * infinity by the difference. */
typedef struct gm_contrast_expert {
    double rate_a, rate_b, difference; /* a - b */
    double low, high;                  /* of the difference */
    double t, p;                       /* p: NaN without permutations */
    double log_ratio;                  /* ln (rate_a + s) / (rate_b + s), s = .05 K/E */
} gm_contrast_expert;

typedef struct gm_contrast_data {
    size_t N, L, E, K;
    float *rate;          /* (N,L*E) in [0,1]; changed in place */
    uint8_t *of_a;        /* (N) 1: in group a; 0: in b */
    const uint32_t *pair; /* (n_pairs,2) documents of a and b that belong together, no other
                           * counts; NULL: all are independent */
    size_t n_pairs;
} gm_contrast_data;

/* Write `expert` (L*E). The same for any number of threads. GM_EARG unless both groups have two
 * documents, or there are two pairs; GM_EMEM, GM_EINTERRUPTED. Cost: permutations x smaller group x
 * L*E. */
gm_status gm_contrast_make(gm_contrast_expert *expert, gm_contrast_data *data, size_t permutations,
                           uint64_t seed, bool quiet, gm_error *err) GM_MUST_USE;

#endif
