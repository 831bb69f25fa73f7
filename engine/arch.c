/* arch.c - see arch.h. Fields are read here when they are the same in every family; the
 * others by the family itself. Which there may be: arch_keys.h.
 */
#include "engine/arch.h"

#include "base/folder.h"
#include "engine/arch_keys.h"
#include "engine/families.h"

#include <math.h>
#include <string.h>

enum {
    MAX_CONFIG_BYTES = 1 << 20,
    MAX_LAYERS = 1 << 10,
    MAX_WIDTH = 1 << 20,
    MAX_HEADS = 1 << 12,
    MAX_VOCAB = 1 << 28,
    MAX_CONTEXT = 1 << 28
};

bool gm_config_has(const gm_json *config, const char *key)
{
    const gm_json *value = key ? gm_json_find(config, key) : NULL;
    return value && gm_json_kind_of(value) != GM_JSON_NULL;
}

gm_status gm_config_int(const gm_json *config, const char *key, int lo, int hi, int *out,
                        const char *where, gm_error *err)
{
    int64_t value;
    gm_status status = gm_json_get_i64(config, key, lo, hi, &value, where, err);
    *out = status == GM_OK ? (int)value : 0;
    return status;
}

gm_status gm_config_int_or(const gm_json *config, const char *key, int lo, int hi, int fallback,
                           int *out, const char *where, gm_error *err)
{
    int64_t value;
    gm_status status = gm_json_get_i64_or(config, key, lo, hi, fallback, &value, where, err);
    *out = status == GM_OK ? (int)value : 0;
    return status;
}

gm_status gm_config_each(const gm_json *config, const char *key, int lo, int hi, int n_layers,
                         int *out, const char *where, gm_error *err)
{
    const gm_json *list = gm_json_find(config, key);
    const gm_json *first = list ? gm_json_first(list) : NULL;
    int64_t value = 0, other;
    if (list == NULL || gm_json_kind_of(list) != GM_JSON_ARRAY)
        return gm_config_int(config, key, lo, hi, out, where, err);
    *out = 0;
    bool same = gm_json_n_items(list) == (size_t)n_layers && gm_json_i64(first, &value) &&
                value >= lo && value <= hi;
    for (const gm_json *v = first; v && same; v = gm_json_next(v))
        same = gm_json_i64(v, &other) && other == value;
    if (!same)
        return gm_fail(err, GM_EFORMAT,
                       "'%s': '%s' is not the same number from %d to %d for each of %d layers",
                       where, key, lo, hi, n_layers);
    *out = (int)value;
    return GM_OK;
}

/* ---- reading config.json ---- */

static gm_status find_family(const gm_json *config, const char *where, const gm_family **out,
                             gm_error *err)
{
    gm_status status = GM_OK;
    const char *architecture = NULL, *type = NULL;

    const gm_json *list = gm_json_find(config, "architectures");
    if (list && gm_json_kind_of(list) == GM_JSON_ARRAY && gm_json_first(list))
        architecture = gm_json_text(gm_json_first(list), NULL);
    GM_TRY(gm_json_get_text_or(config, "model_type", NULL, &type, where, err));
    *out = gm_family_find(architecture, type);
    if (*out) goto out;

    GM_FAIL(GM_EFORMAT,
            "'%s': architecture '%s' is not supported; README.md lists those that are, and "
            "'gm-probe import' reads what another engine recorded",
            where,
            architecture ? architecture
            : type       ? type
                         : "");
out:
    return status;
}

static gm_status read_heads(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    gm_status status = GM_OK;
    GM_TRY(gm_config_int_or(config, "num_key_value_heads", 1, arch->n_heads, arch->n_heads,
                            &arch->n_kv_heads, where, err));
    GM_TRY(
        gm_config_int_or(config, "head_dim", 2, GM_MAX_HEAD_DIM, 0, &arch->head_dim, where, err));
    if (arch->n_heads % arch->n_kv_heads != 0)
        GM_FAIL(GM_EFORMAT,
                "'%s': 'num_key_value_heads' is %d, expected a divisor of the %d attention heads",
                where, arch->n_kv_heads, arch->n_heads);
    if (arch->head_dim == 0) {
        if (arch->width % arch->n_heads != 0)
            GM_FAIL(GM_EFORMAT,
                    "'%s': 'hidden_size' is %d, expected a multiple of the %d attention heads",
                    where, arch->width, arch->n_heads);
        arch->head_dim = arch->width / arch->n_heads;
    }
    if (arch->head_dim % 2 != 0 || arch->head_dim > GM_MAX_HEAD_DIM)
        GM_FAIL(GM_EFORMAT, "'%s': heads are %d wide, expected an even width, at most %d", where,
                arch->head_dim, GM_MAX_HEAD_DIM);
    arch->value_dim = arch->head_out = arch->head_dim;
    arch->attention_scale = (float)(1.0 / sqrt(arch->head_dim));
out:
    return status;
}

