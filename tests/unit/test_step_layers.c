/* test_step_layers.c - gm_session_step_layers: a model in parts gives the bits of the whole one,
 * from prompt to continuation, whatever keeps state; and what is refused. label: threads */
#include "engine/engine.h"
#include "tests/check.h"
#include "tests/engine_run.h"

#define MODELS TEST_DATA "/golden/models/"

enum { PROMPT = 37, NEXT = 3, SEQUENCES = 2, ROWS = PROMPT + 9 };

/* What a step of all sequences gives, and the rows that enter the layers after the first part. */
typedef struct given {
    outcome out;
    gm_record record;
    gm_result result;
    uint32_t sampled[SEQUENCES];
} given;

static given given_create(const gm_model *model, size_t rows)
{
    given g = {.out = outcome_create(model, rows)};
    g.record = (gm_record){.expert = g.out.expert,
                           .gate = g.out.gate,
                           .mass = g.out.mass,
                           .margin = g.out.margin,
                           .logits = g.out.router,
                           .bad = g.out.bad};
    g.result = (gm_result){.logits = g.out.logits, .nll = g.out.nll};
    return g;
}

static gm_session *open_session(const gm_model *model, size_t piece_rows)
{
    const gm_session_options options = {.threads = 2,
                                        .max_rows = ROWS,
                                        .kv_rows = 1024,
                                        .max_sequences = 3 * SEQUENCES,
                                        .piece_rows = piece_rows};
    gm_session *s = NULL;
    gm_error err = {0};
    CHECK_OK(gm_session_create(&s, model, &options, &err), err);
    if (s == NULL) exit(1);
    return s;
}

static int open_sequence(gm_session *s)
{
    int id = -1;
    gm_error err = {0};
    CHECK_OK(gm_sequence_open(s, PROMPT + NEXT, &id, &err), err);
    return id;
}

static uint32_t token_at(size_t sequence, size_t position)
{
    return (uint32_t)(3 + (position * position + 7 * position + 31 * sequence) % 90);
}

static const gm_sampling HOT = {
    .temperature = 1.2, .top_p = 1, .repetition_penalty = 1.3, .seed = 5};

/* Tokens from..from+n of every sequence (the second has 9 in the prompt's step), through layers
 * [first, end). */
static size_t run(gm_session *s, const int *id, size_t from, size_t n, size_t first, size_t end,
                  size_t n_layers, float *residual, size_t width, given *to)
{
    uint32_t token[ROWS], target[ROWS];
    gm_segment segment[SEQUENCES];
    gm_error err = {0};
    const bool ends = end == n_layers;
    size_t row = 0;
    for (size_t i = 0; i < SEQUENCES; i++) {
        const size_t rows = i > 0 && from == 0 ? 9 : n;
        for (size_t t = 0; t < rows; t++) {
            token[row + t] = token_at(i, from + t);
            target[row + t] = token_at(i, from + t + 1);
        }
        segment[i] = (gm_segment){.sequence = id[i],
                                  .n = rows,
                                  .token = token + row,
                                  .edit = 0,
                                  .want = ends ? GM_WANT_ALL : GM_WANT_NOTHING,
                                  .target = ends ? target + row : NULL,
                                  .sampling = ends ? &HOT : NULL,
                                  .residual = residual + row * width};
        row += rows;
    }
    to->result.sampled = to->sampled;
    CHECK_OK(
        gm_session_step_layers(s, first, end, segment, SEQUENCES, &to->record, &to->result, &err),
        err);
    return row;
}

