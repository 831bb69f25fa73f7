/* test_families_fused.c - Ling 2.0, Sarvam and DBRX (engine/families_fused.c): published configs,
 * where queries, keys and values lie in their tensor, what is refused, and that the first two give
 * what dots.llm1, whose mathematics is theirs, gives of the same numbers.
 */
#include "engine/families.h"
#include "tests/config_text.h"
#include "tests/engine_run.h"
#include "tests/model_copy.h"
#include "tests/named_tensors.h"

#define DOTS TEST_DATA "/golden/models/dots-tiny"

/* inclusionAI/Ling-mini-2.0's sizes and flags, in its keys. */
static const char ling[] =
    "{\"architectures\":[\"BailingMoeV2ForCausalLM\"],\"attention_dropout\":0.0,"
    "\"embedding_dropout\":0.0,\"eos_token_id\":156892,\"first_k_dense_replace\":1,"
    "\"head_dim\":128,\"hidden_act\":\"silu\",\"hidden_size\":2048,\"initializer_range\":0.02,"
    "\"intermediate_size\":5120,\"max_position_embeddings\":32768,\"max_window_layers\":20,"
    "\"model_type\":\"bailing_moe\",\"moe_intermediate_size\":512,"
    "\"moe_router_enable_expert_bias\":true,\"moe_shared_expert_intermediate_size\":512,"
    "\"n_group\":8,\"norm_topk_prob\":true,\"num_attention_heads\":16,\"num_experts\":256,"
    "\"num_experts_per_tok\":8,\"num_hidden_layers\":20,\"num_key_value_heads\":4,"
    "\"num_shared_experts\":1,\"output_dropout\":0.0,\"pad_token_id\":156892,"
    "\"partial_rotary_factor\":0.5,\"rms_norm_eps\":1e-06,\"rope_scaling\":null,"
    "\"rope_theta\":600000,\"routed_scaling_factor\":2.5,\"router_dtype\":\"fp32\","
    "\"score_function\":\"sigmoid\",\"tie_word_embeddings\":false,\"topk_group\":4,"
    "\"torch_dtype\":\"bfloat16\",\"use_bias\":false,\"use_cache\":true,\"use_qk_norm\":true,"
    "\"use_qkv_bias\":false,\"use_rmsnorm\":true,\"vocab_size\":157184}";

/* sarvamai/sarvam-30b's sizes, in the keys that transformers saves. */
static const char sarvam[] =
    "{\"architectures\":[\"Glm4MoeForCausalLM\"],\"attention_bias\":false,\"eos_token_id\":1,"
    "\"first_k_dense_replace\":1,\"head_dim\":64,\"hidden_act\":\"silu\",\"hidden_size\":4096,"
    "\"intermediate_size\":8192,\"max_position_embeddings\":131072,"
    "\"model_type\":\"sarvam_moe\",\"moe_intermediate_size\":1024,\"n_group\":1,"
    "\"n_routed_experts\":128,\"n_shared_experts\":1,\"norm_topk_prob\":true,"
    "\"num_attention_heads\":64,\"num_experts_per_tok\":6,\"num_hidden_layers\":19,"
    "\"num_key_value_heads\":4,\"num_mtp_layers\":0,\"rms_norm_eps\":1e-06,"
    "\"rope_parameters\":{\"partial_rotary_factor\":1.0,\"rope_theta\":8000000.0,"
    "\"rope_type\":\"default\"},\"routed_scaling_factor\":2.5,\"topk_group\":1,"
    "\"use_qk_norm\":true,\"vocab_size\":262144}";

static void check_rows(const gm_arch *a, gm_role role, size_t first, size_t rows, size_t tall)
{
    gm_slice s;
    CHECK(gm_arch_tensor(a, role, 3, 0, &s));
    CHECK_TEXT(s.name, "model.layers.3.attention.query_key_value.weight");
    CHECK(s.first == first && s.rows == rows && s.tall == tall && s.heads == 0);
}

