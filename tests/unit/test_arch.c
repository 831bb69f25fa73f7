/* test_arch.c - engine/arch.c, arch_tensors.c and families.c: the goldens' configs,
 * GigaChat's published sizes, and every value that must be refused.
 */
#include "engine/arch.h"

#include "engine/families.h"
#include "tests/model_copy.h"

#define MODELS TEST_DATA "/golden/models/"

static void reads_the_goldens(void)
{
    gm_arch a;
    gm_error err = {0};

    CHECK_OK(gm_arch_read(&a, MODELS "deepseek-tiny", &err), err);
    CHECK_TEXT(a.family->name, "deepseek-moe-v1");
    CHECK_INT(a.n_layers, 4);
    CHECK_INT(a.width, 40);
    CHECK_INT(a.head_dim, 16);
    CHECK_INT(a.n_kv_heads, 2);
    CHECK_NEAR(a.rope.theta, 1400000, 0);
    CHECK_NEAR(a.norm_epsilon, 1e-5f, 0);
    CHECK_NEAR(a.attention_scale, 0.25, 0);
    CHECK_INT(a.n_moe, 3);
    CHECK_INT(a.layer_of_moe[0], 1);
    CHECK_INT(a.moe_of_layer[0], -1);
    CHECK_INT(a.shared_width, 48);
    CHECK(!a.router.renormalise && !a.tied_head);
    CHECK_INT(a.bos, 1);
    CHECK_INT(a.n_eos, 1);
    CHECK_INT(a.eos[0], 2);
    CHECK_INT(a.max_new_tokens, 64);
    CHECK_TEXT(a.unknown_keys, "");
    gm_arch_clear(&a);

    CHECK_OK(gm_arch_read(&a, MODELS "deepseek-tied", &err), err);
    CHECK_INT(a.head_dim, 6); /* absent: 24 / 4 */
    CHECK_INT(a.n_moe, 2);
    CHECK_INT(a.layer_of_moe[0], 2);
    CHECK_INT(a.layer_of_moe[1], 4);
    CHECK(a.router.renormalise && a.tied_head);
    CHECK_NEAR(a.router.renorm_epsilon, 1e-20f, 0);
    gm_arch_clear(&a);

    CHECK_OK(gm_arch_read(&a, MODELS "olmoe-clip", &err), err);
    CHECK_INT(a.qk_norm, GM_QK_NORM_FULL);
    CHECK_NEAR(a.clip_qkv, 0.75, 0);
    CHECK_INT(a.expert_width, 10);
    CHECK_INT(a.n_moe, 3);
    CHECK_INT(a.bos, -1);
    CHECK_INT(a.n_eos, 2);
    CHECK_INT(a.eos[1], 5);
    CHECK(!a.do_sample);
    CHECK_INT(a.top_k, 50);
    gm_arch_clear(&a);

    CHECK_OK(gm_arch_read(&a, MODELS "olmoe-tiny", &err), err);
    CHECK_NEAR(a.norm_epsilon, 1e-5f, 0); /* absent: the family's */
    CHECK_NEAR(a.clip_qkv, 0, 0);
    gm_arch_clear(&a);
}

