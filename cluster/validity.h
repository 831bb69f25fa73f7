/* validity.h - DBCV: are clusters denser inside than the gaps between them?
 *
 * Sizes: N points, d dimensions, C clusters.
 *
 * A point's core distance is the mean of (1/distance)^d to the other members, to the power -1/d;
 * a cluster's sparseness the longest edge between inner points of its minimum spanning tree over
 * mutual reachability, its separation the least mutual reachability between inner points of it and
 * of another cluster. Validity = (separation - sparseness) / the larger of the two, in [-1,1].
 * Ties in the tree go to the earlier point, as in hdbscan's validity_index.
 *
 * Source: Moulavi, Jaskowiak, Campello, Zimek, Sander 2014; hdbscan, validity.py.
 */
#ifndef GM_VALIDITY_H
#define GM_VALIDITY_H

#include "base/base.h"

typedef struct gm_validity_input {
    const float *at;           /* (N,d) finite, borrowed */
    const int32_t *label;      /* (N) below n_clusters, -1 noise, borrowed */
    size_t n, dim, n_clusters; /* N, d, C */
} gm_validity_input;

/* of_cluster (C) written: NaN for fewer than two members, and for all where no other cluster has
 * two. *whole: their mean by size, noise counted in N and NaN as 0; NaN when all are.
 * Errors: GM_EMEM. Cost: N^2 distances. */
gm_status gm_validity_find(double *whole, double *of_cluster, const gm_validity_input *in,
                           gm_error *err) GM_MUST_USE;

#endif
