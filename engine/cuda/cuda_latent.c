/* cuda_latent.c - attention to latents (gm_latent, arch.h): what an operation of it tells its
 * kernels, and in steps of many rows cuBLAS.
 *
 * As on the CPU a head's keys are multiplied into its query and its values with what attention
 * gives, so that all heads share one key, the latent and what turns, whose latent is the value too:
 * the cache holds that once.
 */
#include "engine/cuda/cuda_session.h"

static gm_cuda_latents describe(const gm_step *step, const gm_layer *w)
{
    const gm_cuda_session *s = step->own;
    const gm_cuda_plan *plan = &s->plan;
    const gm_arch *arch = step->arch;
    const bool has_latent = arch->latent.q > 0; /* queries are products of one */
    const float *qkv = gm_cuda_at(s, GM_CUDA_QKV);
    return (gm_cuda_latents){
        .row = step->row,
        .queries = has_latent ? gm_cuda_at(s, GM_CUDA_QUERIES) : qkv,
        .keys = qkv + plan->of[0].at_k,
        .k_norm = w->k_norm.address,
        .cosine = arch->rope.dim > 0 ? gm_cuda_at(s, GM_CUDA_COSINE) : NULL,
        .sine = gm_cuda_at(s, GM_CUDA_SINE),
        .block = gm_cuda_at(s, GM_CUDA_BLOCKS),
        .key_up = w->key_up.address,
        .value_up = w->value_up.address,
        .cache = (char *)gm_cuda_at(s, GM_CUDA_KEYS) + w->nth * plan->of[0].layer_bytes,
        .query = gm_cuda_at(s, GM_CUDA_QUERY),
        .of_heads = gm_cuda_at(s, GM_CUDA_OF_HEADS),
        .part = gm_cuda_at(s, GM_CUDA_PART),
        .heads = gm_cuda_at(s, GM_CUDA_HEADS),
        .queries_stride = has_latent ? plan->queries : plan->qkv,
        .keys_stride = plan->qkv,
        .angle_stride = plan->of[0].angle,
        .blocks_per_sequence = s->kv->blocks_per_sequence,
        .plain_stride = w->key_up.stride,
        .kv_stride = w->value_up.stride,
        .head_stride = plan->of[0].head,
        .each_stride = plan->of_head,
        .heads_stride = plan->heads,
        .n_rows = (int)step->n_rows,
        .n_heads = arch->n_heads,
        .n_splits = plan->n_splits,
        .kv = arch->latent.kv,
        .plain = arch->latent.plain,
        .turning = arch->latent.shared,
        .value = arch->latent.value,
        .scale = arch->attention_scale,
        .dtype = w->key_up.dtype,
        .grows = arch->growth.rate > 0.0f,
        .wide = s->wide,
    };
}

/* ---- before attention ---- */

/* Queries of their latent, which goes through its norm. */
static void queries_few(const gm_step *step, const gm_layer *w)
{
    gm_cuda_session *s = step->own;
    const gm_cuda_project p = {.x = gm_cuda_at(s, GM_CUDA_QKV),
                               .norm = w->q_norm.address,
                               .matrix = w->q_up.address,
                               .out = gm_cuda_at(s, GM_CUDA_QUERIES),
                               .x_stride = s->plan.qkv,
                               .stride = w->q_up.stride,
                               .out_stride = s->plan.queries,
                               .n_rows = (int)step->n_rows,
                               .width = step->arch->latent.q,
                               .n_out = (int)w->q_up.rows,
                               .epsilon = GM_LATENT_EPSILON,
                               .factor = 1.0f,
                               .dtype = w->q_up.dtype};
    gm_cuda_note(s, gm_cuda_project_few(&s->how, &p), "queries");
}

static void queries_many(const gm_step *step, const gm_layer *w)
{
    gm_cuda_session *s = step->own;
    const gm_cuda_norm p = {.x = gm_cuda_at(s, GM_CUDA_QKV),
                            .norm = w->q_norm.address,
                            .rounded = gm_cuda_at(s, GM_CUDA_LATENT),
                            .x_stride = s->plan.qkv,
                            .rounded_stride = s->plan.latent,
                            .n_rows = (int)step->n_rows,
                            .width = step->arch->latent.q,
                            .epsilon = GM_LATENT_EPSILON,
                            .wide = s->wide};
    gm_cuda_note(s, gm_cuda_norm_rows(&s->how, &p), "a norm");
    gm_cuda_multiply_weights(s, GM_CUDA_MAIN, &w->q_up, 0, gm_cuda_at(s, GM_CUDA_WIDENED),
                             (gm_cuda_product){.a = gm_cuda_at(s, GM_CUDA_LATENT),
                                               .c = gm_cuda_at(s, GM_CUDA_QUERIES),
                                               .m = step->n_rows,
                                               .lda = s->plan.latent,
                                               .ldc = s->plan.queries,
                                               .factor = 1.0f});
}

/* What products of heads read, times each head's matrix, to rows of `to`. */
static void multiply_heads(const gm_step *step, const gm_buf *w, float *to, size_t to_stride,
                           size_t apart)
{
    gm_cuda_session *s = step->own;
    const size_t heads = (size_t)step->arch->n_heads;
    gm_cuda_multiply_weights(s, GM_CUDA_MAIN, w, 0, gm_cuda_at(s, GM_CUDA_WIDENED),
                             (gm_cuda_product){.a = gm_cuda_at(s, GM_CUDA_OF_HEADS),
                                               .c = to,
                                               .m = step->n_rows,
                                               .lda = heads * s->plan.of_head,
                                               .ldc = to_stride,
                                               .count = heads,
                                               .apart_a = s->plan.of_head,
                                               .apart_c = apart,
                                               .factor = 1.0f});
}

void gm_cuda_latent_in(const gm_step *step, const gm_layer *w)
{
    gm_cuda_session *s = step->own;
    const gm_cuda_latents p = describe(step, w);
    if (w->q_up.address) (s->few ? queries_few : queries_many)(step, w);
    if (s->few) {
        gm_cuda_note(s, gm_cuda_latent_keys_few(&s->how, &p), "latents and keys of heads");
        return;
    }
    gm_cuda_note(s, gm_cuda_latent_append_many(&s->how, &p), "latents");
    multiply_heads(step, &w->key_up, p.query, (size_t)p.n_heads * p.head_stride, p.head_stride);
}

/* ---- attention, and after it ---- */

void gm_cuda_latent_attend(const gm_step *step, const gm_layer *w)
{
    gm_cuda_session *s = step->own;
    const gm_cuda_latents p = describe(step, w);
    gm_cuda_note(s,
                 s->few ? gm_cuda_latent_attend_few(&s->how, &p)
                        : gm_cuda_latent_attend_many(&s->how, &p, step->tile, (int)step->n_tiles),
                 "attention");
}

void gm_cuda_latent_out(const gm_step *step, const gm_layer *w)
{
    gm_cuda_session *s = step->own;
    const gm_cuda_latents p = describe(step, w);
    if (s->few)
        gm_cuda_note(s, gm_cuda_latent_values_few(&s->how, &p), "values of heads");
    else
        multiply_heads(step, &w->value_up, p.heads, p.heads_stride, (size_t)p.value);
}
