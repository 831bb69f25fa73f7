/* test_cuda_failures.c - the CUDA backend while it runs: any call that fails, edits that do not
 * arrive, a GPU that is lost, a step that is stopped, rows that are not finite, nothing to sample.
 * label: long */
#include "emulated_run.h"
#include "base/cuda/cuda_device.h"
#include "engine/session.h"

#define MODELS TEST_DATA "/golden/models/"

/* Load, a step of many rows, one of few, edits; the status of whatever fails first. *ordered: the
 * failure that was ordered has not come when all of it is to be freed. */
static gm_status everything(const char *folder, bool *ordered, gm_error *err)
{
    gm_status status = GM_OK;
    gm_model *model = NULL;
    gm_session *session = NULL;
    int id;
    uint32_t sampled;
    static const uint32_t token[] = {5, 6, 7};
    static const gm_sampling greedy = {.top_p = 1, .repetition_penalty = 1};
    const gm_result result = {.sampled = &sampled};
    const gm_model_options options = {.device = "cuda", .threads = 1};
    const gm_session_options o = {.max_rows = 16, .kv_rows = 64, .max_sequences = 1};
    float *bias = NULL;
    GM_TRY(gm_model_open(&model, folder, &options, err));
    GM_TRY(gm_session_create(&session, model, &o, err));
    GM_TRY(gm_sequence_open(session, 64, &id, err));
    const gm_model_info *info = gm_model_get_info(model);
    bias = gm_alloc2((size_t)info->n_moe_layers, (size_t)info->n_experts, sizeof *bias);
    const gm_edit edit = {.bias = bias, .phases = 7};
    GM_TRY(gm_session_set_edits(session, &edit, 1, err));
    gm_segment s = {.sequence = id, .n = 3, .token = token, .edit = 0};
    GM_TRY(gm_session_step(session, &s, 1, NULL, NULL, err));
    s.n = 1, s.sampling = &greedy;
    GM_TRY(gm_session_step(session, &s, 1, NULL, &result, err));
out:
    *ordered = gm_emulation.fail_after >= 0;
    gm_free(bias);
    gm_session_free(session);
    gm_model_close(model);
    return status;
}

/* Make the k-th call of the runtime fail; every 29th of them, which the whole test meets in each of
 * its parts, every third of those with kernels of their own. Nothing stays allocated, and there is
 * a sentence. */
static void any_call_may_fail(void)
{
    static const struct {
        const char *folder;
        int error;
        long step;
    } cases[] = {{MODELS "deepseek-tiny", cudaErrorMemoryAllocation, 29},
                 {MODELS "deepseek-tiny", cudaErrorIllegalAddress, 29},
                 {MODELS "deepseek-tiny", cudaErrorECCUncorrectable, 29},
                 {MODELS "nemotron-tiny", cudaErrorMemoryAllocation, 3},
                 {MODELS "gemma4-tiny", cudaErrorMemoryAllocation, 3}};
    emulation_reset();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool reached_end = false;
        for (long k = (long)i; k < 20000 && !reached_end; k += cases[i].step) {
            gm_error err = {0};
            const long blocks = gm_alloc_live();
            emulation_reset();
            gm_emulation.fail_after = k;
            gm_emulation.fail_with = cases[i].error;
            gm_status status = everything(cases[i].folder, &reached_end, &err);
            if (!reached_end && status == GM_OK) TEST_FAILED_("call %ld fails unseen", k);
            if (status != GM_OK && status != GM_EMEM && status != GM_EDEVICE)
                TEST_FAILED_("call %ld: %s", k, gm_status_text(status));
            if (status != GM_OK && err.text[0] == '\0') TEST_FAILED_("call %ld: no sentence", k);
            CHECK_INT(gm_emulation.n_blocks, 0);
            CHECK_INT(gm_alloc_live(), blocks);
        }
        CHECK(reached_end);
    }
    emulation_reset();
}

