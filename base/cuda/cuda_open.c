/* cuda_open.c - choosing a GPU, and saying why there is none. */
#include "base/cuda/cuda_device.h"

#include "base/text.h"

#include <string.h>

enum { OLDEST_MAJOR = 8, EARLY_MAJOR = 9 };

gm_status gm_cuda_check(cudaError_t result, const char *what, gm_error *err)
{
    if (result == cudaSuccess) return GM_OK;
    (void)cudaGetLastError(); /* or the next call would report it again */
    const char *said = cudaGetErrorString(result);
    gm_status code = result == cudaErrorMemoryAllocation ? GM_EMEM : GM_EDEVICE;
    return gm_fail(err, code, "%s: the GPU reported '%s'", what, said);
}

gm_status gm_cuda_alloc(void **out, size_t bytes, const char *what, gm_error *err)
{
    size_t n_free = 0, total = 0;
    char need[24], have[24];
    *out = NULL;
    cudaError_t e = cudaMalloc(out, bytes);
    if (e != cudaErrorMemoryAllocation) return gm_cuda_check(e, what, err);
    *out = NULL;
    (void)cudaGetLastError();
    if (cudaMemGetInfo(&n_free, &total) != cudaSuccess) return gm_cuda_check(e, what, err);
    return gm_fail(err, GM_EMEM, "%s: %s needed, but the GPU has only %s free", what,
                   gm_show_bytes(need, (double)bytes), gm_show_bytes(have, (double)n_free));
}

gm_status gm_cuda_alloc_pinned(void **out, size_t bytes, const char *what, gm_error *err)
{
    char need[24];
    *out = NULL;
    cudaError_t e = cudaMallocHost(out, bytes);
    if (e != cudaErrorMemoryAllocation) return gm_cuda_check(e, what, err);
    *out = NULL;
    (void)cudaGetLastError();
    return gm_fail(err, GM_EMEM,
                   "%s: the system cannot pin %s of memory; raise 'ulimit -l' or free memory", what,
                   gm_show_bytes(need, (double)bytes));
}

/* ---- choosing ---- */

/* CUDA's 13020 is version 13.2. */
static gm_status no_driver(int driver, int runtime, gm_error *err)
{
    if (driver == 0)
        return gm_fail(err, GM_EABSENT, "this machine has no NVIDIA driver (libcuda.so.1)");
    return gm_fail(err, GM_EABSENT,
                   "the NVIDIA driver supports CUDA %d.%d, but this build needs CUDA %d: install a "
                   "newer driver or build with an older CUDA",
                   driver / 1000, driver % 1000 / 10, runtime / 1000);
}

/* *none: there is nothing to speak of. */
static gm_status count_devices(int *n, bool *none, gm_error *err)
{
    int driver = 0, runtime = 0;
    *n = 0;
    (void)cudaDriverGetVersion(&driver);
    (void)cudaRuntimeGetVersion(&runtime);
    *none = driver == 0;
    if (driver == 0) return no_driver(driver, runtime, err);
    cudaError_t e = cudaGetDeviceCount(n);
    if (e == cudaSuccess && *n > 0) return GM_OK;
    *n = 0;
    (void)cudaGetLastError();
    if (e == cudaErrorInsufficientDriver) return no_driver(driver, runtime, err);
    *none = e == cudaSuccess || e == cudaErrorNoDevice;
    if (*none) return gm_fail(err, GM_EABSENT, "the NVIDIA driver sees no GPU");
    return gm_cuda_check(e, "looking for a GPU", err);
}

static gm_status look(gm_cuda_device *out, int index, gm_error *err)
{
    struct cudaDeviceProp about;
    gm_status status =
        gm_cuda_check(cudaGetDeviceProperties(&about, index), "asking about the GPU", err);
    if (status != GM_OK) return status;
    if (about.major < OLDEST_MAJOR)
        return gm_fail(err, GM_EABSENT,
                       "'%s' has compute capability %d.%d, this build needs %d.0 or later",
                       about.name, about.major, about.minor, OLDEST_MAJOR);
    *out = (gm_cuda_device){.index = index,
                            .major = about.major,
                            .minor = about.minor,
                            .multiprocessors = about.multiProcessorCount,
                            .memory = about.totalGlobalMem,
                            .early = about.major >= EARLY_MAJOR};
    memcpy(out->name, about.name, sizeof out->name - 1);
    return GM_OK;
}

gm_status gm_cuda_gpus_find(gm_gpus *out, gm_error *err)
{
    int n = 0;
    gm_cuda_device device;
    gm_error first = {0}; /* what is wrong with the first that cannot be used */
    *out = (gm_gpus){0};
    gm_status status = count_devices(&n, &out->none, err);
    if (status != GM_OK) return status;
    for (int i = 0; i < n && out->n < GM_MAX_GPUS; i++) {
        if (look(&device, i, first.code == GM_OK ? &first : NULL) == GM_OK)
            out->index[out->n++] = i;
    }
    if (out->n > 0) return GM_OK;
    return gm_fail(err, first.code, "%s", first.text);
}

gm_status gm_cuda_device_look(gm_cuda_device *out, int index, gm_error *err)
{
    int n = 0;
    bool none;
    *out = (gm_cuda_device){0};
    gm_status status = count_devices(&n, &none, err);
    if (status != GM_OK) return status;
    if (index >= n)
        return gm_fail(err, GM_EABSENT, "no GPU 'cuda:%d', this machine has cuda:0 to cuda:%d",
                       index, n - 1);
    return look(out, index, err);
}

gm_status gm_cuda_device_take(const gm_cuda_device *device, size_t *n_free, gm_error *err)
{
    size_t total = 0;
    *n_free = 0;
    gm_status status = gm_cuda_check(cudaSetDevice(device->index), "choosing the GPU", err);
    if (status != GM_OK) return status;
    return gm_cuda_check(cudaMemGetInfo(n_free, &total), "asking for memory", err);
}
