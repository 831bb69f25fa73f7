/* test_engine_golden.c - the engine in f32 against PyTorch: logits, router choices,
 * steering, greedy tokens, of the tiny checkpoints (tests/golden/README.md).
 * label: long */
#include "base/json.h"
#include "engine/checkpoint.h"
#include "engine/engine.h"
#include "tests/check.h"
#include "tests/engine_run.h"
#include "tests/model_copy.h"

#define MODELS TEST_DATA "/golden/models/"

static const char *const models[] = {"deepseek-tiny",    "deepseek-tied",   "olmoe-tiny",
                                     "olmoe-clip",       "qwen3-tiny",      "mixtral-tiny",
                                     "qwen2-tiny",       "granite-tiny",    "glm-tiny",
                                     "dots-tiny",        "ernie-tiny",      "minimax-tiny",
                                     "gptoss-tiny",      "gptoss-plain",    "deepseek-v2-tiny",
                                     "deepseek-v3-tiny", "deepseek-v3-fp8", "phimoe-tiny",
                                     "qwen3-next-tiny",  "qwen3.5-tiny",    "glm-lite-tiny",
                                     "flexolmo-tiny",    "hunyuan-tiny",    "granite-hybrid-tiny",
                                     "nemotron-tiny",    "gemma4-tiny",     "lfm-tiny",
                                     "afmoe-tiny",       "exaone-tiny",     "llama4-tiny",
                                     "cohere-tiny",      "mellum-tiny",     "granite-shared-tiny",
                                     "mistral4-tiny",    "dbrx-tiny",       "kimi-int4",
                                     "qwen3-gptq",       "qwen3-awq",       "mimo-tiny",
                                     "kimi-linear-tiny"};
enum { N_MODELS = 40, N_DOCS = 3, STEERED = 1 };

static bool on_gpu(void)
{
    return test_device() && strcmp(test_device(), "cpu") != 0;
}

/* Reasons of the tolerances: tests/golden/README.md. */
static const double LOGIT = 1e-4, GATE = 1e-5, MARGIN = 2e-4, NORM = 1e-4;

typedef struct golden {
    gm_checkpoint *file;
    docs docs;
    size_t offset[N_DOCS + 1];
    uint32_t *token;
} golden;

static const gm_tensor *find(const golden *g, const char *name)
{
    const gm_tensor *tensor = gm_checkpoint_find(g->file, name);
    if (tensor == NULL) {
        TEST_FAILED_("the golden has no '%s'", name);
        exit(1);
    }
    return tensor;
}

static const gm_tensor *find_of(const golden *g, const char *mode, const char *name)
{
    char full[64];
    snprintf(full, sizeof full, "%s%s%s%s", mode ? "steer." : "", mode ? mode : "", mode ? "." : "",
             name);
    return find(g, full);
}

static const void *values(const golden *g, const char *name)
{
    return find(g, name)->data;
}

static const float *floats(const golden *g, const char *mode, const char *name)
{
    return find_of(g, mode, name)->data;
}

static golden golden_open(const char *model)
{
    char path[4096];
    gm_error err = {0};
    golden g = {0};
    snprintf(path, sizeof path, MODELS "%s/golden.safetensors", model);
    CHECK_OK(gm_checkpoint_open(&g.file, path, &err), err);
    const int32_t *offset = values(&g, "offset"), *token = values(&g, "token_id");
    for (size_t i = 0; i <= N_DOCS; i++) g.offset[i] = (size_t)offset[i];
    g.token = gm_alloc(g.offset[N_DOCS], sizeof *g.token);
    for (size_t t = 0; t < g.offset[N_DOCS]; t++) g.token[t] = (uint32_t)token[t];
    return g;
}

static docs all_docs(const golden *g)
{
    return (docs){
        .n = N_DOCS, .n_tokens = g->offset[N_DOCS], .token = g->token, .offset = g->offset};
}

static void golden_close(golden *g)
{
    gm_free(g->token);
    gm_checkpoint_close(g->file);
}

static gm_model *open_golden(const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, MODELS "%s", name);
    return open_model(path, GM_NUMERICS_F32, NULL);
}

/* Largest difference to the golden; NaN counts as infinite. */
static double distance(const float *got, const float *want, size_t n)
{
    double most = 0.0;
    for (size_t i = 0; i < n; i++) {
        double by = fabs((double)got[i] - (double)want[i]);
        if (!(by <= most)) most = isnan(by) ? INFINITY : by;
    }
    return most;
}

