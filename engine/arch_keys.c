/* arch_keys.c - see arch_keys.h. */
#include "engine/arch_keys.h"

#include "base/text.h"
#include "engine/families.h"
#include "engine/quantised.h"

#include <stdio.h>
#include <string.h>

/* Fields whose other values change what the model computes. Absent and null mean
 * the value given here. */
static const struct fixed_field {
    const char *key;
    gm_json_kind kind; /* of the value that is computed; NULL: only null is */
    double number;     /* also of a bool */
    const char *text;
} fixed_fields[] = {
    {"hidden_act", GM_JSON_TEXT, 0, "silu"},
    {"scoring_func", GM_JSON_TEXT, 0, "softmax"},
    {"topk_method", GM_JSON_TEXT, 0, "greedy"},
    {"n_group", GM_JSON_NUMBER, 1, NULL},
    {"topk_group", GM_JSON_NUMBER, 1, NULL},
    {"routed_scaling_factor", GM_JSON_NUMBER, 1, NULL},
    {"attention_bias", GM_JSON_BOOL, false, NULL},
    {"mlp_bias", GM_JSON_BOOL, false, NULL},
    {"clip_qkv", GM_JSON_NULL, 0, NULL},
    {"use_sliding_window", GM_JSON_BOOL, false, NULL},
    {"sliding_window", GM_JSON_NULL, 0, NULL},
    {"partial_rotary_factor", GM_JSON_NUMBER, 1, NULL},
    {"rope_interleave", GM_JSON_BOOL, false, NULL},
    {"q_lora_rank", GM_JSON_NULL, 0, NULL},
    {"kv_lora_rank", GM_JSON_NULL, 0, NULL},
    {"attention_multiplier", GM_JSON_NULL, 0, NULL},
    {"embedding_multiplier", GM_JSON_NUMBER, 1, NULL},
    {"residual_multiplier", GM_JSON_NUMBER, 1, NULL},
    {"logits_scaling", GM_JSON_NUMBER, 1, NULL},
    {"attn_logit_softcapping", GM_JSON_NULL, 0, NULL},
    {"final_logit_softcapping", GM_JSON_NULL, 0, NULL},
    {"num_nextn_predict_layers", GM_JSON_NUMBER, 0, NULL},
    {"is_encoder_decoder", GM_JSON_BOOL, false, NULL},
    {"add_cross_attention", GM_JSON_BOOL, false, NULL},
    {"quantization_config", GM_JSON_NULL, 0, NULL},
};

static const char quantised[] = "quantization_config";

enum { N_FIXED = sizeof fixed_fields / sizeof fixed_fields[0] };

/* Read by arch.c and rope.c. */
static const char *const common_keys[] = {
    "architectures",
    "model_type",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "layer_types",
    "intermediate_size",
    "vocab_size",
    "max_position_embeddings",
    "rms_norm_eps",
    "rope_theta",
    "rope_scaling",
    "rope_parameters",
    "tie_word_embeddings",
    "norm_topk_prob",
    "num_experts_per_tok",
    "bos_token_id",
    "eos_token_id",
    NULL,
};

/* Training, bookkeeping, how another program should run the model. */
static const char *const harmless_keys[] = {
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_name_or_path",
    "attention_dropout",
    "attn_implementation",
    "auto_map",
    "aux_loss_alpha",
    "dtype",
    "id2label",
    "initializer_range",
    "label2id",
    "moe_implementation",
    "output_attentions",
    "output_hidden_states",
    "output_router_logits",
    "pad_token_id",
    "pretraining_tp",
    "return_dict",
    "router_aux_loss_coef",
    "router_z_loss_coef",
    "seq_aux",
    "task_specific_params",
    "tokenizer_class",
    "torch_dtype",
    "transformers_version",
    "unsloth_fixed",
    "unsloth_version",
    "use_cache",
    NULL,
};

static bool in_list(const char *const *list, const char *key)
{
    for (; *list; list++) {
        if (strcmp(*list, key) == 0) return true;
    }
    return false;
}

