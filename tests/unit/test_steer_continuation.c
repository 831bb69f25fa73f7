/* test_steer_continuation.c - steer/continuation.c on a tiny model: ends, streaming,
 * batches, the dose.
 */
#include "steer/continuation.h"

#include "tests/check.h"

static const char TINY[] = TEST_DATA "/golden/models/deepseek-tiny"; /* L 3, E 12, K 3 */
enum { L = 3, E = 12, LENGTH = 12, N = 3, K = 3 };

typedef struct fixture {
    gm_model *model;
    gm_tokenizer *tokenizer;
    gm_encoder *encoder;
} fixture;

static fixture open_tiny(void)
{
    fixture f = {0};
    gm_error err = {0};
    const gm_model_options options = {.threads = 1};
    CHECK_OK(gm_model_open(&f.model, TINY, &options, &err), err);
    CHECK_OK(gm_tokenizer_open(&f.tokenizer, TINY, &err), err);
    CHECK_OK(gm_encoder_create(&f.encoder, f.tokenizer, &err), err);
    return f;
}

static void close_tiny(fixture *f)
{
    gm_encoder_free(f->encoder);
    gm_tokenizer_close(f->tokenizer);
    gm_model_close(f->model);
}

static gm_status start(gm_continuation *c, const fixture *f, const char *prompt, gm_error *err)
{
    *c = (gm_continuation){
        .edit = -1, .max_tokens = LENGTH, .sampling = {.top_p = 1, .repetition_penalty = 1}};
    gm_encoded about = {0};
    gm_status status = gm_encode(f->encoder, prompt, strlen(prompt), true, &c->prompt, &about, err);
    c->n_template = about.n_before;
    return status;
}

static const char *const prompts[N] = {"salt", "the expert chose another way", "x"};

static void start_all(gm_continuation list[N], const fixture *f)
{
    gm_error err = {0};
    for (int i = 0; i < N; i++) CHECK_OK(start(&list[i], f, prompts[i], &err), err);
}

static void clear_all(gm_continuation list[N])
{
    for (int i = 0; i < N; i++) gm_continuation_clear(&list[i]);
}

static void check_same(const gm_continuation *a, const gm_continuation *b)
{
    CHECK_INT(a->generated.n, b->generated.n);
    if (a->generated.n == b->generated.n && a->generated.n > 0)
        CHECK_BYTES(a->generated.at, b->generated.at, a->generated.n * sizeof *a->generated.at);
    CHECK_TEXT(a->text.at, b->text.at);
    CHECK_INT(a->end, b->end);
}

static void company_does_not_matter(void)
{
    fixture f = open_tiny();
    gm_error err = {0};
    gm_continuation together[N], narrow[N], alone[N];
    gm_continue_options options = {.threads = 1, .batch = N, .quiet = true};
    start_all(together, &f);
    start_all(narrow, &f);
    start_all(alone, &f);
    CHECK_OK(gm_continue(together, N, f.model, f.tokenizer, &options, &err), err);
    options.batch = 1;
    CHECK_OK(gm_continue(narrow, N, f.model, f.tokenizer, &options, &err), err);
    for (int i = 0; i < N; i++) {
        CHECK_OK(gm_continue(&alone[i], 1, f.model, f.tokenizer, &options, &err), err);
        CHECK_INT(alone[i].generated.n, LENGTH);
        CHECK_INT(alone[i].end, GM_END_LENGTH);
        check_same(&together[i], &alone[i]);
        check_same(&narrow[i], &alone[i]);
    }
    clear_all(together);
    clear_all(narrow);
    clear_all(alone);
    close_tiny(&f);
}

typedef struct endings {
    const gm_continuation *list; /* (N) */
    size_t calls, n_bytes[N];    /* of each text when it was told of */
} endings;

static void count_ended(void *context)
{
    endings *e = context;
    size_t ended = 0;
    for (size_t i = 0; i < N; i++) {
        if (e->list[i].end == GM_END_NONE) continue;
        ended++;
        if (e->n_bytes[i] == 0) e->n_bytes[i] = e->list[i].text.n;
    }
    CHECK_INT(ended, ++e->calls);
}

/* One after the other: each end is told once, with the whole text. */
static void ends_are_told_as_they_come(void)
{
    fixture f = open_tiny();
    gm_error err = {0};
    gm_continuation list[N];
    endings seen = {.list = list};
    const gm_continue_options options = {
        .threads = 1, .batch = 1, .on_end = count_ended, .on_end_context = &seen, .quiet = true};
    start_all(list, &f);
    CHECK_OK(gm_continue(list, N, f.model, f.tokenizer, &options, &err), err);
    CHECK_INT(seen.calls, N);
    for (int i = 0; i < N; i++) CHECK(seen.n_bytes[i] > 0 && seen.n_bytes[i] == list[i].text.n);
    clear_all(list);
    close_tiny(&f);
}

