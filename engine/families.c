/* families.c - see families.h. What a family's own configuration class reads beside
 * the fields all have in common, and how its tensors are called on disk.
 */
#include "engine/families_rows.h"

#include <string.h>

static const gm_moe_layers every_layer = {.every = 1};

/* ---- DeepSeekMoE v1: DeepSeek-MoE-16B, GigaChat-20B-A3B ---- */

static const char *const deepseek_keys[] = {
    "n_routed_experts",
    "n_shared_experts",
    "moe_intermediate_size",
    "first_k_dense_replace",
    "moe_layer_freq",
    "mlp_layer_types",
    NULL,
};

/* Source: arXiv:2401.06066; the remote code of deepseek-ai/deepseek-moe-16b-base: the
 * shared experts are one MLP of their summed width, and chosen weights are divided by
 * their sum + 1e-20 when norm_topk_prob is set and more than one is chosen. */
gm_status gm_read_deepseek(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    gm_status status = GM_OK;
    int first_moe, every;

    GM_TRY(
        gm_config_int(config, "n_routed_experts", 1, GM_MAX_EXPERTS, &arch->n_experts, where, err));
    GM_TRY(gm_config_int(config, "moe_intermediate_size", 1, GM_MAX_WIDTH, &arch->expert_width,
                         where, err));
    GM_TRY(gm_config_int_or(config, "n_shared_experts", 0, GM_MAX_SHARED, 0, &arch->n_shared, where,
                            err));
    arch->shared_width = arch->n_shared * arch->expert_width;
    GM_TRY(gm_config_int_or(config, "first_k_dense_replace", 0, arch->n_layers,
                            arch->family->dense_first, &first_moe, where, err));
    GM_TRY(gm_config_int_or(config, "moe_layer_freq", 1, arch->n_layers, 1, &every, where, err));
    const gm_moe_layers layers = {.first = first_moe,
                                  .every = every,
                                  .types = "mlp_layer_types",
                                  .also = "first_k_dense_replace"};
    GM_TRY(gm_arch_place_moe(arch, &layers, config, where, err));

    arch->router.renormalise = arch->router.renormalise && arch->n_chosen > 1;
    arch->router.renorm_epsilon = 1e-20f;
out:
    return status;
}

/* ---- OLMoE ---- */

static const char *const olmoe_keys[] = {"num_experts", "clip_qkv", NULL};

/* Source: arXiv:2409.02060; transformers, models/olmoe: every layer is a MoE layer,
 * intermediate_size is one expert's width, q and k are normalised over their full
 * width, and the clamp comes after that norm. */
static gm_status read_olmoe(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    gm_status status = GM_OK;
    double clip;

    GM_TRY(gm_config_int(config, "num_experts", 1, GM_MAX_EXPERTS, &arch->n_experts, where, err));
    GM_TRY(gm_json_get_f64_or(config, "clip_qkv", 1e-6, 1e6, 0, &clip, where, err));
    arch->clip_qkv = (float)clip;
    arch->qk_norm = GM_QK_NORM_FULL;
    arch->expert_width = arch->dense_width;
    GM_TRY(gm_arch_place_moe(arch, &every_layer, config, where, err));
out:
    return status;
}

/* ---- gpt-oss: gpt-oss-20b, gpt-oss-120b ---- */

static const char *const gpt_oss_keys[] = {
    "num_local_experts",
    "attention_bias",
    "sliding_window",
    "layer_types",
    "swiglu_limit",
    "swiglu_alpha",
    "quantization_config",
    "initial_context_length", /* said once more, as original_max_position_embeddings, */
    "experts_per_token",      /* and as num_experts_per_tok, held against it */
    NULL,
};

/* Experts are MXFP4 as published, with "quantization_config", and columns as transformers saves
 * what it has loaded without. */
