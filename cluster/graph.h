/* graph.h - a sparse symmetric graph and how UMAP makes it from neighbours.
 *
 * Sizes: N points, k neighbours (the point itself counted as the first), M stored entries.
 *
 * Source: McInnes et al. 2018, arXiv:1802.03426, and umap-learn: smooth_knn_dist,
 * compute_membership_strengths, fuzzy_simplicial_set.
 */
#ifndef GM_GRAPH_H
#define GM_GRAPH_H

#include "cluster/knn.h"

/* Both (i,j) and (j,i) are stored, with the same weight; columns ascend in a row; no
 * diagonal. */
typedef struct gm_graph {
    size_t n;         /* N */
    uint64_t *indptr; /* (N+1) */
    uint32_t *index;  /* (M) */
    float *weight;    /* (M) in (0,1] */
} gm_graph;

/* Row scales: rho, the distance to the nearest neighbour that is not at 0 (0 when all
 * are), and sigma such that sum over j >= 1 of exp(-max(0, d_j - rho)/sigma) is log2(k)
 * within 1e-5, at least 1e-3 of the mean distance (of the row; over all rows when rho is
 * 0). rho, sigma (N) are written. */
void gm_graph_scales(const gm_knn *knn, double *rho, double *sigma);

/* The sigma of one row d (k) ascending, the point itself first: the sum over j >= 1 of
 * exp(-max(0, d_j - rho)/sigma) is log2(k) within 1e-5. */
double gm_graph_sigma(const double *d, size_t k, double rho);

/* Memberships exp(-max(0, d - rho)/sigma) and their union A + A' - A*A', mixed with the
 * intersection A*A' by mix in [0,1] (1: union). Neighbours at a distance of
 * `disconnected` or more are no neighbours. Errors: GM_EMEM. */
gm_status gm_graph_make(gm_graph *out, const gm_knn *knn, const double *rho, const double *sigma,
                        double mix, double disconnected, gm_error *err) GM_MUST_USE;

/* Remove entries below the largest weight / n_epochs: they would never be sampled. */
void gm_graph_prune(gm_graph *graph, int n_epochs);

/* The part of the graph on the points keep[0..n), ascending; new numbers are places in
 * `keep`. Edges that leave it are dropped. Errors: GM_EMEM. */
gm_status gm_graph_induced(gm_graph *out, const gm_graph *graph, const uint32_t *keep, size_t n,
                           gm_error *err) GM_MUST_USE;

/* component (N), written: numbers 0.. in order of their first point. Returns how many. */
gm_status gm_graph_components(const gm_graph *graph, uint32_t *component, size_t *n_components,
                              gm_error *err) GM_MUST_USE;

float gm_graph_max_weight(const gm_graph *graph);
void gm_graph_clear(gm_graph *graph);

#endif
