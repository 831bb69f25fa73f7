/* stats_command.c - gm-probe stats: what a trace says of its experts. */
#include "base/cli.h"
#include "base/outfile.h"
#include "figures/figures.h"
#include "formats/find_subset.h"
#include "probe/against.h"
#include "probe/probe_commands.h"
#include "probe/stats_figures.h"
#include "probe/stats_page.h"
#include "probe/trace_tokenizer.h"

#include <stdio.h>
#include <string.h>

enum { SUBSETS_DRAWN = 3 };

static const char DETAILS[] =
    "By layer:\n"
    "  load: Gini, CV, largest over mean, experts never chosen, the fewest experts that make\n"
    "    up half of all choices, entropy in bits;\n"
    "  router: entropy of the gates, mass of the chosen experts, margin and, where logits\n"
    "    were recorded, entropy of the softmax over all experts; again by position and phase;\n"
    "  information: bits that an expert tells about the document's subset, beside a null in\n"
    "    which the subset labels are shuffled among the documents;\n"
    "  dropped: share of the choices beyond the capacity of the experts, at three capacity\n"
    "    factors, if each document is a batch or all tokens are one.\n"
    "From token to token, by layer:\n"
    "  how often the next token of a document has the same strongest expert, has any of the K\n"
    "    in common, and what share of the K, beside chance;\n"
    "  hits of a cache of experts that were used last (LRU), beside one of the most chosen;\n"
    "  guessed: how many of the K the experts of the layer before let guess (naive Bayes).\n"
    "Where norms were recorded, by layer and expert:\n"
    "  REAP, the mean of gate times norm of what the expert puts out, and EAN, the sum of these\n"
    "    norms: which experts matter most and least, whatever their number of choices.\n"
    "By token:\n"
    "  bits that an expert tells about the token id, and vocabulary specialisation (the share\n"
    "    of a token's occurrences that go to its most frequent expert), both beside a null of\n"
    "    shuffled ids;\n"
    "  the two experts, of one layer and of neighbouring layers, that are chosen together\n"
    "    most beyond what their loads explain (nPMI).\n"
    "By subset:\n"
    "  cosine of the usage of two documents, within one subset and between two, and how many\n"
    "    standard deviations lie between;\n"
    "  the experts whose probability the subset raises most (risk difference), with OLMoE's\n"
    "    specialisation P(expert | subset), lift and nPMI.\n"
    "Of a recorded generation: the cosine between the experts of the written text and those\n"
    "of its own prompt, and of the previous prompt. --json has every layer, expert and\n"
    "subset; --csv has a row for each layer and expert, of all documents (no subset), then of\n"
    "each subset. Definitions: probe/measures.h.\n"
    "\n"
    "With --against it compares two traces instead: how far they chose the same experts for\n"
    "the same tokens of the same documents, by layer and by the margin in the first trace\n"
    "(choices of small margin are those that other kernels or another precision can change).\n"
    "A pair is one token at one layer; same_set: all K experts are the same; same_first: the\n"
    "strongest is; shared: the share of the K. If both have --nll, it also prints the loss\n"
    "(ln of the perplexity) by subset, and its change: mean over tokens, 95 % interval over\n"
    "documents.\n"
    "  gm-probe stats run.trace.h5 --report stats.html --csv stats.csv\n"
    "  gm-probe stats bf16.trace.h5 --against int8.trace.h5\n"
    "  gm-probe stats plain.trace.h5 --against steered.trace.h5\n";

typedef struct stats_options {
    const char *against, *model, *report, *figures, *csv;
    gm_opt_list experts; /* "LAYER:ID" */
    gm_opt_list subsets; /* names */
    int64_t top, permutations, seed, vocabulary, support;
    bool olmoe, json, quiet, force;
} stats_options;

/* What was counted, and the experts that were asked for. */
typedef struct telling {
    gm_trace *trace;
    gm_stats stats;
    gm_tokenizer *tokenizer; /* NULL: tokens are not spelt */
    gm_expert_view *view;    /* (n) */
    size_t n;
    size_t *subset; /* (n_subsets) that are drawn */
    size_t n_subsets;
} telling;

static gm_status find_experts(telling *t, const stats_options *o, gm_error *err)
{
    gm_status status = GM_OK;
    t->view = gm_alloc(o->experts.n, sizeof *t->view);
    if (t->view == NULL) GM_FAIL(GM_EMEM, "no memory for %zu experts", o->experts.n);
    for (; t->n < o->experts.n; t->n++)
        GM_TRY(
            gm_expert_parse(&t->view[t->n], o->experts.at[t->n], gm_trace_get_info(t->trace), err));
out:
    return status;
}

