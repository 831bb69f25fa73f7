/* kdtree.h - a tree of boxes over points; it saves work in a few dimensions, and is right in any.
 *
 * Sizes: N points, d dimensions (1 to GM_MAX_KD_DIM), M nodes.
 *
 * Built by splitting at the median of the widest axis (equal coordinates: by number), so
 * the depth is log2(N / leaf) whatever the points are. Node 0 is the root, the children of
 * node i are left[i] and left[i]+1; a node holds the places [first, first + n) of `order`.
 */
#ifndef GM_KDTREE_H
#define GM_KDTREE_H

#include "cluster/neighbour.h"

enum { GM_MAX_KD_DIM = 1 << 20, GM_KD_LEAF = 16 };

typedef struct gm_kdnode {
    uint32_t first, n; /* places in `order` */
    uint32_t left;     /* 0: a leaf */
    uint32_t least;    /* the smallest number of its points */
} gm_kdnode;

typedef struct gm_kdtree {
    size_t n;
    int dim;
    const double *at; /* (N,d) the points, borrowed */
    uint32_t *order;  /* (N) point at each place */
    gm_kdnode *node;  /* (M), parents before children */
    double *lo, *hi;  /* (M,d) boxes */
    size_t n_nodes;
} gm_kdtree;

/* Errors: GM_EARG for d out of range, n = 0 or a value that is not finite; GM_EMEM. */
gm_status gm_kdtree_build(gm_kdtree *out, const double *at, size_t n, int dim, gm_error *err)
    GM_MUST_USE;
void gm_kdtree_clear(gm_kdtree *tree);

/* Squared distance of two points: one rounding order everywhere. */
double gm_kdtree_squared(const gm_kdtree *tree, const double *p, const double *q);

/* Squared distance from a point to the nearest place of a node's box, never above the
 * squared distance to a point inside. */
double gm_kdtree_box(const gm_kdtree *tree, size_t node, const double *p);

/* The k >= 1 nearest others of point i into best (k), by squared distance; returns how many: fewer
 * where there are fewer. */
size_t gm_kdtree_nearest(const gm_kdtree *tree, size_t i, size_t k, gm_neighbour *best);

/* Distance from point i to its k-th nearest other point; the farthest one when there are fewer.
 * `work` holds k of them. */
double gm_kdtree_kth(const gm_kdtree *tree, size_t i, size_t k, gm_neighbour *work);

#endif
