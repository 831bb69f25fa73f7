/* families_global.c - rows of the table of families whose layers that see all positions have other
 * heads or angles than those with a window: Gemma 4, Llama 4.
 */
#include "engine/arch_keys.h"
#include "engine/families_rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const gm_moe_layers every_layer = {.every = 1};

gm_status gm_read_each_window(const gm_json *config, int window, int every, const char *where,
                              gm_arch *arch, gm_error *err)
{
    gm_status status = GM_OK;
    int n = 0;
    const gm_json *types = gm_json_find(config, "layer_types");
    arch->window = gm_alloc((size_t)arch->n_layers, sizeof *arch->window);
    if (arch->window == NULL) GM_FAIL(GM_EMEM, "no memory for the layers of '%s'", where);
    for (int i = 0; i < arch->n_layers; i++) arch->window[i] = (i + 1) % every ? window : 0;
    if (types == NULL || gm_json_kind_of(types) == GM_JSON_NULL) goto out;
    if (gm_json_kind_of(types) != GM_JSON_ARRAY || gm_json_n_items(types) != (size_t)arch->n_layers)
        GM_FAIL(GM_EFORMAT, "'%s': 'layer_types' is not a list of the %d layers' types", where,
                arch->n_layers);
    for (const gm_json *t = gm_json_first(types); t; t = gm_json_next(t)) {
        const char *type = gm_json_text(t, NULL);
        const bool slides = type && strcmp(type, "sliding_attention") == 0;
        if (!slides && (type == NULL || strcmp(type, "full_attention") != 0))
            GM_FAIL(GM_EFORMAT,
                    "'%s': 'layer_types' contains '%.48s', but only 'sliding_attention' and "
                    "'full_attention' are supported",
                    where, type ? type : gm_json_kind_name(gm_json_kind_of(t)));
        arch->window[n++] = slides ? window : 0;
    }
out:
    return status;
}

gm_status gm_read_windows(const gm_json *config, int every, const char *where, gm_arch *arch,
                          gm_error *err)
{
    int window;
    gm_status status = gm_config_int(config, "sliding_window", 1, INT32_MAX, &window, where, err);
    return status == GM_OK ? gm_read_each_window(config, window, every, where, arch, err) : status;
}

/* ---- Gemma 4: gemma-4-26B-A4B ---- */

static const char *const gemma_keys[] = {
    "hidden_activation",
    "global_head_dim",
    "num_global_key_value_heads",
    "per_layer_config", /* in place of these two, as transformers saves it */
    "attention_k_eq_v",
    "sliding_window",
    "layer_types",
    "final_logit_softcapping",
    "enable_moe_block",
    "num_experts",
    "top_k_experts",
    "moe_intermediate_size",
    "hidden_size_per_layer_input",
    "num_kv_shared_layers",
    "use_bidirectional_attention",
    "vocab_size_per_layer_input", /* idle without such inputs, */
    "use_double_wide_mlp",        /* without shared keys, */
    "expert_intermediate_size",   /* and beside moe_intermediate_size */
    "text_config",                /* the rest: around it, of images and sound */
    "vision_config",
    "audio_config",
    "image_token_id",
    "boi_token_id",
    "eoi_token_id",
    "video_token_id",
    "audio_token_id",
    "boa_token_id",
    "eoa_token_id",
    "eoa_token_index",
    "vision_soft_tokens_per_image",
    NULL,
};

