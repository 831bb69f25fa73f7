/* cpu_delta.c - Gated DeltaNet (and Kimi's, gm_delta), Mamba2 and short convolutions: attn_in after
 * its product, and attn, of layers that have one of them.
 *
 * Work is split by rows where rows do not meet, and where they do by sequence, channels, heads and
 * values, never by tokens: a sequence's tokens go one after the other through its state, so results
 * do not depend on how a sequence is cut into steps.
 */
#include "engine/cpu/cpu_ops.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum {
    CONV_CHANNELS = 512, /* of a task */
    DELTA_VALUES = 64    /* likewise: with keys of 128 their state takes 32 KiB of cache */
};

/* ---- attn_in ---- */

/* Numbers that say how much of a value head's state stays. */
static size_t rates_of_head(const gm_delta *d)
{
    return d->rank > 0 ? (size_t)d->key : 1;
}

/* From b and a of a value head to how much is corrected and how much stays (with a rank, of each of
 * its channels), in their places (of Mamba2, from a to the step and what stays); in double, since
 * an error in what stays grows with every token. */
static void find_rates(const gm_step *s, const gm_layer *w, size_t r)
{
    const gm_delta_place place = gm_delta_place_of(s->arch);
    const float *log_rate = w->delta_rate.address, *bias = w->delta_bias.address;
    const size_t each = rates_of_head(&s->arch->delta);
    float *row = gm_row_at(&s->work->qkv, r), *b = row + place.b, *a = row + place.a;
    for (size_t h = 0; h < (size_t)s->arch->delta.value_heads; h++) {
        const double rate = exp((double)log_rate[h]);
        double softplus = 0;
        for (size_t i = h * each; i < (h + 1) * each; i++) {
            const double x = (double)a[i] + (double)bias[i];
            softplus = x > 20.0 ? x : log1p(exp(x));
            a[i] = (float)exp(-rate * softplus);
        }
        b[h] = (float)(s->arch->mamba ? softplus : 1.0 / (1.0 + exp(-(double)b[h])));
    }
}

/* The latents of a and z, for the product of both. */
static void keep_latents(const gm_step *s, size_t r)
{
    const gm_delta_place place = gm_delta_place_of(s->arch);
    const size_t rank = (size_t)s->arch->delta.rank;
    const float *row = gm_row_at(&s->work->qkv, r);
    gm_store_row(s->weights->kernels, &s->work->low, 2 * r, 0, row + place.low_a, rank);
    gm_store_row(s->weights->kernels, &s->work->low, 2 * r + 1, 0, row + place.low_z, rank);
}

/* Some columns of a or z; the two, of one width, follow one another. */
static void keep_gates(const gm_step *s, const gm_task *t, float *part, size_t ld, size_t p,
                       size_t n, const void *context)
{
    const size_t at = gm_delta_place_of(s->arch).a + t->item * t->w->rows + p * GM_PANEL;
    (void)context;
    for (size_t i = 0; i < t->m; i++)
        memcpy(gm_row_at(&s->work->qkv, t->first + i) + at, part + i * ld,
               gm_cpu_columns_of(t, p, n) * sizeof *part);
}

static void find_gates(gm_worker *me, const gm_step *s, const gm_layer *w, size_t first, size_t end)
{
    if (s->arch->delta.rank == 0) return;
    for (size_t r = first; r < end; r++) keep_latents(s, r);
    gm_worker_meet(me);
    gm_cpu_multiply_heads(me, s, &w->delta_up, &s->work->low, keep_gates);
}

