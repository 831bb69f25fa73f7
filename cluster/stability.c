/* stability.c - seven maps against the one at hand. See stability.h. */
#include "cluster/stability.h"

#include <math.h>
#include <string.h>

#include "cluster/quality.h"

enum { N_RUNS = GM_N_RESEEDS + 2, SAMPLE_EPOCHS = 200, LEAST_POINTS = 15 };

gm_status gm_stability_jaccard(double *best, const int32_t *label, size_t n_clusters,
                               const int32_t *other, size_t n_other, size_t n, gm_error *err)
{
    gm_status status = GM_OK;
    size_t *both = gm_alloc2(n_clusters, n_other, sizeof *both);
    size_t *size = gm_alloc(n_clusters, sizeof *size), *theirs = gm_alloc(n_other, sizeof *theirs);
    if (!both || !size || !theirs)
        GM_FAIL(GM_EMEM, "no memory to compare %zu clusters with %zu", n_clusters, n_other);
    for (size_t i = 0; i < n; i++) {
        if (label[i] >= 0) size[label[i]]++;
        if (other[i] >= 0) theirs[other[i]]++;
        if (label[i] >= 0 && other[i] >= 0) both[(size_t)label[i] * n_other + (size_t)other[i]]++;
    }
    for (size_t c = 0; c < n_clusters; c++) {
        best[c] = size[c] > 0 ? 0 : (double)NAN;
        for (size_t o = 0; size[c] > 0 && o < n_other; o++) {
            size_t common = both[c * n_other + o];
            best[c] = fmax(best[c], (double)common / (double)(size[c] + theirs[o] - common));
        }
    }
out:
    gm_free(both);
    gm_free(size);
    gm_free(theirs);
    return status;
}

/* What is carried from run to run. */
typedef struct runs {
    const gm_stability_input *in;
    uint32_t *point;  /* (M) points of the running set, ascending */
    uint32_t *row;    /* (M) their rows */
    int32_t *at_hand; /* (M) their labels */
    int32_t *label;   /* (GM_N_RESEEDS, M) of the runs from other seeds */
    double *best;     /* (C) */
    double *sum;      /* (2,C) Jaccard over seeds, over halves */
    size_t *n_sums;   /* (2,C) */
} runs;

static void gather(runs *r, size_t m)
{
    for (size_t i = 0; i < m; i++) {
        r->row[i] = r->in->pick[r->point[i]];
        r->at_hand[i] = r->in->label[r->point[i]];
    }
}

static void describe(gm_rerun_figures *out, const int32_t *label, size_t m, size_t n_clusters,
                     size_t *size)
{
    out->n_points = m;
    out->n_clusters = n_clusters;
    for (size_t c = 0; c < n_clusters; c++) size[c] = 0;
    for (size_t i = 0; i < m; i++)
        if (label[i] >= 0) size[label[i]]++;
    out->n_noise = m;
    for (size_t c = 0; c < n_clusters; c++) {
        out->n_noise -= size[c];
        out->largest = size[c] > out->largest ? size[c] : out->largest;
    }
}

/* One run over the running set, its labels into label (m). kind 0: a seed, 1: a half. */
static gm_status run_once(gm_rerun_figures *out, runs *r, int32_t *label, const gm_points *points,
                          const gm_knn *knn, const gm_umap_options *umap, int kind, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_stability_input *in = r->in;
    const gm_hdbscan_options hdbscan = gm_rerun_scale(in->hdbscan, in->m, points->n);
    gm_agreement agreement;
    size_t n_clusters = 0, *size = NULL;
    GM_TRY(gm_rerun_label(label, &n_clusters, points, knn, umap, &hdbscan, err));
    size = gm_alloc(n_clusters, sizeof *size);
    if (size == NULL) GM_FAIL(GM_EMEM, "no memory for %zu clusters", n_clusters);
    out->seed = umap->seed;
    describe(out, label, points->n, n_clusters, size);
    GM_TRY(gm_quality_agreement(&agreement, label, r->at_hand, points->n, err));
    out->ari = agreement.ari;
    GM_TRY(gm_stability_jaccard(r->best, r->at_hand, in->n_clusters, label, n_clusters, points->n,
                                err));
    for (size_t c = 0; c < in->n_clusters; c++) {
        if (isnan(r->best[c])) continue;
        r->sum[(size_t)kind * in->n_clusters + c] += r->best[c];
        r->n_sums[(size_t)kind * in->n_clusters + c]++;
    }
out:
    gm_free(size);
    return status;
}

/* Points and neighbours of the running set. */
static gm_status find_neighbours(gm_points *points, gm_knn *knn, const runs *r, size_t m,
                                 gm_error *err)
{
    const gm_stability_input *in = r->in;
    gm_status status = gm_points_pick(points, in->rate, r->row, m, in->dim, in->metric, err);
    int k = (size_t)in->n_neighbors < m ? in->n_neighbors : (int)m;
    if (status == GM_OK) status = gm_knn_find(knn, points, NULL, 0, k, NULL, err);
    return status;
}

