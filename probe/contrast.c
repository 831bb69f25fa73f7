/* contrast.c - see contrast.h. */
#include "probe/contrast.h"

#include <gsl/gsl_cdf.h>
#include <math.h>
#include <stdlib.h>

#include "base/cli.h"
#include "base/progress.h"
#include "base/rng.h"
#include "base/threads.h"

enum { AT_ONCE = 64 }; /* permutations between two looks at the clock */
static const double ROUNDING = 1e-12;

/* Sums of the rates of some documents, and of their squares. */
typedef struct sums {
    double *one, *two; /* (L*E) */
} sums;

typedef struct contrasting {
    const gm_contrast_data *data;
    size_t J, n_a, n_b; /* L*E, documents of either group */
    double *mean;       /* (J) over all documents: the rates are what lies above it */
    sums all;
    sums *of;         /* (threads) of the smaller group */
    uint32_t **order; /* (threads)(N) */
    double *largest;  /* (permutations) |t| */
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
    *c = (contrasting){.data = d, .J = J, .threads = gm_most_threads()};
    for (size_t i = 0; i < d->N; i++) c->n_a += d->of_a[i];
    c->n_b = d->N - c->n_a;
    if (c->n_a < 2 || c->n_b < 2)
        return gm_fail(err, GM_EARG, "groups of %zu and %zu documents: each needs two", c->n_a,
                       c->n_b);
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

/* Difference of two means over its standard error; *of: the squared error of either. */
static double welch(double one, double two, double n, double all_one, double all_two, double m,
                    double of[2])
{
    const double rest = all_one - one, difference = one / n - rest / m;
    of[0] = fmax(0, two - one * one / n) / (n - 1) / n;
    of[1] = fmax(0, all_two - two - rest * rest / m) / (m - 1) / m;
    const double error = sqrt(of[0] + of[1]);
    if (error > 1e-7 * fabs(difference) && error > 1e-12) return difference / error;
    return fabs(difference) > 1e-6 ? copysign(INFINITY, difference) : 0;
}

/* The largest |t| when the first documents of the order are the smaller group. */
static double deal(const contrasting *c, sums *of, uint32_t *order, gm_rng rng)
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

static gm_status permute(contrasting *c, size_t permutations, uint64_t seed, bool quiet,
                         gm_error *err)
{
    gm_status status = GM_OK;
    gm_progress progress;
    gm_progress_start(&progress, "contrast", "deals", (double)permutations, quiet);
    for (size_t first = 0; first < permutations; first += AT_ONCE) {
        const size_t end = first + AT_ONCE < permutations ? first + AT_ONCE : permutations;
        if (gm_interrupted()) GM_FAIL(GM_EINTERRUPTED, "interrupted");
#pragma omp parallel for schedule(dynamic)
        for (size_t r = first; r < end; r++)
            c->largest[r] = deal(c, &c->of[gm_thread_number()], c->order[gm_thread_number()],
                                 gm_rng_make(seed, r));
        gm_progress_set(&progress, (double)end);
    }
out:
    gm_progress_end(&progress);
    return status;
}

static int by_size(const void *x, const void *y)
{
    const double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
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

static void describe(contrasting *c, const sums *a, gm_contrast_expert *expert, size_t permutations)
{
    const double n = (double)c->n_a, m = (double)c->n_b;
    const double s = 0.05 * (double)c->data->K / (double)c->data->E;
    qsort(c->largest, permutations, sizeof *c->largest, by_size);
    for (size_t j = 0; j < c->J; j++) {
        gm_contrast_expert *e = &expert[j];
        double of[2];
        e->t = welch(a->one[j], a->two[j], n, c->all.one[j], c->all.two[j], m, of);
        e->rate_a = fmax(0, c->mean[j] + a->one[j] / n);
        e->rate_b = fmax(0, c->mean[j] + (c->all.one[j] - a->one[j]) / m);
        e->difference = e->rate_a - e->rate_b;
        const double both = of[0] + of[1];
        const double freedom = both * both / (of[0] * of[0] / (n - 1) + of[1] * of[1] / (m - 1));
        const double half = both > 1e-24 ? gsl_cdf_tdist_Pinv(0.975, freedom) * sqrt(both) : 0;
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
    centre(&c, data);
    for (size_t i = 0; i < data->N; i++) add(&c.all, data->rate + i * c.J, c.J);
    GM_TRY(permute(&c, permutations, seed, quiet, err));
    sums *a = &c.of[0];
    for (size_t j = 0; j < c.J; j++) a->one[j] = a->two[j] = 0;
    for (size_t i = 0; i < data->N; i++)
        if (data->of_a[i]) add(a, data->rate + i * c.J, c.J);
    describe(&c, a, expert, permutations);
out:
    contrasting_clear(&c);
    return status;
}
