/* test_families_mimo.c - MiMo-V2-Flash (engine/families_mimo.c): published sizes in the keys of
 * both files, the heads of both types of layers, what is refused.
 */
#include "engine/families.h"
#include "tests/config_text.h"
#include "tests/model_copy.h"

#include <math.h>

#define MIMO TEST_DATA "/golden/models/mimo-tiny"

/* XiaomiMiMo/MiMo-V2-Flash in its own keys, as servers' code and tests name them. Not at hand
 * itself: two lists of 48 are cut to those of 6 layers, as is the model. */
#define PUBLISHED                                                                                 \
    "{\"architectures\":[\"MiMoV2FlashForCausalLM\"],\"add_full_attention_sink_bias\":false,"     \
    "\"add_swa_attention_sink_bias\":true,\"attention_bias\":false,\"attention_chunk_size\":128," \
    "\"attention_dropout\":0.0,\"attention_value_scale\":0.707,\"head_dim\":192,"                 \
    "\"hidden_act\":\"silu\",\"hidden_size\":4096,\"hybrid_block_size\":null,"                    \
    "\"intermediate_size\":16384,\"layernorm_epsilon\":1e-05,\"max_position_embeddings\":262144," \
    "\"model_type\":\"mimo_v2_flash\",\"moe_intermediate_size\":2048,\"n_group\":1,"              \
    "\"n_routed_experts\":256,\"n_shared_experts\":null,\"norm_topk_prob\":true,"                 \
    "\"num_attention_heads\":64,\"num_experts_per_tok\":8,\"num_key_value_heads\":4,"             \
    "\"partial_rotary_factor\":0.334,\"rope_theta\":5000000,\"routed_scaling_factor\":null,"      \
    "\"scoring_func\":\"sigmoid\",\"sliding_window\":128,\"sliding_window_size\":128,"            \
    "\"swa_head_dim\":192,\"swa_num_attention_heads\":64,\"swa_num_key_value_heads\":8,"          \
    "\"swa_rope_theta\":10000,\"swa_v_head_dim\":128,\"tie_word_embeddings\":false,"              \
    "\"topk_group\":1,\"topk_method\":\"noaux_tc\",\"v_head_dim\":128,\"vocab_size\":152576,"

static void reads_the_published_keys(void)
{
    gm_slice s;
    gm_arch a = read_config_text(PUBLISHED "\"hybrid_layer_pattern\":[0,1,1,1,1,0],"
                                           "\"moe_layer_freq\":[0,1,1,1,1,1],"
                                           "\"num_hidden_layers\":6}");
    const gm_heads near = gm_arch_heads(&a, false), far = gm_arch_heads(&a, true);
    CHECK(near.kv == 8 && near.key == 192 && near.value == 128 && near.out == 128);
    CHECK(far.kv == 4 && far.key == 192 && far.value == 128 && far.out == 128);
    CHECK(near.rope->dim == 64 && near.rope->theta == 1e4);
    CHECK(far.rope->dim == 64 && far.rope->theta == 5e6);
    CHECK(a.window[0] == 0 && a.window[4] == 129 && a.window[5] == 0 && a.n_moe == 5);
    CHECK(a.value_scale == 0.707f && a.norm_epsilon == 1e-5f && a.router.scale == 1.0f);
    CHECK(a.router.has_correction && a.router.renormalise && a.n_shared == 0);
    CHECK_NEAR(a.attention_scale, 1.0 / sqrt(192.0), 1e-8);
    CHECK(gm_arch_tensor(&a, GM_ROLE_V, 1, 0, &s) && s.rows == 8 * 128);
    CHECK(gm_arch_tensor(&a, GM_ROLE_V, 5, 0, &s) && s.rows == 4 * 128);
    CHECK(gm_arch_tensor(&a, GM_ROLE_O, 1, 0, &s) && s.cols == 64 * 128);
    CHECK(gm_arch_tensor(&a, GM_ROLE_SINKS, 1, 0, &s) && s.cols == 64);
    CHECK_TEXT(s.name, "model.layers.1.self_attn.attention_sink_bias");
    CHECK(!gm_arch_tensor(&a, GM_ROLE_SINKS, 5, 0, &s));
    gm_arch_clear(&a);
}

/* As transformers takes it where a config says neither. */
static void counts_the_published_parameters(void)
{
    gm_arch a = read_config_text(PUBLISHED "\"num_hidden_layers\":48}");
    check_parameters(&a, 308778780864.0, 15445936320.0, 0.0); /* announced: 309 and 15 B */
    CHECK(a.window[46] == 129 && a.window[47] == 0 && a.n_moe == 47);
    gm_arch_clear(&a);
}

