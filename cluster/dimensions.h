/* dimensions.h - clusters found in more dimensions than the map has, against those of the map.
 *
 * Sizes: N documents, D dimensions.
 *
 * A map in two dimensions must lay some things over others; a layout of the same graph in five or
 * ten need not. Where both give the same clusters, the map shows them as they are.
 */
#ifndef GM_DIMENSIONS_H
#define GM_DIMENSIONS_H

#include "cluster/distinct.h"
#include "cluster/map_quality.h"

typedef struct gm_dimensions {
    int dim;                    /* D; 2: clusters are those of the map, and the rest is not known */
    gm_map_quality kept;        /* what the layout in D dimensions keeps */
    size_t n_clusters, n_noise; /* of the map */
    double ari, ami;            /* between both labelings of documents */
    double noise_alike;         /* share of documents that are noise in both or in neither */
} gm_dimensions;

/* Cluster the map by the same options and compare: all but dim and kept are written.
 *   xy (N,2), graph and label (N, those found in D dimensions) of documents, in canonical order
 * Errors: those of gm_hdbscan_fit. */
gm_status gm_dimensions_compare(gm_dimensions *out, const float *xy, const gm_graph *graph,
                                const gm_distinct *distinct, const int32_t *label,
                                const gm_hdbscan_options *options, gm_error *err) GM_MUST_USE;

#endif
