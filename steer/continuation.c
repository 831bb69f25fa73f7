/* continuation.c - see continuation.h. One loop: give every open continuation its rows
 * of the next step, run the step, hand out what came back.
 */
#include "steer/continuation.h"

#include "base/cli.h"
#include "base/progress.h"
#include "steer/ramp.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { STEP_ROWS = 256 };

typedef struct loop {
    const gm_model_info *info;
    const gm_tokenizer *tokenizer;
    const gm_continue_options *options;
    gm_session *session;
    gm_ramp ramp;
    size_t max_open, n_open, n_waiting_from;
    gm_continuation **open;  /* (max_open) */
    gm_segment *segment;     /* (max_open) */
    gm_continuation **owner; /* (max_open) of each segment */
    uint8_t *phase;          /* (STEP_ROWS + max_open) */
    uint32_t *sampled;       /* (max_open) */
    gm_record record;        /* expert, gate, mass, margin, bad */
    gm_text piece;
} loop;

const char *gm_end_name(gm_end end)
{
    static const char *const names[] = {"none", "length", "eos", "stop"};
    return names[end];
}

void gm_continuation_clear(gm_continuation *c)
{
    gm_ids_clear(&c->prompt);
    gm_ids_clear(&c->generated);
    gm_text_clear(&c->text);
    gm_stream_clear(&c->stream);
    *c = (gm_continuation){0};
}

uint32_t gm_continuation_token(const gm_continuation *c, size_t t)
{
    return t < c->prompt.n ? c->prompt.at[t] : c->generated.at[t - c->prompt.n];
}

uint8_t gm_continuation_phase(const gm_continuation *c, size_t t)
{
    if (t >= c->prompt.n) return GM_PHASE_GENERATED;
    return t < c->n_template || t + c->n_closing >= c->prompt.n ? GM_PHASE_TEMPLATE
                                                                : GM_PHASE_PROMPT;
}

double gm_continuation_dose(const gm_continuation *c)
{
    return c->n_pairs > 0 ? (double)c->n_dosed / (double)c->n_pairs : (double)NAN;
}

/* ---- memory ---- */

static size_t capacity_of(const gm_continuation *c)
{
    return c->prompt.n + c->max_tokens;
}

gm_status gm_continue_fits(const gm_continuation *list, size_t n, const gm_model_info *info,
                           gm_error *err)
{
    for (size_t i = 0; i < n; i++) {
        if (list[i].prompt.n == 0) return gm_fail(err, GM_EARG, "prompt %zu is empty", i + 1);
        if (capacity_of(&list[i]) > (size_t)info->max_context)
            return gm_fail(err, GM_EARG,
                           "prompt %zu has %zu tokens, and %zu more would exceed the model's "
                           "context of %d; shorten the prompt or generate fewer tokens",
                           i + 1, list[i].prompt.n, list[i].max_tokens, info->max_context);
    }
    return GM_OK;
}

static int descending(const void *a, const void *b)
{
    const size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return (x < y) - (x > y);
}

/* KV rows for the `max_open` longest continuations. */
static gm_status count_kv_rows(size_t *rows, const gm_continuation *list, size_t n, size_t max_open,
                               gm_error *err)
{
    size_t *capacity = gm_alloc(n, sizeof *capacity);
    *rows = 0;
    if (capacity == NULL) return gm_fail(err, GM_EMEM, "no memory to continue %zu prompts", n);
    for (size_t i = 0; i < n; i++) capacity[i] = capacity_of(&list[i]);
    qsort(capacity, n, sizeof *capacity, descending);
    for (size_t i = 0; i < max_open; i++) *rows += capacity[i];
    gm_free(capacity);
    return GM_OK;
}

gm_session_options gm_continue_planned(int threads, size_t batch, size_t max_tokens)
{
    enum { USUAL_PROMPT = 128 };
    const size_t rows = batch * (USUAL_PROMPT + max_tokens), most = UINT32_MAX / 2;
    return (gm_session_options){.threads = threads,
                                .max_rows = STEP_ROWS + batch,
                                .kv_rows = rows < most ? rows : most,
                                .max_sequences = (int)batch};
}

