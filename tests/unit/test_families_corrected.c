/* test_families_corrected.c - what the rows of engine/families_corrected.c read: published sizes,
 * what is refused, parts that predict further tokens.
 */
#include "engine/families.h"
#include "tests/config_text.h"
#include "tests/model_copy.h"
#include "tests/named_tensors.h"

#include <math.h>

#define MODELS  TEST_DATA "/golden/models/"
#define GLM     MODELS "glm-tiny"
#define DOTS    MODELS "dots-tiny"
#define ERNIE   MODELS "ernie-tiny"
#define MINIMAX MODELS "minimax-tiny"

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

/* MiniMaxAI/MiniMax-M2's, its quantization_config left out; rednote-hilab/dots.llm1.inst's and
 * baidu/ERNIE-4.5-21B-A3B-PT's written down by heart, not copied: that they have the 142 B and 14
 * B, 21 B and 3 B parameters that were announced is what speaks for them. */
static const char dots[] =
    "{\"architectures\":[\"Dots1ForCausalLM\"],\"model_type\":\"dots1\",\"attention_bias\":false,"
    "\"first_k_dense_replace\":1,\"hidden_act\":\"silu\",\"hidden_size\":4096,"
    "\"intermediate_size\":10944,\"max_position_embeddings\":32768,\"max_window_layers\":62,"
    "\"moe_intermediate_size\":1408,\"moe_layer_freq\":1,\"n_group\":1,\"n_routed_experts\":128,"
    "\"n_shared_experts\":2,\"norm_topk_prob\":true,\"num_attention_heads\":32,"
    "\"num_experts_per_tok\":6,\"num_hidden_layers\":62,\"num_key_value_heads\":32,"
    "\"rms_norm_eps\":1e-05,\"rope_theta\":10000000,\"routed_scaling_factor\":2.5,"
    "\"scoring_func\":\"noaux_tc\",\"sliding_window\":null,\"tie_word_embeddings\":false,"
    "\"topk_group\":1,\"topk_method\":\"noaux_tc\",\"vocab_size\":152064}";

static const char ernie[] =
    "{\"architectures\":[\"Ernie4_5_MoeForCausalLM\"],\"bos_token_id\":1,\"eos_token_id\":2,"
    "\"hidden_act\":\"silu\",\"hidden_size\":2560,\"intermediate_size\":12288,"
    "\"max_position_embeddings\":131072,\"model_type\":\"ernie4_5_moe\",\"moe_gate\":\"topk\","
    "\"moe_capacity\":[64,64,64],\"moe_intermediate_size\":1536,\"moe_k\":6,"
    "\"moe_layer_end_index\":27,\"moe_layer_interval\":1,\"moe_layer_start_index\":1,"
    "\"moe_num_experts\":64,\"moe_num_shared_experts\":2,\"moe_use_aux_free\":true,"
    "\"num_attention_heads\":20,\"num_hidden_layers\":28,\"num_key_value_heads\":4,"
    "\"num_nextn_predict_layers\":1,\"pad_token_id\":0,\"rms_norm_eps\":1e-05,"
    "\"rope_theta\":500000,\"tie_word_embeddings\":true,\"use_bias\":false,"
    "\"use_rmsnorm\":true,\"vocab_size\":103424}";

static const char minimax[] =
    "{\"architectures\":[\"MiniMaxM2ForCausalLM\"],\"attn_type_list\":[1,1],\"head_dim\":128,"
    "\"hidden_act\":\"silu\",\"hidden_size\":3072,\"intermediate_size\":1536,"
    "\"max_position_embeddings\":196608,\"model_type\":\"minimax_m2\","
    "\"mtp_transformer_layers\":1,\"num_attention_heads\":48,\"num_experts_per_tok\":8,"
    "\"num_hidden_layers\":62,\"num_key_value_heads\":8,\"num_local_experts\":256,"
    "\"num_mtp_modules\":3,\"qk_norm_type\":\"per_layer\",\"rms_norm_eps\":1e-06,"
    "\"rope_theta\":5000000,\"rotary_dim\":64,\"scoring_func\":\"sigmoid\","
    "\"shared_intermediate_size\":0,\"tie_word_embeddings\":false,\"use_cache\":true,"
    "\"use_mtp\":true,\"use_qk_norm\":true,\"use_routing_bias\":true,\"vocab_size\":200064}";

