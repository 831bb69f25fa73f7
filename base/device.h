/* device.h - the names of devices that programs take (--device), and whether a GPU is in this
 * machine for those builds that cannot ask it.
 *
 * Which of the devices that a name allows is taken is decided where the work is known:
 * engine/backend.c, cluster/gpu.c.
 */
#ifndef GM_DEVICE_H
#define GM_DEVICE_H

#include "base/base.h"

enum { GM_ANY_GPU = -1, GM_MOST_GPUS = 64 };

typedef struct gm_device {
    bool cpu, gpu; /* which of them may be taken; of both the GPU, if it can do the work */
    int index;     /* of the GPU, from 0; GM_ANY_GPU: the first that can do the work */
} gm_device;

/* "auto" (and NULL): both; "cpu"; "cuda": any GPU; "cuda:N". GM_EARG. */
gm_status gm_device_parse(gm_device *out, const char *name, gm_error *err) GM_MUST_USE;

/* The GPUs of a machine that a build can use. */
typedef struct gm_gpus {
    int n;
    int index[GM_MOST_GPUS];
    bool none; /* n is 0, and there is nothing to speak of: no driver, or it sees no GPU */
} gm_gpus;

/* Whether NVIDIA's driver is loaded: a look at ROOT/proc, which costs nothing; "" is this system.
 * CUDA_VISIBLE_DEVICES that is set and empty, or -1, hides all GPUs, as it does from CUDA. */
bool gm_device_driver_is_loaded(const char *root);

#endif
