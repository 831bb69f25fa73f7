/* test_quantised.c - engine/quantised.c and all that reads weights in fp8: what configs may say of
 * them, scales that cannot be right, and models that compute, bit for bit, what they do from the
 * same numbers widened. */
#include "engine/quantised.h"

#include "tests/stored_copy.h"

#define MODELS TEST_DATA "/golden/models/"
#define TINY   MODELS "deepseek-v3-fp8"

/* ---- what configs say ---- */

static gm_status read_text(const char *text, gm_scale_blocks *out, gm_error *err)
{
    gm_json *config = NULL;
    gm_text whole = {0};
    CHECK_OK(gm_text_printf(&whole, err, "{\"quantization_config\": %s}", text), *err);
    CHECK_OK(gm_json_parse(&config, whole.at, whole.n, "config.json", err), *err);
    gm_status status = gm_quantised_read(out, config, "config.json", err);
    gm_json_free(config);
    gm_text_clear(&whole);
    return status;
}

/* DeepSeek-V3.1's, MiniMax-M2's, as transformers 5 saves the latter, Qwen3-30B-A3B-FP8's,
 * GLM-4.5-Air-FP8's, what compressed-tensors says of blocks and of whole tensors, and AutoFP8 and
 * transformers of the latter. */
static void published_forms_are_read(void)
{
    static const struct {
        const char *text, *suffix, *shown;
    } cases[] = {
        {"{\"activation_scheme\": \"dynamic\", \"fmt\": \"e4m3\", \"quant_method\": \"fp8\", "
         "\"scale_fmt\": \"ue8m0\", \"weight_block_size\": [128, 128]}",
         "_scale_inv", "128 x 128"},
        {"{\"activation_scheme\": \"dynamic\", \"fmt\": \"float8_e4m3fn\", \"quant_method\": "
         "\"fp8\", \"weight_block_size\": [128, 128], \"modules_to_not_convert\": [\"gate\", "
         "\"e_score_correction_bias\", \"lm_head\"]}",
         "_scale_inv", "128 x 128"},
        {"{\"activation_scheme\": \"dynamic\", \"dequantize\": false, \"modules_to_not_convert\": "
         "[\"gate\"], \"quant_method\": \"fp8\", \"weight_block_size\": [64, 128]}",
         "_scale_inv", "64 x 128"},
        {"{\"config_groups\": {\"group_0\": {\"input_activations\": {\"dynamic\": true, "
         "\"num_bits\": 8, \"strategy\": \"token\", \"symmetric\": true, \"type\": \"float\"}, "
         "\"output_activations\": null, \"targets\": [\"Linear\"], \"weights\": {\"actorder\": "
         "null, \"block_structure\": null, \"dynamic\": false, \"group_size\": null, \"num_bits\": "
         "8, \"observer\": \"minmax\", \"strategy\": \"channel\", \"symmetric\": true, \"type\": "
         "\"float\"}}}, \"format\": \"float-quantized\", \"global_compression_ratio\": null, "
         "\"ignore\": [\"lm_head\"], \"kv_cache_scheme\": null, \"quant_method\": "
         "\"compressed-tensors\", \"quantization_status\": \"compressed\", \"sparsity_config\": "
         "{}, \"transform_config\": {}, \"version\": \"0.10.3\"}",
         "_scale", "a row"},
        {"{\"config_groups\": {\"a\": {\"weights\": {\"strategy\": \"block\", \"type\": \"float\", "
         "\"block_structure\": [128, 64]}}, \"b\": {\"weights\": {\"strategy\": \"block\", "
         "\"block_structure\": [128, 64]}}}, \"quant_method\": \"compressed-tensors\"}",
         "_scale", "128 x 64"},
        {"{\"config_groups\": {\"a\": {\"weights\": {\"num_bits\": 8}}}, \"quant_method\": "
         "\"compressed-tensors\"}",
         "_scale", "a tensor"},
        {"{\"quant_method\": \"fp8\", \"activation_scheme\": \"dynamic\", \"ignored_layers\": "
         "[\"lm_head\"]}",
         "_scale", "a tensor"},
        {"{\"quant_method\": \"fp8\", \"activation_scheme\": \"dynamic\", "
         "\"weight_block_size\": null}",
         "_scale_inv", "a tensor"},
        {"{\"quant_method\": \"fp8\", \"activation_scheme\": \"static\", "
         "\"weight_block_size\": null}", /* Mistral Small 4's */
         "_scale_inv", "a tensor"},
        {"{\"config_groups\": {\"group_0\": {\"input_activations\": null, \"output_activations\": "
         "null, "
         "\"targets\": [\"Linear\"], \"weights\": {\"actorder\": null, \"block_structure\": null, "
         "\"dynamic\": false, \"group_size\": 32, \"num_bits\": 4, \"observer\": \"minmax\", "
         "\"observer_kwargs\": {}, \"strategy\": \"group\", \"symmetric\": true, \"type\": "
         "\"int\"}}}, "
         "\"format\": \"pack-quantized\", \"ignore\": [\"lm_head\", \"re:.*self_attn.*\"], "
         "\"kv_cache_scheme\": null, \"quant_method\": \"compressed-tensors\", "
         "\"quantization_status\": \"compressed\"}", /* Kimi-K2-Thinking's */
         "_scale", "32 inputs"},
        {"{\"batch_size\": 1, \"bits\": 4, \"block_name_to_quantize\": null, "
         "\"cache_block_outputs\": "
         "true, \"damp_percent\": 0.01, \"dataset\": null, \"desc_act\": false, "
         "\"exllama_config\": "
         "{\"version\": 1}, \"group_size\": 128, \"max_input_length\": null, \"model_seqlen\": "
         "null, "
         "\"modules_in_block_to_quantize\": null, \"pad_token_id\": null, \"quant_method\": "
         "\"gptq\", "
         "\"sym\": true, \"tokenizer\": null, \"true_sequential\": true, \"use_cuda_fp16\": false, "
         "\"use_exllama\": true}", /* Qwen's */
         ".scales", "128 inputs"},
        {"{\"bits\": 4, \"checkpoint_format\": \"gptq\", \"desc_act\": false, \"dynamic\": "
         "{\"lm_head\": {}, \"-:.*attn.*\": {}, \"-:.*mlp.gate\": {\"bits\": 8}}, \"group_size\": "
         "128, \"lm_head\": false, \"meta\": {\"quantizer\": [\"gptqmodel:4\"]}, \"pack_dtype\": "
         "\"int32\", \"quant_method\": \"gptq\", \"sym\": true, \"true_sequential\": true}",
         ".scales", "128 inputs"},
        {"{\"bits\": 4, \"group_size\": -1, \"modules_to_not_convert\": [\"gate\"], "
         "\"quant_method\": "
         "\"awq\", \"version\": \"gemm\", \"zero_point\": true}",
         ".scales", "a row"},
        {"null", NULL, ""},
        {"{\"bits\": 8}", NULL, ""}, /* arch_keys.c refuses it */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        gm_scale_blocks blocks;
        gm_error err = {0};
        char text[48];
        CHECK_OK(read_text(cases[i].text, &blocks, &err), err);
        CHECK_TEXT(gm_blocks_show(text, &blocks), cases[i].shown);
        CHECK(!blocks.suffix == !cases[i].suffix);
        if (blocks.suffix && cases[i].suffix) CHECK_TEXT(blocks.suffix, cases[i].suffix);
    }
}

