/* lens_command.c - gm-probe lens: what does each expert write?
 *
 * The documents, in memory, go through the model once, and what experts add is added up; then the
 * means go through the head. Nothing is kept of a run that is stopped.
 */
#include "base/machine.h"
#include "base/outfile.h"
#include "base/text.h"
#include "probe/lens.h"
#include "probe/probe_commands.h"
#include "probe/run.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char SYNOPSIS[] = "gm-probe lens --model DIR --corpus FILE... [-o OUT.csv]";
static const char DETAILS[] =
    "Runs texts through the model and prints of every expert the tokens that its mean output\n"
    "promotes most (+), and some that it suppresses (-), read through the final norm and the\n"
    "head; the mean norm of its outputs, their largest element, the most similar expert.\n"
    "  gm-probe lens --model DIR --corpus c.jsonl --per-subset 20 --layer 5 -o layer5.csv\n"
    "  gm-probe lens --model DIR --corpus c.jsonl --sample 200 --experts 5:2,5:9\n"
    "The mean is over the tokens that chose the expert, of its output times its gate, less\n"
    "that of all choices of the layer (--plain: not less). Nats are what that adds to the\n"
    "token's logit, against the other tokens, on the direct way to the head. The same is done\n"
    "with each half of the documents; a token that is not in both lists is marked \"?\".\n";

typedef struct request {
    gm_run run; /* its options' out is not ours: they are of a trace */
    const char *experts, *layer, *out, *vectors;
    int64_t of_layer; /* what `layer` says */
    bool plain, every;
    gm_knockouts asked;
    gm_held_texts texts;
    gm_lens lens;
    gm_outfile *file, *array; /* held from the beginning: nobody else writes them meanwhile */
} request;

static void request_clear(request *r)
{
    gm_outfile_abort(r->file);
    gm_outfile_abort(r->array);
    gm_lens_clear(&r->lens);
    gm_held_texts_clear(&r->texts);
    gm_knockouts_clear(&r->asked);
    gm_run_close(&r->run);
}

/* ---- before the weights are loaded ---- */

/* The experts, and memory for what they add, by the headers of the checkpoint. */
static gm_status read_experts(request *r, gm_error *err)
{
    gm_status status = GM_OK;
    gm_model *model = NULL;
    char need[24];
    const gm_model_options headers = {.numerics = (gm_numerics)r->run.o.numerics,
                                      .headers_only = true};
    GM_TRY(gm_model_open(&model, r->run.o.model, &headers, err));
    const gm_model_info *info = gm_model_get_info(model);
    GM_TRY(gm_knockouts_read(&r->asked, r->experts, r->layer ? &r->of_layer : NULL, info,
                             GM_EDIT_GATE, err));
    for (size_t i = 0; i < r->asked.n; i++)
        if (r->asked.at[i].n > 1)
            GM_FAIL(GM_EARG, "--experts '%.80s': experts are looked at one by one",
                    r->asked.at[i].name);
    const uint64_t bytes = gm_lens_bytes(info, &r->asked);
    if (!r->run.o.quiet)
        fprintf(stderr, "what experts add: %s of memory beside the model\n",
                gm_show_bytes(need, (double)bytes));
    GM_TRY(gm_machine_spare(bytes, "what experts add", err));
out:
    gm_model_close(model);
    return status;
}

/* ---- the run ---- */

static gm_status read_texts(request *r, gm_error *err)
{
    gm_status status = GM_OK;
    gm_progress progress;
    gm_run *run = &r->run;
    run->runner_options.norms = run->runner_options.nll = false;
    run->runner_options.sums = true;
    GM_TRY(gm_held_texts_read(&r->texts, run->blocks, err));
    GM_TRY(gm_runner_create(&run->runner, run->model, &run->runner_options, err));
    gm_progress_start(&progress, "lens", "tokens", (double)r->texts.token.n, run->o.quiet);
    status = gm_lens_read(&r->lens, run->runner, &r->texts, &progress, err);
    gm_progress_end(&progress);
    if (status == GM_OK && r->lens.n_bad > 0)
        gm_warn("%" PRIu64 " of %" PRIu64
                " tokens have a router that is not finite; they count in the layers before it",
                r->lens.n_bad, r->lens.n_bad + r->lens.n_tokens);
out:
    return status;
}

static gm_status look(request *r, gm_error *err)
{
    gm_progress progress;
    gm_runner_free(r->run.runner); /* a streamed model has one session at a time */
    r->run.runner = NULL;
    gm_progress_start(&progress, "lens", "experts", (double)r->asked.n, r->run.o.quiet);
    const gm_status status = gm_lens_look(&r->lens, (int)r->run.o.threads, &progress, err);
    gm_progress_end(&progress);
    return status;
}

static gm_status commit(gm_outfile **file, gm_error *err)
{
    gm_outfile *done = *file;
    *file = NULL;
    return done ? gm_outfile_commit(done, err) : GM_OK;
}

