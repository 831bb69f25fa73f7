/* test_families_llama.c - what the rows of Llama 4 in engine/families_global.c read: the published
 * configs, layers of two types, stacks of columns, and what is refused.
 */
#include "engine/families.h"
#include "tests/config_text.h"
#include "tests/model_copy.h"

#include <math.h>

#define TINY TEST_DATA "/golden/models/llama4-tiny"

/* meta-llama/Llama-4-Scout-17B-16E-Instruct and Llama-4-Maverick-17B-128E-Instruct, without most of
 * what is around the text's part. */
#define AROUND                                                                                  \
    "{\"architectures\":[\"Llama4ForConditionalGeneration\"],\"boi_token_index\":200080,"       \
    "\"eoi_token_index\":200081,\"image_token_index\":200092,\"model_type\":\"llama4\","        \
    "\"torch_dtype\":\"bfloat16\",\"transformers_version\":\"4.51.0.dev0\",\"vision_config\":{" \
    "\"hidden_size\":1408,\"model_type\":\"llama4_vision_model\"},\"text_config\":{"            \
    "\"_attn_implementation_autoset\":true,\"attention_bias\":false,\"attention_dropout\":0.0," \
    "\"bos_token_id\":200000,\"eos_token_id\":[200001,200007,200008],"                          \
    "\"for_llm_compressor\":false,\"head_dim\":128,\"hidden_act\":\"silu\","                    \
    "\"hidden_size\":5120,\"initializer_range\":0.02,\"intermediate_size\":8192,"               \
    "\"intermediate_size_mlp\":16384,\"model_type\":\"llama4_text\",\"no_rope_layers\":[],"     \
    "\"num_attention_heads\":40,\"num_experts_per_tok\":1,\"num_hidden_layers\":48,"            \
    "\"num_key_value_heads\":8,\"output_router_logits\":false,\"pad_token_id\":200018,"         \
    "\"rms_norm_eps\":1e-05,\"rope_theta\":500000.0,\"router_aux_loss_coef\":0.001,"            \
    "\"router_jitter_noise\":0.0,\"torch_dtype\":\"bfloat16\",\"use_cache\":true,"              \
    "\"vocab_size\":202048,\"attention_chunk_size\":8192,"
static const char scout[] =
    AROUND "\"attn_scale\":0.1,\"attn_temperature_tuning\":true,\"floor_scale\":8192,"
           "\"interleave_moe_layer_step\":1,\"max_position_embeddings\":10485760,"
           "\"num_local_experts\":16,\"rope_scaling\":{\"factor\":16.0,\"high_freq_factor\":1.0,"
           "\"low_freq_factor\":1.0,\"original_max_position_embeddings\":8192,"
           "\"rope_type\":\"llama3\"},\"use_qk_norm\":true}}";
static const char maverick[] =
    AROUND "\"attn_temperature_tuning\":4,\"interleave_moe_layer_step\":2,"
           "\"max_position_embeddings\":1048576,\"num_local_experts\":128,\"rope_scaling\":null,"
           "\"use_qk_norm\":false}}";

static void reads_scout(void)
{
    gm_arch a = read_config_text(scout);
    check_parameters(&a, 107769861120.0, 17172894720.0,
                     0.0); /* announced: 109 B with vision, 17 B */
    CHECK(a.n_moe == 48 && a.n_experts == 16 && a.n_chosen == 1 && a.n_shared == 1);
    CHECK(a.expert_width == 8192 && a.shared_width == 8192 && !a.tied_head && a.inside);
    CHECK(a.router.scoring == GM_SCORE_SIGMOID && !a.router.renormalise && a.router.scales_input);
    CHECK(a.qk_norm == GM_QK_NORM_UNIT && a.qk_norm_last && a.rope.neighbours && a.chunked);
    CHECK_INT(a.n_eos, 3);
    gm_arch_clear(&a);
}

static void reads_maverick(void)
{
    gm_arch a = read_config_text(maverick);
    check_parameters(&a, 400711848960.0, 17184691200.0, 0.0); /* announced: 400 B, 17 B */
    CHECK(a.n_moe == 24 && a.layer_of_moe[0] == 1 && a.layer_of_moe[23] == 47);
    CHECK(a.dense_width == 16384 && a.qk_norm == GM_QK_NORM_NONE && !a.qk_norm_last);
    CHECK_NEAR(a.global.growth.rate, 0.1, 1e-7); /* switched on by a number */
    CHECK_NEAR(a.global.growth.stretch, 8192, 0);
    CHECK_NEAR(gm_rope_step(&a.rope, 63), pow(5e5, -63.0 / 64.0), 1e-15);
    gm_arch_clear(&a);
}