/* The subsets of --subset. */
static gm_status find_subsets(telling *t, const gm_opt_list *wanted, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_trace_samples *samples = gm_trace_get_samples(t->trace);
    t->subset = gm_alloc(wanted->n + SUBSETS_DRAWN, sizeof *t->subset);
    if (t->subset == NULL) GM_FAIL(GM_EMEM, "no memory for %zu subsets", wanted->n);
    for (size_t i = 0; i < wanted->n; i++) {
        GM_TRY(gm_find_subset(&t->subset[i], wanted->at[i], samples->subset_name,
                              samples->n_subsets, "trace", err));
        t->n_subsets++;
    }
out:
    return status;
}

/* Where none is named: those of most tokens. */
static gm_status choose_subsets(telling *t, gm_error *err)
{
    gm_best best;
    if (t->n_subsets > 0) return GM_OK;
    gm_status status = gm_best_init(&best, SUBSETS_DRAWN, err);
    if (status != GM_OK) return status;
    for (size_t i = 0; i < t->stats.S; i++) gm_best_offer(&best, i, (double)t->stats.tokens[i]);
    for (; t->n_subsets < best.n; t->n_subsets++) t->subset[t->n_subsets] = best.at[t->n_subsets];
    gm_best_clear(&best);
    return GM_OK;
}

/* Say before the work what could not be written after it; but after the trace was found, for which
 * no folder is made in vain. */
static gm_status check_outputs(const stats_options *o, gm_error *err)
{
    gm_status status = GM_OK;
    if (o->report) GM_TRY(gm_outfile_check(o->report, o->force, err));
    if (o->csv) GM_TRY(gm_outfile_check(o->csv, o->force, err));
    if (o->figures)
        GM_TRY(gm_picture_folder_check(o->figures, o->against ? "agreement.png" : "load.png",
                                       o->force, err));
out:
    return status;
}

static gm_status draw_all(telling *t, const char *path, const stats_options *o, gm_error *err)
{
    gm_status status = GM_OK;
    if (o->report == NULL && o->figures == NULL) return GM_OK;
    GM_TRY(choose_subsets(t, err));
    if (o->report) {
        const gm_stats_page_options page = {.trace = path,
                                            .subset = t->subset,
                                            .n_subsets = t->n_subsets,
                                            .view = t->view,
                                            .n_views = t->n,
                                            .tokenizer = t->tokenizer,
                                            .top = (size_t)o->top,
                                            .replace = o->force};
        GM_TRY(gm_stats_page_write(&t->stats, &page, o->report, err));
    }
    if (o->figures)
        GM_TRY(
            gm_stats_write_figures(&t->stats, t->subset, t->n_subsets, o->figures, o->force, err));
out:
    return status;
}

static gm_status write_table(const gm_stats *stats, const stats_options *o, gm_error *err)
{
    gm_outfile *file = NULL;
    if (o->csv == NULL) return GM_OK;
    gm_status status = gm_outfile_open(&file, o->csv, o->force, err);
    if (status != GM_OK) return status;
    gm_stats_write_table(stats, gm_outfile_stream(file));
    return gm_outfile_commit(file, err);
}

static gm_status put_all(const telling *t, gm_error *err)
{
    gm_status status = GM_OK;
    gm_json_out out = {0};
    gm_json_open_object(&out, NULL);
    GM_TRY(gm_stats_put(&t->stats, &out, err));
    gm_json_open_array(&out, "asked");
    for (size_t i = 0; i < t->n; i++) gm_expert_put(&t->view[i], &t->stats, t->tokenizer, &out);
    gm_json_close_array(&out);
    gm_json_close_object(&out);
    GM_TRY(gm_cli_print_json(&out, err));
out:
    gm_text_clear(&out.text);
    return status;
}