/* Edits that cannot be sent: steps go on with those before, or say that the session has failed. */
static void edits_that_fail_on_their_way(void)
{
    float bias[2][3 * 16] = {{[1] = 2}, {[2] = 3}}, before[288], after[288];
    static const uint32_t token[] = {5, 6, 7};
    const gm_session_options o = {.max_rows = 16, .kv_rows = 64, .max_sequences = 1};
    const gm_result result = {.logits = after};
    bool refused = false, went_on = false, arrived = false;
    gm_error err = {0};
    for (int n = 0; n < 20 && !arrived; n++) {
        gm_model *model = open_tiny("olmoe-tiny", "cuda", GM_NUMERICS_F32);
        const size_t cells = (size_t)model->arch.n_moe * (size_t)model->arch.n_experts;
        gm_edit edit = {.bias = bias[0], .last_layer = model->arch.n_moe - 1, .phases = 7};
        gm_session *session = NULL;
        int id;
        CHECK(cells <= sizeof bias[0] / sizeof bias[0][0] && model->arch.vocab == 288);
        CHECK_OK(gm_session_create(&session, model, &o, &err), err);
        CHECK_OK(gm_session_set_edits(session, &edit, 1, &err), err);
        CHECK_OK(gm_sequence_open(session, 64, &id, &err), err);
        gm_segment s = {.sequence = id, .n = 3, .token = token, .want = GM_WANT_LAST};
        CHECK_OK(gm_session_step(session, &s, 1, NULL, &result, &err), err);
        memcpy(before, after, sizeof before);
        CHECK_OK(gm_sequence_rewind(session, id, 0, &err), err);

        edit.bias = bias[1];
        gm_emulation.fail_after = n;
        gm_emulation.fail_with = cudaErrorMemoryAllocation;
        arrived = gm_session_set_edits(session, &edit, 1, &err) == GM_OK;
        gm_emulation.fail_after = -1;
        (void)cudaGetLastError(); /* the runtime goes on after this one */
        if (!arrived) {
            if (gm_session_step(session, &s, 1, NULL, &result, &err) == GM_OK) {
                went_on = true;
                CHECK(memcmp(before, after, sizeof before) == 0);
            } else {
                refused = true;
                CHECK_HAS(err.text, "has already failed");
            }
        }
        gm_session_free(session);
        gm_model_close(model);
    }
    CHECK(arrived && refused && went_on);
}

/* A step that cannot be sent ends there: a stream whose capture was begun after that would be left
 * capturing, and takes nothing more, not even its end. */
static void a_step_that_is_not_sent_is_not_captured(void)
{
    gm_model *model = open_tiny("olmoe-tiny", "cuda", GM_NUMERICS_F32);
    static const uint32_t token = 5;
    const gm_session_options o = {.max_rows = 16, .kv_rows = 64, .max_sequences = 1};
    const gm_segment s = {.n = 1, .token = &token, .edit = -1};
    size_t n_unsent = 0;
    gm_status status = GM_EDEVICE;
    for (int n = 0; n < 99 && status != GM_OK; n++) {
        gm_session *session = NULL;
        gm_error err = {0};
        int id;
        CHECK_OK(gm_session_create(&session, model, &o, &err), err);
        CHECK_OK(gm_sequence_open(session, 64, &id, &err), err);
        const size_t captured = gm_emulation.n_captures;
        gm_emulation.fail_after = n;
        gm_emulation.fail_with = cudaErrorMemoryAllocation;
        status = gm_session_step(session, &s, 1, NULL, NULL, &err);
        gm_emulation.fail_after = -1;
        (void)cudaGetLastError();
        if (status != GM_OK && strstr(err.text, "sending")) {
            CHECK_INT(gm_emulation.n_captures, captured);
            n_unsent++;
        }
        gm_session_free(session);
    }
    CHECK(status == GM_OK && n_unsent == 2); /* the cache's tables, and the step */
    gm_model_close(model);
}

