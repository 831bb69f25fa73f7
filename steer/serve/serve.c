/* serve.c - see serve.h. */
#include "steer/serve/serve.h"

#include "base/cli.h"
#include "base/progress.h"
#include "figures/asset.h"
#include "steer/serve/http.h"
#include "steer/serve/reply.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

extern const gm_asset gm_asset_serve_page, gm_asset_serve_style, gm_asset_serve_script;

enum { OK = 200, BAD = 400, FAILED = 500, STOPPED = 503 };

/* One request being answered. */
typedef struct saying {
    gm_job *job;
    gm_reply_head head;
    bool streams, begun; /* begun: the first event was said */
    gm_text text;        /* scratch */
    gm_status status;    /* of what was said so far */
    gm_error err;
} saying;

/* Say what stands in s->text, as an event where the answer is a stream of them. */
static void say(saying *s, int code)
{
    if (s->status == GM_OK && s->streams && code == OK) {
        gm_text event = {0};
        s->status = gm_text_printf(&event, &s->err, "data: %s\n\n", s->text.at);
        gm_text_clear(&s->text);
        s->text = event;
    }
    if (s->status == GM_OK) s->status = gm_job_say(s->job, code, s->text.at, s->text.n, &s->err);
    s->text.n = 0;
}

/* The event before all others. What is refused is refused before it, under a code that is not OK.
 */
static void begin(saying *s)
{
    const gm_ask *ask = gm_job_ask(s->job);
    if (s->begun || !s->streams || !s->head.chat || s->status != GM_OK) return;
    s->begun = true;
    s->status =
        gm_reply_begin(&s->text, &s->head, ask->n_prompts * ask->n_draws * ask->n_plans, &s->err);
    say(s, OK);
}

static void say_piece(void *context, size_t choice, const char *bytes, size_t n)
{
    saying *s = context;
    begin(s);
    if (s->status != GM_OK) return;
    s->status = gm_reply_piece(&s->text, &s->head, choice, bytes, n, &s->err);
    say(s, OK);
}

static bool is_wanted(void *context)
{
    saying *s = context;
    return s->status == GM_OK && gm_job_wanted(s->job);
}

static void say_failure(saying *s, gm_status status, const gm_error *why)
{
    const int code = status == GM_EARG || status == GM_EFORMAT || status == GM_ENUMERIC ? BAD
                     : status == GM_EINTERRUPTED                                        ? STOPPED
                                                                                        : FAILED;
    s->status = GM_OK;
    s->text.n = 0;
    s->status = gm_reply_error(&s->text, why->text, &s->err);
    say(s, gm_job_has_said(s->job) ? OK : code);
}

static void say_end(saying *s, const gm_host *host, const gm_answer *answer)
{
    static const char done[] = "data: [DONE]\n\n";
    const gm_ask *ask = gm_job_ask(s->job);
    begin(s);
    if (s->status != GM_OK) return;
    s->status = s->streams ? gm_reply_end(&s->text, &s->head, host, ask, answer, &s->err)
                           : gm_reply_whole(&s->text, &s->head, host, ask, answer, &s->err);
    say(s, OK);
    if (s->streams && s->status == GM_OK)
        s->status = gm_job_say(s->job, OK, done, sizeof done - 1, &s->err);
}

/* A line about a request that has ended. */
static void report(const saying *s, const gm_answer *answer, double seconds, gm_status status,
                   const gm_error *why)
{
    if (status == GM_OK)
        gm_tell("request %" PRIu64 ": %zu text%s, %zu + %zu tokens, %.2f s", s->head.number,
                answer->n, gm_plural(answer->n), answer->n_prompt_tokens, answer->n_generated,
                seconds);
    else
        gm_tell("request %" PRIu64 ": %s", s->head.number, why->text);
}

static void answer_job(gm_job *job, const gm_host *host, const char *model, bool quiet)
{
    gm_error err = {0};
    gm_answer answer = {0};
    const gm_ask *ask = gm_job_ask(job);
    const double start = gm_now();
    saying s = {.job = job,
                .head = {ask->chat, gm_job_number(job), (int64_t)time(NULL), model},
                .streams = ask->stream};
    const gm_listener listener = {
        .context = &s, .wanted = is_wanted, .say = s.streams ? say_piece : NULL};
    gm_status status = gm_answer_make(&answer, host, ask, &listener, &err);
    if (status == GM_OK) {
        say_end(&s, host, &answer);
        status = s.status;
        if (status != GM_OK) err = s.err;
    }
    if (status != GM_OK) say_failure(&s, status, &err);
    if (!quiet) report(&s, &answer, gm_now() - start, status, &err);
    gm_answer_clear(&answer);
    gm_text_clear(&s.text);
    gm_job_end(job);
}

/* Those that still wait are told that the server ends. */
static void refuse_rest(gm_jobs *jobs)
{
    static const gm_error why = {.text = "the server is shutting down"};
    gm_job *job;
    while ((job = gm_jobs_close(jobs)) != NULL) {
        saying s = {.job = job};
        say_failure(&s, GM_EINTERRUPTED, &why);
        gm_text_clear(&s.text);
        gm_job_end(job);
    }
}

static void print_where(const char *address, int port)
{
    const bool v6 = strchr(address, ':') != NULL;
    printf("listening at http://%s%s%s:%d/\n", v6 ? "[" : "", address, v6 ? "]" : "", port);
    fflush(stdout);
}

gm_status gm_serve(const gm_host *host, const gm_serve_options *options, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_stage *stage = host->stage;
    const char *model = gm_path_name(stage->info->folder);
    const gm_ask_defaults defaults = {.sampling = stage->sampling,
                                      .max_tokens = (size_t)stage->options->max_tokens,
                                      .max_context = (size_t)stage->info->max_context,
                                      .vocabulary = (size_t)stage->info->vocab_size};
    const gm_reply_head head = {.created = (int64_t)time(NULL), .model = model};
    gm_text about = {0}, models = {0};
    gm_jobs *jobs = NULL;
    gm_http *http = NULL;
    gm_job *job;

    GM_TRY(gm_reply_about(&about, host, err));
    GM_TRY(gm_reply_models(&models, &head, err));
    GM_TRY(gm_jobs_create(&jobs, err));
    const gm_asset *page = &gm_asset_serve_page, *style = &gm_asset_serve_style;
    const gm_asset *script = &gm_asset_serve_script;
    const gm_http_file files[] = {
        {"/", "text/html; charset=utf-8", page->at, page->n},
        {"/serve.css", "text/css; charset=utf-8", style->at, style->n},
        {"/serve.js", "text/javascript; charset=utf-8", script->at, script->n},
        {"/about", "application/json", about.at, about.n},
        {"/v1/models", "application/json", models.at, models.n},
    };
    const gm_http_options how = {.address = options->address,
                                 .port = options->port,
                                 .jobs = jobs,
                                 .defaults = &defaults,
                                 .file = files,
                                 .n_files = sizeof files / sizeof *files,
                                 .idle_seconds = 5, /* as uvicorn and node have it */
                                 .request_seconds = 60};
    GM_TRY(gm_http_start(&http, &how, err));
    print_where(options->address, gm_http_port(http));
    while (!gm_interrupted())
        if ((job = gm_jobs_take(jobs)) != NULL) answer_job(job, host, model, options->quiet);
out:
    if (jobs) refuse_rest(jobs);
    gm_http_stop(http);
    gm_jobs_free(jobs);
    gm_text_clear(&about);
    gm_text_clear(&models);
    return status;
}
