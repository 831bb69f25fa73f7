/* model.c - opening a model: config and tensors checked against each other, then the
 * weights packed. See model.h for the order.
 */
#include "engine/model.h"

#include "engine/families.h"
#include "engine/kv.h"
#include "engine/layer_stream.h"
#include "engine/located.h"
#include "engine/quantised.h"
#include "engine/weights.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the checkpoint against the architecture ---- */

static bool is_rotary_table(const char *name)
{
    return gm_ends_in(name, ".rotary_emb.inv_freq");
}

static void note_seen(const gm_checkpoint *checkpoint, const gm_tensor *tensor, bool *seen)
{
    if (tensor == NULL || tensor->name == NULL) return;
    seen[gm_checkpoint_find(checkpoint, tensor->name) - gm_checkpoint_at(checkpoint, 0)] = true;
}

/* Look the matrix of one role up and note that its tensor was asked for in seen (n tensors). */
static gm_status check_role(const gm_arch *arch, const gm_checkpoint *checkpoint, gm_role role,
                            int layer, int expert, bool *seen, gm_error *err)
{
    gm_status status = GM_OK;
    gm_slice slice;
    gm_located at;

    if (!gm_arch_tensor(arch, role, layer, expert, &slice)) return GM_OK;
    GM_TRY(gm_locate(&at, checkpoint, &slice, err));
    note_seen(checkpoint, &at.tensor, seen);
    note_seen(checkpoint, &at.beside.scales, seen);
    note_seen(checkpoint, at.beside.zeros, seen);
    note_seen(checkpoint, at.beside.order, seen);
    note_seen(checkpoint, at.beside.sizes, seen);
out:
    return status;
}

/* Tensors of the parts that predict further tokens, which nothing here computes. */
static bool is_mtp(const gm_arch *arch, const char *name)
{
    const char *prefix = arch->family->mtp_prefix;
    char layer[64];
    if (arch->n_mtp > 0 && prefix) return strncmp(name, prefix, strlen(prefix)) == 0;
    for (int i = 0; i < arch->n_mtp; i++) {
        snprintf(layer, sizeof layer, "model.layers.%d.", arch->n_layers + i);
        if (strncmp(name, layer, strlen(layer)) == 0) return true;
    }
    return false;
}

/* Is it of the experts for images (gm_family, `images`), or their router? */
static bool is_for_images(const gm_arch *arch, const char *name)
{
    static const char part[] = ".mlp.experts.";
    const char *expert = strstr(name, part);
    if (!arch->family->images) return false;
    if (expert == NULL) return gm_ends_in(name, ".mlp.gate.weight_1");
    return strtol(expert + strlen(part), NULL, 10) >= arch->n_experts;
}

/* Tensors of the parts that see images, likewise. */
static bool is_other(const gm_arch *arch, const char *name)
{
    const char *const *prefix = arch->family->other_prefix;
    if (is_for_images(arch, name)) return true;
    while (*prefix && strncmp(name, *prefix, strlen(*prefix)) != 0) prefix++;
    return *prefix != NULL;
}

/* Tensors of what chooses the keys that a query sees, of which it leaves all here. */
static bool is_indexer(const gm_arch *arch, const char *name)
{
    const char *part = arch->family->indexer;
    return part && strstr(name, part) && !is_mtp(arch, name);
}

static bool is_unread(const gm_arch *arch, const char *name)
{
    return is_mtp(arch, name) || is_other(arch, name) || is_indexer(arch, name);
}

static uint64_t bytes_of(const gm_arch *arch, const gm_checkpoint *checkpoint,
                         bool (*is_one)(const gm_arch *arch, const char *name))
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < gm_checkpoint_n(checkpoint); i++) {
        const gm_tensor *t = gm_checkpoint_at(checkpoint, i);
        if (is_one(arch, t->name)) bytes += t->n_bytes;
    }
    return bytes;
}

/* Older GPTQ programs wrote zeros as biases of matrices that have none. */
static bool is_idle_bias(const gm_arch *arch, const gm_checkpoint *checkpoint, const gm_tensor *t)
{
    static const char bias[] = "bias";
    char name[GM_NAME_BYTES];
    const int stem = (int)strlen(t->name) - (int)strlen(bias);
    if (arch->blocks.packing != GM_PACKING_GPTQ || !gm_ends_in(t->name, ".bias")) return false;
    const int n = snprintf(name, sizeof name, "%.*sqweight", stem, t->name);
    if (n >= (int)sizeof name || gm_checkpoint_find(checkpoint, name) == NULL) return false;
    const unsigned char *byte = t->data;
    for (size_t i = 0; i < t->n_bytes; i++)
        if (byte[i] != 0) return false;
    return true;
}