static gm_status give_results(request *r, gm_error *err)
{
    gm_status status = GM_OK;
    if (r->file) GM_TRY(gm_lens_write(gm_outfile_stream(r->file), &r->lens, err));
    if (r->array) GM_TRY(gm_lens_write_vectors(gm_outfile_stream(r->array), &r->lens, err));
    GM_TRY(commit(&r->file, err));
    GM_TRY(commit(&r->array, err));
    GM_TRY(r->run.o.json ? gm_lens_put(&r->lens, err) : gm_lens_print(&r->lens, err));
out:
    return status;
}

static gm_status lens(request *r, gm_error *err)
{
    gm_status status = GM_OK;
    const bool force = r->run.o.force;
    if (r->out) GM_TRY(gm_outfile_check(r->out, force, err));
    if (r->vectors) GM_TRY(gm_outfile_check(r->vectors, force, err));
    GM_TRY(read_experts(r, err));
    GM_TRY(gm_run_open(&r->run, err));
    gm_catch_signals();
    if (r->out) GM_TRY(gm_outfile_open(&r->file, r->out, force, err));
    if (r->vectors) GM_TRY(gm_outfile_open(&r->array, r->vectors, force, err));
    r->lens = (gm_lens){.model = r->run.model,
                        .tokenizer = r->run.tokenizer,
                        .asked = &r->asked,
                        .plain = r->plain,
                        .every = r->every};
    GM_TRY(read_texts(r, err));
    GM_TRY(look(r, err));
    GM_TRY(give_results(r, err));
out:
    return status;
}

/* ---- the command line ---- */

static gm_status read_options(request *r, int argc, char **argv, gm_error *err)
{
    gm_collect_options *o = &r->run.o;
    const gm_opt opts[] = {{GM_OPT_TEXT, "model", &o->model, 0, 0, "DIR", "folder of the model"},
                           {GM_OPT_LIST, "corpus", &o->corpus, 0, 0, "FILE",
                            ".jsonl, .jsonl.zst, .jsonl.gz, text file, or folder of these"},
                           {GM_OPT_TEXT, "experts", &r->experts, 0, 0, "LIST",
                            "which experts: LAYER:ID,..., FILE.csv or all"},
                           {GM_OPT_TEXT, "layer", &r->layer, 0, 0, "N",
                            "all experts of this layer (model layer number)"},
                           {GM_OPT_FLAG, "plain", &r->plain, 0, 0, NULL,
                            "mean outputs as they are, with what a layer's experts have in common"},
                           {GM_OPT_FLAG, "all-tokens", &r->every, 0, 0, NULL,
                            "list tokens that the texts do not have, too"},
                           GM_DOCUMENT_OPTIONS(o),
                           {.kind = GM_OPT_GROUP, .help = "Output"},
                           {GM_OPT_TEXT, "o", &r->out, 0, 0, "FILE.csv", "table, a line an expert"},
                           {GM_OPT_TEXT, "vectors", &r->vectors, 0, 0, "FILE.npy",
                            "mean outputs times gates, plain: f32 (layers, experts, width)"},
                           {GM_OPT_FLAG, "force", &o->force, 0, 0, NULL, "replace existing files"},
                           {GM_OPT_FLAG, "json", &o->json, 0, 0, NULL, "print one JSON object"},
                           {GM_OPT_FLAG, "quiet", &o->quiet, 0, 0, NULL, "no progress"},
                           {.kind = GM_OPT_GROUP, .help = "How"},
                           GM_MODEL_OPTIONS(o),
                           {.kind = GM_OPT_END_}};
    gm_status status = gm_opt_parse(SYNOPSIS, DETAILS, opts, &argc, argv, err);
    if (status == GM_OK) status = gm_collect_options_check(o, argc, argv, err);
    if (status == GM_OK && r->experts && r->layer)
        status = gm_fail(err, GM_EARG, "--experts and --layer cannot be combined");
    if (status == GM_OK && r->layer && !gm_parse_i64(r->layer, &r->of_layer))
        status = gm_fail(err, GM_EARG, "--layer '%.40s': expected the number of a layer", r->layer);
    if (status == GM_OK && r->out && r->vectors && strcmp(r->out, r->vectors) == 0)
        status = gm_fail(err, GM_EARG, "'%s' would be written twice", r->out);
    if (r->experts == NULL) r->experts = "all";
    return status;
}

int gm_probe_lens(int argc, char **argv)
{
    gm_error err = {0};
    request r = {.run = {.o = gm_collect_options_defaults()}};
    r.run.o.level = GM_RECORD_COUNTS;
    r.run.o.norms = true; /* for the CPU and its session */
    r.run.o.nll = true;   /* the head is loaded */
    r.run.o.text = r.run.o.spelling = false;
    gm_status status = read_options(&r, argc, argv, &err);
    const bool usage = status != GM_OK;
    if (status == GM_OK) status = lens(&r, &err);
    request_clear(&r);
    return gm_cli_end("gm-probe", "lens", status, usage, &err);
}
