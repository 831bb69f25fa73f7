/* cuda_many.c - the operations on steps of many rows: cuBLAS for the products, kernels between
 * them.
 *
 * The host has to know how many rows each expert has, so it waits once a layer for 4 (E + 1)
 * bytes; everything else is enqueued after it. Experts' products go round-robin to a few
 * streams, so that the last wave of one is filled by the next. Their shapes depend on the step,
 * and with them cuBLAS's order of summation: these results are level A (engine/engine.h)
 * (same step, same bytes), not level B.
 */
#include "engine/cuda/cuda_session.h"

#include <string.h>

static void multiply(gm_cuda_session *s, int lane, const gm_cuda_product *p)
{
    if (s->status == GM_OK) s->status = gm_cuda_multiply(&s->blas, lane, p, &s->error);
}

/* The result of 8 bits is scaled; one that is to be added goes by way of ALWAYS_WIDE. */
void gm_cuda_multiply_weights(gm_cuda_session *s, int lane, const gm_buf *w, size_t item,
                              void *widened, gm_cuda_product p)
{
    const size_t count = p.count ? p.count : 1;
    cudaStream_t stream = lane == GM_CUDA_MAIN ? s->stream : s->lane[lane];
    const char *matrix = (const char *)w->address + item * w->item_bytes;
    const gm_cuda_how how = {.stream = stream, .multiprocessors = s->how.multiprocessors};
    const bool scaled = gm_is_scaled(w->dtype), widens = scaled || w->dtype == GM_U8;
    gm_cuda_scale scale = {.to = p.c,
                           .matrix = matrix,
                           .to_stride = p.ldc,
                           .stride = w->stride,
                           .apart = p.apart_c,
                           .n_rows = (int)p.m,
                           .n_out = (int)(w->rows / count),
                           .count = (int)count,
                           .add = p.add,
                           .dtype = w->dtype};
    p.b = widens ? widened : matrix;
    p.n = w->rows / count, p.k = w->cols, p.ldb = w->stride;
    p.apart_b = p.n * w->stride;
    p.wide = w->dtype == GM_F32;
    if (p.m == 0) return;
    if (widens) {
        const gm_cuda_widen widen = {
            .from = matrix, .to = widened, .n = w->rows * w->stride, .dtype = w->dtype};
        gm_cuda_note(s, gm_cuda_widen_weights(&how, &widen), "widening weights");
    }
    if (scaled && p.add) {
        p.c = gm_cuda_at(s, GM_CUDA_ALWAYS_WIDE), p.ldc = s->plan.always_wide;
        p.add = false;
    }
    multiply(s, lane, &p);
    scale.from = p.c, scale.from_stride = p.ldc;
    if (scaled) gm_cuda_note(s, gm_cuda_scale_rows(&how, &scale), "scaling a product");
}

/* Rows of the residual through a norm: rounded for products, exact for the router, or both. */
static void norm_rows(gm_cuda_session *s, size_t n_rows, const gm_buf *weight, bool products,
                      bool exact)
{
    const gm_cuda_norm p = {.x = gm_cuda_at(s, GM_CUDA_RESIDUAL),
                            .norm = weight->address,
                            .norm_bias = gm_cuda_norm_bias(weight),
                            .rounded = products ? gm_cuda_at(s, GM_CUDA_NORM) : NULL,
                            .exact = exact ? gm_cuda_at(s, GM_CUDA_NORM_EXACT) : NULL,
                            .x_stride = s->plan.width,
                            .rounded_stride = s->plan.width,
                            .exact_stride = s->plan.width,
                            .n_rows = (int)n_rows,
                            .width = s->arch->width,
                            .epsilon = s->arch->norm_epsilon,
                            .wide = s->wide};
    gm_cuda_note(s, gm_cuda_norm_rows(&s->how, &p), "a norm");
}

void gm_cuda_add_given(const gm_step *step, const gm_buf *norm)
{
    gm_cuda_session *s = step->own;
    if (norm->address == NULL) return;
    const gm_cuda_norm p = {.x = gm_cuda_at(s, GM_CUDA_GIVEN),
                            .norm = norm->address,
                            .exact = gm_cuda_at(s, GM_CUDA_RESIDUAL),
                            .x_stride = s->plan.width,
                            .exact_stride = s->plan.width,
                            .n_rows = (int)step->n_rows,
                            .width = s->arch->width,
                            .epsilon = s->arch->norm_epsilon,
                            .factor = s->arch->residual_scale,
                            .wide = s->wide};
    gm_cuda_note(s, gm_cuda_norm_rows(&s->how, &p), "the norm of outputs");
}

