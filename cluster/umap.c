/* umap.c - the steps of UMAP in order. See umap.h. */
#include "cluster/umap.h"

#include "cluster/curve.h"

#include <assert.h>
#include <math.h>
#include <string.h>

gm_umap_options gm_umap_defaults(void)
{
    return (gm_umap_options){.dim = 2,
                             .min_dist = 0.1,
                             .spread = 1,
                             .mix = 1,
                             .learning_rate = 1,
                             .repulsion = 1,
                             .negative_rate = 5,
                             .density = gm_density_defaults(),
                             .layout = GM_LAYOUT_BATCH,
                             .seed = 42};
}

gm_umap_options gm_umap_defaults_to_cluster(void)
{
    gm_umap_options o = gm_umap_defaults();
    o.min_dist = 0;
    return o;
}

int gm_umap_epochs(size_t n, bool densmap)
{
    return (n <= 10000 ? 500 : 200) + (densmap ? 200 : 0);
}

static gm_status build_graph(gm_graph *graph, const gm_points *points, const gm_knn *knn,
                             const gm_umap_options *options, int n_epochs, gm_error *err)
{
    gm_status status = GM_OK;
    double *rho = gm_alloc(knn->n, sizeof *rho), *sigma = gm_alloc(knn->n, sizeof *sigma);
    if (!rho || !sigma) GM_FAIL(GM_EMEM, "no memory for the scales of %zu points", knn->n);
    gm_graph_scales(knn, rho, sigma);
    GM_TRY(gm_graph_make(graph, knn, rho, sigma, options->mix,
                         gm_metric_disconnected(points->metric), err));
    gm_graph_prune(graph, n_epochs);
out:
    gm_free(rho);
    gm_free(sigma);
    return status;
}

/* Points that have an edge, ascending; returns how many. */
static size_t list_connected(uint32_t *keep, const gm_graph *graph)
{
    size_t n = 0;
    for (size_t i = 0; i < graph->n; i++)
        if (graph->indptr[i + 1] > graph->indptr[i]) keep[n++] = (uint32_t)i;
    return n;
}

double gm_umap_rim(double *centre, const float *at, size_t n, size_t dim)
{
    double radius = 1;
    for (size_t c = 0; c < dim; c++) centre[c] = 0;
    for (size_t i = 0; i < dim * n; i++) centre[i % dim] += (double)at[i] / (double)n;
    for (size_t i = 0; i < n; i++) {
        double squared = 0;
        for (size_t c = 0; c < dim; c++) {
            const double d = (double)at[dim * i + c] - centre[c];
            squared += d * d;
        }
        radius = fmax(radius, sqrt(squared));
    }
    return 1.25 * radius;
}

/* Write the layout of the kept points to at (N,d), and set the others on a ring around it, in the
 * first two dimensions, a golden angle apart. */
static void spread_out(float *at, size_t n, size_t dim, const float *kept, const uint32_t *keep,
                       size_t n_kept)
{
    const double golden = 2.399963229728653;
    double centre[GM_MAX_LAYOUT_DIM] = {0};
    const double rim = gm_umap_rim(centre, kept, n_kept, dim);
    for (size_t i = 0, k = 0; i < n; i++) {
        float *to = at + dim * i; /* (d) */
        if (k < n_kept && keep[k] == i) {
            memcpy(to, kept + dim * k++, dim * sizeof *to);
            continue;
        }
        double angle = golden * (double)(i - k);
        for (size_t c = 2; c < dim; c++) to[c] = (float)centre[c];
        to[0] = (float)(centre[0] + rim * cos(angle));
        to[1] = (float)(centre[1] + rim * sin(angle));
    }
}

static gm_status check_options(const gm_umap_options *o, const gm_knn *knn, gm_error *err)
{
    const gm_density_options *d = &o->density;
    if (o->dim < 2 || o->dim > GM_MAX_LAYOUT_DIM)
        return gm_fail(err, GM_EARG, "the map has %d dimensions, expected 2 to %d", o->dim,
                       GM_MAX_LAYOUT_DIM);
    if (!(d->lambda >= 0) || !(d->fraction >= 0 && d->fraction <= 1) || !(d->var_shift >= 0))
        return gm_fail(
            err, GM_EARG,
            "densMAP has lambda %g, fraction %g and shift %g, expected >= 0, 0 to 1 and >= 0",
            d->lambda, d->fraction, d->var_shift);
    if (knn->k < 2)
        return gm_fail(err, GM_EARG, "the number of neighbours is %d, expected at least 2", knn->k);
    if (!(o->mix >= 0 && o->mix <= 1))
        return gm_fail(err, GM_EARG, "set-op-mix is %g, expected 0 to 1", o->mix);
    if (!(o->learning_rate > 0) || !(o->repulsion >= 0) || o->negative_rate < 1 || o->n_epochs < 0)
        return gm_fail(err, GM_EARG,
                       "learning rate %g, repulsion %g, %d negative samples and %d epochs: "
                       "expected > 0, >= 0, >= 1 and >= 0",
                       o->learning_rate, o->repulsion, o->negative_rate, o->n_epochs);
    return GM_OK;
}

