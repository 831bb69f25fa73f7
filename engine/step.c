/* step.c - one step: segments are checked, laid out as rows, and run. */
#include "engine/session.h"

#include "engine/sample.h"

#include <math.h>

/* ---- checking: nothing of the session has changed when a check fails ---- */

static gm_status check_tokens(const gm_arch *arch, const gm_segment *g, size_t at, gm_error *err)
{
    for (size_t i = 0; i < g->n; i++) {
        if (g->token[i] >= (uint32_t)arch->vocab)
            return gm_fail(err, GM_EARG, "segment %zu: token %zu is %lu, the model has 0 to %d", at,
                           i, (unsigned long)g->token[i], arch->vocab - 1);
        if (g->phase && g->phase[i] > GM_PHASE_TEMPLATE)
            return gm_fail(err, GM_EARG, "segment %zu: token %zu has phase %d, expected 0 to %d",
                           at, i, g->phase[i], GM_PHASE_TEMPLATE);
        if (g->target && g->target[i] != GM_NO_TARGET && g->target[i] >= (uint32_t)arch->vocab)
            return gm_fail(err, GM_EARG, "segment %zu: target %zu is %lu, the model has 0 to %d",
                           at, i, (unsigned long)g->target[i], arch->vocab - 1);
    }
    return GM_OK;
}

static gm_status check_segment(const gm_session *s, const gm_segment *segments, size_t at,
                               const gm_result *result, gm_error *err)
{
    const gm_segment *g = &segments[at];
    if (!gm_kv_is_open(&s->kv, g->sequence))
        return gm_fail(err, GM_EARG, "segment %zu: sequence %d is not open", at, g->sequence);
    if (g->n < 1) return gm_fail(err, GM_EARG, "segment %zu has no tokens", at);
    const gm_sequence *sequence = &s->kv.sequence[g->sequence];
    size_t used = sequence->length;
    for (size_t i = 0; i < at; i++)
        if (segments[i].sequence == g->sequence) used += segments[i].n;
    if (g->n > sequence->capacity - used)
        return gm_fail(err, GM_EARG,
                       "segment %zu: %zu tokens do not fit into sequence %d, which has %zu of %zu",
                       at, g->n, g->sequence, used, sequence->capacity);
    if (g->edit < -1 || (g->edit >= 0 && (size_t)g->edit >= s->edits.n))
        return gm_fail(err, GM_EARG, "segment %zu: edit %d, the session has %zu", at, g->edit,
                       s->edits.n);
    if (g->want != GM_WANT_NOTHING && (result == NULL || result->logits == NULL))
        return gm_fail(err, GM_EARG, "segment %zu wants logits, and there is no place for them",
                       at);
    if (g->sampling && (result == NULL || result->sampled == NULL))
        return gm_fail(err, GM_EARG, "segment %zu samples, and there is no place for the token",
                       at);
    if (g->sampling) {
        gm_status status = gm_sampling_check(g->sampling, err);
        if (status != GM_OK) return status;
    }
    return check_tokens(&s->model->arch, g, at, err);
}

static gm_status check_step(const gm_session *s, const gm_segment *segments, size_t n,
                            const gm_result *result, gm_error *err)
{
    size_t rows = 0;
    for (size_t i = 0; i < n; i++) {
        if (segments[i].n > s->max_rows - rows)
            return gm_fail(err, GM_EARG, "a step of more than the session's %zu rows", s->max_rows);
        gm_status status = check_segment(s, segments, i, result, err);
        if (status != GM_OK) return status;
        rows += segments[i].n;
    }
    return GM_OK;
}

/* ---- laying out ---- */

static void add_head_row(gm_step *step, gm_head_row *head, const gm_segment *g, size_t segment,
                         size_t i, size_t row, int64_t *n_out)
{
    const bool last = i + 1 == g->n;
    const bool wanted = g->want == GM_WANT_ALL || (g->want == GM_WANT_LAST && last);
    const bool has_nll = step->result && step->result->nll && g->target;
    gm_head_row h = {.row = (uint32_t)row,
                     .target = has_nll ? g->target[i] : GM_NO_TARGET,
                     .out = wanted ? (*n_out)++ : -1,
                     .segment = g->sampling && last ? (int64_t)segment : -1,
                     .sampling = g->sampling};
    if (wanted || h.target != GM_NO_TARGET || h.segment >= 0) head[step->n_head++] = h;
}

static void lay_out(gm_session *s, gm_step *step, const gm_segment *segments, size_t n)
{
    int64_t n_out = 0;
    for (size_t at = 0; at < n; at++) {
        const gm_segment *g = &segments[at];
        gm_sequence *sequence = &s->kv.sequence[g->sequence];
        for (size_t i = 0; i < g->n; i++) {
            size_t row = step->n_rows + i;
            s->row[row] = (gm_row){.token = g->token[i],
                                   .position = (uint32_t)(sequence->length + i),
                                   .sequence = g->sequence,
                                   .edit = g->edit,
                                   .phase = g->phase ? g->phase[i] : GM_PHASE_PROMPT};
            add_head_row(step, s->head, g, at, i, row, &n_out);
        }
        for (size_t i = 0; i < g->n; i += GM_TILE_ROWS)
            s->tile[step->n_tiles++] =
                (gm_tile){.first = (uint32_t)(step->n_rows + i),
                          .n = (uint32_t)(g->n - i < GM_TILE_ROWS ? g->n - i : GM_TILE_ROWS)};
        step->n_rows += g->n;
        sequence->length += g->n;
    }
}

/* ---- running ---- */

/* Products of a step below which one thread is faster than waking the others and
 * meeting them dozens of times. Results are the same either way. */
static const double SMALL_STEP = 8e6;

static void run_worker(void *context, gm_worker *me)
{
    gm_forward(me, context);
}

gm_status gm_session_step(gm_session *session, const gm_segment *segments, size_t n_segments,
                          const gm_record *record, const gm_result *result, gm_error *err)
{
    gm_status status = check_step(session, segments, n_segments, result, err);
    if (status != GM_OK) return status;
    gm_step step = {.arch = &session->model->arch,
                    .weights = session->model->weights,
                    .work = &session->work,
                    .kv = &session->kv,
                    .edits = &session->edits,
                    .row = session->row,
                    .tile = session->tile,
                    .head = session->head,
                    .record = record,
                    .result = result};
    lay_out(session, &step, segments, n_segments);
    if (step.n_rows == 0) return GM_OK;
    for (size_t r = 0; result && result->nll && r < step.n_rows; r++) result->nll[r] = NAN;
    bool alone = session->may_run_alone &&
                 (double)step.n_rows * (double)session->model->info.n_active < SMALL_STEP;
    gm_team_run(session->team, alone, run_worker, &step);
    return GM_OK;
}
