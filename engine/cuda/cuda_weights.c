/* cuda_weights.c - a checkpoint's tensors into the GPU's memory.
 *
 * All weights are one allocation, checked against what is free first. A team of threads reads
 * pieces of tensors into pinned memory, past the page cache where that is better (reader.h), and
 * sends them as they are; a kernel brings them into their final form (cuda_layout.h). Each worker
 * has a stream and two places of its own, so that a piece is read while the one before is on its
 * way. Random weights are made by the same kernel, from a table of two megabytes.
 */
#include "engine/cuda/cuda_session.h"

#include "base/text.h"
#include "engine/cuda/cuda_layout.h"
#include "engine/reader.h"
#include "engine/session.h"
#include "engine/team.h"

#include <stdatomic.h>
#include <string.h>

enum {
    PIECE_BYTES = 4 << 20, /* of a tensor that is sent at once, at most */
    PLACES = 2,            /* of a worker */
    MOST_WORKERS = 16,
};

static int n_workers(const gm_model_options *options)
{
    const int threads = options->threads ? options->threads : gm_team_processors();
    return threads < MOST_WORKERS ? threads : MOST_WORKERS;
}

/* Small models need less. */
static size_t piece_bytes(const gm_checkpoint *checkpoint)
{
    size_t most = GM_DISK_PAGE;
    for (size_t i = 0; i < gm_checkpoint_n(checkpoint); i++) {
        const size_t n_bytes = gm_checkpoint_at(checkpoint, i)->n_bytes;
        if (n_bytes > most) most = n_bytes;
    }
    return most < PIECE_BYTES ? most : PIECE_BYTES;
}

/* ---- memory ---- */

