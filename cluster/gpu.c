/* gpu.c - which device proposes neighbours; the only place that asks. */
#include "cluster/gpu.h"

#ifdef GM_HAVE_CUDA
#include "cluster/cuda/cuda_nearest.h"
#endif

#include <stdio.h>

#ifdef GM_HAVE_CUDA
/* The GPU that was asked for, or the first that can do it; of what is wrong with several, the
 * first's is said. */
static gm_status open_one(gm_gpu **out, const gm_device *asked, const gm_gpu_work *work, bool *none,
                          gm_error *err)
{
    gm_gpus gpus = {.n = 1, .index = {asked->index}};
    gm_error later;
    gm_status status = GM_OK;
    if (asked->index == GM_ANY_GPU) status = gm_cuda_gpus_find(&gpus, err);
    *none = gpus.none;
    if (status == GM_OK) status = gm_cuda_gpu_open(out, gpus.index[0], work, err);
    for (int i = 1; i < gpus.n && status != GM_OK; i++)
        if (gm_cuda_gpu_open(out, gpus.index[i], work, &later) == GM_OK) status = GM_OK;
    if (*out) gm_cuda_gpu_set_optional(*out, asked->cpu);
    return status;
}
#else
static gm_status open_one(gm_gpu **out, const gm_device *asked, const gm_gpu_work *work, bool *none,
                          gm_error *err)
{
    (void)out, (void)asked, (void)work;
    *none = !gm_device_driver_is_loaded("");
    return gm_fail(err, GM_EABSENT,
                   "this build has no CUDA backend; 'cmake --preset cuda' adds it");
}
#endif

gm_status gm_gpu_open(gm_gpu **out, const char *device, const gm_gpu_work *work,
                      char note[GM_GPU_NOTE], gm_error *err)
{
    gm_device asked;
    gm_error why = {0};
    bool none = false;
    *out = NULL;
    note[0] = '\0';
    gm_status status = gm_device_parse(&asked, device, err);
    if (status != GM_OK || !asked.gpu) return status;
    if (asked.cpu && work->cpu_seconds < GM_GPU_WORTH_SECONDS) return GM_OK;
    status = open_one(out, &asked, work, &none, &why);
    if (status == GM_OK)
        (void)snprintf(note, GM_GPU_NOTE, "neighbours are found on %s", gm_gpu_name(*out));
    else if (asked.cpu && !none)
        (void)snprintf(note, GM_GPU_NOTE, "neighbours are found on the CPU: %s", why.text);
    if (status == GM_OK || asked.cpu) return GM_OK;
    if (status != GM_EABSENT && status != GM_EMEM) return gm_fail(err, status, "%s", why.text);
    return gm_fail(err, status, "%s; '--device cpu' needs no GPU", why.text);
}

#ifdef GM_HAVE_CUDA
void gm_gpu_close(gm_gpu *gpu)
{
    gm_cuda_gpu_close(gpu);
}

const char *gm_gpu_name(const gm_gpu *gpu)
{
    return gpu ? gm_cuda_gpu_name(gpu) : "cpu";
}

bool gm_gpu_is_optional(const gm_gpu *gpu)
{
    return gpu && gm_cuda_gpu_is_optional(gpu);
}

gm_status gm_gpu_propose(gm_gpu *gpu, const gm_product *product, const uint32_t *query,
                         gm_candidates *candidates, size_t n_queries, gm_progress *progress,
                         gm_error *err)
{
    return gm_cuda_propose(gpu, product, query, candidates, n_queries, progress, err);
}
#else
void gm_gpu_close(gm_gpu *gpu)
{
    (void)gpu; /* there is none */
}

const char *gm_gpu_name(const gm_gpu *gpu)
{
    (void)gpu;
    return "cpu";
}

bool gm_gpu_is_optional(const gm_gpu *gpu)
{
    (void)gpu;
    return false;
}

gm_status gm_gpu_propose(gm_gpu *gpu, const gm_product *product, const uint32_t *query,
                         gm_candidates *candidates, size_t n_queries, gm_progress *progress,
                         gm_error *err)
{
    (void)gpu, (void)product, (void)query, (void)candidates, (void)n_queries, (void)progress;
    return gm_fail(err, GM_EABSENT, "this build has no CUDA backend");
}
#endif
