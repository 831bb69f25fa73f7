/* families_windows.c - rows of the table of families whose heads turn only in layers with a window:
 * those that see all positions are told of none. Trinity (AFMoE), K-EXAONE and Cohere's.
 *
 * Routers of the first two correct the choice, as those of families_corrected.c do.
 */
#include "engine/families_rows.h"

#include <math.h>
#include <string.h>

enum { MAX_FURTHER = 64 }; /* parts that predict further tokens */

/* Layers without a window do not turn their heads, which are alike in all layers. */
static gm_status tell_global(const char *where, gm_arch *arch, gm_error *err)
{
    int n_global = 0;
    for (int i = 0; i < arch->n_layers; i++) n_global += arch->window[i] == 0;
    if (n_global == arch->n_layers)
        return gm_fail(err, GM_EFORMAT,
                       "'%s': 'layer_types' leaves no layer of 'sliding_attention'", where);
    if (n_global > 0)
        arch->global = (gm_global){.n_kv_heads = arch->n_kv_heads,
                                   .head_dim = arch->head_dim,
                                   .rope = {.amplitude = 1.0, .attention = 1.0, .alpha = 1.0}};
    return GM_OK;
}

/* Where the config does not name the layers' types, all but every `every`th have a window. */
static gm_status read_layers(const gm_json *config, int every, const char *where, gm_arch *arch,
                             gm_error *err)
{
    gm_status status = GM_OK;
    GM_TRY(gm_rope_read(&arch->rope, config, arch->family, (size_t)arch->head_dim, where, err));
    GM_TRY(gm_read_windows(config, every, where, arch, err));
    GM_TRY(tell_global(where, arch, err));
out:
    return status;
}

/* Experts and shared experts, as both families name them; `shared` is the number of the latter
 * where the config names none. */
static gm_status read_experts(const gm_json *config, int shared, const char *where, gm_arch *arch,
                              gm_error *err)
{
    gm_status status = GM_OK;
    gm_router_desc *r = &arch->router;
    GM_TRY(gm_config_int(config, "num_experts", 1, GM_MAX_EXPERTS, &arch->n_experts, where, err));
    GM_TRY(gm_config_int(config, "moe_intermediate_size", 1, GM_MAX_WIDTH, &arch->expert_width,
                         where, err));
    GM_TRY(gm_config_int_or(config, "num_shared_experts", 1, GM_MAX_SHARED, shared, &arch->n_shared,
                            where, err));
    arch->shared_width = arch->n_shared * arch->expert_width;
    arch->qk_norm = GM_QK_NORM_HEAD;
    r->scoring = GM_SCORE_SIGMOID;
    r->has_correction = true;
    r->renorm_epsilon = 1e-20f;
out:
    return status;
}

/* ---- AFMoE: Trinity Nano, Mini, Large ---- */

static const char *const afmoe_keys[] = {
    "num_experts",
    "num_shared_experts",
    "num_dense_layers",
    "moe_intermediate_size",
    "route_scale",
    "route_norm",
    "score_func",
    "scoring_func",
    "num_expert_groups",
    "num_limited_groups",
    "layer_types",
    "sliding_window",
    "global_attn_every_n_layers",
    "mup_enabled",
    "load_balance_coeff", /* these two: of training */
    "use_grouped_mm",
    NULL,
};

/* What is computed in one way only. */
static gm_status check_afmoe(const gm_json *config, const char *where, gm_error *err)
{
    static const char *const scores[] = {"sigmoid", NULL};
    gm_status status = GM_OK;
    int one;
    GM_TRY(gm_expect_text(config, "score_func", scores, where, err));
    GM_TRY(gm_expect_text(config, "scoring_func", scores, where, err));
    GM_TRY(gm_expect_bool(config, "route_norm", true, where, err));
    GM_TRY(gm_config_int_or(config, "num_expert_groups", 1, 1, 1, &one, where, err));
    GM_TRY(gm_config_int_or(config, "num_limited_groups", 1, 1, 1, &one, where, err));
out:
    return status;
}

/* Source: the Trinity Large report (Arcee, 2026); transformers, models/afmoe: norms before and
 * after attention and the MLP, a gate of attention's result in a tensor of its own, chosen weights
 * are always divided by their sum; the embedding may be scaled by the root of the width. */
