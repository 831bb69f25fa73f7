/* test_families_windows.c - what the rows of engine/families_windows.c read: sizes as announced, in
 * which layers heads turn, and what is refused.
 */
#include "engine/families.h"
#include "tests/config_text.h"
#include "tests/model_copy.h"

#include <math.h>

#define MODELS TEST_DATA "/golden/models/"
#define AFMOE  MODELS "afmoe-tiny"
#define EXAONE MODELS "exaone-tiny"

/* arcee-ai/Trinity-Mini: its sizes, in the keys of transformers' class. */
static const char trinity[] =
    "{\"architectures\":[\"AfmoeForCausalLM\"],\"attention_dropout\":0.0,\"dtype\":\"bfloat16\","
    "\"global_attn_every_n_layers\":4,\"head_dim\":128,\"hidden_act\":\"silu\","
    "\"hidden_size\":2048,\"initializer_range\":0.02,\"intermediate_size\":6144,"
    "\"load_balance_coeff\":0.001,\"max_position_embeddings\":131072,\"model_type\":\"afmoe\","
    "\"moe_intermediate_size\":1024,\"mup_enabled\":true,\"n_group\":1,\"num_attention_heads\":32,"
    "\"num_dense_layers\":2,\"num_expert_groups\":1,\"num_experts\":128,"
    "\"num_experts_per_tok\":8,\"num_hidden_layers\":32,\"num_key_value_heads\":4,"
    "\"num_limited_groups\":1,\"num_shared_experts\":1,\"rms_norm_eps\":1e-05,"
    "\"rope_scaling\":null,\"rope_theta\":10000,\"route_norm\":true,\"route_scale\":2.826,"
    "\"score_func\":\"sigmoid\",\"sliding_window\":2048,\"tie_word_embeddings\":false,"
    "\"topk_group\":1,\"use_cache\":true,\"use_grouped_mm\":true,\"vocab_size\":200192}";

/* LGAI-EXAONE/K-EXAONE-236B-A23B, likewise; its lists of 48 are left to their defaults. */
static const char exaone[] =
    "{\"architectures\":[\"ExaoneMoEForCausalLM\"],\"attention_dropout\":0.0,\"bos_token_id\":1,"
    "\"dtype\":\"bfloat16\",\"eos_token_id\":53,\"first_k_dense_replace\":1,\"head_dim\":128,"
    "\"hidden_act\":\"silu\",\"hidden_size\":6144,\"initializer_range\":0.02,"
    "\"intermediate_size\":18432,\"max_position_embeddings\":262144,"
    "\"model_type\":\"exaone_moe\",\"moe_intermediate_size\":2048,\"n_group\":1,"
    "\"norm_topk_prob\":true,\"num_attention_heads\":64,\"num_experts\":128,"
    "\"num_experts_per_tok\":8,\"num_hidden_layers\":48,\"num_key_value_heads\":8,"
    "\"num_nextn_predict_layers\":1,\"num_shared_experts\":1,\"pad_token_id\":0,"
    "\"rms_norm_eps\":1e-05,\"rope_parameters\":{\"rope_theta\":1000000,"
    "\"rope_type\":\"default\"},\"routed_scaling_factor\":2.5,\"scoring_func\":\"sigmoid\","
    "\"sliding_window\":128,\"sliding_window_pattern\":4,\"tie_word_embeddings\":false,"
    "\"topk_group\":1,\"topk_method\":\"noaux_tc\",\"use_cache\":true,\"vocab_size\":153600}";

static void check_name(const gm_arch *a, gm_role role, int layer, const char *name)
{
    gm_slice slice = {0};
    CHECK(gm_arch_tensor(a, role, layer, 0, &slice));
    CHECK_TEXT(slice.name, name);
}

/* Every fourth layer sees all positions, and its heads do not turn. */
static void check_layers(const gm_arch *a, int window)
{
    for (int l = 0; l < a->n_layers; l++) {
        const bool global = gm_arch_is_global(a, l);
        const gm_heads heads = gm_arch_heads(a, global);
        CHECK_INT(global, l % 4 == 3);
        CHECK_INT(a->window[l], global ? 0 : window);
        CHECK_INT(heads.rope->dim, global ? 0 : 128);
        CHECK(heads.kv == (size_t)a->n_kv_heads && heads.key == 128 && !heads.shared);
    }
}

/* Numbers of parameters: transformers', of a model of these sizes. */
static void reads_trinity(void)
{
    gm_slice slice;
    gm_arch a = read_config_text(trinity);
    check_parameters(&a, 26123974400.0, 3474732800.0, 0.0); /* announced: 26 B, 3 B */
    check_layers(&a, 2048);
    CHECK(a.n_moe == 30 && a.layer_of_moe[0] == 2 && a.shared_width == 1024 && !a.tied_head);
    CHECK(a.router.scoring == GM_SCORE_SIGMOID && a.router.has_correction && a.router.renormalise &&
          a.router.scale == 2.826f);
    CHECK(a.gated_attention && a.qk_norm == GM_QK_NORM_HEAD && gm_arch_norms_outputs(&a));
    CHECK_NEAR(a.embed_scale, sqrt(2048.0), 1e-5);
    check_name(&a, GM_ROLE_Q_GATE, 3, "model.layers.3.self_attn.gate_proj.weight");
    check_name(&a, GM_ROLE_ATTN_OUT_NORM, 0, "model.layers.0.post_attention_layernorm.weight");
    check_name(&a, GM_ROLE_MLP_NORM, 0, "model.layers.0.pre_mlp_layernorm.weight");
    check_name(&a, GM_ROLE_MLP_OUT_NORM, 0, "model.layers.0.post_mlp_layernorm.weight");
    check_name(&a, GM_ROLE_ROUTER, 2, "model.layers.2.mlp.router.gate.weight");
    check_name(&a, GM_ROLE_ROUTER_CORRECTION, 2, "model.layers.2.mlp.expert_bias");
    CHECK(!gm_arch_tensor(&a, GM_ROLE_ROUTER, 1, 0, &slice));
    gm_arch_clear(&a);
}

