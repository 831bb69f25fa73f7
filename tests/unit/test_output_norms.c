/* test_output_norms.c - norms and sums of what experts give: nothing else changes where they are
 * recorded, they depend on neither steps nor threads, and who cannot give them says so. Their
 * values: golden.engine_golden; bad rows: unit.bad_rows. label: threads */
#include "engine/engine.h"
#include "tests/check.h"
#include "tests/engine_run.h"

#define MODELS TEST_DATA "/golden/models/"

enum { N = 60, FIRST = 43 };

/* Two documents. */
static outcome run(const gm_model *model, const plan *p)
{
    static const size_t offset[] = {0, FIRST, N};
    uint32_t token[N];
    for (uint32_t i = 0; i < N; i++) token[i] = 3 + 7 * i % 80;
    return run_docs(model, &(docs){.n = 2, .n_tokens = N, .token = token, .offset = offset}, p);
}

/* As if they had not been recorded. */
static void forget_norms(outcome *o)
{
    memset(o->norm, 0, o->n_layers * o->n_tokens * o->n_chosen * sizeof *o->norm);
}

/* Plain experts and shared ones, biases, scales, a dense layer before, squares of what is positive;
 * in f32 and in bf16. */
static const char *const models[] = {MODELS "olmoe-tiny", MODELS "qwen2-tiny",
                                     MODELS "gptoss-plain", MODELS "gemma4-tiny",
                                     MODELS "nemotron-tiny"};
enum { N_MODELS = 5, GEMMA = 3 };

static void nothing_else_depends_on_them(void)
{
    static const plan plain = {.threads = 2, .step = 512, .together = true};
    static const plan how[] = {
        {.threads = 2, .step = 512, .together = true, .norms = true},
        {.threads = 1, .step = 1, .norms = true},
        {.threads = 3, .step = 7, .norms = true, .packed = true},
        {.threads = 2, .step = 512, .together = true, .piece = 16, .norms = true},
    };
    for (size_t m = 0; m < N_MODELS; m++)
        for (int n = GM_NUMERICS_F32; n <= GM_NUMERICS_BF16; n++) {
            gm_model *model = open_model(models[m], (gm_numerics)n, NULL);
            outcome without = run(model, &plain), first = run(model, &how[0]);
            const size_t choices = first.n_layers * first.n_tokens * first.n_chosen;
            for (size_t i = 0; i < choices; i++) CHECK(first.norm[i] >= 0 && first.norm[i] < 1e4f);
            for (size_t i = 1; i < 4; i++) {
                outcome other = run(model, &how[i]);
                check_same(models[m], &other, &first);
                outcome_free(&other);
            }
            CHECK(memcmp(first.norm, without.norm, choices * sizeof *first.norm) != 0);
            forget_norms(&first);
            check_same(models[m], &first, &without);
            outcome_free(&without), outcome_free(&first);
            gm_model_close(model);
        }
}

/* ---- sums ---- */

static int n_moe(const gm_model *model)
{
    return gm_model_get_info(model)->n_moe_layers;
}

/* Those of layers that both have are the same bits. */
static void check_same_sums(const gm_model *model, const gm_expert_sums *all,
                            const gm_expert_sums *some)
{
    const gm_model_info *info = gm_model_get_info(model);
    const size_t E = (size_t)info->n_experts, D = (size_t)info->width;
    const size_t from = (size_t)(some->first - all->first) * E,
                 n = (size_t)(some->end - some->first) * E;
    CHECK_BYTES(all->added + from * D, some->added, n * D * sizeof(double));
    for (size_t i = 0; i < n; i++) {
        const gm_expert_sum *a = &all->of[from + i], *b = &some->of[i];
        CHECK(a->n == b->n && a->n_first == b->n_first && a->norms == b->norms &&
              a->cosines == b->cosines && a->largest == b->largest && a->dimension == b->dimension);
    }
}

