/* serve.c - see serve.h. */
#include "steer/serve/serve.h"

#include "base/cli.h"
#include "base/progress.h"
#include "figures/asset.h"
#include "steer/serve/http.h"
#include "steer/serve/response.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

extern const gm_asset gm_asset_serve_page, gm_asset_serve_style, gm_asset_serve_script;

enum { OK = 200, BAD = 400, FAILED = 500, STOPPED = 503 };

/* Writes the response to one request. */
typedef struct responder {
    gm_job *job;
    gm_response_head head;
    bool stream, started; /* started: the first chunk was written */
    gm_text text;         /* scratch */
    gm_status status;     /* of all that was written so far */
    gm_error err;
} responder;

/* Write s->text to the job, as a server-sent event where the response is a stream. */
static void write_out(responder *s, int code)
{
    if (s->status == GM_OK && s->stream && code == OK) {
        gm_text event = {0};
        s->status = gm_text_printf(&event, &s->err, "data: %s\n\n", s->text.at);
        gm_text_clear(&s->text);
        s->text = event;
    }
    if (s->status == GM_OK) s->status = gm_job_write(s->job, code, s->text.at, s->text.n, &s->err);
    s->text.n = 0;
}

/* Not before the first text: a request can be refused until then, with a status that is not OK. */
static void send_first_chunk(responder *s)
{
    const gm_request *request = gm_job_request(s->job);
    if (s->started || !s->stream || !s->head.chat || s->status != GM_OK) return;
    s->started = true;
    s->status = gm_response_first_chunk(
        &s->text, &s->head, request->n_prompts * request->n_draws * request->n_plans, &s->err);
    write_out(s, OK);
}

static void send_text(void *context, size_t choice, const char *bytes, size_t n)
{
    responder *s = context;
    send_first_chunk(s);
    if (s->status != GM_OK) return;
    s->status = gm_response_chunk(&s->text, &s->head, choice, bytes, n, &s->err);
    write_out(s, OK);
}

static bool keep_going(void *context)
{
    responder *s = context;
    return s->status == GM_OK && !gm_job_is_cancelled(s->job);
}

static void send_failure(responder *s, gm_status status, const gm_error *why)
{
    const int code = status == GM_EARG || status == GM_EFORMAT || status == GM_ENUMERIC ? BAD
                     : status == GM_EINTERRUPTED                                        ? STOPPED
                                                                                        : FAILED;
    s->status = GM_OK;
    s->text.n = 0;
    s->status = gm_response_error(&s->text, why->text, &s->err);
    write_out(s, gm_job_has_written(s->job) ? OK : code);
}

static void send_end(responder *s, const gm_server *server, const gm_completions *completions)
{
    static const char done[] = "data: [DONE]\n\n";
    const gm_request *request = gm_job_request(s->job);
    send_first_chunk(s);
    if (s->status != GM_OK) return;
    s->status =
        s->stream
            ? gm_response_last_chunk(&s->text, &s->head, server, request, completions, &s->err)
            : gm_response_whole(&s->text, &s->head, server, request, completions, &s->err);
    write_out(s, OK);
    if (s->stream && s->status == GM_OK)
        s->status = gm_job_write(s->job, OK, done, sizeof done - 1, &s->err);
}

/* A line about a request that has ended. */
static void report(const responder *s, const gm_completions *completions, double seconds,
                   gm_status status, const gm_error *why)
{
    if (status == GM_OK)
        gm_tell("request %" PRIu64 ": %zu text%s, %zu + %zu tokens, %.2f s", s->head.number,
                completions->n, gm_plural(completions->n), completions->n_prompt_tokens,
                completions->n_generated, seconds);
    else
        gm_tell("request %" PRIu64 ": %s", s->head.number, why->text);
}

static void run_job(gm_job *job, const gm_server *server, const char *model, bool quiet)
{
    gm_error err = {0};
    gm_completions completions = {0};
    const gm_request *request = gm_job_request(job);
    const double start = gm_now();
    responder s = {.job = job,
                   .head = {request->chat, gm_job_number(job), (int64_t)time(NULL), model},
                   .stream = request->stream};
    const gm_completions_callbacks callbacks = {
        .context = &s, .keep_going = keep_going, .on_text = s.stream ? send_text : NULL};
    gm_status status = gm_completions_generate(&completions, server, request, &callbacks, &err);
    if (status == GM_OK) {
        send_end(&s, server, &completions);
        status = s.status;
        if (status != GM_OK) err = s.err;
    }
    if (status != GM_OK) send_failure(&s, status, &err);
    if (!quiet) report(&s, &completions, gm_now() - start, status, &err);
    gm_completions_clear(&completions);
    gm_text_clear(&s.text);
    gm_job_end(job);
}

/* Requests that still wait get an error. */
static void refuse_waiting(gm_jobs *jobs)
{
    static const gm_error why = {.text = "the server is shutting down"};
    gm_job *job;
    while ((job = gm_jobs_close(jobs)) != NULL) {
        responder s = {.job = job};
        send_failure(&s, GM_EINTERRUPTED, &why);
        gm_text_clear(&s.text);
        gm_job_end(job);
    }
}

static void print_address(const char *address, int port)
{
    const bool v6 = strchr(address, ':') != NULL;
    printf("listening at http://%s%s%s:%d/\n", v6 ? "[" : "", address, v6 ? "]" : "", port);
    fflush(stdout);
}

gm_status gm_serve(const gm_server *server, const gm_serve_options *options, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_setup *setup = server->setup;
    const char *model = gm_path_name(setup->info->folder);
    const gm_request_defaults defaults = {.sampling = setup->sampling,
                                          .max_tokens = (size_t)setup->options->max_tokens,
                                          .max_context = (size_t)setup->info->max_context,
                                          .vocabulary = (size_t)setup->info->vocab_size};
    const gm_response_head head = {.created = (int64_t)time(NULL), .model = model};
    gm_text about = {0}, models = {0};
    gm_jobs *jobs = NULL;
    gm_http *http = NULL;
    gm_job *job;

    GM_TRY(gm_response_about(&about, server, err));
    GM_TRY(gm_response_models(&models, &head, err));
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
    print_address(options->address, gm_http_port(http));
    while (!gm_interrupted())
        if ((job = gm_jobs_take(jobs)) != NULL) run_job(job, server, model, options->quiet);
out:
    if (jobs) refuse_waiting(jobs);
    gm_http_stop(http);
    gm_jobs_free(jobs);
    gm_text_clear(&about);
    gm_text_clear(&models);
    return status;
}
