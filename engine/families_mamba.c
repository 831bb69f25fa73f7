/* families_mamba.c - rows of the table of families most of whose layers have Mamba2 (gm_delta,
 * arch.h) instead of attention, which is without positions: GraniteMoeHybrid, Nemotron-H.
 *
 * Source: Dao & Gu 2024, arXiv:2405.21060; transformers, models/granitemoehybrid and
 * models/nemotron_h.
 */
#include "engine/families_rows.h"

#include <inttypes.h>
#include <string.h>

enum { MAX_TAPS = 64 };

/* ---- Mamba2 ---- */

/* What a family calls the sizes of Mamba2. */
typedef struct size_keys {
    const char *heads, *head, *groups, *state, *taps, *conv_bias;
} size_keys;

static gm_status read_sizes(const gm_json *config, const char *where, const size_keys *key,
                            gm_arch *arch, gm_error *err)
{
    gm_status status = GM_OK;
    gm_delta *d = &arch->delta;
    GM_TRY(gm_config_int(config, key->heads, 1, GM_MAX_HEAD_DIM, &d->value_heads, where, err));
    GM_TRY(gm_config_int(config, key->head, 1, GM_MAX_HEAD_DIM, &d->value, where, err));
    GM_TRY(gm_config_int(config, key->groups, 1, GM_MAX_HEAD_DIM, &d->key_heads, where, err));
    GM_TRY(gm_config_int(config, key->state, 1, GM_MAX_HEAD_DIM, &d->key, where, err));
    GM_TRY(gm_config_int(config, key->taps, 2, MAX_TAPS, &d->taps, where, err));
    GM_TRY(gm_json_get_bool_or(config, key->conv_bias, true, &arch->conv_bias, where, err));
    if (d->value_heads % d->key_heads != 0)
        GM_FAIL(GM_EFORMAT, "'%s': '%s' is %d, expected a multiple of the %d groups", where,
                key->heads, d->value_heads, d->key_heads);
    const int64_t keys = (int64_t)d->key_heads * d->key,
                  values = (int64_t)d->value_heads * d->value;
    if (keys > GM_MAX_WIDTH || values > GM_MAX_WIDTH)
        GM_FAIL(GM_EFORMAT,
                "'%s': Mamba2's groups and heads are %" PRId64 " and %" PRId64
                " wide, expected at most %d",
                where, keys, values, GM_MAX_WIDTH);
    arch->mamba = true;
out:
    return status;
}

/* "Infinity" as transformers saves it, or a number that no step exceeds. */
static bool is_infinite(const gm_json *value)
{
    double number;
    const gm_json *text = value ? gm_json_find(value, "__float__") : NULL;
    if (text && gm_json_kind_of(text) == GM_JSON_TEXT)
        return strcmp(gm_json_text(text, NULL), "Infinity") == 0;
    return value && gm_json_f64(value, &number) && number >= 1e30;
}

/* Steps between 0 and infinity, which all of them are. */
static gm_status expect_no_limit(const gm_json *config, const char *where, gm_error *err)
{
    static const char key[] = "time_step_limit";
    const gm_json *list = gm_json_find(config, key);
    double least;
    if (list == NULL || gm_json_kind_of(list) == GM_JSON_NULL) return GM_OK;
    if (gm_json_kind_of(list) == GM_JSON_ARRAY && gm_json_n_items(list) == 2 &&
        gm_json_f64(gm_json_first(list), &least) && least == 0.0 &&
        is_infinite(gm_json_next(gm_json_first(list))))
        return GM_OK;
    return gm_fail(err, GM_EFORMAT, "'%s': '%s' limits the steps, which is not supported", where,
                   key);
}

/* ---- GraniteMoeHybrid: granite-4.0-h-tiny, granite-4.0-h-small ---- */

static const char *const hybrid_keys[] = {
    "num_local_experts",
    "shared_intermediate_size",
    "attention_multiplier",
    "embedding_multiplier",
    "residual_multiplier",
    "logits_scaling",
    "layer_types",
    "mamba_n_heads",
    "mamba_d_head",
    "mamba_n_groups",
    "mamba_d_state",
    "mamba_d_conv",
    "mamba_expand",
    "mamba_conv_bias",
    "mamba_proj_bias",
    "mamba_chunk_size", /* a way to compute the same */
    "time_step_limit",
    "position_embedding_type",
    "normalization_function",
    "init_method", /* of training */
    NULL,
};

