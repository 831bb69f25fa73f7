/* read_command.c - gm-probe read: texts of a trace, each token coloured by the expert that took
 * it.
 */
#include "base/cli.h"
#include "base/outfile.h"
#include "base/progress.h"
#include "formats/shape.h"
#include "probe/probe_commands.h"
#include "probe/reading_page.h"
#include "probe/stats_expert.h"
#include "probe/trace_tokenizer.h"

#include <inttypes.h>
#include <stdio.h>

static const char DETAILS[] =
    "The page is one file that needs no network. Choose a layer, and each token has the colour\n"
    "of its strongest expert; choose an expert, and tokens are shaded by its gate. Point at a\n"
    "token, or go there with the arrow keys, to see its experts, gates and margin, and its loss\n"
    "if collect had --nll. Above each text: how often it uses the layer's experts, beside the\n"
    "whole corpus.\n"
    "Without --doc, --subset and --expert it shows documents of the six largest subsets, spread\n"
    "evenly over each. With --expert it shows the documents that use the expert most, then the\n"
    "passages with its largest gates, one per document, with 32 tokens on either side.\n"
    "  gm-probe read run.trace.h5 --model GigaChat-20B-A3B-base -o texts.html\n"
    "  gm-probe read run.trace.h5 --model GigaChat-20B-A3B-base --expert 5:2 -o expert.html\n"
    "  gm-probe read run.trace.h5 --model GigaChat-20B-A3B-base --doc 00.jsonl:8 -o one.html\n";

typedef struct read_options {
    const char *out, *model, *expert;
    gm_opt_list documents, subsets, layers;
    int64_t limit, peaks;
    bool force, quiet;
} read_options;

/* All that goes into the page. */
typedef struct telling {
    gm_trace *trace;
    gm_tokenizer *tokenizer;
    gm_expert_view view; /* of --expert */
    size_t *layer;       /* (M) MoE layers on the page, ascending */
    size_t M;
    gm_passages passages;
    gm_reading reading;
    gm_html html;
} telling;

/* ---- layers ---- */

static gm_status mark_layer(bool *kept, const char *text, const gm_trace_info *info, gm_error *err)
{
    int64_t number;
    int row = -1;
    if (gm_parse_i64(text, &number))
        row = gm_find_layer(info->layer_of_moe, info->n_layers, number);
    if (row < 0)
        return gm_fail(err, GM_EARG, "--layer '%s': expected an MoE layer from %d to %d", text,
                       info->layer_of_moe[0], info->layer_of_moe[info->n_layers - 1]);
    kept[row] = true;
    return GM_OK;
}

static gm_status choose_layers(telling *t, const read_options *o, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_trace_info *info = gm_trace_get_info(t->trace);
    const size_t L = (size_t)info->n_layers;
    bool *kept = gm_alloc(L, sizeof *kept);
    t->layer = gm_alloc(L, sizeof *t->layer);
    if (kept == NULL || t->layer == NULL) GM_FAIL(GM_EMEM, "no memory for %zu layers", L);
    for (size_t i = 0; i < o->layers.n; i++) GM_TRY(mark_layer(kept, o->layers.at[i], info, err));
    if (o->expert) kept[t->view.l] = true;
    for (size_t l = 0; l < L; l++)
        if (o->layers.n == 0 || kept[l]) t->layer[t->M++] = l;
out:
    gm_free(kept);
    return status;
}

/* ---- passages ---- */

/* What was asked for must fit; of what was not, as much as does. */
static gm_status fit(telling *t, const read_options *o, gm_error *err)
{
    char size[24], most[24];
    const size_t each = gm_reading_token_bytes(gm_trace_get_info(t->trace), t->M);
    const bool asked = o->documents.n + o->subsets.n > 0 || o->expert;
    gm_passages *p = &t->passages;
    const size_t chosen = p->n;
    uint64_t tokens = 0;
    for (size_t i = 0; i < p->n; i++) tokens += p->at[i].n;
    while (!asked && p->n > 1 && tokens > GM_READING_MAX_BYTES / each) tokens -= p->at[--p->n].n;
    if (tokens > GM_READING_MAX_BYTES / each)
        return gm_fail(err, GM_EARG,
                       "a page of %" PRIu64 " tokens would take %s, above the limit of %s; choose "
                       "fewer texts (--doc, --limit) or layers (--layer)",
                       tokens, gm_show_bytes(size, (double)each * (double)tokens),
                       gm_show_bytes(most, GM_READING_MAX_BYTES));
    if (p->n < chosen)
        gm_warn("the page has %zu of %zu texts, since all of them would exceed %s; --layer leaves "
                "room for more",
                p->n, chosen, gm_show_bytes(most, GM_READING_MAX_BYTES));
    return GM_OK;
}

static gm_status choose_passages(telling *t, const read_options *o, gm_error *err)
{
    const gm_passages_wanted wanted = {.document = o->documents.at,
                                       .n_documents = o->documents.n,
                                       .subset = o->subsets.at,
                                       .n_subsets = o->subsets.n,
                                       .by_expert = o->expert != NULL,
                                       .l = t->view.l,
                                       .e = t->view.e,
                                       .limit = (size_t)o->limit,
                                       .peaks = (size_t)o->peaks,
                                       .quiet = o->quiet};
    gm_status status = gm_passages_choose(&t->passages, t->trace, &wanted, err);
    return status == GM_OK ? fit(t, o, err) : status;
}

