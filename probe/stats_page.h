/* stats_page.h - private to probe: what gm-probe stats says, as one HTML file that works offline:
 * the tables and pictures, every text of a corpus escaped, the same bytes for the same trace.
 */
#ifndef GM_STATS_PAGE_H
#define GM_STATS_PAGE_H

#include "probe/against.h"
#include "probe/stats_expert.h"

typedef struct gm_stats_page_options {
    const char *trace;    /* its file, for title and footer */
    const char *against;  /* the file of a second trace; NULL: none */
    const size_t *subset; /* (n_subsets) that get a picture */
    size_t n_subsets;
    const gm_expert_view *view; /* (n_views) experts asked for */
    size_t n_views;
    const gm_tokenizer *tokenizer; /* spells tokens; may be NULL */
    size_t top;                    /* experts named for each subset */
    bool replace;
} gm_stats_page_options;

/* GM_EEXIST, GM_EBUSY, GM_EIO, GM_EMEM. */
gm_status gm_stats_page_write(const gm_stats *stats, const gm_stats_page_options *options,
                              const char *path, gm_error *err) GM_MUST_USE;
/* Of the options only trace, against and replace are read. */
gm_status gm_against_page_write(const gm_against *against, const gm_stats_page_options *options,
                                const char *path, gm_error *err) GM_MUST_USE;

#endif
