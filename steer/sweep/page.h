/* page.h - a finished study as a page to read, and its headline figure: what steering does to
 * the topic against what it does to all predictions, with random experts.
 */
#ifndef GM_PAGE_H
#define GM_PAGE_H

#include "steer/sweep/scores.h"

/* PNG or SVG by the ending of `path`. GM_EEXIST unless `replace`, GM_EBUSY, GM_EIO, GM_EMEM. */
gm_status gm_page_figure(const gm_study *study, const gm_outcomes *outcomes, const char *path,
                         bool replace, gm_error *err) GM_MUST_USE;

/* One HTML file with everything in it; `config` is the protocol as JSON. */
gm_status gm_page_write(const gm_study *study, const gm_outcomes *outcomes, const char *config,
                        const char *path, bool replace, gm_error *err) GM_MUST_USE;

#endif
