/* neighbours.h - the neighbours of all points: exact ones, or where these would take too long ones
 * of which most are the nearest.
 *
 * Sizes: N points, k neighbours.
 *
 * Approximate neighbours are found by a graph (hnsw.h) that one thread builds, so that they are the
 * same for any number of threads; their distances are computed again in double, and for some points
 * they are compared with the exact ones.
 */
#ifndef GM_NEIGHBOURS_H
#define GM_NEIGHBOURS_H

#include "cluster/knn.h"

typedef enum gm_neighbour_method {
    GM_NEIGHBOURS_AUTO, /* approximate beyond gm_neighbours_exact_up_to, in a build that can,
                         * without a GPU */
    GM_NEIGHBOURS_EXACT,
    GM_NEIGHBOURS_APPROXIMATE
} gm_neighbour_method;
#define GM_NEIGHBOUR_CHOICES "auto|exact|approximate"

enum { GM_RECALL_SAMPLE = 1000, GM_DEFAULT_EFFORT = 128 };

typedef struct gm_neighbour_options {
    gm_neighbour_method method;
    int effort; /* candidates an approximate search looks at; 0: GM_DEFAULT_EFFORT */
} gm_neighbour_options;

/* The effort used: the default for an effort of 0. */
int gm_neighbours_effort(const gm_neighbour_options *options);

/* Most points of D dimensions for which exact neighbours take no longer than approximate ones on
 * two AVX-512 cores (NOTES.md). It does not ask which processor this is, so that the same documents
 * get the same neighbours everywhere. */
size_t gm_neighbours_exact_up_to(size_t dim);

/* Do n points of D dimensions get exact neighbours? */
bool gm_neighbours_exact(const gm_neighbour_options *options, size_t n, size_t dim);

/* Seconds that the exact neighbours of n points of D dimensions take this processor, roughly; 0
 * where approximate ones are found without a GPU. */
double gm_neighbours_seconds(const gm_neighbour_options *options, size_t n, size_t dim);

/* As gm_knn_find for all points, by the method chosen; out->recall says of GM_RECALL_SAMPLE points
 * which share of their exact neighbours was found. A point of which too few are found gets exact
 * ones and counts as uncertified. Errors: GM_EABSENT for approximate ones in a build without
 * hnswlib; GM_EARG, GM_EMEM, GM_EINTERRUPTED. */
gm_status gm_neighbours_find(gm_knn *out, const gm_points *points, int k,
                             const gm_neighbour_options *options, gm_progress *progress,
                             gm_error *err) GM_MUST_USE;

/* Warn where too many nearest ones were missed, and say what to do. */
void gm_neighbours_advise(const gm_knn *knn);

#endif