/* Every fourth layer sees all positions and does not turn. */
static void layers_of_two_types(void)
{
    gm_arch a = read_config_text(scout);
    for (int i = 0; i < a.n_layers; i++) {
        CHECK(gm_arch_is_global(&a, i) == (i % 4 == 3));
        CHECK_INT(a.window[i], i % 4 == 3 ? 0 : 8192);
    }
    CHECK(a.global.n_kv_heads == 8 && a.global.head_dim == 128 && a.global.rope.dim == 0);
    CHECK_NEAR(gm_growth_at(&a.global.growth, 8190), 1.0, 0.0);
    CHECK_NEAR(gm_growth_at(&a.global.growth, 8191), 1.0 + 0.1 * log(2.0), 1e-7);
    CHECK_NEAR(gm_growth_at(&a.global.growth, 9999999), 1.0 + 0.1 * log(1221.0), 1e-7);
    gm_arch_clear(&a);
}

/* A pair turns 8192 theta^(-i / 64) / 2 pi times over the first context: pair 34 1.22 times, pair
 * 35 0.997. Both of Scout's factors are 1. */
static void slow_pairs_are_divided(void)
{
    gm_arch a = read_config_text(scout);
    CHECK_NEAR(gm_rope_step(&a.rope, 34), pow(5e5, -34.0 / 64.0), 1e-12);
    CHECK_NEAR(gm_rope_step(&a.rope, 35), pow(5e5, -35.0 / 64.0) / 16.0, 1e-12);
    a.rope.beta_fast = 4.0; /* as Llama 3.1 has it; pair 34 is then between */
    const double plain = pow(5e5, -34.0 / 64.0), turns = 8192.0 * plain / (2.0 * acos(-1.0));
    const double keep = (turns - 1.0) / 3.0;
    CHECK_NEAR(gm_rope_step(&a.rope, 34), plain * keep + plain / 16.0 * (1.0 - keep), 1e-12);
    CHECK_NEAR(gm_rope_step(&a.rope, 0), 1.0, 0.0);
    gm_arch_clear(&a);
}

static void tensors_have_their_names(void)
{
    static const struct {
        gm_role role;
        int layer;
        size_t rows, cols;
        const char *name;
    } matrices[] = {
        {GM_ROLE_EMBED, 0, 202048, 5120, "language_model.model.embed_tokens.weight"},
        {GM_ROLE_HEAD, 0, 202048, 5120, "language_model.lm_head.weight"},
        {GM_ROLE_K, 3, 1024, 5120, "language_model.model.layers.3.self_attn.k_proj.weight"},
        {GM_ROLE_DENSE_UP, 2, 16384, 5120,
         "language_model.model.layers.2.feed_forward.up_proj.weight"},
        {GM_ROLE_ROUTER, 1, 128, 5120, "language_model.model.layers.1.feed_forward.router.weight"},
        {GM_ROLE_SHARED_DOWN, 1, 5120, 8192,
         "language_model.model.layers.1.feed_forward.shared_expert.down_proj.weight"},
    };
    gm_slice slice;
    gm_arch a = read_config_text(maverick);
    for (size_t i = 0; i < sizeof matrices / sizeof matrices[0]; i++) {
        CHECK(gm_arch_tensor(&a, matrices[i].role, matrices[i].layer, 0, &slice));
        CHECK_TEXT(slice.name, matrices[i].name);
        CHECK(slice.rows == matrices[i].rows && slice.cols == matrices[i].cols);
    }
    CHECK(!gm_arch_tensor(&a, GM_ROLE_ROUTER, 2, 0, &slice));
    CHECK(!gm_arch_tensor(&a, GM_ROLE_Q_NORM, 0, 0, &slice));
    gm_arch_clear(&a);
}

/* Gate and up lie side by side as columns, and are read at once. */
static void experts_are_columns(void)
{
    size_t dim[GM_MAX_RANK];
    gm_slice slice;
    gm_arch a = read_config_text(scout);
    CHECK(gm_arch_tensor(&a, GM_ROLE_EXPERT_GATE, 7, 5, &slice));
    CHECK_TEXT(slice.name, "language_model.model.layers.7.feed_forward.experts.gate_up_proj");
    CHECK(slice.stored == GM_STORED_COLUMNS && slice.halves && slice.every == 2);
    CHECK(slice.item == 5 && slice.first == 0 && slice.rows == 8192);
    CHECK_INT(gm_slice_shape(&slice, dim), 3);
    CHECK(dim[0] == 16 && dim[1] == 5120 && dim[2] == 16384);
    CHECK(gm_arch_tensor(&a, GM_ROLE_EXPERT_UP, 7, 5, &slice) && slice.first == 8192);
    CHECK(gm_arch_tensor(&a, GM_ROLE_EXPERT_DOWN, 7, 5, &slice) && !slice.halves);
    CHECK_INT(gm_slice_shape(&slice, dim), 3);
    CHECK(dim[0] == 16 && dim[1] == 8192 && dim[2] == 5120 && slice.every < 2);
    gm_arch_clear(&a);
}

