/* cmd_plan.c - gm-steer plan: from an atlas (or by hand) to a plan file, or the
 * description of one.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "steer/commands.h"
#include "steer/stage.h"

static const char details[] =
    "Without -o the plan is described only; a plan file as argument is described as it is.\n"
    "  gm-steer plan --atlas run.atlas.h5 --cluster 3 --weight 2 -o food.plan.safetensors\n"
    "  gm-steer plan --model DIR --expert 4:17=3 -o one-expert.plan.safetensors\n"
    "  gm-steer plan food.plan.safetensors\n";

typedef struct layer_summary {
    int layer, n_up, n_down;
    double norm, largest;
} layer_summary;

static layer_summary summarise(const gm_plan *plan, int l)
{
    const float *bias = plan->bias + (size_t)l * (size_t)plan->n_experts; /* (E) */
    layer_summary s = {.layer = plan->layer_of_moe[l]};
    double sum = 0;
    for (int e = 0; e < plan->n_experts; e++) {
        double b = (double)bias[e];
        s.n_up += b > 0;
        s.n_down += b < 0;
        sum += b * b;
        if (fabs(b) > s.largest) s.largest = fabs(b);
    }
    s.norm = sqrt(sum);
    return s;
}

static void print_text(const gm_plan *plan)
{
    printf("mode %s%s, layers %d-%d, phases%s%s%s\n", gm_plan_mode_name(plan->mode),
           plan->mass_matched ? " mass-matched" : "", plan->first_layer, plan->last_layer,
           plan->phases & 1u ? " prompt" : "", plan->phases & 2u ? " generated" : "",
           plan->phases & 4u ? " template" : "");
    printf("%5s %10s %8s %8s %8s\n", "layer", "raised", "lowered", "norm", "largest");
    for (int l = 0; l < plan->n_layers; l++) {
        layer_summary s = summarise(plan, l);
        printf("%5d %10d %8d %8.3f %8.3f\n", s.layer, s.n_up, s.n_down, s.norm, s.largest);
    }
    fputs("source ", stdout);
    gm_print_text(stdout, 0, plan->source);
    putchar('\n');
}

static gm_status print_json(const gm_plan *plan, const char *path, gm_error *err)
{
    gm_json_out json = {0};
    gm_json_open_object(&json, NULL);
    gm_json_put_string(&json, "plan", path);
    gm_json_put_string(&json, "mode", gm_plan_mode_name(plan->mode));
    gm_json_put_bool(&json, "mass_matched", plan->mass_matched);
    gm_json_put_i64(&json, "first_layer", plan->first_layer);
    gm_json_put_i64(&json, "last_layer", plan->last_layer);
    gm_json_put_i64(&json, "phases", plan->phases);
    gm_json_put_string(&json, "model_digest", plan->model_digest);
    gm_json_put_raw(&json, "source", plan->source);
    gm_json_open_array(&json, "layers");
    for (int l = 0; l < plan->n_layers; l++) {
        layer_summary s = summarise(plan, l);
        gm_json_open_object(&json, NULL);
        gm_json_put_i64(&json, "layer", s.layer);
        gm_json_put_i64(&json, "raised", s.n_up);
        gm_json_put_i64(&json, "lowered", s.n_down);
        gm_json_put_f64(&json, "norm", s.norm);
        gm_json_put_f64(&json, "largest", s.largest);
        gm_json_close_object(&json);
    }
    gm_json_close_array(&json);
    gm_json_close_object(&json);
    gm_status status = gm_json_out_done(&json, err);
    if (status == GM_OK) printf("%s\n", json.text.at);
    gm_text_clear(&json.text);
    return status;
}

