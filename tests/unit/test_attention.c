/* test_attention.c - windows and sinks of engine/cpu/cpu_attention.c by what they must not change
 * and how far they reach; their values: tests/golden/test_engine_golden.c.
 */
#include "base/rng.h"
#include "engine/model.h"
#include "engine/weights.h"
#include "tests/check.h"
#include "tests/engine_run.h"

enum { LAYERS = 2, HEADS = 6, T = 100, VOCAB = 64 };

static const char config[] =
    "{\"architectures\": [\"OlmoeForCausalLM\"], \"model_type\": \"olmoe\", \"hidden_size\": 48, "
    "\"intermediate_size\": 32, \"num_attention_heads\": 6, \"num_key_value_heads\": 2, "
    "\"num_experts\": 4, \"num_experts_per_tok\": 2, \"num_hidden_layers\": 2, "
    "\"vocab_size\": 64, \"max_position_embeddings\": 128}";

static gm_model *model;
static uint32_t token[T];

static outcome run_plan(plan p)
{
    static const size_t offset[] = {0, T};
    const docs d = {.n = 1, .n_tokens = T, .token = token, .offset = offset};
    return run_docs(model, &d, &p);
}

static outcome run(void)
{
    return run_plan((plan){.threads = 1, .step = T});
}

/* Every layer sees so many positions (0: all), and has these sinks (NULL: none). */
static void set(size_t window, float *sinks)
{
    for (size_t l = 0; l < LAYERS; l++) {
        gm_layer *layer = &model->weights->layer[l];
        layer->window = window;
        layer->sinks = sinks ? gm_buf_rows(GM_F32, 1, 1, HEADS) : (gm_buf){0};
        layer->sinks.address = sinks;
    }
}

static void open_plain(gm_numerics numerics)
{
    const gm_model_options options = {.numerics = numerics, .device = "cpu", .threads = 1};
    gm_error err = {0};
    gm_rng rng = gm_rng_make(5, 0);
    for (size_t i = 0; i < T; i++) token[i] = (uint32_t)gm_rng_below(&rng, VOCAB);
    CHECK_OK(gm_model_open_random(&model, "random", config, &options, &err), err);
}

static bool same_row(const outcome *a, const outcome *b, size_t t)
{
    return memcmp(a->logits + t * VOCAB, b->logits + t * VOCAB, VOCAB * sizeof(float)) == 0;
}

static void idle_windows_and_sinks_change_no_bit(void)
{
    float nothing[HEADS];
    for (size_t h = 0; h < HEADS; h++) nothing[h] = -INFINITY;
    open_plain(GM_NUMERICS_BF16);
    outcome want = run();
    set(T, NULL);
    outcome wide = run();
    check_same("a window as long as the text", &wide, &want);
    set(0, nothing);
    outcome sunk = run();
    check_same("sinks of minus infinity", &sunk, &want);
    set(T - 1, NULL);
    outcome narrow = run();
    CHECK(same_row(&narrow, &want, T - 2) && !same_row(&narrow, &want, T - 1));
    outcome_free(&want), outcome_free(&wide), outcome_free(&sunk), outcome_free(&narrow);
    gm_model_close(model);
}

/* Through every layer a position reaches window - 1 further. */
static void windows_reach_as_far_as_they_say(void)
{
    static const size_t windows[] = {1, 2, 20, 33, 45};
    open_plain(GM_NUMERICS_F32);
    for (size_t i = 0; i < sizeof windows / sizeof windows[0]; i++) {
        const size_t reach = LAYERS * (windows[i] - 1);
        set(windows[i], NULL);
        outcome a = run();
        token[0] ^= 1;
        outcome b = run();
        token[0] ^= 1;
        CHECK(!same_row(&a, &b, reach));
        for (size_t t = reach + 1; t < T; t++) CHECK(same_row(&a, &b, t));
        outcome_free(&a), outcome_free(&b);
    }
    gm_model_close(model);
}

/* The schedule changes no bit of it. */
static void any_schedule_gives_the_same(void)
{
    static const plan plans[] = {{.threads = 1, .step = 1},
                                 {.threads = 2, .step = 7},
                                 {.threads = 3, .step = 31},
                                 {.threads = 2, .step = T, .together = true, .piece = 9}};
    float sinks[HEADS] = {0.5f, -1, 2, 0, 3, -2};
    open_plain(GM_NUMERICS_BF16);
    outcome plain = run();
    for (size_t window = 0; window < 70; window += 23) {
        set(window, sinks);
        outcome want = run();
        CHECK(!same_row(&want, &plain, T - 1));
        for (size_t i = 0; i < sizeof plans / sizeof plans[0]; i++) {
            outcome got = run_plan(plans[i]);
            check_same("another schedule", &got, &want);
            outcome_free(&got);
        }
        outcome_free(&want);
    }
    outcome_free(&plain);
    gm_model_close(model);
}

/* A sink far above all scores leaves nothing of the values: a text of one token, all whose
 * weight goes elsewhere, gives what any other text of that last token gives. */
static void a_strong_sink_leaves_nothing(void)
{
    float strong[HEADS];
    for (size_t h = 0; h < HEADS; h++) strong[h] = 1e4f;
    open_plain(GM_NUMERICS_F32);
    set(0, strong);
    outcome a = run();
    for (size_t t = 0; t + 1 < T; t++) token[t] ^= 1;
    outcome b = run();
    CHECK(same_row(&a, &b, T - 1) && isfinite(a.logits[(T - 1) * VOCAB]));
    for (size_t h = 0; h < HEADS; h++) strong[h] = 1;
    outcome weak = run();
    CHECK(!same_row(&weak, &b, T - 1));
    outcome_free(&a), outcome_free(&b), outcome_free(&weak);
    gm_model_close(model);
}

TESTS(TEST(idle_windows_and_sinks_change_no_bit), TEST(windows_reach_as_far_as_they_say),
      TEST(any_schedule_gives_the_same), TEST(a_strong_sink_leaves_nothing))
