/* families_fused.c - rows of the table of families whose queries, keys and values come from one
 * matrix: DBRX; and Ling 2.0, Ring 2.0 and Sarvam, whose routers are DeepSeek-V3's by other names,
 * as Hy3's is, which has three matrices.
 *
 * Source: Ling 2.0's report, arXiv:2510.22115; the code beside its weights,
 * inclusionAI/Ling-V2; transformers, models/sarvam_moe, which computes GLM-4.5 with other names.
 */
#include "engine/families_rows.h"

enum { MAX_FURTHER = 64 }; /* parts that predict further tokens */

static const char *const ling_keys[] = {LING_KEYS, "partial_rotary_factor", NULL};
static const char *const sarvam_keys[] = {LING_KEYS, "partial_rotary_factor", "num_mtp_layers",
                                          NULL};

/* A number under either key, or the same under both. */
static gm_status read_either(const gm_json *config, const char *const key[2], int lo, int hi,
                             int fallback, int *out, const char *where, gm_error *err)
{
    gm_status status = GM_OK;
    int again;
    GM_TRY(gm_config_int_or(config, key[1], lo, hi, fallback, &again, where, err));
    GM_TRY(gm_config_int_or(config, key[0], lo, hi, again, out, where, err));
    if (again != fallback && again != *out)
        GM_FAIL(GM_EFORMAT, "'%s': '%s' is %d, but '%s' is %d; expected the same", where, key[0],
                *out, key[1], again);
out:
    return status;
}

/* What is computed in one way only. */
static gm_status check_ling(const gm_json *config, const char *where, gm_error *err)
{
    static const char *const scores[] = {"sigmoid", NULL}, *const methods[] = {"noaux_tc", NULL};
    gm_status status = GM_OK;
    GM_TRY(gm_expect_text(config, "score_function", scores, where, err));
    GM_TRY(gm_expect_text(config, "scoring_func", scores, where, err));
    GM_TRY(gm_expect_text(config, "topk_method", methods, where, err));
    GM_TRY(gm_expect_bool(config, "norm_topk_prob", true, where, err));
    GM_TRY(gm_expect_bool(config, "moe_router_enable_expert_bias", true, where, err));
    GM_TRY(gm_expect_bool(config, "use_qkv_bias", false, where, err));
    GM_TRY(gm_expect_bool(config, "use_bias", false, where, err));
    GM_TRY(gm_expect_bool(config, "use_rmsnorm", true, where, err));
out:
    return status;
}

/* Where the config does not say: no groups. */
gm_status gm_read_ling(const gm_json *config, double scale, const char *where, gm_arch *arch,
                       gm_error *err)
{
    static const char *const experts[] = {"num_experts", "n_routed_experts"};
    static const char *const shared[] = {"num_shared_experts", "n_shared_experts"};
    static const char *const further[] = {"num_nextn_predict_layers", "num_mtp_layers"};
    gm_status status = GM_OK;
    gm_router_desc *r = &arch->router;
    gm_moe_layers layers = {
        .every = 1, .types = "mlp_layer_types", .also = "first_k_dense_replace"};
    bool normed;

    GM_TRY(check_ling(config, where, err));
    GM_TRY(read_either(config, experts, 1, GM_MAX_EXPERTS, 0, &arch->n_experts, where, err));
    if (arch->n_experts == 0) GM_FAIL(GM_EFORMAT, "'%s': '%s' is missing", where, experts[0]);
    GM_TRY(gm_config_int(config, "moe_intermediate_size", 1, GM_MAX_WIDTH, &arch->expert_width,
                         where, err));
    GM_TRY(read_either(config, shared, 0, GM_MAX_SHARED, 1, &arch->n_shared, where, err));
    GM_TRY(read_either(config, further, 0, MAX_FURTHER, 0, &arch->n_mtp, where, err));
    GM_TRY(gm_config_int_or(config, "first_k_dense_replace", 0, arch->n_layers,
                            arch->family->dense_first, &layers.first, where, err));
    GM_TRY(gm_json_get_bool_or(config, "use_qk_norm", true, &normed, where, err));
    GM_TRY(
        gm_json_get_f64_or(config, "routed_scaling_factor", 1e-6, 1e6, scale, &scale, where, err));
    GM_TRY(gm_read_groups(config, where, arch, err));
    GM_TRY(gm_arch_place_moe(arch, &layers, config, where, err));
    arch->shared_width = arch->n_shared * arch->expert_width;
    arch->qk_norm = normed ? GM_QK_NORM_HEAD : GM_QK_NORM_NONE;
    r->scale = (float)scale;
    r->scoring = GM_SCORE_SIGMOID;
    r->has_correction = true;
    r->renormalise = true;
    r->renorm_epsilon = 1e-20f;
out:
    return status;
}

