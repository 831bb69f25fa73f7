/* stats_cosine.c - are documents of one subset nearer to each other than to those of others?
 *
 * The cosine is of the documents' usage vectors (L,E). Mean cosines over all pairs come from
 * the sums of vectors brought to length 1: over pairs within a subset of n documents with sum s
 * it is (|s|^2 - n) / (n^2 - n); between subsets likewise, from the sum of all less each's own.
 * One pass, in the documents' order. How far apart the two means are, in standard deviations
 * (Cohen's d, pooled over pairs within and pairs between), takes the pairs themselves: those of up
 * to GM_STATS_COSINE_DOCUMENTS documents drawn by seed. Source of the measures: arXiv:2603.11114.
 */
#include "base/rng.h"
#include "probe/stats.h"
#include "probe/stats_documents.h"

#include <math.h>
#include <stdlib.h>

/* Cosines of pairs: how many, their sum and that of their squares. */
typedef struct pairs {
    double n, sum, squares;
} pairs;

typedef struct cosines {
    gm_stats *stats;
    double *sum;     /* (S+1,LE) of each subset; the last: of all */
    double *number;  /* (S) documents in it */
    uint32_t *drawn; /* (n_drawn) documents whose pairs are met, ascending */
    size_t n_drawn, n_met;
    float *unit;      /* (n_drawn,LE) those that have choices: n_met of them */
    uint16_t *subset; /* (n_drawn) */
    pairs *pair;      /* (n_drawn,2) of a document and those before it: within, between */
} cosines;

