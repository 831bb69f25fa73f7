/* test_rope.c - engine/rope.c: what is read, and the angles beside those of transformers. */
#include "engine/rope.h"

#include "engine/families.h"
#include "tests/check.h"

static const gm_family plain = {.rope_theta = 1e4},
                       stretched = {.rope_theta = 150000, .yarn = true},
                       divided = {.rope_theta = 1e4, .divided = true},
                       partial = {.rope_theta = 1e4, .rotary_part = 0.5},
                       latent = {.rope_theta = 1e4, .yarn = true, .latent = true};

enum { HEAD = 64 };

static gm_status read_text(gm_rope *rope, const gm_family *family, const char *text, gm_error *err)
{
    gm_json *config = NULL;
    CHECK_OK(gm_json_parse(&config, text, strlen(text), "config", err), *err);
    gm_status status = gm_rope_read(rope, config, family, HEAD, "config", err);
    gm_json_free(config);
    return status;
}

static void reads_both_forms(void)
{
    gm_rope rope;
    gm_error err = {0};
    CHECK_OK(read_text(&rope, &plain, "{}", &err), err);
    CHECK(!rope.yarn && rope.theta == 1e4 && rope.amplitude == 1.0);
    CHECK(rope.dim == HEAD && !rope.neighbours);
    CHECK_OK(read_text(&rope, &plain,
                       "{\"rope_theta\": 7, \"rope_scaling\": {\"type\": \"default\"}}", &err),
             err);
    CHECK_NEAR(rope.theta, 7, 0);
    CHECK_OK(read_text(&rope, &stretched,
                       "{\"rope_theta\": 7, \"rope_parameters\": {\"rope_type\": \"yarn\", "
                       "\"rope_theta\": 9, \"factor\": 4, \"beta_slow\": null, "
                       "\"original_max_position_embeddings\": 64, \"attention_factor\": 1.5}}",
                       &err),
             err);
    CHECK(rope.yarn && rope.whole && rope.theta == 9 && rope.factor == 4);
    CHECK(rope.beta_fast == 32 && rope.beta_slow == 1 && rope.amplitude == 1.5);
    CHECK_OK(
        read_text(&rope, &stretched,
                  "{\"rope_theta\": 7, \"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 4, "
                  "\"original_max_position_embeddings\": 64}, \"rope_parameters\": "
                  "{\"rope_type\": \"yarn\", \"factor\": 4, \"rope_theta\": null, "
                  "\"original_max_position_embeddings\": 64}}",
                  &err),
        err);
    CHECK(rope.yarn && rope.theta == 7 && rope.factor == 4); /* null counts as absent */
}

static void refuses_what_is_not_computed(void)
{
    static const char *const text[][2] = {
        {"{\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2}}",
         "only 'default' or 'yarn' is"},
        {"{\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 2}}",
         "'original_max_position_embeddings'"},
        {"{\"rope_scaling\": {\"rope_type\": \"yarn\", \"original_max_position_embeddings\": 64}}",
         "'factor'"},
        {"{\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 2, \"mscale\": 0.7, "
         "\"original_max_position_embeddings\": 64}}",
         "contains 'mscale'"},
        {"{\"rope_scaling\": {\"rope_type\": \"default\", \"factor\": 2}}", "contains 'factor'"},
        {"{\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 2, "
         "\"original_max_position_embeddings\": 64}, \"rope_parameters\": {\"rope_theta\": 7}}",
         "'rope_scaling' and 'rope_parameters' disagree"},
    };
    gm_rope rope;
    gm_error err;
    for (size_t i = 0; i < sizeof text / sizeof text[0]; i++)
        CHECK_FAILS(read_text(&rope, &stretched, text[i][0], &err), err, GM_EFORMAT, text[i][1]);
    CHECK_FAILS(read_text(&rope, &plain, "{\"rope_scaling\": {\"rope_type\": \"yarn\"}}", &err),
                err, GM_EFORMAT, "has type 'yarn', but only 'default' is supported");
}

/* Of heads of 64: what the config says, or what holds the angles, or the family. */
static void a_part_of_a_head_turns(void)
{
    static const struct {
        const char *text;
        size_t dim;
    } good[] = {
        {"{}", 32},
        {"{\"partial_rotary_factor\": 0.25}", 16},
        {"{\"partial_rotary_factor\": 0.55}", 0},
        {"{\"partial_rotary_factor\": 0.57}", 36},
        {"{\"partial_rotary_factor\": 1, \"rope_scaling\": null}", 64},
        {"{\"rope_parameters\": {\"rope_theta\": 5, \"partial_rotary_factor\": 0.125}}", 8},
        {"{\"partial_rotary_factor\": 0.25, \"rope_parameters\": {\"rope_theta\": 5}}", 16},
        {"{\"partial_rotary_factor\": 0.01}", 0},
        {"{\"partial_rotary_factor\": 1.5}", 0},
    };
    gm_rope rope;
    gm_error err;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        err = (gm_error){0};
        const gm_status status = read_text(&rope, &partial, good[i].text, &err);
        CHECK_INT(status, good[i].dim ? GM_OK : GM_EFORMAT);
        if (good[i].dim) CHECK_INT(rope.dim, good[i].dim);
        if (!good[i].dim) CHECK(strstr(err.text, "'partial_rotary_factor'") != NULL);
    }
    CHECK_FAILS(
        read_text(&rope, &plain, "{\"rope_parameters\": {\"partial_rotary_factor\": 0.5}}", &err),
        err, GM_EFORMAT, "only 1 is supported");
}

