/* density.c - local radii, and the pull that keeps them. See density.h. */
#include "cluster/density.h"

#include "cluster/elementary.h"
#include "cluster/kdtree.h"

#include <math.h>

static const double TINY = 1e-8; /* umap-learn's, under the logarithm */

gm_density_options gm_density_defaults(void)
{
    return (gm_density_options){.lambda = 2, .fraction = 0.3, .var_shift = 0.1};
}

/* ---- in the space ---- */

/* The distance of i and k, which one of the lists has. */
static double look_up(const gm_knn *knn, size_t i, size_t k)
{
    const size_t width = (size_t)knn->k;
    for (int turn = 0; turn < 2; turn++) {
        for (size_t e = i * width; e < (i + 1) * width; e++)
            if (knn->index[e] == k) return knn->distance[e];
        size_t swap = i;
        i = k, k = swap;
    }
    return 0;
}

void gm_density_radii(double *radius, const gm_graph *graph, const gm_knn *knn)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < graph->n; i++) {
        double sum = 0, all = 0;
        for (uint64_t e = graph->indptr[i]; e < graph->indptr[i + 1]; e++) {
            double d = look_up(knn, i, graph->index[e]);
            sum += (double)graph->weight[e] * d * d;
            all += (double)graph->weight[e];
        }
        radius[i] = all > 0 ? gm_log(TINY + sum / all) : 0;
    }
}

/* ---- for a layout ---- */

static double mean_of(const double *v, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += v[i];
    return sum / (double)n;
}

static double product_of(const double *v, double mean_v, const double *w, double mean_w, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (v[i] - mean_v) * (w[i] - mean_w);
    return sum;
}

gm_status gm_density_init(gm_density *out, const gm_density_options *how, const double *radius,
                          const uint32_t *keep, const gm_graph *part, double a, double b,
                          gm_error *err)
{
    const size_t n = part->n;
    gm_density d = {.how = *how, .n = n, .a = a, .b = b};
    *out = (gm_density){0};
    d.radius = gm_alloc(n, sizeof *d.radius);
    d.mapped = gm_alloc(n, sizeof *d.mapped);
    d.term = gm_alloc2(n, 2, sizeof *d.term);
    if (!d.radius || !d.mapped || !d.term) {
        gm_density_clear(&d);
        return gm_fail(err, GM_EMEM, "no memory for the densities of %zu points", n);
    }
    for (size_t i = 0; i < n; i++) d.radius[i] = radius[keep[i]];
    const double mean = mean_of(d.radius, n);
    const double spread = sqrt(product_of(d.radius, mean, d.radius, mean, n) / (double)n);
    for (size_t i = 0; i < n; i++) d.radius[i] = spread > 0 ? (d.radius[i] - mean) / spread : 0;
    for (uint64_t e = 0; e < part->indptr[n]; e++) d.total += (double)part->weight[e];
    *out = d;
    return GM_OK;
}

void gm_density_clear(gm_density *density)
{
    gm_free(density->radius);
    gm_free(density->mapped);
    gm_free(density->term);
    *density = (gm_density){0};
}

bool gm_density_acts(const gm_density *density, int epoch, int n_epochs)
{
    return density && density->how.lambda > 0 &&
           (double)epoch / (double)n_epochs > 1 - density->how.fraction;
}

static double squared(const float *p, const float *q, size_t dim)
{
    double sum = 0;
    for (size_t c = 0; c < dim; c++) {
        double d = (double)p[c] - (double)q[c];
        sum += d * d;
    }
    return sum;
}

/* a s^b; 0 at 0. */
static double bent(const gm_density *d, double s)
{
    return s > 1e-30 ? d->a * (double)gm_powf((float)s, (float)d->b) : 0;
}

void gm_density_measure(gm_density *d, const float *at, int dim, const gm_graph *graph)
{
    const size_t n = d->n, wide = (size_t)dim;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++) {
        double sum = 0, all = 0;
        for (uint64_t e = graph->indptr[i]; e < graph->indptr[i + 1]; e++) {
            double s = squared(at + wide * i, at + wide * graph->index[e], wide);
            double p = 1 / (1 + bent(d, s));
            sum += p * s, all += p;
        }
        d->mapped[i] = gm_log(TINY + sum / all);
        d->term[2 * i] = (float)(1 / (2 * all)); /* every pair counts twice, as (i,k) and (k,i) */
    }
    const double mean = mean_of(d->mapped, n);
    const double variance =
        fmax(TINY, product_of(d->mapped, mean, d->mapped, mean, n) / (double)n + d->how.var_shift);
    const double shared = product_of(d->mapped, 0, d->radius, 0, n) / ((double)n - 1);
    for (size_t i = 0; i < n; i++) {
        double w = d->radius[i] - shared * (d->mapped[i] - mean) / variance;
        d->term[2 * i] = (float)(w * (double)d->term[2 * i]);
        d->term[2 * i + 1] = (float)((double)d->term[2 * i] * gm_exp(-d->mapped[i]));
    }
    d->scale = 2 * d->how.lambda * d->total / (sqrt(variance) * (double)n);
}

