/* cuda_plan.c - sizes of everything that a session keeps on the GPU. */
#include "engine/cuda/cuda_plan.h"

#include "base/cuda/cuda_device.h"

#include <assert.h>

enum { ALIGN = 256, RESULT_ALIGN = 16 };

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

int gm_cuda_plan_few(size_t longest)
{
    assert(longest > 0);
    const size_t sweep = 256, bytes = gm_round_up(longest, sweep) * sizeof(float);
    const size_t fit = (size_t)GM_CUDA_SHARED_BYTES / bytes;
    return fit >= GM_CUDA_FEW ? GM_CUDA_FEW : fit >= 4 ? 4 : fit >= 2 ? 2 : (int)fit;
}

int gm_cuda_splits(int most, size_t window)
{
    const size_t n = (window + GM_CUDA_SPLIT - 2) / GM_CUDA_SPLIT + 1;
    return window > 0 && n < (size_t)most ? (int)n : most;
}

gm_dtype gm_cuda_expert_dtype(const gm_arch *arch, gm_numerics numerics)
{
    const bool alone = arch->n_shared == 0 && arch->n_moe == arch->n_layers;
    const bool stays = arch->stored == GM_STORED_MXFP4 && numerics == GM_NUMERICS_BF16;
    return stays && alone ? GM_U8 : gm_weights_dtype(numerics);
}

int gm_cuda_piece(int width)
{
    const int n = (width + GM_CUDA_PIECE - 1) / GM_CUDA_PIECE;
    if (n <= 1) return GM_CUDA_PIECE;
    return (int)gm_round_up((size_t)((width + n - 1) / n), GM_K_BLOCK);
}

/* Widths of what latents are projected to, and the longest row of it that few rows read. */
static size_t plan_latents(gm_cuda_plan *p, const gm_arch *arch)
{
    const gm_latent *l = &arch->latent;
    const size_t each = (size_t)l->plain + (size_t)l->shared, q = (size_t)l->q;
    const size_t queries = (size_t)arch->n_heads * each;
    p->of[0].at_k = q ? q : queries;
    p->of[0].at_v = p->of[0].at_k + (size_t)arch->head_dim;
    p->qkv = larger(gm_round_up(p->of[0].at_v, GM_K_BLOCK), gm_delta_place_of(arch).all);
    p->queries = q ? gm_round_up(queries, GM_K_BLOCK) : 0;
    p->latent = larger(gm_round_up(q, GM_K_BLOCK), p->latent);
    p->of_head = gm_round_up((size_t)larger((size_t)l->plain, (size_t)l->kv), GM_K_BLOCK);
    return q;
}

/* Gated DeltaNet, Mamba2 or short convolutions, which have no more than a history: widths, and what
 * is kept of `sequences`. Gives what its heads give. */
static size_t plan_delta(gm_cuda_plan *p, const gm_arch *arch, size_t sequences)
{
    const gm_delta *d = &arch->delta;
    const gm_delta_place place = gm_delta_place_of(arch);
    const size_t heads = (size_t)d->value_heads, each = (size_t)gm_cuda_key_stride(d->key);
    const size_t value = heads * (size_t)d->value;
    if (arch->n_delta == 0) return 0;
    p->qkv = larger(p->qkv, place.all);
    p->history_floats = gm_round_up(sequences * (size_t)d->taps * place.channels, 4);
    if (gm_arch_only_convolves(arch)) return value;
    p->vectors = gm_round_up(2 * (size_t)d->key_heads * each + value, 4);
    p->vectors = gm_round_up(p->vectors + (d->rank > 0 ? heads * (each + 1) : 2 * heads), 4);
    p->latent = d->rank > 0 ? place.product - place.low_a : 0; /* of a and of z */
    p->state_floats = sequences * value * each;
    return value;
}

