/* eigen.h - the leading eigenvectors of a graph, the same bits for any number of threads.
 *
 * Sizes: N points, m vectors wanted.
 *
 * Of S = D^-1/2 A D^-1/2 (D the degrees) the m largest eigenvalues below the trivial one
 * are wanted; they are those of the Laplacian I - S above its first. Chebyshev-filtered
 * subspace iteration in double: sums in a fixed order, so OpenMP changes nothing; each
 * vector is turned so that its largest entry (the first of equals) is positive. More than
 * four are found in passes, each among what is left beside those already found.
 *
 * Source: Zhou, Saad, Tiago, Chelikowsky 2006, "Self-consistent-field calculations using
 *         Chebyshev-filtered subspace iteration".
 */
#ifndef GM_EIGEN_H
#define GM_EIGEN_H

#include "cluster/graph.h"

enum { GM_MAX_EIGEN = 10 };

typedef struct gm_eigen_report {
    int rounds;                 /* filters applied, of the pass that took most */
    bool converged;             /* every residual |S v - value v| <= tolerance */
    double value[GM_MAX_EIGEN]; /* descending */
} gm_eigen_report;

/* vectors (N, m), written, one column an eigenvector of length 1. The graph must be
 * connected and N > m + 1, 1 <= m <= GM_MAX_EIGEN. When max_rounds is reached the best
 * vectors so far are given and `converged` is false. Errors: GM_EARG, GM_EMEM. */
gm_status gm_eigen_leading(double *vectors, int m, const gm_graph *graph, double tolerance,
                           int max_rounds, uint64_t seed, gm_eigen_report *report, gm_error *err)
    GM_MUST_USE;

#endif