/* Of the layers that see all another part of a head turns: that is another model. */
static void digests_what_turns_in_layers_that_see_all(void)
{
    static const char *const part[] = {"0.334", "0.5"};
    char text[4096], digest[2][65];
    for (int i = 0; i < 2; i++) {
        snprintf(text, sizeof text,
                 PUBLISHED "\"num_hidden_layers\":48,\"rope_parameters\":{\"full_attention\":"
                           "{\"rope_type\":\"default\",\"rope_theta\":5000000,"
                           "\"partial_rotary_factor\":%s},\"sliding_attention\":"
                           "{\"rope_type\":\"default\",\"rope_theta\":10000}}}",
                 part[i]);
        gm_arch a = read_config_text(text);
        CHECK(a.rope.dim == 64 && a.global.rope.dim == (i == 0 ? 64 : 96));
        gm_arch_digest(&a, digest[i]);
        gm_arch_clear(&a);
    }
    CHECK(strcmp(digest[0], digest[1]) != 0);
}

/* One key of the golden's is another, or (NULL) missing: then it is as in transformers' class. */
static gm_arch changed_to(const char *key, const char *value)
{
    gm_arch a;
    gm_error err = {0};
    copy_model("changed", MIMO, key, value);
    CHECK_OK(gm_arch_read(&a, "changed", &err), err);
    return a;
}

static void what_the_config_leaves_out(void)
{
    gm_arch a = changed_to("sliding_window", NULL);
    CHECK(a.window[0] == 0 && a.window[1] == 129 && a.n_mtp == 3);
    CHECK(a.router.renormalise && a.router.renorm_epsilon == 1e-20f && a.norm_epsilon == 1e-3f);
    gm_arch_clear(&a);
    a = changed_to("layer_types",
                   "[\"sliding_attention\", \"full_attention\", \"full_attention\"]");
    CHECK(a.window[0] == 9 && a.window[1] == 0);
    gm_arch_clear(&a);
    a = changed_to("attention_value_scale", NULL);
    CHECK(a.value_scale == 0.707f);
    gm_arch_clear(&a);
    a = changed_to("attention_value_scale", "null");
    CHECK(a.value_scale == 1.0f);
    gm_arch_clear(&a);
    a = changed_to("layernorm_epsilon", "0.25"); /* the other key goes before it */
    CHECK(a.norm_epsilon == 1e-3f);
    gm_arch_clear(&a);
    a = changed_to("norm_topk_prob", NULL);
    CHECK(a.router.renormalise);
    gm_arch_clear(&a);
    a = changed_to("norm_topk_prob", "false");
    CHECK(!a.router.renormalise);
    gm_arch_clear(&a);
    a = changed_to("rope_parameters", "null");
    CHECK(a.rope.theta == 1e4 && a.global.rope.theta == 5e6);
    gm_arch_clear(&a);
}

static void refuses_what_is_not_computed(void)
{
    static const struct {
        const char *key, *value, *says;
    } change[] = {
        {"swa_num_key_value_heads", "4", "'swa_num_key_value_heads'"},
        {"swa_head_dim", "6", "'swa_head_dim'"},
        {"swa_v_head_dim", "8", "'swa_v_head_dim'"},
        {"v_head_dim", "10", "'v_head_dim'"},
        {"add_full_attention_sink_bias", "true", "'add_full_attention_sink_bias' is true"},
        {"add_swa_attention_sink_bias", "false", "'add_swa_attention_sink_bias' is false"},
        {"hybrid_layer_pattern", "[0, 1, 1]", "'hybrid_layer_pattern' does not say"},
        {"moe_layer_freq", "[0, 1]", "'moe_layer_freq' does not say"},
        {"scoring_func", "\"softmax\"", "'scoring_func'"},
        {"topk_method", "\"greedy\"", "'topk_method'"},
        {"n_group", "4", "'n_group'"},
        {"n_shared_experts", "1", "'n_shared_experts'"},
        {"swa_num_attention_heads", "2", "'swa_num_attention_heads'"},
        {"num_attention_heads", "3", "'num_key_value_heads'"},
        {"num_key_value_heads", "4", "expected a multiple of twice"},
    };
    for (size_t i = 0; i < sizeof change / sizeof change[0]; i++)
        check_refused(MIMO, change[i].key, change[i].value, change[i].says);
}

TESTS(TEST(reads_the_published_keys), TEST(counts_the_published_parameters),
      TEST(digests_what_turns_in_layers_that_see_all), TEST(what_the_config_leaves_out),
      TEST(refuses_what_is_not_computed))
