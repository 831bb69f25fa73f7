/* test_plan.c - formats/plan.c: plans round-trip, and what is wrong in one is named. */
#include "formats/plan.h"

#include "base/safetensors.h"
#include "base/text.h"
#include "tests/check.h"

static const int layers[2] = {1, 3};

static void make_plan(gm_plan *plan)
{
    gm_error err = {0};
    CHECK_OK(gm_plan_init(plan, 2, 3, layers, &err), err);
    const float bias[6] = {0.5f, -INFINITY, 0, -0.25f, 1e-30f, 2};
    memcpy(plan->bias, bias, sizeof bias);
}

static void an_empty_plan_steers_nothing_everywhere(void)
{
    gm_plan plan;
    gm_error err = {0};
    CHECK_OK(gm_plan_init(&plan, 2, 3, layers, &err), err);
    for (int i = 0; i < 6; i++) CHECK_NEAR(plan.bias[i], 0, 0);
    CHECK_INT(plan.first_layer, 1);
    CHECK_INT(plan.last_layer, 3);
    CHECK_INT(plan.phases, GM_PLAN_ALL_PHASES);
    CHECK_INT(plan.mode, GM_PLAN_BIAS);
    CHECK_TEXT(plan.source, "{}");
    gm_plan_clear(&plan);
}

static void plans_round_trip(void)
{
    for (int mode = GM_PLAN_BIAS; mode <= GM_PLAN_MASK; mode++) {
        gm_plan plan, back;
        gm_error err = {0};
        make_plan(&plan);
        plan.mode = (gm_plan_mode)mode;
        plan.mass_matched = mode % 2;
        plan.first_layer = 2;
        plan.phases = (uint8_t)mode;
        const int kind = mode == GM_PLAN_MASK ? GM_SCHEDULE_FIRST : mode; /* as many as modes */
        plan.schedule = (gm_schedule){(gm_schedule_kind)kind, mode ? 5 : 0};
        snprintf(plan.model_digest, sizeof plan.model_digest, "%064d", mode);
        snprintf(plan.config_digest, sizeof plan.config_digest, "%064d", mode + 9);
        gm_free(plan.source);
        plan.source = gm_copy_text("{\"cluster\":[3]}", 15);

        CHECK_OK(gm_plan_write("a.plan.safetensors", &plan, true, &err), err);
        CHECK_OK(gm_plan_read(&back, "a.plan.safetensors", &err), err);
        CHECK_INT(back.n_layers, 2);
        CHECK_INT(back.n_experts, 3);
        CHECK_BYTES(back.bias, plan.bias, 6 * sizeof(float));
        CHECK_BYTES(back.layer_of_moe, layers, sizeof layers);
        CHECK_INT(back.mode, mode);
        CHECK_INT(back.mass_matched, mode % 2);
        CHECK_INT(back.first_layer, 2);
        CHECK_INT(back.last_layer, 3);
        CHECK_INT(back.phases, mode);
        CHECK_INT(back.schedule.kind, plan.schedule.kind);
        CHECK_INT(back.schedule.n, plan.schedule.n);
        CHECK_TEXT(back.model_digest, plan.model_digest);
        CHECK_TEXT(back.config_digest, plan.config_digest);
        CHECK_TEXT(back.source, plan.source);
        gm_plan_clear(&plan);
        gm_plan_clear(&back);
    }
}

static void refuses_values_that_are_not_numbers(void)
{
    gm_plan plan;
    gm_error err;
    make_plan(&plan);
    plan.bias[4] = NAN;
    CHECK_FAILS(gm_plan_write("nan.safetensors", &plan, true, &err), err, GM_ENUMERIC,
                "layer 3, expert 1");
    plan.bias[4] = INFINITY;
    CHECK_FAILS(gm_plan_write("inf.safetensors", &plan, true, &err), err, GM_ENUMERIC,
                "layer 3, expert 1");
    gm_plan_clear(&plan);
}

