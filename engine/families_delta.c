/* families_delta.c - rows of the table of families most of whose layers have Gated DeltaNet
 * (gm_delta, arch.h) instead of attention: Qwen3-Next, and the part of Qwen3.5-MoE that reads text.
 *
 * Source: the Gated DeltaNet paper, arXiv:2412.06464; transformers, models/qwen3_next and
 * models/qwen3_5_moe.
 */
#include "engine/families_rows.h"

#include <inttypes.h>
#include <string.h>

enum { MAX_TAPS = 64, MAX_FURTHER = 64 };

/* ---- Gated DeltaNet ---- */

static gm_status read_sizes(const gm_json *config, const char *where, gm_delta *d, gm_error *err)
{
    gm_status status = GM_OK;
    GM_TRY(gm_config_int(config, "linear_num_key_heads", 1, GM_MAX_HEAD_DIM, &d->key_heads, where,
                         err));
    GM_TRY(gm_config_int(config, "linear_num_value_heads", 1, GM_MAX_HEAD_DIM, &d->value_heads,
                         where, err));
    GM_TRY(gm_config_int(config, "linear_key_head_dim", 1, GM_MAX_HEAD_DIM, &d->key, where, err));
    GM_TRY(
        gm_config_int(config, "linear_value_head_dim", 1, GM_MAX_HEAD_DIM, &d->value, where, err));
    GM_TRY(gm_config_int(config, "linear_conv_kernel_dim", 2, MAX_TAPS, &d->taps, where, err));
    if (d->value_heads % d->key_heads != 0)
        GM_FAIL(GM_EFORMAT,
                "'%s': 'linear_num_value_heads' is %d, expected a multiple of the %d key heads",
                where, d->value_heads, d->key_heads);
    const int64_t keys = (int64_t)d->key_heads * d->key,
                  values = (int64_t)d->value_heads * d->value;
    if (keys > GM_MAX_WIDTH || values > GM_MAX_WIDTH)
        GM_FAIL(GM_EFORMAT,
                "'%s': the linear heads are %" PRId64 " and %" PRId64 " wide, expected at most %d",
                where, keys, values, GM_MAX_WIDTH);
out:
    return status;
}

/* "layer_types" names each layer's kind; without it every so many-th has attention. */
static gm_status read_kinds(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_json *types = gm_json_find(config, "layer_types");
    const bool list = types && gm_json_kind_of(types) == GM_JSON_ARRAY;
    const gm_json *t = list ? gm_json_first(types) : NULL;
    const size_t n = (size_t)arch->n_layers;
    int every;
    GM_TRY(gm_config_int_or(config, "full_attention_interval", 1, GM_MAX_WIDTH, 4, &every, where,
                            err));
    if (types && gm_json_kind_of(types) != GM_JSON_NULL && (!list || gm_json_n_items(types) != n))
        GM_FAIL(GM_EFORMAT, "'%s': 'layer_types' is not a list of %zu layers", where, n);
    arch->delta_of_layer = gm_alloc(n, sizeof *arch->delta_of_layer);
    if (arch->delta_of_layer == NULL) GM_FAIL(GM_EMEM, "no memory for the layers of '%s'", where);
    for (int i = 0; i < arch->n_layers; i++) {
        const char *type = list ? gm_json_text(t, NULL) : NULL;
        const bool full = type ? strcmp(type, "full_attention") == 0 : (i + 1) % every == 0;
        if (list && (type == NULL || (!full && strcmp(type, "linear_attention") != 0)))
            GM_FAIL(GM_EFORMAT,
                    "'%s': 'layer_types' contains '%.48s', but only 'linear_attention' and "
                    "'full_attention' are supported",
                    where, type ? type : gm_json_kind_name(gm_json_kind_of(t)));
        arch->delta_of_layer[i] = full ? -1 : arch->n_delta++;
        if (list) t = gm_json_next(t);
    }
out:
    return status;
}

/* Without them transformers takes those of one published model. */
static gm_status expect_heads(const gm_json *config, const char *where, gm_error *err)
{
    static const char *const needed[] = {"head_dim", "num_key_value_heads"};
    gm_status status = GM_OK;
    double any; /* arch.c reads and bounds them */
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++)
        GM_TRY(gm_json_get_f64(config, needed[i], 0, 1e6, &any, where, err));
