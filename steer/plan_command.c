/* plan_command.c - gm-steer plan: from an atlas (or by hand, or another tool's array) to a
 * plan file or an array, or the description of one.
 */
#include "base/cli.h"
#include "base/json.h"
#include "base/progress.h"
#include "formats/expert_list.h"
#include "steer/setup.h"
#include "steer/steer_commands.h"
#include "text/terminal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char details[] =
    "Without -o the plan is only described. Given a plan file, the command describes that.\n"
    "  gm-steer plan --atlas run.atlas.h5 --cluster 3 --weight 2 -o food.plan.safetensors\n"
    "  gm-steer plan --atlas run.atlas.h5 --subset code --subset math=-1\n"
    "  gm-steer plan --model DIR --expert 4:17=3 -o one-expert.plan.safetensors\n"
    "  gm-steer plan food.plan.safetensors\n"
    "  gm-steer plan --import theirs.npy --model DIR --mode select -o theirs.plan.safetensors\n"
    "  gm-steer plan food.plan.safetensors --export food.npy\n"
    "  gm-steer plan --import experts.csv --model DIR -o mine.plan.safetensors\n"
    "Arrays are f32 [layers, experts]: NumPy's .npy, or ds4's .f32 (43 x 256). Without\n"
    "--model or --atlas their rows are layers 0, 1, ... A .csv has a row for each expert, as\n"
    "pandas writes it, with the columns layer (of the model), expert and bias (in logits;\n"
    "-inf takes the expert out); other columns are ignored. These files hold biases alone, so\n"
    "give the mode and the windows (--layers, --phase, --schedule) as options.\n";

typedef struct request {
    gm_recipe recipe;
    const char *file; /* a plan to describe; NULL: one to make */
    const char *atlas, *model, *import;
    const char *output, *export;
    bool json, force;
} request;

typedef struct layer_summary {
    int layer, n_up, n_down;
    double norm, largest;
} layer_summary;

/* ---- describing one ---- */

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
    char schedule[24];
    printf("mode %s%s, layers %d-%d, phases%s%s%s", gm_plan_mode_name(plan->mode),
           plan->mass_matched ? " mass-matched" : "", plan->first_layer, plan->last_layer,
           plan->phases & 1u ? " prompt" : "", plan->phases & 2u ? " generated" : "",
           plan->phases & 4u ? " template" : "");
    if (plan->schedule.kind != GM_SCHEDULE_CONSTANT)
        printf(", schedule %s", gm_schedule_show(schedule, plan->schedule));
    printf("\n%5s %10s %8s %8s %8s\n", "layer", "raised", "lowered", "norm", "largest");
    for (int l = 0; l < plan->n_layers; l++) {
        layer_summary s = summarise(plan, l);
        const bool acts = s.layer >= plan->first_layer && s.layer <= plan->last_layer;
        printf("%5d %10d %8d %8.3f %8.3f%s\n", s.layer, s.n_up, s.n_down, s.norm, s.largest,
               acts ? "" : "  outside the window");
    }
    fputs("source ", stdout);
    gm_print_text(stdout, 0, plan->source);
    putchar('\n');
}

static gm_status print_json(const gm_plan *plan, const char *path, gm_error *err)
{
    gm_json_out json = {0};
    char schedule[24];
    gm_json_open_object(&json, NULL);
    gm_json_put_string(&json, "plan", path);
    gm_json_put_string(&json, "mode", gm_plan_mode_name(plan->mode));
    gm_json_put_bool(&json, "mass_matched", plan->mass_matched);
    gm_json_put_i64(&json, "first_layer", plan->first_layer);
    gm_json_put_i64(&json, "last_layer", plan->last_layer);
    gm_json_put_i64(&json, "phases", plan->phases);
    gm_json_put_string(&json, "schedule", gm_schedule_show(schedule, plan->schedule));
    gm_json_put_string(&json, "model_digest", plan->model_digest);
    gm_json_put_string(&json, "config_digest", plan->config_digest);
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
    return gm_cli_print_json(&json, err);
}

/* ---- making one ---- */

