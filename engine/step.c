/* step.c - one step: segments are checked, laid out as rows, and run. */
#include "engine/session.h"

#include "engine/sample.h"
#include "engine/layer_stream.h"

#include <math.h>
#include <string.h>

/* ---- checking: nothing of the session has changed when a check fails ---- */

static gm_status check_tokens(const gm_arch *arch, const gm_segment *g, size_t at, gm_error *err)
{
    for (size_t i = 0; i < g->n; i++) {
        if (g->token[i] >= (uint32_t)arch->vocab)
            return gm_fail(err, GM_EARG, "segment %zu: token %zu is %lu, expected 0 to %d", at, i,
                           (unsigned long)g->token[i], arch->vocab - 1);
        if (g->phase && g->phase[i] > GM_PHASE_TEMPLATE)
            return gm_fail(err, GM_EARG, "segment %zu: token %zu has phase %d, expected 0 to %d",
                           at, i, g->phase[i], GM_PHASE_TEMPLATE);
        if (g->target && g->target[i] != GM_NO_TARGET && g->target[i] >= (uint32_t)arch->vocab)
            return gm_fail(err, GM_EARG, "segment %zu: target %zu is %lu, expected 0 to %d", at, i,
                           (unsigned long)g->target[i], arch->vocab - 1);
    }
    return GM_OK;
}

/* What a step is asked for: model layers [first, end), and what comes of them. */
typedef struct asked {
    size_t first, end;
    const gm_record *record;
    const gm_result *result;
} asked;

static bool wants_head(const gm_segment *g, const gm_result *result)
{
    return g->want != GM_WANT_NOTHING || g->sampling || (result && result->nll && g->target);
}

/* The layers: that they are those of the sequence, and have what they start from and end in. */
static gm_status check_layers(const gm_session *s, const gm_segment *g, size_t at, const asked *a,
                              gm_error *err)
{
    const gm_sequence *q = &s->kv.sequence[g->sequence];
    const size_t n_layers = s->model->weights->n_layers;
    if (q->length > 0 && (q->first_layer != a->first || q->end_layer != a->end))
        return gm_fail(err, GM_EARG,
                       "segment %zu: layers %zu to %zu, sequence %d has been through %zu to %zu",
                       at, a->first, a->end - 1, g->sequence, q->first_layer, q->end_layer - 1);
    if ((a->first > 0 || a->end < n_layers) && g->residual == NULL)
        return gm_fail(err, GM_EARG, "segment %zu has no rows for layers %zu to %zu", at, a->first,
                       a->end - 1);
    if (a->end < n_layers && wants_head(g, a->result))
        return gm_fail(err, GM_EARG, "segment %zu needs the head, and layer %zu is the last", at,
                       a->end - 1);
    return GM_OK;
}

static gm_status check_segment(const gm_session *s, const gm_segment *segments, size_t at,
                               const asked *a, gm_error *err)
{
    const gm_result *result = a->result;
    const gm_segment *g = &segments[at];
    if (!gm_kv_is_open(&s->kv, g->sequence))
        return gm_fail(err, GM_EARG, "segment %zu: sequence %d is not open", at, g->sequence);
    if (g->n < 1) return gm_fail(err, GM_EARG, "segment %zu has no tokens", at);
    const gm_sequence *sequence = &s->kv.sequence[g->sequence];
    if (s->by_layer && sequence->length > 0)
        return gm_fail(err, GM_EARG,
                       "segment %zu: sequence %d already has %zu tokens, but layer by layer a "
                       "sequence must be computed in one step",
                       at, g->sequence, sequence->length);
    size_t used = sequence->length;
    for (size_t i = 0; i < at; i++) {
        if (segments[i].sequence != g->sequence) continue;
        if (s->model->arch.n_delta > 0)
            return gm_fail(err, GM_EARG,
                           "segments %zu and %zu are both of sequence %d; with layers of %s a "
                           "step takes one segment per sequence",
                           i, at, g->sequence, gm_arch_recurrence(&s->model->arch));
        used += segments[i].n;
    }
    if (g->n > sequence->capacity - used)
        return gm_fail(
            err, GM_EARG,
            "segment %zu: %zu tokens do not fit into sequence %d, which has used %zu of %zu", at,
            g->n, g->sequence, used, sequence->capacity);
    if (g->edit < -1 || (g->edit >= 0 && (size_t)g->edit >= s->edits.n))
        return gm_fail(err, GM_EARG, "segment %zu: edit %d does not exist, the session has %zu", at,
                       g->edit, s->edits.n);
    if (g->want != GM_WANT_NOTHING && (result == NULL || result->logits == NULL))
        return gm_fail(err, GM_EARG, "segment %zu asks for logits but gives no place for them", at);
    if (s->model->weights->no_head && wants_head(g, result))
        return gm_fail(err, GM_EARG,
                       "segment %zu needs the head, but the model was opened without it", at);
    if (g->sampling && (result == NULL || result->sampled == NULL))
        return gm_fail(err, GM_EARG, "segment %zu samples but gives no place for the token", at);
    if (g->sampling) {
        gm_status status = gm_sampling_check(g->sampling, err);
        if (status != GM_OK) return status;
    }
    gm_status status = check_layers(s, g, at, a, err);
    return status == GM_OK ? check_tokens(&s->model->arch, g, at, err) : status;
}

