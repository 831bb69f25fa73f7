/* test_int4.c - weights of four bits in a model folder: the same bits as of their widened numbers,
 * however they are held, and what is refused of them (their config: test_quantised.c; against the
 * programs that pack them: golden.engine_golden).
 */
#include "engine/model.h"
#include "tests/stored_copy.h"

#define MODELS TEST_DATA "/golden/models/"

typedef struct changed_model {
    gm_checkpoint *c; /* holds what the tensors say */
    gm_tensor tensor[256];
    size_t n;
} changed_model;

/* The tensors of a golden, to be changed, in a folder "bad-int4" with its config. */
static void begin_change(changed_model *m, const char *golden)
{
    char from[512];
    gm_error err = {0};
    snprintf(from, sizeof from, MODELS "%s", golden);
    CHECK_OK(gm_checkpoint_open(&m->c, from, &err), err);
    m->n = gm_checkpoint_n(m->c);
    CHECK(m->n < 256);
    for (size_t j = 0; j < m->n; j++) m->tensor[j] = *gm_checkpoint_at(m->c, j);
    copy_model("bad-int4", from, "use_cache", "true");
}

/* One tensor of a packed matrix is changed: another name, type or shape, or one of its numbers. */
static void bad_packed_tensors_are_refused(void)
{
    static const struct {
        const char *model, *tensor, *name;
        gm_dtype dtype;
        size_t dim[2];
        int rank;
        int64_t number; /* of the first four bytes; 0: its own */
        bool headers;
        const char *part;
    } cases[] = {
        {"kimi-int4", "weight_scale", "else", GM_BF16, {16, 2}, 2, 0, true, "is no 'weight_scale'"},
        {"kimi-int4",
         "weight_scale",
         NULL,
         GM_BF16,
         {2, 16},
         2,
         0,
         true,
         "is 2 x 16, expected 16 x 2"},
        {"kimi-int4",
         "weight_packed",
         NULL,
         GM_I32,
         {4, 16},
         2,
         0,
         true,
         "is 4 x 16, expected 16 x 4"},
        {"kimi-int4",
         "weight_packed",
         NULL,
         GM_F32,
         {16, 4},
         2,
         0,
         true,
         "has dtype F32, expected I32"},
        {"kimi-int4", "weight_packed", NULL, GM_I32, {64}, 1, 0, true, "has rank 1, expected 2"},
        {"kimi-int4",
         "weight_packed",
         NULL,
         GM_I32,
         {16, 2},
         2,
         0,
         true,
         "16 x 2, expected 16 x 4"},
        {"kimi-int4", "weight_packed", NULL, GM_I32, {8, 4}, 2, 0, true, "8 x 4, expected 16 x 4"},
        {"qwen3-gptq", "qzeros", NULL, GM_I32, {1, 4}, 2, 0, true, "is 1 x 4, expected 2 x 4"},
        {"qwen3-gptq", "g_idx", NULL, GM_I32, {16}, 1, 0, true, "is 16 x 1, expected 32 x 1"},
        {"kimi-int4",
         "weight_shape",
         NULL,
         GM_I64,
         {2},
         1,
         17,
         true,
         "says 17 x 32, expected 16 x 32"},
        {"kimi-int4",
         "weight_scale",
         NULL,
         GM_BF16,
         {16, 2},
         2,
         0x7fc07fc0,
         false,
         "is nan, expected a"},
        {"qwen3-gptq", "qzeros", NULL, GM_I32, {2, 4}, 2, 0x7777777f, false, "a zero of 15"},
        {"qwen3-gptq", "qzeros", "else", GM_I32, {2, 4}, 2, 0, true, "there is no 'qzeros' beside"},
        {"qwen3-gptq",
         "g_idx",
         NULL,
         GM_I32,
         {32},
         1,
         2,
         false,
         "puts input 0 into group 2, expected 0 to 1"},
        {"qwen3-awq", "qweight", NULL, GM_I32, {4, 32}, 2, 0, true, "is 4 x 32, expected 32 x 4"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char name[128], changed[4096];
        changed_model m;
        const bool kimi = strstr(cases[i].model, "kimi") != NULL;
        snprintf(name, sizeof name, "model.layers.%d.mlp.experts.0.up_proj.%s", kimi,
                 cases[i].tensor);
        begin_change(&m, cases[i].model);
        bool found = false;
        for (size_t j = 0; j < m.n; j++) {
            gm_tensor *t = &m.tensor[j];
            if (strcmp(t->name, name) != 0) continue;
            found = true;
            if (cases[i].name) t->name = cases[i].name;
            t->dtype = cases[i].dtype, t->rank = cases[i].rank;
            memcpy(t->dim, cases[i].dim, sizeof cases[i].dim);
            const size_t n = t->dim[0] * (t->rank > 1 ? t->dim[1] : 1);
            t->n_bytes = n * gm_dtype_bytes(t->dtype);
            if (cases[i].number == 0) continue;
            memcpy(changed, t->data, t->n_bytes);
            memcpy(changed, &cases[i].number, 4);
            t->data = changed;
        }
        CHECK(found);
        stored_open_changed("bad-int4", m.tensor, m.n, cases[i].headers, cases[i].part);
        gm_checkpoint_close(m.c);
    }
}

/* The list of groups that the config speaks of. */
static void a_missing_order_is_refused(void)
{
    changed_model m;
    begin_change(&m, "qwen3-gptq");
    copy_model("bad-int4", MODELS "qwen3-gptq", "quantization_config",
               "{\"quant_method\": \"gptq\", \"bits\": 4, \"group_size\": 16, \"desc_act\": true}");
    stored_open_changed("bad-int4", m.tensor, m.n, true, NULL);
    for (size_t j = 0; j < m.n; j++)
        if (strcmp(m.tensor[j].name, "model.layers.0.mlp.experts.0.up_proj.g_idx") == 0)
            m.tensor[j].name = "model.rotary_emb.inv_freq"; /* which no model needs */
    stored_open_changed("bad-int4", m.tensor, m.n, true, "there is no 'g_idx' beside");
    gm_checkpoint_close(m.c);
}

/* What GPTQ programs leave beside a matrix without a bias: zeros are passed over, others are not.
 */
static void idle_biases_are_passed_over(void)
{
    static const float bias[2][32] = {{0}, {[31] = 1.0f}};
    changed_model m;
    begin_change(&m, "qwen3-gptq");
    for (int i = 0; i < 2; i++) {
        m.tensor[m.n] = (gm_tensor){.name = "model.layers.0.mlp.experts.0.up_proj.bias",
                                    .rank = 1,
                                    .dim = {32},
                                    .data = bias[i],
                                    .n_bytes = sizeof bias[i]};
        stored_open_changed("bad-int4", m.tensor, m.n + 1, true,
                            i == 0 ? NULL : "up_proj.bias' is not part of the model");
    }
    gm_checkpoint_close(m.c);
}

/* Nobody has to allot what the sizes of an empty tensor say. */
static void empty_tensors_need_no_room(void)
{
    changed_model m;
    begin_change(&m, "qwen3-gptq");
    m.tensor[m.n] = (gm_tensor){
        .name = "model.rotary_emb.inv_freq", .rank = 2, .dim = {0, (size_t)1 << 59}, .data = ""};
    stored_open_changed("bad-int4", m.tensor, m.n + 1, false, NULL);
    gm_checkpoint_close(m.c);
}

/* Stored zeros that mean something else make another model. */
static void digests_tell_zeros_apart(void)
{
    char digest[2][65];
    for (int i = 0; i < 2; i++) {
        gm_arch arch;
        gm_error err = {0};
        copy_model("digest", MODELS "qwen3-gptq", "quantization_config",
                   i ? "{\"quant_method\": \"gptq\", \"bits\": 4, \"group_size\": 16}"
                     : "{\"quant_method\": \"gptq\", \"bits\": 4, \"group_size\": 16, "
                       "\"checkpoint_format\": \"gptq_v2\"}");
        CHECK_OK(gm_arch_read(&arch, "digest", &err), err);
        gm_arch_digest(&arch, digest[i]);
        gm_arch_clear(&arch);
    }
    CHECK(strcmp(digest[0], digest[1]) != 0);
}

static void four_bits_compute_what_widened_weights_do(void)
{
    static const stored_form *const forms[] = {&int4_groups,     &int4_rows,    &int4_gptq,
                                               &int4_gptq_dealt, &int4_gptq_v2, &int4_awq};
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        stored_same_as_widened("cpu", MODELS "dots-tiny", forms[i], GM_NUMERICS_BF16);
        stored_same_as_widened("cpu", MODELS "deepseek-v3-tiny", forms[i], GM_NUMERICS_F32);
    }
    stored_same_as_widened("cpu", MODELS "qwen3-next-tiny", &int4_groups, GM_NUMERICS_INT8);
    stored_same_as_widened("cpu", MODELS "ernie-tiny", &int4_gptq_dealt, GM_NUMERICS_BF16);
}

