/* cuda_session.c - creating a session on the GPU: memory, streams, tables; and its edits. */
#include "engine/cuda/cuda_session.h"

#include "base/text.h"

#include <string.h>

/* ---- what the kernels cannot do is refused ---- */

static gm_status check_heads(const gm_arch *arch, gm_error *err)
{
    const gm_latent *l = &arch->latent;
    if (l->kv > GM_CUDA_MAX_LATENT || (l->kv > 0 && arch->head_dim > GM_CUDA_MAX_LATENT_HEAD))
        return gm_fail(err, GM_EABSENT,
                       "the model's latents have %d dimensions and its keys %d, but attention on "
                       "the GPU supports at most %d and %d",
                       l->kv, arch->head_dim, GM_CUDA_MAX_LATENT, GM_CUDA_MAX_LATENT_HEAD);
    for (int global = 0; l->kv == 0 && global < 2; global++) {
        const int head = (int)gm_arch_heads(arch, global).key; /* 0: no layer is so */
        if (head > GM_CUDA_MAX_HEAD || head % 2)
            return gm_fail(err, GM_EABSENT,
                           "the model's heads have %d dimensions, but attention on the GPU "
                           "supports even numbers up to %d",
                           head, GM_CUDA_MAX_HEAD);
    }
    if (arch->delta.key > GM_CUDA_MAX_DELTA_KEY || arch->delta.value > GM_CUDA_MAX_DELTA_VALUE)
        return gm_fail(err, GM_EABSENT,
                       "the model's %s has keys of %d dimensions and values of %d, but the GPU "
                       "supports at most %d and %d",
                       gm_arch_recurrence(arch), arch->delta.key, arch->delta.value,
                       GM_CUDA_MAX_DELTA_KEY, GM_CUDA_MAX_DELTA_VALUE);
    return GM_OK;
}

gm_status gm_cuda_check_arch(const gm_arch *arch, gm_error *err)
{
    gm_status status = check_heads(arch, err);
    const gm_delta *d = &arch->delta;
    const size_t near = gm_arch_heads(arch, false).out, far = gm_arch_heads(arch, true).out;
    const int given = arch->n_heads * (int)(near > far ? near : far);
    const int values = d->value_heads * d->value;
    int widest = arch->width > given ? arch->width : given;
    if (arch->latent.q > widest) widest = arch->latent.q;
    if (values > widest) widest = values;
    if (status != GM_OK) return status;
    if (arch->n_experts > GM_CUDA_MAX_EXPERTS)
        return gm_fail(
            err, GM_EABSENT,
            "the model has %d experts per layer, but the router on the GPU supports at most %d",
            arch->n_experts, GM_CUDA_MAX_EXPERTS);
    if (arch->vocab > GM_CUDA_MAX_VOCAB)
        return gm_fail(err, GM_EABSENT,
                       "the model knows %d tokens, but sampling on the GPU supports at most %d",
                       arch->vocab, GM_CUDA_MAX_VOCAB);
    if ((int64_t)GM_CUDA_FEW * arch->n_chosen * arch->expert_width > INT32_MAX)
        return gm_fail(
            err, GM_EABSENT,
            "the model chooses %d experts %d wide, which together are too wide for the GPU",
            arch->n_chosen, arch->expert_width);
    if (gm_cuda_plan_few((size_t)widest) < 1)
        return gm_fail(err, GM_EABSENT,
                       "the model is %d wide, which is too wide for the GPU's shared memory",
                       widest);
    return GM_OK;
}

uint64_t gm_cuda_session_bytes(const gm_arch *arch, gm_numerics numerics,
                               const gm_session_sizes *sizes)
{
    gm_kv kv;
    gm_kv_describe(&kv, arch, numerics, sizes->kv_rows, sizes->max_sequences, false);
    const gm_cuda_plan plan = gm_cuda_plan_session(arch, numerics, &kv, sizes);
    const size_t rows = sizes->max_rows > (size_t)plan.few ? sizes->max_rows : (size_t)plan.few;
    return plan.total + gm_cuda_plan_results(arch, rows, true, true).bytes +
           (uint64_t)(GM_CUDA_MAIN + 1) * GM_CUDA_WORKSPACE_BYTES;
}

