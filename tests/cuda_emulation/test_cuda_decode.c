/* test_cuda_decode.c - generating on the emulated GPU: sampling against the CPU's, steps that run
 * ahead of the host, edits, the record, and that none of them needs another graph.
 * label: slow
 * label: long */
#include "emulated_run.h"
#include "engine/cuda/cuda_session.h"
#include "engine/session.h"

enum { PROMPT = 9, STEPS = 21, MOST = 64, SEQUENCES = 3 };

static gm_session *open_session(const gm_model *model, int id[SEQUENCES])
{
    gm_session *session = NULL;
    gm_error err = {0};
    gm_session_options o = {
        .threads = 1, .max_rows = 32, .kv_rows = SEQUENCES * MOST, .max_sequences = SEQUENCES};
    CHECK_OK(gm_session_create(&session, model, &o, &err), err);
    if (session == NULL) exit(1);
    for (int i = 0; i < SEQUENCES; i++)
        CHECK_OK(gm_sequence_open(session, MOST, &id[i], &err), err);
    return session;
}

/* What was generated, and the record of every step. */
typedef struct generated {
    size_t n;
    uint32_t token[STEPS * SEQUENCES];
    uint16_t *expert; /* (steps, L, n_sequences, K) */
    gm_record record; /* of one step */
    size_t record_ids, n_sequences, stop_after;
} generated;

static bool keep(void *context, size_t step, const uint32_t *sampled)
{
    generated *g = context;
    memcpy(g->token + step * g->n_sequences, sampled, g->n_sequences * sizeof *sampled);
    memcpy(g->expert + step * g->record_ids, g->record.expert,
           g->record_ids * sizeof *g->record.expert);
    g->n = step + 1;
    return g->n < g->stop_after;
}

static generated generated_create(const gm_model *model, size_t n_sequences, size_t stop_after)
{
    const gm_model_info *info = gm_model_get_info(model);
    generated g = {.n_sequences = n_sequences, .stop_after = stop_after};
    g.record_ids = (size_t)info->n_moe_layers * n_sequences * (size_t)info->n_chosen;
    g.expert = gm_alloc2(STEPS, g.record_ids, sizeof *g.expert);
    g.record.expert = gm_alloc(g.record_ids, sizeof *g.record.expert);
    return g;
}

static void generated_free(generated *g)
{
    gm_free(g->expert);
    gm_free(g->record.expert);
}

/* A prompt, then STEPS tokens by gm_session_decode; lengths afterwards are checked. */
static generated generate(const gm_model *model, size_t n_sequences, const gm_sampling *sampling,
                          const gm_edit *edit, size_t stop_after)
{
    generated g = generated_create(model, n_sequences, stop_after);
    int id[SEQUENCES];
    gm_error err = {0};
    gm_session *session = open_session(model, id);
    uint32_t token[SEQUENCES * PROMPT], sampled[SEQUENCES];
    gm_segment segment[SEQUENCES];
    const gm_result result = {.sampled = sampled};
    random_tokens(model, token, SEQUENCES * PROMPT);
    if (edit) CHECK_OK(gm_session_set_edits(session, edit, 1, &err), err);
    for (size_t i = 0; i < n_sequences; i++)
        segment[i] = (gm_segment){
            .sequence = id[i], .n = PROMPT - 1, .token = token + i * PROMPT, .edit = edit ? 0 : -1};
    CHECK_OK(gm_session_step(session, segment, n_sequences, NULL, NULL, &err), err);
    for (size_t i = 0; i < n_sequences; i++) {
        segment[i].token += PROMPT - 1, segment[i].n = 1;
        segment[i].sampling = &sampling[i];
    }
    const gm_decoding how = {.n_steps = STEPS, .each = keep, .context = &g};
    CHECK_OK(gm_session_decode(session, segment, n_sequences, &how, &g.record, &result, &err), err);
    for (size_t i = 0; i < n_sequences; i++)
        CHECK_INT(gm_sequence_length(session, id[i]), PROMPT - 1 + g.n);
    gm_session_free(session);
    return g;
}

static void compare_generated(const char *what, const generated *a, const generated *b)
{
    CHECK_INT(a->n, b->n);
    for (size_t i = 0; i < a->n * a->n_sequences; i++)
        if (a->token[i] != b->token[i]) {
            TEST_FAILED_("%s: token %zu is %u, expected %u", what, i, a->token[i], b->token[i]);
            return;
        }
    CHECK_BYTES(a->expert, b->expert, a->n * a->record_ids * sizeof *a->expert);
}

