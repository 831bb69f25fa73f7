/* test_families_phimoe.c - what the rows of Phi-3.5-MoE read: published sizes, the context that its
 * angles allow, what is refused.
 */
#include "engine/families.h"

#include "tests/config_text.h"
#include "tests/model_copy.h"

#define TINY TEST_DATA "/golden/models/phimoe-tiny"

#define COMMON                                                                          \
    "{\"architectures\":[\"PhiMoEForCausalLM\"],\"attention_bias\":true,"               \
    "\"attention_dropout\":0.0,\"bos_token_id\":1,\"eos_token_id\":32000,"              \
    "\"hidden_act\":\"silu\",\"hidden_dropout\":0.0,\"hidden_size\":4096,"              \
    "\"initializer_range\":0.02,\"input_jitter_noise\":0.01,\"lm_head_bias\":true,"     \
    "\"model_type\":\"phimoe\",\"num_experts_per_tok\":2,\"num_hidden_layers\":32,"     \
    "\"num_local_experts\":16,\"output_router_logits\":false,\"rms_norm_eps\":1e-05,"   \
    "\"rope_theta\":10000.0,\"router_aux_loss_coef\":0.0,\"router_jitter_noise\":0.01," \
    "\"tie_word_embeddings\":false,\"torch_dtype\":\"bfloat16\",\"use_cache\":true,"    \
    "\"vocab_size\":32064,"

/* microsoft/Phi-3.5-MoE-instruct's config, its 64 factors of each kind left to the test; the
 * two of SlimMoE as their sizes were told. */
static const char phi[] =
    COMMON "\"intermediate_size\":6400,\"max_position_embeddings\":131072,"
           "\"num_attention_heads\":32,\"num_key_value_heads\":8,"
           "\"original_max_position_embeddings\":4096,\"sliding_window\":131072,"
           "\"rope_scaling\":{\"long_factor\":[%s],\"long_mscale\":1.243163121016122,"
           "\"original_max_position_embeddings\":4096,\"short_factor\":[%s],"
           "\"short_mscale\":1.243163121016122,\"type\":\"longrope\"}}";
static const char mini[] =
    COMMON "\"intermediate_size\":960,\"max_position_embeddings\":4096,"
           "\"num_attention_heads\":32,\"num_key_value_heads\":8,\"head_dim\":128,"
           "\"expert_dropout\":0.0,\"sliding_window\":2047}";
static const char tiny[] =
    COMMON "\"intermediate_size\":448,\"max_position_embeddings\":4096,"
           "\"num_attention_heads\":16,\"num_key_value_heads\":4,\"head_dim\":128,"
           "\"expert_dropout\":0.0,\"sliding_window\":2047}";

static void reads_phi(void)
{
    char text[4096], factors[512] = "1.0";
    gm_slice t;
    for (size_t i = 1, at = 3; i < 64; i++)
        at += (size_t)snprintf(factors + at, sizeof factors - at, i < 32 ? ",1.05" : ",2.5");
    snprintf(text, sizeof text, phi, factors, factors);
    gm_arch a = read_config_text(text);
    CHECK_TEXT(a.family->name, "phimoe");
    CHECK(a.router.scoring == GM_SCORE_SPARSEMIXER && a.router.within == 0.02f);
    CHECK(a.attention_bias && a.head_bias && !a.router.renormalise && a.window == NULL);
    CHECK(a.head_dim == 128 && a.max_context == 4096); /* where the short factors end */
    CHECK(a.rope.theta == 1e4 && a.rope.divisor[31] == 1.05 && a.rope.divisor[32] == 2.5);
    CHECK_NEAR(a.rope.amplitude, 1.243163121016122, 0);
    CHECK_NEAR(a.norm_epsilon, 1e-5, 1e-12);
    check_parameters(&a, 41.87e9, 6.64e9, 5e6);
    CHECK(gm_arch_tensor(&a, GM_ROLE_MLP_NORM_BIAS, 31, 0, &t));
    CHECK_TEXT(t.name, "model.layers.31.post_attention_layernorm.bias");
    CHECK(gm_arch_tensor(&a, GM_ROLE_HEAD_BIAS, 0, 0, &t));
    CHECK(t.rows == 1 && t.cols == 32064);
    CHECK(gm_arch_tensor(&a, GM_ROLE_EXPERT_UP, 0, 15, &t));
    CHECK_TEXT(t.name, "model.layers.0.block_sparse_moe.experts.15.w3.weight");
    gm_arch_clear(&a);
}

/* As announced: 7.6 and 3.8 billion parameters, of which 2.4 and, but for the embedding, 1.1 are
 * active. */
static void reads_its_smaller_ones(void)
{
    gm_arch a = read_config_text(mini);
    CHECK(a.rope.divisor == NULL && a.max_context == 4096 && a.window[0] == 2047);
    CHECK(a.window[31] == 2047);
    check_parameters(&a, 7.65e9, 2.36e9, 1e7);
    gm_arch_clear(&a);
    a = read_config_text(tiny);
    CHECK(a.head_dim == 128 && a.n_heads == 16 && a.n_kv_heads == 4);
    check_parameters(&a, 3.75e9, 1.29e9, 1e7);
    gm_arch_clear(&a);
}

static void refuses_what_phi_cannot_be(void)
{
    static const char *const changes[][3] = {
        {"num_experts_per_tok", "3", "'num_experts_per_tok' is 3, but only 2 is supported"},
        {"num_local_experts", NULL, "'num_local_experts'"},
        {"router_jitter_noise", "0", "'router_jitter_noise'"},
        {"sliding_window", "0", "'sliding_window'"},
        {"original_max_position_embeddings", "64", "is 64, but 128 next to the factors"},
        {"layer_types", "[\"sliding_attention\"]", "'sliding_attention'"},
        {"hidden_act", "\"gelu\"", "'gelu'"},
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++)
        check_refused(TINY, changes[i][0], changes[i][1], changes[i][2]);
}

/* What the same tensors compute by differs in its digest; factors of longer contexts are not
 * taken. */
static void a_config_that_computes_another_thing_is_known(void)
{
    static const char scaling[] =
        "{\"type\": \"longrope\", \"original_max_position_embeddings\": 128, \"short_mscale\": "
        "1.25, \"long_mscale\": %s, \"long_factor\": [1, 1, 1, 1], \"short_factor\": [1.0, 1.0625, "
        "1.25, %s]}";
    char other[512], longer[512];
    snprintf(other, sizeof other, scaling, "1.25", "3");
    snprintf(longer, sizeof longer, scaling, "2", "2");
    const char *const changes[][2] = {
        {"router_jitter_noise", "0.05"}, {"rope_scaling", other}, {"rope_scaling", longer}};
    check_digests(TINY, changes, 3, 1);
}

static void survives_every_allocation_failure(void)
{
    char folder[] = TINY;
    check_every_allocation(read_attempt, folder);
}

TESTS(TEST(reads_phi), TEST(reads_its_smaller_ones), TEST(refuses_what_phi_cannot_be),
      TEST(a_config_that_computes_another_thing_is_known), TEST(survives_every_allocation_failure))
