/* cuda_fill.c - see cuda_fill.h. */
#include "engine/cuda/cuda_fill.h"

#include "engine/fill.h"
#include "engine/located.h"
#include "engine/reader.h"
#include "engine/stored.h"
#include "engine/team.h"

#include <stdatomic.h>

enum {
    PIECE_BYTES = 4 << 20,  /* of a tensor that is sent at once, at most, but for one of columns */
    PLACES = 2,             /* of a worker */
    MOST_BYTES = 256 << 20, /* of all places, where one worker's are not more */
    MOST_WORKERS = 16,
};

/* What a worker reads into: a piece, and after it its scales if it is MXFP4, all of its tensor's
 * scales and zeros if that is F8_E4M3 or of four bits. */
typedef struct piece_size {
    size_t bytes, scales;
    size_t grid; /* bytes of the latter in f32, on the host, after those that were read */
} piece_size;

/* Small models need less. */
static piece_size piece_size_of(const gm_arch *arch, const gm_checkpoint *checkpoint)
{
    const size_t columns = gm_arch_columns_bytes(arch, checkpoint);
    piece_size size = {.bytes = GM_DISK_PAGE};
    for (size_t i = 0; i < gm_checkpoint_n(checkpoint); i++) {
        const size_t n_bytes = gm_checkpoint_at(checkpoint, i)->n_bytes;
        if (n_bytes > size.bytes) size.bytes = n_bytes;
    }
    if (size.bytes > PIECE_BYTES) size.bytes = PIECE_BYTES;
    if (size.bytes < columns) size.bytes = columns;
    size.bytes = gm_round_up(size.bytes, GM_DISK_PAGE);
    size.grid = gm_grid_most(checkpoint, &arch->blocks) * sizeof(float);
    size.scales = gm_grid_most_bytes(checkpoint, &arch->blocks);
    if (size.scales < size.grid) size.scales = size.grid;
    if (arch->stored == GM_STORED_MXFP4) size.scales = size.bytes / (GM_MX_BLOCK / 2);
    return size;
}

static int n_workers(const gm_model_options *options, const piece_size *size)
{
    const int threads = options->threads ? options->threads : gm_team_processors();
    const size_t room = MOST_BYTES / (PLACES * (size->bytes + size->scales + size->grid));
    int most = room < MOST_WORKERS ? (int)room : MOST_WORKERS;
    if (most < 1) most = 1;
    return threads < most ? threads : most;
}

size_t gm_cuda_fill_bytes(const gm_arch *arch, const gm_checkpoint *checkpoint,
                          const gm_model_options *options)
{
    const piece_size size = piece_size_of(arch, checkpoint);
    size_t n_random;
    if (gm_checkpoint_random_values(checkpoint, &n_random)) return n_random * sizeof(uint16_t);
    return (size_t)n_workers(options, &size) * PLACES * (size.bytes + size.scales + size.grid);
}

/* ---- what goes where ---- */

/* What a job's place is filled from: `rows` rows of `cols`, those of two matrices taking turns
 * where `every` is 2. */
typedef struct source {
    gm_located from;
    gm_stored stored;
    size_t rows, cols, every;
    bool centred; /* they are meant to be 1 more */
} source;

typedef struct loading {
    const gm_cuda_layout *layout;
    source *source; /* (layout->n) */
    const gm_checkpoint *checkpoint;
    const gm_cuda_model *model;
    gm_load_progress *progress;
    void *progress_context;
    piece_size piece;
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
    char *piece[PLACES];
    piece_size size;
    cudaEvent_t used[PLACES]; /* a place and its piece are free again */
    int next;
} pipe;

/* Bytes of n elements of a matrix, which are of MXFP4 where they are U8. */
static size_t bytes_of(gm_dtype dtype, size_t n)
{
    return dtype == GM_U8 ? n / 2 : n * gm_dtype_bytes(dtype);
}

