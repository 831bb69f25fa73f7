/* test_steer_likelihood.c - steer/serve/likelihood.c: log-probabilities and likeliest tokens are
 * those of the steps by hand.
 */
#include "steer/serve/likelihood.h"

#include "tests/check.h"

static const char TINY[] = TEST_DATA "/golden/models/deepseek-tiny"; /* L 3, E 12 */
enum { L = 3, E = 12, MOST = 256, TOP = 5 };

static float bias[L * E];

static gm_model *open_tiny(void)
{
    gm_error err = {0};
    gm_model *model = NULL;
    const gm_model_options options = {.threads = 1};
    CHECK_OK(gm_model_open(&model, TINY, &options, &err), err);
    for (int j = 0; j < L * E; j++) bias[j] = (float)(j * 7 % 11) - 5;
    return model;
}

static gm_continuation text_of(size_t n_prompt, size_t n_generated, int edit)
{
    gm_continuation c = {.edit = edit};
    gm_error err = {0};
    for (size_t i = 0; i < n_prompt; i++)
        CHECK_OK(gm_ids_append(&c.prompt, (uint32_t)(5 + 11 * i % 250), &err), err);
    for (size_t i = 0; i < n_generated; i++)
        CHECK_OK(gm_ids_append(&c.generated, (uint32_t)(17 + 13 * i % 200), &err), err);
    return c;
}

/* Logits (V) of the row of token t, one row a step; the bias acts times share[i] in the row of
 * generated token i, once in the others. */
static void check_by_hand(const gm_likelihood *l, const gm_model *model, const gm_continuation *c,
                          const double *share)
{
    gm_error err = {0};
    gm_session *session = NULL;
    const size_t V = (size_t)gm_model_get_info(model)->vocab_size;
    const gm_session_options options = {
        .threads = 1, .max_rows = 1, .kv_rows = MOST, .max_sequences = 1};
    float scaled[L * E], *x = gm_alloc(V, sizeof *x);
    gm_edit edit = {.bias = scaled, .last_layer = L - 1, .phases = 7};
    gm_segment s = {.n = 1, .want = GM_WANT_ALL, .edit = c->edit < 0 ? -1 : 0};
    const gm_result result = {.logits = x};
    CHECK_OK(gm_session_create(&session, model, &options, &err), err);
    CHECK_OK(gm_sequence_open(session, MOST, &s.sequence, &err), err);
    for (size_t t = 0; t + 1 < c->prompt.n + c->generated.n; t++) {
        const bool generated = t >= c->prompt.n;
        const uint32_t token = generated ? c->generated.at[t - c->prompt.n] : c->prompt.at[t];
        const size_t next = t + 1;
        const uint32_t own =
            next < c->prompt.n ? c->prompt.at[next] : c->generated.at[next - c->prompt.n];
        const uint8_t phase = generated ? GM_PHASE_GENERATED : GM_PHASE_PROMPT;
        for (int j = 0; j < L * E; j++)
            scaled[j] = (float)((generated ? share[t - c->prompt.n] : 1) * (double)bias[j]);
        CHECK_OK(gm_session_set_edits(session, &edit, 1, &err), err);
        s.token = &token, s.phase = &phase;
        CHECK_OK(gm_session_step(session, &s, 1, NULL, &result, &err), err);
        if (next < l->first) continue;
        double sum = 0;
        for (size_t v = 0; v < V; v++) sum += exp((double)x[v]);
        const size_t at = next - l->first;
        CHECK_NEAR((double)l->log_p[at], (double)x[own] - log(sum), 2e-6);
        for (size_t k = 0; k < l->most; k++) {
            const uint32_t id = l->top[at * l->most + k];
            size_t stronger = 0; /* and equal ones of a lower id */
            for (uint32_t v = 0; v < V; v++) stronger += x[v] > x[id] || (x[v] == x[id] && v < id);
            CHECK_INT(stronger, k);
            CHECK_NEAR((double)l->top_log_p[at * l->most + k], (double)x[id] - log(sum), 2e-6);
        }
    }
    gm_session_free(session);
    gm_free(x);
}