static gm_arch read_corrected(const char *text, double all, double active)
{
    gm_arch a = read_config_text(text);
    check_parameters(&a, all, active, 0.01e9);
    CHECK(a.router.has_correction && a.router.renormalise);
    return a;
}

static void reads_glm(void)
{
    gm_slice slice;
    gm_arch a = read_corrected(glm_air, 106.85e9,
                               13.424e9); /* the part that predicts further ones left out */
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

/* zai-org/GLM-4.5V: the sizes of GLM-4.5-Air in a part of their own. */
static const char glm_vision[] =
    "{\"architectures\":[\"Glm4vMoeForConditionalGeneration\"],\"image_token_id\":151363,"
    "\"image_start_token_id\":151339,\"image_end_token_id\":151340,"
    "\"model_type\":\"glm4v_moe\",\"text_config\":{\"attention_bias\":true,"
    "\"attention_dropout\":0.0,\"eos_token_id\":[151329,151336,151338],"
    "\"first_k_dense_replace\":1,\"head_dim\":128,\"hidden_act\":\"silu\","
    "\"hidden_size\":4096,\"intermediate_size\":10944,\"max_position_embeddings\":65536,"
    "\"model_type\":\"glm4v_moe_text\",\"moe_intermediate_size\":1408,\"n_group\":1,"
    "\"n_routed_experts\":128,\"n_shared_experts\":1,\"norm_topk_prob\":true,"
    "\"num_attention_heads\":96,\"num_experts_per_tok\":8,\"num_hidden_layers\":46,"
    "\"num_key_value_heads\":8,\"partial_rotary_factor\":0.5,\"rms_norm_eps\":1e-05,"
    "\"rope_scaling\":{\"mrope_section\":[8,12,12],\"type\":\"default\"},"
    "\"rope_theta\":10000.0,\"routed_scaling_factor\":1.0,\"topk_group\":1,"
    "\"use_qk_norm\":false,\"vocab_size\":151552},\"tie_word_embeddings\":false,"
    "\"video_token_id\":151364,\"video_start_token_id\":151341,"
    "\"video_end_token_id\":151342,\"vision_config\":{\"hidden_size\":1536}}";

/* Numbers of parameters of this and the next one: transformers', of models of these sizes. */
static void reads_the_text_of_glm_vision(void)
{
    gm_slice slice;
    gm_arch a = read_config_text(glm_vision);
    check_parameters(&a, 106852251264.0, 13424129664.0, 0.0);
    CHECK(a.inside && a.n_moe == 45 && a.rope.dim == 64 && a.attention_bias &&
          a.qk_norm == GM_QK_NORM_NONE && a.router.has_correction && a.n_eos == 3);
    CHECK(gm_arch_tensor(&a, GM_ROLE_ROUTER, 3, 0, &slice));
    CHECK_TEXT(slice.name, "model.language_model.layers.3.mlp.gate.weight");
    CHECK_TEXT(a.family->other_prefix[0], "model.visual.");
    gm_arch_clear(&a);
}

/* Whether the embedding is the head may stand in either part, and in both when they agree. */
static void both_parts_of_glm_vision_say_what_the_head_is(void)
{
    static const char outer[] = "\"tie_word_embeddings\":false";
    static const struct {
        const char *own, *outer; /* of the text, and around it */
        bool refused, tied;
    } cases[] = {{NULL, "true", false, true},    {"true", NULL, false, true},
                 {"true", "true", false, true},  {"true", "false", true, false},
                 {"false", "true", true, false}, {NULL, NULL, false, false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char member[64] = "\"video_token_id\":1";
        gm_text text = {0};
        gm_json *config;
        gm_arch a;
        gm_error err = {0};
        CHECK_OK(gm_text_add(&text, glm_vision, &err), err);
        replace_text(&text, "\"video_token_id\":151364", "\"image_size\":2");
        if (cases[i].outer)
            snprintf(member, sizeof member, "\"tie_word_embeddings\":%s", cases[i].outer);
        replace_text(&text, outer, member);
        if (cases[i].own) {
            snprintf(member, sizeof member, "\"tie_word_embeddings\":%s,\"topk_group\":1",
                     cases[i].own);
            replace_text(&text, "\"topk_group\":1", member);
        }
        CHECK_OK(gm_json_parse(&config, text.at, text.n, "glm", &err), err);
        if (cases[i].refused)
            CHECK_FAILS(gm_arch_from_json(&a, config, "glm", NULL, NULL, &err), err, GM_EFORMAT,
                        "in 'text_config'; expected the same");
        else
            CHECK_OK(gm_arch_from_json(&a, config, "glm", NULL, NULL, &err), err);
        CHECK(a.tied_head == cases[i].tied);
        gm_arch_clear(&a);
        gm_json_free(config);
        gm_text_clear(&text);
    }
}

/* upstage/Solar-Open-100B */
static const char solar[] =
    "{\"architectures\":[\"SolarOpenForCausalLM\"],\"attention_bias\":false,"
    "\"attention_dropout\":0.0,\"bos_token_id\":1,\"eos_token_id\":2,"
    "\"first_k_dense_replace\":0,\"head_dim\":128,\"hidden_act\":\"silu\","
    "\"hidden_size\":4096,\"initializer_range\":0.02,\"intermediate_size\":10240,"
    "\"max_position_embeddings\":131072,\"model_type\":\"solar_open\","
    "\"moe_intermediate_size\":1280,\"n_group\":1,\"n_routed_experts\":128,"
    "\"n_shared_experts\":1,\"norm_topk_prob\":true,\"num_attention_heads\":64,"
    "\"num_experts_per_tok\":8,\"num_hidden_layers\":48,\"num_key_value_heads\":8,"
    "\"pad_token_id\":2,\"partial_rotary_factor\":1.0,\"rms_norm_eps\":1e-05,"
    "\"rope_scaling\":{\"factor\":2.0,\"original_max_position_embeddings\":65536,"
    "\"rope_type\":\"yarn\"},\"rope_theta\":1000000,\"routed_scaling_factor\":1.0,"
    "\"tie_word_embeddings\":false,\"topk_group\":1,\"use_cache\":true,"
    "\"use_qk_norm\":false,\"vocab_size\":196608}";

static void reads_solar(void)
{
    gm_arch a = read_config_text(solar);
    check_parameters(&a, 102651799552.0, 12054833152.0, 0.0); /* announced: 102 B, 12 B */
    CHECK(a.n_moe == 48 && a.rope.yarn && a.rope.dim == 128 && !a.attention_bias &&
          a.qk_norm == GM_QK_NORM_NONE && a.shared_width == 1280 && a.router.renormalise);
    gm_arch_clear(&a);
}

/* A config in which `from` has become `to`. */
static void check_changed(const char *config, const char *from, const char *to, const char *says)
{
    char text[2048];
    gm_json *json = NULL;
    gm_arch a;
    gm_error err = {0};
    const char *at = strstr(config, from);
    CHECK(at != NULL);
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - config), config, to, at + strlen(from));
    CHECK_OK(gm_json_parse(&json, text, strlen(text), "config", &err), err);
    CHECK_FAILS(gm_arch_from_json(&a, json, "config", NULL, NULL, &err), err, GM_EFORMAT, says);
    gm_json_free(json);
}