static void reads_exaone(void)
{
    gm_arch a = read_config_text(exaone);
    check_parameters(&a, 236571156352.0, 23668285312.0, 0.0); /* announced: 236 B, 23 B */
    check_layers(&a, 128);
    CHECK(a.n_moe == 47 && a.layer_of_moe[0] == 1 && a.n_mtp == 1 && a.shared_width == 2048);
    CHECK(a.router.scale == 2.5f && a.router.renormalise && a.rope.theta == 1e6);
    CHECK(!a.gated_attention && !gm_arch_norms_outputs(&a) && a.embed_scale == 1.0f);
    check_name(&a, GM_ROLE_ROUTER_CORRECTION, 1, "model.layers.1.mlp.e_score_correction_bias");
    check_name(&a, GM_ROLE_MLP_NORM, 1, "model.layers.1.post_attention_layernorm.weight");
    gm_arch_clear(&a);
}

/* What the configs leave to their defaults. */
static void reads_other_forms(void)
{
    gm_arch a;
    gm_error err = {0};
    copy_model("every-fourth", AFMOE, "layer_types", NULL);
    copy_model("other", "every-fourth", "global_attn_every_n_layers", "2");
    CHECK_OK(gm_arch_read(&a, "other", &err), err);
    CHECK(a.window[0] == 9 && a.window[1] == 0 && a.window[2] == 9);
    gm_arch_clear(&a);
    CHECK_OK(gm_arch_read(&a, "every-fourth", &err), err); /* of three none */
    CHECK(a.window[2] == 9 && a.global.n_kv_heads == 0);
    gm_arch_clear(&a);
    copy_model("other", AFMOE, "mup_enabled", NULL);
    CHECK_OK(gm_arch_read(&a, "other", &err), err);
    CHECK(a.embed_scale == 1.0f);
    gm_arch_clear(&a);
    copy_model("other", EXAONE, "first_k_dense_replace", NULL);
    CHECK_OK(gm_arch_read(&a, "other", &err), err);
    CHECK(a.n_moe == 1 && a.layer_of_moe[0] == 1);
    gm_arch_clear(&a);
    copy_model("other", EXAONE, "norm_topk_prob", NULL);
    CHECK_OK(gm_arch_read(&a, "other", &err), err);
    CHECK(a.router.renormalise);
    gm_arch_clear(&a);
}

static void refuses_what_is_not_computed(void)
{
    static const char *const changes[][4] = {
        {AFMOE, "route_norm", "false", "'route_norm' is false, but only true"},
        {AFMOE, "score_func", "\"softmax\"", "'score_func' is 'softmax', but only 'sigmoid'"},
        {AFMOE, "num_expert_groups", "2", "'num_expert_groups'"},
        {AFMOE, "num_limited_groups", "2", "'num_limited_groups'"},
        {AFMOE, "n_group", "2", "'n_group' is 2, but only 1"},
        {AFMOE, "num_experts", NULL, "'num_experts' is missing"},
        {AFMOE, "num_dense_layers", "3", "none of the 3 layers"},
        {AFMOE, "attention_bias", "true", "'attention_bias' is true"},
        {AFMOE, "route_scale", "0", "'route_scale'"},
        {AFMOE, "rope_scaling", "{\"rope_type\": \"yarn\", \"factor\": 4}", "type 'yarn'"},
        {AFMOE, "layer_types", "[\"full_attention\", \"full_attention\", \"full_attention\"]",
         "'layer_types' leaves no layer of 'sliding_attention'"},
        {EXAONE, "sliding_window", NULL, "'sliding_window' is missing"},
        {EXAONE, "scoring_func", "\"softmax\"", "'scoring_func' is 'softmax', but only 'sigmoid'"},
        {EXAONE, "topk_method", "\"greedy\"", "'topk_method' is 'greedy', but only 'noaux_tc'"},
        {EXAONE, "n_group", "3", "'n_group' is 3"},
        {EXAONE, "mlp_layer_types", "[\"sparse\", \"sparse\"]", "disagree on layer 0"},
        {"no-types", "sliding_window_pattern", "\"LLLG\"", "'sliding_window_pattern'"},
    };
    copy_model("no-types", EXAONE, "layer_types", NULL);
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++)
        check_refused(changes[i][0], changes[i][1], changes[i][2], changes[i][3]);
}

TESTS(TEST(reads_trinity), TEST(reads_exaone), TEST(reads_other_forms),
      TEST(refuses_what_is_not_computed))
