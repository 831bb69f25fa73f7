/* fill.c - see fill.h. */
#include "engine/fill.h"

#include "engine/cpu/pack.h"
#include "engine/located.h"
#include "engine/reader.h"
#include "engine/stored.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

/* Rows [begin, begin + n) of a matrix of the checkpoint. Its row r goes to output r + r / 16 * 16 *
 * (step - 1) + first of matrix `item`; a step of 2 leaves every other panel to a sibling. Where
 * rows of the two lie together (every: 2), one job does both. */
typedef struct job {
    gm_located from;
    gm_stored stored;
    gm_buf *to;
    size_t item, first, step;
    size_t begin, n, cols, every;
    bool halves;           /* rows of the two follow one another, they do not take turns */
    bool stacked, centred; /* centred: a vector to which 1 is added */
} job;

typedef struct helper {
    gm_reader reader, scales;
    float *taken, *f32;   /* (16, widest) rows as they were stored, and in f32 */
    float *grid;          /* room for the scales of a tensor, */
    gm_grid last;         /* those that were read last, */
    const void *last_of;  /* where they lie in the checkpoint, */
    const void *whole;    /* and the tensor that the reader holds, */
    const void *whole_of; /* which lies there: heads may share one */
} helper;

/* What a helper holds. */
typedef struct room {
    size_t widest; /* most columns of a matrix */
    size_t piece;  /* bytes of a tensor that are read at once */
    size_t scales; /* and of its scales */
    size_t grid;   /* numbers of one tensor's scales, and zeros */
} room;

struct gm_fill {
    const gm_arch *arch;
    const gm_checkpoint *checkpoint;
    job *job;
    size_t n, cap;
    room room;
    helper *helper; /* (n_helpers) one for each worker */
    size_t n_helpers;
    gm_load_progress *progress;
    void *context;
    double total_bytes;
    _Atomic uint64_t done_bytes;
    atomic_bool failed;
    pthread_mutex_t mutex; /* guards what follows */
    gm_status status;      /* the first failure */
    gm_error err;
};

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static room room_of(const gm_arch *arch, const gm_checkpoint *checkpoint)
{
    room r = {.widest = larger((size_t)arch->width, (size_t)arch->expert_width)};
    r.widest = larger(r.widest, (size_t)arch->latent.plain);
    for (size_t i = 0; i < gm_checkpoint_n(checkpoint); i++) {
        const gm_tensor *t = gm_checkpoint_at(checkpoint, i);
        if (t->n_bytes > 0) /* the sizes of others have no bound */
            r.widest = larger(r.widest, gm_tensor_inputs(t, &arch->blocks));
    }
    r.piece = larger(GM_PANEL * r.widest * sizeof(float), GM_READ_BYTES);
    r.piece = larger(r.piece, gm_arch_columns_bytes(arch, checkpoint));
    r.grid = gm_grid_most(checkpoint, &arch->blocks);
    r.scales = arch->stored == GM_STORED_MXFP4 ? r.piece / (GM_MX_BLOCK / 2)
                                               : gm_grid_most_bytes(checkpoint, &arch->blocks);
    return r;
}

/* Floats of a helper. */
static size_t floats(const room *r)
{
    return (size_t)2 * GM_PANEL * r->widest + r->grid;
}

uint64_t gm_fill_bytes(const gm_arch *arch, const gm_checkpoint *checkpoint, size_t workers)
{
    const room r = room_of(arch, checkpoint);
    return workers * (r.piece + r.scales + floats(&r) * sizeof(float));
}

