/* test_families_norms.c - what the rows of engine/families_norms.c read: published configs, which
 * norms there are, and what is refused.
 */
#include "engine/families.h"
#include "tests/config_text.h"
#include "tests/model_copy.h"

#include <math.h>

#define MODELS  TEST_DATA "/golden/models/"
#define FLEX    MODELS "flexolmo-tiny"
#define HUNYUAN MODELS "hunyuan-tiny"

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

/* tencent/Hunyuan-A13B-Instruct; lists of 32 are shorter here, as is the model. */
static const char hunyuan[] =
    "{\"architectures\":[\"HunYuanMoEV1ForCausalLM\"],\"attention_bias\":false,"
    "\"attention_dropout\":0.1,\"attention_head_dim\":128,\"bos_token_id\":1,"
    "\"cla_share_factor\":2,\"eod_token_id\":127967,\"eos_token_id\":127960,"
    "\"group_limited_greedy\":false,\"hidden_act\":\"silu\",\"hidden_size\":4096,"
    "\"initializer_range\":0.02,\"intermediate_size\":3072,\"kv_lora_rank\":null,"
    "\"max_position_embeddings\":32768,\"mlp_bias\":false,\"model_type\":\"hunyuan_v1_moe\","
    "\"moe_drop_tokens\":false,\"moe_intermediate_size\":[3072,3072],"
    "\"moe_layer_num_skipped\":0,\"moe_random_routing_dropped_token\":false,"
    "\"moe_topk\":[8,8],\"n_group\":null,\"norm_topk_prob\":true,\"norm_type\":\"hf_rms\","
    "\"num_attention_heads\":32,\"num_experts\":64,\"num_hidden_layers\":2,"
    "\"num_key_value_heads\":8,\"num_shared_expert\":[1,1],\"org_vocab_size\":128167,"
    "\"pad_id\":127961,\"pad_token_id\":127961,\"position_embedding_xdrope\":false,"
    "\"pretraining_tp\":1,\"q_lora_rank\":null,\"rms_norm_eps\":1e-05,\"rope_scaling\":"
    "{\"alpha\":1000.0,\"beta_fast\":32,\"beta_slow\":1,\"factor\":1.0,\"mscale\":1.0,"
    "\"mscale_all_dim\":1.0,\"type\":\"dynamic\"},\"rope_theta\":10000.0,"
    "\"routed_scaling_factor\":1.0,\"sep_token_id\":127962,\"tie_word_embeddings\":true,"
    "\"topk_group\":null,\"torch_dtype\":\"bfloat16\",\"transformers_version\":\"4.41.2\","
    "\"use_cache\":true,\"use_cla\":false,\"use_mixed_mlp_moe\":true,\"use_mla\":false,"
    "\"use_qk_norm\":true,\"use_rotary_pos_emb\":true,\"vocab_size\":128167}";

static void reads_hunyuan(void)
{
    gm_slice slice;
    uint64_t active, all;
    gm_arch a = read_config_text(hunyuan);
    const double embedding = 128167.0 * 4096.0, layers = 32.0 / a.n_layers;
    all = gm_arch_parameters(&a, &active);
    CHECK_NEAR(layers * ((double)all - embedding) + embedding, 80.393e9, 0.005e9);    /* 80 B */
    CHECK_NEAR(layers * ((double)active - embedding) + embedding, 12.750e9, 0.005e9); /* 13 B */
    CHECK(a.n_chosen == 8 && a.n_shared == 1 && a.shared_width == 3072 && a.tied_head);
    CHECK(a.qk_norm == GM_QK_NORM_HEAD && a.qk_norm_last && a.router.renormalise);
    CHECK_NEAR(a.rope.theta, 11158839.925077, 1e-3); /* transformers: 1e4 1000^(128/126) */
    CHECK_NEAR(gm_rope_step(&a.rope, 63) * 1e4 * 1000.0, pow(1e4, 1.0 / 64.0), 1e-9);
    CHECK(gm_arch_tensor(&a, GM_ROLE_ROUTER, 1, 0, &slice) && slice.rows == 64);
    CHECK_TEXT(slice.name, "model.layers.1.mlp.gate.wg.weight");
    CHECK(gm_arch_tensor(&a, GM_ROLE_K_NORM, 1, 0, &slice) && slice.cols == 128);
    CHECK_TEXT(slice.name, "model.layers.1.self_attn.key_layernorm.weight");
    CHECK(gm_arch_tensor(&a, GM_ROLE_SHARED_UP, 1, 0, &slice));
    CHECK_TEXT(slice.name, "model.layers.1.mlp.shared_mlp.up_proj.weight");
    CHECK(!gm_arch_tensor(&a, GM_ROLE_Q_BIAS, 1, 0, &slice));
    gm_arch_clear(&a);
}

