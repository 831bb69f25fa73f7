/* cuda_weights.c - a checkpoint's tensors into the GPU's memory, in the layout that the kernels
 * read: rows of outputs, inputs side by side, padded with zeros to a multiple of 32.
 *
 * All weights are one allocation, asked for at once and checked against what is free first. A
 * team of threads converts pieces of tensors into pinned memory while the piece before is on its
 * way; each worker has a stream and two places of its own.
 */
#include "engine/cuda/cuda_session.h"

#include "base/half.h"
#include "base/text.h"
#include "engine/reader.h"
#include "engine/team.h"

#include <stdatomic.h>
#include <string.h>

enum {
    ALIGN = 256,
    PIECE_BYTES = 8 << 20, /* of a place in pinned memory */
    PLACES = 2,            /* of a worker */
    MOST_WORKERS = 16,
};

/* ---- the layout ---- */

typedef struct tensor_job {
    gm_role role;
    int layer, expert;
    gm_buf *to;
    size_t item, first; /* matrix, and row of it, that the tensor's row 0 becomes */
} tensor_job;

typedef struct job_list {
    const gm_arch *arch;
    tensor_job *job;
    size_t n, cap;
    char *base;   /* where the buffers lie; NULL while their size is being found out */
    size_t bytes; /* of the buffers so far */
    bool full;    /* no memory for the list */
} job_list;

/* Lay a buffer of rows behind the others. */
static gm_buf lay(job_list *l, gm_dtype dtype, size_t count, size_t rows, size_t cols)
{
    gm_buf b = gm_buf_rows(dtype, count, rows, cols);
    b.place = GM_PLACE_DEVICE;
    b.address = l->base ? l->base + l->bytes : NULL;
    l->bytes += gm_round_up((size_t)gm_buf_bytes(&b), ALIGN);
    return b;
}

static bool has(const job_list *l, gm_role role, int layer, size_t *rows, size_t *cols)
{
    char name[128];
    return gm_arch_tensor(l->arch, role, layer, 0, name, rows, cols);
}

static void add(job_list *l, gm_role role, int layer, int expert, gm_buf *to, size_t first)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 1024;
        tensor_job *grown = gm_grow(l->job, l->cap, cap, sizeof *grown);
        if (grown == NULL) {
            l->full = true;
            return;
        }
        l->job = grown;
        l->cap = cap;
    }
    l->job[l->n++] = (tensor_job){.role = role,
                                  .layer = layer,
                                  .expert = expert,
                                  .to = to,
                                  .item = (size_t)expert,
                                  .first = first};
}

/* A tensor that fills a buffer alone, where the model has it. */
static void place(job_list *l, gm_role role, int layer, gm_dtype dtype, gm_buf *to)
{
    size_t rows, cols;
    if (!has(l, role, layer, &rows, &cols)) return;
    *to = lay(l, dtype, 1, rows, cols);
    add(l, role, layer, 0, to, 0);
}

static void place_mlp(job_list *l, const gm_role role[3], int layer, size_t count, gm_dtype dtype,
                      gm_mlp *mlp)
{
    size_t width, d;
    if (!has(l, role[0], layer, &width, &d)) return;
    mlp->width = width;
    mlp->gate_up = lay(l, dtype, count, 2 * width, d);
    mlp->down = lay(l, dtype, count, d, width);
    for (size_t e = 0; e < count; e++) {
        add(l, role[0], layer, (int)e, &mlp->gate_up, 0);
        add(l, role[1], layer, (int)e, &mlp->gate_up, width);
        add(l, role[2], layer, (int)e, &mlp->down, 0);
    }
}