static void reads_other_families(void)
{
    gm_arch a;
    gm_error err = {0};
    gm_slice t;

    CHECK_OK(gm_arch_read(&a, MODELS "qwen2-tiny", &err), err);
    CHECK_TEXT(a.family->name, "qwen2-moe");
    CHECK(a.attention_bias && a.gated_shared && !a.router.renormalise);
    CHECK_INT(a.shared_width, 14);
    CHECK_INT(a.n_moe, 2);
    CHECK_INT(a.layer_of_moe[1], 2);
    CHECK_INT(a.moe_of_layer[1], -1); /* mlp_only_layers */
    CHECK(gm_arch_tensor(&a, GM_ROLE_SHARE, 2, 0, &t) &&
          !gm_arch_tensor(&a, GM_ROLE_SHARE, 1, 0, &t));
    CHECK_TEXT(t.name, "model.layers.2.mlp.shared_expert_gate.weight");
    gm_arch_clear(&a);

    CHECK_OK(gm_arch_read(&a, MODELS "granite-tiny", &err), err);
    CHECK_TEXT(a.family->name, "granite-moe");
    CHECK_INT(a.router.scoring, GM_SCORE_TOPK_SOFTMAX);
    CHECK_NEAR(a.embed_scale, 1.5, 0);
    CHECK_NEAR(a.attention_scale, 0.25, 0);
    CHECK_NEAR(a.residual_scale, 0.6f, 0);
    CHECK_NEAR(a.logits_scale, 0.8f, 0);
    /* gate above up in one matrix for each of six experts */
    CHECK(gm_arch_tensor(&a, GM_ROLE_EXPERT_UP, 1, 4, &t));
    CHECK_TEXT(t.name, "model.layers.1.block_sparse_moe.input_linear.weight");
    CHECK(t.stack == 6 && t.stack_rows == 28 && t.item == 4 && t.first == 14 && t.rows == 14);
    CHECK(gm_arch_tensor(&a, GM_ROLE_EXPERT_GATE, 1, 4, &t) && t.first == 0);
    CHECK(gm_arch_tensor(&a, GM_ROLE_EXPERT_DOWN, 1, 4, &t));
    CHECK(t.stack == 6 && t.stack_rows == 16 && t.item == 4 && t.first == 0 && t.cols == 14);
    gm_arch_clear(&a);

    copy_model("same", MODELS "granite-tiny", "attention_multiplier", NULL);
    CHECK_OK(gm_arch_read(&a, "same", &err), err);
    CHECK_NEAR(a.attention_scale, 1, 0); /* absent: the class's default */
    gm_arch_clear(&a);
    copy_model("same", MODELS "qwen2-tiny", "layer_types", "[\"full_attention\"]");
    CHECK_OK(gm_arch_read(&a, "same", &err), err);
    CHECK_TEXT(a.unknown_keys, "");
    gm_arch_clear(&a);
    copy_model("same", MODELS "qwen2-tiny", "decoder_sparse_step", "2");
    CHECK_FAILS(gm_arch_read(&a, "same", &err), err, GM_EFORMAT, "none of the 3 layers");
    copy_model("same", MODELS "qwen3-tiny", "num_experts", NULL);
    CHECK_FAILS(gm_arch_read(&a, "same", &err), err, GM_EFORMAT, "'num_experts' is missing");
    copy_model("twice", "same", "num_local_experts", "10");
    CHECK_OK(gm_arch_read(&a, "twice", &err), err);
    CHECK_INT(a.n_experts, 10);
    CHECK_TEXT(a.unknown_keys, "");
    gm_arch_clear(&a);
    copy_model("same", MODELS "qwen3-tiny", "decoder_sparse_step", "2");
    CHECK_OK(gm_arch_read(&a, "same", &err), err);
    CHECK_INT(a.n_moe, 1);
    CHECK_INT(a.layer_of_moe[0], 1); /* the second of two */
    gm_arch_clear(&a);
}

/* Published sizes (Qwen3-30B-A3B: 30.5 and 3.3 billion; Mixtral-8x7B: 46.7 and 12.9; Qwen1.5-MoE:
 * 14.3 and 2.7; Granite 3.0: 1.3 and .4). */
