/* test_states.c - what sessions do with the states of Gated DeltaNet, Mamba2 and short
 * convolutions: steps that cut a prompt, sequences beside each other, what is not finite, caches of
 * packed weights.
 */
#include "engine/cpu/cpu_ops.h"
#include "engine/packed.h"
#include "engine/session.h"

#include "tests/small_states.h"

static const char *const small[] = {small_next,     small_qwen35, small_hybrid,
                                    small_nemotron, small_lfm,    small_kimi};
enum { N_SMALL = sizeof small / sizeof small[0] };

enum { VOCAB = 290, ROWS = 40 };

typedef struct run {
    gm_model *model;
    gm_session *session;
    uint32_t token[ROWS];
} run;

static run open_run(const char *config, size_t piece_rows, int sequences)
{
    run r = {.model = open_random(config, false)};
    gm_error err = {0};
    const gm_session_options o = {.threads = 2,
                                  .max_rows = 2 * ROWS,
                                  .kv_rows = 256,
                                  .max_sequences = sequences,
                                  .piece_rows = piece_rows};
    CHECK_OK(gm_session_create(&r.session, r.model, &o, &err), err);
    for (size_t i = 0; i < ROWS; i++) r.token[i] = (uint32_t)(i * i * 7 + 3) % VOCAB;
    return r;
}

static void close_run(run *r)
{
    gm_session_free(r->session);
    gm_model_close(r->model);
}

static int open_sequence(run *r)
{
    int id;
    gm_error err = {0};
    CHECK_OK(gm_sequence_open(r->session, ROWS, &id, &err), err);
    return id;
}

/* Tokens [from, from + n) of a sequence, and the logits after the last. */
static void feed(run *r, int id, size_t from, size_t n, float *logits)
{
    gm_error err = {0};
    const gm_segment g = {
        .sequence = id, .n = n, .token = r->token + from, .edit = -1, .want = GM_WANT_LAST};
    CHECK_OK(gm_session_step(r->session, &g, 1, NULL, &(gm_result){.logits = logits}, &err), err);
}

static void any_cut_of(const char *config)
{
    run r = open_run(config, 0, 2);
    float whole[VOCAB], cut[VOCAB];
    feed(&r, open_sequence(&r), 0, ROWS, whole);
    for (size_t each = 1; each <= 7; each++) {
        const int id = open_sequence(&r);
        for (size_t at = 0; at < ROWS; at += each)
            feed(&r, id, at, ROWS - at < each ? ROWS - at : each, cut);
        CHECK_BYTES(cut, whole, sizeof whole);
        gm_sequence_close(r.session, id); /* the next one takes its states */
    }
    close_run(&r);
}

static void any_cut_gives_the_same_bits(void)
{
    for (size_t i = 0; i < N_SMALL; i++) any_cut_of(small[i]);
}

/* Two sequences in turn and together leave each other's states alone; a step layer by layer, in
 * pieces that cut them, has the states of one layer. */
static void two_sequences_of(const char *config)
{
    run r = open_run(config, 0, 2), pieces = open_run(config, 7, 2);
    float alone[2][VOCAB], both[2][VOCAB];
    gm_error err = {0};
    gm_segment g[2] = {{0}};
    int id[2];
    for (size_t i = 0; i < 2; i++) {
        id[i] = open_sequence(&r);
        feed(&r, id[i], 3 * i, 20, alone[i]);
        CHECK_OK(gm_sequence_rewind(r.session, id[i], 0, &err), err);
        g[i] = (gm_segment){
            .sequence = id[i], .n = 20, .token = r.token + 3 * i, .edit = -1, .want = GM_WANT_LAST};
    }
    const gm_result result = {.logits = both[0]};
    feed(&r, id[0], 0, 7, both[0]), feed(&r, id[1], 3, 1, both[1]);
    feed(&r, id[0], 7, 13, both[0]), feed(&r, id[1], 4, 19, both[1]);
    CHECK_BYTES(both, alone, sizeof alone);
    for (size_t i = 0; i < 2; i++) CHECK_OK(gm_sequence_rewind(r.session, id[i], 0, &err), err);
    CHECK_OK(gm_session_step(r.session, g, 2, NULL, &result, &err), err);
    CHECK_BYTES(both, alone, sizeof alone);
    for (size_t i = 0; i < 2; i++) CHECK_INT(open_sequence(&pieces), id[i]);
    CHECK_OK(gm_session_step(pieces.session, g, 2, NULL, &result, &err), err);
    CHECK_BYTES(both, alone, sizeof alone);
    close_run(&r), close_run(&pieces);
}