static void place_attention(job_list *l, int layer, gm_dtype dtype, gm_layer *w)
{
    static const gm_role part[] = {GM_ROLE_Q, GM_ROLE_K, GM_ROLE_V};
    static const gm_role bias[] = {GM_ROLE_Q_BIAS, GM_ROLE_K_BIAS, GM_ROLE_V_BIAS};
    size_t rows[3] = {0}, cols = 0, n = 0, one, all;
    for (int i = 0; i < 3; i++) {
        (void)has(l, part[i], layer, &rows[i], &cols);
        n += rows[i];
    }
    w->qkv = lay(l, dtype, 1, n, cols);
    for (size_t i = 0, at = 0; i < 3; at += rows[i++]) add(l, part[i], layer, 0, &w->qkv, at);
    if (has(l, bias[0], layer, &one, &all)) { /* a vector is a column here: row by row */
        w->qkv_bias = lay(l, GM_F32, 1, 1, n);
        for (size_t i = 0, at = 0; i < 3; at += rows[i++])
            add(l, bias[i], layer, 0, &w->qkv_bias, at);
    }
    place(l, GM_ROLE_ATTN_NORM, layer, GM_F32, &w->attn_norm);
    place(l, GM_ROLE_Q_NORM, layer, GM_F32, &w->q_norm);
    place(l, GM_ROLE_K_NORM, layer, GM_F32, &w->k_norm);
    place(l, GM_ROLE_O, layer, dtype, &w->o);
}

static void place_layer(job_list *l, int layer, gm_dtype dtype, gm_layer *w)
{
    static const gm_role dense[] = {GM_ROLE_DENSE_GATE, GM_ROLE_DENSE_UP, GM_ROLE_DENSE_DOWN};
    static const gm_role shared[] = {GM_ROLE_SHARED_GATE, GM_ROLE_SHARED_UP, GM_ROLE_SHARED_DOWN};
    static const gm_role expert[] = {GM_ROLE_EXPERT_GATE, GM_ROLE_EXPERT_UP, GM_ROLE_EXPERT_DOWN};
    w->moe = l->arch->moe_of_layer[layer];
    place_attention(l, layer, dtype, w);
    place(l, GM_ROLE_MLP_NORM, layer, GM_F32, &w->mlp_norm);
    place(l, GM_ROLE_ROUTER, layer, GM_F32, &w->router);
    place(l, GM_ROLE_ROUTER_BIAS, layer, GM_F32, &w->router_bias);
    place(l, GM_ROLE_ROUTER_CORRECTION, layer, GM_F32, &w->correction);
    place_mlp(l, w->moe < 0 ? dense : shared, layer, 1, dtype, &w->always);
    if (w->moe >= 0) place_mlp(l, expert, layer, (size_t)l->arch->n_experts, dtype, &w->expert);
}

static void place_all(job_list *l, gm_weights *w, gm_dtype dtype, gm_dtype embed)
{
    place(l, GM_ROLE_EMBED, 0, embed, &w->embed);
    place(l, GM_ROLE_FINAL_NORM, 0, GM_F32, &w->final_norm);
    if (!w->no_head)
        place(l, l->arch->tied_head ? GM_ROLE_EMBED : GM_ROLE_HEAD, 0, dtype, &w->head);
    for (int i = 0; i < l->arch->n_layers; i++) place_layer(l, i, dtype, &w->layer[i]);
}

/* ---- memory ---- */

static gm_status check_memory(const gm_cuda_model *m, const gm_weights *w, size_t bytes,
                              gm_error *err)
{
    size_t n_free = 0, total = 0;
    char need[24], have[24], half[24], fits[24], advice[96] = "use '--device cpu'";
    const bool bf16 = w->numerics == GM_NUMERICS_BF16;
    gm_status status = gm_cuda_check(cudaMemGetInfo(&n_free, &total), "asking for memory", err);
    if (status != GM_OK || bytes <= n_free) return status;
    if (!bf16 && bytes / 2 <= n_free)
        snprintf(advice, sizeof advice, "in bf16 they take about %s and fit",
                 gm_show_bytes(half, 0.5 * (double)bytes));
    return gm_fail(
        err, GM_EMEM, "the weights take %s, '%s' has %s free: %s parameters in %s fit; %s",
        gm_show_bytes(need, (double)bytes), m->device.name, gm_show_bytes(have, (double)n_free),
        gm_show_count(fits, (double)n_free / (bf16 ? 2.0 : 4.0)), bf16 ? "bf16" : "f32", advice);
}

