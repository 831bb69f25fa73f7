/* likelihood.c - see likelihood.h. A step ends where a schedule goes on to another part of the
 * plan, and where logits begin to be wanted. */
#include "steer/serve/likelihood.h"

#include "steer/ramp.h"

#include <math.h>
#include <string.h>

enum { STEP_ROWS = 256, LOGIT_BYTES = 1 << 26 };

typedef struct reading {
    gm_session *session;
    gm_ramp ramp;
    size_t vocabulary, most_wanted; /* rows of a step that wants logits */
    uint32_t token[STEP_ROWS];
    uint8_t phase[STEP_ROWS];
    float *logits; /* (most_wanted,V) */
} reading;

void gm_likelihood_clear(gm_likelihood *l)
{
    gm_free(l->log_p);
    gm_free(l->top);
    gm_free(l->top_log_p);
    *l = (gm_likelihood){0};
}

/* ln of the sum of exp, in double and in order. NaN where a logit is. */
static double log_sum_exp(const float *x, size_t n)
{
    double top = (double)x[0];
    for (size_t v = 1; v < n; v++)
        if ((double)x[v] > top) top = (double)x[v];
    double sum = exp((double)x[0] - top);
    for (size_t v = 1; v < n; v++) sum += exp((double)x[v] - top);
    return top + log(sum);
}

/* Put token v among the `have` strongest so far, of at most `most`; returns how many there are. */
static size_t insert(uint32_t *top, size_t have, size_t most, const float *x, uint32_t v)
{
    if (have == most && !(x[v] > x[top[most - 1]])) return have;
    size_t at = have < most ? have++ : most - 1;
    for (; at > 0 && x[v] > x[top[at - 1]]; at--) top[at] = top[at - 1];
    top[at] = v;
    return have;
}

/* What the logits (V) of a row say of the token after it, which is the text's token t. */
static void take_row(gm_likelihood *l, const float *x, size_t vocabulary, uint32_t token, size_t t)
{
    const size_t at = t - l->first;
    const double all = log_sum_exp(x, vocabulary);
    uint32_t *top = l->top + at * l->most;
    size_t have = 0;
    l->log_p[at] = (float)((double)x[token] - all);
    if (l->most == 0) return;
    for (uint32_t v = 0; v < vocabulary; v++) have = insert(top, have, l->most, x, v);
    for (size_t k = 0; k < l->most; k++)
        l->top_log_p[at * l->most + k] = (float)((double)x[top[k]] - all);
}

/* How many rows from `at` on go into a step: of one edit, and all with logits or all without. */
static size_t rows_from(const reading *r, const gm_continuation *c, size_t first, size_t at,
                        size_t end)
{
    const bool wants = at + 1 >= first;
    const size_t most = wants ? r->most_wanted : STEP_ROWS;
    size_t n = 1;
    while (n < most && at + n < end && (at + n + 1 >= first) == wants &&
           gm_ramp_at_row(&r->ramp, c->edit, c->prompt.n, at + n) ==
               gm_ramp_at_row(&r->ramp, c->edit, c->prompt.n, at))
        n++;
    return n;
}

static gm_status read_text(reading *r, gm_likelihood *l, const gm_continuation *c, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t T = c->prompt.n + c->generated.n;
    int sequence = -1;
    if (T < 2 || l->n == 0) return GM_OK;
    GM_TRY(gm_sequence_open(r->session, T, &sequence, err));
    for (size_t at = 0, n; at + 1 < T; at += n) {
        n = rows_from(r, c, l->first, at, T - 1);
        const bool wants = at + 1 >= l->first;
        for (size_t i = 0; i < n; i++) {
            r->token[i] = gm_continuation_token(c, at + i);
            r->phase[i] = gm_continuation_phase(c, at + i);
        }
        const gm_segment s = {.sequence = sequence,
                              .n = n,
                              .token = r->token,
                              .phase = r->phase,
                              .edit = gm_ramp_at_row(&r->ramp, c->edit, c->prompt.n, at),
                              .want = wants ? GM_WANT_ALL : GM_WANT_NOTHING};
        const gm_result result = {.logits = wants ? r->logits : NULL};
        GM_TRY(gm_session_step(r->session, &s, 1, NULL, &result, err));
        for (size_t i = 0; wants && i < n; i++)
            take_row(l, r->logits + i * r->vocabulary, r->vocabulary,
                     gm_continuation_token(c, at + i + 1), at + i + 1);
    }
out:
    if (sequence >= 0) gm_sequence_close(r->session, sequence);
    return status;
}

static gm_status make_room(gm_likelihood *l, const gm_continuation *c, bool generated, size_t most,
                           gm_error *err)
{
    const size_t T = c->prompt.n + c->generated.n;
    l->first = generated ? c->prompt.n : 0;
    l->n = T - l->first;
    l->most = most;
    l->log_p = gm_alloc(l->n, sizeof *l->log_p);
    l->top = gm_alloc2(l->n, most, sizeof *l->top);
    l->top_log_p = gm_alloc2(l->n, most, sizeof *l->top_log_p);
    if (l->n > 0 && (!l->log_p || (most > 0 && (!l->top || !l->top_log_p))))
        return gm_fail(err, GM_EMEM, "no memory for the log-probabilities of %zu tokens", l->n);
    if (generated || l->n == 0) return GM_OK;
    l->log_p[0] = NAN;
    for (size_t k = 0; k < most; k++) l->top_log_p[k] = NAN;
    return GM_OK;
}

gm_status gm_likelihood_all(gm_likelihood *out, const gm_continuation *list, size_t n,
                            bool generated, size_t most, const gm_model *model,
                            const gm_continue_options *options, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t V = (size_t)gm_model_get_info(model)->vocab_size;
    size_t longest = 1;
    for (size_t i = 0; i < n; i++) {
        const size_t T = list[i].prompt.n + list[i].generated.n;
        out[i] = (gm_likelihood){0};
        if (T > longest) longest = T;
    }
    reading *r = gm_alloc(1, sizeof *r);
    if (r == NULL) GM_FAIL(GM_EMEM, "no memory to read %zu texts", n);
    r->vocabulary = V;
    r->most_wanted = LOGIT_BYTES / sizeof *r->logits / V;
    if (r->most_wanted < 1) r->most_wanted = 1;
    if (r->most_wanted > STEP_ROWS) r->most_wanted = STEP_ROWS;
    r->logits = gm_alloc2(r->most_wanted, V, sizeof *r->logits);
    if (r->logits == NULL) GM_FAIL(GM_EMEM, "no memory for the logits of %zu rows", r->most_wanted);
    const gm_session_options how = {
        .threads = options->threads, .max_rows = STEP_ROWS, .kv_rows = longest, .max_sequences = 1};
    GM_TRY(gm_session_create(&r->session, model, &how, err));
    GM_TRY(gm_ramp_set(&r->ramp, r->session, gm_model_get_info(model), options->edits,
                       options->schedules, options->n_edits, err));
    for (size_t i = 0; i < n; i++) {
        GM_TRY(gm_continue_check(options, err));
        GM_TRY(make_room(&out[i], &list[i], generated, most < V ? most : V, err));
        GM_TRY(read_text(r, &out[i], &list[i], err));
    }
out:
    if (r) {
        gm_session_free(r->session);
        gm_ramp_clear(&r->ramp);
        gm_free(r->logits);
    }
    gm_free(r);
    for (size_t i = 0; status != GM_OK && i < n; i++) gm_likelihood_clear(&out[i]);
    return status;
}