static void counts_other_families(void)
{
    static const struct {
        const char *config;
        double all, active, theta;
        gm_qk_norm norm;
        bool renormalise;
    } row[] = {
        {"{\"architectures\":[\"Qwen3MoeForCausalLM\"],\"decoder_sparse_step\":1,\"head_dim\":128,"
         "\"hidden_size\":2048,\"intermediate_size\":6144,\"max_position_embeddings\":40960,"
         "\"max_window_layers\":48,\"mlp_only_layers\":[],\"model_type\":\"qwen3_moe\","
         "\"moe_intermediate_size\":768,\"norm_topk_prob\":true,\"num_attention_heads\":32,"
         "\"num_experts\":128,\"num_experts_per_tok\":8,\"num_hidden_layers\":48,"
         "\"num_key_value_heads\":4,\"rope_theta\":1000000.0,\"sliding_window\":null,"
         "\"use_sliding_window\":false,\"vocab_size\":151936}",
         30.532e9, 3.353e9, 1e6, GM_QK_NORM_HEAD, true},
        {"{\"architectures\":[\"MixtralForCausalLM\"],\"hidden_size\":4096,"
         "\"intermediate_size\":14336,\"max_position_embeddings\":32768,"
         "\"model_type\":\"mixtral\",\"num_attention_heads\":32,\"num_experts_per_tok\":2,"
         "\"num_hidden_layers\":32,\"num_key_value_heads\":8,\"num_local_experts\":8,"
         "\"sliding_window\":null,\"vocab_size\":32000}",
         46.703e9, 12.880e9, 1e6, GM_QK_NORM_NONE, true},
        {"{\"architectures\":[\"Qwen2MoeForCausalLM\"],\"attention_dropout\":0.0,"
         "\"bos_token_id\":151643,\"decoder_sparse_step\":1,\"eos_token_id\":151643,"
         "\"hidden_act\":\"silu\",\"hidden_size\":2048,\"initializer_range\":0.02,"
         "\"intermediate_size\":5632,\"max_position_embeddings\":8192,\"max_window_layers\":21,"
         "\"model_type\":\"qwen2_moe\",\"moe_intermediate_size\":1408,\"norm_topk_prob\":false,"
         "\"num_attention_heads\":16,\"num_experts\":60,\"num_experts_per_tok\":4,"
         "\"num_hidden_layers\":24,\"num_key_value_heads\":16,\"output_router_logits\":false,"
         "\"rms_norm_eps\":1e-06,\"rope_theta\":1000000.0,\"router_aux_loss_coef\":0.001,"
         "\"shared_expert_intermediate_size\":5632,\"sliding_window\":32768,"
         "\"tie_word_embeddings\":false,\"use_sliding_window\":false,\"vocab_size\":151936}",
         14.316e9, 2.689e9, 1e6, GM_QK_NORM_NONE, false},
        {"{\"architectures\":[\"GraniteMoeForCausalLM\"],\"attention_bias\":false,"
         "\"attention_multiplier\":0.015625,\"embedding_multiplier\":12.0,\"hidden_act\":\"silu\","
         "\"hidden_size\":1024,\"intermediate_size\":512,\"logits_scaling\":6.0,"
         "\"max_position_embeddings\":4096,\"model_type\":\"granitemoe\",\"num_attention_heads\":"
         "16,"
         "\"num_experts_per_tok\":8,\"num_hidden_layers\":24,\"num_key_value_heads\":8,"
         "\"num_local_experts\":32,\"residual_multiplier\":0.22,\"rms_norm_eps\":1e-06,"
         "\"rope_scaling\":null,\"rope_theta\":10000,\"tie_word_embeddings\":true,"
         "\"vocab_size\":49152}",
         1.335e9, 0.429e9, 1e4, GM_QK_NORM_NONE, true},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        gm_error err = {0};
        gm_json *config = NULL;
        gm_arch a;
        uint64_t active = 0;
        CHECK_OK(gm_json_parse(&config, row[i].config, strlen(row[i].config), "config", &err), err);
        CHECK_OK(gm_arch_from_json(&a, config, "config", NULL, NULL, &err), err);
        CHECK_NEAR((double)gm_arch_parameters(&a, &active), row[i].all, 0.001e9);
        CHECK_NEAR((double)active, row[i].active, 0.001e9);
        CHECK_NEAR(a.rope.theta, row[i].theta, 0); /* Mixtral's: the family's */
        CHECK(a.router.renormalise == row[i].renormalise && a.router.renorm_epsilon == 0.0f);
        CHECK_INT(a.qk_norm, row[i].norm);
        CHECK_TEXT(a.unknown_keys, "");
        gm_arch_clear(&a);
        gm_json_free(config);
    }
}