/* Where rows [row, row + rows) of a job's source go; what they come from is the caller's. */
static gm_cuda_place place_of(const gm_cuda_job *j, const source *s, size_t row, size_t rows)
{
    const gm_buf *to = j->to;
    const size_t first = j->row + row / s->every;
    /* zeros after the last column, not after each part of a vector */
    const size_t part = j->column + s->cols == to->cols ? to->stride - j->column : s->cols;
    char *matrix = (char *)to->address + j->item * to->item_bytes;
    char *scales = matrix + bytes_of(to->dtype, to->rows * to->stride);
    gm_grid grid = s->from.grid;
    grid.first += row;
    return (gm_cuda_place){.to = matrix + bytes_of(to->dtype, first * to->stride + j->column),
                           .scale =
                               gm_is_scaled(to->dtype) ? (float *)(void *)scales + first : NULL,
                           .to_scales = (uint8_t *)scales + first * to->stride / GM_MX_BLOCK,
                           .grid = grid,
                           .rows = rows,
                           .cols = s->cols,
                           .stride = part,
                           .every = s->every,
                           .apart = j->apart,
                           .stored = s->stored,
                           .centred = s->centred,
                           .from_dtype = s->from.tensor.dtype,
                           .to_dtype = to->dtype};
}

/* Bytes [first, first + n) of a tensor to `to` on the GPU, by way of `memory`. */
static gm_status send_bytes(pipe *p, const gm_tensor *t, size_t first, size_t n, char *memory,
                            char *to, gm_error *err)
{
    gm_status status = GM_OK;
    const void *from;
    gm_reader_use(&p->reader, memory);
    GM_TRY(gm_reader_get(&p->reader, t, first, n, &from, err));
    GM_TRY(gm_cuda_check(cudaMemcpyAsync(to, from, n, cudaMemcpyHostToDevice, p->stream),
                         "sending weights", err));
out:
    return status;
}

/* A reader's room for n bytes. */
static size_t reading_bytes(size_t n)
{
    return gm_round_up(n, GM_DISK_PAGE) + (size_t)4 * GM_DISK_PAGE;
}

/* All scales of a tensor of F8_E4M3, of four bits with its zeros, in f32. */
static gm_status send_grid(pipe *p, const gm_scaling *beside, char *memory, char *to, gm_grid *grid,
                           gm_error *err)
{
    gm_status status = GM_OK;
    float *values = (float *)(void *)(memory + reading_bytes(p->size.scales));
    const float *on_gpu = (const float *)(void *)to;
    size_t n;
    gm_reader_use(&p->reader, memory);
    GM_TRY(gm_grid_read(grid, beside, &p->reader, values, &n, err));
    GM_TRY(gm_cuda_check(
        cudaMemcpyAsync(to, values, n * sizeof *values, cudaMemcpyHostToDevice, p->stream),
        "sending weights", err));
    if (grid->zero) grid->zero = on_gpu + (grid->zero - grid->scale);
    if (grid->group) grid->group = on_gpu + (grid->group - grid->scale);
    grid->scale = on_gpu;
out:
    return status;
}

static gm_status send_piece(pipe *p, const gm_cuda_job *j, const source *s, size_t row, size_t rows,
                            gm_error *err)
{
    gm_status status = GM_OK;
    const gm_tensor *t = &s->from.tensor;
    const bool whole = s->from.is_whole;
    const size_t first = gm_stored_bytes(s->stored, t->dtype, row, s->cols);
    const size_t n = whole ? t->n_bytes : gm_stored_bytes(s->stored, t->dtype, rows, s->cols);
    const size_t blocks = s->cols / GM_MX_BLOCK;
    const int place = p->next;
    char *memory = p->place[place], *piece = p->piece[place];
    gm_cuda_place to = place_of(j, s, row, rows);
    p->next = (place + 1) % PLACES;
    to.from = piece;
    GM_TRY(gm_cuda_check(cudaEventSynchronize(p->used[place]), "sending weights", err));
    GM_TRY(send_bytes(p, t, first, n, memory, piece, err));
    if (s->stored == GM_STORED_MXFP4) {
        memory += reading_bytes(p->size.bytes), piece += p->size.bytes;
        GM_TRY(
            send_bytes(p, &s->from.beside.scales, row * blocks, rows * blocks, memory, piece, err));
        to.scales = (const uint8_t *)piece;
    } else if (s->from.beside.scales.name) {
        memory += reading_bytes(p->size.bytes), piece += p->size.bytes;
        GM_TRY(send_grid(p, &s->from.beside, memory, piece, &to.grid, err));
    }
    GM_TRY(gm_cuda_check(gm_cuda_place_rows(&p->how, &to), "placing weights", err));
    GM_TRY(gm_cuda_check(cudaEventRecord(p->used[place], p->stream), "sending weights", err));
out:
    return status;
}

