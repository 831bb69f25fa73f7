/* stats.c - gm-probe stats: what a trace says of its experts. */
#include <stdio.h>

#include "base/cli.h"
#include "probe/against.h"
#include "probe/gm_probe.h"
#include "probe/stats.h"

static const char DETAILS[] =
    "By layer: how evenly the choices fall (Gini, CV, largest over mean, experts never chosen, "
    "the\n"
    "fewest experts with half of all choices, entropy in bits); entropy of the gates, mass of the\n"
    "chosen, margin; bits that an expert tells of the document's subset, beside what they are "
    "when\n"
    "the subsets are dealt out anew among the documents. By position and phase: the router again.\n"
    "By token: bits that an expert tells of the token id, and OLMoE's vocabulary specialisation, "
    "the\n"
    "share of a token's occurrences that meet its most frequent expert, both beside a null of the "
    "ids\n"
    "dealt out anew; the two experts that are chosen together most beyond their loads (nPMI).\n"
    "By subset: the experts whose probability is raised most (risk difference), with OLMoE's\n"
    "specialisation P(expert | subset), lift and nPMI. --json has every layer, expert and subset.\n"
    "Definitions: probe/measures.h.\n"
    "\n"
    "With --against it says instead how far the two traces chose the same experts for the same\n"
    "tokens of the same documents: by layer, and by the margin in the first, which says what "
    "another\n"
    "kernel or precision could turn over. A pair is a token at a layer; same_set: all K experts;\n"
    "same_first: the strongest; shared: of K.\n";

typedef struct stats_options {
    const char *against;
    int64_t top, permutations, seed, vocabulary;
    bool json, quiet;
} stats_options;

static gm_status tell(const char *path, const stats_options *o, gm_error *err)
{
    gm_status status = GM_OK;
    gm_trace *trace = NULL;
    gm_json_out out = {0};
    gm_stats stats = {0};
    const gm_stats_options count = {.permutations = (int)o->permutations,
                                    .seed = (uint64_t)o->seed,
                                    .vocabulary = (size_t)o->vocabulary,
                                    .quiet = o->quiet};
    GM_TRY(gm_trace_open(&trace, path, err));
    GM_TRY(gm_stats_count(&stats, trace, &count, err));
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

/* Two traces instead of one. */
static gm_status compare(const char *path, const stats_options *o, gm_error *err)
{
    gm_status status = GM_OK;
    gm_trace *a = NULL, *b = NULL;
    gm_json_out out = {0};
    gm_against against = {0};
    GM_TRY(gm_trace_open(&a, path, err));
    GM_TRY(gm_trace_open(&b, o->against, err));
    GM_TRY(gm_against_compare(&against, a, b, o->quiet, err));
    if (o->json) {
        gm_json_open_object(&out, NULL);
        gm_against_put(&against, &out);
        gm_json_close_object(&out);
        GM_TRY(gm_json_out_done(&out, err));
        printf("%s\n", out.text.at);
    } else {
        gm_against_print(&against);
    }
out:
    gm_text_clear(&out.text);
    gm_against_clear(&against);
    gm_trace_close(a);
    gm_trace_close(b);
    return status;
}

int gm_probe_stats(int argc, char **argv)
{
    gm_error err = {0};
    stats_options o = {.top = 3, .permutations = 99, .seed = 1, .vocabulary = 16384};
    const gm_opt opts[] = {
        {GM_OPT_TEXT, "against", &o.against, 0, 0, "TRACE",
         "say how far another trace of the same documents agrees"},
        {GM_OPT_I64, "top", &o.top, 0, 1000, "N", "experts to list for each subset"},
        {GM_OPT_I64, "permutations", &o.permutations, 0, 10000, "N",
         "times that the subsets are dealt out anew"},
        {GM_OPT_I64, "seed", &o.seed, 0, 4294967295.0, "N", "of the permutations"},
        {GM_OPT_I64, "vocabulary", &o.vocabulary, 0, 1048576, "N",
         "token ids to count one by one, the most frequent; 0: none by token"},
        {GM_OPT_FLAG, "json", &o.json, 0, 0, NULL, "print one JSON object"},
        {GM_OPT_FLAG, "quiet", &o.quiet, 0, 0, NULL, "no progress on stderr"},
        {.kind = GM_OPT_END_}};
    gm_status status =
        gm_opt_parse("gm-probe stats TRACE [--against TRACE]", DETAILS, opts, &argc, argv, &err);
    if (status == GM_OK && argc != 2)
        status = gm_fail(&err, GM_EARG, "expected one trace, found %d", argc - 1);
    if (status != GM_OK) return gm_cli_end("gm-probe", "stats", status, true, &err);
    gm_catch_signals();
    status = (o.against ? compare : tell)(argv[1], &o, &err);
    return gm_cli_end("gm-probe", "stats", status, false, &err);
}
