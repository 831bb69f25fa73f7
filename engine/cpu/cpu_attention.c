/* cpu_attention.c - attention: into the cache, over it, and back into the residual.
 *
 * Work is split by (rows, panels) in the products and by (tile of queries, KV head) in
 * attention itself, never by keys, so a row's sums do not depend on the split.
 */
#include "engine/cpu/cpu_ops.h"

#include "base/half.h"

#include <math.h>

void gm_cpu_norm_rows(gm_worker *me, const gm_step *s, const gm_buf *weight)
{
    const gm_kernels *k = s->weights->kernels;
    const gm_buf *to = &s->work->norm;
    size_t first, end;
    gm_worker_share(me, s->n_rows, &first, &end);
    for (size_t r = first; r < end; r++) {
        float *out = gm_row_at(to, r);
        k->norm(gm_row_at(&s->work->x, r), weight->address, to->cols, s->arch->norm_epsilon, out);
        if (gm_rounds(s)) k->round_bf16(out, to->stride);
    }
    gm_worker_meet(me);
}

/* ---- attn_in ---- */

/* qkv = norm times the fused matrix. */
static void project(gm_worker *me, const gm_step *s, const gm_layer *w)
{
    gm_gemm *gemm = gm_product_of(s, &w->qkv);
    const gm_buf *x = &s->work->norm, *to = &s->work->qkv;
    const size_t panels = gm_n_panels(w->qkv.rows);
    const size_t groups = (panels + TASK_PANELS - 1) / TASK_PANELS;
    const size_t blocks = (s->n_rows + TASK_ROWS - 1) / TASK_ROWS;
    for (size_t t; (t = gm_worker_next(me)) < blocks * groups;) {
        size_t r = t / groups * TASK_ROWS, p = t % groups * TASK_PANELS;
        size_t m = s->n_rows - r < TASK_ROWS ? s->n_rows - r : TASK_ROWS;
        size_t n = panels - p < TASK_PANELS ? panels - p : TASK_PANELS;
        gemm(gm_row_at(x, r), x->stride, NULL, m, gm_panel_at(&w->qkv, 0, p), w->qkv.cols, n,
             gm_row_at(to, r) + p * GM_PANEL, to->stride);
    }
    gm_worker_meet(me);
}

/* Norm over the whole projection, or over each head, in place. */
static void norm_heads(const gm_step *s, const gm_buf *weight, float *x, size_t heads)
{
    if (weight->address == NULL) return;
    const size_t head = (size_t)s->arch->head_dim;
    const gm_kernels *k = s->weights->kernels;
    if (s->arch->qk_norm == GM_QK_NORM_FULL) {
        k->norm(x, weight->address, heads * head, s->arch->norm_epsilon, x);
        return;
    }
    for (size_t h = 0; h < heads; h++)
        k->norm(x + h * head, weight->address, head, s->arch->norm_epsilon, x + h * head);
}

static void clamp(float *x, size_t n, float limit)
{
    for (size_t i = 0; i < n; i++) {
        x[i] = x[i] > limit ? limit : x[i]; /* NaN stays */
        x[i] = x[i] < -limit ? -limit : x[i];
    }
}

/* Store element (n, k) of a matrix of panels. */
static void put(const gm_buf *panels, void *matrix, size_t n, size_t k, float value)
{
    size_t at = gm_panel_index(panels->dtype, gm_panel_depth(panels->dtype, panels->cols), n, k);
    if (panels->dtype == GM_BF16)
        ((uint16_t *)matrix)[at] = gm_bf16_from_f32(value);
    else
        ((float *)matrix)[at] = value;
}

/* What a matrix of panels stores for x is finite: bf16 rounds the largest f32 up to
 * infinity. */
static bool stays_finite(const gm_buf *panels, float x)
{
    return isfinite(panels->dtype == GM_BF16 ? gm_bf16_to_f32(gm_bf16_from_f32(x)) : x);
}

/* Key and value of one KV head into the cache; see kv.h for what is not finite. */
static void append(const gm_step *s, size_t layer, const gm_row *row, size_t h, const float *key,
                   const float *value)
{
    gm_kv *kv = s->kv;
    const size_t head = (size_t)s->arch->head_dim, place = row->position % GM_KV_BLOCK;
    size_t block = gm_kv_block_of(kv, row->sequence, row->position);
    size_t item = gm_kv_item(kv, layer, block, h);
    char *k = (char *)kv->k.address + item * kv->k.item_bytes;
    char *v = (char *)kv->v.address + item * kv->v.item_bytes;
    bool finite = true;
    for (size_t i = 0; i < head; i++)
        finite = finite && stays_finite(&kv->k, key[i]) && stays_finite(&kv->v, value[i]);
    for (size_t i = 0; i < head; i++) {
        put(&kv->k, k, place, i, finite ? key[i] : NAN);
        put(&kv->v, v, i, place, finite ? value[i] : 0.0f);
    }
}

