/* test_families_norms.c - what the rows of engine/families_norms.c read: published configs, which
 * norms there are, and what is refused.
 */
#include "engine/families.h"

#include "tests/config_text.h"
#include "tests/model_copy.h"

#define MODELS TEST_DATA "/golden/models/"
#define FLEX   MODELS "flexolmo-tiny"

/* allenai/FlexOlmo-7x7B-1T: the sizes of transformers' own class. */
static const char flex[] =
    "{\"architectures\":[\"FlexOlmoForCausalLM\"],\"attention_bias\":false,"
    "\"attention_dropout\":0.0,\"eos_token_id\":100257,\"hidden_act\":\"silu\","
    "\"hidden_size\":4096,\"initializer_range\":0.02,\"intermediate_size\":11008,"
    "\"max_position_embeddings\":4096,\"model_type\":\"flex_olmo\",\"norm_topk_prob\":false,"
    "\"num_attention_heads\":32,\"num_experts\":7,\"num_experts_per_tok\":5,"
    "\"num_hidden_layers\":32,\"num_key_value_heads\":32,\"output_router_logits\":false,"
    "\"pad_token_id\":100277,\"rms_norm_eps\":1e-06,\"rope_scaling\":null,\"rope_theta\":500000,"
    "\"router_aux_loss_coef\":0.01,\"tie_word_embeddings\":false,\"torch_dtype\":\"bfloat16\","
    "\"transformers_version\":\"4.55.0\",\"use_cache\":true,\"vocab_size\":100352}";

static void reads_flex_olmo(void)
{
    gm_slice slice;
    gm_arch a = read_config_text(flex);
    check_parameters(&a, 33.272e9, 24.614e9, 0.005e9); /* announced: 33 B */
    CHECK(a.qk_norm == GM_QK_NORM_FULL && a.expert_width == 11008 && !a.router.renormalise);
    CHECK(gm_arch_norms_outputs(&a));
    CHECK(gm_arch_tensor(&a, GM_ROLE_ATTN_OUT_NORM, 3, 0, &slice) && slice.cols == 4096);
    CHECK_TEXT(slice.name, "model.layers.3.post_attention_layernorm.weight");
    CHECK(gm_arch_tensor(&a, GM_ROLE_MLP_OUT_NORM, 3, 0, &slice) && slice.rows == 1);
    CHECK_TEXT(slice.name, "model.layers.3.post_feedforward_layernorm.weight");
    CHECK(!gm_arch_tensor(&a, GM_ROLE_ATTN_NORM, 3, 0, &slice));
    CHECK(!gm_arch_tensor(&a, GM_ROLE_MLP_NORM, 3, 0, &slice));
    gm_arch_clear(&a);
}

static void other_families_have_norms_in_front(void)
{
    gm_slice slice;
    gm_error err = {0};
    gm_arch a;
    CHECK_OK(gm_arch_read(&a, MODELS "olmoe-tiny", &err), err);
    CHECK(!gm_arch_norms_outputs(&a));
    CHECK(gm_arch_tensor(&a, GM_ROLE_MLP_NORM, 1, 0, &slice));
    CHECK_TEXT(slice.name, "model.layers.1.post_attention_layernorm.weight");
    CHECK(!gm_arch_tensor(&a, GM_ROLE_ATTN_OUT_NORM, 1, 0, &slice));
    gm_arch_clear(&a);
}

static void refuses_what_is_not_computed(void)
{
    static const char *const changes[][4] = {
        {FLEX, "num_experts", NULL, "'num_experts' is missing"},
        {FLEX, "num_experts", "2", "'num_experts_per_tok' is 3, expected at most the 2 experts"},
        {FLEX, "clip_qkv", "8.0", "'clip_qkv' is 8, and only null"},
        {FLEX, "attention_bias", "true", "'attention_bias' is true"},
        {FLEX, "rope_scaling", "{\"type\": \"yarn\", \"factor\": 2}", "has type 'yarn'"},
        {FLEX, "sliding_window", "8", "'sliding_window' is 8"},
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        gm_arch a;
        gm_error err;
        copy_model("changed", changes[i][0], changes[i][1], changes[i][2]);
        CHECK_FAILS(gm_arch_read(&a, "changed", &err), err, GM_EFORMAT, changes[i][3]);
    }
}

TESTS(TEST(reads_flex_olmo), TEST(other_families_have_norms_in_front),
      TEST(refuses_what_is_not_computed))
