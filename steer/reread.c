/* reread.c - see reread.h. A text runs as two sequences side by side, one unsteered; a step
 * ends where a schedule goes on to another part of the plan.
 */
#include "steer/reread.h"

#include "base/cli.h"
#include "base/progress.h"
#include "steer/ramp.h"

#include <math.h>
#include <string.h>

enum { STEP_ROWS = 128, PLAIN = 0, STEERED = 1 };

typedef struct player {
    gm_session *session;
    gm_ramp ramp;
    int sequence[2];
    size_t n_open;
    uint32_t token[STEP_ROWS + 1]; /* of a step, and the one after it */
    uint8_t phase[STEP_ROWS];
    float nll[2 * STEP_ROWS];
} player;

void gm_reread_clear(gm_reread *reread)
{
    gm_free(reread->plain);
    gm_free(reread->steered);
    *reread = (gm_reread){0};
}

/* Feed tokens [at, at+n), n <= STEP_ROWS, to both sequences; they predict the next ones. */
static gm_status feed(player *p, gm_reread *r, const gm_continuation *c, int edit, size_t at,
                      size_t n, gm_error *err)
{
    gm_status status = GM_OK;
    gm_segment segment[2];
    const gm_result result = {.nll = p->nll};
    for (size_t i = 0; i <= n; i++) p->token[i] = gm_continuation_token(c, at + i);
    for (size_t i = 0; i < n; i++) p->phase[i] = gm_continuation_phase(c, at + i);
    for (int k = 0; k < 2; k++)
        segment[k] = (gm_segment){
            .sequence = p->sequence[k],
            .n = n,
            .token = p->token,
            .phase = p->phase,
            .edit = k == STEERED ? gm_ramp_at_row(&p->ramp, edit, c->prompt.n, at) : -1,
            .target = p->token + 1};
    GM_TRY(gm_session_step(p->session, segment, 2, NULL, &result, err));
    for (size_t i = 0; i < n; i++) {
        r->plain[at + 1 + i] = -p->nll[i];
        r->steered[at + 1 + i] = -p->nll[n + i];
    }
out:
    return status;
}

static gm_status play(player *p, gm_reread *r, const gm_continuation *c, int edit, gm_error *err)
{
    gm_status status = GM_OK;
    r->n_prompt = c->prompt.n;
    r->n = c->prompt.n + c->generated.n;
    r->plain = gm_alloc(r->n, sizeof *r->plain);
    r->steered = gm_alloc(r->n, sizeof *r->steered);
    if (!r->plain || !r->steered) GM_FAIL(GM_EMEM, "no memory for %zu tokens", r->n);
    if (r->n > 0) r->plain[0] = r->steered[0] = NAN;
    for (p->n_open = 0; p->n_open < 2; p->n_open++)
        GM_TRY(gm_sequence_open(p->session, r->n, &p->sequence[p->n_open], err));
    for (size_t at = 0, n; at + 1 < r->n; at += n) {
        int now = gm_ramp_at_row(&p->ramp, edit, c->prompt.n, at);
        for (n = 1; n < STEP_ROWS && at + n + 1 < r->n; n++)
            if (gm_ramp_at_row(&p->ramp, edit, c->prompt.n, at + n) != now) break;
        GM_TRY(feed(p, r, c, edit, at, n, err));
    }
out:
    while (p->n_open > 0) gm_sequence_close(p->session, p->sequence[--p->n_open]);
    return status;
}

gm_status gm_reread_all(gm_reread *out, const gm_continuation *list, const int *edit, size_t n,
                        const gm_model *model, const gm_continue_options *options, gm_error *err)
{
    gm_status status = GM_OK;
    gm_progress progress;
    size_t longest = 1;
    for (size_t i = 0; i < n; i++) {
        out[i] = (gm_reread){0};
        size_t length = list[i].prompt.n + list[i].generated.n;
        if (length > longest) longest = length;
    }
    gm_progress_start(&progress, "reread", "texts", (double)n, options->quiet);
    const gm_session_options how = {.threads = options->threads,
                                    .max_rows = (size_t)2 * STEP_ROWS,
                                    .kv_rows = 2 * longest,
                                    .max_sequences = 2};
    player *p = gm_alloc(1, sizeof *p);
    if (p == NULL) GM_FAIL(GM_EMEM, "no memory to read %zu texts again", n);
    GM_TRY(gm_session_create(&p->session, model, &how, err));
    GM_TRY(gm_ramp_set(&p->ramp, p->session, gm_model_get_info(model), options->edits,
                       options->schedules, options->n_edits, err));
    for (size_t i = 0; i < n; i++) {
        if (gm_interrupted()) GM_FAIL(GM_EINTERRUPTED, "interrupted");
        GM_TRY(play(p, &out[i], &list[i], edit[i], err));
        gm_progress_set(&progress, (double)(i + 1));
    }
out:
    gm_progress_end(&progress);
    if (p) {
        gm_session_free(p->session);
        gm_ramp_clear(&p->ramp);
    }
    gm_free(p);
    for (size_t i = 0; status != GM_OK && i < n; i++) gm_reread_clear(&out[i]);
    return status;
}