static gm_status read_quantization(const gm_json *config, const char *where, gm_arch *arch,
                                   gm_error *err)
{
    gm_status status = GM_OK;
    const gm_json *part = gm_json_find(config, "quantization_config");
    const char *method;
    arch->stored = GM_STORED_COLUMNS;
    if (part == NULL || gm_json_kind_of(part) == GM_JSON_NULL) goto out;
    if (gm_json_kind_of(part) != GM_JSON_OBJECT)
        GM_FAIL(GM_EFORMAT, "'%s': 'quantization_config' is not an object", where);
    GM_TRY(gm_json_get_text(part, "quant_method", &method, where, err));
    if (strcmp(method, "mxfp4") != 0)
        GM_FAIL(GM_EFORMAT, "'%s': 'quant_method' is '%.48s', but only 'mxfp4' is supported", where,
                method);
    if (arch->width % GM_MX_BLOCK != 0 || arch->expert_width % GM_MX_BLOCK != 0)
        GM_FAIL(GM_EFORMAT,
                "'%s': 'hidden_size' is %d and 'intermediate_size' is %d, expected multiples of "
                "%d, the block size of MXFP4",
                where, arch->width, arch->expert_width, GM_MX_BLOCK);
    arch->stored = GM_STORED_MXFP4;
out:
    return status;
}

/* Source: arXiv:2508.10925; transformers, models/gpt_oss: a sink for each head, a window in every
 * other layer, biases everywhere, softmax over the chosen logits, a clamped SwiGLU; gate and up
 * take turns in one tensor. */
static gm_status read_gpt_oss(const gm_json *config, const char *where, gm_arch *arch,
                              gm_error *err)
{
    gm_status status = GM_OK;
    double limit, slope;
    int again;

    GM_TRY(gm_config_int(config, "num_local_experts", 1, GM_MAX_EXPERTS, &arch->n_experts, where,
                         err));
    GM_TRY(gm_config_int_or(config, "experts_per_token", 1, GM_NO_EXPERT, arch->n_chosen, &again,
                            where, err));
    if (again != arch->n_chosen)
        GM_FAIL(
            GM_EFORMAT,
            "'%s': 'experts_per_token' is %d, but 'num_experts_per_tok' is %d; expected the same",
            where, again, arch->n_chosen);
    GM_TRY(gm_json_get_bool_or(config, "attention_bias", true, &arch->attention_bias, where, err));
    GM_TRY(gm_json_get_f64_or(config, "swiglu_limit", 1e-6, 1e6, 7.0, &limit, where, err));
    GM_TRY(gm_json_get_f64_or(config, "swiglu_alpha", 1e-6, 1e6, 1.702, &slope, where, err));
    arch->activation = (gm_activation){.limit = (float)limit, .slope = (float)slope};
    arch->expert_width = arch->dense_width;
    arch->alternate = true;
    arch->router.scoring = GM_SCORE_TOPK_SOFTMAX;
    arch->router.has_bias = true;
    arch->router.renormalise = true;
    if (!gm_json_find(config, "rope_scaling") && !gm_json_find(config, "rope_parameters"))
        GM_FAIL(GM_EFORMAT, "'%s' has neither 'rope_scaling' nor 'rope_parameters'", where);
    GM_TRY(read_quantization(config, where, arch, err));
    GM_TRY(gm_read_windows(config, 2, where, arch, err));
    GM_TRY(gm_arch_place_moe(arch, &every_layer, config, where, err));
out:
    return status;
}

/* ---- Mixtral: Mixtral-8x7B, Mixtral-8x22B ---- */

static const char *const mixtral_keys[] = {"num_local_experts", "router_jitter_noise", NULL};

/* Source: arXiv:2401.04088; transformers, models/mixtral: chosen weights are always
 * divided by their plain sum, intermediate_size is one expert's width; jitter is for
 * training. */
static gm_status read_mixtral(const gm_json *config, const char *where, gm_arch *arch,
                              gm_error *err)
{
    gm_status status = GM_OK;

    GM_TRY(gm_config_int(config, "num_local_experts", 1, GM_MAX_EXPERTS, &arch->n_experts, where,
                         err));
    arch->expert_width = arch->dense_width;
    arch->router.renormalise = true;
    GM_TRY(gm_arch_place_moe(arch, &every_layer, config, where, err));
out:
    return status;
}

