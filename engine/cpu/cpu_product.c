/* cpu_product.c - how a product is cut into tasks, and how one is run. */
#include "engine/cpu/cpu_ops.h"

#include <string.h>

enum {
    FEW_ROWS = 16,      /* up to here reading the weights takes longer than multiplying */
    FEW_PANELS = 8,     /* of such a task: a quarter of a megabyte */
    TASKS_A_WORKER = 8, /* so that the last task is short beside the whole */
};

gm_split gm_split_panels(const gm_worker *me, size_t blocks, size_t rows, size_t n_panels)
{
    gm_split split = {.rows = rows, .panels = FEW_PANELS, .blocks = blocks};
    if (rows > FEW_ROWS) {
        size_t groups = (TASKS_A_WORKER * me->n + blocks - 1) / (blocks ? blocks : 1);
        split.panels = gm_round_up((n_panels + groups - 1) / groups, 4);
    }
    split.groups = (n_panels + split.panels - 1) / split.panels;
    return split;
}

size_t gm_even_rows(size_t m, size_t k)
{
    const size_t most = gm_block_rows(k), blocks = (m + most - 1) / most;
    return blocks ? gm_round_up((m + blocks - 1) / blocks, GM_PANEL) : 1;
}

gm_split gm_split_rows(const gm_worker *me, size_t m, size_t k, size_t n_panels)
{
    const size_t rows = gm_even_rows(m, k);
    return gm_split_panels(me, (m + rows - 1) / rows, rows, n_panels);
}

void gm_task_run(const gm_step *s, const gm_task *t, float *scratch, gm_part_end *end,
                 const void *context)
{
    const gm_kernel_product *product = gm_kernel_product_of(s, t->w);
    const size_t k = t->w->cols;
    float *room = scratch + GM_PART_FLOATS;
    size_t ld;
    const void *from = t->row ? t->x->address : gm_row_of(t->x, t->first);
    const void *x = product->gather(from, t->x->stride, t->row, t->m, k, room, &ld);
    if (t->out) {
        product->gemm(x, ld, t->m, gm_panel_at(t->w, t->item, t->panel), k, t->n, t->out, t->ldo,
                      t->next && t->row == NULL);
        return;
    }
    const size_t some = t->m > FEW_ROWS ? 2 : FEW_PANELS; /* panels whose result stays in cache */
    for (size_t p = t->panel, n; p < t->panel + t->n; p += n) {
        n = t->panel + t->n - p < some ? t->panel + t->n - p : some;
        product->gemm(x, ld, t->m, gm_panel_at(t->w, t->item, p), k, n, scratch, n * GM_PANEL,
                      false);
        end(s, t, scratch, n * GM_PANEL, p, n, context);
    }
}

void gm_cpu_multiply(gm_worker *me, const gm_step *s, const gm_buf *w, const gm_buf *x,
                     const gm_buf *out, gm_part_end *end, const void *context)
{
    const size_t panels = gm_n_panels(w->rows);
    const gm_split split = gm_split_rows(me, s->n_rows, w->cols, panels);
    for (size_t t; (t = gm_worker_next(me)) < split.blocks * split.groups;) {
        const size_t r = t / split.groups * split.rows, p = t % split.groups * split.panels;
        const gm_task task = {.w = w,
                              .x = x,
                              .panel = p,
                              .n = panels - p < split.panels ? panels - p : split.panels,
                              .first = r,
                              .m = s->n_rows - r < split.rows ? s->n_rows - r : split.rows,
                              .out = out ? gm_row_at(out, r) + p * GM_PANEL : NULL,
                              .ldo = out ? out->stride : 0};
        gm_task_run(s, &task, gm_scratch_of(s, me), end, context);
    }
    gm_worker_meet(me);
}

void gm_store_row(const gm_kernels *k, const gm_buf *to, size_t r, size_t column, const float *x,
                  size_t n)
{
    if (to->dtype == GM_BF16)
        k->to_bf16(x, n, (uint16_t *)gm_row_of(to, r) + column);
    else
        memcpy(gm_row_at(to, r) + column, x, n * sizeof *x);
}