static const gm_sampling samplings[] = {
    {.temperature = 0, .top_p = 1, .repetition_penalty = 1},
    {.temperature = 1, .top_p = 1, .repetition_penalty = 1, .seed = 1},
    {.temperature = 0.7, .top_p = 0.9, .repetition_penalty = 1, .seed = 2, .stream = 1ull << 40},
    {.temperature = 1.3, .top_k = 20, .top_p = 1, .repetition_penalty = 1, .seed = 3},
    {.temperature = 2, .top_k = 50, .top_p = 0.5, .repetition_penalty = 1.5, .seed = 1ull << 60},
    {.temperature = 0, .top_p = 1, .repetition_penalty = 1.2},
    {.temperature = 1, .top_k = 1, .top_p = 1, .repetition_penalty = 1, .seed = 4},
};
enum { N_SAMPLINGS = sizeof samplings / sizeof *samplings };

static void compare_tokens(const char *name, size_t n_samplings)
{
    gm_model *cpu = open_tiny(name, "cpu", GM_NUMERICS_F32);
    gm_model *gpu = open_tiny(name, "cuda", GM_NUMERICS_F32);
    for (size_t i = 0; i < n_samplings; i++) {
        char what[32];
        generated want = generate(cpu, 1, &samplings[i], NULL, STEPS);
        generated got = generate(gpu, 1, &samplings[i], NULL, STEPS);
        snprintf(what, sizeof what, "%s, sampling %zu", name, i);
        CHECK_INT(want.n, STEPS);
        compare_generated(what, &got, &want);
        generated_free(&want);
        generated_free(&got);
    }
    generated want = generate(cpu, SEQUENCES, samplings + 2, NULL, STEPS);
    generated got = generate(gpu, SEQUENCES, samplings + 2, NULL, STEPS);
    compare_generated("three sequences", &got, &want);
    generated_free(&want);
    generated_free(&got);
    gm_model_close(cpu);
    gm_model_close(gpu);
}

static void the_same_tokens_as_on_the_cpu(void)
{
    compare_tokens("qwen3-tiny", N_SAMPLINGS);
    compare_tokens("gemma4-tiny", 2); /* beyond its windows */
}

/* Back into and before the last positions that a window sees: rows one by one, of which the step
 * was made. */
static void a_rewound_sequence_goes_on(void)
{
    enum { LONG = 30, VOCAB = 290 };
    static const size_t back[] = {21, 5, 0};
    static float want[LONG * VOCAB], got[VOCAB];
    gm_model *gpu = open_tiny("gemma4-tiny", "cuda", GM_NUMERICS_F32);
    uint32_t token[LONG];
    int id[SEQUENCES];
    gm_error err = {0};
    gm_session *session = open_session(gpu, id);
    random_tokens(gpu, token, LONG);
    gm_segment s = {.sequence = id[0], .n = LONG, .token = token, .edit = -1, .want = GM_WANT_ALL};
    gm_result result = {.logits = want};
    CHECK_INT(gm_model_get_info(gpu)->vocab_size, VOCAB);
    CHECK_OK(gm_session_step(session, &s, 1, NULL, &result, &err), err);
    result.logits = got, s.n = 1;
    for (size_t b = 0; b < sizeof back / sizeof *back; b++) {
        CHECK_OK(gm_sequence_rewind(session, id[0], back[b], &err), err);
        for (size_t t = back[b]; t < LONG; t++) {
            s.token = token + t;
            CHECK_OK(gm_session_step(session, &s, 1, NULL, &result, &err), err);
            CHECK_FLOATS(got, want + t * VOCAB, VOCAB, 1e-4);
        }
    }
    gm_session_free(session);
    gm_model_close(gpu);
}

/* Steps that were started and not asked for leave nothing behind. */
static void stopping_early_forgets_what_ran_ahead(void)
{
    gm_model *gpu = open_tiny("olmoe-tiny", "cuda", GM_NUMERICS_F32);
    generated whole = generate(gpu, 1, &samplings[1], NULL, STEPS);
    generated part = generate(gpu, 1, &samplings[1], NULL, 5);
    CHECK_INT(part.n, 5);
    CHECK_BYTES(part.token, whole.token, 5 * sizeof *part.token);
    generated_free(&whole);
    generated_free(&part);
    gm_model_close(gpu);
}

#ifndef GM_REAL_GPU
/* ---- graphs ---- */

/* Kernels of a step of few rows: embedding, head and its cap, sampling, publishing; of a layer
 * attention or what it has instead, and three of its MLP, two of a dense one; one `down` more and
 * one for the norms where what experts and shared experts give has norms apart. */
