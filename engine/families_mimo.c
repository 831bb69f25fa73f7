/* families_mimo.c - MiMo-V2-Flash's row of the table of families: layers with a window have sinks,
 * other angles and twice the KV heads of those that see all positions; values are narrower than
 * keys, and scaled.
 */
#include "engine/families_rows.h"

#include <string.h>

static const char *const mimo_keys[] = {
    "n_routed_experts",
    "n_shared_experts",
    "moe_intermediate_size",
    "mlp_layer_types",
    "moe_layer_freq",
    "routed_scaling_factor",
    "n_group",
    "topk_group",
    "scoring_func",
    "topk_method",
    "attention_bias",
    "attention_value_scale",
    "v_head_dim",
    "layer_types",
    "hybrid_layer_pattern",
    "sliding_window",
    "sliding_window_size",
    "partial_rotary_factor",
    "layernorm_epsilon",
    "swa_rope_theta",
    "swa_num_attention_heads",
    "swa_num_key_value_heads",
    "swa_head_dim",
    "swa_v_head_dim",
    "add_full_attention_sink_bias",
    "add_swa_attention_sink_bias",
    "attention_chunk_size", /* of a server's kernels */
    "hybrid_block_size",    /* said once more, layer by layer */
    NULL,
};

/* What the files beside the weights say in their own keys, of which transformers' class reads none:
 * what it takes instead. A number of a list that has one for each layer. */
static gm_status check_list(const gm_json *config, const char *key, const gm_arch *arch,
                            bool (*expected)(const gm_arch *arch, int layer), const char *where,
                            gm_error *err)
{
    const gm_json *list = gm_json_find(config, key);
    int n = 0;
    if (!gm_config_has(config, key)) return GM_OK;
    bool same =
        gm_json_kind_of(list) == GM_JSON_ARRAY && gm_json_n_items(list) == (size_t)arch->n_layers;
    for (const gm_json *v = same ? gm_json_first(list) : NULL; v && same;
         v = gm_json_next(v), n++) {
        int64_t one;
        same = gm_json_i64(v, &one) && one == expected(arch, n);
    }
    if (same) return GM_OK;
    return gm_fail(err, GM_EFORMAT, "'%s': '%s' does not say of each layer what the other keys do",
                   where, key);
}

static bool has_window(const gm_arch *arch, int layer)
{
    return arch->window[layer] > 0;
}

static bool has_experts(const gm_arch *arch, int layer)
{
    return arch->moe_of_layer[layer] >= 0;
}

static gm_status check_mimo(const gm_json *config, const char *where, const gm_arch *arch,
                            gm_error *err)
{
    static const char *const scores[] = {"sigmoid", NULL}, *const methods[] = {"noaux_tc", NULL};
    gm_status status = GM_OK;
    const struct {
        const char *key;
        int only;
    } number[] = {{"swa_num_attention_heads", arch->n_heads},
                  {"swa_num_key_value_heads", arch->n_kv_heads},
                  {"swa_head_dim", arch->head_dim},
                  {"swa_v_head_dim", arch->value_dim},
                  {"n_shared_experts", 0}};
    int any;
    GM_TRY(gm_expect_text(config, "scoring_func", scores, where, err));
    GM_TRY(gm_expect_text(config, "topk_method", methods, where, err));
    GM_TRY(gm_expect_bool(config, "add_full_attention_sink_bias", false, where, err));
    GM_TRY(gm_expect_bool(config, "add_swa_attention_sink_bias", true, where, err));
    for (size_t i = 0; i < sizeof number / sizeof number[0]; i++)
        GM_TRY(gm_config_int_or(config, number[i].key, number[i].only, number[i].only,
                                number[i].only, &any, where, err));
    GM_TRY(check_list(config, "hybrid_layer_pattern", arch, has_window, where, err));
    GM_TRY(check_list(config, "moe_layer_freq", arch, has_experts, where, err));
out:
    return status;
}

/* Which layers have a window, and the heads and angles of both types. n_kv_heads is that of layers
 * that see all. */