static gm_status check_phases(void *context, const gm_segment *segments,
                              gm_continuation *const *owner, size_t n_segments,
                              const gm_record *record, size_t n_rows, gm_error *err)
{
    size_t *seen = context; /* rows of each phase */
    (void)owner, (void)record, (void)n_rows, (void)err;
    for (size_t s = 0; s < n_segments; s++)
        for (size_t i = 0; i < segments[s].n; i++) seen[segments[s].phase[i]]++;
    return GM_OK;
}

/* What a chat template puts after a question is the template's, as what comes before it is. */
static void closing_tokens_are_the_templates(void)
{
    fixture f = open_tiny();
    gm_error err = {0};
    gm_continuation c;
    size_t seen[3] = {0};
    const gm_continue_options options = {
        .threads = 1, .batch = 1, .on_rows = check_phases, .on_rows_context = seen, .quiet = true};
    CHECK_OK(start(&c, &f, prompts[1], &err), err);
    c.n_template = 2;
    c.n_closing = 3;
    CHECK_OK(gm_continue(&c, 1, f.model, f.tokenizer, &options, &err), err);
    CHECK_INT(seen[GM_PHASE_TEMPLATE], 5);
    CHECK_INT(seen[GM_PHASE_PROMPT], c.prompt.n - 5);
    CHECK_INT(seen[GM_PHASE_GENERATED], LENGTH - 1);
    CHECK_INT(gm_continuation_phase(&c, c.prompt.n - 1), GM_PHASE_TEMPLATE);
    CHECK_INT(gm_continuation_phase(&c, c.prompt.n - 4), GM_PHASE_PROMPT);
    CHECK_INT(gm_continuation_phase(&c, c.prompt.n), GM_PHASE_GENERATED);
    gm_continuation_clear(&c);
    close_tiny(&f);
}

static void keep_said(void *context, const gm_continuation *c, const char *bytes, size_t n)
{
    gm_error err = {0};
    (void)c;
    CHECK(gm_utf8_valid(bytes, n) == n); /* whole characters */
    CHECK_OK(gm_text_append(context, bytes, n, &err), err);
}

/* What is said piece by piece is the text, and nothing of a stop string is said. */
static void a_stop_string_is_never_said(void)
{
    fixture f = open_tiny();
    gm_error err = {0};
    gm_continuation whole, cut;
    gm_text said = {0};
    gm_continue_options options = {
        .threads = 1, .batch = 1, .on_text = keep_said, .on_text_context = &said, .quiet = true};
    CHECK_OK(start(&whole, &f, prompts[0], &err), err);
    CHECK_OK(gm_continue(&whole, 1, f.model, f.tokenizer, &options, &err), err);
    CHECK_TEXT(said.at, whole.text.at);

    uint32_t code;
    for (size_t at = 0, n; at < whole.text.n; at += n) { /* each two characters */
        char stop[9] = "";
        n = gm_utf8_decode(whole.text.at + at, whole.text.n - at, &code);
        size_t both = n;
        if (at + n < whole.text.n)
            both += gm_utf8_decode(whole.text.at + at + n, whole.text.n - at - n, &code);
        memcpy(stop, whole.text.at + at, both);
        const char *list[] = {"not to be found", stop};
        size_t first = (size_t)(strstr(whole.text.at, stop) - whole.text.at);
        options.stop_string = list;
        options.n_stop_strings = 2;
        said.n = 0;
        CHECK_OK(start(&cut, &f, prompts[0], &err), err);
        CHECK_OK(gm_continue(&cut, 1, f.model, f.tokenizer, &options, &err), err);
        CHECK_INT(cut.end, GM_END_STRING);
        CHECK_INT(cut.text.n, first);
        CHECK_INT(said.n, first);
        CHECK_BYTES(said.at, whole.text.at, first);
        gm_continuation_clear(&cut);
    }
    gm_continuation_clear(&whole);
    gm_text_clear(&said);
    close_tiny(&f);
}

static void a_stop_token_is_not_part_of_the_text(void)
{
    fixture f = open_tiny();
    gm_error err = {0};
    gm_continuation whole, cut;
    gm_continue_options options = {.threads = 1, .batch = 1, .quiet = true};
    CHECK_OK(start(&whole, &f, prompts[1], &err), err);
    CHECK_OK(gm_continue(&whole, 1, f.model, f.tokenizer, &options, &err), err);
    uint32_t stop = whole.generated.at[4];
    size_t first = 0;
    while (whole.generated.at[first] != stop) first++;
    options.stop = &stop;
    options.n_stop = 1;
    CHECK_OK(start(&cut, &f, prompts[1], &err), err);
    CHECK_OK(gm_continue(&cut, 1, f.model, f.tokenizer, &options, &err), err);
    CHECK_INT(cut.end, GM_END_EOS);
    CHECK_INT(cut.generated.n, first);
    gm_continuation_clear(&whole);
    gm_continuation_clear(&cut);
    close_tiny(&f);
}

