/* cmd_compare.c - gm-steer compare: the article's demonstration. Every prompt is
 * continued unsteered and under each cluster (or subset) with the same draws, and what
 * that did to the choices is said beside the text.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "steer/columns.h"
#include "steer/commands.h"
#include "steer/stage.h"

enum { MOST_TITLE = 128, TERMINAL = 120, NARROWEST = 24 };

static const char details[] =
    "Each --cluster and --subset is a column of its own; beside them stands the unsteered text.\n"
    "Without --prompt and --prompts three prompts of our own are continued. The dose is the share\n"
    "of generated tokens and layers whose choices hold an important expert of the column.\n"
    "  gm-steer compare --model DIR --atlas run.atlas.h5 --cluster 27 --cluster 25 --weight 2\n";

typedef struct column {
    char title[MOST_TITLE]; /* "cluster 3: keywords" */
    size_t n_name;          /* of which "cluster 3" */
    gm_plan plan;
    uint8_t *important; /* (L,E) */
} column;

/* run: (n_prompts, n_columns, 2), unsteered and steered. The unsteered text is the same
 * in every column; it is generated once for each, because its dose differs. */
typedef struct comparison {
    gm_prompts prompts;
    column *column; /* (n_columns) */
    gm_edit *edit;  /* (n_columns) */
    size_t n_columns, n_runs;
    gm_continuation *run;
} comparison;

/* Keywords of a cluster for its title. */
static void cluster_title(char title[MOST_TITLE], const gm_atlas *atlas, const char *entry)
{
    int64_t id;
    char name[32];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(entry, "="), entry);
    size_t n = (size_t)snprintf(title, MOST_TITLE, "cluster %s:", entry);
    if (!gm_parse_i64(name, &id)) return;
    for (size_t k = 0; k < 5 && n < MOST_TITLE; k++) {
        const char *word = atlas->keyword[(size_t)id * GM_N_KEYWORDS + k];
        size_t room = MOST_TITLE - n;
        if (word == NULL || *word == '\0' || strlen(word) + 2 > room) break;
        n += (size_t)snprintf(title + n, room, " %s", word);
    }
}

/* The plan of one cluster or subset alone, under the options of `recipe`. */
static gm_status make_column(column *c, const gm_stage *stage, gm_recipe recipe, bool subset,
                             const char *entry, gm_error *err)
{
    gm_status status = GM_OK;
    const char *one[1] = {entry};
    const gm_opt_list list = {one, 1}, none = {0};
    gm_plan own = {0};
    gm_shape shape = gm_stage_shape(stage);
    recipe.clusters = subset ? none : list;
    recipe.subsets = subset ? list : none;
    GM_TRY(gm_recipe_build(&c->plan, &recipe, &shape, stage->atlas, stage->options->atlas, err));
    c->n_name = strlen(subset ? "subset " : "cluster ") + strlen(entry);
    if (subset)
        snprintf(c->title, sizeof c->title, "subset %s", entry);
    else
        cluster_title(c->title, stage->atlas, entry);

    /* What is important does not depend on the weight's size or sign, nor on a control. */
    recipe.weight = 1;
    recipe.control = NULL;
    GM_TRY(gm_recipe_build(&own, &recipe, &shape, stage->atlas, stage->options->atlas, err));
    c->important = gm_alloc2((size_t)shape.n_layers, (size_t)shape.n_experts, 1);
    if (c->important == NULL) GM_FAIL(GM_EMEM, "no memory to compare");
    gm_vector_important(c->important, own.bias, shape.n_layers, shape.n_experts, shape.n_chosen);
out:
    gm_plan_clear(&own);
    return status;
}

