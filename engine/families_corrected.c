/* families_corrected.c - rows of the table of families whose routers add a correction to the scores
 * that they choose by, and weigh by the scores themselves.
 *
 * Source: DeepSeek-V3, arXiv:2412.19437, section 2.1.2; the correction keeps load even without a
 * loss of its own. What differs between the families stands at each.
 */
#include "engine/families_rows.h"

#include <stdio.h>
#include <string.h>

enum { MAX_FURTHER = 64 }; /* parts that predict further tokens */

/* ---- what several of them read ---- */

gm_status gm_expect_text(const gm_json *config, const char *key, const char *const *known,
                         const char *where, gm_error *err)
{
    const char *text;
    char all[96] = "";
    size_t n = 0;
    gm_status status = gm_json_get_text_or(config, key, known[0], &text, where, err);
    if (status != GM_OK) return status;
    for (size_t i = 0; known[i]; i++) {
        if (strcmp(text, known[i]) == 0) return GM_OK;
        n += (size_t)snprintf(all + n, sizeof all - n, "%s'%s'", i ? " or " : "", known[i]);
    }
    return gm_fail(err, GM_EFORMAT, "'%s': '%s' is '%.48s', but only %s is supported", where, key,
                   text, all);
}

gm_status gm_expect_bool(const gm_json *config, const char *key, bool known, const char *where,
                         gm_error *err)
{
    bool found;
    gm_status status = gm_json_get_bool_or(config, key, known, &found, where, err);
    if (status != GM_OK || found == known) return status;
    return gm_fail(err, GM_EFORMAT, "'%s': '%s' is %s, but only %s is supported", where, key,
                   found ? "true" : "false", known ? "true" : "false");
}