static void refuses_other_relatives_of_glm(void)
{
    static const char norms[] = "\"use_qk_norm\":false", normed[] = "\"use_qk_norm\":true";
    check_changed(glm_vision, norms, normed, "'use_qk_norm' is true, but only false");
    check_changed(solar, norms, normed, "'use_qk_norm' is true, but only false");
    check_changed(glm_vision, "\"text_config\"", "\"text\"", "'text_config' is not an object");
    check_changed(solar, "dense_replace\":0", "dense_replace\":1", "1 of 48 layers are dense");
    check_changed(solar, "rotary_factor\":1.0", "rotary_factor\":0.5",
                  "'partial_rotary_factor' is 0.5, but only 1");
}

static void reads_dots(void)
{
    gm_arch a = read_corrected(dots, 142.77e9, 14.017e9);
    CHECK(a.router.scoring == GM_SCORE_SIGMOID && a.qk_norm == GM_QK_NORM_HEAD);
    CHECK_NEAR(a.router.scale, 2.5, 0);
    CHECK(a.n_moe == 61 && a.shared_width == 2816 && a.rope.dim == 128 && a.window == NULL);
    gm_arch_clear(&a);
}

static void reads_ernie(void)
{
    gm_slice slice;
    gm_arch a = read_corrected(ernie, 21.83e9, 3.352e9);
    CHECK(a.router.scoring == GM_SCORE_SOFTMAX && a.rope.neighbours && a.tied_head);
    CHECK_NEAR(a.router.least_sum, 1e-12, 1e-18);
    CHECK(a.n_moe == 27 && a.moe_of_layer[0] == -1 && a.n_chosen == 6 && a.n_mtp == 1);
    CHECK(gm_arch_tensor(&a, GM_ROLE_ROUTER_CORRECTION, 3, 0, &slice) && slice.cols == 64);
    CHECK_TEXT(slice.name, "model.layers.3.mlp.moe_statics.e_score_correction_bias");
    gm_arch_clear(&a);
}