/* The first three belong to a router with groups, or that does not normalise; neither is read. The
 * others have one supported value. */
static void hunyuan_may_leave_keys_empty(void)
{
    static const char *const change[][2] = {{"n_group", "false"},
                                            {"topk_group", "false"},
                                            {"routed_scaling_factor", "false"},
                                            {"moe_intermediate_size", "null"},
                                            {"num_shared_expert", "null"}};
    for (size_t i = 0; i < sizeof change / sizeof change[0]; i++) {
        gm_error err = {0};
        gm_arch a;
        copy_model("changed", HUNYUAN, change[i][0], change[i][1]);
        CHECK_OK(gm_arch_read(&a, "changed", &err), err);
        CHECK(a.router.n_groups <= 1 && a.unknown_keys[0] == '\0');
        gm_arch_clear(&a);
    }
}

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
        {FLEX, "clip_qkv", "8.0", "'clip_qkv' is 8, but only null"},
        {FLEX, "attention_bias", "true", "'attention_bias' is true"},
        {FLEX, "rope_scaling", "{\"type\": \"yarn\", \"factor\": 2}", "has type 'yarn'"},
        {FLEX, "sliding_window", "8", "'sliding_window' is 8"},
        {HUNYUAN, "moe_topk", "[3, 2]", "'moe_topk' is not the same number from 1 to"},
        {HUNYUAN, "moe_topk", "[3]", "'moe_topk' is not the same number"},
        {HUNYUAN, "moe_topk", "[]", "'moe_topk' is not the same number"},
        {HUNYUAN, "moe_topk", "[0, 0]", "'moe_topk' is not the same number"},
        {HUNYUAN, "moe_topk", "[\"3\", \"3\"]", "'moe_topk' is not the same number"},
        {HUNYUAN, "moe_topk", NULL, "'moe_topk' is missing"},
        {HUNYUAN, "num_shared_expert", "2", "'num_shared_expert' is 2"},
        {HUNYUAN, "moe_intermediate_size", "6", "'moe_intermediate_size' is 6"},
        {HUNYUAN, "attention_head_dim", "12", "'attention_head_dim' is 12"},
        {HUNYUAN, "moe_layer_num_skipped", "1", "'moe_layer_num_skipped' is 1"},
        {HUNYUAN, "norm_type", "\"layer\"", "'norm_type' is 'layer', but only 'hf_rms'"},
        {HUNYUAN, "norm_topk_prob", "false", "'norm_topk_prob' is false, but only true"},
        {HUNYUAN, "use_qk_norm", "false", "'use_qk_norm' is false, but only true"},
        {HUNYUAN, "use_cla", "true", "'use_cla' is true, but only false"},
        {HUNYUAN, "rope_scaling", "{\"type\": \"dynamic\", \"factor\": 2}", "'alpha' is missing"},
        {HUNYUAN, "rope_scaling", "{\"type\": \"dynamic\", \"alpha\": 0.5}", "'alpha' is 0.5"},
        {HUNYUAN, "rope_scaling", "{\"type\": \"yarn\", \"alpha\": 2}",
         "has type 'yarn', but only 'default' or 'dynamic'"},
        {FLEX, "rope_scaling", "{\"type\": \"dynamic\", \"alpha\": 2}", "has type 'dynamic'"},
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++)
        check_refused(changes[i][0], changes[i][1], changes[i][2], changes[i][3]);
}

TESTS(TEST(reads_flex_olmo), TEST(reads_hunyuan), TEST(hunyuan_may_leave_keys_empty),
      TEST(other_families_have_norms_in_front), TEST(refuses_what_is_not_computed))