static gm_status check_memory(const gm_cuda_session *s, gm_error *err)
{
    size_t n_free = 0, total = 0;
    char need[24], have[24], cache[24];
    const uint64_t bytes = gm_cuda_session_bytes(s->arch, s->weights->numerics, &s->sizes);
    gm_status status = gm_cuda_check(cudaMemGetInfo(&n_free, &total), "asking for memory", err);
    if (status != GM_OK || bytes <= n_free) return status;
    return gm_fail(
        err, GM_EMEM,
        "a session of %zu rows and %zu tokens of cache needs %s on '%s', which has %s free; the "
        "cache alone takes %s: use fewer rows per step, a shorter context or '--device cpu'",
        s->sizes.max_rows, s->sizes.kv_rows, gm_show_bytes(need, (double)bytes),
        s->model->device.name, gm_show_bytes(have, (double)n_free),
        gm_show_bytes(cache,
                      (double)(s->plan.bytes[GM_CUDA_KEYS] + s->plan.bytes[GM_CUDA_VALUES] +
                               s->plan.bytes[GM_CUDA_HISTORY] + s->plan.bytes[GM_CUDA_STATES])));
}

/* ---- memory ---- */

static gm_status pinned(void **out, size_t bytes, gm_error *err)
{
    return gm_cuda_alloc_pinned(out, bytes, "pinned memory for a session", err);
}

static gm_status allocate(gm_cuda_session *s, gm_error *err)
{
    gm_status status = GM_OK;
    void *at = NULL;
    const size_t table = s->plan.bytes[GM_CUDA_BLOCKS];
    GM_TRY(gm_cuda_alloc(&at, s->plan.total, "memory for a session", err));
    s->memory = at;
    GM_TRY(gm_cuda_check(cudaMemsetAsync(at, 0, s->plan.total, s->stream), "clearing memory", err));
    GM_TRY(pinned(&at, s->plan.bytes[GM_CUDA_STEP_DATA], err));
    s->upload = at;
    GM_TRY(pinned(&at, table, err));
    s->blocks = memset(at, 0xff, table); /* no block has this number: all are sent once */
    GM_TRY(pinned(&at, s->plan.bytes[GM_CUDA_FIRST], err));
    s->first = at;
    GM_TRY(pinned(&at, s->plan.bytes[GM_CUDA_LOGITS], err));
    s->logits = at;
    GM_TRY(pinned(&at, GM_CUDA_SLOTS * sizeof *s->arrived, err));
    s->arrived = memset(at, 0, GM_CUDA_SLOTS * sizeof *s->arrived);
    GM_TRY(gm_cuda_results_reserve(
        s, gm_cuda_plan_results(s->arch, (size_t)s->plan.few, true, true).bytes, err));
out:
    return status;
}

static void forget_graphs(gm_cuda_session *s)
{
    for (int i = 0; i < GM_CUDA_GRAPHS; i++)
        if (s->graph[i].exec) (void)cudaGraphExecDestroy(s->graph[i].exec);
    memset(s->graph, 0, sizeof s->graph);
}

gm_status gm_cuda_results_reserve(gm_cuda_session *s, size_t bytes, gm_error *err)
{
    gm_status status = GM_OK;
    void *at = NULL;
    if (bytes <= s->result_bytes) return GM_OK;
    forget_graphs(s);
    (void)cudaFree(s->result);
    (void)cudaFreeHost(s->ring);
    s->result = s->ring = NULL;
    s->result_bytes = 0;
    GM_TRY(gm_cuda_alloc(&at, bytes, "memory for a step's results", err));
    s->result = at;
    /* a step of many rows is alone in the ring; of few rows GM_CUDA_SLOTS are on their way */
    size_t few = gm_cuda_plan_results(s->arch, (size_t)s->plan.few, true, true).bytes;
    size_t ring = few * GM_CUDA_SLOTS > bytes ? few * GM_CUDA_SLOTS : bytes;
    GM_TRY(pinned(&at, ring, err));
    s->ring = at;
    s->result_bytes = bytes;
out:
    return status;
}