static void reads_minimax(void)
{
    gm_slice slice;
    gm_arch a = read_corrected(minimax, 228.69e9, 11.03e9);
    CHECK(a.router.scoring == GM_SCORE_SIGMOID && a.qk_norm == GM_QK_NORM_FULL);
    CHECK(a.rope.dim == 64 && a.n_moe == 62 && a.n_shared == 0 && a.n_mtp == 3);
    CHECK(gm_arch_tensor(&a, GM_ROLE_ROUTER_CORRECTION, 3, 0, &slice) && slice.cols == 256);
    CHECK_TEXT(slice.name, "model.layers.3.block_sparse_moe.e_score_correction_bias");
    gm_arch_clear(&a);
}

/* Layers with experts: from a first to a last one, every other. */
static void ernies_layers_lie_between_two(void)
{
    gm_arch a;
    gm_error err = {0};
    copy_model("changed", ERNIE, "num_hidden_layers", "9");
    copy_model("changed-2", "changed", "moe_layer_interval", "2");
    copy_model("changed-3", "changed-2", "moe_layer_end_index", "6");
    CHECK_OK(gm_arch_read(&a, "changed-3", &err), err);
    for (int l = 0; l < a.n_layers; l++)
        CHECK_INT(a.moe_of_layer[l] >= 0, l == 1 || l == 3 || l == 5);
    gm_arch_clear(&a);
    copy_model("changed-3", "changed-2", "moe_layer_end_index", "-1");
    CHECK_OK(gm_arch_read(&a, "changed-3", &err), err);
    CHECK_INT(a.n_moe, 4); /* 7 too */
    gm_arch_clear(&a);
}

static void refuses_what_is_computed_in_one_way_only(void)
{
    static const char *const changes[][4] = {
        {DOTS, "scoring_func", "\"softmax\"", "'scoring_func' is 'softmax', but only 'sigmoid'"},
        {DOTS, "max_window_layers", "1", "after the first 1 of 2 layers"},
        {"no-types", "max_window_layers", "1", "after the first 1 of 2 layers"},
        {DOTS, "layer_types", "[\"full_attention\", \"sliding_attention\"]", "'layer_types'"},
        {ERNIE, "moe_use_aux_free", "false", "'moe_use_aux_free' is false, but only true"},
        {ERNIE, "moe_gate", "\"hash\"", "'moe_gate'"},
        {ERNIE, "moe_k", "11", "'moe_k' is 11, expected at most the 10 experts"},
        {ERNIE, "moe_k", NULL, "'moe_k'"},
        {ERNIE, "moe_layer_start_index", "2", "none of the 3 layers"},
        {MINIMAX, "rotary_dim", "5", "'rotary_dim' rotates 5 of a head's 12 elements"},
        {MINIMAX, "partial_rotary_factor", "0.5",
         "'rotary_dim' and 'partial_rotary_factor' disagree"},
        {MINIMAX, "attn_type_list", "[1, 0]", "'attn_type_list'"},
        {MINIMAX, "quantization_config", "{\"quant_method\": \"hqq\"}", "quantised with 'hqq'"},
    };
    copy_model("no-types", DOTS, "layer_types", "null"); /* null counts as absent */
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++)
        check_refused(changes[i][0], changes[i][1], changes[i][2], changes[i][3]);
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
        {"quantization_config", "{\"quant_method\": \"fp8\", \"weight_block_size\": 7}",
         "'weight_block_size'"},
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++)
        check_refused(GLM, changes[i][0], changes[i][1], changes[i][2]);
}

