/* report.c - an atlas as one self-contained HTML page, and its pictures as files. */
#include "cluster/report.h"

#include "base/arena.h"
#include "base/folder.h"
#include "base/outfile.h"
#include "base/progress.h"
#include "base/text.h"
#include "cluster/atlas_page.h"
#include "cluster/report_figures.h"

#include <stdio.h>
#include <string.h>

enum { DEFAULT_HEATMAPS = 40, PATH_BYTES = 4096, MAX_SNIPPET = 100000 };

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

/* What no font here can write, and how many such texts there are. */
typedef struct unwritten {
    const char *first;
    size_t n;
} unwritten;

static bool can_write(const char *text, unwritten *left)
{
    if (text == NULL || gm_fonts_can(text)) return true; /* NULL: "" */
    if (left->n++ == 0) left->first = text;
    return false;
}

/* The atlas as pictures show it: of a cluster's keywords those that can be written, further up
 * where others are missing; a subset whose name cannot be is its number. */
static gm_status make_writable(gm_atlas *out, const gm_atlas *atlas, gm_arena *arena,
                               unwritten *left, gm_error *err)
{
    const size_t C = atlas->n_clusters, S = atlas->n_subsets;
    const char **keyword = gm_arena_alloc(arena, C * GM_N_KEYWORDS, sizeof *keyword);
    const char **subset = gm_arena_alloc(arena, S, sizeof *subset);
    if (!keyword || !subset) return gm_fail(err, GM_EMEM, "no memory for the pictures' words");
    for (size_t c = 0; c < C; c++) {
        const char **to = keyword + c * GM_N_KEYWORDS;
        for (size_t k = 0; k < GM_N_KEYWORDS; k++) to[k] = "";
        for (size_t k = c * GM_N_KEYWORDS; k < (c + 1) * GM_N_KEYWORDS; k++)
            if (can_write(atlas->keyword[k], left)) *to++ = atlas->keyword[k];
    }
    for (size_t s = 0; s < S; s++) {
        char number[32];
        subset[s] = atlas->subset_name[s];
        if (can_write(subset[s], left)) continue;
        int n = snprintf(number, sizeof number, "subset %zu", s);
        subset[s] = gm_arena_text(arena, number, (size_t)n);
        if (subset[s] == NULL) return gm_fail(err, GM_EMEM, "no memory for the pictures' words");
    }
    *out = *atlas;
    out->keyword = keyword;
    out->subset_name = subset;
    return GM_OK;
}

static void tell_of_unwritten(const unwritten *left)
{
    char text[64], others[64] = "";
    if (left->n == 0) return;
    gm_text_escape(text, sizeof text, left->first, strlen(left->first));
    if (left->n > 1)
        snprintf(others, sizeof others, " and of %zu other%s", left->n - 1,
                 left->n > 2 ? " words or names" : " word or name");
    gm_warn("no installed font has all characters of '%s'%s, which the pictures leave out; install "
            "one that does (Debian: fonts-dejavu-core, fonts-noto-cjk)",
            text, others);
}

static gm_status draw_figures(const gm_atlas *atlas, const gm_report_options *options, size_t most,
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

static gm_status write_figures(const gm_atlas *atlas, const gm_report_options *options, size_t most,
                               gm_error *err)
{
    gm_status status = GM_OK;
    gm_arena arena = {0};
    gm_atlas shown;
    unwritten left = {0};
    GM_TRY(make_writable(&shown, atlas, &arena, &left, err));
    GM_TRY(draw_figures(&shown, options, most, err));
    tell_of_unwritten(&left);
out:
    gm_arena_clear(&arena);
    return status;
}

gm_status gm_report_check(const gm_report_options *options, gm_error *err)
{
    gm_status status = GM_OK;
    char first[32];
    snprintf(first, sizeof first, "map-clusters.%s", options->ending ? options->ending : "png");
    if (options->html) GM_TRY(gm_outfile_check(options->html, options->replace, err));
    if (options->figures)
        GM_TRY(gm_picture_folder_check(options->figures, first, options->replace, err));
out:
    return status;
}

gm_status gm_report_write(const gm_atlas *atlas, const gm_report_options *options, gm_error *err)
{
    gm_status status = GM_OK;
    size_t most = options->max_heatmaps > 0 ? (size_t)options->max_heatmaps : DEFAULT_HEATMAPS;
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
    if (strcmp(text, "none") != 0 && (!gm_parse_i64(text, &n) || n < 1 || n > MAX_SNIPPET))
        return gm_fail(err, GM_EARG,
                       "--snippets is '%s', expected auto, none or a number from 1 to %d", text,
                       MAX_SNIPPET);
    *snippet = (int)n;
    return GM_OK;
}