static void reads_ling(void)
{
    gm_slice s;
    gm_arch a = read_config_text(ling);
    check_parameters(&a, 16255643392.0, 1432973056.0, 0.0); /* transformers', as sarvam_moe */
    CHECK(a.n_moe == 19 && a.n_shared == 1 && a.shared_width == 512 && a.n_mtp == 0);
    CHECK(a.rope.dim == 64 && !a.rope.neighbours && a.rope.theta == 6e5);
    CHECK(a.qk_norm == GM_QK_NORM_HEAD && a.router.scoring == GM_SCORE_SIGMOID);
    CHECK(a.router.n_groups == 8 && a.router.top_groups == 4 && a.router.scale == 2.5f);
    CHECK(a.router.has_correction && a.router.renormalise);
    check_rows(&a, GM_ROLE_Q, 0, 2048, 3072);
    check_rows(&a, GM_ROLE_K, 2048, 512, 3072);
    check_rows(&a, GM_ROLE_V, 2560, 512, 3072);
    CHECK(gm_arch_tensor(&a, GM_ROLE_ROUTER_CORRECTION, 3, 0, &s));
    CHECK_TEXT(s.name, "model.layers.3.mlp.gate.expert_bias");
    gm_arch_clear(&a);
}

/* The model's type says which of two families has the architecture. */
static void reads_sarvam(void)
{
    gm_arch a = read_config_text(sarvam);
    check_parameters(&a, 32152650368.0, 4520575616.0, 0.0); /* transformers' */
    CHECK_TEXT(a.family->name, "sarvam-moe");
    CHECK(a.n_moe == 18 && a.rope.dim == 64 && a.rope.theta == 8e6 && a.router.n_groups == 1);
    gm_arch_clear(&a);
    CHECK_TEXT(gm_family_find("Glm4MoeForCausalLM", "glm4_moe")->name, "glm4-moe");
    CHECK_TEXT(gm_family_find("Glm4MoeForCausalLM", NULL)->name, "glm4-moe");
    CHECK_TEXT(gm_family_find("SarvamMoEForCausalLM", NULL)->name, "sarvam-moe");
}

static gm_arch changed(const char *config, const char *from, const char *to)
{
    gm_text text = {0};
    gm_error err = {0};
    CHECK_OK(gm_text_add(&text, config, &err), err);
    replace_text(&text, from, to);
    gm_arch a = read_config_text(text.at);
    gm_text_clear(&text);
    return a;
}

/* The weight of a single expert is its score in Ling's code, and 1 in transformers. */
static void a_single_expert(void)
{
    static const char *const config[] = {ling, sarvam};
    static const char *const chosen[] = {"\"num_experts_per_tok\":8", "\"num_experts_per_tok\":6"};
    for (int i = 0; i < 2; i++) {
        gm_arch a = changed(config[i], chosen[i], "\"num_experts_per_tok\":1");
        CHECK_INT(a.router.renormalise, i == 1);
        gm_arch_clear(&a);
    }
}

static void what_the_config_leaves_out(void)
{
    gm_arch a = changed(ling, "\"num_shared_experts\":1,", "");
    CHECK_INT(a.n_shared, 1);
    gm_arch_clear(&a);
    a = changed(ling, "\"num_shared_experts\":1,", "\"num_nextn_predict_layers\":1,");
    CHECK_INT(a.n_mtp, 1);
    gm_arch_clear(&a);
    a = changed(ling, "\"first_k_dense_replace\":1,", "");
    CHECK_INT(a.n_moe, 20);
    gm_arch_clear(&a);
    a = changed(sarvam, "\"first_k_dense_replace\":1,", "");
    CHECK_INT(a.n_moe, 18);
    gm_arch_clear(&a);
}

