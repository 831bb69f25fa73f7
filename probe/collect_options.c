/* collect_options.c - the command line of gm-probe collect: see collect_options.h. */
#include "probe/collect_options.h"

#include "base/device.h"
#include "base/text.h"
#include "engine/engine.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char SYNOPSIS[] = "gm-probe collect --model DIR --corpus FILE... -o OUT.trace.h5";

static const char DETAILS[] =
    "The run is written in blocks, into OUT.parts. If it is stopped, repeat the command with\n"
    "--resume. At the end the blocks are merged into one file, which is checked.\n"
    "  gm-probe collect --model DIR --corpus pile/*.jsonl.zst --sample 40000 -o run.trace.h5\n"
    "  gm-probe collect --model DIR --corpus books --dry-run -o run.trace.h5\n"
    "To see what a plan costs, collect the same texts without and with it, both with --nll, and\n"
    "compare them (gm-probe stats plain.h5 --against food.h5):\n"
    "  gm-probe collect --model DIR --corpus books --nll --plan food.plan.safetensors -o food.h5\n";

static gm_status read_record(gm_collect_options *o, gm_error *err)
{
    if (strcmp(o->record, "counts") == 0) {
        o->level = GM_RECORD_COUNTS;
    } else if (strcmp(o->record, "choices") == 0) {
        o->level = GM_RECORD_CHOICES;
    } else if (strcmp(o->record, "norms") == 0) {
        o->level = GM_RECORD_CHOICES;
        o->norms = true;
    } else if (strncmp(o->record, "logits:", 7) == 0 &&
               gm_parse_f64(o->record + 7, &o->logits_rate) && o->logits_rate > 0 &&
               o->logits_rate <= 1) {
        o->level = GM_RECORD_LOGITS;
    } else {
        return gm_fail(
            err, GM_EARG,
            "--record '%s': expected counts, choices, norms or logits:RATE with 0 < RATE <= 1",
            o->record);
    }
    return GM_OK;
}

