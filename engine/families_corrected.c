/* families_corrected.c - rows of the table of families whose routers add a correction to the scores
 * that they choose by, and weigh by the scores themselves.
 *
 * Source: DeepSeek-V3, arXiv:2412.19437, section 2.1.2; the correction keeps load even without a
 * loss of its own. What differs between the families stands at each.
 */
#include "engine/families_rows.h"

#include <string.h>

/* ---- what several of them read ---- */

/* Groups of experts, of which the best can be chosen from; a group counts its best two. */
static gm_status read_groups(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    gm_status status = GM_OK;
    gm_router_desc *r = &arch->router;
    GM_TRY(gm_config_int_or(config, "n_group", 1, arch->n_experts, 1, &r->n_groups, where, err));
    GM_TRY(gm_config_int_or(config, "topk_group", 1, r->n_groups, 1, &r->top_groups, where, err));
    const int size = arch->n_experts / r->n_groups;
    if (arch->n_experts % r->n_groups != 0 || (r->n_groups > 1 && size < 2))
        GM_FAIL(GM_EFORMAT, "'%s': 'n_group' is %d, expected to divide %d experts into two or more",
                where, r->n_groups, arch->n_experts);
    if (size * r->top_groups < arch->n_chosen)
        GM_FAIL(GM_EFORMAT, "'%s': 'topk_group' leaves %d experts, expected the %d chosen at least",
                where, size * r->top_groups, arch->n_chosen);
out:
    return status;
}

gm_status gm_read_corrected(const gm_json *config, bool renormalise, const char *where,
                            gm_arch *arch, gm_error *err)
{
    gm_status status = GM_OK;
    gm_router_desc *r = &arch->router;
    double scale;

    GM_TRY(gm_read_deepseek(config, where, arch, err));
    GM_TRY(gm_json_get_bool_or(config, "norm_topk_prob", renormalise, &r->renormalise, where, err));
    GM_TRY(gm_json_get_f64_or(config, "routed_scaling_factor", 1e-6, 1e6, 1, &scale, where, err));
    GM_TRY(read_groups(config, where, arch, err));
    GM_TRY(gm_config_int_or(config, "num_nextn_predict_layers", 0, arch->n_layers, 0, &arch->n_mtp,
                            where, err));
    r->scale = (float)scale;
    r->scoring = GM_SCORE_SIGMOID;
    r->has_correction = true;
out:
    return status;
}

#define CORRECTED_KEYS                                                                        \
    "n_routed_experts", "n_shared_experts", "moe_intermediate_size", "first_k_dense_replace", \
        "routed_scaling_factor", "n_group", "topk_group", "num_nextn_predict_layers"

#define CORRECTION_TENSOR \
    [GM_ROLE_ROUTER_CORRECTION] = "model.layers.%d.mlp.gate.e_score_correction_bias"

/* ---- GLM-4.5: GLM-4.5-Air, GLM-4.5, GLM-4.6, GLM-4.7 ---- */

static const char *const glm_keys[] = {
    CORRECTED_KEYS, "use_qk_norm", "attention_bias", "partial_rotary_factor", NULL,
};

/* Source: arXiv:2508.06471; transformers, models/glm4_moe: half of each head turns, q, k and v may
 * have biases, and q and k a norm head by head. */
static gm_status read_glm(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    gm_status status = GM_OK;
    bool normed;

    GM_TRY(gm_read_corrected(config, true, where, arch, err));
    GM_TRY(gm_json_get_bool_or(config, "use_qk_norm", false, &normed, where, err));
    GM_TRY(gm_json_get_bool_or(config, "attention_bias", false, &arch->attention_bias, where, err));
    arch->qk_norm = normed ? GM_QK_NORM_HEAD : GM_QK_NORM_NONE;
out:
    return status;
}

/* ---- the rows ---- */

static const gm_family families[] = {
    {.architecture = "Glm4MoeForCausalLM",
     .model_type = "glm4_moe",
     .name = "glm4-moe",
     .norm_epsilon = 1e-5f,
     .rope_theta = 1e4,
     .rotary_part = 0.5,
     .keys = glm_keys,
     .read = read_glm,
     .tensor = {LLAMA_TENSORS, QK_NORM_TENSORS, QKV_BIAS_TENSORS, DENSE_TENSORS,
                GATED_EXPERT_TENSORS, SHARED_EXPERT_TENSORS, CORRECTION_TENSOR}},
};

enum { N_FAMILIES = sizeof families / sizeof families[0] };

const gm_family *gm_corrected_family_at(size_t i)
{
    return i < N_FAMILIES ? &families[i] : NULL;
}
