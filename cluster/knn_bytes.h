/* knn_bytes.h - the neighbours of all points by products of bytes (bytes.h); a part of knn.h. */
#ifndef GM_KNN_BYTES_H
#define GM_KNN_BYTES_H

#include "cluster/knn.h"
#include "cluster/neighbour.h"

/* Is it worth trying? Many points, few neighbours, suitable instructions. */
bool gm_knn_bytes_can(const gm_points *points, int k);

#define GM_KNN_INTERRUPTED "interrupted while neighbours were found"

/* Write the rows of *out, of all points in order, that can be certified; todo (N) receives the
 * points whose row is left, ascending. If points are so close together, compared with their extent,
 * that bytes cannot separate them, all are left. Errors: GM_EMEM, GM_EINTERRUPTED. */
gm_status gm_knn_by_bytes(gm_knn *out, const gm_points *points, uint32_t *todo, size_t *n_todo,
                          gm_progress *progress, gm_error *err) GM_MUST_USE;

/* Row q of *out: point `self`, then best (k-1). */
void gm_knn_write_row(gm_knn *out, size_t q, size_t self, const gm_neighbour *best,
                      gm_metric metric);

#endif
