/* test_families_latent.c - what the rows of engine/families_latent.c read: published configs, where
 * a head's matrices lie in their tensor, and what is refused.
 */
#include "engine/families.h"
#include "tests/config_text.h"
#include "tests/model_copy.h"

#include <math.h>

#define MODELS TEST_DATA "/golden/models/"
#define V2     MODELS "deepseek-v2-tiny"
#define V3     MODELS "deepseek-v3-tiny"
#define LITE   MODELS "glm-lite-tiny"

/* deepseek-ai/DeepSeek-V2-Lite's published config. */
static const char v2_lite[] =
    "{\"architectures\":[\"DeepseekV2ForCausalLM\"],\"attention_bias\":false,"
    "\"attention_dropout\":0.0,\"auto_map\":{},\"aux_loss_alpha\":0.001,\"bos_token_id\":100000,"
    "\"eos_token_id\":100001,\"first_k_dense_replace\":1,\"hidden_act\":\"silu\","
    "\"hidden_size\":2048,\"initializer_range\":0.02,\"intermediate_size\":10944,"
    "\"kv_lora_rank\":512,\"max_position_embeddings\":163840,\"model_type\":\"deepseek_v2\","
    "\"moe_intermediate_size\":1408,\"moe_layer_freq\":1,\"n_group\":1,\"n_routed_experts\":64,"
    "\"n_shared_experts\":2,\"norm_topk_prob\":false,\"num_attention_heads\":16,"
    "\"num_experts_per_tok\":6,\"num_hidden_layers\":27,\"num_key_value_heads\":16,"
    "\"pretraining_tp\":1,\"q_lora_rank\":null,\"qk_nope_head_dim\":128,\"qk_rope_head_dim\":64,"
    "\"rms_norm_eps\":1e-06,\"rope_scaling\":{\"beta_fast\":32,\"beta_slow\":1,\"factor\":40,"
    "\"mscale\":0.707,\"mscale_all_dim\":0.707,\"original_max_position_embeddings\":4096,"
    "\"type\":\"yarn\"},\"rope_theta\":10000,\"routed_scaling_factor\":1.0,"
    "\"scoring_func\":\"softmax\",\"seq_aux\":true,\"tie_word_embeddings\":false,"
    "\"topk_group\":1,\"topk_method\":\"greedy\",\"torch_dtype\":\"bfloat16\","
    "\"transformers_version\":\"4.33.1\",\"use_cache\":true,\"v_head_dim\":128,"
    "\"vocab_size\":102400}";

/* deepseek-ai/DeepSeek-V3's published config, but for the fp8 of its weights. */
static const char v3[] =
    "{\"architectures\":[\"DeepseekV3ForCausalLM\"],\"attention_bias\":false,"
    "\"attention_dropout\":0.0,\"bos_token_id\":0,\"eos_token_id\":1,\"ep_size\":1,"
    "\"first_k_dense_replace\":3,\"hidden_act\":\"silu\",\"hidden_size\":7168,"
    "\"initializer_range\":0.02,\"intermediate_size\":18432,\"kv_lora_rank\":512,"
    "\"max_position_embeddings\":163840,\"model_type\":\"deepseek_v3\","
    "\"moe_intermediate_size\":2048,\"moe_layer_freq\":1,\"n_group\":8,\"n_routed_experts\":256,"
    "\"n_shared_experts\":1,\"norm_topk_prob\":true,\"num_attention_heads\":128,"
    "\"num_experts_per_tok\":8,\"num_hidden_layers\":61,\"num_key_value_heads\":128,"
    "\"num_nextn_predict_layers\":1,\"q_lora_rank\":1536,\"qk_nope_head_dim\":128,"
    "\"qk_rope_head_dim\":64,\"rms_norm_eps\":1e-06,\"rope_scaling\":{\"beta_fast\":32,"
    "\"beta_slow\":1,\"factor\":40,\"mscale\":1.0,\"mscale_all_dim\":1.0,"
    "\"original_max_position_embeddings\":4096,\"type\":\"yarn\"},\"rope_theta\":10000,"
    "\"routed_scaling_factor\":2.5,\"scoring_func\":\"sigmoid\",\"tie_word_embeddings\":false,"
    "\"topk_group\":4,\"topk_method\":\"noaux_tc\",\"torch_dtype\":\"bfloat16\","
    "\"transformers_version\":\"4.33.1\",\"use_cache\":true,\"v_head_dim\":128,"
    "\"vocab_size\":129280}";