/* ---- the command ---- */

static gm_status put_page(telling *t, const char *path, const read_options *o, gm_error *err)
{
    gm_reading_page page = {.trace = path,
                            .info = gm_trace_get_info(t->trace),
                            .samples = gm_trace_get_samples(t->trace),
                            .tokenizer = t->tokenizer,
                            .passages = &t->passages,
                            .reading = &t->reading,
                            .layer = t->layer,
                            .by_expert = o->expert != NULL,
                            .e = t->view.e};
    while (o->expert && t->layer[page.l] != t->view.l) page.l++;
    return gm_reading_page_put(&t->html, &page, err);
}

static gm_status write_page(const char *path, const read_options *o, gm_error *err)
{
    gm_status status = GM_OK;
    telling t = {0};
    char size[24];
    GM_TRY(gm_outfile_check(o->out, o->force, err));
    GM_TRY(gm_trace_open(&t.trace, path, err));
    if (o->expert) GM_TRY(gm_expert_parse(&t.view, o->expert, gm_trace_get_info(t.trace), err));
    GM_TRY(choose_layers(&t, o, err));
    GM_TRY(gm_trace_tokenizer_open(&t.tokenizer, t.trace, o->model, err));
    GM_TRY(choose_passages(&t, o, err));
    GM_TRY(gm_reading_read(&t.reading, t.trace, &t.passages, t.layer, t.M, err));
    GM_TRY(put_page(&t, path, o, err));
    GM_TRY(gm_outfile_write(o->out, o->force, t.html.text.at, t.html.text.n, err));
    printf("%s: %zu text%s, %zu token%s, %s\n", o->out, t.passages.n, gm_plural(t.passages.n),
           t.reading.T, gm_plural(t.reading.T), gm_show_bytes(size, (double)t.html.text.n));
out:
    gm_html_clear(&t.html);
    gm_reading_clear(&t.reading);
    gm_passages_clear(&t.passages);
    gm_free(t.layer);
    gm_tokenizer_close(t.tokenizer);
    gm_trace_close(t.trace);
    return status;
}

int gm_probe_read(int argc, char **argv)
{
    gm_error err = {0};
    read_options o = {.limit = 2, .peaks = 12};
    const gm_opt opts[] = {
        {GM_OPT_TEXT, "o", &o.out, 0, 0, "FILE", "the page to write"},
        {GM_OPT_TEXT, "model", &o.model, 0, 0, "DIR",
         "spell tokens by the tokenizer of this model; without it their ids are shown"},
        {GM_OPT_LIST, "doc", &o.documents, 0, 0, "NAME",
         "this document: its id, 8 or more digits of its sha, or its number from 0"},
        {GM_OPT_LIST, "subset", &o.subsets, 0, 0, "NAME",
         "documents of this subset; with --expert: only such"},
        {GM_OPT_TEXT, "expert", &o.expert, 0, 0, "LAYER:ID",
         "documents that use this expert most, and passages where its gate is largest"},
        {GM_OPT_I64, "limit", &o.limit, 1, 1000, "N", "documents of each subset, or of the expert"},
        {GM_OPT_I64, "passages", &o.peaks, 0, 1000, "N", "--expert: passages"},
        {GM_OPT_LIST, "layer", &o.layers, 0, 0, "N",
         "only this layer of the model, for a smaller page; default: all"},
        {GM_OPT_FLAG, "force", &o.force, 0, 0, NULL, "replace what exists"},
        {GM_OPT_FLAG, "quiet", &o.quiet, 0, 0, NULL, "no progress on stderr"},
        {.kind = GM_OPT_END_}};
    gm_status status = gm_opt_parse("gm-probe read TRACE --model DIR -o PAGE.html", DETAILS, opts,
                                    &argc, argv, &err);
    int64_t unused[2];
    if (status == GM_OK && argc != 2)
        status = gm_fail(&err, GM_EARG, "expected one trace, found %d", argc - 1);
    if (status == GM_OK && o.out == NULL)
        status = gm_fail(&err, GM_EARG, "-o FILE is missing: where to write the page");
    if (status == GM_OK && o.documents.n > 0 && (o.subsets.n > 0 || o.expert))
        status = gm_fail(&err, GM_EARG, "--doc cannot be combined with --subset or --expert");
    if (status == GM_OK && o.expert)
        status = gm_expert_read(&unused[0], &unused[1], o.expert, &err);
    for (size_t i = 0; status == GM_OK && i < o.layers.n; i++)
        if (!gm_parse_i64(o.layers.at[i], unused))
            status = gm_fail(&err, GM_EARG, "--layer '%s': expected the number of a layer",
                             o.layers.at[i]);
    bool usage = status != GM_OK;
    if (!usage) {
        gm_catch_signals();
        status = write_page(argv[1], &o, &err);
    }
    gm_opt_list_clear(&o.documents);
    gm_opt_list_clear(&o.subsets);
    gm_opt_list_clear(&o.layers);
    return gm_cli_end("gm-probe", "read", status, usage, &err);
}
