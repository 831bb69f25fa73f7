/* cpu_experts.c - the MLPs of a layer: the chosen experts of every row, and the one
 * that all rows take.
 *
 * moe_in is a list of tasks (expert, four panels of gate and up): the rows of an
 * expert are gathered by the product itself. moe_out is a list of tasks of two
 * panels of the output: a worker computes all choices of all rows for its columns
 * and adds them up at once, so nothing of size (T, K, D) is ever stored.
 */
#include "engine/cpu/cpu_ops.h"

/* One task's panels of silu(gate) * up: `m` rows of x (by `row`), from panel `p`. */
static void gate_up(const gm_step *s, const gm_mlp *mlp, size_t item, const uint32_t *row,
                    size_t first_row, size_t m, size_t p, const gm_buf *to, size_t first_out)
{
    const gm_kernels *k = s->weights->kernels;
    const gm_buf *x = &s->work->norm;
    const size_t left = gm_n_panels(mlp->gate_up.rows) - p;
    const size_t n = left < TASK_PANELS ? left : TASK_PANELS, width = n * GM_PANEL;
    float part[TASK_ROWS * TASK_PANELS * GM_PANEL];

    for (size_t r = 0; r < m; r += TASK_ROWS) {
        size_t rows = m - r < TASK_ROWS ? m - r : TASK_ROWS;
        const float *from = row ? x->address : gm_row_at(x, first_row + r);
        gm_product_of(s, &mlp->gate_up)(from, x->stride, row ? row + r : NULL, rows,
                                        gm_panel_at(&mlp->gate_up, item, p), mlp->gate_up.cols, n,
                                        part, width);
        for (size_t i = 0; i < rows; i++)
            for (size_t j = 0; j < n; j += 2)
                k->swiglu(part + i * width + j * GM_PANEL,
                          gm_row_at(to, first_out + r + i) + (p + j) / 2 * GM_PANEL, gm_rounds(s));
    }
}

void gm_cpu_moe_in(gm_worker *me, const gm_step *s, size_t layer, const gm_layer *w)
{
    (void)layer;
    const gm_work *work = s->work;
    const int32_t *first = work->first.address, *busy = work->busy.address;
    const uint32_t *slot_row = work->slot_row.address;
    const size_t blocks = (s->n_rows + TASK_ROWS - 1) / TASK_ROWS;
    size_t groups = (gm_n_panels(w->always.gate_up.rows) + TASK_PANELS - 1) / TASK_PANELS;
    size_t always_tasks = blocks * groups;
    size_t expert_groups = (gm_n_panels(w->expert.gate_up.rows) + TASK_PANELS - 1) / TASK_PANELS;
    size_t n_busy = w->moe < 0 ? 0 : (size_t)busy[s->arch->n_experts];

    for (size_t t; (t = gm_worker_next(me)) < always_tasks + n_busy * expert_groups;) {
        if (t < always_tasks) {
            size_t r = t / groups * TASK_ROWS;
            size_t m = s->n_rows - r < TASK_ROWS ? s->n_rows - r : TASK_ROWS;
            gate_up(s, &w->always, 0, NULL, r, m, t % groups * TASK_PANELS, &work->always, r);
            continue;
        }
        size_t e = (size_t)busy[(t - always_tasks) / expert_groups];
        size_t p = (t - always_tasks) % expert_groups * TASK_PANELS;
        size_t from = (size_t)first[e], m = (size_t)first[e + 1] - from;
        gate_up(s, &w->expert, e, slot_row + from, 0, m, p, &work->hidden, from);
    }
    gm_worker_meet(me);
}

/* ---- moe_out ---- */

enum { OUT_PANELS = 2, OUT_WIDTH = OUT_PANELS * GM_PANEL };

/* x of one row and these columns: the choices by rank, the scale, what all rows take,
 * the residual. */
static void combine_row(const gm_step *s, const gm_layer *w, size_t r, size_t column, size_t width,
                        const float *routed, const float *always)
{
    const gm_kernels *k = s->weights->kernels;
    const size_t chosen = (size_t)s->arch->n_chosen;
    const int32_t *expert = (const int32_t *)s->work->expert.address + r * chosen; /* (K) */
    const int32_t *slot = (const int32_t *)s->work->slot.address + r * chosen;     /* (K) */
    const float *gate = (const float *)s->work->gate.address + r * chosen;         /* (K) */
    float sum[OUT_WIDTH] = {0};
    if (w->moe >= 0 && expert[0] != GM_NO_EXPERT)
        for (size_t i = 0; i < chosen; i++)
            k->add_scaled(sum, gate[i] * s->arch->router.scale, routed + (size_t)slot[i] * width,
                          width);
    if (w->always.width) k->add(sum, always + r * width, width);
    k->add(gm_row_at(&s->work->x, r) + column, sum, width);
}

/* Two panels of the output: every expert's rows, then all rows' sums. */
static void down_task(const gm_step *s, const gm_layer *w, size_t p, float *scratch)
{
    const gm_work *work = s->work;
    const int32_t *first = work->first.address;
    const size_t d = (size_t)s->arch->width, left = gm_n_panels(d) - p;
    const size_t n = left < OUT_PANELS ? left : OUT_PANELS, width = n * GM_PANEL;
    float *always = scratch, *routed = scratch + s->n_rows * width;

    if (w->always.width)
        gm_product_of(s, &w->always.down)(work->always.address, work->always.stride, NULL,
                                          s->n_rows, gm_panel_at(&w->always.down, 0, p),
                                          w->always.width, n, always, width);
    for (size_t e = 0; w->moe >= 0 && e < (size_t)s->arch->n_experts; e++) {
        size_t from = (size_t)first[e], m = (size_t)first[e + 1] - from;
        if (m == 0) continue;
        gm_product_of(s, &w->expert.down)(gm_row_at(&work->hidden, from), work->hidden.stride, NULL,
                                          m, gm_panel_at(&w->expert.down, e, p), w->expert.width, n,
                                          routed + from * width, width);
    }
    for (size_t r = 0; r < s->n_rows; r++)
        combine_row(s, w, r, p * GM_PANEL, width, routed, always);
}

void gm_cpu_moe_out(gm_worker *me, const gm_step *s, size_t layer, const gm_layer *w)
{
    (void)layer;
    const size_t panels = gm_n_panels((size_t)s->arch->width);
    for (size_t t; (t = gm_worker_next(me) * OUT_PANELS) < panels;)
        down_task(s, w, t, gm_scratch_of(s, me));
    gm_worker_meet(me);
}
