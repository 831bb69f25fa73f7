/* test_families_corrected.c - what the rows of engine/families_corrected.c read: published configs,
 * what is refused, parts that predict further tokens.
 */
#include "engine/families.h"

#include "tests/model_copy.h"

#define MODELS TEST_DATA "/golden/models/"
#define GLM    MODELS "glm-tiny"

/* zai-org/GLM-4.5-Air's published config. */
static const char glm_air[] =
    "{\"architectures\":[\"Glm4MoeForCausalLM\"],\"attention_bias\":true,\"attention_dropout\":0.0,"
    "\"pad_token_id\":151329,\"eos_token_id\":[151329,151336,151338],\"head_dim\":128,"
    "\"hidden_act\":\"silu\",\"hidden_size\":4096,\"partial_rotary_factor\":0.5,"
    "\"initializer_range\":0.02,\"intermediate_size\":10944,\"max_position_embeddings\":131072,"
    "\"model_type\":\"glm4_moe\",\"moe_intermediate_size\":1408,\"norm_topk_prob\":true,"
    "\"num_attention_heads\":96,\"n_group\":1,\"topk_group\":1,\"n_routed_experts\":128,"
    "\"n_shared_experts\":1,\"routed_scaling_factor\":1.0,\"num_experts_per_tok\":8,"
    "\"first_k_dense_replace\":1,\"num_hidden_layers\":46,\"num_key_value_heads\":8,"
    "\"num_nextn_predict_layers\":1,\"rms_norm_eps\":1e-05,\"rope_scaling\":null,"
    "\"rope_theta\":1000000,\"tie_word_embeddings\":false,\"torch_dtype\":\"bfloat16\","
    "\"transformers_version\":\"4.54.0\",\"use_cache\":true,\"use_qk_norm\":false,"
    "\"vocab_size\":151552}";

static gm_arch read_text(const char *text)
{
    gm_json *config = NULL;
    gm_arch a = {0};
    gm_error err = {0};
    CHECK_OK(gm_json_parse(&config, text, strlen(text), "config", &err), err);
    CHECK_OK(gm_arch_from_json(&a, config, "config", NULL, NULL, &err), err);
    gm_json_free(config);
    CHECK_TEXT(a.unknown_keys, "");
    CHECK(a.router.has_correction && a.router.renormalise);
    return a;
}

static void check_parameters(const gm_arch *a, double all, double active)
{
    uint64_t n_active = 0;
    CHECK_NEAR((double)gm_arch_parameters(a, &n_active), all, 0.01e9);
    CHECK_NEAR((double)n_active, active, 0.01e9);
}

static void reads_glm(void)
{
    gm_slice slice;
    gm_arch a = read_text(glm_air);
    check_parameters(&a, 106.85e9, 13.424e9); /* the part that predicts further ones left out */
    CHECK(a.router.scoring == GM_SCORE_SIGMOID && a.router.n_groups == 1);
    CHECK(a.n_moe == 45 && a.n_mtp == 1 && a.n_shared == 1 && a.shared_width == 1408);
    CHECK(a.rope.dim == 64 && !a.rope.neighbours && a.attention_bias);
    CHECK(a.qk_norm == GM_QK_NORM_NONE);
    CHECK(gm_arch_tensor(&a, GM_ROLE_ROUTER_CORRECTION, 3, 0, &slice) && slice.cols == 128);
    CHECK_TEXT(slice.name, "model.layers.3.mlp.gate.e_score_correction_bias");
    CHECK(!gm_arch_tensor(&a, GM_ROLE_ROUTER_CORRECTION, 0, 0, &slice));
    CHECK(!gm_arch_tensor(&a, GM_ROLE_O_BIAS, 3, 0, &slice));
    gm_arch_clear(&a);
}

static void refuses_groups_that_cannot_be(void)
{
    static const char *const changes[][3] = {
        {"n_group", "2", "'n_group' is 2"},
        {"n_group", "9", "'n_group' is 9"},
        {"n_group", "0", "'n_group'"},
        {"topk_group", "4", "'topk_group'"},
        {"num_experts_per_tok", "7", "'topk_group' leaves 6 experts"},
        {"routed_scaling_factor", "0", "'routed_scaling_factor'"},
        {"quantization_config", "{\"quant_method\": \"fp8\"}", "'quantization_config'"},
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        gm_arch a;
        gm_error err;
        copy_model("changed", GLM, changes[i][0], changes[i][1]);
        CHECK_FAILS(gm_arch_read(&a, "changed", &err), err, GM_EFORMAT, changes[i][2]);
    }
}

/* The digest of the config tells apart what the same tensors compute by. */
static void what_turns_and_how_they_are_weighed_is_in_the_digest(void)
{
    static const char *const changes[][2] = {
        {"partial_rotary_factor", "1.0"}, {"routed_scaling_factor", "2.0"}, {"topk_group", "1"},
        {"norm_topk_prob", "false"},      {"use_cache", "false"},
    };
    enum { N = sizeof changes / sizeof changes[0] };
    char digest[N + 1][65];
    for (size_t i = 0; i <= N; i++) {
        gm_arch a;
        gm_error err = {0};
        if (i < N) copy_model("changed", GLM, changes[i][0], changes[i][1]);
        CHECK_OK(gm_arch_read(&a, i < N ? "changed" : GLM, &err), err);
        gm_arch_digest(&a, digest[i]);
        gm_arch_clear(&a);
    }
    for (size_t i = 0; i < N; i++)
        for (size_t j = i + 1; j <= N; j++) CHECK(!strcmp(digest[i], digest[j]) == (i == N - 1));
}

static void further_tokens_are_known_and_not_read(void)
{
    gm_model *model = NULL;
    gm_error err = {0};
    const gm_model_options options = {.headers_only = true};
    CHECK_OK(gm_model_open(&model, GLM, &options, &err), err);
    CHECK_INT(gm_model_get_info(model)->mtp_bytes, (16 + 16 * 32) * 2);
    gm_model_close(model);
}

TESTS(TEST(reads_glm), TEST(refuses_groups_that_cannot_be),
      TEST(what_turns_and_how_they_are_weighed_is_in_the_digest),
      TEST(further_tokens_are_known_and_not_read))
