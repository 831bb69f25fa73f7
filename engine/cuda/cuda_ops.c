/* cuda_ops.c - the table of operations on a GPU: each enqueues the kernels of few rows, or hands
 * over to cuda_many.c. What both tell the kernels: cuda_tell.c. */
#include "engine/cuda/cuda_ops.h"

#include "engine/cuda/cuda_measure.h"
#include "engine/cuda/cuda_session.h"

#include <string.h>

static const gm_layer *layer_acquire(gm_worker *me, const gm_step *step, size_t layer)
{
    (void)me;
    return &step->weights->layer[layer];
}

static void layer_release(gm_worker *me, const gm_step *step, size_t layer)
{
    (void)me, (void)step, (void)layer;
}

static void embed(gm_worker *me, const gm_step *step)
{
    (void)me;
    gm_cuda_session *s = step->own;
    const gm_buf *table = &step->weights->embed;
    const gm_cuda_embed p = {.row = step->row,
                             .embed = table->address,
                             .x = gm_cuda_at(s, GM_CUDA_RESIDUAL),
                             .bad = (uint8_t *)s->result + s->at.bad,
                             .token = gm_cuda_at(s, GM_CUDA_TOKENS),
                             .block = gm_cuda_at(s, GM_CUDA_BLOCKS),
                             .stride = table->stride,
                             .x_stride = s->plan.width,
                             .blocks_per_sequence = s->kv->blocks_per_sequence,
                             .n_rows = (int)step->n_rows,
                             .width = step->arch->width,
                             .scale = step->arch->embed_scale,
                             .dtype = table->dtype};
    gm_cuda_note(s, gm_cuda_embed_rows(&s->how, &p), "the embedding");
}

/* ---- attention ---- */

static void attn_in(gm_worker *me, const gm_step *step, size_t layer, const gm_layer *w)
{
    (void)me, (void)layer;
    gm_cuda_session *s = step->own;
    if (!s->few) {
        gm_cuda_attn_in_many(step, w);
        return;
    }
    const gm_cuda_project p = {.x = gm_cuda_at(s, GM_CUDA_RESIDUAL),
                               .norm = w->attn_norm.address,
                               .norm_bias = gm_cuda_norm_bias(&w->attn_norm),
                               .matrix = w->qkv.address,
                               .bias = w->qkv_bias.address,
                               .out = gm_cuda_at(s, GM_CUDA_QKV),
                               .x_stride = s->plan.width,
                               .stride = w->qkv.stride,
                               .out_stride = s->plan.qkv,
                               .n_rows = (int)step->n_rows,
                               .width = step->arch->width,
                               .n_out = (int)w->qkv.rows,
                               .epsilon = step->arch->norm_epsilon,
                               .factor = 1.0f,
                               .dtype = w->qkv.dtype};
    gm_cuda_note(s, gm_cuda_project_few(&s->how, &p), "query, key and value");
    if (w->delta)
        gm_cuda_delta_gates(step, w);
    else if (step->arch->latent.kv > 0)
        gm_cuda_latent_in(step, w);
}

static void attn(gm_worker *me, const gm_step *step, size_t layer, const gm_layer *w)
{
    (void)me, (void)layer;
    gm_cuda_session *s = step->own;
    if (w->delta) {
        gm_cuda_delta_attend(step, w);
        return;
    }
    if (step->arch->latent.kv > 0) {
        gm_cuda_latent_attend(step, w);
        return;
    }
    if (!s->few) {
        gm_cuda_attn_many(step, w);
        return;
    }
    const gm_cuda_attention p = gm_cuda_attention_of(step, w);
    gm_cuda_note(s, gm_cuda_attend_few(&s->how, &p), "attention");
}

static void attn_out(gm_worker *me, const gm_step *step, size_t layer, const gm_layer *w)
{
    (void)me, (void)layer;
    gm_cuda_session *s = step->own;
    if (step->arch->latent.kv > 0 && !w->delta) gm_cuda_latent_out(step, w);
    if (!s->few) {
        gm_cuda_attn_out_many(step, w);
        return;
    }
    const bool normed = w->attn_out_norm.address != NULL;
    const gm_cuda_project p = {.x = gm_cuda_at(s, GM_CUDA_HEADS),
                               .matrix = w->o.address,
                               .bias = w->o_bias.address,
                               .out = gm_cuda_output(s, &w->attn_out_norm),
                               .x_stride = s->plan.heads,
                               .stride = w->o.stride,
                               .out_stride = s->plan.width,
                               .n_rows = (int)step->n_rows,
                               .width = (int)w->o.cols,
                               .n_out = (int)w->o.rows,
                               .factor = normed ? 1.0f : step->arch->residual_scale,
                               .dtype = w->o.dtype,
                               .add = !normed};
    gm_cuda_note(s, gm_cuda_project_few(&s->how, &p), "the output of attention");
    gm_cuda_add_given(step, &w->attn_out_norm);
}