/* GigaChat-20B-A3B's published config, and what is published of its size. */
static void counts_gigachat(void)
{
    static const char config[] =
        "{\"architectures\":[\"DeepseekForCausalLM\"],\"attention_bias\":false,"
        "\"auto_map\":{\"AutoConfig\":\"configuration_deepseek.DeepseekConfig\"},"
        "\"bos_token_id\":1,\"eos_token_id\":128001,\"first_k_dense_replace\":1,\"head_dim\":128,"
        "\"hidden_act\":\"silu\",\"hidden_size\":2048,\"intermediate_size\":14336,"
        "\"max_position_embeddings\":131072,\"mlp_bias\":false,\"model_type\":\"deepseek\","
        "\"moe_implementation\":\"eager\",\"moe_intermediate_size\":1792,\"moe_layer_freq\":1,"
        "\"n_routed_experts\":64,\"n_shared_experts\":2,\"norm_topk_prob\":false,"
        "\"num_attention_heads\":16,\"num_experts_per_tok\":6,\"num_hidden_layers\":28,"
        "\"num_key_value_heads\":8,\"rms_norm_eps\":1e-5,\"rope_scaling\":null,"
        "\"rope_theta\":1400000,\"scoring_func\":\"softmax\",\"vocab_size\":128256}";
    gm_arch a;
    gm_error err = {0};
    uint64_t active = 0;
    gm_slice t;

    mkdir("gigachat", 0777);
    CHECK_OK(gm_outfile_write("gigachat/config.json", true, config, strlen(config), &err), err);
    CHECK_OK(gm_arch_read(&a, "gigachat", &err), err);
    CHECK_NEAR((double)gm_arch_parameters(&a, &active), 20.589e9, 0.001e9);
    CHECK_NEAR((double)active, 3.348e9, 0.001e9);
    CHECK_TEXT(a.unknown_keys, "");
    CHECK_NEAR(a.temperature, 1, 0); /* no generation_config.json: Hugging Face's defaults */

    size_t n = 0;
    for (int role = 0; role < GM_N_ROLES; role++) {
        int layers = role <= GM_ROLE_HEAD ? 1 : a.n_layers;
        int experts = role < GM_ROLE_EXPERT_GATE ? 1 : a.n_experts;
        for (int i = 0; i < layers * experts; i++)
            n += gm_arch_tensor(&a, (gm_role)role, i / experts, i % experts, &t);
    }
    CHECK_INT(n, 5466);

    CHECK(gm_arch_tensor(&a, GM_ROLE_EXPERT_DOWN, 27, 63, &t));
    CHECK_TEXT(t.name, "model.layers.27.mlp.experts.63.down_proj.weight");
    CHECK(t.rows == 2048 && t.cols == 1792);
    CHECK(gm_arch_tensor(&a, GM_ROLE_K, 3, 0, &t));
    CHECK(t.rows == 1024 && t.cols == 2048);
    CHECK(gm_arch_tensor(&a, GM_ROLE_SHARED_UP, 3, 0, &t));
    CHECK(t.rows == 3584 && t.cols == 2048);
    CHECK(!gm_arch_tensor(&a, GM_ROLE_ROUTER, 0, 0, &t));
    CHECK(!gm_arch_tensor(&a, GM_ROLE_DENSE_UP, 1, 0, &t));
    CHECK(!gm_arch_tensor(&a, GM_ROLE_Q_NORM, 1, 0, &t));
    gm_arch_clear(&a);
}

