/* stability.c - seven maps against the labels of another. See stability.h. */
#include "cluster/stability.h"

#include "cluster/counterpart.h"
#include "cluster/quality.h"

#include <math.h>

enum { N_RUNS = GM_N_RESEEDS + 2, SAMPLE_EPOCHS = 200, MIN_POINTS = 15, SIDE_BY_SIDE = 10000 };

/* ---- points that run ---- */

/* Points whose maps are made, and what these maps have in common. */
typedef struct running {
    size_t m;
    uint32_t *point; /* (m) ascending */
    int32_t *given;  /* (m) their labels */
    gm_umap_base base;
} running;

static void clear_running(running *set)
{
    gm_free(set->point);
    gm_free(set->given);
    gm_umap_base_clear(&set->base);
}

/* At most `most` (0: all) of the points first, first + step, ... */
static gm_status pick_points(running *set, const gm_stability_input *in, size_t first, size_t step,
                             gm_error *err)
{
    const size_t have = (in->m + step - 1 - first) / step;
    set->point = gm_alloc(have, sizeof *set->point);
    set->given = gm_alloc(have, sizeof *set->given);
    if (!set->point || !set->given)
        return gm_fail(err, GM_EMEM, "no memory for the stability of %zu points", have);
    set->m = gm_quality_sample(set->point, have, in->most > 0 ? in->most : have);
    for (size_t i = 0; i < set->m; i++) {
        set->point[i] = (uint32_t)(first + step * set->point[i]);
        set->given[i] = in->label[set->point[i]];
    }
    return GM_OK;
}

/* Everything before the layout. */
static gm_status prepare(running *set, const gm_stability_input *in, gm_error *err)
{
    gm_status status = GM_OK;
    gm_points points = {0};
    gm_knn knn = {0};
    gm_umap_options umap = *in->umap;
    const int k = (size_t)in->n_neighbors < set->m ? in->n_neighbors : (int)set->m;
    gm_neighbour_options neighbours = in->neighbours;
    if (set->m < in->m && neighbours.method == GM_NEIGHBOURS_APPROXIMATE)
        neighbours.method = GM_NEIGHBOURS_AUTO; /* a sample may be small enough */
    const float **row = gm_alloc(set->m, sizeof *row);
    if (row == NULL) GM_FAIL(GM_EMEM, "no memory for the stability of %zu points", set->m);
    for (size_t i = 0; i < set->m; i++) row[i] = in->row[set->point[i]];
    if (set->m < in->m && umap.n_epochs == 0) umap.n_epochs = SAMPLE_EPOCHS;
    umap.stages = NULL;
    GM_TRY(gm_points_of_rows(&points, row, set->m, in->dim, in->metric, err));
    points.gpu = in->gpu;
    GM_TRY(gm_neighbours_find(&knn, &points, k, &neighbours, NULL, err));
    GM_TRY(gm_umap_prepare(&set->base, &points, &knn, &umap, err));
out:
    gm_points_clear(&points);
    gm_knn_clear(&knn);
    gm_free(row);
    return status;
}

/* ---- one run ---- */

typedef struct run {
    const running *set;
    uint64_t seed;
    gm_rerun_figures *figures; /* where they go */
    int32_t *label;            /* (m) */
    gm_counterpart *best;      /* (C) of the given clusters */
    gm_status status;
    gm_error err;
} run;

static void describe(gm_rerun_figures *out, const int32_t *label, size_t m, size_t n_clusters,
                     size_t *size)
{
    out->n_points = m;
    out->n_clusters = n_clusters;
    for (size_t i = 0; i < m; i++)
        if (label[i] >= 0) size[label[i]]++;
    out->n_noise = m;
    for (size_t c = 0; c < n_clusters; c++) {
        out->n_noise -= size[c];
        out->largest = size[c] > out->largest ? size[c] : out->largest;
    }
}

static gm_status make_run(run *r, const gm_stability_input *in)
{
    gm_status status = GM_OK;
    gm_error *err = &r->err;
    const size_t m = r->set->m;
    const gm_hdbscan_options hdbscan = gm_rerun_scale(in->hdbscan, in->m, m);
    gm_umap_options umap = *in->umap;
    gm_agreement agreement;
    size_t n_clusters = 0, *size = NULL;
    umap.seed = r->figures->seed = r->seed;
    umap.stages = NULL;
    r->label = gm_alloc(m, sizeof *r->label);
    r->best = gm_alloc(in->n_clusters, sizeof *r->best);
    if (!r->label || !r->best) GM_FAIL(GM_EMEM, "no memory for %zu labels", m);
    GM_TRY(gm_rerun_label_from(r->label, &n_clusters, &r->set->base, &umap, &hdbscan, err));
    size = gm_alloc(n_clusters, sizeof *size);
    if (size == NULL) GM_FAIL(GM_EMEM, "no memory for %zu clusters", n_clusters);
    describe(r->figures, r->label, m, n_clusters, size);
    GM_TRY(gm_quality_agreement(&agreement, r->label, r->set->given, m, err));
    r->figures->ari = agreement.ari;
    GM_TRY(
        gm_counterparts_find(r->best, r->set->given, in->n_clusters, r->label, n_clusters, m, err));
out:
    gm_free(size);
    return status;
}