/* ---- filling it ---- */

typedef struct loading {
    const job_list *list;
    const gm_tensor **tensor; /* (list->n) */
    const gm_checkpoint *checkpoint;
    const gm_cuda_model *model;
    gm_load_progress *progress;
    void *progress_context;
    double total_bytes;
    _Atomic uint64_t done_bytes;
    atomic_flag has_error; /* the first failure is the one that is told */
    _Atomic bool failed;
    gm_error error;
} loading;

/* What a worker reads into, and sends from. */
typedef struct pipe {
    gm_reader reader;
    float *scratch; /* a piece as f32 */
    cudaStream_t stream;
    char *place[PLACES]; /* pinned */
    cudaEvent_t sent[PLACES];
    int next;
} pipe;

/* `n` values at `from` as `dtype`. */
static void convert(gm_dtype from_dtype, const void *from, size_t n, gm_dtype dtype, void *to,
                    float *scratch)
{
    const size_t n_bytes = n * gm_dtype_bytes(from_dtype);
    const gm_tensor values = {
        .dtype = from_dtype, .rank = 1, .dim = {n}, .data = from, .n_bytes = n_bytes};
    if (from_dtype == dtype) {
        memcpy(to, from, n_bytes);
    } else if (dtype == GM_F32) {
        gm_tensor_to_f32(&values, 0, n, to);
    } else {
        uint16_t *bits = to;
        gm_tensor_to_f32(&values, 0, n, scratch);
        for (size_t i = 0; i < n; i++) bits[i] = gm_bf16_from_f32(scratch[i]);
    }
}

/* Rows [row, row + rows) of a tensor of `cols`, by way of pinned memory. */
static gm_status send_piece(pipe *p, const tensor_job *j, const gm_tensor *t, size_t row,
                            size_t rows, size_t cols, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_buf *to = j->to;
    const size_t size = gm_dtype_bytes(to->dtype), from_size = gm_dtype_bytes(t->dtype);
    const bool vector = to->rows == 1; /* the tensor's columns begin at `first` of the only row */
    const size_t stride = vector ? cols * size : to->stride * size;
    char *target = (char *)to->address + j->item * to->item_bytes +
                   (vector ? j->first * size : (j->first + row) * stride);
    const int place = p->next;
    const void *from;
    p->next = (place + 1) % PLACES;
    GM_TRY(
        gm_reader_get(&p->reader, t, row * cols * from_size, rows * cols * from_size, &from, err));
    GM_TRY(gm_cuda_check(cudaEventSynchronize(p->sent[place]), "sending weights", err));
    for (size_t r = 0; r < rows; r++) {
        char *at = p->place[place] + r * stride;
        convert(t->dtype, (const char *)from + r * cols * from_size, cols, to->dtype, at,
                p->scratch);
        memset(at + cols * size, 0, stride - cols * size);
    }
    GM_TRY(gm_cuda_check(
        cudaMemcpyAsync(target, p->place[place], rows * stride, cudaMemcpyHostToDevice, p->stream),
        "sending weights", err));
    GM_TRY(gm_cuda_check(cudaEventRecord(p->sent[place], p->stream), "sending weights", err));
out:
    return status;
}

static gm_status send_tensor(pipe *p, const tensor_job *j, const gm_tensor *t, gm_error *err)
{
    const size_t rows = t->rank == 2 ? t->dim[0] : 1;
    const size_t cols = t->rank == 2 ? t->dim[1] : t->dim[0];
    const size_t most = (size_t)PIECE_BYTES / (j->to->stride * gm_dtype_bytes(j->to->dtype));
    if (most < 1)
        return gm_fail(err, GM_EABSENT, "tensor '%s' has rows of %zu values, too long for the GPU",
                       t->name, cols);
    for (size_t r = 0; r < rows; r += most) {
        size_t n = rows - r < most ? rows - r : most;
        gm_status status = send_piece(p, j, t, r, n, cols, err);
        if (status != GM_OK) return status;
    }
    return GM_OK;
}