/* ---- attention ---- */

void gm_cuda_attn_in_many(const gm_step *step, const gm_layer *w)
{
    gm_cuda_session *s = step->own;
    norm_rows(s, step->n_rows, &w->attn_norm, true, false);
    gm_cuda_multiply_weights(s, GM_CUDA_MAIN, &w->qkv, 0, gm_cuda_at(s, GM_CUDA_WIDENED),
                             (gm_cuda_product){.a = gm_cuda_at(s, GM_CUDA_NORM),
                                               .c = gm_cuda_at(s, GM_CUDA_QKV),
                                               .m = step->n_rows,
                                               .lda = s->plan.width,
                                               .ldc = s->plan.qkv,
                                               .factor = 1.0f});
    if (w->qkv_bias.address)
        gm_cuda_note(s,
                     gm_cuda_add_bias(&s->how, gm_cuda_at(s, GM_CUDA_QKV), w->qkv_bias.address,
                                      1.0f, s->plan.qkv, (int)step->n_rows, (int)w->qkv.rows),
                     "a bias");
    if (w->delta) {
        gm_cuda_delta_gates(step, w);
        gm_cuda_delta_in_many(step, w);
        return;
    }
    if (step->arch->latent.kv > 0) {
        gm_cuda_latent_in(step, w);
        return;
    }
    const gm_cuda_attention p = gm_cuda_attention_of(step, w);
    gm_cuda_note(s, gm_cuda_append_many(&s->how, &p), "the cache");
}

void gm_cuda_attn_many(const gm_step *step, const gm_layer *w)
{
    gm_cuda_session *s = step->own;
    const gm_cuda_attention p = gm_cuda_attention_of(step, w);
    gm_cuda_note(s, gm_cuda_attend_many(&s->how, &p, step->tile, (int)step->n_tiles), "attention");
}

void gm_cuda_attn_out_many(const gm_step *step, const gm_layer *w)
{
    gm_cuda_session *s = step->own;
    const bool normed = w->attn_out_norm.address != NULL;
    const float factor = normed ? 1.0f : s->arch->residual_scale;
    float *out = gm_cuda_output(s, &w->attn_out_norm);
    const gm_cuda_norm p = {.x = gm_cuda_at(s, GM_CUDA_HEADS),
                            .rounded = gm_cuda_at(s, GM_CUDA_HEADS_ROUNDED),
                            .x_stride = s->plan.heads,
                            .rounded_stride = s->plan.heads,
                            .n_rows = (int)step->n_rows,
                            .width = (int)w->o.cols,
                            .wide = s->wide};
    if (!w->delta) gm_cuda_note(s, gm_cuda_norm_rows(&s->how, &p), "rounding heads");
    gm_cuda_multiply_weights(s, GM_CUDA_MAIN, &w->o, 0, gm_cuda_at(s, GM_CUDA_WIDENED),
                             (gm_cuda_product){.a = gm_cuda_at(s, GM_CUDA_HEADS_ROUNDED),
                                               .c = out,
                                               .m = step->n_rows,
                                               .lda = s->plan.heads,
                                               .ldc = s->plan.width,
                                               .factor = factor,
                                               .add = !normed});
    if (w->o_bias.address)
        gm_cuda_note(s,
                     gm_cuda_add_bias(&s->how, out, w->o_bias.address, factor, s->plan.width,
                                      (int)step->n_rows, (int)w->o.rows),
                     "a bias");
    gm_cuda_add_given(step, &w->attn_out_norm);
}

/* ---- router ---- */

/* This layer's part of the record leaves on a stream of its own while the next layers compute. */
static void send_record(gm_cuda_session *s, size_t moe, size_t n_rows)
{
    const size_t k = (size_t)s->arch->n_chosen, e = (size_t)s->arch->n_experts;
    const struct {
        bool wanted;
        size_t at, bytes;
    } part[] = {
        {s->record, s->at.expert, n_rows * k * sizeof(uint16_t)},
        {s->record, s->at.gate, n_rows * k * sizeof(float)},
        {s->record, s->at.mass, n_rows * sizeof(float)},
        {s->record, s->at.margin, n_rows * sizeof(float)},
        {s->router_logits, s->at.logits, n_rows * e * sizeof(float)},
    };
    if (!s->record && !s->router_logits) return;
    gm_cuda_note(s, cudaEventRecord(s->routed, s->stream), "the record");
    gm_cuda_note(s, cudaStreamWaitEvent(s->copies, s->routed, 0), "the record");
    for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
        const size_t at = part[i].at + moe * part[i].bytes;
        if (part[i].wanted)
            gm_cuda_note(s,
                         cudaMemcpyAsync(s->ring + at, s->result + at, part[i].bytes,
                                         cudaMemcpyDeviceToHost, s->copies),
                         "the record");
    }
}

