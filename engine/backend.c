/* backend.c - which backend runs a model; the only place that asks. */
#include "engine/ops.h"

#include "engine/cpu/cpu_ops.h"
#ifdef GM_HAVE_CUDA
#include "engine/cuda/cuda_ops.h"
#endif

#include <string.h>

static gm_status find_cuda(const gm_ops **ops, const char *device, const char *kernels_name,
                           gm_error *err)
{
#ifdef GM_HAVE_CUDA
    if (kernels_name && strcmp(kernels_name, "auto") != 0)
        return gm_fail(err, GM_EARG, "kernels '%s' are the CPU's, device '%s' chooses its own",
                       kernels_name, device);
    *ops = &gm_cuda_ops;
    return gm_cuda_device_parse(device, NULL, err);
#else
    (void)ops, (void)kernels_name;
    return gm_fail(
        err, GM_EABSENT,
        "device '%s': this build has no CUDA backend, use '--device cpu' or one built with "
        "'cmake --preset cuda'",
        device);
#endif
}

gm_status gm_ops_find(const gm_ops **ops, const struct gm_kernels **kernels, const char *device,
                      const char *kernels_name, gm_error *err)
{
    *ops = NULL;
    *kernels = NULL;
    if (device && strncmp(device, "cuda", 4) == 0) return find_cuda(ops, device, kernels_name, err);
    if (device && strcmp(device, "auto") != 0 && strcmp(device, "cpu") != 0)
        return gm_fail(err, GM_EARG, "unknown device '%s', expected auto, cpu, cuda or cuda:N",
                       device);
    *ops = &gm_cpu_ops;
    return gm_kernels_find(kernels, kernels_name, err);
}
