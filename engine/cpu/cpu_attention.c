/* cpu_attention.c - attention: into the cache, over it, and back into the residual.
 *
 * Work is split by (rows, panels) in the products and by (tile of queries, KV head) in
 * attention itself, never by keys, so a row's sums do not depend on the split.
 */
#include "engine/cpu/cpu_ops.h"

#include "base/half.h"

#include <math.h>
#include <string.h>

void gm_cpu_norm(const gm_step *s, const gm_buf *norm, const float *x, float *out)
{
    const gm_kernels *k = s->weights->kernels;
    const float *weight = norm->address;
    if (weight == NULL)
        memcpy(out, x, (size_t)s->arch->width * sizeof *out);
    else if (norm->rows > 1)
        k->layer_norm(x, weight, weight + norm->stride, norm->cols, s->arch->norm_epsilon, out);
    else
        k->norm(x, weight, norm->cols, s->arch->norm_epsilon, out);
}

void gm_cpu_norm_rows(gm_worker *me, const gm_step *s, const gm_buf *weights)
{
    const gm_kernels *k = s->weights->kernels;
    const gm_buf *to = &s->work->norm;
    float *norm = gm_scratch_of(s, me);
    size_t first, end;
    gm_worker_share(me, s->n_rows, &first, &end);
    for (size_t r = first; r < end; r++) {
        gm_cpu_norm(s, weights, gm_row_at(&s->work->x, r), norm);
        gm_store_row(k, to, r, 0, norm, to->cols);
    }
    gm_worker_meet(me);
}

void gm_cpu_give(const gm_step *s, const gm_buf *norm, size_t r, size_t column, const float *y,
                 size_t n)
{
    if (norm->address)
        memcpy(gm_row_at(&s->work->given, r) + column, y, n * sizeof *y);
    else
        s->weights->kernels->add_scaled(gm_row_at(&s->work->x, r) + column, s->arch->residual_scale,
                                        y, n);
}

void gm_cpu_add_given(gm_worker *me, const gm_step *s, const gm_buf *norm)
{
    float *y = gm_scratch_of(s, me);
    size_t first, end;
    if (norm->address == NULL) return;
    gm_worker_share(me, s->n_rows, &first, &end);
    for (size_t r = first; r < end; r++) {
        gm_cpu_norm(s, norm, gm_row_at(&s->work->given, r), y);
        s->weights->kernels->add_scaled(gm_row_at(&s->work->x, r), s->arch->residual_scale, y,
                                        norm->cols);
    }
    gm_worker_meet(me);
}

/* ---- attn_in ---- */

/* qkv = norm times the fused matrix. */
static void project(gm_worker *me, const gm_step *s, const gm_layer *w)
{
    gm_cpu_multiply(me, s, &w->qkv, &s->work->norm, &s->work->qkv, NULL, NULL);
}

/* Each head through a norm without weights, which brings its length to the root of its width. */
static void unit_heads(const gm_step *s, float *x, size_t heads, size_t head)
{
    const float root = sqrtf((float)head), epsilon = (float)head * s->arch->norm_epsilon;
    for (size_t h = 0; h < heads; h++) s->weights->kernels->unit(x + h * head, head, epsilon, root);
}

/* Norm over the whole projection, or over each head, in place. */
static void norm_heads(const gm_step *s, const gm_buf *weight, float *x, size_t heads, size_t head)
{
    if (weight->address == NULL) return;
    const gm_kernels *k = s->weights->kernels;
    if (s->arch->qk_norm == GM_QK_NORM_FULL) {
        k->norm(x, weight->address, heads * head, s->arch->norm_epsilon, x);
        return;
    }
    for (size_t h = 0; h < heads; h++)
        k->norm(x + h * head, weight->address, head, s->arch->norm_epsilon, x + h * head);
}

/* Queries and keys of a row. */
static void norm_row(const gm_step *s, const gm_layer *w, float *qkv)
{
    const gm_qkv_place place = gm_qkv_place_of(s->arch, w->global);
    const gm_heads heads = gm_arch_heads(s->arch, w->global);
    if (s->arch->qk_norm == GM_QK_NORM_UNIT && heads.rope->dim > 0) {
        unit_heads(s, qkv + place.q, (size_t)s->arch->n_heads, heads.key);
        unit_heads(s, qkv + place.k, heads.kv, heads.key);
        return;
    }
    norm_heads(s, &w->q_norm, qkv + place.q, (size_t)s->arch->n_heads, heads.key);
    norm_heads(s, &w->k_norm, qkv + place.k, heads.kv, heads.key);
}