static void check_ids(const char *model, const outcome *o, const uint8_t *want)
{
    size_t n = o->n_layers * o->n_tokens * o->n_chosen, wrong = 0;
    for (size_t i = 0; i < n; i++) wrong += o->expert[i] != want[i];
    if (wrong) TEST_FAILED_("%s: %zu of %zu expert ids differ", model, wrong, n);
}

/* Of the logits that the golden holds: those of the tokens logits_at, steered of the last
 * one. Infinite where there are none, or of another vocabulary. */
static double logits_distance(const golden *g, const char *mode, const outcome *o)
{
    const gm_tensor *want = find_of(g, mode, "logits");
    const int32_t last = (int32_t)o->n_tokens - 1;
    const int32_t *at = mode ? &last : values(g, "logits_at");
    const size_t n = mode ? 1 : find(g, "logits_at")->dim[0];
    const float *row = want->data;
    double most = 0.0;
    if (n == 0 || want->dim[0] != n || want->dim[1] != o->vocab) return INFINITY;
    for (size_t i = 0; i < n; i++, row += o->vocab) {
        CHECK(at[i] >= 0 && at[i] <= last);
        most = fmax(most, distance(o->logits + (size_t)at[i] * o->vocab, row, o->vocab));
    }
    return most;
}

/* Everything but nll, which the golden has for the token itself, not the next. */
static void compare(const char *model, const golden *g, const char *mode, const outcome *o)
{
    size_t rows = o->n_layers * o->n_tokens;
    double logits = logits_distance(g, mode, o);
    double gates = distance(o->gate, floats(g, mode, "gate"), rows * o->n_chosen);
    double mass = distance(o->mass, floats(g, mode, "topk_mass"), rows);
    double margin = distance(o->margin, floats(g, mode, "margin"), rows);
    check_ids(model, o, find_of(g, mode, "expert_id")->data);
    CHECK_NEAR(logits, 0.0, LOGIT);
    CHECK_NEAR(gates, 0.0, GATE);
    CHECK_NEAR(mass, 0.0, GATE);
    CHECK_NEAR(margin, 0.0, MARGIN);
    printf("%s%s%s: logits within %.2g, gates %.2g, mass %.2g, margin %.2g\n", model,
           mode ? " steered by " : "", mode ? mode : "", logits, gates, mass, margin);
}

static void prefill_agrees(void)
{
    for (size_t m = 0; m < N_MODELS; m++) {
        golden g = golden_open(models[m]);
        gm_model *model = open_golden(models[m]);
        docs d = all_docs(&g);
        const float *nll = values(&g, "nll"), *router = values(&g, "router_logits");
        outcome o = run_docs(model, &d, &(plan){.threads = 2, .step = 512, .together = true});
        compare(models[m], &g, NULL, &o);
        CHECK_NEAR(distance(o.router, router, o.n_layers * o.n_tokens * o.n_experts), 0.0, LOGIT);
        for (size_t i = 0; i < N_DOCS; i++)
            for (size_t t = d.offset[i]; t + 1 < d.offset[i + 1]; t++)
                CHECK_NEAR(o.nll[t], nll[t + 1], LOGIT);
        outcome_free(&o);
        gm_model_close(model);
        golden_close(&g);
    }
}

/* Sums of outputs times gates. */
static void check_added(const char *name, const gm_expert_sums *sums, const gm_tensor *want)
{
    const size_t n = want->dim[0] * want->dim[1] * want->dim[2];
    double most = 0.0, largest = 0.0;
    for (size_t i = 0; i < n; i++) {
        const double x = (double)((const float *)want->data)[i];
        most = fmax(most, fabs(sums->added[i] - x));
        largest = fmax(largest, fabs(x));
    }
    CHECK(largest > 0.0);
    CHECK_NEAR(most / largest, 0.0, NORM);
    printf("%s: %zu sums within %.2g of the largest\n", name, n, most / largest);
}

/* What experts give has the norms that transformers' experts have: plain ones, with biases, each
 * with a scale. */
