/* fill.c - see fill.h. */
#include "engine/fill.h"

#include "engine/cpu/pack.h"
#include "engine/reader.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

/* Rows [begin, begin + n) of a matrix of the checkpoint. Its row r goes to output r + r / 16 * 16 *
 * (step - 1) + first of matrix `item`; a step of 2 leaves every other panel to a sibling. */
typedef struct job {
    gm_tensor tensor;
    gm_buf *to;
    size_t item, first, step;
    size_t begin, n, cols;
} job;

typedef struct helper {
    gm_reader reader;
    float *scratch; /* (16, widest) */
} helper;

struct gm_fill {
    const gm_arch *arch;
    const gm_checkpoint *checkpoint;
    job *job;
    size_t n, cap;
    size_t widest;  /* most columns of a tensor */
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

static size_t most_bytes(size_t widest)
{
    const size_t panel = GM_PANEL * widest * sizeof(float);
    return panel > GM_READ_BYTES ? panel : GM_READ_BYTES;
}

static size_t widest_of(const gm_checkpoint *checkpoint)
{
    size_t widest = 0;
    for (size_t i = 0; i < gm_checkpoint_n(checkpoint); i++) {
        const gm_tensor *t = gm_checkpoint_at(checkpoint, i);
        const size_t cols = t->rank > 0 ? t->dim[t->rank - 1] : 1;
        if (cols > widest) widest = cols;
    }
    return widest;
}

uint64_t gm_fill_bytes(const gm_checkpoint *checkpoint, size_t workers)
{
    const size_t widest = widest_of(checkpoint);
    return workers * (most_bytes(widest) + GM_PANEL * widest * sizeof(float));
}

gm_status gm_fill_create(gm_fill **out, const gm_arch *arch, const gm_checkpoint *checkpoint,
                         size_t workers, gm_error *err)
{
    gm_status status = GM_OK;
    gm_fill *fill = gm_alloc(1, sizeof *fill);
    *out = NULL;
    if (fill == NULL) return gm_fail(err, GM_EMEM, "no memory for reading weights");
    fill->arch = arch;
    fill->checkpoint = checkpoint;
    pthread_mutex_init(&fill->mutex, NULL);
    fill->widest = widest_of(checkpoint);
    fill->helper = gm_alloc(workers, sizeof *fill->helper);
    if (fill->helper == NULL) GM_FAIL(GM_EMEM, "no memory for reading weights");
    for (size_t i = 0; i < workers; i++) {
        helper *h = &fill->helper[fill->n_helpers++];
        GM_TRY(gm_reader_create(&h->reader, checkpoint, most_bytes(fill->widest), err));
        h->scratch = gm_alloc2(GM_PANEL, fill->widest, sizeof *h->scratch);
        if (h->scratch == NULL) GM_FAIL(GM_EMEM, "no memory for packing weights");
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
        gm_free(fill->helper[i].scratch);
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

/* A matrix in pieces of whole panels that a reader holds. */
static gm_status add_tensor(gm_fill *fill, gm_role role, int layer, int expert, gm_buf *to,
                            size_t first, size_t step, gm_error *err)
{
    gm_status status = GM_OK;
    gm_slice slice;
    job j = {.to = to, .item = expert < 0 ? 0 : (size_t)expert, .first = first, .step = step};
    if (!gm_arch_tensor(fill->arch, role, layer, expert < 0 ? 0 : expert, &slice))
        return GM_OK; /* this model has none */
    GM_TRY(gm_checkpoint_get(fill->checkpoint, &slice, &j.tensor, err));
    j.cols = slice.cols;
    const size_t row_bytes = j.cols * gm_dtype_bytes(j.tensor.dtype);
    const size_t most = most_bytes(fill->widest) / (row_bytes ? row_bytes : 1);
    for (j.begin = 0; j.begin < slice.rows; j.begin += j.n) {
        const size_t left = slice.rows - j.begin;
        j.n = left < most ? left : most / GM_PANEL * GM_PANEL;
        GM_TRY(append(fill, &j, err));
    }
    fill->total_bytes += (double)j.tensor.n_bytes;
out:
    return status;
}

static gm_status add_mlp(gm_fill *fill, gm_role gate, gm_role up, gm_role down, int l, int expert,
                         gm_mlp *mlp, gm_error *err)
{
    gm_status status = GM_OK;
    GM_TRY(add_tensor(fill, gate, l, expert, &mlp->gate_up, 0, 2, err));
    GM_TRY(add_tensor(fill, up, l, expert, &mlp->gate_up, GM_PANEL, 2, err));
    GM_TRY(add_tensor(fill, down, l, expert, &mlp->down, 0, 1, err));
out:
    return status;
}

static gm_status add_layer(gm_fill *fill, gm_layer *layer, int l, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_qkv_place place = gm_qkv_place_of(fill->arch);
    const struct {
        gm_role role;
        gm_buf *to;
        size_t first;
    } whole[] = {
        {GM_ROLE_ATTN_NORM, &layer->attn_norm, 0},
        {GM_ROLE_Q, &layer->qkv, place.q},
        {GM_ROLE_K, &layer->qkv, place.k},
        {GM_ROLE_V, &layer->qkv, place.v},
        {GM_ROLE_Q_BIAS, &layer->qkv_bias, place.q},
        {GM_ROLE_K_BIAS, &layer->qkv_bias, place.k},
        {GM_ROLE_V_BIAS, &layer->qkv_bias, place.v},
        {GM_ROLE_Q_NORM, &layer->q_norm, 0},
        {GM_ROLE_K_NORM, &layer->k_norm, 0},
        {GM_ROLE_O, &layer->o, 0},
        {GM_ROLE_MLP_NORM, &layer->mlp_norm, 0},
        {GM_ROLE_ROUTER, &layer->router, 0},
        {GM_ROLE_SHARE, &layer->router, (size_t)fill->arch->n_experts},
        {GM_ROLE_ROUTER_BIAS, &layer->router_bias, 0},
        {GM_ROLE_ROUTER_CORRECTION, &layer->correction, 0},
    };
    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++)
        GM_TRY(add_tensor(fill, whole[i].role, l, -1, whole[i].to, whole[i].first, 1, err));

    if (layer->moe < 0) {
        GM_TRY(add_mlp(fill, GM_ROLE_DENSE_GATE, GM_ROLE_DENSE_UP, GM_ROLE_DENSE_DOWN, l, -1,
                       &layer->always, err));
        goto out;
    }
    GM_TRY(add_mlp(fill, GM_ROLE_SHARED_GATE, GM_ROLE_SHARED_UP, GM_ROLE_SHARED_DOWN, l, -1,
                   &layer->always, err));
    for (int e = 0; e < fill->arch->n_experts; e++)
        GM_TRY(add_mlp(fill, GM_ROLE_EXPERT_GATE, GM_ROLE_EXPERT_UP, GM_ROLE_EXPERT_DOWN, l, e,
                       &layer->expert, err));
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
    } else if (i <= w->n_layers) {
        GM_TRY(add_layer(fill, layer ? layer : &w->layer[i - 1], (int)i - 1, err));
    } else {
        gm_role head = fill->arch->tied_head ? GM_ROLE_EMBED : GM_ROLE_HEAD;
        GM_TRY(add_tensor(fill, head, 0, -1, &w->head, 0, 1, err));
    }
out:
    return status;
}

/* ---- running it ---- */

/* Rows of a matrix stay rows: a vector becomes f32, the embedding keeps its type. `read` is a
 * tensor of the job's rows. */
static void copy_rows(const job *j, const gm_tensor *read)
{
    const gm_buf *buf = j->to;
    const size_t size = gm_dtype_bytes(buf->dtype);
    char *to = (char *)buf->address + (j->first + j->begin * buf->stride) * size;
    if (buf->dtype != read->dtype) {
        gm_tensor_to_f32(read, 0, j->n * j->cols, (float *)(void *)to);
        return;
    }
    for (size_t r = 0; r < j->n; r++)
        memcpy(to + r * buf->stride * size, (const char *)read->data + r * j->cols * size,
               j->cols * size);
}

static void pack_rows(const job *j, const gm_tensor *read, float *scratch)
{
    const size_t row_bytes = j->cols * gm_dtype_bytes(read->dtype);
    for (size_t r = 0; r < j->n; r += GM_PANEL) {
        const size_t n = j->n - r < GM_PANEL ? j->n - r : GM_PANEL;
        const size_t to = j->first + (j->begin + r) * j->step;
        if (j->to->dtype == GM_BF16 && read->dtype == GM_BF16) {
            gm_panel_store_bf16(j->to, j->item, to, n, (const char *)read->data + r * row_bytes);
            continue;
        }
        gm_tensor_to_f32(read, r * j->cols, n * j->cols, scratch);
        gm_panel_store(j->to, j->item, to, n, scratch);
    }
}

static gm_status run_job(helper *h, const job *j, gm_error *err)
{
    const size_t row_bytes = j->cols * gm_dtype_bytes(j->tensor.dtype);
    gm_tensor read = j->tensor;
    gm_status status = gm_reader_get(&h->reader, &j->tensor, j->begin * row_bytes, j->n * row_bytes,
                                     &read.data, err);
    if (status != GM_OK) return status;
    read.n_bytes = j->n * row_bytes;
    if (j->to->layout == GM_LAYOUT_ROWS)
        copy_rows(j, &read);
    else
        pack_rows(j, &read, h->scratch);
    return GM_OK;
}

static void keep_failure(gm_fill *fill, gm_status status, const gm_error *err)
{
    pthread_mutex_lock(&fill->mutex);
    if (fill->status == GM_OK) {
        fill->status = status;
        fill->err = *err;
    }
    pthread_mutex_unlock(&fill->mutex);
    atomic_store(&fill->failed, true);
}

static void work(void *context, gm_worker *me)
{
    gm_fill *fill = context;
    for (size_t i; (i = gm_worker_next(me)) < fill->n && !atomic_load(&fill->failed);) {
        const job *j = &fill->job[i];
        const uint64_t n_bytes = j->n * j->cols * gm_dtype_bytes(j->tensor.dtype);
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
    if (progress) progress(context, fill->total_bytes, fill->total_bytes);
    gm_status status = fill->status;
    if (status != GM_OK && err) *err = fill->err;
    fill->n = 0;
    fill->total_bytes = 0;
    fill->status = GM_OK;
    atomic_store(&fill->failed, false);
    return status;
}
