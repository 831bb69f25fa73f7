/* test_families_renamed.c - families whose mathematics another's golden covers: Hy3 gives what
 * dots.llm1 gives of the same numbers, sarvam-105b what DeepSeek-V3 gives, Qwen3-Omni what
 * Qwen3-MoE gives; and what is refused of them and of Mellum 2 and GraniteMoeShared.
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

static void refuses_what_is_not_computed(void)
{
    static const char *const changes[][4] = {
        {MODELS "mellum-tiny", "rope_scaling", "{\"factor\": 2}", "'rope_scaling' is not supp"},
        {MODELS "mellum-tiny", "attention_bias", "true", "'attention_bias' is true"},
        {MODELS "mellum-tiny", "sliding_window", NULL, "'sliding_window' is missing"},
        {MODELS "granite-shared-tiny", "shared_intermediate_size", "-1", "'shared_inter"},
        {MODELS "granite-shared-tiny", "num_local_experts", NULL, "'num_local_experts'"},
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        gm_arch a;
        gm_error err = {0};
        copy_model("changed", changes[i][0], changes[i][1], changes[i][2]);
        CHECK_FAILS(gm_arch_read(&a, "changed", &err), err, GM_EFORMAT, changes[i][3]);
    }
}

TESTS(TEST(hy_computes_dots), TEST(sarvam_computes_deepseek), TEST(omni_computes_qwen),
      TEST(refuses_what_is_not_computed))
