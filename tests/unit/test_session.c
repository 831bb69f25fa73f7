/* test_session.c - sessions, sequences and steps: what is refused, what is forgotten, edits, and
 * every allocation failing (test_bad_rows.c: rows that are not finite).
 * label: threads */
#include "engine/kv.h"
#include "engine/model.h"
#include "tests/check.h"
#include "tests/engine_run.h"

#define TINY   TEST_DATA "/golden/models/deepseek-tiny"
#define OLMOE  TEST_DATA "/golden/models/olmoe-tiny"
#define HYBRID TEST_DATA "/golden/models/granite-hybrid-tiny"

enum { MANY = 64 };

static const uint32_t tokens[MANY + 1] = {5, 9, 200, 13, 77, 31, 8, 2, 100, 44, 250, 3};

static gm_session *open_session(const gm_model *model)
{
    gm_session *session = NULL;
    gm_error err = {0};
    gm_session_options options = {
        .threads = 2, .max_rows = MANY, .kv_rows = 4 * MANY, .max_sequences = 3};
    CHECK_OK(gm_session_create(&session, model, &options, &err), err);
    if (session == NULL) exit(1);
    return session;
}

static int open_sequence(gm_session *session, size_t capacity)
{
    int id = -1;
    gm_error err = {0};
    CHECK_OK(gm_sequence_open(session, capacity, &id, &err), err);
    return id;
}

static gm_segment some_tokens(int id, size_t n)
{
    return (gm_segment){.sequence = id, .n = n, .token = tokens, .edit = -1};
}

static void options_are_checked(void)
{
    gm_model *model = open_model(TINY, GM_NUMERICS_F32, NULL);
    const gm_session_options good = {.threads = 1, .max_rows = 8, .kv_rows = 8, .max_sequences = 1};
    gm_session_options bad[4] = {good, good, good, good};
    gm_error err;
    gm_session *session = NULL;
    bad[0].max_rows = 0;
    bad[1].kv_rows = 0;
    bad[2].max_sequences = 0;
    bad[3].threads = -1;
    for (size_t i = 0; i < 4; i++) {
        CHECK_FAILS(gm_session_create(&session, model, &bad[i], &err), err, GM_EARG, "");
        CHECK(session == NULL);
    }
    gm_model_close(model);
}

