/* families_latent.c - rows of the table of families with latent attention (gm_latent, arch.h).
 *
 * Source: DeepSeek-V2, arXiv:2405.04434; DeepSeek-V3, arXiv:2412.19437; transformers,
 * models/deepseek_v2, deepseek_v3, glm4_moe_lite, deepseek_v32, glm_moe_dsa and mistral4; the
 * remote code of deepseek-ai/DeepSeek-V2-Lite.
 */
#include "engine/families_rows.h"

#include <math.h>
#include <string.h>

/* Even numbers, so that a pair that turns lies in one panel (cpu_latent.c). */
static gm_status read_even(const gm_json *config, const char *key, int *out, const char *where,
                           gm_error *err)
{
    gm_status status = gm_config_int(config, key, 2, GM_MAX_HEAD_DIM / 2, out, where, err);
    if (status == GM_OK && *out % 2 != 0)
        return gm_fail(err, GM_EFORMAT, "'%s': '%s' is %d, expected an even number", where, key,
                       *out);
    return status;
}

gm_status gm_latent_read(const gm_json *config, const char *where, gm_arch *arch, int *turned,
                         gm_error *err)
{
    gm_status status = GM_OK;
    gm_latent *l = &arch->latent;
    bool neighbours;
    int both;
    GM_TRY(gm_config_int_or(config, "q_lora_rank", 1, GM_MAX_WIDTH, 0, &l->q, where, err));
    GM_TRY(gm_config_int(config, "kv_lora_rank", 1, GM_MAX_HEAD_DIM / 2, &l->kv, where, err));
    GM_TRY(read_even(config, "qk_nope_head_dim", &l->plain, where, err));
    GM_TRY(read_even(config, "qk_rope_head_dim", turned, where, err));
    l->shared = *turned;
    GM_TRY(gm_config_int_or(config, "qk_head_dim", 1, GM_MAX_HEAD_DIM, l->plain + *turned, &both,
                            where, err));
    if (both != l->plain + *turned)
        GM_FAIL(GM_EFORMAT,
                "'%s': 'qk_head_dim' is %d, expected %d, the sum of 'qk_nope_head_dim' and "
                "'qk_rope_head_dim'",
                where, both, l->plain + *turned);
    GM_TRY(gm_config_int(config, "v_head_dim", 1, GM_MAX_HEAD_DIM, &l->value, where, err));
    GM_TRY(gm_json_get_bool_or(config, "rope_interleave", true, &neighbours, where, err));
    if (!neighbours)
        GM_FAIL(GM_EFORMAT, "'%s': 'rope_interleave' is false, but only true is supported", where);
    arch->n_kv_heads = 1;
    arch->head_dim = l->kv + *turned;
    arch->value_dim = l->kv;
    arch->head_out = l->value;
    arch->attention_scale = (float)(1.0 / sqrt(l->plain + *turned));
out:
    return status;
}

#define LATENT_KEYS                                                                            \
    "q_lora_rank", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "qk_head_dim",      \
        "v_head_dim", "rope_interleave", "n_routed_experts", "n_shared_experts",               \
        "moe_intermediate_size", "first_k_dense_replace", "moe_layer_freq", "mlp_layer_types", \
        "n_group", "topk_group", "topk_method", "routed_scaling_factor", "ep_size"

#define LATENT_TENSORS \
    COMMON_TENSORS, DENSE_TENSORS, GATED_EXPERT_TENSORS, SHARED_EXPERT_TENSORS, QKV_LATENT_TENSORS

/* ---- DeepSeek-V2: DeepSeek-V2-Lite, DeepSeek-V2, DeepSeek-Coder-V2 ---- */

static const char *const v2_keys[] = {LATENT_KEYS, NULL};

/* DeepSeek v1's router, with a scale, and groups of experts of which the best are those with the
 * largest score. What renormalises in its own code is not scaled, in transformers it is ignored: no
 * published checkpoint has it, and it is refused. */
