/* generate_command.c - gm-steer generate: continue prompts, all at once, under one plan. */
#include "base/cli.h"
#include "base/json.h"
#include "base/outfile.h"
#include "steer/interactive.h"
#include "steer/record.h"
#include "steer/steer_commands.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char details[] =
    "Decoding is greedy, unless the model's generation_config.json or --temperature says\n"
    "otherwise. A single prompt is printed as it is generated; several are printed in their\n"
    "order, each when it is finished. A page of texts with and without steering, side by\n"
    "side, is what gm-steer compare --report writes.\n"
    "  gm-steer generate --model DIR --atlas run.atlas.h5 --cluster 25 --weight 2 \\\n"
    "    --prompt \"Albert Einstein\"\n"
    "  gm-steer generate --model DIR --plan food.plan.safetensors --interactive\n";

typedef struct request {
    gm_setup_options setup;
    gm_recipe recipe;
    const char *plan, *record;
    bool interactive, echo, force;
    gm_text line; /* the command line */
} request;

/* What the command line alone shows to be wrong. */
static gm_status check_request(const request *r, gm_error *err)
{
    const gm_setup_options *s = &r->setup;
    bool has_prompts = s->prompts.n > 0 || s->prompts_file != NULL;
    gm_recipe others = r->recipe;
    others.weight = 1;
    if (r->plan && !gm_recipe_is_bare(&others))
        return gm_fail(err, GM_EARG, "--plan can only be combined with --weight");
    if (r->interactive && (has_prompts || r->record || s->json))
        return gm_fail(
            err, GM_EARG,
            "--interactive cannot be combined with --prompt, --prompts, --record or --json");
    if (!r->interactive && !has_prompts)
        return gm_fail(err, GM_EARG, "expected --prompt, --prompts or --interactive");
    if (!r->interactive && !r->plan && (s->atlas || r->recipe.weight != 1) &&
        r->recipe.clusters.n + r->recipe.subsets.n + r->recipe.experts.n == 0)
        return gm_fail(err, GM_EARG,
                       "--%s is given without --cluster ID, --subset NAME, --expert or --plan FILE "
                       "to steer towards; 'gm-cluster show ATLAS' lists the clusters",
                       s->atlas ? "atlas" : "weight");
    return gm_setup_check(s, &r->recipe, err);
}

/* The prompt that is printed before the first piece of text; NULL once it was. */
typedef struct pending {
    const gm_prompt *prompt;
    bool chat;
} pending;

/* An answer stands on a line of its own. */
static void print_prompt(const gm_prompt *prompt, bool chat)
{
    fwrite(prompt->text, 1, prompt->n, stdout);
    if (chat) putchar('\n');
}

static void print_now(void *context, const gm_continuation *c, const char *bytes, size_t n)
{
    pending *e = context;
    (void)c;
    if (e->prompt) print_prompt(e->prompt, e->chat);
    e->prompt = NULL;
    fwrite(bytes, 1, n, stdout);
    fflush(stdout);
}

/* Several texts: each is printed once it and those before it have ended. */
typedef struct queue {
    const request *request;
    const gm_continuation *list;
    const gm_prompts *prompts;
    size_t next;
} queue;

static void print_ended(void *context)
{
    queue *q = context;
    for (; q->next < q->prompts->n && q->list[q->next].end != GM_END_NONE; q->next++) {
        const gm_text *text = &q->list[q->next].text;
        if (q->prompts->n > 1) printf("%s=== prompt %zu ===\n", q->next ? "\n" : "", q->next + 1);
        if (q->request->echo) print_prompt(&q->prompts->at[q->next], q->request->setup.chat);
        if (text->n) fwrite(text->at, 1, text->n, stdout);
        putchar('\n');
    }
    fflush(stdout);
}

static void put_ids(gm_json_out *json, const char *key, const gm_ids *ids)
{
    gm_json_open_array(json, key);
    for (size_t t = 0; t < ids->n; t++) gm_json_put_u64(json, NULL, ids->at[t]);
    gm_json_close_array(json);
}

static gm_status print_json(const gm_continuation *list, const gm_prompts *prompts,
                            const gm_setup *setup, const gm_plan *plan, gm_error *err)
{
    gm_json_out json = {0};
    gm_json_open_object(&json, NULL);
    gm_setup_put(setup, &json);
    gm_json_put_raw(&json, "plan", plan->source);
    gm_json_open_array(&json, "results");
    for (size_t i = 0; i < prompts->n; i++) {
        const gm_continuation *c = &list[i];
        gm_json_open_object(&json, NULL);
        gm_json_put_text(&json, "prompt", prompts->at[i].text, prompts->at[i].n);
        gm_json_put_text(&json, "text", c->text.n ? c->text.at : "", c->text.n);
        gm_json_put_u64(&json, "prompt_tokens", c->prompt.n);
        gm_json_put_u64(&json, "generated_tokens", c->generated.n);
        gm_json_put_string(&json, "end", gm_end_name(c->end));
        gm_json_put_f64(&json, "important_share", gm_continuation_dose(c));
        put_ids(&json, "prompt_ids", &c->prompt);
        put_ids(&json, "ids", &c->generated);
        gm_json_close_object(&json);
    }
    gm_json_close_array(&json);
    gm_json_close_object(&json);
    return gm_cli_print_json(&json, err);
}