gm_status gm_read_kinds(const gm_json *config, const char *const kept[2], const char *const keys[2],
                        const char *where, gm_arch *arch, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_json *types = gm_json_find(config, "layer_types");
    const size_t n = (size_t)arch->n_layers;
    int layer = 0;
    if (types == NULL || gm_json_kind_of(types) != GM_JSON_ARRAY || gm_json_n_items(types) != n)
        GM_FAIL(GM_EFORMAT, "'%s': 'layer_types' is not a list of %zu layers", where, n);
    arch->delta_of_layer = gm_alloc(n, sizeof *arch->delta_of_layer);
    if (arch->delta_of_layer == NULL) GM_FAIL(GM_EMEM, "no memory for the layers of '%s'", where);
    for (const gm_json *t = gm_json_first(types); t; t = gm_json_next(t), layer++) {
        const char *type = gm_json_text(t, NULL) ? gm_json_text(t, NULL) : "";
        const bool full = strcmp(type, keys[0]) == 0 || strcmp(type, keys[1]) == 0;
        if (!full && strcmp(type, kept[0]) != 0 && strcmp(type, kept[1]) != 0)
            GM_FAIL(GM_EFORMAT,
                    "'%s': 'layer_types' contains '%.48s', but only '%s' and '%s' are supported",
                    where, *type ? type : gm_json_kind_name(gm_json_kind_of(t)), kept[0], keys[0]);
        arch->delta_of_layer[layer] = full ? -1 : arch->n_delta++;
    }
out:
    return status;
}

/* Source: transformers, models/granitemoehybrid: GraniteMoE, and in every layer one MLP more that
 * all tokens take; positions do not enter attention unless 'rope' is named. */
static gm_status read_hybrid(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    static const size_keys keys = {"mamba_n_heads", "mamba_d_head", "mamba_n_groups",
                                   "mamba_d_state", "mamba_d_conv", "mamba_conv_bias"};
    static const char *const positions[] = {"nope", "rope", NULL};
    static const char *const norms[] = {"rmsnorm", NULL};
    static const char *const mamba[] = {"mamba", "linear_attention"};
    static const char *const attention[] = {"attention", "full_attention"};
    gm_status status = GM_OK;
    const char *position;
    int expand;

    GM_TRY(read_sizes(config, where, &keys, arch, err));
    GM_TRY(gm_read_kinds(config, mamba, attention, where, arch, err));
    GM_TRY(gm_config_int_or(config, "mamba_expand", 1, GM_MAX_WIDTH, 2, &expand, where, err));
    if ((int64_t)expand * arch->width != (int64_t)arch->delta.value_heads * arch->delta.value)
        GM_FAIL(GM_EFORMAT, "'%s': %d heads of %d are not 'mamba_expand' (%d) times %d wide", where,
                arch->delta.value_heads, arch->delta.value, expand, arch->width);
    GM_TRY(gm_expect_bool(config, "mamba_proj_bias", false, where, err));
    GM_TRY(expect_no_limit(config, where, err));
    GM_TRY(gm_expect_text(config, "normalization_function", norms, where, err));
    GM_TRY(gm_expect_text(config, "position_embedding_type", positions, where, err));
    GM_TRY(gm_json_get_text_or(config, "position_embedding_type", "nope", &position, where, err));
    if (strcmp(position, "rope") != 0) arch->rope.dim = 0;
    GM_TRY(gm_config_int(config, "shared_intermediate_size", 1, GM_MAX_WIDTH, &arch->shared_width,
                         where, err));
    arch->n_shared = 1;
    GM_TRY(gm_read_granite(config, where, arch, err));
out:
    return status;
}

/* ---- Nemotron-H with experts: NVIDIA-Nemotron-3-Nano-30B-A3B ---- */