static gm_status tell(const char *path, const stats_options *o, gm_error *err)
{
    gm_status status = GM_OK;
    telling t = {0};
    const gm_stats_options count = {.permutations = (int)o->permutations,
                                    .seed = (uint64_t)o->seed,
                                    .vocabulary = (size_t)o->vocabulary,
                                    .support = (uint64_t)o->support,
                                    .olmoe = o->olmoe,
                                    .quiet = o->quiet};
    GM_TRY(gm_trace_open(&t.trace, path, err));
    GM_TRY(find_experts(&t, o, err));
    GM_TRY(find_subsets(&t, &o->subsets, err));
    GM_TRY(gm_trace_tokenizer_open(&t.tokenizer, t.trace, o->model, err));
    GM_TRY(check_outputs(o, err));
    GM_TRY(gm_stats_count(&t.stats, t.trace, &count, err));
    if (t.n > 0) GM_TRY(gm_expert_find(t.view, t.n, (size_t)o->top, &t.stats, t.trace, err));
    GM_TRY(draw_all(&t, path, o, err));
    GM_TRY(write_table(&t.stats, o, err));
    if (o->json) {
        GM_TRY(put_all(&t, err));
    } else {
        GM_TRY(gm_stats_print(&t.stats, (size_t)o->top, err));
        for (size_t i = 0; i < t.n; i++) gm_expert_print(&t.view[i], &t.stats, t.tokenizer);
    }
out:
    for (size_t i = 0; i < t.n; i++) gm_expert_clear(&t.view[i]);
    gm_free(t.view);
    gm_free(t.subset);
    gm_tokenizer_close(t.tokenizer);
    gm_stats_clear(&t.stats);
    gm_trace_close(t.trace);
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
    GM_TRY(check_outputs(o, err));
    GM_TRY(gm_against_compare(&against, a, b, o->quiet, err));
    const gm_stats_page_options page = {.trace = path, .against = o->against, .replace = o->force};
    if (o->report) GM_TRY(gm_against_page_write(&against, &page, o->report, err));
    if (o->figures) GM_TRY(gm_against_write_figures(&against, o->figures, o->force, err));
    if (o->json) {
        gm_json_open_object(&out, NULL);
        gm_against_put(&against, &out);
        gm_json_close_object(&out);
        GM_TRY(gm_cli_print_json(&out, err));
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
    stats_options o = {.top = 3, .permutations = 99, .seed = 1, .vocabulary = 16384, .support = 30};
    const gm_opt opts[] = {
        {GM_OPT_TEXT, "against", &o.against, 0, 0, "TRACE",
         "compare with another trace of the same documents"},
        {GM_OPT_LIST, "expert", &o.experts, 0, 0, "LAYER:ID",
         "also list the top tokens and documents of this expert"},
        {GM_OPT_TEXT, "report", &o.report, 0, 0, "FILE", "HTML page to write"},
        {GM_OPT_TEXT, "csv", &o.csv, 0, 0, "FILE",
         "table to write: every expert, of all documents and of each subset"},
        {GM_OPT_TEXT, "figures", &o.figures, 0, 0, "DIR", "folder for figures (PNG and SVG)"},
        {GM_OPT_LIST, "subset", &o.subsets, 0, 0, "NAME",
         "subset whose experts are drawn; otherwise the three with most tokens"},
        {GM_OPT_FLAG, "force", &o.force, 0, 0, NULL, "replace existing files"},
        {GM_OPT_TEXT, "model", &o.model, 0, 0, "DIR",
         "model whose tokenizer spells out the tokens"},
        {GM_OPT_I64, "top", &o.top, 0, 1000, "N",
         "experts to list for each subset; tokens and documents for each expert"},
        {GM_OPT_I64, "permutations", &o.permutations, 0, 10000, "N",
         "permutations of the subset labels, for the null"},
        {GM_OPT_I64, "seed", &o.seed, 0, 4294967295.0, "N", "seed of the permutations"},
        {GM_OPT_I64, "vocabulary", &o.vocabulary, 0, 1048576, "N",
         "count this many frequent token ids one by one; 0: nothing by token"},
        {GM_OPT_I64, "min-support", &o.support, 0, 1e15, "N",
         "least number of joint tokens, found or expected by chance, for an nPMI"},
        {GM_OPT_FLAG, "olmoe", &o.olmoe, 0, 0, NULL,
         "--json: also vocabulary and co-activation as OLMoE's script counts them"},
        {GM_OPT_FLAG, "json", &o.json, 0, 0, NULL, "print one JSON object"},
        {GM_OPT_FLAG, "quiet", &o.quiet, 0, 0, NULL, "no progress on stderr"},
        {.kind = GM_OPT_END_}};
    gm_status status = gm_opt_parse("gm-probe stats TRACE [--against TRACE] [--report PAGE.html]",
                                    DETAILS, opts, &argc, argv, &err);
    if (status == GM_OK && o.against && (o.model || o.csv || o.experts.n > 0 || o.subsets.n > 0))
        status = gm_fail(&err, GM_EARG,
                         "--against cannot be combined with --expert, --subset, --csv or --model");
    if (status == GM_OK && o.subsets.n > 0 && !o.report && !o.figures)
        status = gm_fail(&err, GM_EARG, "--subset needs --report or --figures to draw it in");
    if (status == GM_OK && argc != 2)
        status = gm_fail(&err, GM_EARG, "expected one trace, found %d", argc - 1);
    int64_t unused[2];
    for (size_t i = 0; status == GM_OK && i < o.experts.n; i++)
        status = gm_expert_read(&unused[0], &unused[1], o.experts.at[i], &err);
    bool usage = status != GM_OK;
    if (!usage) {
        gm_catch_signals();
        status = (o.against ? compare : tell)(argv[1], &o, &err);
    }
    gm_opt_list_clear(&o.experts);
    gm_opt_list_clear(&o.subsets);
    return gm_cli_end("gm-probe", "stats", status, usage, &err);
}
