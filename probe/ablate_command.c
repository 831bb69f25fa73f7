/* ablate_command.c - gm-probe ablate: which experts do which texts need?
 *
 * The model is loaded once; the documents, in memory, are read untouched and then once without each
 * expert. What is done stands whole in OUT.begun, replaced as often as once a second, so that a run
 * that is killed loses the expert it was at; --resume takes it from there.
 */
#include "base/machine.h"
#include "base/outfile.h"
#include "figures/figures.h"
#include "formats/atlas.h"
#include "probe/ablate_table.h"
#include "probe/probe_commands.h"
#include "probe/run.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char SYNOPSIS[] = "gm-probe ablate --model DIR --corpus FILE... [-o OUT.csv]";
static const char DETAILS[] =
    "Takes out one expert at a time (its router logit becomes -inf, as with gm-steer plan\n"
    "--expert 5:2=-inf), reads the same texts again, and prints how much more they cost: nats\n"
    "a token by subset, or by cluster of an atlas, with a 95 % interval over documents as in\n"
    "gm-probe stats --against, and p adjusted for all experts and groups of the run\n"
    "(Benjamini-Hochberg).\n"
    "  gm-probe ablate --model DIR --corpus c.jsonl --per-subset 20 --layer 5 -o layer5.csv\n"
    "  gm-probe ablate --model DIR --corpus c.jsonl --experts 5:2,5:2+5:9 --atlas run.atlas.h5\n"
    "--experts takes LAYER:ID,... (5:2+5:9 takes out both together), or a .csv with the\n"
    "columns layer and expert, such as gm-probe contrast writes. With --mode bias the next\n"
    "best expert takes the place; with select too, but gates stay those of the untouched\n"
    "router; with gate the choice stays and the expert is silenced.\n";

static const double SAVE_EVERY_S = 1;

typedef struct request {
    gm_run run; /* its options' out is not ours: they are of a trace */
    const char *experts, *layer, *atlas, *out, *figure;
    int64_t of_layer; /* what `layer` says */
    int64_t top;
    int mode;      /* gm_edit_mode */
    gm_text begun; /* OUT.begun */
    gm_held_texts texts;
    gm_knockouts knockouts;
    gm_ablate ablate;
    gm_progress progress;
    gm_outfile *file; /* OUT, held from the beginning: nobody else writes it meanwhile */
} request;

static void request_clear(request *r)
{
    gm_outfile_abort(r->file);
    gm_ablate_clear(&r->ablate);
    gm_knockouts_clear(&r->knockouts);
    gm_held_texts_clear(&r->texts);
    gm_text_clear(&r->begun);
    gm_run_close(&r->run);
}

static bool exists(const char *path)
{
    struct stat at;
    return stat(path, &at) == 0;
}

/* ---- before the weights are loaded ---- */

/* May the results be written? *done: they are there, and the run is asked to go on. */
static gm_status look_at_output(request *r, bool *done, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_collect_options *o = &r->run.o;
    *done = false;
    if (r->figure) GM_TRY(gm_picture_check(r->figure, o->force, err));
    if (r->out == NULL) goto out;
    GM_TRY(gm_text_printf(&r->begun, err, "%s.begun", r->out));
    *done = o->resume && !o->force && exists(r->out);
    if (*done) goto out;
    GM_TRY(gm_outfile_check(r->out, o->force, err));
    if (exists(r->begun.at) && !o->resume && !o->force)
        GM_FAIL(GM_EEXIST,
                "'%s' holds the experts of a run that was stopped; continue with --resume or start "
                "over with --force",
                r->begun.at);
out:
    return status;
}

/* A wrong atlas is said before the weights are loaded. */
static gm_status check_atlas(const char *path, const char *model_digest, gm_error *err)
{
    gm_atlas *atlas = NULL;
    gm_status status = gm_atlas_open(&atlas, path, err);
    if (status == GM_OK && atlas->model_digest[0] && strcmp(atlas->model_digest, model_digest) != 0)
        gm_warn("'%s' is of another model; here its clusters only group the documents", path);
    gm_atlas_close(atlas);
    return status;
}

