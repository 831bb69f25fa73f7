/* cpu_experts.c - the MLPs of a layer: the chosen experts of every row, and the one
 * that all rows take.
 *
 * moe_in is a list of tasks (block of an expert's rows, panels of gate and up), the experts
 * with the most rows first; SwiGLU is applied to a pair of panels while it is in cache.
 * moe_out is a list of tasks of some panels of the output: a worker computes all choices
 * of all rows for its columns and adds them up at once, so nothing of size (T, K, D) is
 * ever stored.
 */
#include "engine/cpu/cpu_ops.h"

/* ---- moe_in ---- */

/* Where a task's units go. */
typedef struct unit_place {
    const gm_buf *to;
    size_t first; /* row of the task's first */
} unit_place;

static void store_units(const gm_step *s, const gm_task *t, const float *part, size_t ld, size_t p,
                        size_t n, void *context)
{
    const unit_place *place = context;
    const size_t column = p / 2 * GM_PANEL;
    char *unit =
        (char *)gm_row_of(place->to, place->first) + column * gm_dtype_bytes(place->to->dtype);
    s->weights->kernels->swiglu(part, ld, t->m, n / 2, unit, place->to->stride,
                                place->to->dtype == GM_BF16);
}

/* The tasks of all experts with rows: for each expert, the most rows first, its blocks of
 * rows, and for each of them the groups of panels. */
typedef struct expert_tasks {
    const int32_t *first, *busy; /* see gm_work */
    size_t n_busy, inputs;
    gm_split split;
} expert_tasks;

static size_t rows_of(const expert_tasks *e, size_t i)
{
    return (size_t)(e->first[e->busy[i] + 1] - e->first[e->busy[i]]);
}

static size_t blocks_of(const expert_tasks *e, size_t i)
{
    const size_t m = rows_of(e, i), rows = gm_even_rows(m, e->inputs);
    return (m + rows - 1) / rows;
}

static expert_tasks list_experts(const gm_worker *me, const gm_step *s, const gm_layer *w)
{
    expert_tasks e = {.first = s->work->first.address, .busy = s->work->busy.address};
    if (w->moe < 0) return e;
    e.n_busy = (size_t)e.busy[s->arch->n_experts];
    e.inputs = w->expert.gate_up.cols;
    size_t blocks = 0;
    for (size_t i = 0; i < e.n_busy; i++) blocks += blocks_of(&e, i);
    e.split = gm_split_panels(me, blocks, e.n_busy ? rows_of(&e, 0) : 0,
                              gm_n_panels(w->expert.gate_up.rows));
    return e;
}

/* Task t of the experts; *i and *before, where the last one was found, go on. */
static void expert_task(gm_worker *me, const gm_step *s, const gm_layer *w, const expert_tasks *e,
                        size_t t, size_t *i, size_t *before)
{
    const size_t panels = gm_n_panels(w->expert.gate_up.rows);
    size_t block = t / e->split.groups, p = t % e->split.groups * e->split.panels;
    while (block - *before >= blocks_of(e, *i)) *before += blocks_of(e, (*i)++);
    const size_t expert = (size_t)e->busy[*i], rows = gm_even_rows(rows_of(e, *i), e->inputs);
    const size_t from = (size_t)e->first[expert] + (block - *before) * rows;
    const size_t left = (size_t)e->first[expert + 1] - from;
    const uint32_t *slot_row = s->work->slot_row.address;
    unit_place place = {&s->work->hidden, from};
    gm_task task = {.w = &w->expert.gate_up,
                    .x = &s->work->norm,
                    .item = expert,
                    .panel = p,
                    .n = panels - p < e->split.panels ? panels - p : e->split.panels,
                    .m = left < rows ? left : rows,
                    .row = slot_row + from};
    gm_task_run(s, &task, gm_scratch_of(s, me), store_units, &place);
}

