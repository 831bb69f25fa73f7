/* weights.c - a model's weights: their buffers described and laid out in one image.
 *
 * The description alone gives all sizes and places, and so the answer of gm_weights_bytes;
 * hold.c then fills, maps or streams it.
 */
#include "engine/weights.h"

#include "engine/cpu/kernels.h"
#include "engine/ops.h"
#include "engine/reader.h"
#include "engine/layer_stream.h"
#include "engine/packed.h"

#include <string.h>

gm_qkv_place gm_qkv_place_of(const gm_arch *arch, bool global)
{
    const gm_heads heads = gm_arch_heads(arch, global);
    const size_t all = (size_t)arch->n_heads * heads.key;
    const size_t q = gm_round_up(arch->latent.kv ? (size_t)arch->latent.q : all, GM_K_BLOCK);
    const size_t k = gm_round_up(heads.kv * heads.key, GM_K_BLOCK);
    const size_t v = gm_round_up(heads.kv * heads.value, GM_K_BLOCK);
    const size_t gate = arch->gated_attention ? q : 0;
    return (gm_qkv_place){.q = 0, .k = q, .v = q + k, .gate = q + k + v, .all = q + k + v + gate};
}

gm_delta_place gm_delta_place_of(const gm_arch *arch)
{
    const gm_delta *d = &arch->delta;
    const size_t heads = (size_t)d->value_heads, value = heads * (size_t)d->value;
    const size_t key = (size_t)d->key_heads * (size_t)d->key, channels = 2 * key + value;
    const size_t rates = gm_arch_only_convolves(arch) ? heads : 2 * heads;
    const size_t rank = gm_round_up((size_t)d->rank, GM_K_BLOCK);
    gm_delta_place p = {.q = arch->mamba ? value + key : 0,
                        .k = arch->mamba ? value : key,
                        .v = arch->mamba ? 0 : 2 * key,
                        .z = channels,
                        .b = channels + value,
                        .a = channels + value + heads,
                        .channels = channels,
                        .product = gm_round_up(channels + value + rates, GM_K_BLOCK)};
    p.low_a = p.a, p.low_z = p.z, p.all = p.product;
    if (rank == 0) return p;
    p.b = channels, p.low_a = gm_round_up(channels + heads, GM_K_BLOCK);
    p.low_z = p.low_a + rank;
    p.product = p.a = p.low_z + rank;
    p.z = p.a + key;
    p.all = gm_round_up(p.z + value, GM_K_BLOCK);
    return p;
}

/* ---- the buffers ---- */

static bool has_tensor(const gm_arch *arch, gm_role role, int layer)
{
    gm_slice slice;
    return gm_arch_tensor(arch, role, layer, 0, &slice);
}

/* A vector of `cols` when the layer has the tensor, otherwise nothing. */
static gm_buf vector_if(const gm_arch *arch, gm_role role, int layer, size_t cols)
{
    return has_tensor(arch, role, layer) ? gm_buf_rows(GM_F32, 1, 1, cols) : (gm_buf){0};
}

/* A norm of the model's width if there is one; LayerNorm's is followed by its bias, or zeros. */
static gm_buf norm_of(const gm_arch *arch, gm_role role, gm_role bias, int layer)
{
    if (!has_tensor(arch, role, layer)) return (gm_buf){0};
    const bool two = arch->layer_norm || has_tensor(arch, bias, layer);
    return gm_buf_rows(GM_F32, 1, two ? 2 : 1, (size_t)arch->width);
}

static gm_mlp describe_mlp(const gm_arch *arch, gm_dtype dtype, size_t count, size_t width)
{
    const size_t model_width = (size_t)arch->width;
    if (width == 0 || count == 0) return (gm_mlp){0};
    size_t half = gm_round_up(width, GM_K_BLOCK); /* the padding of `down` is computed: zeros */
    return (gm_mlp){.width = width,
                    .gate_up = gm_buf_panels(
                        dtype, count, arch->activation.squared ? half : 2 * half, model_width),
                    .down = gm_buf_panels(dtype, count, model_width, width)};
}

/* Columns of a vector that the layer has, if it has it. */
static size_t cols_of(const gm_arch *arch, gm_role role, int layer)
{
    gm_slice slice;
    return gm_arch_tensor(arch, role, layer, 0, &slice) ? slice.cols : 0;
}