/* Values of a row, before the norm of keys: a copy of the keys where both share a projection,
 * through a norm, and scaled. */
static void make_values(const gm_step *s, const gm_heads *heads, float *key, float *value)
{
    const size_t n = heads->value;
    if (heads->shared) memcpy(value, key, heads->kv * n * sizeof *value);
    if (s->arch->v_norm) unit_heads(s, value, heads->kv, n);
    if (s->arch->value_scale != 1.0f)
        for (size_t i = 0; i < heads->kv * n; i++) value[i] *= s->arch->value_scale;
}

void gm_cpu_grow(const gm_growth *growth, size_t position, float *query, size_t n)
{
    const float by = gm_growth_at(growth, position);
    for (size_t i = 0; i < n; i++) query[i] *= by;
}

static void clamp(float *x, size_t n, float limit)
{
    for (size_t i = 0; i < n; i++) {
        x[i] = x[i] > limit ? limit : x[i]; /* NaN stays */
        x[i] = x[i] < -limit ? -limit : x[i];
    }
}

/* A key becomes output `place` of its block's matrix, a value input `place` of every
 * output: element i of the row lies 16 places after element i - 1, in bf16 panels pairs of
 * inputs side by side. */
static void put_bf16(const gm_cached *kv, size_t item, size_t place, const uint16_t *key,
                     const uint16_t *value)
{
    const size_t head = kv->k.cols, width = kv->v.rows, key_depth = gm_panel_depth(GM_BF16, head);
    uint16_t *k = (uint16_t *)(void *)((char *)kv->k.address + item * kv->k.item_bytes);
    uint16_t *v = (uint16_t *)(void *)((char *)kv->v.address + item * kv->v.item_bytes);
    k += gm_panel_index(GM_BF16, key_depth, place, 0);
    for (size_t i = 0; i < head; i++) k[i / 2 * 2 * GM_PANEL + i % 2] = key[i];
    v += gm_panel_index(GM_BF16, GM_KV_BLOCK, 0, place);
    for (size_t i = 0; i < width; i++)
        v[i / GM_PANEL * GM_KV_BLOCK * GM_PANEL + i % GM_PANEL * 2] = value[i];
}

static void put_f32(const gm_cached *kv, size_t item, size_t place, const float *key,
                    const float *value)
{
    const size_t head = kv->k.cols, width = kv->v.rows;
    float *k = (float *)(void *)((char *)kv->k.address + item * kv->k.item_bytes);
    float *v = (float *)(void *)((char *)kv->v.address + item * kv->v.item_bytes);
    k += gm_panel_index(GM_F32, head, place, 0);
    for (size_t i = 0; i < head; i++) k[i * GM_PANEL] = key[i];
    v += gm_panel_index(GM_F32, GM_KV_BLOCK, 0, place);
    for (size_t i = 0; i < width; i++)
        v[i / GM_PANEL * GM_KV_BLOCK * GM_PANEL + i % GM_PANEL] = value[i];
}

/* Are n elements finite as a cache of `dtype` keeps them: `half` one of bf16, x one of f32? */
static bool is_finite(const float *x, const uint16_t *half, size_t n, gm_dtype dtype)
{
    enum { EXPONENT = 0x7f80 };
    bool finite = true;
    if (dtype == GM_BF16)
        for (size_t i = 0; i < n; i++) finite &= (half[i] & EXPONENT) != EXPONENT;
    else
        for (size_t i = 0; i < n; i++) finite = finite && isfinite(x[i]);
    return finite;
}

