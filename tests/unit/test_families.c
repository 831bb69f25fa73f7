/* test_families.c - what the rows of engine/families.c read beside the common fields; the older
 * families' is tested with arch.c.
 */
#include "engine/families.h"

#include "tests/config_text.h"
#include "tests/model_copy.h"

#define TINY  TEST_DATA "/golden/models/gptoss-tiny"
#define PLAIN TEST_DATA "/golden/models/gptoss-plain"

/* openai/gpt-oss-20b's published config. */
static const char gpt_oss_20b[] =
    "{\"architectures\":[\"GptOssForCausalLM\"],\"attention_bias\":true,\"attention_dropout\":0.0,"
    "\"eos_token_id\":200002,\"experts_per_token\":4,\"head_dim\":64,\"hidden_act\":\"silu\","
    "\"hidden_size\":2880,\"initial_context_length\":4096,\"initializer_range\":0.02,"
    "\"intermediate_size\":2880,\"max_position_embeddings\":131072,\"model_type\":\"gpt_oss\","
    "\"num_attention_heads\":64,\"num_experts_per_tok\":4,\"num_hidden_layers\":24,"
    "\"num_key_value_heads\":8,\"num_local_experts\":32,\"output_router_logits\":false,"
    "\"pad_token_id\":199999,\"quantization_config\":{\"modules_to_not_convert\":"
    "[\"model.layers.*.self_attn\",\"model.layers.*.mlp.router\",\"model.embed_tokens\","
    "\"lm_head\"],\"quant_method\":\"mxfp4\"},\"rms_norm_eps\":1e-05,\"rope_scaling\":"
    "{\"beta_fast\":32.0,\"beta_slow\":1.0,\"factor\":32.0,\"original_max_position_embeddings\":"
    "4096,\"rope_type\":\"yarn\",\"truncate\":false},\"rope_theta\":150000,"
    "\"router_aux_loss_coef\":0.9,\"sliding_window\":128,\"swiglu_limit\":7.0,"
    "\"tie_word_embeddings\":false,\"transformers_version\":\"4.55.0.dev0\",\"use_cache\":true,"
    "\"vocab_size\":201088}";

static void reads_gpt_oss(void)
{
    gm_slice slice;
    gm_error err = {0};
    gm_arch a = read_config_text(gpt_oss_20b);
    check_parameters(&a, 20.915e9, 4.187e9, 0.001e9); /* of a token's the embedding has 0.58 */
    CHECK(a.router.has_bias && a.router.scoring == GM_SCORE_TOPK_SOFTMAX);
    CHECK_NEAR(a.activation.limit, 7, 0);
    CHECK_NEAR(a.activation.slope, 1.702f, 0);
    CHECK_NEAR(a.rope.amplitude, 1.34657, 1e-5);
    for (int l = 0; l < a.n_layers; l++) CHECK_INT(a.window[l], l % 2 == 0 ? 128 : 0);

    CHECK(gm_arch_tensor(&a, GM_ROLE_EXPERT_UP, 3, 5, &slice));
    CHECK_TEXT(slice.name, "model.layers.3.mlp.experts.gate_up_proj_blocks");
    CHECK(slice.rows == 2880 && slice.stack_rows == 5760 && slice.item == 5);
    CHECK(slice.first == 1 && slice.every == 2 && slice.stored == GM_STORED_MXFP4);
    size_t dim[GM_MAX_RANK];
    CHECK_INT(gm_slice_shape(&slice, dim), 4);
    CHECK(dim[0] == 32 && dim[1] == 5760 && dim[2] == 90 && dim[3] == 16);
    CHECK(gm_arch_tensor(&a, GM_ROLE_EXPERT_UP_BIAS, 3, 5, &slice));
    CHECK_INT(gm_slice_shape(&slice, dim), 2);
    CHECK(dim[0] == 32 && dim[1] == 5760);
    CHECK(gm_arch_tensor(&a, GM_ROLE_SINKS, 3, 0, &slice) && slice.cols == 64);
    CHECK(gm_arch_tensor(&a, GM_ROLE_O_BIAS, 3, 0, &slice) && slice.cols == 2880);
    gm_arch_clear(&a);

    CHECK_OK(gm_arch_read(&a, PLAIN, &err), err);
    CHECK(gm_arch_tensor(&a, GM_ROLE_EXPERT_DOWN, 1, 2, &slice));
    CHECK_TEXT(slice.name, "model.layers.1.mlp.experts.down_proj");
    CHECK_INT(gm_slice_shape(&slice, dim), 3);
    CHECK(dim[0] == 6 && dim[1] == 14 && dim[2] == 20); /* inputs first */
    CHECK(a.window[0] == 0 && a.window[1] == 41);
    gm_arch_clear(&a);

    copy_model("narrow", PLAIN, "intermediate_size", "1"); /* inputs first, however few */
    CHECK_OK(gm_arch_read(&a, "narrow", &err), err);
    CHECK(gm_arch_tensor(&a, GM_ROLE_EXPERT_DOWN, 1, 2, &slice));
    CHECK_INT(gm_slice_shape(&slice, dim), 3);
    CHECK(dim[0] == 6 && dim[1] == 1 && dim[2] == 20);
    gm_arch_clear(&a);

    copy_model("every-other", PLAIN, "layer_types", NULL);
    CHECK_OK(gm_arch_read(&a, "every-other", &err), err);
    CHECK(a.window[0] == 41 && a.window[1] == 0 && a.window[2] == 41);
    gm_arch_clear(&a);
}