static void describe_latents(gm_layer *layer, const gm_arch *arch, gm_dtype dtype)
{
    const gm_latent *l = &arch->latent;
    const size_t heads = (size_t)arch->n_heads, kv = (size_t)l->kv, plain = (size_t)l->plain;
    const size_t inputs = (size_t)(l->q ? l->q : arch->width);
    if (kv == 0) return;
    layer->qkv = gm_buf_panels(dtype, 1, gm_qkv_place_of(arch, false).v, (size_t)arch->width);
    layer->q_up = gm_buf_panels(dtype, 1, heads * (plain + (size_t)l->shared), inputs);
    layer->key_up = gm_buf_panels(dtype, heads, kv, plain);
    layer->value_up = gm_buf_panels(dtype, heads, (size_t)l->value, kv);
}

/* In place of what attention has. */
static void describe_delta(gm_layer *layer, const gm_arch *arch, gm_dtype dtype, int l)
{
    const gm_delta *d = &arch->delta;
    const gm_delta_place place = gm_delta_place_of(arch);
    const size_t heads = (size_t)d->value_heads, values = heads * (size_t)d->value;
    layer->qkv = gm_buf_panels(dtype, 1, place.product, (size_t)arch->width);
    if (d->rank > 0) layer->delta_up = gm_buf_panels(dtype, 2, values, (size_t)d->rank);
    layer->delta_conv = gm_buf_panels(GM_F32, 1, place.channels, (size_t)d->taps);
    layer->delta_conv_bias = vector_if(arch, GM_ROLE_DELTA_CONV_BIAS, l, place.channels);
    layer->delta_rate = vector_if(arch, GM_ROLE_DELTA_RATE, l, heads);
    layer->delta_bias =
        vector_if(arch, GM_ROLE_DELTA_BIAS, l, cols_of(arch, GM_ROLE_DELTA_BIAS, l));
    layer->delta_skip = vector_if(arch, GM_ROLE_DELTA_SKIP, l, heads);
    layer->delta_norm =
        vector_if(arch, GM_ROLE_DELTA_NORM, l, cols_of(arch, GM_ROLE_DELTA_NORM, l));
    layer->o = gm_buf_panels(dtype, 1, (size_t)arch->width, values);
}

/* Attention, or what the layer has instead. */
static void describe_mixer(gm_layer *layer, const gm_arch *arch, gm_dtype dtype, int l)
{
    const size_t d = (size_t)arch->width;
    const gm_heads heads = gm_arch_heads(arch, layer->global);
    const gm_qkv_place place = gm_qkv_place_of(arch, layer->global);
    if (!layer->mixer) return;
    layer->qkv = gm_buf_panels(dtype, 1, heads.shared ? place.v : place.all, d);
    layer->qkv_bias = vector_if(arch, GM_ROLE_Q_BIAS, l, place.all);
    layer->q_norm = vector_if(arch, GM_ROLE_Q_NORM, l, cols_of(arch, GM_ROLE_Q_NORM, l));
    layer->k_norm = vector_if(arch, GM_ROLE_K_NORM, l, cols_of(arch, GM_ROLE_K_NORM, l));
    layer->o = gm_buf_panels(dtype, 1, d, (size_t)arch->n_heads * heads.out);
    layer->o_bias = vector_if(arch, GM_ROLE_O_BIAS, l, d);
    layer->sinks = vector_if(arch, GM_ROLE_SINKS, l, (size_t)arch->n_heads);
    if (layer->delta)
        describe_delta(layer, arch, dtype, l);
    else
        describe_latents(layer, arch, dtype);
}