static void compare_parts(const gm_model *model, const size_t *end, size_t n_parts)
{
    const gm_model_info *info = gm_model_get_info(model);
    const size_t n_layers = (size_t)info->n_layers, width = (size_t)info->width;
    const size_t LE = (size_t)(info->n_moe_layers * info->n_experts);
    gm_session *s = open_session(model, 0), *parts = open_session(model, 0);
    float *bias = gm_alloc(LE, sizeof *bias), *residual = gm_alloc2(ROWS, width, sizeof *residual);
    gm_error err = {0};
    int id[4][SEQUENCES]; /* of the whole, and of each part */
    for (size_t i = 0; i < LE; i++) bias[i] = (float)(i % 7) - 3;
    const gm_edit edit = {
        .bias = bias, .last_layer = info->n_moe_layers - 1, .phases = 7, .mode = GM_EDIT_BIAS};
    CHECK_OK(gm_session_set_edits(s, &edit, 1, &err), err);
    CHECK_OK(gm_session_set_edits(parts, &edit, 1, &err), err);
    for (size_t i = 0; i < SEQUENCES; i++) id[0][i] = open_sequence(s);
    for (size_t p = 0; p < n_parts; p++)
        for (size_t i = 0; i < SEQUENCES; i++) id[p + 1][i] = open_sequence(parts);
    for (size_t from = 0; from < PROMPT + NEXT; from += from == 0 ? PROMPT : 1) {
        const size_t n = from == 0 ? PROMPT : 1, rows = from == 0 ? ROWS : SEQUENCES;
        given whole = given_create(model, rows), got = given_create(model, rows);
        run(s, id[0], from, n, 0, n_layers, n_layers, residual, width, &whole);
        for (size_t p = 0; p < n_parts; p++)
            run(parts, id[p + 1], from, n, p ? end[p - 1] : 0, end[p], n_layers, residual, width,
                &got);
        check_same(info->folder, &got.out, &whole.out);
        CHECK_BYTES(got.sampled, whole.sampled, sizeof got.sampled);
        outcome_free(&whole.out);
        outcome_free(&got.out);
    }
    gm_free(bias);
    gm_free(residual);
    gm_session_free(s);
    gm_session_free(parts);
}

static void parts_give_the_bits_of_the_whole(void)
{
    static const char *const folder[] = {MODELS "deepseek-tiny",    MODELS "olmoe-tiny",
                                         MODELS "deepseek-v3-tiny", /* latent */
                                         MODELS "qwen3-next-tiny",  /* recurrent */
                                         MODELS "gptoss-tiny",      /* windows */
                                         MODELS "qwen3.5-tiny",     MODELS "granite-hybrid-tiny",
                                         MODELS "nemotron-tiny", /* one block a layer */
                                         MODELS "lfm-tiny"};
    for (size_t f = 0; f < sizeof folder / sizeof *folder; f++)
        for (int bf16 = 0; bf16 <= 1; bf16++) {
            gm_model *model =
                open_model(folder[f], bf16 ? GM_NUMERICS_BF16 : GM_NUMERICS_F32, NULL);
            const size_t n = (size_t)gm_model_get_info(model)->n_layers;
            for (size_t cut = 1; cut < n; cut++) compare_parts(model, (size_t[]){cut, n}, 2);
            if (n > 2) compare_parts(model, (size_t[]){1, n - 1, n}, 3);
            gm_model_close(model);
        }
}

/* A row enters layer 1 as NaN: the record of layer 0 stays as it was. */
static void a_bad_row_is_marked_in_the_computed_layers(void)
{
    gm_model *model = open_model(MODELS "olmoe-tiny", GM_NUMERICS_F32, NULL);
    const gm_model_info *info = gm_model_get_info(model);
    const size_t L = (size_t)info->n_moe_layers, K = (size_t)info->n_chosen;
    gm_session *s = open_session(model, 0);
    const uint32_t token[2] = {5, 6};
    float *residual = gm_alloc2(2, (size_t)info->width, sizeof *residual);
    given to = given_create(model, 2);
    gm_error err = {0};
    CHECK(L == (size_t)info->n_layers && L > 1);
    for (size_t i = 0; i < 2 * (size_t)info->width; i++) residual[i] = i % 2 ? 0.5f : -1.0f;
    residual[3] = NAN; /* of the first row; the second attends to it */
    for (size_t i = 0; i < L * 2 * K; i++) to.record.expert[i] = 77, to.record.gate[i] = 77.0f;
    for (size_t i = 0; i < L * 2; i++) to.record.mass[i] = to.record.margin[i] = 77.0f;
    const gm_segment g = {
        .sequence = open_sequence(s), .n = 2, .token = token, .edit = -1, .residual = residual};
    CHECK_OK(gm_session_step_layers(s, 1, L, &g, 1, &to.record, NULL, &err), err);
    CHECK(to.record.bad[0] == 1 && to.record.bad[1] == 1);
    for (size_t i = 0; i < L * 2; i++) {
        const bool before = i < 2;
        CHECK_INT(to.record.expert[i * K], before ? 77 : GM_NO_EXPERT);
        CHECK(before ? to.record.gate[i * K] == 77.0f : isnan(to.record.gate[i * K]));
        CHECK(before ? to.record.mass[i] == 77.0f : isnan(to.record.mass[i]));
        CHECK(before ? to.record.margin[i] == 77.0f : isnan(to.record.margin[i]));
    }
    outcome_free(&to.out);
    gm_free(residual);
    gm_session_free(s);
    gm_model_close(model);
}

