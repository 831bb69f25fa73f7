/* contrast.c - see contrast.h. */
#include "probe/contrast.h"

#include "base/cli.h"
#include "base/progress.h"
#include "base/rng.h"
#include "base/threads.h"

#include <gsl/gsl_cdf.h>

#include <math.h>
#include <stdlib.h>

enum { BATCH = 64 }; /* permutations between two checks for a signal */
static const double ROUNDING = 1e-12;
static const double OF_RATES = 1e-7; /* roundings of two rates to f32, and of their difference */

/* Sums of the rates of some documents, and of their squares. */
typedef struct sums {
    double *one, *two; /* (L*E) */
} sums;

typedef struct contrasting {
    const gm_contrast_data *data;
    size_t J, n_a, n_b; /* L*E, documents of either group */
    double *mean;       /* (J) over all documents: the rates are what lies above it */
    sums all;           /* of all documents, or of the differences of all pairs */
    sums *of;           /* (threads) of the smaller group, or of pairs with their signs */
    uint32_t **order;   /* (threads)(N) */
    double *largest;    /* (permutations) |t| */
    size_t threads;
} contrasting;

static void contrasting_clear(contrasting *c)
{
    for (size_t i = 0; c->of && c->order && i < c->threads; i++) {
        gm_free(c->of[i].one);
        gm_free(c->of[i].two);
        gm_free(c->order[i]);
    }
    gm_free(c->of);
    gm_free(c->order);
    gm_free(c->mean);
    gm_free(c->all.one);
    gm_free(c->all.two);
    gm_free(c->largest);
}

static gm_status contrasting_init(contrasting *c, const gm_contrast_data *d, size_t permutations,
                                  gm_error *err)
{
    const size_t J = d->L * d->E;
    *c = (contrasting){.data = d, .J = J, .threads = gm_max_threads()};
    for (size_t i = 0; i < d->N; i++) c->n_a += d->of_a[i];
    c->n_b = d->N - c->n_a;
    if (d->pair && d->n_pairs < 2)
        return gm_fail(err, GM_EARG, "found %zu pair%s, expected at least two", d->n_pairs,
                       gm_plural(d->n_pairs));
    if (d->pair) c->n_a = c->n_b = d->n_pairs;
    if (c->n_a < 2 || c->n_b < 2)
        return gm_fail(err, GM_EARG,
                       "the groups have %zu and %zu documents, expected at least two in each",
                       c->n_a, c->n_b);
    c->mean = gm_alloc(J, sizeof *c->mean);
    c->all = (sums){gm_alloc(J, sizeof(double)), gm_alloc(J, sizeof(double))};
    c->of = gm_alloc(c->threads, sizeof *c->of);
    c->order = gm_alloc(c->threads, sizeof *c->order);
    c->largest = gm_alloc(permutations, sizeof *c->largest);
    bool fine = c->mean && c->all.one && c->all.two && c->of && c->order && c->largest;
    for (size_t i = 0; fine && i < c->threads; i++) {
        c->of[i] = (sums){gm_alloc(J, sizeof(double)), gm_alloc(J, sizeof(double))};
        c->order[i] = gm_alloc(d->N, sizeof **c->order);
        fine = c->of[i].one && c->of[i].two && c->order[i];
    }
    return fine ? GM_OK : gm_fail(err, GM_EMEM, "no memory to contrast %zu documents", d->N);
}

/* Take the mean of all off every rate, so that little is lost in what remains. */
static void centre(contrasting *c, gm_contrast_data *d)
{
    for (size_t i = 0; i < d->N; i++)
        for (size_t j = 0; j < c->J; j++) c->mean[j] += (double)d->rate[i * c->J + j];
    for (size_t j = 0; j < c->J; j++) c->mean[j] /= (double)d->N;
    for (size_t i = 0; i < d->N; i++)
        for (size_t j = 0; j < c->J; j++) {
            float *rate = &d->rate[i * c->J + j];
            *rate = (float)((double)*rate - c->mean[j]);
        }
}

