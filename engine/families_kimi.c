/* families_kimi.c - Kimi-Linear's row of the table of families: most layers have Kimi Delta
 * Attention (gm_delta, arch.h), the others latent attention without positions; DeepSeek-V3's
 * router.
 *
 * Source: arXiv:2510.26692; transformers, models/kimi_linear, whose class keeps tensors by other
 * names than the published ones, under which it reads and saves them.
 */
#include "engine/families_rows.h"

#include <string.h>

enum { MAX_TAPS = 64, UNSAID = -2 };

static const char linear_key[] = "kda_layers", full_key[] = "full_attn_layers";

/* The published names of what others share, and what is inside an object of the config. */
static const gm_renamed names[] = {
    {"max_position_embeddings", NULL, "model_max_length"},
    {"norm_topk_prob", NULL, "moe_renormalize"},
    {"n_group", NULL, "num_expert_group"},
    {"n_routed_experts", NULL, "num_experts"},
    {"n_shared_experts", NULL, "num_shared_experts"},
    {"num_experts_per_tok", NULL, "num_experts_per_token"},
    {"linear_head_dim", "linear_attn_config", "head_dim"},
    {"linear_num_heads", "linear_attn_config", "num_heads"},
    {"linear_conv_kernel_dim", "linear_attn_config", "short_conv_kernel_size"},
    {linear_key, "linear_attn_config", linear_key},
    {full_key, "linear_attn_config", full_key},
    {NULL, NULL, NULL},
};

static const char *const kimi_keys[] = {
    "q_lora_rank",
    "kv_lora_rank",
    "qk_nope_head_dim",
    "qk_rope_head_dim",
    "qk_head_dim",
    "v_head_dim",
    "mla_use_nope",
    "n_routed_experts",
    "n_shared_experts",
    "moe_intermediate_size",
    "first_k_dense_replace",
    "moe_layer_freq",
    "mlp_layer_types",
    "n_group",
    "topk_group",
    "topk_method",
    "use_grouped_topk",
    "moe_router_activation_func",
    "routed_scaling_factor",
    "num_nextn_predict_layers",
    "layer_types",
    "linear_head_dim",
    "linear_num_heads",
    "linear_conv_kernel_dim",
    linear_key,
    full_key,
    "gate_lower_bound",
    "use_full_rank_gate",
    NULL,
};

/* The layers of a list, counted from 1, are of a kind: 0, or -1 with attention. */
static gm_status mark(gm_arch *arch, const gm_json *config, const char *key, int kind,
                      const char *where, gm_error *err)
{
    const gm_json *list = gm_json_find(config, key);
    if (list == NULL || gm_json_kind_of(list) != GM_JSON_ARRAY)
        return gm_fail(err, GM_EFORMAT, "'%s': '%s' is not a list", where, key);
    for (const gm_json *v = gm_json_first(list); v; v = gm_json_next(v)) {
        int64_t layer;
        if (!gm_json_i64(v, &layer) || layer < 1 || layer > arch->n_layers ||
            arch->delta_of_layer[layer - 1] != UNSAID)
            return gm_fail(err, GM_EFORMAT,
                           "'%s': '%s' contains a value that is not a further layer from 1 to %d",
                           where, key, arch->n_layers);
        arch->delta_of_layer[layer - 1] = kind;
    }
    return GM_OK;
}

static gm_status read_lists(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t n = (size_t)arch->n_layers;
    arch->delta_of_layer = gm_alloc(n, sizeof *arch->delta_of_layer);
    if (arch->delta_of_layer == NULL) GM_FAIL(GM_EMEM, "no memory for the layers of '%s'", where);
    for (size_t i = 0; i < n; i++) arch->delta_of_layer[i] = UNSAID;
    GM_TRY(mark(arch, config, full_key, -1, where, err));
    GM_TRY(mark(arch, config, linear_key, 0, where, err));
    for (size_t i = 0; i < n; i++) {
        if (arch->delta_of_layer[i] == UNSAID)
            GM_FAIL(GM_EFORMAT, "'%s': layer %zu is neither in '%s' nor in '%s'", where, i + 1,
                    linear_key, full_key);
        if (arch->delta_of_layer[i] == 0) arch->delta_of_layer[i] = arch->n_delta++;
    }
out:
    return status;
}

