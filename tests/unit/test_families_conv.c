/* test_families_conv.c - what the row of engine/families_conv.c reads: the published config, where
 * the parts of a projection lie in their tensor, what is refused.
 */
#include "engine/families.h"
#include "engine/model.h"
#include "engine/weights.h"

#include "tests/small_states.h"

/* LiquidAI/LFM2-8B-A1B's published config. */
#define FULL  ",\"full_attention\","
#define TWO   "\"conv\",\"conv\""
#define THREE TWO ",\"conv\""
static const char lfm2_8b[] =
    "{\"architectures\":[\"Lfm2MoeForCausalLM\"],\"bos_token_id\":1,\"conv_L_cache\":3,"
    "\"conv_bias\":false,\"dtype\":\"bfloat16\",\"eos_token_id\":7,\"hidden_size\":2048,"
    "\"initializer_range\":0.02,\"intermediate_size\":7168,\"layer_types\":[" TWO FULL THREE FULL
        THREE FULL THREE FULL THREE FULL TWO FULL TWO "],\"max_position_embeddings\":128000,"
    "\"model_type\":\"lfm2_moe\",\"moe_intermediate_size\":1792,\"norm_eps\":1e-05,"
    "\"norm_topk_prob\":true,\"num_attention_heads\":32,\"num_dense_layers\":2,"
    "\"num_experts\":32,\"num_experts_per_tok\":4,\"num_hidden_layers\":24,"
    "\"num_key_value_heads\":8,\"pad_token_id\":0,\"rope_theta\":1000000.0,"
    "\"routed_scaling_factor\":1.0,\"transformers_version\":\"4.57.0\",\"use_cache\":true,"
    "\"use_expert_bias\":true,\"vocab_size\":65536}";

static gm_slice slice_of(const gm_arch *a, gm_role role, int layer)
{
    gm_slice slice = {0};
    CHECK(gm_arch_tensor(a, role, layer, 0, &slice));
    return slice;
}

/* The number of parameters is transformers' for this config. */
static void reads_lfm2(void)
{
    gm_slice s;
    size_t dim[GM_MAX_RANK];
    gm_arch a = read_config_text(lfm2_8b);
    check_parameters(&a, 8339930560.0, 1557740992.0, 0.0);
    CHECK(a.n_delta == 18 && a.n_moe == 22 && gm_arch_n_with_keys(&a) == 6 && !a.mamba);
    CHECK(gm_arch_only_convolves(&a) && a.delta.taps == 3 && a.delta.value_heads == 2048);
    CHECK(!gm_arch_is_delta(&a, 2) && gm_arch_is_delta(&a, 23) && gm_arch_nth(&a, 23) == 17);
    CHECK(a.layer_of_moe[0] == 2 && a.moe_of_layer[1] == -1 && a.dense_width == 7168);
    CHECK(a.router.scoring == GM_SCORE_SIGMOID && a.router.has_correction && a.router.renormalise &&
          a.router.scale == 1.0f && a.router.renorm_epsilon == 1e-6f);
    CHECK(a.tied_head && a.head_dim == 64 && a.rope.theta == 1e6 && a.norm_epsilon == 1e-5f &&
          a.qk_norm == GM_QK_NORM_HEAD && a.max_context == 128000 && a.unknown_keys[0] == '\0');

    s = slice_of(&a, GM_ROLE_DELTA_B, 0); /* B, C, x */
    CHECK(s.first == 0 && s.rows == 2048 && s.tall == 6144 && s.heads == 0);
    CHECK_TEXT(s.name, "model.layers.0.conv.in_proj.weight");
    CHECK(slice_of(&a, GM_ROLE_DELTA_Z, 0).first == 2048);
    CHECK(slice_of(&a, GM_ROLE_DELTA_V, 0).first == 4096);
    s = slice_of(&a, GM_ROLE_DELTA_CONV, 0);
    CHECK(gm_slice_shape(&s, dim) == 3 && dim[0] == 2048 && dim[1] == 1 && dim[2] == 3);
    CHECK_TEXT(slice_of(&a, GM_ROLE_FINAL_NORM, 0).name, "model.embedding_norm.weight");
    CHECK_TEXT(slice_of(&a, GM_ROLE_O, 2).name, "model.layers.2.self_attn.out_proj.weight");
    CHECK_TEXT(slice_of(&a, GM_ROLE_ROUTER_CORRECTION, 2).name,
               "model.layers.2.feed_forward.expert_bias");
    CHECK(!gm_arch_tensor(&a, GM_ROLE_Q, 0, 0, &s) &&
          !gm_arch_tensor(&a, GM_ROLE_DELTA_B, 2, 0, &s) &&
          !gm_arch_tensor(&a, GM_ROLE_DELTA_A, 0, 0, &s) &&
          !gm_arch_tensor(&a, GM_ROLE_DELTA_NORM, 0, 0, &s));
    const gm_delta_place place = gm_delta_place_of(&a);
    CHECK(place.v == 0 && place.z == 2048 && place.b == 4096 && place.all == 6144);
    gm_arch_clear(&a);
}