/* Heads and angles of both types of layers; gives the longest row of what heads give. */
static size_t plan_heads(gm_cuda_plan *p, const gm_arch *arch, size_t positions)
{
    const size_t heads = (size_t)arch->n_heads;
    const int n = arch->global.n_kv_heads > 0 ? 2 : 1;
    size_t given = 0;
    for (int global = 0; global < n; global++) {
        const gm_heads of = gm_arch_heads(arch, global);
        const size_t q = heads * of.key, kv = of.kv * of.key;
        const size_t all = q + kv + (of.shared ? 0 : of.kv * of.value);
        gm_cuda_head_sizes *to = &p->of[global];
        to->at_k = q;
        to->at_v = of.shared ? q : q + kv;
        to->at_gate = all;
        to->head = gm_round_up(of.key, 8);
        to->angle = of.rope->dim / 2 + (of.growth->rate > 0.0f);
        to->at_angle = global ? positions * p->of[0].angle : 0;
        given = larger(given, heads * of.out);
        p->qkv = larger(p->qkv, gm_round_up(all + (arch->gated_attention ? q : 0), GM_K_BLOCK));
    }
    return given;
}

/* Where the layers of both types have their keys, one after another; gives the bytes of all. */
static size_t plan_cache(gm_cuda_plan *p, const gm_arch *arch, size_t n_blocks, size_t size)
{
    size_t layers[2] = {0}, at = 0;
    for (int l = 0; l < arch->n_layers; l++)
        layers[gm_arch_is_global(arch, l)] += gm_arch_has_keys(arch, l);
    for (int global = 0; global < 2; global++) {
        gm_cuda_head_sizes *to = &p->of[global];
        to->at_layers = at;
        to->layer_bytes = n_blocks * gm_arch_heads(arch, global).kv * GM_KV_BLOCK * to->head * size;
        at += layers[global] * to->layer_bytes;
    }
    return at;
}

static void plan_strides(gm_cuda_plan *p, const gm_arch *arch, const gm_session_sizes *sizes)
{
    const size_t d = (size_t)arch->width;
    size_t given = plan_heads(p, arch, sizes->positions);
    const size_t f = (size_t)arch->expert_width;
    const size_t always = larger((size_t)arch->dense_width, (size_t)arch->shared_width);
    p->width = gm_round_up(d, GM_K_BLOCK);
    given = larger(given, plan_delta(p, arch, sizes->max_sequences));
    size_t longest = larger(d, given);
    if (arch->latent.kv > 0) longest = larger(longest, plan_latents(p, arch));
    p->heads = gm_round_up(given, GM_K_BLOCK);
    p->experts = gm_round_up((size_t)arch->n_experts + arch->gated_shared, GM_K_BLOCK);
    p->expert_width = gm_round_up(f, GM_K_BLOCK);
    p->always_width = gm_round_up(always, GM_K_BLOCK);
    p->wide = gm_round_up(larger(2 * f, d), GM_K_BLOCK);
    p->always_wide = gm_round_up(larger(2 * always, d), GM_K_BLOCK);
    p->vocab = gm_round_up((size_t)arch->vocab, GM_K_BLOCK);
    p->seen_words = ((size_t)arch->vocab + 31) / 32;
    p->few = gm_cuda_plan_few(longest);
    const size_t each = arch->latent.kv > 0 ? GM_CUDA_LATENT_SPLIT : GM_CUDA_SPLIT;
    const size_t splits = (sizes->positions + each - 1) / each;
    p->n_splits = (int)(splits < GM_CUDA_MOST_SPLITS ? splits : GM_CUDA_MOST_SPLITS);
}

/* The largest matrix of attention, in elements. */
static size_t largest_of_attention(const gm_cuda_plan *p, const gm_arch *arch)
{
    const gm_latent *l = &arch->latent;
    const size_t heads = (size_t)arch->n_heads;
    const size_t up = heads * (size_t)l->kv * gm_round_up((size_t)l->plain, GM_K_BLOCK);
    const size_t down = heads * (size_t)l->value * gm_round_up((size_t)l->kv, GM_K_BLOCK);
    const size_t most = larger(p->qkv * p->width, (size_t)arch->width * p->heads);
    const size_t gates = (size_t)arch->delta.value_heads * (size_t)arch->delta.value *
                         gm_round_up((size_t)arch->delta.rank, GM_K_BLOCK);
    return larger(larger(most, p->queries * p->latent), larger(larger(up, down), gates));
}