static gm_status check_sums(const gm_session *s, const gm_expert_sums *sums, gm_error *err)
{
    const int n = s->model->info.n_moe_layers;
    if (sums->first < 0 || sums->first >= sums->end || sums->end > n)
        return gm_fail(err, GM_EARG, "sums of MoE layers from %d up to %d, the model has %d",
                       sums->first, sums->end, n);
    if (gm_arch_norms_outputs(&s->model->arch))
        return gm_fail(err, GM_EABSENT,
                       "'%s' takes a norm of what its experts give together, so that none of them "
                       "adds anything by itself",
                       s->model->folder);
    return GM_OK;
}

static gm_status check_step(const gm_session *s, const gm_segment *segments, size_t n,
                            const asked *a, gm_error *err)
{
    size_t rows = 0;
    const size_t n_layers = s->model->weights->n_layers;
    const bool head_alone = a->first == n_layers && a->end == n_layers;
    if ((a->first >= a->end && !head_alone) || a->end > n_layers)
        return gm_fail(err, GM_EARG, "layers from %zu up to %zu, the model has %zu", a->first,
                       a->end, n_layers);
    if (a->end - a->first < n_layers && !gm_session_takes_layers(s))
        return gm_fail(err, GM_EABSENT, "this session computes all layers of a step, not some");
    const gm_record *r = a->record;
    if (r && (r->norm || r->scale || r->sums) && !s->norms)
        return gm_fail(err, GM_EARG, "this session does not record what experts give");
    if (r && r->scale && a->end < n_layers)
        return gm_fail(err, GM_EARG, "the final norm is not reached: layer %zu is the last",
                       a->end - 1);
    if (r && r->sums) {
        gm_status status = check_sums(s, r->sums, err);
        if (status != GM_OK) return status;
    }
    for (size_t i = 0; i < n; i++) {
        if (segments[i].n > s->max_rows - rows)
            return gm_fail(err, GM_EARG, "the step has more than the session's %zu rows",
                           s->max_rows);
        gm_status status = check_segment(s, segments, i, a, err);
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

/* Rows [first, ...) of the caller's arrays as piece `i` sees them. */
static void begin_piece(gm_session *s, size_t i, const gm_step *whole)
{
    const gm_arch *arch = whole->arch;
    const size_t first = i * s->piece_rows, k = (size_t)arch->n_chosen, e = (size_t)arch->n_experts;
    gm_step_piece *p = &s->piece[i];
    gm_step *step = &s->step[i];
    *step = *whole;
    step->row = s->row + first;
    step->tile = s->tile + first;
    step->run = s->run ? s->run + first : NULL;
    step->head = s->head + first;
    step->residual = s->residual + first;
    p->work = s->work;
    if (s->by_layer) {
        p->work.x.address = (float *)s->x.address + first * s->x.stride;
        p->work.bad.address = (uint8_t *)s->bad.address + first;
    }
    step->work = &p->work;
    if (whole->record) {
        const gm_record *r = whole->record;
        p->record = (gm_record){.expert = r->expert ? r->expert + first * k : NULL,
                                .gate = r->gate ? r->gate + first * k : NULL,
                                .mass = r->mass ? r->mass + first : NULL,
                                .margin = r->margin ? r->margin + first : NULL,
                                .logits = r->logits ? r->logits + first * e : NULL,
                                .norm = r->norm ? r->norm + first * k : NULL,
                                .scale = r->scale ? r->scale + first : NULL,
                                .sums = r->sums,
                                .bad = r->bad ? r->bad + first : NULL};
        step->record = &p->record;
    }
    if (whole->result) {
        p->result = *whole->result;
        if (p->result.nll) p->result.nll += first;
        step->result = &p->result;
    }
}

/* Tiles of a segment whose rows begin at row `first` of the whole step; none crosses from one
 * piece into the next. */
static void add_tiles(gm_session *s, size_t first, size_t n)
{
    for (size_t i = 0, rows; i < n; i += rows) {
        const size_t at = (first + i) % s->piece_rows, room = s->piece_rows - at;
        gm_step *step = &s->step[(first + i) / s->piece_rows];
        rows = n - i < GM_TILE_ROWS ? n - i : GM_TILE_ROWS;
        if (rows > room) rows = room;
        step->tile[step->n_tiles++] = (gm_tile){.first = (uint32_t)at, .n = (uint32_t)rows};
    }
}

/* A segment of n rows, and of each piece that has some of them, is a run. */
static void add_runs(gm_session *s, size_t first, size_t n)
{
    for (size_t i = 0, rows; s->run && i < n; i += rows) {
        const size_t at = (first + i) % s->piece_rows, room = s->piece_rows - at;
        gm_step *step = &s->step[(first + i) / s->piece_rows];
        rows = n - i < room ? n - i : room;
        step->run[step->n_runs++] = (gm_sequence_rows){.first = (uint32_t)at, .n = (uint32_t)rows};
    }
}

/* The rows of all segments, in pieces; how many pieces there are. */
static size_t lay_out(gm_session *s, const gm_step *whole, const gm_segment *segments, size_t n)
{
    int64_t n_out = 0;
    size_t row = 0, n_pieces = 0;
    const size_t width = (size_t)whole->arch->width;
    for (size_t at = 0; at < n; at++) {
        const gm_segment *g = &segments[at];
        gm_sequence *sequence = &s->kv.sequence[g->sequence];
        const size_t first = row;
        for (size_t i = 0; i < g->n; i++, row++) {
            const size_t p = row / s->piece_rows, r = row % s->piece_rows;
            if (r == 0) begin_piece(s, n_pieces++, whole);
            gm_step *step = &s->step[p];
            step->row[r] = (gm_row){.token = g->token[i],
                                    .position = (uint32_t)(sequence->length + i),
                                    .sequence = g->sequence,
                                    .edit = g->edit,
                                    .phase = g->phase ? g->phase[i] : GM_PHASE_PROMPT};
            if (g->residual) step->residual[r] = g->residual + i * width;
            add_head_row(step, step->head, g, at, i, r, &n_out);
            step->n_rows++;
        }
        add_tiles(s, first, g->n);
        add_runs(s, first, g->n);
        sequence->length += g->n;
        sequence->first_layer = whole->first_layer;
        sequence->end_layer = whole->end_layer;
    }
    return n_pieces;
}

/* ---- running ---- */

/* Products of a step below which one thread is faster than waking the others and
 * meeting them dozens of times. Results are the same either way. */
static const double SMALL_STEP = 8e6;

typedef struct running {
    const gm_step *piece;
    size_t n;
    gm_watch *watch; /* NULL: nobody asks */
} running;

static void run_worker(void *context, gm_worker *me)
{
    const running *r = context;
    gm_forward(me, r->piece, r->n, r->watch);
}

/* The step's rows, in pieces of the session's; how many. */
static size_t start_step(gm_session *s, const gm_segment *segments, size_t n, const asked *a)
{
    size_t n_rows = 0;
    const gm_result *result = a->result;
    for (size_t i = 0; i < n; i++) n_rows += segments[i].n;
    const gm_step whole = {.arch = &s->model->arch,
                           .weights = s->model->weights,
                           .kv = &s->kv,
                           .edits = &s->edits,
                           .first_layer = a->first,
                           .end_layer = a->end,
                           .record = a->record,
                           .record_rows = n_rows,
                           .result = result,
                           .n_segments = n,
                           .own = s->own};
    for (size_t r = 0; result && result->nll && r < n_rows; r++) result->nll[r] = NAN;
    return lay_out(s, &whole, segments, n);
}

static gm_status run_step(gm_session *session, const gm_segment *segments, size_t n_segments,
                          const asked *a, gm_error *err)
{
    gm_status status = check_step(session, segments, n_segments, a, err);
    if (status != GM_OK) return status;
    running run = {.piece = session->step,
                   .n = start_step(session, segments, n_segments, a),
                   .watch = session->watch.after_layer ? &session->watch : NULL};
    if (run.n == 0) return GM_OK;
    session->watch.stopped = false;
    bool alone =
        session->may_run_alone &&
        (double)run.piece->record_rows * (double)session->model->info.n_active < SMALL_STEP;
    if (session->accelerator)
        status = session->accelerator->step(run.piece, run.watch, err);
    else
        gm_team_run(session->team, alone, run_worker, &run);
    if (session->stream) status = gm_layer_stream_status(session->stream, err);
    if (status != GM_OK) return status;
    if (session->watch.stopped) return gm_fail(err, GM_EINTERRUPTED, "interrupted");
    return GM_OK;
}

static asked all_layers(const gm_session *s, const gm_record *record, const gm_result *result)
{
    return (asked){.end = s->model->weights->n_layers, .record = record, .result = result};
}

gm_status gm_session_step(gm_session *session, const gm_segment *segments, size_t n_segments,
                          const gm_record *record, const gm_result *result, gm_error *err)
{
    const asked a = all_layers(session, record, result);
    return run_step(session, segments, n_segments, &a, err);
}

gm_status gm_session_step_layers(gm_session *session, size_t first, size_t end,
                                 const gm_segment *segments, size_t n_segments,
                                 const gm_record *record, const gm_result *result, gm_error *err)
{
    const asked a = {first, end, record, result};
    return run_step(session, segments, n_segments, &a, err);
}

/* ---- decoding ---- */

static gm_status check_decode(const gm_session *s, const gm_segment *segments, size_t n,
                              size_t n_steps, gm_error *err)
{
    for (size_t i = 0; i < n; i++) {
        const gm_segment *g = &segments[i];
        if (g->n != 1 || g->sampling == NULL || g->want != GM_WANT_NOTHING || g->target)
            return gm_fail(err, GM_EARG,
                           "segment %zu: decoding takes one token per segment, samples, and "
                           "returns no logits or nll",
                           i);
        for (size_t j = 0; j < i; j++)
            if (segments[j].sequence == g->sequence)
                return gm_fail(err, GM_EARG, "segments %zu and %zu both decode sequence %d", j, i,
                               g->sequence);
        if (!gm_kv_is_open(&s->kv, g->sequence)) continue; /* the first step says so */
        const gm_sequence *q = &s->kv.sequence[g->sequence];
        if (n_steps > q->capacity - q->length)
            return gm_fail(
                err, GM_EARG,
                "segment %zu: %zu tokens do not fit into sequence %d, which has used %zu of %zu", i,
                n_steps, g->sequence, q->length, q->capacity);
    }
    return GM_OK;
}

/* By gm_session_step: `token` (n) and `phase` (n) hold what the segments, copied, feed. */
static gm_status decode_by_steps(gm_session *s, gm_segment *segments, size_t n,
                                 const gm_decoding *how, const gm_record *record,
                                 const gm_result *result, gm_error *err)
{
    static const uint8_t generated = GM_PHASE_GENERATED;
    gm_status status = GM_OK;
    uint32_t *token = s->decoded; /* (max_rows) */
    for (size_t step = 0; step < how->n_steps; step++) {
        if (step > 0) GM_TRY(gm_sampled_check(token, n, err));
        GM_TRY(gm_session_step(s, segments, n, record, result, err));
        for (size_t i = 0; i < n; i++) {
            token[i] = result->sampled[i];
            segments[i].token = &token[i];
            segments[i].phase = &generated;
        }
        if (!how->each(how->context, step, result->sampled)) break;
    }
out:
    return status;
}

gm_status gm_session_decode(gm_session *session, const gm_segment *segments, size_t n_segments,
                            const gm_decoding *how, const gm_record *record,
                            const gm_result *result, gm_error *err)
{
    const asked a = all_layers(session, record, result);
    gm_status status = check_decode(session, segments, n_segments, how->n_steps, err);
    if (status == GM_OK) status = check_step(session, segments, n_segments, &a, err);
    if (status != GM_OK || how->n_steps == 0 || n_segments == 0) return status;
    memcpy(session->segment, segments, n_segments * sizeof *segments);
    if (!session->accelerator || !session->accelerator->decodes(session->own, n_segments))
        return decode_by_steps(session, session->segment, n_segments, how, record, result, err);
    size_t n_done = 0;
    gm_watch *watch = session->watch.after_layer ? &session->watch : NULL;
    session->watch.stopped = false;
    (void)start_step(session, segments, n_segments, &a); /* one piece */
    status = session->accelerator->decode(session->step, how, watch, &n_done, err);
    if (status == GM_OK && session->watch.stopped)
        status = gm_fail(err, GM_EINTERRUPTED, "interrupted");
    for (size_t i = 0; i < n_segments; i++) /* lay_out has counted the first step */
        session->kv.sequence[segments[i].sequence].length += n_done - 1;
    return status;
}