/* The code beside the weights divides experts into eight groups where the config does not say, and
 * leaves the weight of a single expert as it is. */
static gm_status read_ling(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    static const char *const needed[] = {"n_group", "topk_group", "routed_scaling_factor"};
    gm_status status = GM_OK;
    double any; /* gm_read_ling bounds them */
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++)
        GM_TRY(gm_json_get_f64(config, needed[i], 0, 1e6, &any, where, err));
    GM_TRY(gm_read_ling(config, 1.0, where, arch, err));
    arch->router.renormalise = arch->n_chosen > 1;
out:
    return status;
}

static gm_status read_sarvam(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    return gm_read_ling(config, 2.5, where, arch, err);
}

/* ---- Hy3: Hy3, Hy3-preview ---- */

static const char *const hy_keys[] = {
    "num_experts",
    "num_shared_experts",
    "moe_intermediate_size",
    "first_k_dense_replace",
    "mlp_layer_types",
    "router_scaling_factor",
    "route_norm",
    "moe_router_use_sigmoid",
    "moe_router_enable_expert_bias",
    "qk_norm",
    "num_nextn_predict_layers",
    "enable_moe_fp32_combine", /* these: how others round */
    "enable_attention_fp32_softmax",
    "enable_lm_head_fp32",
    "use_grouped_mm",
    NULL,
};

/* Source: tencent/Hy3's model card (2026); transformers, models/hy_v3: Qwen3's attention and
 * DeepSeek-V3's router without groups, a first dense layer where the config does not say. The scale
 * has to be said: transformers, and the code of others, take different ones where it is not. */
static gm_status read_hy(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    gm_status status = GM_OK;
    double scale;
    GM_TRY(gm_expect_bool(config, "route_norm", true, where, err));
    GM_TRY(gm_expect_bool(config, "moe_router_use_sigmoid", true, where, err));
    GM_TRY(gm_expect_bool(config, "qk_norm", true, where, err));
    GM_TRY(gm_json_get_f64(config, "router_scaling_factor", 1e-6, 1e6, &scale, where, err));
    GM_TRY(gm_read_ling(config, scale, where, arch, err));
out:
    return status;
}

/* ---- DBRX: dbrx-base, dbrx-instruct ---- */

static const gm_renamed dbrx_renamed[] = {
    {"hidden_size", NULL, "d_model"},
    {"num_hidden_layers", NULL, "n_layers"},
    {"num_attention_heads", NULL, "n_heads"},
    {"max_position_embeddings", NULL, "max_seq_len"},
    {"num_key_value_heads", "attn_config", "kv_n_heads"},
    {"intermediate_size", "ffn_config", "ffn_hidden_size"},
    {"num_experts_per_tok", "ffn_config", "moe_top_k"},
    {NULL, NULL, NULL},
};

static const char *const dbrx_keys[] = {
    "moe_num_experts",
    "moe_normalize_expert_weights",
    "ffn_act_fn",
    "clip_qkv",
    "attn_pdrop", /* from here on: of training, and of any config inside another */
    "emb_pdrop",
    "resid_pdrop",
    "moe_jitter_eps",
    "moe_loss_weight",
    "chunk_size_feed_forward",
    "problem_type",
    NULL,
};

