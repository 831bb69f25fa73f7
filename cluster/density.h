/* density.h - densMAP: what is dense by usage is dense on the map.
 *
 * Sizes: N points, d dimensions of the map.
 *
 * The local radius of a point is the logarithm of the mean squared distance to its neighbours,
 * weighted by memberships; on the map, weighted by 1/(1 + a d^2b). In the last epochs of a layout
 * every pull is joined by one that makes the two correlate.
 *
 * Source: Narayan, Berger, Cho 2021, Nature Biotechnology 39, and umap-learn, layouts.py.
 */
#ifndef GM_DENSITY_H
#define GM_DENSITY_H

#include "cluster/graph.h"

typedef struct gm_density_options {
    double lambda;    /* weight of the correlation, >= 0 */
    double fraction;  /* of the epochs, the last ones, in [0,1] */
    double var_shift; /* added to the variance of the radii on the map, >= 0 */
} gm_density_options;

/* umap-learn's: 2, 0.3, 0.1. */
gm_density_options gm_density_defaults(void);

/* The pull of a point at squared distance s, with p = 1/(1 + a s^b):
 *   scale p / mu ((1 - b (1 - p)) (own[1] + other[1]) + a b s^(b-1) p (own[0] + other[0])) */
typedef struct gm_density {
    gm_density_options how;
    size_t n;
    double a, b;    /* of the curve */
    double *radius; /* (N) in the space; mean 0, variance 1 */
    double *mapped; /* (N) on the map, when it was measured last */
    float *term;    /* (N,2) then: parts of the pull that a point has a share in */
    double total;   /* of the memberships */
    double scale;
} gm_density;

/* radius (N) written. A distance is looked up in the list of either end. Points without an entry
 * get 0. */
void gm_density_radii(double *radius, const gm_graph *graph, const gm_knn *knn);

/* For a layout of the points keep[0..n) of a graph, `part` being the graph on them
 * (gm_graph_induced) and radius (of all points) as above. Errors: GM_EMEM, *out is empty then. */
gm_status gm_density_init(gm_density *out, const gm_density_options *how, const double *radius,
                          const uint32_t *keep, const gm_graph *part, double a, double b,
                          gm_error *err) GM_MUST_USE;
void gm_density_clear(gm_density *density);

/* Does it act in epoch 1 <= epoch <= n_epochs? False for NULL. */
bool gm_density_acts(const gm_density *density, int epoch, int n_epochs);

/* Measure the radii on the map, at (N,d), for the pulls of an epoch. Any number of threads gives
 * the same bits. */
void gm_density_measure(gm_density *density, const float *at, int dim, const gm_graph *graph);

/* How strongly the membership mu of i and k, squared distance s apart, pulls them towards each
 * other; negative: apart. 0 where they coincide. */
double gm_density_pull(const gm_density *density, size_t i, size_t k, double mu, double s);

/* How far a map keeps densities: the correlation of local radii, found alike on both sides from the
 * same number of nearest neighbours (directed memberships, graph.h), over all points; NaN where one
 * side has no variance. xy (N,dim), dim <= GM_MAX_KD_DIM. Errors: GM_EMEM, GM_EARG. */
gm_status gm_density_kept(double *correlation, const gm_knn *knn, const float *xy, int dim,
                          gm_error *err) GM_MUST_USE;

#endif