/* moonshotai/Kimi-K2-Instruct: its sizes in the keys of DeepSeek-V3, whose class it names, and the
 * type that it has of its own; likewise but for the fp8. */
static const char kimi[] =
    "{\"architectures\":[\"DeepseekV3ForCausalLM\"],\"attention_bias\":false,"
    "\"attention_dropout\":0.0,\"bos_token_id\":163584,\"eos_token_id\":163585,"
    "\"first_k_dense_replace\":1,\"hidden_act\":\"silu\",\"hidden_size\":7168,"
    "\"initializer_range\":0.02,\"intermediate_size\":18432,\"kv_lora_rank\":512,"
    "\"max_position_embeddings\":131072,\"model_type\":\"kimi_k2\","
    "\"moe_intermediate_size\":2048,\"moe_layer_freq\":1,\"n_group\":1,\"n_routed_experts\":384,"
    "\"n_shared_experts\":1,\"norm_topk_prob\":true,\"num_attention_heads\":64,"
    "\"num_experts_per_tok\":8,\"num_hidden_layers\":61,\"num_key_value_heads\":64,"
    "\"num_nextn_predict_layers\":0,\"q_lora_rank\":1536,\"qk_nope_head_dim\":128,"
    "\"qk_rope_head_dim\":64,\"rms_norm_eps\":1e-06,\"rope_scaling\":{\"beta_fast\":1.0,"
    "\"beta_slow\":1.0,\"factor\":32.0,\"mscale\":1.0,\"mscale_all_dim\":1.0,"
    "\"original_max_position_embeddings\":4096,\"type\":\"yarn\"},\"rope_theta\":50000.0,"
    "\"routed_scaling_factor\":2.827,\"scoring_func\":\"sigmoid\",\"tie_word_embeddings\":false,"
    "\"topk_group\":1,\"topk_method\":\"noaux_tc\",\"use_cache\":true,\"v_head_dim\":128,"
    "\"vocab_size\":163840}";

/* zai-org/GLM-4.7-Flash's published config. */
static const char lite[] =
    "{\"architectures\":[\"Glm4MoeLiteForCausalLM\"],\"attention_bias\":false,"
    "\"attention_dropout\":0.0,\"pad_token_id\":154820,"
    "\"eos_token_id\":[154820,154827,154829],\"hidden_act\":\"silu\",\"hidden_size\":2048,"
    "\"intermediate_size\":10240,\"max_position_embeddings\":202752,"
    "\"model_type\":\"glm4_moe_lite\",\"moe_intermediate_size\":1536,"
    "\"topk_method\":\"noaux_tc\",\"norm_topk_prob\":true,\"num_attention_heads\":20,"
    "\"n_group\":1,\"topk_group\":1,\"n_routed_experts\":64,\"n_shared_experts\":1,"
    "\"routed_scaling_factor\":1.8,\"num_experts_per_tok\":4,\"first_k_dense_replace\":1,"
    "\"num_hidden_layers\":47,\"num_key_value_heads\":20,\"num_nextn_predict_layers\":1,"
    "\"partial_rotary_factor\":1.0,\"rms_norm_eps\":1e-05,\"rope_scaling\":null,"
    "\"rope_theta\":1000000,\"tie_word_embeddings\":false,\"dtype\":\"bfloat16\","
    "\"transformers_version\":\"5.0.0rc0\",\"q_lora_rank\":768,\"kv_lora_rank\":512,"
    "\"qk_nope_head_dim\":192,\"qk_rope_head_dim\":64,\"v_head_dim\":256,"
    "\"vocab_size\":154880}";

