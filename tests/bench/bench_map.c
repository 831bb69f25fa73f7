/* bench_map.c - what a map of many points costs when their neighbours are given: graph, spectral
 * start, layout, clusters, and the memory of all.
 *
 *     bench_map [POINTS [NEIGHBOURS]]        1000000 15
 *
 * The points are clouds of different sizes and densities in a cube, with a tenth of them anywhere.
 * Their neighbours come from a kd-tree and are exact.
 */
#include "base/rng.h"
#include "cluster/kdtree.h"
#include "cluster/rerun.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

enum { DIM = 3, N_CLOUDS = 200, POINTS = 1000000, NEIGHBOURS = 15, MAX_NEIGHBOURS = 64 };

/* rows (n, DIM) */
static void draw_points(float *rows, size_t n)
{
    gm_rng rng = gm_rng_make(1, 0x62656e63); /* "benc" */
    double centre[N_CLOUDS][DIM], spread[N_CLOUDS];
    for (size_t c = 0; c < N_CLOUDS; c++) {
        for (size_t d = 0; d < DIM; d++) centre[c][d] = gm_rng_unit(&rng);
        spread[c] = 0.005 + 0.03 * gm_rng_unit(&rng);
    }
    for (size_t i = 0; i < n; i++) {
        double u = gm_rng_unit(&rng);
        size_t c = (size_t)(u * u * N_CLOUDS); /* the first are the largest */
        bool anywhere = gm_rng_below(&rng, 10) == 0;
        for (size_t d = 0; d < DIM; d++)
            rows[i * DIM + d] = (float)(anywhere ? gm_rng_unit(&rng)
                                                 : centre[c][d] + spread[c] * gm_rng_normal(&rng));
    }
}

/* ---- neighbours ---- */

static gm_status find_neighbours(gm_knn *out, const float *rows, size_t n, int k, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t width = (size_t)k;
    gm_kdtree tree = {0};
    double *at = gm_alloc2(n, DIM, sizeof *at);
    *out = (gm_knn){.n = n, .k = k};
    out->index = gm_alloc2(n, width, sizeof *out->index);
    out->distance = gm_alloc2(n, width, sizeof *out->distance);
    if (!at || !out->index || !out->distance) GM_FAIL(GM_EMEM, "no memory for neighbours");
    for (size_t c = 0; c < n * DIM; c++) at[c] = (double)rows[c];
    GM_TRY(gm_kdtree_build(&tree, at, n, DIM, err));
#pragma omp parallel for schedule(dynamic, 256)
    for (size_t m = 0; m < n; m++) {
        const uint32_t i = tree.order[m];
        gm_neighbour best[MAX_NEIGHBOURS];
        const size_t found = gm_kdtree_nearest(&tree, i, width - 1, best);
        out->index[i * width] = i;
        for (size_t j = 0; j < found; j++) {
            out->index[i * width + 1 + j] = best[j].index;
            out->distance[i * width + 1 + j] = sqrt(best[j].s);
        }
    }
out:
    gm_kdtree_clear(&tree);
    gm_free(at);
    return status;
}

/* ---- measuring ---- */

static double peak_gb(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)used.ru_maxrss * 1024 / 1e9; /* KiB, whatever getrusage(2) calls it */
}

static gm_status measure(const float *rows, size_t n, int k, gm_error *err)
{
    gm_status status = GM_OK;
    gm_points points = {0};
    gm_knn knn = {0};
    gm_graph graph = {0};
    gm_clustering clustering = {0};
    gm_umap_report report;
    gm_text said = {0};
    gm_stages stages = gm_stages_start();
    gm_umap_options options = gm_umap_defaults();
    const gm_hdbscan_options any = {0};
    const gm_hdbscan_options hdbscan = gm_rerun_defaults(&any, n);
    float *xy = gm_alloc2(n, 2, sizeof *xy);
    if (xy == NULL) GM_FAIL(GM_EMEM, "no memory for a map of %zu points", n);
    GM_TRY(find_neighbours(&knn, rows, n, k, err));
    GM_TRY(gm_points_init(&points, rows, n, DIM, GM_EUCLIDEAN, err));
    gm_stages_end(&stages, "given");
    options.stages = &stages;
    GM_TRY(gm_umap_fit(xy, &graph, &points, &knn, &options, &report, NULL, err));
    GM_TRY(gm_rerun_cluster(&clustering, xy, 2, &graph, &hdbscan, err));
    gm_stages_end(&stages, "hdbscan");
    GM_TRY(gm_stages_say(&said, &stages, err));
    printf("%zu points, %d neighbours, %d epochs: %s, peak %.2f GB; start %s after %d rounds, %zu "
           "clusters\n",
           n, k, report.n_epochs, said.at, peak_gb(),
           report.spectral_converged ? "settled" : "not settled", report.spectral_rounds,
           clustering.n_clusters);
out:
    gm_text_clear(&said);
    gm_points_clear(&points);
    gm_knn_clear(&knn);
    gm_graph_clear(&graph);
    gm_clustering_clear(&clustering);
    gm_free(xy);
    return status;
}

int main(int argc, char **argv)
{
    gm_error err = {0};
    const size_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : POINTS;
    const int k = argc > 2 ? atoi(argv[2]) : NEIGHBOURS;
    if (argc > 3 || n < 100 || n > 100000000 || k < 2 || k > MAX_NEIGHBOURS) {
        fprintf(stderr, "usage: bench_map [POINTS [NEIGHBOURS]]: 100 or more, 2 to %d\n",
                MAX_NEIGHBOURS);
        return 2;
    }
    float *rows = gm_alloc2(n, DIM, sizeof *rows);
    gm_status status = rows ? GM_OK : gm_fail(&err, GM_EMEM, "no memory for %zu points", n);
    if (status == GM_OK) {
        draw_points(rows, n);
        status = measure(rows, n, k, &err);
    }
    gm_free(rows);
    if (status != GM_OK) fprintf(stderr, "bench_map: %s\n", err.text);
    return status != GM_OK;
}
