/* place.h - new documents on an existing map: their places and clusters.
 *
 * Sizes: Q new documents, M points of the atlas, D dimensions of its clusters, k neighbours.
 *
 * Place: the mean of the k nearest points by usage, weighted by exp(-distance/sigma), sigma as
 * umap-learn's transform finds it (rho 0, the nearest left out of the sum); this is where its
 * transform starts from. A document that uses the experts exactly as a point does gets its place.
 * Cluster: on the map, or in the D dimensions where clusters were found, the neighbour with the
 * least mutual reachability, of 2 min_samples nearest; up its branch of the condensed tree as far
 * as that density reaches, then up to what was chosen - merged by epsilon or by hand as it was.
 * Probability as for the points. A point's own nearest is the nearest to which the atlas's graph
 * has an edge: the nearest of all unless --set-op-mix is 0. Source: umap-learn, transform; hdbscan,
 * approximate_predict, which does not know of epsilon.
 */
#ifndef GM_PLACE_H
#define GM_PLACE_H

#include "cluster/from_atlas.h"

typedef struct gm_placed {
    float xy[2];       /* NaN: no counted choice */
    int32_t cluster;   /* -1: none */
    float probability; /* in [0,1] */
    uint32_t nearest;  /* document of the atlas, GM_ATLAS_NONE: no counted choice */
    double distance;   /* to it by usage, in the metric of the map */
    double quantile;   /* share of the points whose own nearest is nearer than that, in [0,1]; of
                          documents like the atlas's own it is above .99 for about 1 in 100; NaN: no
                          counted choice, or no point has a neighbour */
} gm_placed;

/* placed (Q), in canonical order of `news`.
 *   fitted   usage of the atlas's trace;  options  those of the atlas
 *   progress may be NULL
 * Errors: those of the steps. Cost: gm_knn_find_across of Q documents among M points; Q * M * D. */
gm_status gm_place(gm_placed *placed, const gm_usage *news, const gm_usage *fitted,
                   const gm_atlas *atlas, const gm_atlas_points *points,
                   const gm_fit_options *options, gm_progress *progress, gm_error *err) GM_MUST_USE;

#endif