/* ---- experts ---- */

static void route(gm_worker *me, const gm_step *step, size_t layer, const gm_layer *w)
{
    (void)me, (void)layer;
    gm_cuda_session *s = step->own;
    if (!s->few) {
        gm_cuda_route_many_rows(step, w);
    } else if (w->moe >= 0) { /* a dense layer's norm is moe_in's */
        const gm_cuda_route p = gm_cuda_route_of(step, w);
        const gm_cuda_experts always = gm_cuda_experts_of(step, w);
        gm_cuda_note(s, gm_cuda_route_few(&s->how, &p, &always), "routing");
    }
}

static void moe_in(gm_worker *me, const gm_step *step, size_t layer, const gm_layer *w)
{
    (void)me, (void)layer;
    gm_cuda_session *s = step->own;
    if (!s->few) {
        gm_cuda_moe_in_many(step, w);
        return;
    }
    const gm_cuda_experts p = gm_cuda_experts_of(step, w);
    gm_cuda_note(s, gm_cuda_gate_up_few(&s->how, &p), "gate and up");
}

static void moe_out(gm_worker *me, const gm_step *step, size_t layer, const gm_layer *w)
{
    (void)me, (void)layer;
    gm_cuda_session *s = step->own;
    if (!s->few) {
        gm_cuda_moe_out_many(step, w);
        return;
    }
    if (w->expert_out_norm.address) {
        gm_cuda_down_separate(step, w);
        gm_cuda_add_normed_rows(step, w);
        return;
    }
    const gm_cuda_experts p = gm_cuda_experts_of(step, w);
    gm_cuda_note(s, gm_cuda_down_few(&s->how, &p), "down");
    gm_cuda_add_given(step, &w->mlp_out_norm);
}

/* ---- head ---- */

static size_t head_rows(const gm_step *step, size_t block)
{
    const size_t left = step->n_head - block * GM_HEAD_ROWS;
    return left < GM_HEAD_ROWS ? left : GM_HEAD_ROWS;
}

/* The device's head rows; step->head is the host's. */
static const gm_cuda_head *device_head(const gm_step *step, size_t block)
{
    const gm_cuda_session *s = step->own;
    const char *data = gm_cuda_at(s, GM_CUDA_STEP_DATA);
    const size_t at = gm_cuda_plan_step(step->n_rows, step->n_head, 0, 0).head;
    return (const gm_cuda_head *)(const void *)(data + at) + block * GM_HEAD_ROWS;
}

static gm_cuda_finish finish_of(const gm_step *step, size_t block)
{
    const gm_cuda_session *s = step->own;
    return (gm_cuda_finish){.head = device_head(step, block),
                            .row = step->row,
                            .logits = gm_cuda_at(s, GM_CUDA_LOGITS),
                            .weight = gm_cuda_at(s, GM_CUDA_WEIGHT),
                            .seen = gm_cuda_at(s, GM_CUDA_SEEN),
                            .best = gm_cuda_at(s, GM_CUDA_BEST),
                            .ticket = gm_cuda_at(s, GM_CUDA_ARRIVED),
                            .token = gm_cuda_at(s, GM_CUDA_TOKENS),
                            .block = gm_cuda_at(s, GM_CUDA_BLOCKS),
                            .nll = (float *)(void *)(s->result + s->at.nll),
                            .sampled = (uint32_t *)(void *)(s->result + s->at.sampled),
                            .stride = s->plan.vocab,
                            .seen_words = s->plan.seen_words,
                            .blocks_per_sequence = s->kv->blocks_per_sequence,
                            .n = (int)head_rows(step, block),
                            .vocab = step->arch->vocab};
}

/* Logits that the caller wants leave before sampling changes them. */
static void send_logits(gm_cuda_session *s, size_t n)
{
    gm_cuda_note(s,
                 cudaMemcpyAsync(s->logits, gm_cuda_at(s, GM_CUDA_LOGITS),
                                 n * s->plan.vocab * sizeof *s->logits, cudaMemcpyDeviceToHost,
                                 s->stream),
                 "fetching logits");
}

