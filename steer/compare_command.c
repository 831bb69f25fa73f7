/* compare_command.c - gm-steer compare: the article's demonstration. Every prompt is
 * continued unsteered and under each cluster, subset or plan with the same draws, and what
 * that did to the choices is said beside the text.
 */
#include "base/cli.h"
#include "base/outfile.h"
#include "steer/columns.h"
#include "steer/comparison.h"
#include "steer/steer_commands.h"
#include "text/terminal.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { TERMINAL = 120, NARROWEST = 24 };

static const char details[] =
    "Each --cluster, --subset and --plan gets a column of its own, next to the unsteered\n"
    "text. Without --prompt and --prompts it continues three built-in prompts. The dose is\n"
    "the share of (generated token, layer) pairs whose choices include an important expert of\n"
    "the column. The page of --report shades each token by how much its plan changed its\n"
    "log-probability. --tokens gives the numbers: for each generated token, ln p without the\n"
    "plan (log_p) and under it (log_p_steered), after the same words.\n"
    "  gm-steer compare --model DIR --atlas run.atlas.h5 --cluster 27 --cluster 25 --weight 2\n";

typedef struct request {
    gm_setup_options setup;
    gm_recipe recipe;
    gm_opt_list plans;
    const char *report;
    bool force, tokens;
} request;

static gm_column text_column(const char *title, const gm_continuation *run)
{
    return (gm_column){title, run->text.n ? run->text.at : "", run->text.n};
}

/* The unsteered text and the columns side by side, as many as the terminal takes at a
 * time. */
static void print_texts(const gm_comparison *c, size_t prompt)
{
    gm_column shown[GM_MAX_COLUMNS];
    size_t room = gm_columns_terminal(stdout, TERMINAL), most = (room + 3) / (NARROWEST + 3);
    most = most < 1 ? 1 : most > GM_MAX_COLUMNS ? GM_MAX_COLUMNS : most;
    for (size_t first = 0; first <= c->n_columns; first += most) {
        size_t left = c->n_columns + 1 - first, n = left < most ? left : most;
        assert(n > 0);
        for (size_t i = 0; i < n; i++) {
            size_t at = first + i; /* 0: unsteered */
            shown[i] = at == 0 ? text_column("unsteered", gm_comparison_text(c, prompt, 0, false))
                               : text_column(c->column[at - 1].title,
                                             gm_comparison_text(c, prompt, at - 1, true));
        }
        if (first > 0) putchar('\n');
        gm_columns_print(stdout, shown, n, (room - 3 * (n - 1)) / n);
    }
}

/* "12 %"; "-" where nothing was counted. */
static void print_dose(const gm_continuation *run)
{
    double dose = gm_continuation_dose(run);
    if (isnan(dose))
        printf("-");
    else
        printf("%.0f %%", 100 * dose);
}

static void print_text(const gm_comparison *c)
{
    for (size_t p = 0; p < c->prompts.n; p++) {
        printf("%s> ", p ? "\n" : "");
        fwrite(c->prompts.at[p].text, 1, c->prompts.at[p].n, stdout);
        printf("\n\n");
        print_texts(c, p);
        printf("\ndose:");
        for (size_t i = 0; i < c->n_columns; i++) {
            char name[GM_TITLE_BYTES];
            snprintf(name, sizeof name, "%.*s", (int)c->column[i].n_name, c->column[i].title);
            fputs(i ? "; " : " ", stdout);
            gm_print_text(stdout, 0, name);
            putchar(' ');
            print_dose(gm_comparison_text(c, p, i, false));
            printf(" -> ");
            print_dose(gm_comparison_text(c, p, i, true));
        }
        putchar('\n');
    }
    printf("\n"
           "(dose, unsteered -> steered: share of tokens and layers where an important expert of\n"
           "the column was chosen)\n");
}

/* ln p of the generated tokens. */
static void put_log_p(gm_json_out *json, const char *key, const gm_reread *r, const float *log_p)
{
    gm_json_open_array(json, key);
    for (size_t t = r->n_prompt; t < r->n; t++) gm_json_put_f64(json, NULL, (double)log_p[t]);
    gm_json_close_array(json);
}

/* `read`: NULL, tokens were not asked for. */
static void put_run(gm_json_out *json, const char *key, const gm_continuation *run,
                    const gm_reread *read)
{
    gm_json_open_object(json, key);
    gm_json_put_text(json, "text", run->text.n ? run->text.at : "", run->text.n);
    gm_json_put_string(json, "end", gm_end_name(run->end));
    gm_json_put_u64(json, "generated_tokens", run->generated.n);
    gm_json_put_f64(json, "important_share", gm_continuation_dose(run));
    gm_json_open_array(json, "ids");
    for (size_t t = 0; t < run->generated.n; t++) gm_json_put_u64(json, NULL, run->generated.at[t]);
    gm_json_close_array(json);
    if (read) {
        put_log_p(json, "log_p", read, read->plain);
        put_log_p(json, "log_p_steered", read, read->steered);
    }
    gm_json_close_object(json);
}

