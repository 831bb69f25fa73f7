/* cuda_tell.c - what the kernels of attention, the router and the experts are told of a step and a
 * layer, whether its rows are few or many.
 */
#include "engine/cuda/cuda_session.h"

gm_cuda_attention gm_cuda_attention_of(const gm_step *step, const gm_layer *w)
{
    const gm_cuda_session *s = step->own;
    const gm_cuda_plan *plan = &s->plan;
    const gm_arch *arch = step->arch;
    const float *qkv = gm_cuda_at(s, GM_CUDA_QKV);
    const gm_heads heads = gm_arch_heads(arch, w->global);
    const gm_cuda_head_sizes *of = &plan->of[w->global];
    const size_t at_layer = of->at_layers + w->nth * of->layer_bytes;
    return (gm_cuda_attention){
        .row = step->row,
        .qkv = qkv,
        .sinks = w->sinks.address,
        .q_norm = w->q_norm.address,
        .k_norm = w->k_norm.address,
        .cosine = (const float *)gm_cuda_at(s, GM_CUDA_COSINE) + of->at_angle,
        .sine = (const float *)gm_cuda_at(s, GM_CUDA_SINE) + of->at_angle,
        .block = gm_cuda_at(s, GM_CUDA_BLOCKS),
        .gate = arch->gated_attention ? qkv + of->at_gate : NULL,
        .k = (char *)gm_cuda_at(s, GM_CUDA_KEYS) + at_layer,
        .v = (char *)gm_cuda_at(s, GM_CUDA_VALUES) + at_layer,
        .query = gm_cuda_at(s, GM_CUDA_QUERY),
        .heads = gm_cuda_at(s, GM_CUDA_HEADS),
        .part = gm_cuda_at(s, GM_CUDA_PART),
        .ticket = gm_cuda_at(s, GM_CUDA_TICKET),
        .qkv_stride = plan->qkv,
        .angle_stride = of->angle,
        .head_stride = of->head,
        .heads_stride = plan->heads,
        .blocks_per_sequence = s->kv->blocks_per_sequence,
        .n_rows = (int)step->n_rows,
        .n_heads = arch->n_heads,
        .n_kv_heads = (int)heads.kv,
        .head_dim = (int)heads.key,
        .value_dim = (int)heads.value,
        .rotary_dim = (int)heads.rope->dim,
        .at_k = (int)of->at_k,
        .at_v = (int)of->at_v,
        .n_splits = gm_cuda_splits(plan->n_splits, w->window),
        .window = (int)w->window,
        .chunked = arch->chunked,
        .scale = arch->attention_scale,
        .clip = arch->clip_qkv,
        .epsilon = arch->norm_epsilon,
        .norm_whole = arch->qk_norm == GM_QK_NORM_FULL,
        .norm_last = arch->qk_norm_last,
        .norm_unit = arch->qk_norm == GM_QK_NORM_UNIT && heads.rope->dim > 0,
        .grows = heads.growth->rate > 0.0f,
        .norm_values = arch->v_norm,
        .value_scale = arch->value_scale,
        .neighbours = arch->rope.neighbours,
        .wide = s->wide,
    };
}

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
    const gm_buf *norm = w->router_norm.address ? &w->router_norm : &w->mlp_norm;
    return (gm_cuda_route){
        .row = step->row,
        .edits = gm_cuda_at(s, GM_CUDA_EDITS),
        .x = gm_cuda_at(s, GM_CUDA_RESIDUAL),
        .norm = norm->address,
        .norm_bias = gm_cuda_norm_bias(norm),
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

gm_cuda_experts gm_cuda_experts_of(const gm_step *step, const gm_layer *w)
{
    const gm_cuda_session *s = step->own;
    const gm_arch *arch = step->arch;
    const bool apart = w->always_norm.address != NULL;
    return (gm_cuda_experts){
        .x = gm_cuda_at(s, GM_CUDA_RESIDUAL),
        .norm = w->mlp_norm.address,
        .norm_bias = gm_cuda_norm_bias(&w->mlp_norm),
        .always_norm = apart ? w->always_norm.address : w->mlp_norm.address,
        .always_norm_bias = apart ? NULL : gm_cuda_norm_bias(&w->mlp_norm),
        .out = gm_cuda_output(s, &w->mlp_out_norm),
        .expert = gm_cuda_at(s, GM_CUDA_EXPERT),
        .gate = arch->router.scales_input ? NULL : gm_cuda_at(s, GM_CUDA_GATE),
        .in_gate = arch->router.scales_input ? gm_cuda_at(s, GM_CUDA_GATE) : NULL,
        .share = gm_cuda_share_of(s, w),
        .scales = w->expert_scale.address,
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
        .units = arch->activation.squared ? 2 : 1,
        .expert_pairs = (int)w->expert.gate_up.rows / 2,
        .always_pairs = (int)w->always.gate_up.rows / 2,
        .expert_apart = arch->activation.squared ? 1 : arch->expert_width,
        .always_apart = arch->activation.squared ? 1 : (int)w->always.width,
        .piece = gm_cuda_piece(arch->expert_width),
        .always_piece = gm_cuda_piece((int)w->always.width),
        .activation = arch->activation,
        .scale = arch->router.scale,
        .always_scale = gm_cuda_always_scale(arch, w),
        .residual_scale = arch->residual_scale,
        .epsilon = arch->norm_epsilon,
        .dtype = w->moe >= 0 ? w->expert.gate_up.dtype : gm_weights_dtype(step->weights->numerics),
        .add = w->mlp_out_norm.address == NULL,
    };
}
