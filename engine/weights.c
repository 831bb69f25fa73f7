/* weights.c - reading a checkpoint's tensors into the panels and rows of weights.h.
 *
 * All buffers are described first (their sizes are the answer of gm_weights_bytes),
 * then allocated, then filled from a list of jobs, one tensor each, by a team.
 */
#include "engine/weights.h"

#include "base/text.h"
#include "engine/cpu/kernels.h"
#include "engine/cpu/pack.h"
#include "engine/ops.h"
#include "engine/team.h"

#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

gm_qkv_place gm_qkv_place_of(const gm_arch *arch)
{
    size_t head = (size_t)arch->head_dim;
    size_t q = gm_round_up((size_t)arch->n_heads * head, GM_K_BLOCK);
    size_t kv = gm_round_up((size_t)arch->n_kv_heads * head, GM_K_BLOCK);
    return (gm_qkv_place){.q = 0, .k = q, .v = q + kv, .all = q + 2 * kv};
}

/* ---- the buffers ---- */

static bool has_tensor(const gm_arch *arch, gm_role role, int layer)
{
    char name[128];
    size_t rows, cols;
    return gm_arch_tensor(arch, role, layer, 0, name, &rows, &cols);
}

/* A vector of `cols` when the layer has the tensor, otherwise nothing. */
static gm_buf vector_if(const gm_arch *arch, gm_role role, int layer, size_t cols)
{
    return has_tensor(arch, role, layer) ? gm_buf_rows(GM_F32, 1, 1, cols) : (gm_buf){0};
}

static gm_mlp describe_mlp(gm_dtype dtype, size_t count, size_t width, size_t model_width)
{
    if (width == 0 || count == 0) return (gm_mlp){0};
    size_t half = gm_round_up(width, GM_K_BLOCK); /* the padding of `down` is computed: zeros */
    return (gm_mlp){.width = width,
                    .gate_up = gm_buf_panels(dtype, count, 2 * half, model_width),
                    .down = gm_buf_panels(dtype, count, model_width, width)};
}

static gm_layer describe_layer(const gm_arch *arch, gm_dtype dtype, int l)
{
    const size_t d = (size_t)arch->width, e = (size_t)arch->n_experts;
    const size_t head = (size_t)arch->head_dim, all_heads = (size_t)arch->n_heads * head;
    const bool per_head = arch->qk_norm == GM_QK_NORM_HEAD, dense = arch->moe_of_layer[l] < 0;
    const gm_qkv_place place = gm_qkv_place_of(arch);
    gm_layer layer = {
        .moe = arch->moe_of_layer[l],
        .attn_norm = gm_buf_rows(GM_F32, 1, 1, d),
        .mlp_norm = gm_buf_rows(GM_F32, 1, 1, d),
        .qkv = gm_buf_panels(dtype, 1, place.all, d),
        .qkv_bias = vector_if(arch, GM_ROLE_Q_BIAS, l, place.all),
        .q_norm = vector_if(arch, GM_ROLE_Q_NORM, l, per_head ? head : all_heads),
        .k_norm =
            vector_if(arch, GM_ROLE_K_NORM, l, per_head ? head : (size_t)arch->n_kv_heads * head),
        .o = gm_buf_panels(dtype, 1, d, all_heads),
    };
    if (dense) {
        layer.always = describe_mlp(dtype, 1, (size_t)arch->dense_width, d);
        return layer;
    }
    layer.router = gm_buf_panels(GM_F32, 1, e, d);
    layer.router_bias = vector_if(arch, GM_ROLE_ROUTER_BIAS, l, e);
    layer.correction = vector_if(arch, GM_ROLE_ROUTER_CORRECTION, l, e);
    layer.always = describe_mlp(dtype, 1, (size_t)arch->shared_width, d);
    layer.expert = describe_mlp(dtype, e, (size_t)arch->expert_width, d);
    return layer;
}

static void describe_ends(gm_weights *w, const gm_arch *arch, gm_dtype dtype, gm_dtype embed_dtype)
{
    const size_t d = (size_t)arch->width, v = (size_t)arch->vocab;
    w->embed = gm_buf_rows(embed_dtype, 1, v, d);
    w->final_norm = gm_buf_rows(GM_F32, 1, 1, d);
    w->head = gm_buf_panels(dtype, 1, v, d);
}