#define COMPRESSED(group, more) \
    "{\"quant_method\": \"compressed-tensors\", \"config_groups\": {\"a\": {" group "}" more

static void other_forms_are_refused(void)
{
    static const char *const cases[][2] = {
        {"{\"quant_method\": \"bitsandbytes\"}",
         "quantised with 'bitsandbytes', but only F32, F16"},
        {"{\"quant_method\": \"modelopt\"}", "quantised with 'modelopt'"},
        {"{\"quant_method\": \"fp8\", \"activation_scheme\": \"static\"}",
         "'activation_scheme' of 'quantization_config' is 'static', expected dynamic"},
        {"{\"quant_method\": \"fp8\", \"weight_block_size\": [128]}", "not a pair of sizes"},
        {"{\"quant_method\": \"fp8\", \"weight_block_size\": [128, 0]}", "not a pair of sizes"},
        {"{\"quant_method\": \"fp8\", \"weight_block_size\": [128, 64, 2]}", "not a pair of"},
        {"{\"quant_method\": \"fp8\", \"weight_block_size\": \"128\"}", "not a pair of sizes"},
        {"{\"quant_method\": \"fp8\", \"weight_block_size\": [128, 128], \"activation_scheme\": "
         "\"static\"}",
         "'activation_scheme' of 'quantization_config' is 'static', expected dynamic"},
        {"{\"quant_method\": \"fp8\", \"weight_block_size\": [128, 128], \"fmt\": \"e5m2\"}",
         "'fmt' of 'quantization_config' is 'e5m2', expected e4m3|float8_e4m3fn"},
        {"{\"quant_method\": \"fp8\", \"weight_block_size\": [128, 128], \"fmt\": \"e4\"}",
         "'fmt' of 'quantization_config' is 'e4'"},
        {"{\"quant_method\": \"fp8\", \"weight_block_size\": [128, 128], \"expert_dtype\": "
         "\"fp4\"}",
         "'expert_dtype' of 'quantization_config' is 'fp4', expected fp8"},
        {"{\"quant_method\": \"fp8\", \"weight_block_size\": [128, 128], \"turned\": 1}",
         "'quantization_config' contains 'turned'"},
        {"{\"quant_method\": \"compressed-tensors\"}", "no object 'config_groups'"},
        {COMPRESSED("", "}}"), "has no object 'weights'"},
        {COMPRESSED("\"weights\": {\"num_bits\": 4}", "}}"), "'num_bits' of 'quantization_config'"},
        {COMPRESSED("\"weights\": {\"type\": \"uint\"}", "}}"), "is 'uint', expected float|int"},
        {COMPRESSED("\"weights\": {\"symmetric\": false}", "}}"), "'symmetric'"},
        {COMPRESSED("\"weights\": {\"strategy\": \"tensor_group\"}", "}}"),
         "is 'tensor_group', expected tensor|channel|block"},
        {COMPRESSED("\"weights\": {\"strategy\": \"tensor|channel\"}", "}}"),
         "is 'tensor|channel', expected tensor|channel|block"},
        {COMPRESSED("\"weights\": {\"strategy\": \"block\"}", "}}"), "'block_structure'"},
        {COMPRESSED("\"weights\": {}, \"input_activations\": {\"dynamic\": false}", "}}"),
         "fixed scales of activations are not supported"},
        {COMPRESSED("\"weights\": {}, \"output_activations\": {}", "}}"), "'output_activations'"},
        {COMPRESSED("\"weights\": {}, \"format\": \"int-quantized\"", "}}"), "'int-quantized'"},
        {COMPRESSED("\"weights\": {}", "}, \"format\": \"nvfp4-pack-quantized\"}"),
         "'format' of 'quantization_config' is 'nvfp4-pack-quantized'"},
        {COMPRESSED("\"weights\": {}", "}, \"kv_cache_scheme\": {}}"), "'kv_cache_scheme'"},
        {COMPRESSED("\"weights\": {}", "}, \"sparsity_config\": {\"format\": \"24\"}}"), "is '24'"},
        {COMPRESSED("\"weights\": {}", "}, \"transform_config\": {\"a\": 1}}"), "'transform_"},
        {COMPRESSED("\"weights\": {}", ", \"b\": {\"weights\": {\"strategy\": \"channel\"}}}}"),
         "have scales for blocks of different sizes"},
        {COMPRESSED("\"weights\": {}", ", \"b\": 7}}"), "has no object 'weights'"},
        {"{\"quant_method\": \"gptq\", \"bits\": 4, \"dynamic\": {\"+:.*head\": {\"bits\": 8}}}",
         "'dynamic' of 'quantization_config' has settings of its own for '+:.*head'"},
        {"{\"quant_method\": \"gptq\", \"bits\": 4, \"dynamic\": [1]}", "is not an object"},
        {COMPRESSED("\"weights\": {\"type\": \"int\", \"num_bits\": 8}", "}}"),
         "'num_bits' of 'quantization_config' is 8, but of whole numbers only those of 4 bits"},
        {COMPRESSED("\"weights\": {\"type\": \"int\"}", "}}"), "'num_bits' of"},
        {COMPRESSED("\"weights\": {\"type\": \"int\", \"num_bits\": 4, \"group_size\": 12}", "}}"),
         "'group_size' of 'quantization_config' is 12, expected -1 or a multiple of 8"},
        {COMPRESSED("\"weights\": {\"type\": \"int\", \"num_bits\": 4}", "}}"), "'group_size' of"},
        {COMPRESSED("\"weights\": {\"type\": \"int\", \"num_bits\": 4, \"strategy\": \"tensor\"}",
                    "}}"),
         "is 'tensor', expected group|channel"},
        {COMPRESSED("\"weights\": {\"type\": \"int\", \"num_bits\": 4, \"actorder\": \"group\"}",
                    "}}"),
         "'actorder' of 'quantization_config' is 'group', expected weight|static"},
        {COMPRESSED("\"weights\": {\"type\": \"int\", \"num_bits\": 4, \"actorder\": true}", "}}"),
         "'actorder' of 'quantization_config' is true, but only false"},
        {"{\"quant_method\": \"gptq\", \"bits\": 3, \"group_size\": 128}", "'bits' of"},
        {"{\"quant_method\": \"gptq\", \"bits\": 4, \"group_size\": 128, \"desc_act\": 1}",
         "'desc_act' is 1, expected a boolean"},
        {"{\"quant_method\": \"gptq\", \"bits\": 4, \"group_size\": 128, \"checkpoint_format\": "
         "\"marlin\"}",
         "'checkpoint_format' of 'quantization_config' is 'marlin', expected gptq|gptq_v2"},
        {"{\"quant_method\": \"gptq\", \"bits\": 4, \"group_size\": 0}", "is 0, expected -1 or"},
        {"{\"quant_method\": \"gptq\", \"bits\": 4, \"group_size\": 8, \"rotation\": \"hadamard\"}",
         "contains 'rotation'"},
        {"{\"quant_method\": \"awq\", \"bits\": 4, \"group_size\": 128, \"version\": \"gemv\"}",
         "'version' of 'quantization_config' is 'gemv', expected gemm|GEMM"},
        {"{\"quant_method\": \"awq\", \"bits\": 4, \"group_size\": 128, \"zero_point\": false}",
         "'zero_point' of 'quantization_config' is false, but only true"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        gm_scale_blocks blocks;
        gm_error err = {0};
        CHECK_FAILS(read_text(cases[i][0], &blocks, &err), err, GM_EFORMAT, cases[i][1]);
        CHECK(blocks.suffix == NULL);
    }
}

/* ---- scales and codes that cannot be right ---- */

/* One tensor of the golden is changed; headers: seen without a look at the values. */
static void bad_tensors_are_refused(void)
{
    static const float four[][4] = {{1, NAN, 1, 1},    {1, 1, INFINITY, 1}, {1, 1, 1, -1},
                                    {1, 1, 1, 1e-31f}, {1, 1e31f, 1, 1},    {0, 0, 0, 0},
                                    {1, 0, 1, 1}};
    static const struct {
        const char *tensor, *name;
        gm_dtype dtype;
        int rank;
        size_t dim[GM_MAX_RANK];
        int values; /* of `four`; -1: its own */
        bool headers;
        const char *part; /* NULL: taken */
    } cases[] = {
        {"up_proj.weight_scale_inv",
         "elsewhere",
         GM_F32,
         2,
         {2, 2},
         -1,
         true,
         "no tensor 'model.layers.0.mlp.up_proj.weight_scale_inv'"},
        {"up_proj.weight_scale_inv", NULL, GM_F32, 2, {4, 1}, -1, true, "is 4 x 1, expected 2 x 2"},
        {"up_proj.weight_scale_inv", NULL, GM_F32, 1, {4}, -1, true, "is 4, expected 2 x 2"},
        {"up_proj.weight_scale_inv", NULL, GM_I32, 2, {2, 2}, -1, true, "has dtype I32"},
        {"up_proj.weight_scale_inv", NULL, GM_F32, 3, {2, 1, 2}, -1, true, NULL},
        {"up_proj.weight", NULL, GM_I8, 2, {20, 16}, -1, true, "has dtype I8"},
        {"up_proj.weight", NULL, GM_FP8, 2, {16, 20}, -1, true, "is 16 x 20, expected 20 x 16"},
        {"up_proj.weight_scale_inv", NULL, GM_F32, 2, {2, 2}, 0, false, "element 1 of"},
        {"up_proj.weight_scale_inv", NULL, GM_F32, 2, {2, 2}, 1, false, "is inf, expected a scale"},
        {"up_proj.weight_scale_inv", NULL, GM_F32, 2, {2, 2}, 2, false, "is -1, expected a scale"},
        {"up_proj.weight_scale_inv", NULL, GM_F32, 2, {2, 2}, 3, false, "is 1e-31, expected"},
        {"up_proj.weight_scale_inv", NULL, GM_F32, 2, {2, 2}, 4, false, "is 1e+31, expected"},
        {"up_proj.weight_scale_inv", NULL, GM_F32, 2, {2, 2}, 5, false, "are 0, as if the file"},
        {"up_proj.weight_scale_inv", NULL, GM_F32, 2, {2, 2}, 6, false, NULL},
    };
    gm_checkpoint *c = NULL;
    gm_error err = {0};
    gm_tensor tensor[256];
    CHECK_OK(gm_checkpoint_open(&c, TINY, &err), err);
    const size_t n = gm_checkpoint_n(c);
    CHECK(n <= 256);
    copy_model("bad-fp8", TINY, "use_cache", "true");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char name[128];
        bool found = false;
        snprintf(name, sizeof name, "model.layers.0.mlp.%s", cases[i].tensor);
        for (size_t j = 0; j < n; j++) {
            tensor[j] = *gm_checkpoint_at(c, j);
            if (strcmp(tensor[j].name, name) != 0) continue;
            found = true;
            if (cases[i].name) tensor[j].name = cases[i].name;
            tensor[j].dtype = cases[i].dtype, tensor[j].rank = cases[i].rank;
            memcpy(tensor[j].dim, cases[i].dim, sizeof tensor[j].dim);
            if (cases[i].values >= 0) tensor[j].data = four[cases[i].values];
        }
        CHECK(found);
        stored_open_changed("bad-fp8", tensor, n, cases[i].headers, cases[i].part);
    }
    gm_checkpoint_close(c);
}