static void always_task(gm_worker *me, const gm_step *s, const gm_layer *w, const gm_split *split,
                        size_t t)
{
    const size_t panels = gm_n_panels(w->always.gate_up.rows);
    const size_t r = t / split->groups * split->rows, p = t % split->groups * split->panels;
    unit_place place = {&s->work->always, r};
    gm_task task = {.w = &w->always.gate_up,
                    .x = &s->work->norm,
                    .panel = p,
                    .n = panels - p < split->panels ? panels - p : split->panels,
                    .first = r,
                    .m = s->n_rows - r < split->rows ? s->n_rows - r : split->rows};
    gm_task_run(s, &task, gm_scratch_of(s, me), store_units, &place);
}

void gm_cpu_moe_in(gm_worker *me, const gm_step *s, size_t layer, const gm_layer *w)
{
    (void)layer;
    const gm_split always =
        gm_split_rows(me, w->always.width ? s->n_rows : 0, w->always.gate_up.cols,
                      gm_n_panels(w->always.gate_up.rows));
    const size_t n_always = always.blocks * always.groups;
    const expert_tasks experts = list_experts(me, s, w);
    const size_t n = n_always + experts.split.blocks * experts.split.groups;
    size_t i = 0, before = 0;
    for (size_t t; (t = gm_worker_next(me)) < n;) {
        if (t < n_always)
            always_task(me, s, w, &always, t);
        else
            expert_task(me, s, w, &experts, t - n_always, &i, &before);
    }
    gm_worker_meet(me);
}

/* ---- moe_out ---- */

enum { MOST_OUT = 16 * GM_PANEL };

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
    float sum[MOST_OUT];
    for (size_t i = 0; i < width; i++) sum[i] = 0.0f;
    if (w->moe >= 0 && expert[0] != GM_NO_EXPERT)
        for (size_t i = 0; i < chosen; i++)
            k->add_scaled(sum, gate[i] * s->arch->router.scale, routed + (size_t)slot[i] * width,
                          width);
    if (w->always.width) k->add(sum, always + r * width, width);
    k->add(gm_row_at(&s->work->x, r) + column, sum, width);
}

/* Rows [first, first + m) of x times n panels of a matrix, into out (m, 16 n). */
static void down(const gm_step *s, const gm_buf *w, size_t item, const gm_buf *x, size_t first,
                 size_t m, size_t p, size_t n, float *out, float *scratch)
{
    const size_t rows = gm_even_rows(m, w->cols);
    for (size_t r = 0; r < m; r += rows) {
        gm_task task = {.w = w,
                        .x = x,
                        .item = item,
                        .panel = p,
                        .n = n,
                        .first = first + r,
                        .m = m - r < rows ? m - r : rows,
                        .next = true,
                        .out = out + r * n * GM_PANEL,
                        .ldo = n * GM_PANEL};
        gm_task_run(s, &task, scratch, NULL, NULL);
    }
}

/* Some panels of the output: every expert's rows, then all rows' sums. */
static void down_task(const gm_step *s, const gm_layer *w, size_t p, size_t n, float *scratch)
{
    const gm_work *work = s->work;
    const int32_t *first = work->first.address;
    const size_t width = n * GM_PANEL, chosen = (size_t)s->arch->n_chosen;
    float *always = scratch, *routed = always + s->n_rows * width;
    float *room = routed + s->n_rows * chosen * width;

    if (w->always.width)
        down(s, &w->always.down, 0, &work->always, 0, s->n_rows, p, n, always, room);
    for (size_t e = 0; w->moe >= 0 && e < (size_t)s->arch->n_experts; e++) {
        const size_t from = (size_t)first[e], m = (size_t)first[e + 1] - from;
        down(s, &w->expert.down, e, &work->hidden, from, m, p, n, routed + from * width, room);
    }
    for (size_t r = 0; r < s->n_rows; r++)
        combine_row(s, w, r, p * GM_PANEL, width, routed, always);
}

void gm_cpu_moe_out(gm_worker *me, const gm_step *s, size_t layer, const gm_layer *w)
{
    (void)layer;
    const size_t panels = gm_n_panels((size_t)s->arch->width),
                 most = gm_out_panels(s->n_rows, s->work->scratch.rows, panels);
    for (size_t p; (p = gm_worker_next(me) * most) < panels;)
        down_task(s, w, p, panels - p < most ? panels - p : most, gm_scratch_of(s, me));
    gm_worker_meet(me);
}