void gm_cuda_route_many_rows(const gm_step *step, const gm_layer *w)
{
    gm_cuda_session *s = step->own;
    const bool own = w->router_norm.address != NULL;
    norm_rows(s, step->n_rows, &w->mlp_norm, true, w->moe >= 0 && !own);
    if (own) norm_rows(s, step->n_rows, &w->router_norm, false, true);
    if (w->moe < 0) return;
    multiply(s, GM_CUDA_MAIN,
             &(gm_cuda_product){.a = gm_cuda_at(s, GM_CUDA_NORM_EXACT),
                                .b = w->router.address,
                                .c = gm_cuda_at(s, GM_CUDA_ROUTER),
                                .m = step->n_rows,
                                .n = w->router.rows,
                                .k = w->router.cols,
                                .lda = s->plan.width,
                                .ldb = w->router.stride,
                                .ldc = s->plan.experts,
                                .factor = 1.0f,
                                .wide = true});
    const gm_cuda_route p = gm_cuda_route_of(step, w);
    gm_cuda_note(s, gm_cuda_route_many(&s->how, &p), "routing");
    send_record(s, (size_t)w->moe, step->n_rows);
    const gm_cuda_group group = {.expert = p.expert,
                                 .slot = gm_cuda_at(s, GM_CUDA_SLOT),
                                 .slot_row = gm_cuda_at(s, GM_CUDA_SLOT_ROW),
                                 .count = gm_cuda_at(s, GM_CUDA_COUNT),
                                 .first = gm_cuda_at(s, GM_CUDA_FIRST),
                                 .n_choices = (int)step->n_rows * p.n_chosen,
                                 .n_chosen = p.n_chosen,
                                 .n_experts = p.n_experts};
    gm_cuda_note(s, gm_cuda_group_rows(&s->how, &group), "grouping by expert");
    gm_cuda_note(s,
                 cudaMemcpyAsync(s->first, group.first, s->plan.bytes[GM_CUDA_FIRST],
                                 cudaMemcpyDeviceToHost, s->stream),
                 "counting rows");
    gm_cuda_note(s, cudaEventRecord(s->ready, s->stream), "counting rows");
}

/* ---- experts ---- */

/* Lanes begin when what the main stream has enqueued is done, and it goes on when they are. */
static void fork_lanes(gm_cuda_session *s)
{
    gm_cuda_note(s, cudaEventRecord(s->fork, s->stream), "forking");
    for (int i = 0; i < GM_CUDA_LANES; i++)
        gm_cuda_note(s, cudaStreamWaitEvent(s->lane[i], s->fork, 0), "forking");
}

static void join_lanes(gm_cuda_session *s)
{
    for (int i = 0; i < GM_CUDA_LANES; i++) {
        gm_cuda_note(s, cudaEventRecord(s->join[i], s->lane[i]), "joining");
        gm_cuda_note(s, cudaStreamWaitEvent(s->stream, s->join[i], 0), "joining");
    }
}

/* One of a layer's two products: of the MLP that all rows take, and of every expert with its
 * rows, which lie one after the other. */
typedef struct moe_product {
    const gm_buf *always, *expert; /* weights */
    const void *always_from, *from;
    size_t always_lda, lda; /* elements */
} moe_product;