static gm_status read_attention(const gm_json *config, const char *where, gm_arch *arch,
                                gm_error *err)
{
    gm_status status = GM_OK;
    int turned;
    GM_TRY(gm_config_int(config, "num_attention_heads", 1, MAX_HEADS, &arch->n_heads, where, err));
    if (arch->family->latent) {
        GM_TRY(gm_latent_read(config, where, arch, &turned, err));
    } else {
        GM_TRY(read_heads(config, where, arch, err));
        turned = arch->head_dim;
    }
    if (arch->family->global) goto out; /* gm_global_read's */
    GM_TRY(gm_rope_read(&arch->rope, config, arch->family, (size_t)turned, where, err));
    arch->rope.neighbours = arch->family->latent;
    arch->attention_scale *= (float)arch->rope.attention;
out:
    return status;
}

/* An id that is there already is not another one. */
static gm_status add_eos(gm_arch *arch, uint32_t id, const char *where, gm_error *err)
{
    for (int i = 0; i < arch->n_eos; i++)
        if (arch->eos[i] == id) return GM_OK;
    if (arch->n_eos == GM_MAX_EOS)
        return gm_fail(err, GM_EFORMAT, "'%s': more than %d ids in 'eos_token_id'", where,
                       GM_MAX_EOS);
    arch->eos[arch->n_eos++] = id;
    return GM_OK;
}

/* Stop ids: a number or a list of numbers. Those of generation_config.json replace
 * those of config.json. */
static gm_status read_eos(const gm_json *config, const char *key, const char *where, gm_arch *arch,
                          gm_error *err)
{
    gm_status status = GM_OK;
    const gm_json *eos = gm_json_find(config, key);
    if (eos == NULL || gm_json_kind_of(eos) == GM_JSON_NULL) return GM_OK;

    bool list = gm_json_kind_of(eos) == GM_JSON_ARRAY;
    arch->n_eos = 0;
    for (const gm_json *id = list ? gm_json_first(eos) : eos; id;
         id = list ? gm_json_next(id) : NULL) {
        int64_t value;
        if (!gm_json_i64(id, &value) || value < 0 || value >= arch->vocab)
            return gm_fail(err, GM_EFORMAT,
                           "'%s': '%s' contains a value that is not an id from 0 to %d", where, key,
                           arch->vocab - 1);
        GM_TRY(add_eos(arch, (uint32_t)value, where, err));
    }
out:
    return status;
}

static gm_status read_config(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    gm_status status = GM_OK;
    const char *chosen =
        arch->family->chosen_key ? arch->family->chosen_key : "num_experts_per_tok";
    double epsilon;

    GM_TRY(gm_config_int(config, "hidden_size", 1, MAX_WIDTH, &arch->width, where, err));
    GM_TRY(gm_config_depth(config, MAX_LAYERS, where, arch, err));
    GM_TRY(gm_config_int(config, "vocab_size", 1, MAX_VOCAB, &arch->vocab, where, err));
    if (!arch->family->no_dense)
        GM_TRY(gm_config_int(config, "intermediate_size", 1, MAX_WIDTH, &arch->dense_width, where,
                             err));
    GM_TRY(gm_config_int(config, "max_position_embeddings", 1, MAX_CONTEXT, &arch->max_context,
                         where, err));
    GM_TRY(gm_config_each(config, chosen, 1, GM_NO_EXPERT, arch->n_layers, &arch->n_chosen, where,
                          err));
    GM_TRY(gm_json_get_f64_or(config, "rms_norm_eps", 0, 1, arch->family->norm_epsilon, &epsilon,
                              where, err));
    arch->norm_epsilon = (float)epsilon;
    GM_TRY(gm_json_get_bool_or(config, "tie_word_embeddings", arch->family->tied, &arch->tied_head,
                               where, err));
    GM_TRY(gm_json_get_bool_or(config, "norm_topk_prob", false, &arch->router.renormalise, where,
                               err));
    GM_TRY(
        gm_json_get_i64_or(config, "bos_token_id", 0, arch->vocab - 1, -1, &arch->bos, where, err));
    GM_TRY(read_eos(config, "eos_token_id", where, arch, err));
    GM_TRY(read_attention(config, where, arch, err));
    GM_TRY(arch->family->read(config, where, arch, err));
    if (arch->n_chosen > arch->n_experts)
        GM_FAIL(GM_EFORMAT, "'%s': '%s' is %d, expected at most the %d experts", where, chosen,
                arch->n_chosen, arch->n_experts);
out:
    return status;
}