gm_status gm_fill_create(gm_fill **out, const gm_arch *arch, const gm_checkpoint *checkpoint,
                         size_t workers, gm_error *err)
{
    gm_status status = GM_OK;
    gm_fill *fill = gm_alloc(1, sizeof *fill);
    *out = NULL;
    if (fill == NULL) return gm_fail(err, GM_EMEM, "no memory to read weights");
    fill->arch = arch;
    fill->checkpoint = checkpoint;
    pthread_mutex_init(&fill->mutex, NULL);
    fill->room = room_of(arch, checkpoint);
    fill->helper = gm_alloc(workers, sizeof *fill->helper);
    if (fill->helper == NULL) GM_FAIL(GM_EMEM, "no memory to read weights");
    for (size_t i = 0; i < workers; i++) {
        helper *h = &fill->helper[fill->n_helpers++];
        GM_TRY(gm_reader_create(&h->reader, checkpoint, fill->room.piece, err));
        if (fill->room.scales > 0)
            GM_TRY(gm_reader_create(&h->scales, checkpoint, fill->room.scales, err));
        h->taken = gm_alloc(floats(&fill->room), sizeof *h->taken);
        if (h->taken == NULL) GM_FAIL(GM_EMEM, "no memory to pack weights");
        h->f32 = h->taken + GM_PANEL * fill->room.widest;
        h->grid = h->f32 + GM_PANEL * fill->room.widest;
    }
    *out = fill;
    fill = NULL;
out:
    gm_fill_free(fill);
    return status;
}

void gm_fill_free(gm_fill *fill)
{
    if (fill == NULL) return;
    for (size_t i = 0; i < fill->n_helpers; i++) {
        gm_reader_clear(&fill->helper[i].reader);
        gm_reader_clear(&fill->helper[i].scales);
        gm_free(fill->helper[i].taken);
    }
    gm_free(fill->helper);
    gm_free(fill->job);
    pthread_mutex_destroy(&fill->mutex);
    gm_free(fill);
}

/* ---- the list ---- */

static gm_status append(gm_fill *fill, const job *j, gm_error *err)
{
    if (fill->n == fill->cap) {
        size_t cap = fill->cap ? 2 * fill->cap : 256;
        job *grown = gm_grow(fill->job, fill->cap, cap, sizeof *grown);
        if (grown == NULL) return gm_fail(err, GM_EMEM, "no memory for a list of %zu tensors", cap);
        fill->job = grown;
        fill->cap = cap;
    }
    fill->job[fill->n++] = *j;
    return GM_OK;
}

/* A matrix in pieces of whole panels that a reader holds; one of columns as one piece. */
static gm_status add_tensor(gm_fill *fill, gm_role role, int layer, int expert, gm_buf *to,
                            size_t first, size_t step, gm_error *err)
{
    gm_status status = GM_OK;
    gm_slice slice;
    job j = {.to = to, .first = first, .step = step};
    if (!gm_arch_tensor(fill->arch, role, layer, expert < 0 ? 0 : expert, &slice))
        return GM_OK; /* this model has none */
    if (expert >= 0 && (slice.heads == 0 || to->count > 1)) j.item = (size_t)expert;
    j.centred = slice.centred;
    j.every = slice.every > 1 ? slice.every : 1;
    j.halves = slice.halves;
    if (j.every > 1 && slice.first > 0) return GM_OK; /* comes with the sibling's */
    GM_TRY(gm_locate(&j.from, fill->checkpoint, &slice, err));
    j.stored = slice.stored;
    j.cols = slice.cols;
    j.stacked = slice.stack > 0;
    const size_t rows = slice.rows * j.every, panels = GM_PANEL * j.every;
    const size_t row_bytes = gm_stored_bytes(j.stored, j.from.tensor.dtype, 1, j.cols);
    fill->total_bytes += (double)(rows * row_bytes);
    const size_t most = j.stored == GM_STORED_COLUMNS || j.from.is_whole || row_bytes == 0
                            ? rows
                            : fill->room.piece / row_bytes / panels * panels;
    /* A room has 16 rows of f32. Rows that alternate, of which a piece takes 32, are MXFP4: half a
     * byte an element (alternating columns are one piece, biases one column). */
    assert(most > 0 || rows == 0);
    for (j.begin = 0; j.begin < rows; j.begin += j.n) {
        const size_t left = rows - j.begin;
        j.n = left < most ? left : most;
        GM_TRY(append(fill, &j, err));
    }
out:
    return status;
}

static gm_status add_mlp(gm_fill *fill, gm_role gate, gm_role up, gm_role down, int l, int expert,
                         gm_mlp *mlp, gm_error *err)
{
    gm_status status = GM_OK;
    const bool gated = !fill->arch->activation.squared;
    if (gated) GM_TRY(add_tensor(fill, gate, l, expert, &mlp->gate_up, 0, 2, err));
    GM_TRY(
        add_tensor(fill, up, l, expert, &mlp->gate_up, gated ? GM_PANEL : 0, gated ? 2 : 1, err));
    GM_TRY(add_tensor(fill, down, l, expert, &mlp->down, 0, 1, err));
out:
    return status;
}