/* ---- what is refused ---- */

static void other_layers_are_refused(void)
{
    gm_model *model = open_model(MODELS "deepseek-tiny", GM_NUMERICS_F32, NULL);
    gm_session *s = open_session(model, 0), *pieces = open_session(model, 8);
    const size_t n = (size_t)gm_model_get_info(model)->n_layers;
    const uint32_t token[2] = {5, 6};
    float *residual = gm_alloc2(2, (size_t)gm_model_get_info(model)->width, sizeof *residual),
          nll[2];
    gm_error err = {0};
    gm_segment g = {.sequence = open_sequence(s), .n = 2, .token = token, .edit = -1};
    CHECK(gm_session_takes_layers(s) && !gm_session_takes_layers(pieces));
    CHECK_FAILS(gm_session_step_layers(s, 1, 1, &g, 1, NULL, NULL, &err), err, GM_EARG,
                "layers from 1 up to 1, the model has");
    CHECK_FAILS(gm_session_step_layers(s, 0, n + 1, &g, 1, NULL, NULL, &err), err, GM_EARG,
                "layers from 0 up to");
    CHECK_FAILS(gm_session_step_layers(s, 1, n, &g, 1, NULL, NULL, &err), err, GM_EARG,
                "segment 0 has no rows for layers 1 to");
    CHECK_FAILS(gm_session_step_layers(s, 0, 1, &g, 1, NULL, NULL, &err), err, GM_EARG,
                "segment 0 has no rows for layers 0 to 0");
    g.residual = residual;
    g.target = token;
    CHECK_FAILS(gm_session_step_layers(s, 0, 1, &g, 1, NULL, &(gm_result){.nll = nll}, &err), err,
                GM_EARG, "segment 0 needs the head, and layer 0 is the last");
    CHECK_INT(gm_sequence_length(s, g.sequence), 0);
    CHECK_OK(gm_session_step_layers(s, 0, 1, &g, 1, NULL, NULL, &err), err);
    CHECK_FAILS(gm_session_step(s, &g, 1, NULL, NULL, &err), err, GM_EARG,
                "sequence 0 has been through 0 to 0");
    CHECK_OK(gm_sequence_rewind(s, g.sequence, 0, &err), err);
    CHECK_OK(gm_session_step(s, &g, 1, NULL, NULL, &err), err);
    g.sequence = open_sequence(pieces);
    CHECK_FAILS(gm_session_step_layers(pieces, 1, n, &g, 1, NULL, NULL, &err), err, GM_EABSENT,
                "computes all layers of a step");
    CHECK_OK(gm_session_step_layers(pieces, 0, n, &g, 1, NULL, NULL, &err), err);
    gm_free(residual);
    gm_session_free(s);
    gm_session_free(pieces);
    gm_model_close(model);
}

TESTS(TEST(parts_give_the_bits_of_the_whole), TEST(a_bad_row_is_marked_in_the_computed_layers),
      TEST(other_layers_are_refused))
