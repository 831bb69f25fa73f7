/* sweep_command.c - gm-steer sweep: does steering beat random experts, at which cost, and for
 * which topics? Exit 3 when, over all topics, it does not.
 */
#include "base/cli_config.h"
#include "base/device.h"
#include "base/outfile.h"
#include "base/progress.h"
#include "figures/figures.h"
#include "formats/shards.h"
#include "steer/steer_commands.h"
#include "steer/sweep/page.h"
#include "steer/sweep/store.h"
#include "steer/sweep/sweep_figure.h"
#include "steer/sweep/sweep_run.h"
#include "steer/sweep/verdict.h"
#include "text/terminal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const char synopsis[] =
    "gm-steer sweep --model DIR --atlas FILE --classifier-corpus FILE [-o RUN.sweep.h5]";

static const char details[] =
    "Dose and filter of each cluster are chosen on one half of the prompts and judged on the\n"
    "other half: the plan, random experts with the plan's values, and ten more controls.\n"
    "Without --cluster it measures the largest clusters with a purity of --min-purity or\n"
    "more.\n"
    "log-odds: mean ln p/(1-p) that the classifier gives the cluster's domain; this decides.\n"
    "KL: unsteered against steered predictions on neutral text, nats a token.\n"
    "With -o every finished cell is kept; if the sweep is stopped, continue it with --resume.\n"
    "  gm-steer sweep --model DIR --atlas run.atlas.h5 --classifier-corpus other.jsonl.zst \\\n"
    "      -o run.sweep.h5 --csv run.csv --report run.html\n";

/* What a result does not depend on, and what stands in it by content instead of by name. */
static const char *const not_kept[] = {"config",  "o",         "csv",           "report",  "figure",
                                       "force",   "resume",    "dry-run",       "quiet",   "json",
                                       "threads", "batch",     "device",        "kernels", "map",
                                       "cache",   "cache-dir", "strict-memory", "chat",    "system",
                                       "answer",  "chat-set",  "chat-date",     NULL};
static const char *const not_marked[] = {"config",   "o",         "csv",
                                         "report",   "figure",    "force",
                                         "resume",   "dry-run",   "quiet",
                                         "json",     "threads",   "batch",
                                         "device",   "kernels",   "map",
                                         "cache",    "cache-dir", "strict-memory",
                                         "model",    "atlas",     "classifier-corpus",
                                         "prompt",   "prompts",   "tune-prompts",
                                         "plan",     "any-model", "numerics",
                                         "chat",     "system",    "answer",
                                         "chat-set", "chat-date", NULL};

typedef struct request {
    gm_setup_options setup;
    gm_protocol protocol;
    const char *config, *out, *csv, *report, *figure;
    bool force, resume, dry_run;
    gm_text kept, marked; /* the options as JSON: all that matter; without names of files */
} request;

/* ---- before the work ---- */

/* Results of before there were chats say nothing of them: so do those without one. */
static gm_status write_options(gm_text *out, const request *r, const gm_opt *opts,
                               const char *const *without, gm_error *err)
{
    gm_json_out json = {0};
    gm_json_open_object(&json, NULL);
    gm_opt_put_config(&json, opts, without);
    if (r->setup.chat) {
        gm_json_put_bool(&json, "chat", true);
        gm_setup_put_chat_options(&r->setup, &json);
    }
    gm_json_close_object(&json);
    gm_status status = gm_json_out_done(&json, err);
    *out = json.text;
    return status;
}

static bool exists(const char *path)
{
    struct stat at;
    return stat(path, &at) == 0;
}

/* May the results be written? The parts of another run are in the way unless told. Nothing
 * is removed here: a dry run, or a model that does not open, loses no work. */