static gm_layer describe_layer(const gm_arch *arch, gm_dtype dtype, int l)
{
    const size_t d = (size_t)arch->width, e = (size_t)arch->n_experts;
    gm_layer layer = {
        .moe = arch->moe_of_layer[l],
        .mixer = gm_arch_has_mixer(arch, l),
        .mlp = gm_arch_has_mlp(arch, l),
        .global = gm_arch_is_global(arch, l),
        .delta = gm_arch_is_delta(arch, l),
        .nth = (size_t)gm_arch_nth(arch, l),
        .window = arch->window ? (size_t)arch->window[l] : 0,
        .attn_norm = norm_of(arch, GM_ROLE_ATTN_NORM, GM_ROLE_ATTN_NORM_BIAS, l),
        .attn_out_norm = vector_if(arch, GM_ROLE_ATTN_OUT_NORM, l, d),
        .mlp_norm = norm_of(arch, GM_ROLE_MLP_NORM, GM_ROLE_MLP_NORM_BIAS, l),
        .mlp_out_norm = vector_if(arch, GM_ROLE_MLP_OUT_NORM, l, d),
        .router_norm = vector_if(arch, GM_ROLE_ROUTER_NORM, l, d),
        .expert_scale = vector_if(arch, GM_ROLE_EXPERT_SCALE, l, e),
        .always_norm = vector_if(arch, GM_ROLE_SHARED_NORM, l, d),
        .always_out_norm = vector_if(arch, GM_ROLE_SHARED_OUT_NORM, l, d),
        .expert_out_norm = vector_if(arch, GM_ROLE_EXPERT_OUT_NORM, l, d),
        .scale = vector_if(arch, GM_ROLE_LAYER_SCALE, l, 1),
    };
    describe_mixer(&layer, arch, dtype, l);
    if (layer.moe < 0) {
        if (layer.mlp) layer.always = describe_mlp(arch, dtype, 1, (size_t)arch->dense_width);
        return layer;
    }
    layer.router = gm_buf_panels(GM_F32, 1, e + arch->gated_shared, d);
    layer.router_bias = vector_if(arch, GM_ROLE_ROUTER_BIAS, l, e);
    layer.correction = vector_if(arch, GM_ROLE_ROUTER_CORRECTION, l, e);
    layer.always = describe_mlp(arch, dtype, 1, (size_t)arch->shared_width);
    layer.expert = describe_mlp(arch, dtype, e, (size_t)arch->expert_width);
    if (has_tensor(arch, GM_ROLE_EXPERT_GATE_BIAS, l))
        layer.expert_in_bias = gm_buf_rows(GM_F32, 1, e, layer.expert.gate_up.rows);
    if (has_tensor(arch, GM_ROLE_EXPERT_DOWN_BIAS, l))
        layer.expert_out_bias = gm_buf_rows(GM_F32, 1, e, d);
    return layer;
}

static void describe_ends(gm_weights *w, const gm_arch *arch, gm_dtype dtype, gm_dtype embed_dtype)
{
    const size_t d = (size_t)arch->width, v = (size_t)arch->vocab;
    w->embed = gm_buf_rows(embed_dtype, 1, v, d);
    w->final_norm = norm_of(arch, GM_ROLE_FINAL_NORM, GM_ROLE_FINAL_NORM_BIAS, 0);
    w->head = gm_buf_panels(dtype, 1, v, d);
    w->head_bias = vector_if(arch, GM_ROLE_HEAD_BIAS, 0, v);
}

size_t gm_section_buffers(gm_weights *w, size_t i, gm_layer *layer,
                          gm_buf *list[GM_SECTION_BUFFERS])
{
    if (i == 0) {
        list[0] = &w->embed;
        list[1] = &w->final_norm;
        return 2;
    }
    if (i > w->n_layers) {
        list[0] = &w->head;
        list[1] = &w->head_bias;
        return 2;
    }
    if (layer == NULL) layer = &w->layer[i - 1];
    gm_buf *all[GM_SECTION_BUFFERS] = {
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
        &layer->o_bias,
        &layer->sinks,
        &layer->expert_in_bias,
        &layer->expert_out_bias,
        &layer->q_up,
        &layer->key_up,
        &layer->value_up,
        &layer->delta_conv,
        &layer->delta_rate,
        &layer->delta_bias,
        &layer->delta_norm,
        &layer->attn_out_norm,
        &layer->mlp_out_norm,
        &layer->delta_conv_bias,
        &layer->delta_skip,
        &layer->router_norm,
        &layer->expert_scale,
        &layer->always_norm,
        &layer->always_out_norm,
        &layer->expert_out_norm,
        &layer->scale,
        &layer->delta_up,
    };
    memcpy(list, all, sizeof all);
    return GM_SECTION_BUFFERS;
}

enum { LINE = 64 }; /* buffers begin at a cache line */

