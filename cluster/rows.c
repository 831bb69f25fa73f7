/* rows.c - see rows.h. */
#include "cluster/rows.h"

#include "base/sha256.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST 1e18 /* of a row on a map: squares must fit a float */

typedef struct key {
    uint8_t digest[32];
    uint32_t row; /* of the file */
} key;

static int by_digest(const void *a, const void *b)
{
    const key *x = a, *y = b;
    int order = memcmp(x->digest, y->digest, sizeof x->digest);
    return order != 0 ? order : (x->row > y->row) - (x->row < y->row);
}

/* Zeros of one sign, so that rows that are equal have equal bytes; false: not finite. */
static bool settle(double *row, size_t dim)
{
    for (size_t c = 0; c < dim; c++) {
        if (!isfinite(row[c])) return false;
        row[c] += 0.0;
    }
    return true;
}

/* The keys of the usable rows, in order; returns how many. */
static size_t make_keys(key *keys, const gm_matrix *m)
{
    size_t n_used = 0;
    for (size_t i = 0; i < m->rows; i++) {
        double *row = m->at + i * m->cols;
        if (!settle(row, m->cols)) continue;
        gm_sha256_of(row, m->cols * sizeof *row, keys[n_used].digest);
        keys[n_used++].row = (uint32_t)i;
    }
    qsort(keys, n_used, sizeof *keys, by_digest);
    return n_used;
}

static gm_status find_distinct(gm_distinct *d, const key *keys, size_t n, gm_error *err)
{
    d->n = n;
    d->first = gm_alloc(n, sizeof *d->first);
    d->count = gm_alloc(n, sizeof *d->count);
    d->point = gm_alloc(n, sizeof *d->point);
    if (!d->first || !d->count || !d->point)
        return gm_fail(err, GM_EMEM, "no memory to tell %zu rows apart", n);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || memcmp(keys[i].digest, keys[i - 1].digest, sizeof keys[i].digest) != 0)
            d->first[d->m++] = (uint32_t)i;
        d->point[i] = (uint32_t)d->m - 1;
        d->count[d->m - 1]++;
    }
    return GM_OK;
}

gm_status gm_rows_take(gm_rows *out, gm_matrix *matrix, gm_error *err)
{
    gm_status status = GM_OK;
    gm_rows r = {.n = matrix->rows, .dim = matrix->cols};
    key *keys = NULL;
    *out = (gm_rows){0};
    if (r.n >= UINT32_MAX)
        GM_FAIL(GM_EARG, "the matrix has %zu rows, expected at most %u", r.n, UINT32_MAX - 1);
    keys = gm_alloc(r.n, sizeof *keys);
    if (keys == NULL) GM_FAIL(GM_EMEM, "no memory to order %zu rows", r.n);
    r.n_used = make_keys(keys, matrix);
    if (r.n_used == 0)
        GM_FAIL(GM_EARG, "none of the matrix's %zu rows is finite, so there is nothing to cluster",
                r.n);
    r.at = gm_alloc2(r.n_used, r.dim, sizeof *r.at);
    r.place = gm_alloc(r.n_used, sizeof *r.place);
    r.sha = gm_alloc(r.n_used, sizeof *r.sha);
    if (!r.at || !r.place || !r.sha)
        GM_FAIL(GM_EMEM, "no memory for %zu rows of %zu columns", r.n_used, r.dim);
    for (size_t i = 0; i < r.n_used; i++) {
        r.place[i] = keys[i].row;
        memcpy(r.sha[i], keys[i].digest, sizeof r.sha[i]);
        memcpy(r.at + i * r.dim, matrix->at + keys[i].row * r.dim, r.dim * sizeof *r.at);
    }
    GM_TRY(find_distinct(&r.distinct, keys, r.n_used, err));
    *out = r;
    r = (gm_rows){0};
out:
    gm_free(keys);
    gm_matrix_clear(matrix);
    gm_rows_clear(&r);
    return status;
}

void gm_rows_clear(gm_rows *rows)
{
    gm_free(rows->at);
    gm_free(rows->place);
    gm_free(rows->sha);
    gm_distinct_clear(&rows->distinct);
    *rows = (gm_rows){0};
}

