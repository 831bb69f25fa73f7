/* test_families_renamed.c - families whose mathematics another's golden covers: Hy3 gives what
 * dots.llm1 gives of the same numbers, sarvam-105b what DeepSeek-V3 gives, Qwen3-Omni what
 * Qwen3-MoE gives, ERNIE-4.5-VL what ERNIE 4.5 gives; and what is refused of them and of Mellum 2
 * and GraniteMoeShared.
 */
#include "engine/families.h"
#include "tests/engine_run.h"
#include "tests/model_copy.h"
#include "tests/named_tensors.h"

#define MODELS TEST_DATA "/golden/models/"

typedef const char *pair[2];

/* The tensors of `from`, each name with what pairs say replaced, beside `config`. */
static void write_renamed(const char *folder, const char *from, const pair *names, size_t n,
                          const char *config)
{
    gm_checkpoint *c;
    gm_error err = {0};
    named_tensors *all = gm_alloc(1, sizeof *all);
    CHECK_OK(gm_checkpoint_open(&c, from, &err), err);
    for (size_t i = 0; i < gm_checkpoint_n(c); i++) {
        const gm_tensor *t = gm_checkpoint_at(c, i);
        gm_text text = {0};
        CHECK_OK(gm_text_add(&text, t->name, &err), err);
        for (size_t k = 0; k < n; k++)
            if (strstr(text.at, names[k][0])) replace_text(&text, names[k][0], names[k][1]);
        name_tensor(all, text.at, *t);
        gm_text_clear(&text);
    }
    write_named(all, folder, config);
    gm_checkpoint_close(c);
    gm_free(all);
}

static void gives_the_same(const char *folder, const char *from)
{
    outcome want = run_forty_of(from), got = run_forty_of(folder);
    check_same(folder, &got, &want);
    outcome_free(&want);
    outcome_free(&got);
}

static void hy_computes_dots(void)
{
    static const pair names[] = {{".mlp.gate.e_score_correction_bias", ".mlp.expert_bias"},
                                 {".mlp.gate.weight", ".mlp.router.gate.weight"},
                                 {".mlp.shared_experts.", ".mlp.shared_mlp."}};
    write_renamed("hy", MODELS "dots-tiny", names, 3,
                  "{\"architectures\":[\"HYV3ForCausalLM\"],\"model_type\":\"hy_v3\","
                  "\"hidden_size\":16,\"intermediate_size\":36,\"max_position_embeddings\":128,"
                  "\"moe_intermediate_size\":8,\"num_attention_heads\":4,\"num_experts\":8,"
                  "\"num_experts_per_tok\":3,\"num_hidden_layers\":2,\"num_key_value_heads\":4,"
                  "\"num_shared_experts\":2,\"rms_norm_eps\":0.001,\"rope_theta\":5000.0,"
                  "\"router_scaling_factor\":2.5,\"vocab_size\":290}");
    gives_the_same("hy", MODELS "dots-tiny");
}

static void sarvam_computes_deepseek(void)
{
    copy_model("sarvam", MODELS "deepseek-v3-tiny", "model_type", "\"sarvam_mla\"");
    gives_the_same("sarvam", MODELS "deepseek-v3-tiny");
}

/* Qwen3-MoE in an object of an object; the outermost says which id ends a text. */
static void omni_computes_qwen(void)
{
    static const pair names[] = {{"model.", "thinker.model."}, {"lm_head.", "thinker.lm_head."}};
    gm_text inner = {0}, config = {0};
    gm_error err = {0};
    gm_arch a;
    CHECK_OK(gm_text_read_file(&inner, MODELS "qwen3-tiny/config.json", 1 << 16, &err), err);
    replace_text(&inner, "\"eos_token_id\": 2", "\"eos_token_id\": null");
    CHECK_OK(gm_text_printf(&config, &err,
                            "{\"architectures\":[\"Qwen3OmniMoeForConditionalGeneration\"],"
                            "\"im_end_token_id\":7,\"model_type\":\"qwen3_omni_moe\","
                            "\"thinker_config\":{\"text_config\":%s}}",
                            inner.at),
             err);
    write_renamed("omni", MODELS "qwen3-tiny", names, 2, config.at);
    gives_the_same("omni", MODELS "qwen3-tiny");
    CHECK_OK(gm_arch_read(&a, "omni", &err), err);
    CHECK(a.inside && a.n_eos == 1 && a.eos[0] == 7);
    gm_arch_clear(&a);
    gm_text_clear(&inner);
    gm_text_clear(&config);
}

/* ---- ERNIE-4.5-VL: a router as columns, experts, a router and a correction for images ---- */

#define ERNIE MODELS "ernie-tiny"
#define ERNIE_VISION(angles, sections, widths)                                                    \
    "{\"architectures\":[\"Ernie4_5_VLMoeForConditionalGeneration\"],\"model_type\":"             \
    "\"ernie4_5_vl_moe\",\"image_token_id\":7,\"tie_word_embeddings\":true,\"text_config\":{"     \
    "\"bos_token_id\":1,\"hidden_size\":16,\"intermediate_size\":36,\"max_position_embeddings\":" \
    "128,\"mlp_layer_types\":[\"sparse\",\"sparse\",\"dense\"],\"moe_intermediate_size\":" widths \
    ",\"moe_k\":3,\"moe_norm_min\":0.7,\"moe_num_experts\":10,\"moe_num_shared_experts\":2,"      \
    "\"num_attention_heads\":4,\"num_hidden_layers\":3,\"num_key_value_heads\":2,"                \
    "\"num_nextn_predict_layers\":1,\"rms_norm_eps\":0.001,\"" angles "\":{"                      \
    "\"mrope_section\":" sections ",\"rope_theta\":5000.0,\"rope_type\":\"default\"},"            \
    "\"tie_word_embeddings\":true,\"vocab_size\":290}}"