/* The dose counts generated rows; layers without an important expert do not count. */
static void the_dose_counts_generated_rows(void)
{
    fixture f = open_tiny();
    gm_error err = {0};
    gm_continuation c;
    uint8_t important[L * E] = {0};
    float bias[L * E] = {0};
    important[0 * E + 5] = important[2 * E + 7] = 1; /* nothing in layer 1 */
    bias[0 * E + 5] = 100;                           /* always chosen */
    bias[2 * E + 7] = -INFINITY;                     /* never */
    const gm_edit edit = {.bias = bias, .last_layer = L - 1, .phases = 7};
    const gm_continue_options options = {
        .threads = 1, .batch = 1, .edits = &edit, .n_edits = 1, .quiet = true};
    CHECK_OK(start(&c, &f, prompts[1], &err), err);
    CHECK(isnan(gm_continuation_dose(&c)));
    c.edit = 0;
    c.important = important;
    CHECK_OK(gm_continue(&c, 1, f.model, f.tokenizer, &options, &err), err);
    CHECK_INT(c.n_pairs, 2 * (c.generated.n - 1)); /* the last token is never fed */
    CHECK_INT(c.n_dosed, c.generated.n - 1);
    CHECK_NEAR(gm_continuation_dose(&c), 0.5, 1e-12);
    gm_continuation_clear(&c);
    close_tiny(&f);
}

/* The gates (L,K) of every generated row of a continuation, one after the other. */
typedef struct gates {
    const gm_continuation *of;
    float at[LENGTH][L * K];
    size_t n;
} gates;

static void keep_row(gates *g, const gm_record *record, size_t row, size_t n_rows)
{
    for (size_t l = 0; l < L; l++)
        memcpy(g->at[g->n] + l * K, record->gate + (l * n_rows + row) * K, K * sizeof(float));
    g->n++;
}

static gm_status keep_gates(void *context, const gm_segment *segments,
                            gm_continuation *const *owner, size_t n_segments,
                            const gm_record *record, size_t n_rows, gm_error *err)
{
    gates *g = context;
    size_t row = 0;
    (void)err;
    for (size_t s = 0; s < n_segments; row += segments[s++].n) {
        if (owner[s] == g->of && segments[s].phase[0] == GM_PHASE_GENERATED)
            keep_row(g, record, row, n_rows);
    }
    return GM_OK;
}

/* Greedy ids of prompt 1, row by row in a session of its own, the row of generated token i
 * under the plan times share[i]; the prompt's rows under the whole plan. */
static void by_hand(const fixture *f, const gm_edit *whole, const double share[LENGTH],
                    uint32_t id[LENGTH], gates *g)
{
    static float bias[LENGTH + 1][L * E];
    gm_error err = {0};
    gm_edit edit[LENGTH + 1];
    gm_continuation c;
    gm_session *session;
    int sequence;
    for (int i = 0; i <= LENGTH; i++) {
        for (int j = 0; j < L * E; j++)
            bias[i][j] = (float)((i < LENGTH ? share[i] : 1) * (double)whole->bias[j]);
        edit[i] = *whole;
        edit[i].bias = bias[i];
    }
    CHECK_OK(start(&c, f, prompts[1], &err), err);
    const gm_session_options options = {
        .threads = 1, .max_rows = 64, .kv_rows = 128, .max_sequences = 1};
    CHECK_OK(gm_session_create(&session, f->model, &options, &err), err);
    CHECK_OK(gm_session_set_edits(session, edit, LENGTH + 1, &err), err);
    CHECK_OK(gm_sequence_open(session, 128, &sequence, &err), err);
    const uint8_t generated = GM_PHASE_GENERATED;
    for (int i = -1; i < LENGTH - 1; i++) {
        gm_segment s = {.sequence = sequence, .n = 1, .sampling = &c.sampling, .phase = &generated};
        s.edit = i < 0 ? LENGTH : i;
        s.token = i < 0 ? c.prompt.at : &id[i];
        if (i < 0) s.n = c.prompt.n, s.phase = NULL;
        float gate[64 * L * K];
        const gm_record record = {.gate = gate};
        const gm_result result = {.sampled = &id[i + 1]};
        CHECK_OK(gm_session_step(session, &s, 1, &record, &result, &err), err);
        if (i >= 0) keep_row(g, &record, 0, 1);
    }
    gm_session_free(session);
    gm_continuation_clear(&c);
}

/* Each schedule gives the ids and the gates of the steps by hand; the second of two edits is used,
 * the first has a schedule of its own. */
