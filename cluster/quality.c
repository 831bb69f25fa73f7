/* quality.c - agreement of labelings, trustworthiness, purity of neighbourhoods. */
#include "cluster/quality.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LABEL = 65535, TOGETHER = 8, MAX_K = 64 };

/* ---- two labelings ---- */

typedef struct table {
    size_t rows, cols; /* labels from -1 up, so label + 1 is the place */
    double *cell;      /* (rows, cols) how many points */
    double *row, *col; /* sums */
} table;

static double pairs(double n)
{
    return n * (n - 1) / 2;
}

static double entropy(const double *count, size_t n, double total)
{
    double h = 0;
    for (size_t i = 0; i < n; i++)
        if (count[i] > 0) h -= count[i] / total * log(count[i] / total);
    return h;
}

static gm_status fill_table(table *t, const int32_t *found, const int32_t *truth, size_t n,
                            gm_error *err)
{
    for (size_t i = 0; i < n; i++) {
        if (found[i] < -1 || truth[i] < -1 || found[i] > MAX_LABEL || truth[i] > MAX_LABEL)
            return gm_fail(err, GM_EARG, "label %d of point %zu, expected -1 to %d",
                           found[i] < -1 || found[i] > MAX_LABEL ? found[i] : truth[i], i,
                           MAX_LABEL);
        if ((size_t)(found[i] + 2) > t->rows) t->rows = (size_t)(found[i] + 2);
        if ((size_t)(truth[i] + 2) > t->cols) t->cols = (size_t)(truth[i] + 2);
    }
    t->cell = gm_alloc2(t->rows, t->cols, sizeof *t->cell);
    t->row = gm_alloc(t->rows, sizeof *t->row);
    t->col = gm_alloc(t->cols, sizeof *t->col);
    if (!t->cell || !t->row || !t->col)
        return gm_fail(err, GM_EMEM, "no memory to compare %zu clusters with %zu classes", t->rows,
                       t->cols);
    for (size_t i = 0; i < n; i++) {
        size_t r = (size_t)(found[i] + 1), c = (size_t)(truth[i] + 1);
        t->cell[r * t->cols + c]++;
        t->row[r]++;
        t->col[c]++;
    }
    return GM_OK;
}

static void compare(gm_agreement *out, const table *t, double n)
{
    double mutual = 0, same = 0, same_row = 0, same_col = 0;
    for (size_t r = 0; r < t->rows; r++) {
        double most = 0;
        for (size_t c = 0; c < t->cols; c++) {
            double m = t->cell[r * t->cols + c];
            if (m > 0) mutual += m / n * log(m * n / (t->row[r] * t->col[c]));
            same += pairs(m);
            most = fmax(most, m);
        }
        out->purity += most / n;
        same_row += pairs(t->row[r]);
    }
    for (size_t c = 0; c < t->cols; c++) same_col += pairs(t->col[c]);
    double found = entropy(t->row, t->rows, n), truth = entropy(t->col, t->cols, n);
    out->homogeneity = truth > 0 ? mutual / truth : 1;
    out->completeness = found > 0 ? mutual / found : 1;
    double sum = out->homogeneity + out->completeness;
    out->nmi = sum > 0 ? 2 * out->homogeneity * out->completeness / sum : 0;
    double chance = n > 1 ? same_row * same_col / pairs(n) : 0;
    double range = (same_row + same_col) / 2 - chance;
    out->ari = range != 0 ? (same - chance) / range : 1;
}

gm_status gm_quality_agreement(gm_agreement *out, const int32_t *found, const int32_t *truth,
                               size_t n, gm_error *err)
{
    gm_status status = GM_OK;
    table t = {0};
    *out = (gm_agreement){0};
    if (n == 0) return gm_fail(err, GM_EARG, "no points to compare labels of");
    GM_TRY(fill_table(&t, found, truth, n, err));
    compare(out, &t, (double)n);
out:
    gm_free(t.cell);
    gm_free(t.row);
    gm_free(t.col);
    return status;
}

/* ---- trustworthiness ---- */

size_t gm_quality_sample(uint32_t *out, size_t n, size_t most)
{
    size_t m = most < n ? most : n;
    for (size_t i = 0; i < m; i++) out[i] = (uint32_t)(i * n / m);
    return m;
}

