/* gpu.c - which device proposes neighbours; the only place that asks. */
#include "cluster/gpu.h"

#ifdef GM_HAVE_CUDA
#include "cluster/cuda/cuda_nearest.h"
#endif

#include <string.h>

gm_status gm_gpu_open(gm_gpu **out, const char *device, gm_error *err)
{
    *out = NULL;
    if (device == NULL || strcmp(device, "auto") == 0 || strcmp(device, "cpu") == 0) return GM_OK;
    if (strncmp(device, "cuda", 4) != 0)
        return gm_fail(err, GM_EARG, "unknown device '%s', expected auto, cpu, cuda or cuda:N",
                       device);
#ifdef GM_HAVE_CUDA
    return gm_cuda_gpu_open(out, device, err);
#else
    return gm_fail(
        err, GM_EABSENT,
        "device '%s': this build has no CUDA backend, use '--device cpu' or one built with "
        "'cmake --preset cuda'",
        device);
#endif
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

gm_status gm_gpu_propose(gm_gpu *gpu, const gm_product *product, const uint32_t *query,
                         gm_candidates *candidates, size_t n_queries, gm_progress *progress,
                         gm_error *err)
{
    (void)gpu, (void)product, (void)query, (void)candidates, (void)n_queries, (void)progress;
    return gm_fail(err, GM_EABSENT, "this build has no CUDA backend");
}
#endif