void gm_section_place(gm_buf *const *list, size_t n, void *base)
{
    char *at = base;
    for (size_t i = 0; i < n; i++) {
        if (list[i]->item_bytes == 0) continue;
        list[i]->address = at;
        list[i]->place = GM_PLACE_HOST;
        at += gm_round_up(gm_buf_bytes(list[i]), LINE);
    }
}

gm_dtype gm_weights_embed_dtype(const gm_arch *arch, const gm_checkpoint *checkpoint)
{
    gm_slice slice;
    if (!gm_arch_tensor(arch, GM_ROLE_EMBED, 0, 0, &slice)) return GM_F32;
    const gm_tensor *tensor = gm_checkpoint_find(checkpoint, slice.name);
    return tensor ? tensor->dtype : GM_F32;
}

gm_dtype gm_weights_dtype(gm_numerics numerics)
{
    switch (numerics) {
    case GM_NUMERICS_INT8: return GM_I8;
    case GM_NUMERICS_FP8: return GM_FP8;
    case GM_NUMERICS_BF16:
    case GM_NUMERICS_BF16_DOT: return GM_BF16;
    default: return GM_F32;
    }
}

/* Has it bytes after the rows or columns of its tensors? */
static bool is_padded(const gm_buf *buf, size_t inputs)
{
    if (buf->layout == GM_LAYOUT_ROWS) return buf->stride != buf->cols;
    return buf->rows % GM_PANEL != 0 || inputs % GM_K_BLOCK != 0;
}

static bool mlp_is_padded(const gm_mlp *mlp)
{
    return mlp->width % GM_K_BLOCK != 0 || is_padded(&mlp->down, mlp->width) ||
           is_padded(&mlp->gate_up, mlp->gate_up.cols);
}

static bool latents_are_padded(const gm_layer *l, const gm_arch *arch)
{
    const gm_latent *of = &arch->latent;
    return of->q % GM_K_BLOCK != 0 || l->q_norm.stride != l->q_norm.cols ||
           l->k_norm.stride != l->k_norm.cols || is_padded(&l->q_up, l->q_up.cols) ||
           is_padded(&l->key_up, l->key_up.cols) || is_padded(&l->value_up, l->value_up.cols);
}

static bool delta_is_padded(const gm_layer *l, const gm_arch *arch)
{
    const gm_delta_place place = gm_delta_place_of(arch);
    const size_t heads = (size_t)arch->delta.value_heads, rank = (size_t)arch->delta.rank;
    const size_t end = gm_arch_only_convolves(arch) ? place.a
                       : rank > 0                   ? place.low_z + rank
                                                    : place.a + heads;
    const bool gap = rank > 0 && place.low_a != place.b + heads;
    return arch->mamba || /* no tensor fills b */
           gap || place.product != end || (rank > 0 && is_padded(&l->delta_up, rank)) ||
           l->delta_bias.stride != l->delta_bias.cols ||
           l->delta_rate.stride != l->delta_rate.cols ||
           l->delta_conv_bias.stride != l->delta_conv_bias.cols ||
           l->delta_norm.stride != l->delta_norm.cols || is_padded(&l->delta_conv, GM_K_BLOCK);
}

static bool attention_is_padded(const gm_layer *l, const gm_arch *arch)
{
    const gm_heads heads = gm_arch_heads(arch, l->global);
    if (l->delta) return delta_is_padded(l, arch);
    if (heads.kv * heads.key % GM_K_BLOCK != 0 || heads.kv * heads.value % GM_K_BLOCK != 0)
        return true;
    return arch->latent.kv > 0 ? latents_are_padded(l, arch)
                               : (size_t)arch->n_heads * heads.key % GM_K_BLOCK != 0;
}

static bool layer_is_padded(const gm_layer *l, const gm_arch *arch)
{
    return arch->layer_norm || attention_is_padded(l, arch) ||
           l->attn_norm.stride != l->attn_norm.cols ||
           l->attn_out_norm.stride != l->attn_out_norm.cols || is_padded(&l->qkv, l->qkv.cols) ||
           is_padded(&l->o, l->o.cols) || is_padded(&l->sinks, 0) || is_padded(&l->scale, 0) ||
           is_padded(&l->router, l->router.cols) || mlp_is_padded(&l->always) ||
           mlp_is_padded(&l->expert);
}