static void a_lost_gpu_ends_the_session(void)
{
    gm_model *model = open_tiny("olmoe-tiny", "cuda", GM_NUMERICS_F32);
    gm_session *session = NULL;
    gm_error err = {0};
    int id;
    static const uint32_t token[] = {5, 6, 7};
    const gm_session_options o = {.max_rows = 16, .kv_rows = 64, .max_sequences = 1};
    CHECK_OK(gm_session_create(&session, model, &o, &err), err);
    CHECK_OK(gm_sequence_open(session, 64, &id, &err), err);
    gm_segment s = {.sequence = id, .n = 3, .token = token, .edit = -1};
    gm_emulation.fail_after = 20;
    gm_emulation.fail_with = cudaErrorECCUncorrectable;
    CHECK_FAILS(gm_session_step(session, &s, 1, NULL, NULL, &err), err, GM_EDEVICE,
                "uncorrectable ECC error");
    CHECK_FAILS(gm_session_step(session, &s, 1, NULL, NULL, &err), err, GM_EDEVICE,
                "has already failed");
    gm_session_free(session);
    gm_model_close(model);
    emulation_reset();
}

static bool go_on(void *context, size_t step, const uint32_t *sampled)
{
    (void)context, (void)step, (void)sampled;
    return true;
}

/* The last norm is NaN, and so are all logits: there is nothing to feed the second step with. */
static void what_cannot_be_sampled_is_said_alike(void)
{
    static const char *const devices[] = {"cpu", "cuda"};
    static const uint32_t token = 5;
    static const gm_sampling greedy = {.top_p = 1, .repetition_penalty = 1};
    const gm_session_options o = {.max_rows = 16, .kv_rows = 64, .max_sequences = 1};
    const gm_segment s = {.n = 1, .token = &token, .edit = -1, .sampling = &greedy};
    for (int d = 0; d < 2; d++) {
        gm_model *model = open_tiny("olmoe-tiny", devices[d], GM_NUMERICS_F32);
        const gm_buf *norm = &model->weights->final_norm;
        gm_session *session = NULL;
        gm_error err = {0};
        int id;
        uint32_t sampled;
        const gm_result result = {.sampled = &sampled};
        const gm_decoding how = {.n_steps = 3, .each = go_on};
        memset(norm->address, 0xff, norm->cols * sizeof(float));
        CHECK_OK(gm_session_create(&session, model, &o, &err), err);
        CHECK_OK(gm_sequence_open(session, 64, &id, &err), err);
        CHECK_FAILS(gm_session_decode(session, &s, 1, &how, NULL, &result, &err), err, GM_EARG,
                    "segment 0: no token can be sampled because all logits are NaN or -inf");
        CHECK_INT(gm_sequence_length(session, id), 1);
        gm_session_free(session);
        gm_model_close(model);
    }
}

typedef struct asked {
    size_t n, last, stop_at;
} asked;

static bool count_layers(void *context, size_t done, size_t n_layers)
{
    asked *a = context;
    CHECK(done >= 1 && done <= n_layers);
    a->n++, a->last = done;
    return done == a->stop_at;
}

/* A step of many rows asks after every layer, one of few when it has ended; both can be stopped,
 * and the session goes on. */
static void a_step_can_be_stopped(void)
{
    gm_model *model = open_tiny("deepseek-tiny", "cuda", GM_NUMERICS_BF16);
    const size_t n_layers = (size_t)gm_model_get_info(model)->n_layers;
    gm_session *session = NULL;
    gm_error err = {0};
    asked a = {0};
    int id;
    static const uint32_t token[] = {5, 6, 7};
    const gm_session_options o = {.max_rows = 16,
                                  .kv_rows = 64,
                                  .max_sequences = 1,
                                  .after_layer = count_layers,
                                  .context = &a};
    CHECK_OK(gm_session_create(&session, model, &o, &err), err);
    CHECK_OK(gm_sequence_open(session, 64, &id, &err), err);
    gm_segment s = {.sequence = id, .n = 3, .token = token, .edit = -1};
    CHECK_OK(gm_session_step(session, &s, 1, NULL, NULL, &err), err);
    CHECK(a.n == n_layers && a.last == n_layers);
    a = (asked){.stop_at = 2};
    CHECK_FAILS(gm_session_step(session, &s, 1, NULL, NULL, &err), err, GM_EINTERRUPTED, "");
    CHECK_INT(a.n, 2);
    CHECK_OK(gm_sequence_rewind(session, id, 3, &err), err);
    a = (asked){0};
    s.n = 1;
    CHECK_OK(gm_session_step(session, &s, 1, NULL, NULL, &err), err);
    CHECK(a.n == 1 && a.last == n_layers);
    a = (asked){.stop_at = n_layers};
    CHECK_FAILS(gm_session_step(session, &s, 1, NULL, NULL, &err), err, GM_EINTERRUPTED, "");
    gm_session_free(session);
    gm_model_close(model);
}