static void what_is_not_said(void)
{
    static const struct {
        const char *key, *value;
        int window[3]; /* of the layers */
        double growth;
    } forms[] = {
        {"no_rope_layers", NULL, {9, 9, 9}, 0}, /* the fourth would not turn; none grows */
        {"no_rope_layers", "[]", {9, 9, 9}, 0},
        {"attention_chunk_size", "null", {128, 0, 128}, .5}, /* all of the context */
        {"attention_chunk_size", "1000", {128, 0, 128}, .5},
        {"attention_chunk_size", NULL, {128, 0, 128}, .5}, /* 8,192 */
        {"layer_types",
         "[\"chunked_attention\", \"full_attention\", \"chunked_attention\"]",
         {9, 0, 9},
         .5},
        {"attn_temperature_tuning", "0", {9, 0, 9}, 0},
        {"attn_temperature_tuning", NULL, {9, 0, 9}, .5},
        {"attn_scale", NULL, {9, 0, 9}, .1},
    };
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        gm_error err = {0};
        gm_arch a;
        copy_model("changed", TINY, forms[i].key, forms[i].value);
        CHECK_OK(gm_arch_read(&a, "changed", &err), err);
        for (int l = 0; l < 3; l++) CHECK_INT(a.window[l], forms[i].window[l]);
        CHECK_NEAR(a.global.growth.rate, forms[i].growth, 1e-7);
        gm_arch_clear(&a);
    }
    gm_error err = {0};
    gm_arch a;
    copy_model("changed", TINY, "moe_layers", NULL); /* every second */
    CHECK_OK(gm_arch_read(&a, "changed", &err), err);
    CHECK(a.n_moe == 1 && a.layer_of_moe[0] == 1);
    gm_arch_clear(&a);
}

/* Whatever changes the mathematics changes the digest. */
static void digest_tells_them_apart(void)
{
    static const char *const changes[][2] = {
        {"attention_chunk_size", "10"}, {"attn_scale", "0.25"},      {"floor_scale", "5"},
        {"use_qk_norm", "false"},       {"rope_parameters", "null"},
    };
    check_digests(TINY, changes, sizeof changes / sizeof changes[0], 0);
}

#define LLAMA3 "{\"rope_type\": \"llama3\", \"rope_theta\": 20.0, \"factor\": 8.0, "

static void refuses_what_is_not_computed(void)
{
    static const char *const changes[][3] = {
        {"num_local_experts", NULL, "'num_local_experts' is missing"},
        {"intermediate_size_mlp", NULL, "'intermediate_size_mlp' is missing"},
        {"interleave_moe_layer_step", "0", "'interleave_moe_layer_step'"},
        {"moe_layers", "[3]", "'moe_layers' contains a value that is not a layer from 0 to 2"},
        {"moe_layers", "[]", "none of the 3 layers is an MoE layer"},
        {"attention_bias", "true", "'attention_bias' is true"},
        {"hidden_act", "\"gelu\"", "'hidden_act' is 'gelu'"},
        {"attention_chunk_size", "0", "'attention_chunk_size'"},
        {"no_rope_layer_interval", "0", "'no_rope_layer_interval'"},
        {"no_rope_layers", "[1, 0]", "'no_rope_layers' is not a list of 3 layers"},
        {"no_rope_layers", "[1, 0, 2]", "'no_rope_layers' contains a value that is not 0 or 1"},
        {"no_rope_layers", "[0, 0, 0]", "'no_rope_layers' leaves no layer whose heads turn"},
        {"layer_types", "[\"chunked_attention\"]", "'layer_types' is not a list of the 3 layers'"},
        {"layer_types", "[\"chunked_attention\", \"full_attention\", \"full_attention\"]",
         "'layer_types' has 'full_attention' for layer 2, expected 'chunked_attention'"},
        {"attn_temperature_tuning", "\"yes\"", "'attn_temperature_tuning'"},
        {"floor_scale", "0", "'floor_scale'"},
        {"use_qk_norm", "1", "'use_qk_norm'"},
        {"rope_parameters", LLAMA3 "\"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0}",
         "'original_max_position_embeddings' is missing"},
        {"rope_parameters",
         LLAMA3 "\"original_max_position_embeddings\": 20, \"low_freq_factor\": 4.0, "
                "\"high_freq_factor\": 1.0}",
         "'high_freq_factor' is 1, expected at least 'low_freq_factor', 4"},
        {"rope_parameters",
         LLAMA3 "\"original_max_position_embeddings\": 20, \"low_freq_factor\": 1.0, "
                "\"high_freq_factor\": 4.0, \"beta_fast\": 32}",
         "'rope_parameters' contains 'beta_fast'"},
        {"rope_parameters", "{\"rope_type\": \"yarn\", \"factor\": 2.0}",
         "'rope_parameters' has type 'yarn', but only 'default' or 'llama3' is supported"},
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++)
        check_refused(TINY, changes[i][0], changes[i][1], changes[i][2]);
}

TESTS(TEST(reads_scout), TEST(reads_maverick), TEST(layers_of_two_types),
      TEST(slow_pairs_are_divided), TEST(tensors_have_their_names), TEST(experts_are_columns),
      TEST(what_is_not_said), TEST(digest_tells_them_apart), TEST(refuses_what_is_not_computed))