/* Logits by the kernel of few rows, some rows at a time. */
static void head_few(const gm_step *step, const gm_cuda_finish *finish)
{
    gm_cuda_session *s = step->own;
    const gm_weights *w = step->weights;
    gm_cuda_project p = {.x = gm_cuda_at(s, GM_CUDA_RESIDUAL),
                         .norm = w->final_norm.address,
                         .norm_bias = gm_cuda_norm_bias(&w->final_norm),
                         .matrix = w->head.address,
                         .bias = w->head_bias.address,
                         .x_stride = s->plan.width,
                         .stride = w->head.stride,
                         .out_stride = s->plan.vocab,
                         .width = step->arch->width,
                         .n_out = (int)w->head.rows,
                         .epsilon = step->arch->norm_epsilon,
                         .factor = step->arch->logits_scale,
                         .dtype = w->head.dtype};
    for (int first = 0; first < finish->n; first += s->plan.few) {
        p.head = finish->head + first;
        p.out = finish->logits + (size_t)first * s->plan.vocab;
        p.n_rows = finish->n - first < s->plan.few ? finish->n - first : s->plan.few;
        gm_cuda_note(s, gm_cuda_project_few(&s->how, &p), "the head");
    }
}

static void head(gm_worker *me, const gm_step *step, size_t block)
{
    (void)me;
    gm_cuda_session *s = step->own;
    const gm_cuda_finish finish = finish_of(step, block);
    if (finish.n <= s->plan.few || gm_is_scaled(step->weights->head.dtype))
        head_few(step, &finish);
    else
        gm_cuda_head_many(step, finish.head, (size_t)finish.n);
    if (step->arch->logits_cap > 0.0f)
        gm_cuda_note(s, gm_cuda_cap_rows(&s->how, &finish, step->arch->logits_cap),
                     "capping logits");
    if (step->result && step->result->nll)
        gm_cuda_note(s, gm_cuda_nll_rows(&s->how, &finish), "nll");
    if (s->wants_logits) send_logits(s, (size_t)finish.n);
    if (s->wants_logits && !s->few) { /* the next block needs their place */
        gm_cuda_note(s, cudaStreamSynchronize(s->stream), "fetching logits");
        gm_cuda_deliver_logits(step, block);
    }
}

static void sample(gm_worker *me, const gm_step *step, size_t block)
{
    (void)me;
    gm_cuda_session *s = step->own;
    const gm_cuda_finish finish = finish_of(step, block);
    gm_cuda_how how = s->how;
    if (s->wants_logits) how.early = false; /* a copy comes before it, no kernel */
    if (step->result && step->result->sampled)
        gm_cuda_note(s, gm_cuda_sample_rows(&how, &finish), "sampling");
}

/* Few rows: results go to the host's ring, and the rows become the next step's. */
static void record_drain(gm_worker *me, const gm_step *step)
{
    (void)me;
    gm_cuda_session *s = step->own;
    if (!s->few) return; /* copied layer by layer */
    const gm_cuda_publish p = {
        .result = s->result,
        .ring = s->ring,
        .arrived = s->arrived,
        .step = gm_cuda_at(s, GM_CUDA_COUNTER),
        .row = step->row,
        .head = device_head(step, 0),
        .sampled = (const uint32_t *)(const void *)(s->result + s->at.sampled),
        .bytes = s->at.bytes,
        .slot_bytes = gm_cuda_plan_results(s->arch, (size_t)s->plan.few, true, true).bytes,
        .n_head = step->result && step->result->sampled ? (int)step->n_head : 0};
    gm_cuda_how how = s->how;
    if (s->wants_logits && p.n_head == 0) how.early = false; /* after a copy, as in sample */
    gm_cuda_note(s, gm_cuda_publish_step(&how, &p), "handing over the results");
}

static gm_status gpu_describe(gm_gpu_info *out)
{
    gm_gpus gpus;
    gm_cuda_device device;
    gm_status status = gm_cuda_gpus_find(&gpus, NULL);
    if (status == GM_OK) status = gm_cuda_device_look(&device, gpus.index[0], NULL);
    if (status != GM_OK) return status;
    memcpy(out->name, device.name, sizeof out->name);
    out->memory = device.memory;
    return GM_OK;
}

static const gm_accelerator accelerator = {
    .gpus_find = gm_cuda_gpus_find,
    .gpu_describe = gpu_describe,
    .weights_load = gm_cuda_weights_load,
    .weights_free = gm_cuda_weights_free,
    .session_create = gm_cuda_session_create,
    .session_free = gm_cuda_session_free,
    .session_bytes = gm_cuda_session_bytes,
    .edits_set = gm_cuda_edits_set,
    .step = gm_cuda_step,
    .decodes = gm_cuda_decodes,
    .decode = gm_cuda_decode,
    .launches = gm_cuda_launches,
    .measure = gm_cuda_measure,
};

const gm_ops gm_cuda_ops = {
    .name = "cuda",
    .layer_acquire = layer_acquire,
    .layer_release = layer_release,
    .embed = embed,
    .attn_in = attn_in,
    .attn = attn,
    .attn_out = attn_out,
    .route = route,
    .moe_in = moe_in,
    .moe_out = moe_out,
    .head = head,
    .sample = sample,
    .record_drain = record_drain,
    .accelerator = &accelerator,
};