/* What is computed in one way only. */
static gm_status check_dbrx(const gm_json *config, const char *where, const gm_arch *arch,
                            gm_error *err)
{
    static const char *const silu[] = {"silu", NULL};
    const gm_json *act = gm_json_find(config, "ffn_act_fn");
    gm_status status = GM_OK;
    int heads;
    double theta;
    /* transformers' class takes one where the config does not say */
    GM_TRY(gm_config_int(config, "num_key_value_heads", 1, arch->n_heads, &heads, where, err));
    if (act && gm_json_kind_of(act) == GM_JSON_OBJECT)
        GM_TRY(gm_expect_text(act, "name", silu, where, err));
    else
        GM_TRY(gm_expect_text(config, "ffn_act_fn", silu, where, err));
    /* transformers 5.24 reads "rope_parameters" alone, and saves its 10,000 beside the published
     * value of "attn_config" where it has loaded a config that has no other */
    GM_TRY(gm_json_get_f64_or(config, "rope_theta", 1, 1e12, arch->rope.theta, &theta, where, err));
    if (theta != arch->rope.theta)
        GM_FAIL(GM_EFORMAT, "'%s': 'rope_theta' is %g in 'attn_config', but %g in another place",
                where, theta, arch->rope.theta);
out:
    return status;
}

/* Chosen weights are divided by the norm of this order; null: they are left as they are. */
static gm_status read_order(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    static const char key[] = "moe_normalize_expert_weights";
    const gm_json *value = gm_json_find(config, key);
    gm_status status = GM_OK;
    double order;
    GM_TRY(gm_json_get_f64_or(config, key, 0, 1e6, 1, &order, where, err));
    if (order != 1.0)
        GM_FAIL(GM_EFORMAT, "'%s': '%s' is %g, but only 1 and null are supported", where, key,
                order);
    arch->router.renormalise = value == NULL || gm_json_kind_of(value) != GM_JSON_NULL;
out:
    return status;
}

/* Source: Databricks, "Introducing DBRX" (2024) and databricks/dbrx's model card; transformers,
 * models/dbrx: LayerNorm without biases, a clamp of queries, keys and values, experts one below the
 * other in three matrices. */
static gm_status read_dbrx(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    gm_status status = GM_OK;
    double clip;
    GM_TRY(check_dbrx(config, where, arch, err));
    GM_TRY(
        gm_config_int(config, "moe_num_experts", 1, GM_MAX_EXPERTS, &arch->n_experts, where, err));
    GM_TRY(gm_json_get_f64_or(config, "clip_qkv", 1e-6, 1e6, 0, &clip, where, err));
    GM_TRY(read_order(config, where, arch, err));
    arch->clip_qkv = (float)clip;
    arch->layer_norm = true;
    arch->norm_epsilon = arch->family->norm_epsilon;
    arch->expert_width = arch->dense_width;
    GM_TRY(gm_arch_place_moe(arch, &(gm_moe_layers){.every = 1}, config, where, err));
out:
    return status;
}

/* ---- the rows ---- */

#define FUSED_TENSORS                                                                             \
    [GM_ROLE_EMBED] = "model.word_embeddings.weight", [GM_ROLE_FINAL_NORM] = "model.norm.weight", \
    [GM_ROLE_HEAD] = "lm_head.weight",                                                            \
    [GM_ROLE_ATTN_NORM] = "model.layers.%d.input_layernorm.weight",                               \
    [GM_ROLE_MLP_NORM] = "model.layers.%d.post_attention_layernorm.weight",                       \
    [GM_ROLE_Q] = "model.layers.%d.attention.query_key_value.weight",                             \
    [GM_ROLE_K] = "model.layers.%d.attention.query_key_value.weight",                             \
    [GM_ROLE_V] = "model.layers.%d.attention.query_key_value.weight",                             \
    [GM_ROLE_O] = "model.layers.%d.attention.dense.weight",                                       \
    [GM_ROLE_Q_NORM] = "model.layers.%d.attention.query_layernorm.weight",                        \
    [GM_ROLE_K_NORM] = "model.layers.%d.attention.key_layernorm.weight",                          \
    [GM_ROLE_ROUTER_CORRECTION] = "model.layers.%d.mlp.gate.expert_bias", DENSE_TENSORS,          \
    GATED_EXPERT_TENSORS, SHARED_EXPERT_TENSORS

