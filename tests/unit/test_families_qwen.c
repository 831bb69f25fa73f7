/* test_families_qwen.c - the text's part of Qwen3-VL (engine/families_qwen.c): the published
 * config, what is refused, and that stacks of either form give what Qwen3-MoE's single experts
 * give.
 */
#include "engine/families.h"
#include "tests/config_text.h"
#include "tests/engine_run.h"
#include "tests/named_tensors.h"

#define QWEN3 TEST_DATA "/golden/models/qwen3-tiny"

/* Qwen/Qwen3-VL-30B-A3B-Instruct's published config, without most of what is around the text. */
#define OUTSIDE                                                           \
    "{\"architectures\":[\"Qwen3VLMoeForConditionalGeneration\"],"        \
    "\"image_token_id\":151655,\"model_type\":\"qwen3_vl_moe\","          \
    "\"video_token_id\":151656,\"vision_config\":{\"hidden_size\":1152}," \
    "\"vision_end_token_id\":151653,\"vision_start_token_id\":151652,"
static const char vision[] =
    OUTSIDE "\"text_config\":{\"attention_bias\":false,\"attention_dropout\":0.0,"
            "\"bos_token_id\":151643,\"decoder_sparse_step\":1,\"dtype\":\"bfloat16\","
            "\"eos_token_id\":151645,\"head_dim\":128,\"hidden_act\":\"silu\","
            "\"hidden_size\":2048,\"initializer_range\":0.02,\"intermediate_size\":6144,"
            "\"max_position_embeddings\":262144,\"mlp_only_layers\":[],"
            "\"model_type\":\"qwen3_vl_moe_text\",\"moe_intermediate_size\":768,"
            "\"norm_topk_prob\":true,\"num_attention_heads\":32,\"num_experts\":128,"
            "\"num_experts_per_tok\":8,\"num_hidden_layers\":48,\"num_key_value_heads\":4,"
            "\"rms_norm_eps\":1e-06,\"rope_scaling\":{\"mrope_interleaved\":true,"
            "\"mrope_section\":[24,20,20],\"rope_type\":\"default\"},\"rope_theta\":5000000,"
            "\"use_cache\":true,\"vocab_size\":151936},\"tie_word_embeddings\":false,"
            "\"transformers_version\":\"4.57.0.dev0\"}";

static void reads_qwen3_vision(void)
{
    gm_slice s;
    gm_arch a = read_config_text(vision);
    check_parameters(&a, 30532122624.0, 3353032704.0, 0.0); /* transformers', without vision */
    CHECK(a.inside && a.n_moe == 48 && a.router.renormalise && a.qk_norm == GM_QK_NORM_HEAD);
    CHECK(a.rope.theta == 5e6 && a.rope.dim == 128 && !a.tied_head && a.n_shared == 0);
    CHECK(gm_arch_tensor(&a, GM_ROLE_EXPERT_UP, 3, 5, &s));
    CHECK(s.stored == GM_STORED_COLUMNS && s.halves && s.stack == 128 && s.item == 5);
    CHECK_TEXT(s.name, "model.language_model.layers.3.mlp.experts.gate_up_proj");
    gm_arch_clear(&a);
}

/* The text's own word on the head counts for nothing, as in transformers. */
static void what_stands_around_it_says_what_the_head_is(void)
{
    static const char inner[] = "\"vocab_size\":151936}", outer[] = "\"tie_word_embeddings\":false";
    char text[sizeof vision + 64];
    const char *at = strstr(vision, inner);
    snprintf(text, sizeof text, "%.*s\"tie_word_embeddings\":true,%s", (int)(at - vision), vision,
             at);
    gm_arch a = read_config_text(text);
    CHECK(!a.tied_head);
    gm_arch_clear(&a);
    at = strstr(vision, outer);
    snprintf(text, sizeof text, "%.*s\"tie_word_embeddings\":true%s", (int)(at - vision), vision,
             at + strlen(outer));
    a = read_config_text(text);
    CHECK(a.tied_head);
    gm_arch_clear(&a);
    at = strstr(vision, inner); /* nor where nothing stands around it */
    const char *around = strstr(vision, outer);
    snprintf(text, sizeof text, "%.*s\"tie_word_embeddings\":true,%.*s\"_name_or_path\":null%s",
             (int)(at - vision), vision, (int)(around - at), at, around + strlen(outer));
    a = read_config_text(text);
    CHECK(!a.tied_head);
    gm_arch_clear(&a);
}

static void refuses_gates_that_are_not_renormalised(void)
{
    char text[sizeof vision + 8];
    gm_json *config = NULL;
    gm_arch a;
    gm_error err = {0};
    memcpy(text, vision, sizeof vision);
    memcpy(strstr(text, "\"norm_topk_prob\":true"), "\"norm_topk_prob\":   0", 21);
    CHECK_OK(gm_json_parse(&config, text, strlen(text), "config", &err), err);
    CHECK_FAILS(gm_arch_from_json(&a, config, "config", NULL, NULL, &err), err, GM_EFORMAT,
                "'norm_topk_prob'");
    gm_json_free(config);
}

/* ---- stacks ---- */