/* n and norms are those of the record; cosines and largest elements are within their bounds. */
static void check_recorded(const outcome *o, const gm_expert_sums *sums)
{
    const size_t E = o->n_experts, K = o->n_chosen;
    for (size_t l = 0; l < o->n_layers; l++)
        for (size_t e = 0; e < E; e++) {
            uint64_t n = 0, n_first = 0;
            double norms = 0;
            const gm_expert_sum *s = &sums->of[l * E + e];
            for (size_t i = l * o->n_tokens * K; i < (l + 1) * o->n_tokens * K; i++) {
                if (o->expert[i] != e) continue;
                n++, n_first += i % K == 0 && o->norm[i] > 0;
                norms += (double)o->norm[i];
            }
            CHECK(s->n == n && s->n_first == n_first && s->norms == norms);
            CHECK((double)s->largest <= norms && (s->largest > 0) == (norms > 0));
            CHECK(fabs(s->cosines) <= (double)n_first * (1 + 1e-9));
        }
}

static void sums_depend_on_rows_alone(void)
{
    static const struct {
        plan plan;
        bool some; /* all layers but the first */
    } how[] = {{{.threads = 1, .step = 1}, false},
               {{.threads = 3, .step = 7, .packed = true}, false},
               {{.threads = 2, .step = 512, .together = true, .piece = 16}, false},
               {{.threads = 2, .step = 512, .together = true}, true}};
    for (size_t m = 0; m < N_MODELS; m++)
        for (int n = GM_NUMERICS_F32; n <= GM_NUMERICS_BF16; n++) {
            if (m == GEMMA) continue; /* has none */
            gm_model *model = open_model(models[m], (gm_numerics)n, NULL);
            gm_expert_sums first = sums_create(model, 0, n_moe(model));
            plan p = {.threads = 2, .step = 512, .together = true, .norms = true};
            outcome without = run(model, &p);
            p.sums = &first;
            outcome with = run(model, &p);
            check_same(models[m], &with, &without);
            check_recorded(&with, &first);
            for (size_t i = 0; i < sizeof how / sizeof *how; i++) {
                gm_expert_sums sums =
                    sums_create(model, how[i].some && n_moe(model) > 1, n_moe(model));
                p = how[i].plan;
                p.norms = true;
                p.sums = &sums;
                outcome other = run(model, &p);
                check_same_sums(model, &first, &sums);
                outcome_free(&other);
                sums_free(&sums);
            }
            outcome_free(&with), outcome_free(&without);
            sums_free(&first);
            gm_model_close(model);
        }
}

/* A session that records, with one sequence. */
static gm_session *record_session(const gm_model *model, bool norms)
{
    gm_error err = {0};
    gm_session *session = NULL;
    const gm_session_options o = {
        .threads = 1, .max_rows = 8, .kv_rows = 64, .max_sequences = 1, .norms = norms};
    int id;
    CHECK_OK(gm_session_create(&session, model, &o, &err), err);
    CHECK_OK(gm_sequence_open(session, 32, &id, &err), err);
    return session;
}

static void template_rows_are_left_out(void)
{
    gm_error err = {0};
    const uint32_t token[] = {5, 6, 7};
    const uint8_t phase[] = {GM_PHASE_TEMPLATE, GM_PHASE_PROMPT, GM_PHASE_TEMPLATE};
    gm_model *model = open_model(models[0], GM_NUMERICS_F32, NULL);
    const gm_model_info *info = gm_model_get_info(model);
    gm_session *session = record_session(model, true);
    gm_expert_sums sums = sums_create(model, 0, 1);
    const gm_segment segment = {.n = 3, .token = token, .phase = phase, .edit = -1};
    const gm_record record = {.sums = &sums};
    CHECK_OK(gm_session_step(session, &segment, 1, &record, NULL, &err), err);
    uint64_t n = 0;
    for (int e = 0; e < info->n_experts; e++) n += sums.of[e].n;
    CHECK_INT(n, info->n_chosen);
    sums_free(&sums);
    gm_session_free(session);
    gm_model_close(model);
}

/* ---- the head alone ---- */