enum { LAYER_BUFFERS = 14 };

static void layer_buffers(gm_layer *layer, gm_buf *list[LAYER_BUFFERS])
{
    gm_buf *all[LAYER_BUFFERS] = {
        &layer->attn_norm,
        &layer->mlp_norm,
        &layer->qkv,
        &layer->qkv_bias,
        &layer->q_norm,
        &layer->k_norm,
        &layer->o,
        &layer->router,
        &layer->router_bias,
        &layer->correction,
        &layer->always.gate_up,
        &layer->always.down,
        &layer->expert.gate_up,
        &layer->expert.down,
    };
    memcpy(list, all, sizeof all);
}

static gm_dtype embed_dtype(const gm_arch *arch, const gm_checkpoint *checkpoint)
{
    char name[128];
    size_t rows, cols;
    if (!gm_arch_tensor(arch, GM_ROLE_EMBED, 0, 0, name, &rows, &cols)) return GM_F32;
    const gm_tensor *tensor = gm_checkpoint_find(checkpoint, name);
    return tensor ? tensor->dtype : GM_F32;
}

static gm_dtype panel_dtype(gm_numerics numerics)
{
    return numerics == GM_NUMERICS_BF16 ? GM_BF16 : GM_F32;
}

uint64_t gm_weights_bytes(const gm_arch *arch, const gm_checkpoint *checkpoint,
                          gm_numerics numerics)
{
    gm_weights w = {0};
    describe_ends(&w, arch, panel_dtype(numerics), embed_dtype(arch, checkpoint));
    uint64_t bytes = sizeof w + (uint64_t)arch->n_layers * sizeof *w.layer;
    bytes += gm_buf_bytes(&w.embed) + gm_buf_bytes(&w.final_norm) + gm_buf_bytes(&w.head);
    for (int l = 0; l < arch->n_layers; l++) {
        gm_layer layer = describe_layer(arch, panel_dtype(numerics), l);
        gm_buf *buf[LAYER_BUFFERS];
        layer_buffers(&layer, buf);
        for (size_t i = 0; i < LAYER_BUFFERS; i++) bytes += gm_buf_bytes(buf[i]);
    }
    return bytes;
}

/* ---- filling them ---- */

/* One tensor and where its rows go: row r to output r + r / 16 * 16 * (step - 1) +
 * first of matrix `item`; a step of 2 leaves every other panel to a sibling. */
typedef struct job {
    const gm_tensor *tensor;
    gm_buf *to;
    size_t item, first, step;
    size_t rows, cols;
} job;

typedef struct loading {
    const gm_arch *arch;
    const gm_checkpoint *checkpoint;
    job *jobs;
    size_t n, cap;
    size_t widest;  /* most columns of a tensor */
    float *scratch; /* (workers, 16, widest) */
    gm_load_progress *progress;
    void *progress_context;
    double total_bytes;
    _Atomic uint64_t done_bytes;
} loading;

static gm_status add_job(loading *load, gm_role role, int layer, int expert, gm_buf *to,
                         size_t first, size_t step, gm_error *err)
{
    char name[128];
    job j = {.to = to, .item = expert < 0 ? 0 : (size_t)expert, .first = first, .step = step};
    if (!gm_arch_tensor(load->arch, role, layer, expert < 0 ? 0 : expert, name, &j.rows, &j.cols))
        return GM_OK; /* this model has none */
    gm_status status = gm_checkpoint_get(load->checkpoint, name, j.rows, j.cols, &j.tensor, err);
    if (status != GM_OK) return status;
    if (load->n == load->cap) {
        size_t cap = load->cap ? 2 * load->cap : 256;
        job *grown = gm_grow(load->jobs, load->cap, cap, sizeof *grown);
        if (grown == NULL) return gm_fail(err, GM_EMEM, "no memory for a list of %zu tensors", cap);
        load->jobs = grown;
        load->cap = cap;
    }
    load->jobs[load->n++] = j;
    load->total_bytes += (double)j.tensor->n_bytes;
    if (j.cols > load->widest) load->widest = j.cols;
    return GM_OK;
}

