/* points.h - documents as points of a space: what every distance here is measured in.
 *
 * Sizes: N points, D dimensions.
 *
 * A metric is turned into a plain Euclidean one by mapping each row to a feature
 * vector f, so that one kernel serves all of them: with s = |f_i - f_j|^2
 *   hellinger  f = sqrt(x / sum x)   distance sqrt(s/2)
 *   euclidean  f = x                 distance sqrt(s)
 *   cosine     f = x / |x|           distance s/2
 * A row of zeros has no direction: under hellinger and cosine it is 0 away from
 * another row of zeros and 1 away from every other row (umap-learn's rule), by one
 * extra dimension that only such rows use.
 *
 * Source: umap-learn, "metrics"; the clamp that its dense Hellinger lacks is not
 * needed here because s is a sum of squares.
 */
#ifndef GM_POINTS_H
#define GM_POINTS_H

#include "cluster/isa.h"

typedef enum gm_metric { GM_HELLINGER, GM_EUCLIDEAN, GM_COSINE } gm_metric;

#define GM_METRIC_CHOICES "hellinger|euclidean|cosine"

typedef struct gm_points {
    gm_metric metric;
    size_t n, columns;  /* N, D as given */
    size_t dim;         /* floats per row, a multiple of 16, padded with zeros */
    float *at;          /* (N, dim) features f, owned */
    float *norm;        /* (N) |f|^2, owned */
    float max_norm;     /* the largest of them */
    size_t n_zero;      /* rows of zeros */
    gm_isa isa;         /* what to measure with: the best here unless set lower */
    struct gm_gpu *gpu; /* proposes neighbours of all points, borrowed (gpu.h); NULL: the CPU */
} gm_points;

/* Map rows (n, d), borrowed, to points. Errors: GM_EARG when n or d is 0, a value is
 * not finite, or one is negative under hellinger (names row and column), or a row is longer
 * than 3e18 under euclidean; GM_EMEM. */
gm_status gm_points_init(gm_points *out, const float *rows, size_t n, size_t d, gm_metric metric,
                         gm_error *err) GM_MUST_USE;
/* The same of row[0..n), (d) each. */
gm_status gm_points_of_rows(gm_points *out, const float *const *row, size_t n, size_t d,
                            gm_metric metric, gm_error *err) GM_MUST_USE;
/* Bytes that n points of d dimensions take. */
uint64_t gm_points_bytes(size_t n, size_t d);
void gm_points_clear(gm_points *points);

/* middle (dim), written: the mean of some of the points. Errors: GM_EMEM. */
gm_status gm_points_middle(float *middle, const gm_points *points, gm_error *err) GM_MUST_USE;

/* s of points i and j: a double sum in a fixed order of 8 lanes, the same bits on
 * every machine. The definition that faster kernels are checked against. */
double gm_points_squared(const gm_points *points, size_t i, size_t j);

/* The distance that belongs to s, and the one of which the metric says that points
 * have nothing in common (umap-learn's disconnection distance, less a millionth, since
 * features are rounded; infinity when none). */
double gm_metric_distance(gm_metric metric, double s);
double gm_metric_disconnected(gm_metric metric);

#endif
