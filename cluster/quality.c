/* quality.c - agreement of labelings, trustworthiness, purity of neighbourhoods. */
#include "cluster/quality.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LABEL = 65535 };

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

/* Mutual information of labelings with these sums when everything else is chance.
 * log_factorial (n+1). Source: Vinh, Epps, Bailey 2010; scikit-learn. */
static double expected_mutual(const table *t, size_t n, const double *log_factorial)
{
    const double N = (double)n, *f = log_factorial;
    double sum = 0;
    for (size_t r = 0; r < t->rows; r++)
        for (size_t c = 0; c < t->cols; c++) {
            size_t a = (size_t)t->row[r], b = (size_t)t->col[c];
            size_t least = a + b > n ? a + b - n : 1, most = a < b ? a : b;
            for (size_t m = least > 0 ? least : 1; m <= most; m++) {
                double share = (double)m / N * log(N * (double)m / ((double)a * (double)b));
                double how_likely = f[a] + f[b] + f[n - a] + f[n - b] - f[n] - f[m] - f[a - m] -
                                    f[b - m] - f[n - a - b + m];
                sum += share * exp(how_likely);
            }
        }
    return sum;
}

static gm_status adjust(gm_agreement *out, const table *t, size_t n, gm_error *err)
{
    double *f = gm_alloc(n + 1, sizeof *f);
    if (f == NULL) return gm_fail(err, GM_EMEM, "no memory to adjust for chance");
    for (size_t i = 1; i <= n; i++) f[i] = f[i - 1] + log((double)i);
    double found = entropy(t->row, t->rows, (double)n), truth = entropy(t->col, t->cols, (double)n);
    double chance = expected_mutual(t, n, f), range = (found + truth) / 2 - chance;
    double above = out->homogeneity * truth - chance;
    range = range < 0 ? fmin(range, -DBL_EPSILON) : fmax(range, DBL_EPSILON);
    out->ami = found == 0 && truth == 0 ? 1 : above / range; /* both one class: 1 */
    gm_free(f);
    return GM_OK;
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
    GM_TRY(adjust(out, &t, n, err));
out:
    gm_free(t.cell);
    gm_free(t.row);
    gm_free(t.col);
    return status;
}

/* ---- samples ---- */

size_t gm_quality_sample(uint32_t *out, size_t n, size_t most)
{
    size_t m = most < n ? most : n;
    for (size_t i = 0; i < m; i++) out[i] = (uint32_t)(i * n / m);
    return m;
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

/* ---- lengths ---- */

typedef struct ranked {
    uint32_t length, at;
} ranked;

static int by_length(const void *p, const void *q)
{
    const ranked *a = p, *b = q;
    if (a->length != b->length) return a->length < b->length ? -1 : 1;
    return (a->at > b->at) - (a->at < b->at);
}

/* rank (n): equal lengths get the mean of their ranks. order (n) is scratch. */
static void find_ranks(double *rank, ranked *order, const uint32_t *length, size_t n)
{
    for (size_t i = 0; i < n; i++) order[i] = (ranked){length[i], (uint32_t)i};
    qsort(order, n, sizeof *order, by_length);
    for (size_t i = 0; i < n;) {
        size_t end = i;
        while (end < n && order[end].length == order[i].length) end++;
        for (size_t j = i; j < end; j++) rank[order[j].at] = (double)(i + end - 1) / 2;
        i = end;
    }
}

static double correlation_with_noise(const double *rank, const int32_t *label, size_t n)
{
    double mean = (double)(n - 1) / 2, share = 0, both = 0, of_rank = 0;
    for (size_t i = 0; i < n; i++) share += label[i] < 0 ? 1 / (double)n : 0;
    for (size_t i = 0; i < n; i++) {
        both += (rank[i] - mean) * ((label[i] < 0) - share);
        of_rank += (rank[i] - mean) * (rank[i] - mean);
    }
    double of_noise = (double)n * share * (1 - share);
    return of_rank > 0 && of_noise > 0 ? both / sqrt(of_rank * of_noise) : (double)NAN;
}

/* sum, count (n_clusters) are zero. Ranks are those among all documents. */
static double ratio_with_cluster(const double *rank, const int32_t *label, size_t n,
                                 size_t n_clusters, double *sum, double *count)
{
    double all = 0, m = 0, total = 0, between = 0, used = 0;
    for (size_t i = 0; i < n; i++) {
        if (label[i] < 0) continue;
        sum[label[i]] += rank[i], count[label[i]]++;
        all += rank[i], m++;
    }
    for (size_t i = 0; i < n; i++)
        if (label[i] >= 0) total += (rank[i] - all / m) * (rank[i] - all / m);
    for (size_t c = 0; c < n_clusters; c++) {
        if (!(count[c] > 0)) continue;
        double d = sum[c] / count[c] - all / m;
        between += count[c] * d * d, used++;
    }
    if (!(total > 0) || used < 2 || m <= used) return (double)NAN;
    double left = 1 - (1 - between / total) * (m - 1) / (m - used);
    return left > 0 ? sqrt(left) : 0;
}

gm_status gm_quality_lengths(double *noise, double *cluster, const uint32_t *length,
                             const int32_t *label, size_t n, size_t n_clusters, gm_error *err)
{
    gm_status status = GM_OK;
    double *rank = gm_alloc(n, sizeof *rank), *sum = gm_alloc(n_clusters, sizeof *sum);
    double *count = gm_alloc(n_clusters, sizeof *count);
    ranked *order = gm_alloc(n, sizeof *order);
    *noise = *cluster = (double)NAN;
    if (!rank || !sum || !count || !order)
        GM_FAIL(GM_EMEM, "no memory for the lengths of %zu documents", n);
    find_ranks(rank, order, length, n);
    *noise = correlation_with_noise(rank, label, n);
    *cluster = ratio_with_cluster(rank, label, n, n_clusters, sum, count);
out:
    gm_free(rank);
    gm_free(sum);
    gm_free(count);
    gm_free(order);
    return status;
}
