/* sweep_figure.h - the figure of a finished study: what steering does to the topic against what it
 * does to all predictions, with random experts; a panel a topic.
 */
#ifndef GM_SWEEP_FIGURE_H
#define GM_SWEEP_FIGURE_H

#include "steer/sweep/verdict.h"

/* Append it as PNG. Errors: those of gm_figure_curves_png; GM_EMEM. */
gm_status gm_sweep_figure_png(const gm_study *study, const gm_outcomes *outcomes, gm_text *png,
                              gm_error *err) GM_MUST_USE;

/* Write it, PNG or SVG by the ending of `path`. GM_EEXIST unless `replace`, GM_EBUSY, GM_EIO,
 * GM_EMEM. */
gm_status gm_sweep_figure_write(const gm_study *study, const gm_outcomes *outcomes,
                                const char *path, bool replace, gm_error *err) GM_MUST_USE;

#endif