static void rows_go_through_the_head_alone(void)
{
    gm_error err = {0};
    const uint32_t token[3] = {0};
    gm_model *model = open_model(models[0], GM_NUMERICS_F32, NULL);
    const gm_model_info *info = gm_model_get_info(model);
    const size_t V = (size_t)info->vocab_size, D = (size_t)info->width,
                 end = (size_t)info->n_layers;
    gm_session *session = record_session(model, true);
    float *x = gm_alloc2(3, D, sizeof *x), *logits = gm_alloc2(3, V, sizeof *logits), scale[3];
    for (size_t i = 0; i < D; i++) x[i] = (float)(i % 3), x[2 * D + i] = 100 * x[i];
    const gm_segment segment = {
        .n = 3, .token = token, .edit = -1, .want = GM_WANT_ALL, .residual = x};
    const gm_record record = {.scale = scale};
    const gm_result result = {.logits = logits};
    CHECK_OK(gm_session_step_layers(session, end, end, &segment, 1, &record, &result, &err), err);
    double squares = 0;
    for (size_t i = 0; i < D; i++) squares += (double)(x[i] * x[i]);
    const double mean = squares / (double)D, epsilon = 1e-5; /* of its config */
    CHECK_NEAR((double)scale[0], sqrt(mean + epsilon), 1e-6);
    CHECK_NEAR((double)scale[1], sqrt(epsilon), 1e-9);
    CHECK_NEAR((double)scale[2], 100 * sqrt(mean), 1e-3);
    double largest = 0;
    for (size_t u = 0; u < V; u++) {
        CHECK(logits[V + u] == 0.0f);
        CHECK_NEAR((double)logits[2 * V + u], (double)logits[u], 1e-4);
        largest = fmax(largest, fabs((double)logits[u]));
    }
    CHECK(largest > 0.01);
    gm_free(x), gm_free(logits);
    gm_session_free(session);
    gm_model_close(model);
}

static void records_are_checked(void)
{
    float scale[1], x[64];
    gm_expert_sums none = {.first = 1, .end = 1}, beyond = {.first = 0, .end = 99},
                   before = {.first = -1, .end = 1}, fine = {.first = 0, .end = 1};
    const struct {
        size_t model;
        bool norms;
        gm_record record;
        gm_status status;
        const char *says;
    } step[] = {{0, false, {.sums = &fine}, GM_EARG, "does not record what experts give"},
                {0, false, {.scale = scale}, GM_EARG, "does not record what experts give"},
                {0, true, {.sums = &none}, GM_EARG, "sums of MoE layers"},
                {0, true, {.sums = &beyond}, GM_EARG, "sums of MoE layers"},
                {0, true, {.sums = &before}, GM_EARG, "sums of MoE layers"},
                {0, true, {.scale = scale}, GM_EARG, "layer 0 is the last"},
                {GEMMA, true, {.sums = &fine}, GM_EABSENT, "takes a norm of what its experts"}};
    const uint32_t token = 5;
    for (size_t i = 0; i < sizeof step / sizeof *step; i++) {
        gm_error err = {0};
        gm_model *model = open_model(models[step[i].model], GM_NUMERICS_F32, NULL);
        gm_session *session = record_session(model, step[i].norms);
        const gm_segment segment = {.n = 1, .token = &token, .edit = -1, .residual = x};
        CHECK_FAILS(gm_session_step_layers(session, 0, 1, &segment, 1, &step[i].record, NULL, &err),
                    err, step[i].status, step[i].says);
        gm_session_free(session);
        gm_model_close(model);
    }
}

static void refused_where_there_are_none(void)
{
    gm_error err = {0};
    gm_session *session = NULL;
    gm_session_options o = {
        .threads = 1, .max_rows = 8, .kv_rows = 64, .max_sequences = 1, .norms = true};
    gm_model *model = open_model(MODELS "llama4-tiny", GM_NUMERICS_F32, NULL);
    CHECK_FAILS(gm_session_create(&session, model, &o, &err), err, GM_EABSENT,
                "multiplies what its experts read by their gates");
    CHECK(session == NULL);
    gm_model_close(model);

    const uint32_t token = 5;
    float norm[16];
    int id;
    model = open_model(MODELS "olmoe-tiny", GM_NUMERICS_F32, NULL);
    o.norms = false;
    CHECK_OK(gm_session_create(&session, model, &o, &err), err);
    CHECK_OK(gm_sequence_open(session, 8, &id, &err), err);
    const gm_segment segment = {.sequence = id, .n = 1, .token = &token, .edit = -1};
    const gm_record record = {.norm = norm};
    CHECK_FAILS(gm_session_step(session, &segment, 1, &record, NULL, &err), err, GM_EARG,
                "this session does not record what experts give");
    gm_session_free(session);
    gm_model_close(model);
}

TESTS(TEST(nothing_else_depends_on_them), TEST(sums_depend_on_rows_alone),
      TEST(template_rows_are_left_out), TEST(rows_go_through_the_head_alone),
      TEST(records_are_checked), TEST(refused_where_there_are_none))