/* One layer of three has keys, two have the inputs of three tokens. */
static void cache_and_history_are_counted(void)
{
    gm_model *model = open_random(small_lfm, true);
    const gm_model_info *info = gm_model_get_info(model);
    CHECK_INT(info->kv_bytes_per_token, 1 * (6 + 6) * 4);
    CHECK_INT(info->state_bytes_per_sequence, 2 * 3 * 32 * 4); /* 18 channels, padded */
    gm_model_close(model);
}

/* What the config leaves to its defaults, and newer files write otherwise. */
static void reads_other_forms(void)
{
    static const char *const forms[][2] = {
        {"num_dense_layers", "2"},
        {"num_dense_layers", NULL},
        {"conv_L_cache", NULL},
        {"norm_eps", NULL},
        {"use_expert_bias", NULL},
        {"norm_topk_prob", NULL},
        {"tie_word_embeddings", NULL},
        {"tie_embedding", "true"},
        {"rope_parameters", "{\"rope_theta\": 1000000.0, \"rope_type\": \"default\"}"}};
    gm_arch a;
    gm_error err = {0};
    write_config("lfm", small_lfm);
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        copy_model("other", "lfm", forms[i][0], forms[i][1]);
        CHECK_OK(gm_arch_read(&a, "other", &err), err);
        CHECK(a.router.has_correction && a.router.renormalise && a.tied_head);
        CHECK(a.rope.theta == 1e6 && a.norm_epsilon == 1e-5f && a.n_moe == (i < 2 ? 1 : 2));
        CHECK_INT(a.delta.taps, i == 2 ? 3 : 4);
        gm_arch_clear(&a);
    }
    copy_model("apart", "lfm", "tie_word_embeddings", NULL);
    copy_model("other", "apart", "tie_embedding", "false");
    CHECK_OK(gm_arch_read(&a, "other", &err), err);
    CHECK(!a.tied_head);
    gm_arch_clear(&a);
    copy_model("other", "lfm", "use_expert_bias", "false");
    CHECK_OK(gm_arch_read(&a, "other", &err), err);
    CHECK(!a.router.has_correction);
    gm_arch_clear(&a);
    copy_model("other", "lfm", "norm_eps", "0.25");
    CHECK_OK(gm_arch_read(&a, "other", &err), err);
    CHECK(a.norm_epsilon == 0.25f);
    gm_arch_clear(&a);
    copy_model("other", "lfm", "num_dense_layers", "0");
    CHECK_OK(gm_arch_read(&a, "other", &err), err);
    CHECK_INT(a.n_moe, 3);
    gm_arch_clear(&a);
}

static void refuses_what_is_not_computed(void)
{
    static const char *const changes[][3] = {
        {"conv_L_cache", "1", "'conv_L_cache'"},
        {"conv_bias", "true", "'conv_bias' is true, but only false is supported"},
        {"layer_types", NULL, "'layer_types' is not a list of 3 layers"},
        {"layer_types", "[\"conv\", \"conv\"]", "'layer_types' is not a list of 3 layers"},
        {"layer_types", "[\"conv\", \"attention\", \"conv\"]",
         "'layer_types' contains 'attention', but only 'conv' and 'full_attention' are supported"},
        {"num_dense_layers", "3", "none of the 3 layers is an MoE layer"},
        {"num_dense_layers", "4", "'num_dense_layers'"},
        {"num_experts", NULL, "'num_experts' is missing"},
        {"moe_intermediate_size", NULL, "'moe_intermediate_size' is missing"},
        {"num_key_value_heads", NULL, "'num_key_value_heads' is missing"},
        {"norm_eps", "2", "'norm_eps'"},
        {"use_expert_bias", "7", "'use_expert_bias'"},
        {"routed_scaling_factor", "0", "'routed_scaling_factor'"},
        {"tie_embedding", "false", "'tie_embedding' and 'tie_word_embeddings' disagree"},
        {"hidden_act", "\"gelu\"", "'hidden_act' is 'gelu'"},
        {"sliding_window", "16", "'sliding_window' is 16"},
    };
    write_config("lfm", small_lfm);
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++)
        check_refused("lfm", changes[i][0], changes[i][1], changes[i][2]);
}

static void every_allocation_may_fail(void)
{
    char name[] = "lfm";
    write_config(name, small_lfm);
    check_every_allocation(read_attempt, name);
}

TESTS(TEST(reads_lfm2), TEST(cache_and_history_are_counted), TEST(reads_other_forms),
      TEST(refuses_what_is_not_computed), TEST(every_allocation_may_fail))
