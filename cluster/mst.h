/* mst.h - the minimum spanning tree of mutual reachability distances.
 *
 * Sizes: N points. Mutual reachability of i and j: max(core_i, core_j, |i - j|), core the
 * distance to the k-th nearest other point (the farthest where there are fewer), 0 for k = 0.
 *
 * Many edges weigh the same (the core distance of somebody), and how ties fall decides
 * clusters. Here edges are in one total order - weight, smaller core, distance, smaller
 * number, larger number - so the tree is unique, whatever the number of threads.
 *
 * Source: Campello, Moulavi, Sander 2013; McInnes, Healy 2017, arXiv:1705.07321.
 */
#ifndef GM_MST_H
#define GM_MST_H

#include "base/base.h"

typedef struct gm_edge {
    double weight, core, distance; /* core: the smaller of the two */
    uint32_t low, high;            /* low < high */
} gm_edge;

/* <0, 0, >0 in the total order. */
int gm_edge_compare(const gm_edge *a, const gm_edge *b);

/* The edge between i and j whose squared distance is known. */
gm_edge gm_edge_make(const double *core, uint32_t i, uint32_t j, double squared);

/* Core distances and the tree of points at (N,d), d <= GM_MAX_KD_DIM.
 *   core  (N) written
 *   edge  (N-1) written, ascending
 * Exact: Boruvka's rounds over a kd-tree; a branch is left out only when every edge in it
 * comes after one known. Errors: GM_EARG for k < 0 or what gm_kdtree_build
 * refuses; GM_EMEM. */
gm_status gm_mst_find(gm_edge *edge, double *core, const double *at, size_t n, int dim, int k,
                      gm_error *err) GM_MUST_USE;

/* Union-find with path halving; root (N) starts as 0, 1, 2, ... */
uint32_t gm_find_root(uint32_t *root, uint32_t i);

#endif