/* Of a section, whole pages; a layer's buffers are those of *layer, or the weights' own. */
static size_t section_bytes(gm_weights *w, size_t i, gm_layer *layer)
{
    gm_buf *list[GM_SECTION_BUFFERS];
    size_t n_bytes = 0, n = gm_section_buffers(w, i, layer, list);
    for (size_t b = 0; b < n; b++) n_bytes += gm_round_up(gm_buf_bytes(list[b]), LINE);
    return gm_round_up(n_bytes, GM_DISK_PAGE);
}

gm_status gm_weights_describe(gm_weights *w, const gm_arch *arch, const gm_checkpoint *checkpoint,
                              gm_error *err)
{
    const gm_dtype embed = gm_weights_embed_dtype(arch, checkpoint),
                   dtype = gm_weights_dtype(w->numerics);
    const size_t n = (size_t)arch->n_layers;
    describe_ends(w, arch, dtype, embed);
    w->layer = gm_alloc(n, sizeof *w->layer);
    w->section = gm_alloc(n + 2, sizeof *w->section);
    if (w->layer == NULL || w->section == NULL)
        return gm_fail(err, GM_EMEM, "no memory for %zu layers", n);
    w->n_layers = n;
    for (size_t l = 0; l < n; l++) w->layer[l] = describe_layer(arch, dtype, (int)l);
    for (size_t i = 0; i < n + 2; i++) {
        w->section[i] =
            (gm_section){.offset = w->image_bytes,
                         .n_bytes = section_bytes(w, i, NULL),
                         .padded = i == 0 || i > n || layer_is_padded(&w->layer[i - 1], arch)};
        w->image_bytes += w->section[i].n_bytes;
    }
    return GM_OK;
}

uint64_t gm_weights_bytes(const gm_arch *arch, const gm_checkpoint *checkpoint,
                          gm_numerics numerics, bool no_head)
{
    const gm_dtype dtype = gm_weights_dtype(numerics);
    gm_weights w = {.n_layers = (size_t)arch->n_layers};
    uint64_t bytes = sizeof w + w.n_layers * (sizeof *w.layer + sizeof *w.section);
    describe_ends(&w, arch, dtype, gm_weights_embed_dtype(arch, checkpoint));
    for (size_t i = 0; i < w.n_layers + (no_head ? 1 : 2); i++) {
        gm_layer layer = {0};
        if (i > 0 && i <= w.n_layers) layer = describe_layer(arch, dtype, (int)i - 1);
        bytes += section_bytes(&w, i, &layer);
    }
    return bytes;
}

uint64_t gm_weights_stream_bytes(const gm_arch *arch, const gm_checkpoint *checkpoint,
                                 gm_numerics numerics, bool no_head)
{
    const gm_dtype dtype = gm_weights_dtype(numerics);
    gm_weights w = {.n_layers = (size_t)arch->n_layers};
    uint64_t most = 0, ends = 0;
    describe_ends(&w, arch, dtype, gm_weights_embed_dtype(arch, checkpoint));
    for (size_t i = 1; i <= w.n_layers; i++) {
        gm_layer layer = describe_layer(arch, dtype, (int)i - 1);
        const uint64_t n_bytes = section_bytes(&w, i, &layer);
        if (n_bytes > most) most = n_bytes;
    }
    if (!no_head) ends += section_bytes(&w, w.n_layers + 1, NULL);
    if (w.embed.stride != w.embed.cols) ends += section_bytes(&w, 0, NULL);
    return gm_layer_stream_bytes(most, arch, checkpoint) + ends + gm_buf_bytes(&w.final_norm) +
           sizeof w + w.n_layers * (sizeof *w.layer + sizeof *w.section);
}

void gm_weights_free(gm_weights *w)
{
    if (w == NULL) return;
    if (w->ops && w->ops->accelerator) w->ops->accelerator->weights_free(w);
    gm_layer_stream_free(w->stream);
    gm_packed_close(w->packed);
    gm_pages_free(w->image, w->resident_bytes);
    gm_free(w->layer);
    gm_free(w->section);
    gm_free(w);
}

const char *gm_weights_kernels(const gm_weights *weights)
{
    return weights->kernels ? weights->kernels->name : weights->hardware;
}