/* What other members of the family compute and this one does not. */
static gm_status check_gemma(const gm_json *config, const char *where, gm_error *err)
{
    static const char *const activations[] = {"gelu_pytorch_tanh", NULL};
    static const char *const directions[] = {"vision", NULL};
    gm_status status = GM_OK;
    bool moe;
    int same;
    GM_TRY(gm_json_get_bool_or(config, "enable_moe_block", false, &moe, where, err));
    if (!moe)
        GM_FAIL(GM_EFORMAT, "'%s': 'enable_moe_block' is not true: the model has no experts",
                where);
    GM_TRY(gm_config_int_or(config, "hidden_size_per_layer_input", 0, INT32_MAX, 256, &same, where,
                            err));
    if (same != 0)
        GM_FAIL(GM_EFORMAT,
                "'%s': 'hidden_size_per_layer_input' is %d, but only 0 is supported: no layer has "
                "an embedding of its own",
                where, same);
    GM_TRY(gm_config_int_or(config, "num_kv_shared_layers", 0, INT32_MAX, 0, &same, where, err));
    if (same != 0)
        GM_FAIL(GM_EFORMAT,
                "'%s': 'num_kv_shared_layers' is %d, but only 0 is supported: each layer has keys "
                "and values of its own",
                where, same);
    if (gm_config_has(config, "rope_scaling"))
        GM_FAIL(GM_EFORMAT,
                "'%s': 'rope_scaling' is not supported, expected 'rope_parameters' with an object "
                "for each type of layer",
                where);
    GM_TRY(gm_expect_text(config, "hidden_activation", activations, where, err));
    GM_TRY(gm_expect_text(config, "use_bidirectional_attention", directions, where, err));
out:
    return status;
}

/* Heads of layers that see all positions: those of `holder`, where it names them. */
static gm_status read_global_heads(const gm_json *holder, const char *dim_key, const char *kv_key,
                                   const char *where, gm_arch *arch, gm_error *err)
{
    gm_status status = GM_OK;
    gm_global *global = &arch->global;
    GM_TRY(gm_config_int_or(holder, dim_key, 2, GM_MAX_HEAD_DIM, global->head_dim,
                            &global->head_dim, where, err));
    if (kv_key)
        GM_TRY(gm_config_int_or(holder, kv_key, 1, arch->n_heads, global->n_kv_heads,
                                &global->n_kv_heads, where, err));
    if (global->head_dim % 2 != 0)
        GM_FAIL(GM_EFORMAT, "'%s': '%s' is %d, expected an even number", where, dim_key,
                global->head_dim);
    if (arch->n_heads % global->n_kv_heads != 0)
        GM_FAIL(GM_EFORMAT, "'%s': '%s' is %d, expected a divisor of the %d attention heads", where,
                kv_key ? kv_key : "num_key_value_heads", global->n_kv_heads, arch->n_heads);
out:
    return status;
}

/* The same as transformers saves it: an object for each of those layers, under its number, and all
 * alike; none where their heads are those of the other layers. */
static gm_status read_each_global(const gm_json *config, const char *where, gm_arch *arch,
                                  gm_error *err)
{
    static const char name[] = "per_layer_config";
    static const char *const known[] = {"head_dim", "num_key_value_heads", NULL};
    gm_status status = GM_OK;
    const gm_json *list = gm_json_find(config, name);
    const gm_global other = arch->global; /* what a member that is absent means */
    gm_global first = {0};
    int n = 0, n_global = 0;
    if (gm_json_kind_of(list) != GM_JSON_OBJECT)
        GM_FAIL(GM_EFORMAT, "'%s': '%s' is not an object", where, name);
    for (int i = 0; i < arch->n_layers; i++) n_global += arch->window[i] == 0;
    for (const gm_json *v = gm_json_first(list); v; v = gm_json_next(v), n++) {
        char *end = NULL;
        const long layer = strtol(gm_json_key(v), &end, 10);
        if (*end != '\0' || end == gm_json_key(v) || layer < 0 || layer >= arch->n_layers ||
            arch->window[layer] != 0 || gm_json_kind_of(v) != GM_JSON_OBJECT)
            GM_FAIL(GM_EFORMAT,
                    "'%s': '%s' contains '%.48s', expected objects under the numbers of layers of "
                    "'full_attention'",
                    where, name, gm_json_key(v));
        GM_TRY(gm_config_check_part(v, name, known, where, err));
        arch->global = other;
        GM_TRY(read_global_heads(v, known[0], known[1], where, arch, err));
        if (n == 0) first = arch->global;
        if (arch->global.head_dim != first.head_dim || arch->global.n_kv_heads != first.n_kv_heads)
            GM_FAIL(GM_EFORMAT, "'%s': '%s' has layers of different heads, expected the same",
                    where, name);
    }
    if (n > 0 && n != n_global)
        GM_FAIL(GM_EFORMAT, "'%s': '%s' has %d layers, expected the %d of 'full_attention'", where,
                name, n, n_global);
out:
    return status;
}

