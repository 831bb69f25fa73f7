/* report_command.c - gm-cluster report: an atlas as a page and as pictures. */
#include "base/cli.h"
#include "cluster/cluster_commands.h"
#include "cluster/from_atlas.h"
#include "cluster/report.h"
#include "text/terminal.h"

#include <stdio.h>

/* The trace that `path` names must be the atlas's; the one the atlas itself names may be gone,
 * which a line on standard error says. */
static gm_status open_trace(gm_trace **out, const gm_atlas *atlas, const char *path, gm_error *err)
{
    *out = NULL;
    if (!path && (!atlas->trace_path || !atlas->trace_path[0])) return GM_OK;
    gm_status status = gm_atlas_open_trace(out, atlas, path, err);
    if (status == GM_OK || path || status == GM_EMEM) return status;
    fputs("gm-cluster report: without texts and shares of experts, because the trace cannot be "
          "used: ",
          stderr);
    gm_print_text(stderr, 0, err->text);
    fputc('\n', stderr);
    *err = (gm_error){0};
    return GM_OK;
}

int gm_cluster_report(int argc, char **argv)
{
    int ending = 0;
    bool usage = true;
    gm_error err = {0};
    gm_atlas *atlas = NULL;
    gm_trace *trace = NULL;
    int64_t heatmaps = 40;
    const char *trace_path = NULL, *snippets = NULL;
    gm_report_options how = {0};
    const gm_opt opts[] = {
        {.kind = GM_OPT_TEXT,
         .name = "o",
         .value = &how.html,
         .arg = "FILE",
         .help = "HTML page to write"},
        {GM_OPT_TEXT, "trace", &trace_path, 0, 0, "FILE", "the atlas's trace, if it has moved"},
        {GM_OPT_TEXT, "snippets", &snippets, 0, 0, "N", GM_SNIPPETS_HELP},
        {GM_OPT_TEXT, "figures", &how.figures, 0, 0, "DIR", "folder for figures"},
        {GM_OPT_CHOICE, "format", &ending, 0, 0, "png|svg", "format of the figures"},
        {GM_OPT_I64, "heatmaps", &heatmaps, 1, 10000, "N",
         "number of clusters that get a heatmap figure"},
        {GM_OPT_FLAG, "force", &how.replace, 0, 0, NULL, "replace existing files"},
        {.kind = GM_OPT_END_},
    };
    gm_status status = gm_opt_parse(
        "gm-cluster report ATLAS -o PAGE.html [--figures DIR]",
        "Writes what 'gm-cluster fit --report' writes, for an existing atlas. The page is one\n"
        "file and works offline. Its texts are read from the trace.\n"
        "  gm-cluster report run.atlas.h5 -o run.html --figures figures --format svg\n",
        opts, &argc, argv, &err);
    if (status == GM_OK && argc != 2)
        status = gm_fail(&err, GM_EARG, "expected one atlas, found %d", argc - 1);
    if (status == GM_OK && how.html == NULL && how.figures == NULL)
        status = gm_fail(&err, GM_EARG, "there is nothing to write; give -o FILE or --figures DIR");
    if (status == GM_OK) status = gm_report_read_snippets(&how.snippet, snippets, &err);
    if (status != GM_OK) goto out;
    usage = false;
    how.ending = ending ? "svg" : "png";
    how.max_heatmaps = (int)heatmaps;
    GM_TRY(gm_atlas_open(&atlas, argv[1], &err));
    if (how.html) GM_TRY(open_trace(&trace, atlas, trace_path, &err));
    how.trace = trace;
    how.name = argv[1];
    GM_TRY(gm_report_check(&how, &err));
    GM_TRY(gm_report_write(atlas, &how, &err));
out:
    gm_trace_close(trace);
    gm_atlas_close(atlas);
    return gm_cli_end("gm-cluster", "report", status, usage, &err);
}