/* The two texts of a column. */
static gm_status put_column(gm_json_out *json, const gm_comparison *c, const gm_setup *setup,
                            size_t prompt, size_t column, bool tokens, gm_error *err)
{
    gm_status status = GM_OK;
    gm_reread read[2] = {0};
    if (tokens) GM_TRY(gm_comparison_reread(read, c, setup, prompt, column, err));
    gm_json_open_object(json, NULL);
    put_run(json, "unsteered", gm_comparison_text(c, prompt, column, false),
            tokens ? &read[0] : NULL);
    put_run(json, "steered", gm_comparison_text(c, prompt, column, true), tokens ? &read[1] : NULL);
    gm_json_close_object(json);
out:
    for (int k = 0; k < 2; k++) gm_reread_clear(&read[k]);
    return status;
}

static gm_status print_json(const gm_comparison *c, const gm_setup *setup, bool tokens,
                            gm_error *err)
{
    gm_status status = GM_OK;
    gm_json_out json = {0};
    gm_json_open_object(&json, NULL);
    gm_setup_put(setup, &json);
    gm_json_open_array(&json, "columns");
    for (size_t i = 0; i < c->n_columns; i++) {
        gm_json_open_object(&json, NULL);
        gm_json_put_string(&json, "title", c->column[i].title);
        gm_json_put_raw(&json, "plan", c->column[i].plan.source);
        gm_json_close_object(&json);
    }
    gm_json_close_array(&json);
    gm_json_open_array(&json, "prompts");
    for (size_t p = 0; p < c->prompts.n; p++) {
        gm_json_open_object(&json, NULL);
        gm_json_put_text(&json, "prompt", c->prompts.at[p].text, c->prompts.at[p].n);
        gm_json_open_array(&json, "columns");
        for (size_t i = 0; i < c->n_columns; i++)
            GM_TRY(put_column(&json, c, setup, p, i, tokens, err));
        gm_json_close_array(&json);
        gm_json_close_object(&json);
    }
    gm_json_close_array(&json);
    gm_json_close_object(&json);
    GM_TRY(gm_cli_print_json(&json, err));
out:
    gm_text_clear(&json.text);
    return status;
}

/* What the command line alone shows to be wrong. */
static gm_status check_request(const request *r, gm_error *err)
{
    const gm_recipe *recipe = &r->recipe;
    size_t asked = recipe->clusters.n + recipe->subsets.n + recipe->experts.n;
    gm_recipe others = *recipe;
    others.weight = 1;
    if (asked + r->plans.n == 0)
        return gm_fail(err, GM_EARG, "expected --cluster, --subset, --expert or --plan");
    if (r->tokens && !r->setup.json) return gm_fail(err, GM_EARG, "--tokens needs --json");
    if (asked == 0 && !gm_recipe_is_bare(&others))
        return gm_fail(err, GM_EARG, "--plan can only be combined with --weight");
    return gm_setup_check(&r->setup, recipe, err);
}

static gm_status run(const request *r, gm_error *err)
{
    gm_status status = GM_OK;
    gm_setup setup = {0};
    gm_comparison c = {0};
    if (r->report) GM_TRY(gm_outfile_check(r->report, r->force, err));
    GM_TRY(gm_prompts_read(&c.prompts, &r->setup.prompts, r->setup.prompts_file, err));
    if (c.prompts.n == 0) GM_TRY(gm_prompts_own(&c.prompts, GM_PROMPTS_SHOW, err));
    GM_TRY(gm_setup_open(&setup, &r->setup, err));
    GM_TRY(gm_comparison_run(&c, &setup, &r->recipe, &r->plans, err));
    if (r->report) GM_TRY(gm_comparison_page(&c, &setup, r->report, r->force, err));
    if (r->setup.json)
        GM_TRY(print_json(&c, &setup, r->tokens, err));
    else
        print_text(&c);
out:
    gm_comparison_clear(&c);
    gm_setup_close(&setup);
    return status;
}

int gm_steer_compare(int argc, char **argv)
{
    gm_status status = GM_OK;
    gm_error err = {0};
    bool usage = true;
    request r = {.setup = gm_setup_defaults(), .recipe = gm_recipe_defaults()};
    const gm_opt opts[] = {
        GM_SETUP_OPTIONS(&r.setup),
        {GM_OPT_TEXT, "report", &r.report, 0, 0, "FILE", "HTML page of the texts"},
        {GM_OPT_FLAG, "force", &r.force, 0, 0, NULL, "replace an existing page"},
        {GM_OPT_FLAG, "tokens", &r.tokens, 0, 0, NULL, "with --json: ln p of each generated token"},
        GM_RECIPE_OPTIONS(&r.recipe),
        {GM_OPT_LIST, "plan", &r.plans, 0, 0, "FILE", "plan made by gm-steer plan; gets a column"},
        {.kind = GM_OPT_END_},
    };
    r.setup.max_tokens = 60;

    GM_TRY(gm_opt_parse("gm-steer compare --model DIR --atlas FILE --cluster ID...", details, opts,
                        &argc, argv, &err));
    if (argc > 1) GM_TRY(gm_fail(&err, GM_EARG, "unexpected argument '%s'", argv[1]));
    GM_TRY(check_request(&r, &err));
    usage = false;
    GM_TRY(run(&r, &err));
out:
    gm_opt_list_clear(&r.plans);
    gm_recipe_clear(&r.recipe);
    gm_setup_options_clear(&r.setup);
    return gm_cli_end("gm-steer", "compare", status, usage, &err);
}