/* Some layers of a step are refused, before anything is computed; all of them are not. */
static void a_gpu_computes_every_layer(void)
{
    gm_model *model = open_tiny("deepseek-tiny", "cuda", GM_NUMERICS_F32);
    const gm_model_info *info = gm_model_get_info(model);
    const size_t n_layers = (size_t)info->n_layers;
    float *residual = gm_alloc((size_t)info->width, sizeof *residual);
    gm_session *session = NULL;
    gm_error err = {0};
    static const uint32_t token[] = {5};
    const gm_session_options o = {.max_rows = 1, .kv_rows = 64, .max_sequences = 1};
    gm_segment s = {.n = 1, .token = token, .edit = -1, .residual = residual};
    CHECK_OK(gm_session_create(&session, model, &o, &err), err);
    CHECK_OK(gm_sequence_open(session, 64, &s.sequence, &err), err);
    CHECK(!gm_session_takes_layers(session));
    CHECK_FAILS(gm_session_step_layers(session, 1, n_layers, &s, 1, NULL, NULL, &err), err,
                GM_EABSENT, "computes all layers of a step");
    CHECK_FAILS(gm_session_step_layers(session, 0, 1, &s, 1, NULL, NULL, &err), err, GM_EABSENT,
                "computes all layers of a step");
    CHECK_INT(gm_sequence_length(session, s.sequence), 0);
    CHECK_OK(gm_session_step_layers(session, 0, n_layers, &s, 1, NULL, NULL, &err), err);
    CHECK_INT(gm_sequence_length(session, s.sequence), 1);
    gm_free(residual);
    gm_session_free(session);
    gm_model_close(model);
}

static void check_a_row_that_is_not_finite(const char *name)
{
    gm_model *model = open_tiny(name, "cuda", GM_NUMERICS_BF16);
    uint32_t token[6] = {9, 9, 9, 9, 9, 9};
    static const size_t offset[] = {0, 3, 6};
    docs d = {.n = 2, .n_tokens = 6, .token = token, .offset = offset};
    token[1] = 20;
    /* the embedding of token 20 becomes NaN on the device, which is host memory here */
    const gm_buf *embed = &model->weights->embed;
    memset((char *)embed->address + 20 * embed->stride * gm_dtype_bytes(embed->dtype), 0xff,
           embed->cols * gm_dtype_bytes(embed->dtype));
    const plan plans[] = {{.threads = 1, .step = 1, .together = true}, {.threads = 1, .step = 6}};
    for (int p = 0; p < 2; p++) {
        outcome o = run_docs(model, &d, &plans[p]);
        const size_t k = o.n_chosen;
        for (size_t t = 0; t < 6; t++) CHECK_INT(o.bad[t], t == 1 || t == 2);
        for (size_t l = 0; l < o.n_layers; l++)
            for (size_t i = 0; i < 6 * k; i++) {
                const bool bad = i / k == 1 || i / k == 2;
                CHECK((o.expert[l * 6 * k + i] == GM_NO_EXPERT) == bad);
                CHECK(!!isnan(o.gate[l * 6 * k + i]) == bad);
            }
        for (size_t t = 3; t < 6; t++) CHECK(isfinite(o.logits[t * o.vocab]));
        outcome_free(&o);
    }
    gm_model_close(model);
}

/* A router that is not finite marks its row and spoils no other. */
static void a_row_that_is_not_finite_stays_alone(void)
{
    check_a_row_that_is_not_finite("deepseek-tiny"); /* whose first layer is dense */
    check_a_row_that_is_not_finite("gemma4-tiny");   /* whose router has a norm of its own */
}

TESTS(TEST(any_call_may_fail), TEST(edits_that_fail_on_their_way),
      TEST(a_step_that_is_not_sent_is_not_captured), TEST(a_lost_gpu_ends_the_session),
      TEST(what_cannot_be_sampled_is_said_alike), TEST(a_step_can_be_stopped),
      TEST(a_gpu_computes_every_layer), TEST(a_row_that_is_not_finite_stays_alone))