enum { LAYERS = 3, EXPERTS = 10, WIDTH = 16, WIDE = 10 };

typedef struct stacks {
    named_tensors all;
    uint16_t gate_up[LAYERS][EXPERTS * 2 * WIDE * WIDTH], down[LAYERS][EXPERTS * WIDTH * WIDE];
} stacks;

/* The first (rows,cols) of a matrix to the rows from `first` on of one that has `all`, or to its
 * columns. */
static void put(uint16_t *to, const gm_tensor *from, size_t rows, size_t cols, bool columns,
                size_t all, size_t first)
{
    const uint16_t *value = from->data;
    for (size_t i = 0; i < rows * cols; i++) {
        const size_t r = i / cols, c = i % cols, at = first + r;
        to[columns ? c * all + at : at * cols + c] = value[r * from->dim[1] + c];
    }
}

static void add_stack(stacks *s, int layer, const char *part, bool columns, uint16_t *data,
                      size_t rows, size_t cols)
{
    char name[96];
    snprintf(name, sizeof name, "model.language_model.layers.%d.mlp.experts.%s", layer, part);
    name_tensor(&s->all, name,
                (gm_tensor){.dtype = GM_BF16,
                            .rank = 3,
                            .dim = {EXPERTS, columns ? cols : rows, columns ? rows : cols},
                            .data = data,
                            .n_bytes = EXPERTS * rows * cols * sizeof *data});
}

/* The numbers of qwen3-tiny as a model that sees images has them; of each expert the first `wide`
 * units. */
static void write_vision(const char *folder, bool columns, size_t wide)
{
    char name[96], width[40];
    gm_checkpoint *c;
    gm_error err = {0};
    gm_text config = {0}, inner = {0};
    stacks *s = gm_alloc(1, sizeof *s);
    CHECK_OK(gm_checkpoint_open(&c, QWEN3, &err), err);
    for (size_t i = 0; i < gm_checkpoint_n(c); i++) {
        const gm_tensor *t = gm_checkpoint_at(c, i);
        int l, e;
        char part[8];
        if (sscanf(t->name, "model.layers.%d.mlp.experts.%d.%4[a-z]", &l, &e, part) == 3) {
            const bool down = strcmp(part, "down") == 0;
            uint16_t *to =
                (down ? s->down[l] : s->gate_up[l]) + (size_t)e * WIDTH * wide * (down ? 1 : 2);
            put(to, t, down ? WIDTH : wide, down ? wide : WIDTH, columns, down ? WIDTH : 2 * wide,
                strcmp(part, "up") == 0 ? wide : 0);
            continue;
        }
        const bool inside = strncmp(t->name, "model.", 6) == 0;
        snprintf(name, sizeof name, "%s%s", inside ? "model.language_model." : "",
                 t->name + (inside ? 6 : 0));
        name_tensor(&s->all, name, *t);
    }
    for (int l = 0; l < LAYERS; l++) {
        add_stack(s, l, "gate_up_proj", columns, s->gate_up[l], 2 * wide, WIDTH);
        add_stack(s, l, "down_proj", columns, s->down[l], WIDTH, wide);
    }
    const float seen = 1.0f;
    name_tensor(&s->all, "model.visual.norm.weight",
                (gm_tensor){.dtype = GM_F32, .rank = 1, .dim = {1}, .data = &seen, .n_bytes = 4});

    CHECK_OK(gm_text_read_file(&inner, QWEN3 "/config.json", 1 << 16, &err), err);
    snprintf(width, sizeof width, "\"moe_intermediate_size\": %2zu", wide);
    memcpy(strstr(inner.at, "\"moe_intermediate_size\": 10"), width, strlen(width));
    CHECK_OK(gm_text_printf(&config, &err,
                            OUTSIDE "\"tie_word_embeddings\":false,\"text_config\":%s}", inner.at),
             err);
    write_named(&s->all, folder, config.at);
    gm_text_clear(&config);
    gm_text_clear(&inner);
    gm_checkpoint_close(c);
    gm_free(s);
}

static void stacks_of_either_form_are_the_single_experts(void)
{
    static const char *const forms[] = {"rows", "columns"}; /* as transformers saves a new model,
                                                               and as published */
    outcome want = run_forty_of(QWEN3);
    for (int columns = 0; columns < 2; columns++) {
        write_vision(forms[columns], columns, WIDE);
        outcome got = run_forty_of(forms[columns]);
        check_same(forms[columns], &got, &want);
        outcome_free(&got);
    }
    outcome_free(&want);
}

/* Where experts are half as wide as the model, gate and up are square. */
static void square_stacks_are_not_mixed_up(void)
{
    write_vision("square-rows", false, WIDTH / 2);
    write_vision("square-columns", true, WIDTH / 2);
    outcome want = run_forty_of("square-rows"), got = run_forty_of("square-columns");
    check_same("square", &got, &want);
    outcome_free(&want);
    outcome_free(&got);
}

TESTS(TEST(reads_qwen3_vision), TEST(what_stands_around_it_says_what_the_head_is),
      TEST(refuses_gates_that_are_not_renormalised),
      TEST(stacks_of_either_form_are_the_single_experts), TEST(square_stacks_are_not_mixed_up))
