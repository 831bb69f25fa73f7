/* cpu_ends.c - what comes before the first layer and after the last: embedding,
 * logits, nll, sampling, and the completion of the record. */
#include "engine/cpu/cpu_ops.h"

#include "engine/sample.h"

#include <math.h>
#include <string.h>

enum { NLL_CHUNK = 1024 };

static void scale(float *x, size_t n, float by)
{
    for (size_t i = 0; by != 1.0f && i < n; i++) x[i] *= by;
}

void gm_cpu_embed(gm_worker *me, const gm_step *s)
{
    const gm_buf *embed = &s->weights->embed, *x = &s->work->x;
    uint8_t *bad = s->work->bad.address;
    size_t first, end;
    gm_worker_share(me, s->n_rows, &first, &end);
    for (size_t r = first; r < end; r++) {
        const gm_row *row = &s->row[r];
        float *to = gm_row_at(x, r);
        const gm_tensor all = {.dtype = embed->dtype,
                               .rank = 1,
                               .dim = {embed->rows * embed->stride},
                               .data = embed->address,
                               .n_bytes = embed->item_bytes};
        gm_tensor_to_f32(&all, row->token * embed->stride, embed->cols, to);
        scale(to, x->cols, s->arch->embed_scale);
        for (size_t i = x->cols; i < x->stride; i++) to[i] = 0.0f;
        *gm_kv_token(s->kv, row->sequence, row->position) = row->token;
        bad[r] = 0;
    }
    gm_worker_meet(me);
}

void gm_cpu_enter(gm_worker *me, const gm_step *s)
{
    const gm_buf *x = &s->work->x;
    size_t first, end;
    gm_worker_share(me, s->n_rows, &first, &end);
    for (size_t r = first; r < end; r++)
        memcpy(gm_row_at(x, r), s->residual[r], x->cols * sizeof(float));
    gm_worker_meet(me);
}

void gm_cpu_leave(gm_worker *me, const gm_step *s)
{
    const gm_buf *x = &s->work->x;
    size_t first, end;
    gm_worker_share(me, s->n_rows, &first, &end);
    for (size_t r = first; r < end; r++)
        memcpy(s->residual[r], gm_row_at(x, r), x->cols * sizeof(float));
    gm_worker_meet(me);
}

/* ---- head ---- */

/* -ln of the softmax of `logits` at `target`; the sum is taken over chunks of 1024
 * columns, one after the other. */
static float nll_of(const gm_kernels *k, const float *logits, size_t vocab, uint32_t target)
{
    double top = -INFINITY, sum = 0.0;
    for (size_t at = 0; at < vocab; at += NLL_CHUNK) {
        size_t n = vocab - at < NLL_CHUNK ? vocab - at : NLL_CHUNK;
        float chunk_top;
        double chunk = (double)k->exp_sum(logits + at, n, &chunk_top);
        if ((double)chunk_top > top) {
            sum = sum * exp(top - (double)chunk_top) + chunk;
            top = (double)chunk_top;
        } else {
            sum += chunk * exp((double)chunk_top - top);
        }
    }
    /* cppcheck-suppress invalidFunctionArg ; the vocabulary is not empty: sum >= 1 */
    return (float)(log(sum) + top - (double)logits[target]);
}

static void head_logits(gm_worker *me, const gm_step *s, const gm_head_row *head, size_t n)
{
    const gm_kernels *k = s->weights->kernels;
    const gm_buf *w = &s->weights->head, *x = &s->work->head_x, *to = &s->work->logits;
    float *norm = gm_scratch_of(s, me);
    size_t first, end;
    gm_worker_share(me, n, &first, &end);
    for (size_t i = first; i < end; i++) {
        gm_cpu_norm(s, &s->weights->final_norm, gm_row_at(&s->work->x, head[i].row), norm);
        gm_store_row(k, x, i, 0, norm, x->cols);
    }
    gm_worker_meet(me);
    const size_t panels = gm_n_panels(w->rows);
    const gm_split split = gm_split_panels(me, 1, n, panels);
    for (size_t t; (t = gm_worker_next(me)) < split.groups;) {
        size_t p = t * split.panels;
        gm_task task = {.w = w,
                        .x = x,
                        .panel = p,
                        .n = panels - p < split.panels ? panels - p : split.panels,
                        .m = n,
                        .out = gm_row_at(to, 0) + p * GM_PANEL,
                        .ldo = to->stride};
        gm_task_run(s, &task, gm_scratch_of(s, me), NULL, NULL);
    }
    gm_worker_meet(me);
}

