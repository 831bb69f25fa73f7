/* eigen_rows.h - the inner loops of the search for eigenvectors, for every instruction set.
 *
 * Sizes: N points, W columns of a block. Lanes are columns, so every variant gives the same bits.
 */
#ifndef GM_EIGEN_ROWS_H
#define GM_EIGEN_ROWS_H

#include "cluster/isa.h"

enum { GM_EIGEN_WIDTH = 8 }; /* W */

/* A sparse matrix. */
typedef struct gm_eigen_matrix {
    size_t n;         /* N */
    uint64_t *indptr; /* (N+1) */
    uint32_t *index;  /* (M) */
    double *value;    /* (M) */
} gm_eigen_matrix;

/* Rows [first, end) of blocks (N,W). */
typedef struct gm_eigen_rows {
    /* out = alpha S in + beta in + gamma old; `old` may be NULL */
    void (*apply)(const gm_eigen_matrix *s, size_t first, size_t end, double *out, const double *in,
                  const double *old, double alpha, double beta, double gamma);
    /* gram (W,W) = a' b of these rows, one after another */
    void (*gram)(size_t first, size_t end, const double *a, const double *b, double *gram);
    /* out = in q, q (W,W); `out` may be `in` */
    void (*multiply)(size_t first, size_t end, double *out, const double *in, const double *q);
} gm_eigen_rows;

const gm_eigen_rows *gm_eigen_rows_of(gm_isa isa);

#endif