/* Two lists of numbers, as published, or one of names, as transformers saves it. */
static gm_status read_layers(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    static const char *const linear[] = {"linear_attention", "linear_attention"};
    static const char *const full[] = {"full_attention", "full_attention"};
    gm_status status = GM_OK;
    const bool listed = gm_config_has(config, linear_key) || gm_config_has(config, full_key);
    const gm_json *type = gm_json_find(config, "layer_types");
    if (!listed) return gm_read_kinds(config, linear, full, where, arch, err);
    GM_TRY(read_lists(config, where, arch, err));
    if (!gm_config_has(config, "layer_types")) goto out;
    const bool all =
        gm_json_kind_of(type) == GM_JSON_ARRAY && gm_json_n_items(type) == (size_t)arch->n_layers;
    type = all ? gm_json_first(type) : NULL;
    for (int i = 0; i < arch->n_layers; i++, type = gm_json_next(type)) {
        const char *text = type ? gm_json_text(type, NULL) : NULL;
        if (text == NULL || strcmp(text, arch->delta_of_layer[i] < 0 ? full[0] : linear[0]) != 0)
            GM_FAIL(GM_EFORMAT, "'%s': '%s' and 'layer_types' disagree on layer %d", where,
                    linear_key, i + 1);
    }
out:
    return status;
}

static gm_status read_sizes(const gm_json *config, const char *where, gm_delta *d, gm_error *err)
{
    gm_status status = GM_OK;
    GM_TRY(gm_config_int(config, "linear_head_dim", 1, GM_MAX_HEAD_DIM, &d->key, where, err));
    GM_TRY(
        gm_config_int(config, "linear_num_heads", 1, GM_MAX_HEAD_DIM, &d->key_heads, where, err));
    GM_TRY(gm_config_int(config, "linear_conv_kernel_dim", 2, MAX_TAPS, &d->taps, where, err));
    d->value_heads = d->key_heads;
    d->value = d->rank = d->key;
    if ((int64_t)d->key_heads * d->key > GM_MAX_WIDTH)
        GM_FAIL(GM_EFORMAT, "'%s': %d linear heads of %d, expected at most %d together", where,
                d->key_heads, d->key, GM_MAX_WIDTH);
out:
    return status;
}

/* Where these are absent, the published code and transformers take other values, or those of the
 * published model. */
static gm_status expect_numbers(const gm_json *config, const char *where, gm_error *err)
{
    static const char *const needed[] = {"n_shared_experts", "routed_scaling_factor",
                                         "rms_norm_eps"};
    gm_status status = GM_OK;
    double any; /* read and bounded elsewhere */
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++)
        GM_TRY(gm_json_get_f64(config, needed[i], 0, 1e6, &any, where, err));
    if (!gm_config_has(config, "mlp_layer_types"))
        GM_TRY(gm_json_get_f64(config, "first_k_dense_replace", 0, 1e6, &any, where, err));
out:
    return status;
}