void gm_cpu_append(const gm_step *s, const gm_layer *w, const gm_row *row, size_t h, float *key,
                   float *value)
{
    const gm_cached *kv = &s->kv->of[w->global];
    const gm_kernels *kernels = s->weights->kernels;
    const size_t head = kv->k.cols, width = kv->v.rows, place = row->position % GM_KV_BLOCK;
    const size_t block = gm_kv_block_of(s->kv, row->sequence, row->position);
    const size_t item = gm_kv_item(s->kv, w->global, w->nth, block, h);
    uint16_t half[2][GM_MAX_HEAD_DIM];
    kernels->to_bf16(key, head, half[0]);
    kernels->to_bf16(value, width, half[1]);
    if (!is_finite(key, half[0], head, kv->k.dtype) ||
        !is_finite(value, half[1], width, kv->k.dtype)) {
        for (size_t i = 0; i < head; i++) key[i] = NAN, half[0][i] = gm_bf16_from_f32(NAN);
        for (size_t i = 0; i < width; i++) value[i] = 0.0f, half[1][i] = 0;
    }
    if (kv->k.dtype == GM_BF16)
        put_bf16(kv, item, place, half[0], half[1]);
    else
        put_f32(kv, item, place, key, value);
}

/* As the kernels' rotate, where the pairs are of neighbours. */
static void rotate_neighbours(float *x, const float *cosine, const float *sine, size_t pairs)
{
    for (size_t i = 0; i < pairs; i++) {
        const float a = x[2 * i], b = x[2 * i + 1];
        x[2 * i] = fmaf(-b, sine[i], a * cosine[i]);
        x[2 * i + 1] = fmaf(a, sine[i], b * cosine[i]);
    }
}

void gm_cpu_turn(const gm_step *s, size_t position, float *x, size_t first, size_t pairs)
{
    if (s->arch->rope.dim == 0) return;
    rotate_neighbours(x, gm_row_at(&s->work->cosine[0], position) + first,
                      gm_row_at(&s->work->sine[0], position) + first, pairs);
}

/* From a row of qkv to rotated queries, and keys rotated in place. */
static void finish_row(const gm_step *s, const gm_layer *w, size_t r)
{
    const gm_arch *arch = s->arch;
    const gm_kernels *k = s->weights->kernels;
    const gm_qkv_place place = gm_qkv_place_of(arch, w->global);
    const gm_heads of = gm_arch_heads(arch, w->global);
    const gm_row *row = &s->row[r];
    const size_t head = of.key, pairs = of.rope->dim / 2, heads = (size_t)arch->n_heads;
    const float *cosine = gm_row_at(&s->work->cosine[w->global], row->position);
    const float *sine = gm_row_at(&s->work->sine[w->global], row->position);
    float *qkv = gm_row_at(&s->work->qkv, r);
    void (*rotate)(float *, const float *, const float *, size_t) =
        arch->rope.neighbours ? rotate_neighbours : k->rotate;

    if (w->qkv_bias.address) k->add(qkv, w->qkv_bias.address, place.all);
    make_values(s, &of, qkv + place.k, qkv + place.v);
    if (!arch->qk_norm_last) norm_row(s, w, qkv);
    if (arch->clip_qkv > 0.0f) clamp(qkv, place.all, arch->clip_qkv);
    for (size_t h = 0; h < heads; h++) rotate(qkv + place.q + h * head, cosine, sine, pairs);
    for (size_t h = 0; h < of.kv; h++) rotate(qkv + place.k + h * head, cosine, sine, pairs);
    if (arch->qk_norm_last) norm_row(s, w, qkv);
    if (of.growth->rate > 0.0f) gm_cpu_grow(of.growth, row->position, qkv + place.q, heads * head);
    for (size_t h = 0; h < heads; h++) {
        gm_store_row(k, &s->work->query, r * heads + h, 0, qkv + place.q + h * head, head);
        if (arch->global.n_kv_heads > 0) gm_cpu_end_row(s, &s->work->query, r * heads + h, head);
    }
}

/* Rows one after the other share the cache lines of a head's block. */
static void append_rows(const gm_step *s, const gm_layer *w, size_t first, size_t end)
{
    const gm_qkv_place place = gm_qkv_place_of(s->arch, w->global);
    const gm_heads heads = gm_arch_heads(s->arch, w->global);
    for (size_t h = 0; h < heads.kv; h++)
        for (size_t r = first; r < end; r++) {
            float *qkv = gm_row_at(&s->work->qkv, r);
            gm_cpu_append(s, w, &s->row[r], h, qkv + place.k + h * heads.key,
                          qkv + place.v + h * heads.value);
        }
}

