/* quality.c - agreement of labelings, purity of neighbourhoods, what lengths decide. */
#include "cluster/quality.h"

#include "base/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- two labelings ---- */

/* The points of each label that occurs, labels rising. */
typedef struct side {
    size_t n;
    int32_t *label; /* (n) */
    double *count;  /* (n) points */
} side;

/* How often two labels meet in a point. Most pairs of many labels never do. */
typedef struct meeting {
    uint32_t row, col; /* places of the labels in their sides */
    double count;
} meeting;

typedef struct table {
    side row, col;
    size_t n_cells;
    meeting *cell; /* (n_cells) row by row, columns rising */
} table;

static void table_clear(table *t)
{
    gm_free(t->row.label);
    gm_free(t->row.count);
    gm_free(t->col.label);
    gm_free(t->col.count);
    gm_free(t->cell);
}

static double pairs(double n)
{
    return n * (n - 1) / 2;
}

static double entropy(const side *s, double total)
{
    double h = 0;
    for (size_t i = 0; i < s->n; i++) h -= s->count[i] / total * log(s->count[i] / total);
    return h;
}

static int by_label(const void *p, const void *q)
{
    int32_t a = *(const int32_t *)p, b = *(const int32_t *)q;
    return (a > b) - (a < b);
}

static gm_status fill_side(side *s, const int32_t *label, size_t n, gm_error *err)
{
    for (size_t i = 0; i < n; i++)
        if (label[i] < -1)
            return gm_fail(err, GM_EARG, "label %d of point %zu, expected -1 or more", label[i], i);
    s->label = gm_alloc(n, sizeof *s->label);
    s->count = gm_alloc(n, sizeof *s->count);
    if (!s->label || !s->count) return gm_fail(err, GM_EMEM, "no memory to compare clusters");
    memcpy(s->label, label, n * sizeof *label);
    qsort(s->label, n, sizeof *s->label, by_label);
    for (size_t i = 0; i < n; i++) {
        if (s->n == 0 || s->label[i] != s->label[s->n - 1]) s->label[s->n++] = s->label[i];
        s->count[s->n - 1]++;
    }
    return GM_OK;
}

static uint32_t place_of(const side *s, int32_t label)
{
    const int32_t *at = bsearch(&label, s->label, s->n, sizeof label, by_label);
    return (uint32_t)(at - s->label);
}

static int by_place(const void *p, const void *q)
{
    const meeting *a = p, *b = q;
    if (a->row != b->row) return a->row < b->row ? -1 : 1;
    return (a->col > b->col) - (a->col < b->col);
}

static gm_status fill_table(table *t, const int32_t *found, const int32_t *truth, size_t n,
                            gm_error *err)
{
    gm_status status = GM_OK;
    GM_TRY(fill_side(&t->row, found, n, err));
    GM_TRY(fill_side(&t->col, truth, n, err));
    t->cell = gm_alloc(n, sizeof *t->cell);
    if (t->cell == NULL)
        GM_FAIL(GM_EMEM, "no memory to compare %zu clusters with %zu classes", t->row.n, t->col.n);
    for (size_t i = 0; i < n; i++)
        t->cell[i] = (meeting){place_of(&t->row, found[i]), place_of(&t->col, truth[i]), 1};
    qsort(t->cell, n, sizeof *t->cell, by_place);
    for (size_t i = 0; i < n; i++) {
        if (t->n_cells > 0 && by_place(&t->cell[t->n_cells - 1], &t->cell[i]) == 0)
            t->cell[t->n_cells - 1].count++;
        else
            t->cell[t->n_cells++] = t->cell[i];
    }
out:
    return status;
}

static void compare(gm_agreement *out, const table *t, double n)
{
    double mutual = 0, same = 0, same_row = 0, same_col = 0;
    for (size_t r = 0, i = 0; r < t->row.n; r++) {
        double most = 0;
        for (; i < t->n_cells && t->cell[i].row == r; i++) {
            double m = t->cell[i].count, both = t->row.count[r] * t->col.count[t->cell[i].col];
            mutual += m / n * log(m * n / both);
            same += pairs(m);
            most = fmax(most, m);
        }
        out->purity += most / n;
        same_row += pairs(t->row.count[r]);
    }
    for (size_t c = 0; c < t->col.n; c++) same_col += pairs(t->col.count[c]);
    double found = entropy(&t->row, n), truth = entropy(&t->col, n);
    out->homogeneity = truth > 0 ? mutual / truth : 1;
    out->completeness = found > 0 ? mutual / found : 1;
    double sum = out->homogeneity + out->completeness;
    out->nmi = sum > 0 ? 2 * out->homogeneity * out->completeness / sum : 0;
    double chance = n > 1 ? same_row * same_col / pairs(n) : 0;
    double range = (same_row + same_col) / 2 - chance;
    out->ari = range != 0 ? (same - chance) / range : 1;
}