static gm_status check_extra(const gm_arch *arch, const gm_checkpoint *checkpoint, const bool *seen,
                             gm_error *err)
{
    for (size_t i = 0; i < gm_checkpoint_n(checkpoint); i++) {
        const gm_tensor *t = gm_checkpoint_at(checkpoint, i);
        const bool fixed = arch->blocks.fixed && gm_ends_in(t->name, "activation_scale");
        if (!seen[i] && !fixed && !is_idle_bias(arch, checkpoint, t) && !is_rotary_table(t->name) &&
            !is_unread(arch, t->name))
            return gm_fail(err, GM_EFORMAT,
                           "'%s': tensor '%s' is not part of the model that config.json describes",
                           t->file, t->name);
    }
    return GM_OK;
}

gm_status gm_model_check_tensors(const gm_arch *arch, const gm_checkpoint *checkpoint,
                                 gm_error *err)
{
    gm_status status = GM_OK;
    int role = 0;
    bool *seen = gm_alloc(gm_checkpoint_n(checkpoint), sizeof *seen);
    if (seen == NULL) return gm_fail(err, GM_EMEM, "no memory to check the tensors");

    for (; role <= GM_ROLE_HEAD; role++)
        GM_TRY(check_role(arch, checkpoint, (gm_role)role, 0, 0, seen, err));
    for (; role < GM_ROLE_EXPERT_GATE; role++) {
        for (int layer = 0; layer < arch->n_layers; layer++)
            GM_TRY(check_role(arch, checkpoint, (gm_role)role, layer, 0, seen, err));
    }
    for (; role < GM_N_ROLES; role++) {
        for (int m = 0; m < arch->n_moe; m++) {
            for (int expert = 0; expert < arch->n_experts; expert++)
                GM_TRY(check_role(arch, checkpoint, (gm_role)role, arch->layer_of_moe[m], expert,
                                  seen, err));
        }
    }
    GM_TRY(check_extra(arch, checkpoint, seen, err));
out:
    gm_free(seen);
    return status;
}

/* ---- what is said about it ---- */

const char *gm_numerics_name(gm_numerics numerics)
{
    static const char *const name[] = {"auto", "f32", "bf16", "int8", "bf16-dot", "fp8"};
    return name[numerics];
}

/* Has it scales of F8_E4M3 or of four bits? */
static bool is_scaled(const gm_arch *arch, const gm_checkpoint *checkpoint)
{
    return gm_checkpoint_most(checkpoint, arch->blocks.suffix) > 0;
}

gm_numerics gm_model_numerics(const gm_arch *arch, const gm_checkpoint *checkpoint,
                              gm_numerics asked)
{
    if (asked != GM_NUMERICS_AUTO) return asked;
    const bool bf16 = arch->stored == GM_STORED_MXFP4 || is_scaled(arch, checkpoint) ||
                      gm_checkpoint_dtype(checkpoint) == GM_BF16;
    return bf16 ? GM_NUMERICS_BF16 : GM_NUMERICS_F32;
}

static const char *scoring_name(gm_scoring scoring)
{
    switch (scoring) {
    case GM_SCORE_SIGMOID: return "sigmoid";
    case GM_SCORE_TOPK_SOFTMAX: return "topk-softmax";
    case GM_SCORE_SPARSEMIXER: return "sparsemixer";
    default: return "softmax";
    }
}

static void fill_architecture(gm_model_info *info, const gm_arch *arch)
{
    info->architecture = arch->family->architecture;
    info->family = arch->family->name;
    info->n_layers = arch->n_layers;
    info->n_moe_layers = arch->n_moe;
    info->layer_of_moe = arch->layer_of_moe;
    info->n_experts = arch->n_experts;
    info->n_chosen = arch->n_chosen;
    info->n_shared_experts = arch->n_shared;
    info->width = arch->width;
    info->expert_width = arch->expert_width;
    info->n_heads = arch->n_heads;
    info->n_kv_heads = arch->n_kv_heads;
    info->head_dim = arch->head_dim;
    if (arch->global.n_kv_heads != arch->n_kv_heads || arch->global.head_dim != arch->head_dim) {
        info->global_kv_heads = arch->global.n_kv_heads;
        info->global_head_dim = arch->global.head_dim;
    }
    info->kv_latent = arch->latent.kv;
    info->vocab_size = arch->vocab;
    info->max_context = arch->max_context;
    info->scoring = scoring_name(arch->router.scoring);
    info->renormalised = arch->router.renormalise;
    info->routed_scale = arch->router.scale;
    info->unknown_keys = arch->unknown_keys;
}