gm_status gm_read_groups(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
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
        GM_FAIL(GM_EFORMAT, "'%s': 'topk_group' leaves %d experts, expected at least the %d chosen",
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
    GM_TRY(gm_read_groups(config, where, arch, err));
    GM_TRY(gm_config_int_or(config, "num_nextn_predict_layers", 0, MAX_FURTHER, 0, &arch->n_mtp,
                            where, err));
    r->scale = (float)scale;
    r->scoring = GM_SCORE_SIGMOID;
    r->has_correction = true;
out:
    return status;
}

#define CORRECTED_KEYS                                                                        \
    "n_routed_experts", "n_shared_experts", "moe_intermediate_size", "first_k_dense_replace", \
        "mlp_layer_types", "routed_scaling_factor", "n_group", "topk_group",                  \
        "num_nextn_predict_layers"

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

/* What stands around the text's part of GLM-4.5V and GLM-4.6V, and in it. */
static const char *const glm_vision_keys[] = {
    CORRECTED_KEYS,
    "use_qk_norm",
    "attention_bias",
    "partial_rotary_factor",
    "text_config",
    "vision_config",
    "image_token_id",
    "image_start_token_id",
    "image_end_token_id",
    "video_token_id",
    "video_start_token_id",
    "video_end_token_id",
    NULL,
};

/* Source: arXiv:2507.01006; transformers, models/glm4v_moe: GLM-4.5 without norms of q and k, and
 * with biases where the config does not say. */
static gm_status read_glm_vision(const gm_json *config, const char *where, gm_arch *arch,
                                 gm_error *err)
{
    gm_status status = GM_OK;
    GM_TRY(gm_expect_bool(config, "use_qk_norm", false, where, err));
    GM_TRY(read_glm(config, where, arch, err));
    GM_TRY(gm_json_get_bool_or(config, "attention_bias", true, &arch->attention_bias, where, err));
out:
    return status;
}

/* ---- Solar Open: Solar-Open-100B ---- */

static const char *const solar_keys[] = {CORRECTED_KEYS, "use_qk_norm", "attention_bias", NULL};

/* Source: Solar Open's technical report (Upstage, 2026); transformers, models/solar_open: GLM-4.5's
 * experts in every layer, and Llama's attention. The width of dense layers is said and idle. */
static gm_status read_solar(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    gm_status status = GM_OK;
    GM_TRY(gm_expect_bool(config, "use_qk_norm", false, where, err));
    GM_TRY(read_glm(config, where, arch, err));
    if (arch->n_moe < arch->n_layers)
        GM_FAIL(GM_EFORMAT, "'%s': %d of %d layers are dense, but only MoE layers are supported",
                where, arch->n_layers - arch->n_moe, arch->n_layers);
out:
    return status;
}

/* ---- dots.llm1 ---- */

static const char *const dots_keys[] = {
    CORRECTED_KEYS,   "moe_layer_freq",    "scoring_func", "topk_method",
    "sliding_window", "max_window_layers", NULL,
};

/* Windows begin after the first max_window_layers layers, and published models have none. */
static gm_status refuse_windows(const gm_json *config, const char *where, const gm_arch *arch,
                                gm_error *err)
{
    gm_status status = GM_OK;
    const bool says = gm_config_has(config, "layer_types"); /* full, as is checked */
    int window, full;
    GM_TRY(gm_config_int_or(config, "sliding_window", 1, INT32_MAX, 0, &window, where, err));
    GM_TRY(gm_config_int_or(config, "max_window_layers", 0, INT32_MAX, 62, &full, where, err));
    if (!says && window > 0 && full < arch->n_layers)
        GM_FAIL(GM_EFORMAT,
                "'%s': 'sliding_window' is %d after the first %d of %d layers, but only full "
                "attention is supported",
                where, window, full, arch->n_layers);
out:
    return status;
}

/* Source: arXiv:2506.05767; transformers, models/dots1: a norm of q and k head by head. Published
 * files call the scores by the name of the method. */
static gm_status read_dots(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    static const char *const scores[] = {"sigmoid", "noaux_tc", NULL};
    static const char *const methods[] = {"noaux_tc", NULL};
    gm_status status = GM_OK;

    GM_TRY(gm_read_corrected(config, false, where, arch, err));
    GM_TRY(gm_expect_text(config, "scoring_func", scores, where, err));
    GM_TRY(gm_expect_text(config, "topk_method", methods, where, err));
    GM_TRY(refuse_windows(config, where, arch, err));
    arch->qk_norm = GM_QK_NORM_HEAD;
out:
    return status;
}

/* ---- ERNIE 4.5: ERNIE-4.5-21B-A3B, ERNIE-4.5-300B-A47B ---- */

#define ERNIE_KEYS                                                                                 \
    "moe_k", "moe_num_experts", "moe_num_shared_experts", "moe_intermediate_size", "moe_norm_min", \
        "use_bias", "num_nextn_predict_layers"

static const char *const ernie_keys[] = {
    ERNIE_KEYS,
    "moe_layer_start_index",
    "moe_layer_end_index",
    "moe_layer_interval",
    "moe_use_aux_free",
    "moe_gate",
    "moe_capacity", /* of training */
    "use_rmsnorm",
    NULL,
};

/* What is computed in one way only. */
static gm_status check_ernie(const gm_json *config, const char *where, gm_error *err)
{
    static const char *const gates[] = {"topk", "topk_fused", NULL};
    gm_status status = GM_OK;
    GM_TRY(gm_expect_text(config, "moe_gate", gates, where, err));
    GM_TRY(gm_expect_bool(config, "use_bias", false, where, err));
    GM_TRY(gm_expect_bool(config, "use_rmsnorm", true, where, err));
    GM_TRY(gm_expect_bool(config, "moe_use_aux_free", true, where, err));
out:
    return status;
}

/* Layer i has experts when start <= i <= end and i + 1 is a multiple of the interval. */
static gm_status place_ernie(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    gm_status status = GM_OK;
    const int n = arch->n_layers;
    gm_moe_layers layers = {.shift = 1};
    int last;
    GM_TRY(gm_config_int_or(config, "moe_layer_start_index", 0, n, 1, &layers.first, where, err));
    GM_TRY(gm_config_int_or(config, "moe_layer_end_index", -1, n, -1, &last, where, err));
    GM_TRY(gm_config_int_or(config, "moe_layer_interval", 1, n, 1, &layers.every, where, err));
    layers.end = last < 0 ? n : last + 1;
    GM_TRY(gm_arch_place_moe(arch, &layers, config, where, err));
out:
    return status;
}

/* Source: the ERNIE 4.5 technical report (Baidu, 2025), section 2; transformers,
 * models/ernie4_5_moe: a softmax is corrected, its chosen part counts at least moe_norm_min,
 * neighbours turn together, the embedding is the head where the config does not say. */
static gm_status read_ernie_experts(const gm_json *config, const char *where, gm_arch *arch,
                                    gm_error *err)
{
    gm_status status = GM_OK;
    gm_router_desc *r = &arch->router;
    double least;

    GM_TRY(
        gm_config_int(config, "moe_num_experts", 1, GM_MAX_EXPERTS, &arch->n_experts, where, err));
    GM_TRY(gm_config_int_or(config, "moe_num_shared_experts", 0, GM_MAX_SHARED, 2, &arch->n_shared,
                            where, err));
    arch->shared_width = arch->n_shared * arch->expert_width;
    GM_TRY(gm_json_get_f64_or(config, "moe_norm_min", 0, 1, 1e-12, &least, where, err));
    GM_TRY(gm_json_get_bool_or(config, "tie_word_embeddings", true, &arch->tied_head, where, err));
    GM_TRY(gm_config_int_or(config, "num_nextn_predict_layers", 0, MAX_FURTHER, 0, &arch->n_mtp,
                            where, err));
    r->has_correction = r->renormalise = true;
    r->least_sum = (float)least;
    arch->rope.neighbours = true;
out:
    return status;
}

static gm_status read_ernie(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    gm_status status = GM_OK;
    GM_TRY(check_ernie(config, where, err));
    GM_TRY(gm_config_int(config, "moe_intermediate_size", 1, GM_MAX_WIDTH, &arch->expert_width,
                         where, err));
    GM_TRY(read_ernie_experts(config, where, arch, err));
    GM_TRY(place_ernie(config, where, arch, err));
out:
    return status;
}

/* ---- the part for text of ERNIE-4.5-VL, which has as many narrower experts for images ---- */

#define ERNIE_VISION_KEYS                                                                       \
    ERNIE_KEYS, "mlp_layer_types", "text_config", "vision_config", "image_token_id",            \
        "image_start_token_id", "image_end_token_id", "video_token_id", "video_start_token_id", \
        "video_end_token_id"

static const char *const ernie_vision_keys[] = {ERNIE_VISION_KEYS, NULL};

/* A number of a list. */
static bool number_at(const gm_json *list, int place, int64_t *out)
{
    const gm_json *v = list && gm_json_kind_of(list) == GM_JSON_ARRAY ? gm_json_first(list) : NULL;
    while (v && place-- > 0) v = gm_json_next(v);
    return v && gm_json_i64(v, out);
}

/* Pairs that turn with an image's rows and with its columns alternate: if there are as many of one
 * as of the other, all turn in their order by the one position that text has. */
static gm_status check_sections(const gm_json *angles, const char *where, gm_error *err)
{
    const gm_json *list = angles ? gm_json_find(angles, "mrope_section") : NULL;
    int64_t rows, columns;
    if (list && !(number_at(list, 0, &rows) && number_at(list, 1, &columns) && rows == columns))
        return gm_fail(err, GM_EFORMAT,
                       "'%s': 'mrope_section' does not begin with two equal numbers", where);
    return GM_OK;
}

/* Source: transformers, models/ernie4_5_vl_moe. */
static gm_status read_ernie_vision(const gm_json *config, const char *where, gm_arch *arch,
                                   gm_error *err)
{
    static const char key[] = "moe_intermediate_size";
    const gm_moe_layers layers = {.first = 1, .every = 1, .types = "mlp_layer_types"};
    gm_status status = GM_OK;
    int64_t width;
    GM_TRY(gm_expect_bool(config, "use_bias", false, where, err));
    GM_TRY(check_sections(gm_json_find(config, "rope_parameters"), where, err));
    GM_TRY(check_sections(gm_json_find(config, "rope_scaling"), where, err));
    if (!number_at(gm_json_find(config, key), 0, &width) || width < 1 || width > GM_MAX_WIDTH)
        GM_FAIL(GM_EFORMAT, "'%s': '%s' is not a list that begins with the width of an expert",
                where, key);
    arch->expert_width = (int)width;
    GM_TRY(read_ernie_experts(config, where, arch, err));
    GM_TRY(gm_arch_place_moe(arch, &layers, config, where, err));
out:
    return status;
}

/* ---- MiniMax-M2: M2, M2.1, M2.5 ---- */

static const char *const minimax_keys[] = {
    "num_local_experts",
    "rotary_dim",
    "partial_rotary_factor",
    "scoring_func",
    "use_routing_bias",
    "use_qk_norm",
    "qk_norm_type",
    "shared_intermediate_size",
    "attn_type_list",
    "num_mtp_modules",
    "mtp_transformer_layers",
    "use_mtp",
    "router_jitter_noise", /* of training */
    NULL,
};

/* What is computed in one way only. */
static gm_status check_minimax(const gm_json *config, const char *where, gm_error *err)
{
    static const char *const scores[] = {"sigmoid", NULL}, *const norms[] = {"per_layer", NULL};
    gm_status status = GM_OK;
    const gm_json *types = gm_json_find(config, "attn_type_list");
    int shared;
    GM_TRY(gm_expect_text(config, "scoring_func", scores, where, err));
    GM_TRY(gm_expect_text(config, "qk_norm_type", norms, where, err));
    GM_TRY(gm_expect_bool(config, "use_qk_norm", true, where, err));
    GM_TRY(gm_expect_bool(config, "use_routing_bias", true, where, err));
    GM_TRY(gm_config_int_or(config, "shared_intermediate_size", 0, 0, 0, &shared, where, err));
    const bool list = types && gm_json_kind_of(types) == GM_JSON_ARRAY;
    for (const gm_json *t = list ? gm_json_first(types) : NULL; t; t = gm_json_next(t)) {
        int64_t type;
        if (!gm_json_i64(t, &type) || type != 1)
            GM_FAIL(GM_EFORMAT,
                    "'%s': 'attn_type_list' contains a value other than 1, full attention", where);
    }
out:
    return status;
}

/* Source: MiniMax-M2's model card and transformers, models/minimax_m2: rotary_dim elements of a
 * head turn, q and k have a norm over all heads, weights are always divided by their plain sum,
 * intermediate_size is one expert's width. */
static gm_status read_minimax(const gm_json *config, const char *where, gm_arch *arch,
                              gm_error *err)
{
    static const char key[] = "rotary_dim";
    gm_status status = GM_OK;
    const size_t head = (size_t)arch->head_dim, said = arch->rope.dim;
    int turning;

    GM_TRY(check_minimax(config, where, err));
    GM_TRY(gm_config_int(config, "num_local_experts", 1, GM_MAX_EXPERTS, &arch->n_experts, where,
                         err));
    GM_TRY(
        gm_config_int_or(config, "num_mtp_modules", 0, MAX_FURTHER, 0, &arch->n_mtp, where, err));
    GM_TRY(gm_config_int_or(config, key, 0, GM_MAX_HEAD_DIM, (int)said, &turning, where, err));
    GM_TRY(gm_rope_set_dim(&arch->rope, turning, head, key, where, err));
    if (said != head && said != arch->rope.dim)
        GM_FAIL(GM_EFORMAT, "'%s': '%s' and 'partial_rotary_factor' disagree", where, key);
    arch->expert_width = arch->dense_width;
    arch->qk_norm = GM_QK_NORM_FULL;
    arch->router.scoring = GM_SCORE_SIGMOID;
    arch->router.has_correction = arch->router.renormalise = true;
    GM_TRY(gm_arch_place_moe(arch, &(gm_moe_layers){.every = 1}, config, where, err));
out:
    return status;
}

/* ---- the rows ---- */

#define ERNIE_ROW                                                                         \
    .norm_epsilon = 1e-5f, .rope_theta = 500000, .chosen_key = "moe_k",                   \
    .mtp_prefix = "model.mtp_",                                                           \
    .tensor = {LLAMA_TENSORS, DENSE_TENSORS, GATED_EXPERT_TENSORS, SHARED_EXPERT_TENSORS, \
               [GM_ROLE_ROUTER_CORRECTION] =                                              \
                   "model.layers.%d.mlp.moe_statics.e_score_correction_bias"}

static const gm_family families[] = {
    {.architecture = "Glm4MoeForCausalLM",
     .model_type = "glm4_moe",
     .name = "glm4-moe",
     .dense_first = 1,
     .norm_epsilon = 1e-5f,
     .rope_theta = 1e4,
     .rotary_part = 0.5,
     .keys = glm_keys,
     .read = read_glm,
     .tensor = {LLAMA_TENSORS, QK_NORM_TENSORS, QKV_BIAS_TENSORS, DENSE_TENSORS,
                GATED_EXPERT_TENSORS, SHARED_EXPERT_TENSORS, CORRECTION_TENSOR}},
    {.architecture = "Glm4vMoeForConditionalGeneration",
     .model_type = "glm4v_moe",
     .name = "glm4v-moe",
     .dense_first = 1,
     .norm_epsilon = 1e-5f,
     .rope_theta = 1e4,
     .rotary_part = 0.5,
     .grid = true,
     .nested = true,
     .inner = "model.language_model.",
     .other_prefix = {"model.visual."},
     .keys = glm_vision_keys,
     .read = read_glm_vision,
     .tensor = {LLAMA_TENSORS, QKV_BIAS_TENSORS, DENSE_TENSORS, GATED_EXPERT_TENSORS,
                SHARED_EXPERT_TENSORS, CORRECTION_TENSOR}},
    {.architecture = "SolarOpenForCausalLM",
     .model_type = "solar_open",
     .name = "solar-open",
     .norm_epsilon = 1e-5f,
     .rope_theta = 1e6,
     .yarn = true,
     .no_dense = true,
     .keys = solar_keys,
     .read = read_solar,
     .tensor = {LLAMA_TENSORS, QKV_BIAS_TENSORS, GATED_EXPERT_TENSORS, SHARED_EXPERT_TENSORS,
                CORRECTION_TENSOR}},
    {.architecture = "Dots1ForCausalLM",
     .model_type = "dots1",
     .name = "dots1",
     .norm_epsilon = 1e-6f,
     .rope_theta = 1e4,
     .keys = dots_keys,
     .read = read_dots,
     .tensor = {LLAMA_TENSORS, QK_NORM_TENSORS, DENSE_TENSORS, GATED_EXPERT_TENSORS,
                SHARED_EXPERT_TENSORS, CORRECTION_TENSOR}},
    {.architecture = "Ernie4_5_MoeForCausalLM",
     .model_type = "ernie4_5_moe",
     .name = "ernie4.5-moe",
     .keys = ernie_keys,
     .read = read_ernie,
     ERNIE_ROW},
    {.architecture = "Ernie4_5_VLMoeForConditionalGeneration",
     .model_type = "ernie4_5_vl_moe",
     .name = "ernie4.5-vl-moe",
     .nested = true,
     .tied = true,
     .grid = true,
     .images = true,
     .inner = "model.",
     .other_prefix = {"model.vision_model.", "model.resampler_model."},
     .keys = ernie_vision_keys,
     .read = read_ernie_vision,
     ERNIE_ROW},
    {.architecture = "MiniMaxM2ForCausalLM",
     .model_type = "minimax_m2",
     .name = "minimax-m2",
     .norm_epsilon = 1e-6f,
     .rope_theta = 5e6,
     .rotary_part = 1.0,
     .keys = minimax_keys,
     .read = read_minimax,
     .tensor =
         {
             LLAMA_TENSORS,
             QK_NORM_TENSORS,
             MIXTRAL_EXPERT_TENSORS,
             [GM_ROLE_ROUTER_CORRECTION] =
                 "model.layers.%d.block_sparse_moe.e_score_correction_bias",
         }},
};

enum { N_FAMILIES = sizeof families / sizeof families[0] };

const gm_family *gm_corrected_family_at(size_t i)
{
    return i < N_FAMILIES ? &families[i] : gm_latent_family_at(i - N_FAMILIES);
}
