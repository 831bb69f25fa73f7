/* comparison.c - see comparison.h. */
#include "steer/comparison.h"

#include <string.h>

/* ---- columns ---- */

/* Keywords of a cluster for its title. */
static void cluster_title(char title[GM_TITLE_BYTES], const gm_atlas *atlas, const char *entry)
{
    int64_t id;
    size_t n = (size_t)snprintf(title, GM_TITLE_BYTES, "cluster %s:", entry);
    if (!gm_parse_i64_n(entry, strcspn(entry, "="), &id)) return;
    for (size_t k = 0; k < 5 && n < GM_TITLE_BYTES; k++) {
        const char *word = atlas->keyword[(size_t)id * GM_N_KEYWORDS + k];
        size_t room = GM_TITLE_BYTES - n;
        if (word == NULL || *word == '\0' || strlen(word) + 2 > room) break;
        n += (size_t)snprintf(title + n, room, " %s", word);
    }
}

/* What is important does not depend on the weight's size or sign, nor on a control: it is
 * taken from the plan at weight 1. */
static gm_status find_important(gm_comparison_column *c, const gm_setup *setup,
                                const gm_plan *at_one, gm_error *err)
{
    const gm_shape shape = gm_setup_shape(setup);
    c->important = gm_alloc2((size_t)shape.n_layers, (size_t)shape.n_experts, 1);
    if (c->important == NULL) return gm_fail(err, GM_EMEM, "no memory to compare");
    gm_vector_important(c->important, at_one->bias, shape.n_layers, shape.n_experts,
                        shape.n_chosen);
    return GM_OK;
}

/* The plan of the recipe, or of the file at `path`, and its important experts: those at weight 1,
 * without a control. */
static gm_status fill_column(gm_comparison_column *c, const gm_setup *setup, gm_recipe recipe,
                             const char *path, gm_error *err)
{
    gm_status status = GM_OK;
    gm_plan at_one = {0};
    GM_TRY(gm_setup_plan(&c->plan, setup, &recipe, path, err));
    recipe.weight = 1;
    recipe.control = NULL;
    GM_TRY(gm_setup_plan_quietly(&at_one, setup, &recipe, path, err));
    GM_TRY(find_important(c, setup, &at_one, err));
out:
    gm_plan_clear(&at_one);
    return status;
}

static gm_status plan_column(gm_comparison_column *c, const gm_setup *setup, gm_recipe recipe,
                             const char *path, gm_error *err)
{
    const char *name = gm_path_name(path);
    size_t n = (size_t)snprintf(c->title, sizeof c->title, "plan ");
    gm_text_escape(c->title + n, sizeof c->title - n, name, strlen(name));
    c->n_name = strlen(c->title);
    return fill_column(c, setup, recipe, path, err);
}

/* The plan of one cluster or subset alone, under the options of `recipe`. */
static gm_status entry_column(gm_comparison_column *c, const gm_setup *setup, gm_recipe recipe,
                              bool subset, const char *entry, gm_error *err)
{
    const char *one[1] = {entry};
    const gm_opt_list list = {one, 1}, none = {0};
    recipe.clusters = subset ? none : list;
    recipe.subsets = subset ? list : none;
    gm_status status = fill_column(c, setup, recipe, NULL, err);
    if (status != GM_OK) return status;
    if (subset)
        snprintf(c->title, sizeof c->title, "subset %s", entry);
    else
        cluster_title(c->title, setup->atlas, entry);
    c->n_name = strlen(subset ? "subset " : "cluster ") + strlen(entry);
    if (c->n_name >= sizeof c->title) c->n_name = sizeof c->title - 1;
    return GM_OK;
}