static gm_status loop_create(loop *l, const gm_model *model, const gm_continuation *list, size_t n,
                             gm_error *err)
{
    gm_status status = GM_OK;
    const gm_continue_options *o = l->options;
    size_t rows = STEP_ROWS + l->max_open, L = (size_t)l->info->n_moe_layers;
    size_t K = (size_t)l->info->n_chosen, kv_rows;
    l->open = gm_alloc(l->max_open, sizeof *l->open);
    l->segment = gm_alloc(l->max_open, sizeof *l->segment);
    l->owner = gm_alloc(l->max_open, sizeof *l->owner);
    l->phase = gm_alloc(rows, sizeof *l->phase);
    l->sampled = gm_alloc(l->max_open, sizeof *l->sampled);
    l->record.expert = gm_alloc2(L * rows, K, sizeof *l->record.expert);
    l->record.gate = gm_alloc2(L * rows, K, sizeof *l->record.gate);
    l->record.mass = gm_alloc2(L, rows, sizeof *l->record.mass);
    l->record.margin = gm_alloc2(L, rows, sizeof *l->record.margin);
    l->record.bad = gm_alloc(rows, sizeof *l->record.bad);
    if (!l->open || !l->segment || !l->owner || !l->phase || !l->sampled || !l->record.expert ||
        !l->record.gate || !l->record.mass || !l->record.margin || !l->record.bad)
        GM_FAIL(GM_EMEM, "no memory to continue %zu prompts", n);

    GM_TRY(count_kv_rows(&kv_rows, list, n, l->max_open, err));
    const gm_session_options options = {.threads = o->threads,
                                        .max_rows = rows,
                                        .kv_rows = kv_rows,
                                        .max_sequences = (int)l->max_open};
    GM_TRY(gm_session_create(&l->session, model, &options, err));
    GM_TRY(gm_ramp_set(&l->ramp, l->session, l->info, o->edits, o->schedules, o->n_edits, err));
out:
    return status;
}

static void loop_clear(loop *l)
{
    gm_session_free(l->session);
    gm_ramp_clear(&l->ramp);
    gm_free(l->open);
    gm_free(l->segment);
    gm_free(l->owner);
    gm_free(l->phase);
    gm_free(l->sampled);
    gm_free(l->record.expert);
    gm_free(l->record.gate);
    gm_free(l->record.mass);
    gm_free(l->record.margin);
    gm_free(l->record.bad);
    gm_text_clear(&l->piece);
}

/* ---- text ---- */

/* Where the first stop string begins in the text, or its length. None begins in what was shown. */
static size_t find_stop(const gm_continuation *c, const gm_continue_options *o)
{
    size_t first = c->text.n;
    for (size_t s = 0; s < o->n_stop_strings; s++) {
        size_t n = strlen(o->stop_string[s]);
        for (size_t i = c->shown; n > 0 && i + n <= c->text.n && i < first; i++)
            if (memcmp(c->text.at + i, o->stop_string[s], n) == 0) first = i;
    }
    return first;
}

/* How many bytes may be shown: what could still become a stop string is held back. */
static size_t certain_bytes(const gm_continuation *c, const gm_continue_options *o)
{
    size_t held = 0;
    for (size_t s = 0; s < o->n_stop_strings; s++) {
        size_t n = strlen(o->stop_string[s]);
        for (size_t k = n < c->text.n ? n : c->text.n; k > held; k--)
            if (memcmp(c->text.at + c->text.n - k, o->stop_string[s], k) == 0) held = k;
    }
    return c->text.n - held;
}

static void show(gm_continuation *c, const gm_continue_options *o, size_t up_to)
{
    if (o->on_text && up_to > c->shown)
        o->on_text(o->on_text_context, c, c->text.at + c->shown, up_to - c->shown);
    if (up_to > c->shown) c->shown = up_to;
}

