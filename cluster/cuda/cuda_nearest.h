/* cuda_nearest.h - a GPU that proposes neighbours: cuBLAS multiplies tiles of rounded points, a
 * kernel keeps the nearest of each row.
 *
 * Sizes: N points, Q queries, W candidates kept of each, D of a rounded point.
 */
#ifndef GM_CUDA_NEAREST_H
#define GM_CUDA_NEAREST_H

#include "base/cuda/cuda_device.h"
#include "cluster/gpu.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { GM_CUDA_MOST_KEPT = 512 };

/* A tile of products: rows are queries. What a row has kept so far is updated. All on the device,
 * of finite points; n_kept from 1 to GM_CUDA_MOST_KEPT, n_keys at most n_kept. */
typedef struct gm_cuda_keep {
    const float *dot;        /* (n_rows, stride) */
    const float *row_norm;   /* (n_rows) */
    const float *norm;       /* (n_cols) */
    const uint32_t *self;    /* (n_rows) number of the query's own point, which is left out */
    unsigned long long *key; /* (n_rows, n_kept) gm_candidate, ascending */
    uint32_t *n_keys;        /* (n_rows) */
    size_t stride;
    uint32_t first; /* number of the point that column 0 is */
    int n_rows, n_cols, n_kept;
} gm_cuda_keep;
cudaError_t gm_cuda_keep_nearest(const gm_cuda_how *how, const gm_cuda_keep *p);

/* GPU `index`, if it has room for the work. As gm_gpu_open. */
gm_status gm_cuda_gpu_open(gm_gpu **out, int index, const gm_gpu_work *work, gm_error *err)
    GM_MUST_USE;
void gm_cuda_gpu_close(gm_gpu *gpu);
void gm_cuda_gpu_set_optional(gm_gpu *gpu, bool optional);
bool gm_cuda_gpu_is_optional(const gm_gpu *gpu);
const char *gm_cuda_gpu_name(const gm_gpu *gpu);
/* Tiles of other sizes than the usual ones, for tests. */
void gm_cuda_gpu_set_tile(gm_gpu *gpu, size_t rows, size_t cols);
gm_status gm_cuda_propose(gm_gpu *gpu, const gm_product *product, const uint32_t *query,
                          gm_candidates *candidates, size_t n_queries, gm_progress *progress,
                          gm_error *err) GM_MUST_USE;

#ifdef __cplusplus
}
#endif
#endif
