/* cpu_route.c - the router of a layer: logits, edit, choice, record, and the rows
 * grouped by expert.
 *
 * Tiles of 16 rows are routed by one worker each; then the first worker sorts the
 * choices by expert (a stable counting sort: by row, then by rank).
 */
#include "engine/cpu/cpu_ops.h"
#include "engine/cpu/router.h"

#include <string.h>

/* Choice of one row into the step's table and the caller's record. */
static void keep_choice(const gm_step *s, size_t moe, size_t r, const gm_choice *c,
                        const float *logits)
{
    const size_t k = (size_t)s->arch->n_chosen, e = (size_t)s->arch->n_experts;
    int32_t *expert = (int32_t *)s->work->expert.address + r * k; /* (K) */
    for (size_t i = 0; i < k; i++) expert[i] = c->expert[i];
    const gm_record *record = s->record;
    if (record == NULL) return;
    const size_t at = moe * s->record_rows + r; /* of (L,T) */
    if (record->expert) memcpy(record->expert + at * k, c->expert, k * sizeof *record->expert);
    if (record->gate) memcpy(record->gate + at * k, c->gate, k * sizeof *record->gate);
    if (record->mass) record->mass[at] = c->mass;
    if (record->margin) record->margin[at] = c->margin;
    if (record->logits) memcpy(record->logits + at * e, logits, e * sizeof *logits);
}

static float sigmoid(const gm_kernels *k, float x)
{
    float power = -x;
    k->exp_shifted(&power, 0.0f, 1, &power);
    return 1.0f / (1.0f + power);
}

/* What experts, the MLP that all rows take and the router read of a row: the same norm of the
 * residual, or for the latter two one of their own; the router's to `row`, never rounded. */
static void norm_row(const gm_step *s, const gm_layer *w, size_t r, float *row)
{
    const gm_kernels *k = s->weights->kernels;
    const float *x = gm_row_at(&s->work->x, r);
    const size_t d = s->work->norm.cols;
    gm_cpu_norm(s, &w->mlp_norm, x, row);
    gm_store_row(k, &s->work->norm, r, 0, row, d);
    if (w->always_norm.address) {
        gm_cpu_norm(s, &w->always_norm, x, row);
        gm_store_row(k, &s->work->always_x, r, 0, row, d);
    }
    if (w->router_norm.address) gm_cpu_norm(s, &w->router_norm, x, row);
}

static void route_tile(gm_worker *me, const gm_step *s, const gm_layer *w, size_t first, size_t n)
{
    const gm_kernels *k = s->weights->kernels;
    const gm_buf *norm = &s->work->norm;
    const size_t e = (size_t)s->arch->n_experts, stride = gm_round_up(w->router.rows, GM_PANEL);
    const gm_router router = {.desc = &s->arch->router,
                              .kernels = k,
                              .correction = w->correction.address,
                              .n_experts = e,
                              .n_chosen = (size_t)s->arch->n_chosen};
    const size_t ld = gm_round_up(norm->cols, GM_K_BLOCK);
    float *rows = gm_scratch_of(s, me), *logits = rows + GM_ROUTE_ROWS * ld; /* never rounded */
    float *scratch = logits + GM_ROUTE_ROWS * stride;
    uint16_t *expert = (uint16_t *)(void *)(scratch + gm_router_scratch(e)); /* (K) */
    float *gate = s->work->gate.address;                                     /* (T,K) */
    float *share = gm_share_of(s, w);
    uint8_t *bad = s->work->bad.address;

    for (size_t i = 0; i < n; i++) norm_row(s, w, first + i, rows + i * ld);
    k->f32.gemm(rows, ld * sizeof *rows, n, w->router.address, w->router.cols, stride / GM_PANEL,
                logits, stride, false);
    for (size_t i = 0; i < n; i++) {
        gm_choice choice = {.expert = expert, .gate = gate + (first + i) * router.n_chosen};
        gm_router_edit edit;
        const gm_row *row = &s->row[first + i];
        float *logit = logits + i * stride; /* (E) */
        for (size_t j = 0; s->arch->router.logit_scale != 1.0f && j < e; j++)
            logit[j] *= s->arch->router.logit_scale;
        if (w->router_bias.address) k->add(logit, w->router_bias.address, gm_round_up(e, GM_PANEL));
        if (share) share[first + i] = sigmoid(k, logit[e]);
        bool edited = gm_edits_find(s->edits, row->edit, w->moe, row->phase, &edit);
        if (!gm_router_choose(&router, logit, edited ? &edit : NULL, scratch, &choice))
            bad[first + i] = 1;
        keep_choice(s, (size_t)w->moe, first + i, &choice, logit);
    }
}

/* Places of all choices by expert; bad rows have none. Experts with the most rows
 * come first in `busy`, so that the longest tasks start first. */
static void group_by_expert(const gm_step *s)
{
    const size_t e = (size_t)s->arch->n_experts, n = s->n_rows * (size_t)s->arch->n_chosen;
    const size_t k = (size_t)s->arch->n_chosen;
    const int32_t *expert = s->work->expert.address; /* (T,K) */
    int32_t *slot = s->work->slot.address;           /* (T,K) */
    int32_t *slot_row = s->work->slot_row.address;   /* (T K) */
    int32_t *first = s->work->first.address;         /* (E + 1) */
    int32_t *busy = s->work->busy.address;           /* (E + 1) */

    memset(first, 0, (e + 1) * sizeof *first);
    for (size_t i = 0; i < n; i++)
        if (expert[i] != GM_NO_EXPERT) first[expert[i] + 1]++;
    int32_t n_busy = 0;
    for (size_t i = 0; i < e; i++) {
        const int32_t rows = first[i + 1];
        if (rows == 0) continue;
        int32_t j = n_busy++;
        for (; j > 0 && first[busy[j - 1] + 1] < rows; j--) busy[j] = busy[j - 1];
        busy[j] = (int32_t)i;
    }
    busy[e] = n_busy;
    for (size_t i = 0; i < e; i++) first[i + 1] += first[i];
    for (size_t i = 0; i < n; i++) {
        if (expert[i] == GM_NO_EXPERT) continue;
        slot[i] = first[expert[i]]++; /* now the end of the expert's places so far */
        slot_row[slot[i]] = (int32_t)(i / k);
    }
    for (size_t i = e; i > 0; i--) first[i] = first[i - 1];
    first[0] = 0;
}

void gm_cpu_route(gm_worker *me, const gm_step *s, size_t layer, const gm_layer *w)
{
    (void)layer;
    if (w->moe < 0) {
        gm_cpu_norm_rows(me, s, &w->mlp_norm);
        return;
    }
    for (size_t t; (t = gm_worker_next(me) * GM_ROUTE_ROWS) < s->n_rows;)
        route_tile(me, s, w, t, s->n_rows - t < GM_ROUTE_ROWS ? s->n_rows - t : GM_ROUTE_ROWS);
    gm_worker_meet(me);
    if (me->index == 0) group_by_expert(s);
    gm_worker_meet(me);
}