void gm_cpu_attn_in(gm_worker *me, const gm_step *s, size_t layer, const gm_layer *w)
{
    size_t first, end;
    (void)layer;
    gm_cpu_norm_rows(me, s, &w->attn_norm);
    project(me, s, w);
    if (w->delta) {
        gm_cpu_delta_in(me, s, w);
        return;
    }
    if (s->arch->latent.kv > 0) {
        gm_cpu_latent_in(me, s, w);
        return;
    }
    gm_worker_share(me, s->n_rows, &first, &end);
    for (size_t r = first, n; r < end; r += n) {
        n = end - r < GM_KV_BLOCK ? end - r : GM_KV_BLOCK;
        for (size_t i = r; i < r + n; i++) finish_row(s, w, i);
        append_rows(s, w, r, r + n);
    }
    gm_worker_meet(me);
}

/* ---- attn ---- */

/* A tile of queries and some heads of a KV head: `n` rows, position by position, the heads side by
 * side. Arrays lie in the thread's scratch. */
typedef struct query_tile {
    size_t n, group, width; /* rows; heads; a value's width rounded up to 16 */
    size_t head, kv_head;   /* the first head */
    size_t position;        /* of the first row */
    size_t window;          /* positions that a query sees, its own included, */
    bool chunked;           /* or those from the last multiple of it on */
    int sequence;
    const void *query;           /* (n) as products of keys read them */
    size_t ldq;                  /* bytes from one to the next */
    float *score;                /* (n, 32) */
    void *weight;                /* (n, 32) f32 or bf16 */
    float *part;                 /* (n, width) weights times the block's values */
    float *sum;                  /* (n, width) */
    float *top, *total, *factor; /* (n) */
    float *room;                 /* for the weights, as products of values read them */
} query_tile;

static query_tile set_up_tile(gm_worker *me, const gm_step *s, const gm_layer *w,
                              const gm_tile *tile, size_t first_head)
{
    const gm_heads of = gm_arch_heads(s->arch, w->global);
    const size_t heads = (size_t)s->arch->n_heads, head = of.key;
    const gm_buf *query = &s->work->query;
    float *at = gm_scratch_of(s, me);
    query_tile q = {.group = gm_heads_together(s->arch, of.kv),
                    .width = gm_round_up(of.value, GM_PANEL),
                    .head = first_head,
                    .kv_head = first_head / (heads / of.kv),
                    .position = s->row[tile->first].position,
                    .window = w->window ? w->window : SIZE_MAX,
                    .chunked = s->arch->chunked,
                    .sequence = s->row[tile->first].sequence};
    q.n = tile->n * q.group;
    float *room = at;
    at += gm_room_floats(q.n, head);
    q.room = at, at += gm_room_floats(q.n, GM_KV_BLOCK);
    q.score = at, at += q.n * GM_KV_BLOCK;
    q.weight = at, at += q.n * GM_KV_BLOCK;
    q.part = at, at += q.n * q.width;
    q.sum = at, at += q.n * q.width;
    q.top = at, at += q.n;
    q.total = at, at += q.n;
    q.factor = at, at += q.n;
    const float *sink = w->sinks.address; /* (H) or NULL */
    uint32_t *row = (uint32_t *)(void *)at;
    for (size_t i = 0; i < q.n; i++) {
        row[i] = (uint32_t)((tile->first + i / q.group) * heads + q.head + i % q.group);
        /* the sink is a key before all others, without a value */
        q.top[i] = sink ? sink[q.head + i % q.group] : -INFINITY;
        q.total[i] = sink ? 1.0f : 0.0f;
    }
    for (size_t i = 0; i < q.n * q.width; i++) q.sum[i] = 0.0f;
    q.query = gm_kernel_product_of(s, &s->kv->of[w->global].k)
                  ->gather(query->address, query->stride, row, q.n, head, room, &q.ldq);
    return q;
}

/* The first position that a query at `position` sees. */
static size_t first_seen(const query_tile *q, size_t position)
{
    if (q->chunked) return position - position % q->window;
    return position >= q->window ? position - q->window + 1 : 0;
}