/* Where that fails, a copy may still read what is sent: it goes with the session. */
static gm_status send_angles(gm_cuda_session *s, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t all = s->plan.bytes[GM_CUDA_COSINE] / sizeof(float), n = s->sizes.positions;
    if (all == 0) return GM_OK; /* no positions enter attention */
    float *cosine = s->angles = gm_alloc(all, 2 * sizeof *cosine);
    if (cosine == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu positions", n);
    float *sine = cosine + all;
    for (int global = 0; global < 2; global++) {
        const gm_cuda_head_sizes *of = &s->plan.of[global];
        const gm_heads heads = gm_arch_heads(s->arch, global);
        const gm_rope *rope = heads.rope;
        if (of->angle > 0)
            gm_rope_fill(rope, n, of->angle, cosine + of->at_angle, sine + of->at_angle);
        for (size_t p = 0; of->angle > rope->dim / 2 && p < n; p++)
            cosine[of->at_angle + p * of->angle + rope->dim / 2] = gm_growth_at(heads.growth, p);
    }
    const struct {
        gm_cuda_region to;
        const float *from;
    } part[] = {{GM_CUDA_COSINE, cosine}, {GM_CUDA_SINE, sine}};
    for (int i = 0; i < 2; i++)
        GM_TRY(gm_cuda_check(cudaMemcpyAsync(gm_cuda_at(s, part[i].to), part[i].from,
                                             s->plan.bytes[part[i].to], cudaMemcpyHostToDevice,
                                             s->stream),
                             "sending the angles", err));
    GM_TRY(gm_cuda_check(cudaStreamSynchronize(s->stream), "sending the angles", err));
    gm_free(cosine);
    s->angles = NULL;
out:
    return status;
}

static gm_status create_streams(gm_cuda_session *s, gm_error *err)
{
    gm_status status = GM_OK;
    cudaStream_t *stream[] = {&s->stream, &s->copies};
    cudaEvent_t *event[] = {&s->ready, &s->routed, &s->fork};
    for (size_t i = 0; i < sizeof stream / sizeof *stream; i++)
        GM_TRY(gm_cuda_check(cudaStreamCreateWithFlags(stream[i], cudaStreamNonBlocking),
                             "making a stream", err));
    for (size_t i = 0; i < sizeof event / sizeof *event; i++)
        GM_TRY(gm_cuda_check(cudaEventCreateWithFlags(event[i], cudaEventDisableTiming),
                             "making an event", err));
    for (int i = 0; i < GM_CUDA_LANES; i++) {
        GM_TRY(gm_cuda_check(cudaStreamCreateWithFlags(&s->lane[i], cudaStreamNonBlocking),
                             "making a stream", err));
        GM_TRY(gm_cuda_check(cudaEventCreateWithFlags(&s->join[i], cudaEventDisableTiming),
                             "making an event", err));
    }
out:
    return status;
}

gm_status gm_cuda_session_create(void **own, const gm_arch *arch, const gm_weights *weights,
                                 const gm_kv *kv, const gm_session_sizes *sizes, gm_error *err)
{
    gm_status status = GM_OK;
    gm_cuda_session *s = gm_alloc(1, sizeof *s);
    *own = NULL;
    if (s == NULL) return gm_fail(err, GM_EMEM, "no memory for a session");
    s->arch = arch;
    s->weights = weights;
    s->model = weights->own;
    s->kv = kv;
    s->sizes = *sizes;
    s->wide = weights->numerics == GM_NUMERICS_F32;
    s->plan = gm_cuda_plan_session(arch, weights->numerics, kv, sizes);
    GM_TRY(gm_cuda_check(cudaSetDevice(s->model->device.index), "choosing the GPU", err));
    GM_TRY(check_memory(s, err));
    GM_TRY(create_streams(s, err));
    cudaStream_t product[GM_CUDA_MAIN + 1] = {[GM_CUDA_MAIN] = s->stream};
    memcpy(product, s->lane, sizeof s->lane);
    GM_TRY(gm_cuda_blas_start(&s->blas, &s->model->blas, product, GM_CUDA_MAIN + 1, err));
    s->how = (gm_cuda_how){.stream = s->stream,
                           .multiprocessors = s->model->device.multiprocessors,
                           .early = s->model->device.early};
    GM_TRY(allocate(s, err));
    GM_TRY(send_angles(s, err));
    *own = s;
    s = NULL;
out:
    gm_cuda_session_free(s);
    return status;
}

void gm_cuda_session_free(void *own)
{
    gm_cuda_session *s = own;
    if (s == NULL) return;
    (void)cudaSetDevice(s->model->device.index);
    if (s->stream) (void)cudaStreamSynchronize(s->stream);
    if (s->copies) (void)cudaStreamSynchronize(s->copies);
    forget_graphs(s);
    gm_cuda_blas_close(&s->blas);
    void *device[] = {s->memory, s->edit_memory, s->result};
    void *host[] = {s->upload, s->blocks, s->first, s->logits, s->ring, s->arrived};
    for (size_t i = 0; i < sizeof device / sizeof *device; i++) (void)cudaFree(device[i]);
    for (size_t i = 0; i < sizeof host / sizeof *host; i++) (void)cudaFreeHost(host[i]);
    cudaStream_t stream[2 + GM_CUDA_LANES] = {s->stream, s->copies};
    cudaEvent_t event[3 + GM_CUDA_LANES] = {s->ready, s->routed, s->fork};
    for (int i = 0; i < GM_CUDA_LANES; i++) stream[2 + i] = s->lane[i], event[3 + i] = s->join[i];
    for (size_t i = 0; i < sizeof stream / sizeof *stream; i++)
        if (stream[i]) (void)cudaStreamDestroy(stream[i]);
    for (size_t i = 0; i < sizeof event / sizeof *event; i++)
        if (event[i]) (void)cudaEventDestroy(event[i]);
    gm_free(s->angles);
    gm_free(s);
}

void gm_cuda_note(gm_cuda_session *s, cudaError_t result, const char *what)
{
    if (s->status == GM_OK) s->status = gm_cuda_check(result, what, &s->error);
}

/* ---- edits ---- */

/* Whether a copy that was queued has been made is not known when one of these fails: steps would
 * read tables that may be the old or the new ones, so the session ends with it. */
static gm_status send_edits(gm_cuda_session *s, void *device, const void *host, size_t bytes,
                            const gm_cuda_edits *table)
{
    gm_status status = GM_OK;
    gm_error *err = &s->error;
    if (bytes > 0)
        GM_TRY(
            gm_cuda_check(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, s->stream),
                          "sending edits", err));
    GM_TRY(gm_cuda_check(cudaMemcpyAsync(gm_cuda_at(s, GM_CUDA_EDITS), table, sizeof *table,
                                         cudaMemcpyHostToDevice, s->stream),
                         "sending edits", err));
    GM_TRY(gm_cuda_check(cudaStreamSynchronize(s->stream), "sending edits", err));
out:
    if (s->status == GM_OK) s->status = status;
    return status;
}

