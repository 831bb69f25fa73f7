/* rows.h - the rows of any matrix, in an order that does not depend on the file's.
 *
 * Sizes: N rows, D columns, U of them usable, M distinct among those.
 *
 * A row that holds NaN or an infinity is set aside. The others are put in canonical order, by the
 * SHA-256 of their numbers, so that a permuted file gives permuted results. Equal rows are
 * neighbours in it, and one point of a map (distinct.h), but separate points when the rows
 * themselves are clustered.
 */
#ifndef GM_ROWS_H
#define GM_ROWS_H

#include "cluster/distinct.h"
#include "cluster/points.h"
#include "formats/matrix_file.h"

typedef struct gm_rows {
    size_t n, n_used, dim; /* N, U, D */
    double *at;            /* (U,D) canonical order; -0 is 0 */
    uint32_t *place;       /* (U) the row of the file at each canonical place */
    uint8_t (*sha)[32];    /* (U,32) of the row's numbers */
    gm_distinct distinct;  /* of the U rows */
} gm_rows;

/* Take the matrix apart; it is cleared. Errors: GM_EARG when no row is finite or there are 2^32
 * rows; GM_EMEM. */
gm_status gm_rows_take(gm_rows *out, gm_matrix *matrix, gm_error *err) GM_MUST_USE;
void gm_rows_clear(gm_rows *rows);

/* One float row for each distinct row, (M,D), the caller's, which gm_points_init will take under
 * `metric`; under GM_EUCLIDEAN less the mean of each column. Errors: GM_EARG for what it would
 * refuse (names the row of the file); GM_EMEM. */
gm_status gm_rows_distinct(float **out, const gm_rows *rows, gm_metric metric, gm_error *err)
    GM_MUST_USE;

/* How many of those rows, at (M,D), equal another one before them: floats do not tell apart what
 * differs by less than 6e-8 of itself, or is below 1e-45. Errors: GM_EMEM. */
gm_status gm_rows_alike(size_t *out, const float *at, size_t m, size_t dim, gm_error *err)
    GM_MUST_USE;

#endif