static void add(sums *to, const float *rate, size_t J)
{
    for (size_t j = 0; j < J; j++) {
        double r = (double)rate[j];
        to->one[j] += r;
        to->two[j] += r * r;
    }
}

/* Let the first row of every pair be the difference, and the rates of `expert` the means over
 * pairs. */
static void pair_up(contrasting *c, gm_contrast_data *d, gm_contrast_expert *expert)
{
    for (size_t j = 0; j < c->J; j++) expert[j].rate_a = expert[j].rate_b = 0;
    for (size_t p = 0; p < d->n_pairs; p++) {
        float *a = d->rate + d->pair[2 * p] * c->J;
        const float *b = d->rate + d->pair[2 * p + 1] * c->J;
        for (size_t j = 0; j < c->J; j++) {
            expert[j].rate_a += (double)a[j] / (double)d->n_pairs;
            expert[j].rate_b += (double)b[j] / (double)d->n_pairs;
            a[j] -= b[j];
        }
        add(&c->all, a, c->J);
    }
}

/* t of a difference and its squared standard error. */
static double t_of(double difference, double squared)
{
    const double error = sqrt(squared);
    if (error > 1e-7 * fabs(difference) && error > 1e-12) return difference / error;
    return fabs(difference) > 1e-6 ? copysign(INFINITY, difference) : 0;
}

/* Difference of two means over its standard error; *of: the squared error of either. */
static double welch(double one, double two, double n, double all_one, double all_two, double m,
                    double of[2])
{
    const double rest = all_one - one;
    of[0] = fmax(0, two - one * one / n) / (n - 1) / n;
    of[1] = fmax(0, all_two - two - rest * rest / m) / (m - 1) / m;
    return t_of(one / n - rest / m, of[0] + of[1]);
}

/* Mean of n differences over its standard error; *of: this, squared. Differences that are apart
 * by rounding only are all the same. */
static double paired(double one, double two, double n, double *of)
{
    const double variance = fmax(0, two - one * one / n) / (n - 1);
    *of = variance > OF_RATES * OF_RATES ? variance / n : 0;
    return t_of(one / n, *of);
}

/* The largest |t| when a random order, written, puts the smaller group first. */
static double permuted_groups(const contrasting *c, sums *of, uint32_t *order, gm_rng rng)
{
    const size_t N = c->data->N, J = c->J, few = c->n_a < c->n_b ? c->n_a : c->n_b;
    double largest = 0, unused[2];
    for (size_t i = 0; i < N; i++) order[i] = (uint32_t)i;
    gm_rng_shuffle(&rng, order, N);
    for (size_t j = 0; j < J; j++) of->one[j] = of->two[j] = 0;
    for (size_t i = 0; i < few; i++) add(of, c->data->rate + (size_t)order[i] * J, J);
    for (size_t j = 0; j < J; j++)
        largest = fmax(largest, fabs(welch(of->one[j], of->two[j], (double)few, c->all.one[j],
                                           c->all.two[j], (double)(N - few), unused)));
    return largest;
}

/* The largest |t| when the two documents of random pairs are exchanged. */
static double flipped_pairs(const contrasting *c, sums *of, gm_rng rng)
{
    const gm_contrast_data *d = c->data;
    double largest = 0, unused;
    uint32_t signs = 0;
    for (size_t j = 0; j < c->J; j++) of->one[j] = 0;
    for (size_t p = 0; p < d->n_pairs; p++) {
        const float *difference = d->rate + d->pair[2 * p] * c->J;
        signs = p % 32 == 0 ? gm_rng_next(&rng) : signs >> 1;
        const double sign = signs & 1 ? -1 : 1;
        for (size_t j = 0; j < c->J; j++) of->one[j] += sign * (double)difference[j];
    }
    for (size_t j = 0; j < c->J; j++)
        largest =
            fmax(largest, fabs(paired(of->one[j], c->all.two[j], (double)d->n_pairs, &unused)));
    return largest;
}

