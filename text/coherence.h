/* coherence.h - do the keywords of a class occur in the same documents, and are they its own?
 *
 * Normalised pointwise mutual information of two words over documents: ln(p_ij / (p_i p_j)) over
 * -ln p_ij, p the share of documents that hold the word, or both; -1 for a pair that never meets, 0
 * for one that is in every document. Source: Bouma 2009; Roeder, Both, Hinneburg 2015 (here a
 * document is the window).
 */
#ifndef GM_COHERENCE_H
#define GM_COHERENCE_H

#include "text/words.h"

typedef struct gm_coherence {
    double mean;      /* over classes with a pair of keywords; NaN when there is none */
    double diversity; /* distinct keywords / keywords; NaN when there are none */
} gm_coherence;

typedef struct gm_coherence_input {
    const gm_bag *counts;         /* (N) documents, borrowed */
    size_t n_words;               /* of the vocabulary that the bag counts */
    const uint32_t *keyword;      /* (C,K) words of it, UINT32_MAX: none; borrowed */
    size_t n_classes, n_keywords; /* C, K */
} gm_coherence_input;

/* of_class (C) written: mean NPMI of the pairs of a class's keywords, NaN with fewer than two.
 * Errors: GM_EMEM. Cost: the bag twice, and for each class K times the documents of its keywords.
 */
gm_status gm_coherence_find(gm_coherence *out, double *of_class, const gm_coherence_input *in,
                            gm_error *err) GM_MUST_USE;

#endif