/* Heads and angles of both types of layers. */
static gm_status read_types(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    static const gm_rope near = {.theta = 1e4, .amplitude = 1.0, .attention = 1.0, .alpha = 1.0};
    enum { GLOBAL_HEAD = 512 }; /* where the config names no width */
    gm_status status = GM_OK;
    const int last = arch->n_layers - 1;
    gm_global *global = &arch->global;
    GM_TRY(gm_read_windows(config, 6, where, arch, err));
    if (!gm_config_has(config, "layer_types")) arch->window[last] = 0;
    if (arch->window[last] != 0)
        GM_FAIL(GM_EFORMAT,
                "'%s': 'layer_types' ends with 'sliding_attention', expected 'full_attention'",
                where);
    GM_TRY(gm_json_get_bool_or(config, "attention_k_eq_v", false, &global->shared, where, err));
    global->n_kv_heads = arch->n_kv_heads;
    if (gm_config_has(config, "per_layer_config")) {
        global->head_dim = arch->head_dim;
        GM_TRY(read_each_global(config, where, arch, err));
    } else {
        global->head_dim = GLOBAL_HEAD;
        GM_TRY(read_global_heads(config, "global_head_dim",
                                 global->shared ? "num_global_key_value_heads" : NULL, where, arch,
                                 err));
    }
    const gm_rope partial = {.theta = 1e6,
                             .amplitude = 1.0,
                             .attention = 1.0,
                             .alpha = 1.0,
                             .turning = (size_t)global->head_dim / 8};
    GM_TRY(gm_rope_read_type(&arch->rope, config, arch->family, "sliding_attention", &near,
                             (size_t)arch->head_dim, where, err));
    GM_TRY(gm_rope_read_type(&global->rope, config, arch->family, "full_attention", &partial,
                             (size_t)global->head_dim, where, err));
out:
    return status;
}

/* Source: transformers, models/gemma4: q, k and v have norms, so attention has no scale; the router
 * reads the residual through a norm of its own and divides by the width's root; beside the experts
 * is a dense MLP, here a shared expert, both between norms of their own. Embeddings are scaled by
 * the width's root, which the weights' authors round to bf16 and transformers does not in f32. */
static gm_status read_gemma(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    gm_status status = GM_OK;
    const double root = sqrt((double)arch->width);
    double cap;
    GM_TRY(check_gemma(config, where, err));
    GM_TRY(gm_config_int(config, "num_experts", 1, GM_MAX_EXPERTS, &arch->n_experts, where, err));
    GM_TRY(gm_config_int(config, "moe_intermediate_size", 1, GM_MAX_WIDTH, &arch->expert_width,
                         where, err));
    GM_TRY(gm_json_get_f64_or(config, "final_logit_softcapping", 1e-6, 1e6, 0, &cap, where, err));
    GM_TRY(read_types(config, where, arch, err));
    GM_TRY(gm_arch_place_moe(arch, &every_layer, config, where, err));
    arch->qk_norm = GM_QK_NORM_HEAD;
    arch->v_norm = true;
    arch->attention_scale = 1.0f;
    arch->embed_scale = (float)root;
    arch->logits_cap = (float)cap;
    arch->activation.gelu = true;
    arch->router.logit_scale = (float)(1.0 / root);
    arch->router.renormalise = true;
    arch->shared_width = arch->dense_width;
    arch->n_shared = 1;
out:
    return status;
}

/* ---- Llama 4: Scout-17B-16E, Maverick-17B-128E ---- */

static const char *const llama_keys[] = {
    "num_local_experts",
    "interleave_moe_layer_step",
    "moe_layers",
    "intermediate_size_mlp",
    "use_qk_norm",
    "no_rope_layers",
    "no_rope_layer_interval",
    "attention_chunk_size",
    "layer_types",
    "attn_temperature_tuning",
    "floor_scale",
    "attn_scale",
    "router_jitter_noise", /* of training */
    "for_llm_compressor",
    "text_config", /* the rest: around it, of images */
    "vision_config",
    "boi_token_index",
    "eoi_token_index",
    "image_token_index",
    NULL,
};