/* Channels [first, first + n) of a run of rows, all of one sequence. */
static void convolve_run(const gm_step *s, const gm_layer *w, const gm_tile *run, size_t first,
                         size_t n)
{
    const gm_kernels *k = s->weights->kernels;
    const gm_buf *history = &s->kv->history;
    const size_t taps = w->delta_conv.cols, rows = taps - 1;
    const gm_row *row = &s->row[run->first];
    assert(rows > 0); /* families_delta.c asks for two taps */
    const size_t at = gm_kv_state(s->kv, w->nth, row->sequence) * rows;
    float *h = gm_row_at(history, at) + first; /* (taps - 1, n) */
    const float *panels = gm_panel_at(&w->delta_conv, 0, first / GM_PANEL);
    const float *bias = w->delta_conv_bias.address;
    const gm_delta_place place = gm_delta_place_of(s->arch);
    for (size_t t = 0; row->position == 0 && t < rows; t++)
        memset(h + t * history->stride, 0, n * sizeof *h);
    for (size_t i = 0; i < run->n; i++) {
        const size_t oldest = row[i].position % rows;
        float *x = gm_row_at(&s->work->qkv, run->first + i) + first;
        if (gm_arch_only_convolves(s->arch))
            k->convolve_gated(x, x + place.b, x + place.z, n, panels, taps, h, history->stride,
                              oldest);
        else
            k->convolve(x, n, panels, taps, bias ? bias + first : NULL, h, history->stride, oldest);
    }
}

static void convolve(gm_worker *me, const gm_step *s, const gm_layer *w)
{
    const size_t channels = gm_delta_place_of(s->arch).channels;
    const size_t parts = (channels + CONV_CHANNELS - 1) / CONV_CHANNELS;
    for (size_t t; (t = gm_worker_next(me)) < s->n_runs * parts;) {
        const size_t first = t % parts * CONV_CHANNELS, left = channels - first;
        convolve_run(s, w, &s->run[t / parts], first, left < CONV_CHANNELS ? left : CONV_CHANNELS);
    }
    gm_worker_meet(me);
}

static void scale_heads(const gm_step *s, size_t r)
{
    const gm_delta *d = &s->arch->delta;
    const gm_delta_place place = gm_delta_place_of(s->arch);
    const size_t width = (size_t)d->key;
    float *row = gm_row_at(&s->work->qkv, r);
    for (size_t h = 0; h < (size_t)d->key_heads; h++) {
        s->weights->kernels->unit(row + place.q + h * width, width, GM_DELTA_EPSILON,
                                  (float)(1.0 / sqrt((double)width)));
        s->weights->kernels->unit(row + place.k + h * width, width, GM_DELTA_EPSILON, 1.0f);
    }
}

void gm_cpu_delta_in(gm_worker *me, const gm_step *s, const gm_layer *w)
{
    size_t first, end;
    if (gm_arch_only_convolves(s->arch)) {
        convolve(me, s, w);
        return;
    }
    gm_worker_share(me, s->n_rows, &first, &end);
    find_gates(me, s, w, first, end);
    for (size_t r = first; r < end; r++) find_rates(s, w, r);
    convolve(me, s, w);
    for (size_t r = first; r < end && !s->arch->mamba; r++) scale_heads(s, r);
    gm_worker_meet(me);
}

/* ---- attn ---- */

static void fetch(const float *x, size_t n)
{
    enum { LINE = 64 / sizeof(float) };
    for (size_t i = 0; i < n; i += LINE) __builtin_prefetch(x + i);
}

/* n values of a head, from the first's on, through one token. */
static void pass_token(const gm_step *s, const gm_layer *w, float *x, float *state, size_t head,
                       size_t first, size_t n)
{
    const gm_kernels *k = s->weights->kernels;
    const gm_delta *d = &s->arch->delta;
    const gm_delta_place place = gm_delta_place_of(s->arch);
    const size_t depth = (size_t)d->key, each = (size_t)(d->value_heads / d->key_heads);
    const float *key = x + place.k + head / each * depth,
                *query = x + place.q + head / each * depth;
    float *value = x + place.v + head * (size_t)d->value + first;
    const float *skip = w->delta_skip.address, *decay = x + place.a + head * rates_of_head(d);
    if (skip)
        k->scan(state, depth, key, query, value, n, *decay, x[place.b + head], skip[head]);
    else
        k->delta(state, depth, key, query, value, n, decay, d->rank > 0, x[place.b + head]);
}