static gm_status read_afmoe(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    gm_status status = GM_OK;
    gm_moe_layers layers = {.every = 1};
    double scale;
    bool scaled;
    int every;

    GM_TRY(check_afmoe(config, where, err));
    GM_TRY(read_experts(config, 2, where, arch, err));
    GM_TRY(gm_config_int_or(config, "num_dense_layers", 0, arch->n_layers, 1, &layers.first, where,
                            err));
    GM_TRY(gm_config_int_or(config, "global_attn_every_n_layers", 1, INT32_MAX, 4, &every, where,
                            err));
    GM_TRY(gm_json_get_f64_or(config, "route_scale", 1e-6, 1e6, 1, &scale, where, err));
    GM_TRY(gm_json_get_bool_or(config, "mup_enabled", false, &scaled, where, err));
    GM_TRY(read_layers(config, every, where, arch, err));
    GM_TRY(gm_arch_place_moe(arch, &layers, config, where, err));
    arch->gated_attention = true;
    arch->router.renormalise = true;
    arch->router.scale = (float)scale;
    if (scaled) arch->embed_scale = (float)sqrt(arch->width);
out:
    return status;
}

/* ---- EXAONE-MoE: K-EXAONE-236B-A23B ---- */

static const char *const exaone_keys[] = {
    "num_experts",
    "num_shared_experts",
    "moe_intermediate_size",
    "first_k_dense_replace",
    "mlp_layer_types",
    "routed_scaling_factor",
    "n_group",
    "topk_group",
    "scoring_func",
    "topk_method",
    "layer_types",
    "sliding_window",
    "sliding_window_pattern",
    "num_nextn_predict_layers",
    "is_moe_layer",               /* these two: older files say once more which layers are dense, */
    "first_last_k_dense_replace", /* as the tensors do */
    NULL,
};

/* Source: K-EXAONE's technical report (LG AI Research, 2026); transformers, models/exaone_moe: the
 * router of DeepSeek-V3, and a norm of q and k head by head. The pattern of layers is a number, or
 * letters that "layer_types" says once more. */
static gm_status read_exaone(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    static const char *const scores[] = {"sigmoid", NULL}, *const methods[] = {"noaux_tc", NULL};
    gm_status status = GM_OK;
    gm_router_desc *r = &arch->router;
    gm_moe_layers layers = {
        .every = 1, .types = "mlp_layer_types", .also = "first_k_dense_replace"};
    const bool said = gm_config_has(config, "layer_types");
    double scale;
    int every = 4;

    GM_TRY(gm_expect_text(config, "scoring_func", scores, where, err));
    GM_TRY(gm_expect_text(config, "topk_method", methods, where, err));
    GM_TRY(read_experts(config, 1, where, arch, err));
    GM_TRY(gm_read_groups(config, where, arch, err));
    GM_TRY(gm_json_get_bool_or(config, "norm_topk_prob", true, &r->renormalise, where, err));
    GM_TRY(gm_json_get_f64_or(config, "routed_scaling_factor", 1e-6, 1e6, 2.5, &scale, where, err));
    GM_TRY(gm_config_int_or(config, "first_k_dense_replace", 0, arch->n_layers, 1, &layers.first,
                            where, err));
    GM_TRY(gm_config_int_or(config, "num_nextn_predict_layers", 0, MAX_FURTHER, 0, &arch->n_mtp,
                            where, err));
    if (!said)
        GM_TRY(gm_config_int_or(config, "sliding_window_pattern", 1, INT32_MAX, every, &every,
                                where, err));
    GM_TRY(read_layers(config, every, where, arch, err));
    GM_TRY(gm_arch_place_moe(arch, &layers, config, where, err));
    r->scale = (float)scale;
out:
    return status;
}

/* ---- Cohere2-MoE: Command A+, North-Mini-Code ---- */

static const char *const cohere_keys[] = {
    "num_experts",
    "num_shared_experts",
    "shared_expert_combination_strategy",
    "expert_selection_fn",
    "first_k_dense_replace",
    "mlp_layer_types",
    "prefix_dense_intermediate_size",
    "prefix_dense_sliding_window_pattern",
    "layer_types",
    "sliding_window",
    "sliding_window_pattern",
    "layer_norm_eps",
    "logit_scale",
    "use_qk_norm",
    "use_parallel_block",
    "use_gated_activation",
    "rotary_pct",
    "position_embedding_type",
    "use_embedding_sharing", /* these: said elsewhere once more, or how others run the model */
    "use_parallel_embedding",
    "order_of_interleaved_layers",
    "layer_switch",
    "cache_implementation",
    NULL,
};