/* The plan of the recipe for the sizes of the atlas, or of the model without one. */
static gm_status build(gm_plan *plan, const gm_recipe *recipe, const char *atlas_path,
                       const char *model_path, gm_error *err)
{
    gm_status status = GM_OK;
    gm_atlas *atlas = NULL;
    gm_model *model = NULL;
    const gm_model_options headers = {.headers_only = true};
    gm_shape shape;
    *plan = (gm_plan){0};

    if (atlas_path) {
        GM_TRY(gm_atlas_open(&atlas, atlas_path, err));
        shape = gm_shape_of_atlas(atlas);
    } else {
        GM_TRY(gm_model_open(&model, model_path, &headers, err));
        const gm_model_info *info = gm_model_get_info(model);
        shape = (gm_shape){info->n_moe_layers, info->n_experts, info->n_chosen, info->layer_of_moe,
                           info->digest};
    }
    GM_TRY(gm_recipe_build(plan, recipe, &shape, atlas, atlas_path, err));
out:
    gm_atlas_close(atlas);
    gm_model_close(model);
    return status;
}

/* What the command line alone shows to be wrong. */
static gm_status check_request(const gm_recipe *recipe, const char *file, const char *atlas,
                               const char *model, gm_error *err)
{
    bool by_hand = recipe->clusters.n + recipe->subsets.n == 0;
    if (file && (atlas || model || recipe->weight != 1 || !gm_recipe_is_bare(recipe)))
        return gm_fail(err, GM_EARG, "the plan file '%s' is described as it is, without options",
                       file);
    if (file) return GM_OK;
    if (atlas == NULL && model == NULL)
        return gm_fail(err, GM_EARG, "expected --atlas FILE, --model DIR or a plan file");
    if (atlas && model)
        return gm_fail(err, GM_EARG,
                       "--atlas and --model exclude each other: an atlas says its "
                       "model's sizes");
    if (by_hand && recipe->experts.n == 0)
        return gm_fail(err, GM_EARG, "expected --cluster, --subset or --expert");
    if (atlas == NULL && !by_hand)
        return gm_fail(err, GM_EARG, "--cluster and --subset need --atlas FILE");
    return gm_recipe_check(recipe, err);
}

int gm_steer_plan(int argc, char **argv)
{
    gm_status status = GM_OK;
    gm_error err = {0};
    gm_recipe recipe = gm_recipe_defaults();
    gm_plan plan = {0};
    const char *atlas = NULL, *model = NULL, *output = NULL;
    bool json = false, force = false, usage = true;
    const gm_opt opts[] = {
        {GM_OPT_TEXT, "atlas", &atlas, 0, 0, "FILE", "atlas to take clusters and subsets from"},
        {GM_OPT_TEXT, "model", &model, 0, 0, "DIR", "instead, the model that --expert is for"},
        GM_RECIPE_OPTIONS(&recipe),
        {GM_OPT_GROUP, NULL, NULL, 0, 0, NULL, "Output"},
        {GM_OPT_TEXT, "o", &output, 0, 0, "FILE", "plan to write"},
        {GM_OPT_FLAG, "force", &force, 0, 0, NULL, "replace an existing file"},
        {GM_OPT_FLAG, "json", &json, 0, 0, NULL, "one JSON object on standard output"},
        {.kind = GM_OPT_END_},
    };

    GM_TRY(gm_opt_parse("gm-steer plan --atlas FILE --cluster ID... [-o FILE]", details, opts,
                        &argc, argv, &err));
    if (argc > 2)
        GM_TRY(gm_fail(&err, GM_EARG, "one plan file at most, '%s' is one too many", argv[2]));
    GM_TRY(check_request(&recipe, argc == 2 ? argv[1] : NULL, atlas, model, &err));
    usage = false;
    if (argc == 2)
        GM_TRY(gm_plan_read(&plan, argv[1], &err));
    else
        GM_TRY(build(&plan, &recipe, atlas, model, &err));
    if (output) GM_TRY(gm_plan_write(output, &plan, force, &err));
    if (json)
        GM_TRY(print_json(&plan, argc == 2 ? argv[1] : output, &err));
    else
        print_text(&plan);
out:
    gm_plan_clear(&plan);
    gm_recipe_clear(&recipe);
    return gm_cli_end("gm-steer", "plan", status, usage, &err);
}
