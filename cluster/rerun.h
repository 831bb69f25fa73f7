/* rerun.h - map and clusters again: of the same points from another seed, of some of them.
 *
 * Sizes: M points, m of them picked.
 */
#ifndef GM_RERUN_H
#define GM_RERUN_H

#include "cluster/hdbscan.h"
#include "cluster/umap.h"

/* HDBSCAN on a map, xy (m,dim). Points without an edge in the graph are on a ring and belong
 * nowhere. Errors: those of gm_hdbscan_fit. */
gm_status gm_rerun_cluster(gm_clustering *out, const float *xy, int dim, const gm_graph *graph,
                           const gm_hdbscan_options *options, gm_error *err) GM_MUST_USE;

/* The same from a linkage that is known, which is moved into *out. */
gm_status gm_rerun_cut(gm_clustering *out, gm_linkage *linkage, const gm_graph *graph,
                       const gm_hdbscan_options *options, gm_error *err) GM_MUST_USE;

/* Number the clusters as gm_profile_number does, by the documents of each: label (n) of documents,
 * which may be out->label itself; sha (n). Clusters without a document are no more. Errors:
 * GM_EMEM. */
gm_status gm_rerun_number(gm_clustering *c, const int32_t *label, size_t n,
                          const uint8_t (*sha)[32], gm_error *err) GM_MUST_USE;

/* The options as they are used on `m` points: what is 0 chosen by their number. */
gm_hdbscan_options gm_rerun_defaults(const gm_hdbscan_options *options, size_t m);

/* Warn where no cluster was found, or only one, and say which option to change. what: "document",
 * say. */
void gm_rerun_advise(const gm_clustering *clustering, const gm_hdbscan_options *used,
                     const char *what);

/* Options used on `from` points, brought to `to` points: a cluster may be smaller in the same
 * proportion, but not below 5. */
gm_hdbscan_options gm_rerun_scale(const gm_hdbscan_options *used, size_t from, size_t to);

/* Layout, in the dimensions of `umap`, and clusters there: label (m) written, numbered as
 * gm_hdbscan_fit does. Where no point has a neighbour all are noise. */
gm_status gm_rerun_label(int32_t *label, size_t *n_clusters, const gm_points *points,
                         const gm_knn *knn, const gm_umap_options *umap,
                         const gm_hdbscan_options *hdbscan, gm_error *err) GM_MUST_USE;
/* The same of what gm_umap_prepare made; several threads may share it. */
gm_status gm_rerun_label_from(int32_t *label, size_t *n_clusters, const gm_umap_base *base,
                              const gm_umap_options *umap, const gm_hdbscan_options *hdbscan,
                              gm_error *err) GM_MUST_USE;

#endif