/* What is computed in one way only. */
static gm_status check_cohere(const gm_json *config, const char *where, gm_error *err)
{
    static const char *const positions[] = {"rope_gptj", NULL};
    gm_status status = GM_OK;
    double part;
    GM_TRY(gm_expect_bool(config, "use_qk_norm", false, where, err));
    GM_TRY(gm_expect_bool(config, "use_parallel_block", true, where, err));
    GM_TRY(gm_expect_bool(config, "use_gated_activation", true, where, err));
    GM_TRY(gm_expect_text(config, "position_embedding_type", positions, where, err));
    GM_TRY(gm_json_get_f64_or(config, "rotary_pct", 1, 1, 1, &part, where, err));
out:
    return status;
}

/* Which layers have windows, and so turn their heads: as "layer_types" says, or else all but every
 * n-th, counted in the dense layers before the others and anew in these. Where the former would
 * all see all positions, dense layers turn their heads all the same: their window is the context.
 */
static gm_status read_cohere_windows(const gm_json *config, int n_prefix, const char *where,
                                     gm_arch *arch, gm_error *err)
{
    gm_status status = GM_OK;
    const bool said = gm_config_has(config, "layer_types");
    int window, pattern, prefix;
    GM_TRY(gm_config_int(config, "sliding_window", 1, INT32_MAX, &window, where, err));
    GM_TRY(
        gm_config_int_or(config, "sliding_window_pattern", 1, INT32_MAX, 4, &pattern, where, err));
    GM_TRY(gm_config_int_or(config, "prefix_dense_sliding_window_pattern", 1, INT32_MAX, 1, &prefix,
                            where, err));
    GM_TRY(gm_rope_read(&arch->rope, config, arch->family, (size_t)arch->head_dim, where, err));
    GM_TRY(gm_read_windows(config, pattern, where, arch, err));
    for (int i = 0; i < arch->n_layers; i++) {
        const int nth = i < n_prefix ? i + 1 : i - n_prefix + 1;
        const int every = i < n_prefix ? prefix : pattern;
        if (!said) arch->window[i] = nth % every ? window : 0;
        if (arch->moe_of_layer[i] < 0 && prefix == 1 && arch->window[i] == 0)
            arch->window[i] = arch->max_context;
    }
    GM_TRY(tell_global(where, arch, err));
out:
    return status;
}

/* The scores of the chosen: sigmoids, renormalised unless the config says otherwise, or a softmax.
 * Beside shared experts the choice counts in full, or both do so by half. What these are is said by
 * transformers and vLLM in different words where the config does not say. */
static gm_status read_cohere_router(const gm_json *config, const char *where, gm_arch *arch,
                                    gm_error *err)
{
    static const char score_key[] = "expert_selection_fn";
    static const char sum_key[] = "shared_expert_combination_strategy";
    gm_status status = GM_OK;
    gm_router_desc *r = &arch->router;
    const char *score, *sum = "sum";
    GM_TRY(gm_json_get_text(config, score_key, &score, where, err));
    const bool sigmoid = strcmp(score, "sigmoid") == 0;
    if (!sigmoid && strcmp(score, "softmax") != 0)
        GM_FAIL(GM_EFORMAT, "'%s': '%s' is '%.48s', but only 'sigmoid' or 'softmax' is supported",
                where, score_key, score);
    r->scoring = sigmoid ? GM_SCORE_SIGMOID : GM_SCORE_TOPK_SOFTMAX;
    GM_TRY(gm_json_get_bool_or(config, "norm_topk_prob", true, &r->renormalise, where, err));
    if (!sigmoid) r->renormalise = true;
    GM_TRY(gm_config_int_or(config, "num_shared_experts", 0, GM_MAX_SHARED, 0, &arch->n_shared,
                            where, err));
    arch->shared_width = arch->n_shared * arch->expert_width;
    if (arch->n_shared == 0) goto out;
    GM_TRY(gm_json_get_text(config, sum_key, &sum, where, err));
    const bool average = strcmp(sum, "average") == 0;
    if (!average && strcmp(sum, "sum") != 0)
        GM_FAIL(GM_EFORMAT, "'%s': '%s' is '%.48s', but only 'sum' or 'average' is supported",
                where, sum_key, sum);
    if (average) r->scale = arch->shared_scale = 0.5f;
out:
    return status;
}

/* Source: transformers, models/cohere2_moe; Command A, arXiv:2504.00698: attention and the MLP are
 * parallel, norms are LayerNorm without biases or, where the config has their epsilon, not, and
 * neighbours turn. The width that all families have is that of an expert. */
