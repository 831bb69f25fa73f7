/* bench_serve.c - a mix of requests, a number of them at once, as a server would run them:
 * a step holds one token of every request that writes, and the prompt of one that begins.
 */
#include "engine/bench/bench.h"

#include "base/progress.h"
#include "base/rng.h"

#include <math.h>

typedef struct request {
    size_t prompt, output, written;
    int sequence;
    uint32_t last;
    double arrived, first, end;
} request;

typedef struct serving {
    const gm_bench_mix *mix;
    gm_session *session;
    request *request; /* (requests) */
    size_t begun, ended;
    size_t *running; /* (at_once) requests that write */
    size_t n_running;
    uint32_t *prompt; /* (longest) */
    gm_segment *segment;
    uint32_t *sampled, *token;
} serving;

static size_t length_near(gm_rng *rng, size_t mean)
{
    size_t least = mean / 2 > 0 ? mean / 2 : 1;
    return least + (size_t)gm_rng_below(rng, mean + 1);
}

/* Requests that write take a token each; one that begins brings its prompt. */
static gm_status serve_step(serving *s, gm_error *err)
{
    gm_status status = GM_OK;
    static const gm_sampling greedy = {.top_p = 1, .repetition_penalty = 1};
    const gm_result result = {.sampled = s->sampled};
    size_t n = 0, before = s->n_running;
    for (; n < before; n++) {
        request *r = &s->request[s->running[n]];
        s->token[n] = r->last;
        s->segment[n] = (gm_segment){.sequence = r->sequence,
                                     .n = 1,
                                     .token = &s->token[n],
                                     .edit = -1,
                                     .sampling = &greedy};
    }
    if (s->begun < s->mix->requests && s->n_running < s->mix->at_once) {
        request *r = &s->request[s->begun];
        GM_TRY(gm_sequence_open(s->session, r->prompt + r->output, &r->sequence, err));
        s->segment[n] = (gm_segment){.sequence = r->sequence,
                                     .n = r->prompt,
                                     .token = s->prompt,
                                     .edit = -1,
                                     .sampling = &greedy};
        n++;
        s->running[s->n_running++] = s->begun++;
        r->arrived = gm_now();
    }
    GM_TRY(gm_session_step(s->session, s->segment, n, NULL, &result, err));
    double now = gm_now();
    s->n_running = 0;
    for (size_t i = 0; i < n; i++) {
        request *r = &s->request[s->running[i]];
        r->last = s->sampled[i];
        if (r->written++ == 0) r->first = now;
        if (r->written < r->output) {
            s->running[s->n_running++] = s->running[i];
            continue;
        }
        r->end = now;
        gm_sequence_close(s->session, r->sequence);
        s->ended++;
    }
out:
    return status;
}

static bool take_token(void *context, size_t step, const uint32_t *sampled)
{
    request *r = context;
    (void)step;
    r->last = *sampled;
    r->written++;
    return true;
}

/* A request that has the machine to itself is written to its end: a GPU runs ahead of the host. */
static gm_status write_alone(serving *s, gm_error *err)
{
    static const gm_sampling greedy = {.top_p = 1, .repetition_penalty = 1};
    const gm_result result = {.sampled = s->sampled};
    request *r = &s->request[s->running[0]];
    s->token[0] = r->last;
    s->segment[0] = (gm_segment){
        .sequence = r->sequence, .n = 1, .token = s->token, .edit = -1, .sampling = &greedy};
    const gm_decoding how = {.n_steps = r->output - r->written, .each = take_token, .context = r};
    gm_status status = gm_session_decode(s->session, s->segment, 1, &how, NULL, &result, err);
    r->end = gm_now();
    gm_sequence_close(s->session, r->sequence);
    s->ended++;
    s->n_running = 0;
    return status;
}

/* One request writes, and nobody comes until it has ended. */
static bool is_alone(const serving *s)
{
    return s->n_running == 1 && (s->mix->at_once == 1 || s->begun == s->mix->requests);
}