static void refuses_values_that_change_the_mathematics(void)
{
    static const char *const changes[][3] = {
        {"hidden_act", "\"gelu\"", "'hidden_act' is 'gelu', but only 'silu' is supported"},
        {"scoring_func", "\"sigmoid\"", "'scoring_func' is 'sigmoid'"},
        {"topk_method", "\"noaux_tc\"", "'topk_method'"},
        {"n_group", "8", "'n_group' is 8, but only 1 is supported"},
        {"topk_group", "4", "'topk_group' is 4"},
        {"routed_scaling_factor", "2.5", "'routed_scaling_factor' is 2.5"},
        {"attention_bias", "true", "'attention_bias' is true, but only false is supported"},
        {"mlp_bias", "true", "'mlp_bias'"},
        {"clip_qkv", "8", "'clip_qkv' is 8, but only null is supported"},
        {"use_sliding_window", "true", "'use_sliding_window'"},
        {"sliding_window", "4096", "'sliding_window'"},
        {"partial_rotary_factor", "0.5", "'partial_rotary_factor'"},
        {"rope_interleave", "true", "'rope_interleave'"},
        {"q_lora_rank", "1536", "'q_lora_rank'"},
        {"kv_lora_rank", "512", "'kv_lora_rank'"},
        {"attention_multiplier", "0.015625", "'attention_multiplier'"},
        {"embedding_multiplier", "12.0", "'embedding_multiplier'"},
        {"residual_multiplier", "0.22", "'residual_multiplier'"},
        {"logits_scaling", "6.0", "'logits_scaling'"},
        {"attn_logit_softcapping", "50.0", "'attn_logit_softcapping'"},
        {"final_logit_softcapping", "30.0", "'final_logit_softcapping'"},
        {"num_nextn_predict_layers", "1", "'num_nextn_predict_layers'"},
        {"is_encoder_decoder", "true", "'is_encoder_decoder'"},
        {"add_cross_attention", "true", "'add_cross_attention'"},
        {"quantization_config", "{\"bits\": 8}", "'quantization_config' is an object"},
        {"rope_scaling", "{\"type\": \"linear\", \"factor\": 2.0}", "type 'linear'"},
        {"rope_scaling", "{\"rope_type\": \"yarn\"}", "type 'yarn'"},
        {"rope_scaling", "7", "'rope_scaling' is not an object"},
        {"rope_parameters", "{\"rope_type\": \"llama3\"}", "type 'llama3'"},
        {"rope_parameters", "{\"partial_rotary_factor\": 0.5}", "'partial_rotary_factor' is 0.5"},
        {"rope_parameters", "{\"mrope_section\": [8, 4, 4]}", "contains 'mrope_section'"},
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
        check_refused(MODELS "deepseek-tiny", changes[i][0], changes[i][1], changes[i][2]);
}

static void refuses_impossible_values(void)
{
    static const char *const changes[][3] = {
        {"hidden_size", "\"40\"", "'hidden_size'"},
        {"hidden_size", "0", "'hidden_size'"},
        {"hidden_size", NULL, "'hidden_size'"},
        {"num_hidden_layers", "-1", "'num_hidden_layers'"},
        {"num_hidden_layers", "1", "none of the 1 layers"},
        {"vocab_size", "1e9", "'vocab_size'"},
        {"num_attention_heads", "3", "divisor"},
        {"num_key_value_heads", "3", "divisor"},
        {"head_dim", "15", "even"},
        {"num_experts_per_tok", "13", "at most the 12 experts"},
        {"n_routed_experts", "65536", "'n_routed_experts'"},
        {"n_routed_experts", NULL, "'n_routed_experts'"},
        {"moe_intermediate_size", NULL, "'moe_intermediate_size'"},
        {"moe_layer_freq", "0", "'moe_layer_freq'"},
        {"first_k_dense_replace", "5", "'first_k_dense_replace'"},
        {"rms_norm_eps", "-1", "'rms_norm_eps'"},
        {"rope_theta", "0", "'rope_theta'"},
        {"eos_token_id", "317", "not an id from 0 to 316"},
        {"eos_token_id", "\"</s>\"", "not an id from 0 to 316"},
        {"bos_token_id", "317", "'bos_token_id'"},
        {"tie_word_embeddings", "1", "'tie_word_embeddings'"},
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
        check_refused(MODELS "deepseek-tiny", changes[i][0], changes[i][1], changes[i][2]);
    check_refused(MODELS "deepseek-tied", "hidden_size", "50", "multiple of the 4");
    check_refused(MODELS "olmoe-tiny", "num_experts", NULL, "'num_experts'");
    check_refused(MODELS "olmoe-clip", "clip_qkv", "-2", "'clip_qkv'");
    check_refused(MODELS "qwen2-tiny", "shared_expert_intermediate_size", NULL,
                  "'shared_expert_int");
    check_refused(MODELS "qwen2-tiny", "mlp_only_layers", "[3]", "not a layer from 0 to 2");
    check_refused(MODELS "qwen2-tiny", "mlp_only_layers", "[\"1\"]", "not a layer from 0 to 2");
    check_refused(MODELS "qwen2-tiny", "mlp_only_layers", "1", "'mlp_only_layers' is not a list");
    check_refused(MODELS "qwen2-tiny", "mlp_only_layers", "[0,1,2]", "none of the 3 layers");
    check_refused(MODELS "qwen2-tiny", "layer_types", "[\"sliding_attention\"]",
                  "contains 'sliding_attention', but only 'full_attention' is supported");
    check_refused(MODELS "qwen2-tiny", "layer_types", "7", "'layer_types' is not a list");
    check_refused(MODELS "granite-tiny", "logits_scaling", "0", "'logits_scaling'");
    check_refused(MODELS "granite-tiny", "attention_multiplier", "-1", "'attention_multiplier'");
}

/* n ids, each of them twice. */
static void write_generation(const char *path, int n, int top_k)
{
    FILE *f = fopen(path, "w");
    fprintf(f, "{\"top_k\":%d,\"eos_token_id\":[", top_k);
    for (int i = 0; i < 2 * n; i++) fprintf(f, "%s%d", i ? "," : "", i % n);
    fputs("]}", f);
    fclose(f);
}

static void reads_what_other_programs_say_of_generation(void)
{
    gm_arch a;
    gm_error err = {0};
    copy_model("generation", MODELS "deepseek-tiny", "hidden_size", "40");
    unlink("generation/generation_config.json"); /* a link to the golden's, where it has one */
    write_generation("generation/generation_config.json", GM_MAX_EOS, -1);
    CHECK_OK(gm_arch_read(&a, "generation", &err), err);
    CHECK_INT(a.n_eos, GM_MAX_EOS); /* an id that is there twice is one */
    CHECK_INT(a.eos[GM_MAX_EOS - 1], GM_MAX_EOS - 1);
    CHECK_INT(a.top_k, 0); /* -1 is vLLM's "off" */
    gm_arch_clear(&a);

    write_generation("generation/generation_config.json", GM_MAX_EOS + 1, 0);
    CHECK_FAILS(gm_arch_read(&a, "generation", &err), err, GM_EFORMAT, "more than 64 ids");
    write_generation("generation/generation_config.json", 1, -2);
    CHECK_FAILS(gm_arch_read(&a, "generation", &err), err, GM_EFORMAT, "'top_k'");
}

static void refuses_other_architectures(void)
{
    static const char config[] = "{\"architectures\":[\"LlamaForCausalLM\"]}";
    gm_arch a;
    gm_error err;
    mkdir("llama", 0777);
    CHECK_OK(gm_outfile_write("llama/config.json", true, config, strlen(config), &err), err);
    CHECK_FAILS(
        gm_arch_read(&a, "llama", &err), err, GM_EFORMAT,
        "'LlamaForCausalLM' is not supported; README.md lists those that are, and 'gm-probe "
        "import' reads what another engine recorded");
    CHECK_FAILS(gm_arch_read(&a, "no-such-folder", &err), err, GM_EIO,
                "model folder 'no-such-folder' does not exist");
    CHECK(gm_family_find(NULL, NULL) == NULL);
    CHECK_TEXT(gm_family_find(NULL, "olmoe")->architecture, "OlmoeForCausalLM");
    CHECK(gm_family_at(1000) == NULL);
}

static void reads_what_is_equivalent(void)
{
    gm_arch a;
    gm_error err = {0};
    copy_model("same", MODELS "deepseek-tiny", "rope_scaling", "{\"type\": \"default\"}");
    CHECK_OK(gm_arch_read(&a, "same", &err), err);
    gm_arch_clear(&a);
    copy_model("same", MODELS "deepseek-tiny", "rope_parameters",
               "{\"rope_type\": \"default\", \"rope_theta\": 500, "
               "\"partial_rotary_factor\": 1.0}");
    CHECK_OK(gm_arch_read(&a, "same", &err), err);
    CHECK_NEAR(a.rope.theta, 500, 0);
    gm_arch_clear(&a);
    copy_model("same", MODELS "deepseek-tiny", "my_lora_rank", "16");
    CHECK_OK(gm_arch_read(&a, "same", &err), err);
    CHECK_TEXT(a.unknown_keys, "my_lora_rank");
    gm_arch_clear(&a);
}

static void survives_every_allocation_failure(void)
{
    char folder[] = MODELS "olmoe-clip";
    check_every_allocation(read_attempt, folder);
}

TESTS(TEST(reads_the_goldens), TEST(reads_other_families), TEST(counts_other_families),
      TEST(counts_gigachat), TEST(refuses_values_that_change_the_mathematics),
      TEST(refuses_impossible_values), TEST(reads_what_other_programs_say_of_generation),
      TEST(refuses_other_architectures), TEST(reads_what_is_equivalent),
      TEST(survives_every_allocation_failure))
