/* umap.h - UMAP: a map in few dimensions that keeps neighbours together.
 *
 * Sizes: N points, k neighbours counted with the point itself, d dimensions of the map.
 *
 * Steps as in umap-learn (graph.h, curve.h, eigen.h), then one of two layouts:
 *   reference  umap-learn's serial descent, move by move, its tau88 random numbers
 *   batch      (default) the seed puts the points into an order and so into groups; a group
 *              moves at once, each point going through its own edges in that order against
 *              where the others were before; random numbers by (seed, point, epoch). Any
 *              number of threads gives the same bits.
 * Neither ever gives NaN: points without an edge are set on a ring around the map.
 * Either can be densMAP's (density.h).
 *
 * Source: McInnes, Healy, Melville 2018, arXiv:1802.03426.
 */
#ifndef GM_UMAP_H
#define GM_UMAP_H

#include "cluster/density.h"
#include "cluster/layout_lanes.h"
#include "cluster/stages.h"

typedef enum gm_layout { GM_LAYOUT_BATCH, GM_LAYOUT_REFERENCE } gm_layout;
#define GM_LAYOUT_CHOICES "batch|reference"

typedef struct gm_umap_options {
    int dim; /* d, 2 to GM_MAX_LAYOUT_DIM */
    double min_dist, spread;
    double mix; /* 1 union .. 0 intersection of memberships */
    double learning_rate, repulsion;
    int negative_rate; /* random points pushed away for one neighbour drawn near */
    int n_epochs;      /* 0: gm_umap_epochs */
    bool densmap;
    gm_density_options density; /* of densMAP */
    gm_layout layout;
    uint64_t seed;
    gm_stages *stages; /* told of graph, spectral start and layout; may be NULL */
} gm_umap_options;

/* umap-learn's defaults: 2, 0.1, 1, 1, 1, 1, 5, 0, no densMAP, batch, 42. */
gm_umap_options gm_umap_defaults(void);

/* The same with min_dist 0, for finding clusters: points of one cluster may coincide, so that gaps
 * show. cluster/NOTES.md has figures of both. */
gm_umap_options gm_umap_defaults_to_cluster(void);

/* Epochs of a map of n points: 500 up to 10,000, 200 beyond; 200 more with densMAP. */
int gm_umap_epochs(size_t n, bool densmap);

typedef struct gm_umap_report {
    double a, b; /* of the curve */
    int n_epochs;
    size_t n_isolated;       /* points without an edge, on the ring */
    size_t n_components;     /* connected parts of the others */
    int spectral_rounds;     /* most that any part needed */
    bool spectral_converged; /* false: a part starts from vectors that are not there yet */
} gm_umap_report;

/* Lay out the points whose neighbours are known.
 *   knn    of all N points, as gm_knn_find gives it
 *   xy     (N,d) written
 *   graph  the memberships after pruning; the caller clears it
 * Errors: GM_EARG for options out of range, GM_ENUMERIC, GM_EMEM, GM_EINTERRUPTED. */
gm_status gm_umap_fit(float *xy, gm_graph *graph, const gm_points *points, const gm_knn *knn,
                      const gm_umap_options *options, gm_umap_report *report, gm_progress *progress,
                      gm_error *err) GM_MUST_USE;

/* What the layouts of one graph from several seeds have in common. */
typedef struct gm_umap_base {
    gm_graph graph;        /* (N) the memberships after pruning */
    gm_graph part;         /* of the points that have an edge */
    uint32_t *keep;        /* (part.n) those points, ascending */
    int dim;               /* d */
    double *start;         /* (part.n, d) where they start, but for scale and noise */
    double *radius;        /* (N) local radii, with densMAP; else NULL */
    gm_isa isa;            /* what to compute with */
    gm_umap_report report; /* of the first step, which is all but the layout */
} gm_umap_base;

/* The two steps of gm_umap_fit: the seed decides noise and random points of the second; in the
 * first it is where the search for eigenvectors begins, which changes them by less than its
 * tolerance. Both take the same dim and densmap; the number of epochs is the first's. Errors as
 * above; where no two points are neighbours (report.n_isolated is N) it is the second that fails,
 * GM_ENUMERIC. */
gm_status gm_umap_prepare(gm_umap_base *out, const gm_points *points, const gm_knn *knn,
                          const gm_umap_options *options, gm_error *err) GM_MUST_USE;
gm_status gm_umap_lay_out(float *xy, const gm_umap_base *base, const gm_umap_options *options,
                          gm_progress *progress, gm_error *err) GM_MUST_USE;
void gm_umap_base_clear(gm_umap_base *base);

/* The middle of n > 0 places, at (n,dim), into centre (dim), and how far from it those are set that
 * have no place of their own: a quarter farther than the farthest, than 1 at least. */
double gm_umap_rim(double *centre, const float *at, size_t n, size_t dim);

/* ---- the parts, for tests ---- */

/* Where the descent starts: eigenvectors of every connected part, parts set apart by where
 * their centres are, at (N,dim); and those scaled to [0,10] with a little noise, xy (N,dim). No
 * point without an edge. */
gm_status gm_spectral_start(double *at, int dim, const gm_graph *graph, const gm_points *points,
                            const uint32_t *point_of, uint64_t seed, gm_umap_report *report,
                            gm_error *err) GM_MUST_USE;
void gm_spectral_scale(float *xy, const double *at, size_t n, int dim, uint64_t seed);

typedef struct gm_layout_job {
    const gm_graph *graph;
    int dim; /* d */
    double a, b, learning_rate, repulsion;
    int negative_rate, n_epochs;
    uint64_t seed;
    gm_density *density;   /* of densMAP, of the graph's points; else NULL */
    gm_isa isa;            /* batch: what to compute with */
    gm_progress *progress; /* may be NULL */
} gm_layout_job;

/* Move xy (N,d). */
gm_status gm_layout_batch(float *xy, const gm_layout_job *job, gm_error *err) GM_MUST_USE;
gm_status gm_layout_reference(float *xy, const gm_layout_job *job, gm_error *err) GM_MUST_USE;

/* umap-learn's tau88: signed 64-bit state, arithmetic shifts, signed 32-bit result. */
int32_t gm_tau88_next(int64_t state[3]);

#endif
