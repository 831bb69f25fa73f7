/* contrast_figure.c - how two groups differ, as heatmaps: see contrast_groups.h. */
#include "figures/figures.h"
#include "probe/contrast_groups.h"

#include <math.h>
#include <stdio.h>

gm_status gm_contrast_figure(const gm_contrast_groups *g, const gm_contrast_expert *expert,
                             double alpha, const char *path, bool replace, gm_error *err)
{
    const size_t LE = g->data.L * g->data.E;
    char title[80];
    float *value = gm_alloc2(2, LE, sizeof *value);
    if (value == NULL) return gm_fail(err, GM_EMEM, "no memory for a picture");
    for (size_t j = 0; j < LE; j++) {
        const bool differs = !(expert[j].p > alpha); /* NaN: without permutations all are shown */
        value[j] = differs ? (float)expert[j].difference : NAN;
        value[LE + j] = differs ? (float)expert[j].log_ratio : NAN;
    }
    snprintf(title, sizeof title, "How two groups use the experts (grey: p > %g)", alpha);
    const gm_heat_panel panel[] = {
        {.title = "rate, less that of the others", .value = value, .diverging = true},
        {.title = "log of the ratio of the rates",
         .value = value + LE,
         .diverging = true,
         .unit = "nats"}};
    const gm_heat_figure figure = {.title = title,
                                   .panel = panel,
                                   .n_panels = 2,
                                   .rows = (int)g->data.L,
                                   .cols = (int)g->data.E,
                                   .row_number = g->info->layer_of_moe,
                                   .row_axis = "layer",
                                   .col_axis = "expert"};
    gm_status status = gm_figure_heat(&figure, path, replace, err);
    gm_free(value);
    return status;
}