static void refuses_what_is_not_computed(void)
{
    static const char *const changes[][3] = {
        {"\"score_function\":\"sigmoid\"", "\"score_function\":\"softmax\"",
         "'score_function' is 'softmax', but only 'sigmoid'"},
        {"\"use_cache\":true", "\"scoring_func\":\"softmax\"", "'scoring_func' is 'softmax'"},
        {"\"use_cache\":true", "\"topk_method\":\"greedy\"", "'topk_method' is 'greedy'"},
        {"\"norm_topk_prob\":true", "\"norm_topk_prob\":false", "'norm_topk_prob' is false"},
        {"\"moe_router_enable_expert_bias\":true", "\"moe_router_enable_expert_bias\":false",
         "'moe_router_enable_expert_bias' is false"},
        {"\"use_qkv_bias\":false", "\"use_qkv_bias\":true", "'use_qkv_bias' is true"},
        {"\"use_bias\":false", "\"use_bias\":true", "'use_bias' is true"},
        {"\"use_rmsnorm\":true", "\"use_rmsnorm\":false", "'use_rmsnorm' is false"},
        {"\"n_group\":8,", "", "'n_group' is missing"},
        {"\"topk_group\":4", "\"topk_group\":9", "'topk_group'"},
        {"\"routed_scaling_factor\":2.5,", "", "'routed_scaling_factor' is missing"},
        {"\"moe_intermediate_size\":512,", "\"moe_intermediate_size\":0,",
         "'moe_intermediate_size'"},
        {"\"num_experts\":256,", "", "'num_experts' is missing"},
        {"\"num_experts\":256,", "\"num_experts\":256,\"n_routed_experts\":128,",
         "'num_experts' is 256, but 'n_routed_experts' is 128; expected the same"},
        {"\"rope_scaling\":null", "\"rope_scaling\":{\"type\":\"yarn\",\"factor\":4}",
         "has type 'yarn', but only 'default'"},
        {"\"use_cache\":true", "\"use_sliding_window\":true", "'use_sliding_window' is true"},
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        gm_json *config = NULL;
        gm_arch a;
        gm_text text = {0};
        gm_error err = {0};
        CHECK_OK(gm_text_add(&text, ling, &err), err);
        replace_text(&text, changes[i][0], changes[i][1]);
        CHECK_OK(gm_json_parse(&config, text.at, text.n, "config", &err), err);
        CHECK_FAILS(gm_arch_from_json(&a, config, "config", NULL, NULL, &err), err, GM_EFORMAT,
                    changes[i][2]);
        gm_json_free(config);
        gm_text_clear(&text);
    }
}

/* ---- the same numbers ---- */

/* dots-tiny in the keys of each family, which turns whole heads. */
#define TINY                                                                                 \
    "\"first_k_dense_replace\":1,\"hidden_size\":16,\"intermediate_size\":36,"               \
    "\"max_position_embeddings\":128,\"moe_intermediate_size\":8,\"num_attention_heads\":4," \
    "\"num_experts_per_tok\":3,\"num_hidden_layers\":2,\"num_key_value_heads\":4,"           \
    "\"rms_norm_eps\":0.001,\"rope_theta\":5000.0,\"vocab_size\":290}"
static const char *const tiny[][2] = {
    {"Ling", "{\"architectures\":[\"BailingMoeV2ForCausalLM\"],\"model_type\":\"bailing_moe_v2\","
             "\"num_experts\":8,\"num_shared_experts\":2,\"n_group\":1,\"topk_group\":1,"
             "\"routed_scaling_factor\":2.5," TINY},
    {"Sarvam", "{\"architectures\":[\"SarvamMoEForCausalLM\"],\"model_type\":\"sarvam_moe\","
               "\"n_routed_experts\":8,\"n_shared_experts\":2," TINY},
};

enum { LAYERS = 2, ROWS = 16, WIDTH = 16 }; /* of queries, and of keys and values */

/* Is it a projection that lies in the tensor of three? Then its numbers go there. */
static bool put_part(uint16_t fused[LAYERS][3 * ROWS * WIDTH], const gm_tensor *t)
{
    static const char parts[] = "qkv";
    int layer;
    char part;
    if (sscanf(t->name, "model.layers.%d.self_attn.%c", &layer, &part) != 2 || part == 'o' ||
        strstr(t->name, "_proj.") == NULL)
        return false;
    const size_t n = (size_t)ROWS * WIDTH;
    CHECK(t->dtype == GM_BF16 && t->dim[0] == ROWS && t->dim[1] == WIDTH);
    memcpy(fused[layer] + (size_t)(strchr(parts, part) - parts) * n, t->data,
           n * sizeof fused[0][0]);
    return true;
}