/* transformers 5.24, ROPE_INIT_FUNCTIONS["yarn"] of gpt-oss's config (in f32), and with changes. */
static void stretches_as_transformers_does(void)
{
    enum { PAIRS = 7 };
    static const size_t pair[PAIRS] = {0, 1, 8, 9, 12, 17, 31};
    static const struct {
        double factor, first_context, beta_fast;
        bool whole;
        double amplitude, step[PAIRS];
    } want[] = {
        {32,
         4096,
         32,
         false,
         1.3465735902799727,
         {1.0, 0.68904430, 0.050813273, 0.031705696, 0.0067949593, 1.2931869e-4, 3.0235114e-7}},
        {32,
         4096,
         32,
         true,
         1.3465735902799727,
         {1.0, 0.68904430, 0.050813273, 0.031620752, 0.0070157140, 2.2794784e-4, 3.0235114e-7}},
        {4,
         64,
         4,
         false,
         1.138629436111989,
         {1.0, 0.68904430, 0.012703318, 0.0087531498, 0.0028635566, 4.4477620e-4, 2.4188091e-6}},
    };
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        char text[256];
        gm_rope rope;
        gm_error err = {0};
        snprintf(text, sizeof text,
                 "{\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": %g, \"beta_fast\": %g, "
                 "\"original_max_position_embeddings\": %g, \"truncate\": %s}}",
                 want[i].factor, want[i].beta_fast, want[i].first_context,
                 want[i].whole ? "true" : "false");
        CHECK_OK(read_text(&rope, &stretched, text, &err), err);
        CHECK_NEAR(rope.amplitude, want[i].amplitude, 1e-15);
        for (size_t p = 0; p < PAIRS; p++)
            CHECK_NEAR(gm_rope_step(&rope, pair[p]), want[i].step[p], 3e-6 * want[i].step[p]);
    }
}

/* "rope_scaling" of LongRoPE with n divisors 1, 1.05, 1.1, ...; `other` in place of the last. */
static void write_long(char text[1024], size_t n, const char *other)
{
    int at = snprintf(text, 1024,
                      "{\"rope_scaling\": {\"type\": \"longrope\", \"short_mscale\": 1.25, "
                      "\"long_mscale\": 1.5, \"original_max_position_embeddings\": 4096, "
                      "\"long_factor\": [2], \"short_factor\": [");
    for (size_t i = 0; i < n; i++)
        at += i + 1 == n && other ? snprintf(text + at, 1024 - (size_t)at, "%s", other)
                                  : snprintf(text + at, 1024 - (size_t)at, "%g%s",
                                             1 + 0.05 * (double)i, i + 1 < n ? ", " : "");
    snprintf(text + at, 1024 - (size_t)at, "]}}");
}

/* transformers 5.24, ROPE_INIT_FUNCTIONS["longrope"] of up to 4,096 positions (in f32). */
static void divides_as_transformers_does(void)
{
    static const size_t pair[] = {0, 1, 8, 9, 12, 17, 31};
    static const double step[] = {1,           0.71418494,   0.071428575,  0.051716842,
                                  0.019764235, 0.0040534823, 5.2294963e-05};
    char text[1024], both[2100];
    gm_rope rope;
    gm_error err = {0};
    write_long(text, HEAD / 2, NULL);
    CHECK_OK(read_text(&rope, &divided, text, &err), err);
    CHECK(rope.amplitude == 1.25 && rope.first_context == 4096 && !rope.yarn);
    for (size_t p = 0; p < sizeof pair / sizeof pair[0]; p++)
        CHECK_NEAR(gm_rope_step(&rope, pair[p]), step[p], 3e-6 * step[p]);
    gm_rope_clear(&rope);

    /* said twice is said once; the plain one beside it says something else */
    const int n = (int)strlen(text) - 1;
    snprintf(both, sizeof both, "%.*s, \"rope_parameters\": %s", n, text, strchr(text, ':') + 1);
    CHECK_OK(read_text(&rope, &divided, both, &err), err);
    CHECK_NEAR(gm_rope_step(&rope, 1), step[1], 3e-6);
    gm_rope_clear(&rope);
    snprintf(both, sizeof both, "%.*s, \"rope_parameters\": {\"rope_theta\": 1e4}}", n, text);
    CHECK_FAILS(read_text(&rope, &divided, both, &err), err, GM_EFORMAT, "disagree");
    CHECK(rope.divisor == NULL);
}