static gm_status check_outputs(const request *r, const char *folder, bool finished, gm_error *err)
{
    gm_status status = GM_OK;
    gm_shard_list list = {0};
    if (r->csv) GM_TRY(gm_outfile_check(r->csv, r->force, err));
    if (r->report) GM_TRY(gm_outfile_check(r->report, r->force, err));
    if (r->figure) GM_TRY(gm_picture_check(r->figure, r->force, err));
    if (r->out == NULL || finished) goto out;
    if (exists(r->out) && !r->force)
        GM_FAIL(GM_EEXIST,
                "'%s' exists; --resume tells it again and draws from it, --force measures anew",
                r->out);
    GM_TRY(gm_outfile_check(r->out, r->force, err));
    GM_TRY(gm_shard_list_read(&list, folder, err));
    if (list.n > 0 && !r->force && !r->resume)
        GM_FAIL(
            GM_EEXIST,
            "'%s' holds %zu cell%s of a sweep; continue with --resume or start over with --force",
            folder, list.n, gm_plural(list.n));
out:
    gm_shard_list_clear(&list);
    return status;
}

static gm_status check_verdict(bool beats_random, double p, size_t n_draws, gm_error *err)
{
    if (beats_random) return GM_OK;
    return gm_fail(err, GM_ECHECK, "steering %s random experts (p %.3f over %zu draw%s)",
                   gm_verdict_words(false, n_draws), p, n_draws, gm_plural(n_draws));
}

/* ---- a finished file ---- */

/* Refuse options that the file was not measured with; those that name files are left to
 * the fingerprint, which knows their contents. */
static gm_status compare_options(const request *r, const gm_sweep *sweep, gm_error *err)
{
    gm_status status = GM_OK;
    gm_json *asked = NULL, *recorded = NULL;
    GM_TRY(gm_json_parse(&asked, r->marked.at, r->marked.n, "the options", err));
    GM_TRY(gm_json_parse(&recorded, (const char *)sweep->config, sweep->n_config, r->out, err));
    for (const gm_json *m = gm_json_first(asked); m; m = gm_json_next(m))
        if (!gm_json_same(m, gm_json_find(recorded, gm_json_key(m))))
            GM_FAIL(GM_EARG,
                    "'%s' was measured with another --%s; choose another -o, or remove the file",
                    r->out, gm_json_key(m));
out:
    gm_json_free(asked);
    gm_json_free(recorded);
    return status;
}

/* What a finished file says; it ends as the run did. */
static gm_status print_finished(const request *r, const gm_sweep *sweep, gm_error *err)
{
    gm_status status = GM_OK;
    gm_json *root = NULL;
    const char *words;
    bool beats_random;
    double p = (double)NAN;
    int64_t n_draws;
    GM_TRY(gm_json_parse(&root, (const char *)sweep->summary, sweep->n_summary, r->out, err));
    GM_TRY(gm_json_get_text(root, "verdict", &words, r->out, err));
    const gm_json *pooled = gm_json_find(root, "pooled");
    if (pooled == NULL) GM_FAIL(GM_EFORMAT, "the summary of '%s' has no 'pooled'", r->out);
    GM_TRY(gm_json_get_bool_or(pooled, "beats_random", false, &beats_random, r->out, err));
    GM_TRY(gm_json_get_i64(pooled, "draws", 0, INT32_MAX, &n_draws, r->out, err));
    GM_TRY(gm_json_get_f64_or(pooled, "p", 0, 1, (double)NAN, &p, r->out, err));
    if (r->setup.json)
        printf("%.*s\n", (int)sweep->n_summary, (const char *)sweep->summary);
    else
        printf("%s is finished, digest %s. %s\n", r->out, sweep->digest, words);
    GM_TRY(check_verdict(beats_random, p, (size_t)n_draws, err));
out:
    gm_json_free(root);
    return status;
}