static gm_status make_columns(comparison *c, const gm_stage *stage, const gm_recipe *recipe,
                              gm_error *err)
{
    gm_status status = GM_OK;
    size_t n_clusters = recipe->clusters.n;
    c->n_columns = n_clusters + recipe->subsets.n;
    c->column = gm_alloc(c->n_columns, sizeof *c->column);
    c->edit = gm_alloc(c->n_columns, sizeof *c->edit);
    if (!c->column || !c->edit) GM_FAIL(GM_EMEM, "no memory to compare");
    for (size_t i = 0; i < c->n_columns; i++) {
        bool subset = i >= n_clusters;
        const char *entry = subset ? recipe->subsets.at[i - n_clusters] : recipe->clusters.at[i];
        GM_TRY(make_column(&c->column[i], stage, *recipe, subset, entry, err));
        c->edit[i] = gm_stage_edit(&c->column[i].plan);
    }
out:
    return status;
}

/* Per prompt: for each column the unsteered text, its dose counted for that column, then
 * the steered one. All runs of a prompt share their draws. */
static gm_status make_runs(comparison *c, const gm_stage *stage, gm_error *err)
{
    gm_status status = GM_OK;
    size_t n = c->prompts.n * c->n_columns * 2;
    c->run = gm_alloc(n, sizeof *c->run);
    if (c->run == NULL) GM_FAIL(GM_EMEM, "no memory to compare");
    for (; c->n_runs < n; c->n_runs++) {
        gm_continuation *run = &c->run[c->n_runs];
        size_t p = c->n_runs / (2 * c->n_columns), i = c->n_runs / 2 % c->n_columns;
        GM_TRY(gm_stage_prepare(stage, run, &c->prompts.at[p], p, err));
        run->edit = c->n_runs % 2 ? (int)i : -1;
        run->important = c->column[i].important;
    }
out:
    return status;
}

static const gm_continuation *run_of(const comparison *c, size_t prompt, size_t i, bool steered)
{
    return &c->run[(prompt * c->n_columns + i) * 2 + steered];
}

static gm_column text_column(const char *title, const gm_continuation *run)
{
    return (gm_column){title, run->text.n ? run->text.at : "", run->text.n};
}

/* The unsteered text and the columns side by side, as many as the terminal takes at a
 * time. */