static gm_status read_layers(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    enum { WINDOW = 129 };
    gm_status status = GM_OK;
    gm_rope near = {.amplitude = 1.0, .attention = 1.0, .alpha = 1.0}, far = near;
    gm_global *global = &arch->global;
    int window, before;
    GM_TRY(gm_config_int_or(config, "sliding_window", 1, INT32_MAX, WINDOW, &window, where, err));
    GM_TRY(gm_config_int_or(config, "sliding_window_size", 0, INT32_MAX - 1, window - 1, &before,
                            where, err));
    GM_TRY(gm_read_each_window(config, before + 1, 6, where, arch, err));
    if (!gm_config_has(config, "layer_types")) arch->window[0] = 0;
    *global = (gm_global){.n_kv_heads = arch->n_kv_heads, .head_dim = arch->head_dim};
    GM_TRY(gm_config_int_or(config, "v_head_dim", 2, arch->head_dim, 128, &arch->value_dim, where,
                            err));
    arch->head_out = global->value_dim = arch->value_dim;
    arch->n_kv_heads *= 2;
    if (arch->n_heads % arch->n_kv_heads != 0)
        GM_FAIL(GM_EFORMAT,
                "'%s': %d attention heads, expected a multiple of twice 'num_key_value_heads'",
                where, arch->n_heads);
    GM_TRY(gm_json_get_f64_or(config, "swa_rope_theta", 1, 1e12, 1e4, &near.theta, where, err));
    GM_TRY(gm_json_get_f64_or(config, "rope_theta", 1, 1e12, arch->family->rope_theta, &far.theta,
                              where, err));
    GM_TRY(gm_rope_read_type(&arch->rope, config, arch->family, "sliding_attention", &near,
                             (size_t)arch->head_dim, where, err));
    GM_TRY(gm_rope_read_type(&global->rope, config, arch->family, "full_attention", &far,
                             (size_t)arch->head_dim, where, err));
out:
    return status;
}

/* Source: Xiaomi's report, arXiv:2601.02780; transformers, models/mimo_v2_flash: DeepSeek-V3's
 * router in front of experts without shared ones. */
static gm_status read_mimo(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    static const char scale_key[] = "attention_value_scale";
    static const gm_moe_layers layers = {.first = 1, .every = 1, .types = "mlp_layer_types"};
    gm_status status = GM_OK;
    gm_router_desc *r = &arch->router;
    double scale, value_scale, epsilon;
    GM_TRY(gm_config_int_or(config, "n_routed_experts", 1, GM_MAX_EXPERTS, 256, &arch->n_experts,
                            where, err));
    GM_TRY(gm_config_int(config, "moe_intermediate_size", 1, GM_MAX_WIDTH, &arch->expert_width,
                         where, err));
    GM_TRY(gm_json_get_bool_or(config, "norm_topk_prob", true, &r->renormalise, where, err));
    GM_TRY(gm_json_get_f64_or(config, "routed_scaling_factor", 1e-6, 1e6, 1, &scale, where, err));
    GM_TRY(gm_read_groups(config, where, arch, err));
    GM_TRY(gm_arch_place_moe(arch, &layers, config, where, err));
    GM_TRY(read_layers(config, where, arch, err));
    GM_TRY(gm_json_get_bool_or(config, "attention_bias", false, &arch->attention_bias, where, err));
    GM_TRY(gm_json_get_f64_or(config, scale_key, 1e-6, 1e6,
                              gm_json_find(config, scale_key) ? 1 : 0.707, /* null: none */
                              &value_scale, where, err));
    GM_TRY(gm_json_get_f64_or(config, "layernorm_epsilon", 0, 1, (double)arch->norm_epsilon,
                              &epsilon, where, err));
    GM_TRY(check_mimo(config, where, arch, err));
    if (!gm_config_has(config, "rms_norm_eps")) arch->norm_epsilon = (float)epsilon;
    arch->value_scale = (float)value_scale;
    arch->n_mtp = 3; /* no key says how many */
    r->scale = (float)scale;
    r->scoring = GM_SCORE_SIGMOID;
    r->has_correction = true;
    r->renorm_epsilon = 1e-20f;
out:
    return status;
}

static const gm_family families[] = {
    {.architecture = "MiMoV2FlashForCausalLM",
     .model_type = "mimo_v2_flash",
     .name = "mimo-v2-flash",
     .norm_epsilon = 1e-5f,
     .rope_theta = 5e6,
     .rotary_part = 0.334,
     .global = true,
     .mtp_prefix = "model.mtp.",
     .keys = mimo_keys,
     .read = read_mimo,
     .tensor =
         {LLAMA_TENSORS, QKV_BIAS_TENSORS, DENSE_TENSORS, GATED_EXPERT_TENSORS,
          CORRECTION_TENSOR, [GM_ROLE_SINKS] = "model.layers.%d.self_attn.attention_sink_bias"}},
};

enum { N_FAMILIES = sizeof families / sizeof families[0] };

const gm_family *gm_mimo_family_at(size_t i)
{
    return i < N_FAMILIES ? &families[i] : gm_kimi_family_at(i - N_FAMILIES);
}
