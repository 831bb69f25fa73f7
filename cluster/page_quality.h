/* page_quality.h - the quality figures and parameters of an atlas on its page (inside cluster/). */
#ifndef GM_PAGE_QUALITY_H
#define GM_PAGE_QUALITY_H

#include "figures/html.h"
#include "formats/atlas.h"

/* Lights: a list of what to trust and what to doubt, each with its figure and its limits; what
 * the atlas does not say is "not computed". Errors: GM_EFORMAT, GM_EMEM. */
gm_status gm_page_put_lights(gm_html *page, const gm_atlas *atlas, gm_error *err) GM_MUST_USE;

/* A section with every member of a JSON object as a row; `explained`: with what it means. */
gm_status gm_page_put_json(gm_html *page, const char *title, const char *json, bool explained,
                           gm_error *err) GM_MUST_USE;

#endif
