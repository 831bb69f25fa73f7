/* families_mamba.c - rows of the table of families most of whose layers have Mamba2 (gm_delta,
 * arch.h) instead of attention, which is without positions: GraniteMoeHybrid.
 *
 * Source: Dao & Gu 2024, arXiv:2405.21060; transformers, models/granitemoehybrid.
 */
#include "engine/families_rows.h"

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
                "'%s': Mamba2's groups and heads are %lld and %lld wide, expected at most %d",
                where, (long long)keys, (long long)values, GM_MAX_WIDTH);
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

/* What newer and older files call the kinds of layers. */
static gm_status read_kinds(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
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
        const bool full = strcmp(type, "attention") == 0 || strcmp(type, "full_attention") == 0;
        if (!full && strcmp(type, "mamba") != 0 && strcmp(type, "linear_attention") != 0)
            GM_FAIL(GM_EFORMAT,
                    "'%s': 'layer_types' contains '%.48s', but only 'mamba' and 'attention' are "
                    "supported",
                    where, *type ? type : gm_json_kind_name(gm_json_kind_of(t)));
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
    gm_status status = GM_OK;
    const char *position;
    int expand;

    GM_TRY(read_sizes(config, where, &keys, arch, err));
    GM_TRY(read_kinds(config, where, arch, err));
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
};

enum { N_FAMILIES = sizeof families / sizeof families[0] };

const gm_family *gm_mamba_family_at(size_t i)
{
    return i < N_FAMILIES ? &families[i] : gm_far_family_at(i - N_FAMILIES);
}