/* The recipe for the sizes of the imported array alone. */
static gm_status build_for_array(gm_plan *plan, const gm_recipe *recipe, gm_error *err)
{
    const gm_array *a = recipe->imported;
    int layers[GM_PLAN_MAX_LAYERS];
    if (a->n_rows > GM_PLAN_MAX_LAYERS || a->n_cols > GM_PLAN_MAX_EXPERTS)
        return gm_fail(err, GM_ESHAPE,
                       "'%s' has %zu layers of %zu experts, more than a plan can hold",
                       recipe->import, a->n_rows, a->n_cols);
    for (int l = 0; l < (int)a->n_rows; l++) layers[l] = l;
    const gm_shape shape = {.n_layers = (int)a->n_rows,
                            .n_experts = (int)a->n_cols,
                            .layer_of_moe = layers,
                            .model_digest = "",
                            .config_digest = ""};
    return gm_recipe_build(plan, recipe, &shape, NULL, NULL, err);
}

/* The plan of the recipe for the sizes of the atlas, or of the model without one. */
static gm_status build(gm_plan *plan, const request *r, gm_error *err)
{
    gm_status status = GM_OK;
    gm_atlas *atlas = NULL;
    gm_model *model = NULL;
    gm_array array = {0};
    gm_recipe recipe = r->recipe; /* borrows its lists */
    const gm_model_options headers = {.headers_only = true};
    const bool is_list = r->import && gm_expert_list_is(r->import);
    gm_shape shape;
    *plan = (gm_plan){0};

    if (r->import) {
        if (!is_list) GM_TRY(gm_array_read(&array, r->import, err));
        recipe.imported = &array;
        recipe.import = r->import;
    }
    if (r->atlas == NULL && r->model == NULL) {
        GM_TRY(build_for_array(plan, &recipe, err));
        goto out;
    }
    if (r->atlas) {
        GM_TRY(gm_atlas_open(&atlas, r->atlas, err));
        shape = gm_shape_of_atlas(atlas);
    } else {
        GM_TRY(gm_model_open(&model, r->model, &headers, err));
        const gm_model_info *info = gm_model_get_info(model);
        shape = (gm_shape){info->n_moe_layers, info->n_experts, info->n_chosen,
                           info->layer_of_moe, info->digest,    info->config_digest};
    }
    if (is_list)
        GM_TRY(gm_expert_list_read(&array, r->import, shape.layer_of_moe, shape.n_layers,
                                   shape.n_experts, err));
    GM_TRY(gm_recipe_build(plan, &recipe, &shape, atlas, r->atlas, err));
out:
    if (status == GM_OK) gm_recipe_warn(&recipe, plan);
    gm_array_clear(&array);
    gm_atlas_close(atlas);
    gm_model_close(model);
    return status;
}

/* Write the biases as an array or a list: those of layers outside the plan's window are 0. */
static gm_status export_array(const gm_plan *plan, const char *path, bool replace, gm_error *err)
{
    gm_status status = GM_OK;
    size_t L = (size_t)plan->n_layers, E = (size_t)plan->n_experts;
    float *values = gm_alloc2(L, E, sizeof *values);
    if (values == NULL) return gm_fail(err, GM_EMEM, "no memory for '%s'", path);
    for (size_t i = 0; i < L * E; i++) {
        int layer = plan->layer_of_moe[i / E];
        values[i] = layer >= plan->first_layer && layer <= plan->last_layer ? plan->bias[i] : 0;
    }
    if (gm_expert_list_is(path))
        GM_TRY(gm_expert_list_write(path, values, plan->layer_of_moe, plan->n_layers,
                                    plan->n_experts, replace, err));
    else
        GM_TRY(gm_array_write(path, values, L, E, replace, err));
    if (plan->mode != GM_PLAN_BIAS || plan->mass_matched || plan->phases != GM_PLAN_ALL_PHASES ||
        plan->schedule.kind != GM_SCHEDULE_CONSTANT)
        gm_warn("'%s' holds only biases; mode, mass matching, phases and schedule are not written",
                path);
out:
    gm_free(values);
    return status;
}

/* ---- the command ---- */