/* The experts, and whether the atlas is this model's, by the headers of the checkpoint. */
static gm_status read_knockouts(request *r, gm_error *err)
{
    gm_status status = GM_OK;
    gm_model *model = NULL;
    const gm_model_options headers = {.numerics = (gm_numerics)r->run.o.numerics,
                                      .headers_only = true};
    GM_TRY(gm_model_open(&model, r->run.o.model, &headers, err));
    GM_TRY(gm_knockouts_read(&r->knockouts, r->experts, r->layer ? &r->of_layer : NULL,
                             gm_model_get_info(model), (gm_edit_mode)r->mode, err));
    if (r->atlas) GM_TRY(check_atlas(r->atlas, gm_model_get_info(model)->digest, err));
out:
    gm_model_close(model);
    return status;
}

static gm_status read_texts(request *r, gm_error *err)
{
    gm_status status = GM_OK;
    size_t n_unknown = 0;
    GM_TRY(gm_held_texts_read(&r->texts, r->run.blocks, err));
    if (r->atlas) GM_TRY(gm_held_texts_cluster(&r->texts, r->atlas, &n_unknown, err));
    if (n_unknown > 0)
        gm_warn("'%s' does not have %zu of the %zu documents, which %s in no group", r->atlas,
                n_unknown, r->texts.n, n_unknown == 1 ? "is" : "are");
out:
    return status;
}

/* ---- the run ---- */

/* What is done, under a name of its own. */
static gm_status save(const request *r, gm_error *err)
{
    gm_outfile *file = NULL;
    if (r->out == NULL) return GM_OK;
    gm_status status = gm_outfile_open(&file, r->begun.at, true, err);
    if (status != GM_OK) return status;
    gm_ablate_table_write(gm_outfile_stream(file), &r->ablate);
    return gm_outfile_commit(file, err);
}

/* Rows of all that is to be read, and of what a run before this one has read. */
static void set_total(request *r, size_t n_taken)
{
    gm_progress *p = &r->progress;
    p->total = (double)r->texts.token.n;
    for (size_t x = 0; x < r->knockouts.n; x++) {
        p->total += (double)gm_ablate_cost(&r->ablate, x);
        if (x < n_taken) p->skipped += (double)gm_ablate_cost(&r->ablate, x);
    }
    gm_progress_set(p, p->done + p->skipped);
}

static gm_status take_out_all(request *r, gm_error *err)
{
    gm_status status = GM_OK;
    gm_ablate *a = &r->ablate;
    double saved = gm_now();
    if (r->run.o.resume && r->out && !r->run.o.force && exists(r->begun.at))
        GM_TRY(gm_ablate_table_take(a, r->begun.at, err));
    const size_t n_taken = a->n_done;
    set_total(r, n_taken);
    while (a->n_done < r->knockouts.n) {
        gm_progress_note(&r->progress, "%zu of %zu experts", a->n_done, r->knockouts.n);
        status = gm_ablate_next(a, err);
        if (status == GM_OK && gm_now() - saved < SAVE_EVERY_S) continue;
        if (a->n_done > n_taken) {
            gm_error late = {0};
            const gm_status kept = save(r, &late);
            if (status == GM_OK && kept != GM_OK) *err = late, status = kept;
        }
        if (status != GM_OK) goto out;
        saved = gm_now();
    }
out:
    return status;
}

static gm_status measure(request *r, gm_error *err)
{
    gm_status status = GM_OK;
    gm_run *run = &r->run;
    if (r->out) GM_TRY(gm_outfile_open(&r->file, r->out, run->o.force, err));
    GM_TRY(gm_runner_create(&run->runner, run->model, &run->runner_options, err));
    r->ablate = (gm_ablate){.model = run->model,
                            .runner = run->runner,
                            .texts = &r->texts,
                            .out = &r->knockouts,
                            .mode = (gm_edit_mode)r->mode,
                            .keep_bytes = gm_machine_memory("").free / 2,
                            .progress = &r->progress};
    gm_progress_start(&r->progress, "ablate", "tokens",
                      (double)r->texts.token.n * (double)(r->knockouts.n + 1), run->o.quiet);
    status = gm_ablate_begin(&r->ablate, err);
    if (status == GM_OK) status = take_out_all(r, err);
    gm_progress_end(&r->progress);
    if (status == GM_EINTERRUPTED && r->out)
        (void)gm_fail(err, status, "interrupted; repeat the command with --resume to continue");
out:
    return status;
}