static gm_status read_v2(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    gm_status status = GM_OK;
    const char *method;
    double scale;

    GM_TRY(gm_read_deepseek(config, where, arch, err));
    GM_TRY(gm_json_get_f64_or(config, "routed_scaling_factor", 1e-6, 1e6, 1, &scale, where, err));
    arch->router.scale = (float)scale;
    GM_TRY(gm_json_get_text_or(config, "topk_method", "greedy", &method, where, err));
    if (strcmp(method, "group_limited_greedy") == 0)
        GM_TRY(gm_read_groups(config, where, arch, err));
    else if (strcmp(method, "greedy") != 0)
        GM_FAIL(GM_EFORMAT,
                "'%s': 'topk_method' is '%.48s', but only 'greedy' and 'group_limited_greedy' are "
                "supported",
                where, method);
    if (arch->router.renormalise)
        GM_FAIL(GM_EFORMAT, "'%s': 'norm_topk_prob' is true, but only false is supported", where);
out:
    return status;
}

/* ---- DeepSeek-V3: GigaChat3, DeepSeek-V3, DeepSeek-R1, Moonlight, Kimi-K2; GLM-4.7-Flash, which
 * has another epsilon and a list of the layers that hold experts (transformers,
 * models/glm4_moe_lite) ---- */

static const char *const v3_keys[] = {LATENT_KEYS, "scoring_func", "num_nextn_predict_layers",
                                      NULL};

/* Where these are absent, transformers takes those of the largest model, not of a plain router. */
static gm_status expect_v3(const gm_json *config, const char *where, gm_error *err)
{
    static const char *const needed[] = {"n_group", "topk_group", "routed_scaling_factor"};
    gm_status status = GM_OK;
    double any; /* gm_read_corrected reads and bounds them */
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++)
        GM_TRY(gm_json_get_f64(config, needed[i], 0, 1e6, &any, where, err));
out:
    return status;
}

static gm_status read_v3(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    static const char *const scores[] = {"sigmoid", NULL}, *const methods[] = {"noaux_tc", NULL};
    gm_status status = GM_OK;
    GM_TRY(expect_v3(config, where, err));
    GM_TRY(gm_expect_text(config, "scoring_func", scores, where, err));
    GM_TRY(gm_expect_text(config, "topk_method", methods, where, err));
    GM_TRY(gm_read_corrected(config, true, where, arch, err));
out:
    return status;
}

/* ---- Sarvam with latents: sarvam-105b. DeepSeek-V3 in the words of Sarvam's other model; what it
 * says of norms of queries and keys is that of the latent, which all have. ---- */

static const char *const sarvam_keys[] = {LATENT_KEYS, LING_KEYS, "num_mtp_layers", "q_head_dim",
                                          NULL};

static gm_status read_sarvam(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    gm_status status = gm_read_ling(config, 2.5, where, arch, err);
    arch->qk_norm = GM_QK_NORM_NONE;
    return status;
}

/* ---- Mistral Small 4: DeepSeek-V2's attention, with queries that grow; a softmax over all
 * experts, renormalised; alone and as the part of a model that sees images ---- */

static const char *const mistral_keys[] = {
    LATENT_KEYS,
    "text_config",
    "vision_config",
    "image_token_id",
    "image_token_index",
    "multimodal_projector_bias",
    "projector_hidden_act",
    "spatial_merge_size",
    "vision_feature_layer",
    NULL,
};

/* How queries grow, beside the angles, and once more how many elements of a head turn. */
static gm_status read_growth(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    static const char *const names[] = {"rope_parameters", "rope_scaling"};
    gm_status status = GM_OK;
    const int turned = (int)arch->rope.dim, head = arch->latent.plain + turned;
    const gm_json *part = NULL;
    double rate, turning;
    for (int i = 0; i < 2 && (part == NULL || gm_json_kind_of(part) == GM_JSON_NULL); i++)
        part = gm_json_find(config, names[i]);
    if (part == NULL || !arch->rope.yarn)
        GM_FAIL(GM_EFORMAT, "'%s': 'rope_parameters' is not of type 'yarn', which %s needs", where,
                arch->family->name);
    GM_TRY(gm_json_get_f64(part, "llama_4_scaling_beta", 0, 1e3, &rate, where, err));
    GM_TRY(gm_json_get_f64_or(part, "partial_rotary_factor", 0, 1, (double)turned / head, &turning,
                              where, err));
    if (!(fabs(turning * head - turned) < 0.5))
        GM_FAIL(GM_EFORMAT,
                "'%s': 'partial_rotary_factor' turns %g of a head's %d elements, expected "
                "'qk_rope_head_dim', %d",
                where, turning * head, head, turned);
    arch->growth = (gm_growth){.rate = (float)rate, .stretch = arch->rope.first_context};
out:
    return status;
}

