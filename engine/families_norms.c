/* families_norms.c - rows of the table of families whose norms lie elsewhere than Llama's. */
#include "engine/families_rows.h"

static const gm_moe_layers every_layer = {.every = 1};

/* ---- FlexOlmo: FlexOlmo-7x7B ---- */

static const char *const flex_keys[] = {"num_experts", NULL};

/* Source: arXiv:2507.07024; transformers, models/flex_olmo: OLMoE without a clamp, and with norms
 * behind attention and the experts instead of in front of them. */
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
};

enum { N_FAMILIES = sizeof families / sizeof families[0] };

const gm_family *gm_norms_family_at(size_t i)
{
    return i < N_FAMILIES ? &families[i] : NULL;
}