static void refuses_what_gpt_oss_cannot_be(void)
{
    static const char *const changes[][3] = {
        {"sliding_window", "null", "'sliding_window'"},
        {"sliding_window", "0", "'sliding_window'"},
        {"layer_types", "[\"full_attention\"]", "not a list of the 3 layers' types"},
        {"layer_types", "[\"full_attention\", 7, \"full_attention\"]", "contains 'number'"},
        {"layer_types", "[\"full_attention\", \"linear_attention\", \"full_attention\"]",
         "contains 'linear_attention'"},
        {"swiglu_limit", "0", "'swiglu_limit'"},
        {"rope_scaling", NULL, "neither 'rope_scaling' nor 'rope_parameters'"},
        {"quantization_config", "7", "'quantization_config' is not an object"},
        {"quantization_config", "{\"quant_method\": \"gptq\"}", "'quant_method' is 'gptq'"},
        {"quantization_config", "{}", "'quant_method'"},
        {"hidden_size", "72", "expected multiples of 32"},
        {"intermediate_size", "40", "expected multiples of 32"},
        {"num_local_experts", NULL, "'num_local_experts'"},
        {"experts_per_token", "2", "'experts_per_token' is 2, but 'num_experts_per_tok' is 3"},
        {"num_experts_per_tok", "4", "'experts_per_token' is 3, but 'num_experts_per_tok' is 4"},
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++)
        check_refused(TINY, changes[i][0], changes[i][1], changes[i][2]);
}

/* What the same tensors compute by differs in its digest; what names and trains a model does not.
 */
static void a_config_that_computes_another_thing_is_known(void)
{
    static const char *const changes[][2] = {
        {"sliding_window", "19"},
        {"layer_types", "[\"full_attention\", \"full_attention\", \"sliding_attention\"]"},
        {"swiglu_limit", "1.25"},
        {"swiglu_alpha", "1.6"},
        {"rope_theta", "1501"},
        {"rms_norm_eps", "2e-5"},
        {"num_experts_per_tok", "2"},
        {"num_attention_heads", "12"},
        {"rope_scaling", "{\"rope_type\": \"yarn\", \"factor\": 4.0, \"beta_fast\": 4.0, "
                         "\"original_max_position_embeddings\": 32, \"truncate\": false}"},
        {"experts_per_token", "3"},
        {"use_cache", "false"},
        {"max_position_embeddings", "64"},
    };
    copy_model("said-once", TINY, "experts_per_token", NULL); /* num_experts_per_tok is enough */
    check_digests("said-once", changes, sizeof changes / sizeof changes[0], 3);
}

static void survives_every_allocation_failure(void)
{
    char folder[] = TINY;
    check_every_allocation(read_attempt, folder);
}

TESTS(TEST(reads_gpt_oss), TEST(refuses_what_gpt_oss_cannot_be),
      TEST(a_config_that_computes_another_thing_is_known), TEST(survives_every_allocation_failure))
