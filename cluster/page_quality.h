/* page_quality.h - the quality figures and parameters of an atlas on its page (inside cluster/). */
#ifndef GM_PAGE_QUALITY_H
#define GM_PAGE_QUALITY_H

#include "figures/html.h"
#include "formats/atlas.h"

/* The verdict (cluster_verdict.h) as a list: doubts first, each with a mark; one line that says so
 * when the atlas has none. Errors: GM_EFORMAT, GM_EMEM. */
gm_status gm_page_put_lights(gm_html *page, const gm_atlas *atlas, gm_error *err) GM_MUST_USE;

/* A section with every member of a JSON object as a row; `explained`: with what it means, and
 * without what the lights say. */
gm_status gm_page_put_json(gm_html *page, const char *title, const char *json, bool explained,
                           gm_error *err) GM_MUST_USE;

#endif