void gm_cpu_head(gm_worker *me, const gm_step *s, size_t block)
{
    const size_t at = block * GM_HEAD_ROWS, vocab = (size_t)s->arch->vocab;
    const size_t n = s->n_head - at < GM_HEAD_ROWS ? s->n_head - at : GM_HEAD_ROWS;
    const float *bias = s->weights->head_bias.address; /* (V) or NULL */
    head_logits(me, s, s->head + at, n);
    for (size_t i; (i = gm_worker_next(me)) < n;) {
        const gm_head_row *head = &s->head[at + i];
        float *logits = gm_row_at(&s->work->logits, i); /* (V) */
        for (size_t v = 0; bias && v < vocab; v++) logits[v] += bias[v];
        scale(logits, vocab, s->arch->logits_scale);
        if (s->arch->logits_cap > 0.0f)
            s->weights->kernels->cap(logits, vocab, s->arch->logits_cap);
        if (head->out >= 0)
            memcpy(s->result->logits + (size_t)head->out * vocab, logits, vocab * sizeof *logits);
        if (head->target != GM_NO_TARGET)
            s->result->nll[head->row] = nll_of(s->weights->kernels, logits, vocab, head->target);
    }
    gm_worker_meet(me);
}

/* ---- sample ---- */

static uint32_t sample_row(gm_worker *me, const gm_step *s, const gm_head_row *head, float *logits)
{
    const size_t vocab = (size_t)s->arch->vocab;
    const gm_row *row = &s->row[head->row];
    float *weight = gm_scratch_of(s, me);                    /* (V) */
    uint32_t *order = (uint32_t *)(void *)(weight + vocab);  /* (V) */
    uint8_t *seen = (uint8_t *)(void *)(weight + 2 * vocab); /* (V) */
    if (head->sampling->repetition_penalty != 1.0) {
        memset(seen, 0, vocab);
        for (size_t p = 0; p <= row->position; p++) seen[*gm_kv_token(s->kv, row->sequence, p)] = 1;
        gm_sample_penalise(logits, seen, vocab, head->sampling->repetition_penalty);
    }
    return gm_sample_token(logits, vocab, head->sampling, (uint64_t)row->position + 1, order,
                           weight);
}

void gm_cpu_sample(gm_worker *me, const gm_step *s, size_t block)
{
    const size_t at = block * GM_HEAD_ROWS;
    for (size_t i; (i = gm_worker_next(me)) < GM_HEAD_ROWS && at + i < s->n_head;) {
        const gm_head_row *head = &s->head[at + i];
        if (head->segment >= 0)
            s->result->sampled[head->segment] =
                sample_row(me, s, head, gm_row_at(&s->work->logits, i));
    }
    gm_worker_meet(me);
}

/* ---- record_drain ---- */

/* A row that was bad in any of the step's layers counts as bad: nothing of it is a choice. */
static void mark_bad(const gm_step *s, const gm_record *record, size_t r)
{
    if (record->scale) record->scale[r] = NAN;
    const size_t k = (size_t)s->arch->n_chosen;
    for (size_t layer = s->first_layer; layer < s->end_layer; layer++) {
        if (s->arch->moe_of_layer[layer] < 0) continue;
        const size_t at = (size_t)s->arch->moe_of_layer[layer] * s->record_rows + r; /* of (L,T) */
        for (size_t i = at * k; i < (at + 1) * k; i++) {
            if (record->expert) record->expert[i] = GM_NO_EXPERT;
            if (record->gate) record->gate[i] = NAN;
            if (record->norm) record->norm[i] = NAN;
        }
        if (record->mass) record->mass[at] = NAN;
        if (record->margin) record->margin[at] = NAN;
    }
}

/* What the final norm divides a row by. */
static float final_scale(const gm_step *s, const float *x)
{
    const size_t d = (size_t)s->arch->width;
    double mean = 0.0, squares = 0.0;
    for (size_t i = 0; s->weights->final_norm.rows > 1 && i < d; i++)
        mean += (double)x[i] / (double)d;
    for (size_t i = 0; i < d; i++) squares += ((double)x[i] - mean) * ((double)x[i] - mean);
    return (float)sqrt(squares / (double)d + (double)s->arch->norm_epsilon);
}

void gm_cpu_record_drain(gm_worker *me, const gm_step *s)
{
    const uint8_t *bad = s->work->bad.address;
    size_t first, end;
    if (s->record == NULL) return;
    gm_worker_share(me, s->n_rows, &first, &end);
    for (size_t r = first; r < end; r++) {
        if (s->record->bad) s->record->bad[r] = bad[r];
        if (s->record->scale) s->record->scale[r] = final_scale(s, gm_row_at(&s->work->x, r));
        if (bad[r]) mark_bad(s, s->record, r);
    }
}