static void print_texts(const comparison *c, size_t prompt)
{
    gm_column shown[GM_MAX_COLUMNS];
    size_t room = gm_columns_terminal(stdout, TERMINAL), most = (room + 3) / (NARROWEST + 3);
    most = most < 1 ? 1 : most > GM_MAX_COLUMNS ? GM_MAX_COLUMNS : most;
    for (size_t first = 0; first <= c->n_columns; first += most) {
        size_t left = c->n_columns + 1 - first, n = left < most ? left : most;
        for (size_t i = 0; i < n; i++) {
            size_t at = first + i; /* 0: unsteered */
            shown[i] = at == 0
                           ? text_column("unsteered", run_of(c, prompt, 0, false))
                           : text_column(c->column[at - 1].title, run_of(c, prompt, at - 1, true));
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

static void print_text(const comparison *c)
{
    for (size_t p = 0; p < c->prompts.n; p++) {
        printf("%s> ", p ? "\n" : "");
        fwrite(c->prompts.at[p].text, 1, c->prompts.at[p].n, stdout);
        printf("\n\n");
        print_texts(c, p);
        printf("\ndose:");
        for (size_t i = 0; i < c->n_columns; i++) {
            char name[MOST_TITLE];
            snprintf(name, sizeof name, "%.*s", (int)c->column[i].n_name, c->column[i].title);
            fputs(i ? "; " : " ", stdout);
            gm_print_text(stdout, 0, name);
            putchar(' ');
            print_dose(run_of(c, p, i, false));
            printf(" -> ");
            print_dose(run_of(c, p, i, true));
        }
        putchar('\n');
    }
    printf("\n(dose, unsteered -> steered: tokens and layers where an important expert of the\n"
           "column was chosen)\n");
}

static void put_run(gm_json_out *json, const char *key, const gm_continuation *run)
{
    gm_json_open_object(json, key);
    gm_json_put_text(json, "text", run->text.n ? run->text.at : "", run->text.n);
    gm_json_put_string(json, "end", gm_end_name(run->end));
    gm_json_put_u64(json, "generated_tokens", run->generated.n);
    gm_json_put_f64(json, "important_share", gm_continuation_dose(run));
    gm_json_close_object(json);
}

static gm_status print_json(const comparison *c, const gm_stage *stage, gm_error *err)
{
    gm_json_out json = {0};
    gm_json_open_object(&json, NULL);
    gm_stage_put(stage, &json);
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
        for (size_t i = 0; i < c->n_columns; i++) {
            gm_json_open_object(&json, NULL);
            put_run(&json, "unsteered", run_of(c, p, i, false));
            put_run(&json, "steered", run_of(c, p, i, true));
            gm_json_close_object(&json);
        }
        gm_json_close_array(&json);
        gm_json_close_object(&json);
    }
    gm_json_close_array(&json);
    gm_json_close_object(&json);
    gm_status status = gm_json_out_done(&json, err);
    if (status == GM_OK) printf("%s\n", json.text.at);
    gm_text_clear(&json.text);
    return status;
}

static void comparison_clear(comparison *c)
{
    for (size_t i = 0; c->run && i < c->prompts.n * c->n_columns * 2; i++)
        gm_continuation_clear(&c->run[i]);
    for (size_t i = 0; c->column && i < c->n_columns; i++) {
        gm_plan_clear(&c->column[i].plan);
        gm_free(c->column[i].important);
    }
    gm_free(c->run);
    gm_free(c->column);
    gm_free(c->edit);
    gm_prompts_clear(&c->prompts);
}

int gm_steer_compare(int argc, char **argv)
{
    gm_status status = GM_OK;
    gm_error err = {0};
    gm_stage stage = {0};
    comparison c = {0};
    bool usage = true;
    gm_stage_options options = gm_stage_defaults();
    gm_recipe recipe = gm_recipe_defaults();
    const gm_opt opts[] = {
        GM_STAGE_OPTIONS(&options),
        GM_RECIPE_OPTIONS(&recipe),
        {.kind = GM_OPT_END_},
    };
    options.max_tokens = 60;

    GM_TRY(gm_opt_parse("gm-steer compare --model DIR --atlas FILE --cluster ID...", details, opts,
                        &argc, argv, &err));
    if (argc > 1) GM_TRY(gm_fail(&err, GM_EARG, "unexpected argument '%s'", argv[1]));
    if (recipe.clusters.n + recipe.subsets.n == 0)
        GM_TRY(gm_fail(&err, GM_EARG, "expected --cluster or --subset"));
    GM_TRY(gm_stage_check(&options, &recipe, &err));
    usage = false;
    GM_TRY(gm_prompts_read(&c.prompts, &options.prompts, options.prompts_file, &err));
    if (c.prompts.n == 0) GM_TRY(gm_prompts_own(&c.prompts, GM_PROMPTS_SHOW, &err));
    GM_TRY(gm_stage_open(&stage, &options, &err));
    GM_TRY(make_columns(&c, &stage, &recipe, &err));
    GM_TRY(make_runs(&c, &stage, &err));

    gm_continue_options how = gm_stage_continue(&stage, c.edit, c.n_columns);
    how.schedule = c.column[0].plan.schedule; /* every column's */
    GM_TRY(gm_continue(c.run, c.n_runs, stage.model, stage.tokenizer, &how, &err));
    if (options.json)
        GM_TRY(print_json(&c, &stage, &err));
    else
        print_text(&c);
out:
    comparison_clear(&c);
    gm_stage_close(&stage);
    gm_recipe_clear(&recipe);
    gm_stage_options_clear(&options);
    return gm_cli_end("gm-steer", "compare", status, usage, &err);
}
