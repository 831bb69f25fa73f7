/* stats_figures.h - private to probe: pictures of what gm-probe stats counted, as PNG for a page
 * or as files for papers.
 */
#ifndef GM_STATS_FIGURES_H
#define GM_STATS_FIGURES_H

#include "probe/against.h"
#include "probe/stats.h"

/* Where a picture goes: to *png when `path` is NULL, otherwise to the file `path` (PNG or SVG by
 * its ending). */
typedef struct gm_picture_target {
    gm_text *png;
    const char *path;
    bool replace;
} gm_picture_target;

/* The pictures that there are. */
typedef enum gm_stats_figure {
    GM_FIGURE_LOAD,        /* layers x experts: share of the choices */
    GM_FIGURE_ROUTER,      /* entropy, mass, margin by position, phases below each other */
    GM_FIGURE_REUSE,       /* experts shared with the token before, guessed from the layer before */
    GM_FIGURE_CACHE,       /* hits of LRU by size of cache, in three layers */
    GM_FIGURE_INFORMATION, /* bits that an expert tells of subset and token id, by layer */
    GM_FIGURE_TOGETHER,    /* experts x experts in three layers: log2 of P(j | i) over P(j) */
    GM_FIGURE_NEXT,        /* the same, j of the next layer */
    GM_FIGURE_OUTPUTS,     /* layers x experts: REAP, and share of EAN */
    GM_FIGURE_SUBSET,      /* layers x experts: OLMoE's specialisation and risk difference */
    GM_N_STATS_FIGURES
} gm_stats_figure;

/* Has the trace what the figure shows? */
bool gm_stats_figure_there(const gm_stats *stats, gm_stats_figure figure);

/* Draw one; `subset` is for GM_FIGURE_SUBSET. GM_EEXIST, GM_EBUSY, GM_EIO, GM_EMEM, GM_EARG. */
gm_status gm_stats_figure_draw(const gm_stats *stats, gm_stats_figure figure, size_t subset,
                               const gm_picture_target *to, gm_error *err) GM_MUST_USE;

/* Agreement of two traces by margin and by layer. */
gm_status gm_against_figure(const gm_against *against, const gm_picture_target *to, gm_error *err)
    GM_MUST_USE;

/* All that are there, those of the subsets given (n), as PNG and SVG files in `folder`, which is
 * made when it is not there. Errors as above. */
gm_status gm_stats_write_figures(const gm_stats *stats, const size_t *subset, size_t n,
                                 const char *folder, bool replace, gm_error *err) GM_MUST_USE;
gm_status gm_against_write_figures(const gm_against *against, const char *folder, bool replace,
                                   gm_error *err) GM_MUST_USE;

#endif