static void write_fused(const char *folder, const char *config)
{
    static const char *const names[][2] = {
        {"model.embed_tokens.", "model.word_embeddings."},
        {".self_attn.o_proj.", ".attention.dense."},
        {".self_attn.q_norm.", ".attention.query_layernorm."},
        {".self_attn.k_norm.", ".attention.key_layernorm."},
        {".gate.e_score_correction_bias", ".gate.expert_bias"},
    };
    static uint16_t fused[LAYERS][3 * ROWS * WIDTH];
    char name[96];
    gm_checkpoint *c;
    gm_error err = {0};
    named_tensors all = {0};
    CHECK_OK(gm_checkpoint_open(&c, DOTS, &err), err);
    for (size_t i = 0; i < gm_checkpoint_n(c); i++) {
        const gm_tensor *t = gm_checkpoint_at(c, i);
        gm_text text = {0};
        if (put_part(fused, t)) continue;
        CHECK_OK(gm_text_add(&text, t->name, &err), err);
        for (size_t k = 0; k < sizeof names / sizeof names[0]; k++)
            if (strstr(text.at, names[k][0])) replace_text(&text, names[k][0], names[k][1]);
        name_tensor(&all, text.at, *t);
        gm_text_clear(&text);
    }
    for (int l = 0; l < LAYERS; l++) {
        snprintf(name, sizeof name, "model.layers.%d.attention.query_key_value.weight", l);
        name_tensor(&all, name,
                    (gm_tensor){.dtype = GM_BF16,
                                .rank = 2,
                                .dim = {3 * ROWS, WIDTH},
                                .data = fused[l],
                                .n_bytes = sizeof fused[l]});
    }
    write_named(&all, folder, config);
    gm_checkpoint_close(c);
}

static void they_compute_dots_under_other_names(void)
{
    outcome want = run_forty_of(DOTS);
    for (size_t i = 0; i < sizeof tiny / sizeof tiny[0]; i++) {
        write_fused("fused", tiny[i][1]);
        outcome got = run_forty_of("fused");
        check_same(tiny[i][0], &got, &want);
        outcome_free(&got);
    }
    outcome_free(&want);
}

/* ---- DBRX ---- */

#define DBRX TEST_DATA "/golden/models/dbrx-tiny"

/* databricks/dbrx-base's, as far as the model card and the class's documentation say it. */
static const char dbrx[] =
    "{\"architectures\":[\"DbrxForCausalLM\"],\"attn_config\":{\"clip_qkv\":8,\"kv_n_heads\":8,"
    "\"model_type\":\"\",\"rope_theta\":500000},\"d_model\":6144,\"emb_pdrop\":0.0,"
    "\"ffn_config\":{\"ffn_hidden_size\":10752,\"model_type\":\"\",\"moe_jitter_eps\":0,"
    "\"moe_loss_weight\":0.05,\"moe_num_experts\":16,\"moe_top_k\":4},"
    "\"initializer_range\":0.02,\"max_seq_len\":32768,\"model_type\":\"dbrx\",\"n_heads\":48,"
    "\"n_layers\":40,\"output_router_logits\":false,\"resid_pdrop\":0.0,"
    "\"router_aux_loss_coef\":0.05,\"tie_word_embeddings\":false,\"torch_dtype\":\"bfloat16\","
    "\"transformers_version\":\"4.38.2\",\"use_cache\":true,\"vocab_size\":100352}";