static gm_status read_generation(const gm_json *config, const char *where, gm_arch *arch,
                                 gm_error *err)
{
    gm_status status = GM_OK;
    GM_TRY(gm_json_get_i64_or(config, "bos_token_id", 0, arch->vocab - 1, arch->bos, &arch->bos,
                              where, err));
    GM_TRY(read_eos(config, "eos_token_id", where, arch, err));
    GM_TRY(gm_json_get_bool_or(config, "do_sample", false, &arch->do_sample, where, err));
    GM_TRY(gm_json_get_f64_or(config, "temperature", 0, 1e3, 1, &arch->temperature, where, err));
    GM_TRY(gm_json_get_f64_or(config, "top_p", 0, 1, 1, &arch->top_p, where, err));
    GM_TRY(gm_json_get_f64_or(config, "repetition_penalty", 1e-3, 1e3, 1, &arch->repetition_penalty,
                              where, err));
    GM_TRY(gm_config_int_or(config, "top_k", -1, INT32_MAX, 50, &arch->top_k, where, err));
    if (arch->top_k == -1) arch->top_k = 0; /* vLLM's word for off */
    GM_TRY(gm_config_int_or(config, "max_new_tokens", 0, INT32_MAX, 0, &arch->max_new_tokens, where,
                            err));
out:
    return status;
}

static gm_status expect_object(const gm_json *document, const char *where, gm_error *err)
{
    if (gm_json_kind_of(document) == GM_JSON_OBJECT) return GM_OK;
    return gm_fail(err, GM_EFORMAT, "'%s' is not a JSON object", where);
}

gm_status gm_arch_from_json(gm_arch *out, const gm_json *config, const char *where,
                            const gm_json *generation, const char *generation_where, gm_error *err)
{
    gm_status status = GM_OK;
    gm_config_parts parts;
    gm_json *renamed = NULL;
    *out = (gm_arch){
        .bos = -1,
        .activation = {.slope = 1.0f},
        .router = {.scoring = GM_SCORE_SOFTMAX,
                   .n_groups = 1,
                   .top_groups = 1,
                   .scale = 1.0f,
                   .logit_scale = 1.0f},
        .embed_scale = 1.0f,
        .residual_scale = 1.0f,
        .logits_scale = 1.0f,
        .shared_scale = 1.0f,
        .value_scale = 1.0f,
        .temperature = 1,
        .top_p = 1,
        .repetition_penalty = 1,
        .top_k = 50,
    };

    GM_TRY(expect_object(config, where, err));
    GM_TRY(find_family(config, where, &out->family, err));
    GM_TRY(gm_config_rename(&renamed, config, where, out->family, err));
    if (renamed) config = renamed;
    GM_TRY(gm_config_find_parts(&parts, config, where, out->family, err));
    GM_TRY(gm_arch_check_keys(&parts, where, out, err));
    GM_TRY(read_config(parts.own, where, out, err));
    if (out->n_eos == 0 && out->family->end_key)
        GM_TRY(read_eos(parts.outermost, out->family->end_key, where, out, err));
    out->inside = parts.own != parts.outer;
    if (out->inside) GM_TRY(gm_config_read_tied(&parts, where, out, err));
    if (generation == NULL) goto out;
    GM_TRY(expect_object(generation, generation_where, err));
    GM_TRY(read_generation(generation, generation_where, out, err));
out:
    gm_json_free(renamed);
    if (status != GM_OK) gm_arch_clear(out);
    return status;
}

gm_status gm_arch_read(gm_arch *out, const char *folder, gm_error *err)
{
    gm_status status = GM_OK;
    gm_json *config = NULL, *generation = NULL;
    gm_text where = {0}, generation_where = {0};
    *out = (gm_arch){0};

    GM_TRY(gm_folder_file(&where, folder, "config.json", "model", err));
    GM_TRY(gm_text_printf(&generation_where, err, "%s/generation_config.json", folder));
    GM_TRY(gm_json_read_config(&config, where.at, MAX_CONFIG_BYTES, err));
    if (gm_path_is_taken(generation_where.at))
        GM_TRY(gm_json_read_file(&generation, generation_where.at, MAX_CONFIG_BYTES, err));
    GM_TRY(gm_arch_from_json(out, config, where.at, generation, generation_where.at, err));
out:
    gm_json_free(config);
    gm_json_free(generation);
    gm_text_clear(&where);
    gm_text_clear(&generation_where);
    return status;
}