static void refuses_other_divisors(void)
{
    static const char *const last[] = {"0", "-1", "\"1\"", "null"};
    char text[1024];
    gm_rope rope;
    gm_error err;
    for (size_t i = 0; i < sizeof last / sizeof last[0]; i++) {
        write_long(text, HEAD / 2, last[i]);
        CHECK_FAILS(read_text(&rope, &divided, text, &err), err, GM_EFORMAT,
                    "'short_factor' contains a value that is not a positive number");
        CHECK(rope.divisor == NULL);
    }
    write_long(text, HEAD / 2 - 1, NULL);
    CHECK_FAILS(read_text(&rope, &divided, text, &err), err, GM_EFORMAT,
                "not a list of 32 numbers");
    CHECK_FAILS(read_text(&rope, &plain, text, &err), err, GM_EFORMAT, "has type 'longrope'");
    CHECK_FAILS(read_text(&rope, &divided, "{\"rope_scaling\": {\"type\": \"longrope\"}}", &err),
                err, GM_EFORMAT, "'original_max_position_embeddings'");
    CHECK_FAILS(read_text(&rope, &divided, "{\"rope_scaling\": {\"type\": \"yarn\"}}", &err), err,
                GM_EFORMAT, "only 'default' or 'longrope' is supported");
}

static void fills_rows_of_angles(void)
{
    enum { DIM = 4, N = 3, STRIDE = 5 };
    const gm_rope rope = {.theta = 100, .dim = DIM, .amplitude = 2};
    float cosine[N * STRIDE], sine[N * STRIDE];
    gm_rope_fill(&rope, N, STRIDE, cosine, sine);
    for (int p = 0; p < N; p++)
        for (int i = 0; i < DIM / 2; i++) { /* steps 1 and 0.1 */
            const double angle = p * (i ? 0.1 : 1.0);
            CHECK_NEAR(cosine[p * STRIDE + i], 2 * cos(angle), 1e-6);
            CHECK_NEAR(sine[p * STRIDE + i], 2 * sin(angle), 1e-6);
        }
}

/* DeepSeek's two factors: transformers 5.24, ROPE_INIT_FUNCTIONS["yarn"] and yarn_apply_mscale of
 * deepseek_v2, of the configs of DeepSeek-V2-Lite and GigaChat3, and of one with two that differ;
 * one of them alone is refused. */
static void stretches_as_deepseek_does(void)
{
    static const struct {
        const char *factors;
        double factor, amplitude, attention;
    } want[] = {
        {", \"mscale\": 0.707, \"mscale_all_dim\": 0.707", 40, 1.0, 1.5896261651208736},
        {", \"mscale\": 1.0, \"mscale_all_dim\": 1.0", 64, 1.0, 2.004739701682487},
        {", \"mscale\": 1.5, \"mscale_all_dim\": 0.5", 40, 1.3114439803925217, 1.4029075244788534},
        {"", 40, 1.3688879454113936, 1.0},
        {", \"mscale\": 0.707, \"mscale_all_dim\": 0.707, \"attention_factor\": 1.25", 40, 1.25,
         1.5896261651208736},
    };
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        char text[256];
        gm_rope rope;
        gm_error err = {0};
        snprintf(text, sizeof text,
                 "{\"rope_scaling\": {\"type\": \"yarn\", \"factor\": %g, "
                 "\"original_max_position_embeddings\": 4096%s}}",
                 want[i].factor, want[i].factors);
        CHECK_OK(read_text(&rope, &latent, text, &err), err);
        CHECK_NEAR(rope.amplitude, want[i].amplitude, 1e-14);
        CHECK_NEAR(rope.attention, want[i].attention, 1e-14);
        CHECK_NEAR(gm_rope_step(&rope, 12), want[i].factor == 64 ? 0.026833750 : 0.026879360, 1e-8);
    }
    static const char *const alone[] = {"\"mscale\": 0.5", "\"mscale_all_dim\": 1.0",
                                        "\"mscale\": 1.0, \"mscale_all_dim\": 0"};
    for (size_t i = 0; i < sizeof alone / sizeof alone[0]; i++) {
        char text[256];
        gm_rope rope;
        gm_error err;
        snprintf(text, sizeof text,
                 "{\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 40, "
                 "\"original_max_position_embeddings\": 4096, %s}}",
                 alone[i]);
        CHECK_FAILS(read_text(&rope, &latent, text, &err), err, GM_EFORMAT,
                    "expected both or neither");
    }
}

TESTS(TEST(reads_both_forms), TEST(refuses_what_is_not_computed), TEST(a_part_of_a_head_turns),
      TEST(stretches_as_transformers_does), TEST(stretches_as_deepseek_does),
      TEST(divides_as_transformers_does), TEST(refuses_other_divisors), TEST(fills_rows_of_angles))
