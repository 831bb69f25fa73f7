/* page.h - a finished study as a page to read. */
#ifndef GM_PAGE_H
#define GM_PAGE_H

#include "steer/sweep/scores.h"

/* One HTML file with everything in it; `config` is the protocol as JSON. */
gm_status gm_page_write(const gm_study *study, const gm_outcomes *outcomes, const char *config,
                        const char *path, bool replace, gm_error *err) GM_MUST_USE;

#endif
