/* sweep_run.c - see sweep_run.h. */
#include "steer/sweep/sweep_run.h"

#include "base/progress.h"
#include "steer/sweep/cells.h"
#include "steer/sweep/measure.h"
#include "steer/sweep/scores.h"
#include "steer/sweep/store.h"

#include <math.h>

enum { GROUP = 8 }; /* cells in one batch, of one topic */

/* Over the layers that the plan acts on. */
static void measure_bias(gm_cell *c, const gm_plan *plan)
{
    size_t E = (size_t)plan->n_experts, n = 0;
    double sum = 0, top = 0;
    for (int l = 0; l < plan->n_layers; l++) {
        int layer = plan->layer_of_moe[l];
        if (layer < plan->first_layer || layer > plan->last_layer) continue;
        for (size_t i = (size_t)l * E; i < (size_t)(l + 1) * E; i++, n++) {
            double b = fabs((double)plan->bias[i]);
            sum += b * b;
            top = fmax(top, b);
        }
    }
    c->max_bias = (float)top;
    c->rms_bias = n > 0 ? (float)sqrt(sum / (double)n) : 0;
}

/* Texts and cost of up to GROUP cells of one topic. */
static gm_status measure(gm_study *s, gm_cell *const *cell, size_t n, gm_error *err)
{
    gm_status status = GM_OK;
    gm_plan plan[GROUP] = {0};
    for (size_t i = 0; i < n; i++) {
        gm_cell_reset(cell[i]);
        GM_TRY(gm_cell_plan(&plan[i], s, cell[i], err));
        measure_bias(cell[i], &plan[i]);
    }
    GM_TRY(gm_measure_texts(s, cell, plan, n, err));
    if (cell[0]->topic >= 0 && cell[0]->arm != GM_ARM_PROMPT)
        GM_TRY(gm_measure_cost(s, cell, plan, n, err));
    for (size_t i = 0; i < n; i++) cell[i]->done = true;
out:
    for (size_t i = 0; i < n; i++) {
        gm_plan_clear(&plan[i]);
        if (status != GM_OK) gm_cell_reset(cell[i]);
    }
    return status;
}

/* The next cells to measure together, from *at on: of one topic, steered or not. */
static size_t next_group(gm_study *s, int half, size_t *at, gm_cell *group[GROUP])
{
    size_t n = 0;
    for (; *at < s->n_cells && n < GROUP; (*at)++) {
        gm_cell *c = &s->cell[*at];
        if (c->half != half || c->done || c->absent) continue;
        bool alike = n == 0 || (c->topic == group[0]->topic &&
                                (c->arm == GM_ARM_PROMPT) == (group[0]->arm == GM_ARM_PROMPT));
        if (!alike) break;
        group[n++] = c;
    }
    return n;
}

static gm_status run_half(gm_study *s, int half, const char *folder, gm_progress *progress,
                          double *done, gm_error *err)
{
    gm_status status = GM_OK;
    gm_cell *group[GROUP];
    size_t n, at = 0;
    while ((n = next_group(s, half, &at, group)) > 0) {
        GM_TRY(measure(s, group, n, err));
        for (size_t i = 0; i < n; i++) {
            if (folder) GM_TRY(gm_store_save(folder, s, (size_t)(group[i] - s->cell), err));
            *done += gm_study_tokens(s, group[i]);
        }
        gm_progress_set(progress, *done);
        if (gm_interrupted()) GM_FAIL(GM_EINTERRUPTED, "interrupted");
    }
out:
    return status;
}

/* Take over what there is of a half, and count its tokens as done. */
static gm_status take_over(gm_study *s, int half, const char *from, gm_progress *progress,
                           double *done, gm_error *err)
{
    gm_status status = GM_OK;
    double before = *done;
    if (from == NULL) return GM_OK;
    GM_TRY(gm_store_load(from, s, half, err));
    for (size_t i = 0; i < s->n_cells; i++)
        if (s->cell[i].half == half && s->cell[i].done) *done += gm_study_tokens(s, &s->cell[i]);
    progress->skipped += *done - before;
out:
    return status;
}

gm_status gm_study_run(gm_study *s, const char *from, const char *folder, bool quiet, gm_error *err)
{
    gm_status status = GM_OK;
    gm_progress progress;
    double total = 0, done = 0;
    for (size_t i = 0; i < s->n_cells; i++) total += gm_study_tokens(s, &s->cell[i]);
    gm_progress_start(&progress, "sweep", "tokens", total, quiet);
    GM_TRY(take_over(s, 0, from, &progress, &done, err));
    GM_TRY(run_half(s, 0, folder, &progress, &done, err));
    GM_TRY(gm_scores_cells(s, 0, err));
    if (s->n_choosing > 0) gm_scores_choose(s);
    gm_cells_resolve(s);
    GM_TRY(gm_cells_try(s, err));
    GM_TRY(take_over(s, 1, from, &progress, &done, err));
    GM_TRY(run_half(s, 1, folder, &progress, &done, err));
    GM_TRY(gm_scores_cells(s, 1, err));
out:
    gm_progress_end(&progress);
    return status;
}

gm_status gm_study_time(double *seconds, gm_study *s, gm_error *err)
{
    gm_status status = GM_OK;
    gm_protocol less = *s->protocol;
    gm_study part = *s; /* borrows everything */
    gm_cell *group[GROUP];
    gm_plan plan[GROUP] = {0};
    gm_cell_work here = {0}, all = {0};
    size_t at = s->n_choosing + 1, n; /* after the unsteered cell */
    less.seeds = 1;
    less.passages = 1;
    part.protocol = &less;
    n = next_group(&part, 1, &at, group);
    for (size_t i = 0; i < n; i++) {
        gm_cell_reset(group[i]);
        GM_TRY(gm_cell_plan(&plan[i], &part, group[i], err));
        gm_cell_work_add(&here, gm_study_work(&part, group[i]));
    }
    for (size_t i = 0; i < s->n_cells; i++) gm_cell_work_add(&all, gm_study_work(s, &s->cell[i]));

    double start = gm_now();
    GM_TRY(gm_measure_texts(&part, group, plan, n, err));
    double middle = gm_now();
    GM_TRY(gm_measure_cost(&part, group, plan, n, err));
    double end = gm_now();
    *seconds = all.generated / here.generated * (middle - start) +
               (here.fixed > 0 ? all.fixed / here.fixed * (end - middle) : 0);
out:
    for (size_t i = 0; i < n; i++) {
        gm_plan_clear(&plan[i]);
        gm_cell_reset(group[i]);
    }
    return status;
}