/* Source: transformers, models/mistral4. YaRN leaves attention's scale alone, whatever
 * 'mscale_all_dim' is: the params.json beside the weights says `apply_scale` false, and so do vLLM
 * and SGLang compute it, and transformers up to 5.12; later ones multiply as for DeepSeek-V3. */
static gm_status read_mistral(const gm_json *config, const char *where, gm_arch *arch,
                              gm_error *err)
{
    gm_status status = GM_OK;
    gm_router_desc *r = &arch->router;
    double scale;
    GM_TRY(gm_read_deepseek(config, where, arch, err));
    GM_TRY(gm_json_get_bool_or(config, "norm_topk_prob", true, &r->renormalise, where, err));
    GM_TRY(gm_config_int_or(config, "n_shared_experts", 0, GM_MAX_SHARED, 1, &arch->n_shared, where,
                            err));
    arch->shared_width = arch->n_shared * arch->expert_width;
    GM_TRY(gm_json_get_f64_or(config, "routed_scaling_factor", 1e-6, 1e6, 1, &scale, where, err));
    r->scale = (float)scale;
    GM_TRY(gm_read_groups(config, where, arch, err));
    if (r->n_groups > 1)
        GM_FAIL(GM_EFORMAT, "'%s': 'n_group' is %d, but only 1 is supported", where, r->n_groups);
    GM_TRY(read_growth(config, where, arch, err));
    arch->attention_scale = (float)(1.0 / sqrt(arch->latent.plain + (double)arch->rope.dim));
out:
    return status;
}

/* ---- DeepSeek-V3.2, GLM-5: DeepSeek-V3 whose queries see the `index_topk` keys that an indexer
 * scores highest, in every layer. A query with no more keys than that sees all, so up to this
 * length a sequence is what DeepSeek-V3 makes of it, and no further is the context said to reach.
 * The indexer, which some layers of GLM-5 share, is not read. ---- */

#define INDEXED_KEYS                                                                      \
    LATENT_KEYS, "scoring_func", "num_nextn_predict_layers", "layer_types", "index_topk", \
        "index_head_dim", "index_n_heads"

static const char *const v32_keys[] = {INDEXED_KEYS, NULL};

static const char *const glm5_keys[] = {
    INDEXED_KEYS,
    "index_topk_freq",
    "index_skip_topk_offset",
    "index_topk_pattern",
    "indexer_types",
    "indexer_rope_interleave",
    NULL,
};

static gm_status check_indexed(const gm_json *config, const char *where, gm_error *err)
{
    static const char key[] = "layer_types", known[] = "indexed_attention";
    const gm_json *types = gm_json_find(config, key);
    if (types == NULL || gm_json_kind_of(types) == GM_JSON_NULL) return GM_OK;
    if (gm_json_kind_of(types) != GM_JSON_ARRAY)
        return gm_fail(err, GM_EFORMAT, "'%s': '%s' is not a list", where, key);
    for (const gm_json *t = gm_json_first(types); t; t = gm_json_next(t)) {
        const char *type = gm_json_text(t, NULL);
        if (type == NULL || strcmp(type, known) != 0)
            return gm_fail(err, GM_EFORMAT,
                           "'%s': '%s' contains '%.48s', but only '%s' is supported", where, key,
                           type ? type : "", known);
    }
    return GM_OK;
}

static gm_status read_indexed(const gm_json *config, const char *where, gm_arch *arch,
                              gm_error *err)
{
    enum { TOPK = 2048 };
    gm_status status = GM_OK;
    int kept;
    GM_TRY(gm_config_int_or(config, "index_topk", 1, INT32_MAX, TOPK, &kept, where, err));
    GM_TRY(check_indexed(config, where, err));
    GM_TRY(read_v3(config, where, arch, err));
    if (arch->latent.q == 0)
        GM_FAIL(GM_EFORMAT,
                "'%s': 'q_lora_rank' is null, expected the width of the queries' latent", where);
    if (kept < arch->max_context) arch->max_context = kept;
out:
    return status;
}