/* What labels of a and b points share by chance, of n: their part of the mutual information.
 * log_factorial (n+1). */
static double expected_share(size_t a, size_t b, size_t n, const double *log_factorial)
{
    const double N = (double)n, *f = log_factorial;
    double sum = 0;
    for (size_t m = a + b > n ? a + b - n : 1; m <= (a < b ? a : b); m++) {
        double share = (double)m / N * log(N * (double)m / ((double)a * (double)b));
        double how_likely = f[a] + f[b] + f[n - a] + f[n - b] - f[n] - f[m] - f[a - m] - f[b - m] -
                            f[n - a - b + m];
        sum += share * exp(how_likely);
    }
    return sum;
}

/* Mutual information of labelings with these sums when everything else is chance. Labels of as
 * many points share as much, so each pair of sizes is worked out once; both sides' counts are
 * sorted for it. Source: Vinh, Epps, Bailey 2010; scikit-learn. */
static double expected_mutual(table *t, size_t n, const double *log_factorial)
{
    const double *a = t->row.count, *b = t->col.count;
    double sum = 0;
    qsort(t->row.count, t->row.n, sizeof *t->row.count, gm_ascending);
    qsort(t->col.count, t->col.n, sizeof *t->col.count, gm_ascending);
    for (size_t r = 0, r_end; r < t->row.n; r = r_end) {
        for (r_end = r; r_end < t->row.n && !(a[r_end] > a[r]);) r_end++;
        for (size_t c = 0, c_end; c < t->col.n; c = c_end) {
            for (c_end = c; c_end < t->col.n && !(b[c_end] > b[c]);) c_end++;
            sum += (double)(r_end - r) * (double)(c_end - c) *
                   expected_share((size_t)a[r], (size_t)b[c], n, log_factorial);
        }
    }
    return sum;
}

static gm_status adjust(gm_agreement *out, table *t, size_t n, gm_error *err)
{
    double *f = gm_alloc(n + 1, sizeof *f);
    if (f == NULL) return gm_fail(err, GM_EMEM, "no memory to adjust for chance");
    for (size_t i = 1; i <= n; i++) f[i] = f[i - 1] + log((double)i);
    double found = entropy(&t->row, (double)n), truth = entropy(&t->col, (double)n);
    double chance = expected_mutual(t, n, f), range = (found + truth) / 2 - chance;
    double above = out->homogeneity * truth - chance;
    /* Where both are each point by itself, chance does as well: 0 / 0 but for rounding. */
    const bool same = t->n_cells == t->row.n && t->n_cells == t->col.n;
    const bool one = t->row.n == 1 || t->col.n == 1;
    out->ami = same ? 1 : one ? 0 : above / range;
    gm_free(f);
    return GM_OK;
}

gm_status gm_quality_agreement(gm_agreement *out, const int32_t *found, const int32_t *truth,
                               size_t n, gm_error *err)
{
    gm_status status = GM_OK;
    table t = {0};
    *out = (gm_agreement){0};
    if (n == 0) return gm_fail(err, GM_EARG, "there are no points whose labels could be compared");
    GM_TRY(fill_table(&t, found, truth, n, err));
    compare(out, &t, (double)n);
    GM_TRY(adjust(out, &t, n, err));
out:
    table_clear(&t);
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

double gm_quality_purity(const gm_knn *knn, const uint16_t *label)
{
    size_t same = 0, k = (size_t)knn->k;
    for (size_t q = 0; q < knn->n; q++)
        for (size_t i = 1; i < k; i++) same += label[knn->index[q * k + i]] == label[q];
    return (double)same / ((double)knn->n * (double)(k - 1));
}

gm_status gm_quality_chance(double *chance, const uint16_t *label, size_t n, gm_error *err)
{
    size_t *count = gm_alloc((size_t)UINT16_MAX + 1, sizeof *count);
    *chance = 0;
    if (count == NULL) return gm_fail(err, GM_EMEM, "no memory to count labels");
    for (size_t i = 0; i < n; i++) count[label[i]]++;
    for (size_t s = 0; s <= UINT16_MAX; s++) {
        const double share = (double)count[s] / (double)n;
        *chance += share * share;
    }
    gm_free(count);
    return GM_OK;
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
    size_t n_noise = 0;
    for (size_t i = 0; i < n; i++) n_noise += label[i] < 0;
    const double mean = (double)(n - 1) / 2, share = (double)n_noise / (double)n;
    double both = 0, of_rank = 0;
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