static gm_status add_mlp(loading *load, gm_role gate, gm_role up, gm_role down, int l, int expert,
                         gm_mlp *mlp, gm_error *err)
{
    gm_status status = GM_OK;
    GM_TRY(add_job(load, gate, l, expert, &mlp->gate_up, 0, 2, err));
    GM_TRY(add_job(load, up, l, expert, &mlp->gate_up, GM_PANEL, 2, err));
    GM_TRY(add_job(load, down, l, expert, &mlp->down, 0, 1, err));
out:
    return status;
}

static gm_status add_layer(loading *load, gm_layer *layer, int l, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_qkv_place place = gm_qkv_place_of(load->arch);
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
        {GM_ROLE_ROUTER_BIAS, &layer->router_bias, 0},
        {GM_ROLE_ROUTER_CORRECTION, &layer->correction, 0},
    };
    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++)
        GM_TRY(add_job(load, whole[i].role, l, -1, whole[i].to, whole[i].first, 1, err));

    if (layer->moe < 0) {
        GM_TRY(add_mlp(load, GM_ROLE_DENSE_GATE, GM_ROLE_DENSE_UP, GM_ROLE_DENSE_DOWN, l, -1,
                       &layer->always, err));
        goto out;
    }
    GM_TRY(add_mlp(load, GM_ROLE_SHARED_GATE, GM_ROLE_SHARED_UP, GM_ROLE_SHARED_DOWN, l, -1,
                   &layer->always, err));
    for (int e = 0; e < load->arch->n_experts; e++)
        GM_TRY(add_mlp(load, GM_ROLE_EXPERT_GATE, GM_ROLE_EXPERT_UP, GM_ROLE_EXPERT_DOWN, l, e,
                       &layer->expert, err));
out:
    return status;
}

static gm_status add_all(loading *load, gm_weights *w, gm_error *err)
{
    gm_status status = GM_OK;
    gm_role head = load->arch->tied_head ? GM_ROLE_EMBED : GM_ROLE_HEAD;
    GM_TRY(add_job(load, GM_ROLE_EMBED, 0, -1, &w->embed, 0, 1, err));
    GM_TRY(add_job(load, GM_ROLE_FINAL_NORM, 0, -1, &w->final_norm, 0, 1, err));
    GM_TRY(add_job(load, head, 0, -1, &w->head, 0, 1, err));
    for (int l = 0; l < load->arch->n_layers; l++) GM_TRY(add_layer(load, &w->layer[l], l, err));
out:
    return status;
}

/* Rows of a matrix stay rows: a vector becomes f32, the embedding keeps its type. */
static void copy_rows(const job *j)
{
    const size_t size = gm_dtype_bytes(j->to->dtype);
    char *to = (char *)j->to->address + j->first * size;
    if (j->to->dtype != j->tensor->dtype) {
        gm_tensor_to_f32(j->tensor, 0, j->rows * j->cols, (float *)(void *)to);
        return;
    }
    for (size_t r = 0; r < j->rows; r++)
        memcpy(to + r * j->to->stride * size, (const char *)j->tensor->data + r * j->cols * size,
               j->cols * size);
}

static void pack_rows(const job *j, float *scratch)
{
    for (size_t r = 0; r < j->rows; r += GM_PANEL) {
        size_t n = j->rows - r < GM_PANEL ? j->rows - r : GM_PANEL;
        gm_tensor_to_f32(j->tensor, r * j->cols, n * j->cols, scratch);
        gm_panel_store(j->to, j->item, j->first + r * j->step, n, scratch);
    }
}

static void load_jobs(void *context, gm_worker *me)
{
    loading *load = context;
    float *scratch = load->scratch + me->index * GM_PANEL * load->widest;
    for (size_t i; (i = gm_worker_next(me)) < load->n;) {
        const job *j = &load->jobs[i];
        if (j->to->layout == GM_LAYOUT_ROWS)
            copy_rows(j);
        else
            pack_rows(j, scratch);
        uint64_t done = atomic_fetch_add(&load->done_bytes, j->tensor->n_bytes);
        if (me->index == 0 && load->progress)
            load->progress(load->progress_context, (double)(done + j->tensor->n_bytes),
                           load->total_bytes);
    }
}

/* ---- the whole ---- */

