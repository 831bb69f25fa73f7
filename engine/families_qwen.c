/* families_qwen.c - rows of the table of families for Qwen2-MoE and Qwen3-MoE, alone and as the
 * part of a model that sees images or hears and speaks, and for Mellum 2, which is Qwen3-MoE with
 * windows.
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

/* Their number, which transformers 5 saves by another name, and width. */
static gm_status read_experts(const gm_json *config, const char *where, gm_arch *arch,
                              gm_error *err)
{
    gm_status status = GM_OK;
    const char *experts = "num_experts";
    if (gm_json_find(config, experts) == NULL && gm_json_find(config, "num_local_experts"))
        experts = "num_local_experts";
    GM_TRY(gm_config_int(config, experts, 1, GM_MAX_EXPERTS, &arch->n_experts, where, err));
    GM_TRY(gm_config_int(config, "moe_intermediate_size", 1, GM_MAX_WIDTH, &arch->expert_width,
                         where, err));
out:
    return status;
}

/* Experts, and dense layers among the layers of them: layer i has experts when i + 1 is a multiple
 * of decoder_sparse_step and mlp_only_layers does not name it. */
gm_status gm_read_qwen(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    gm_status status = GM_OK;
    gm_moe_layers layers = {.shift = 1, .dense = "mlp_only_layers"};

    GM_TRY(read_experts(config, where, arch, err));
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

/* ---- Qwen3-Omni: the part that writes, which it calls the thinker ---- */

/* Inside, around it, and around both, where the parts that speak are. */
static const char *const omni_keys[] = {
    QWEN_KEYS,
    "text_config",
    "vision_config",
    "audio_config",
    "audio_token_id",
    "audio_start_token_id",
    "audio_end_token_id",
    "image_token_id",
    "video_token_id",
    "vision_start_token_id",
    "vision_end_token_id",
    "position_id_per_seconds",
    "user_token_id",
    "thinker_config",
    "talker_config",
    "code2wav_config",
    "enable_audio_output",
    "assistant_token_id",
    "system_token_id",
    "im_start_token_id",
    "im_end_token_id",
    "tts_bos_token_id",
    "tts_eos_token_id",
    "tts_pad_token_id",
    NULL,
};

/* Source: arXiv:2509.17765; transformers, models/qwen3_omni_moe: Qwen3-MoE, whose weights are
 * divided by their sum unless the config says otherwise. */
static gm_status read_omni(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    gm_status status = GM_OK;
    GM_TRY(read_qwen3(config, where, arch, err));
    GM_TRY(
        gm_json_get_bool_or(config, "norm_topk_prob", true, &arch->router.renormalise, where, err));
out:
    return status;
}

/* ---- Mellum 2: Mellum2-12B-A2.5B ---- */

static const char *const mellum_keys[] = {
    "num_experts",
    "num_local_experts",
    "moe_intermediate_size",
    "mlp_layer_types",
    "layer_types",
    "sliding_window",
    "num_nextn_predict_layers",
    "num_mtp_layers",
    "mtp_layer_types", /* these two: of the part that is not read */
    "mtp_mlp_layer_types",
    NULL,
};

/* Angles by the type of a layer, and no other word on them. */
static gm_status check_angles(const gm_json *config, const char *where, gm_error *err)
{
    static const char *const other[] = {"rope_theta", "rope_scaling"};
    for (int i = 0; i < 2; i++)
        if (gm_config_has(config, other[i]))
            return gm_fail(err, GM_EFORMAT,
                           "'%s': '%s' is not supported, expected 'rope_parameters' with an object "
                           "for each type of layer",
                           where, other[i]);
    return GM_OK;
}

/* Which layers have windows, none where the config does not say, and the angles of either type. */
static gm_status read_mellum_layers(const gm_json *config, const char *where, gm_arch *arch,
                                    gm_error *err)
{
    static const gm_rope near = {.theta = 1e4, .amplitude = 1.0, .attention = 1.0, .alpha = 1.0};
    static const gm_rope far = {.theta = 5e5, .amplitude = 1.0, .attention = 1.0, .alpha = 1.0};
    gm_status status = GM_OK;
    const size_t wide = (size_t)arch->head_dim;
    int n_far = arch->n_layers;
    GM_TRY(check_angles(config, where, err));
    if (gm_config_has(config, "layer_types")) {
        GM_TRY(gm_read_windows(config, 1, where, arch, err));
        n_far = 0;
        for (int i = 0; i < arch->n_layers; i++) n_far += arch->window[i] == 0;
    }
    gm_rope *angles = &arch->rope; /* of layers that see all */
    if (n_far < arch->n_layers) {
        angles = &arch->global.rope;
        GM_TRY(gm_rope_read_type(&arch->rope, config, arch->family, "sliding_attention", &near,
                                 wide, where, err));
    }
    if (n_far == 0) goto out;
    if (n_far < arch->n_layers)
        arch->global = (gm_global){.n_kv_heads = arch->n_kv_heads, .head_dim = arch->head_dim};
    GM_TRY(
        gm_rope_read_type(angles, config, arch->family, "full_attention", &far, wide, where, err));
out:
    return status;
}

/* Source: arXiv:2605.31268; transformers, models/mellum: Qwen3-MoE, where layers with a window turn
 * their heads by other angles than those that see all positions. */
static gm_status read_mellum(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    enum { MAX_FURTHER = 1 };
    gm_status status = GM_OK;
    const gm_moe_layers layers = {.every = 1, .types = "mlp_layer_types"};
    int again;
    GM_TRY(read_experts(config, where, arch, err));
    GM_TRY(
        gm_json_get_bool_or(config, "norm_topk_prob", true, &arch->router.renormalise, where, err));
    GM_TRY(gm_config_int_or(config, "num_mtp_layers", 0, MAX_FURTHER, 0, &again, where, err));
    GM_TRY(gm_config_int_or(config, "num_nextn_predict_layers", 0, MAX_FURTHER, again, &arch->n_mtp,
                            where, err));
    GM_TRY(read_mellum_layers(config, where, arch, err));
    GM_TRY(gm_arch_place_moe(arch, &layers, config, where, err));
    arch->qk_norm = GM_QK_NORM_HEAD;
out:
    return status;
}

/* ---- the rows ---- */

#define OMNI_ROW                                                                        \
    .name = "qwen3-omni-moe", .norm_epsilon = 1e-6f, .rope_theta = 1e6, .grid = true,   \
    .tied_out = true, .nested = true, .inner = "thinker.", .before = true,              \
    .other_prefix = {"thinker.visual.", "thinker.audio_tower.", "talker.", "code2wav.", \
                     "visual.",         "audio_tower."},                                \
    .keys = omni_keys, .read = read_omni,                                               \
    .tensor = {LLAMA_TENSORS, QK_NORM_TENSORS, DENSE_TENSORS, GATED_EXPERT_TENSORS}

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
    /* with the parts that speak, and without */
    {.architecture = "Qwen3OmniMoeForConditionalGeneration",
     .model_type = "qwen3_omni_moe",
     .outer = "thinker_config",
     .end_key = "im_end_token_id",
     OMNI_ROW},
    {.architecture = "Qwen3OmniMoeThinkerForConditionalGeneration",
     .model_type = "qwen3_omni_moe_thinker",
     OMNI_ROW},
    {.architecture = "MellumForCausalLM",
     .model_type = "mellum",
     .name = "mellum",
     .norm_epsilon = 1e-6f,
     .global = true,
     .yarn = true,
     .mtp_prefix = "mtp.",
     .keys = mellum_keys,
     .read = read_mellum,
     .tensor = {LLAMA_TENSORS, QK_NORM_TENSORS, DENSE_TENSORS, GATED_EXPERT_TENSORS}},
};

enum { N_FAMILIES = sizeof families / sizeof families[0] };

const gm_family *gm_qwen_family_at(size_t i)
{
    return i < N_FAMILIES ? &families[i] : gm_corrected_family_at(i - N_FAMILIES);
}