/* A plan file whose metadata differs in one entry; a NULL value leaves it out. */
static void check_refused(const char *key, const char *value, gm_status code, const char *part)
{
    static const gm_safetensors_note good[] = {
        {"format", "gm-plan"},     {"schema", "1"},          {"mode", "bias"},
        {"mass_matched", "false"}, {"first_layer", "1"},     {"last_layer", "3"},
        {"phases", "prompt"},      {"source", "{}"},         {"layer_of_moe", "[1,3]"},
        {"model_digest", ""},      {"schedule", "constant"}, {"config_digest", ""}};
    const float zeros[6] = {0};
    const gm_tensor bias = {.name = "bias",
                            .dtype = GM_F32,
                            .rank = 2,
                            .dim = {2, 3},
                            .data = zeros,
                            .n_bytes = sizeof zeros};
    gm_safetensors_note notes[12];
    size_t n = 0;
    gm_plan plan;
    gm_error err = {0};

    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        notes[n] = good[i];
        if (strcmp(good[i].key, key) == 0) notes[n].value = value;
        n += notes[n].value != NULL;
    }
    CHECK_OK(gm_safetensors_write("b.safetensors", true, &bias, 1, notes, n, &err), err);
    CHECK_FAILS(gm_plan_read(&plan, "b.safetensors", &err), err, code, part);
    CHECK_HAS(err.text, "b.safetensors");
    CHECK(plan.bias == NULL);
}