#define LING_ROW                                                                    \
    .name = "ling-2", .norm_epsilon = 1e-6f, .rope_theta = 6e5, .rotary_part = 1.0, \
    .keys = ling_keys, .read = read_ling, .tensor = {FUSED_TENSORS}

#define SARVAM_ROW                                                                             \
    .model_type = "sarvam_moe", .name = "sarvam-moe", .dense_first = 1, .norm_epsilon = 1e-6f, \
    .rope_theta = 8e6, .rotary_part = 1.0, .keys = sarvam_keys, .read = read_sarvam,           \
    .tensor = {FUSED_TENSORS}

static const gm_family families[] = {
    /* older and newer files have another type */
    {.architecture = "BailingMoeV2ForCausalLM", .model_type = "bailing_moe_v2", LING_ROW},
    /* as published, and as transformers saves it */
    {.architecture = "SarvamMoEForCausalLM", SARVAM_ROW},
    {.architecture = "Glm4MoeForCausalLM", SARVAM_ROW},
    {.architecture = "HYV3ForCausalLM",
     .model_type = "hy_v3",
     .name = "hy3",
     .dense_first = 1,
     .norm_epsilon = 1e-5f,
     .rope_theta = 11158840,
     .keys = hy_keys,
     .read = read_hy,
     .tensor =
         {
             LLAMA_TENSORS,
             QK_NORM_TENSORS,
             DENSE_TENSORS,
             EXPERT_TENSORS,
             [GM_ROLE_ROUTER] = "model.layers.%d.mlp.router.gate.weight",
             [GM_ROLE_ROUTER_CORRECTION] = "model.layers.%d.mlp.expert_bias",
             [GM_ROLE_SHARED_GATE] = "model.layers.%d.mlp.shared_mlp.gate_proj.weight",
             [GM_ROLE_SHARED_UP] = "model.layers.%d.mlp.shared_mlp.up_proj.weight",
             [GM_ROLE_SHARED_DOWN] = "model.layers.%d.mlp.shared_mlp.down_proj.weight",
         }},
    {.architecture = "DbrxForCausalLM",
     .model_type = "dbrx",
     .name = "dbrx",
     .norm_epsilon = 1e-5f,
     .rope_theta = 1e4,
     .tall = true,
     .renamed = dbrx_renamed,
     .keys = dbrx_keys,
     .read = read_dbrx,
     .tensor =
         {
             [GM_ROLE_EMBED] = "transformer.wte.weight",
             [GM_ROLE_FINAL_NORM] = "transformer.norm_f.weight",
             [GM_ROLE_HEAD] = "lm_head.weight",
             [GM_ROLE_ATTN_NORM] = "transformer.blocks.%d.norm_attn_norm.norm_1.weight",
             [GM_ROLE_Q] = "transformer.blocks.%d.norm_attn_norm.attn.Wqkv.weight",
             [GM_ROLE_K] = "transformer.blocks.%d.norm_attn_norm.attn.Wqkv.weight",
             [GM_ROLE_V] = "transformer.blocks.%d.norm_attn_norm.attn.Wqkv.weight",
             [GM_ROLE_O] = "transformer.blocks.%d.norm_attn_norm.attn.out_proj.weight",
             [GM_ROLE_MLP_NORM] = "transformer.blocks.%d.norm_attn_norm.norm_2.weight",
             [GM_ROLE_ROUTER] = "transformer.blocks.%d.ffn.router.layer.weight",
             [GM_ROLE_EXPERT_GATE] = "transformer.blocks.%d.ffn.experts.mlp.w1",
             [GM_ROLE_EXPERT_UP] = "transformer.blocks.%d.ffn.experts.mlp.v1",
             [GM_ROLE_EXPERT_DOWN] = "transformer.blocks.%d.ffn.experts.mlp.w2",
         }},
};

enum { N_FAMILIES = sizeof families / sizeof families[0] };

const gm_family *gm_fused_family_at(size_t i)
{
    return i < N_FAMILIES ? &families[i] : gm_mimo_family_at(i - N_FAMILIES);
}
