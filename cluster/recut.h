/* recut.h - other clusters from the tree an atlas keeps: milliseconds, and no trace is needed.
 *
 * Sizes: M points, C clusters.
 */
#ifndef GM_RECUT_H
#define GM_RECUT_H

#include "cluster/from_atlas.h"

typedef struct gm_recut_merge {
    int32_t from, into; /* cluster numbers before any merging */
} gm_recut_merge;

typedef struct gm_recut {
    bool cut;               /* by the options given; else the atlas's own clusters */
    size_t target_clusters; /* with cut: min_cluster_size is chosen for so many; 0: it is not */
    const gm_recut_merge *merge;
    size_t n_merges;
} gm_recut;

/* Clusters of the points, numbered by size as fit numbers them, first cut, then merged.
 *   options  of the cut; min_cluster_size is set where target_clusters chooses it
 *   n_found  clusters before merging
 * The linkage of *points is moved into *out. Errors: GM_EARG for a merge of a cluster that is not
 * there, twice into different ones, or in a circle; GM_EMEM. */
gm_status gm_recut_cluster(gm_clustering *out, gm_atlas_points *points, const gm_atlas *atlas,
                           const gm_recut *how, gm_hdbscan_options *options, size_t *n_found,
                           gm_error *err) GM_MUST_USE;

/* label (N) of documents from labels of points (M); -1 for documents that are at none. */
void gm_recut_spread(int32_t *label, const gm_atlas_points *points, const int32_t *of_point,
                     size_t n);

#endif