/* Take what decoding gave; an end by stop string cuts the text there. */
static gm_status take_piece(loop *l, gm_continuation *c, gm_error *err)
{
    gm_status status = GM_OK;
    if (l->piece.n == 0) return GM_OK;
    GM_TRY(gm_text_append(&c->text, l->piece.at, l->piece.n, err));
    l->piece.n = 0;
    size_t stop = find_stop(c, l->options);
    if (stop < c->text.n) {
        c->end = GM_END_STRING;
        c->text.n = stop;
        c->text.at[stop] = '\0';
    }
    show(c, l->options, c->end == GM_END_STRING ? c->text.n : certain_bytes(c, l->options));
out:
    return status;
}

static bool is_stop(const gm_continue_options *o, uint32_t id)
{
    for (size_t i = 0; i < o->n_stop; i++)
        if (o->stop[i] == id) return true;
    return false;
}

/* The token that was sampled after everything so far. */
static gm_status take_token(loop *l, gm_continuation *c, uint32_t id, gm_error *err)
{
    gm_status status = GM_OK;
    if (id == GM_NO_TARGET)
        GM_FAIL(GM_ENUMERIC, "the model's logits are not finite; a smaller weight may help");
    if (is_stop(l->options, id)) {
        c->end = GM_END_EOS;
        return GM_OK;
    }
    c->last = id;
    GM_TRY(gm_ids_append(&c->generated, id, err));
    if (id < gm_tokenizer_size(l->tokenizer)) /* the model's vocabulary may be padded */
        GM_TRY(gm_stream_add(&c->stream, id, &l->piece, err));
    GM_TRY(take_piece(l, c, err));
    if (c->end == GM_END_NONE && c->generated.n == c->max_tokens) c->end = GM_END_LENGTH;
out:
    return status;
}

static gm_status finish(loop *l, gm_continuation *c, gm_error *err)
{
    gm_status status = GM_OK;
    if (c->end != GM_END_STRING) {
        GM_TRY(gm_stream_end(&c->stream, &l->piece, err));
        GM_TRY(take_piece(l, c, err));
        show(c, l->options, c->text.n);
    }
out:
    gm_sequence_close(l->session, c->sequence);
    return status;
}

/* ---- steps ---- */

static gm_status open_more(loop *l, gm_continuation *list, size_t n, gm_error *err)
{
    gm_status status = GM_OK;
    while (l->n_open < l->max_open && l->n_waiting_from < n) {
        gm_continuation *c = &list[l->n_waiting_from];
        GM_TRY(gm_sequence_open(l->session, capacity_of(c), &c->sequence, err));
        gm_stream_init(&c->stream, l->tokenizer, false);
        l->open[l->n_open++] = c;
        l->n_waiting_from++;
    }
out:
    return status;
}

/* The rows of one continuation, at most `room` of its prompt; false when it must wait. */
static bool plan_segment(loop *l, gm_continuation *c, size_t *room, size_t first_row, gm_segment *s)
{
    *s = (gm_segment){.sequence = c->sequence, .edit = c->edit, .phase = l->phase + first_row};
    size_t left = c->prompt.n - c->n_read;
    if (left == 0) {
        s->n = 1;
        s->token = &c->last;
        s->edit = gm_ramp_at(&l->ramp, c->edit, c->generated.n - 1);
        l->phase[first_row] = GM_PHASE_GENERATED;
    } else {
        s->n = left < *room ? left : *room;
        if (s->n == 0) return false;
        s->token = c->prompt.at + c->n_read;
        for (size_t i = 0; i < s->n; i++)
            l->phase[first_row + i] = gm_continuation_phase(c, c->n_read + i);
        *room -= s->n;
    }
    if (s->n >= left) s->sampling = &c->sampling;
    return true;
}

/* Do the K choices of one row and layer hold an expert of important (E)? */
static bool holds_important(const uint16_t *choice, size_t n_chosen, const uint8_t *important,
                            size_t n_experts)
{
    for (size_t k = 0; k < n_chosen; k++)
        if (choice[k] < n_experts && important[choice[k]]) return true;
    return false;
}

