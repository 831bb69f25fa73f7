/* points.c - feature vectors for the three metrics. */
#include "cluster/points.h"

#include "cluster/dots.h"

#include <assert.h>
#include <math.h>

/* Up to so many values one thread is faster than several. */
enum { SERIAL_NUMBERS = 1 << 15 };

enum { MIDDLE_OF = 1024 }; /* points */

static const float MAX_NORM = 1e37f; /* |f_i - f_j|^2 is at most four times that */

double gm_metric_distance(gm_metric metric, double s)
{
    switch (metric) {
    case GM_HELLINGER: return sqrt(0.5 * s);
    case GM_EUCLIDEAN: return sqrt(s);
    case GM_COSINE: return 0.5 * s;
    }
    return NAN;
}

double gm_metric_disconnected(gm_metric metric)
{
    const double nearly = 1 - 1e-6; /* features are floats */
    switch (metric) {
    case GM_HELLINGER: return 1.0 * nearly;
    case GM_EUCLIDEAN: return INFINITY;
    case GM_COSINE: return 2.0 * nearly;
    }
    return NAN;
}

double gm_points_squared(const gm_points *points, size_t i, size_t j)
{
    const float *at = points->at; /* (N, dim) */
    return gm_dots_of(points->isa)
        ->squared(at + i * points->dim, at + j * points->dim, points->dim);
}

static gm_status check_row(const float *row, size_t i, size_t d, gm_metric metric, gm_error *err)
{
    for (size_t c = 0; c < d; c++) {
        if (!isfinite(row[c]))
            return gm_fail(err, GM_EARG, "row %zu, column %zu is not finite", i, c);
        if (metric == GM_HELLINGER && row[c] < 0)
            return gm_fail(err, GM_EARG,
                           "row %zu, column %zu is %g; hellinger needs values of at least 0", i, c,
                           (double)row[c]);
    }
    return GM_OK;
}

/* What a row's features are divided by: the sum of its values, or of their squares. */
static double size_of(const float *row, size_t d, gm_metric metric)
{
    double size = 0;
    for (size_t c = 0; c < d; c++)
        size += metric == GM_HELLINGER ? (double)row[c] : (double)row[c] * (double)row[c];
    return size;
}

/* The same, NaN where a row cannot be used: a value that is not finite makes the size not finite,
 * and nothing else does, since floats and their squares are summed in double. */
static double checked_size(const float *row, size_t d, gm_metric metric)
{
    bool negative = false;
    if (metric == GM_HELLINGER)
        for (size_t c = 0; c < d; c++) negative |= row[c] < 0;
    const double size = size_of(row, d, metric);
    return negative || !isfinite(size) ? (double)NAN : size;
}

/* Fill f (dim) from row (d) of that size; returns |f|^2. */
static double fill_features(float *f, const float *row, size_t d, gm_metric metric, double size)
{
    double sum = 0;
    if (!(size > 0) && metric != GM_EUCLIDEAN) {
        f[d] = 1.0f;
        return 1;
    }
    const double length = sqrt(size);
    for (size_t c = 0; c < d; c++) {
        const double x = (double)row[c];
        const float y = metric == GM_EUCLIDEAN   ? row[c]
                        : metric == GM_HELLINGER ? (float)sqrt(x / size)
                                                 : (float)(x / length);
        f[c] = y;
        sum += (double)y * (double)y;
    }
    return sum;
}

static size_t padded(size_t d)
{
    return (d / 16 + 1) * 16; /* always one more: that of rows of zeros */
}

uint64_t gm_points_bytes(size_t n, size_t d)
{
    return (uint64_t)n * (padded(d) + 1) * sizeof(float);
}

/* Rows one after another, or each where row[i] says. */
typedef struct row_source {
    const float *rows;       /* (n,d); NULL: */
    const float *const *row; /* (n) */
    size_t d;
} row_source;

static const float *row_of(const row_source *from, size_t i)
{
    assert(from->rows != NULL || from->row != NULL);
    return from->rows ? from->rows + i * from->d : from->row[i];
}

static gm_status make_points(gm_points *out, const row_source *from, size_t n, gm_metric metric,
                             gm_error *err)
{
    gm_status status = GM_OK;
    const size_t d = from->d;
    gm_points p = {.metric = metric, .n = n, .columns = d, .dim = padded(d), .isa = gm_isa_best()};
    *out = (gm_points){0};
    if (n == 0 || d == 0)
        return gm_fail(err, GM_EARG,
                       "found %zu points of %zu dimensions, expected at least one of each", n, d);

    p.at = gm_alloc2(n, p.dim, sizeof *p.at);
    p.norm = gm_alloc(n, sizeof *p.norm);
    if (p.at == NULL || p.norm == NULL)
        GM_FAIL(GM_EMEM, "no memory for %zu points of %zu dimensions", n, d);

    size_t n_zero = 0, n_wrong = 0;
#pragma omp parallel for schedule(static) reduction(+ : n_wrong, n_zero) if (n * d > SERIAL_NUMBERS)
    for (size_t i = 0; i < n; i++) {
        const float *row = row_of(from, i);
        const double size = checked_size(row, d, metric);
        if (isnan(size))
            n_wrong++;
        else
            p.norm[i] = (float)fill_features(p.at + i * p.dim, row, d, metric, size);
        n_zero += !(size > 0);
    }
    for (size_t i = 0; i < n && n_wrong > 0; i++) /* the first of them is told */
        GM_TRY(check_row(row_of(from, i), i, d, metric, err));
    p.n_zero = n_zero;
    for (size_t i = 0; i < n; i++) {
        if (!(p.norm[i] <= MAX_NORM))
            GM_FAIL(GM_EARG,
                    "row %zu is longer than 3e18, which is too long for distances in float", i);
        p.max_norm = fmaxf(p.max_norm, p.norm[i]);
    }
    *out = p;
    p = (gm_points){0};
out:
    gm_points_clear(&p);
    return status;
}

gm_status gm_points_init(gm_points *out, const float *rows, size_t n, size_t d, gm_metric metric,
                         gm_error *err)
{
    const row_source from = {.rows = rows, .d = d};
    return make_points(out, &from, n, metric, err);
}

gm_status gm_points_of_rows(gm_points *out, const float *const *row, size_t n, size_t d,
                            gm_metric metric, gm_error *err)
{
    const row_source from = {.row = row, .d = d};
    return make_points(out, &from, n, metric, err);
}

gm_status gm_points_middle(float *middle, const gm_points *points, gm_error *err)
{
    const size_t n = points->n, m = n < MIDDLE_OF ? n : MIDDLE_OF;
    double *sum = gm_alloc(points->dim, sizeof *sum);
    if (sum == NULL) return gm_fail(err, GM_EMEM, "no memory for the middle of %zu points", n);
    for (size_t i = 0; i < m; i++) {
        const float *f = points->at + i * n / m * points->dim; /* (dim) */
        for (size_t c = 0; c < points->dim; c++) sum[c] += (double)f[c];
    }
    for (size_t c = 0; c < points->dim; c++) middle[c] = (float)(sum[c] / (double)m);
    gm_free(sum);
    return GM_OK;
}

void gm_points_clear(gm_points *points)
{
    gm_free(points->at);
    gm_free(points->norm);
    *points = (gm_points){0};
}