/* --resume of a finished sweep. *told: nothing else is asked for, and every option is as it was. */
static gm_status look_at_finished(const request *r, bool *told, gm_error *err)
{
    gm_status status = GM_OK;
    gm_sweep *sweep = NULL;
    GM_TRY(gm_sweep_open(&sweep, r->out, err));
    GM_TRY(compare_options(r, sweep, err));
    *told = !r->csv && !r->report && !r->figure && sweep->n_config == r->kept.n &&
            memcmp(sweep->config, r->kept.at, r->kept.n) == 0;
    if (*told) GM_TRY(print_finished(r, sweep, err));
out:
    gm_sweep_close(sweep);
    return status;
}

/* ---- the work ---- */

/* What would be measured, and how long that would take. */
static gm_status print_plan(gm_study *s, gm_error *err)
{
    char show[3][24], name[GM_TOPIC_NAME_BYTES];
    gm_cell_work sum = {0};
    double seconds;
    for (size_t i = 0; i < s->n_cells; i++) gm_cell_work_add(&sum, gm_study_work(s, &s->cell[i]));
    gm_status status = gm_study_time(&seconds, s, err);
    if (status != GM_OK) return status;
    for (size_t t = 0; t < s->n_topics; t++) {
        const gm_topic *topic = &s->topic[t];
        printf("%s: ", gm_topic_show(name, topic));
        gm_print_text(stdout, 0, topic->domain);
        if (topic->cluster >= 0)
            printf(", %zu document%s, purity %.2f", topic->size, gm_plural(topic->size),
                   topic->purity);
        putchar('\n');
    }
    printf("%zu cells (%zu to choose dose and filter), %.0f texts\n", s->n_cells, s->n_choosing,
           sum.texts);
    printf("tokens: at most %s to generate, after %s of prompts; %s of fixed texts to read\n",
           gm_show_count(show[0], sum.generated), gm_show_count(show[1], sum.prompts),
           gm_show_count(show[2], sum.fixed));
    printf("time: about %s, judging by one group of cells\n", gm_show_seconds(show[0], seconds));
    return GM_OK;
}

/* All results or none: one that was written before another failed would be in the way of --resume.
 */
static gm_status give_results(const request *r, const gm_study *s, const gm_outcomes *o,
                              bool finished, gm_error *err)
{
    gm_status status = GM_OK;
    gm_json_out json = {0};
    gm_text csv = {0}, text = {0};
    const char *written[3];
    size_t n_written = 0;
    GM_TRY(gm_verdict_json(&json, s, o, r->kept.at, err));
    if (r->csv) {
        GM_TRY(gm_verdict_csv(&csv, s, err));
        GM_TRY(gm_outfile_write(r->csv, r->force, csv.at, csv.n, err));
        written[n_written++] = r->csv;
    }
    if (r->figure) {
        GM_TRY(gm_sweep_figure_write(s, o, r->figure, r->force, err));
        written[n_written++] = r->figure;
    }
    if (r->report) {
        GM_TRY(gm_page_write(s, o, r->kept.at, r->report, r->force, err));
        written[n_written++] = r->report;
    }
    if (r->out && !finished) GM_TRY(gm_store_write(r->out, s, &r->kept, &json.text, r->force, err));
    if (!r->setup.json) GM_TRY(gm_verdict_text(&text, s, o, err));
    printf("%s%s", r->setup.json ? json.text.at : text.at, r->setup.json ? "\n" : "");
out:
    while (status != GM_OK && !r->force && n_written > 0) (void)remove(written[--n_written]);
    gm_text_clear(&json.text);
    gm_text_clear(&csv);
    gm_text_clear(&text);
    return status;
}