static void norms_agree(void)
{
    static const char *const normed[] = {"olmoe-tiny", "gptoss-plain", "gemma4-tiny"};
    if (on_gpu()) TEST_SKIP("norms are recorded on the CPU only");
    for (size_t m = 0; m < 3; m++) {
        char path[4096];
        gm_error err = {0};
        gm_checkpoint *file = NULL;
        golden g = golden_open(normed[m]);
        gm_model *model = open_golden(normed[m]);
        docs d = all_docs(&g);
        gm_expert_sums sums = sums_create(model, 0, gm_model_get_info(model)->n_moe_layers);
        const bool added = m == 1;
        outcome o = run_docs(
            model, &d,
            &(plan){.threads = 2, .step = 512, .norms = true, .sums = added ? &sums : NULL});
        snprintf(path, sizeof path, MODELS "%s/norms.safetensors", normed[m]);
        CHECK_OK(gm_checkpoint_open(&file, path, &err), err);
        const gm_tensor *want = gm_checkpoint_find(file, "norm");
        const size_t n = o.n_layers * o.n_tokens * o.n_chosen;
        CHECK_INT(want->dim[0] * want->dim[1] * want->dim[2], n);
        double most = 0.0;
        for (size_t i = 0; i < n; i++) {
            const double norm = (double)((const float *)want->data)[i];
            const double by = fabs((double)o.norm[i] / norm - 1.0);
            CHECK_NEAR(by, 0.0, NORM);
            most = fmax(most, by);
        }
        printf("%s: %zu norms within %.2g\n", normed[m], n, most);
        if (added) check_added(normed[m], &sums, gm_checkpoint_find(file, "added"));
        sums_free(&sums);
        gm_checkpoint_close(file);
        outcome_free(&o);
        gm_model_close(model);
        golden_close(&g);
    }
}

static void step_by_step_is_prefill(void)
{
    if (on_gpu()) TEST_SKIP("on a GPU other kernels run for one row than for many: level A");
    for (size_t m = 0; m < N_MODELS; m++) {
        golden g = golden_open(models[m]);
        gm_model *model = open_golden(models[m]);
        docs d = all_docs(&g);
        outcome whole = run_docs(model, &d, &(plan){.threads = 2, .step = 512});
        outcome single = run_docs(model, &d, &(plan){.threads = 1, .step = 1});
        check_same(models[m], &whole, &single);
        outcome_free(&whole);
        outcome_free(&single);
        gm_model_close(model);
        golden_close(&g);
    }
}

static void steering_agrees(void)
{
    const struct {
        const char *name;
        gm_edit_mode mode;
        bool mass;
    } modes[] = {{"bias", GM_EDIT_BIAS, false},
                 {"select", GM_EDIT_SELECT, false},
                 {"gate", GM_EDIT_GATE, false},
                 {"bias_mass", GM_EDIT_BIAS, true}};
    for (size_t m = 0; m < N_MODELS; m++) {
        golden g = golden_open(models[m]);
        gm_model *model = open_golden(models[m]);
        size_t n = g.offset[STEERED + 1] - g.offset[STEERED], offset[2] = {0, n};
        docs d = {.n = 1, .n_tokens = n, .token = g.token + g.offset[STEERED], .offset = offset};
        for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
            gm_edit edit = {.bias = values(&g, "steer.bias"),
                            .mode = modes[i].mode,
                            .mass_matched = modes[i].mass,
                            .last_layer = gm_model_get_info(model)->n_moe_layers - 1,
                            .phases = 1u << GM_PHASE_PROMPT};
            outcome o = run_docs(model, &d, &(plan){.threads = 2, .step = 512, .edit = &edit});
            compare(models[m], &g, modes[i].name, &o);
            outcome_free(&o);
        }
        gm_model_close(model);
        golden_close(&g);
    }
}

static bool is_stop(const gm_model_info *info, uint32_t id)
{
    for (int i = 0; i < info->n_eos; i++)
        if (info->eos[i] == id) return true;
    return false;
}