/* ---- the rows ---- */

#define SARVAM_ROW                                                                             \
    .model_type = "sarvam_mla", .name = "sarvam-mla", .dense_first = 1, .norm_epsilon = 1e-6f, \
    .rope_theta = 1e4, .yarn = true, .latent = true, .keys = sarvam_keys, .read = read_sarvam, \
    .tensor = {LATENT_TENSORS, CORRECTION_TENSOR}

#define MISTRAL_ROW                                                                             \
    .name = "mistral-4", .norm_epsilon = 1e-6f, .rope_theta = 1e4, .yarn = true, .grows = true, \
    .latent = true, .inner = "language_model.", .before = true,                                 \
    .other_prefix = {"vision_tower.", "multi_modal_projector."}, .keys = mistral_keys,          \
    .read = read_mistral, .tensor = {LATENT_TENSORS},                                           \
    .stacked = {"model.layers.%d.mlp.experts.gate_up_proj",                                     \
                "model.layers.%d.mlp.experts.down_proj"}

static const gm_family families[] = {
    {.architecture = "DeepseekV2ForCausalLM",
     .model_type = "deepseek_v2",
     .name = "deepseek-v2",
     .norm_epsilon = 1e-6f,
     .rope_theta = 1e4,
     .yarn = true,
     .latent = true,
     .keys = v2_keys,
     .read = read_v2,
     .tensor = {LATENT_TENSORS}},
    {.architecture = "DeepseekV3ForCausalLM",
     .model_type = "deepseek_v3",
     .name = "deepseek-v3",
     .dense_first = 3,
     .norm_epsilon = 1e-6f,
     .rope_theta = 1e4,
     .yarn = true,
     .latent = true,
     .keys = v3_keys,
     .read = read_v3,
     .tensor = {LATENT_TENSORS, CORRECTION_TENSOR}},
    {.architecture = "Glm4MoeLiteForCausalLM",
     .model_type = "glm4_moe_lite",
     .name = "glm4-moe-lite",
     .dense_first = 1,
     .norm_epsilon = 1e-5f,
     .rope_theta = 1e4,
     .yarn = true,
     .latent = true,
     .keys = v3_keys,
     .read = read_v3,
     .tensor = {LATENT_TENSORS, CORRECTION_TENSOR}},
    /* as published, and as transformers saves it */
    {.architecture = "SarvamMLAForCausalLM", SARVAM_ROW},
    {.architecture = "DeepseekV3ForCausalLM", SARVAM_ROW},
    {.architecture = "Mistral4ForCausalLM", .model_type = "mistral4", MISTRAL_ROW},
    {.architecture = "Mistral3ForConditionalGeneration",
     .model_type = "mistral3",
     .nested = true,
     .own_type = "mistral4",
     .tied_out = true,
     MISTRAL_ROW},
    {.architecture = "DeepseekV32ForCausalLM",
     .model_type = "deepseek_v32",
     .name = "deepseek-v3.2",
     .dense_first = 3,
     .norm_epsilon = 1e-6f,
     .rope_theta = 1e4,
     .yarn = true,
     .latent = true,
     .indexer = ".self_attn.indexer.",
     .keys = v32_keys,
     .read = read_indexed,
     .tensor = {LATENT_TENSORS, CORRECTION_TENSOR}},
    {.architecture = "GlmMoeDsaForCausalLM",
     .model_type = "glm_moe_dsa",
     .name = "glm-5",
     .dense_first = 3,
     .norm_epsilon = 1e-5f,
     .rope_theta = 1e4,
     .yarn = true,
     .latent = true,
     .indexer = ".self_attn.indexer.",
     .keys = glm5_keys,
     .read = read_indexed,
     .tensor = {LATENT_TENSORS, CORRECTION_TENSOR}},
};

enum { N_FAMILIES = sizeof families / sizeof families[0] };

const gm_family *gm_latent_family_at(size_t i)
{
    return i < N_FAMILIES ? &families[i] : gm_delta_family_at(i - N_FAMILIES);
}