/* With a finished result nothing is measured again, only told. */
static gm_status measure(const request *r, const gm_setup *setup, const char *folder, bool finished,
                         gm_error *err)
{
    gm_status status = GM_OK;
    gm_study study = {0};
    gm_outcomes outcomes = {0};
    gm_shard_lock lock = {0};
    bool started = false;
    const size_t n_draws = (size_t)r->protocol.draws;
    GM_TRY(gm_study_prepare(&study, &r->protocol, setup, r->marked.at, err));
    if (study.judge.n_shared > 0)
        gm_warn("%zu document%s of the classifier's corpus left out, because %s in the clustering",
                study.judge.n_shared, gm_plural(study.judge.n_shared),
                study.judge.n_shared == 1 ? "it is" : "they are");
    if (!finished && gm_verdict_too_few(n_draws))
        gm_warn("%zu draw%s of random experts cannot give a p of .05: use --draws 19 or more",
                n_draws, gm_plural(n_draws));
    if (r->dry_run) {
        GM_TRY(print_plan(&study, err));
        goto out;
    }
    if (folder && !finished) GM_TRY(gm_shard_lock_take(&lock, folder, 0, 1, err));
    if (folder && r->force && !r->resume) GM_TRY(gm_shards_clear(folder, err));
    gm_catch_signals();
    started = folder && !finished;
    GM_TRY(gm_study_run(&study, finished ? r->out : folder, finished ? NULL : folder,
                        r->setup.quiet, err));
    GM_TRY(gm_scores_outcomes(&outcomes, &study, err));
    GM_TRY(give_results(r, &study, &outcomes, finished, err));
    if (folder && !finished) GM_TRY(gm_shards_remove(folder, err));
    GM_TRY(check_verdict(gm_verdict_beats_random(&outcomes), outcomes.p, outcomes.n_draws, err));
out:
    if (status == GM_EINTERRUPTED && folder)
        (void)gm_fail(err, status, "interrupted; repeat the command with --resume to continue");
    else if (started)
        gm_shards_tell_kept(err, folder, "part");
    gm_shard_lock_release(&lock);
    gm_outcomes_clear(&outcomes);
    gm_study_clear(&study);
    return status;
}

/* A sweep goes on where its cells were computed, unless another device is asked for: GPU and CPU
 * agree to rounding only. */
static gm_status open_setup(gm_setup *setup, const request *r, const char *folder, gm_error *err)
{
    gm_setup_options how = r->setup;
    gm_device asked;
    char begun[GM_STORE_DEVICE] = "";
    gm_status status = gm_device_parse(&asked, how.device, err);
    if (status != GM_OK) return status;
    if (r->resume && folder && asked.cpu && asked.gpu) gm_store_device(begun, r->out, folder);
    if (begun[0]) how.device = begun;
    status = gm_setup_open(setup, &how, err);
    if (status == GM_OK) status = gm_setup_load(setup, err);
    setup->options = &r->setup;
    if ((status == GM_EABSENT || status == GM_EMEM) && strcmp(begun, "cuda") == 0)
        return gm_fail(err, status,
                       "'%s' was computed on a GPU; continue it on one, or start over: %s", r->out,
                       err->text);
    return status;
}

static gm_status run(const request *r, gm_error *err)
{
    gm_status status = GM_OK;
    gm_setup setup = {0};
    gm_text folder = {0};
    bool finished = r->out && r->resume && exists(r->out), told = false;
    if (finished) GM_TRY(look_at_finished(r, &told, err));
    if (told) goto out;
    if (r->out) GM_TRY(gm_store_folder(&folder, r->out, err));
    GM_TRY(check_outputs(r, folder.at, finished, err));
    GM_TRY(open_setup(&setup, r, folder.at, err));
    GM_TRY(measure(r, &setup, folder.at, finished, err));
out:
    gm_text_clear(&folder);
    gm_setup_close(&setup);
    return status;
}

static void request_init(request *r, bool full)
{
    *r = (request){.setup = gm_setup_defaults(), .protocol = gm_protocol_defaults(full)};
    r->setup.max_tokens = full ? 128 : 40;
    r->setup.temperature = 0.8;
    r->setup.batch = 64;
    r->setup.seed = 1;
}

static void request_clear(request *r)
{
    gm_text_clear(&r->kept);
    gm_text_clear(&r->marked);
    gm_protocol_clear(&r->protocol);
    gm_setup_options_clear(&r->setup);
}

