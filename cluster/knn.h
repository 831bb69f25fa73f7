/* knn.h - exact nearest neighbours by blocked matrix products.
 *
 * Sizes: N points, Q queries, k neighbours.
 *
 * A float product of blocks proposes candidates for each query; their distances are
 * computed again in double in a fixed order, and the list is certified against the
 * error bound of the float product. A query that cannot be certified (many points
 * equally far) is answered by looking at every point in double. Where there is AMX, products of
 * bytes come first (knn_bytes.h), and a GPU may propose in the CPU's place (gpu.h). So the result
 * is the exact one, and the same for any number of threads, any instruction set and any GPU.
 */
#ifndef GM_KNN_H
#define GM_KNN_H

#include "base/progress.h"
#include "cluster/points.h"

typedef struct gm_knn {
    size_t n; /* Q */
    int k;
    uint32_t *index;      /* (Q,k) the point itself first, then by distance, ties by index */
    double *distance;     /* (Q,k) ascending, 0 first */
    size_t n_uncertified; /* queries that needed the slow way */
    size_t n_checked; /* neighbours.h: queries compared with their exact neighbours, 0: all are */
    double recall;    /* share of these that was found */
    size_t effort;    /* candidates an approximate search looked at; 0: exact */
} gm_knn;

/* The k nearest points of each query, itself counted as the first.
 *   query     (n_queries) point numbers, borrowed; NULL: all points in order
 *   progress  may be NULL; counts multiply-adds
 * Errors: GM_EARG unless 1 <= k <= N; GM_EMEM; GM_EINTERRUPTED; those of gm_gpu_propose when the
 * points have a GPU that was asked for by name. Cost: n_queries * N * D multiply-adds; n_queries *
 * (k + 32) * D in double. */
gm_status gm_knn_find(gm_knn *out, const gm_points *points, const uint32_t *query, size_t n_queries,
                      int k, gm_progress *progress, gm_error *err) GM_MUST_USE;
/* From one set of points to another: row q is of point among + q, itself first, and then the k - 1
 * nearest of the first `among` points. Errors: GM_EARG unless 1 <= among < N and
 * 1 <= k <= among + 1; GM_EMEM; GM_EINTERRUPTED. */
gm_status gm_knn_find_across(gm_knn *out, const gm_points *points, size_t among, int k,
                             gm_progress *progress, gm_error *err) GM_MUST_USE;
/* The same neighbours, the first k of each only, 1 <= k <= knn->k. Errors: GM_EMEM. */
gm_status gm_knn_narrow(gm_knn *out, const gm_knn *knn, int k, gm_error *err) GM_MUST_USE;
void gm_knn_clear(gm_knn *knn);

#endif
