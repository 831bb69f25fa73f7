/* test_steer_reread.c - steer/reread.c: the log-probabilities of a text, without a plan and
 * under it, are those of the steps by hand.
 */
#include "steer/reread.h"

#include "tests/check.h"

static const char TINY[] = TEST_DATA "/golden/models/deepseek-tiny"; /* L 3, E 12 */
enum { L = 3, E = 12, MOST = 256 };

typedef struct fixture {
    gm_model *model;
    gm_tokenizer *tokenizer;
    gm_encoder *encoder;
    float bias[L * E];
} fixture;

static void open_tiny(fixture *f)
{
    gm_error err = {0};
    const gm_model_options options = {.threads = 1};
    *f = (fixture){0};
    CHECK_OK(gm_model_open(&f->model, TINY, &options, &err), err);
    CHECK_OK(gm_tokenizer_open(&f->tokenizer, TINY, &err), err);
    CHECK_OK(gm_encoder_create(&f->encoder, f->tokenizer, &err), err);
    for (int j = 0; j < L * E; j++) f->bias[j] = (float)(j * 7 % 11) - 5;
}

static void close_tiny(fixture *f)
{
    gm_encoder_free(f->encoder);
    gm_tokenizer_close(f->tokenizer);
    gm_model_close(f->model);
}

static gm_edit edit_of(const fixture *f, uint8_t phases)
{
    return (gm_edit){.bias = f->bias, .last_layer = L - 1, .phases = phases};
}

/* A text: a prompt and `n` tokens said to be generated after it. */
static gm_continuation text_of(const fixture *f, const char *prompt, size_t n)
{
    gm_continuation c = {.edit = -1};
    gm_error err = {0};
    gm_encoded about = {0};
    CHECK_OK(gm_encode(f->encoder, prompt, strlen(prompt), true, &c.prompt, &about, &err), err);
    c.n_template = about.n_before;
    for (size_t i = 0; i < n; i++)
        CHECK_OK(gm_ids_append(&c.generated, (uint32_t)(17 + 13 * i % 200), &err), err);
    return c;
}

/* ln p of each token, one row a step, the bias times share[i] in the row of generated
 * token i. */
static void by_hand(float log_p[MOST], const fixture *f, const gm_continuation *c, gm_edit edit,
                    const double *share)
{
    gm_error err = {0};
    gm_session *session = NULL;
    const gm_session_options options = {
        .threads = 1, .max_rows = 1, .kv_rows = MOST, .max_sequences = 1};
    gm_segment s = {.n = 1};
    float scaled[L * E], nll = 0;
    const gm_result result = {.nll = &nll};
    const float *bias = edit.bias;
    CHECK_OK(gm_session_create(&session, f->model, &options, &err), err);
    CHECK_OK(gm_sequence_open(session, MOST, &s.sequence, &err), err);
    edit.bias = scaled;
    for (size_t t = 0; t + 1 < c->prompt.n + c->generated.n; t++) {
        bool generated = t >= c->prompt.n;
        size_t next = t + 1;
        uint8_t phase = generated           ? GM_PHASE_GENERATED
                        : t < c->n_template ? GM_PHASE_TEMPLATE
                                            : GM_PHASE_PROMPT;
        uint32_t token = generated ? c->generated.at[t - c->prompt.n] : c->prompt.at[t];
        uint32_t target =
            next >= c->prompt.n ? c->generated.at[next - c->prompt.n] : c->prompt.at[next];
        double x = generated && share ? share[t - c->prompt.n] : 1;
        for (int j = 0; j < L * E; j++) scaled[j] = (float)(x * (double)bias[j]);
        CHECK_OK(gm_session_set_edits(session, &edit, 1, &err), err);
        s.token = &token, s.target = &target, s.phase = &phase;
        CHECK_OK(gm_session_step(session, &s, 1, NULL, &result, &err), err);
        log_p[next] = -nll;
    }
    gm_session_free(session);
}