/* A role's tensor, or where it has a matrix for each head these, one after another unless *to has
 * one for each. */
static gm_status add_role(gm_fill *fill, gm_role role, int l, gm_buf *to, size_t first,
                          gm_error *err)
{
    gm_status status = GM_OK;
    gm_slice slice;
    if (!gm_arch_tensor(fill->arch, role, l, 0, &slice)) return GM_OK;
    if (slice.heads == 0) return add_tensor(fill, role, l, -1, to, first, 1, err);
    const size_t each = to->count > 1 ? 0 : slice.rows;
    for (size_t h = 0; h < slice.heads; h++)
        GM_TRY(add_tensor(fill, role, l, (int)h, to, first + h * each, 1, err));
out:
    return status;
}

static gm_status add_layer(gm_fill *fill, gm_layer *layer, int l, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_qkv_place place = gm_qkv_place_of(fill->arch, layer->global);
    const gm_delta_place delta = gm_delta_place_of(fill->arch);
    const struct {
        gm_role role;
        gm_buf *to;
        size_t first;
    } part[] = {
        {GM_ROLE_ATTN_NORM, &layer->attn_norm, 0},
        {GM_ROLE_ATTN_NORM_BIAS, &layer->attn_norm, layer->attn_norm.stride},
        {GM_ROLE_ATTN_OUT_NORM, &layer->attn_out_norm, 0},
        {GM_ROLE_Q, layer->q_up.count ? &layer->q_up : &layer->qkv, 0},
        {GM_ROLE_Q_LATENT, &layer->qkv, place.q},
        {GM_ROLE_Q_UP, &layer->q_up, 0},
        {GM_ROLE_Q_GATE, &layer->qkv, place.gate},
        {GM_ROLE_KEY_UP, &layer->key_up, 0},
        {GM_ROLE_VALUE_UP, &layer->value_up, 0},
        {GM_ROLE_K, &layer->qkv, place.k},
        {GM_ROLE_V, &layer->qkv, place.v},
        {GM_ROLE_Q_BIAS, &layer->qkv_bias, place.q},
        {GM_ROLE_K_BIAS, &layer->qkv_bias, place.k},
        {GM_ROLE_V_BIAS, &layer->qkv_bias, place.v},
        {GM_ROLE_Q_NORM, &layer->q_norm, 0},
        {GM_ROLE_K_NORM, &layer->k_norm, 0},
        {GM_ROLE_O, &layer->o, 0},
        {GM_ROLE_O_BIAS, &layer->o_bias, 0},
        {GM_ROLE_SINKS, &layer->sinks, 0},
        {GM_ROLE_DELTA_Q, &layer->qkv, delta.q},
        {GM_ROLE_DELTA_K, &layer->qkv, delta.k},
        {GM_ROLE_DELTA_V, &layer->qkv, delta.v},
        {GM_ROLE_DELTA_Z, &layer->qkv, delta.low_z},
        {GM_ROLE_DELTA_B, &layer->qkv, delta.b},
        {GM_ROLE_DELTA_A, &layer->qkv, delta.low_a},
        {GM_ROLE_DELTA_CONV, &layer->delta_conv, 0},
        {GM_ROLE_DELTA_CONV_K, &layer->delta_conv, delta.k},
        {GM_ROLE_DELTA_CONV_V, &layer->delta_conv, delta.v},
        {GM_ROLE_DELTA_CONV_BIAS, &layer->delta_conv_bias, 0},
        {GM_ROLE_DELTA_SKIP, &layer->delta_skip, 0},
        {GM_ROLE_DELTA_RATE, &layer->delta_rate, 0},
        {GM_ROLE_DELTA_BIAS, &layer->delta_bias, 0},
        {GM_ROLE_DELTA_NORM, &layer->delta_norm, 0},
        {GM_ROLE_DELTA_O, &layer->o, 0},
        {GM_ROLE_MLP_NORM, &layer->mlp_norm, 0},
        {GM_ROLE_MLP_NORM_BIAS, &layer->mlp_norm, layer->mlp_norm.stride},
        {GM_ROLE_MLP_OUT_NORM, &layer->mlp_out_norm, 0},
        {GM_ROLE_ROUTER, &layer->router, 0},
        {GM_ROLE_SHARE, &layer->router, (size_t)fill->arch->n_experts},
        {GM_ROLE_ROUTER_BIAS, &layer->router_bias, 0},
        {GM_ROLE_ROUTER_CORRECTION, &layer->correction, 0},
        {GM_ROLE_ROUTER_NORM, &layer->router_norm, 0},
        {GM_ROLE_EXPERT_SCALE, &layer->expert_scale, 0},
        {GM_ROLE_SHARED_NORM, &layer->always_norm, 0},
        {GM_ROLE_SHARED_OUT_NORM, &layer->always_out_norm, 0},
        {GM_ROLE_EXPERT_OUT_NORM, &layer->expert_out_norm, 0},
        {GM_ROLE_LAYER_SCALE, &layer->scale, 0},
    };
    for (size_t i = 0; i < sizeof part / sizeof part[0]; i++)
        GM_TRY(add_role(fill, part[i].role, l, part[i].to, part[i].first, err));
    GM_TRY(add_tensor(fill, GM_ROLE_DELTA_A_UP, l, 0, &layer->delta_up, 0, 1, err));
    GM_TRY(add_tensor(fill, GM_ROLE_DELTA_Z_UP, l, 1, &layer->delta_up, 0, 1, err));
    if (layer->moe < 0) {
        GM_TRY(add_mlp(fill, GM_ROLE_DENSE_GATE, GM_ROLE_DENSE_UP, GM_ROLE_DENSE_DOWN, l, -1,
                       &layer->always, err));
        goto out;
    }
    GM_TRY(add_mlp(fill, GM_ROLE_SHARED_GATE, GM_ROLE_SHARED_UP, GM_ROLE_SHARED_DOWN, l, -1,
                   &layer->always, err));
    for (int e = 0; e < fill->arch->n_experts; e++) {
        GM_TRY(add_mlp(fill, GM_ROLE_EXPERT_GATE, GM_ROLE_EXPERT_UP, GM_ROLE_EXPERT_DOWN, l, e,
                       &layer->expert, err));
        GM_TRY(add_tensor(fill, GM_ROLE_EXPERT_GATE_BIAS, l, e, &layer->expert_in_bias, 0, 2, err));
        GM_TRY(add_tensor(fill, GM_ROLE_EXPERT_UP_BIAS, l, e, &layer->expert_in_bias, GM_PANEL, 2,
                          err));
        GM_TRY(
            add_tensor(fill, GM_ROLE_EXPERT_DOWN_BIAS, l, e, &layer->expert_out_bias, 0, 1, err));
    }
out:
    return status;
}