double gm_density_pull(const gm_density *d, size_t i, size_t k, double mu, double s)
{
    if (!(s > 1e-30)) return 0;
    const float *own = d->term + 2 * i, *other = d->term + 2 * k; /* (2) */
    const double over = bent(d, s), p = 1 / (1 + over);
    return d->scale * p / mu *
           ((1 - d->b * (1 - p)) * (double)(own[1] + other[1]) +
            d->b * over / s * p * (double)(own[0] + other[0]));
}

/* ---- how far it was kept ---- */

/* Radii from lists of nearest neighbours alone. */
static gm_status radii_of_lists(double *radius, const gm_knn *knn, gm_error *err)
{
    const size_t n = knn->n, k = (size_t)knn->k;
    double *rho = gm_alloc(n, sizeof *rho), *sigma = gm_alloc(n, sizeof *sigma);
    const bool fine = rho && sigma;
    if (fine) gm_graph_scales(knn, rho, sigma);
#pragma omp parallel for schedule(static) if (fine)
    for (size_t i = 0; i < (fine ? n : 0); i++) {
        double sum = 0, all = 0;
        for (size_t j = 1; j < k; j++) {
            double d = knn->distance[i * k + j];
            double w = d > rho[i] && sigma[i] > 0 ? gm_exp(-(d - rho[i]) / sigma[i]) : 1;
            sum += w * d * d, all += w;
        }
        radius[i] = gm_log(TINY + sum / all);
    }
    gm_free(rho);
    gm_free(sigma);
    return fine ? GM_OK : gm_fail(err, GM_EMEM, "no memory for the densities of %zu points", n);
}

/* Distances (n,k) on the map, the point itself first. */
static gm_status find_near(double *distance, const float *xy, size_t n, int dim, size_t k,
                           gm_error *err)
{
    gm_status status = GM_OK;
    gm_kdtree tree = {0};
    bool fine = true;
    const size_t values = n * (size_t)dim;
    double *at = gm_alloc(values, sizeof *at);
    if (at == NULL) GM_FAIL(GM_EMEM, "no memory for the densities of %zu points", n);
    for (size_t i = 0; i < values; i++) at[i] = (double)xy[i];
    GM_TRY(gm_kdtree_build(&tree, at, n, dim, err));
#pragma omp parallel reduction(&& : fine)
    {
        gm_neighbour *near = gm_alloc(k, sizeof *near);
        fine = near != NULL;
#pragma omp for schedule(dynamic, 256)
        for (size_t i = 0; i < n; i++) {
            size_t found = near ? gm_kdtree_nearest(&tree, i, k - 1, near) : 0;
            distance[i * k] = 0;
            for (size_t j = 0; j < found; j++) distance[i * k + 1 + j] = sqrt(near[j].s);
        }
        gm_free(near);
    }
    if (!fine) GM_FAIL(GM_EMEM, "no memory for neighbours on the map");
out:
    gm_kdtree_clear(&tree);
    gm_free(at);
    return status;
}

gm_status gm_density_kept(double *correlation, const gm_knn *knn, const float *xy, int dim,
                          gm_error *err)
{
    gm_status status = GM_OK;
    const size_t n = knn->n, k = (size_t)knn->k;
    double *distance = gm_alloc2(n, k, sizeof *distance);
    double *there = gm_alloc(n, sizeof *there), *here = gm_alloc(n, sizeof *here);
    *correlation = (double)NAN;
    if (!distance || !there || !here) GM_FAIL(GM_EMEM, "no memory for %zu densities", n);
    GM_TRY(find_near(distance, xy, n, dim, k, err));
    GM_TRY(radii_of_lists(there, knn, err));
    GM_TRY(radii_of_lists(here, &(gm_knn){.n = n, .k = knn->k, .distance = distance}, err));
    const double p = mean_of(there, n), q = mean_of(here, n);
    const double v = product_of(there, p, there, p, n), w = product_of(here, q, here, q, n);
    const double least = 1e-18 * (double)n; /* what rounding gives where all are alike */
    if (v > least * (1 + p * p) && w > least * (1 + q * q))
        *correlation = product_of(there, p, here, q, n) / sqrt(v * w);
out:
    gm_free(distance);
    gm_free(there);
    gm_free(here);
    return status;
}
