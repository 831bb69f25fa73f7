/* test_families_cohere.c - Cohere2-MoE (engine/families_windows.c): sizes, which layers have
 * windows and turn their heads, norms, scores, and what is refused.
 */
#include "engine/families.h"
#include "tests/config_text.h"
#include "tests/model_copy.h"

#define COHERE TEST_DATA "/golden/models/cohere-tiny"

/* In the keys of CohereLabs' files; of the sizes that transformers was asked for the number of
 * parameters. */
#define SIZES                                                                                     \
    "{\"architectures\":[\"Cohere2MoeForCausalLM\"],\"attention_bias\":false,"                    \
    "\"attention_dropout\":0.0,\"bos_token_id\":5,\"cache_implementation\":\"hybrid\","           \
    "\"eos_token_id\":255001,\"expert_selection_fn\":\"sigmoid\",\"first_k_dense_replace\":2,"    \
    "\"head_dim\":128,\"hidden_act\":\"silu\",\"hidden_size\":2048,\"intermediate_size\":768,"    \
    "\"layer_norm_eps\":1e-05,\"layer_switch\":4,\"logit_scale\":0.25,"                           \
    "\"max_position_embeddings\":131072,\"model_type\":\"cohere2_moe\",\"norm_topk_prob\":true,"  \
    "\"num_attention_heads\":32,\"num_experts\":128,\"num_experts_per_tok\":8,"                   \
    "\"num_hidden_layers\":10,\"num_key_value_heads\":4,\"num_shared_experts\":1,"                \
    "\"order_of_interleaved_layers\":\"local_attn_first\",\"pad_token_id\":0,"                    \
    "\"position_embedding_type\":\"rope_gptj\",\"prefix_dense_intermediate_size\":6144,"          \
    "\"rope_theta\":50000,\"rotary_pct\":1.0,\"shared_expert_combination_strategy\":\"average\"," \
    "\"sliding_window\":4096,\"sliding_window_pattern\":4,\"use_embedding_sharing\":true,"        \
    "\"use_gated_activation\":true,\"use_parallel_block\":true,\"use_parallel_embedding\":false," \
    "\"use_qk_norm\":false,\"vocab_size\":256000"

static void reads_sizes(void)
{
    gm_slice s;
    gm_arch a = read_config_text(SIZES "}");
    check_parameters(&a, 5660235776.0, 1130387456.0, 0.0); /* transformers' */
    CHECK(a.parallel && a.layer_norm && a.tied_head && a.logits_scale == 0.25f);
    CHECK(a.expert_width == 768 && a.dense_width == 6144 && a.shared_width == 768);
    CHECK(a.router.scale == 0.5f && a.shared_scale == 0.5f && !a.router.has_correction);
    CHECK(a.router.scoring == GM_SCORE_SIGMOID && a.router.renormalise);
    CHECK(a.rope.neighbours && a.rope.theta == 5e4 && a.rope.dim == 128);
    CHECK(gm_arch_tensor(&a, GM_ROLE_MLP_NORM, 3, 0, &s));
    CHECK_TEXT(s.name, "model.layers.3.input_layernorm.weight");
    gm_arch_clear(&a);
}

/* Dense layers see all positions and turn their heads, here as if their window were the context;
 * then windows in all layers but every fourth. */
static void reads_which_layers_have_windows(void)
{
    gm_arch a = read_config_text(SIZES "}");
    for (int i = 0; i < a.n_layers; i++)
        CHECK_INT(a.window[i], i < 2 ? 131072 : i == 5 || i == 9 ? 0 : 4096);
    CHECK(a.n_moe == 8 && a.layer_of_moe[0] == 2 && a.global.rope.dim == 0);
    CHECK(gm_arch_is_global(&a, 5) && !gm_arch_is_global(&a, 0));
    gm_arch_clear(&a);
    a = read_config_text(SIZES ",\"prefix_dense_sliding_window_pattern\":2}");
    CHECK(a.window[0] == 4096 && a.window[1] == 0 && a.window[2] == 4096);
    gm_arch_clear(&a);
}

static void reads_other_forms(void)
{
    gm_arch a;
    gm_error err = {0};
    char same[65], other[65];
    a = read_config_text(SIZES ",\"rms_norm_eps\":0.001}");
    CHECK(!a.layer_norm && a.norm_epsilon == 0.001f);
    gm_arch_clear(&a);
    CHECK_OK(gm_arch_read(&a, COHERE, &err), err);
    CHECK(a.norm_epsilon == 0.01f && a.window[0] == 128 && a.window[1] == 9 && a.window[2] == 0);
    gm_arch_digest(&a, same);
    gm_arch_clear(&a);
    copy_model("other", COHERE, "shared_expert_combination_strategy", "\"sum\"");
    CHECK_OK(gm_arch_read(&a, "other", &err), err);
    CHECK(a.router.scale == 1.0f && a.shared_scale == 1.0f);
    gm_arch_digest(&a, other);
    CHECK(strcmp(same, other) != 0);
    gm_arch_clear(&a);
    copy_model("other", COHERE, "expert_selection_fn", "\"softmax\"");
    CHECK_OK(gm_arch_read(&a, "other", &err), err);
    CHECK(a.router.scoring == GM_SCORE_TOPK_SOFTMAX);
    gm_arch_clear(&a);
}

static void refuses_what_is_not_computed(void)
{
    static const char *const changes[][3] = {
        {"expert_selection_fn", NULL, "'expert_selection_fn' is missing"},
        {"expert_selection_fn", "\"tanh\"", "only 'sigmoid' or 'softmax' is supported"},
        {"shared_expert_combination_strategy", NULL, "combination_strategy' is missing"},
        {"shared_expert_combination_strategy", "\"max\"", "only 'sum' or 'average'"},
        {"use_qk_norm", "true", "'use_qk_norm' is true"},
        {"use_parallel_block", "false", "'use_parallel_block' is false"},
        {"use_gated_activation", "false", "'use_gated_activation' is false"},
        {"position_embedding_type", "\"alibi\"", "'position_embedding_type' is 'alibi'"},
        {"rotary_pct", "0.5", "'rotary_pct'"},
        {"sliding_window", NULL, "'sliding_window' is missing"},
        {"attention_bias", "true", "'attention_bias' is true"},
        {"hidden_act", "\"gelu\"", "'hidden_act' is 'gelu'"},
        {"num_experts", NULL, "'num_experts' is missing"},
        {"mlp_layer_types", "[\"dense\", \"dense\", \"dense\"]", "none of the 3 layers"},
        {"rope_scaling", "{\"type\": \"linear\", \"factor\": 2}", "has type 'linear'"},
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++)
        check_refused(COHERE, changes[i][0], changes[i][1], changes[i][2]);
}

TESTS(TEST(reads_sizes), TEST(reads_which_layers_have_windows), TEST(reads_other_forms),
      TEST(refuses_what_is_not_computed))