gm_status gm_fill_add(gm_fill *fill, gm_weights *w, size_t i, gm_layer *layer, gm_error *err)
{
    gm_status status = GM_OK;
    if (i == 0) {
        if (!w->embed_in_place)
            GM_TRY(add_tensor(fill, GM_ROLE_EMBED, 0, -1, &w->embed, 0, 1, err));
        GM_TRY(add_tensor(fill, GM_ROLE_FINAL_NORM, 0, -1, &w->final_norm, 0, 1, err));
        GM_TRY(add_tensor(fill, GM_ROLE_FINAL_NORM_BIAS, 0, -1, &w->final_norm,
                          w->final_norm.stride, 1, err));
    } else if (i <= w->n_layers) {
        GM_TRY(add_layer(fill, layer ? layer : &w->layer[i - 1], (int)i - 1, err));
    } else {
        gm_role head = fill->arch->tied_head ? GM_ROLE_EMBED : GM_ROLE_HEAD;
        GM_TRY(add_tensor(fill, head, 0, -1, &w->head, 0, 1, err));
        GM_TRY(add_tensor(fill, GM_ROLE_HEAD_BIAS, 0, -1, &w->head_bias, 0, 1, err));
    }
out:
    return status;
}

/* ---- running it ---- */

static gm_tensor as_it_is(const gm_stored_rows *read)
{
    const size_t n_bytes = gm_stored_bytes(read->stored, read->dtype, read->rows, read->cols);
    return (gm_tensor){.dtype = read->dtype, .data = read->data, .n_bytes = n_bytes};
}