/* Weights of a row of scores of the block that begins at `start`. */
static void attend_row(const gm_step *s, query_tile *q, size_t i, size_t start, void *weight)
{
    const size_t position = q->position + i / q->group, first = first_seen(q, position);
    const size_t seen = position - start + 1;
    float *score = q->score + i * GM_KV_BLOCK;
    for (size_t j = start; j < first; j++) score[j - start] = -INFINITY; /* outside the window */
    q->factor[i] = s->weights->kernels->attend(
        score, seen < GM_KV_BLOCK ? seen : GM_KV_BLOCK, s->arch->attention_scale, weight,
        s->kv->of[0].v.dtype == GM_BF16, &q->top[i], &q->total[i]);
}

/* One block of 32 positions, for the rows [from, end) that see some of it. */
static void attend_block(const gm_step *s, const gm_layer *w, query_tile *q, size_t block)
{
    const gm_kernels *k = s->weights->kernels;
    const gm_cached *kv = &s->kv->of[w->global];
    const gm_kernel_product *keys = gm_kernel_product_of(s, &kv->k),
                            *values = gm_kernel_product_of(s, &kv->v);
    const size_t start = block * GM_KV_BLOCK, head = kv->k.cols;
    const size_t from = start > q->position ? (start - q->position) * q->group : 0;
    size_t end = q->n;
    while (end > from && first_seen(q, q->position + (end - 1) / q->group) >= start + GM_KV_BLOCK)
        end -= q->group;
    const size_t m = end - from, size = gm_dtype_bytes(kv->v.dtype);
    const size_t place = gm_kv_block_of(s->kv, q->sequence, start);
    size_t at = gm_kv_item(s->kv, w->global, w->nth, place, q->kv_head), ld;
    char *weight = (char *)q->weight + from * GM_KV_BLOCK * size;

    keys->gemm((const char *)q->query + from * q->ldq, q->ldq, m, gm_panel_at(&kv->k, at, 0), head,
               GM_KV_BLOCK / GM_PANEL, q->score + from * GM_KV_BLOCK, GM_KV_BLOCK, false);
    for (size_t i = from; i < end; i++)
        attend_row(s, q, i, start, weight + (i - from) * GM_KV_BLOCK * size);
    const void *x = values->gather(weight, GM_KV_BLOCK, NULL, m, GM_KV_BLOCK, q->room, &ld);
    values->gemm(x, ld, m, gm_panel_at(&kv->v, at, 0), GM_KV_BLOCK, q->width / GM_PANEL,
                 q->part + from * q->width, q->width, false);
    for (size_t i = from; i < end; i++)
        k->merge(q->sum + i * q->width, q->factor[i], q->part + i * q->width, q->width);
}

/* A few queries wait for memory: keys and values of a block are asked for a block ahead. */
static void fetch_block(const gm_step *s, const gm_layer *w, const query_tile *q, size_t block)
{
    const gm_cached *kv = &s->kv->of[w->global];
    const size_t place = gm_kv_block_of(s->kv, q->sequence, block * GM_KV_BLOCK);
    const size_t at = gm_kv_item(s->kv, w->global, w->nth, place, q->kv_head), line = 64;
    const char *k = gm_panel_at(&kv->k, at, 0), *v = gm_panel_at(&kv->v, at, 0);
    for (size_t i = 0; i < kv->k.item_bytes; i += line) __builtin_prefetch(k + i);
    for (size_t i = 0; i < kv->v.item_bytes; i += line) __builtin_prefetch(v + i);
}

/* What a head's values are multiplied with, over its query, which nobody needs any more; zeros
 * after it as far as products read. */
static void store_latent(const gm_step *s, size_t row, const float *x, size_t width)
{
    gm_store_row(s->weights->kernels, &s->work->query, row, 0, x, width);
    gm_cpu_end_row(s, &s->work->query, row, width);
}

void gm_cpu_end_row(const gm_step *s, const gm_buf *of, size_t r, size_t n)
{
    static const float zeros[GM_K_BLOCK];
    gm_store_row(s->weights->kernels, of, r, n, zeros, gm_round_up(n, GM_K_BLOCK) - n);
}