/* Weights of 8 bits become bf16 before cuBLAS reads them: the largest matrix of a layer, and an
 * expert's for each lane; of 4 bits experts alone. */
static void plan_widened(gm_cuda_plan *p, const gm_arch *arch, gm_numerics numerics)
{
    const bool all = gm_is_scaled(gm_weights_dtype(numerics));
    if (!all && gm_cuda_expert_dtype(arch, numerics) != GM_U8) return;
    const size_t d = (size_t)arch->width, f = (size_t)arch->expert_width;
    const size_t always = larger((size_t)arch->dense_width, (size_t)arch->shared_width);
    const size_t attention = largest_of_attention(p, arch);
    if (all) p->widened = larger(attention, larger(2 * always * p->width, d * p->always_width));
    p->widened_expert = larger(2 * f * p->width, d * p->expert_width);
}

gm_cuda_plan gm_cuda_plan_session(const gm_arch *arch, gm_numerics numerics, const gm_kv *kv,
                                  const gm_session_sizes *sizes)
{
    gm_cuda_plan p = {0};
    plan_strides(&p, arch, sizes);
    plan_widened(&p, arch, numerics);
    const size_t t = sizes->max_rows, k = (size_t)arch->n_chosen, e = (size_t)arch->n_experts;
    const size_t f32 = sizeof(float), i32 = sizeof(int32_t), few = GM_CUDA_FEW;
    const size_t w = numerics == GM_NUMERICS_F32 ? sizeof(float) : sizeof(uint16_t);
    const size_t heads = (size_t)arch->n_heads, head = larger(p.of[0].head, p.of[1].head);
    const size_t angles = sizes->positions * (p.of[0].angle + p.of[1].angle);
    const size_t keys = plan_cache(&p, arch, kv->n_blocks, w);
    const size_t bytes[GM_CUDA_N_REGIONS] = {
        [GM_CUDA_RESIDUAL] = t * p.width * f32,
        [GM_CUDA_GIVEN] = gm_arch_norms_outputs(arch) ? t * p.width * f32 : 0,
        [GM_CUDA_QKV] = t * p.qkv * f32,
        [GM_CUDA_QUERIES] = t * p.queries * f32,
        [GM_CUDA_LATENT] = t * p.latent * w,
        [GM_CUDA_OF_HEADS] = t * heads * p.of_head * w,
        [GM_CUDA_QUERY] = t * heads * head * f32,
        [GM_CUDA_HEADS] = t * p.heads * f32,
        [GM_CUDA_HEADS_ROUNDED] = t * p.heads * w,
        [GM_CUDA_NORM] = t * p.width * w,
        [GM_CUDA_NORM_EXACT] = t * p.width * f32,
        [GM_CUDA_ROUTER] = t * p.experts * f32,
        [GM_CUDA_EXPERT] = t * k * i32,
        [GM_CUDA_GATE] = t * k * f32,
        [GM_CUDA_SHARE] = arch->gated_shared ? t * f32 : 0,
        [GM_CUDA_SLOT] = t * k * i32,
        [GM_CUDA_SLOT_ROW] = t * k * i32,
        [GM_CUDA_COUNT] = e * i32,
        [GM_CUDA_FIRST] = (e + 1) * i32,
        [GM_CUDA_GATHERED] = t * k * p.width * w,
        [GM_CUDA_HIDDEN] = t * k * p.expert_width * w,
        [GM_CUDA_ALWAYS] = t * p.always_width * w,
        [GM_CUDA_WIDE] = t * k * p.wide * f32,
        [GM_CUDA_ALWAYS_WIDE] = t * p.always_wide * f32,
        [GM_CUDA_VECTORS] = t * p.vectors * f32,
        [GM_CUDA_PART] = few * (size_t)p.n_splits * heads * (head + 4) * f32,
        [GM_CUDA_TICKET] = few * (heads + 1) * sizeof(unsigned),
        [GM_CUDA_HEAD_X] = GM_HEAD_ROWS * p.width * w,
        [GM_CUDA_LOGITS] = GM_HEAD_ROWS * p.vocab * f32,
        [GM_CUDA_WEIGHT] = GM_HEAD_ROWS * p.vocab * f32,
        [GM_CUDA_SEEN] = GM_HEAD_ROWS * p.seen_words * sizeof(unsigned),
        [GM_CUDA_BEST] = GM_HEAD_ROWS * sizeof(unsigned long long),
        [GM_CUDA_ARRIVED] = GM_HEAD_ROWS * sizeof(unsigned),
        [GM_CUDA_COSINE] = angles * f32,
        [GM_CUDA_SINE] = angles * f32,
        [GM_CUDA_STEP_DATA] = gm_cuda_plan_step(t, t, t, arch->n_delta > 0 ? t : 0).bytes,
        [GM_CUDA_BLOCKS] = kv->max_sequences * kv->blocks_per_sequence * sizeof(uint32_t),
        [GM_CUDA_TOKENS] = kv->n_blocks * GM_KV_BLOCK * sizeof(uint32_t),
        [GM_CUDA_KEYS] = keys,
        [GM_CUDA_VALUES] = arch->latent.kv ? 0 : keys,
        [GM_CUDA_HISTORY] = (size_t)arch->n_delta * p.history_floats * f32,
        [GM_CUDA_STATES] = (size_t)arch->n_delta * p.state_floats * f32,
        [GM_CUDA_EDITS] = sizeof(gm_cuda_edits),
        [GM_CUDA_COUNTER] = sizeof(uint64_t),
        [GM_CUDA_WIDENED] = p.widened * sizeof(uint16_t),
        [GM_CUDA_WIDENED_EXPERT] = GM_CUDA_LANES * p.widened_expert * sizeof(uint16_t),
    };
    for (int i = 0; i < GM_CUDA_N_REGIONS; i++) {
        p.bytes[i] = bytes[i];
        p.at[i] = p.total;
        p.total += gm_round_up(bytes[i], ALIGN);
    }
    return p;
}