/* Count the dose of the generated rows [first, first+n) of a step with `rows` rows. */
static void count_dose(const loop *l, gm_continuation *c, size_t first, size_t n, size_t rows)
{
    size_t K = (size_t)l->info->n_chosen, E = (size_t)l->info->n_experts;
    for (size_t layer = 0; layer < (size_t)l->info->n_moe_layers; layer++) {
        const uint8_t *important = c->important + layer * E; /* (E) */
        if (memchr(important, 1, E) == NULL) continue;
        for (size_t t = first; t < first + n; t++) {
            if (l->phase[t] != GM_PHASE_GENERATED) continue;
            const uint16_t *choice = l->record.expert + (layer * rows + t) * K;
            c->n_dosed += holds_important(choice, K, important, E);
            c->n_pairs++;
        }
    }
}

/* Run one step over everything open; *done counts continuations that ended. */
static gm_status step(loop *l, size_t *done, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_continue_options *o = l->options;
    size_t n_segments = 0, rows = 0, room = STEP_ROWS, row = 0;

    for (size_t i = 0; i < l->n_open; i++) {
        if (!plan_segment(l, l->open[i], &room, rows, &l->segment[n_segments])) continue;
        l->owner[n_segments] = l->open[i];
        rows += l->segment[n_segments++].n;
    }
    const gm_result result = {.sampled = l->sampled};
    GM_TRY(gm_session_step(l->session, l->segment, n_segments, &l->record, &result, err));
    if (o->on_rows)
        GM_TRY(o->on_rows(o->on_rows_context, l->segment, l->owner, n_segments, &l->record, rows,
                          err));

    for (size_t s = 0; s < n_segments; s++) {
        gm_continuation *c = l->owner[s];
        size_t n = l->segment[s].n;
        if (c->important) count_dose(l, c, row, n, rows);
        row += n;
        if (c->n_read < c->prompt.n) c->n_read += n;
        if (l->segment[s].sampling) GM_TRY(take_token(l, c, l->sampled[s], err));
    }
    size_t kept = 0, n_open = l->n_open;
    for (size_t i = 0; i < l->n_open; i++) {
        gm_continuation *c = l->open[i];
        if (c->end == GM_END_NONE) {
            l->open[kept++] = c;
            continue;
        }
        GM_TRY(finish(l, c, err));
        (*done)++;
    }
    l->n_open = kept;
    if (o->on_end && kept < n_open) o->on_end(o->on_end_context);
out:
    return status;
}

gm_status gm_continue_check(const gm_continue_options *o, gm_error *err)
{
    if (gm_interrupted()) return gm_fail(err, GM_EINTERRUPTED, "interrupted");
    if (o->keep_going && !o->keep_going(o->keep_going_context))
        return gm_fail(err, GM_EINTERRUPTED, "nobody waits for the texts any more");
    return GM_OK;
}

gm_status gm_continue(gm_continuation *list, size_t n, const gm_model *model,
                      const gm_tokenizer *tokenizer, const gm_continue_options *options,
                      gm_error *err)
{
    gm_status status = GM_OK;
    gm_progress progress;
    size_t done = 0, batch = options->batch > 0 ? options->batch : 1;
    loop l = {.info = gm_model_get_info(model),
              .tokenizer = tokenizer,
              .options = options,
              .max_open = n < batch ? n : batch};
    if (n == 0) return GM_OK;

    gm_progress_start(&progress, "continue", "texts", (double)n, options->quiet);
    GM_TRY(gm_continue_fits(list, n, l.info, err));
    GM_TRY(loop_create(&l, model, list, n, err));
    while (done < n) {
        GM_TRY(gm_continue_check(options, err));
        GM_TRY(open_more(&l, list, n, err));
        GM_TRY(step(&l, &done, err));
        gm_progress_set(&progress, (double)done);
    }
out:
    gm_progress_end(&progress);
    loop_clear(&l);
    return status;
}
