/* cuda_weights.c - a model's weights on the GPU: one allocation, checked against what is free
 * before anything is read.
 */
#include "engine/cuda/cuda_session.h"

#include "base/device.h"
#include "base/text.h"
#include "engine/cuda/cuda_fill.h"
#include "engine/cuda/cuda_layout.h"
#include "engine/session.h"

enum {
    /* What nobody asks for by name: the kernels that cuBLAS and we load at their first use, graphs,
     * and where nothing is taken yet the context. With lazy loading some 300 MB were seen in all.
     */
    CODE_BYTES = 512 << 20,
};

/* ---- memory ---- */

/* Room that is left for code where the CPU may do the work as well: a GPU that was named is tried.
 */
static size_t slack_bytes(const gm_model_options *options)
{
    gm_device device;
    return gm_device_parse(&device, options->device, NULL) == GM_OK && device.cpu ? CODE_BYTES : 0;
}

/* What is needed besides the weights: places for pieces, or later the planned session; and slack.
 */
static size_t other_bytes(const gm_arch *arch, const gm_checkpoint *checkpoint,
                          gm_numerics numerics, const gm_model_options *options)
{
    const size_t places = gm_cuda_fill_bytes(arch, checkpoint, options);
    size_t session = 0;
    if (options->planned) {
        const gm_session_sizes sizes = gm_session_sizes_of(arch, options->planned);
        session = (size_t)gm_cuda_session_bytes(arch, numerics, &sizes);
    }
    return (session > places ? session : places) + slack_bytes(options);
}

/* Other numerics that fit, where `n_free` bytes are too few: "; '--numerics int8' takes ...", or
 * "". */
static gm_status advise(const gm_weights *w, const gm_arch *arch, const gm_checkpoint *checkpoint,
                        const gm_model_options *options, size_t n_free, char advice[96],
                        gm_error *err)
{
    static const gm_numerics smaller[] = {GM_NUMERICS_BF16, GM_NUMERICS_INT8};
    const gm_dtype embed = gm_weights_embed_dtype(arch, checkpoint);
    const gm_cuda_model *m = w->own;
    char size[24];
    size_t then;
    gm_status status = GM_OK;
    advice[0] = '\0';
    for (size_t i = 0; i < 2 && status == GM_OK; i++) {
        status = gm_cuda_layout_bytes(w, arch, smaller[i], embed, &then, err);
        if (status != GM_OK || then >= m->bytes) continue;
        if (then + other_bytes(arch, checkpoint, smaller[i], options) > n_free) continue;
        snprintf(advice, 96, "; '--numerics %s' needs %s and fits", gm_numerics_name(smaller[i]),
                 gm_show_bytes(size, (double)then));
        break;
    }
    return status;
}

/* `kind` of memory there are n bytes of: "", or "free". */
static gm_status check_memory(const gm_weights *w, const gm_arch *arch,
                              const gm_checkpoint *checkpoint, const gm_model_options *options,
                              size_t n, const char *kind, gm_error *err)
{
    const gm_cuda_model *m = w->own;
    const size_t bytes = m->bytes, other = other_bytes(arch, checkpoint, w->numerics, options);
    const size_t slack = slack_bytes(options);
    char need[24], rest[24], have[24], fits[24], code[64] = "", advice[96];
    if (bytes + other <= n) return GM_OK;
    gm_status status = advise(w, arch, checkpoint, options, n, advice, err);
    if (status != GM_OK) return status;
    if (slack > 0)
        snprintf(code, sizeof code, " (%s of it for CUDA's code)",
                 gm_show_bytes(fits, (double)slack));
    uint64_t active;
    const double each = (double)bytes / (double)gm_arch_parameters(arch, &active);
    return gm_fail(err, GM_EMEM,
                   "the weights take %s and the rest %s%s, but '%s' has only %s%s, enough for "
                   "about %s parameters in %s%s",
                   gm_show_bytes(need, (double)bytes), gm_show_bytes(rest, (double)other), code,
                   m->device.name, gm_show_bytes(have, (double)n), kind,
                   gm_show_count(fits, n > other ? (double)(n - other) / each : 0.0),
                   gm_numerics_name(w->numerics), advice);
}

/* ---- the whole ---- */