static const struct fixed_field *find_fixed(const char *key)
{
    for (size_t i = 0; i < N_FIXED; i++) {
        if (strcmp(fixed_fields[i].key, key) == 0) return &fixed_fields[i];
    }
    return NULL;
}

/* A value as messages show it: "'yarn'", "2.5", "true", "an object". */
static const char *show_value(char buf[64], const gm_json *value)
{
    double number = 0;
    bool yes = false;
    switch (gm_json_kind_of(value)) {
    case GM_JSON_TEXT: snprintf(buf, 64, "'%.48s'", gm_json_text(value, NULL)); break;
    case GM_JSON_NUMBER:
        (void)gm_json_f64(value, &number);
        snprintf(buf, 64, "%g", number);
        break;
    case GM_JSON_BOOL:
        (void)gm_json_bool(value, &yes);
        snprintf(buf, 64, "%s", yes ? "true" : "false");
        break;
    case GM_JSON_NULL: snprintf(buf, 64, "null"); break;
    default: snprintf(buf, 64, "an %s", gm_json_kind_name(gm_json_kind_of(value)));
    }
    return buf;
}

static bool has_fixed_value(const struct fixed_field *field, const gm_json *value)
{
    double number;
    bool yes;
    if (gm_json_kind_of(value) != field->kind) return false;
    switch (field->kind) {
    case GM_JSON_TEXT: return strcmp(gm_json_text(value, NULL), field->text) == 0;
    case GM_JSON_NUMBER: return gm_json_f64(value, &number) && number == field->number;
    case GM_JSON_BOOL: return gm_json_bool(value, &yes) && yes == (field->number != 0);
    default: return true;
    }
}

static gm_status check_fixed(const struct fixed_field *field, const gm_json *value,
                             const char *where, gm_error *err)
{
    char found[64], expected[64];
    if (gm_json_kind_of(value) == GM_JSON_NULL || has_fixed_value(field, value)) return GM_OK;
    switch (field->kind) {
    case GM_JSON_TEXT: snprintf(expected, sizeof expected, "'%s'", field->text); break;
    case GM_JSON_NUMBER: snprintf(expected, sizeof expected, "%g", field->number); break;
    case GM_JSON_BOOL:
        snprintf(expected, sizeof expected, "%s", field->number != 0 ? "true" : "false");
        break;
    default: snprintf(expected, sizeof expected, "null");
    }
    return gm_fail(err, GM_EFORMAT, "'%s': '%s' is %s, but only %s is supported", where, field->key,
                   show_value(found, value), expected);
}

/* The kind of attention of every layer, as newer files say it: each the full one. */
static gm_status check_layer_types(const gm_json *config, const char *where, const gm_arch *arch,
                                   gm_error *err)
{
    static const char key[] = "layer_types";
    const gm_json *list = gm_json_find(config, key);
    if (list == NULL || gm_json_kind_of(list) == GM_JSON_NULL || in_list(arch->family->keys, key))
        return GM_OK;
    if (gm_json_kind_of(list) != GM_JSON_ARRAY)
        return gm_fail(err, GM_EFORMAT, "'%s': '%s' is not a list", where, key);
    for (const gm_json *v = gm_json_first(list); v; v = gm_json_next(v)) {
        const char *type = gm_json_text(v, NULL);
        if (type == NULL || strcmp(type, "full_attention") != 0)
            return gm_fail(err, GM_EFORMAT,
                           "'%s': '%s' contains '%.48s', but only 'full_attention' is supported",
                           where, key, type ? type : "");
    }
    return GM_OK;
}