out:
    return status;
}

gm_status gm_delta_read(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    gm_status status = GM_OK;
    GM_TRY(expect_heads(config, where, err));
    GM_TRY(read_sizes(config, where, &arch->delta, err));
    GM_TRY(read_kinds(config, where, arch, err));
    GM_TRY(gm_config_int(config, "shared_expert_intermediate_size", 1, GM_MAX_WIDTH,
                         &arch->shared_width, where, err));
    GM_TRY(gm_read_qwen(config, where, arch, err));
    arch->n_shared = 1;
    arch->gated_shared = true;
    arch->gated_attention = arch->centred_norms = true;
    arch->qk_norm = GM_QK_NORM_HEAD;
out:
    return status;
}

#define DELTA_KEYS                                                                      \
    "linear_num_key_heads", "linear_num_value_heads", "linear_key_head_dim",            \
        "linear_value_head_dim", "linear_conv_kernel_dim", "full_attention_interval",   \
        "layer_types", "num_experts", "moe_intermediate_size", "partial_rotary_factor", \
        "shared_expert_intermediate_size", "decoder_sparse_step", "mlp_only_layers"

/* ---- Qwen3-Next: Qwen3-Next-80B-A3B, Qwen3-Coder-Next ---- */

static const char *const next_keys[] = {DELTA_KEYS, NULL};

/* Parts that predict further tokens come with the weights, and the config does not say so. */
static gm_status read_next(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    gm_status status = GM_OK;
    GM_TRY(gm_delta_read(config, where, arch, err));
    GM_TRY(
        gm_json_get_bool_or(config, "norm_topk_prob", true, &arch->router.renormalise, where, err));
    arch->n_mtp = 1;
out:
    return status;
}

/* ---- Qwen3.5-MoE: Qwen3.5-35B-A3B, Qwen3.5-122B-A10B, Qwen3.5-397B-A17B ---- */

static const char *const text_keys[] = {
    DELTA_KEYS,
    "mtp_num_hidden_layers",
    "mtp_use_dedicated_embeddings", /* of parts that are not computed */
    "attn_output_gate",
    "output_gate_type",
    "mamba_ssm_dtype", /* that of states, which are f32 here */
    "text_config",     /* the rest: around it, of images */
    "vision_config",
    "image_token_id",
    "video_token_id",
    "vision_start_token_id",
    "vision_end_token_id",
    "language_model_only",
    NULL,
};

/* Chosen weights are always divided by their plain sum, and no layer is dense. */
static gm_status read_text(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    static const char *const gates[] = {"swish", "silu", NULL};
    gm_status status = GM_OK;
    bool gated;
    GM_TRY(gm_delta_read(config, where, arch, err));
    if (arch->n_moe < arch->n_layers)
        GM_FAIL(GM_EFORMAT, "'%s': %d of %d layers are dense, but only MoE layers are supported",
                where, arch->n_layers - arch->n_moe, arch->n_layers);
    GM_TRY(gm_json_get_bool_or(config, "attn_output_gate", true, &gated, where, err));
    if (!gated)
        GM_FAIL(GM_EFORMAT, "'%s': 'attn_output_gate' is false, but only true is supported", where);
    GM_TRY(gm_expect_text(config, "output_gate_type", gates, where, err));
    GM_TRY(gm_config_int_or(config, "mtp_num_hidden_layers", 0, MAX_FURTHER, 1, &arch->n_mtp, where,
                            err));
    arch->router.renormalise = true;
out:
    return status;
}

/* ---- the rows ---- */