static gm_status permute(contrasting *c, size_t permutations, uint64_t seed, bool quiet,
                         gm_error *err)
{
    gm_status status = GM_OK;
    gm_progress progress;
    gm_progress_start(&progress, "contrast", "permutations", (double)permutations, quiet);
    for (size_t first = 0; first < permutations; first += BATCH) {
        const size_t end = first + BATCH < permutations ? first + BATCH : permutations;
        if (gm_interrupted()) GM_FAIL(GM_EINTERRUPTED, "interrupted");
#pragma omp parallel for schedule(dynamic)
        for (size_t r = first; r < end; r++) {
            sums *of = &c->of[gm_thread_number()];
            const gm_rng rng = gm_rng_make(seed, r);
            c->largest[r] = c->data->pair
                                ? flipped_pairs(c, of, rng)
                                : permuted_groups(c, of, c->order[gm_thread_number()], rng);
        }
        gm_progress_set(&progress, (double)end);
    }
out:
    gm_progress_end(&progress);
    return status;
}

/* Of all permutations those whose largest |t| is at least this: `largest` ascends. */
static double p_of(const double *largest, size_t n, double t)
{
    size_t lo = 0, hi = n;
    const double least = fabs(t) * (1 - ROUNDING);
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (largest[mid] < least)
            lo = mid + 1;
        else
            hi = mid;
    }
    return (1 + (double)(n - lo)) / (1 + (double)n);
}

/* Rates and t of expert j of two groups; *squared, *freedom: of the difference. */
static void describe_groups(const contrasting *c, size_t j, gm_contrast_expert *e, double *squared,
                            double *freedom)
{
    const double n = (double)c->n_a, m = (double)c->n_b, one = c->of[0].one[j];
    double of[2];
    e->t = welch(one, c->of[0].two[j], n, c->all.one[j], c->all.two[j], m, of);
    e->rate_a = fmax(0, c->mean[j] + one / n);
    e->rate_b = fmax(0, c->mean[j] + (c->all.one[j] - one) / m);
    *squared = of[0] + of[1];
    *freedom = *squared * *squared / (of[0] * of[0] / (n - 1) + of[1] * of[1] / (m - 1));
}

static void describe(contrasting *c, gm_contrast_expert *expert, size_t permutations)
{
    const gm_contrast_data *d = c->data;
    const double s = 0.05 * (double)d->K / (double)d->E;
    qsort(c->largest, permutations, sizeof *c->largest, gm_ascending);
    for (size_t j = 0; j < c->J; j++) {
        gm_contrast_expert *e = &expert[j];
        double squared, freedom = (double)c->n_a - 1;
        if (d->pair)
            e->t = paired(c->all.one[j], c->all.two[j], (double)d->n_pairs, &squared);
        else
            describe_groups(c, j, e, &squared, &freedom);
        e->difference = e->rate_a - e->rate_b;
        const double half =
            squared > 1e-24 ? gsl_cdf_tdist_Pinv(0.975, freedom) * sqrt(squared) : 0;
        e->low = e->difference - half;
        e->high = e->difference + half;
        e->p = permutations > 0 ? p_of(c->largest, permutations, e->t) : (double)NAN;
        e->log_ratio = log((e->rate_a + s) / (e->rate_b + s));
    }
}

gm_status gm_contrast_make(gm_contrast_expert *expert, gm_contrast_data *data, size_t permutations,
                           uint64_t seed, bool quiet, gm_error *err)
{
    gm_status status = GM_OK;
    contrasting c = {0};
    GM_TRY(contrasting_init(&c, data, permutations, err));
    if (data->pair) {
        pair_up(&c, data, expert);
    } else {
        centre(&c, data);
        for (size_t i = 0; i < data->N; i++) add(&c.all, data->rate + i * c.J, c.J);
    }
    GM_TRY(permute(&c, permutations, seed, quiet, err));
    sums *a = &c.of[0];
    for (size_t j = 0; j < c.J; j++) a->one[j] = a->two[j] = 0;
    for (size_t i = 0; data->pair == NULL && i < data->N; i++)
        if (data->of_a[i]) add(a, data->rate + i * c.J, c.J);
    describe(&c, expert, permutations);
out:
    contrasting_clear(&c);
    return status;
}