static void reads_v2_lite(void)
{
    gm_slice slice;
    size_t dim[GM_MAX_RANK];
    gm_arch a = read_config_text(v2_lite);
    check_parameters(&a, 15.706e9, 2.662e9, 0.005e9);
    CHECK(a.latent.q == 0 && a.latent.kv == 512 && a.latent.plain == 128 && a.latent.value == 128);
    CHECK(a.n_kv_heads == 1 && a.head_dim == 576 && a.value_dim == 512 && a.head_out == 128);
    CHECK(a.rope.dim == 64 && a.rope.neighbours);
    CHECK_NEAR(a.attention_scale, 1.5896261651208736 / sqrt(192), 1e-7);
    CHECK(a.router.scoring == GM_SCORE_SOFTMAX && !a.router.renormalise && a.router.n_groups == 1);

    CHECK(gm_arch_tensor(&a, GM_ROLE_Q, 3, 0, &slice) && slice.rows == 3072 && slice.cols == 2048);
    CHECK(gm_arch_tensor(&a, GM_ROLE_K, 3, 0, &slice) && slice.rows == 576);
    CHECK_TEXT(slice.name, "model.layers.3.self_attn.kv_a_proj_with_mqa.weight");
    CHECK(gm_arch_tensor(&a, GM_ROLE_KEY_UP, 3, 5, &slice));
    CHECK_TEXT(slice.name, "model.layers.3.self_attn.kv_b_proj.weight");
    CHECK(slice.rows == 512 && slice.cols == 128 && slice.first == 5 * 256);
    CHECK(slice.stored == GM_STORED_COLUMNS && gm_slice_shape(&slice, dim) == 2);
    CHECK(dim[0] == 4096 && dim[1] == 512);
    CHECK(gm_arch_tensor(&a, GM_ROLE_VALUE_UP, 3, 5, &slice));
    CHECK(slice.rows == 128 && slice.cols == 512 && slice.first == 5 * 256 + 128);
    CHECK(slice.stored == GM_STORED_ROWS && gm_slice_shape(&slice, dim) == 2);
    CHECK(dim[0] == 4096 && dim[1] == 512);
    CHECK(gm_arch_tensor(&a, GM_ROLE_O, 3, 0, &slice) && slice.cols == 2048);
    CHECK(!gm_arch_tensor(&a, GM_ROLE_V, 3, 0, &slice));
    CHECK(!gm_arch_tensor(&a, GM_ROLE_Q_LATENT, 3, 0, &slice));
    CHECK(!gm_arch_tensor(&a, GM_ROLE_Q_NORM, 3, 0, &slice));
    gm_arch_clear(&a);
}

static void reads_v3(void)
{
    gm_slice slice;
    gm_arch a = read_config_text(v3);
    check_parameters(&a, 671.026e9, 37.551e9,
                     0.005e9); /* the part that predicts further ones left out */
    CHECK(a.latent.q == 1536 && a.n_mtp == 1 && a.n_moe == 58);
    CHECK(a.router.scoring == GM_SCORE_SIGMOID && a.router.has_correction && a.router.renormalise);
    CHECK(a.router.n_groups == 8 && a.router.top_groups == 4 && a.router.scale == 2.5f);
    CHECK(gm_arch_tensor(&a, GM_ROLE_Q_UP, 3, 0, &slice));
    CHECK(slice.rows == 128 * 192 && slice.cols == 1536);
    CHECK(gm_arch_tensor(&a, GM_ROLE_Q_NORM, 3, 0, &slice) && slice.cols == 1536);
    CHECK(!gm_arch_tensor(&a, GM_ROLE_Q, 3, 0, &slice));
    gm_arch_clear(&a);
}

/* Between pairs that keep their step and those that turn 32 times slower lies none: one turn over
 * the original context is pair 19.2's, 32 ln(4096 / 2 pi) / ln 50000. */
static void reads_kimi(void)
{
    gm_arch a = read_config_text(kimi);
    check_parameters(&a, 1026408232448.0, 32861500928.0, 0.0); /* transformers'; 1 T, 32 B */
    CHECK(a.n_moe == 60 && a.router.n_groups == 1 && a.router.scale == 2.827f && a.n_mtp == 0);
    for (size_t i = 0; i < 32; i++)
        CHECK_NEAR(gm_rope_step(&a.rope, i) * pow(50000.0, (double)i / 32.0),
                   i < 20 ? 1.0 : 1.0 / 32.0, 1e-9);
    gm_arch_clear(&a);
}

static void reads_glm_lite(void)
{
    gm_arch a = read_config_text(lite);
    check_parameters(&a, 29.943e9, 3.897e9, 0.005e9); /* as V3's */
    CHECK(a.n_moe == 46 && a.n_mtp == 1 && a.latent.q == 768 && a.head_dim == 576);
    CHECK(a.rope.theta == 1e6 && !a.rope.yarn && a.rope.dim == 64);
    CHECK_NEAR(a.attention_scale, 1.0 / 16.0, 1e-9);
    CHECK(a.router.scoring == GM_SCORE_SIGMOID && a.router.has_correction && a.router.renormalise);
    CHECK(a.router.scale == 1.8f);
    gm_arch_clear(&a);
}