/* One block of memory: biases, then a byte for each of active, mode, mass and phases. */
gm_status gm_cuda_edits_set(void *own, const gm_edits *edits, gm_error *err)
{
    gm_status status = GM_OK;
    gm_cuda_session *s = own;
    const size_t n = edits->n, flags = n * edits->n_layers;
    const size_t biases = flags * edits->n_experts * sizeof(float);
    const size_t bytes = biases + flags + 3 * n;
    char *host = gm_alloc(bytes + 1, 1);
    void *device = NULL;
    gm_cuda_edits table = {.n = (int32_t)n};
    if (host == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu edits", n);
    GM_TRY(gm_cuda_check(cudaSetDevice(s->model->device.index), "choosing the GPU", err));
    if (n > 0) {
        char *at = host + biases;
        memcpy(host, edits->bias, biases);
        for (size_t i = 0; i < flags; i++) *at++ = (char)edits->active[i];
        for (size_t i = 0; i < n; i++) at[i] = (char)edits->edit[i].mode;
        for (size_t i = 0; i < n; i++) at[n + i] = (char)edits->edit[i].mass_matched;
        for (size_t i = 0; i < n; i++) at[2 * n + i] = (char)edits->edit[i].phases;
        GM_TRY(gm_cuda_alloc(&device, bytes, "memory for edits", err));
        const uint8_t *to = (const uint8_t *)device + biases;
        table.bias = device;
        table.active = to;
        table.mode = to + flags;
        table.mass = to + flags + n;
        table.phases = to + flags + 2 * n;
    }
    status = send_edits(s, device, host, bytes, &table);
    if (status != GM_OK && err) *err = s->error;
    if (status != GM_OK) goto out;
    (void)cudaFree(s->edit_memory);
    s->edit_memory = device;
    device = NULL;
out:
    (void)cudaFree(device);
    gm_free(host);
    return status;
}