static void sequences_do_not_meet(void)
{
    for (size_t i = 0; i < N_SMALL; i++) two_sequences_of(small[i]);
}

static void states_do_not_go_back_in(const char *config, const char *refusal)
{
    run r = open_run(config, 0, 1);
    gm_error err = {0};
    float first[VOCAB], again[VOCAB];
    const int id = open_sequence(&r);
    feed(&r, id, 0, 9, first);
    CHECK_FAILS(gm_sequence_rewind(r.session, id, 4, &err), err, GM_EARG, refusal);
    CHECK_INT(gm_sequence_length(r.session, id), 9);
    CHECK_OK(gm_sequence_rewind(r.session, id, 9, &err), err);
    CHECK_OK(gm_sequence_rewind(r.session, id, 0, &err), err);
    feed(&r, id, 0, 9, again);
    CHECK_BYTES(again, first, sizeof first);
    const gm_segment twice[2] = {{.sequence = id, .n = 1, .token = r.token, .edit = -1},
                                 {.sequence = id, .n = 1, .token = r.token, .edit = -1}};
    CHECK_FAILS(gm_session_step(r.session, twice, 2, NULL, NULL, &err), err, GM_EARG,
                "segments 0 and 1 are both of sequence 0");
    close_run(&r);
}

static void states_do_not_go_back(void)
{
#define CANNOT "sequence 0 cannot forget 5 of its 9 tokens: layers of "
    states_do_not_go_back_in(small_next, CANNOT "Gated DeltaNet keep");
    states_do_not_go_back_in(small_hybrid, CANNOT "Mamba2 keep");
    states_do_not_go_back_in(small_lfm, CANNOT "short convolutions keep");
    states_do_not_go_back_in(small_kimi, CANNOT "Kimi Delta Attention keep");
}

/* ---- what is not finite ---- */

enum { T = 20, AT = 5, POISON = 289 };

/* The embedding of a token becomes NaN. */
static void poison(const gm_model *model)
{
    const gm_buf *embed = &model->weights->embed;
    const size_t row_bytes = embed->stride * gm_dtype_bytes(embed->dtype);
    memset((char *)embed->address + POISON * row_bytes, 0xff, row_bytes);
}

/* From there on all rows of its document are bad, as its state is; all others are as without. */
static void a_state_that_is_not_finite_stays_in_its_document(void)
{
    static const plan plans[] = {{.threads = 1, .step = 1, .together = true},
                                 {.threads = 2, .step = 7},
                                 {.threads = 2, .step = T, .together = true},
                                 {.threads = 2, .step = T, .together = true, .piece = 7}};
    static const size_t offset[] = {0, T, 2 * T};
    uint32_t clean[2 * T], dirty[2 * T];
    for (uint32_t i = 0; i < 2 * T; i++) clean[i] = dirty[i] = 10 + i;
    dirty[AT] = POISON;
    const docs without = {2, 2 * T, clean, offset}, with = {2, 2 * T, dirty, offset};
    for (size_t i = 0; i < N_SMALL * sizeof plans / sizeof plans[0]; i++) {
        gm_model *model = open_random(small[i % N_SMALL], false);
        poison(model);
        outcome want = run_docs(model, &without, &plans[2]);
        outcome got = run_docs(model, &with, &plans[i / N_SMALL]);
        for (size_t t = 0; t < 2 * T; t++) {
            const float *row = got.logits + t * VOCAB;
            CHECK_INT(got.bad[t], t >= AT && t < T);
            for (size_t v = 0; got.bad[t] && v < VOCAB; v++) CHECK(isnan(row[v]));
            if (!got.bad[t]) CHECK_BYTES(row, want.logits + t * VOCAB, VOCAB * sizeof *row);
        }
        outcome_free(&want), outcome_free(&got);
        gm_model_close(model);
    }
}

