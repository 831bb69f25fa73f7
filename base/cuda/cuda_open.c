/* cuda_open.c - choosing a GPU, and saying why there is none. */
#include "base/cuda/cuda_device.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

enum { OLDEST_MAJOR = 8, EARLY_MAJOR = 9 };

gm_status gm_cuda_check(cudaError_t result, const char *what, gm_error *err)
{
    if (result == cudaSuccess) return GM_OK;
    (void)cudaGetLastError(); /* or the next call would report it again */
    const char *said = cudaGetErrorString(result);
    gm_status code = result == cudaErrorMemoryAllocation ? GM_EMEM : GM_EDEVICE;
    return gm_fail(err, code, "%s: the GPU says '%s'", what, said);
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
    return gm_fail(err, GM_EMEM, "%s: %s are needed, the GPU has %s free", what,
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
    return gm_fail(err, GM_EMEM, "%s: the system does not pin %s ('ulimit -l', or memory is short)",
                   what, gm_show_bytes(need, (double)bytes));
}

gm_status gm_cuda_device_parse(const char *device, int *index, gm_error *err)
{
    long n = 0;
    if (device && strcmp(device, "cuda") != 0) {
        char *end = NULL;
        bool number = strncmp(device, "cuda:", 5) == 0 && device[5] >= '0' && device[5] <= '9';
        if (number) n = strtol(device + 5, &end, 10);
        if (!number || *end != '\0' || n > 1023)
            return gm_fail(err, GM_EARG, "unknown device '%s', expected auto, cpu, cuda or cuda:N",
                           device);
    }
    if (index) *index = (int)n;
    return GM_OK;
}

/* CUDA's 13020 is version 13.2. */
static gm_status no_driver(int driver, int runtime, gm_error *err)
{
    if (driver == 0)
        return gm_fail(err, GM_EABSENT,
                       "no NVIDIA driver on this machine (libcuda.so.1), use '--device cpu'");
    return gm_fail(err, GM_EABSENT,
                   "the NVIDIA driver is for CUDA %d.%d, this build needs CUDA %d: a newer driver, "
                   "or a build with an older CUDA",
                   driver / 1000, driver % 1000 / 10, runtime / 1000);
}

static gm_status count_devices(int *n, gm_error *err)
{
    int driver = 0, runtime = 0;
    *n = 0;
    (void)cudaDriverGetVersion(&driver);
    (void)cudaRuntimeGetVersion(&runtime);
    cudaError_t e = cudaGetDeviceCount(n);
    if (e == cudaSuccess && *n > 0) return GM_OK;
    (void)cudaGetLastError();
    if (driver == 0 || e == cudaErrorInsufficientDriver) return no_driver(driver, runtime, err);
    if (e == cudaSuccess || e == cudaErrorNoDevice)
        return gm_fail(err, GM_EABSENT, "the NVIDIA driver sees no GPU, use '--device cpu'");
    return gm_cuda_check(e, "looking for a GPU", err);
}

gm_status gm_cuda_device_open(gm_cuda_device *out, const char *device, gm_error *err)
{
    int index = 0, n = 0;
    struct cudaDeviceProp about;
    *out = (gm_cuda_device){0};
    gm_status status = gm_cuda_device_parse(device, &index, err);
    if (status == GM_OK) status = count_devices(&n, err);
    if (status != GM_OK) return status;
    if (index >= n)
        return gm_fail(err, GM_EABSENT, "no GPU 'cuda:%d', this machine has cuda:0 to cuda:%d",
                       index, n - 1);
    status = gm_cuda_check(cudaGetDeviceProperties(&about, index), "asking about the GPU", err);
    if (status != GM_OK) return status;
    if (about.major < OLDEST_MAJOR)
        return gm_fail(err, GM_EABSENT,
                       "'%s' has compute capability %d.%d, this build needs %d.0 or later",
                       about.name, about.major, about.minor, OLDEST_MAJOR);
    status = gm_cuda_check(cudaSetDevice(index), "choosing the GPU", err);
    if (status != GM_OK) return status;
    *out = (gm_cuda_device){.index = index,
                            .major = about.major,
                            .minor = about.minor,
                            .multiprocessors = about.multiProcessorCount,
                            .memory = about.totalGlobalMem,
                            .early = about.major >= EARLY_MAJOR};
    memcpy(out->name, about.name, sizeof out->name - 1);
    return GM_OK;
}
