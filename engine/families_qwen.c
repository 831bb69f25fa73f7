/* families_qwen.c - rows of the table of families for Qwen2-MoE and Qwen3-MoE, alone and as the
 * part of a model that sees images.
 */
#include "engine/families_rows.h"

/* ---- Qwen2-MoE: Qwen1.5-MoE-A2.7B, Qwen2-57B-A14B; Qwen3-MoE: 30B-A3B, 235B-A22B ---- */

#define QWEN_KEYS                                                                     \
    "num_experts", "moe_intermediate_size", "decoder_sparse_step", "mlp_only_layers", \
        "sliding_window", "max_window_layers" /* the last two: idle without use_sliding_window */

static const char *const qwen2_keys[] = {QWEN_KEYS, "shared_expert_intermediate_size", "qkv_bias",
                                         NULL};
static const char *const qwen3_keys[] = {QWEN_KEYS, "num_local_experts", NULL};
/* The same inside, and what stands around it, of images. */
static const char *const qwen3_vision_keys[] = {
    QWEN_KEYS,        "text_config",           "vision_config",       "image_token_id",
    "video_token_id", "vision_start_token_id", "vision_end_token_id", NULL,
};

/* Experts, and dense layers among the layers of them: layer i has experts when i + 1 is a multiple
 * of decoder_sparse_step and mlp_only_layers does not name it. */
gm_status gm_read_qwen(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    gm_status status = GM_OK;
    gm_moe_layers layers = {.shift = 1, .dense = "mlp_only_layers"};
    const char *experts = "num_experts";

    /* as transformers 5 saves Qwen3-MoE */
    if (gm_json_find(config, experts) == NULL && gm_json_find(config, "num_local_experts"))
        experts = "num_local_experts";
    GM_TRY(gm_config_int(config, experts, 1, GM_MAX_EXPERTS, &arch->n_experts, where, err));
    GM_TRY(gm_config_int(config, "moe_intermediate_size", 1, GM_MAX_WIDTH, &arch->expert_width,
                         where, err));
    GM_TRY(gm_config_int_or(config, "decoder_sparse_step", 1, arch->n_layers, 1, &layers.every,
                            where, err));
    GM_TRY(gm_arch_place_moe(arch, &layers, config, where, err));
out:
    return status;
}

/* Source: arXiv:2407.10671; transformers, models/qwen2_moe: q, k and v have biases, chosen weights
 * are divided by their plain sum when norm_topk_prob is set, and what the one shared expert gives
 * is multiplied by the sigmoid of a product of its own, here one more output of the router. */
static gm_status read_qwen2(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    gm_status status = GM_OK;

    GM_TRY(gm_read_qwen(config, where, arch, err));
    GM_TRY(gm_json_get_bool_or(config, "qkv_bias", true, &arch->attention_bias, where, err));
    GM_TRY(gm_config_int(config, "shared_expert_intermediate_size", 1, GM_MAX_WIDTH,
                         &arch->shared_width, where, err));
    arch->n_shared = 1;
    arch->gated_shared = true;
out:
    return status;
}

/* Source: arXiv:2505.09388; transformers, models/qwen3_moe: q and k are normalised head
 * by head, chosen weights are divided by their plain sum. */
static gm_status read_qwen3(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    arch->qk_norm = GM_QK_NORM_HEAD;
    return gm_read_qwen(config, where, arch, err);
}

/* Source: arXiv:2511.21631; transformers, models/qwen3_vl_moe: Qwen3-MoE, whose weights are always
 * divided by their sum; experts are stacked in two tensors a layer, as columns. */
static gm_status read_qwen3_vision(const gm_json *config, const char *where, gm_arch *arch,
                                   gm_error *err)
{
    gm_status status = GM_OK;
    GM_TRY(gm_expect_bool(config, "norm_topk_prob", true, where, err));
    GM_TRY(read_qwen3(config, where, arch, err));
    arch->router.renormalise = true;
    arch->stored = GM_STORED_COLUMNS;
out:
    return status;
}

/* ---- the rows ---- */

static const gm_family families[] = {
    {.architecture = "Qwen2MoeForCausalLM",
     .model_type = "qwen2_moe",
     .name = "qwen2-moe",
     .norm_epsilon = 1e-6f,
     .rope_theta = 1e4,
     .keys = qwen2_keys,
     .read = read_qwen2,
     .tensor =
         {
             LLAMA_TENSORS,
             QKV_BIAS_TENSORS,
             DENSE_TENSORS,
             GATED_EXPERT_TENSORS,
             [GM_ROLE_SHARE] = "model.layers.%d.mlp.shared_expert_gate.weight",
             [GM_ROLE_SHARED_GATE] = "model.layers.%d.mlp.shared_expert.gate_proj.weight",
             [GM_ROLE_SHARED_UP] = "model.layers.%d.mlp.shared_expert.up_proj.weight",
             [GM_ROLE_SHARED_DOWN] = "model.layers.%d.mlp.shared_expert.down_proj.weight",
         }},
    {.architecture = "Qwen3MoeForCausalLM",
     .model_type = "qwen3_moe",
     .name = "qwen3-moe",
     .norm_epsilon = 1e-6f,
     .rope_theta = 1e4,
     .keys = qwen3_keys,
     .read = read_qwen3,
     .tensor = {LLAMA_TENSORS, QK_NORM_TENSORS, DENSE_TENSORS, GATED_EXPERT_TENSORS}},
    {.architecture = "Qwen3VLMoeForConditionalGeneration",
     .model_type = "qwen3_vl_moe",
     .name = "qwen3-vl-moe",
     .norm_epsilon = 1e-6f,
     .rope_theta = 5e5,
     .grid = true,
     .either = true,
     .tied_out = true,
     .nested = true,
     .inner = "model.language_model.",
     .other_prefix = {"model.visual."},
     .keys = qwen3_vision_keys,
     .read = read_qwen3_vision,
     .tensor =
         {
             LLAMA_TENSORS,
             QK_NORM_TENSORS,
             DENSE_TENSORS,
             [GM_ROLE_ROUTER] = "model.layers.%d.mlp.gate.weight",
             [GM_ROLE_EXPERT_GATE] = "model.layers.%d.mlp.experts.gate_up_proj",
             [GM_ROLE_EXPERT_UP] = "model.layers.%d.mlp.experts.gate_up_proj",
             [GM_ROLE_EXPERT_DOWN] = "model.layers.%d.mlp.experts.down_proj",
         }},
};

enum { N_FAMILIES = sizeof families / sizeof families[0] };

const gm_family *gm_qwen_family_at(size_t i)
{
    return i < N_FAMILIES ? &families[i] : gm_corrected_family_at(i - N_FAMILIES);
}