/* A sequence that begins again, or in the place of another, begins with zeros. */
static void nothing_is_left_in(const char *config)
{
    run r = open_run(config, 0, 1);
    gm_error err = {0};
    float first[VOCAB], again[VOCAB];
    const uint32_t token = r.token[AT];
    int id = open_sequence(&r);
    poison(r.model);
    feed(&r, id, 0, 9, first);
    for (int closed = 0; closed < 2; closed++) {
        CHECK_OK(gm_sequence_rewind(r.session, id, 0, &err), err);
        r.token[AT] = POISON;
        feed(&r, id, 0, 9, again);
        CHECK(isnan(again[0]));
        if (closed) gm_sequence_close(r.session, id), id = open_sequence(&r);
        CHECK_OK(gm_sequence_rewind(r.session, id, 0, &err), err);
        r.token[AT] = token;
        feed(&r, id, 0, 9, again);
        CHECK_BYTES(again, first, sizeof first);
    }
    close_run(&r);
}

static void nothing_is_left_of_it(void)
{
    for (size_t i = 0; i < N_SMALL; i++) nothing_is_left_in(small[i]);
}

/* ---- caches ---- */

static void key_of(const char *config, uint8_t key[GM_PACKED_KEY])
{
    gm_error err = {0};
    gm_checkpoint *checkpoint = NULL;
    gm_arch arch = read_config_text(config);
    gm_weights *w = gm_alloc(1, sizeof *w);
    if (w == NULL) exit(1);
    *w = (gm_weights){.ops = &gm_cpu_ops, .numerics = GM_NUMERICS_BF16};
    CHECK_OK(gm_kernels_find(&w->kernels, "portable", &err), err);
    CHECK_OK(gm_checkpoint_random(&checkpoint, &arch, &err), err);
    CHECK_OK(gm_weights_describe(w, &arch, checkpoint, &err), err);
    gm_packed_key(w, &arch, "stamp", key);
    gm_weights_free(w);
    gm_checkpoint_close(checkpoint);
    gm_arch_clear(&arch);
}

/* Of two key heads of six and of four of three the tensors look alike, and are packed in another
 * order: a cache of the one is none of the other. */
static void heads_of_the_same_width_have_another_cache(void)
{
    char other[sizeof small_next];
    uint8_t key[GM_PACKED_KEY], same[GM_PACKED_KEY], another[GM_PACKED_KEY];
    memcpy(other, small_next, sizeof other);
    *(strstr(other, "key_head_dim\": 6") + strlen("key_head_dim\": ")) = '3';
    *(strstr(other, "key_heads\": 2") + strlen("key_heads\": ")) = '4';
    key_of(small_next, key), key_of(small_next, same), key_of(other, another);
    CHECK_BYTES(same, key, sizeof key);
    CHECK(memcmp(another, key, sizeof key) != 0);
}

/* A step of a session, by itself or layer by layer. */
static gm_status session_attempt(void *context, gm_error *err)
{
    const run *r = context;
    gm_status status = GM_OK;
    gm_session *session = NULL;
    int id;
    for (size_t piece_rows = 0; piece_rows <= 7; piece_rows += 7) {
        const gm_session_options o = {.threads = 2,
                                      .max_rows = ROWS,
                                      .kv_rows = ROWS,
                                      .max_sequences = 2,
                                      .piece_rows = piece_rows};
        GM_TRY(gm_session_create(&session, r->model, &o, err));
        GM_TRY(gm_sequence_open(session, ROWS, &id, err));
        const gm_segment g = {.sequence = id, .n = ROWS, .token = r->token, .edit = -1};
        GM_TRY(gm_session_step(session, &g, 1, NULL, NULL, err));
        gm_session_free(session);
        session = NULL;
    }
out:
    gm_session_free(session);
    return status;
}

static void every_allocation_may_fail(void)
{
    for (size_t i = 0; i < N_SMALL; i++) {
        run r = open_run(small[i], 0, 1);
        check_every_allocation(session_attempt, &r);
        close_run(&r);
    }
}

TESTS(TEST(any_cut_gives_the_same_bits), TEST(sequences_do_not_meet), TEST(states_do_not_go_back),
      TEST(a_state_that_is_not_finite_stays_in_its_document), TEST(nothing_is_left_of_it),
      TEST(heads_of_the_same_width_have_another_cache), TEST(every_allocation_may_fail))