/* In memory, from the cache that this writes, and layer by layer. */
static void four_bits_are_held_in_any_way(void)
{
    static const char *const names[] = {"kimi-int4", "qwen3-gptq", "qwen3-awq"};
    static const gm_hold holds[] = {GM_HOLD_RESIDENT, GM_HOLD_STREAMED, GM_HOLD_MAPPED,
                                    GM_HOLD_STREAMED};
    static const size_t offset[] = {0, 13, 30};
    static const plan p = {.threads = 2, .step = 512, .together = true};
    uint32_t token[30];
    const docs d = {.n = 2, .n_tokens = 30, .token = token, .offset = offset};
    for (size_t i = 0; i < d.n_tokens; i++) token[i] = (uint32_t)(i * 7 % 31);
    for (size_t m = 0; m < 3; m++) {
        char from[512];
        outcome first = {0};
        snprintf(from, sizeof from, MODELS "%s", names[m]);
        copy_model(names[m], from, "use_cache", "true");
        for (size_t i = 0; i < 4; i++) {
            gm_model_options options = {.hold = holds[i], .threads = 2};
            if (holds[i] == GM_HOLD_MAPPED) options.cache = GM_CACHE_WRITE;
            gm_model *model = NULL;
            gm_error err = {0};
            CHECK_OK(gm_model_open(&model, names[m], &options, &err), err);
            if (model == NULL) return;
            outcome got = run_docs(model, &d, &p);
            if (i > 0)
                check_same(names[m], &got, &first), outcome_free(&got);
            else
                first = got;
            gm_model_close(model);
        }
        outcome_free(&first);
    }
}

TESTS(TEST(four_bits_compute_what_widened_weights_do), TEST(four_bits_are_held_in_any_way),
      TEST(bad_packed_tensors_are_refused), TEST(a_missing_order_is_refused),
      TEST(idle_biases_are_passed_over), TEST(empty_tensors_need_no_room),
      TEST(digests_tell_zeros_apart))
