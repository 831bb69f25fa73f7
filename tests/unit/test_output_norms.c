/* test_output_norms.c - norms of what experts give: nothing else changes where they are recorded,
 * they depend on neither steps nor threads, and who cannot give them says so. Their values:
 * golden.engine_golden; bad rows: unit.bad_rows. label: threads */
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
enum { N_MODELS = 5 };

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
                "this session records no norms");
    gm_session_free(session);
    gm_model_close(model);
}

TESTS(TEST(nothing_else_depends_on_them), TEST(refused_where_there_are_none))
