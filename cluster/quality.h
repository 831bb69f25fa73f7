/* quality.h - how far a map and its clusters may be trusted.
 *
 * Sizes: N points, C clusters, S subsets.
 */
#ifndef GM_QUALITY_H
#define GM_QUALITY_H

#include "cluster/knn.h"

/* Two labelings of the same points; -1 is a class of its own on either side. All in [0,1]
 * but ari, which is 0 for independent labelings and may be below. */
typedef struct gm_agreement {
    double homogeneity;  /* 1 - H(truth | found) / H(truth); 1 when truth is one class */
    double completeness; /* the same with the sides exchanged */
    double nmi;          /* their harmonic mean */
    double purity;       /* share of points in the largest class of their cluster */
    double ari;          /* adjusted Rand index */
    double ami;          /* mutual information adjusted for chance: 0 for independent ones */
} gm_agreement;

/* Labels from -1 up, as many as there are; n log n. Errors: GM_EARG, GM_EMEM. Source:
 * scikit-learn, metrics. */
gm_status gm_quality_agreement(gm_agreement *out, const int32_t *found, const int32_t *truth,
                               size_t n, gm_error *err) GM_MUST_USE;

/* Share of neighbours, the point itself left out, with the point's own label: lists of all points.
 */
double gm_quality_purity(const gm_knn *knn, const uint16_t *label);

/* What gm_quality_purity gives by chance: sum over labels of their share squared. Errors: GM_EMEM.
 */
gm_status gm_quality_chance(double *chance, const uint16_t *label, size_t n, gm_error *err)
    GM_MUST_USE;

/* Does the length of documents decide where they are? Over ranks of `length` (equal lengths share
 * one): *noise, Spearman's correlation with being noise, in [-1,1]; *cluster, the correlation ratio
 * with the cluster over documents that are in one, in [0,1], corrected for the number of clusters
 * (Kelley's epsilon). NaN where there is nothing to correlate. Errors: GM_EMEM. */
gm_status gm_quality_lengths(double *noise, double *cluster, const uint32_t *length,
                             const int32_t *label, size_t n, size_t n_clusters, gm_error *err)
    GM_MUST_USE;

/* `most` of n numbers, spread evenly and ascending (all when most >= n); returns how many. */
size_t gm_quality_sample(uint32_t *out, size_t n, size_t most);

#endif