static void greedy_agrees(void)
{
    for (size_t m = 0; m < N_MODELS; m++) {
        golden g = golden_open(models[m]);
        gm_model *model = open_golden(models[m]);
        gm_session *session = NULL;
        gm_error err = {0};
        int id;
        size_t n = g.offset[STEERED + 1] - g.offset[STEERED];
        gm_sampling greedy = {.top_p = 1.0, .repetition_penalty = 1.0};
        uint32_t next = 0;
        gm_result result = {.sampled = &next};
        gm_segment segment = {
            .n = n, .token = g.token + g.offset[STEERED], .edit = -1, .sampling = &greedy};
        const int32_t *want = values(&g, "greedy.ids");
        size_t n_want = gm_checkpoint_find(g.file, "greedy.ids")->dim[0];
        gm_session_options options = {
            .threads = 2, .max_rows = n, .kv_rows = 64, .max_sequences = 1};

        CHECK_OK(gm_session_create(&session, model, &options, &err), err);
        CHECK_OK(gm_sequence_open(session, 64, &id, &err), err);
        for (size_t i = 0; i < n_want; i++) {
            uint32_t fed = next;
            if (i > 0) segment.n = 1, segment.token = &fed;
            CHECK_OK(gm_session_step(session, &segment, 1, NULL, &result, &err), err);
            CHECK_INT(next, want[i]);
            CHECK(i + 1 == n_want || !is_stop(gm_model_get_info(model), next));
        }
        gm_session_free(session);
        gm_model_close(model);
        golden_close(&g);
    }
}

/* Every field of config.json that changes the mathematics: with another value the
 * golden must fail, or loading must; or with some, as the golden says, neither. */
static void check_field(const char *model_name, const golden *g, const gm_json *field)
{
    const gm_json *value = gm_json_find(field, "value");
    const char *name = gm_json_text(gm_json_find(field, "field"), NULL);
    const char *expect = gm_json_text(gm_json_find(field, "expect"), NULL);
    const gm_json *json =
        gm_json_find(field, "json"); /* the value, when it is an object or a list */
    char text[768] = "null", from[512], copy[64];
    double number;
    bool truth;
    if (gm_json_f64(value, &number)) snprintf(text, sizeof text, "%.17g", number);
    if (gm_json_bool(value, &truth)) snprintf(text, sizeof text, "%s", truth ? "true" : "false");
    if (gm_json_kind_of(value) == GM_JSON_TEXT)
        snprintf(text, sizeof text, "\"%s\"", gm_json_text(value, NULL));
    if (json) snprintf(text, sizeof text, "%s", gm_json_text(json, NULL));
    snprintf(from, sizeof from, MODELS "%s", model_name);
    snprintf(copy, sizeof copy, "copy-%s", model_name);
    copy_model(copy, from, name, text);
    gm_model *model = NULL;
    gm_error err = {0};
    gm_model_options options = {.numerics = GM_NUMERICS_F32, .threads = 1};
    gm_status status = gm_model_open(&model, copy, &options, &err);
    CHECK(strstr(err.text, ", column ") == NULL); /* refused for what it says, not how */
    const bool same = strcmp(expect, "same") == 0;
    if (strcmp(expect, "either") != 0 &&
        (status == GM_OK) != (same || strcmp(expect, "differs") == 0))
        TEST_FAILED_("%s with %s = %s: loading gives '%s', expected '%s'", model_name, name, text,
                     gm_status_text(status), expect);
    if (status == GM_OK) {
        docs d = all_docs(g);
        outcome o = run_docs(model, &d, &(plan){.threads = 1, .step = 512});
        double by = logits_distance(g, NULL, &o);
        if (same ? !(by <= LOGIT) : !(by > LOGIT))
            TEST_FAILED_("%s with %s = %s: logits move by %g", model_name, name, text, by);
        outcome_free(&o);
    }
    gm_model_close(model);
}

static void every_field_counts(void)
{
    if (on_gpu()) TEST_SKIP("config.json is read without a GPU");
    for (size_t m = 0; m < N_MODELS; m++) {
        char path[4096];
        gm_json *root = NULL;
        gm_error err = {0};
        golden g = golden_open(models[m]);
        snprintf(path, sizeof path, MODELS "%s/golden.json", models[m]);
        CHECK_OK(gm_json_read_file(&root, path, 1 << 20, &err), err);
        const gm_json *fields = gm_json_find(root, "math_fields");
        CHECK(gm_json_n_items(fields) >= 5);
        for (const gm_json *f = gm_json_first(fields); f; f = gm_json_next(f))
            check_field(models[m], &g, f);
        gm_json_free(root);
        golden_close(&g);
    }
}

TESTS(TEST(prefill_agrees), TEST(norms_agree), TEST(step_by_step_is_prefill), TEST(steering_agrees),
      TEST(greedy_agrees), TEST(every_field_counts))
