/* gpu.h - a GPU for the one step that is worth one: proposing neighbours. What it proposes is
 * decided and certified as on the CPU (knn.h), so the neighbours are the same.
 */
#ifndef GM_GPU_H
#define GM_GPU_H

#include "base/progress.h"
#include "cluster/candidates.h"
#include "cluster/product.h"

#define GM_DEVICE_HELP "that finds neighbours: auto, cpu, cuda or cuda:N"

typedef struct gm_gpu gm_gpu;

/* *out is NULL for the CPU: "cpu", or "auto" (and NULL) for as long as this has not been run on a
 * GPU. GM_EARG: no device's name; GM_EABSENT: not in this build, no driver, no such GPU, no cuBLAS;
 * GM_EMEM, GM_EDEVICE. */
gm_status gm_gpu_open(gm_gpu **out, const char *device, gm_error *err) GM_MUST_USE;
void gm_gpu_close(gm_gpu *gpu);
const char *gm_gpu_name(const gm_gpu *gpu); /* "NVIDIA H200"; NULL: "cpu" */

/* Offer every point to every query: those of the candidates (n_queries) that are the nearest by
 * the products of rounded points, the query's own left out.
 *   query (n_queries) point numbers
 * GM_EABSENT: more candidates than it can keep; GM_EMEM, with what it would take; GM_EDEVICE. */
gm_status gm_gpu_propose(gm_gpu *gpu, const gm_product *product, const uint32_t *query,
                         gm_candidates *candidates, size_t n_queries, gm_progress *progress,
                         gm_error *err) GM_MUST_USE;

#endif