static gm_status send_source(pipe *p, const gm_cuda_job *j, const source *s, gm_error *err)
{
    const gm_tensor *t = &s->from.tensor;
    const size_t row_bytes = gm_stored_bytes(s->stored, t->dtype, 1, s->cols);
    size_t most = p->size.bytes / row_bytes / s->every * s->every;
    if (s->stored == GM_STORED_COLUMNS || s->from.is_whole) most = s->rows;
    if (most < 1)
        return gm_fail(err, GM_EABSENT,
                       "tensor '%s' has rows of %zu values, which are too long for the GPU",
                       t->name, s->cols);
    for (size_t r = 0; r < s->rows; r += most) {
        size_t n = s->rows - r < most ? s->rows - r : most;
        gm_status status = send_piece(p, j, s, r, n, err);
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
    p->size = load->piece;
    const size_t reading =
        reading_bytes(p->size.bytes) + reading_bytes(p->size.scales) + p->size.grid;
    GM_TRY(gm_cuda_check(cudaStreamCreateWithFlags(&p->stream, cudaStreamNonBlocking),
                         "making a stream", err));
    p->how =
        (gm_cuda_how){.stream = p->stream, .multiprocessors = load->model->device.multiprocessors};
    for (int i = 0; i < PLACES; i++) {
        void *at = NULL;
        GM_TRY(gm_cuda_alloc_pinned(&at, reading, "pinned memory for weights", err));
        p->place[i] = at;
        GM_TRY(gm_cuda_alloc(&at, p->size.bytes + p->size.scales, "memory for weights", err));
        p->piece[i] = at;
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
        const source *s = &load->source[i];
        if (load->failed) continue;
        note(load, send_source(&p, &load->layout->job[i], s, &err), &err);
        const size_t n_bytes = s->from.tensor.n_bytes;
        uint64_t done = atomic_fetch_add(&load->done_bytes, n_bytes) + n_bytes;
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
        const source *s = &load->source[i];
        const gm_random_place from = gm_checkpoint_random_place(load->checkpoint, &s->from.tensor);
        gm_cuda_place p = place_of(&load->layout->job[i], s, 0, s->rows);
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

/* Where a job's tensor is; all were checked when the model was opened. */
static gm_status find_source(const loading *load, const gm_cuda_job *j, source *s, gm_error *err)
{
    gm_slice slice;
    (void)gm_arch_tensor(load->layout->arch, j->role, j->layer, j->expert, &slice);
    const size_t every = slice.every > 1 ? slice.every : 1;
    *s = (source){.stored = slice.stored,
                  .centred = slice.centred,
                  .rows = slice.rows * every,
                  .cols = slice.cols,
                  .every = slice.halves ? 1 : every}; /* the two follow one another here too */
    /* vectors, which are columns of their stack, are rows here, and two that take turns columns */
    if (slice.stack && j->role >= GM_ROLE_EXPERT_GATE_BIAS) {
        if (every > 1) s->stored = GM_STORED_COLUMNS;
        s->rows = every, s->cols = slice.rows, s->every = 1;
    }
    return gm_locate(&s->from, load->checkpoint, &slice, err);
}

static gm_status find_sources(loading *load, gm_error *err)
{
    for (size_t i = 0; i < load->layout->n; i++) {
        gm_status status = find_source(load, &load->layout->job[i], &load->source[i], err);
        if (status != GM_OK) return status;
        load->total_bytes += (double)load->source[i].from.tensor.n_bytes;
    }
    return GM_OK;
}

gm_status gm_cuda_fill(const gm_cuda_model *model, const gm_cuda_layout *layout,
                       const gm_checkpoint *checkpoint, const gm_model_options *options,
                       gm_error *err)
{
    gm_status status = GM_OK;
    gm_team *team = NULL;
    size_t n;
    loading load = {.layout = layout,
                    .checkpoint = checkpoint,
                    .model = model,
                    .piece = piece_size_of(layout->arch, checkpoint),
                    .has_error = ATOMIC_FLAG_INIT,
                    .progress = options->progress,
                    .progress_context = options->progress_context};
    load.source = gm_alloc(layout->n, sizeof *load.source);
    if (load.source == NULL) GM_FAIL(GM_EMEM, "no memory for a list of %zu tensors", layout->n);
    GM_TRY(find_sources(&load, err));
    if (gm_checkpoint_random_values(checkpoint, &n)) {
        GM_TRY(make_random(&load, err));
    } else {
        GM_TRY(gm_team_create(&team, n_workers(options, &load.piece), err));
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
    gm_free(load.source);
    return status;
}