static void multiply_all(gm_cuda_session *s, const moe_product *m, size_t n_rows)
{
    const size_t size = s->wide ? sizeof(float) : sizeof(uint16_t);
    int lane = 0;
    fork_lanes(s);
    if (m->always->address) {
        gm_cuda_multiply_weights(s, lane, m->always, 0, gm_cuda_at(s, GM_CUDA_WIDENED),
                                 (gm_cuda_product){.a = m->always_from,
                                                   .c = gm_cuda_at(s, GM_CUDA_ALWAYS_WIDE),
                                                   .m = n_rows,
                                                   .lda = m->always_lda,
                                                   .ldc = s->plan.always_wide,
                                                   .factor = 1.0f});
        lane = (lane + 1) % GM_CUDA_LANES;
    }
    for (size_t e = 0; m->expert->address && e < m->expert->count; e++) {
        const size_t first = (size_t)s->first[e], n = (size_t)s->first[e + 1] - first;
        if (n == 0) continue;
        gm_cuda_multiply_weights(
            s, lane, m->expert, e,
            (uint16_t *)gm_cuda_at(s, GM_CUDA_WIDENED_EXPERT) +
                (size_t)lane * s->plan.widened_expert,
            (gm_cuda_product){.a = (const char *)m->from + first * m->lda * size,
                              .c = (float *)gm_cuda_at(s, GM_CUDA_WIDE) + first * s->plan.wide,
                              .m = n,
                              .lda = m->lda,
                              .ldc = s->plan.wide,
                              .factor = 1.0f});
        lane = (lane + 1) % GM_CUDA_LANES;
    }
    join_lanes(s);
}

static void swiglu(gm_cuda_session *s, const gm_cuda_swiglu *p)
{
    gm_cuda_note(s, gm_cuda_swiglu_rows(&s->how, p), "gating");
}

void gm_cuda_moe_in_many(const gm_step *step, const gm_layer *w)
{
    gm_cuda_session *s = step->own;
    const size_t size = s->wide ? sizeof(float) : sizeof(uint16_t);
    const int most = (int)step->n_rows * step->arch->n_chosen;
    const int32_t *first = gm_cuda_at(s, GM_CUDA_FIRST);
    const bool scales = step->arch->router.scales_input;
    if (w->moe >= 0) {
        const gm_cuda_gather p = {.from = gm_cuda_at(s, GM_CUDA_NORM),
                                  .to = gm_cuda_at(s, GM_CUDA_GATHERED),
                                  .index = gm_cuda_at(s, GM_CUDA_SLOT_ROW),
                                  .n = first + step->arch->n_experts,
                                  .row_bytes = s->plan.width * size,
                                  .most = most};
        gm_cuda_note(s, gm_cuda_gather_rows(&s->how, &p), "gathering rows");
        gm_cuda_note(s, cudaEventSynchronize(s->ready), "counting rows");
        if (s->status != GM_OK) return; /* s->first holds nothing to rely on */
    }
    if (w->always_norm.address) /* the experts' rows have been gathered */
        norm_rows(s, step->n_rows, &w->always_norm, true, false);
    multiply_all(s,
                 &(moe_product){.always = &w->always.gate_up,
                                .expert = &w->expert.gate_up,
                                .always_from = gm_cuda_at(s, GM_CUDA_NORM),
                                .from = gm_cuda_at(s, GM_CUDA_GATHERED),
                                .always_lda = s->plan.width,
                                .lda = s->plan.width},
                 step->n_rows);
    if (w->always.width)
        swiglu(s, &(gm_cuda_swiglu){.gate_up = gm_cuda_at(s, GM_CUDA_ALWAYS_WIDE),
                                    .hidden = gm_cuda_at(s, GM_CUDA_ALWAYS),
                                    .stride = s->plan.always_wide,
                                    .hidden_stride = s->plan.always_width,
                                    .most = (int)step->n_rows,
                                    .width = (int)w->always.width,
                                    .activation = step->arch->activation,
                                    .wide = s->wide});
    if (w->moe >= 0)
        swiglu(s, &(gm_cuda_swiglu){.gate_up = gm_cuda_at(s, GM_CUDA_WIDE),
                                    .bias = w->expert_in_bias.address,
                                    .hidden = gm_cuda_at(s, GM_CUDA_HIDDEN),
                                    .first = first,
                                    .gate = scales ? gm_cuda_at(s, GM_CUDA_GATE) : NULL,
                                    .slot = gm_cuda_at(s, GM_CUDA_SLOT),
                                    .slot_row = gm_cuda_at(s, GM_CUDA_SLOT_ROW),
                                    .stride = s->plan.wide,
                                    .bias_stride = w->expert_in_bias.stride,
                                    .hidden_stride = s->plan.expert_width,
                                    .most = most,
                                    .width = step->arch->expert_width,
                                    .n_experts = step->arch->n_experts,
                                    .n_chosen = step->arch->n_chosen,
                                    .activation = step->arch->activation,
                                    .wide = s->wide});
}