#define DELTA_TENSORS                                                                             \
    LLAMA_TENSORS, QK_NORM_TENSORS,                                                               \
        GATED_EXPERT_TENSORS, [GM_ROLE_Q_GATE] = "model.layers.%d.self_attn.q_proj.weight",       \
                              [GM_ROLE_DELTA_CONV] = "model.layers.%d.linear_attn.conv1d.weight", \
                              [GM_ROLE_DELTA_RATE] = "model.layers.%d.linear_attn.A_log",         \
                              [GM_ROLE_DELTA_BIAS] = "model.layers.%d.linear_attn.dt_bias",       \
                              [GM_ROLE_DELTA_NORM] = "model.layers.%d.linear_attn.norm.weight",   \
                              [GM_ROLE_DELTA_O] = "model.layers.%d.linear_attn.out_proj.weight",  \
                              [GM_ROLE_SHARE] = "model.layers.%d.mlp.shared_expert_gate.weight",  \
                              [GM_ROLE_SHARED_GATE] =                                             \
                                  "model.layers.%d.mlp.shared_expert.gate_proj.weight",           \
                              [GM_ROLE_SHARED_UP] =                                               \
                                  "model.layers.%d.mlp.shared_expert.up_proj.weight",             \
                              [GM_ROLE_SHARED_DOWN] =                                             \
                                  "model.layers.%d.mlp.shared_expert.down_proj.weight"

/* Projections of Gated DeltaNet, in a tensor for two and for four of them, or in four tensors. */
#define MIXED_TENSORS                                                      \
    [GM_ROLE_DELTA_Q] = "model.layers.%d.linear_attn.in_proj_qkvz.weight", \
    [GM_ROLE_DELTA_K] = "model.layers.%d.linear_attn.in_proj_qkvz.weight", \
    [GM_ROLE_DELTA_V] = "model.layers.%d.linear_attn.in_proj_qkvz.weight", \
    [GM_ROLE_DELTA_Z] = "model.layers.%d.linear_attn.in_proj_qkvz.weight", \
    [GM_ROLE_DELTA_B] = "model.layers.%d.linear_attn.in_proj_ba.weight",   \
    [GM_ROLE_DELTA_A] = "model.layers.%d.linear_attn.in_proj_ba.weight"

#define APART_TENSORS                                                     \
    [GM_ROLE_DELTA_Q] = "model.layers.%d.linear_attn.in_proj_qkv.weight", \
    [GM_ROLE_DELTA_K] = "model.layers.%d.linear_attn.in_proj_qkv.weight", \
    [GM_ROLE_DELTA_V] = "model.layers.%d.linear_attn.in_proj_qkv.weight", \
    [GM_ROLE_DELTA_Z] = "model.layers.%d.linear_attn.in_proj_z.weight",   \
    [GM_ROLE_DELTA_B] = "model.layers.%d.linear_attn.in_proj_b.weight",   \
    [GM_ROLE_DELTA_A] = "model.layers.%d.linear_attn.in_proj_a.weight"

#define DELTA_ROW                                                                        \
    .norm_epsilon = 1e-6f, .rope_theta = 1e4, .rotary_part = 0.25, .mtp_prefix = "mtp.", \
    .stacked = {"model.layers.%d.mlp.experts.gate_up_proj",                              \
                "model.layers.%d.mlp.experts.down_proj"}

#define TEXT_ROW                                                                    \
    DELTA_ROW, .name = "qwen3.5-moe", .keys = text_keys, .read = read_text,         \
               .other_prefix = {"model.visual."}, .inner = "model.language_model.", \
               .no_dense = true, .grid = true, .tensor = {DELTA_TENSORS, APART_TENSORS}

static const gm_family families[] = {
    {.architecture = "Qwen3NextForCausalLM",
     .model_type = "qwen3_next",
     DELTA_ROW,
     .name = "qwen3-next",
     .mixed = true,
     .keys = next_keys,
     .read = read_next,
     .tensor = {DELTA_TENSORS, MIXED_TENSORS, DENSE_TENSORS}},
    /* with what sees images, and the text's part alone */
    {.architecture = "Qwen3_5MoeForConditionalGeneration",
     .model_type = "qwen3_5_moe",
     .nested = true,
     TEXT_ROW},
    {.architecture = "Qwen3_5MoeForCausalLM", .model_type = "qwen3_5_moe_text", TEXT_ROW},
};

enum { N_FAMILIES = sizeof families / sizeof families[0] };

const gm_family *gm_delta_family_at(size_t i)
{
    return i < N_FAMILIES ? &families[i] : gm_norms_family_at(i - N_FAMILIES);
}