/* From a row of qkv to rotated queries and the cache. */
static void finish_row(const gm_step *s, size_t layer, const gm_layer *w, size_t r)
{
    const gm_arch *arch = s->arch;
    const gm_kernels *k = s->weights->kernels;
    const gm_qkv_place place = gm_qkv_place_of(arch);
    const gm_row *row = &s->row[r];
    const size_t head = (size_t)arch->head_dim, half = head / 2;
    const size_t heads = (size_t)arch->n_heads, kv_heads = (size_t)arch->n_kv_heads;
    const float *cosine = gm_row_at(&s->work->cosine, row->position);
    const float *sine = gm_row_at(&s->work->sine, row->position);
    float *qkv = gm_row_at(&s->work->qkv, r);

    if (w->qkv_bias.address) k->add(qkv, w->qkv_bias.address, place.all);
    norm_heads(s, &w->q_norm, qkv + place.q, heads);
    norm_heads(s, &w->k_norm, qkv + place.k, kv_heads);
    if (arch->clip_qkv > 0.0f) clamp(qkv, place.all, arch->clip_qkv);
    for (size_t h = 0; h < heads; h++) {
        float *to = gm_row_at(&s->work->query, r * heads + h);
        for (size_t i = 0; i < head; i++) to[i] = qkv[place.q + h * head + i];
        k->rotate(to, cosine, sine, half);
        if (gm_rounds(s)) k->round_bf16(to, s->work->query.stride);
    }
    for (size_t h = 0; h < kv_heads; h++) {
        float *key = qkv + place.k + h * head;
        k->rotate(key, cosine, sine, half);
        append(s, layer, row, h, key, qkv + place.v + h * head);
    }
}

void gm_cpu_attn_in(gm_worker *me, const gm_step *s, size_t layer, const gm_layer *w)
{
    size_t first, end;
    gm_cpu_norm_rows(me, s, &w->attn_norm);
    project(me, s, w);
    gm_worker_share(me, s->n_rows, &first, &end);
    for (size_t r = first; r < end; r++) finish_row(s, layer, w, r);
    gm_worker_meet(me);
}

/* ---- attn ---- */

/* A tile of queries and a KV head: `n` rows, position by position, the heads that
 * share the KV head side by side. Arrays lie in the thread's scratch. */
typedef struct query_tile {
    size_t n, group, width;   /* rows; heads of the KV head; head_dim rounded up to 16 */
    size_t kv_head, position; /* of the first row */
    int sequence;
    uint32_t *row;               /* (n) rows of work->query */
    float *score;                /* (n, 32) */
    float *part;                 /* (n, width) weights times the block's values */
    float *sum;                  /* (n, width) */
    float *top, *total, *factor; /* (n) */
} query_tile;

static query_tile set_up_tile(gm_worker *me, const gm_step *s, const gm_tile *tile, size_t kv_head)
{
    const size_t heads = (size_t)s->arch->n_heads;
    float *at = gm_scratch_of(s, me);
    query_tile q = {.group = heads / (size_t)s->arch->n_kv_heads,
                    .width = gm_round_up((size_t)s->arch->head_dim, GM_PANEL),
                    .kv_head = kv_head,
                    .position = s->row[tile->first].position,
                    .sequence = s->row[tile->first].sequence};
    q.n = tile->n * q.group;
    q.score = at, at += q.n * GM_KV_BLOCK;
    q.part = at, at += q.n * q.width;
    q.sum = at, at += q.n * q.width;
    q.top = at, at += q.n;
    q.total = at, at += q.n;
    q.factor = at, at += q.n;
    q.row = (uint32_t *)(void *)at;
    for (size_t i = 0; i < q.n; i++) {
        q.row[i] =
            (uint32_t)((tile->first + i / q.group) * heads + kv_head * q.group + i % q.group);
        q.top[i] = -INFINITY;
        q.total[i] = 0.0f;
    }
    for (size_t i = 0; i < q.n * q.width; i++) q.sum[i] = 0.0f;
    return q;
}