static size_t count_kernels(const gm_arch *arch, size_t attention)
{
    const size_t apart = gm_arch_norms_apart(arch) ? 2 : 0;
    size_t n = 4 + (arch->logits_cap > 0.0f);
    for (int l = 0; l < arch->n_layers; l++) {
        if (gm_arch_has_mixer(arch, l))
            n += !gm_arch_is_delta(arch, l) ? attention
                 : arch->mamba              ? 4
                 : arch->delta.rank > 0     ? 5
                                            : 3;
        if (gm_arch_has_mlp(arch, l)) n += arch->moe_of_layer[l] < 0 ? 2 : 3 + apart;
    }
    return n;
}

static void one_graph_for_all_of_it(void)
{
    static const struct {
        const char *name;
        size_t attention; /* its kernels: of latents queries, keys, values and those of a latent */
    } models[] = {{"deepseek-tiny", 3},       {"olmoe-tiny", 3},
                  {"phimoe-tiny", 3},         {"deepseek-v2-tiny", 5},
                  {"deepseek-v3-tiny", 6},    {"qwen3-next-tiny", 3},
                  {"granite-hybrid-tiny", 3}, {"nemotron-tiny", 3},
                  {"gemma4-tiny", 4},         {"lfm-tiny", 3},
                  {"llama4-tiny", 3},         {"kimi-linear-tiny", 5}};
    for (size_t m = 0; m < sizeof models / sizeof models[0]; m++) {
        gm_model *gpu = open_tiny(models[m].name, "cuda", GM_NUMERICS_BF16);
        const gm_model_info *info = gm_model_get_info(gpu);
        int id[SEQUENCES];
        gm_error err = {0};
        gm_session *session = open_session(gpu, id);
        const size_t captured = gm_emulation.n_captures;
        uint32_t sampled[1] = {3};
        gm_result result = {.sampled = sampled};
        for (size_t i = 0; i < N_SAMPLINGS; i++) { /* other positions, samplings, edits */
            uint32_t token = sampled[0];
            float *bias = gm_alloc2((size_t)info->n_moe_layers, (size_t)info->n_experts, 4);
            bias[i % (size_t)(info->n_moe_layers * info->n_experts)] = 2.0f;
            const gm_edit edit = {.bias = bias,
                                  .last_layer = info->n_moe_layers - 1,
                                  .phases = 7,
                                  .mode = (gm_edit_mode)(i % 4)};
            CHECK_OK(gm_session_set_edits(session, &edit, 1, &err), err);
            gm_segment s = {.sequence = id[0],
                            .n = 1,
                            .token = &token,
                            .edit = i % 2 ? 0 : -1,
                            .sampling = &samplings[i]};
            CHECK_OK(gm_session_step(session, &s, 1, NULL, &result, &err), err);
            gm_free(bias);
        }
        CHECK_INT(gm_emulation.n_captures - captured, 1);
        const gm_cuda_session *own = session->own;
        CHECK_INT(own->graph[0].n_nodes, count_kernels(&gpu->arch, models[m].attention));
        gm_session_free(session);
        gm_model_close(gpu);
    }
}

/* The order in which blocks run changes nothing: no sum depends on it. */
static void check_orders(const char *name)
{
    gm_model *gpu = open_tiny(name, "cuda", GM_NUMERICS_BF16);
    uint32_t token[40];
    const size_t offset[] = {0, 7, 40};
    random_tokens(gpu, token, 40);
    docs d = {.n = 2, .n_tokens = 40, .token = token, .offset = offset};
    const plan plans[] = {{.threads = 1, .step = 1, .together = true},
                          {.threads = 1, .step = 64, .packed = true}};
    for (size_t p = 0; p < 2; p++) {
        gm_emulation.order = 0;
        outcome want = run_docs(gpu, &d, &plans[p]);
        for (unsigned long order = 1; order < 3; order++) {
            gm_emulation.order = order * 7919;
            outcome got = run_docs(gpu, &d, &plans[p]);
            check_same("another order", &got, &want);
            outcome_free(&got);
        }
        outcome_free(&want);
    }
    gm_emulation.order = 0;
    gm_model_close(gpu);
}

static void any_order_of_blocks_gives_the_same_bytes(void)
{
    check_orders("deepseek-tiny");
    check_orders("deepseek-v3-tiny");
    check_orders("phimoe-tiny");
    check_orders("granite-hybrid-tiny");
    check_orders("nemotron-tiny");
    check_orders("gemma4-tiny");
    check_orders("lfm-tiny");
    check_orders("kimi-linear-tiny");
}
#else
static void one_graph_for_all_of_it(void)
{
    TEST_SKIP("captures are counted on the emulated GPU");
}

static void any_order_of_blocks_gives_the_same_bytes(void)
{
    TEST_SKIP("blocks can be ordered on the emulated GPU only");
}
#endif

/* ---- edits ---- */

