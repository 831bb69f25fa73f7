/* hdbscan.h - density clusters of all densities: HDBSCAN* with its tree kept.
 *
 * Sizes: N points, R clusters of the condensed tree, C clusters chosen.
 *
 * Steps: spanning tree (mst.h), single linkage, condensed tree, choice of clusters,
 * labels. lambda = 1/distance; a distance of 0 counts as the smallest that is not 0, so
 * that everything stays finite where points coincide.
 *
 * Two conventions: hdbscan (scikit-learn-contrib) and fast_hdbscan do not count the point itself
 * among its min_samples, scikit-learn and the paper do.
 *
 * Source: Campello, Moulavi, Sander 2013; McInnes, Healy 2017, arXiv:1705.07321.
 */
#ifndef GM_HDBSCAN_H
#define GM_HDBSCAN_H

#include "cluster/mst.h"

typedef enum gm_selection { GM_SELECT_EOM, GM_SELECT_LEAF } gm_selection;
#define GM_SELECTION_CHOICES "eom|leaf"

typedef struct gm_hdbscan_options {
    size_t min_cluster_size; /* at least 2 */
    int min_samples;         /* at least 1: the core distance reaches this many others */
    bool count_self;         /* the point itself is one of them, as in scikit-learn */
    gm_selection selection;
    double epsilon;          /* clusters born nearer than this are merged upwards; 0: none */
    size_t max_cluster_size; /* 0: no limit; excess of mass only */
    bool allow_single_cluster;
} gm_hdbscan_options;

/* Row i joins nodes left[i] and right[i] to node N+i; nodes below N are points. */
typedef struct gm_linkage {
    size_t n;
    uint32_t *left, *right, *size; /* (N-1) */
    double *distance;              /* (N-1) ascending */
} gm_linkage;

/* From the edges (n-1) of a spanning tree, ascending. Errors: GM_EMEM. */
gm_status gm_linkage_make(gm_linkage *out, const gm_edge *edge, size_t n, gm_error *err)
    GM_MUST_USE;
void gm_linkage_clear(gm_linkage *linkage);

/* Points below a node. */
static inline uint32_t gm_linkage_size(const gm_linkage *linkage, uint32_t node)
{
    return node < linkage->n ? 1 : linkage->size[node - linkage->n];
}

/* Cluster 0 is the root, parents come before children. A point hangs where it falls out. */
typedef struct gm_condensed {
    size_t n_points, n_clusters; /* N, R */
    uint32_t *parent;            /* (R); the root's is 0 */
    double *birth;               /* (R) lambda at which it parts from its parent; root 0 */
    uint32_t *size;              /* (R) points at birth */
    uint32_t *point_cluster;     /* (N) */
    double *point_lambda;        /* (N) */
} gm_condensed;

/* Errors: GM_EARG when min_cluster_size < 2 or there are no points; GM_EMEM. */
gm_status gm_condense(gm_condensed *out, const gm_linkage *linkage, size_t min_cluster_size,
                      gm_error *err) GM_MUST_USE;
void gm_condensed_clear(gm_condensed *tree);

/* chosen (R) written: no chosen cluster is below another. stability (R) written: the
 * excess of mass. Errors: GM_EMEM. */
gm_status gm_select_clusters(bool *chosen, double *stability, const gm_condensed *tree,
                             const gm_hdbscan_options *options, gm_error *err) GM_MUST_USE;

typedef struct gm_clustering {
    size_t n, n_clusters;
    int32_t *label;      /* (N) 0..C-1 by the number in the condensed tree, -1 noise */
    float *probability;  /* (N) lambda over the cluster's largest, in [0,1]; 0 for noise */
    float *outlier;      /* (N) GLOSH in [0,1] */
    double *persistence; /* (C) stability over (size * largest lambda), in [0,1] */
    gm_linkage linkage;
    gm_condensed tree;
    int32_t *node_label; /* (R) the cluster a node was chosen as, -1 for the others */
} gm_clustering;

/* All steps. at (N,d). Errors: GM_EARG for options out of range or points that are not
 * finite; GM_EMEM. N = 1 gives one noise point. */
gm_status gm_hdbscan_fit(gm_clustering *out, const double *at, size_t n, int dim,
                         const gm_hdbscan_options *options, gm_error *err) GM_MUST_USE;

/* The steps after the linkage, which is moved into *out: cutting again takes milliseconds. */
gm_status gm_hdbscan_cut(gm_clustering *out, gm_linkage *linkage, const gm_hdbscan_options *options,
                         gm_error *err) GM_MUST_USE;
/* The min_cluster_size, from 2 to N/2, with which gm_hdbscan_cut finds a number of clusters as near
 * to `wanted` as was met, and that number; of equally near ones the largest tried. The number does
 * not always grow as the size falls, so this is a scan of some 150 cuts. Says so on stderr where
 * that is another number. options: the others of the cut. Errors: GM_EMEM. */
gm_status gm_hdbscan_aim(size_t *min_cluster_size, size_t *n_clusters, const gm_linkage *linkage,
                         const gm_hdbscan_options *options, size_t wanted, gm_error *err)
    GM_MUST_USE;

void gm_clustering_clear(gm_clustering *clustering);

#endif
