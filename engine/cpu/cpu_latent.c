/* cpu_latent.c - what latent attention (gm_latent, arch.h) does around attention itself: queries,
 * latents and keys before it, a head's values after it.
 *
 * Products of a head read rows of their own, (T H, ...), by lists; a row's sums depend on nothing
 * else.
 */
#include "engine/cpu/cpu_ops.h"

#include <string.h>

/* ---- a product for each head ---- */

void gm_cpu_multiply_heads(gm_worker *me, const gm_step *s, const gm_buf *w, const gm_buf *x,
                           gm_part_end *end)
{
    const size_t heads = w->count, rows = gm_even_rows(s->n_rows, w->cols);
    const size_t blocks = (s->n_rows + rows - 1) / rows, panels = gm_n_panels(w->rows);
    const gm_split split = gm_split_panels(me, heads * blocks, rows, panels);
    uint32_t row[GM_MOST_ROWS];
    for (size_t t; (t = gm_worker_next(me)) < split.blocks * split.groups;) {
        const size_t block = t / split.groups, p = t % split.groups * split.panels;
        gm_task task = {.w = w,
                        .x = x,
                        .item = block % heads,
                        .panel = p,
                        .n = panels - p < split.panels ? panels - p : split.panels,
                        .first = block / heads * rows,
                        .row = row};
        task.m = s->n_rows - task.first < rows ? s->n_rows - task.first : rows;
        for (size_t i = 0; i < task.m; i++)
            row[i] = (uint32_t)((task.first + i) * heads + task.item);
        gm_task_run(s, &task, gm_scratch_of(s, me), end, NULL);
    }
    gm_worker_meet(me);
}

size_t gm_cpu_columns_of(const gm_task *t, size_t p, size_t n)
{
    const size_t left = t->w->rows - p * GM_PANEL;
    return left < n * GM_PANEL ? left : n * GM_PANEL;
}

/* ---- before attention ---- */

/* Norms of the latents, the key turned and appended, the value beside it. */
static void finish_latents(const gm_step *s, const gm_layer *w, size_t r)
{
    const gm_arch *arch = s->arch;
    const gm_kernels *k = s->weights->kernels;
    const gm_qkv_place place = gm_qkv_place_of(arch, false);
    const size_t q = (size_t)arch->latent.q, kv = (size_t)arch->latent.kv;
    const gm_row *row = &s->row[r];
    float *qkv = gm_row_at(&s->work->qkv, r), *key = qkv + place.k, *value = qkv + place.v;

    if (q > 0) {
        k->norm(qkv + place.q, w->q_norm.address, q, GM_LATENT_EPSILON, qkv + place.q);
        gm_store_row(k, &s->work->latent, r, 0, qkv + place.q, q);
    }
    k->norm(key, w->k_norm.address, kv, GM_LATENT_EPSILON, key);
    memcpy(value, key, kv * sizeof *value);
    gm_cpu_turn(s, row->position, key + kv, 0, (size_t)arch->latent.shared / 2);
    gm_cpu_append(s, w, row, 0, key, value);
}

/* Some columns of all queries, grown: those that do not turn to `plain`, the others turned to where
 * attention reads them. Both begin at even columns, so a pair never lies in two parts. */
static void keep_queries(const gm_step *s, const gm_task *t, float *part, size_t ld, size_t p,
                         size_t n, const void *context)
{
    const gm_kernels *k = s->weights->kernels;
    const size_t heads = (size_t)s->arch->n_heads, kv = (size_t)s->arch->latent.kv;
    const size_t plain = (size_t)s->arch->latent.plain,
                 dim = plain + (size_t)s->arch->latent.shared;
    const size_t first = p * GM_PANEL, end = first + gm_cpu_columns_of(t, p, n);
    (void)context;
    for (size_t i = 0; i < t->m; i++)
        for (size_t c = first, m; c < end; c += m) {
            const size_t at = c % dim, r = t->first + i, row = r * heads + c / dim;
            const size_t stop = c - at + (at < plain ? plain : dim); /* where this kind ends */
            float *x = part + i * ld + (c - first);
            m = (stop < end ? stop : end) - c;
            if (s->arch->growth.rate > 0.0f)
                gm_cpu_grow(&s->arch->growth, s->row[r].position, x, m);
            if (at < plain) {
                gm_store_row(k, &s->work->plain, row, at, x, m);
                continue;
            }
            gm_cpu_turn(s, s->row[r].position, x, (at - plain) / 2, m / 2);
            gm_store_row(k, &s->work->query, row, kv + at - plain, x, m);
        }
}

/* Into the first columns of a head's query. */
static void keep_absorbed(const gm_step *s, const gm_task *t, float *part, size_t ld, size_t p,
                          size_t n, const void *context)
{
    (void)context;
    for (size_t i = 0; i < t->m; i++)
        gm_store_row(s->weights->kernels, &s->work->query, t->row[i], p * GM_PANEL, part + i * ld,
                     gm_cpu_columns_of(t, p, n));
}

void gm_cpu_latent_in(gm_worker *me, const gm_step *s, const gm_layer *w)
{
    size_t first, end;
    gm_worker_share(me, s->n_rows, &first, &end);
    for (size_t r = first; r < end; r++) finish_latents(s, w, r);
    gm_worker_meet(me);
    gm_cpu_multiply(me, s, &w->q_up, s->arch->latent.q ? &s->work->latent : &s->work->norm, NULL,
                    keep_queries, NULL);
    gm_cpu_multiply_heads(me, s, &w->key_up, &s->work->plain, keep_absorbed);
}

/* ---- after attention ---- */

static void keep_values(const gm_step *s, const gm_task *t, float *part, size_t ld, size_t p,
                        size_t n, const void *context)
{
    const size_t column = t->item * (size_t)s->arch->latent.value + p * GM_PANEL;
    (void)context;
    for (size_t i = 0; i < t->m; i++)
        gm_store_row(s->weights->kernels, &s->work->heads, t->first + i, column, part + i * ld,
                     gm_cpu_columns_of(t, p, n));
}

void gm_cpu_latent_out(gm_worker *me, const gm_step *s, const gm_layer *w)
{
    gm_cpu_multiply_heads(me, s, &w->value_up, &s->work->query, keep_values);
}
