/* stats_cosine.c - are documents of one subset nearer to each other than to those of others?
 *
 * The cosine is of the documents' usage vectors (L,E). Mean cosines over all pairs come from
 * the sums of vectors brought to length 1: over pairs within a subset of n documents with sum s
 * it is (|s|^2 - n) / (n^2 - n); between subsets likewise, from the sum of all less each's own.
 * One pass, in the documents' order. Source of the measure: arXiv:2603.11114.
 */
#include <math.h>

#include "base/cli.h"
#include "probe/stats.h"

enum { DOCUMENTS_AT_ONCE = 256 };

/* Add counts (n) over their length to sum (n); false for a document without choices. */
static bool add_unit(double *sum, const uint32_t *counts, size_t n)
{
    double square = 0;
    for (size_t j = 0; j < n; j++) square += (double)counts[j] * (double)counts[j];
    if (!(square > 0)) return false;
    for (size_t j = 0; j < n; j++) sum[j] += (double)counts[j] / sqrt(square);
    return true;
}

static double square_of(const double *sum, size_t n)
{
    double square = 0;
    for (size_t j = 0; j < n; j++) square += sum[j] * sum[j];
    return square;
}

/* sum (S,LE), number (S): of each subset. */
static void conclude(gm_stats *s, const double *sum, const double *number, double *all)
{
    size_t LE = s->L * s->E;
    double n = 0, inside = 0, inside_pairs = 0, squares = 0, number_squares = 0;
    for (size_t subset = 0; subset < s->S; subset++) {
        double square = square_of(sum + subset * LE, LE), m = number[subset];
        for (size_t j = 0; j < LE; j++) all[j] += sum[subset * LE + j];
        s->within[subset] = m > 1 ? (square - m) / (m * m - m) : NAN;
        inside += square - m;
        inside_pairs += m * m - m;
        squares += square;
        number_squares += m * m;
        n += m;
    }
    double outside_pairs = n * n - number_squares;
    s->within_all = inside_pairs > 0 ? inside / inside_pairs : NAN;
    s->between_all = outside_pairs > 0 ? (square_of(all, LE) - squares) / outside_pairs : NAN;
}

gm_status gm_stats_cosines(gm_stats *s, gm_trace *trace, gm_error *err)
{
    gm_status status = GM_OK;
    size_t LE = s->L * s->E, N = s->samples->n;
    uint32_t *counts = gm_alloc2(DOCUMENTS_AT_ONCE, LE, sizeof *counts);
    double *sum = gm_alloc2(s->S + 1, LE, sizeof *sum); /* the last: of all */
    double *number = gm_alloc(s->S, sizeof *number);
    s->within = gm_alloc(s->S, sizeof *s->within);
    if (!counts || !sum || !number || !s->within)
        GM_FAIL(GM_EMEM, "no memory for usage of %zu subsets", s->S);
    for (size_t i = 0; i < N; i += DOCUMENTS_AT_ONCE) {
        size_t n = N - i < DOCUMENTS_AT_ONCE ? N - i : DOCUMENTS_AT_ONCE;
        if (gm_interrupted()) GM_FAIL(GM_EINTERRUPTED, "interrupted");
        GM_TRY(gm_trace_read_counts(trace, i, n, counts, err));
        for (size_t d = 0; d < n; d++) {
            size_t subset = s->samples->subset[i + d];
            number[subset] += add_unit(sum + subset * LE, counts + d * LE, LE);
        }
    }
    conclude(s, sum, number, sum + s->S * LE);
out:
    gm_free(counts);
    gm_free(sum);
    gm_free(number);
    return status;
}
