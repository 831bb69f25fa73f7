/* test_families_kimi.c - Kimi-Linear (engine/families_kimi.c): the published keys, in
 * transformers' words too, the names and shapes of its tensors, what is refused.
 */
#include "engine/families.h"
#include "engine/model.h"
#include "tests/small_states.h"

#include <math.h>

#define KIMI TEST_DATA "/golden/models/kimi-linear-tiny"

#define PUBLISHED_WITHOUT_LAYERS                                                              \
    "{\"architectures\":[\"KimiLinearForCausalLM\"],\"bos_token_id\":163584,"                 \
    "\"dtype\":\"bfloat16\",\"eos_token_id\":163586,\"head_dim\":72,\"hidden_act\":\"silu\"," \
    "\"hidden_size\":2304,\"initializer_range\":0.02,\"intermediate_size\":9216,"             \
    "\"kv_lora_rank\":512,\"model_max_length\":1048576,\"model_type\":\"kimi_linear\","       \
    "\"moe_intermediate_size\":1024,\"moe_renormalize\":true,\"num_attention_heads\":32,"     \
    "\"num_expert_group\":1,\"num_experts\":256,\"num_experts_per_token\":8,"                 \
    "\"num_hidden_layers\":27,\"num_key_value_heads\":32,\"num_shared_experts\":1,"           \
    "\"pad_token_id\":163839,\"q_lora_rank\":null,\"qk_nope_head_dim\":128,"                  \
    "\"qk_rope_head_dim\":64,\"rms_norm_eps\":1e-05,\"routed_scaling_factor\":2.446,"         \
    "\"tie_word_embeddings\":false,\"topk_group\":1,\"use_cache\":true,\"v_head_dim\":128,"   \
    "\"vocab_size\":163840,"

/* moonshotai/Kimi-Linear-48B-A3B-Instruct, in the keys of the code beside its weights. */
static const char published[] =
    PUBLISHED_WITHOUT_LAYERS "\"first_k_dense_replace\":1,\"linear_attn_config\":{"
                             "\"full_attn_layers\":[4,8,12,16,20,24,27],\"head_dim\":128,"
                             "\"kda_layers\":[1,2,3,5,6,7,9,10,11,13,14,15,17,18,19,21,22,23,25,"
                             "26],\"num_heads\":32,\"short_conv_kernel_size\":4},"
                             "\"mla_use_nope\":true,\"moe_layer_freq\":1,"
                             "\"moe_router_activation_func\":\"sigmoid\","
                             "\"num_nextn_predict_layers\":0,\"rope_scaling\":null,"
                             "\"rope_theta\":10000.0,\"use_grouped_topk\":true}";

static void check_tensor(const gm_arch *a, gm_role role, int layer, const char *name, size_t rows,
                         size_t cols)
{
    gm_slice s;
    CHECK(gm_arch_tensor(a, role, layer, 1, &s));
    CHECK_TEXT(s.name, name);
    CHECK_INT(s.rows, rows);
    CHECK_INT(s.cols, cols);
}

static void reads_the_published_keys(void)
{
    gm_slice s;
    gm_arch a = read_config_text(published);
    check_parameters(&a, 49122681728.0, 3484459904.0, 0.0); /* announced: 48 and 3 B */
    CHECK(a.max_context == 1048576 && a.n_experts == 256 && a.n_chosen == 8 && a.n_moe == 26);
    CHECK(a.n_delta == 20 && a.delta_of_layer[3] == -1 && a.delta_of_layer[26] == -1);
    CHECK(a.delta_of_layer[0] == 0 && a.delta_of_layer[4] == 3 && a.delta_of_layer[25] == 19);
    CHECK(a.delta.key_heads == 32 && a.delta.value_heads == 32 && a.delta.key == 128);
    CHECK(a.delta.value == 128 && a.delta.rank == 128 && a.delta.taps == 4);
    CHECK(a.latent.kv == 512 && a.latent.shared == 64 && a.latent.q == 0 && a.rope.dim == 0);
    CHECK(a.router.has_correction && a.router.renormalise && a.router.scale == 2.446f);
    CHECK(a.router.scoring == GM_SCORE_SIGMOID && a.norm_epsilon == 1e-5f &&
          a.shared_width == 1024);
    CHECK_NEAR(a.attention_scale, 1.0 / sqrt(192.0), 1e-8);
    CHECK_TEXT(gm_arch_recurrence(&a), "Kimi Delta Attention");
#define KDA "model.layers.4.self_attn."
#define MOE "model.layers.4.block_sparse_moe."
    check_tensor(&a, GM_ROLE_DELTA_Q, 4, KDA "q_proj.weight", 4096, 2304);
    check_tensor(&a, GM_ROLE_DELTA_A, 4, KDA "f_a_proj.weight", 128, 2304);
    check_tensor(&a, GM_ROLE_DELTA_A_UP, 4, KDA "f_b_proj.weight", 4096, 128);
    check_tensor(&a, GM_ROLE_DELTA_Z_UP, 4, KDA "g_b_proj.weight", 4096, 128);
    check_tensor(&a, GM_ROLE_DELTA_B, 4, KDA "b_proj.weight", 32, 2304);
    check_tensor(&a, GM_ROLE_DELTA_CONV_V, 4, KDA "v_conv1d.weight", 4096, 4);
    check_tensor(&a, GM_ROLE_DELTA_BIAS, 4, KDA "dt_bias", 1, 4096);
    check_tensor(&a, GM_ROLE_EXPERT_UP, 4, MOE "experts.1.w3.weight", 1024, 2304);
    check_tensor(&a, GM_ROLE_SHARED_DOWN, 4, MOE "shared_experts.down_proj.weight", 2304, 1024);
    check_tensor(&a, GM_ROLE_Q, 3, "model.layers.3.self_attn.q_proj.weight", 6144, 2304);
    check_tensor(&a, GM_ROLE_K, 3, "model.layers.3.self_attn.kv_a_proj_with_mqa.weight", 576, 2304);
    check_tensor(&a, GM_ROLE_DENSE_UP, 0, "model.layers.0.mlp.up_proj.weight", 9216, 2304);
    CHECK(!gm_arch_tensor(&a, GM_ROLE_K, 4, 0, &s) &&
          !gm_arch_tensor(&a, GM_ROLE_DELTA_A, 3, 0, &s));
    gm_arch_clear(&a);
}