/* Of one object of the config; what is unknown is added to a list. */
static gm_status check_keys(const gm_json *config, const char *where, gm_arch *arch,
                            gm_text *unknown, gm_error *err)
{
    gm_status status = GM_OK;
    for (size_t i = 0; i < N_FIXED; i++) {
        const gm_json *value = gm_json_find(config, fixed_fields[i].key);
        if (arch->blocks.suffix && strcmp(fixed_fields[i].key, quantised) == 0) continue;
        if (value && !in_list(arch->family->keys, fixed_fields[i].key))
            GM_TRY(check_fixed(&fixed_fields[i], value, where, err));
    }
    GM_TRY(check_layer_types(config, where, arch, err));
    for (const gm_json *v = gm_json_first(config); v; v = gm_json_next(v)) {
        const char *key = gm_json_key(v);
        if (in_list(common_keys, key) || in_list(harmless_keys, key) || find_fixed(key) ||
            in_list(arch->family->keys, key))
            continue;
        GM_TRY(gm_text_printf(unknown, err, "%s%s", unknown->n ? ", " : "", key));
    }
out:
    return status;
}

/* Around the part that takes text, or (Kimi-K2.5's way) in it, or in both places the same. */
static gm_status read_quantised(const gm_config_parts *parts, const char *where, gm_arch *arch,
                                gm_error *err)
{
    gm_scale_blocks inside = {0};
    gm_status status = gm_quantised_read(&arch->blocks, parts->outermost, where, err);
    if (status == GM_OK) status = gm_quantised_read(&inside, parts->own, where, err);
    if (status != GM_OK || inside.suffix == NULL) return status;
    if (arch->blocks.suffix && !gm_blocks_same(&arch->blocks, &inside))
        return gm_fail(err, GM_EFORMAT,
                       "'%s': '%s' of the whole and of the part that takes text say two things of "
                       "how weights are stored; remove the one that is wrong",
                       where, quantised);
    arch->blocks = inside;
    return GM_OK;
}

gm_status gm_arch_check_keys(const gm_config_parts *parts, const char *where, gm_arch *arch,
                             gm_error *err)
{
    gm_status status = GM_OK;
    gm_text unknown = {0};

    if (!in_list(arch->family->keys, quantised)) GM_TRY(read_quantised(parts, where, arch, err));
    GM_TRY(check_keys(parts->outermost, where, arch, &unknown, err));
    if (parts->outer != parts->outermost)
        GM_TRY(check_keys(parts->outer, where, arch, &unknown, err));
    if (parts->own != parts->outer) GM_TRY(check_keys(parts->own, where, arch, &unknown, err));
    if (unknown.n)
        gm_text_escape(arch->unknown_keys, sizeof arch->unknown_keys, unknown.at, unknown.n);
out:
    gm_text_clear(&unknown);
    return status;
}

gm_status gm_config_check_part(const gm_json *part, const char *name, const char *const *known,
                               const char *where, gm_error *err)
{
    gm_status status = GM_OK;
    for (const gm_json *v = gm_json_first(part); v; v = gm_json_next(v)) {
        const struct fixed_field *fixed = find_fixed(gm_json_key(v));
        if (in_list(known, gm_json_key(v)) || gm_json_kind_of(v) == GM_JSON_NULL) continue;
        if (fixed == NULL)
            GM_FAIL(GM_EFORMAT, "'%s': '%s' contains '%.64s', which is not supported", where, name,
                    gm_json_key(v));
        GM_TRY(check_fixed(fixed, v, where, err));
    }
out:
    return status;
}

gm_status gm_config_depth(const gm_json *config, int most, const char *where, gm_arch *arch,
                          gm_error *err)
{
    const char *key = arch->family->list_key;
    const gm_json *list = key ? gm_json_find(config, key) : NULL;
    if (list == NULL || gm_json_kind_of(list) != GM_JSON_ARRAY)
        return gm_config_int(config, "num_hidden_layers", 1, most, &arch->n_layers, where, err);
    const size_t n = gm_json_n_items(list);
    if (n < 1 || n > (size_t)most)
        return gm_fail(err, GM_EFORMAT, "'%s': '%s' lists %zu layers, expected 1 to %d", where, key,
                       n, most);
    arch->n_layers = (int)n;
    return GM_OK;
}