/* The k nearest others of point i on the map, ties to the lower number. */
static void map_neighbours(uint32_t *best, size_t k, const float *xy, size_t n, size_t i)
{
    double distance[MAX_K];
    size_t m = 0;
    assert(k >= 1 && k <= MAX_K);
    for (size_t j = 0; j < n; j++) {
        if (j == i) continue;
        double dx = (double)xy[2 * j] - (double)xy[2 * i];
        double dy = (double)xy[2 * j + 1] - (double)xy[2 * i + 1], d = dx * dx + dy * dy;
        if (m == k && !(d < distance[k - 1])) continue;
        size_t at = m < k ? m++ : k - 1;
        for (; at > 0 && d < distance[at - 1]; at--)
            distance[at] = distance[at - 1], best[at] = best[at - 1];
        distance[at] = d, best[at] = (uint32_t)j;
    }
}

/* Sum over the map's neighbours of how far their rank in the space is beyond k; s (n) are the
 * squared distances from point i. */
static double penalty(const double *s, size_t n, size_t i, const uint32_t *near, size_t k)
{
    double sum = 0;
    for (size_t m = 0; m < k; m++) {
        size_t j = near[m], rank = 1;
        for (size_t o = 0; o < n; o++) rank += o != i && (s[o] < s[j] || (s[o] == s[j] && o < j));
        if (rank > k) sum += (double)(rank - k);
    }
    return sum;
}

gm_status gm_quality_trustworthiness(double *out, const gm_points *points, const float *xy, int k,
                                     size_t n_rows, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t n = points->n, near = (size_t)k;
    uint32_t *row = gm_alloc(n, sizeof *row);
    double *s = gm_alloc2(TOGETHER, n, sizeof *s), total = 0; /* (TOGETHER, N) */
    *out = 0;
    if (!row || !s) GM_FAIL(GM_EMEM, "no memory for trustworthiness of %zu points", n);
    if (k < 1 || k > MAX_K || 2 * near >= n)
        GM_FAIL(GM_EARG, "trustworthiness over %d neighbours of %zu points", k, n);

    size_t m = gm_quality_sample(row, n, n_rows);
    for (size_t first = 0; first < m; first += TOGETHER) {
        size_t count = m - first < TOGETHER ? m - first : TOGETHER;
        double lost[TOGETHER] = {0};
#pragma omp parallel for schedule(static)
        for (size_t j = 0; j < n; j++)
            for (size_t r = 0; r < count; r++)
                s[r * n + j] = gm_points_squared(points, row[first + r], j);
#pragma omp parallel for schedule(dynamic, 1)
        for (size_t r = 0; r < count; r++) {
            uint32_t best[MAX_K];
            map_neighbours(best, near, xy, n, row[first + r]);
            lost[r] = penalty(s + r * n, n, row[first + r], best, near);
        }
        for (size_t r = 0; r < count; r++) total += lost[r];
    }
    double N = (double)n, K = (double)k;
    *out = 1 - 2 * total / ((double)m * K * (2 * N - 3 * K - 1));
out:
    gm_free(row);
    gm_free(s);
    return status;
}

/* ---- subsets ---- */

double gm_quality_purity(const gm_knn *knn, const uint32_t *query, const uint16_t *label)
{
    size_t same = 0, k = (size_t)knn->k;
    for (size_t q = 0; q < knn->n; q++) {
        uint16_t own = label[query ? query[q] : q];
        for (size_t i = 1; i < k; i++) same += label[knn->index[q * k + i]] == own;
    }
    return (double)same / ((double)knn->n * (double)(k - 1));
}

double gm_quality_chance(const uint16_t *label, size_t n)
{
    double sum = 0;
    size_t *count = gm_alloc((size_t)UINT16_MAX + 1, sizeof *count);
    if (count == NULL) return NAN;
    for (size_t i = 0; i < n; i++) count[label[i]]++;
    for (size_t s = 0; s <= UINT16_MAX; s++)
        sum += (double)count[s] / (double)n * ((double)count[s] / (double)n);
    gm_free(count);
    return sum;
}
