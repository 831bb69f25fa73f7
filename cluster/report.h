/* report.h - an atlas as pictures and as one self-contained HTML page. */
#ifndef GM_REPORT_H
#define GM_REPORT_H

#include "formats/atlas.h"
#include "formats/trace.h"

#define GM_REPORT_MAX_BYTES 5000000u

typedef struct gm_report_options {
    const char *html;    /* page to write; NULL: none */
    const char *name;    /* the atlas's file, for the page's title; NULL: none */
    const char *figures; /* folder for map-clusters, map-subsets and cluster-NN pictures;
                            made when it is missing; NULL: none */
    const char *ending;  /* of the pictures in `figures`: "png" (NULL) or "svg" */
    int max_heatmaps;    /* clusters, largest first, that get a heatmap picture; 0: 40 */
    bool replace;        /* existing files are replaced */
    gm_trace *trace;     /* what the atlas was made from, for what the page tells of single
                            documents: beginnings of texts, shares of experts; NULL: not there */
    int snippet;         /* characters of each text on the page; 0: no text; -1: 160, or as many
                            as fit into most_bytes */
    size_t most_bytes;   /* of the page; 0: GM_REPORT_MAX_BYTES */
} gm_report_options;

/* Could it be written, as far as that can be said before the work? The folder of pictures is made.
 * Errors: GM_EEXIST, GM_EIO, GM_EMEM. */
gm_status gm_report_check(const gm_report_options *options, gm_error *err) GM_MUST_USE;

/* Write what the options ask for. The page holds the verdict, an interactive map, the table of
 * clusters, a pair of heatmaps for the cluster that is chosen, the condensed tree, clusters against
 * subsets, the quality figures and the parameters. Same atlas and trace, same bytes. Errors:
 * GM_EARG when the trace is another one or there are more clusters than a page can show, GM_EEXIST,
 * GM_EBUSY, GM_EIO, GM_EMEM. */
gm_status gm_report_write(const gm_atlas *atlas, const gm_report_options *options, gm_error *err)
    GM_MUST_USE;

/* The value of --snippets: "auto" (or NULL), "none", or a number. Errors: GM_EARG. */
#define GM_SNIPPETS_HELP "characters of each text shown on the page: auto, none or a number"
gm_status gm_report_read_snippets(int *snippet, const char *text, gm_error *err) GM_MUST_USE;

#endif