/* Which layers turn their heads, as "no_rope_layers" says with 1, or without it all but every
 * fourth: the others see all positions. A window is a chunk, and as long as the context where the
 * config has none. */
static gm_status read_turning(const gm_json *config, const char *where, gm_arch *arch,
                              gm_error *err)
{
    static const char key[] = "no_rope_layers", size_key[] = "attention_chunk_size";
    enum { CHUNK = 8192, INTERVAL = 4 };
    gm_status status = GM_OK;
    const gm_json *list = gm_json_find(config, key), *size = gm_json_find(config, size_key);
    int chunk, interval, n = 0;
    GM_TRY(gm_config_int_or(config, size_key, 1, INT32_MAX, size ? arch->max_context : CHUNK,
                            &chunk, where, err));
    GM_TRY(gm_config_int_or(config, "no_rope_layer_interval", 1, INT32_MAX, INTERVAL, &interval,
                            where, err));
    arch->chunked = true;
    arch->window = gm_alloc((size_t)arch->n_layers, sizeof *arch->window);
    if (arch->window == NULL) GM_FAIL(GM_EMEM, "no memory for the layers of '%s'", where);
    if (chunk > arch->max_context) chunk = arch->max_context;
    for (int i = 0; i < arch->n_layers; i++) arch->window[i] = (i + 1) % interval ? chunk : 0;
    if (list == NULL || gm_json_kind_of(list) == GM_JSON_NULL) goto out;
    if (gm_json_kind_of(list) != GM_JSON_ARRAY ||
        (gm_json_n_items(list) > 0 && gm_json_n_items(list) != (size_t)arch->n_layers))
        GM_FAIL(GM_EFORMAT, "'%s': '%s' is not a list of %d layers", where, key, arch->n_layers);
    for (const gm_json *v = gm_json_first(list); v; v = gm_json_next(v)) {
        int64_t turns;
        if (!gm_json_i64(v, &turns) || turns < 0 || turns > 1)
            GM_FAIL(GM_EFORMAT, "'%s': '%s' contains a value that is not 0 or 1", where, key);
        arch->window[n++] = turns ? chunk : 0;
    }
out:
    return status;
}

/* The same said once more, as transformers saves it. */
static gm_status check_types(const gm_json *config, const char *where, const gm_arch *arch,
                             gm_error *err)
{
    static const char key[] = "layer_types";
    const gm_json *types = gm_json_find(config, key), *t;
    const gm_json *size = gm_json_find(config, "attention_chunk_size");
    const bool chunks = size == NULL || gm_json_kind_of(size) != GM_JSON_NULL;
    int i = 0;
    if (types == NULL || gm_json_kind_of(types) == GM_JSON_NULL) return GM_OK;
    if (gm_json_kind_of(types) != GM_JSON_ARRAY || gm_json_n_items(types) != (size_t)arch->n_layers)
        return gm_fail(err, GM_EFORMAT, "'%s': '%s' is not a list of the %d layers' types", where,
                       key, arch->n_layers);
    for (t = gm_json_first(types); t; t = gm_json_next(t), i++) {
        const char *type = gm_json_text(t, NULL);
        const char *expected =
            chunks && arch->window[i] > 0 ? "chunked_attention" : "full_attention";
        if (type == NULL || strcmp(type, expected) != 0)
            return gm_fail(err, GM_EFORMAT, "'%s': '%s' has '%.48s' for layer %d, expected '%s'",
                           where, key, type ? type : gm_json_kind_name(gm_json_kind_of(t)), i,
                           expected);
    }
    return GM_OK;
}