static gm_status open_pipe(pipe *p, const loading *load, gm_error *err)
{
    gm_status status = GM_OK;
    /* a thread has a device of its own */
    GM_TRY(gm_cuda_check(cudaSetDevice(load->model->device.index), "choosing the GPU", err));
    p->scratch = gm_alloc(PIECE_BYTES / sizeof(uint16_t), sizeof *p->scratch);
    if (p->scratch == NULL) GM_FAIL(GM_EMEM, "no memory to convert weights in");
    GM_TRY(gm_reader_create(&p->reader, load->checkpoint, 2 * (size_t)PIECE_BYTES, err));
    GM_TRY(gm_cuda_check(cudaStreamCreateWithFlags(&p->stream, cudaStreamNonBlocking),
                         "making a stream", err));
    for (int i = 0; i < PLACES; i++) {
        void *at = NULL;
        GM_TRY(gm_cuda_check(cudaMallocHost(&at, PIECE_BYTES), "pinned memory for weights", err));
        p->place[i] = at;
        GM_TRY(gm_cuda_check(cudaEventCreateWithFlags(&p->sent[i], cudaEventDisableTiming),
                             "making an event", err));
    }
out:
    return status;
}

static gm_status close_pipe(pipe *p, gm_error *err)
{
    gm_status status = GM_OK;
    if (p->stream) status = gm_cuda_check(cudaStreamSynchronize(p->stream), "sending weights", err);
    for (int i = 0; i < PLACES; i++) {
        if (p->sent[i]) (void)cudaEventDestroy(p->sent[i]);
        (void)cudaFreeHost(p->place[i]);
    }
    if (p->stream) (void)cudaStreamDestroy(p->stream);
    gm_reader_clear(&p->reader);
    gm_free(p->scratch);
    return status;
}

static void note(loading *load, gm_status status, const gm_error *err)
{
    if (status == GM_OK) return;
    if (!atomic_flag_test_and_set(&load->has_error)) load->error = *err;
    load->failed = true;
}

static void load_tensors(void *context, gm_worker *me)
{
    loading *load = context;
    pipe p = {0};
    gm_error err = {0};
    note(load, open_pipe(&p, load, &err), &err);
    for (size_t i; (i = gm_worker_next(me)) < load->list->n;) {
        const gm_tensor *t = load->tensor[i];
        if (load->failed) continue;
        note(load, send_tensor(&p, &load->list->job[i], t, &err), &err);
        uint64_t done = atomic_fetch_add(&load->done_bytes, t->n_bytes) + t->n_bytes;
        if (me->index == 0 && load->progress)
            load->progress(load->progress_context, (double)done, load->total_bytes);
    }
    note(load, close_pipe(&p, &err), &err);
}

/* The tensors of the list; all were checked when the model was opened. */
static gm_status find_tensors(loading *load, gm_error *err)
{
    const job_list *l = load->list;
    for (size_t i = 0; i < l->n; i++) {
        const tensor_job *j = &l->job[i];
        char name[128];
        size_t rows, cols;
        (void)gm_arch_tensor(l->arch, j->role, j->layer, j->expert, name, &rows, &cols);
        gm_status status =
            gm_checkpoint_get(load->checkpoint, name, rows, cols, &load->tensor[i], err);
        if (status != GM_OK) return status;
        load->total_bytes += (double)load->tensor[i]->n_bytes;
    }
    return GM_OK;
}