/* (rows, cols) of bf16 as (cols, rows), the caller's. */
static gm_tensor transposed(gm_tensor t)
{
    const size_t rows = t.dim[0], cols = t.dim[1];
    uint16_t *to = gm_alloc2(cols, rows, sizeof *to);
    CHECK(t.dtype == GM_BF16 && t.rank == 2);
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < cols; c++)
            memcpy(&to[c * rows + r], (const char *)t.data + (r * cols + c) * sizeof *to,
                   sizeof *to);
    t.dim[0] = cols, t.dim[1] = rows, t.data = to;
    return t;
}

/* A correction for text, and one for images that would change every choice; the caller's. */
static gm_tensor both_corrections(gm_tensor t)
{
    const size_t n = t.dim[1];
    float *to = gm_alloc2(2, n, sizeof *to);
    CHECK(t.dtype == GM_F32 && t.rank == 2 && t.dim[0] == 1);
    memcpy(to, t.data, n * sizeof *to);
    for (size_t i = 0; i < n; i++) to[n + i] = i % 2 ? 9.0f : -9.0f;
    t.dim[0] = 2, t.data = to, t.n_bytes *= 2;
    return t;
}

static void ernie_vision_computes_ernie(void)
{
    gm_checkpoint *c;
    gm_error err = {0};
    void *mine[8];
    size_t n_mine = 0;
    named_tensors *all = gm_alloc(1, sizeof *all);
    CHECK_OK(gm_checkpoint_open(&c, ERNIE, &err), err);
    for (size_t i = 0; i < gm_checkpoint_n(c); i++) {
        gm_tensor t = *gm_checkpoint_at(c, i);
        char name[96];
        const bool router = gm_ends_in(t.name, ".mlp.gate.weight");
        const bool correction = gm_ends_in(t.name, "e_score_correction_bias");
        if (router) t = transposed(t);
        if (correction) t = both_corrections(t);
        if (router || correction) mine[n_mine++] = (void *)(uintptr_t)t.data;
        name_tensor(all, t.name, t);
        snprintf(name, sizeof name, "%s_1", t.name);
        if (router) name_tensor(all, name, t);
        if (strcmp(t.name, "model.layers.1.mlp.experts.3.up_proj.weight") == 0)
            name_tensor(all, "model.layers.1.mlp.experts.13.up_proj.weight", t);
        if (strcmp(t.name, "model.norm.weight") == 0)
            name_tensor(all, "model.vision_model.ln.weight", t);
    }
    write_named(all, "ernie-vision", ERNIE_VISION("rope_parameters", "[1,1,0]", "[8,4]"));
    gives_the_same("ernie-vision", ERNIE);
    for (size_t i = 0; i < n_mine; i++) gm_free(mine[i]);
    gm_checkpoint_close(c);
    gm_free(all);
}

static void ernie_vision_refuses(void)
{
    static const char *const cases[][2] = {
        {ERNIE_VISION("rope_parameters", "[2,1,0]", "[8,4]"),
         "'mrope_section' does not begin with two equal"},
        {ERNIE_VISION("rope_scaling", "[2,1,0]", "[8,4]"),
         "'mrope_section' does not begin with two equal"},
        {ERNIE_VISION("rope_parameters", "[1,1,0]", "8"),
         "'moe_intermediate_size' is not a list that begins with"},
        {"{\"architectures\":[\"Ernie4_5_VLMoeForConditionalGeneration\"],\"model_type\":"
         "\"ernie4_5_moe_vl\",\"moe_num_experts\":[64,64]}",
         "'text_config' is not an object"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        gm_arch a;
        gm_json *json;
        gm_error err = {0};
        CHECK_OK(gm_json_parse(&json, cases[i][0], strlen(cases[i][0]), "vl", &err), err);
        CHECK_FAILS(gm_arch_from_json(&a, json, "vl", NULL, NULL, &err), err, GM_EFORMAT,
                    cases[i][1]);
        gm_json_free(json);
    }
}

static void refuses_what_is_not_computed(void)
{
    static const char *const changes[][4] = {
        {MODELS "mellum-tiny", "rope_scaling", "{\"factor\": 2}", "'rope_scaling' is not supp"},
        {MODELS "mellum-tiny", "attention_bias", "true", "'attention_bias' is true"},
        {MODELS "mellum-tiny", "sliding_window", NULL, "'sliding_window' is missing"},
        {MODELS "granite-shared-tiny", "shared_intermediate_size", "-1", "'shared_inter"},
        {MODELS "granite-shared-tiny", "num_local_experts", NULL, "'num_local_experts'"},
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++)
        check_refused(changes[i][0], changes[i][1], changes[i][2], changes[i][3]);
}

TESTS(TEST(hy_computes_dots), TEST(sarvam_computes_deepseek), TEST(omni_computes_qwen),
      TEST(ernie_vision_computes_ernie), TEST(ernie_vision_refuses),
      TEST(refuses_what_is_not_computed))