static const char *const nemotron_keys[] = {
    "hybrid_override_pattern",
    "layers_block_type",
    "layer_norm_epsilon",
    "mamba_num_heads",
    "mamba_head_dim",
    "n_groups",
    "ssm_state_size",
    "conv_kernel",
    "use_conv_bias",
    "use_bias",
    "mamba_proj_bias",
    "mamba_hidden_act",
    "mlp_hidden_act",
    "time_step_limit",
    "n_routed_experts",
    "n_shared_experts",
    "moe_intermediate_size",
    "moe_shared_expert_intermediate_size",
    "moe_latent_size",
    "routed_scaling_factor",
    "n_group",
    "topk_group",
    "num_nextn_predict_layers",
    /* the rest says nothing about what is computed */
    "norm_eps",
    "expand",
    "chunk_size",
    "partial_rotary_factor",
    "mamba_ssm_cache_dtype",
    "moe_shared_expert_overlap",
    "mtp_hybrid_override_pattern",
    "mtp_layers_block_type",
    "num_logits_to_keep",
    "rescale_prenorm_residual",
    "residual_in_fp32",
    "hidden_dropout",
    "time_step_floor", /* these three: for initial weights only. transformers 5.24 takes _min for
                          the least step of nemotron_h, which NVIDIA's own code does not */
    "time_step_max",
    "time_step_min",
    "use_mamba_kernels",
    NULL,
};

/* A block's letter in the pattern: M Mamba2, * attention, E experts, - a dense MLP; 0: none. */
static char letter_of(const gm_json *type)
{
    static const char *const names[][3] = {{"mamba", "linear_attention", "M"},
                                           {"attention", "full_attention", "*"},
                                           {"moe", "moe", "E"},
                                           {"mlp", "mlp", "-"}};
    const char *name = gm_json_text(type, NULL);
    for (size_t i = 0; name && i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i][0]) == 0 || strcmp(name, names[i][1]) == 0) return *names[i][2];
    return 0;
}

/* What one layer has, which is one block. False: nothing that is known. */
static bool place_block(gm_arch *arch, int layer, char letter)
{
    const bool mixer = letter == 'M' || letter == '*';
    if (!mixer && letter != 'E' && letter != '-') return false;
    arch->part[layer] = mixer ? GM_PART_MIXER : GM_PART_MLP;
    arch->delta_of_layer[layer] = letter == 'M' ? arch->n_delta++ : -1;
    arch->moe_of_layer[layer] = letter == 'E' ? arch->n_moe : -1;
    if (letter == 'E') arch->layer_of_moe[arch->n_moe++] = layer;
    return true;
}

/* A list of blocks, or an older file's pattern. */
static gm_status read_blocks(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    static const char list_key[] = "layers_block_type", pattern_key[] = "hybrid_override_pattern";
    gm_status status = GM_OK;
    const gm_json *list = gm_json_find(config, list_key);
    const bool listed = list && gm_json_kind_of(list) == GM_JSON_ARRAY;
    const size_t n = (size_t)arch->n_layers;
    const char *pattern = "", *key = listed ? list_key : pattern_key;
    if (!listed) GM_TRY(gm_json_get_text(config, pattern_key, &pattern, where, err));
    if (!listed && strlen(pattern) != n)
        GM_FAIL(GM_EFORMAT, "'%s': '%s' has %zu letters, expected one for each of %zu layers",
                where, key, strlen(pattern), n);
    arch->part = gm_alloc(n, sizeof *arch->part);
    arch->delta_of_layer = gm_alloc(n, sizeof *arch->delta_of_layer);
    if (arch->part == NULL || arch->delta_of_layer == NULL)
        GM_FAIL(GM_EMEM, "no memory for the layers of '%s'", where);
    arch->n_moe = 0;
    const gm_json *type = listed ? gm_json_first(list) : NULL;
    for (int i = 0; i < arch->n_layers; i++) {
        if (!place_block(arch, i, listed ? letter_of(type) : pattern[i]))
            GM_FAIL(GM_EFORMAT,
                    "'%s': the block of layer %d in '%s' is not Mamba2, attention, 'moe' or 'mlp'",
                    where, i, key);
        if (listed) type = gm_json_next(type);
    }
    if (arch->n_moe == 0)
        GM_FAIL(GM_EFORMAT, "'%s': none of the %d layers is an MoE layer", where, arch->n_layers);
out:
    return status;
}

