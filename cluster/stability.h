/* stability.h - would the same clusters come back? With other seeds, with half the documents.
 *
 * Sizes: M points, C clusters.
 *
 * A run makes map and clusters again and is compared with the given labels, over its points:
 * by the adjusted Rand index (noise is one class), and for each cluster by the best Jaccard index
 * of its points with those of a cluster of the run (Hennig 2007; > .75 stable, < .5 doubtful).
 * Seeds: the same points, or where there are too many a sample of them, min-cluster-size in
 * proportion; runs share neighbours and eigenvectors, and differ in the noise of the start, the
 * order of the points and all random points of the layout. Halves: points of even and of odd place,
 * which content alone decides, from their neighbours on.
 */
#ifndef GM_STABILITY_H
#define GM_STABILITY_H

#include "base/progress.h"
#include "cluster/neighbours.h"
#include "cluster/rerun.h"

enum { GM_N_RESEEDS = 5 };

typedef struct gm_rerun_figures {
    uint64_t seed;
    size_t n_points, n_clusters, largest, n_noise; /* points, not documents */
    double ari;                                    /* with the given labels */
} gm_rerun_figures;

typedef struct gm_stability {
    gm_rerun_figures seed[GM_N_RESEEDS], half[2];
    double seed_ari, half_ari; /* means */
    double among_seeds;        /* mean ARI of two of the other seeds: how alike they are */
    float *seed_jaccard;       /* (C) means; NaN where a cluster has no point in any run */
    float *half_jaccard;       /* (C) */
} gm_stability;

typedef struct gm_stability_input {
    const float *const *row; /* (M) usage vectors (D) of the points */
    size_t m, dim;           /* M, D */
    gm_metric metric;
    int n_neighbors;
    gm_neighbour_options neighbours;
    struct gm_gpu *gpu; /* finds them, borrowed (gpu.h); NULL: the CPU */
    const gm_umap_options *umap;
    const gm_hdbscan_options *hdbscan; /* as used */
    const int32_t *label;              /* (M) below n_clusters, -1 noise */
    size_t n_clusters;
    size_t most; /* points of a run; 0: all */
} gm_stability_input;

/* Seven maps; a half of fewer than 15 points is none, and its figures are NaN. Errors: those of the
 * steps. */
gm_status gm_stability_find(gm_stability *out, const gm_stability_input *input,
                            gm_progress *progress, gm_error *err) GM_MUST_USE;
void gm_stability_clear(gm_stability *stability);

#endif