/* Kernels that were compiled from code of before 9.0 do not wait for the previous one, and
 * must not be started early. */
static gm_status prepare_kernels(gm_cuda_device *device, gm_error *err)
{
    bool can_wait = false;
    cudaError_t (*const prepare[])(void) = {gm_cuda_project_prepare, gm_cuda_prefill_prepare,
                                            gm_cuda_route_prepare,   gm_cuda_experts_prepare,
                                            gm_cuda_latent_prepare,  gm_cuda_latent_attend_prepare};
    for (size_t i = 0; i < sizeof prepare / sizeof *prepare; i++) {
        gm_status status = gm_cuda_check(prepare[i](), "preparing kernels", err);
        if (status != GM_OK) return status;
    }
    gm_status status = gm_cuda_check(gm_cuda_kernels_wait(&can_wait), "preparing kernels", err);
    device->early = device->early && can_wait;
    return status;
}

static void clear_bias(const gm_buf *norm, cudaStream_t stream, cudaError_t *e)
{
    float *bias = (float *)norm->address + norm->stride;
    if (norm->rows > 1 && *e == cudaSuccess)
        *e = cudaMemsetAsync(bias, 0, norm->stride * sizeof *bias, stream);
}

/* The second rows of norms that have no bias. */
static gm_status clear_biases(const gm_weights *w, gm_error *err)
{
    cudaStream_t stream = NULL;
    cudaError_t e = cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    clear_bias(&w->final_norm, stream, &e);
    for (size_t l = 0; l < w->n_layers; l++) {
        clear_bias(&w->layer[l].attn_norm, stream, &e);
        clear_bias(&w->layer[l].mlp_norm, stream, &e);
    }
    if (e == cudaSuccess) e = cudaStreamSynchronize(stream);
    if (stream) (void)cudaStreamDestroy(stream);
    return gm_cuda_check(e, "clearing biases", err);
}

gm_status gm_cuda_weights_load(gm_weights *w, const gm_arch *arch, const gm_checkpoint *checkpoint,
                               const gm_model_options *options, int index, gm_error *err)
{
    gm_status status = GM_OK;
    gm_cuda_layout layout = {0};
    size_t n_free;
    const gm_dtype embed = gm_weights_embed_dtype(arch, checkpoint);
    gm_cuda_model *m = gm_alloc(1, sizeof *m);
    if (m == NULL) return gm_fail(err, GM_EMEM, "no memory for the weights");
    w->own = m;
    /* as long as nothing of the GPU is taken, what can be found out is */
    GM_TRY(gm_cuda_device_look(&m->device, index, err));
    GM_TRY(gm_cuda_check_arch(arch, err));
    GM_TRY(gm_cuda_layout_bytes(w, arch, w->numerics, embed, &m->bytes, err));
    GM_TRY(check_memory(w, arch, checkpoint, options, m->device.memory, "", err));
    GM_TRY(gm_cuda_blas_open(&m->blas, err));
    GM_TRY(gm_cuda_device_take(&m->device, &n_free, err));
    GM_TRY(check_memory(w, arch, checkpoint, options, n_free, " free", err));
    GM_TRY(prepare_kernels(&m->device, err));
    snprintf(w->device, sizeof w->device, "cuda:%d", m->device.index);
    snprintf(w->hardware, sizeof w->hardware, "%s", m->device.name);
    w->resident_bytes = m->bytes;
    GM_TRY(gm_cuda_alloc(&m->memory, m->bytes, "memory for the weights", err));
    GM_TRY(gm_cuda_lay_out(&layout, w, arch, embed, m->memory, err));
    if (arch->layer_norm) GM_TRY(clear_biases(w, err)); /* before tensors of those that have some */
    GM_TRY(gm_cuda_fill(m, &layout, checkpoint, options, err));
out:
    gm_free(layout.job);
    return status;
}

void gm_cuda_weights_free(gm_weights *w)
{
    gm_cuda_model *m = w->own;
    if (m == NULL) return;
    if (m->memory) { /* else the GPU was perhaps never taken, and is not to be */
        (void)cudaSetDevice(m->device.index);
        (void)cudaFree(m->memory);
    }
    gm_cuda_blas_close(&m->blas);
    gm_free(m);
}