static void fill_generation(gm_model_info *info, const gm_arch *arch)
{
    info->bos = arch->bos;
    info->n_eos = arch->n_eos;
    memcpy(info->eos, arch->eos, sizeof info->eos);
    info->do_sample = arch->do_sample;
    info->temperature = arch->temperature;
    info->top_p = arch->top_p;
    info->top_k = arch->top_k;
    info->repetition_penalty = arch->repetition_penalty;
    info->max_new_tokens = arch->max_new_tokens;
}

/* One key and one value row a layer that has them, in the width that attention reads them in. */
static void fill_cache(gm_model_info *info, const gm_arch *arch, gm_numerics numerics)
{
    const uint64_t element = numerics == GM_NUMERICS_F32 ? sizeof(float) : sizeof(uint16_t);
    uint64_t keys = 0, values = 0;
    for (int l = 0; l < arch->n_layers; l++) {
        const gm_heads heads = gm_arch_heads(arch, gm_arch_is_global(arch, l));
        if (!gm_arch_has_keys(arch, l)) continue;
        keys += heads.kv * heads.key * element;
        values += heads.kv * heads.value * element;
    }
    info->kv_bytes_per_token = keys + values;
    info->gpu_kv_bytes_per_token = arch->latent.kv > 0 ? keys : keys + values;
    info->state_bytes_per_sequence = gm_kv_state_bytes(arch);
}

static void fill_weights(gm_model_info *info, const gm_arch *arch, const gm_checkpoint *checkpoint,
                         gm_numerics numerics, const gm_model_options *options)
{
    const bool scaled = is_scaled(arch, checkpoint);
    info->weight_dtype = arch->stored == GM_STORED_MXFP4  ? "MXFP4"
                         : scaled && arch->blocks.packing ? "INT4"
                         : scaled                         ? gm_dtype_name(GM_FP8)
                                  : gm_dtype_name(gm_checkpoint_dtype(checkpoint));
    if (scaled) (void)gm_blocks_show(info->weight_scales, &arch->blocks);
    info->numerics = numerics;
    info->n_parameters = gm_arch_parameters(arch, &info->n_active);
    info->checkpoint_bytes = gm_checkpoint_bytes(checkpoint);
    info->mtp_bytes = bytes_of(arch, checkpoint, is_mtp);
    info->other_bytes = bytes_of(arch, checkpoint, is_other);
    info->indexer_bytes = bytes_of(arch, checkpoint, is_indexer);
    info->resident_bytes =
        options->hold == GM_HOLD_STREAMED
            ? gm_weights_stream_bytes(arch, checkpoint, numerics, options->no_head)
            : gm_weights_bytes(arch, checkpoint, numerics, options->no_head);
    fill_cache(info, arch, numerics);
    gm_checkpoint_digest(checkpoint, info->digest);
    gm_arch_digest(arch, info->config_digest);
}

/* ---- opening ---- */

/* What is compared, as scores and sinks are: with a NaN among it the order would be another on
 * another device. */
static gm_status check_finite(const gm_arch *arch, const gm_checkpoint *checkpoint, gm_role role,
                              int layer, gm_error *err)
{
    gm_status status = GM_OK;
    gm_slice slice;
    gm_tensor tensor;
    if (!gm_arch_tensor(arch, role, layer, 0, &slice)) return GM_OK;
    GM_TRY(gm_checkpoint_get(checkpoint, &slice, &tensor, err));
    for (size_t i = 0; i < slice.rows * slice.cols; i++) {
        float value;
        gm_tensor_to_f32(&tensor, i, 1, &value);
        if (!isfinite(value))
            GM_FAIL(GM_EFORMAT, "'%s': element %zu of '%s' is %g, expected a finite number",
                    tensor.file, i, slice.name, (double)value);
    }
out:
    return status;
}