static void store_heads(const gm_step *s, const gm_layer *w, const gm_tile *tile,
                        const query_tile *q)
{
    const size_t width = s->kv->of[w->global].v.rows, heads = (size_t)s->arch->n_heads;
    const size_t gates = gm_qkv_place_of(s->arch, w->global).gate;
    const bool others = s->arch->n_delta > 0 || s->arch->global.n_kv_heads > 0; /* wider there */
    const gm_kernels *k = s->weights->kernels;
    for (size_t i = 0; i < q->n; i++) {
        const size_t r = tile->first + i / q->group, h = q->head + i % q->group;
        float *sum = q->sum + i * q->width;
        for (size_t j = 0; j < width; j++) sum[j] = sum[j] / q->total[i];
        if (s->arch->gated_attention)
            k->gate(sum, gm_row_at(&s->work->qkv, r) + gates + h * width, width);
        if (s->arch->latent.kv > 0)
            store_latent(s, r * heads + h, sum, width);
        else
            gm_store_row(k, &s->work->heads, r, h * width, sum, width);
        if (others && h + 1 == heads) gm_cpu_end_row(s, &s->work->heads, r, heads * width);
    }
}

static void attend_tile(gm_worker *me, const gm_step *s, const gm_layer *w, const gm_tile *tile,
                        size_t head)
{
    enum { FEW_QUERIES = 16 };
    query_tile q = set_up_tile(me, s, w, tile, head);
    const size_t blocks = (q.position + tile->n + GM_KV_BLOCK - 1) / GM_KV_BLOCK;
    for (size_t block = first_seen(&q, q.position) / GM_KV_BLOCK; block < blocks; block++) {
        if (q.n <= FEW_QUERIES && block + 1 < blocks) fetch_block(s, w, &q, block + 1);
        attend_block(s, w, &q, block);
    }
    store_heads(s, w, tile, &q);
}

/* b's rows are those after a's, of the same sequence. */
static bool follows(const gm_step *s, const gm_tile *a, const gm_tile *b)
{
    const gm_row *first = &s->row[a->first], *next = &s->row[b->first];
    return b->first == a->first + a->n && next->sequence == first->sequence &&
           next->position == first->position + a->n;
}

void gm_cpu_attn(gm_worker *me, const gm_step *s, size_t layer, const gm_layer *w)
{
    const size_t heads = (size_t)s->arch->n_heads, kv_heads = s->kv->of[w->global].n_heads;
    const size_t together = gm_heads_together(s->arch, kv_heads);
    const size_t most = gm_tiles_together(heads, kv_heads);
    const size_t n = (s->n_tiles + most - 1) / most, groups = heads / together;
    (void)layer;
    if (w->delta) {
        gm_cpu_delta(me, s, w);
        return;
    }
    for (size_t t; (t = gm_worker_next(me)) < n * groups;) {
        /* the last tiles see the most positions: take them first */
        const size_t end = s->n_tiles - t / groups * most;
        for (size_t i = end > most ? end - most : 0; i < end;) {
            gm_tile tile = s->tile[i++];
            while (i < end && follows(s, &tile, &s->tile[i])) tile.n += s->tile[i++].n;
            attend_tile(me, s, w, &tile, t % groups * together);
        }
    }
    gm_worker_meet(me);
}

/* ---- attn_out ---- */

static void add_part(const gm_step *s, const gm_task *t, float *part, size_t ld, size_t p, size_t n,
                     const void *context)
{
    const gm_layer *w = context;
    const gm_kernels *k = s->weights->kernels;
    const float *bias = w->o_bias.address;
    for (size_t i = 0; i < t->m; i++) {
        if (bias) k->add(part + i * ld, bias + p * GM_PANEL, n * GM_PANEL);
        gm_cpu_give(s, &w->attn_out_norm, t->first + i, p * GM_PANEL, part + i * ld, n * GM_PANEL);
    }
}

void gm_cpu_attn_out(gm_worker *me, const gm_step *s, size_t layer, const gm_layer *w)
{
    (void)layer;
    if (s->arch->latent.kv > 0 && !w->delta) gm_cpu_latent_out(me, s, w);
    gm_cpu_multiply(me, s, &w->o, &s->work->heads, NULL, add_part, w);
    gm_cpu_add_given(me, s, &w->attn_out_norm);
}
