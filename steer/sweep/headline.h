/* headline.h - the headline figure in memory (inside steer/sweep/). */
#ifndef GM_HEADLINE_H
#define GM_HEADLINE_H

#include "steer/sweep/verdict.h"

gm_status gm_headline_png(const gm_study *study, const gm_outcomes *outcomes, gm_text *png,
                          gm_error *err) GM_MUST_USE;

#endif
