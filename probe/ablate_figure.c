/* ablate_figure.c - what groups lose without each expert, as heatmaps: see ablate_table.h. */
#include <math.h>
#include <stdio.h>

#include "figures/figures.h"
#include "probe/ablate_table.h"

enum { MOST_PANELS = 4, TITLE = 96 };

/* Of the experts that were taken out alone. */
static double largest(const gm_ablate *a, size_t g)
{
    double most = -INFINITY;
    for (size_t x = 0; x < a->n_done; x++)
        if (a->out->at[x].n == 1) most = fmax(most, gm_ablate_rows(a, x)[g].loss.change);
    return most;
}

/* All documents, and the groups that lose most without some expert; how many. */
static size_t choose(const gm_ablate *a, size_t group[MOST_PANELS])
{
    size_t n = 1;
    group[0] = 0;
    for (size_t g = 1; g <= a->texts->n_groups; g++) {
        const double own = largest(a, g);
        if (!isfinite(own)) continue;
        size_t at = n < MOST_PANELS ? n++ : MOST_PANELS;
        for (; at > 1 && own > largest(a, group[at - 1]); at--)
            if (at < MOST_PANELS) group[at] = group[at - 1];
        if (at < MOST_PANELS) group[at] = g;
    }
    return n;
}

gm_status gm_ablate_figure(const gm_ablate *a, const char *path, bool replace, gm_error *err)
{
    const gm_model_info *info = gm_model_get_info(a->model);
    const size_t LE = (size_t)info->n_moe_layers * (size_t)info->n_experts;
    size_t group[MOST_PANELS];
    char title[MOST_PANELS][TITLE];
    gm_heat_panel panel[MOST_PANELS];
    const size_t n = choose(a, group);
    float *value = gm_alloc2(n, LE, sizeof *value);
    if (value == NULL) return gm_fail(err, GM_EMEM, "no memory for a picture");
    for (size_t i = 0; i < n * LE; i++) value[i] = NAN;
    for (size_t p = 0; p < n; p++) {
        const char *name = group[p] > 0 ? a->texts->group_name[group[p] - 1] : "all documents";
        if (gm_fonts_can(name))
            snprintf(title[p], TITLE, "%.90s", name);
        else
            snprintf(title[p], TITLE, "group %zu of the table", group[p]);
        panel[p] = (gm_heat_panel){
            .title = title[p], .value = value + p * LE, .diverging = true, .unit = "nats a token"};
        for (size_t x = 0; x < a->n_done; x++)
            if (a->out->at[x].n == 1)
                value[p * LE + a->out->at[x].at[0]] =
                    (float)gm_ablate_rows(a, x)[group[p]].loss.change;
    }
    const gm_heat_figure figure = {.title = "Loss without each expert, change",
                                   .panel = panel,
                                   .n_panels = (int)n,
                                   .rows = info->n_moe_layers,
                                   .cols = info->n_experts,
                                   .row_number = info->layer_of_moe,
                                   .row_axis = "layer",
                                   .col_axis = "expert"};
    gm_status status = gm_figure_heat(&figure, path, replace, err);
    gm_free(value);
    return status;
}
