/* gpu.h - a GPU for the one step that is worth one: proposing neighbours. What it proposes is
 * decided and certified as on the CPU (knn.h), so the neighbours are the same.
 */
#ifndef GM_GPU_H
#define GM_GPU_H

#include "base/device.h"
#include "base/progress.h"
#include "cluster/candidates.h"
#include "cluster/product.h"

#define GM_GPU_HELP                                                                            \
    "where neighbours are found: auto (a GPU if the CPU would take long; same results), cpu, " \
    "cuda or cuda:N"

typedef struct gm_gpu gm_gpu;

/* What is to be found, as far as "auto" has to know. */
typedef struct gm_gpu_work {
    size_t n, dim;
    double cpu_seconds; /* that the same neighbours take the CPU, roughly; 0: a GPU would find
                           others (neighbours.h) */
} gm_gpu_work;

/* Starting a GPU and its library takes a second or two, so "auto" leaves to the CPU what it does
 * within GM_GPU_WORTH_SECONDS. */
enum { GM_GPU_WORTH_SECONDS = 10, GM_GPU_NOTE = 640 };

/* *out is NULL for the CPU, which "auto" (or NULL) also means where the work is not worth a GPU or
 * would come to something else on one, where there is none, or none that could do it. note: "", or
 * the sentence that says which GPU is taken, or why none of those that are there. "cuda" is the
 * first GPU, GM_ANY_GPU as in base/device.h. GM_EARG: no device's name; GM_EABSENT: not in this
 * build, no driver, no such GPU, no cuBLAS; GM_EMEM, GM_EDEVICE. */
gm_status gm_gpu_open(gm_gpu **out, const char *device, const gm_gpu_work *work,
                      char note[GM_GPU_NOTE], gm_error *err) GM_MUST_USE;
void gm_gpu_close(gm_gpu *gpu);
const char *gm_gpu_name(const gm_gpu *gpu); /* "NVIDIA H200"; NULL: "cpu" */

/* Whether it was "auto" that took it: what it fails at later, when somebody else may have its
 * memory, is the CPU's then. */
bool gm_gpu_is_optional(const gm_gpu *gpu);

/* Offer every point to every query: those of the candidates (n_queries) that are the nearest by
 * the products of rounded points, the query's own left out.
 *   query (n_queries) point numbers
 * GM_EABSENT: more candidates than it can keep; GM_EMEM, with what it would take; GM_EDEVICE. */
gm_status gm_gpu_propose(gm_gpu *gpu, const gm_product *product, const uint32_t *query,
                         gm_candidates *candidates, size_t n_queries, gm_progress *progress,
                         gm_error *err) GM_MUST_USE;

#endif