/* "2/8", or what Slurm or MPI say of this task. */
static gm_status read_shard(gm_collect_options *o, gm_error *err)
{
    static const char *const task[][2] = {{"SLURM_PROCID", "SLURM_NTASKS"},
                                          {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
                                          {"PMI_RANK", "PMI_SIZE"}};
    int64_t i = 0, n = 1, first = 0, by = 1;
    const char *array = getenv("SLURM_ARRAY_TASK_ID"), *count = getenv("SLURM_ARRAY_TASK_COUNT");
    const char *min = getenv("SLURM_ARRAY_TASK_MIN"), *step = getenv("SLURM_ARRAY_TASK_STEP");
    if (o->shard) {
        const char *slash = strchr(o->shard, '/');
        if (slash == NULL || !gm_parse_i64_n(o->shard, (size_t)(slash - o->shard), &i) ||
            !gm_parse_i64(slash + 1, &n))
            return gm_fail(err, GM_EARG, "--shard '%s': expected i/N", o->shard);
    } else if (array && count && gm_parse_i64(array, &i) && gm_parse_i64(count, &n)) {
        if (min && gm_parse_i64(min, &first)) i -= first;
        if (step && gm_parse_i64(step, &by) && by > 0) i = i % by == 0 ? i / by : -1;
    } else {
        for (size_t k = 0; k < 3 && n <= 1; k++) {
            const char *rank = getenv(task[k][0]), *size = getenv(task[k][1]);
            if (!rank || !size || !gm_parse_i64(rank, &i) || !gm_parse_i64(size, &n)) i = 0, n = 1;
        }
    }
    if (n < 1 || n > 100000 || i < 0 || i >= n)
        return gm_fail(err, GM_EARG,
                       "%s %" PRId64 " of %" PRId64 ": expected i/N with 0 <= i < N%s",
                       o->shard ? "--shard" : "task (by Slurm's or MPI's environment)", i, n,
                       o->shard ? "" : ", or --shard 0/1 for all");
    o->shard_i = (uint32_t)i;
    o->shard_n = (uint32_t)n;
    return GM_OK;
}

/* `--corpus pile/?.jsonl.zst` reaches us as one value and further words: they are files too. */
static gm_status add_corpora(gm_opt_list *corpus, char **word, size_t n, gm_error *err)
{
    if (n == 0) return GM_OK;
    const char **at = gm_grow(corpus->at, corpus->n, corpus->n + n, sizeof *at);
    if (at == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu corpora", n);
    for (size_t i = 0; i < n; i++) at[corpus->n++] = word[i];
    corpus->at = at;
    return GM_OK;
}

gm_collect_options gm_collect_options_defaults(void)
{
    return (gm_collect_options){.text_field = "text",
                                .subset_field = GM_SUBSET_FIELD,
                                .text = true,
                                .spelling = true,
                                .record = "choices",
                                .device = "auto",
                                .kernels = "auto",
                                .doc_tokens = 512,
                                .min_tokens = 128,
                                .step_tokens = 4096,
                                .shard_n = 1};
}

gm_status gm_collect_options_check(gm_collect_options *o, int argc, char **argv, gm_error *err)
{
    gm_status status = GM_OK;
    gm_device device;
    if (o->model == NULL) GM_FAIL(GM_EARG, "--model DIR is missing");
    GM_TRY(gm_device_parse(&device, o->device, err));
    GM_TRY(gm_kernels_check(o->kernels, err));
    if (o->corpus.n == 0)
        GM_FAIL(GM_EARG, "--corpus FILE is missing%s%s%s", argc > 1 ? " before '" : "",
                argc > 1 ? argv[1] : "", argc > 1 ? "'" : "");
    GM_TRY(add_corpora(&o->corpus, argv + 1, (size_t)argc - 1, err));
    if (o->sample > 0 && o->per_subset > 0)
        GM_FAIL(GM_EARG, "--sample and --per-subset cannot be combined");
    if (o->map && o->stream) GM_FAIL(GM_EARG, "--map and --stream cannot be combined");
out:
    return status;
}

static gm_status check(gm_collect_options *o, int argc, char **argv, gm_error *err)
{
    gm_status status = GM_OK;
    GM_TRY(gm_collect_options_check(o, argc, argv, err));
    if (o->out == NULL && !o->dry_run)
        GM_FAIL(GM_EARG, "-o FILE is missing: where to write the trace");
    if (o->any_model && o->plan == NULL) GM_FAIL(GM_EARG, "--any-model needs --plan");
    GM_TRY(read_record(o, err));
    GM_TRY(read_shard(o, err));
    if (o->nll && o->level == GM_RECORD_COUNTS)
        GM_FAIL(GM_EARG, "--nll needs --record choices, norms or logits:RATE");
    if (!o->spelling && o->text)
        GM_FAIL(GM_EARG, "--no-spelling needs --no-text, or the texts themselves are kept");
    if (o->text || o->level == GM_RECORD_COUNTS) o->spelling = false;
out:
    return status;
}

gm_status gm_collect_options_read(gm_collect_options *o, int argc, char **argv, gm_error *err)
{
    *o = gm_collect_options_defaults();
    const gm_opt opts[] = {
        {.kind = GM_OPT_GROUP, .help = "What is run"},
        {GM_OPT_TEXT, "model", &o->model, 0, 0, "DIR", "folder of the model"},
        {GM_OPT_LIST, "corpus", &o->corpus, 0, 0, "FILE",
         ".jsonl, .jsonl.zst, .jsonl.gz, text file, or folder of these"},
        {GM_OPT_TEXT, "plan", &o->plan, 0, 0, "FILE",
         "steer the run by this plan of gm-steer; texts count as prompts"},
        {GM_OPT_FLAG, "any-model", &o->any_model, 0, 0, NULL,
         "accept a plan made for another model of the same shape"},
        {GM_OPT_TEXT, "o", &o->out, 0, 0, "FILE", "the trace to write"},
        GM_DOCUMENT_OPTIONS(o),
        {GM_OPT_TEXT, "language-field", &o->language_field, 0, 0, "NAME",
         "JSON field with the language; without it, gm-cluster guesses it from the text"},
        {.kind = GM_OPT_GROUP, .help = "What is recorded"},
        {GM_OPT_TEXT, "record", &o->record, 0, 0, "LEVEL",
         "counts; choices; norms, which adds the norm of each chosen expert's output; or "
         "logits:RATE, which adds the router logits of a share of tokens"},
        {GM_OPT_FLAG, "nll", &o->nll, 0, 0, NULL,
         "also record -ln p of every token; runs the LM head"},
        {GM_OPT_FLAG, "text", &o->text, 0, 0, NULL,
         "leave the texts out; the spelling of their tokens stays, for keywords"},
        {GM_OPT_FLAG, "spelling", &o->spelling, 0, 0, NULL, "leave the spelling out as well"},
        {.kind = GM_OPT_GROUP, .help = "How"},
        {GM_OPT_FLAG, "dry-run", &o->dry_run, 0, 0, NULL,
         "print what the run would take (tokens, size, memory, time), and stop"},
        {GM_OPT_FLAG, "resume", &o->resume, 0, 0, NULL, "continue a run that was stopped"},
        {GM_OPT_FLAG, "force", &o->force, 0, 0, NULL, "replace the output and delete its parts"},
        {GM_OPT_TEXT, "shard", &o->shard, 0, 0, "i/N",
         "compute only blocks with number = i mod N; 0/1: all (tasks of Slurm, job arrays and MPI "
         "share the blocks by themselves)"},
        GM_MODEL_OPTIONS(o),
        {GM_OPT_FLAG, "allow-bad", &o->allow_bad, 0, 0, NULL,
         "accept tokens whose router is not finite"},
        {GM_OPT_FLAG, "json", &o->json, 0, 0, NULL, "print one JSON object"},
        {GM_OPT_FLAG, "quiet", &o->quiet, 0, 0, NULL, "no progress"},
        {.kind = GM_OPT_END_}};
    gm_status status = gm_opt_parse(SYNOPSIS, DETAILS, opts, &argc, argv, err);
    if (status == GM_OK) status = check(o, argc, argv, err);
    return status;
}

void gm_collect_options_clear(gm_collect_options *o)
{
    gm_opt_list_clear(&o->corpus);
}