static gm_status give_results(request *r, gm_error *err)
{
    gm_status status = GM_OK;
    gm_outfile *file = r->file;
    GM_TRY(gm_ablate_end(&r->ablate, err));
    if (file) {
        gm_ablate_table_write(gm_outfile_stream(file), &r->ablate);
        r->file = NULL;
        GM_TRY(gm_outfile_commit(file, err));
        (void)unlink(r->begun.at);
    }
    if (r->figure) GM_TRY(gm_ablate_figure(&r->ablate, r->figure, r->run.o.force, err));
    GM_TRY(r->run.o.json ? gm_ablate_put(&r->ablate, err)
                         : gm_ablate_print(&r->ablate, (size_t)r->top, err));
out:
    return status;
}

static gm_status ablate(request *r, gm_error *err)
{
    gm_status status = GM_OK;
    bool done;
    GM_TRY(look_at_output(r, &done, err));
    if (done) {
        if (!r->run.o.quiet)
            fprintf(stderr, "'%s' is finished, nothing to do (options are not compared)\n", r->out);
        goto out;
    }
    GM_TRY(read_knockouts(r, err));
    GM_TRY(gm_run_open(&r->run, err));
    gm_catch_signals();
    GM_TRY(read_texts(r, err));
    GM_TRY(measure(r, err));
    GM_TRY(give_results(r, err));
out:
    return status;
}

/* ---- the command line ---- */

static gm_status read_options(request *r, int argc, char **argv, gm_error *err)
{
    gm_collect_options *o = &r->run.o;
    const gm_opt opts[] = {
        {GM_OPT_TEXT, "model", &o->model, 0, 0, "DIR", "folder of the model"},
        {GM_OPT_LIST, "corpus", &o->corpus, 0, 0, "FILE",
         ".jsonl, .jsonl.zst, .jsonl.gz, text file, or folder of these"},
        {GM_OPT_TEXT, "experts", &r->experts, 0, 0, "LIST",
         "which experts: LAYER:ID,..., FILE.csv or all"},
        {GM_OPT_TEXT, "layer", &r->layer, 0, 0, "N",
         "all experts of this layer (model layer number)"},
        {GM_OPT_CHOICE, "mode", &r->mode, 0, 0, "bias|select|gate", "how an expert is taken out"},
        {GM_OPT_TEXT, "atlas", &r->atlas, 0, 0, "FILE",
         "group documents by the clusters of this atlas, not by subset"},
        GM_DOCUMENT_OPTIONS(o),
        {.kind = GM_OPT_GROUP, .help = "Output"},
        {GM_OPT_TEXT, "o", &r->out, 0, 0, "FILE.csv", "table of every expert and group"},
        {GM_OPT_TEXT, "figure", &r->figure, 0, 0, "FILE",
         "heatmap (.png or .svg): all documents, and the three groups that lose most"},
        {GM_OPT_I64, "top", &r->top, 1, 100000, "N", "experts to print for each group"},
        {GM_OPT_FLAG, "resume", &o->resume, 0, 0, NULL, "continue a run that was stopped"},
        {GM_OPT_FLAG, "force", &o->force, 0, 0, NULL, "replace existing files and start over"},
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
    if (status == GM_OK && o->resume && r->out == NULL)
        status = gm_fail(err, GM_EARG, "--resume needs -o FILE");
    if (r->experts == NULL) r->experts = "all";
    return status;
}

int gm_probe_ablate(int argc, char **argv)
{
    gm_error err = {0};
    request r = {.run = {.o = gm_collect_options_defaults()}, .top = 3};
    r.run.o.level = GM_RECORD_CHOICES;
    r.run.o.nll = true;
    r.run.o.text = r.run.o.spelling = false;
    gm_status status = read_options(&r, argc, argv, &err);
    const bool usage = status != GM_OK;
    if (status == GM_OK) status = ablate(&r, &err);
    request_clear(&r);
    return gm_cli_end("gm-probe", "ablate", status, usage, &err);
}
