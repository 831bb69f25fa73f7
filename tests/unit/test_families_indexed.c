/* test_families_indexed.c - DeepSeek-V3.2 and GLM-5 (engine/families_latent.c): the published
 * configs, what is refused, and that up to the indexer's number of keys they are DeepSeek-V3.
 */
#include "engine/families.h"
#include "tests/config_text.h"
#include "tests/engine_run.h"
#include "tests/model_copy.h"
#include "tests/named_tensors.h"

#define V3 TEST_DATA "/golden/models/deepseek-v3-tiny"

/* deepseek-ai/DeepSeek-V3.2's config: DeepSeek-V3's, and three keys; but for the fp8. */
static const char v32[] =
    "{\"architectures\":[\"DeepseekV32ForCausalLM\"],\"attention_bias\":false,"
    "\"attention_dropout\":0.0,\"bos_token_id\":0,\"eos_token_id\":1,\"ep_size\":1,"
    "\"first_k_dense_replace\":3,\"hidden_act\":\"silu\",\"hidden_size\":7168,"
    "\"index_head_dim\":128,\"index_n_heads\":64,\"index_topk\":2048,"
    "\"initializer_range\":0.02,\"intermediate_size\":18432,\"kv_lora_rank\":512,"
    "\"max_position_embeddings\":163840,\"model_type\":\"deepseek_v32\","
    "\"moe_intermediate_size\":2048,\"moe_layer_freq\":1,\"n_group\":8,\"n_routed_experts\":256,"
    "\"n_shared_experts\":1,\"norm_topk_prob\":true,\"num_attention_heads\":128,"
    "\"num_experts_per_tok\":8,\"num_hidden_layers\":61,\"num_key_value_heads\":128,"
    "\"num_nextn_predict_layers\":1,\"q_lora_rank\":1536,\"qk_nope_head_dim\":128,"
    "\"qk_rope_head_dim\":64,\"rms_norm_eps\":1e-06,\"rope_scaling\":{\"beta_fast\":32,"
    "\"beta_slow\":1,\"factor\":40,\"mscale\":1.0,\"mscale_all_dim\":1.0,"
    "\"original_max_position_embeddings\":4096,\"type\":\"yarn\"},\"rope_theta\":10000,"
    "\"routed_scaling_factor\":2.5,\"scoring_func\":\"sigmoid\",\"tie_word_embeddings\":false,"
    "\"topk_group\":4,\"topk_method\":\"noaux_tc\",\"v_head_dim\":128,\"vocab_size\":129280}";

/* zai-org/GLM-5's sizes in the form in which transformers saves them. */
static const char glm[] =
    "{\"architectures\":[\"GlmMoeDsaForCausalLM\"],\"attention_bias\":false,"
    "\"eos_token_id\":[154820,154827,154829],\"first_k_dense_replace\":3,\"head_dim\":64,"
    "\"hidden_act\":\"silu\",\"hidden_size\":6144,\"index_head_dim\":128,\"index_n_heads\":32,"
    "\"index_topk\":2048,\"indexer_rope_interleave\":true,\"intermediate_size\":12288,"
    "\"kv_lora_rank\":512,\"layer_types\":[\"indexed_attention\",\"indexed_attention\"],"
    "\"max_position_embeddings\":202752,\"model_type\":\"glm_moe_dsa\","
    "\"moe_intermediate_size\":2048,\"moe_layer_freq\":1,\"n_group\":1,\"n_routed_experts\":256,"
    "\"n_shared_experts\":1,\"norm_topk_prob\":true,\"num_attention_heads\":64,"
    "\"num_experts_per_tok\":8,\"num_hidden_layers\":78,\"num_key_value_heads\":64,"
    "\"num_nextn_predict_layers\":1,\"q_lora_rank\":2048,\"qk_head_dim\":256,"
    "\"qk_nope_head_dim\":192,\"qk_rope_head_dim\":64,\"rms_norm_eps\":1e-05,"
    "\"rope_interleave\":true,\"rope_parameters\":{\"rope_theta\":1000000,"
    "\"rope_type\":\"default\"},\"routed_scaling_factor\":2.5,\"scoring_func\":\"sigmoid\","
    "\"tie_word_embeddings\":false,\"topk_group\":1,\"topk_method\":\"noaux_tc\","
    "\"v_head_dim\":256,\"vocab_size\":154880}";

/* Without the indexer: 851,524,864 and 731,008,512 parameters, by transformers' count. */
static void reads_both(void)
{
    gm_arch a = read_config_text(v32);
    check_parameters(&a, 671026419200.0, 37552297472.0, 0.0); /* transformers' */
    CHECK(a.max_context == 2048 && a.n_moe == 58 && a.n_mtp == 1 && a.router.n_groups == 8);
    CHECK_TEXT(a.family->name, "deepseek-v3.2");
    gm_arch_clear(&a);
    a = read_config_text(glm);
    check_parameters(&a, 743180209920.0, 41053720320.0, 0.0);
    CHECK(a.max_context == 2048 && a.n_moe == 75 && a.rope.theta == 1e6 && a.head_dim == 576);
    CHECK_NEAR(a.attention_scale, 1.0 / 16.0, 1e-9);
    gm_arch_clear(&a);
}

