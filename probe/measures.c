/* measures.c - load, information and specialisation from counts. */
#include "probe/measures.h"

#include <math.h>
#include <stdlib.h>

static int descending(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x < y) - (x > y);
}

/* x log2 x, 0 at 0 */
static double x_log2_x(double x)
{
    return x > 0 ? x * log2(x) : 0;
}

gm_load gm_load_of(const uint64_t *count, uint64_t *scratch, size_t E)
{
    gm_load load = {0};
    for (size_t e = 0; e < E; e++) {
        scratch[e] = count[e];
        load.choices += count[e];
        load.dead += count[e] == 0;
    }
    if (load.choices == 0) return load;
    qsort(scratch, E, sizeof *scratch, descending);
    double n = (double)load.choices, mean = n / (double)E, pairs = 0, squares = 0, logs = 0;
    uint64_t had = 0;
    for (size_t i = 0; i < E; i++) {
        double c = (double)scratch[i];
        /* the i-th largest is the larger one of E-1-i pairs and the smaller of i */
        pairs += c * ((double)(E - 1 - i) - (double)i);
        squares += (c - mean) * (c - mean);
        logs += x_log2_x(c);
        if (2 * had < load.choices) load.committee++;
        had += scratch[i];
    }
    load.gini = pairs / ((double)E * n); /* each pair once: over E n instead of 2 E n */
    load.cv = sqrt(squares / (double)E) / mean;
    load.max_over_mean = (double)scratch[0] / mean;
    load.entropy_bits = fmax(0, log2(n) - logs / n);
    return load;
}

uint64_t gm_capacity_of(uint64_t tokens, size_t K, size_t E, unsigned quarters)
{
    const uint64_t divisor = 4 * (uint64_t)E;
    return (tokens * K * quarters + divisor - 1) / divisor;
}

uint64_t gm_dropped_of(uint64_t count, uint64_t capacity)
{
    return count > capacity ? count - capacity : 0;
}

enum { TOGETHER = 16 }; /* columns summed in one pass over the rows */

gm_mutual gm_mutual_of(const uint64_t *table, size_t rows, size_t columns, size_t stride)
{
    gm_mutual mutual = {0};
    size_t n_rows = 0, n_columns = 0, n_cells = 0;
    double row_logs = 0, column_logs = 0, cell_logs = 0; /* sums of x log2 x */
    for (size_t r = 0; r < rows; r++) {
        uint64_t sum = 0;
        for (size_t c = 0; c < columns; c++) {
            uint64_t cell = table[r * stride + c];
            sum += cell;
            n_cells += cell > 0;
            cell_logs += x_log2_x((double)cell);
        }
        mutual.n += sum;
        n_rows += sum > 0;
        row_logs += x_log2_x((double)sum);
    }
    if (mutual.n == 0) return mutual;
    for (size_t first = 0; first < columns; first += TOGETHER) { /* a row's cells lie together */
        uint64_t sum[TOGETHER] = {0};
        size_t here = columns - first < TOGETHER ? columns - first : TOGETHER;
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < here; c++) sum[c] += table[r * stride + first + c];
        for (size_t c = 0; c < here; c++) {
            n_columns += sum[c] > 0;
            column_logs += x_log2_x((double)sum[c]);
        }
    }
    double n = (double)mutual.n, whole = x_log2_x(n);
    double spare = (double)n_cells - (double)n_rows - (double)n_columns + 1;
    mutual.row_bits = fmax(0, (whole - row_logs) / n);
    mutual.column_bits = fmax(0, (whole - column_logs) / n);
    mutual.bits = fmax(0, (cell_logs - row_logs - column_logs + whole) / n);
    mutual.miller_madow_bits = mutual.bits - spare / (2 * n * log(2));
    return mutual;
}

gm_domain_measure gm_domain_of(uint64_t both, uint64_t in_domain, uint64_t chose, uint64_t n,
                               size_t E, size_t K, uint64_t support)
{
    gm_domain_measure m = {NAN, NAN, NAN, NAN};
    if (in_domain == 0) return m;
    double inside = (double)both / (double)in_domain, overall = (double)chose / (double)n;
    double smooth = 0.05 * (double)K / (double)E;
    m.specialisation = inside;
    m.lift = (inside + smooth) / (overall + smooth);
    if (n > in_domain)
        m.risk_difference = inside - (double)(chose - both) / (double)(n - in_domain);
    double expected = overall * (double)in_domain;
    if (chose == 0 || fmax((double)both, expected) < (double)support) return m;
    double joint = (double)both / (double)n;
    if (both == 0)
        m.npmi = -1;
    else if (both == n) /* all tokens are of the domain and chose it: nothing is told */
        m.npmi = 0;
    else
        m.npmi = log(joint / (overall * ((double)in_domain / (double)n))) / -log(joint);
    return m;
}

double gm_cosine_of(const uint64_t *a, const uint64_t *b, size_t n)
{
    double product = 0, a_square = 0, b_square = 0;
    for (size_t i = 0; i < n; i++) {
        product += (double)a[i] * (double)b[i];
        a_square += (double)a[i] * (double)a[i];
        b_square += (double)b[i] * (double)b[i];
    }
    return a_square > 0 && b_square > 0 ? product / (sqrt(a_square) * sqrt(b_square)) : NAN;
}
