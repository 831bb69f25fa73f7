/* families_conv.c - the row of the table of families most of whose layers have a short convolution
 * between two gates (gm_delta, arch.h) instead of attention: LFM2-MoE.
 *
 * Source: the LFM2 report, arXiv:2511.23404; transformers, models/lfm2_moe.
 */
#include "engine/families_rows.h"

enum { MAX_TAPS = 64 };

/* ---- LFM2-MoE: LFM2-8B-A1B ---- */

static const char *const lfm_keys[] = {
    "conv_L_cache",  "conv_bias",        "layer_types", "moe_intermediate_size",
    "norm_eps",      "num_dense_layers", "num_experts", "routed_scaling_factor",
    "tie_embedding", "use_expert_bias",  NULL,
};

/* A channel is a head of one value. */
static gm_status read_convolution(const gm_json *config, const char *where, gm_arch *arch,
                                  gm_error *err)
{
    static const char *const convolution[] = {"conv", "conv"};
    static const char *const attention[] = {"full_attention", "full_attention"};
    gm_status status = GM_OK;
    gm_delta *d = &arch->delta;
    GM_TRY(gm_config_int_or(config, "conv_L_cache", 2, MAX_TAPS, 3, &d->taps, where, err));
    GM_TRY(gm_expect_bool(config, "conv_bias", false, where, err));
    GM_TRY(gm_read_kinds(config, convolution, attention, where, arch, err));
    d->key_heads = d->value = 1;
    d->value_heads = arch->width;
out:
    return status;
}

/* Whether the embedding is the head has two names. */
static gm_status read_tied(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    static const char key[] = "tie_embedding", other[] = "tie_word_embeddings";
    bool tied;
    gm_status status = gm_json_get_bool_or(config, key, arch->tied_head, &tied, where, err);
    if (status != GM_OK) return status;
    if (gm_config_has(config, other) && tied != arch->tied_head)
        return gm_fail(err, GM_EFORMAT, "'%s': '%s' and '%s' disagree", where, key, other);
    arch->tied_head = tied;
    return GM_OK;
}

static gm_status read_router(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    gm_status status = GM_OK;
    gm_router_desc *r = &arch->router;
    double scale;
    GM_TRY(gm_json_get_bool_or(config, "norm_topk_prob", true, &r->renormalise, where, err));
    GM_TRY(gm_json_get_bool_or(config, "use_expert_bias", true, &r->has_correction, where, err));
    GM_TRY(gm_json_get_f64_or(config, "routed_scaling_factor", 1e-6, 1e6, 1, &scale, where, err));
    r->scoring = GM_SCORE_SIGMOID;
    r->renorm_epsilon = 1e-6f;
    r->scale = (float)scale;
out:
    return status;
}

/* Without "num_key_value_heads" transformers takes that of one published model. */
static gm_status read_lfm(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    gm_status status = GM_OK;
    gm_moe_layers layers = {.every = 1};
    double epsilon;
    int kv_heads;
    GM_TRY(gm_config_int(config, "num_key_value_heads", 1, arch->n_heads, &kv_heads, where, err));
    GM_TRY(gm_json_get_f64_or(config, "norm_eps", 0, 1, arch->family->norm_epsilon, &epsilon, where,
                              err));
    GM_TRY(gm_config_int(config, "num_experts", 1, GM_MAX_EXPERTS, &arch->n_experts, where, err));
    GM_TRY(gm_config_int(config, "moe_intermediate_size", 1, GM_MAX_WIDTH, &arch->expert_width,
                         where, err));
    GM_TRY(gm_config_int_or(config, "num_dense_layers", 0, arch->n_layers, 2, &layers.first, where,
                            err));
    GM_TRY(read_convolution(config, where, arch, err));
    GM_TRY(read_tied(config, where, arch, err));
    GM_TRY(read_router(config, where, arch, err));
    GM_TRY(gm_arch_place_moe(arch, &layers, config, where, err));
    arch->norm_epsilon = (float)epsilon;
    arch->qk_norm = GM_QK_NORM_HEAD;
out:
    return status;
}

/* ---- the row ---- */

static const gm_family families[] = {
    {.architecture = "Lfm2MoeForCausalLM",
     .model_type = "lfm2_moe",
     .name = "lfm2-moe",
     .norm_epsilon = 1e-5f,
     .rope_theta = 1e6,
     .tied = true,
     .keys = lfm_keys,
     .read = read_lfm,
     .tensor =
         {
             KV_TENSORS,
             [GM_ROLE_EMBED] = "model.embed_tokens.weight",
             [GM_ROLE_FINAL_NORM] = "model.embedding_norm.weight",
             [GM_ROLE_HEAD] = "lm_head.weight",
             [GM_ROLE_ATTN_NORM] = "model.layers.%d.operator_norm.weight",
             [GM_ROLE_Q] = "model.layers.%d.self_attn.q_proj.weight",
             [GM_ROLE_O] = "model.layers.%d.self_attn.out_proj.weight",
             [GM_ROLE_Q_NORM] = "model.layers.%d.self_attn.q_layernorm.weight",
             [GM_ROLE_K_NORM] = "model.layers.%d.self_attn.k_layernorm.weight",
             [GM_ROLE_DELTA_B] = "model.layers.%d.conv.in_proj.weight",
             [GM_ROLE_DELTA_Z] = "model.layers.%d.conv.in_proj.weight",
             [GM_ROLE_DELTA_V] = "model.layers.%d.conv.in_proj.weight",
             [GM_ROLE_DELTA_CONV] = "model.layers.%d.conv.conv.weight",
             [GM_ROLE_DELTA_O] = "model.layers.%d.conv.out_proj.weight",
             [GM_ROLE_MLP_NORM] = "model.layers.%d.ffn_norm.weight",
             [GM_ROLE_DENSE_GATE] = "model.layers.%d.feed_forward.w1.weight",
             [GM_ROLE_DENSE_UP] = "model.layers.%d.feed_forward.w3.weight",
             [GM_ROLE_DENSE_DOWN] = "model.layers.%d.feed_forward.w2.weight",
             [GM_ROLE_ROUTER] = "model.layers.%d.feed_forward.gate.weight",
             [GM_ROLE_ROUTER_CORRECTION] = "model.layers.%d.feed_forward.expert_bias",
             [GM_ROLE_EXPERT_GATE] = "model.layers.%d.feed_forward.experts.%d.w1.weight",
             [GM_ROLE_EXPERT_UP] = "model.layers.%d.feed_forward.experts.%d.w3.weight",
             [GM_ROLE_EXPERT_DOWN] = "model.layers.%d.feed_forward.experts.%d.w2.weight",
         },
     .stacked = {"model.layers.%d.feed_forward.experts.gate_up_proj",
                 "model.layers.%d.feed_forward.experts.down_proj"}},
};

enum { N_FAMILIES = sizeof families / sizeof families[0] };

const gm_family *gm_conv_family_at(size_t i)
{
    return i < N_FAMILIES ? &families[i] : gm_windows_family_at(i - N_FAMILIES);
}
