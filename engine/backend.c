/* backend.c - which backend runs a model; the only place that asks.
 *
 * A GPU is taken where this build, the driver, cuBLAS and the GPU can do what was asked for, and
 * weights and planned session fit into what is free of its memory. Where the device was left open
 * ("auto") everything else goes to the CPU, with a sentence if there is a GPU.
 */
#include "engine/ops.h"

#include "base/device.h"
#include "engine/families.h"
#include "engine/cpu/cpu_ops.h"
#ifdef GM_HAVE_CUDA
#include "engine/cuda/cuda_ops.h"
#endif

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What a model is loaded from and how. */
typedef struct request {
    const gm_arch *arch;
    const gm_checkpoint *checkpoint;
    const gm_model_info *info;
    const gm_model_options *options;
} request;

static void GM_PRINTF(2, 3) tell(const gm_model_options *o, const char *fmt, ...)
{
    char sentence[1024];
    va_list args;
    if (o->device_notice == NULL) return;
    va_start(args, fmt);
    (void)vsnprintf(sentence, sizeof sentence, fmt, args);
    va_end(args);
    o->device_notice(o->notice_context, sentence);
}

/* A failure that is the device's: another may do. */
static bool may_go_elsewhere(gm_status status)
{
    return status == GM_EABSENT || status == GM_EMEM || status == GM_EDEVICE;
}

/* ---- on a GPU ---- */

#ifdef GM_HAVE_CUDA
static const gm_ops *const gpu_ops = &gm_cuda_ops;

/* What only the CPU does. */
static gm_status check_request(const request *r, gm_error *err)
{
    const gm_model_options *o = r->options;
    const gm_numerics numerics = r->info->numerics;
    if (o->kernels && strcmp(o->kernels, "auto") != 0)
        return gm_fail(err, GM_EABSENT, "kernels '%s' are for the CPU only", o->kernels);
    if (o->planned && o->planned->norms)
        return gm_fail(err, GM_EABSENT, "what experts give is recorded on the CPU only");
    if (o->hold != GM_HOLD_RESIDENT)
        return gm_fail(err, GM_EABSENT, "weights can be %s on the CPU only",
                       o->hold == GM_HOLD_MAPPED ? "mapped" : "streamed");
    if (o->cache == GM_CACHE_WRITE || o->cache_folder)
        return gm_fail(err, GM_EABSENT, "a cache of packed weights is for the CPU only");
    if (numerics == GM_NUMERICS_BF16_DOT)
        return gm_fail(
            err, GM_EABSENT,
            "numerics %s are for the CPU only; a GPU computes in f32, bf16, int8 and fp8",
            gm_numerics_name(numerics));
    return GM_OK;
}

static gm_status load_on(gm_weights **out, const request *r, int index, gm_error *err)
{
    gm_weights *w = gm_alloc(1, sizeof *w);
    if (w == NULL) return gm_fail(err, GM_EMEM, "no memory for the weights");
    w->numerics = r->info->numerics;
    w->no_head = r->options->no_head;
    w->ops = gpu_ops;
    gm_status status =
        gpu_ops->accelerator->weights_load(w, r->arch, r->checkpoint, r->options, index, err);
    if (status == GM_OK)
        *out = w;
    else
        gm_weights_free(w);
    return status;
}

/* On GPU `index`, or on the first that can do it: of what is wrong with several, the first's is
 * said. *none: this machine has no GPU. */
static gm_status load_on_gpu(gm_weights **out, const request *r, int index, bool *none,
                             gm_error *err)
{
    gm_gpus gpus = {.n = 1, .index = {index}};
    gm_error later;
    gm_status status = GM_OK;
    if (index == GM_ANY_GPU) status = gpu_ops->accelerator->gpus_find(&gpus, err);
    *none = gpus.none;
    if (status == GM_OK) status = check_request(r, err);
    if (status != GM_OK) return status;
    status = load_on(out, r, gpus.index[0], err);
    for (int i = 1; i < gpus.n && may_go_elsewhere(status); i++)
        if (load_on(out, r, gpus.index[i], &later) == GM_OK) return GM_OK;
    return status;
}
#else
static gm_status load_on_gpu(gm_weights **out, const request *r, int index, bool *none,
                             gm_error *err)
{
    (void)out, (void)r, (void)index;
    *none = !gm_device_driver_is_loaded("");
    return gm_fail(err, GM_EABSENT,
                   "this build has no CUDA backend; 'cmake --preset cuda' adds it");
}
#endif

/* ---- choosing ---- */

gm_status gm_weights_create(gm_weights **out, const gm_arch *arch, const gm_checkpoint *checkpoint,
                            const gm_model_info *info, const gm_model_options *options,
                            gm_error *err)
{
    const request r = {arch, checkpoint, info, options};
    gm_device device;
    gm_error why = {0};
    bool none = false;
    *out = NULL;
    gm_status status = gm_device_parse(&device, options->device, err);
    if (status != GM_OK) return status;
    if (!device.gpu) return gm_weights_hold(out, arch, checkpoint, info, options, err);
    status = load_on_gpu(out, &r, device.index, &none, &why);
    if (status == GM_OK) {
        tell(options, "computing on %s, %s", (*out)->device, (*out)->hardware);
        return GM_OK;
    }
    if (device.cpu && may_go_elsewhere(status)) {
        if (!none) tell(options, "computing on the CPU: %s", why.text);
        return gm_weights_hold(out, arch, checkpoint, info, options, err);
    }
    if (status != GM_EABSENT && status != GM_EMEM) return gm_fail(err, status, "%s", why.text);
    return gm_fail(err, status, "%s; '--device cpu' needs no GPU", why.text);
}

bool gm_gpu_find(gm_gpu_info *out)
{
    *out = (gm_gpu_info){0};
#ifdef GM_HAVE_CUDA
    return gpu_ops->accelerator->gpu_describe(out) == GM_OK;
#else
    return false;
#endif
}