/* The mean of each column, in the canonical order. */
static void find_means(double *mean, const gm_rows *rows)
{
    const gm_distinct *d = &rows->distinct;
    for (size_t p = 0; p < d->m; p++)
        for (size_t c = 0; c < rows->dim; c++)
            mean[c] += rows->at[d->first[p] * rows->dim + c] / (double)d->m;
}

/* A row as floats, less `shift`; *most becomes the square of its length where that is more. `row`
 * is its number in the file. */
static gm_status take_floats(float *to, double *most, const double *from, const double *shift,
                             size_t dim, gm_metric metric, uint32_t row, gm_error *err)
{
    double square = 0;
    for (size_t c = 0; c < dim; c++) {
        const double value = from[c] - shift[c];
        to[c] = (float)value + 0.0f; /* zeros of one sign here too */
        square += value * value;
        if (metric == GM_HELLINGER && value < 0)
            return gm_fail(err, GM_EARG,
                           "row %u, column %zu is %g; hellinger needs values of at least 0", row, c,
                           value);
    }
    *most = fmax(*most, square);
    return GM_OK;
}

/* The length of a row less `shift`; no square overflows. */
static double length_of(const double *from, const double *shift, size_t dim)
{
    double most = 0, sum = 0;
    for (size_t c = 0; c < dim; c++) most = fmax(most, fabs(from[c] - shift[c]));
    if (most == 0 || isinf(most)) return most;
    for (size_t c = 0; c < dim; c++) {
        const double share = (from[c] - shift[c]) / most;
        sum += share * share;
    }
    return most * sqrt(sum);
}

/* One row far off moves the mean, so that all are long: the longest is named, of equals the first
 * in the file. */
static gm_status refuse_longest(const gm_rows *rows, const double *shift, gm_metric metric,
                                gm_error *err)
{
    const gm_distinct *d = &rows->distinct;
    double longest = -1;
    uint32_t row = 0;
    for (size_t p = 0; p < d->m; p++) {
        const uint32_t here = rows->place[d->first[p]];
        const double length = length_of(rows->at + d->first[p] * rows->dim, shift, rows->dim);
        if (length > longest || (length == longest && here < row)) longest = length, row = here;
    }
    return gm_fail(
        err, GM_EARG, "row %u has length %g%s, but a map takes rows up to %g", row, longest,
        metric == GM_EUCLIDEAN ? " after subtracting the means of the columns" : "", LONGEST);
}

gm_status gm_rows_distinct(float **out, const gm_rows *rows, gm_metric metric, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_distinct *d = &rows->distinct;
    const size_t dim = rows->dim;
    double most = 0, *shift = gm_alloc(dim, sizeof *shift);
    float *at = gm_alloc2(d->m, dim, sizeof *at);
    *out = NULL;
    if (!shift || !at) GM_FAIL(GM_EMEM, "no memory for %zu rows of %zu columns", d->m, dim);
    if (metric == GM_EUCLIDEAN) find_means(shift, rows); /* distances stay, floats get finer */
    for (size_t p = 0; p < d->m; p++)
        GM_TRY(take_floats(at + p * dim, &most, rows->at + d->first[p] * dim, shift, dim, metric,
                           rows->place[d->first[p]], err));
    if (!(most <= LONGEST * LONGEST)) GM_TRY(refuse_longest(rows, shift, metric, err));
    *out = at;
    at = NULL;
out:
    gm_free(shift);
    gm_free(at);
    return status;
}

gm_status gm_rows_alike(size_t *out, const float *at, size_t m, size_t dim, gm_error *err)
{
    *out = 0;
    key *keys = gm_alloc(m, sizeof *keys);
    if (keys == NULL) return gm_fail(err, GM_EMEM, "no memory to compare %zu rows", m);
    for (size_t p = 0; p < m; p++) gm_sha256_of(at + p * dim, dim * sizeof *at, keys[p].digest);
    qsort(keys, m, sizeof *keys, by_digest);
    for (size_t p = 1; p < m; p++)
        *out += memcmp(keys[p].digest, keys[p - 1].digest, sizeof keys[p].digest) == 0;
    gm_free(keys);
    return GM_OK;
}