gm_session_options gm_bench_serve_session(const gm_bench_mix *mix)
{
    const size_t prompt = mix->prompt + (mix->prompt + 1) / 2;
    const size_t output = mix->output + (mix->output + 1) / 2;
    return (gm_session_options){.threads = mix->threads,
                                .max_rows = prompt + mix->at_once,
                                .kv_rows = (prompt + output) * mix->at_once,
                                .max_sequences = (int)mix->at_once};
}

static gm_status set_up(serving *s, const gm_model *model, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_bench_mix *mix = s->mix;
    const gm_session_options options = gm_bench_serve_session(mix);
    const gm_model_info *info = gm_model_get_info(model);
    gm_rng rng = gm_rng_make(mix->seed, 0);
    size_t longest = 0;
    s->request = gm_alloc(mix->requests, sizeof *s->request);
    s->running = gm_alloc(mix->at_once, sizeof *s->running);
    s->segment = gm_alloc(mix->at_once, sizeof *s->segment);
    s->sampled = gm_alloc(mix->at_once, sizeof *s->sampled);
    s->token = gm_alloc(mix->at_once, sizeof *s->token);
    if (!s->request || !s->running || !s->segment || !s->sampled || !s->token)
        GM_FAIL(GM_EMEM, "no memory for %zu requests", mix->requests);
    for (size_t i = 0; i < mix->requests; i++) {
        request *r = &s->request[i];
        *r = (request){.prompt = length_near(&rng, mix->prompt),
                       .output = length_near(&rng, mix->output)};
        if (r->prompt + r->output > (size_t)info->max_context)
            GM_FAIL(GM_EARG, "request %zu takes %zu tokens, but the model's context is %d", i,
                    r->prompt + r->output, info->max_context);
        if (longest < r->prompt) longest = r->prompt;
    }
    s->prompt = gm_alloc(longest, sizeof *s->prompt);
    if (s->prompt == NULL) GM_FAIL(GM_EMEM, "no memory for a prompt of %zu tokens", longest);
    for (size_t i = 0; i < longest; i++)
        s->prompt[i] = (uint32_t)gm_rng_below(&rng, (uint64_t)info->vocab_size);
    GM_TRY(gm_session_create(&s->session, model, &options, err));
out:
    return status;
}

static void sum_up(gm_bench_served *out, const serving *s)
{
    double between = 0;
    size_t n_longer = 0; /* requests that want more than one token */
    for (size_t i = 0; i < s->mix->requests; i++) {
        const request *r = &s->request[i];
        out->prompt_tokens += r->prompt;
        out->output_tokens += r->output;
        out->first_token_s += (r->first - r->arrived) / (double)s->mix->requests;
        if (r->output == 1) continue;
        between += (r->end - r->first) / (double)(r->output - 1);
        n_longer++;
    }
    out->next_token_s = n_longer > 0 ? between / (double)n_longer : NAN;
    out->req_s = (double)s->mix->requests / out->seconds;
    out->output_tok_s = (double)out->output_tokens / out->seconds;
    out->total_tok_s = (double)(out->prompt_tokens + out->output_tokens) / out->seconds;
}

gm_status gm_bench_serve(gm_bench_served *out, const gm_model *model, const gm_bench_mix *mix,
                         gm_error *err)
{
    gm_status status = GM_OK;
    serving s = {.mix = mix};
    *out = (gm_bench_served){0};
    GM_TRY(set_up(&s, model, err));
    double start = gm_now();
    while (s.ended < mix->requests)
        GM_TRY(is_alone(&s) ? write_alone(&s, err) : serve_step(&s, err));
    out->seconds = gm_now() - start;
    sum_up(out, &s);
out:
    gm_session_free(s.session);
    gm_free(s.request), gm_free(s.running), gm_free(s.segment);
    gm_free(s.sampled), gm_free(s.token), gm_free(s.prompt);
    return status;
}
