/* report.c - an atlas as one self-contained HTML page, and its pictures as files. */
#include "cluster/report.h"

#include <stdio.h>
#include <string.h>

#include "base/folder.h"
#include "base/outfile.h"
#include "base/text.h"
#include "cluster/atlas_page.h"
#include "cluster/report_figures.h"

enum { DEFAULT_HEATMAPS = 40, PATH_BYTES = 4096, MOST_SNIPPET = 100000 };

static gm_status write_page(const gm_atlas *atlas, const gm_report_options *options, gm_error *err)
{
    gm_status status = GM_OK;
    gm_html page = {0};
    GM_TRY(gm_atlas_page(&page, atlas, options, err));
    GM_TRY(gm_outfile_write(options->html, options->replace, page.text.at, page.text.n, err));
out:
    gm_html_clear(&page);
    return status;
}

static gm_status write_figures(const gm_atlas *atlas, const gm_report_options *options, size_t most,
                               gm_error *err)
{
    gm_status status = GM_OK;
    char path[PATH_BYTES];
    const char *folder = options->figures, *ending = options->ending ? options->ending : "png";
    GM_TRY(gm_folder_make(folder, err));
    if (strlen(folder) + 64 > sizeof path)
        GM_FAIL(GM_EARG, "the name of the folder '%s' is too long", folder);

    snprintf(path, sizeof path, "%s/map-clusters.%s", folder, ending);
    GM_TRY(gm_report_map(atlas, GM_MAP_BY_CLUSTER, NULL, path, options->replace, err));
    if (atlas->n_subsets > 0) {
        snprintf(path, sizeof path, "%s/map-subsets.%s", folder, ending);
        GM_TRY(gm_report_map(atlas, GM_MAP_BY_SUBSET, NULL, path, options->replace, err));
    }
    for (size_t c = 0; c < atlas->n_clusters && c < most; c++) {
        snprintf(path, sizeof path, "%s/cluster-%02zu.%s", folder, c, ending);
        GM_TRY(gm_report_heat(atlas, c, NULL, path, options->replace, err));
    }
out:
    return status;
}

gm_status gm_report_write(const gm_atlas *atlas, const gm_report_options *options, gm_error *err)
{
    gm_status status = GM_OK;
    size_t most = options->most_heatmaps > 0 ? (size_t)options->most_heatmaps : DEFAULT_HEATMAPS;
    if (options->html) GM_TRY(write_page(atlas, options, err));
    if (options->figures) GM_TRY(write_figures(atlas, options, most, err));
out:
    return status;
}

gm_status gm_report_read_snippets(int *snippet, const char *text, gm_error *err)
{
    int64_t n = 0;
    *snippet = -1;
    if (text == NULL || strcmp(text, "auto") == 0) return GM_OK;
    if (strcmp(text, "none") != 0 && (!gm_parse_i64(text, &n) || n < 1 || n > MOST_SNIPPET))
        return gm_fail(err, GM_EARG,
                       "--snippets is '%s', expected auto, none or a number from 1 to %d", text,
                       MOST_SNIPPET);
    *snippet = (int)n;
    return GM_OK;
}