static void reading_equals_single_steps(void)
{
    static const double constant[8] = {1, 1, 1, 1, 1, 1, 1, 1},
                        rise[8] = {.25, .5, .75, 1, 1, 1, 1, 1};
    gm_error err = {0};
    gm_model *model = open_tiny();
    const gm_edit edits[2] = {{.bias = bias, .last_layer = L - 1, .phases = 7},
                              {.bias = bias, .last_layer = L - 1, .phases = 7}};
    const gm_schedule schedules[2] = {{GM_SCHEDULE_CONSTANT, 0}, {GM_SCHEDULE_RISE, 4}};
    const gm_continue_options options = {
        .threads = 1, .edits = edits, .schedules = schedules, .n_edits = 2, .quiet = true};
    gm_continuation list[3] = {text_of(7, 8, -1), text_of(90, 8, 0), text_of(7, 8, 1)};
    for (int generated = 0; generated < 2; generated++) {
        gm_likelihood l[3];
        CHECK_OK(gm_likelihood_all(l, list, 3, generated, TOP, model, &options, &err), err);
        for (int i = 0; i < 3; i++) {
            CHECK_INT(l[i].first, generated ? list[i].prompt.n : 0);
            CHECK_INT(l[i].n, list[i].generated.n + (generated ? 0 : list[i].prompt.n));
            CHECK_INT(l[i].most, TOP);
            check_by_hand(&l[i], model, &list[i], i == 2 ? rise : constant);
            CHECK(generated || (isnan(l[i].log_p[0]) && isnan(l[i].top_log_p[TOP - 1])));
            gm_likelihood_clear(&l[i]);
        }
    }
    for (int i = 0; i < 3; i++) gm_continuation_clear(&list[i]);
    gm_model_close(model);
}

static void short_texts_and_none(void)
{
    gm_error err = {0};
    gm_model *model = open_tiny();
    const gm_continue_options options = {.threads = 1, .quiet = true};
    gm_continuation list[2] = {text_of(1, 0, -1), text_of(3, 0, -1)};
    gm_likelihood l[2];
    CHECK_OK(gm_likelihood_all(l, list, 0, false, 0, model, &options, &err), err);
    CHECK_OK(gm_likelihood_all(l, list, 2, false, 0, model, &options, &err), err);
    CHECK(l[0].n == 1 && isnan(l[0].log_p[0]) && l[1].log_p[2] < 0);
    for (int i = 0; i < 2; i++) gm_likelihood_clear(&l[i]);
    CHECK_OK(gm_likelihood_all(l, list, 2, true, 1, model, &options, &err), err);
    CHECK(l[0].n == 0 && l[1].n == 0);
    for (int i = 0; i < 2; i++) {
        gm_likelihood_clear(&l[i]);
        gm_continuation_clear(&list[i]);
    }
    gm_model_close(model);
}

static bool nobody(void *context)
{
    (void)context;
    return false;
}

static void what_nobody_waits_for_ends(void)
{
    gm_error err = {0};
    gm_model *model = open_tiny();
    const gm_continue_options options = {.threads = 1, .keep_going = nobody, .quiet = true};
    gm_continuation c = text_of(3, 2, -1);
    gm_likelihood l;
    CHECK_FAILS(gm_likelihood_all(&l, &c, 1, false, 2, model, &options, &err), err, GM_EINTERRUPTED,
                "nobody waits");
    CHECK(l.log_p == NULL && l.top == NULL && l.n == 0);
    gm_continuation_clear(&c);
    gm_model_close(model);
}

TESTS(TEST(reading_equals_single_steps), TEST(short_texts_and_none),
      TEST(what_nobody_waits_for_ends))
