/* test_sample.c - greedy choice, top-k, top-p, penalty, and draws with the right odds. */
#include "engine/sample.h"

#include "tests/check.h"

enum { V = 5, DRAWS = 20000 };

/* Softmax .1 .4 .2 .25 .05 */
static const float logits[V] = {-2.30258509f, -0.91629073f, -1.60943791f, -1.38629436f,
                                -2.99573227f};
static const double share[V] = {0.1, 0.4, 0.2, 0.25, 0.05};

static gm_sampling usual(void)
{
    return (gm_sampling){.temperature = 1, .top_p = 1, .repetition_penalty = 1, .seed = 7};
}

static uint32_t draw(const float *z, const gm_sampling *s, uint64_t position)
{
    uint32_t order[V];
    float weight[V];
    return gm_sample_token(z, V, s, position, order, weight);
}

static void greedy_takes_the_lower_of_equals(void)
{
    const float z[V] = {1, 3, 2, 3, -1}, none[V] = {NAN, NAN, -INFINITY, NAN, NAN};
    const float some[V] = {NAN, 1, 2, NAN, -INFINITY}, inf[V] = {0, 1, INFINITY, 2, 3};
    gm_sampling s = usual();
    CHECK_INT(draw(inf, &s, 0), 2);
    s.temperature = 0;
    CHECK_INT(draw(z, &s, 0), 1);
    CHECK_INT(draw(some, &s, 0), 2);
    CHECK_INT(draw(none, &s, 0), GM_NO_TARGET);
}

/* Draws fall on tokens as often as `want` says; the bound is 5 standard deviations. */
static void check_odds(const gm_sampling *s, const double *want)
{
    size_t n[V] = {0};
    for (uint64_t i = 0; i < DRAWS; i++) n[draw(logits, s, i)]++;
    for (size_t v = 0; v < V; v++)
        CHECK_NEAR((double)n[v] / DRAWS, want[v], 5 * sqrt(want[v] * (1 - want[v]) / DRAWS));
}

static void draws_have_the_right_odds(void)
{
    gm_sampling s = usual();
    check_odds(&s, share);
    s.top_k = 2;
    check_odds(&s, (double[V]){0, 0.4 / 0.65, 0, 0.25 / 0.65, 0});
    s.top_k = 0, s.top_p = 0.7; /* .4 + .25 < .7: the third is in */
    check_odds(&s, (double[V]){0, 0.4 / 0.85, 0.2 / 0.85, 0.25 / 0.85, 0});
    s.top_k = 2, s.top_p = 0.6; /* of the two: .615 reaches .6 */
    check_odds(&s, (double[V]){0, 1, 0, 0, 0});
    s = usual(), s.temperature = 0.5; /* squares: .01 .16 .04 .0625 .0025 */
    check_odds(
        &s, (double[V]){0.01 / 0.275, 0.16 / 0.275, 0.04 / 0.275, 0.0625 / 0.275, 0.0025 / 0.275});
    s = usual(), s.top_k = 1;
    check_odds(&s, (double[V]){0, 1, 0, 0, 0});
}

/* A cut leaves the lower ids of equals, as a sort would. */
static void a_cut_takes_the_lower_of_equals(void)
{
    const float z[V] = {1, 3, 2, 3, 2};
    gm_sampling s = usual();
    s.top_k = 1;
    for (uint64_t i = 0; i < 50; i++) CHECK_INT(draw(z, &s, i), 1);
    s.top_k = 3;
    for (uint64_t i = 0; i < 50; i++) CHECK(draw(z, &s, i) % 4 != 0);
}

static void a_draw_is_a_function_of_seed_stream_position(void)
{
    gm_sampling a = usual(), b = usual(), c = usual();
    int other_stream = 0, other_seed = 0;
    b.stream = 1;
    c.seed = 8;
    for (uint64_t i = 0; i < 100; i++) {
        CHECK_INT(draw(logits, &a, i), draw(logits, &a, i));
        other_stream += draw(logits, &a, i) != draw(logits, &b, i);
        other_seed += draw(logits, &a, i) != draw(logits, &c, i);
    }
    CHECK(other_stream > 10 && other_seed > 10);
}

static void penalty_lowers_what_was_seen(void)
{
    float z[V] = {2, -2, 2, -2, 0};
    const uint8_t seen[V] = {1, 1, 0, 0, 1};
    gm_sample_penalise(z, seen, V, 2.0);
    CHECK_FLOATS(z, ((const float[V]){1, -4, 2, -2, 0}), V, 0);
}

static void settings_are_checked(void)
{
    gm_error err;
    gm_sampling s = usual();
    CHECK_OK(gm_sampling_check(&s, &err), err);
    s.temperature = 0;
    CHECK_OK(gm_sampling_check(&s, &err), err);
    s.temperature = -1;
    CHECK_FAILS(gm_sampling_check(&s, &err), err, GM_EARG, "temperature");
    s = usual(), s.temperature = NAN;
    CHECK_FAILS(gm_sampling_check(&s, &err), err, GM_EARG, "temperature");
    s = usual(), s.top_k = -1;
    CHECK_FAILS(gm_sampling_check(&s, &err), err, GM_EARG, "top-k");
    s = usual(), s.top_p = 0;
    CHECK_FAILS(gm_sampling_check(&s, &err), err, GM_EARG, "top-p");
    s = usual(), s.repetition_penalty = 0;
    CHECK_FAILS(gm_sampling_check(&s, &err), err, GM_EARG, "penalty");
    CHECK_OK(gm_sampled_check((uint32_t[]){3, 0}, 2, &err), err);
    CHECK_FAILS(gm_sampled_check((uint32_t[]){3, GM_NO_TARGET}, 2, &err), err, GM_EARG,
                "segment 1");
}

TESTS(TEST(greedy_takes_the_lower_of_equals), TEST(draws_have_the_right_odds),
      TEST(a_cut_takes_the_lower_of_equals), TEST(a_draw_is_a_function_of_seed_stream_position),
      TEST(penalty_lowers_what_was_seen), TEST(settings_are_checked))
