/* test_families_global.c - what the rows of engine/families_global.c read: the published config,
 * heads, angles and tensors by the type of a layer, and what is refused.
 */
#include "engine/families.h"
#include "tests/config_text.h"
#include "tests/model_copy.h"

#include <math.h>

#define TINY TEST_DATA "/golden/models/gemma4-tiny"

/* google/gemma-4-26B-A4B-it, without most of what is around the text's part. */
#define SIX                                                              \
    "\"sliding_attention\",\"sliding_attention\",\"sliding_attention\"," \
    "\"sliding_attention\",\"sliding_attention\",\"full_attention\""
static const char gemma[] =
    "{\"architectures\":[\"Gemma4ForConditionalGeneration\"],\"audio_config\":null,"
    "\"audio_token_id\":258881,\"boa_token_id\":256000,\"boi_token_id\":255999,"
    "\"dtype\":\"bfloat16\",\"eoa_token_id\":258883,\"eoa_token_index\":258883,"
    "\"eoi_token_id\":258882,\"eos_token_id\":[1,106],\"image_token_id\":258880,"
    "\"initializer_range\":0.02,\"model_type\":\"gemma4\",\"text_config\":{"
    "\"attention_bias\":false,\"attention_dropout\":0.0,\"attention_k_eq_v\":true,"
    "\"bos_token_id\":2,\"dtype\":\"bfloat16\",\"enable_moe_block\":true,\"eos_token_id\":1,"
    "\"final_logit_softcapping\":30.0,\"global_head_dim\":512,\"head_dim\":256,"
    "\"hidden_activation\":\"gelu_pytorch_tanh\",\"hidden_size\":2816,"
    "\"hidden_size_per_layer_input\":0,\"initializer_range\":0.02,\"intermediate_size\":2112,"
    "\"layer_types\":[" SIX "," SIX "," SIX "," SIX "," SIX "],"
    "\"max_position_embeddings\":262144,\"model_type\":\"gemma4_text\","
    "\"moe_intermediate_size\":704,\"num_attention_heads\":16,\"num_experts\":128,"
    "\"num_global_key_value_heads\":2,\"num_hidden_layers\":30,\"num_key_value_heads\":8,"
    "\"num_kv_shared_layers\":0,\"pad_token_id\":0,\"rms_norm_eps\":1e-06,"
    "\"rope_parameters\":{\"full_attention\":{\"partial_rotary_factor\":0.25,"
    "\"rope_theta\":1000000.0,\"rope_type\":\"proportional\"},\"sliding_attention\":{"
    "\"rope_theta\":10000.0,\"rope_type\":\"default\"}},\"sliding_window\":1024,"
    "\"tie_word_embeddings\":true,\"top_k_experts\":8,"
    "\"use_bidirectional_attention\":\"vision\",\"use_cache\":true,"
    "\"use_double_wide_mlp\":false,\"vocab_size\":262144,"
    "\"vocab_size_per_layer_input\":262144},\"tie_word_embeddings\":true,"
    "\"transformers_version\":\"5.5.0.dev0\",\"video_token_id\":258884,"
    "\"vision_config\":{\"hidden_size\":1152,\"model_type\":\"gemma4_vision\"},"
    "\"vision_soft_tokens_per_image\":280}";

static void reads_gemma(void)
{
    gm_arch a = read_config_text(gemma);
    check_parameters(&a, 25.233e9, 3.823e9, 0.001e9); /* announced: 25.2 B, 3.8 B */
    CHECK(a.n_moe == 30 && a.n_experts == 128 && a.n_chosen == 8 && a.shared_width == 2112);
    CHECK(a.expert_width == 704 && a.tied_head && a.inside && a.activation.gelu && a.v_norm);
    CHECK_NEAR(a.attention_scale, 1.0, 0.0);
    CHECK_NEAR(a.embed_scale, sqrt(2816.0), 1e-5);
    CHECK_NEAR(a.logits_cap, 30.0, 0.0);
    CHECK_NEAR(a.router.logit_scale, 1.0 / sqrt(2816.0), 1e-8);
    CHECK_TEXT(a.unknown_keys, "");
    gm_arch_clear(&a);
}