static gm_status read_kimi(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    static const char *const scores[] = {"sigmoid", NULL}, *const methods[] = {"noaux_tc", NULL};
    gm_status status = GM_OK;
    GM_TRY(expect_numbers(config, where, err));
    GM_TRY(gm_expect_bool(config, "mla_use_nope", true, where, err));
    GM_TRY(gm_expect_bool(config, "use_grouped_topk", true, where, err));
    GM_TRY(gm_expect_bool(config, "use_full_rank_gate", false, where, err)); /* Kimi-K3's */
    GM_TRY(gm_expect_text(config, "moe_router_activation_func", scores, where, err));
    GM_TRY(gm_expect_text(config, "topk_method", methods, where, err));
    if (gm_config_has(config, "gate_lower_bound")) /* likewise */
        GM_FAIL(GM_EFORMAT, "'%s': 'gate_lower_bound' is not null, but only null is supported",
                where);
    GM_TRY(read_sizes(config, where, &arch->delta, err));
    GM_TRY(read_layers(config, where, arch, err));
    GM_TRY(gm_read_corrected(config, true, where, arch, err));
    arch->rope.dim = 0;
out:
    return status;
}

static const gm_family families[] = {
    {.architecture = "KimiLinearForCausalLM",
     .model_type = "kimi_linear",
     .name = "kimi-linear",
     .norm_epsilon = 1e-5f,
     .rope_theta = 1e4,
     .latent = true,
     .renamed = names,
     .keys = kimi_keys,
     .read = read_kimi,
     /* as transformers 5.24 saves them */
     .dense_too = {"model.layers.%d.block_sparse_moe.gate_proj.weight",
                   "model.layers.%d.block_sparse_moe.up_proj.weight",
                   "model.layers.%d.block_sparse_moe.down_proj.weight"},
     .tensor = {COMMON_TENSORS,
                QKV_LATENT_TENSORS,
                DENSE_TENSORS,
                MIXTRAL_EXPERT_TENSORS,
                [GM_ROLE_ROUTER_CORRECTION] =
                    "model.layers.%d.block_sparse_moe.gate.e_score_correction_bias",
                [GM_ROLE_SHARED_GATE] =
                    "model.layers.%d.block_sparse_moe.shared_experts.gate_proj.weight",
                [GM_ROLE_SHARED_UP] =
                    "model.layers.%d.block_sparse_moe.shared_experts.up_proj.weight",
                [GM_ROLE_SHARED_DOWN] =
                    "model.layers.%d.block_sparse_moe.shared_experts.down_proj.weight",
                [GM_ROLE_DELTA_Q] = "model.layers.%d.self_attn.q_proj.weight",
                [GM_ROLE_DELTA_K] = "model.layers.%d.self_attn.k_proj.weight",
                [GM_ROLE_DELTA_V] = "model.layers.%d.self_attn.v_proj.weight",
                [GM_ROLE_DELTA_Z] = "model.layers.%d.self_attn.g_a_proj.weight",
                [GM_ROLE_DELTA_B] = "model.layers.%d.self_attn.b_proj.weight",
                [GM_ROLE_DELTA_A] = "model.layers.%d.self_attn.f_a_proj.weight",
                [GM_ROLE_DELTA_Z_UP] = "model.layers.%d.self_attn.g_b_proj.weight",
                [GM_ROLE_DELTA_A_UP] = "model.layers.%d.self_attn.f_b_proj.weight",
                [GM_ROLE_DELTA_CONV] = "model.layers.%d.self_attn.q_conv1d.weight",
                [GM_ROLE_DELTA_CONV_K] = "model.layers.%d.self_attn.k_conv1d.weight",
                [GM_ROLE_DELTA_CONV_V] = "model.layers.%d.self_attn.v_conv1d.weight",
                [GM_ROLE_DELTA_RATE] = "model.layers.%d.self_attn.A_log",
                [GM_ROLE_DELTA_BIAS] = "model.layers.%d.self_attn.dt_bias",
                [GM_ROLE_DELTA_NORM] = "model.layers.%d.self_attn.o_norm.weight",
                [GM_ROLE_DELTA_O] = "model.layers.%d.self_attn.o_proj.weight"}},
};

enum { N_FAMILIES = sizeof families / sizeof families[0] };

const gm_family *gm_kimi_family_at(size_t i)
{
    return i < N_FAMILIES ? &families[i] : NULL;
}