/* Fields with one value that is computed. */
static gm_status expect_fields(const gm_json *config, const char *where, gm_error *err)
{
    static const char *const silu[] = {"silu", NULL}, *const relu2[] = {"relu2", NULL};
    static const char *const needed[] = {"head_dim", "num_key_value_heads"};
    gm_status status = GM_OK;
    double any; /* arch.c reads and bounds them */
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++)
        GM_TRY(gm_json_get_f64(config, needed[i], 0, 1e6, &any, where, err));
    GM_TRY(gm_expect_text(config, "mamba_hidden_act", silu, where, err));
    GM_TRY(gm_expect_text(config, "mlp_hidden_act", relu2, where, err));
    GM_TRY(gm_expect_bool(config, "use_bias", false, where, err));
    GM_TRY(gm_expect_bool(config, "mamba_proj_bias", false, where, err));
    GM_TRY(expect_no_limit(config, where, err));
    if (gm_config_has(config, "moe_latent_size"))
        GM_FAIL(GM_EFORMAT, "'%s': 'moe_latent_size' is not null, but only null is supported",
                where);
out:
    return status;
}

/* Source: transformers, models/nemotron_h: the router of DeepSeek-V3; one block a layer. */
static gm_status read_nemotron(const gm_json *config, const char *where, gm_arch *arch,
                               gm_error *err)
{
    static const size_keys keys = {"mamba_num_heads", "mamba_head_dim", "n_groups",
                                   "ssm_state_size",  "conv_kernel",    "use_conv_bias"};
    gm_status status = GM_OK;
    double epsilon;
    GM_TRY(expect_fields(config, where, err));
    GM_TRY(read_sizes(config, where, &keys, arch, err));
    GM_TRY(gm_read_corrected(config, true, where, arch, err));
    GM_TRY(read_blocks(config, where, arch, err));
    GM_TRY(gm_config_int(config, "moe_shared_expert_intermediate_size", 1, GM_MAX_WIDTH,
                         &arch->shared_width, where, err));
    GM_TRY(gm_json_get_f64_or(config, "layer_norm_epsilon", 0, 1, 1e-5, &epsilon, where, err));
    arch->norm_epsilon = (float)epsilon;
    arch->n_shared = 1;
    arch->activation.squared = true;
    arch->rope.dim = 0;
out:
    return status;
}

/* ---- the rows ---- */