/* deepseek-v3-tiny, called another architecture whose indexer keeps 40 keys, in a layer of the
 * model and in the one that predicts further tokens. */
static void write_indexed(const char *folder, const char *architecture, const char *type)
{
    static const float number[4] = {1, 2, 3, 4};
    static const char *const parts[] = {"model.layers.0.self_attn.indexer.wk.weight",
                                        "model.layers.2.self_attn.indexer.weights_proj.weight",
                                        "model.layers.3.self_attn.indexer.k_norm.bias"};
    char name[64];
    gm_checkpoint *c;
    gm_error err = {0};
    gm_text config = {0};
    named_tensors all = {0};
    CHECK_OK(gm_checkpoint_open(&c, V3, &err), err);
    for (size_t i = 0; i < gm_checkpoint_n(c); i++)
        name_tensor(&all, gm_checkpoint_at(c, i)->name, *gm_checkpoint_at(c, i));
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        name_tensor(
            &all, parts[i],
            (gm_tensor){
                .dtype = GM_F32, .rank = 1, .dim = {4}, .data = number, .n_bytes = sizeof number});
    CHECK_OK(gm_text_read_file(&config, V3 "/config.json", 1 << 16, &err), err);
    replace_text(&config, "DeepseekV3ForCausalLM", architecture);
    snprintf(name, sizeof name, "\"%s\"", type);
    replace_text(&config, "\"deepseek_v3\"", name);
    replace_text(&config, "\"ep_size\"", "\"index_topk\": 40,\n  \"ep_size\"");
    write_named(&all, folder, config.at);
    gm_text_clear(&config);
    gm_checkpoint_close(c);
}

static const char *const both[][2] = {{"DeepseekV32ForCausalLM", "deepseek_v32"},
                                      {"GlmMoeDsaForCausalLM", "glm_moe_dsa"}};

/* A query that is the 40th sees 40 keys: the indexer would leave them all. */
static void they_are_deepseek_v3_up_to_that_many_tokens(void)
{
    gm_model *model = open_model(V3, GM_NUMERICS_F32, NULL);
    outcome want = run_forty(model);
    const uint64_t mtp = gm_model_get_info(model)->mtp_bytes;
    gm_model_close(model);
    for (size_t i = 0; i < sizeof both / sizeof both[0]; i++) {
        write_indexed("indexed", both[i][0], both[i][1]);
        model = open_model("indexed", GM_NUMERICS_F32, NULL);
        outcome got = run_forty(model);
        check_same(both[i][0], &got, &want);
        const gm_model_info *info = gm_model_get_info(model);
        CHECK(info->max_context == 40 && info->indexer_bytes == 32 && info->other_bytes == 0);
        CHECK(info->mtp_bytes == mtp + 16); /* the indexer there is counted once */
        outcome_free(&got);
        gm_model_close(model);
    }
    outcome_free(&want);
}

static void refuses_longer_sequences(void)
{
    gm_session *session;
    gm_error err = {0};
    int id;
    write_indexed("indexed", both[0][0], both[0][1]);
    gm_model *model = open_model("indexed", GM_NUMERICS_F32, NULL);
    const gm_session_options options = {
        .threads = 1, .max_rows = 64, .kv_rows = 64, .max_sequences = 1};
    CHECK_OK(gm_session_create(&session, model, &options, &err), err);
    CHECK_FAILS(gm_sequence_open(session, 41, &id, &err), err, GM_EARG, "40");
    CHECK_OK(gm_sequence_open(session, 40, &id, &err), err);
    gm_session_free(session);
    gm_model_close(model);
}

static void refuses_what_is_not_computed(void)
{
    static const char *const changes[][3] = {
        {"index_topk", "0", "'index_topk' is 0"},
        {"q_lora_rank", "null", "'q_lora_rank' is null"},
        {"layer_types", "[\"full_attention\"]", "'layer_types' contains 'full_attention', but"},
        {"layer_types", "\"indexed_attention\"", "'layer_types' is not a list"},
        {"attention_bias", "true", "'attention_bias' is true"},
        {"mlp_bias", "true", "'mlp_bias' is true"},
        {"scoring_func", "\"softmax\"", "'scoring_func' is 'softmax'"},
        {"n_group", NULL, "'n_group' is missing"},
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        write_indexed("indexed", both[i % 2][0], both[i % 2][1]);
        check_refused("indexed", changes[i][0], changes[i][1], changes[i][2]);
    }
}

/* Only where the family has an indexer are its tensors part of the model. */
static void others_have_no_indexer(void)
{
    gm_error err = {0};
    gm_model *model = NULL;
    const gm_model_options options = {.headers_only = true};
    write_indexed("not-indexed", "DeepseekV3ForCausalLM", "deepseek_v3");
    CHECK_FAILS(gm_model_open(&model, "not-indexed", &options, &err), err, GM_EFORMAT,
                "indexer.wk.weight' is not part of the model");
}

TESTS(TEST(reads_both), TEST(they_are_deepseek_v3_up_to_that_many_tokens),
      TEST(refuses_longer_sequences), TEST(refuses_what_is_not_computed),
      TEST(others_have_no_indexer))
