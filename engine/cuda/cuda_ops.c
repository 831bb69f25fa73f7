/* cuda_ops.c - the table of operations on a GPU: each enqueues the kernels of few rows, or hands
 * over to cuda_many.c. */
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

gm_cuda_attention gm_cuda_attention_of(const gm_step *step, const gm_layer *w)
{
    const gm_cuda_session *s = step->own;
    const gm_cuda_plan *plan = &s->plan;
    const gm_arch *arch = step->arch;
    const float *qkv = gm_cuda_at(s, GM_CUDA_QKV);
    return (gm_cuda_attention){
        .row = step->row,
        .qkv = qkv,
        .sinks = w->sinks.address,
        .q_norm = w->q_norm.address,
        .k_norm = w->k_norm.address,
        .cosine = gm_cuda_at(s, GM_CUDA_COSINE),
        .sine = gm_cuda_at(s, GM_CUDA_SINE),
        .block = gm_cuda_at(s, GM_CUDA_BLOCKS),
        .gate = arch->gated_attention ? qkv + plan->at_gate : NULL,
        .k = (char *)gm_cuda_at(s, GM_CUDA_KEYS) + w->nth * plan->kv_layer_bytes,
        .v = (char *)gm_cuda_at(s, GM_CUDA_VALUES) + w->nth * plan->kv_layer_bytes,
        .query = gm_cuda_at(s, GM_CUDA_QUERY),
        .heads = gm_cuda_at(s, GM_CUDA_HEADS),
        .part = gm_cuda_at(s, GM_CUDA_PART),
        .ticket = gm_cuda_at(s, GM_CUDA_TICKET),
        .qkv_stride = plan->qkv,
        .angle_stride = plan->angle,
        .head_stride = plan->head,
        .heads_stride = plan->heads,
        .blocks_per_sequence = s->kv->blocks_per_sequence,
        .n_rows = (int)step->n_rows,
        .n_heads = arch->n_heads,
        .n_kv_heads = arch->n_kv_heads,
        .head_dim = arch->head_dim,
        .rotary_dim = (int)arch->rope.dim,
        .at_k = (int)plan->at_k,
        .at_v = (int)plan->at_v,
        .n_splits = gm_cuda_splits(plan->n_splits, w->window),
        .window = (int)w->window,
        .scale = arch->attention_scale,
        .clip = arch->clip_qkv,
        .epsilon = arch->norm_epsilon,
        .norm_whole = arch->qk_norm == GM_QK_NORM_FULL,
        .norm_last = arch->qk_norm_last,
        .neighbours = arch->rope.neighbours,
        .wide = s->wide,
    };
}

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
    if (step->arch->latent.kv > 0) gm_cuda_latent_in(step, w);
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
    if (step->arch->latent.kv > 0) gm_cuda_latent_out(step, w);
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

/* ---- router ---- */

/* Where the record of a layer lies among the step's results. */
static gm_cuda_record record_of(const gm_cuda_session *s, size_t moe, size_t n_rows)
{
    const size_t k = (size_t)s->arch->n_chosen, e = (size_t)s->arch->n_experts;
    const size_t row = moe * n_rows;
    gm_cuda_record r = {0};
    if (s->record) {
        r.expert = (uint16_t *)(void *)(s->result + s->at.expert) + row * k;
        r.gate = (float *)(void *)(s->result + s->at.gate) + row * k;
        r.mass = (float *)(void *)(s->result + s->at.mass) + row;
        r.margin = (float *)(void *)(s->result + s->at.margin) + row;
    }
    if (s->router_logits) r.logits = (float *)(void *)(s->result + s->at.logits) + row * e;
    return r;
}

float *gm_cuda_share_of(const gm_cuda_session *s, const gm_layer *w)
{
    return s->arch->gated_shared && w->moe >= 0 ? gm_cuda_at(s, GM_CUDA_SHARE) : NULL;
}

