/* recipe.c - see recipe.h. */
#include "steer/recipe.h"

#include <math.h>
#include <string.h>

#include "base/cli_nearest.h"
#include "base/json.h"
#include "base/progress.h"

static const uint8_t phase_bits[] = {GM_PLAN_ALL_PHASES, 1u << 0 | 1u << 2, 1u << 1};
static const char *const phase_words[] = {"both", "prompt", "generated"};
static const char *const scale_words[] = {"logratio", "logit", "article"};

gm_recipe gm_recipe_defaults(void)
{
    return (gm_recipe){.filter = "lift", .schedule = "constant", .weight = 1};
}

void gm_recipe_clear(gm_recipe *recipe)
{
    gm_opt_list_clear(&recipe->clusters);
    gm_opt_list_clear(&recipe->subsets);
    gm_opt_list_clear(&recipe->experts);
}

gm_shape gm_shape_of_atlas(const gm_atlas *atlas)
{
    return (gm_shape){atlas->n_layers,
                      atlas->n_experts,
                      atlas->n_chosen,
                      atlas->layer_of_moe,
                      atlas->model_digest ? atlas->model_digest : "",
                      atlas->config_digest ? atlas->config_digest : ""};
}

/* ---- reading what the options say ---- */

/* Split "NAME=W" at the last '='; a factor that is missing is 1. */
static gm_status split_factor(const char *text, const char *option, gm_text *name, double *factor,
                              gm_error *err)
{
    const char *equals = strrchr(text, '=');
    *factor = 1;
    name->n = 0;
    if (equals && (!gm_parse_f64(equals + 1, factor) || !isfinite(*factor)))
        return gm_fail(err, GM_EARG, "--%s '%s': the weight is not a finite number", option, text);
    return gm_text_append(name, text, equals ? (size_t)(equals - text) : strlen(text), err);
}

typedef struct hand_set {
    int64_t layer, expert;
    double bias;
} hand_set;

/* "LAYER:ID=BIAS". */
static gm_status read_expert(const char *text, hand_set *out, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text part = {0};
    const char *colon = strchr(text, ':'), *equals = colon ? strchr(colon, '=') : NULL;
    if (equals == NULL) GM_FAIL(GM_EARG, "--expert '%s': expected LAYER:ID=BIAS", text);
    GM_TRY(gm_text_append(&part, text, (size_t)(colon - text), err));
    bool ok = gm_parse_i64(part.at, &out->layer);
    part.n = 0;
    GM_TRY(gm_text_append(&part, colon + 1, (size_t)(equals - colon - 1), err));
    if (!gm_parse_i64(part.at, &out->expert) || !ok)
        GM_FAIL(GM_EARG, "--expert '%s': expected LAYER:ID=BIAS with two integers", text);
    if (!gm_parse_f64(equals + 1, &out->bias) || !(out->bias < INFINITY))
        GM_FAIL(GM_EARG, "--expert '%s': the bias is neither a number nor -inf", text);
out:
    gm_text_clear(&part);
    return status;
}

/* "A-B" or "A", A <= B. */
static gm_status read_layers(const char *text, int64_t *a, int64_t *b, gm_error *err)
{
    char first[32];
    const char *dash = strchr(text, '-');
    size_t n = dash ? (size_t)(dash - text) : strlen(text);
    snprintf(first, sizeof first, "%.*s", (int)(n < 31 ? n : 31), text);
    bool ok = gm_parse_i64(first, a) && gm_parse_i64(dash ? dash + 1 : first, b);
    if (ok && *a >= 0 && *a <= *b) return GM_OK;
    return gm_fail(err, GM_EARG, "--layers '%s': expected A-B with A <= B", text);
}

static const struct {
    const char *name;
    gm_control control;
} controls[] = {{"random", GM_CONTROL_RANDOM},  {"shuffled", GM_CONTROL_SHUFFLED},
                {"mean", GM_CONTROL_MEAN},      {"committee", GM_CONTROL_COMMITTEE},
                {"half:even", GM_CONTROL_HALF}, {"half:odd", GM_CONTROL_HALF},
                {"reverse", GM_CONTROL_REVERSE}};

/* The kind of control; *detail is the text behind "other:" or "half:". */
static gm_status read_control(const char *text, gm_control *out, const char **detail, gm_error *err)
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
    return gm_fail(err, GM_EARG, "--control '%s' is not known, expected %s", text, GM_CONTROLS);
}