/* Rows of a matrix stay rows: a vector becomes f32, the embedding keeps its type. */
static void copy_rows(const job *j, const gm_stored_rows *read)
{
    const gm_buf *buf = j->to;
    const gm_tensor rows = as_it_is(read);
    const size_t size = gm_dtype_bytes(buf->dtype);
    char *to = (char *)buf->address + (j->first + j->begin * buf->stride) * size;
    if (buf->dtype != read->dtype || j->centred) {
        float *values = (float *)(void *)to;
        gm_tensor_to_f32(&rows, 0, j->n * j->cols, values);
        for (size_t i = 0; j->centred && i < j->n * j->cols; i++) values[i] += 1.0f;
        return;
    }
    for (size_t r = 0; r < j->n; r++)
        memcpy(to + r * buf->stride * size, (const char *)read->data + r * j->cols * size,
               j->cols * size);
}

/* Up to 16 rows to outputs [to, to + n), all in one panel. */
static void pack_panel(const job *j, const gm_tensor *rows, size_t first, size_t to, size_t n,
                       float *scratch)
{
    const size_t row_bytes = j->cols * gm_dtype_bytes(rows->dtype);
    if (j->to->dtype == GM_BF16 && rows->dtype == GM_BF16) {
        gm_panel_store_bf16(j->to, j->item, to, n, (const char *)rows->data + first * row_bytes);
        return;
    }
    const bool ready = rows->dtype == GM_F32 && (uintptr_t)rows->data % sizeof(float) == 0;
    if (!ready) gm_tensor_to_f32(rows, first * j->cols, n * j->cols, scratch);
    gm_panel_store(j->to, j->item, to, n,
                   ready ? (const float *)rows->data + first * j->cols : scratch);
}

/* The first output of the panel of row r of the job's piece, and of the sibling's as many. */
static size_t output_of(const job *j, size_t sibling, size_t r)
{
    return j->first + sibling * GM_PANEL + (j->begin / j->every + r) * j->step;
}

static void pack_rows(const helper *h, const job *j, const gm_stored_rows *read)
{
    const bool ready =
        read->stored == GM_STORED_ROWS && j->every == 1 && gm_dtype_is_float(read->dtype);
    const size_t rows = j->n / j->every;
    for (size_t sibling = 0; sibling < j->every; sibling++)
        for (size_t r = 0, n; r < rows; r += n) {
            const size_t left = GM_PANEL - output_of(j, sibling, r) % GM_PANEL; /* of the panel */
            const size_t row = j->halves ? sibling * rows + r : r * j->every + sibling;
            n = rows - r < left ? rows - r : left;
            const gm_tensor taken =
                ready ? as_it_is(read)
                      : gm_stored_take(read, row, j->halves ? 1 : j->every, n, h->taken);
            pack_panel(j, &taken, ready ? r : 0, output_of(j, sibling, r), n, h->f32);
        }
}

/* One vector of a stack of them, to a row of its place. */
static void copy_stacked(const helper *h, const job *j, const gm_stored_rows *read)
{
    const size_t rows = j->n / j->every;
    float *to = (float *)j->to->address + j->item * j->to->stride;
    for (size_t sibling = 0; sibling < j->every; sibling++)
        for (size_t r = 0; r < rows; r += GM_PANEL) {
            const size_t n = rows - r < GM_PANEL ? rows - r : GM_PANEL;
            const gm_tensor taken =
                gm_stored_take(read, r * j->every + sibling, j->every, n, h->taken);
            gm_tensor_to_f32(&taken, 0, n, to + output_of(j, sibling, r));
        }
}