/* Of what is computed; those of every matrix lie beside it. (Those of four bits are a sixteenth of
 * the weights: they are checked as they are read.) */
static gm_status check_scales(const gm_arch *arch, const gm_checkpoint *checkpoint, gm_error *err)
{
    const char *suffix = arch->blocks.packing ? NULL : arch->blocks.suffix;
    for (size_t i = 0; suffix && i < gm_checkpoint_n(checkpoint); i++) {
        const gm_tensor *t = gm_checkpoint_at(checkpoint, i);
        if (!gm_ends_in(t->name, suffix) || is_unread(arch, t->name)) continue;
        gm_status status = gm_scales_check(t, err);
        if (status != GM_OK) return status;
    }
    return GM_OK;
}

/* What is left when arch and checkpoint are there: checks, info, weights. */
static gm_status complete(gm_model *m, const gm_model_options *options, gm_error *err)
{
    gm_status status = GM_OK;
    GM_TRY(gm_model_check_tensors(&m->arch, m->checkpoint, err));
    gm_numerics numerics = gm_model_numerics(&m->arch, m->checkpoint, options->numerics);
    m->info.folder = m->folder;
    m->info.kernels = m->info.device = m->info.invariance = "";
    fill_architecture(&m->info, &m->arch);
    fill_generation(&m->info, &m->arch);
    fill_weights(&m->info, &m->arch, m->checkpoint, numerics, options);
    if (!options->headers_only) {
        GM_TRY(check_scales(&m->arch, m->checkpoint, err));
        for (int l = 0; l < m->arch.n_layers; l++) {
            GM_TRY(check_finite(&m->arch, m->checkpoint, GM_ROLE_ROUTER_CORRECTION, l, err));
            GM_TRY(check_finite(&m->arch, m->checkpoint, GM_ROLE_SINKS, l, err));
        }
        GM_TRY(gm_weights_create(&m->weights, &m->arch, m->checkpoint, &m->info, options, err));
        m->info.kernels = gm_weights_kernels(m->weights);
        m->info.device = m->weights->device;
        m->info.invariance = m->weights->own ? "A" : "B"; /* host memory: B */
        if (m->weights->own) m->info.resident_bytes = m->weights->resident_bytes;
    }
out:
    return status;
}

static gm_model *start(const char *folder)
{
    gm_model *m = gm_alloc(1, sizeof *m);
    if (m) m->folder = gm_copy_text(folder, strlen(folder));
    if (m && m->folder) return m;
    gm_free(m);
    return NULL;
}

static bool has(const gm_model *m, gm_role role, int layer)
{
    gm_slice slice;
    return gm_arch_tensor(&m->arch, role, layer, 0, &slice) &&
           gm_checkpoint_find(m->checkpoint, slice.name) != NULL;
}

/* Where config.json ties the head to the embeddings and the weights have one all the same, that is
 * the head: so does transformers (since 5.0) when the two differ, and when they do not it is the
 * same. */
static void find_head(gm_model *m, const gm_model_options *o)
{
    char sentence[256];
    gm_slice slice;
    if (!m->arch.tied_head) return;
    m->arch.tied_head = false;
    m->arch.tied_head = !has(m, GM_ROLE_HEAD, 0);
    if (m->arch.tied_head || o->notice == NULL || o->headers_only)
        return; /* it is said once, with the weights */
    (void)gm_arch_tensor(&m->arch, GM_ROLE_HEAD, 0, 0, &slice);
    snprintf(sentence, sizeof sentence,
             "'%s' is used as the head, although config.json ties the head to the embeddings",
             slice.name);
    o->notice(o->notice_context, sentence);
}

/* Names may be a larger model's, whatever the config is, dense layers have one of two, and experts
 * be stacked or one by one. */
static void find_names(gm_model *m)
{
    gm_arch *arch = &m->arch;
    const bool inside = arch->inside;
    int dense = 0;
    while (dense + 1 < arch->n_layers && arch->moe_of_layer[dense] >= 0) dense++;
    arch->dense_too = arch->family->dense_too[0] != NULL;
    arch->dense_too = arch->dense_too && has(m, GM_ROLE_DENSE_GATE, dense);
    arch->inside = arch->family->inner && !inside;
    if (!has(m, GM_ROLE_EMBED, 0)) arch->inside = inside;
    if (arch->family->stacked[0] == NULL) return;
    arch->stacked = true;
    arch->stacked = has(m, GM_ROLE_EXPERT_GATE, arch->layer_of_moe[0]);
}