/* Other models with these kinds of layers keep their digests: what is new enters this one's. */
static void the_same_in_the_words_of_transformers(void)
{
    char text[4096], digest[2][65];
    int n = snprintf(text, sizeof text, "%s",
                     PUBLISHED_WITHOUT_LAYERS
                     "\"linear_head_dim\":128,\"linear_num_heads\":32,"
                     "\"linear_conv_kernel_dim\":4,\"qk_head_dim\":192,\"layer_types\":[");
    for (int l = 1; l <= 27; l++)
        n += snprintf(text + n, sizeof text - (size_t)n, "%s\"%s_attention\"", l > 1 ? "," : "",
                      l % 4 == 0 || l == 27 ? "full" : "linear");
    n += snprintf(text + n, sizeof text - (size_t)n, "],\"mlp_layer_types\":[\"dense\"");
    for (int l = 2; l <= 27; l++) n += snprintf(text + n, sizeof text - (size_t)n, ",\"sparse\"");
    snprintf(text + n, sizeof text - (size_t)n, "]}");
    gm_arch a = read_config_text(published), b = read_config_text(text);
    gm_arch_digest(&a, digest[0]), gm_arch_digest(&b, digest[1]);
    CHECK_TEXT(digest[0], digest[1]);
    b.delta.rank = 64;
    gm_arch_digest(&b, digest[1]);
    CHECK(strcmp(digest[0], digest[1]) != 0);
    gm_arch_clear(&a), gm_arch_clear(&b);
}

/* One layer of three has keys; two have states of 3 heads and the inputs of three tokens. */
static void cache_and_states_are_counted(void)
{
    gm_model *model = open_random(small_kimi, true);
    const gm_model_info *info = gm_model_get_info(model);
    CHECK_INT(info->kv_bytes_per_token, (14 + 10) * 4);
    CHECK_INT(info->state_bytes_per_sequence, 2 * 4 * (3 * 16 * 6 + 3 * 64)); /* 54 channels */
    gm_model_close(model);
}

static void refuses_what_is_not_computed(void)
{
#define LINEAR(lists) \
    "{\"head_dim\": 5, \"num_heads\": 3, \"short_conv_kernel_size\": 4, " lists "}"
    static const char *const changes[][3] = {
        {"mla_use_nope", "false", "'mla_use_nope' is false, but only true is supported"},
        {"use_grouped_topk", "false", "'use_grouped_topk' is false"},
        {"moe_router_activation_func", "\"softmax\"", "'moe_router_activation_func' is 'softmax'"},
        {"topk_method", "\"greedy\"", "'topk_method' is 'greedy'"},
        {"use_full_rank_gate", "true", "'use_full_rank_gate' is true"},
        {"rope_scaling", "{\"type\": \"linear\", \"factor\": 2.0}", "'rope_scaling'"},
        {"attention_bias", "true", "'attention_bias' is true"},
        {"hidden_act", "\"situ\"", "'hidden_act' is 'situ'"},
        {"n_group", "2", "'num_expert_group' and 'n_group' disagree"},
        {"num_shared_experts", NULL, "'n_shared_experts' is missing"},
        {"first_k_dense_replace", NULL, "'first_k_dense_replace' is missing"},
        {"routed_scaling_factor", NULL, "'routed_scaling_factor' is missing"},
        {"qk_head_dim", "7", "'qk_head_dim' is 7, expected 6"},
        {"linear_attn_config", NULL, "'linear_head_dim' is missing"},
        {"layer_types", "[\"full_attention\", \"full_attention\"]",
         "'kda_layers' and 'layer_types' disagree on layer 1"},
        {"layer_types", "[\"linear_attention\"]", "'layer_types' disagree on layer 1"},
        {"linear_attn_config", LINEAR("\"kda_layers\": [1]"), "'full_attn_layers' is not a list"},
        {"linear_attn_config", LINEAR("\"kda_layers\": [1], \"full_attn_layers\": [3]"),
         "'full_attn_layers' contains a value that is not a further layer from 1 to 2"},
        {"linear_attn_config", LINEAR("\"kda_layers\": [1, 2], \"full_attn_layers\": [2]"),
         "'kda_layers' contains a value that is not a further layer"},
        {"linear_attn_config", LINEAR("\"kda_layers\": [], \"full_attn_layers\": [2]"),
         "layer 1 is neither in 'kda_layers' nor in 'full_attn_layers'"},
        {"linear_attn_config",
         LINEAR("\"kda_layers\": [1], \"full_attn_layers\": [2], \"gate_lower_bound\": -5.0"),
         "'gate_lower_bound' is not null, but only null is supported"},
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++)
        check_refused(KIMI, changes[i][0], changes[i][1], changes[i][2]);
}

static void every_allocation_may_fail(void)
{
    char name[] = "kimi";
    write_config(name, small_kimi);
    check_every_allocation(read_attempt, name);
}

TESTS(TEST(reads_the_published_keys), TEST(the_same_in_the_words_of_transformers),
      TEST(cache_and_states_are_counted), TEST(refuses_what_is_not_computed),
      TEST(every_allocation_may_fail))