/* Vectors, embeddings and whole models without a word in the config. */
static void fp8_elsewhere_is_refused(void)
{
    gm_model *model = NULL;
    gm_error err = {0};
    copy_model("no-word", TINY, "quantization_config", "null");
    CHECK_FAILS(gm_model_open(&model, "no-word", NULL, &err), err, GM_EFORMAT,
                "has dtype F8_E4M3, expected F32, F16 or BF16: fp8 is supported only");
    gm_checkpoint *c = NULL;
    gm_tensor tensor[256];
    CHECK_OK(gm_checkpoint_open(&c, TINY, &err), err);
    copy_model("bad-fp8", TINY, "use_cache", "true");
    for (size_t j = 0; j < gm_checkpoint_n(c); j++) {
        tensor[j] = *gm_checkpoint_at(c, j);
        if (strcmp(tensor[j].name, "model.embed_tokens.weight") != 0) continue;
        tensor[j].dtype = GM_FP8, tensor[j].n_bytes /= 2;
    }
    stored_open_changed("bad-fp8", tensor, gm_checkpoint_n(c), true,
                        "'model.embed_tokens.weight' has dtype F8_E4M3");
    gm_checkpoint_close(c);
}

static void info_says_so(void)
{
    gm_model *model = NULL;
    gm_error err = {0};
    const gm_model_options options = {.headers_only = true};
    CHECK_OK(gm_model_open(&model, TINY, &options, &err), err);
    const gm_model_info *info = gm_model_get_info(model);
    CHECK_TEXT(info->weight_dtype, "F8_E4M3");
    CHECK_TEXT(info->weight_scales, "12 x 8");
    CHECK_INT(info->numerics, GM_NUMERICS_BF16);
    CHECK(info->mtp_bytes > 0); /* with the scales of it */
    gm_model_close(model);
    CHECK_OK(gm_model_open(&model, MODELS "kimi-int4", &options, &err), err);
    info = gm_model_get_info(model);
    CHECK_TEXT(info->weight_dtype, "INT4");
    CHECK_TEXT(info->weight_scales, "16 inputs");
    CHECK_INT(info->numerics, GM_NUMERICS_BF16);
    gm_model_close(model);
}