/* Texts of one token more than a step, and schedules, against single steps. */
static void reading_again_equals_single_steps(void)
{
    static const struct {
        const char *schedule;
        size_t n;
        double share[8];
    } cases[] = {{"constant", 8, {1, 1, 1, 1, 1, 1, 1, 1}},
                 {"first:3", 8, {1, 1, 1}},
                 {"rise:4", 8, {.25, .5, .75, 1, 1, 1, 1, 1}},
                 {"fade:4", 8, {1, .75, .5, .25}},
                 {"constant", 200, {0}}};
    fixture f;
    gm_error err = {0};
    open_tiny(&f);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        gm_continuation c = text_of(&f, "salt and onion", cases[k].n);
        gm_schedule schedules[2] = {{GM_SCHEDULE_RISE, 3}};
        const gm_edit edits[2] = {edit_of(&f, 0),
                                  edit_of(&f, cases[k].n > 8 ? 1u << GM_PHASE_GENERATED : 7)};
        const gm_continue_options options = {
            .threads = 1, .edits = edits, .schedules = schedules, .n_edits = 2, .quiet = true};
        const int use[2] = {1, 0};
        gm_continuation both[2] = {c, c};
        gm_reread r[2];
        float want[MOST] = {0}, plain[MOST] = {0};
        CHECK(gm_schedule_parse(&schedules[1], cases[k].schedule));
        CHECK_OK(gm_reread_all(r, both, use, 2, f.model, &options, &err), err);
        by_hand(want, &f, &c, edits[1], cases[k].n > 8 ? NULL : cases[k].share);
        by_hand(plain, &f, &c, edits[0], NULL);
        size_t n = c.prompt.n + c.generated.n;
        CHECK_INT(r[0].n, n);
        CHECK_INT(r[0].n_prompt, c.prompt.n);
        CHECK(isnan(r[0].plain[0]) && isnan(r[0].steered[0]));
        CHECK_BYTES(r[0].steered + 1, want + 1, (n - 1) * sizeof *want);
        CHECK_BYTES(r[0].plain + 1, plain + 1, (n - 1) * sizeof *plain);
        CHECK_BYTES(r[1].steered + 1, plain + 1, (n - 1) * sizeof *plain); /* no phase: no plan */
        CHECK(memcmp(want, plain, n * sizeof *want) != 0);
        for (int i = 0; i < 2; i++) gm_reread_clear(&r[i]);
        gm_continuation_clear(&c);
    }
    close_tiny(&f);
}

/* A plan for generated tokens leaves what follows the prompt's tokens as it is; a shorter text may
 * come after a longer one. */
static void windows_are_those_of_the_plan(void)
{
    fixture f;
    gm_error err = {0};
    open_tiny(&f);
    gm_continuation c[2] = {text_of(&f, "salt and onion", 200), text_of(&f, "salt and onion", 6)};
    const gm_edit edit = edit_of(&f, 1u << GM_PHASE_GENERATED);
    const gm_continue_options options = {.threads = 1, .edits = &edit, .n_edits = 1, .quiet = true};
    const int first[2] = {0, 0};
    gm_reread r[2];
    CHECK_OK(gm_reread_all(r, c, first, 2, f.model, &options, &err), err);
    for (int i = 0; i < 2; i++) {
        CHECK_BYTES(r[i].plain + 1, r[i].steered + 1, c[i].prompt.n * sizeof *r[i].plain);
        for (size_t t = c[i].prompt.n + 1; t < r[i].n; t++) CHECK(r[i].plain[t] != r[i].steered[t]);
        gm_reread_clear(&r[i]);
        gm_continuation_clear(&c[i]);
    }
    close_tiny(&f);
}

static gm_status attempt(void *state, gm_error *err)
{
    fixture *f = state;
    const gm_edit edit = edit_of(f, 7);
    const gm_continue_options options = {.threads = 1, .edits = &edit, .n_edits = 1, .quiet = true};
    uint32_t token[] = {5, 9};
    const gm_continuation c = {.edit = -1, .prompt = {.at = token, .n = 2}};
    const gm_continuation both[2] = {c, c};
    const int first[2] = {0, 0};
    gm_reread r[2];
    memset(r, 0x55, sizeof r);
    const gm_status status = gm_reread_all(r, both, first, 2, f->model, &options, err);
    for (int i = 0; i < 2; i++) {
        CHECK((r[i].plain == NULL) == (status != GM_OK));
        gm_reread_clear(&r[i]);
    }
    return status;
}

static void every_allocation_may_fail(void)
{
    fixture f;
    open_tiny(&f);
    check_every_allocation(attempt, &f);
    close_tiny(&f);
}

static void a_text_beyond_the_context_is_refused(void)
{
    fixture f;
    gm_error err = {0};
    open_tiny(&f);
    gm_continuation c = text_of(&f, "salt", 1000);
    const gm_edit edit = edit_of(&f, 7);
    const gm_continue_options options = {.threads = 1, .edits = &edit, .n_edits = 1, .quiet = true};
    const int first = 0;
    gm_reread r;
    CHECK_FAILS(gm_reread_all(&r, &c, &first, 1, f.model, &options, &err), err, GM_EARG, "256");
    CHECK(r.plain == NULL && r.steered == NULL && r.n == 0);
    gm_continuation_clear(&c);
    close_tiny(&f);
}

TESTS(TEST(reading_again_equals_single_steps), TEST(windows_are_those_of_the_plan),
      TEST(a_text_beyond_the_context_is_refused), TEST(every_allocation_may_fail))