static gm_status read_schedule(const gm_recipe *r, gm_schedule *out, gm_error *err)
{
    if (!gm_schedule_parse(out, r->schedule))
        return gm_fail(err, GM_EARG,
                       "--schedule '%s' is not known, expected %s with N from 1 to %d", r->schedule,
                       GM_SCHEDULES, GM_SCHEDULE_MAX);
    if (r->mode == GM_PLAN_MASK && gm_schedule_is_ramp(*out))
        return gm_fail(err, GM_EARG, "--schedule '%s': a mask is there or not; try first:N",
                       r->schedule);
    if (phase_bits[r->phase] == phase_bits[1] && out->kind != GM_SCHEDULE_CONSTANT)
        return gm_fail(err, GM_EARG,
                       "--schedule '%s' is over generated tokens, --phase prompt steers none",
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
    hand_set set;
    const char *detail;
    double factor;
    int64_t a, b;
    GM_TRY(gm_filter_parse(&filter, r->filter, err));
    GM_TRY(read_control(r->control, &control, &detail, err));
    GM_TRY(read_schedule(r, &schedule, err));
    if (r->layers) GM_TRY(read_layers(r->layers, &a, &b, err));
    for (size_t i = 0; i < r->clusters.n; i++) {
        GM_TRY(split_factor(r->clusters.at[i], "cluster", &name, &factor, err));
        if (!gm_parse_i64(name.at, &a))
            GM_FAIL(GM_EARG,
                    "--cluster '%s': expected a cluster's number; 'gm-cluster find ATLAS WORD...' "
                    "tells it",
                    r->clusters.at[i]);
    }
    for (size_t i = 0; i < r->subsets.n; i++)
        GM_TRY(split_factor(r->subsets.at[i], "subset", &name, &factor, err));
    for (size_t i = 0; i < r->experts.n; i++) GM_TRY(read_expert(r->experts.at[i], &set, err));
out:
    gm_text_clear(&name);
    return status;
}

bool gm_recipe_is_bare(const gm_recipe *r)
{
    return r->clusters.n + r->subsets.n + r->experts.n == 0 && strcmp(r->filter, "lift") == 0 &&
           r->scale == 0 && r->mode == 0 && !r->mass_matched && r->layers == NULL &&
           r->phase == 0 && strcmp(r->schedule, "constant") == 0 && r->control == NULL;
}

/* ---- what the atlas holds ---- */

static gm_status cluster_rates(const gm_atlas *a, const char *name, gm_rates *out, gm_error *err)
{
    size_t n = (size_t)a->n_layers * (size_t)a->n_experts;
    int64_t id;
    if (a->n_clusters == 0)
        return gm_fail(err, GM_EARG, "cluster '%s' does not exist, the atlas has none", name);
    if (!gm_parse_i64(name, &id) || id < 0 || (uint64_t)id >= a->n_clusters)
        return gm_fail(err, GM_EARG, "cluster '%s' does not exist, the atlas has clusters 0 to %zu",
                       name, a->n_clusters - 1);
    size_t c = (size_t)id;
    *out = (gm_rates){.n_layers = a->n_layers,
                      .n_experts = a->n_experts,
                      .rate = a->usage + c * n,
                      .half = {a->usage_half + 2 * c * n, a->usage_half + (2 * c + 1) * n},
                      .corpus = a->corpus_usage};
    return GM_OK;
}

static gm_status subset_rates(const gm_atlas *a, const char *name, gm_rates *out, gm_error *err)
{
    size_t n = (size_t)a->n_layers * (size_t)a->n_experts;
    for (size_t s = 0; s < a->n_subsets; s++) {
        if (strcmp(a->subset_name[s], name) != 0) continue;
        *out = (gm_rates){
            .n_layers = a->n_layers,
            .n_experts = a->n_experts,
            .rate = a->subset_usage + s * n,
            .half = {a->subset_usage_half + 2 * s * n, a->subset_usage_half + (2 * s + 1) * n},
            .corpus = a->corpus_usage};
        return GM_OK;
    }
    gm_nearest nearest = gm_nearest_to(name);
    for (size_t i = 0; i < a->n_subsets; i++) gm_nearest_offer(&nearest, a->subset_name[i]);
    if (nearest.name)
        return gm_fail(err, GM_EARG, "subset '%s' does not exist in the atlas; did you mean '%s'?",
                       name, nearest.name);
    char names[120] = "";
    size_t shown = 0, used = 0;
    for (; shown < a->n_subsets; shown++) {
        const size_t length = strlen(a->subset_name[shown]) + 4;
        if (used + length >= sizeof names) break;
        used += (size_t)snprintf(names + used, sizeof names - used, "%s'%s'", shown ? ", " : "",
                                 a->subset_name[shown]);
    }
    return gm_fail(err, GM_EARG, "subset '%s' does not exist in the atlas, which has %zu: %s%s",
                   name, a->n_subsets, names, shown < a->n_subsets ? ", ..." : "");
}

typedef gm_status find_rates(const gm_atlas *atlas, const char *name, gm_rates *out, gm_error *err);

enum { EVEN = 0, ODD = 1, BOTH = 2 };

/* The rates of at least one document? */
static bool any_above_0(const float *rate, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (rate[i] > 0) return true;
    return false;
}

/* Add the vectors that the entries of `list` ask for, each times its factor, to sum; of the
 * documents of one half where `half` is not BOTH. */
static gm_status add_vectors(float *sum, const gm_recipe *recipe, const gm_opt_list *list,
                             const char *option, find_rates *find, int half, const gm_atlas *atlas,
                             gm_error *err)
{
    gm_status status = GM_OK;
    gm_text name = {0};
    gm_filter filter;
    gm_rates rates;
    double factor;
    size_t n = (size_t)atlas->n_layers * (size_t)atlas->n_experts;
    float *vector = gm_alloc(n, sizeof *vector);
    if (vector == NULL) GM_FAIL(GM_EMEM, "no memory for a steering vector");

    GM_TRY(gm_filter_parse(&filter, recipe->filter, err));
    for (size_t i = 0; i < list->n; i++) {
        GM_TRY(split_factor(list->at[i], option, &name, &factor, err));
        GM_TRY(find(atlas, name.at, &rates, err));
        if (half != BOTH) rates.rate = rates.half[!half] = rates.half[half];
        if (!any_above_0(rates.rate, n))
            GM_FAIL(GM_EARG, "%s%s %s has no documents", half == BOTH ? "" : "half of ", option,
                    name.at);
        GM_TRY(gm_vector_make(vector, &rates, &filter, (gm_scale)recipe->scale, err));
        bool empty = true;
        for (size_t j = 0; j < n; j++) {
            empty = empty && vector[j] == 0;
            sum[j] += (float)(factor * (double)vector[j]);
        }
        if (empty)
            GM_FAIL(GM_EARG, "filter '%s' leaves no expert of %s %s; try top:N or none",
                    recipe->filter, option, name.at);
    }
out:
    gm_text_clear(&name);
    gm_free(vector);
    return status;
}

static int find_layer(const gm_shape *shape, int64_t layer)
{
    for (int l = 0; l < shape->n_layers; l++) {
        if (shape->layer_of_moe[l] == layer) return l;
    }
    return -1;
}

/* Add the biases set by hand. */
static gm_status add_experts(float *bias, const gm_opt_list *list, const gm_shape *shape,
                             gm_error *err)
{
    gm_status status = GM_OK;
    hand_set set;
    for (size_t i = 0; i < list->n; i++) {
        GM_TRY(read_expert(list->at[i], &set, err));
        int row = find_layer(shape, set.layer);
        if (row < 0)
            GM_FAIL(GM_EARG, "--expert '%s': layer %lld is not a MoE layer, they are %d to %d",
                    list->at[i], (long long)set.layer, shape->layer_of_moe[0],
                    shape->layer_of_moe[shape->n_layers - 1]);
        if (set.expert < 0 || set.expert >= shape->n_experts)
            GM_FAIL(GM_EARG, "--expert '%s': expected an expert from 0 to %d", list->at[i],
                    shape->n_experts - 1);
        bias[row * shape->n_experts + (int)set.expert] += (float)set.bias;
    }
out:
    return status;
}

/* Add the biases that another tool made. */
static gm_status add_imported(gm_plan *plan, const gm_recipe *r, gm_error *err)
{
    const gm_array *a = r->imported;
    if (a == NULL) return GM_OK;
    if (a->n_rows != (size_t)plan->n_layers || a->n_cols != (size_t)plan->n_experts)
        return gm_fail(err, GM_EARG, "'%s' has %zu layers of %zu experts, the model has %d of %d",
                       r->import, a->n_rows, a->n_cols, plan->n_layers, plan->n_experts);
    for (size_t i = 0; i < a->n_rows * a->n_cols; i++) plan->bias[i] += a->at[i];
    return GM_OK;
}

static gm_status set_window(gm_plan *plan, const char *text, gm_error *err)
{
    int lo = plan->layer_of_moe[0], hi = plan->layer_of_moe[plan->n_layers - 1];
    int64_t a, b;
    if (text == NULL) return GM_OK;
    gm_status status = read_layers(text, &a, &b, err);
    if (status != GM_OK) return status;
    if (b < lo || a > hi)
        return gm_fail(err, GM_EARG, "--layers '%s': expected A-B among the MoE layers %d to %d",
                       text, lo, hi);
    if (b > hi) gm_warn("--layers '%s': the last MoE layer is %d", text, hi);
    plan->first_layer = (int)(a > lo ? a : lo);
    plan->last_layer = (int)(b < hi ? b : hi);
    for (int l = 0; l < plan->n_layers; l++) {
        int layer = plan->layer_of_moe[l];
        if (layer >= plan->first_layer && layer <= plan->last_layer) return GM_OK;
    }
    return gm_fail(err, GM_EARG, "--layers '%s': no MoE layer lies there", text);
}

/* ---- controls ---- */

/* The corpus's own rates against uniform ones. `uniform` is room for (L,E). */
static gm_rates mean_rates(const gm_atlas *a, float *uniform)
{
    size_t n = (size_t)a->n_layers * (size_t)a->n_experts;
    for (size_t i = 0; i < n; i++) uniform[i] = (float)(1.0 / (double)n);
    return (gm_rates){.n_layers = a->n_layers,
                      .n_experts = a->n_experts,
                      .rate = a->corpus_usage,
                      .half = {a->corpus_usage_half, a->corpus_usage_half + n},
                      .corpus = uniform};
}

/* A control that is a vector of its own: another cluster's, the corpus mean's, the
 * committee's, or that of half the documents. Written; detail: see read_control. */
static gm_status make_other_vector(float *vector, const gm_recipe *recipe, const gm_atlas *atlas,
                                   gm_control control, const char *detail, gm_error *err)
{
    gm_status status = GM_OK;
    gm_filter filter;
    gm_rates rates;
    float *uniform = gm_alloc2((size_t)atlas->n_layers, (size_t)atlas->n_experts, sizeof *uniform);
    if (uniform == NULL) GM_FAIL(GM_EMEM, "no memory for a control");
    if (control == GM_CONTROL_HALF) {
        int half = strcmp(detail, "odd") == 0 ? ODD : EVEN;
        GM_TRY(add_vectors(vector, recipe, &recipe->clusters, "cluster", cluster_rates, half, atlas,
                           err));
        GM_TRY(add_vectors(vector, recipe, &recipe->subsets, "subset", subset_rates, half, atlas,
                           err));
        goto out;
    }
    if (control == GM_CONTROL_COMMITTEE) {
        GM_TRY(gm_vector_committee(vector, atlas->corpus_usage, atlas->n_layers, atlas->n_experts,
                                   err));
        goto out;
    }
    GM_TRY(gm_filter_parse(&filter, recipe->filter, err));
    if (control == GM_CONTROL_OTHER)
        GM_TRY(cluster_rates(atlas, detail, &rates, err));
    else
        rates = mean_rates(atlas, uniform);
    GM_TRY(gm_vector_make(vector, &rates, &filter, (gm_scale)recipe->scale, err));
out:
    gm_free(uniform);
    return status;
}

static gm_status apply_control(gm_plan *plan, const gm_recipe *recipe, const gm_atlas *atlas,
                               gm_error *err)
{
    gm_control control;
    const char *detail;
    size_t n = (size_t)plan->n_layers * (size_t)plan->n_experts;
    gm_status status = read_control(recipe->control, &control, &detail, err);
    if (status != GM_OK || control == GM_CONTROL_NONE) return status;
    if (control == GM_CONTROL_RANDOM || control == GM_CONTROL_SHUFFLED ||
        control == GM_CONTROL_REVERSE)
        return gm_vector_control(plan->bias, plan->n_layers, plan->n_experts, control,
                                 (uint64_t)recipe->seed, err);
    if (atlas == NULL) return gm_fail(err, GM_EARG, "--control %s needs an atlas", recipe->control);

    float *vector = gm_alloc(n, sizeof *vector);
    if (vector == NULL) return gm_fail(err, GM_EMEM, "no memory for a control");
    GM_TRY(make_other_vector(vector, recipe, atlas, control, detail, err));
    gm_vector_match_norm(vector, plan->bias, plan->n_layers, plan->n_experts);
    memcpy(plan->bias, vector, n * sizeof *vector);
out:
    gm_free(vector);
    return status;
}

/* ---- the plan ---- */

/* A mask bans what is negative: at least K experts must be left. */
static gm_status check_mask(const gm_plan *plan, int n_chosen, gm_error *err)
{
    for (int l = 0; l < plan->n_layers && plan->mode == GM_PLAN_MASK; l++) {
        int layer = plan->layer_of_moe[l], left = 0;
        if (layer < plan->first_layer || layer > plan->last_layer) continue;
        for (int e = 0; e < plan->n_experts; e++) left += plan->bias[l * plan->n_experts + e] >= 0;
        if (left < n_chosen)
            return gm_fail(err, GM_EARG,
                           "the mask leaves %d experts in layer %d, and %d must be chosen", left,
                           layer, n_chosen);
    }
    return GM_OK;
}

static void put_list(gm_json_out *json, const char *key, const gm_opt_list *list)
{
    gm_json_open_array(json, key);
    for (size_t i = 0; i < list->n; i++) gm_json_put_string(json, NULL, list->at[i]);
    gm_json_close_array(json);
}

static gm_status describe(gm_plan *plan, const gm_recipe *r, const gm_atlas *atlas,
                          const char *atlas_path, gm_error *err)
{
    gm_status status = GM_OK;
    gm_json_out json = {0};
    gm_json_open_object(&json, NULL);
    gm_json_put_string(&json, "atlas", atlas ? atlas_path : NULL);
    gm_json_put_string(&json, "atlas_digest", atlas ? atlas->digest : NULL);
    put_list(&json, "clusters", &r->clusters);
    put_list(&json, "subsets", &r->subsets);
    put_list(&json, "experts", &r->experts);
    gm_json_put_f64(&json, "weight", r->weight);
    gm_json_put_string(&json, "filter", r->filter);
    gm_json_put_string(&json, "scale", scale_words[r->scale]);
    gm_json_put_string(&json, "mode", gm_plan_mode_name(plan->mode));
    gm_json_put_bool(&json, "mass_matched", r->mass_matched);
    gm_json_put_i64(&json, "first_layer", plan->first_layer);
    gm_json_put_i64(&json, "last_layer", plan->last_layer);
    gm_json_put_string(&json, "phase", phase_words[r->phase]);
    gm_json_put_string(&json, "schedule", r->schedule);
    gm_json_put_string(&json, "control", r->control);
    gm_json_put_i64(&json, "control_seed", r->seed);
    if (r->imported) {
        gm_json_put_string(&json, "imported_from", r->import);
        gm_json_put_string(&json, "imported_sha256", r->imported->sha256);
    }
    gm_json_close_object(&json);
    GM_TRY(gm_json_out_done(&json, err));
    char *copy = gm_copy_text(json.text.at, json.text.n);
    if (copy == NULL) GM_FAIL(GM_EMEM, "no memory for a plan");
    gm_free(plan->source);
    plan->source = copy;
out:
    gm_text_clear(&json.text);
    return status;
}

gm_status gm_recipe_build(gm_plan *plan, const gm_recipe *recipe, const gm_shape *shape,
                          const gm_atlas *atlas, const char *atlas_path, gm_error *err)
{
    gm_status status = GM_OK;
    *plan = (gm_plan){0};
    if (atlas == NULL && recipe->clusters.n + recipe->subsets.n > 0)
        return gm_fail(err, GM_EARG, "--cluster and --subset need --atlas");

    GM_TRY(gm_plan_init(plan, shape->n_layers, shape->n_experts, shape->layer_of_moe, err));
    plan->mode = (gm_plan_mode)recipe->mode;
    plan->mass_matched = recipe->mass_matched;
    plan->phases = phase_bits[recipe->phase];
    GM_TRY(read_schedule(recipe, &plan->schedule, err));
    snprintf(plan->model_digest, sizeof plan->model_digest, "%s", shape->model_digest);
    snprintf(plan->config_digest, sizeof plan->config_digest, "%s", shape->config_digest);
    GM_TRY(set_window(plan, recipe->layers, err));
    if (atlas) {
        GM_TRY(add_vectors(plan->bias, recipe, &recipe->clusters, "cluster", cluster_rates, BOTH,
                           atlas, err));
        GM_TRY(add_vectors(plan->bias, recipe, &recipe->subsets, "subset", subset_rates, BOTH,
                           atlas, err));
    }
    GM_TRY(add_imported(plan, recipe, err));
    GM_TRY(apply_control(plan, recipe, atlas, err));
    GM_TRY(add_experts(plan->bias, &recipe->experts, shape, err));
    GM_TRY(gm_plan_scale(plan, recipe->weight, err));
    GM_TRY(check_mask(plan, shape->n_chosen, err));
    GM_TRY(describe(plan, recipe, atlas, atlas_path, err));
out:
    if (status != GM_OK) gm_plan_clear(plan);
    return status;
}