static void other_devices_and_kernels_are_refused(void)
{
    const struct {
        gm_model_options options;
        gm_status status;
        const char *says;
    } cases[] = {
        {{.device = "tpu"}, GM_EARG, "unknown device 'tpu'"},
        {{.kernels = "mmx"}, GM_EARG, "unknown kernels 'mmx'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        gm_model *model = NULL;
        gm_error err;
        CHECK_FAILS(gm_model_open(&model, TINY, &cases[i].options, &err), err, cases[i].status,
                    cases[i].says);
        CHECK(model == NULL);
    }
}

static void a_model_without_weights_does_not_run(void)
{
    gm_model *model = NULL;
    gm_session *session = NULL;
    gm_error err = {0};
    CHECK_OK(gm_model_open(&model, TINY, &(gm_model_options){.headers_only = true}, &err), err);
    const gm_session_options options = {
        .threads = 1, .max_rows = 8, .kv_rows = 8, .max_sequences = 1};
    CHECK(gm_session_bytes(model, &options) > 0);
    CHECK_FAILS(gm_session_create(&session, model, &options, &err), err, GM_EARG,
                "without its weights");
    gm_model_close(model);
}

static void sequences_come_and_go(void)
{
    gm_model *model = open_model(TINY, GM_NUMERICS_F32, NULL);
    gm_session *s = open_session(model);
    gm_error err;
    int id;
    CHECK_FAILS(gm_sequence_open(s, 0, &id, &err), err, GM_EARG, "0 tokens");
    CHECK_FAILS(gm_sequence_open(s, 257, &id, &err), err, GM_EARG, "context is 256");
    int a = open_sequence(s, 256); /* the whole context, and cache */
    CHECK_FAILS(gm_sequence_open(s, 1, &id, &err), err, GM_EMEM, "0 are left");
    CHECK_INT(id, -1);
    gm_sequence_close(s, a);
    /* capacities that add up to the cache fit, whatever they are rounded to */
    a = open_sequence(s, 33);
    int b = open_sequence(s, 33), c = open_sequence(s, 190);
    CHECK(a == 0 && b == 1 && c == 2);
    CHECK_FAILS(gm_sequence_open(s, 1, &id, &err), err, GM_EMEM, "all 3 sequences");
    gm_sequence_close(s, b);
    gm_sequence_close(s, b);
    gm_sequence_close(s, 3);
    CHECK_INT(open_sequence(s, 20), 1);
    CHECK_INT(gm_sequence_length(s, 1), 0);
    CHECK_INT(gm_sequence_length(s, 3), 0);
    gm_session_free(s);
    gm_model_close(model);
}

static void bad_segments_change_nothing(void)
{
    gm_model *model = open_model(TINY, GM_NUMERICS_F32, NULL);
    gm_session *s = open_session(model);
    int id = open_sequence(s, 8);
    const uint32_t beyond[] = {1, 317};
    const uint8_t phases[] = {0, 3};
    const gm_sampling cold = {.temperature = -1, .top_p = 1, .repetition_penalty = 1};
    uint32_t sampled[2];
    const gm_result place = {.sampled = sampled};
    gm_segment good = some_tokens(id, 2), bad[8];
    for (size_t i = 0; i < 8; i++) bad[i] = good;
    bad[0].sequence = 2;
    bad[1].n = 0;
    bad[2].n = 7; /* after the two of the first segment */
    bad[3].edit = 0;
    bad[4].token = beyond;
    bad[5].phase = phases;
    bad[6].want = GM_WANT_LAST;
    bad[7].sampling = &cold;
    const char *const says[8] = {"segment 1: sequence 2 is not open",
                                 "segment 1 has no tokens",
                                 "7 tokens do not fit into sequence 0, which has used 2 of 8",
                                 "segment 1: edit 0 does not exist, the session has 0",
                                 "segment 1: token 1 is 317",
                                 "segment 1: token 1 has phase 3",
                                 "segment 1 asks for logits",
                                 "temperature"};
    for (size_t i = 0; i < 8; i++) {
        gm_error err;
        const gm_segment both[2] = {good, bad[i]};
        CHECK_FAILS(gm_session_step(s, both, 2, NULL, &place, &err), err, GM_EARG, says[i]);
        CHECK_INT(gm_sequence_length(s, id), 0);
    }
    gm_error err = {0};
    good.n = MANY + 1;
    good.sequence = open_sequence(s, MANY + 1);
    CHECK_FAILS(gm_session_step(s, &good, 1, NULL, NULL, &err), err, GM_EARG, "64 rows");
    CHECK_OK(gm_session_step(s, NULL, 0, NULL, NULL, &err), err);
    gm_session_free(s);
    gm_model_close(model);
}

/* Logits after tokens[from, from + n) of an open sequence. */
static void logits_of(gm_session *s, int id, size_t from, size_t n, float *out)
{
    gm_error err = {0};
    gm_segment g = some_tokens(id, n);
    g.token = tokens + from;
    g.want = GM_WANT_LAST;
    CHECK_OK(gm_session_step(s, &g, 1, NULL, &(gm_result){.logits = out}, &err), err);
}

static void rewinding_forgets(void)
{
    gm_model *model = open_model(TINY, GM_NUMERICS_F32, NULL);
    gm_session *s = open_session(model);
    gm_error err = {0};
    float straight[317], again[317];
    int a = open_sequence(s, 40), b = open_sequence(s, 40);
    logits_of(s, a, 0, 12, straight);
    logits_of(s, b, 0, 6, again);
    logits_of(s, b, 20, 30, again); /* something else, into the next block */
    CHECK_OK(gm_sequence_rewind(s, b, 6, &err), err);
    CHECK_INT(gm_sequence_length(s, b), 6);
    CHECK_OK(gm_sequence_rewind(s, b, 10, &err), err);
    CHECK_INT(gm_sequence_length(s, b), 6);
    logits_of(s, b, 6, 6, again);
    CHECK_BYTES(again, straight, sizeof straight);
    /* a new sequence in blocks that were used before, none of them another's */
    gm_sequence_close(s, b);
    b = open_sequence(s, 40);
    logits_of(s, b, 3, 12, again);
    logits_of(s, a, 12, 8, straight);
    gm_sequence_close(s, b);
    b = open_sequence(s, 40);
    logits_of(s, b, 0, 20, again);
    CHECK_BYTES(again, straight, sizeof straight);
    gm_session_free(s);
    gm_model_close(model);
}

static void two_segments_of_one_sequence_follow_each_other(void)
{
    gm_model *model = open_model(TINY, GM_NUMERICS_BF16, NULL);
    gm_session *s = open_session(model);
    gm_error err = {0};
    float straight[317], parts[2][317];
    int a = open_sequence(s, 40), b = open_sequence(s, 40);
    logits_of(s, a, 0, 12, straight);
    gm_segment g[2] = {some_tokens(b, 5), some_tokens(b, 7)};
    g[1].token = tokens + 5;
    g[0].want = g[1].want = GM_WANT_LAST;
    CHECK_OK(gm_session_step(s, g, 2, NULL, &(gm_result){.logits = parts[0]}, &err), err);
    CHECK_BYTES(parts[1], straight, sizeof straight);
    gm_session_free(s);
    gm_model_close(model);
}

/* ---- edits ---- */

static outcome edited(const gm_model *model, const gm_edit *edit)
{
    const size_t offset[] = {0, 12};
    docs d = {1, 12, tokens, offset};
    return run_docs(model, &d, &(plan){.threads = 2, .step = 512, .edit = edit});
}

static void zero_and_constant_biases_are_no_edit(void)
{
    gm_model *model = open_model(TINY, GM_NUMERICS_BF16, NULL);
    const float zero[3 * 12] = {0};
    float flat[3 * 12];
    for (size_t i = 0; i < 36; i++) flat[i] = 2.5f;
    outcome want = edited(model, NULL);
    for (int mode = GM_EDIT_BIAS; mode <= GM_EDIT_MASK; mode++)
        for (int mass = 0; mass < 2; mass++) {
            gm_edit edit = {.bias = zero,
                            .mode = (gm_edit_mode)mode,
                            .mass_matched = mass == 1,
                            .last_layer = 2,
                            .phases = 7};
            outcome got = edited(model, &edit);
            check_same("zero bias", &got, &want);
            outcome_free(&got);
            if (mode == GM_EDIT_MASK) continue; /* forces all: see the router's tests */
            edit.bias = flat;
            got = edited(model, &edit);
            check_same("constant bias", &got, &want);
            outcome_free(&got);
        }
    outcome_free(&want);
    gm_model_close(model);
}

static void a_removed_expert_is_never_chosen(void)
{
    gm_model *model = open_model(TINY, GM_NUMERICS_F32, NULL);
    float bias[3 * 12] = {0};
    outcome plain = edited(model, NULL);
    uint16_t victim = plain.expert[0];
    bias[victim] = -INFINITY; /* in the first MoE layer */
    gm_edit edit = {.bias = bias, .mode = GM_EDIT_BIAS, .last_layer = 2, .phases = 7};
    outcome got = edited(model, &edit);
    for (size_t i = 0; i < 12 * 3; i++) CHECK(got.expert[i] != victim);
    CHECK_BYTES(got.router, plain.router, 12 * 12 * sizeof(float)); /* before any edit */
    CHECK(memcmp(got.logits, plain.logits, 12 * 317 * sizeof(float)) != 0);
    outcome_free(&got);
    edit.phases = 1u << GM_PHASE_GENERATED; /* the rows are prompt rows */
    got = edited(model, &edit);
    check_same("another phase", &got, &plain);
    outcome_free(&got);
    outcome_free(&plain);
    gm_model_close(model);
}

static void refused_edits_leave_the_old_ones(void)
{
    gm_model *model = open_model(TINY, GM_NUMERICS_F32, NULL);
    gm_session *s = open_session(model);
    const float bias[3 * 12] = {1}, bad[3 * 12] = {NAN};
    gm_edit edit = {.bias = bias, .mode = GM_EDIT_BIAS, .last_layer = 2, .phases = 7};
    gm_error err = {0};
    int id = open_sequence(s, 8);
    CHECK_OK(gm_session_set_edits(s, &edit, 1, &err), err);
    edit.bias = bad;
    CHECK_FAILS(gm_session_set_edits(s, &edit, 1, &err), err, GM_EARG, "layer 1");
    gm_segment g = some_tokens(id, 2);
    g.edit = 0;
    CHECK_OK(gm_session_step(s, &g, 1, NULL, NULL, &err), err);
    CHECK_OK(gm_session_set_edits(s, NULL, 0, &err), err);
    CHECK_FAILS(gm_session_step(s, &g, 1, NULL, NULL, &err), err, GM_EARG, "the session has 0");
    gm_session_free(s);
    gm_model_close(model);
}

/* ---- sampling ---- */

static void many_sequences_sample_as_alone(void)
{
    gm_model *model = open_model(TINY, GM_NUMERICS_BF16, NULL);
    gm_session *s = open_session(model);
    gm_error err = {0};
    const gm_sampling hot = {
        .temperature = 1.5, .top_k = 40, .top_p = 0.95, .repetition_penalty = 1.3, .seed = 3};
    uint32_t together[3], alone;
    gm_segment g[3];
    for (int i = 0; i < 3; i++) {
        g[i] = some_tokens(open_sequence(s, 20), 4 + (size_t)i);
        g[i].sampling = &hot;
    }
    CHECK_OK(gm_session_step(s, g, 3, NULL, &(gm_result){.sampled = together}, &err), err);
    for (size_t i = 0; i < 3; i++) {
        CHECK_OK(gm_sequence_rewind(s, g[i].sequence, 0, &err), err);
        CHECK_OK(gm_session_step(s, &g[i], 1, NULL, &(gm_result){.sampled = &alone}, &err), err);
        CHECK_INT(alone, together[i]);
    }
    gm_session_free(s);
    gm_model_close(model);
}

/* ---- memory ---- */

static gm_status create_session(void *state, gm_error *err)
{
    gm_session *session = NULL;
    const gm_session_options options = {
        .threads = 2, .max_rows = 16, .kv_rows = 16, .max_sequences = 2};
    gm_status status = gm_session_create(&session, state, &options, err);
    gm_session_free(session);
    return status;
}

static gm_status open_and_pack(void *state, gm_error *err)
{
    gm_model *model = NULL;
    gm_status status = gm_model_open(&model, state, &(gm_model_options){.threads = 2}, err);
    gm_model_close(model);
    return status;
}

static uint64_t bytes_of(const gm_model *model, size_t kv_rows, int sequences, bool by_layer)
{
    const gm_session_options o = {.threads = 1,
                                  .max_rows = 16,
                                  .kv_rows = kv_rows,
                                  .max_sequences = sequences,
                                  .piece_rows = by_layer ? 8 : 0};
    return gm_session_bytes(model, &o);
}

/* The cache is counted in full: one more row costs what a token costs, whose values may be rounded
 * up; one more sequence the block that it may begin, its states and its tables. Layer by layer all
 * of it is of one layer. */
static void check_bytes(const char *folder, uint64_t n_with_keys, uint64_t n_with_states)
{
    gm_model *model = open_model(folder, GM_NUMERICS_F32, NULL);
    const uint64_t per_token = gm_model_get_info(model)->kv_bytes_per_token;
    const uint64_t states = gm_kv_state_bytes(&model->arch), id = sizeof(uint32_t);
    uint64_t row[2];
    for (int by_layer = 0; by_layer < 2; by_layer++) {
        /* beyond the context tables do not grow but for ids and blocks */
        row[by_layer] = (bytes_of(model, 2048, 1, by_layer) - bytes_of(model, 1024, 1, by_layer) -
                         32 * 33 * id) /
                        1024;
        CHECK_INT(bytes_of(model, 64, 2, by_layer) - bytes_of(model, 64, 1, by_layer),
                  32 * row[by_layer] + states / (by_layer ? n_with_states : 1) + (33 + 2) * id +
                      sizeof(gm_sequence));
    }
    CHECK(row[0] >= per_token && row[0] < 2 * per_token);
    CHECK(bytes_of(model, 1024, 1, false) > 1024 * row[0]);
    CHECK_INT(row[1] * n_with_keys, row[0]);
    gm_model_close(model);
}

static void bytes_follow_the_formula(void)
{
    check_bytes(TINY, 4, 1);
    check_bytes(HYBRID, 1, 2);
}

static void every_allocation_may_fail(void)
{
    char folder[] = OLMOE;
    gm_model *model = open_model(TINY, GM_NUMERICS_F32, NULL);
    check_every_allocation(create_session, model);
    check_every_allocation(open_and_pack, folder);
    gm_model_close(model);
}

TESTS(TEST(options_are_checked), TEST(other_devices_and_kernels_are_refused),
      TEST(a_model_without_weights_does_not_run), TEST(sequences_come_and_go),
      TEST(bad_segments_change_nothing), TEST(rewinding_forgets),
      TEST(two_segments_of_one_sequence_follow_each_other),
      TEST(zero_and_constant_biases_are_no_edit), TEST(a_removed_expert_is_never_chosen),
      TEST(refused_edits_leave_the_old_ones), TEST(many_sequences_sample_as_alone),
      TEST(bytes_follow_the_formula), TEST(every_allocation_may_fail))