/* A list of layers' types stands instead of the number of dense ones, or says the same. */
static void reads_which_layers_are_dense(void)
{
    gm_arch a;
    gm_error err = {0};
    CHECK_OK(gm_arch_read(&a, LITE, &err), err);
    CHECK(a.n_moe == 2 && a.layer_of_moe[0] == 0 && a.layer_of_moe[1] == 2);
    CHECK(a.moe_of_layer[1] == -1);
    gm_arch_clear(&a);
    copy_model("both", V3, "mlp_layer_types", "[\"dense\", \"sparse\", \"sparse\"]");
    CHECK_OK(gm_arch_read(&a, "both", &err), err);
    CHECK(a.n_moe == 2 && a.layer_of_moe[0] == 1);
    gm_arch_clear(&a);
    copy_model("unsaid", LITE, "mlp_layer_types", NULL); /* transformers: the first one */
    CHECK_OK(gm_arch_read(&a, "unsaid", &err), err);
    CHECK(a.n_moe == 2 && a.layer_of_moe[0] == 1);
    gm_arch_clear(&a);
    copy_model("unsaid-v3", V3, "first_k_dense_replace", NULL); /* the first three */
    CHECK_FAILS(gm_arch_read(&a, "unsaid-v3", &err), err, GM_EFORMAT,
                "none of the 3 layers is an MoE layer");
    copy_model("unsaid-more", "unsaid-v3", "num_hidden_layers", "4");
    CHECK_OK(gm_arch_read(&a, "unsaid-more", &err), err);
    CHECK(a.n_moe == 1 && a.layer_of_moe[0] == 3);
    gm_arch_clear(&a);
    copy_model("unsaid-glm", MODELS "glm-tiny", "first_k_dense_replace", NULL);
    CHECK_OK(gm_arch_read(&a, "unsaid-glm", &err), err);
    CHECK(a.n_moe == a.n_layers - 1 && a.moe_of_layer[0] == -1);
    gm_arch_clear(&a);
    copy_model("unsaid-v2", V2, "first_k_dense_replace", NULL); /* none */
    CHECK_OK(gm_arch_read(&a, "unsaid-v2", &err), err);
    CHECK_INT(a.n_moe, a.n_layers);
    gm_arch_clear(&a);
}

/* Heads that do not divide the width are no matter here; nor is what a config says of a head. */
static void reads_latents_instead_of_heads(void)
{
    gm_arch a;
    gm_error err = {0};
    CHECK_OK(gm_arch_read(&a, V3, &err), err);
    CHECK(a.n_heads == 6 && a.width == 16 && a.head_dim == 22 && a.value_dim == 18);
    gm_arch_clear(&a);
    CHECK_OK(gm_arch_read(&a, V2, &err), err);
    CHECK(a.router.n_groups == 3 && a.router.top_groups == 2);
    gm_arch_clear(&a);
    copy_model("greedy", V2, "topk_method", "\"greedy\"");
    CHECK_OK(gm_arch_read(&a, "greedy", &err), err);
    CHECK_INT(a.router.n_groups, 1); /* what a config says of groups is then idle */
    gm_arch_clear(&a);
}

/* A GPU keeps a latent once: 3 layers of 20 + 4 numbers, here beside them the 20 again. */
static void the_cache_is_counted_for_both_devices(void)
{
    gm_error err = {0};
    gm_model *model = NULL;
    const gm_model_options options = {.headers_only = true, .numerics = GM_NUMERICS_BF16};
    CHECK_OK(gm_model_open(&model, V2, &options, &err), err);
    const gm_model_info *info = gm_model_get_info(model);
    CHECK_INT(info->kv_bytes_per_token, 3 * (24 + 20) * 2);
    CHECK_INT(info->gpu_kv_bytes_per_token, 3 * 24 * 2);
    gm_model_close(model);
    CHECK_OK(gm_model_open(&model, MODELS "olmoe-tiny", &options, &err), err);
    info = gm_model_get_info(model);
    CHECK_INT(info->gpu_kv_bytes_per_token, info->kv_bytes_per_token);
    gm_model_close(model);
}