static gm_status create_buffers(gm_weights *w, const gm_arch *arch, gm_dtype embed, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_dtype dtype = panel_dtype(w->numerics);
    describe_ends(w, arch, dtype, embed);
    GM_TRY(gm_buf_create(&w->embed, "the embedding", err));
    GM_TRY(gm_buf_create(&w->final_norm, "the final norm", err));
    GM_TRY(gm_buf_create(&w->head, "the output head", err));
    w->layer = gm_alloc((size_t)arch->n_layers, sizeof *w->layer);
    if (w->layer == NULL) GM_FAIL(GM_EMEM, "no memory for %d layers", arch->n_layers);
    for (int l = 0; l < arch->n_layers; l++) {
        char what[64];
        gm_buf *buf[LAYER_BUFFERS];
        snprintf(what, sizeof what, "the weights of layer %d", l);
        w->layer[l] = describe_layer(arch, dtype, l);
        w->n_layers = (size_t)l + 1;
        layer_buffers(&w->layer[l], buf);
        for (size_t i = 0; i < LAYER_BUFFERS; i++)
            if (buf[i]->item_bytes) GM_TRY(gm_buf_create(buf[i], what, err));
    }
out:
    return status;
}

/* Weights that exceed the machine's memory would end in the system killing the process without
 * a word. A smaller limit that a container or a batch system sets is not seen. */
static gm_status check_memory(const gm_ops *ops, uint64_t n_bytes, gm_error *err)
{
    char need[24], have[24];
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    double memory = (double)pages * (double)page;
    if (strcmp(ops->name, "cpu") != 0 || pages <= 0 || page <= 0) return GM_OK;
    if ((double)n_bytes < memory) return GM_OK;
    return gm_fail(err, GM_EMEM,
                   "the weights take %s in memory, this machine has %s; gm-probe info says what "
                   "fits",
                   gm_show_bytes(need, (double)n_bytes), gm_show_bytes(have, memory));
}

gm_status gm_weights_create(gm_weights **out, const gm_arch *arch, const gm_checkpoint *checkpoint,
                            gm_numerics numerics, const gm_model_options *options, gm_error *err)
{
    gm_status status = GM_OK;
    gm_weights *w = NULL;
    gm_team *team = NULL;
    loading load = {.arch = arch,
                    .checkpoint = checkpoint,
                    .progress = options->progress,
                    .progress_context = options->progress_context};
    *out = NULL;
    w = gm_alloc(1, sizeof *w);
    if (w == NULL) GM_FAIL(GM_EMEM, "no memory for the weights");
    w->numerics = numerics;
    GM_TRY(gm_ops_find(&w->ops, &w->kernels, options->device, options->kernels, err));
    GM_TRY(check_memory(w->ops, gm_weights_bytes(arch, checkpoint, numerics), err));
    GM_TRY(create_buffers(w, arch, embed_dtype(arch, checkpoint), err));
    GM_TRY(add_all(&load, w, err));
    GM_TRY(gm_team_create(&team, options->threads, err));
    load.scratch = gm_alloc2(gm_team_size(team) * GM_PANEL, load.widest, sizeof *load.scratch);
    if (load.scratch == NULL) GM_FAIL(GM_EMEM, "no memory for packing weights");

    gm_team_run(team, false, load_jobs, &load);
    if (load.progress) load.progress(load.progress_context, load.total_bytes, load.total_bytes);
    *out = w;
    w = NULL;
out:
    gm_team_free(team);
    gm_free(load.scratch);
    gm_free(load.jobs);
    gm_weights_free(w);
    return status;
}

void gm_weights_free(gm_weights *w)
{
    if (w == NULL) return;
    for (size_t l = 0; l < w->n_layers; l++) {
        gm_buf *buf[LAYER_BUFFERS];
        layer_buffers(&w->layer[l], buf);
        for (size_t i = 0; i < LAYER_BUFFERS; i++) gm_buf_free(buf[i]);
    }
    gm_free(w->layer);
    gm_buf_free(&w->embed);
    gm_buf_free(&w->final_norm);
    gm_buf_free(&w->head);
    gm_free(w);
}

const char *gm_weights_kernels(const gm_weights *weights)
{
    return weights->kernels->name;
}
