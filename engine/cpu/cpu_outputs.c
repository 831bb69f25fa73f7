/* cpu_outputs.c - what is recorded of what the chosen experts give: the norm of every output, and
 * sums over the rows that chose an expert.
 *
 * Both read `routed`, where a session that records them keeps all outputs of a layer
 * (cpu_experts.c). Norms are taken by who computed the block. Sums wait until all have met: then
 * one worker takes an expert, whose places are in the order of rows.
 */
#include "engine/cpu/cpu_ops.h"

#include <math.h>
#include <string.h>

static const float *bias_of(const gm_layer *w, size_t expert)
{
    return w->expert_out_bias.address ? gm_row_at(&w->expert_out_bias, expert) : NULL;
}

/* Element i of an output. */
static inline float given(const float *y, const float *bias, size_t i)
{
    return bias ? y[i] + bias[i] : y[i];
}

/* The norm of the expert's output at a place; lane i sums elements i, i+16, ... */
static float norm_at(const gm_step *s, const gm_layer *w, size_t expert, size_t place)
{
    const float *y = gm_row_at(&s->work->routed, place), *bias = bias_of(w, expert);
    const float *scale = w->expert_scale.address; /* (E) or NULL */
    const size_t n16 = gm_round_up(s->work->routed.cols, GM_PANEL);
    double lane[GM_PANEL] = {0.0}, sum = 0.0;
    for (size_t at = 0; at < n16; at += GM_PANEL)
        for (size_t i = 0; i < GM_PANEL; i++) {
            const double v = (double)given(y, bias, at + i);
            lane[i] += v * v;
        }
    for (size_t i = 0; i < GM_PANEL; i++) sum += lane[i];
    return (float)sqrt(sum) * (scale ? fabsf(scale[expert]) : 1.0f);
}

void gm_cpu_record_norms(const gm_step *s, const gm_layer *w, size_t expert, size_t first, size_t m)
{
    const uint32_t *slot_row = s->work->slot_row.address;
    float *norm =
        s->record->norm + (size_t)w->moe * s->record_rows * (size_t)s->arch->n_chosen; /* (T,K) */
    for (size_t p = first; p < first + m; p++)
        norm[gm_cpu_choice(s, slot_row[p], p)] = norm_at(s, w, expert, p);
}

/* ---- sums ---- */

static void add(double *to, const double *x, size_t n)
{
    for (size_t i = 0; i < n; i++) to[i] += x[i];
}

/* Lane i sums products i, i+16, ...; n is a multiple of 16. */
static double dot(const double *a, const double *b, size_t n)
{
    double lane[GM_PANEL] = {0.0}, sum = 0.0;
    for (size_t at = 0; at < n; at += GM_PANEL)
        for (size_t i = 0; i < GM_PANEL; i++) lane[i] += a[at + i] * b[at + i];
    for (size_t i = 0; i < GM_PANEL; i++) sum += lane[i];
    return sum;
}

/* What a choice adds to the residual: out (D rounded up to 16). */
static void addend(const gm_step *s, const gm_layer *w, size_t choice, double *out)
{
    const int32_t *slot = s->work->slot.address, *expert = s->work->expert.address; /* (T,K) */
    const float *y = gm_row_at(&s->work->routed, (size_t)slot[choice]);
    const float *bias = bias_of(w, (size_t)expert[choice]);
    const double by = (double)gm_cpu_weight(s, w, choice) * (double)s->arch->residual_scale;
    for (size_t i = 0; i < gm_round_up(s->work->routed.cols, GM_PANEL); i++)
        out[i] = by * (double)given(y, bias, i);
}

/* The choice at a place of an expert: room is for three rows of the residual. */
static void add_place(const gm_step *s, const gm_layer *w, size_t expert, size_t place,
                      gm_expert_sum *sum, double *added, double *room)
{
    const uint32_t row = ((const uint32_t *)s->work->slot_row.address)[place];
    const size_t d = s->work->routed.cols, n16 = gm_round_up(d, GM_PANEL);
    const size_t k = (size_t)s->arch->n_chosen, choice = gm_cpu_choice(s, row, place);
    const double norm = (double)norm_at(s, w, expert, place);
    const float *y = gm_row_at(&s->work->routed, place), *bias = bias_of(w, expert);
    double *mine = room, *all = room + n16, *other = room + 2 * n16;
    const bool counts = s->row[row].phase != GM_PHASE_TEMPLATE &&
                        !((const uint8_t *)s->work->bad.address)[row] && isfinite(norm);
    if (!counts) return;
    sum->n++;
    sum->norms += norm;
    for (size_t i = 0; i < d; i++)
        if (fabsf(given(y, bias, i)) > sum->largest)
            sum->largest = fabsf(given(y, bias, i)), sum->dimension = (uint32_t)i;
    addend(s, w, choice, mine);
    add(added, mine, d);
    if (choice % k > 0) return;
    memcpy(all, mine, n16 * sizeof *all);
    for (size_t i = 1; i < k; i++) {
        addend(s, w, choice + i, other);
        add(all, other, n16);
    }
    const double cosine = dot(mine, all, n16) / sqrt(dot(mine, mine, n16) * dot(all, all, n16));
    if (!isfinite(cosine)) return; /* nothing is added, or what is not finite */
    sum->n_first++;
    sum->cosines += cosine;
}

void gm_cpu_add_sums(gm_worker *me, const gm_step *s, const gm_layer *w)
{
    const gm_expert_sums *sums = s->record->sums;
    if (w->moe < sums->first || w->moe >= sums->end) return;
    const int32_t *first = s->work->first.address, *busy = s->work->busy.address; /* see gm_work */
    const size_t e = (size_t)s->arch->n_experts, n_busy = (size_t)busy[e];
    for (size_t i; (i = gm_worker_next(me)) < n_busy;) {
        const size_t expert = (size_t)busy[i];
        const size_t at = (size_t)(w->moe - sums->first) * e + expert;
        for (size_t p = (size_t)first[expert]; p < (size_t)first[expert + 1]; p++)
            add_place(s, w, expert, p, &sums->of[at], sums->added + at * (size_t)s->arch->width,
                      (double *)(void *)gm_scratch_of(s, me));
    }
    gm_worker_meet(me);
}