static void schedules_scale_the_plan_token_by_token(void)
{
    static const struct {
        const char *text;
        double share[LENGTH];
    } cases[] = {{"constant", {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
                 {"first:5", {1, 1, 1, 1, 1}},
                 {"rise:4", {.25, .5, .75, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
                 {"fade:8", {1, .875, .75, .625, .5, .375, .25, .125}}};
    enum { N_CASES = sizeof cases / sizeof *cases };
    fixture f = open_tiny();
    gm_error err = {0};
    float bias[L * E], other[L * E];
    uint32_t id[N_CASES][LENGTH];
    for (int j = 0; j < L * E; j++) {
        bias[j] = (float)(j * 7 % 11) - 5;
        other[j] = -bias[j];
    }
    const gm_edit edits[2] = {{.bias = other, .last_layer = L - 1, .phases = 7},
                              {.bias = bias, .last_layer = L - 1, .phases = 7}};
    gm_continue_options options = {
        .threads = 1, .batch = 2, .edits = edits, .n_edits = 2, .quiet = true};
    for (int k = 0; k < N_CASES; k++) {
        gm_continuation list[2];
        gates got = {.of = &list[0]}, want = {0};
        options.on_rows = keep_gates;
        options.on_rows_context = &got;
        gm_schedule schedules[2] = {{GM_SCHEDULE_RISE, 3}};
        CHECK(gm_schedule_parse(&schedules[1], cases[k].text));
        options.schedules = schedules;
        for (int i = 0; i < 2; i++) CHECK_OK(start(&list[i], &f, prompts[1 - i], &err), err);
        list[0].edit = 1;
        CHECK_OK(gm_continue(list, 2, f.model, f.tokenizer, &options, &err), err);
        by_hand(&f, &edits[1], cases[k].share, id[k], &want);
        CHECK_INT(got.n, LENGTH - 1);
        CHECK_BYTES(got.at, want.at, (LENGTH - 1) * sizeof want.at[0]);
        CHECK_INT(list[0].generated.n, LENGTH);
        CHECK_BYTES(list[0].generated.at, id[k], sizeof id[k]);
        for (int i = 0; i < 2; i++) gm_continuation_clear(&list[i]);
        if (k > 0) CHECK(memcmp(id[k], id[k - 1], sizeof id[k]) != 0); /* they are told apart */
    }
    close_tiny(&f);
}

static void the_context_is_a_limit(void)
{
    fixture f = open_tiny();
    gm_error err = {0};
    gm_continuation c, empty = {.edit = -1, .max_tokens = 1};
    const gm_continue_options options = {.threads = 1, .batch = 1, .quiet = true};
    CHECK_OK(start(&c, &f, prompts[0], &err), err);
    c.max_tokens = (size_t)gm_model_get_info(f.model)->max_context;
    CHECK_FAILS(gm_continue(&c, 1, f.model, f.tokenizer, &options, &err), err, GM_EARG,
                "the model's context of 256");
    c.max_tokens -= c.prompt.n; /* just fits */
    CHECK_OK(gm_continue(&c, 1, f.model, f.tokenizer, &options, &err), err);
    CHECK_FAILS(gm_continue(&empty, 1, f.model, f.tokenizer, &options, &err), err, GM_EARG,
                "prompt 1 is empty");
    gm_continuation_clear(&c);
    close_tiny(&f);
}

static gm_status attempt(void *state, gm_error *err)
{
    gm_status status = GM_OK;
    const fixture *f = state;
    gm_continuation list[2];
    const char *stop[] = {"not to be found"};
    const gm_continue_options options = {
        .threads = 1, .batch = 2, .stop_string = stop, .n_stop_strings = 1, .quiet = true};
    memset(list, 0, sizeof list);
    for (int i = 0; i < 2; i++) GM_TRY(start(&list[i], f, prompts[i], err));
    GM_TRY(gm_continue(list, 2, f->model, f->tokenizer, &options, err));
out:
    for (int i = 0; i < 2; i++) gm_continuation_clear(&list[i]);
    return status;
}

static void every_allocation_may_fail(void)
{
    fixture f = open_tiny();
    gm_error err = {0};
    CHECK_OK(attempt(&f, &err), err); /* caches are warm from here */
    check_every_allocation(attempt, &f);
    close_tiny(&f);
}

TESTS(TEST(company_does_not_matter), TEST(ends_are_told_as_they_come),
      TEST(closing_tokens_are_the_templates), TEST(a_stop_string_is_never_said),
      TEST(a_stop_token_is_not_part_of_the_text), TEST(the_dose_counts_generated_rows),
      TEST(schedules_scale_the_plan_token_by_token), TEST(the_context_is_a_limit),
      TEST(every_allocation_may_fail))