gm_cuda_route gm_cuda_route_of(const gm_step *step, const gm_layer *w)
{
    const gm_cuda_session *s = step->own;
    const gm_arch *arch = step->arch;
    return (gm_cuda_route){
        .row = step->row,
        .edits = gm_cuda_at(s, GM_CUDA_EDITS),
        .x = gm_cuda_at(s, GM_CUDA_RESIDUAL),
        .norm = w->mlp_norm.address,
        .norm_bias = gm_cuda_norm_bias(&w->mlp_norm),
        .matrix = w->router.address,
        .bias = w->router_bias.address,
        .correction = w->correction.address,
        .logits = gm_cuda_at(s, GM_CUDA_ROUTER),
        .expert = gm_cuda_at(s, GM_CUDA_EXPERT),
        .gate = gm_cuda_at(s, GM_CUDA_GATE),
        .share = gm_cuda_share_of(s, w),
        .bad = (uint8_t *)s->result + s->at.bad,
        .ticket = (unsigned *)gm_cuda_at(s, GM_CUDA_TICKET) + GM_CUDA_FEW * (size_t)arch->n_heads,
        .record = record_of(s, (size_t)w->moe, step->n_rows),
        .x_stride = s->plan.width,
        .stride = w->router.stride,
        .logits_stride = s->plan.experts,
        .n_rows = (int)step->n_rows,
        .width = arch->width,
        .n_experts = arch->n_experts,
        .n_outputs = (int)w->router.rows,
        .n_chosen = arch->n_chosen,
        .moe = w->moe,
        .n_moe = arch->n_moe,
        .epsilon = arch->norm_epsilon,
        .desc = arch->router,
    };
}

/* ---- experts ---- */

gm_cuda_experts gm_cuda_experts_of(const gm_step *step, const gm_layer *w)
{
    const gm_cuda_session *s = step->own;
    const gm_arch *arch = step->arch;
    return (gm_cuda_experts){
        .x = gm_cuda_at(s, GM_CUDA_RESIDUAL),
        .norm = w->mlp_norm.address,
        .norm_bias = gm_cuda_norm_bias(&w->mlp_norm),
        .out = gm_cuda_output(s, &w->mlp_out_norm),
        .expert = gm_cuda_at(s, GM_CUDA_EXPERT),
        .gate = gm_cuda_at(s, GM_CUDA_GATE),
        .share = gm_cuda_share_of(s, w),
        .gate_up = w->expert.gate_up.address,
        .down = w->expert.down.address,
        .gate_up_bytes = w->expert.gate_up.item_bytes,
        .down_bytes = w->expert.down.item_bytes,
        .in_bias = w->expert_in_bias.address,
        .out_bias = w->expert_out_bias.address,
        .always_gate_up = w->always.gate_up.address,
        .always_down = w->always.down.address,
        .hidden = gm_cuda_at(s, GM_CUDA_HIDDEN),
        .always = gm_cuda_at(s, GM_CUDA_ALWAYS),
        .x_stride = s->plan.width,
        .d_stride = s->plan.width,
        .f_stride = s->plan.expert_width,
        .a_stride = w->always.down.stride,
        .in_stride = w->expert_in_bias.stride,
        .out_stride = w->expert_out_bias.stride,
        .n_rows = (int)step->n_rows,
        .width = arch->width,
        .n_chosen = w->moe >= 0 ? arch->n_chosen : 0,
        .expert_width = arch->expert_width,
        .always_width = (int)w->always.width,
        .piece = gm_cuda_piece(arch->expert_width),
        .always_piece = gm_cuda_piece((int)w->always.width),
        .activation = arch->activation,
        .scale = arch->router.scale,
        .residual_scale = arch->residual_scale,
        .epsilon = arch->norm_epsilon,
        .dtype = w->moe >= 0 ? w->expert.gate_up.dtype : gm_weights_dtype(step->weights->numerics),
        .add = w->mlp_out_norm.address == NULL,
    };
}

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