static void refuses_bad_metadata(void)
{
    static const char zeros[] = "00000000000000000000000000000000000000000000000000000000000000000";
    static const char *const bad[][3] = {
        {"format", NULL, "not a plan"},
        {"format", "pt", "'format' is 'pt'"},
        {"schema", "2", "'schema' is '2'"},
        {"mode", "push", "'mode' is 'push'"},
        {"mass_matched", "yes", "'mass_matched'"},
        {"first_layer", "0", "from 1 to 3"},
        {"first_layer", "x", "from 1 to 3"},
        {"last_layer", "4", "from 1 to 3"},
        {"phases", "prompt,answer", "'phases'"},
        {"source", "[]", "'source'"},
        {"source", "{", "b.safetensors"},
        {"layer_of_moe", "[1]", "2 layers"},
        {"layer_of_moe", "[3,1]", "ascending"},
        {"layer_of_moe", "7", "2 layers"},
        {"model_digest", NULL, "model_digest"},
        {"config_digest", zeros, "'config_digest' has more than 64 characters"},
        {"schedule", "linear:3", "'schedule' is 'linear:3'"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        check_refused(bad[i][0], bad[i][1], GM_EFORMAT, bad[i][2]);
}

static void a_mask_has_no_ramp(void)
{
    gm_plan plan, back;
    gm_error err = {0};
    CHECK_OK(gm_plan_init(&plan, 2, 3, layers, &err), err);
    plan.mode = GM_PLAN_MASK;
    plan.schedule = (gm_schedule){GM_SCHEDULE_FADE, 4};
    CHECK_OK(gm_plan_write("m.safetensors", &plan, true, &err), err);
    CHECK_FAILS(gm_plan_read(&back, "m.safetensors", &err), err, GM_EFORMAT,
                "'schedule' is 'fade:4', but a mask");
    gm_plan_clear(&plan);
}

static void refuses_a_window_between_the_layers(void)
{
    gm_plan plan, back;
    gm_error err = {0};
    CHECK_OK(gm_plan_init(&plan, 2, 3, layers, &err), err);
    plan.first_layer = plan.last_layer = 2;
    CHECK_OK(gm_plan_write("w.safetensors", &plan, true, &err), err);
    CHECK_FAILS(gm_plan_read(&back, "w.safetensors", &err), err, GM_EFORMAT, "window 2 to 2");
    gm_plan_clear(&plan);
}

static void refuses_other_tensors(void)
{
    static const gm_safetensors_note notes[] = {{"format", "gm-plan"}, {"schema", "1"}};
    const float zeros[6] = {0};
    gm_tensor bias = {.name = "bias",
                      .dtype = GM_F32,
                      .rank = 1,
                      .dim = {6},
                      .data = zeros,
                      .n_bytes = sizeof zeros};
    gm_plan plan;
    gm_error err = {0};
    CHECK_OK(gm_safetensors_write("c.safetensors", true, &bias, 1, notes, 2, &err), err);
    CHECK_FAILS(gm_plan_read(&plan, "c.safetensors", &err), err, GM_ESHAPE, "not a table");
    bias.dtype = GM_I32;
    CHECK_OK(gm_safetensors_write("c.safetensors", true, &bias, 1, notes, 2, &err), err);
    CHECK_FAILS(gm_plan_read(&plan, "c.safetensors", &err), err, GM_EFORMAT, "dtype I32");
    bias.name = "offset";
    CHECK_OK(gm_safetensors_write("c.safetensors", true, &bias, 1, notes, 2, &err), err);
    CHECK_FAILS(gm_plan_read(&plan, "c.safetensors", &err), err, GM_EFORMAT, "one tensor");
    CHECK_FAILS(gm_plan_read(&plan, "none.safetensors", &err), err, GM_EIO, "none.safetensors");
}

static void the_window_as_rows(void)
{
    const int apart[4] = {1, 3, 5, 7};
    const int window[][4] = {{1, 7, 0, 3}, {2, 6, 1, 2}, {5, 5, 2, 2}, {3, 4, 1, 1}, {7, 7, 3, 3}};
    gm_plan plan;
    gm_error err = {0};
    CHECK_OK(gm_plan_init(&plan, 4, 2, apart, &err), err);
    for (size_t i = 0; i < sizeof window / sizeof *window; i++) {
        int first = -1, last = -1;
        plan.first_layer = window[i][0];
        plan.last_layer = window[i][1];
        gm_plan_window(&plan, &first, &last);
        CHECK_INT(first, window[i][2]);
        CHECK_INT(last, window[i][3]);
    }
    gm_plan_clear(&plan);
}

/* Everything that a plan does is in its digest, where it came from is not. */
static void the_digest_of_what_it_does(void)
{
    gm_plan plan, other;
    gm_error err = {0};
    char digest[65], changed[65];
    make_plan(&plan);
    make_plan(&other);
    gm_free(other.source);
    other.source = gm_copy_text("{\"cluster\":[3]}", 15);
    memcpy(other.model_digest, "abc", 4);
    gm_plan_digest(&plan, digest);
    gm_plan_digest(&other, changed);
    CHECK_TEXT(changed, digest);
    for (int what = 0; what < 7; what++) {
        gm_plan_clear(&other);
        make_plan(&other);
        if (what == 0) other.bias[5] = 2.5f;
        if (what == 1) other.mode = GM_PLAN_SELECT;
        if (what == 2) other.mass_matched = true;
        if (what == 3) other.first_layer = 3;
        if (what == 4) other.last_layer = 1;
        if (what == 5) other.phases = 1;
        if (what == 6) other.schedule = (gm_schedule){GM_SCHEDULE_FIRST, 2};
        gm_plan_digest(&other, changed);
        CHECK(strcmp(changed, digest) != 0);
    }
    CHECK(gm_plan_steers(&plan));
    CHECK_OK(gm_plan_scale(&plan, 0, &err), err);
    CHECK(!gm_plan_steers(&plan));
    gm_plan_clear(&plan);
    gm_plan_clear(&other);
}

static gm_status round_trip_attempt(void *state, gm_error *err)
{
    gm_plan plan = {0}, back = {0};
    gm_status status = gm_plan_init(&plan, 2, 3, state, err);
    if (status == GM_OK) status = gm_plan_write("alloc.safetensors", &plan, true, err);
    if (status == GM_OK) status = gm_plan_read(&back, "alloc.safetensors", err);
    gm_plan_clear(&plan);
    gm_plan_clear(&back);
    return status;
}

static void survives_every_allocation_failure(void)
{
    int copy[2] = {1, 3};
    check_every_allocation(round_trip_attempt, copy);
}

TESTS(TEST(an_empty_plan_steers_nothing_everywhere), TEST(plans_round_trip),
      TEST(refuses_values_that_are_not_numbers), TEST(refuses_bad_metadata),
      TEST(refuses_a_window_between_the_layers), TEST(a_mask_has_no_ramp),
      TEST(refuses_other_tensors), TEST(the_window_as_rows), TEST(the_digest_of_what_it_does),
      TEST(survives_every_allocation_failure))