/* The digest of the config tells apart what the same tensors compute by. */
static void what_turns_and_how_they_are_weighed_is_in_the_digest(void)
{
    static const char *const changes[][2] = {
        {"partial_rotary_factor", "1.0"}, {"routed_scaling_factor", "2.0"}, {"topk_group", "1"},
        {"norm_topk_prob", "false"},      {"use_cache", "false"},
    };
    check_digests(GLM, changes, sizeof changes / sizeof changes[0], 1);
}

static void further_tokens_are_known_and_not_read(void)
{
    static const char *const folder[] = {GLM, ERNIE, MINIMAX, DOTS};
    static const int bytes[] = {(16 + 16 * 32) * 2, 16 * 2, 16 * 2, 0};
    for (int i = 0; i < 4; i++) {
        gm_model *model = NULL;
        gm_error err = {0};
        const gm_model_options options = {.headers_only = true};
        CHECK_OK(gm_model_open(&model, folder[i], &options, &err), err);
        CHECK_INT(gm_model_get_info(model)->mtp_bytes, bytes[i]);
        gm_model_close(model);
    }
    gm_model *model = NULL;
    gm_error err = {0};
    copy_model("fewer", MINIMAX, "num_mtp_modules", "2"); /* whose tensors are of the third */
    CHECK_FAILS(gm_model_open(&model, "fewer", NULL, &err), err, GM_EFORMAT, "'model.layers.4");
}

/* A copy of a model whose tensor `name` has `value`, as it is stored, for its second element. */
static void spoil(const char *to, const char *from, const char *name, const void *value)
{
    enum { MOST = 256 };
    static gm_tensor tensor[MOST];
    unsigned char data[64];
    char path[128];
    gm_checkpoint *c = NULL;
    gm_error err = {0};
    copy_model(to, from, "use_cache", "true");
    CHECK_OK(gm_checkpoint_open(&c, from, &err), err);
    const size_t n = gm_checkpoint_n(c);
    CHECK(n <= MOST);
    for (size_t i = 0; i < n; i++) {
        tensor[i] = *gm_checkpoint_at(c, i);
        if (strcmp(tensor[i].name, name) != 0) continue;
        const size_t size = gm_dtype_bytes(tensor[i].dtype);
        CHECK(tensor[i].n_bytes <= sizeof data);
        memcpy(data, tensor[i].data, tensor[i].n_bytes);
        memcpy(data + size, value, size);
        tensor[i].data = data;
    }
    snprintf(path, sizeof path, "%s/model.safetensors", to);
    (void)unlink(path);
    CHECK_OK(gm_safetensors_write(path, true, tensor, n, NULL, 0, &err), err);
    gm_checkpoint_close(c);
}

static void what_orders_experts_is_finite(void)
{
    static const char correction[] = "model.layers.2.mlp.gate.e_score_correction_bias";
    static const char sinks[] = "model.layers.1.self_attn.sinks";
    const float nan_f32 = NAN;
    const uint16_t infinite_bf16 = 0x7f80;
    const gm_model_options headers = {.headers_only = true};
    gm_model *model = NULL;
    gm_error err = {0};
    spoil("spoilt", GLM, correction, &nan_f32);
    CHECK_FAILS(gm_model_open(&model, "spoilt", NULL, &err), err, GM_EFORMAT, correction);
    CHECK_HAS(err.text, "element 1 of");
    CHECK_HAS(err.text, "expected a finite number");
    CHECK_OK(gm_model_open(&model, "spoilt", &headers, &err), err); /* which reads no weights */
    gm_model_close(model);
    spoil("spoilt-sinks", MODELS "gptoss-tiny", sinks, &infinite_bf16);
    CHECK_FAILS(gm_model_open(&model, "spoilt-sinks", NULL, &err), err, GM_EFORMAT, sinks);
}

TESTS(TEST(reads_glm), TEST(reads_the_text_of_glm_vision),
      TEST(both_parts_of_glm_vision_say_what_the_head_is), TEST(reads_solar),
      TEST(refuses_other_relatives_of_glm), TEST(reads_dots), TEST(reads_ernie),
      TEST(reads_minimax), TEST(ernies_layers_lie_between_two),
      TEST(refuses_what_is_computed_in_one_way_only), TEST(refuses_groups_that_cannot_be),
      TEST(what_turns_and_how_they_are_weighed_is_in_the_digest),
      TEST(further_tokens_are_known_and_not_read), TEST(what_orders_experts_is_finite))