static void end_stage(const gm_umap_options *options, const char *name)
{
    if (options->stages) gm_stages_end(options->stages, name);
}

gm_status gm_umap_prepare(gm_umap_base *out, const gm_points *points, const gm_knn *knn,
                          const gm_umap_options *options, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t n = knn->n;
    gm_umap_base base = {
        .dim = options->dim, .isa = points->isa, .report = {.n_epochs = options->n_epochs}};
    gm_umap_report *report = &base.report;
    *out = (gm_umap_base){0};
    GM_TRY(check_options(options, knn, err));
    base.keep = gm_alloc(n, sizeof *base.keep);
    if (base.keep == NULL) GM_FAIL(GM_EMEM, "no memory for %zu points", n);
    GM_TRY(gm_curve_fit(options->min_dist, options->spread, &report->a, &report->b, err));
    if (report->n_epochs == 0) report->n_epochs = gm_umap_epochs(n, options->densmap);

    GM_TRY(build_graph(&base.graph, points, knn, options, report->n_epochs, err));
    end_stage(options, "graph");
    const size_t n_kept = list_connected(base.keep, &base.graph);
    report->n_isolated = n - n_kept;
    if (n_kept == 0) { /* a base without a layout */
        *out = base;
        return GM_OK;
    }
    base.start = gm_alloc2(n_kept, (size_t)options->dim, sizeof *base.start);
    if (base.start == NULL) GM_FAIL(GM_EMEM, "no memory for the start of %zu points", n_kept);
    GM_TRY(gm_graph_induced(&base.part, &base.graph, base.keep, n_kept, err));
    GM_TRY(gm_spectral_start(base.start, options->dim, &base.part, points, base.keep, options->seed,
                             report, err));
    if (options->densmap) {
        base.radius = gm_alloc(n, sizeof *base.radius);
        if (base.radius == NULL) GM_FAIL(GM_EMEM, "no memory for the densities of %zu points", n);
        gm_density_radii(base.radius, &base.graph, knn);
    }
    end_stage(options, "start");
    *out = base;
    base = (gm_umap_base){0};
out:
    gm_umap_base_clear(&base);
    return status;
}

gm_status gm_umap_lay_out(float *xy, const gm_umap_base *base, const gm_umap_options *options,
                          gm_progress *progress, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_umap_report *report = &base->report;
    assert(options->dim == base->dim);
    assert(!options->densmap || base->radius || base->part.n == 0);
    const size_t n_kept = base->part.n, dim = (size_t)options->dim;
    gm_density density = {0};
    const gm_layout_job job = {.graph = &base->part,
                               .dim = options->dim,
                               .a = report->a,
                               .b = report->b,
                               .learning_rate = options->learning_rate,
                               .repulsion = options->repulsion,
                               .negative_rate = options->negative_rate,
                               .n_epochs = report->n_epochs,
                               .seed = options->seed,
                               .density = options->densmap ? &density : NULL,
                               .isa = base->isa,
                               .progress = progress};
    if (n_kept == 0)
        return gm_fail(err, GM_ENUMERIC, "no two of %zu points are close enough to be neighbours",
                       base->graph.n);
    float *at = gm_alloc2(n_kept, dim, sizeof *at);
    if (at == NULL) GM_FAIL(GM_EMEM, "no memory for the map of %zu points", n_kept);
    if (options->densmap)
        GM_TRY(gm_density_init(&density, &options->density, base->radius, base->keep, &base->part,
                               report->a, report->b, err));
    gm_spectral_scale(at, base->start, n_kept, options->dim, options->seed);
    if (progress) progress->total = report->n_epochs;
    if (options->layout == GM_LAYOUT_REFERENCE)
        GM_TRY(gm_layout_reference(at, &job, err));
    else
        GM_TRY(gm_layout_batch(at, &job, err));
    spread_out(xy, base->graph.n, dim, at, base->keep, n_kept);
    end_stage(options, "layout");
out:
    gm_free(at);
    gm_density_clear(&density);
    return status;
}

void gm_umap_base_clear(gm_umap_base *base)
{
    gm_graph_clear(&base->graph);
    gm_graph_clear(&base->part);
    gm_free(base->keep);
    gm_free(base->start);
    gm_free(base->radius);
    *base = (gm_umap_base){0};
}

gm_status gm_umap_fit(float *xy, gm_graph *graph, const gm_points *points, const gm_knn *knn,
                      const gm_umap_options *options, gm_umap_report *report, gm_progress *progress,
                      gm_error *err)
{
    gm_status status = GM_OK;
    gm_umap_base base;
    *graph = (gm_graph){0};
    *report = (gm_umap_report){0};
    GM_TRY(gm_umap_prepare(&base, points, knn, options, err));
    GM_TRY(gm_umap_lay_out(xy, &base, options, progress, err));
    *report = base.report;
    *graph = base.graph;
    base.graph = (gm_graph){0};
out:
    gm_umap_base_clear(&base);
    return status;
}