static gm_status draw(cosines *c, uint64_t seed, gm_error *err)
{
    size_t N = c->stats->samples->n;
    gm_rng rng = gm_rng_make(seed, UINT64_C(1) << 33);
    c->drawn = gm_alloc(N, sizeof *c->drawn);
    if (c->drawn == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu documents", N);
    for (size_t i = 0; i < N; i++) c->drawn[i] = (uint32_t)i;
    c->n_drawn = N;
    if (N > GM_STATS_COSINE_DOCUMENTS) {
        c->n_drawn = GM_STATS_COSINE_DOCUMENTS;
        gm_rng_shuffle(&rng, c->drawn, N);
        qsort(c->drawn, c->n_drawn, sizeof *c->drawn, gm_ascending_u32);
    }
    return GM_OK;
}

static gm_status cosines_init(cosines *c, uint64_t seed, gm_error *err)
{
    gm_status status = GM_OK;
    gm_stats *s = c->stats;
    size_t LE = s->L * s->E;
    GM_TRY(draw(c, seed, err));
    c->sum = gm_alloc2(s->S + 1, LE, sizeof *c->sum);
    c->number = gm_alloc(s->S, sizeof *c->number);
    c->unit = gm_alloc2(c->n_drawn, LE, sizeof *c->unit);
    c->subset = gm_alloc(c->n_drawn, sizeof *c->subset);
    c->pair = gm_alloc2(c->n_drawn, 2, sizeof *c->pair);
    s->within = gm_alloc(s->S, sizeof *s->within);
    if (!c->sum || !c->number || !c->unit || !c->subset || !c->pair || !s->within)
        GM_FAIL(GM_EMEM, "no memory for usage of %zu subsets", s->S);
out:
    return status;
}

static void cosines_clear(cosines *c)
{
    gm_free(c->sum);
    gm_free(c->number);
    gm_free(c->drawn);
    gm_free(c->unit);
    gm_free(c->subset);
    gm_free(c->pair);
}

/* Documents [first, first+n): to their subset's sum, and to `unit` where drawn. */
static void add_documents(void *context, size_t first, size_t n, const uint32_t *counts)
{
    cosines *c = context;
    size_t LE = c->stats->L * c->stats->E;
    for (size_t d = first; d < first + n; d++, counts += LE) {
        size_t subset = c->stats->samples->subset[d];
        double square = 0, *sum = c->sum + subset * LE;
        bool drawn = bsearch(&(uint32_t){(uint32_t)d}, c->drawn, c->n_drawn, sizeof *c->drawn,
                             gm_ascending_u32) != NULL;
        for (size_t j = 0; j < LE; j++) square += (double)counts[j] * (double)counts[j];
        if (!(square > 0)) continue; /* no choices */
        double length = sqrt(square);
        for (size_t j = 0; j < LE; j++) sum[j] += (double)counts[j] / length;
        c->number[subset]++;
        if (!drawn) continue;
        float *unit = c->unit + c->n_met * LE;
        for (size_t j = 0; j < LE; j++) unit[j] = (float)((double)counts[j] / length);
        c->subset[c->n_met++] = (uint16_t)subset;
    }
}

static double square_of(const double *sum, size_t n)
{
    double square = 0;
    for (size_t j = 0; j < n; j++) square += sum[j] * sum[j];
    return square;
}

static void conclude(cosines *c)
{
    gm_stats *s = c->stats;
    size_t LE = s->L * s->E;
    double n = 0, inside = 0, inside_pairs = 0, squares = 0, number_squares = 0;
    double *all = c->sum + s->S * LE;
    for (size_t subset = 0; subset < s->S; subset++) {
        const double *sum = c->sum + subset * LE;
        double square = square_of(sum, LE), m = c->number[subset];
        for (size_t j = 0; j < LE; j++) all[j] += sum[j];
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

/* ---- pairs of the documents drawn ---- */

/* Four sums, so that one need not wait for another. */
static double dot(const float *a, const float *b, size_t n)
{
    double sum[4] = {0};
    size_t j = 0;
    for (; j + 4 <= n; j += 4)
        for (size_t i = 0; i < 4; i++) sum[i] += (double)a[j + i] * (double)b[j + i];
    for (; j < n; j++) sum[0] += (double)a[j] * (double)b[j];
    return sum[0] + sum[1] + (sum[2] + sum[3]);
}

/* Cosines less `middle`, so that squares lose nothing. */
static void meet(cosines *c, size_t i, double middle)
{
    size_t LE = c->stats->L * c->stats->E;
    for (size_t j = 0; j < i; j++) {
        double value = dot(c->unit + i * LE, c->unit + j * LE, LE) - middle;
        pairs *p = &c->pair[2 * i + (c->subset[i] != c->subset[j])];
        p->n++;
        p->sum += value;
        p->squares += value * value;
    }
}

static void find_effect(cosines *c)
{
    gm_stats *s = c->stats;
    pairs kind[2] = {{0}};
    double middle = s->between_all;
    s->cosine_d = NAN;
    s->cosine_documents = c->n_met;
    if (isnan(middle) || isnan(s->within_all)) return;
#pragma omp parallel for schedule(dynamic, 8)
    for (size_t i = 0; i < c->n_met; i++) meet(c, i, middle);
    for (size_t i = 0; i < 2 * c->n_met; i++) {
        kind[i % 2].n += c->pair[i].n;
        kind[i % 2].sum += c->pair[i].sum;
        kind[i % 2].squares += c->pair[i].squares;
    }
    double within = kind[0].sum / kind[0].n, between = kind[1].sum / kind[1].n;
    double left = kind[0].squares - kind[0].n * within * within + kind[1].squares -
                  kind[1].n * between * between;
    double pooled = left / (kind[0].n + kind[1].n - 2);
    if (pooled > 1e-12) s->cosine_d = (within - between) / sqrt(pooled); /* above rounding */
}

gm_status gm_stats_cosines(gm_stats *s, gm_trace *trace, uint64_t seed, gm_error *err)
{
    gm_status status = GM_OK;
    cosines c = {.stats = s};
    GM_TRY(cosines_init(&c, seed, err));
    GM_TRY(gm_stats_for_documents(trace, add_documents, &c, err));
    conclude(&c);
    find_effect(&c);
out:
    cosines_clear(&c);
    return status;
}