static void layers_of_two_types(void)
{
    gm_slice slice;
    gm_arch a = read_config_text(gemma);
    const gm_heads near = gm_arch_heads(&a, false), global = gm_arch_heads(&a, true);
    for (int i = 0; i < a.n_layers; i++) {
        CHECK(gm_arch_is_global(&a, i) == (i % 6 == 5) && a.window[i] == (i % 6 == 5 ? 0 : 1024));
        CHECK_INT(gm_arch_nth(&a, i), i % 6 == 5 ? i / 6 : i - i / 6);
    }
    CHECK(near.kv == 8 && near.key == 256 && near.value == 256 && !near.shared);
    CHECK(global.kv == 2 && global.key == 512 && global.value == 512 && global.out == 512 &&
          global.shared);
    CHECK_NEAR(gm_rope_step(near.rope, 127), pow(1e4, -127.0 / 128.0), 1e-12);
    CHECK_NEAR(gm_rope_step(global.rope, 63), pow(1e6, -63.0 / 256.0), 1e-12);
    CHECK_NEAR(gm_rope_step(global.rope, 64), 0.0, 0.0); /* a quarter of 256 pairs turns */
    CHECK(gm_arch_tensor(&a, GM_ROLE_Q, 0, 0, &slice) && slice.rows == 4096);
    CHECK_TEXT(slice.name, "model.language_model.layers.0.self_attn.q_proj.weight");
    CHECK(gm_arch_tensor(&a, GM_ROLE_Q, 5, 0, &slice) && slice.rows == 8192);
    CHECK(gm_arch_tensor(&a, GM_ROLE_K, 5, 0, &slice) && slice.rows == 1024);
    CHECK(gm_arch_tensor(&a, GM_ROLE_V, 0, 0, &slice) && slice.rows == 2048);
    CHECK(!gm_arch_tensor(&a, GM_ROLE_V, 5, 0, &slice));
    CHECK(gm_arch_tensor(&a, GM_ROLE_O, 5, 0, &slice) && slice.cols == 8192);
    CHECK(gm_arch_tensor(&a, GM_ROLE_K_NORM, 5, 0, &slice) && slice.cols == 512);
    gm_arch_clear(&a);
}

static void norms_and_scales_have_tensors(void)
{
    static const struct {
        gm_role role;
        size_t cols;
        const char *name;
    } vectors[] = {
        {GM_ROLE_ATTN_NORM, 2816, "input_layernorm.weight"},
        {GM_ROLE_ATTN_OUT_NORM, 2816, "post_attention_layernorm.weight"},
        {GM_ROLE_SHARED_NORM, 2816, "pre_feedforward_layernorm.weight"},
        {GM_ROLE_MLP_NORM, 2816, "pre_feedforward_layernorm_2.weight"},
        {GM_ROLE_SHARED_OUT_NORM, 2816, "post_feedforward_layernorm_1.weight"},
        {GM_ROLE_EXPERT_OUT_NORM, 2816, "post_feedforward_layernorm_2.weight"},
        {GM_ROLE_MLP_OUT_NORM, 2816, "post_feedforward_layernorm.weight"},
        {GM_ROLE_ROUTER_NORM, 2816, "router.scale"},
        {GM_ROLE_EXPERT_SCALE, 128, "router.per_expert_scale"},
        {GM_ROLE_LAYER_SCALE, 1, "layer_scalar"},
    };
    gm_slice slice;
    gm_arch a = read_config_text(gemma);
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        char name[GM_NAME_BYTES];
        snprintf(name, sizeof name, "model.language_model.layers.7.%s", vectors[i].name);
        CHECK(gm_arch_tensor(&a, vectors[i].role, 7, 0, &slice));
        CHECK_TEXT(slice.name, name);
        CHECK(slice.rows == 1 && slice.cols == vectors[i].cols);
    }
    CHECK(gm_arch_tensor(&a, GM_ROLE_EXPERT_UP, 7, 5, &slice));
    CHECK_TEXT(slice.name, "model.language_model.layers.7.experts.gate_up_proj");
    CHECK(slice.stack == 128 && slice.stack_rows == 1408 && slice.item == 5 && slice.first == 704);
    gm_arch_clear(&a);
}

/* Without "layer_types" every sixth layer sees all positions, and the last; without other heads and
 * angles these have those of transformers' class. */
static void what_is_not_said(void)
{
    gm_error err = {0};
    gm_arch a;
    copy_model("changed", TINY, "layer_types", NULL);
    CHECK_OK(gm_arch_read(&a, "changed", &err), err);
    CHECK(a.window[0] == 9 && a.window[1] == 9 && a.window[2] == 0);
    gm_arch_clear(&a);
    copy_model("changed", TINY, "rope_parameters", NULL);
    CHECK_OK(gm_arch_read(&a, "changed", &err), err);
    CHECK(a.rope.theta == 1e4 && a.global.rope.theta == 1e6 &&
          a.global.rope.turning == 2); /* of 10 */
    gm_arch_clear(&a);
    copy_model("changed", TINY, "global_head_dim", NULL);
    CHECK_OK(gm_arch_read(&a, "changed", &err), err);
    CHECK_INT(a.global.head_dim, 512);
    gm_arch_clear(&a);
    copy_model("changed", TINY, "num_global_key_value_heads", "null");
    CHECK_OK(gm_arch_read(&a, "changed", &err), err);
    CHECK_INT(a.global.n_kv_heads, 2);
    gm_arch_clear(&a);
    copy_model("changed", TINY, "attention_k_eq_v", "false"); /* then their number is not theirs */
    CHECK_OK(gm_arch_read(&a, "changed", &err), err);
    CHECK(a.global.n_kv_heads == 2 && !a.global.shared);
    gm_arch_clear(&a);
    copy_model("changed", TINY, "final_logit_softcapping", "null");
    CHECK_OK(gm_arch_read(&a, "changed", &err), err);
    CHECK_NEAR(a.logits_cap, 0.0, 0.0);
    gm_arch_clear(&a);
    copy_model("changed", TINY, "tie_word_embeddings", NULL);
    CHECK_OK(gm_arch_read(&a, "changed", &err), err);
    CHECK(a.tied_head);
    gm_arch_clear(&a);
}