static size_t take(size_t *at, size_t bytes)
{
    size_t here = *at;
    *at += gm_round_up(bytes, RESULT_ALIGN);
    return here;
}

gm_cuda_results gm_cuda_plan_results(const gm_arch *arch, size_t n_rows, bool record,
                                     bool router_logits)
{
    const size_t l = (size_t)arch->n_moe, k = (size_t)arch->n_chosen, e = (size_t)arch->n_experts;
    gm_cuda_results r = {0};
    size_t at = 0;
    r.sampled = take(&at, n_rows * sizeof(uint32_t)); /* a segment has at least a row */
    r.nll = take(&at, n_rows * sizeof(float));
    r.bad = take(&at, n_rows);
    if (record) {
        r.expert = take(&at, l * n_rows * k * sizeof(uint16_t));
        r.gate = take(&at, l * n_rows * k * sizeof(float));
        r.mass = take(&at, l * n_rows * sizeof(float));
        r.margin = take(&at, l * n_rows * sizeof(float));
    }
    if (router_logits) r.logits = take(&at, l * n_rows * e * sizeof(float));
    r.bytes = at;
    return r;
}

gm_cuda_step_data gm_cuda_plan_step(size_t n_rows, size_t n_head, size_t n_tiles, size_t n_runs)
{
    gm_cuda_step_data d = {0};
    size_t at = 0;
    d.row = take(&at, n_rows * sizeof(gm_row));
    d.head = take(&at, n_head * sizeof(gm_cuda_head));
    d.tile = take(&at, n_tiles * sizeof(gm_tile));
    d.run = take(&at, n_runs * sizeof(gm_sequence_rows));
    d.bytes = at;
    return d;
}