static gm_status read_cohere(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    gm_status status = GM_OK;
    gm_moe_layers layers = {
        .every = 1, .types = "mlp_layer_types", .also = "first_k_dense_replace"};
    double epsilon, scale;
    arch->expert_width = arch->dense_width;
    arch->parallel = true;
    arch->layer_norm = !gm_config_has(config, "rms_norm_eps");

    GM_TRY(check_cohere(config, where, err));
    GM_TRY(gm_config_int(config, "num_experts", 1, GM_MAX_EXPERTS, &arch->n_experts, where, err));
    GM_TRY(gm_config_int_or(config, "prefix_dense_intermediate_size", 1, GM_MAX_WIDTH,
                            arch->expert_width, &arch->dense_width, where, err));
    GM_TRY(gm_json_get_f64_or(config, "layer_norm_eps", 0, 1, 1e-5, &epsilon, where, err));
    GM_TRY(gm_json_get_f64_or(config, "logit_scale", 1e-6, 1e6, 0.0625, &scale, where, err));
    GM_TRY(gm_config_int_or(config, "first_k_dense_replace", 0, arch->n_layers, 0, &layers.first,
                            where, err));
    GM_TRY(read_cohere_router(config, where, arch, err));
    GM_TRY(gm_arch_place_moe(arch, &layers, config, where, err));
    GM_TRY(read_cohere_windows(config, layers.first, where, arch, err));
    if (arch->layer_norm) arch->norm_epsilon = (float)epsilon;
    arch->logits_scale = (float)scale;
    arch->rope.neighbours = true;
out:
    return status;
}

/* ---- the rows ---- */

#define EXAONE_ROW                                                                              \
    .model_type = "exaone_moe", .name = "exaone-moe", .norm_epsilon = 1e-5f, .rope_theta = 1e6, \
    .global = true, .mtp_prefix = "mtp.", .keys = exaone_keys, .read = read_exaone,             \
    .tensor = {                                                                                 \
        LLAMA_TENSORS,                                                                          \
        QK_NORM_TENSORS,                                                                        \
        DENSE_TENSORS,                                                                          \
        GATED_EXPERT_TENSORS,                                                                   \
        SHARED_EXPERT_TENSORS,                                                                  \
        [GM_ROLE_ROUTER_CORRECTION] = "model.layers.%d.mlp.e_score_correction_bias",            \
    }

static const gm_family families[] = {
    {.architecture = "AfmoeForCausalLM",
     .model_type = "afmoe",
     .name = "afmoe",
     .norm_epsilon = 1e-5f,
     .rope_theta = 1e4,
     .global = true,
     .keys = afmoe_keys,
     .read = read_afmoe,
     .tensor =
         {
             BASE_TENSORS,
             KV_TENSORS,
             QK_NORM_TENSORS,
             DENSE_TENSORS,
             EXPERT_TENSORS,
             SHARED_EXPERT_TENSORS,
             [GM_ROLE_Q_GATE] = "model.layers.%d.self_attn.gate_proj.weight",
             [GM_ROLE_ATTN_NORM] = "model.layers.%d.input_layernorm.weight",
             [GM_ROLE_ATTN_OUT_NORM] = "model.layers.%d.post_attention_layernorm.weight",
             [GM_ROLE_MLP_NORM] = "model.layers.%d.pre_mlp_layernorm.weight",
             [GM_ROLE_MLP_OUT_NORM] = "model.layers.%d.post_mlp_layernorm.weight",
             [GM_ROLE_ROUTER] = "model.layers.%d.mlp.router.gate.weight",
             [GM_ROLE_ROUTER_CORRECTION] = "model.layers.%d.mlp.expert_bias",
         }},
    /* as published, and as transformers saves it */
    {.architecture = "ExaoneMoEForCausalLM", EXAONE_ROW},
    {.architecture = "ExaoneMoeForCausalLM", EXAONE_ROW},
    {.architecture = "Cohere2MoeForCausalLM",
     .model_type = "cohere2_moe",
     .name = "cohere2-moe",
     .norm_epsilon = 1e-5f,
     .rope_theta = 1e4,
     .tied = true,
     .global = true,
     .keys = cohere_keys,
     .read = read_cohere,
     .tensor =
         {
             BASE_TENSORS,
             KV_TENSORS,
             DENSE_TENSORS,
             GATED_EXPERT_TENSORS,
             SHARED_EXPERT_TENSORS,
             [GM_ROLE_ATTN_NORM] = "model.layers.%d.input_layernorm.weight",
             [GM_ROLE_MLP_NORM] = "model.layers.%d.input_layernorm.weight",
         }},
};

enum { N_FAMILIES = sizeof families / sizeof families[0] };

const gm_family *gm_windows_family_at(size_t i)
{
    return i < N_FAMILIES ? &families[i] : gm_fused_family_at(i - N_FAMILIES);
}
