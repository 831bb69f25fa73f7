/* report.h - an atlas as pictures and as one self-contained HTML page. */
#ifndef GM_REPORT_H
#define GM_REPORT_H

#include "formats/atlas.h"

typedef struct gm_report_options {
    const char *html;    /* page to write; NULL: none */
    const char *figures; /* folder for map-clusters, map-subsets and cluster-NN pictures;
                            made when it is missing; NULL: none */
    const char *ending;  /* of the pictures in `figures`: "png" (NULL) or "svg" */
    int most_heatmaps;   /* clusters, largest first, that get a heatmap pair; 0: 40 */
    bool replace;        /* existing files are replaced */
} gm_report_options;

/* Write what the options ask for. The page holds the two maps (by cluster, by
 * subset), the table of clusters, a pair of heatmaps a cluster (all experts, and
 * the important ones: layers down, experts across), the quality figures and the
 * parameters. Same atlas, same bytes. Errors: GM_EEXIST, GM_EIO, GM_EMEM. */
gm_status gm_report_write(const gm_atlas *atlas, const gm_report_options *options, gm_error *err)
    GM_MUST_USE;

#endif