void gm_arch_clear(gm_arch *arch)
{
    gm_free(arch->layer_of_moe);
    gm_free(arch->moe_of_layer);
    gm_free(arch->window);
    gm_free(arch->delta_of_layer);
    gm_free(arch->part);
    gm_rope_clear(&arch->rope);
    *arch = (gm_arch){0};
}

/* Put the layers that a list names among those that hold experts (0), or take them out (-1). */
static gm_status mark(gm_arch *arch, int as, const gm_json *config, const char *key,
                      const char *where, gm_error *err)
{
    if (!gm_config_has(config, key)) return GM_OK;
    const gm_json *list = gm_json_find(config, key);
    if (gm_json_kind_of(list) != GM_JSON_ARRAY)
        return gm_fail(err, GM_EFORMAT, "'%s': '%s' is not a list", where, key);
    for (const gm_json *v = gm_json_first(list); v; v = gm_json_next(v)) {
        int64_t layer;
        if (!gm_json_i64(v, &layer) || layer < 0 || layer >= arch->n_layers)
            return gm_fail(err, GM_EFORMAT,
                           "'%s': '%s' contains a value that is not a layer from 0 to %d", where,
                           key, arch->n_layers - 1);
        arch->moe_of_layer[layer] = as;
    }
    return GM_OK;
}

/* Which layers hold experts, from a list that says so. */
static gm_status read_types(gm_arch *arch, const gm_moe_layers *layers, const gm_json *config,
                            const char *where, gm_error *err)
{
    const bool also = gm_config_has(config, layers->also);
    int n = 0;
    if (!gm_config_has(config, layers->types)) return GM_OK;
    const gm_json *list = gm_json_find(config, layers->types);
    if (gm_json_kind_of(list) != GM_JSON_ARRAY || gm_json_n_items(list) != (size_t)arch->n_layers)
        return gm_fail(err, GM_EFORMAT, "'%s': '%s' is not a list of the %d layers' types", where,
                       layers->types, arch->n_layers);
    for (const gm_json *t = gm_json_first(list); t; t = gm_json_next(t), n++) {
        const char *type = gm_json_text(t, NULL);
        const bool moe = type && strcmp(type, "sparse") == 0;
        if (!moe && (type == NULL || strcmp(type, "dense") != 0))
            return gm_fail(err, GM_EFORMAT,
                           "'%s': '%s' holds '%.48s', expected 'dense' or 'sparse'", where,
                           layers->types, type ? type : gm_json_kind_name(gm_json_kind_of(t)));
        if (also && moe != (arch->moe_of_layer[n] >= 0))
            return gm_fail(err, GM_EFORMAT, "'%s': '%s' and '%s' disagree on layer %d", where,
                           layers->types, layers->also, n);
        arch->moe_of_layer[n] = moe ? 0 : -1;
    }
    return GM_OK;
}

gm_status gm_arch_place_moe(gm_arch *arch, const gm_moe_layers *layers, const gm_json *config,
                            const char *where, gm_error *err)
{
    size_t n = (size_t)arch->n_layers;
    arch->layer_of_moe = gm_alloc(n, sizeof *arch->layer_of_moe);
    arch->moe_of_layer = gm_alloc(n, sizeof *arch->moe_of_layer);
    if (arch->layer_of_moe == NULL || arch->moe_of_layer == NULL)
        return gm_fail(err, GM_EMEM, "no memory for the layers of '%s'", where);

    for (int layer = 0; layer < arch->n_layers; layer++) {
        bool moe = layer >= layers->first && (layers->end == 0 || layer < layers->end) &&
                   (layer + layers->shift) % layers->every == 0 &&
                   !gm_config_has(config, layers->sparse);
        arch->moe_of_layer[layer] = moe ? 0 : -1;
    }
    gm_status status = mark(arch, 0, config, layers->sparse, where, err);
    if (status == GM_OK) status = mark(arch, -1, config, layers->dense, where, err);
    if (status == GM_OK) status = read_types(arch, layers, config, where, err);
    if (status != GM_OK) return status;
    arch->n_moe = 0;
    for (int layer = 0; layer < arch->n_layers; layer++) {
        if (arch->moe_of_layer[layer] < 0) continue;
        arch->moe_of_layer[layer] = arch->n_moe;
        arch->layer_of_moe[arch->n_moe++] = layer;
    }
    if (arch->n_moe == 0)
        return gm_fail(err, GM_EFORMAT, "'%s': none of the %d layers is an MoE layer", where,
                       arch->n_layers);
    return GM_OK;
}
