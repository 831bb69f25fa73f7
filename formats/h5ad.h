/* h5ad.h - documents of an atlas as an AnnData file, which scanpy opens.
 *
 * Sizes: N documents, D = L*E.
 *
 *   obs       id as the index; cluster and subset (script and language where known)
 *             categories, "noise" among them; probability, outlier, n_tokens
 *   obsm      X_umap f64 (N,2); X_space f32, where clusters were found in more dimensions than two
 *   obsp      connectivities: the neighbour graph (CSR)
 *   var       "layer:expert" as the index; layer, expert
 *   X         usage rates f32 (N,D), where they are given
 *   uns       neighbors (where connectivities are), gm_parameters, gm_quality as JSON texts,
 *             gm_digest, gm_model
 *
 * Source: anndata's on-disk format, "dataframe" 0.2.0, "csr_matrix" 0.1.0, "categorical" 0.2.0.
 */
#ifndef GM_H5AD_H
#define GM_H5AD_H

#include "formats/atlas.h"

/* rate (N,D) in the order of the atlas, or NULL. Errors: GM_EEXIST unless `replace`, GM_EBUSY,
 * GM_EIO, GM_EMEM. */
gm_status gm_h5ad_write(const char *path, const gm_atlas *atlas, const float *rate, bool replace,
                        gm_error *err) GM_MUST_USE;

#endif
