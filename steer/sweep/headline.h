/* headline.h - the headline figure in memory (inside steer/sweep/). */
#ifndef GM_HEADLINE_H
#define GM_HEADLINE_H

#include "steer/sweep/verdict.h"

/* Append the figure as PNG. Errors: those of gm_figure_curves_png; GM_EMEM. */
gm_status gm_headline_png(const gm_study *study, const gm_outcomes *outcomes, gm_text *png,
                          gm_error *err) GM_MUST_USE;

#endif