/* Read the line, then again after the options of --config, then again over the defaults of --full,
 * which either may have asked for. `arena` keeps the words. */
static gm_status read_line(request *r, const gm_opt *opts, gm_arena *arena, int argc, char **argv,
                           gm_error *err)
{
    gm_status status = GM_OK;
    bool full = false;
    for (int pass = 0; pass < 3; pass++) {
        int n = argc;
        char **words = gm_arena_alloc(arena, (size_t)argc + 1, sizeof *words);
        if (words == NULL) GM_FAIL(GM_EMEM, "no memory for the command line");
        memcpy(words, argv, (size_t)argc * sizeof *words); /* parsing reorders them */
        if (pass > 0) GM_TRY(gm_opt_expand_config(arena, opts, &n, &words, err));
        request_clear(r);
        request_init(r, full);
        GM_TRY(gm_opt_parse(synopsis, details, opts, &n, words, err));
        if (n > 1) GM_FAIL(GM_EARG, "unexpected argument '%s'", words[1]);
        full = r->protocol.full;
    }
out:
    return status;
}

int gm_steer_sweep(int argc, char **argv)
{
    gm_status status = GM_OK;
    gm_error err = {0};
    gm_arena arena = {0};
    bool usage = true;
    request r;
    const gm_opt opts[] = {
        GM_SETUP_OPTIONS(&r.setup),
        {GM_OPT_TEXT, "o", &r.out, 0, 0, "FILE", "file for the result, *.sweep.h5"},
        {GM_OPT_TEXT, "csv", &r.csv, 0, 0, "FILE", "CSV with a line for each cell"},
        {GM_OPT_TEXT, "report", &r.report, 0, 0, "FILE", "HTML page of the result"},
        {GM_OPT_TEXT, "figure", &r.figure, 0, 0, "FILE",
         "main figure of the result, *.png or *.svg"},
        {GM_OPT_FLAG, "force", &r.force, 0, 0, NULL, "replace existing files"},
        {GM_OPT_FLAG, "resume", &r.resume, 0, 0, NULL, "continue a sweep that was stopped"},
        {GM_OPT_FLAG, "dry-run", &r.dry_run, 0, 0, NULL, "print what would be measured, and stop"},
        {GM_OPT_TEXT, "config", &r.config, 0, 0, "FILE",
         "options as a JSON object; the command line overrides them; /config of a result is one"},
        GM_PROTOCOL_OPTIONS(&r.protocol),
        {GM_OPT_GROUP, NULL, NULL, 0, 0, NULL, "What to steer towards"},
        {GM_OPT_LIST, "cluster", &r.protocol.recipe.clusters, 0, 0, "ID", "cluster to measure"},
        {GM_OPT_LIST, "subset", &r.protocol.recipe.subsets, 0, 0, "NAME",
         "labelled subset of the atlas to measure"},
        {GM_OPT_LIST, "expert", &r.protocol.recipe.experts, 0, 0, "LAYER:ID=BIAS",
         "bias of one expert, added to every plan except plan files; controls keep it"},
        {GM_OPT_LIST, "plan", &r.protocol.plans, 0, 0, "FILE[=DOMAIN]",
         "plan file to measure, and its domain if the file does not say it"},
        GM_RECIPE_RULES(&r.protocol.recipe),
        {.kind = GM_OPT_END_},
    };

    request_init(&r, false);
    GM_TRY(read_line(&r, opts, &arena, argc, argv, &err));
    GM_TRY(gm_protocol_check(&r.protocol, &r.setup, &err));
    GM_TRY(write_options(&r.kept, &r, opts, not_kept, &err));
    GM_TRY(write_options(&r.marked, &r, opts, not_marked, &err));
    usage = false;
    GM_TRY(run(&r, &err));
out:
    request_clear(&r);
    gm_arena_clear(&arena);
    return gm_cli_end("gm-steer", "sweep", status, usage, &err);
}
