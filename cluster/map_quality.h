/* map_quality.h - what a map keeps of the space: three figures over the same neighbours.
 *
 * Sizes: N points, d dimensions of the map, k neighbours without the point itself.
 *
 * Trustworthiness and continuity: 1 less a penalty for each of the k nearest on one side that is
 * not one on the other, by its rank there (Venna, Kaski 2001); preserved: the share of the k
 * nearest that both sides have (chance: k / (N - 1)). Ranks are exact, ties by number: float
 * products only set aside what is nearer or farther than their error bound.
 */
#ifndef GM_MAP_QUALITY_H
#define GM_MAP_QUALITY_H

#include "cluster/knn.h"

enum { GM_MAP_QUALITY_MAX_K = 64 };

/* Over how many neighbours a map of n points is judged that was made from n_neighbors of each, the
 * point itself counted: as many others, or as many as can be. */
int gm_map_quality_k(int n_neighbors, size_t n);

typedef struct gm_map_quality {
    int k;
    size_t n_rows; /* points looked at; ranks are among all N */
    double trustworthiness, continuity, preserved;
} gm_map_quality;

/* Over `n_rows` points spread evenly, all of them when n_rows >= N. xy (N,dim).
 *   knn   exact neighbours, k others of each at least: of all points, or of those n_rows
 * Errors: GM_EARG unless 1 <= k <= 64 and 2k < N; GM_EMEM.
 * Cost: a product of n_rows * N * D, and n_rows * N * k comparisons. */
gm_status gm_map_quality_of(gm_map_quality *out, const gm_points *points, const gm_knn *knn,
                            const float *xy, int dim, int k, size_t n_rows, gm_error *err)
    GM_MUST_USE;
/* The neighbours of those n_rows points, where they are not known. */
gm_status gm_map_quality_neighbours(gm_knn *out, const gm_points *points, int k, size_t n_rows,
                                    gm_error *err) GM_MUST_USE;
/* Both. */
gm_status gm_map_quality_find(gm_map_quality *out, const gm_points *points, const float *xy,
                              int dim, int k, size_t n_rows, gm_error *err) GM_MUST_USE;

#endif
