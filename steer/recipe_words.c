/* recipe_words.c - see recipe_words.h. */
#include "steer/recipe_words.h"

#include <float.h>
#include <math.h>
#include <string.h>

gm_status gm_recipe_split(const char *text, const char *option, gm_text *name, double *factor,
                          gm_error *err)
{
    const char *equals = strrchr(text, '=');
    *factor = 1;
    name->n = 0;
    if (equals && (!gm_parse_f64(equals + 1, factor) || !(fabs(*factor) <= GM_WEIGHT_MAX)))
        return gm_fail(err, GM_EARG, "--%s '%s': the weight is not a number from %.0f to %.0f",
                       option, text, -GM_WEIGHT_MAX, GM_WEIGHT_MAX);
    return gm_text_append(name, text, equals ? (size_t)(equals - text) : strlen(text), err);
}

gm_status gm_recipe_expert(const char *text, gm_hand_set *out, gm_error *err)
{
    const char *colon = strchr(text, ':'), *equals = colon ? strchr(colon, '=') : NULL;
    if (strchr(text, ','))
        return gm_fail(err, GM_EARG, "--expert '%s': expected one LAYER:ID=BIAS; repeat --expert",
                       text);
    if (equals == NULL) return gm_fail(err, GM_EARG, "--expert '%s': expected LAYER:ID=BIAS", text);
    if (!gm_parse_i64_n(text, (size_t)(colon - text), &out->layer) ||
        !gm_parse_i64_n(colon + 1, (size_t)(equals - colon - 1), &out->expert))
        return gm_fail(err, GM_EARG, "--expert '%s': expected LAYER:ID=BIAS with two integers",
                       text);
    if (!gm_parse_f64(equals + 1, &out->bias) ||
        !(out->bias == -INFINITY || fabs(out->bias) <= (double)FLT_MAX))
        return gm_fail(err, GM_EARG,
                       "--expert '%s': the bias is neither a number that fits a float nor -inf",
                       text);
    return GM_OK;
}

gm_status gm_recipe_layers(const char *text, int64_t *a, int64_t *b, gm_error *err)
{
    static const char expected[] = "expected one layer or A-B, such as 4 or 3-8";
    const char *dash = strchr(text, '-'), *second = dash ? dash + 1 : text;
    const size_t n = dash ? (size_t)(dash - text) : strlen(text);
    if (dash == text || (dash && *second == '\0'))
        return gm_fail(err, GM_EARG, "--layers '%s': there is no number %s the '-'; %s", text,
                       dash == text ? "before" : "after", expected);
    if (!gm_parse_i64_n(text, n, a) || *a < 0)
        return gm_fail(err, GM_EARG, "--layers '%s': '%.*s' is not the number of a layer; %s", text,
                       (int)n, text, expected);
    if (!gm_parse_i64(second, b) || *b < 0)
        return gm_fail(err, GM_EARG, "--layers '%s': '%s' is not the number of a layer; %s", text,
                       second, expected);
    if (*a > *b)
        return gm_fail(err, GM_EARG, "--layers '%s': the first layer is after the last; %s", text,
                       expected);
    return GM_OK;
}

static const struct {
    const char *name;
    gm_control control;
} controls[] = {{"random", GM_CONTROL_RANDOM},  {"shuffled", GM_CONTROL_SHUFFLED},
                {"mean", GM_CONTROL_MEAN},      {"committee", GM_CONTROL_COMMITTEE},
                {"half:even", GM_CONTROL_HALF}, {"half:odd", GM_CONTROL_HALF},
                {"reverse", GM_CONTROL_REVERSE}};

gm_status gm_recipe_control(const char *text, gm_control *out, const char **detail, gm_error *err)
{
    int64_t id;
    *detail = NULL;
    *out = GM_CONTROL_NONE;
    if (text == NULL) return GM_OK;
    for (size_t i = 0; i < sizeof controls / sizeof *controls; i++)
        if (strcmp(text, controls[i].name) == 0) *out = controls[i].control;
    if (strncmp(text, "other:", 6) == 0 && gm_parse_i64(text + 6, &id) && id >= 0)
        *out = GM_CONTROL_OTHER;
    if (*out == GM_CONTROL_OTHER || *out == GM_CONTROL_HALF) *detail = strchr(text, ':') + 1;
    if (*out != GM_CONTROL_NONE) return GM_OK;
    return gm_fail(err, GM_EARG, "--control is '%s', expected %s", text, GM_CONTROLS);
}

gm_status gm_recipe_schedule(const gm_recipe *r, gm_schedule *out, gm_error *err)
{
    if (!gm_schedule_parse(out, r->schedule))
        return gm_fail(err, GM_EARG, "--schedule is '%s', expected %s with N from 1 to %d",
                       r->schedule, GM_SCHEDULES, GM_SCHEDULE_MAX);
    if (r->mode == GM_PLAN_MASK && gm_schedule_is_ramp(*out))
        return gm_fail(err, GM_EARG, "--schedule '%s': a mask cannot change gradually; use first:N",
                       r->schedule);
    if (r->phase == GM_RECIPE_PROMPT && out->kind != GM_SCHEDULE_CONSTANT)
        return gm_fail(
            err, GM_EARG,
            "--schedule '%s' is for generated tokens, but --phase prompt steers none of them",
            r->schedule);
    return GM_OK;
}

gm_status gm_recipe_check(const gm_recipe *r, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text name = {0};
    gm_filter filter;
    gm_control control;
    gm_schedule schedule;
    gm_hand_set set;
    const char *detail;
    double factor;
    int64_t a, b;
    if (!(fabs(r->weight) <= GM_WEIGHT_MAX))
        GM_FAIL(GM_EARG, "the weight is %g, expected a number from %.0f to %.0f", r->weight,
                -GM_WEIGHT_MAX, GM_WEIGHT_MAX);
    GM_TRY(gm_filter_parse(&filter, r->filter, err));
    GM_TRY(gm_recipe_control(r->control, &control, &detail, err));
    GM_TRY(gm_recipe_schedule(r, &schedule, err));
    if (r->layers) GM_TRY(gm_recipe_layers(r->layers, &a, &b, err));
    for (size_t i = 0; i < r->clusters.n; i++) {
        GM_TRY(gm_recipe_split(r->clusters.at[i], "cluster", &name, &factor, err));
        if (!gm_parse_i64(name.at, &a))
            GM_FAIL(GM_EARG,
                    "--cluster '%s': expected the number of a cluster; 'gm-cluster find ATLAS "
                    "WORD...' finds it",
                    r->clusters.at[i]);
    }
    for (size_t i = 0; i < r->subsets.n; i++)
        GM_TRY(gm_recipe_split(r->subsets.at[i], "subset", &name, &factor, err));
    for (size_t i = 0; i < r->experts.n; i++) GM_TRY(gm_recipe_expert(r->experts.at[i], &set, err));
out:
    gm_text_clear(&name);
    return status;
}
