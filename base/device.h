/* device.h - the names of devices that --device takes, and, for builds without CUDA, whether this
 * machine has a GPU.
 *
 * engine/backend.c and cluster/gpu.c choose among the devices that a name allows.
 */
#ifndef GM_DEVICE_H
#define GM_DEVICE_H

#include "base/base.h"

enum { GM_ANY_GPU = -1, GM_MAX_GPUS = 64 };

typedef struct gm_device {
    bool cpu, gpu; /* which of them may be used; if both, the GPU if it can do the work */
    int index;     /* of the GPU, from 0; GM_ANY_GPU: the first that can do the work */
} gm_device;

/* "auto" (and NULL): both; "cpu"; "cuda": any GPU; "cuda:N". GM_EARG. */
gm_status gm_device_parse(gm_device *out, const char *name, gm_error *err) GM_MUST_USE;

/* The GPUs of a machine that a build can use. */
typedef struct gm_gpus {
    int n;
    int index[GM_MAX_GPUS];
    bool none; /* n is 0 because there is no driver, or it sees no GPU */
} gm_gpus;

/* Is NVIDIA's driver loaded? Looks into ROOT/proc; "" is this system. As for CUDA itself, a
 * CUDA_VISIBLE_DEVICES that is empty or -1 hides all GPUs. */
bool gm_device_driver_is_loaded(const char *root);

#endif