/* Values [first, first + n) of a head, through a run of rows; what the head gives takes the place
 * of its values. */
static void pass_run(const gm_step *s, const gm_layer *w, const gm_tile *run, size_t head,
                     size_t first, size_t n)
{
    const gm_delta *d = &s->arch->delta;
    const gm_delta_place place = gm_delta_place_of(s->arch);
    const gm_buf *buf = &s->kv->state;
    const size_t depth = (size_t)d->key, each = (size_t)(d->value_heads / d->key_heads);
    const size_t key = head / each * depth, rates = rates_of_head(d);
    const gm_row *row = &s->row[run->first];
    const size_t at = gm_kv_state(s->kv, w->nth, row->sequence) * buf->rows + head;
    float *state = gm_row_at(buf, at) + first * depth;
    if (row->position == 0) memset(state, 0, gm_round_up(n, GM_PANEL) * depth * sizeof *state);
    for (size_t i = 0; i < run->n; i++) {
        float *x = gm_row_at(&s->work->qkv, run->first + i);
        if (i + 2 < run->n) { /* rows lie far apart */
            const float *next = gm_row_at(&s->work->qkv, run->first + i + 2);
            fetch(next + place.k + key, depth);
            fetch(next + place.q + key, depth);
            fetch(next + place.v + head * (size_t)d->value + first, n);
            fetch(next + place.a + head * rates, rates);
        }
        pass_token(s, w, x, state, head, first, n);
    }
}

/* What the heads of a row give, for the product with O: normed head by head, in Mamba2 group by
 * group; of a short convolution, as it is. */
static void store_given(gm_worker *me, const gm_step *s, const gm_layer *w, size_t r)
{
    const gm_kernels *k = s->weights->kernels;
    const gm_delta *d = &s->arch->delta;
    const gm_delta_place place = gm_delta_place_of(s->arch);
    const size_t all = (size_t)d->value_heads * (size_t)d->value;
    const size_t width = s->arch->mamba ? all / (size_t)d->key_heads : (size_t)d->value;
    const float epsilon = s->arch->norm_epsilon, *weight = w->delta_norm.address;
    float *x = gm_row_at(&s->work->qkv, r);
    float *given = gm_scratch_of(s, me); /* (width) */
    const bool alone = gm_arch_only_convolves(s->arch);
    if (alone) gm_store_row(k, &s->work->heads, r, 0, x + place.v, all);
    for (size_t i = 0; i < all && !alone; i += width) {
        float *value = x + place.v + i, *z = x + place.z + i;
        if (s->arch->mamba)
            k->gated_norm(value, weight + i, z, width, epsilon, given);
        else if (d->rank == 0)
            k->norm_gated(value, weight, z, width, epsilon, given);
        else {
            k->norm(value, weight, width, epsilon, given);
            k->gate(given, z, width);
        }
        gm_store_row(k, &s->work->heads, r, i, given, width);
    }
    gm_cpu_end_row(s, &s->work->heads, r, all);
}

static void pass_runs(gm_worker *me, const gm_step *s, const gm_layer *w)
{
    const size_t heads = (size_t)s->arch->delta.value_heads, width = (size_t)s->arch->delta.value;
    const size_t parts = (width + DELTA_VALUES - 1) / DELTA_VALUES;
    for (size_t t; (t = gm_worker_next(me)) < s->n_runs * heads * parts;) {
        const size_t run = t / (heads * parts), head = t / parts % heads;
        const size_t at = t % parts * DELTA_VALUES, left = width - at;
        pass_run(s, w, &s->run[run], head, at, left < DELTA_VALUES ? left : DELTA_VALUES);
    }
    gm_worker_meet(me);
}

void gm_cpu_delta(gm_worker *me, const gm_step *s, const gm_layer *w)
{
    size_t first, end;
    if (!gm_arch_only_convolves(s->arch)) pass_runs(me, s, w);
    gm_worker_share(me, s->n_rows, &first, &end);
    for (size_t r = first; r < end; r++) store_given(me, s, w, r);
    gm_worker_meet(me);
}