/* ---- GraniteMoE: granite-3.0-1b-a400m, granite-3.1-3b-a800m; GraniteMoeShared:
 * moe-7b-1b-active-shared-experts ---- */

static const char *const granite_keys[] = {
    "num_local_experts",   "attention_multiplier", "embedding_multiplier",
    "residual_multiplier", "logits_scaling",       NULL,
};

/* Source: transformers, models/granitemoe: the largest logits are chosen and the weights are a
 * softmax over them; intermediate_size is one expert's width; four scales that the configuration
 * names, 1 where it does not. */
gm_status gm_read_granite(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    gm_status status = GM_OK;
    double embed, attention, residual, divisor;

    GM_TRY(gm_config_int(config, "num_local_experts", 1, GM_MAX_EXPERTS, &arch->n_experts, where,
                         err));
    GM_TRY(gm_json_get_f64_or(config, "embedding_multiplier", 1e-6, 1e6, 1, &embed, where, err));
    GM_TRY(
        gm_json_get_f64_or(config, "attention_multiplier", 1e-6, 1e6, 1, &attention, where, err));
    GM_TRY(gm_json_get_f64_or(config, "residual_multiplier", 1e-6, 1e6, 1, &residual, where, err));
    GM_TRY(gm_json_get_f64_or(config, "logits_scaling", 1e-6, 1e6, 1, &divisor, where, err));
    arch->embed_scale = (float)embed;
    arch->attention_scale = (float)attention;
    arch->residual_scale = (float)residual;
    arch->logits_scale = (float)(1.0 / divisor);
    arch->expert_width = arch->dense_width;
    arch->router.scoring = GM_SCORE_TOPK_SOFTMAX;
    arch->router.renormalise = true;
    GM_TRY(gm_arch_place_moe(arch, &every_layer, config, where, err));
out:
    return status;
}

static const char *const granite_shared_keys[] = {
    "num_local_experts",
    "attention_multiplier",
    "embedding_multiplier",
    "residual_multiplier",
    "logits_scaling",
    "shared_intermediate_size",
    NULL,
};

/* Source: transformers, models/granitemoeshared: beside the experts is an MLP, here a shared
 * expert, unless its width is 0 or not said. */
static gm_status read_granite_shared(const gm_json *config, const char *where, gm_arch *arch,
                                     gm_error *err)
{
    gm_status status = GM_OK;
    GM_TRY(gm_read_granite(config, where, arch, err));
    GM_TRY(gm_config_int_or(config, "shared_intermediate_size", 0, GM_MAX_WIDTH, 0,
                            &arch->shared_width, where, err));
    arch->n_shared = arch->shared_width > 0;
out:
    return status;
}

/* ---- PhiMoE: Phi-3.5-MoE, and Phi-mini-MoE and Phi-tiny-MoE, which are cut down from it ---- */

static const char *const phimoe_keys[] = {
    "num_local_experts",
    "attention_bias",
    "lm_head_bias",
    "sliding_window",
    "router_jitter_noise",
    "original_max_position_embeddings", /* said once more beside LongRoPE's */
    "input_jitter_noise",               /* these three: of training */
    "hidden_dropout",
    "expert_dropout",
    NULL,
};

/* Of the positions beyond those that the model was first made for, none: all of a sequence that
 * goes on there would turn by other divisors, so would what of it is cached already, and
 * transformers 5.24 takes the short ones there too. */
static gm_status limit_context(const gm_json *config, const char *where, gm_arch *arch,
                               gm_error *err)
{
    static const char key[] = "original_max_position_embeddings";
    gm_status status = GM_OK;
    const int first = (int)arch->rope.first_context;
    int again;
    if (arch->rope.divisor == NULL) goto out;
    GM_TRY(gm_config_int_or(config, key, 1, INT32_MAX, first, &again, where, err));
    if (again != first)
        GM_FAIL(GM_EFORMAT, "'%s': '%s' is %d, but %d next to the factors; expected the same",
                where, key, again, first);
    if (first < arch->max_context) arch->max_context = first;
out:
    return status;
}

