/* families_norms.c - rows of the table of families whose norms are in other places than Llama's. */
#include "engine/families_rows.h"

static const gm_moe_layers every_layer = {.every = 1};

/* ---- FlexOlmo: FlexOlmo-7x7B ---- */

static const char *const flex_keys[] = {"num_experts", NULL};

/* Source: arXiv:2507.07024; transformers, models/flex_olmo: OLMoE without a clamp, and with norms
 * after attention and the experts instead of before them. */
static gm_status read_flex(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    gm_status status = GM_OK;
    GM_TRY(gm_config_int(config, "num_experts", 1, GM_MAX_EXPERTS, &arch->n_experts, where, err));
    GM_TRY(gm_arch_place_moe(arch, &every_layer, config, where, err));
    arch->qk_norm = GM_QK_NORM_FULL;
    arch->expert_width = arch->dense_width;
out:
    return status;
}

/* ---- Hunyuan-A13B ---- */

static const char *const hunyuan_keys[] = {
    "num_experts",
    "moe_topk",
    "moe_intermediate_size",
    "num_shared_expert",
    "moe_layer_num_skipped",
    "attention_head_dim",
    "attention_bias",
    "norm_type",
    "use_qk_norm",
    "use_mixed_mlp_moe",
    "use_rotary_pos_emb",
    "use_cla",
    "use_mla",
    "group_limited_greedy",
    "position_embedding_xdrope",
    "cla_share_factor", /* idle without use_cla */
    "n_group",          /* without group_limited_greedy, */
    "topk_group",
    "routed_scaling_factor", /* and where chosen weights are normalised */
    "eod_token_id",          /* these are words of its tokenizer and of training */
    "sep_token_id",
    "pad_id",
    "org_vocab_size",
    "moe_drop_tokens",
    "moe_random_routing_dropped_token",
    "add_classification_head",
    "class_num",
    "pool_type",
    NULL,
};

/* One value for all layers, or for each; absent or null: that value. */
static gm_status expect_each(const gm_json *config, const char *key, int value, int n_layers,
                             const char *where, gm_error *err)
{
    int same;
    if (!gm_config_has(config, key)) return GM_OK;
    return gm_config_each(config, key, value, value, n_layers, &same, where, err);
}

/* What transformers computes in one way only, and Hunyuan's own code by these keys. */
static gm_status check_hunyuan(const gm_json *config, const char *where, const gm_arch *arch,
                               gm_error *err)
{
    static const char *const norms[] = {"hf_rms", "rms", NULL};
    static const struct {
        const char *key;
        bool known;
    } fixed[] = {
        {"norm_topk_prob", true},
        {"use_qk_norm", true},
        {"use_mixed_mlp_moe", true},
        {"use_rotary_pos_emb", true},
        {"use_cla", false},
        {"use_mla", false},
        {"group_limited_greedy", false},
        {"position_embedding_xdrope", false},
    };
    gm_status status = GM_OK;
    const int n = arch->n_layers, wide = arch->dense_width, head = arch->head_dim;
    int same;
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++)
        GM_TRY(gm_expect_bool(config, fixed[i].key, fixed[i].known, where, err));
    GM_TRY(gm_expect_text(config, "norm_type", norms, where, err));
    GM_TRY(gm_config_int_or(config, "moe_layer_num_skipped", 0, 0, 0, &same, where, err));
    GM_TRY(gm_config_int_or(config, "attention_head_dim", head, head, head, &same, where, err));
    GM_TRY(expect_each(config, "num_shared_expert", 1, n, where, err));
    GM_TRY(expect_each(config, "moe_intermediate_size", wide, n, where, err));
out:
    return status;
}

/* Source: Hunyuan-A13B's technical report (Tencent, 2025); transformers, models/hunyuan_v1_moe: q
 * and k have a norm head by head after the rotation, chosen weights are always divided by their
 * plain sum, a shared expert is as wide as the others. */
static gm_status read_hunyuan(const gm_json *config, const char *where, gm_arch *arch,
                              gm_error *err)
{
    gm_status status = GM_OK;
    GM_TRY(check_hunyuan(config, where, arch, err));
    GM_TRY(gm_config_int(config, "num_experts", 1, GM_MAX_EXPERTS, &arch->n_experts, where, err));
    GM_TRY(gm_json_get_bool_or(config, "attention_bias", false, &arch->attention_bias, where, err));
    GM_TRY(gm_arch_place_moe(arch, &every_layer, config, where, err));
    arch->qk_norm = GM_QK_NORM_HEAD;
    arch->qk_norm_last = true;
    arch->router.renormalise = true;
    arch->expert_width = arch->shared_width = arch->dense_width;
    arch->n_shared = 1;
out:
    return status;
}

/* ---- the rows ---- */

static const gm_family families[] = {
    {.architecture = "FlexOlmoForCausalLM",
     .model_type = "flex_olmo",
     .name = "flex-olmo",
     .norm_epsilon = 1e-6f,
     .rope_theta = 500000,
     .keys = flex_keys,
     .read = read_flex,
     .tensor = {BASE_TENSORS, KV_TENSORS, QK_NORM_TENSORS, OUT_NORM_TENSORS, GATED_EXPERT_TENSORS}},
    {.architecture = "HunYuanMoEV1ForCausalLM",
     .model_type = "hunyuan_v1_moe",
     .name = "hunyuan-moe",
     .norm_epsilon = 1e-5f,
     .rope_theta = 1e4,
     .chosen_key = "moe_topk",
     .ntk = true,
     .keys = hunyuan_keys,
     .read = read_hunyuan,
     .tensor =
         {LLAMA_TENSORS, QKV_BIAS_TENSORS, O_BIAS_TENSOR,
          EXPERT_TENSORS, [GM_ROLE_Q_NORM] = "model.layers.%d.self_attn.query_layernorm.weight",
          [GM_ROLE_K_NORM] = "model.layers.%d.self_attn.key_layernorm.weight",
          [GM_ROLE_ROUTER] = "model.layers.%d.mlp.gate.wg.weight",
          [GM_ROLE_SHARED_GATE] = "model.layers.%d.mlp.shared_mlp.gate_proj.weight",
          [GM_ROLE_SHARED_UP] = "model.layers.%d.mlp.shared_mlp.up_proj.weight",
          [GM_ROLE_SHARED_DOWN] = "model.layers.%d.mlp.shared_mlp.down_proj.weight"}},
};

enum { N_FAMILIES = sizeof families / sizeof families[0] };

const gm_family *gm_norms_family_at(size_t i)
{
    return i < N_FAMILIES ? &families[i] : gm_mamba_family_at(i - N_FAMILIES);
}
