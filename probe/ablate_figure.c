/* ablate_figure.c - what groups lose without each expert, as heatmaps: see ablate_table.h. */
#include "figures/figures.h"
#include "probe/ablate_table.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_PANELS = 4, TITLE = 96 };

/* Of the experts that were taken out alone. */
static double largest(const gm_ablate *a, size_t g)
{
    double most = -INFINITY;
    for (size_t x = 0; x < a->n_done; x++)
        if (a->out->at[x].n == 1) most = fmax(most, gm_ablate_rows(a, x)[g].loss.change);
    return most;
}

/* All documents, and the groups that lose most without some expert; how many. */
static size_t choose(const gm_ablate *a, size_t group[MAX_PANELS])
{
    size_t n = 1;
    group[0] = 0;
    for (size_t g = 1; g <= a->texts->n_groups; g++) {
        const double own = largest(a, g);
        if (!isfinite(own)) continue;
        size_t at = n < MAX_PANELS ? n++ : MAX_PANELS;
        for (; at > 1 && own > largest(a, group[at - 1]); at--)
            if (at < MAX_PANELS) group[at] = group[at - 1];
        if (at < MAX_PANELS) group[at] = g;
    }
    return n;
}

/* Bytes of a cluster's keywords that end with a keyword and are no more than `most`. */
static int whole_words(const char *words, size_t most)
{
    size_t n = strlen(words);
    if (n <= most) return (int)n;
    for (n = most; n > 0 && words[n] != ',';) n--;
    return (int)n;
}

/* A subset by its name, a cluster by number and keywords; by number alone where no font can more.
 */
static void name_panel(char title[TITLE], const gm_held_texts *t, size_t group)
{
    enum { MAX_WORDS = 48 };
    const char *name = group > 0 ? t->group_name[group - 1] : "all documents";
    const char *words = group > 0 && t->group_words ? t->group_words[group - 1] : "";
    const int n = whole_words(words, MAX_WORDS);
    snprintf(title, TITLE, "%s%.80s%s%.*s", n > 0 ? "cluster " : "", name, n > 0 ? ": " : "", n,
             words);
    if (gm_fonts_can(title)) return;
    if (n > 0)
        snprintf(title, TITLE, "cluster %.80s", name);
    else
        snprintf(title, TITLE, "group %zu of the table", group);
}

gm_status gm_ablate_figure(const gm_ablate *a, const char *path, bool replace, gm_error *err)
{
    const gm_model_info *info = gm_model_get_info(a->model);
    const size_t LE = (size_t)info->n_moe_layers * (size_t)info->n_experts;
    size_t group[MAX_PANELS];
    char title[MAX_PANELS][TITLE];
    gm_heat_panel panel[MAX_PANELS];
    const size_t n = choose(a, group);
    float *value = gm_alloc2(n, LE, sizeof *value);
    if (value == NULL) return gm_fail(err, GM_EMEM, "no memory for a picture");
    for (size_t i = 0; i < n * LE; i++) value[i] = NAN;
    for (size_t p = 0; p < n; p++) {
        name_panel(title[p], a->texts, group[p]);
        panel[p] = (gm_heat_panel){
            .title = title[p], .value = value + p * LE, .diverging = true, .unit = "nats a token"};
        for (size_t x = 0; x < a->n_done; x++)
            if (a->out->at[x].n == 1)
                value[p * LE + a->out->at[x].at[0]] =
                    (float)gm_ablate_rows(a, x)[group[p]].loss.change;
    }
    const gm_heat_figure figure = {.title =
                                       "Change of the loss without each expert (grey: not tried)",
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