/* Every layer sees a window; one of the context's length or more is none. */
static gm_status read_window(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    gm_status status = GM_OK;
    int window;
    GM_TRY(gm_config_int_or(config, "sliding_window", 1, INT32_MAX, 0, &window, where, err));
    if (window == 0 || window >= arch->max_context) goto out;
    arch->window = gm_alloc((size_t)arch->n_layers, sizeof *arch->window);
    if (arch->window == NULL) GM_FAIL(GM_EMEM, "no memory for the layers of '%s'", where);
    for (int i = 0; i < arch->n_layers; i++) arch->window[i] = window;
out:
    return status;
}

/* Source: arXiv:2404.14219, the Phi-3 report; transformers, models/phimoe: LayerNorm with a bias,
 * biases of q, k, v, o and the head, two experts by sparsemixer, intermediate_size is one expert's
 * width. */
static gm_status read_phimoe(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    gm_status status = GM_OK;
    double jitter;

    GM_TRY(gm_config_int(config, "num_local_experts", 1, GM_MAX_EXPERTS, &arch->n_experts, where,
                         err));
    if (arch->n_chosen != 2)
        GM_FAIL(GM_EFORMAT, "'%s': 'num_experts_per_tok' is %d, but only 2 is supported", where,
                arch->n_chosen);
    GM_TRY(gm_json_get_bool_or(config, "attention_bias", false, &arch->attention_bias, where, err));
    GM_TRY(gm_json_get_bool_or(config, "lm_head_bias", false, &arch->head_bias, where, err));
    GM_TRY(gm_json_get_f64_or(config, "router_jitter_noise", 1e-6, 1, 0.01, &jitter, where, err));
    GM_TRY(limit_context(config, where, arch, err));
    GM_TRY(read_window(config, where, arch, err));
    arch->expert_width = arch->dense_width;
    arch->router.scoring = GM_SCORE_SPARSEMIXER;
    arch->router.within = (float)(2.0 * jitter);
    arch->router.renormalise = false;
    GM_TRY(gm_arch_place_moe(arch, &every_layer, config, where, err));
out:
    return status;
}

/* ---- the table ---- */

#define DEEPSEEK_ROW                                                                            \
    .name = "deepseek-moe-v1", .norm_epsilon = 1e-6f, .rope_theta = 1e4, .keys = deepseek_keys, \
    .read = gm_read_deepseek,                                                                   \
    .tensor = {                                                                                 \
        LLAMA_TENSORS,                                                                          \
        GATED_EXPERT_TENSORS,                                                                   \
        DENSE_TENSORS,                                                                          \
        SHARED_EXPERT_TENSORS,                                                                  \
    }

#define GRANITE_TENSORS                                                                            \
    LLAMA_TENSORS, [GM_ROLE_ROUTER] = "model.layers.%d.block_sparse_moe.router.layer.weight",      \
                   [GM_ROLE_EXPERT_GATE] = "model.layers.%d.block_sparse_moe.input_linear.weight", \
                   [GM_ROLE_EXPERT_UP] = "model.layers.%d.block_sparse_moe.input_linear.weight",   \
                   [GM_ROLE_EXPERT_DOWN] = "model.layers.%d.block_sparse_moe.output_linear.weight"

#define PHIMOE_ROW                                                                       \
    .model_type = "phimoe", .name = "phimoe", .norm_epsilon = 1e-5f, .rope_theta = 1e6,  \
    .divided = true, .keys = phimoe_keys, .read = read_phimoe,                           \
    .tensor = {                                                                          \
        LLAMA_TENSORS,     QKV_BIAS_TENSORS,       O_BIAS_TENSOR,                        \
        NORM_BIAS_TENSORS, MIXTRAL_EXPERT_TENSORS, [GM_ROLE_HEAD_BIAS] = "lm_head.bias", \
    }