/* How queries grow in layers that do not turn; the switch is a number in older files. */
static gm_status read_growth(const gm_json *config, const char *where, gm_growth *out,
                             gm_error *err)
{
    static const char key[] = "attn_temperature_tuning";
    gm_status status = GM_OK;
    const gm_json *tuned = gm_json_find(config, key);
    double number = 1, rate;
    bool on = true;
    if (tuned && gm_json_kind_of(tuned) == GM_JSON_NUMBER)
        GM_TRY(gm_json_get_f64(config, key, 0, 1e6, &number, where, err));
    else
        GM_TRY(gm_json_get_bool_or(config, key, true, &on, where, err));
    GM_TRY(gm_json_get_f64_or(config, "attn_scale", 0, 1e3, 0.1, &rate, where, err));
    GM_TRY(gm_json_get_f64_or(config, "floor_scale", 1, 1e9, 8192, &out->stretch, where, err));
    out->rate = on && number > 0 ? (float)rate : 0.0f;
    out->ahead = 1;
out:
    return status;
}

/* Heads are alike in all layers; only their angles differ. */
static gm_status read_both(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    gm_status status = GM_OK;
    int n_global = 0;
    GM_TRY(gm_rope_read(&arch->rope, config, arch->family, (size_t)arch->head_dim, where, err));
    arch->rope.neighbours = true;
    GM_TRY(read_turning(config, where, arch, err));
    GM_TRY(check_types(config, where, arch, err));
    for (int i = 0; i < arch->n_layers; i++) n_global += arch->window[i] == 0;
    if (n_global == arch->n_layers)
        GM_FAIL(GM_EFORMAT, "'%s': 'no_rope_layers' leaves no layer whose heads turn", where);
    if (n_global == 0) goto out;
    arch->global = (gm_global){.n_kv_heads = arch->n_kv_heads,
                               .head_dim = arch->head_dim,
                               .rope = {.amplitude = 1.0, .attention = 1.0, .alpha = 1.0}};
    GM_TRY(read_growth(config, where, &arch->global.growth, err));
out:
    return status;
}

/* Source: transformers, models/llama4: the largest logits are chosen, and their sigmoids multiply
 * what the experts read; all rows take a shared expert of the same width. */