static void reads_dbrx(void)
{
    gm_slice s;
    gm_arch a = read_config_text(dbrx);
    check_parameters(&a, 131596523520.0, 36469708800.0,
                     0.0); /* transformers'; announced: 132 and 36 B */
    CHECK(a.n_layers == 40 && a.n_heads == 48 && a.n_kv_heads == 8 && a.head_dim == 128);
    CHECK(a.max_context == 32768 && a.n_experts == 16 && a.n_chosen == 4 && a.n_moe == 40);
    CHECK(a.rope.theta == 5e5 && a.clip_qkv == 8.0f && a.layer_norm && a.norm_epsilon == 1e-5f);
    CHECK(a.router.renormalise && a.router.scoring == GM_SCORE_SOFTMAX);
    CHECK(gm_arch_tensor(&a, GM_ROLE_V, 3, 0, &s) && s.first == 7168 && s.tall == 8192);
    CHECK_TEXT(s.name, "transformer.blocks.3.norm_attn_norm.attn.Wqkv.weight");
    CHECK(gm_arch_tensor(&a, GM_ROLE_EXPERT_UP, 3, 2, &s) && s.rows == 10752 && s.cols == 6144);
    CHECK(s.first == 2 * 10752 && s.tall == 16 * 10752 && s.stored == GM_STORED_ROWS);
    CHECK_TEXT(s.name, "transformer.blocks.3.ffn.experts.mlp.v1");
    CHECK(gm_arch_tensor(&a, GM_ROLE_EXPERT_DOWN, 3, 2, &s) && s.rows == 6144 && s.cols == 10752);
    CHECK(s.first == 2 * 10752 && s.tall == 16 * 10752 && s.stored == GM_STORED_COLUMNS);
    gm_arch_clear(&a);
}

/* The objects that transformers saves say much more, the same in both; a key that nobody knows is
 * named, whichever it stands in. */
static void what_stands_in_objects_of_dbrx(void)
{
    static const char saved[] = "{\"chunk_size_feed_forward\":0,\"dtype\":\"bfloat16\","
                                "\"hidden_size\":12,\"problem_type\":null,\"kv_n_heads\":1,"
                                "\"clip_qkv\":null,\"moe_loss_weight\":0,\"moe_top_k\":9,"
                                "\"new\":1,\"rope_theta\":20.0}";
    gm_error err = {0};
    gm_arch a;
    copy_model("changed", DBRX, "attn_config", saved);
    CHECK_OK(gm_arch_read(&a, "changed", &err), err);
    CHECK(a.clip_qkv == 0.0f && a.width == 12 && a.n_kv_heads == 1 && a.n_chosen == 3);
    CHECK_TEXT(a.unknown_keys, "moe_top_k, new"); /* that of the other object has another name */
    gm_arch_clear(&a);
    copy_model("by-ours", "changed", "d_model", NULL);
    CHECK_OK(gm_arch_read(&a, "by-ours", &err), err);
    CHECK_INT(a.width, 12);
    gm_arch_clear(&a);
    copy_model("by-both", DBRX, "hidden_size", "12");
    CHECK_OK(gm_arch_read(&a, "by-both", &err), err);
    CHECK_INT(a.width, 12);
    gm_arch_clear(&a);
    copy_model("changed", DBRX, "attn_config", "{\"kv_n_heads\":1,\"dtype\":null}");
    CHECK_OK(gm_arch_read(&a, "changed", &err), err);
    CHECK(a.rope.theta == 20.0);
    gm_arch_clear(&a);
    check_refused(DBRX, "hidden_size", "24", "'d_model' and 'hidden_size' disagree");
    check_refused(DBRX, "attn_config", "[1]", "'num_key_value_heads' is missing");
    check_refused(DBRX, "attn_config", "{\"kv_n_heads\":1,\"rope_theta\":500000}",
                  "'rope_theta' is 500000 in 'attn_config', but 20 in another place");
    check_refused(DBRX, "rope_scaling", "{\"type\":\"linear\",\"factor\":2}", "linear");
    check_refused(DBRX, "mlp_bias", "true", "'mlp_bias' is true");
}

TESTS(TEST(reads_dbrx), TEST(what_stands_in_objects_of_dbrx), TEST(reads_ling), TEST(reads_sarvam),
      TEST(a_single_expert), TEST(what_the_config_leaves_out), TEST(refuses_what_is_not_computed),
      TEST(they_compute_dots_under_other_names))