/* What is needed beside the weights: places for pieces, or later the planned session. */
static size_t other_bytes(const gm_arch *arch, const gm_checkpoint *checkpoint,
                          gm_numerics numerics, const gm_model_options *options)
{
    size_t n_random, places = (size_t)n_workers(options) * PLACES * piece_bytes(checkpoint);
    size_t session = 0;
    if (gm_checkpoint_random_values(checkpoint, &n_random)) places = n_random * sizeof(uint16_t);
    if (options->planned) {
        const gm_session_sizes sizes = gm_session_sizes_of(arch, options->planned);
        session = (size_t)gm_cuda_session_bytes(arch, numerics, &sizes);
    }
    return session > places ? session : places;
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
        snprintf(advice, 96, "; '--numerics %s' takes %s and fits", gm_numerics_name(smaller[i]),
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
    char need[24], rest[24], have[24], fits[24], advice[96];
    if (bytes + other <= n) return GM_OK;
    gm_status status = advise(w, arch, checkpoint, options, n, advice, err);
    if (status != GM_OK) return status;
    const double each = (double)gm_dtype_bytes(gm_weights_dtype(w->numerics));
    return gm_fail(err, GM_EMEM,
                   "the weights take %s and the rest %s, '%s' has %s%s: about %s parameters in %s "
                   "fit%s",
                   gm_show_bytes(need, (double)bytes), gm_show_bytes(rest, (double)other),
                   m->device.name, gm_show_bytes(have, (double)n), kind,
                   gm_show_count(fits, n > other ? (double)(n - other) / each : 0.0),
                   gm_numerics_name(w->numerics), advice);
}

/* ---- filling it ---- */

typedef struct loading {
    const gm_cuda_layout *layout;
    gm_tensor *tensor; /* (layout->n) */
    const gm_checkpoint *checkpoint;
    const gm_cuda_model *model;
    gm_load_progress *progress;
    void *progress_context;
    size_t piece_bytes;
    double total_bytes;
    _Atomic uint64_t done_bytes;
    atomic_flag has_error; /* the first failure is the one that is told */
    _Atomic bool failed;
    gm_error error;
} loading;

/* What a worker reads into and sends from, and where the pieces lie on the GPU. */
typedef struct pipe {
    gm_reader reader;
    gm_cuda_how how;
    cudaStream_t stream;
    char *place[PLACES]; /* pinned */
    void *piece[PLACES];
    size_t piece_bytes;
    cudaEvent_t used[PLACES]; /* a place and its piece are free again */
    int next;
} pipe;

/* Where rows [row, row + rows) of a job's tensor go; what they come from is the caller's. */
static gm_cuda_place place_of(const gm_cuda_job *j, const gm_tensor *t, size_t row, size_t rows,
                              size_t cols)
{
    const gm_buf *to = j->to;
    const size_t size = gm_dtype_bytes(to->dtype);
    const bool vector = to->rows == 1; /* the tensor's columns begin at `first` of the only row */
    /* zeros behind the last column, not behind each part of a vector */
    const size_t part = j->first + cols == to->cols ? to->stride - j->first : cols;
    const size_t stride = vector ? part : to->stride, first = vector ? 0 : j->first + row;
    char *matrix = (char *)to->address + j->item * to->item_bytes;
    float *scale = (float *)(void *)(matrix + to->rows * to->stride * size);
    return (gm_cuda_place){.to = matrix + (vector ? j->first : first * stride) * size,
                           .scale = gm_is_scaled(to->dtype) ? scale + first : NULL,
                           .rows = rows,
                           .cols = cols,
                           .stride = stride,
                           .from_dtype = t->dtype,
                           .to_dtype = to->dtype};
}

static gm_status send_piece(pipe *p, const gm_cuda_job *j, const gm_tensor *t, size_t row,
                            size_t rows, size_t cols, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t row_bytes = cols * gm_dtype_bytes(t->dtype), n_bytes = rows * row_bytes;
    gm_cuda_place to = place_of(j, t, row, rows, cols);
    const int place = p->next;
    const void *from;
    p->next = (place + 1) % PLACES;
    GM_TRY(gm_cuda_check(cudaEventSynchronize(p->used[place]), "sending weights", err));
    gm_reader_use(&p->reader, p->place[place]);
    GM_TRY(gm_reader_get(&p->reader, t, row * row_bytes, n_bytes, &from, err));
    GM_TRY(gm_cuda_check(
        cudaMemcpyAsync(p->piece[place], from, n_bytes, cudaMemcpyHostToDevice, p->stream),
        "sending weights", err));
    to.from = p->piece[place];
    GM_TRY(gm_cuda_check(gm_cuda_place_rows(&p->how, &to), "placing weights", err));
    GM_TRY(gm_cuda_check(cudaEventRecord(p->used[place], p->stream), "sending weights", err));
out:
    return status;
}

static void shape_of(const gm_tensor *t, size_t *rows, size_t *cols)
{
    *rows = t->rank == 2 ? t->dim[0] : 1;
    *cols = t->rank == 2 ? t->dim[1] : t->dim[0];
}

static gm_status send_tensor(pipe *p, const gm_cuda_job *j, const gm_tensor *t, gm_error *err)
{
    size_t rows, cols;
    shape_of(t, &rows, &cols);
    const size_t most = p->piece_bytes / (cols * gm_dtype_bytes(t->dtype));
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
    gm_reader_init(&p->reader, load->checkpoint);
    p->piece_bytes = load->piece_bytes;
    GM_TRY(gm_cuda_check(cudaStreamCreateWithFlags(&p->stream, cudaStreamNonBlocking),
                         "making a stream", err));
    p->how =
        (gm_cuda_how){.stream = p->stream, .multiprocessors = load->model->device.multiprocessors};
    for (int i = 0; i < PLACES; i++) {
        void *at = NULL;
        GM_TRY(gm_cuda_alloc_pinned(&at, load->piece_bytes + (size_t)4 * GM_DISK_PAGE,
                                    "pinned memory for weights", err));
        p->place[i] = at;
        GM_TRY(gm_cuda_alloc(&p->piece[i], load->piece_bytes, "memory for weights", err));
        GM_TRY(gm_cuda_check(cudaEventCreateWithFlags(&p->used[i], cudaEventDisableTiming),
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
        if (p->used[i]) (void)cudaEventDestroy(p->used[i]);
        (void)cudaFree(p->piece[i]);
        (void)cudaFreeHost(p->place[i]);
    }
    if (p->stream) (void)cudaStreamDestroy(p->stream);
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
    for (size_t i; (i = gm_worker_next(me)) < load->layout->n;) {
        const gm_tensor *t = &load->tensor[i];
        if (load->failed) continue;
        note(load, send_tensor(&p, &load->layout->job[i], t, &err), &err);
        uint64_t done = atomic_fetch_add(&load->done_bytes, t->n_bytes) + t->n_bytes;
        if (me->index == 0 && load->progress)
            load->progress(load->progress_context, (double)done, load->total_bytes);
    }
    note(load, close_pipe(&p, &err), &err);
}

/* Tensors of a checkpoint of random weights: nothing is read, nothing but their table is sent. */
static gm_status make_random(loading *load, gm_error *err)
{
    gm_status status = GM_OK;
    gm_cuda_how how = {.multiprocessors = load->model->device.multiprocessors};
    cudaStream_t stream = NULL;
    void *table = NULL;
    size_t n;
    const uint16_t *values = gm_checkpoint_random_values(load->checkpoint, &n);
    GM_TRY(gm_cuda_alloc(&table, n * sizeof *values, "memory for weights", err));
    GM_TRY(gm_cuda_check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking),
                         "making a stream", err));
    how.stream = stream;
    GM_TRY(gm_cuda_check(
        cudaMemcpyAsync(table, values, n * sizeof *values, cudaMemcpyHostToDevice, stream),
        "sending weights", err));
    for (size_t i = 0; i < load->layout->n; i++) {
        size_t rows, cols;
        const gm_tensor *t = &load->tensor[i];
        shape_of(t, &rows, &cols);
        const gm_random_place from = gm_checkpoint_random_place(load->checkpoint, t);
        gm_cuda_place p = place_of(&load->layout->job[i], t, 0, rows, cols);
        p.from = (const uint16_t *)table + from.at;
        p.first = from.first;
        p.period = from.period;
        GM_TRY(gm_cuda_check(gm_cuda_place_rows(&how, &p), "making weights", err));
    }
    GM_TRY(gm_cuda_check(cudaStreamSynchronize(stream), "making weights", err));
out:
    if (stream) (void)cudaStreamDestroy(stream);
    (void)cudaFree(table);
    return status;
}

/* The matrices of the layout; all were checked when the model was opened. */
static gm_status find_tensors(loading *load, gm_error *err)
{
    const gm_cuda_layout *l = load->layout;
    for (size_t i = 0; i < l->n; i++) {
        const gm_cuda_job *j = &l->job[i];
        gm_slice slice;
        (void)gm_arch_tensor(l->arch, j->role, j->layer, j->expert, &slice);
        gm_status status = gm_checkpoint_get(load->checkpoint, &slice, &load->tensor[i], err);
        if (status != GM_OK) return status;
        load->total_bytes += (double)load->tensor[i].n_bytes;
    }
    return GM_OK;
}

static gm_status fill(gm_cuda_model *m, const gm_cuda_layout *layout,
                      const gm_checkpoint *checkpoint, const gm_model_options *options,
                      gm_error *err)
{
    gm_status status = GM_OK;
    gm_team *team = NULL;
    size_t n;
    loading load = {.layout = layout,
                    .checkpoint = checkpoint,
                    .model = m,
                    .piece_bytes = piece_bytes(checkpoint),
                    .has_error = ATOMIC_FLAG_INIT,
                    .progress = options->progress,
                    .progress_context = options->progress_context};
    load.tensor = gm_alloc(layout->n, sizeof *load.tensor);
    if (load.tensor == NULL) GM_FAIL(GM_EMEM, "no memory for a list of %zu tensors", layout->n);
    GM_TRY(find_tensors(&load, err));
    if (gm_checkpoint_random_values(checkpoint, &n)) {
        GM_TRY(make_random(&load, err));
    } else {
        GM_TRY(gm_team_create(&team, n_workers(options), err));
        gm_team_run(team, false, load_tensors, &load);
    }
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

/* Kernels that were compiled from code of before 9.0 do not wait for the one in front of them, and
 * must not be started early. */
static gm_status prepare_kernels(gm_cuda_device *device, gm_error *err)
{
    bool can_wait = false;
    cudaError_t (*const prepare[])(void) = {gm_cuda_project_prepare, gm_cuda_prefill_prepare,
                                            gm_cuda_route_prepare, gm_cuda_experts_prepare};
    for (size_t i = 0; i < sizeof prepare / sizeof *prepare; i++) {
        gm_status status = gm_cuda_check(prepare[i](), "preparing kernels", err);
        if (status != GM_OK) return status;
    }
    gm_status status = gm_cuda_check(gm_cuda_kernels_wait(&can_wait), "preparing kernels", err);
    device->early = device->early && can_wait;
    return status;
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
    GM_TRY(fill(m, &layout, checkpoint, options, err));
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