static const gm_family families[] = {
    {.architecture = "GraniteMoeHybridForCausalLM",
     .model_type = "granitemoehybrid",
     .name = "granite-moe-hybrid",
     .norm_epsilon = 1e-6f,
     .rope_theta = 1e4,
     .keys = hybrid_keys,
     .read = read_hybrid,
     .tensor =
         {
             LLAMA_TENSORS,
             [GM_ROLE_DELTA_Z] = "model.layers.%d.mamba.in_proj.weight",
             [GM_ROLE_DELTA_V] = "model.layers.%d.mamba.in_proj.weight",
             [GM_ROLE_DELTA_K] = "model.layers.%d.mamba.in_proj.weight",
             [GM_ROLE_DELTA_Q] = "model.layers.%d.mamba.in_proj.weight",
             [GM_ROLE_DELTA_A] = "model.layers.%d.mamba.in_proj.weight",
             [GM_ROLE_DELTA_CONV] = "model.layers.%d.mamba.conv1d.weight",
             [GM_ROLE_DELTA_CONV_BIAS] = "model.layers.%d.mamba.conv1d.bias",
             [GM_ROLE_DELTA_RATE] = "model.layers.%d.mamba.A_log",
             [GM_ROLE_DELTA_BIAS] = "model.layers.%d.mamba.dt_bias",
             [GM_ROLE_DELTA_SKIP] = "model.layers.%d.mamba.D",
             [GM_ROLE_DELTA_NORM] = "model.layers.%d.mamba.norm.weight",
             [GM_ROLE_DELTA_O] = "model.layers.%d.mamba.out_proj.weight",
             [GM_ROLE_ROUTER] = "model.layers.%d.block_sparse_moe.router.layer.weight",
             [GM_ROLE_SHARED_GATE] = "model.layers.%d.shared_mlp.input_linear.weight",
             [GM_ROLE_SHARED_UP] = "model.layers.%d.shared_mlp.input_linear.weight",
             [GM_ROLE_SHARED_DOWN] = "model.layers.%d.shared_mlp.output_linear.weight",
             [GM_ROLE_EXPERT_GATE] = "model.layers.%d.block_sparse_moe.input_linear.weight",
             [GM_ROLE_EXPERT_UP] = "model.layers.%d.block_sparse_moe.input_linear.weight",
             [GM_ROLE_EXPERT_DOWN] = "model.layers.%d.block_sparse_moe.output_linear.weight",
         }},
    {.architecture = "NemotronHForCausalLM",
     .model_type = "nemotron_h",
     .name = "nemotron-h",
     .norm_epsilon = 1e-5f,
     .rope_theta = 1e4,
     .list_key = "layers_block_type",
     .mtp_prefix = "mtp.",
     .keys = nemotron_keys,
     .read = read_nemotron,
     .tensor =
         {
             [GM_ROLE_EMBED] = "backbone.embeddings.weight",
             [GM_ROLE_FINAL_NORM] = "backbone.norm_f.weight",
             [GM_ROLE_HEAD] = "lm_head.weight",
             [GM_ROLE_ATTN_NORM] = "backbone.layers.%d.norm.weight",
             [GM_ROLE_Q] = "backbone.layers.%d.mixer.q_proj.weight",
             [GM_ROLE_K] = "backbone.layers.%d.mixer.k_proj.weight",
             [GM_ROLE_V] = "backbone.layers.%d.mixer.v_proj.weight",
             [GM_ROLE_O] = "backbone.layers.%d.mixer.o_proj.weight",
             [GM_ROLE_DELTA_Z] = "backbone.layers.%d.mixer.in_proj.weight",
             [GM_ROLE_DELTA_V] = "backbone.layers.%d.mixer.in_proj.weight",
             [GM_ROLE_DELTA_K] = "backbone.layers.%d.mixer.in_proj.weight",
             [GM_ROLE_DELTA_Q] = "backbone.layers.%d.mixer.in_proj.weight",
             [GM_ROLE_DELTA_A] = "backbone.layers.%d.mixer.in_proj.weight",
             [GM_ROLE_DELTA_CONV] = "backbone.layers.%d.mixer.conv1d.weight",
             [GM_ROLE_DELTA_CONV_BIAS] = "backbone.layers.%d.mixer.conv1d.bias",
             [GM_ROLE_DELTA_RATE] = "backbone.layers.%d.mixer.A_log",
             [GM_ROLE_DELTA_BIAS] = "backbone.layers.%d.mixer.dt_bias",
             [GM_ROLE_DELTA_SKIP] = "backbone.layers.%d.mixer.D",
             [GM_ROLE_DELTA_NORM] = "backbone.layers.%d.mixer.norm.weight",
             [GM_ROLE_DELTA_O] = "backbone.layers.%d.mixer.out_proj.weight",
             [GM_ROLE_MLP_NORM] = "backbone.layers.%d.norm.weight",
             [GM_ROLE_DENSE_UP] = "backbone.layers.%d.mixer.up_proj.weight",
             [GM_ROLE_DENSE_DOWN] = "backbone.layers.%d.mixer.down_proj.weight",
             [GM_ROLE_ROUTER] = "backbone.layers.%d.mixer.gate.weight",
             [GM_ROLE_ROUTER_CORRECTION] = "backbone.layers.%d.mixer.gate.e_score_correction_bias",
             [GM_ROLE_SHARED_UP] = "backbone.layers.%d.mixer.shared_experts.up_proj.weight",
             [GM_ROLE_SHARED_DOWN] = "backbone.layers.%d.mixer.shared_experts.down_proj.weight",
             [GM_ROLE_EXPERT_UP] = "backbone.layers.%d.mixer.experts.%d.up_proj.weight",
             [GM_ROLE_EXPERT_DOWN] = "backbone.layers.%d.mixer.experts.%d.down_proj.weight",
         }},
};

enum { N_FAMILIES = sizeof families / sizeof families[0] };

const gm_family *gm_mamba_family_at(size_t i)
{
    return i < N_FAMILIES ? &families[i] : gm_global_family_at(i - N_FAMILIES);
}