void gm_cuda_moe_out_many(const gm_step *step, const gm_layer *w)
{
    gm_cuda_session *s = step->own;
    const bool apart = w->expert_out_norm.address != NULL;
    if (s->status != GM_OK) return;
    multiply_all(s,
                 &(moe_product){.always = &w->always.down,
                                .expert = &w->expert.down,
                                .always_from = gm_cuda_at(s, GM_CUDA_ALWAYS),
                                .from = gm_cuda_at(s, GM_CUDA_HIDDEN),
                                .always_lda = s->plan.always_width,
                                .lda = s->plan.expert_width},
                 step->n_rows);
    const gm_cuda_combine p = {
        .x = gm_cuda_output(s, &w->mlp_out_norm),
        .y = w->moe >= 0 ? gm_cuda_at(s, GM_CUDA_WIDE) : NULL,
        .always = w->always.width && !apart ? gm_cuda_at(s, GM_CUDA_ALWAYS_WIDE) : NULL,
        .bias = w->expert_out_bias.address,
        .expert = gm_cuda_at(s, GM_CUDA_EXPERT),
        .slot = gm_cuda_at(s, GM_CUDA_SLOT),
        .gate = s->arch->router.scales_input ? NULL : gm_cuda_at(s, GM_CUDA_GATE),
        .share = gm_cuda_share_of(s, w),
        .scales = w->expert_scale.address,
        .x_stride = s->plan.width,
        .y_stride = s->plan.wide,
        .bias_stride = w->expert_out_bias.stride,
        .always_stride = s->plan.always_wide,
        .n_rows = (int)step->n_rows,
        .width = s->arch->width,
        .n_chosen = s->arch->n_chosen,
        .scale = s->arch->router.scale,
        .always_scale = gm_cuda_always_scale(s->arch, w),
        .residual_scale = s->arch->residual_scale,
        .add = w->mlp_out_norm.address == NULL};
    gm_cuda_note(s, gm_cuda_combine_rows(&s->how, &p), "combining");
    if (apart)
        gm_cuda_add_normed_rows(step, w);
    else
        gm_cuda_add_given(step, &w->mlp_out_norm);
}

/* ---- head ---- */

void gm_cuda_head_many(const gm_step *step, const gm_cuda_head *head, size_t n)
{
    gm_cuda_session *s = step->own;
    const gm_buf *w = &step->weights->head;
    const gm_cuda_norm p = {.x = gm_cuda_at(s, GM_CUDA_RESIDUAL),
                            .norm = step->weights->final_norm.address,
                            .norm_bias = gm_cuda_norm_bias(&step->weights->final_norm),
                            .head = head,
                            .rounded = gm_cuda_at(s, GM_CUDA_HEAD_X),
                            .x_stride = s->plan.width,
                            .rounded_stride = s->plan.width,
                            .n_rows = (int)n,
                            .width = s->arch->width,
                            .epsilon = s->arch->norm_epsilon,
                            .wide = s->wide};
    gm_cuda_note(s, gm_cuda_norm_rows(&s->how, &p), "the last norm");
    multiply(s, GM_CUDA_MAIN,
             &(gm_cuda_product){.a = gm_cuda_at(s, GM_CUDA_HEAD_X),
                                .b = w->address,
                                .c = gm_cuda_at(s, GM_CUDA_LOGITS),
                                .m = n,
                                .n = w->rows,
                                .k = w->cols,
                                .lda = s->plan.width,
                                .ldb = w->stride,
                                .ldc = s->plan.vocab,
                                .factor = s->arch->logits_scale,
                                .wide = s->wide});
    if (step->weights->head_bias.address)
        gm_cuda_note(s,
                     gm_cuda_add_bias(&s->how, gm_cuda_at(s, GM_CUDA_LOGITS),
                                      step->weights->head_bias.address, s->arch->logits_scale,
                                      s->plan.vocab, (int)n, (int)w->rows),
                     "a bias");
}

void gm_cuda_deliver_logits(const gm_step *step, size_t block)
{
    const gm_cuda_session *s = step->own;
    const size_t vocab = (size_t)step->arch->vocab, at = block * GM_HEAD_ROWS;
    for (size_t i = 0; i < GM_HEAD_ROWS && at + i < step->n_head; i++) {
        const int64_t out = step->head[at + i].out;
        if (out >= 0 && s->status == GM_OK)
            memcpy(step->result->logits + (size_t)out * vocab, s->logits + i * s->plan.vocab,
                   vocab * sizeof(float));
    }
}