static const gm_family families[] = {
    {.architecture = "DeepseekForCausalLM", .model_type = "deepseek", DEEPSEEK_ROW},
    /* the same model re-saved under the concentration authors' own class name */
    {.architecture = "DeepseekFixedForCausalLM",
     .model_type = "deepseek_with_concentration",
     DEEPSEEK_ROW},
    {.architecture = "OlmoeForCausalLM",
     .model_type = "olmoe",
     .name = "olmoe",
     .norm_epsilon = 1e-5f,
     .rope_theta = 1e4,
     .keys = olmoe_keys,
     .read = read_olmoe,
     .tensor = {LLAMA_TENSORS, QK_NORM_TENSORS, GATED_EXPERT_TENSORS}},
    {.architecture = "GptOssForCausalLM",
     .model_type = "gpt_oss",
     .name = "gpt-oss",
     .norm_epsilon = 1e-5f,
     .rope_theta = 150000,
     .yarn = true,
     .keys = gpt_oss_keys,
     .read = read_gpt_oss,
     .tensor =
         {
             LLAMA_TENSORS,
             QKV_BIAS_TENSORS,
             O_BIAS_TENSOR,
             [GM_ROLE_SINKS] = "model.layers.%d.self_attn.sinks",
             [GM_ROLE_ROUTER] = "model.layers.%d.mlp.router.weight",
             [GM_ROLE_ROUTER_BIAS] = "model.layers.%d.mlp.router.bias",
             [GM_ROLE_EXPERT_GATE] = "model.layers.%d.mlp.experts.gate_up_proj",
             [GM_ROLE_EXPERT_UP] = "model.layers.%d.mlp.experts.gate_up_proj",
             [GM_ROLE_EXPERT_DOWN] = "model.layers.%d.mlp.experts.down_proj",
             [GM_ROLE_EXPERT_GATE_BIAS] = "model.layers.%d.mlp.experts.gate_up_proj_bias",
             [GM_ROLE_EXPERT_UP_BIAS] = "model.layers.%d.mlp.experts.gate_up_proj_bias",
             [GM_ROLE_EXPERT_DOWN_BIAS] = "model.layers.%d.mlp.experts.down_proj_bias",
         }},
    {.architecture = "MixtralForCausalLM",
     .model_type = "mixtral",
     .name = "mixtral",
     .norm_epsilon = 1e-5f,
     .rope_theta = 1e6,
     .keys = mixtral_keys,
     .read = read_mixtral,
     .tensor =
         {
             LLAMA_TENSORS,
             MIXTRAL_EXPERT_TENSORS,
         }},
    {.architecture = "GraniteMoeForCausalLM",
     .model_type = "granitemoe",
     .name = "granite-moe",
     .norm_epsilon = 1e-6f,
     .rope_theta = 1e4,
     .keys = granite_keys,
     .read = gm_read_granite,
     .tensor = {GRANITE_TENSORS}},
    {.architecture = "GraniteMoeSharedForCausalLM",
     .model_type = "granitemoeshared",
     .name = "granite-moe-shared",
     .norm_epsilon = 1e-6f,
     .rope_theta = 1e4,
     .keys = granite_shared_keys,
     .read = read_granite_shared,
     .tensor =
         {
             GRANITE_TENSORS,
             [GM_ROLE_SHARED_GATE] = "model.layers.%d.shared_mlp.input_linear.weight",
             [GM_ROLE_SHARED_UP] = "model.layers.%d.shared_mlp.input_linear.weight",
             [GM_ROLE_SHARED_DOWN] = "model.layers.%d.shared_mlp.output_linear.weight",
         }},
    /* as published, and as transformers saves it */
    {.architecture = "PhiMoEForCausalLM", PHIMOE_ROW},
    {.architecture = "PhimoeForCausalLM", PHIMOE_ROW},
};

enum { N_FAMILIES = sizeof families / sizeof families[0] };

const gm_family *gm_family_find(const char *architecture, const char *model_type)
{
    const gm_family *f, *found = NULL;
    for (size_t i = 0; (f = gm_family_at(i)); i++) {
        const bool named = architecture && strcmp(f->architecture, architecture) == 0;
        const bool typed = model_type && strcmp(f->model_type, model_type) == 0;
        if (named && typed) return f;
        if (found == NULL && (architecture ? named : typed)) found = f;
    }
    return found;
}

const gm_family *gm_family_at(size_t i)
{
    return i < N_FAMILIES ? &families[i] : gm_qwen_family_at(i - N_FAMILIES);
}