/* As transformers 5.24 saves other heads; the two keys of older files say nothing then. */
static void heads_by_layer(void)
{
    static const struct {
        const char *value;
        int head_dim, n_kv_heads;
    } good[] = {
        {"{\"2\": {\"head_dim\": 24, \"num_key_value_heads\": 4}}", 24, 4},
        {"{\"2\": {\"head_dim\": 24}}", 24, 2},
        {"{\"2\": {\"num_key_value_heads\": 1}}", 10, 1},
        {"{}", 10, 2},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        gm_error err = {0};
        gm_arch a;
        copy_model("changed", TINY, "per_layer_config", good[i].value);
        CHECK_OK(gm_arch_read(&a, "changed", &err), err);
        CHECK(a.global.head_dim == good[i].head_dim && a.global.n_kv_heads == good[i].n_kv_heads);
        gm_arch_clear(&a);
    }
}

static void refuses_what_is_not_computed(void)
{
    static const char *const changes[][3] = {
        {"enable_moe_block", NULL, "'enable_moe_block' is not true: the model has no experts"},
        {"hidden_size_per_layer_input", "256",
         "'hidden_size_per_layer_input' is 256, but only 0 is supported: no layer has"},
        {"hidden_size_per_layer_input", NULL, "'hidden_size_per_layer_input' is 256"},
        {"num_kv_shared_layers", "1", "'num_kv_shared_layers' is 1, but only 0 is supported"},
        {"use_bidirectional_attention", "\"all\"", "'use_bidirectional_attention' is 'all'"},
        {"hidden_activation", "\"gelu\"", "'hidden_activation' is 'gelu', but only"},
        {"attention_bias", "true", "'attention_bias' is true"},
        {"attn_logit_softcapping", "50.0", "'attn_logit_softcapping' is 50"},
        {"final_logit_softcapping", "0", "'final_logit_softcapping' is 0"},
        {"sliding_window", NULL, "'sliding_window' is missing"},
        {"layer_types", "[\"full_attention\", \"full_attention\", \"sliding_attention\"]",
         "'layer_types' ends with 'sliding_attention', expected 'full_attention'"},
        {"layer_types", "[\"full_attention\"]", "'layer_types' is not a list of the 3 layers'"},
        {"global_head_dim", "21", "'global_head_dim' is 21, expected an even number"},
        {"num_global_key_value_heads", "3",
         "'num_global_key_value_heads' is 3, expected a divisor of the 4 attention heads"},
        {"per_layer_config", "[1]", "'per_layer_config' is not an object"},
        {"per_layer_config", "{\"1\": {}}", "'per_layer_config' contains '1', expected objects"},
        {"per_layer_config", "{\"2x\": {}}", "'per_layer_config' contains '2x'"},
        {"per_layer_config", "{\"2\": {\"head_dim\": 7}}", "'head_dim' is 7, expected an even"},
        {"per_layer_config", "{\"2\": {\"sliding_window\": 7}}", "'sliding_window'"},
        {"rope_scaling", "{\"type\": \"linear\"}", "'rope_scaling' is not supported"},
        {"rope_parameters", "{\"rope_type\": \"default\", \"rope_theta\": 1e4}",
         "'rope_parameters' has no object 'sliding_attention'"},
        {"rope_parameters",
         "{\"sliding_attention\": {\"rope_type\": \"yarn\", \"rope_theta\": 1e4}}",
         "'sliding_attention' has type 'yarn', but only 'default' or 'proportional'"},
        {"rope_parameters", "{\"sliding_attention\": {\"rope_type\": \"default\"}}",
         "'rope_theta' is missing"},
        {"rope_parameters",
         "{\"sliding_attention\": {\"rope_type\": \"default\", \"rope_theta\": 1e4, "
         "\"partial_rotary_factor\": 0.5}}",
         "'partial_rotary_factor' is 0.5, but only 1"},
        {"rope_parameters",
         "{\"sliding_attention\": {\"rope_type\": \"proportional\", \"rope_theta\": 1e4, "
         "\"factor\": 2.0}}",
         "'sliding_attention' contains 'factor'"},
        {"rope_parameters",
         "{\"sliding_attention\": {\"rope_type\": \"proportional\", \"rope_theta\": 1e4, "
         "\"partial_rotary_factor\": 0.1}}",
         "which turns no pair of a head's 10 elements"},
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++)
        check_refused(TINY, changes[i][0], changes[i][1], changes[i][2]);
}

TESTS(TEST(reads_gemma), TEST(layers_of_two_types), TEST(norms_and_scales_have_tensors),
      TEST(what_is_not_said), TEST(heads_by_layer), TEST(refuses_what_is_not_computed))
