/* recipe.c - see recipe.h. */
#include "steer/recipe.h"

#include "base/cli_config.h"
#include "base/progress.h"
#include "formats/layer_list.h"
#include "steer/recipe_vectors.h"
#include "steer/recipe_words.h"

#include <inttypes.h>
#include <string.h>

static const uint8_t phase_bits[] = {GM_PLAN_ALL_PHASES, 1u << 0 | 1u << 2,
                                     1u << 1}; /* by gm_recipe_phase */
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
    return (gm_shape){atlas->n_trace_layers,
                      atlas->n_experts,
                      atlas->n_chosen,
                      atlas->trace_layer,
                      atlas->model_digest ? atlas->model_digest : "",
                      atlas->config_digest ? atlas->config_digest : ""};
}

bool gm_recipe_is_bare(const gm_recipe *r)
{
    return r->clusters.n + r->subsets.n + r->experts.n == 0 && strcmp(r->filter, "lift") == 0 &&
           r->scale == 0 && r->mode == 0 && !r->mass_matched && r->layers == NULL &&
           r->phase == GM_RECIPE_BOTH && strcmp(r->schedule, "constant") == 0 && r->control == NULL;
}

/* ---- what comes from no atlas ---- */

/* Add the biases set by hand. */
static gm_status add_experts(float *bias, const gm_opt_list *list, const gm_shape *shape,
                             gm_error *err)
{
    gm_status status = GM_OK;
    gm_hand_set set;
    for (size_t i = 0; i < list->n; i++) {
        GM_TRY(gm_recipe_expert(list->at[i], &set, err));
        int row = gm_find_layer(shape->layer_of_moe, shape->n_layers, set.layer);
        if (row < 0)
            GM_FAIL(GM_EARG,
                    "--expert '%s': layer %" PRId64
                    " is not an MoE layer, expected one from %d to %d",
                    list->at[i], set.layer, shape->layer_of_moe[0],
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
        return gm_fail(err, GM_EARG,
                       "'%s' has %zu layers of %zu experts, but the model has %d of %d", r->import,
                       a->n_rows, a->n_cols, plan->n_layers, plan->n_experts);
    for (size_t i = 0; i < a->n_rows * a->n_cols; i++) plan->bias[i] += a->at[i];
    return GM_OK;
}

static gm_status set_window(gm_plan *plan, const char *text, gm_error *err)
{
    int lo = plan->layer_of_moe[0], hi = plan->layer_of_moe[plan->n_layers - 1];
    int64_t a, b;
    if (text == NULL) return GM_OK;
    gm_status status = gm_recipe_layers(text, &a, &b, err);
    if (status != GM_OK) return status;
    if (b < lo || a > hi)
        return gm_fail(err, GM_EARG, "--layers '%s': expected A-B within the MoE layers %d to %d",
                       text, lo, hi);
    if (b > hi) gm_warn("--layers '%s': the last MoE layer is %d", text, hi);
    plan->first_layer = (int)(a > lo ? a : lo);
    plan->last_layer = (int)(b < hi ? b : hi);
    for (int l = 0; l < plan->n_layers; l++) {
        int layer = plan->layer_of_moe[l];
        if (layer >= plan->first_layer && layer <= plan->last_layer) return GM_OK;
    }
    return gm_fail(err, GM_EARG, "--layers '%s': there is no MoE layer in this range", text);
}

/* An atlas of some layers only must have one in the window: the plan would do nothing. */
static gm_status check_window(const gm_plan *plan, const gm_recipe *r, const gm_atlas *atlas,
                              gm_error *err)
{
    gm_status status = GM_OK;
    gm_text layers = {0};
    if (atlas == NULL || r->clusters.n + r->subsets.n == 0) return GM_OK;
    for (int l = 0; l < atlas->n_layers; l++)
        if (atlas->layer_of_moe[l] >= plan->first_layer &&
            atlas->layer_of_moe[l] <= plan->last_layer)
            return GM_OK;
    GM_TRY(gm_layer_list_put(&layers, atlas->layer_of_moe, atlas->n_layers, err));
    GM_FAIL(GM_EARG, "--layers '%s': the atlas is of layers %s only", r->layers, layers.at);
out:
    gm_text_clear(&layers);
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
                           "the mask leaves %d experts in layer %d, but the router chooses %d",
                           left, layer, n_chosen);
    }
    return GM_OK;
}

