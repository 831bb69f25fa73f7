/* serve_command.c - gm-steer serve: a page to steer by hand, and OpenAI's API for other programs.
 */
#include "steer/serve/http.h"
#include "steer/serve/serve.h"
#include "steer/steer_commands.h"

#include <string.h>

static const char details[] =
    "Open the printed address in a browser: there you can set prompts, clusters and a weight,\n"
    "and read the texts side by side. Programs that speak OpenAI's API use ADDRESS/v1:\n"
    "/v1/completions (with echo and logprobs, as lm-evaluation-harness needs them) and\n"
    "/v1/chat/completions (with the model's chat template). A request is steered as the\n"
    "command line says, or as its member \"steer\" says: {\"cluster\": 25, \"weight\": 2}, "
    "{\"plan\":\n"
    "\"food\"}, or null for no steering; a list of these gives a text under each. Requests are\n"
    "answered one after the other; the prompts of one request go through the model together.\n"
    "  gm-steer serve --model DIR --atlas run.atlas.h5\n"
    "  gm-steer serve --model DIR --plan food.plan.safetensors --address 0.0.0.0 --port 8000\n";

typedef struct request {
    gm_setup_options setup;
    gm_recipe recipe;
    gm_opt_list plans;
    const char *address;
    int64_t port;
} request;

/* "food" of "plans/food.plan.safetensors". */
static char *name_of(const char *path)
{
    static const char *const ends[] = {".safetensors", ".plan"};
    const char *name = gm_path_name(path);
    size_t n = strlen(name);
    for (size_t i = 0; i < 2; i++) {
        const size_t end = strlen(ends[i]);
        if (n > end && strncmp(name + n - end, ends[i], end) == 0) n -= end;
    }
    return gm_copy_text(name, n);
}

static gm_status name_plans(char **name, const gm_opt_list *plans, gm_error *err)
{
    for (size_t i = 0; i < plans->n; i++) {
        name[i] = name_of(plans->at[i]);
        if (name[i] == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu plans", plans->n);
        for (size_t j = 0; j < i; j++)
            if (strcmp(name[i], name[j]) == 0)
                return gm_fail(err, GM_EARG,
                               "'%s' and '%s' would both be called '%s'; rename one of them",
                               plans->at[j], plans->at[i], name[i]);
    }
    return GM_OK;
}

/* Refuse now what a request would be refused for later. */
static gm_status try_plans(const gm_setup *setup, const gm_opt_list *plans, gm_error *err)
{
    const gm_recipe bare = gm_recipe_defaults();
    for (size_t i = 0; i < plans->n; i++) {
        gm_plan plan;
        gm_status status = gm_setup_plan(&plan, setup, &bare, plans->at[i], err);
        if (status != GM_OK) return status;
        gm_plan_clear(&plan);
    }
    return GM_OK;
}

static gm_status serve(request *r, gm_setup *setup, gm_error *err)
{
    gm_status status = GM_OK;
    gm_plan default_plan = {0};
    char **name = gm_alloc(r->plans.n, sizeof *name);
    if (name == NULL && r->plans.n > 0) GM_FAIL(GM_EMEM, "no memory for %zu plans", r->plans.n);
    GM_TRY(name_plans(name, &r->plans, err));
    GM_TRY(gm_setup_open(setup, &r->setup, err));
    GM_TRY(gm_setup_plan(&default_plan, setup, &r->recipe, NULL, err));
    GM_TRY(try_plans(setup, &r->plans, err));
    GM_TRY(gm_http_check(r->address, (int)r->port, err));
    GM_TRY(gm_setup_load(setup, err));
    const gm_server server = {.setup = setup,
                              .default_plan = &default_plan,
                              .plan_path = r->plans.at,
                              .plan_name = (const char *const *)name,
                              .n_plans = r->plans.n};
    const gm_serve_options how = {r->address, (int)r->port, r->setup.quiet};
    GM_TRY(gm_serve(&server, &how, err));
out:
    for (size_t i = 0; name && i < r->plans.n; i++) gm_free(name[i]);
    gm_free(name);
    gm_plan_clear(&default_plan);
    return status;
}

int gm_steer_serve(int argc, char **argv)
{
    gm_status status = GM_OK;
    gm_error err = {0};
    gm_setup setup = {0};
    bool usage = true;
    request r = {.setup = gm_setup_defaults(),
                 .recipe = gm_recipe_defaults(),
                 .address = "127.0.0.1",
                 .port = 8080};
    const gm_opt opts[] = {
        GM_SETUP_MODEL_OPTIONS(&r.setup),
        {GM_OPT_GROUP, NULL, NULL, 0, 0, NULL, "Text, unless a request says otherwise"},
        GM_SETUP_TEXT_OPTIONS(&r.setup),
        GM_RECIPE_OPTIONS(&r.recipe),
        {GM_OPT_LIST, "plan", &r.plans, 0, 0, "FILE", "plan that requests may name"},
        {GM_OPT_GROUP, NULL, NULL, 0, 0, NULL, "Server"},
        {GM_OPT_TEXT, "address", &r.address, 0, 0, "ADDRESS",
         "numeric address to listen on; anyone who can reach it can use the model"},
        {GM_OPT_I64, "port", &r.port, 0, 65535, "N", "port to listen on; 0: any free one"},
        {GM_OPT_FLAG, "quiet", &r.setup.quiet, 0, 0, NULL, "no progress, no line per request"},
        {.kind = GM_OPT_END_},
    };

    GM_TRY(gm_opt_parse("gm-steer serve --model DIR [--atlas FILE]", details, opts, &argc, argv,
                        &err));
    if (argc > 1) GM_TRY(gm_fail(&err, GM_EARG, "unexpected argument '%s'", argv[1]));
    GM_TRY(gm_setup_check(&r.setup, &r.recipe, &err));
    usage = false;
    GM_TRY(serve(&r, &setup, &err));
out:
    gm_setup_close(&setup);
    gm_recipe_clear(&r.recipe);
    gm_setup_options_clear(&r.setup);
    gm_opt_list_clear(&r.plans);
    return gm_cli_end("gm-steer", "serve", status, usage, &err);
}
