/* stats.c - gm-probe stats: what a trace says of its experts. */
#include <stdio.h>

#include "base/cli.h"
#include "probe/gm_probe.h"
#include "probe/stats.h"

static const char DETAILS[] =
    "By layer: how evenly the choices fall (Gini, CV, largest over mean, experts never chosen, "
    "the\n"
    "fewest experts with half of all choices, entropy in bits); entropy of the gates, mass of the\n"
    "chosen, margin; bits that an expert tells of the document's subset, beside what they are "
    "when\n"
    "the subsets are dealt out anew among the documents. By position and phase: the router again.\n"
    "By subset: the experts whose probability is raised most (risk difference), with OLMoE's\n"
    "specialisation P(expert | subset), lift and nPMI. --json has every layer, expert and subset.\n"
    "Definitions: probe/measures.h.\n";

typedef struct stats_options {
    int64_t top, permutations, seed;
    bool json, quiet;
} stats_options;

static gm_status tell(const char *path, const stats_options *o, gm_error *err)
{
    gm_status status = GM_OK;
    gm_trace *trace = NULL;
    gm_json_out out = {0};
    gm_stats stats = {0};
    GM_TRY(gm_trace_open(&trace, path, err));
    GM_TRY(gm_stats_count(&stats, trace, (int)o->permutations, (uint64_t)o->seed, o->quiet, err));
    if (o->json) {
        gm_json_open_object(&out, NULL);
        GM_TRY(gm_stats_put(&stats, &out, err));
        gm_json_close_object(&out);
        GM_TRY(gm_json_out_done(&out, err));
        printf("%s\n", out.text.at);
    } else {
        GM_TRY(gm_stats_print(&stats, (size_t)o->top, err));
    }
out:
    gm_text_clear(&out.text);
    gm_stats_clear(&stats);
    gm_trace_close(trace);
    return status;
}

int gm_probe_stats(int argc, char **argv)
{
    gm_error err = {0};
    stats_options o = {.top = 3, .permutations = 99, .seed = 1};
    const gm_opt opts[] = {
        {GM_OPT_I64, "top", &o.top, 0, 1000, "N", "experts to list for each subset"},
        {GM_OPT_I64, "permutations", &o.permutations, 0, 10000, "N",
         "times that the subsets are dealt out anew"},
        {GM_OPT_I64, "seed", &o.seed, 0, 4294967295.0, "N", "of the permutations"},
        {GM_OPT_FLAG, "json", &o.json, 0, 0, NULL, "print one JSON object"},
        {GM_OPT_FLAG, "quiet", &o.quiet, 0, 0, NULL, "no progress on stderr"},
        {.kind = GM_OPT_END_}};
    gm_status status = gm_opt_parse("gm-probe stats TRACE", DETAILS, opts, &argc, argv, &err);
    if (status == GM_OK && argc != 2)
        status = gm_fail(&err, GM_EARG, "expected one trace, found %d", argc - 1);
    if (status != GM_OK) return gm_cli_end("gm-probe", "stats", status, true, &err);
    gm_catch_signals();
    return gm_cli_end("gm-probe", "stats", tell(argv[1], &o, &err), false, &err);
}
