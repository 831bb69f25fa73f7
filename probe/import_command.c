/* import_command.c - gm-probe import: a trace of what another engine recorded. */
#include "probe/probe_commands.h"
#include "probe/import.h"

#include <string.h>

static const char SYNOPSIS[] =
    "gm-probe import FILE.jsonl... --experts N | --model DIR -o OUT.trace.h5";

static const char DETAILS[] =
    "Each line of the files is a document:\n"
    "  routed_experts  the ids that were chosen, [tokens][layers][K], as vLLM, SGLang and\n"
    "                  'gm-probe export -o FILE.jsonl' give them; null: no choice\n"
    "  token_ids       [tokens]; one more may stand at the end, generated and never read\n"
    "  text, subset    optional; see --text-field, --subset-field\n"
    "  gates           optional, [tokens][layers][K]\n"
    "  topk_mass, margin   optional, together, [tokens][layers]\n"
    "  phase           optional, [tokens]: 0 prompt, 1 generated, 2 template (not counted)\n"
    "  id, sha, truncated   optional: a name, the text's SHA-256, whether the text goes on\n"
    "Or, instead of the choices of its tokens, n_tokens and counts, [layers][experts].\n"
    "Without gates 'stats' says nothing of the router, and the order of a choice is taken for\n"
    "that of its gates.\n"
    "  gm-probe import vllm.jsonl --experts 64 -o run.trace.h5\n"
    "  gm-probe import vllm.jsonl --experts 64 --layers 1-27 -o run.trace.h5\n"
    "  gm-probe import vllm.jsonl --model OLMoE-1B-7B-0924 -o run.trace.h5\n";

/* The layers of --layers, one by one, to o->layer. */
static gm_status parse_layers(gm_import_options *o, gm_error *err)
{
    gm_layer_list list;
    gm_status status = gm_layer_list_parse(&list, o->layers, err);
    if (status != GM_OK) return status;
    o->layer = gm_alloc(GM_MAX_LAYERS, sizeof *o->layer);
    for (size_t i = 0; o->layer && i < list.n; i++)
        for (int l = list.range[i].first; l <= list.range[i].last; l++) o->layer[o->n_layers++] = l;
    gm_layer_list_clear(&list);
    return o->layer ? GM_OK : gm_fail(err, GM_EMEM, "no memory for %d layers", GM_MAX_LAYERS);
}

static gm_status check(gm_import_options *o, int argc, gm_error *err)
{
    if (argc < 2) return gm_fail(err, GM_EARG, "expected one .jsonl or more");
    if (o->out == NULL)
        return gm_fail(err, GM_EARG, "-o FILE is missing: where to write the trace");
    if (o->model == NULL && o->experts == 0)
        return gm_fail(err, GM_EARG,
                       "--experts N is missing: how many experts a layer has; or name "
                       "the model's folder by --model DIR");
    if (o->model && (o->experts > 0 || o->layers))
        return gm_fail(err, GM_EARG,
                       "--model cannot be combined with --experts or --layers, which "
                       "it knows");
    return o->layers ? parse_layers(o, err) : GM_OK;
}

int gm_probe_import(int argc, char **argv)
{
    gm_error err = {0};
    gm_text command = {0};
    gm_import import = {0};
    gm_import_options o = {.text_field = "text", .subset_field = "subset", .text = true};
    const gm_opt opts[] = {
        {GM_OPT_TEXT, "o", &o.out, 0, 0, "FILE", "the trace to write"},
        {GM_OPT_I64, "experts", &o.experts, 0, UINT16_MAX, "N", "experts of a layer"},
        {GM_OPT_TEXT, "layers", &o.layers, 0, 0, "LIST",
         "layers with experts, 1-26 or 1,3,5-8: those of the arrays, or if these have all layers, "
         "those to take; otherwise all, from 0"},
        {GM_OPT_TEXT, "model", &o.model, 0, 0, "DIR",
         "the model's folder, which says all this; gm-steer then knows the trace for its own"},
        {GM_OPT_TEXT, "name", &o.name, 0, 0, "NAME", "what to call the model"},
        {GM_OPT_CHOICE, "record", &o.record, 0, 0, "as-given|counts|choices", "what to keep"},
        {GM_OPT_TEXT, "text-field", &o.text_field, 0, 0, "NAME", "JSON field with the text"},
        {GM_OPT_TEXT, "subset-field", &o.subset_field, 0, 0, "NAME", "JSON field with the subset"},
        {GM_OPT_TEXT, "language-field", &o.language_field, 0, 0, "NAME",
         "JSON field with the language; otherwise none is kept"},
        {GM_OPT_FLAG, "text", &o.text, 0, 0, NULL, "leave the texts out"},
        {GM_OPT_FLAG, "allow-bad", &o.allow_bad, 0, 0, NULL, "accept tokens without a choice"},
        {GM_OPT_FLAG, "force", &o.force, 0, 0, NULL, "replace what exists"},
        {GM_OPT_FLAG, "quiet", &o.quiet, 0, 0, NULL, "no progress on stderr"},
        {.kind = GM_OPT_END_}};
    gm_status status = gm_cli_line(&command, "gm-probe", argc, argv, &err);
    if (status == GM_OK) status = gm_opt_parse(SYNOPSIS, DETAILS, opts, &argc, argv, &err);
    if (status == GM_OK) status = check(&o, argc, &err);
    const bool usage = status != GM_OK;
    if (!usage) {
        gm_catch_signals();
        o.paths = (const char *const *)argv + 1;
        o.n_paths = (size_t)argc - 1;
        status = gm_import_open(&import, &o, command.at, &err);
        if (status == GM_OK) status = gm_import_run(&import, &err);
        gm_import_close(&import);
    }
    gm_free(o.layer);
    gm_text_clear(&command);
    return gm_cli_end("gm-probe", "import", status, usage, &err);
}