/* What a job's tensor is multiplied with, read once for all of its pieces. */
static gm_status get_grid(helper *h, const job *j, gm_grid *out, gm_error *err)
{
    gm_status status = GM_OK;
    size_t n;
    if (h->last_of != j->from.beside.scales.data) {
        h->last_of = NULL;
        h->last = j->from.grid;
        GM_TRY(gm_grid_read(&h->last, &j->from.beside, &h->scales, h->grid, &n, err));
        h->last_of = j->from.beside.scales.data;
    }
    *out = h->last;
    out->first = j->from.grid.first + j->begin;
out:
    return status;
}

static gm_status get_rows(helper *h, const job *j, const void **data, gm_error *err)
{
    const gm_tensor *t = &j->from.tensor;
    const size_t first = gm_stored_bytes(j->stored, t->dtype, j->begin, j->cols);
    const size_t n_bytes = gm_stored_bytes(j->stored, t->dtype, j->n, j->cols);
    *data = h->whole;
    if (j->from.is_whole && h->whole_of == t->data) return GM_OK;
    h->whole_of = NULL;
    if (!j->from.is_whole) return gm_reader_get(&h->reader, t, first, n_bytes, data, err);
    gm_status status = gm_reader_get(&h->reader, t, 0, t->n_bytes, data, err);
    if (status == GM_OK) h->whole = *data, h->whole_of = t->data;
    return status;
}

static gm_status run_job(helper *h, const job *j, gm_error *err)
{
    gm_status status = GM_OK;
    gm_stored_rows read = {.stored = j->stored,
                           .dtype = j->from.tensor.dtype,
                           .as = j->to->dtype == GM_BF16 ? GM_BF16 : GM_F32,
                           .rows = j->n,
                           .cols = j->cols};
    GM_TRY(get_rows(h, j, &read.data, err));
    if (j->stored == GM_STORED_MXFP4) {
        const size_t blocks = j->cols / GM_MX_BLOCK;
        const void *scales;
        GM_TRY(gm_reader_get(&h->scales, &j->from.beside.scales, j->begin * blocks, j->n * blocks,
                             &scales, err));
        read.scales = scales;
    } else if (j->from.beside.scales.name) {
        GM_TRY(get_grid(h, j, &read.grid, err));
    }
    if (j->to->layout == GM_LAYOUT_PANELS)
        pack_rows(h, j, &read);
    else if (j->stacked)
        copy_stacked(h, j, &read);
    else
        copy_rows(j, &read);
out:
    return status;
}

static void keep_failure(gm_fill *fill, gm_status status, const gm_error *err)
{
    pthread_mutex_lock(&fill->mutex);
    if (fill->status == GM_OK) fill->status = status, fill->err = *err;
    pthread_mutex_unlock(&fill->mutex);
    atomic_store(&fill->failed, true);
}

static void work(void *context, gm_worker *me)
{
    gm_fill *fill = context;
    for (size_t i; (i = gm_worker_next(me)) < fill->n && !atomic_load(&fill->failed);) {
        const job *j = &fill->job[i];
        const uint64_t n_bytes = gm_stored_bytes(j->stored, j->from.tensor.dtype, j->n, j->cols);
        gm_error err = {0};
        gm_status status = run_job(&fill->helper[me->index], j, &err);
        if (status != GM_OK) keep_failure(fill, status, &err);
        uint64_t done = atomic_fetch_add(&fill->done_bytes, n_bytes) + n_bytes;
        if (me->index == 0 && fill->progress)
            fill->progress(fill->context, (double)done, fill->total_bytes);
    }
}

gm_status gm_fill_run(gm_fill *fill, gm_team *team, gm_load_progress *progress, void *context,
                      gm_error *err)
{
    fill->progress = progress;
    fill->context = context;
    atomic_store(&fill->done_bytes, 0);
    if (team) gm_team_run(team, false, work, fill);
    for (size_t i = 0; team == NULL && i < fill->n && fill->status == GM_OK; i++)
        fill->status = run_job(&fill->helper[0], &fill->job[i], &fill->err);
    gm_status status = fill->status;
    if (progress && status == GM_OK) progress(context, fill->total_bytes, fill->total_bytes);
    if (status != GM_OK && err) *err = fill->err;
    fill->n = 0;
    fill->total_bytes = 0;
    fill->status = GM_OK;
    atomic_store(&fill->failed, false);
    return status;
}