static gm_status describe(gm_plan *plan, const gm_recipe *r, const gm_atlas *atlas,
                          const char *atlas_path, gm_error *err)
{
    gm_status status = GM_OK;
    gm_json_out json = {0};
    gm_json_open_object(&json, NULL);
    gm_json_put_string(&json, "atlas", atlas ? atlas_path : NULL);
    gm_json_put_string(&json, "atlas_digest", atlas ? atlas->digest : NULL);
    gm_opt_put_list(&json, "clusters", &r->clusters);
    gm_opt_put_list(&json, "subsets", &r->subsets);
    gm_opt_put_list(&json, "experts", &r->experts);
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

/* Whether anything of the list has a weight above 0; gm_recipe_split has taken all of it. */
static bool is_sought(const gm_opt_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        const char *equals = strrchr(list->at[i], '=');
        double factor = 1;
        if (equals == NULL || (gm_parse_f64(equals + 1, &factor) && factor > 0)) return true;
    }
    return false;
}

void gm_recipe_warn(const gm_recipe *r, const gm_plan *plan)
{
    size_t n_raised = 0, n_lowered = 0;
    for (int i = 0; i < plan->n_layers * plan->n_experts; i++) {
        const int layer = plan->layer_of_moe[i / plan->n_experts];
        if (layer < plan->first_layer || layer > plan->last_layer) continue;
        n_raised += plan->bias[i] > 0;
        n_lowered += plan->bias[i] < 0;
    }
    const bool has_vectors = r->clusters.n + r->subsets.n > 0;
    const bool asks = has_vectors || r->experts.n > 0 || r->import;
    if (!asks || r->weight == 0 || n_raised > 0) return;
    if (n_lowered == 0)
        gm_warn("the plan steers nothing: every bias in layers %d-%d is 0; %s", plan->first_layer,
                plan->last_layer,
                r->import ? "--import gave none there (gm-probe contrast gives one where p is at "
                            "most its --alpha)"
                : has_vectors ? "give other --layers or another --filter, such as top:N"
                              : "give other --layers or another bias");
    else if (r->weight > 0 && r->control == NULL &&
             (is_sought(&r->clusters) || is_sought(&r->subsets)))
        gm_warn(
            "the plan raises no expert in layers %d-%d, it only lowers those used less than in the "
            "corpus (filter '%s'); --filter top:N --scale logit raises the N most used of a layer",
            plan->first_layer, plan->last_layer, r->filter);
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
    GM_TRY(gm_recipe_schedule(recipe, &plan->schedule, err));
    snprintf(plan->model_digest, sizeof plan->model_digest, "%s", shape->model_digest);
    snprintf(plan->config_digest, sizeof plan->config_digest, "%s", shape->config_digest);
    GM_TRY(set_window(plan, recipe->layers, err));
    GM_TRY(check_window(plan, recipe, atlas, err));
    if (atlas) GM_TRY(gm_recipe_add_vectors(plan, recipe, atlas, err));
    GM_TRY(add_imported(plan, recipe, err));
    GM_TRY(gm_recipe_apply_control(plan, recipe, atlas, err));
    GM_TRY(add_experts(plan->bias, &recipe->experts, shape, err));
    GM_TRY(gm_plan_scale(plan, recipe->weight, err));
    GM_TRY(check_mask(plan, shape->n_chosen, err));
    GM_TRY(describe(plan, recipe, atlas, atlas_path, err));
out:
    if (status != GM_OK) gm_plan_clear(plan);
    return status;
}