/* ---- what is computed ---- */

static void computes_what_widened_weights_do(void)
{
    static const gm_numerics all[] = {GM_NUMERICS_F32, GM_NUMERICS_BF16, GM_NUMERICS_INT8,
                                      GM_NUMERICS_FP8};
    for (size_t i = 0; i < 4; i++)
        stored_same_as_widened("cpu", MODELS "deepseek-v3-tiny", &fp8_blocks, all[i]);
    stored_same_as_widened("cpu", MODELS "minimax-tiny", &fp8_blocks, GM_NUMERICS_BF16);
    stored_same_as_widened("cpu", MODELS "glm-tiny", &fp8_rows, GM_NUMERICS_BF16);
    stored_same_as_widened("cpu", MODELS "glm-tiny", &fp8_rows, GM_NUMERICS_FP8);
    stored_same_as_widened("cpu", MODELS "deepseek-v3-tiny", &fp8_rows, GM_NUMERICS_BF16);
    stored_same_as_widened("cpu", MODELS "mixtral-tiny", &fp8_tensor, GM_NUMERICS_BF16);
    stored_same_as_widened("cpu", MODELS "mixtral-tiny", &fp8_auto, GM_NUMERICS_BF16);
    stored_same_as_widened("cpu", MODELS "qwen3-tiny", &fp8_null, GM_NUMERICS_INT8);
    stored_same_as_widened("cpu", MODELS "qwen3-next-tiny", &fp8_blocks, GM_NUMERICS_BF16);
    stored_same_as_widened("cpu", MODELS "qwen3.5-tiny", &fp8_blocks, GM_NUMERICS_F32);
}

TESTS(TEST(published_forms_are_read), TEST(other_forms_are_refused), TEST(bad_tensors_are_refused),
      TEST(fp8_elsewhere_is_refused), TEST(info_says_so), TEST(computes_what_widened_weights_do))