/* Small maps are made side by side, each by one thread; large ones one after another, by all. */
static gm_status make_runs(run *runs, size_t n, const gm_stability_input *in, gm_progress *progress,
                           gm_error *err)
{
    size_t done = 0;
    bool small = true;
    for (size_t i = 0; i < n; i++) small &= runs[i].set->m <= SIDE_BY_SIDE;
    (void)small; /* of no use to a build without OpenMP */
#pragma omp parallel for schedule(dynamic, 1) if (small)
    for (size_t i = 0; i < n; i++) {
        runs[i].status = make_run(&runs[i], in);
#pragma omp critical(gm_stability)
        if (progress) gm_progress_set(progress, (double)++done);
    }
    for (size_t i = 0; i < n; i++) /* the first that failed speaks for all */
        if (runs[i].status != GM_OK) return gm_fail(err, runs[i].status, "%s", runs[i].err.text);
    return GM_OK;
}

/* ---- figures ---- */

/* Mean Jaccard of each cluster over the runs that have a point of it. */
static void mean_best(float *mean, const run *runs, size_t n, size_t n_clusters)
{
    for (size_t c = 0; c < n_clusters; c++) {
        double sum = 0;
        size_t n_sums = 0;
        for (size_t i = 0; i < n; i++) {
            if (isnan(runs[i].best[c].jaccard)) continue;
            sum += runs[i].best[c].jaccard;
            n_sums++;
        }
        mean[c] = n_sums > 0 ? (float)(sum / (double)n_sums) : NAN;
    }
}

static gm_status compare_seeds(double *among, const run *runs, gm_error *err)
{
    gm_status status = GM_OK;
    gm_agreement agreement;
    for (size_t s = 0; s < GM_N_RESEEDS; s++)
        for (size_t t = s + 1; t < GM_N_RESEEDS; t++) {
            GM_TRY(gm_quality_agreement(&agreement, runs[s].label, runs[t].label, runs[s].set->m,
                                        err));
            *among += agreement.ari / (GM_N_RESEEDS * (GM_N_RESEEDS - 1) / 2.0);
        }
out:
    return status;
}

gm_status gm_stability_find(gm_stability *out, const gm_stability_input *in, gm_progress *progress,
                            gm_error *err)
{
    gm_status status = GM_OK;
    const size_t C = in->n_clusters;
    gm_stability found = {0};
    running set[3] = {0}; /* all or a sample; either half */
    run runs[N_RUNS] = {0};
    size_t n_halves = 2;
    *out = (gm_stability){0};
    found.seed_jaccard = gm_alloc(C, sizeof *found.seed_jaccard);
    found.half_jaccard = gm_alloc(C, sizeof *found.half_jaccard);
    if (!found.seed_jaccard || !found.half_jaccard)
        GM_FAIL(GM_EMEM, "no memory for the stability of %zu clusters", C);
    for (size_t s = 0; s < 3; s++) GM_TRY(pick_points(&set[s], in, s == 2, s > 0 ? 2 : 1, err));
    if (set[2].m < MIN_POINTS) n_halves = 0; /* no map to speak of */
    for (size_t s = 0; s < 1 + n_halves; s++) GM_TRY(prepare(&set[s], in, err));
    for (size_t s = 0; s < GM_N_RESEEDS; s++)
        runs[s] = (run){.set = &set[0], .seed = in->umap->seed + 1 + s, .figures = &found.seed[s]};
    for (size_t h = 0; h < n_halves; h++)
        runs[GM_N_RESEEDS + h] =
            (run){.set = &set[1 + h], .seed = in->umap->seed, .figures = &found.half[h]};
    GM_TRY(make_runs(runs, GM_N_RESEEDS + n_halves, in, progress, err));

    for (size_t s = 0; s < GM_N_RESEEDS; s++) found.seed_ari += found.seed[s].ari / GM_N_RESEEDS;
    GM_TRY(compare_seeds(&found.among_seeds, runs, err));
    if (n_halves == 0) found.half[0].ari = found.half[1].ari = (double)NAN;
    found.half_ari = (found.half[0].ari + found.half[1].ari) / 2;
    mean_best(found.seed_jaccard, runs, GM_N_RESEEDS, C);
    mean_best(found.half_jaccard, runs + GM_N_RESEEDS, n_halves, C);
    *out = found;
    found = (gm_stability){0};
out:
    for (size_t i = 0; i < N_RUNS; i++) {
        gm_free(runs[i].label);
        gm_free(runs[i].best);
    }
    for (size_t s = 0; s < 3; s++) clear_running(&set[s]);
    gm_stability_clear(&found);
    return status;
}

void gm_stability_clear(gm_stability *stability)
{
    gm_free(stability->seed_jaccard);
    gm_free(stability->half_jaccard);
    *stability = (gm_stability){0};
}