static gm_status make_columns(gm_comparison *c, const gm_setup *setup, const gm_recipe *recipe,
                              const gm_opt_list *plans, gm_error *err)
{
    gm_status status = GM_OK;
    size_t n_clusters = recipe->clusters.n, n_subsets = recipe->subsets.n, n = 0;
    bool by_hand = n_clusters + n_subsets == 0 && recipe->experts.n > 0;
    c->n_columns = n_clusters + n_subsets + plans->n + by_hand;
    c->column = gm_alloc(c->n_columns, sizeof *c->column);
    c->edit = gm_alloc(c->n_columns, sizeof *c->edit);
    c->schedule = gm_alloc(c->n_columns, sizeof *c->schedule);
    if (!c->column || !c->edit || !c->schedule) GM_FAIL(GM_EMEM, "no memory to compare");
    for (size_t i = 0; i < n_clusters; i++)
        GM_TRY(entry_column(&c->column[n++], setup, *recipe, false, recipe->clusters.at[i], err));
    for (size_t i = 0; i < n_subsets; i++)
        GM_TRY(entry_column(&c->column[n++], setup, *recipe, true, recipe->subsets.at[i], err));
    if (by_hand) {
        gm_comparison_column *hand = &c->column[n++];
        GM_TRY(fill_column(hand, setup, *recipe, NULL, err));
        hand->n_name = (size_t)snprintf(hand->title, sizeof hand->title, "experts by hand");
    }
    for (size_t i = 0; i < plans->n; i++)
        GM_TRY(plan_column(&c->column[n++], setup, *recipe, plans->at[i], err));
    for (size_t i = 0; i < c->n_columns; i++) {
        c->edit[i] = gm_setup_edit(&c->column[i].plan);
        c->schedule[i] = c->column[i].plan.schedule;
    }
out:
    return status;
}

/* ---- texts ---- */

/* Per prompt: for each column the unsteered text, its dose counted for that column, then
 * the steered one. All runs of a prompt share their draws. */
static gm_status make_runs(gm_comparison *c, const gm_setup *setup, gm_error *err)
{
    gm_status status = GM_OK;
    size_t n = c->prompts.n * c->n_columns * 2;
    c->run = gm_alloc(n, sizeof *c->run);
    if (c->run == NULL) GM_FAIL(GM_EMEM, "no memory to compare");
    for (; c->n_runs < n; c->n_runs++) {
        gm_continuation *run = &c->run[c->n_runs];
        size_t p = c->n_runs / (2 * c->n_columns), i = c->n_runs / 2 % c->n_columns;
        GM_TRY(gm_setup_prepare(setup, run, &c->prompts.at[p], p, err));
        run->edit = c->n_runs % 2 ? (int)i : -1;
        run->important = c->column[i].important;
    }
out:
    return status;
}

gm_status gm_comparison_run(gm_comparison *c, gm_setup *setup, const gm_recipe *recipe,
                            const gm_opt_list *plans, gm_error *err)
{
    gm_status status = GM_OK;
    c->weight = recipe->weight;
    GM_TRY(make_columns(c, setup, recipe, plans, err));
    GM_TRY(make_runs(c, setup, err));
    GM_TRY(gm_continue_fits(c->run, c->n_runs, setup->info, err));
    GM_TRY(gm_setup_load(setup, err));
    gm_continue_options how = gm_setup_continue(setup, c->edit, c->n_columns);
    how.schedules = c->schedule;
    GM_TRY(gm_continue(c->run, c->n_runs, setup->model, setup->tokenizer, &how, err));
out:
    return status;
}

const gm_continuation *gm_comparison_text(const gm_comparison *c, size_t prompt, size_t column,
                                          bool steered)
{
    return &c->run[(prompt * c->n_columns + column) * 2 + steered];
}

gm_status gm_comparison_reread(gm_reread out[2], const gm_comparison *c, const gm_setup *setup,
                               size_t prompt, size_t column, gm_error *err)
{
    const gm_continuation *text = gm_comparison_text(c, prompt, column, false); /* (2) */
    const int edit[2] = {(int)column, (int)column};
    gm_continue_options how = gm_setup_continue(setup, c->edit, c->n_columns);
    how.schedules = c->schedule;
    how.quiet = true;
    return gm_reread_all(out, text, edit, 2, setup->model, &how, err);
}

void gm_comparison_clear(gm_comparison *c)
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
    gm_free(c->schedule);
    gm_prompts_clear(&c->prompts);
    *c = (gm_comparison){0};
}