/* Has a stack the shape of rows? A square one has that of columns, too. */
static bool fits_rows(const gm_model *m, gm_role role)
{
    gm_slice slice;
    (void)gm_arch_tensor(&m->arch, role, m->arch.layer_of_moe[0], 0, &slice);
    const gm_tensor *stack = gm_checkpoint_find(m->checkpoint, slice.name);
    return stack && stack->rank == 3 && stack->dim[1] == slice.stack_rows &&
           stack->dim[2] == slice.cols;
}

/* Published stacks may hold columns, and those of a model that transformers has made rows. Gate and
 * up together are square where experts are half as wide as the model, `down` where they are as wide
 * as it is: never both. */
static void find_form(gm_model *m)
{
    if (m->arch.family->either && fits_rows(m, GM_ROLE_EXPERT_GATE) &&
        fits_rows(m, GM_ROLE_EXPERT_DOWN))
        m->arch.stored = GM_STORED_ROWS;
}

static const gm_model_options defaults = {0};

gm_status gm_model_open(gm_model **out, const char *folder, const gm_model_options *options,
                        gm_error *err)
{
    gm_status status = GM_OK;
    gm_model *m = start(folder);
    *out = NULL;
    if (m == NULL) return gm_fail(err, GM_EMEM, "no memory to open '%s'", folder);

    GM_TRY(gm_arch_read(&m->arch, folder, err));
    GM_TRY(gm_checkpoint_open(&m->checkpoint, folder, err));
    find_names(m);
    find_head(m, options ? options : &defaults);
    find_form(m);
    GM_TRY(complete(m, options ? options : &defaults, err));
    *out = m;
    m = NULL;
out:
    gm_model_close(m);
    return status;
}

gm_status gm_model_open_random(gm_model **out, const char *name, const char *config,
                               const gm_model_options *options, gm_error *err)
{
    gm_status status = GM_OK;
    gm_json *json = NULL;
    gm_model *m = start(name);
    *out = NULL;
    if (m == NULL) return gm_fail(err, GM_EMEM, "no memory to open '%s'", name);

    GM_TRY(gm_json_parse(&json, config, strlen(config), name, err));
    GM_TRY(gm_arch_from_json(&m->arch, json, name, NULL, NULL, err));
    GM_TRY(gm_checkpoint_random(&m->checkpoint, &m->arch, err));
    GM_TRY(complete(m, options ? options : &defaults, err));
    *out = m;
    m = NULL;
out:
    gm_json_free(json);
    gm_model_close(m);
    return status;
}

void gm_model_close(gm_model *m)
{
    if (m == NULL) return;
    gm_weights_free(m->weights);
    gm_checkpoint_close(m->checkpoint);
    gm_arch_clear(&m->arch);
    gm_free(m->folder);
    gm_free(m);
}

bool gm_model_layer_has(const gm_model *m, int layer, gm_layer_part part)
{
    const gm_arch *arch = &m->arch;
    const bool window = arch->window && arch->window[layer] > 0;
    switch (part) {
    case GM_LAYER_ATTENTION: return gm_arch_has_keys(arch, layer) && !window;
    case GM_LAYER_WINDOW: return gm_arch_has_keys(arch, layer) && window;
    case GM_LAYER_DELTA:
        return gm_arch_is_delta(arch, layer) && !arch->mamba && !gm_arch_only_convolves(arch) &&
               arch->delta.rank == 0;
    case GM_LAYER_KDA: return gm_arch_is_delta(arch, layer) && arch->delta.rank > 0;
    case GM_LAYER_MAMBA: return gm_arch_is_delta(arch, layer) && arch->mamba;
    case GM_LAYER_CONVOLVES: return gm_arch_is_delta(arch, layer) && gm_arch_only_convolves(arch);
    case GM_LAYER_MLP: return gm_arch_has_mlp(arch, layer) && arch->moe_of_layer[layer] < 0;
    default: return arch->moe_of_layer[layer] >= 0;
    }
}

double gm_model_waited(const gm_model *m)
{
    return m->weights && m->weights->stream ? gm_layer_stream_waited(m->weights->stream) : 0.0;
}

const gm_model_info *gm_model_get_info(const gm_model *m)
{
    return &m->info;
}
