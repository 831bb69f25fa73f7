/* report_figures.c - the pictures of an atlas: two maps and a heatmap pair a cluster. */
#include "cluster/report_figures.h"

#include "cluster/summary.h"

#include <math.h>
#include <stdio.h>

enum { LABEL_BYTES = 64, LABEL_WORDS = 4, FEW = 8 };

/* The mean of the middles, and the largest distance from it. */
static double find_extent(double centre[2], const gm_cluster_place *place, size_t n)
{
    double radius = 0, found = 0;
    centre[0] = centre[1] = 0;
    for (size_t c = 0; c < n; c++)
        if (place[c].found) {
            centre[0] += (double)place[c].middle[0], centre[1] += (double)place[c].middle[1];
            found++;
        }
    if (found > 0) centre[0] /= found, centre[1] /= found;
    for (size_t c = 0; c < n; c++)
        if (place[c].found)
            radius = fmax(radius, hypot((double)place[c].middle[0] - centre[0],
                                        (double)place[c].middle[1] - centre[1]));
    return radius > 0 ? radius : 1;
}

gm_status gm_report_places(gm_cluster_place **out, const gm_atlas *atlas, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t n = atlas->n_clusters;
    double centre[2];
    gm_members members = {0};
    gm_cluster_place *place = gm_alloc(n, sizeof *place);
    *out = NULL;
    if (place == NULL) GM_FAIL(GM_EMEM, "no memory for %zu clusters", n);
    GM_TRY(gm_members_find(&members, atlas->cluster, atlas->n, n, err));
    for (size_t c = 0; c < n; c++) {
        const gm_some own = gm_some_of(&members, c);
        place[c].found = own.n > 0;
        if (own.n > 0) GM_TRY(gm_median_place(place[c].middle, atlas, own, err));
    }
    double radius = find_extent(centre, place, n);
    for (size_t c = 0; c < n; c++) {
        double x = (double)place[c].middle[0] - centre[0],
               y = (double)place[c].middle[1] - centre[1];
        place[c].colour = n <= FEW ? gm_palette((int)c, (int)n)
                                   : gm_palette_polar(atan2(y, x), hypot(x, y) / radius, (int)c);
    }
    *out = place;
    place = NULL;
out:
    gm_members_clear(&members);
    gm_free(place);
    return status;
}

static gm_status put_map(const gm_map_figure *figure, gm_text *png, const char *path, bool replace,
                         gm_error *err)
{
    return path ? gm_figure_map(figure, path, replace, err) : gm_figure_map_png(figure, png, err);
}

static gm_status map_by_cluster(const gm_atlas *atlas, gm_text *png, const char *path, bool replace,
                                gm_error *err)
{
    gm_status status = GM_OK;
    size_t n_labels = 0;
    char subtitle[160];
    char(*title)[LABEL_BYTES] = gm_alloc(atlas->n_clusters, sizeof *title);
    gm_map_label *label = gm_alloc(atlas->n_clusters, sizeof *label);
    gm_rgb *colour = gm_alloc(atlas->n_clusters, sizeof *colour);
    gm_cluster_place *place = NULL;
    if (title == NULL || label == NULL || colour == NULL)
        GM_FAIL(GM_EMEM, "no memory for %zu labels", atlas->n_clusters);

    GM_TRY(gm_report_places(&place, atlas, err));
    for (size_t c = 0; c < atlas->n_clusters; c++) {
        colour[c] = place[c].colour;
        if (!place[c].found) continue;
        int n = snprintf(title[c], LABEL_BYTES, "%zu ", c);
        gm_cluster_title(atlas, c, LABEL_WORDS, title[c] + n, LABEL_BYTES - (size_t)n);
        label[n_labels++] =
            (gm_map_label){place[c].middle[0], place[c].middle[1], title[c], (int)c};
    }
    snprintf(subtitle, sizeof subtitle,
             "%zu document%s, %zu cluster%s, %zu without a cluster (grey)", atlas->n,
             gm_plural(atlas->n), atlas->n_clusters, gm_plural(atlas->n_clusters),
             gm_atlas_n_noise(atlas));
    GM_TRY(put_map(&(gm_map_figure){.title = "Documents by the experts they use",
                                    .subtitle = subtitle,
                                    .n = atlas->n,
                                    .xy = atlas->xy,
                                    .group = atlas->cluster,
                                    .n_groups = (int)atlas->n_clusters,
                                    .colour = colour,
                                    .label = label,
                                    .n_labels = n_labels},
                   png, path, replace, err));
out:
    gm_free(place);
    gm_free(colour);
    gm_free(label);
    gm_free(title);
    return status;
}

static gm_status map_by_subset(const gm_atlas *atlas, gm_text *png, const char *path, bool replace,
                               gm_error *err)
{
    gm_status status = GM_OK;
    int32_t *group = gm_alloc(atlas->n, sizeof *group);
    if (group == NULL) GM_FAIL(GM_EMEM, "no memory for %zu documents", atlas->n);
    for (size_t i = 0; i < atlas->n; i++) group[i] = atlas->subset[i];
    GM_TRY(put_map(
        &(gm_map_figure){.title = "The same map by subset",
                         .subtitle =
                             "colour: each document's subset, which was not used to make the map",
                         .n = atlas->n,
                         .xy = atlas->xy,
                         .group = group,
                         .n_groups = (int)atlas->n_subsets,
                         .legend = atlas->subset_name},
        png, path, replace, err));
out:
    gm_free(group);
    return status;
}

gm_status gm_report_map(const gm_atlas *atlas, gm_map_colouring colouring, gm_text *png,
                        const char *path, bool replace, gm_error *err)
{
    return colouring == GM_MAP_BY_CLUSTER ? map_by_cluster(atlas, png, path, replace, err)
                                          : map_by_subset(atlas, png, path, replace, err);
}

gm_status gm_report_heat(const gm_atlas *atlas, size_t cluster, gm_text *png, const char *path,
                         bool replace, gm_error *err)
{
    gm_status status = GM_OK;
    size_t n = (size_t)atlas->n_layers * (size_t)atlas->n_experts;
    char title[160];
    bool any = false;
    float *all = gm_alloc(n, sizeof *all), *important = gm_alloc(n, sizeof *important);
    if (all == NULL || important == NULL) GM_FAIL(GM_EMEM, "no memory for a heatmap");

    for (size_t i = 0; i < n; i++) {
        all[i] = atlas->usage[cluster * n + i] * (float)n;
        important[i] = atlas->important[cluster * n + i] ? all[i] : 0;
        any |= atlas->important[cluster * n + i] != 0;
    }
    int at = snprintf(title, sizeof title, "Cluster %zu: ", cluster);
    gm_cluster_title(atlas, cluster, GM_N_KEYWORDS, title + at, sizeof title - (size_t)at);
    const gm_heat_panel panel[] = {{"all experts", all, false, "x uniform"},
                                   {any ? "important experts only" : "important experts: none",
                                    important, false, "x uniform"}};
    const gm_heat_figure figure = {.title = title,
                                   .panel = panel,
                                   .n_panels = 2,
                                   .rows = atlas->n_layers,
                                   .cols = atlas->n_experts,
                                   .row_number = atlas->layer_of_moe,
                                   .row_axis = "layer",
                                   .col_axis = "expert"};
    GM_TRY(path ? gm_figure_heat(&figure, path, replace, err)
                : gm_figure_heat_png(&figure, png, err));
out:
    gm_free(important);
    gm_free(all);
    return status;
}