static gm_umap_options options_for(const gm_stability_input *in, size_t m)
{
    gm_umap_options umap = *in->umap;
    if (m < in->m && umap.n_epochs == 0) umap.n_epochs = SAMPLE_EPOCHS;
    return umap;
}

static gm_status run_seeds(gm_stability *out, runs *r, gm_progress *progress, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_stability_input *in = r->in;
    gm_points points = {0};
    gm_knn knn = {0};
    const size_t m = gm_quality_sample(r->point, in->m, in->most > 0 ? in->most : in->m);
    gather(r, m);
    GM_TRY(find_neighbours(&points, &knn, r, m, err));
    gm_umap_options umap = options_for(in, m);
    for (size_t s = 0; s < GM_N_RESEEDS; s++) {
        umap.seed = in->umap->seed + 1 + s;
        GM_TRY(run_once(&out->seed[s], r, r->label + s * in->m, &points, &knn, &umap, 0, err));
        out->seed_ari += out->seed[s].ari / GM_N_RESEEDS;
        if (progress) gm_progress_set(progress, (double)(s + 1));
    }
    for (size_t s = 0; s < GM_N_RESEEDS; s++)
        for (size_t t = s + 1; t < GM_N_RESEEDS; t++) {
            gm_agreement agreement;
            GM_TRY(gm_quality_agreement(&agreement, r->label + s * in->m, r->label + t * in->m, m,
                                        err));
            out->among_seeds += agreement.ari / (GM_N_RESEEDS * (GM_N_RESEEDS - 1) / 2.0);
        }
out:
    gm_points_clear(&points);
    gm_knn_clear(&knn);
    return status;
}

static gm_status run_half(gm_stability *out, runs *r, size_t half, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_stability_input *in = r->in;
    gm_points points = {0};
    gm_knn knn = {0};
    size_t have = (in->m + 1 - half) / 2;
    const size_t m = gm_quality_sample(r->point, have, in->most > 0 ? in->most : have);
    if (m < LEAST_POINTS) { /* no map to speak of */
        out->half[half].ari = out->half_ari = (double)NAN;
        return GM_OK;
    }
    for (size_t i = 0; i < m; i++) r->point[i] = 2 * r->point[i] + (uint32_t)half;
    gather(r, m);
    GM_TRY(find_neighbours(&points, &knn, r, m, err));
    const gm_umap_options umap = options_for(in, m);
    GM_TRY(run_once(&out->half[half], r, r->label, &points, &knn, &umap, 1, err));
    out->half_ari += out->half[half].ari / 2;
out:
    gm_points_clear(&points);
    gm_knn_clear(&knn);
    return status;
}

gm_status gm_stability_find(gm_stability *out, const gm_stability_input *in, gm_progress *progress,
                            gm_error *err)
{
    gm_status status = GM_OK;
    const size_t C = in->n_clusters;
    runs r = {.in = in};
    gm_stability found = {0};
    *out = (gm_stability){0};
    r.point = gm_alloc(in->m, sizeof *r.point);
    r.row = gm_alloc(in->m, sizeof *r.row);
    r.at_hand = gm_alloc(in->m, sizeof *r.at_hand);
    r.label = gm_alloc2(GM_N_RESEEDS, in->m, sizeof *r.label);
    r.best = gm_alloc(C, sizeof *r.best);
    r.sum = gm_alloc2(2, C, sizeof *r.sum);
    r.n_sums = gm_alloc2(2, C, sizeof *r.n_sums);
    found.seed_jaccard = gm_alloc(C, sizeof *found.seed_jaccard);
    found.half_jaccard = gm_alloc(C, sizeof *found.half_jaccard);
    if (!r.point || !r.row || !r.at_hand || !r.label || !r.best || !r.sum || !r.n_sums ||
        !found.seed_jaccard || !found.half_jaccard)
        GM_FAIL(GM_EMEM, "no memory for the stability of %zu clusters", C);
    GM_TRY(run_seeds(&found, &r, progress, err));
    for (size_t half = 0; half < 2; half++) {
        GM_TRY(run_half(&found, &r, half, err));
        if (progress) gm_progress_set(progress, (double)(GM_N_RESEEDS + 1 + half));
    }
    for (size_t c = 0; c < C; c++) {
        found.seed_jaccard[c] = r.n_sums[c] ? (float)(r.sum[c] / (double)r.n_sums[c]) : NAN;
        found.half_jaccard[c] =
            r.n_sums[C + c] ? (float)(r.sum[C + c] / (double)r.n_sums[C + c]) : NAN;
    }
    *out = found;
    found = (gm_stability){0};
out:
    gm_free(r.point);
    gm_free(r.row);
    gm_free(r.at_hand);
    gm_free(r.label);
    gm_free(r.best);
    gm_free(r.sum);
    gm_free(r.n_sums);
    gm_stability_clear(&found);
    return status;
}

void gm_stability_clear(gm_stability *stability)
{
    gm_free(stability->seed_jaccard);
    gm_free(stability->half_jaccard);
    *stability = (gm_stability){0};
}
