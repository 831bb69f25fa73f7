/* report_figures.h - the pictures of an atlas (inside cluster/). */
#ifndef GM_REPORT_FIGURES_H
#define GM_REPORT_FIGURES_H

#include "figures/figures.h"
#include "formats/atlas.h"

/* A cluster's place on the map, and its colour everywhere. */
typedef struct gm_cluster_place {
    float middle[2]; /* the members' median, axis by axis; 0 when there are none */
    bool found;      /* there are some */
    gm_rgb colour;   /* few clusters: gm_palette; many: gm_palette_polar around the map's middle */
} gm_cluster_place;

/* *out (C) is the caller's. Errors: GM_EMEM. */
gm_status gm_report_places(gm_cluster_place **out, const gm_atlas *atlas, gm_error *err)
    GM_MUST_USE;

typedef enum gm_map_colouring { GM_MAP_BY_CLUSTER, GM_MAP_BY_SUBSET } gm_map_colouring;

/* The map of documents. The picture goes to *png when `path` is NULL, otherwise to
 * the file `path` (PNG or SVG by its ending). */
gm_status gm_report_map(const gm_atlas *atlas, gm_map_colouring colouring, gm_text *png,
                        const char *path, bool replace, gm_error *err) GM_MUST_USE;

/* The heatmap pair of a cluster: usage of all experts, and of the important ones
 * alone, as multiples of the uniform rate. Output as above. */
gm_status gm_report_heat(const gm_atlas *atlas, size_t cluster, gm_text *png, const char *path,
                         bool replace, gm_error *err) GM_MUST_USE;

#endif
