/* matrix_fit.h - map and clusters of anybody's matrix: the steps of analysis.h that need no trace.
 *
 * Sizes: N rows, U of them usable (rows.h), M distinct, C clusters.
 */
#ifndef GM_MATRIX_FIT_H
#define GM_MATRIX_FIT_H

#include "cluster/map_quality.h"
#include "cluster/neighbours.h"
#include "cluster/rows.h"
#include "cluster/umap.h"

typedef struct gm_matrix_options {
    bool map;          /* make one */
    bool cluster_rows; /* HDBSCAN on the rows, by Euclidean distance; else on the map */
    gm_metric metric;  /* of the map */
    int n_neighbors;   /* the row itself counted; beyond M it becomes M-1, with a warning */
    gm_neighbour_options neighbours;
    gm_umap_options umap;
    gm_hdbscan_options hdbscan; /* min_cluster_size 0: by the number of points; min_samples 0: by
                                   that */
    struct gm_gpu *gpu;         /* finds the neighbours, borrowed (gpu.h); NULL: the CPU */
    bool quiet;
} gm_matrix_options;

/* euclidean, umap-learn's options (min_dist 0) and hdbscan's, clusters of the map. */
gm_matrix_options gm_matrix_defaults(void);

typedef struct gm_matrix_found {
    gm_rows rows;
    float *xy;      /* (U,2) in canonical order; NULL without a map */
    gm_graph graph; /* of U rows; empty without a map */
    bool on_rows;   /* what was clustered; the condensed tree is of U rows, else of M points */
    gm_clustering clustering; /* labels and linkage of U rows, numbered by size */
    gm_hdbscan_options used;
    int n_neighbors;    /* as used */
    size_t n_checked;   /* rows whose neighbours were compared with exact ones; 0: all are exact */
    double recall;      /* share of these that was found; NaN where all are */
    gm_map_quality map; /* NaN without a map */
} gm_matrix_found;

/* The matrix is cleared. Errors: GM_EARG for a matrix that cannot be mapped (fewer than 4 distinct
 * rows, or what gm_rows_distinct refuses) or clustered; those of every step. */
gm_status gm_matrix_fit(gm_matrix_found *out, gm_matrix *matrix, const gm_matrix_options *options,
                        gm_error *err) GM_MUST_USE;
void gm_matrix_found_clear(gm_matrix_found *found);

/* ---- as files; rows are numbered as in the matrix, from 0 ---- */

/* CSV: row,x,y,cluster,probability,outlier. A row that was set aside has no place, is in no
 * cluster, probability 0, outlier 1. */
gm_status gm_matrix_write_rows(const char *path, const gm_matrix_found *found, bool replace,
                               gm_error *err) GM_MUST_USE;
/* .npy (N-1,4): the single linkage as SciPy keeps it; rows set aside join last, at infinity. */
gm_status gm_matrix_write_linkage(const char *path, const gm_matrix_found *found, bool replace,
                                  gm_error *err) GM_MUST_USE;
/* CSV: parent,child,lambda,child_size,cluster, the condensed tree as hdbscan's to_pandas has it:
 * rows below N, nodes from N, the root N; cluster: of a node that was chosen, else -1. */
gm_status gm_matrix_write_tree(const char *path, const gm_matrix_found *found, bool replace,
                               gm_error *err) GM_MUST_USE;
/* CSV: row,neighbour,weight, the memberships of the map's graph, both directions. */
gm_status gm_matrix_write_graph(const char *path, const gm_matrix_found *found, bool replace,
                                gm_error *err) GM_MUST_USE;

#endif