static gm_status read_llama(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
{
    gm_status status = GM_OK;
    gm_moe_layers layers = {.shift = 1, .sparse = "moe_layers"};
    bool norms;
    GM_TRY(gm_config_int(config, "num_local_experts", 1, GM_MAX_EXPERTS, &arch->n_experts, where,
                         err));
    GM_TRY(gm_config_int_or(config, "interleave_moe_layer_step", 1, INT32_MAX, 1, &layers.every,
                            where, err));
    arch->expert_width = arch->shared_width = arch->dense_width;
    arch->n_shared = 1;
    GM_TRY(gm_config_int(config, "intermediate_size_mlp", 1, GM_MAX_WIDTH, &arch->dense_width,
                         where, err));
    GM_TRY(gm_json_get_bool_or(config, "use_qk_norm", true, &norms, where, err));
    GM_TRY(read_both(config, where, arch, err));
    GM_TRY(gm_arch_place_moe(arch, &layers, config, where, err));
    arch->qk_norm = norms ? GM_QK_NORM_UNIT : GM_QK_NORM_NONE;
    arch->qk_norm_last = norms;
    arch->stored = GM_STORED_COLUMNS;
    arch->router.scoring = GM_SCORE_SIGMOID;
    arch->router.scales_input = true;
out:
    return status;
}

/* ---- the rows ---- */

#define GEMMA_TENSORS                                                                         \
    BASE_TENSORS, KV_TENSORS, QK_NORM_TENSORS,                                                \
        OUT_NORM_TENSORS, [GM_ROLE_ATTN_NORM] = "model.layers.%d.input_layernorm.weight",     \
                          [GM_ROLE_MLP_NORM] =                                                \
                              "model.layers.%d.pre_feedforward_layernorm_2.weight",           \
                          [GM_ROLE_SHARED_NORM] =                                             \
                              "model.layers.%d.pre_feedforward_layernorm.weight",             \
                          [GM_ROLE_SHARED_OUT_NORM] =                                         \
                              "model.layers.%d.post_feedforward_layernorm_1.weight",          \
                          [GM_ROLE_EXPERT_OUT_NORM] =                                         \
                              "model.layers.%d.post_feedforward_layernorm_2.weight",          \
                          [GM_ROLE_LAYER_SCALE] = "model.layers.%d.layer_scalar",             \
                          [GM_ROLE_ROUTER] = "model.layers.%d.router.proj.weight",            \
                          [GM_ROLE_ROUTER_NORM] = "model.layers.%d.router.scale",             \
                          [GM_ROLE_EXPERT_SCALE] = "model.layers.%d.router.per_expert_scale", \
                          [GM_ROLE_SHARED_GATE] = "model.layers.%d.mlp.gate_proj.weight",     \
                          [GM_ROLE_SHARED_UP] = "model.layers.%d.mlp.up_proj.weight",         \
                          [GM_ROLE_SHARED_DOWN] = "model.layers.%d.mlp.down_proj.weight",     \
                          [GM_ROLE_EXPERT_GATE] = "model.layers.%d.experts.gate_up_proj",     \
                          [GM_ROLE_EXPERT_UP] = "model.layers.%d.experts.gate_up_proj",       \
                          [GM_ROLE_EXPERT_DOWN] = "model.layers.%d.experts.down_proj"

#define GEMMA_ROW                                                                          \
    .name = "gemma-4", .norm_epsilon = 1e-6f, .chosen_key = "top_k_experts", .tied = true, \
    .global = true, .inner = "model.language_model.",                                      \
    .other_prefix = {"model.vision_tower.", "model.embed_vision.", "model.audio_tower.",   \
                     "model.embed_audio."},                                                \
    .keys = gemma_keys, .read = read_gemma, .tensor = {GEMMA_TENSORS}

#define LLAMA_ROW                                                                               \
    .name = "llama-4", .norm_epsilon = 1e-5f, .rope_theta = 5e5, .global = true, .turns = true, \
    .inner = "language_model.", .before = true,                                                 \
    .other_prefix = {"vision_model.", "multi_modal_projector."}, .keys = llama_keys,            \
    .read = read_llama,                                                                         \
    .tensor = {                                                                                 \
        LLAMA_TENSORS,                                                                          \
        [GM_ROLE_DENSE_GATE] = "model.layers.%d.feed_forward.gate_proj.weight",                 \
        [GM_ROLE_DENSE_UP] = "model.layers.%d.feed_forward.up_proj.weight",                     \
        [GM_ROLE_DENSE_DOWN] = "model.layers.%d.feed_forward.down_proj.weight",                 \
        [GM_ROLE_ROUTER] = "model.layers.%d.feed_forward.router.weight",                        \
        [GM_ROLE_SHARED_GATE] = "model.layers.%d.feed_forward.shared_expert.gate_proj.weight",  \
        [GM_ROLE_SHARED_UP] = "model.layers.%d.feed_forward.shared_expert.up_proj.weight",      \
        [GM_ROLE_SHARED_DOWN] = "model.layers.%d.feed_forward.shared_expert.down_proj.weight",  \
        [GM_ROLE_EXPERT_GATE] = "model.layers.%d.feed_forward.experts.gate_up_proj",            \
        [GM_ROLE_EXPERT_UP] = "model.layers.%d.feed_forward.experts.gate_up_proj",              \
        [GM_ROLE_EXPERT_DOWN] = "model.layers.%d.feed_forward.experts.down_proj"}

static const gm_family families[] = {
    /* each with what sees images, and the text's part alone */
    {.architecture = "Gemma4ForConditionalGeneration",
     .model_type = "gemma4",
     .nested = true,
     GEMMA_ROW},
    {.architecture = "Gemma4ForCausalLM", .model_type = "gemma4_text", GEMMA_ROW},
    {.architecture = "Llama4ForConditionalGeneration",
     .model_type = "llama4",
     .nested = true,
     LLAMA_ROW},
    {.architecture = "Llama4ForCausalLM", .model_type = "llama4_text", LLAMA_ROW},
};

enum { N_FAMILIES = sizeof families / sizeof families[0] };

const gm_family *gm_global_family_at(size_t i)
{
    return i < N_FAMILIES ? &families[i] : gm_conv_family_at(i - N_FAMILIES);
}