static outcome run_edited(gm_model *model, const gm_edit *edit, size_t step)
{
    static uint32_t token[12];
    static const size_t offset[] = {0, 12};
    random_tokens(model, token, 12);
    docs d = {.n = 1, .n_tokens = 12, .token = token, .offset = offset};
    return run_docs(model, &d, &(plan){.threads = 1, .step = step, .edit = edit});
}

static void a_bias_of_zeros_gives_the_bits_of_none(void)
{
    gm_model *const models[] = {open_tiny("mixtral-tiny", "cuda", GM_NUMERICS_BF16),
                                open_tiny("deepseek-v3-tiny", "cuda", GM_NUMERICS_BF16),
                                open_tiny("granite-hybrid-tiny", "cuda", GM_NUMERICS_BF16),
                                open_tiny("nemotron-tiny", "cuda", GM_NUMERICS_BF16),
                                open_tiny("gemma4-tiny", "cuda", GM_NUMERICS_BF16),
                                open_tiny("lfm-tiny", "cuda", GM_NUMERICS_BF16)};
    float zeros[64] = {0};
    for (int m = 0; m < 24; m++) { /* every mode on all, on half of them mass-matched */
        gm_model *gpu = models[m % 6];
        const gm_model_info *info = gm_model_get_info(gpu);
        CHECK(info->n_moe_layers * info->n_experts <= 64);
        const gm_edit edit = {.bias = zeros,
                              .mode = (gm_edit_mode)(m % 4),
                              .mass_matched = m >= 12,
                              .last_layer = info->n_moe_layers - 1,
                              .phases = 7};
        outcome plain = run_edited(gpu, NULL, 1), edited = run_edited(gpu, &edit, 1);
        check_same("zeros", &edited, &plain);
        outcome_free(&plain);
        outcome_free(&edited);
    }
    for (int i = 0; i < 6; i++) gm_model_close(models[i]);
}

/* Every mode, mass-matched or not. */
static void check_modes(gm_model *cpu, gm_model *gpu, gm_edit edit, const char *window)
{
    for (int m = 0; m < 8; m++) {
        char what[64];
        edit.mode = (gm_edit_mode)(m % 4), edit.mass_matched = m >= 4;
        outcome want = run_edited(cpu, &edit, 64), got = run_edited(gpu, &edit, 64);
        snprintf(what, sizeof what, "%s, mode %d", window, m);
        compare_f32(what, &got, &want);
        outcome_free(&want);
        outcome_free(&got);
    }
}

/* Over windows of layers and phases; of the experts the first four may be banned. */
static void every_mode_and_window(void)
{
    static const struct {
        const char *model;
        int first, last;
        uint8_t phases;
    } windows[] = {{"deepseek-tiny", 0, 2, 1},        {"deepseek-v3-tiny", 1, 1, 7},
                   {"deepseek-v2-tiny", 0, 1, 1 | 4}, {"phimoe-tiny", 0, 1, 1 | 4},
                   {"granite-hybrid-tiny", 1, 2, 1},  {"nemotron-tiny", 0, 1, 7},
                   {"gemma4-tiny", 1, 2, 7},          {"lfm-tiny", 0, 1, 7},
                   {"deepseek-tiny", 2, 2, 2},        {"llama4-tiny", 0, 1, 7}};
    for (size_t w = 0; w < sizeof windows / sizeof windows[0]; w++) {
        gm_model *cpu = open_tiny(windows[w].model, "cpu", GM_NUMERICS_F32);
        gm_model *gpu = open_tiny(windows[w].model, "cuda", GM_NUMERICS_F32);
        const gm_model_info *info = gm_model_get_info(gpu);
        const size_t e = (size_t)info->n_experts, n = (size_t)info->n_moe_layers * e;
        float *bias = gm_alloc(n, sizeof *bias);
        for (size_t i = 0; i < n; i++) bias[i] = (float)((int)(i * 7 % 11) - 5) * 0.4f;
        for (size_t i = 0; i < n; i++)
            if (bias[i] < 0.0f && i % e >= 4) bias[i] = -bias[i];
        const gm_edit edit = {.bias = bias,
                              .first_layer = windows[w].first,
                              .last_layer = windows[w].last,
                              .phases = windows[w].phases};
        check_modes(cpu, gpu, edit, windows[w].model);
        gm_free(bias);
        gm_model_close(cpu);
        gm_model_close(gpu);
    }
}

TESTS(TEST(the_same_tokens_as_on_the_cpu), TEST(a_rewound_sequence_goes_on),
      TEST(stopping_early_forgets_what_ran_ahead), TEST(one_graph_for_all_of_it),
      TEST(any_order_of_blocks_gives_the_same_bytes), TEST(a_bias_of_zeros_gives_the_bits_of_none),
      TEST(every_mode_and_window))