/* What the command line alone shows to be wrong. */
static gm_status check_request(const request *r, gm_error *err)
{
    const gm_recipe *recipe = &r->recipe;
    bool by_hand = recipe->clusters.n + recipe->subsets.n == 0;
    if (r->file &&
        (r->atlas || r->model || r->import || recipe->weight != 1 || !gm_recipe_is_bare(recipe)))
        return gm_fail(err, GM_EARG,
                       "the plan file '%s' can only be described; leave out the other options",
                       r->file);
    if (r->file) return GM_OK;
    if (r->atlas == NULL && r->model == NULL && r->import == NULL)
        return gm_fail(err, GM_EARG,
                       "expected --atlas FILE, --model DIR, --import FILE or a plan file");
    if (r->atlas && r->model)
        return gm_fail(
            err, GM_EARG,
            "--atlas and --model cannot be combined, since an atlas gives its model's sizes");
    if (by_hand && recipe->experts.n == 0 && r->import == NULL)
        return gm_fail(err, GM_EARG, "expected --cluster, --subset, --expert or --import");
    if (r->atlas == NULL && !by_hand)
        return gm_fail(err, GM_EARG, "--cluster and --subset need --atlas FILE");
    if (r->import && gm_expert_list_is(r->import) && r->atlas == NULL && r->model == NULL)
        return gm_fail(
            err, GM_EARG,
            "'%s' lists experts; give --model DIR or --atlas FILE for the numbers of the layers",
            r->import);
    if (r->output && (gm_ends_in(r->output, ".csv") || gm_ends_in(r->output, ".npy") ||
                      gm_ends_in(r->output, ".f32")))
        return gm_fail(err, GM_EARG,
                       "'%s': -o writes a plan (*.plan.safetensors); --export writes such a file",
                       r->output);
    if (r->import && gm_array_is_ds4(r->import) && recipe->mode != GM_PLAN_SELECT &&
        recipe->mode != GM_PLAN_MASK)
        return gm_fail(
            err, GM_EARG,
            "'%s': versions of ds4 read such a file either as --mode mask (signs force and ban) or "
            "as --mode select (added to the score of the choice); give one of them",
            r->import);
    return gm_recipe_check(recipe, err);
}

int gm_steer_plan(int argc, char **argv)
{
    gm_status status = GM_OK;
    gm_error err = {0};
    request r = {.recipe = gm_recipe_defaults()};
    gm_plan plan = {0};
    bool usage = true;
    const gm_opt opts[] = {
        {GM_OPT_TEXT, "atlas", &r.atlas, 0, 0, "FILE", "atlas to take clusters and subsets from"},
        {GM_OPT_TEXT, "model", &r.model, 0, 0, "DIR",
         "or, without an atlas: the model that --expert or --import is for"},
        {GM_OPT_TEXT, "import", &r.import, 0, 0, "FILE",
         "file of biases to add: .npy, .f32 or .csv"},
        GM_RECIPE_OPTIONS(&r.recipe),
        {GM_OPT_GROUP, NULL, NULL, 0, 0, NULL, "Output"},
        {GM_OPT_TEXT, "o", &r.output, 0, 0, "FILE", "plan to write"},
        {GM_OPT_TEXT, "export", &r.export, 0, 0, "FILE", "file for the biases: .npy, .f32 or .csv"},
        {GM_OPT_FLAG, "force", &r.force, 0, 0, NULL, "replace an existing file"},
        {GM_OPT_FLAG, "json", &r.json, 0, 0, NULL, "one JSON object on standard output"},
        {.kind = GM_OPT_END_},
    };

    GM_TRY(gm_opt_parse("gm-steer plan --atlas FILE --cluster ID... [-o FILE]", details, opts,
                        &argc, argv, &err));
    if (argc > 2)
        GM_TRY(gm_fail(&err, GM_EARG, "expected at most one plan file, found '%s' too", argv[2]));
    if (argc == 2) r.file = argv[1];
    GM_TRY(check_request(&r, &err));
    usage = false;
    if (r.file)
        GM_TRY(gm_plan_read(&plan, r.file, &err));
    else
        GM_TRY(build(&plan, &r, &err));
    if (r.output) GM_TRY(gm_plan_write(r.output, &plan, r.force, &err));
    if (r.export) GM_TRY(export_array(&plan, r.export, r.force, &err));
    if (r.json)
        GM_TRY(print_json(&plan, r.file ? r.file : r.output, &err));
    else
        print_text(&plan);
out:
    gm_plan_clear(&plan);
    gm_recipe_clear(&r.recipe);
    return gm_cli_end("gm-steer", "plan", status, usage, &err);
}