/* One block of 32 positions; rows before `from` do not reach it. */
static void attend_block(const gm_step *s, size_t layer, query_tile *q, size_t block)
{
    const gm_kernels *k = s->weights->kernels;
    const gm_kv *kv = s->kv;
    const gm_buf *query = &s->work->query;
    const size_t start = block * GM_KV_BLOCK, head = (size_t)s->arch->head_dim;
    size_t from = start > q->position ? (start - q->position) * q->group : 0;
    size_t m = q->n - from;
    size_t at = gm_kv_item(kv, layer, gm_kv_block_of(kv, q->sequence, start), q->kv_head);

    gm_product_of(s, &kv->k)(query->address, query->stride, q->row + from, m,
                             gm_panel_at(&kv->k, at, 0), head, GM_KV_BLOCK / GM_PANEL,
                             q->score + from * GM_KV_BLOCK, GM_KV_BLOCK);
    for (size_t i = from; i < q->n; i++) {
        size_t seen = q->position + i / q->group - start + 1;
        q->factor[i] =
            k->attend(q->score + i * GM_KV_BLOCK, seen < GM_KV_BLOCK ? seen : GM_KV_BLOCK,
                      s->arch->attention_scale, gm_rounds(s), &q->top[i], &q->total[i]);
    }
    gm_product_of(s, &kv->v)(q->score + from * GM_KV_BLOCK, GM_KV_BLOCK, NULL, m,
                             gm_panel_at(&kv->v, at, 0), GM_KV_BLOCK, q->width / GM_PANEL,
                             q->part + from * q->width, q->width);
    for (size_t i = from; i < q->n; i++)
        k->merge(q->sum + i * q->width, q->factor[i], q->part + i * q->width, q->width);
}

static void store_heads(const gm_step *s, const gm_tile *tile, const query_tile *q)
{
    const size_t head = (size_t)s->arch->head_dim;
    for (size_t i = 0; i < q->n; i++) {
        size_t h = q->kv_head * q->group + i % q->group;
        float *to = gm_row_at(&s->work->heads, tile->first + i / q->group) + h * head;
        for (size_t j = 0; j < head; j++) to[j] = q->sum[i * q->width + j] / q->total[i];
    }
}

void gm_cpu_attn(gm_worker *me, const gm_step *s, size_t layer, const gm_layer *w)
{
    (void)w;
    const size_t kv_heads = (size_t)s->arch->n_kv_heads;
    for (size_t t; (t = gm_worker_next(me)) < s->n_tiles * kv_heads;) {
        /* the last tiles see the most positions: take them first */
        const gm_tile *tile = &s->tile[s->n_tiles - 1 - t / kv_heads];
        query_tile q = set_up_tile(me, s, tile, t % kv_heads);
        size_t blocks = (q.position + tile->n + GM_KV_BLOCK - 1) / GM_KV_BLOCK;
        for (size_t block = 0; block < blocks; block++) attend_block(s, layer, &q, block);
        store_heads(s, tile, &q);
    }
    gm_worker_meet(me);
}

/* ---- attn_out ---- */

void gm_cpu_attn_out(gm_worker *me, const gm_step *s, size_t layer, const gm_layer *w)
{
    (void)layer;
    const gm_kernels *k = s->weights->kernels;
    const gm_buf *heads = &s->work->heads, *x = &s->work->x;
    const size_t panels = gm_n_panels(w->o.rows);
    const size_t groups = (panels + TASK_PANELS - 1) / TASK_PANELS;
    const size_t blocks = (s->n_rows + TASK_ROWS - 1) / TASK_ROWS;
    size_t first, end;

    gm_worker_share(me, s->n_rows, &first, &end);
    for (size_t r = first; gm_rounds(s) && r < end; r++)
        k->round_bf16(gm_row_at(heads, r), heads->stride);
    if (gm_rounds(s)) gm_worker_meet(me);
    for (size_t t; (t = gm_worker_next(me)) < blocks * groups;) {
        float part[TASK_ROWS * TASK_PANELS * GM_PANEL];
        size_t r = t / groups * TASK_ROWS, p = t % groups * TASK_PANELS;
        size_t m = s->n_rows - r < TASK_ROWS ? s->n_rows - r : TASK_ROWS;
        size_t n = panels - p < TASK_PANELS ? panels - p : TASK_PANELS;
        gm_product_of(s, &w->o)(gm_row_at(heads, r), heads->stride, NULL, m,
                                gm_panel_at(&w->o, 0, p), w->o.cols, n, part, n * GM_PANEL);
        for (size_t i = 0; i < m; i++)
            k->add(gm_row_at(x, r + i) + p * GM_PANEL, part + i * n * GM_PANEL, n * GM_PANEL);
    }
    gm_worker_meet(me);
}