static void refuses_what_is_not_computed(void)
{
    static const char *const changes[][4] = {
        {V2, "kv_lora_rank", NULL, "'kv_lora_rank'"},
        {V2, "kv_lora_rank", "0", "'kv_lora_rank'"},
        {V2, "q_lora_rank", "0", "'q_lora_rank'"},
        {V2, "qk_nope_head_dim", "7", "'qk_nope_head_dim' is 7, expected an even number"},
        {V2, "qk_rope_head_dim", "5", "'qk_rope_head_dim' is 5, expected an even number"},
        {V2, "v_head_dim", NULL, "'v_head_dim'"},
        {V2, "norm_topk_prob", "true", "'norm_topk_prob' is true, but only false"},
        {V2, "topk_method", "\"noaux_tc\"", "'topk_method' is 'noaux_tc', but only 'greedy' and"},
        {V2, "scoring_func", "\"sigmoid\"", "'scoring_func' is 'sigmoid'"},
        {V2, "routed_scaling_factor", "0", "'routed_scaling_factor'"},
        {V2, "attention_bias", "true", "'attention_bias' is true"},
        {V3, "rope_interleave", "false", "'rope_interleave' is false, but only true"},
        {V3, "scoring_func", "\"softmax\"", "'scoring_func' is 'softmax', but only 'sigmoid'"},
        {V3, "topk_method", "\"greedy\"", "'topk_method' is 'greedy', but only 'noaux_tc'"},
        {V3, "qk_head_dim", "12", "'qk_head_dim' is 12, expected 10, the sum of"},
        {V3, "n_group", NULL, "'n_group' is missing"},
        {V3, "topk_group", "null", "'topk_group' is null"},
        {V3, "routed_scaling_factor", NULL, "'routed_scaling_factor' is missing"},
        {V3, "quantization_config", "{\"quant_method\": \"fp8\", \"weight_block_size\": 7}",
         "'weight_block_size'"},
        {V3, "mlp_layer_types", "[\"sparse\", \"sparse\", \"sparse\"]",
         "'mlp_layer_types' and 'first_k_dense_replace' disagree on layer 0"},
        {LITE, "mlp_layer_types", "[\"dense\", \"sparse\"]",
         "'mlp_layer_types' is not a list of the 3 layers' types"},
        {LITE, "mlp_layer_types", "\"dense\"", "is not a list of the 3 layers' types"},
        {LITE, "mlp_layer_types", "[\"dense\", \"moe\", \"sparse\"]",
         "'mlp_layer_types' holds 'moe', expected 'dense' or 'sparse'"},
        {LITE, "mlp_layer_types", "[1, \"sparse\", \"sparse\"]", "'mlp_layer_types' holds '"},
        {LITE, "mlp_layer_types", "[\"dense\", \"dense\", \"dense\"]", "none of the 3 layers"},
        {LITE, "partial_rotary_factor", "0.5", "'partial_rotary_factor' is 0.5, but only 1"},
        {LITE, "attention_bias", "true", "'attention_bias' is true"},
        {LITE, "routed_scaling_factor", NULL, "'routed_scaling_factor' is missing"},
        {V3, "rope_scaling", "{\"type\": \"linear\", \"factor\": 2}", "has type 'linear'"},
        {MODELS "gptoss-tiny", "rope_scaling",
         "{\"type\": \"yarn\", \"factor\": 2, \"original_max_position_embeddings\": 32, "
         "\"mscale\": 1}",
         "contains 'mscale', which is not supported"},
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++)
        check_refused(changes[i][0], changes[i][1], changes[i][2], changes[i][3]);
}

/* The same tensors by another split of a head, or another scale, are another model. */
static void other_numbers_have_another_digest(void)
{
    static const char *const changes[][2] = {
        {"qk_nope_head_dim", "8"},
        {"v_head_dim", "8"},
        {"rope_scaling", "{\"type\": \"yarn\", \"factor\": 4, \"beta_fast\": 2, \"beta_slow\": "
                         "0.25, \"mscale\": 1.6, \"mscale_all_dim\": 0.9, "
                         "\"original_max_position_embeddings\": 32}"},
        {"routed_scaling_factor", "1"},
        {"topk_method", "\"greedy\""},
    };
    check_digests(V2, changes, sizeof changes / sizeof changes[0], 0);
}

TESTS(TEST(reads_v2_lite), TEST(reads_v3), TEST(reads_kimi), TEST(reads_glm_lite),
      TEST(reads_which_layers_are_dense), TEST(reads_latents_instead_of_heads),
      TEST(the_cache_is_counted_for_both_devices), TEST(refuses_what_is_not_computed),
      TEST(other_numbers_have_another_digest))