static gm_status fill(gm_cuda_model *m, const job_list *list, const gm_checkpoint *checkpoint,
                      const gm_model_options *options, gm_error *err)
{
    gm_status status = GM_OK;
    gm_team *team = NULL;
    int threads = options->threads ? options->threads : gm_team_processors();
    loading load = {.list = list,
                    .checkpoint = checkpoint,
                    .model = m,
                    .has_error = ATOMIC_FLAG_INIT,
                    .progress = options->progress,
                    .progress_context = options->progress_context};
    load.tensor = gm_alloc(list->n, sizeof *load.tensor);
    if (load.tensor == NULL) GM_FAIL(GM_EMEM, "no memory for a list of %zu tensors", list->n);
    GM_TRY(find_tensors(&load, err));
    GM_TRY(gm_team_create(&team, threads < MOST_WORKERS ? threads : MOST_WORKERS, err));
    gm_team_run(team, false, load_tensors, &load);
    if (load.failed) {
        status = load.error.code;
        if (err) *err = load.error;
        goto out;
    }
    if (load.progress) load.progress(load.progress_context, load.total_bytes, load.total_bytes);
out:
    gm_team_free(team);
    gm_free(load.tensor);
    return status;
}

/* ---- the whole ---- */

static gm_status prepare_kernels(gm_error *err)
{
    cudaError_t (*const prepare[])(void) = {gm_cuda_project_prepare, gm_cuda_attend_prepare,
                                            gm_cuda_prefill_prepare, gm_cuda_route_prepare,
                                            gm_cuda_experts_prepare};
    for (size_t i = 0; i < sizeof prepare / sizeof *prepare; i++) {
        gm_status status = gm_cuda_check(prepare[i](), "preparing kernels", err);
        if (status != GM_OK) return status;
    }
    return GM_OK;
}

static gm_dtype embed_dtype(const gm_arch *arch, const gm_checkpoint *checkpoint)
{
    char name[128];
    size_t rows, cols;
    (void)gm_arch_tensor(arch, GM_ROLE_EMBED, 0, 0, name, &rows, &cols);
    const gm_tensor *t = gm_checkpoint_find(checkpoint, name);
    return t ? t->dtype : GM_F32;
}

gm_status gm_cuda_weights_load(gm_weights *w, const gm_arch *arch, const gm_checkpoint *checkpoint,
                               const gm_model_options *options, gm_error *err)
{
    gm_status status = GM_OK;
    job_list list = {.arch = arch};
    gm_cuda_model *m = gm_alloc(1, sizeof *m);
    if (m == NULL) return gm_fail(err, GM_EMEM, "no memory for the weights");
    w->own = m;
    GM_TRY(gm_cuda_device_open(&m->device, options->device, err));
    snprintf(w->device, sizeof w->device, "cuda:%d", m->device.index);
    snprintf(w->hardware, sizeof w->hardware, "%s", m->device.name);
    GM_TRY(prepare_kernels(err));
    GM_TRY(gm_cuda_blas_open(&m->blas, err));

    w->layer = gm_alloc((size_t)arch->n_layers, sizeof *w->layer);
    if (w->layer == NULL) GM_FAIL(GM_EMEM, "no memory for %d layers", arch->n_layers);
    w->n_layers = (size_t)arch->n_layers;
    const gm_dtype dtype = w->numerics == GM_NUMERICS_BF16 ? GM_BF16 : GM_F32;
    const gm_dtype embed = embed_dtype(arch, checkpoint);
    place_all(&list, w, dtype, embed);
    GM_TRY(check_memory(m, w, list.bytes, err));
    GM_TRY(gm_cuda_check(cudaMalloc(&m->memory, list.bytes), "memory for the weights", err));
    m->bytes = list.bytes;
    list.n = list.bytes = 0; /* the same once more, now with addresses */
    list.base = m->memory;
    place_all(&list, w, dtype, embed);
    if (list.full) GM_FAIL(GM_EMEM, "no memory for a list of %zu tensors", list.n);
    GM_TRY(fill(m, &list, checkpoint, options, err));
out:
    gm_free(list.job);
    return status;
}

void gm_cuda_weights_free(gm_weights *w)
{
    gm_cuda_model *m = w->own;
    if (m) {
        (void)cudaSetDevice(m->device.index);
        gm_cuda_blas_close(&m->blas);
        (void)cudaFree(m->memory);
    }
    gm_free(m);
}
