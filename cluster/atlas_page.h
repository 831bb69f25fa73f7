/* atlas_page.h - the page of an atlas: an interactive map, and tables that need no script
 * (inside cluster/).
 */
#ifndef GM_ATLAS_PAGE_H
#define GM_ATLAS_PAGE_H

#include "cluster/report.h"
#include "figures/html.h"

/* Write the whole page into *page, which the caller clears. At most options->most_bytes when the
 * beginnings of texts, which are cut for that, can be short enough. Errors: GM_EARG for
 * more than GM_PAGE_MOST_CLUSTERS; those of the trace; GM_EFORMAT for notes of the atlas that are
 * not JSON; GM_EMEM. */
gm_status gm_atlas_page(gm_html *page, const gm_atlas *atlas, const gm_report_options *options,
                        gm_error *err) GM_MUST_USE;

#endif