/* Load the weights, continue every prompt under `plan` and print what came. */
static gm_status run(const request *r, gm_setup *setup, const gm_prompts *prompts,
                     const gm_plan *plan, gm_error *err)
{
    gm_status status = GM_OK;
    gm_continuation *list = NULL;
    gm_recorder *recorder = NULL;
    size_t n = 0, cells = (size_t)plan->n_layers * (size_t)plan->n_experts;
    const gm_edit edit = gm_setup_edit(plan);
    uint8_t *important = gm_alloc(cells, sizeof *important);
    if (important == NULL) GM_FAIL(GM_EMEM, "no memory to generate");

    gm_vector_important(important, plan->bias, plan->n_layers, plan->n_experts,
                        setup->info->n_chosen);
    list = gm_alloc(prompts->n, sizeof *list);
    if (list == NULL) GM_FAIL(GM_EMEM, "no memory for %zu prompts", prompts->n);
    for (; n < prompts->n; n++) {
        GM_TRY(gm_setup_prepare(setup, &list[n], &prompts->at[n], n, err));
        list[n].edit = 0;
        list[n].important = important;
    }
    GM_TRY(gm_continue_fits(list, n, setup->info, err));
    GM_TRY(gm_setup_load(setup, err));

    gm_continue_options options = gm_setup_continue(setup, &edit, 1);
    options.schedules = &plan->schedule;
    bool streams = prompts->n == 1 && !r->setup.json;
    pending before = {r->echo ? prompts->at : NULL, r->setup.chat};
    queue several = {r, list, prompts, 0};
    if (streams) {
        options.on_text = print_now;
        options.on_text_context = &before;
        options.quiet = true;
    } else if (!r->setup.json) {
        options.quiet = options.quiet || isatty(STDOUT_FILENO); /* both would share a line */
        options.on_end = print_ended;
        options.on_end_context = &several;
    }
    if (r->record) {
        GM_TRY(gm_recorder_create(&recorder, setup, list, n, err));
        options.on_rows = gm_recorder_on_rows;
        options.on_rows_context = recorder;
    }
    status = gm_continue(list, n, setup->model, setup->tokenizer, &options, err);
    if (streams && (status == GM_OK || status == GM_EINTERRUPTED))
        print_now(&before, list, "\n", 1);
    GM_TRY(status);
    if (r->setup.json) GM_TRY(print_json(list, prompts, setup, plan, err));
    if (r->record)
        GM_TRY(gm_recorder_write(recorder, r->record, prompts, plan, r->line.at, r->force, err));
out:
    for (size_t i = 0; list && i < prompts->n; i++) gm_continuation_clear(&list[i]);
    gm_recorder_free(recorder);
    gm_free(list);
    gm_free(important);
    return status;
}

int gm_steer_generate(int argc, char **argv)
{
    gm_status status = GM_OK;
    gm_error err = {0};
    gm_setup setup = {0};
    gm_plan plan = {0};
    gm_prompts prompts = {0};
    bool usage = true;
    request r = {.setup = gm_setup_defaults(), .recipe = gm_recipe_defaults(), .echo = true};
    const gm_opt opts[] = {
        GM_SETUP_OPTIONS(&r.setup),
        {GM_OPT_FLAG, "echo", &r.echo, 0, 0, NULL, "print the continuation without the prompt"},
        {GM_OPT_FLAG, "interactive", &r.interactive, 0, 0, NULL,
         "read prompts and commands from standard input"},
        {GM_OPT_TEXT, "record", &r.record, 0, 0, "FILE", "write a trace of the run"},
        {GM_OPT_FLAG, "force", &r.force, 0, 0, NULL, "replace an existing trace"},
        GM_RECIPE_OPTIONS(&r.recipe),
        {GM_OPT_TEXT, "plan", &r.plan, 0, 0, "FILE", "plan made by gm-steer plan"},
        {.kind = GM_OPT_END_},
    };

    GM_TRY(gm_cli_line(&r.line, "gm-steer", argc, argv, &err));
    GM_TRY(gm_opt_parse("gm-steer generate --model DIR --prompt TEXT... [--cluster ID]", details,
                        opts, &argc, argv, &err));
    if (argc > 1) GM_TRY(gm_fail(&err, GM_EARG, "unexpected argument '%s'", argv[1]));
    GM_TRY(check_request(&r, &err));
    usage = false;
    GM_TRY(gm_prompts_read(&prompts, &r.setup.prompts, r.setup.prompts_file, &err));
    if (r.record) GM_TRY(gm_outfile_check(r.record, r.force, &err));
    GM_TRY(gm_setup_open(&setup, &r.setup, &err));
    GM_TRY(gm_setup_plan(&plan, &setup, &r.recipe, r.plan, &err));
    if (r.interactive) {
        GM_TRY(gm_setup_load(&setup, &err));
        GM_TRY(gm_interactive(&setup, &plan, &r.recipe, r.plan, stdin, &err));
    } else {
        GM_TRY(run(&r, &setup, &prompts, &plan, &err));
    }
out:
    gm_prompts_clear(&prompts);
    gm_plan_clear(&plan);
    gm_setup_close(&setup);
    gm_recipe_clear(&r.recipe);
    gm_setup_options_clear(&r.setup);
    gm_text_clear(&r.line);
    return gm_cli_end("gm-steer", "generate", status, usage, &err);
}
