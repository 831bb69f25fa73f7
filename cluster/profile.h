/* profile.h - what each cluster's documents use, and what sets it apart.
 *
 * Sizes: N documents, C clusters (or S subsets), L layers, E experts, D = L*E, K chosen.
 *
 * Rates are means of usage vectors, p_c of a cluster and p of the corpus; the halves are by the
 * parity of the first byte of the document's sha; lift = (p_c + e)/(p + e), e = 0.05/D.
 * Sums are in double, in the order of the documents.
 */
#ifndef GM_PROFILE_H
#define GM_PROFILE_H

#include "cluster/usage.h"

#define GM_LIFT_MIN    1.25 /* an important expert has at least this lift, in both halves */
#define GM_LIFT_SMOOTH 0.05 /* e as a share of the uniform rate */

/* Number the labels 0.. by size descending, ties by the smallest member sha. label (N) is
 * rewritten; order (C) receives the old number of each new one. Errors: GM_EMEM. */
gm_status gm_profile_number(int32_t *label, size_t n, const uint8_t (*sha)[32], size_t n_clusters,
                            uint32_t *order, gm_error *err) GM_MUST_USE;

/* Mean usage vectors of the documents of each label in [0, n_groups); other labels are left
 * out. mean (n_groups, D), half (n_groups, 2, D) over even and odd sha; either may be NULL.
 * A group or half without documents is zero. Errors: GM_EMEM. */
gm_status gm_profile_means(float *mean, float *half, const gm_usage *usage, const int32_t *label,
                           size_t n_groups, gm_error *err) GM_MUST_USE;

/* lift (D) of a rate over the corpus's. */
void gm_profile_lift(float *lift, const float *rate, const float *corpus, size_t dim);

/* important (L,E), written: experts whose lift is at least GM_LIFT_MIN in both halves, at
 * most K a layer, the highest lift of the whole cluster first, ties to the lower id. */
void gm_profile_important(uint8_t *important, const float *rate, const float *half,
                          const float *corpus, size_t n_layers, size_t n_experts, size_t n_chosen);

/* Correlation of the differences of x and y from their corpora, all (dim) rates, in [-1,1]. NaN
 * where one of them is empty, or nowhere differs. */
double gm_profile_correlation(const float *x, const float *x_corpus, const float *y,
                              const float *y_corpus, size_t dim);

/* Correlation of the two halves' differences from the corpus, in [-1,1]: how far the profile
 * of a cluster would come back. NaN when a half is empty. */
double gm_profile_agreement(const float *half, const float *corpus, size_t dim);

#endif
