/* cpu_experts.c - the MLPs of a layer: the chosen experts of every row, and the one
 * that all rows take.
 *
 * moe_in is a list of tasks (block of an expert's rows, panels of gate and up), the experts
 * with the most rows first; SwiGLU is applied to a pair of panels while it is in cache.
 * moe_out is a list of tasks of some panels of the output: a worker computes all choices
 * of all rows for its columns and adds them up at once.
 *
 * In steps of many rows (gm_work's whole_rows) units would have left the cache by then, so a
 * task of moe_in goes on to what the expert gives for its rows (`routed`, T K rows of D, as long
 * as they are not too large), and moe_out adds up. The same products and the same sums: no bit
 * depends on it. A session that records norms of what experts give does so in all its steps, since
 * a norm needs all of an expert's columns.
 */
#include "engine/cpu/cpu_ops.h"

#include <string.h>

/* ---- moe_in ---- */

/* Where a task's units go. */
typedef struct unit_place {
    const gm_buf *to;
    size_t first;      /* row of the task's first */
    const float *bias; /* of the expert's gate and up, or NULL */
    size_t choice;     /* place of the task's first row, where rows are choices */
    bool scaled;       /* whose gates multiply what is read */
} unit_place;

/* Products with inputs times a gate, from those with the inputs. */
static void scale_products(const gm_step *s, const gm_task *t, size_t choice, float *part,
                           size_t ld, size_t width)
{
    const float *gates = s->work->gate.address; /* (T,K) */
    for (size_t r = 0; r < t->m; r++) {
        const float gate = gates[gm_cpu_choice(s, t->row[r], choice + r)];
        for (size_t i = 0; i < width; i++) part[r * ld + i] *= gate;
    }
}

static void store_units(const gm_step *s, const gm_task *t, float *part, size_t ld, size_t p,
                        size_t n, const void *context)
{
    const unit_place *place = context;
    const gm_kernels *k = s->weights->kernels;
    const gm_activation *activation = &s->arch->activation;
    const bool bf16 = place->to->dtype == GM_BF16;
    const size_t column = (activation->squared ? p : p / 2) * GM_PANEL;
    char *unit =
        (char *)gm_row_of(place->to, place->first) + column * gm_dtype_bytes(place->to->dtype);
    if (place->scaled) scale_products(s, t, place->choice, part, ld, n * GM_PANEL);
    for (size_t r = 0; place->bias && r < t->m; r++)
        k->add(part + r * ld, place->bias + p * GM_PANEL, n * GM_PANEL);
    if (activation->squared)
        k->relu_squared(part, ld, t->m, n, unit, place->to->stride, bf16);
    else if (activation->gelu)
        k->geglu(part, ld, t->m, n / 2, unit, place->to->stride, bf16);
    else if (activation->limit > 0.0f)
        k->swiglu_clamped(part, ld, t->m, n / 2, activation->limit, activation->slope, unit,
                          place->to->stride, bf16);
    else
        k->swiglu(part, ld, t->m, n / 2, unit, place->to->stride, bf16);
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

/* A block of an expert's rows: places [first, first + m). */
typedef struct expert_block {
    size_t expert, first, m;
} expert_block;

/* Block number `block` of all; *i and *before, where the last one was found, go on. */
static expert_block find_block(const expert_tasks *e, size_t block, size_t *i, size_t *before)
{
    while (block - *before >= blocks_of(e, *i)) *before += blocks_of(e, (*i)++);
    const size_t expert = (size_t)e->busy[*i], rows = gm_even_rows(rows_of(e, *i), e->inputs);
    const size_t first = (size_t)e->first[expert] + (block - *before) * rows;
    const size_t left = (size_t)e->first[expert + 1] - first;
    return (expert_block){expert, first, left < rows ? left : rows};
}

/* Units of a block's rows, from some panels of gate and up. */
static void units_task(const gm_step *s, const gm_layer *w, const expert_block *b, size_t panel,
                       size_t n, unit_place place, float *scratch)
{
    const uint32_t *slot_row = s->work->slot_row.address;
    if (w->expert_in_bias.address) place.bias = gm_row_at(&w->expert_in_bias, b->expert);
    place.choice = b->first;
    place.scaled = s->arch->router.scales_input;
    gm_task task = {.w = &w->expert.gate_up,
                    .x = &s->work->norm,
                    .item = b->expert,
                    .panel = panel,
                    .n = n,
                    .m = b->m,
                    .row = slot_row + b->first};
    gm_task_run(s, &task, scratch, store_units, &place);
}

static void down(const gm_step *s, gm_task all, float *scratch);

/* All units of a block's rows, which stay in cache, and what the expert gives for them. */
static void whole_task(gm_worker *me, const gm_step *s, const gm_layer *w, const expert_block *b)
{
    const gm_buf *routed = &s->work->routed;
    const size_t width = w->expert.down.cols, stored = gm_round_up(width, GM_PANEL);
    float *scratch = gm_scratch_of(s, me);
    gm_buf units = gm_buf_spread_rows(s->work->hidden.dtype, 1, b->m, width);
    units.address = scratch;
    scratch += units.item_bytes / sizeof *scratch;
    if (stored % GM_K_BLOCK != 0) /* products read whole blocks */
        for (size_t r = 0; r < b->m; r++)
            memset((char *)gm_row_of(&units, r) + stored * gm_dtype_bytes(units.dtype), 0,
                   GM_PANEL * gm_dtype_bytes(units.dtype));
    units_task(s, w, b, 0, gm_n_panels(w->expert.gate_up.rows), (unit_place){.to = &units},
               scratch);
    down(s,
         (gm_task){.w = &w->expert.down,
                   .x = &units,
                   .item = b->expert,
                   .n = gm_n_panels(w->expert.down.rows),
                   .m = b->m,
                   .out = gm_row_at(routed, b->first),
                   .ldo = routed->stride},
         scratch);
    if (s->record && s->record->norm) gm_cpu_record_norms(s, w, b->expert, b->first, b->m);
}

static void always_task(gm_worker *me, const gm_step *s, const gm_layer *w, const gm_split *split,
                        size_t t)
{
    const size_t panels = gm_n_panels(w->always.gate_up.rows);
    const size_t r = t / split->groups * split->rows, p = t % split->groups * split->panels;
    unit_place place = {.to = &s->work->always, .first = r};
    gm_task task = {.w = &w->always.gate_up,
                    .x = w->always_norm.address ? &s->work->always_x : &s->work->norm,
                    .panel = p,
                    .n = panels - p < split->panels ? panels - p : split->panels,
                    .first = r,
                    .m = s->n_rows - r < split->rows ? s->n_rows - r : split->rows};
    gm_task_run(s, &task, gm_scratch_of(s, me), store_units, &place);
}

static bool is_whole(const gm_step *s)
{
    return s->n_rows >= s->work->whole_rows;
}

void gm_cpu_moe_in(gm_worker *me, const gm_step *s, size_t layer, const gm_layer *w)
{
    (void)layer;
    const gm_split always =
        gm_split_rows(me, w->always.width ? s->n_rows : 0, w->always.gate_up.cols,
                      gm_n_panels(w->always.gate_up.rows));
    const size_t n_always = always.blocks * always.groups;
    const expert_tasks experts = list_experts(me, s, w);
    const size_t groups = is_whole(s) ? 1 : experts.split.groups;
    const size_t panels = gm_n_panels(w->expert.gate_up.rows), n = experts.split.panels;
    size_t i = 0, before = 0;
    for (size_t t; (t = gm_worker_next(me)) < n_always + experts.split.blocks * groups;) {
        if (t < n_always) {
            always_task(me, s, w, &always, t);
            continue;
        }
        const expert_block b = find_block(&experts, (t - n_always) / groups, &i, &before);
        const size_t p = (t - n_always) % groups * n;
        if (is_whole(s))
            whole_task(me, s, w, &b);
        else
            units_task(s, w, &b, p, panels - p < n ? panels - p : n,
                       (unit_place){.to = &s->work->hidden, .first = b.first},
                       gm_scratch_of(s, me));
    }
    gm_worker_meet(me);
    if (w->moe >= 0 && s->record && s->record->sums) gm_cpu_add_sums(me, s, w);
}

/* ---- moe_out ---- */

enum { MAX_OUT = GM_OUT_PANELS * GM_PANEL };

/* Some columns of x of one row: the choices by rank, the scale, what all rows take (or the row's
 * share of it; or where it has a norm of its own, apart), the residual. `routed` (T K, ldr) and
 * `always`, of this row, begin at the first of them. */
static void combine_row(const gm_step *s, const gm_layer *w, size_t r, size_t column, size_t width,
                        const float *routed, size_t ldr, const float *always)
{
    const gm_kernels *k = s->weights->kernels;
    const size_t chosen = (size_t)s->arch->n_chosen;
    const int32_t *expert = (const int32_t *)s->work->expert.address + r * chosen; /* (K) */
    const int32_t *slot = (const int32_t *)s->work->slot.address + r * chosen;     /* (K) */
    const gm_buf *bias = &w->expert_out_bias;
    const float *share = gm_share_of(s, w);
    const float whole = w->moe >= 0 ? s->arch->shared_scale : 1.0f;
    float sum[MAX_OUT];
    for (size_t i = 0; i < width; i++) sum[i] = 0.0f;
    if (w->moe >= 0 && expert[0] != GM_NO_EXPERT)
        for (size_t i = 0; i < chosen; i++) {
            const float by = gm_cpu_weight(s, w, r * chosen + i);
            k->add_scaled(sum, by, routed + (size_t)slot[i] * ldr, width);
            if (bias->address)
                k->add_scaled(sum, by, gm_row_at(bias, (size_t)expert[i]) + column, width);
        }
    if (w->always_out_norm.address)
        memcpy(gm_row_at(&s->work->always_given, r) + column, always, width * sizeof *always);
    else if (w->always.width)
        k->add_scaled(sum, share ? share[r] : whole, always, width);
    gm_cpu_give(s, &w->mlp_out_norm, r, column, sum, width);
}

/* A task of any number of rows. */
static void down(const gm_step *s, gm_task all, float *scratch)
{
    const size_t rows = gm_even_rows(all.m, all.w->cols);
    for (size_t r = 0; r < all.m; r += rows) {
        gm_task task = all;
        task.first += r;
        task.m = all.m - r < rows ? all.m - r : rows;
        task.out += r * all.ldo;
        gm_task_run(s, &task, scratch, NULL, NULL);
    }
}

/* What the MLP that all rows take gives for m of them, in n panels. */
static void always_down(const gm_step *s, const gm_layer *w, size_t first, size_t m, size_t p,
                        size_t n, float *out, float *scratch)
{
    if (w->always.width)
        down(s,
             (gm_task){.w = &w->always.down,
                       .x = &s->work->always,
                       .panel = p,
                       .n = n,
                       .first = first,
                       .m = m,
                       .next = true,
                       .out = out,
                       .ldo = n * GM_PANEL},
             scratch);
}

/* Some panels of the output: every expert's rows, then all rows' sums. */
static void down_task(const gm_step *s, const gm_layer *w, size_t p, size_t n, float *scratch)
{
    const gm_work *work = s->work;
    const int32_t *first = work->first.address;
    const size_t width = n * GM_PANEL, chosen = (size_t)s->arch->n_chosen;
    float *always = scratch, *routed = always + s->n_rows * width;
    float *room = routed + s->n_rows * chosen * width;

    always_down(s, w, 0, s->n_rows, p, n, always, room);
    for (size_t e = 0; w->moe >= 0 && e < (size_t)s->arch->n_experts; e++) {
        const size_t from = (size_t)first[e];
        down(s,
             (gm_task){.w = &w->expert.down,
                       .x = &work->hidden,
                       .item = e,
                       .panel = p,
                       .n = n,
                       .first = from,
                       .m = (size_t)first[e + 1] - from,
                       .next = true,
                       .out = routed + from * width,
                       .ldo = width},
             room);
    }
    for (size_t r = 0; r < s->n_rows; r++)
        combine_row(s, w, r, p * GM_PANEL, width, routed, width, always + r * width);
}

/* What the experts gave is there: the sums of a block of rows, in all columns or, when all rows
 * take an MLP, in those of some panels. */
static void add_up(gm_worker *me, const gm_step *s, const gm_layer *w, size_t panels)
{
    const gm_buf *routed = &s->work->routed;
    float *always = gm_scratch_of(s, me), *scratch = always + (size_t)GM_MOST_ROWS * MAX_OUT;
    const size_t some = w->always.width ? GM_OUT_PANELS : panels;
    const size_t rows = w->always.width ? gm_even_rows(s->n_rows, w->always.down.cols) : 32;
    const size_t groups = (panels + some - 1) / some, blocks = (s->n_rows + rows - 1) / rows;
    for (size_t t; (t = gm_worker_next(me)) < blocks * groups;) {
        const size_t first = t / groups * rows, p = t % groups * some;
        const size_t m = s->n_rows - first < rows ? s->n_rows - first : rows;
        const size_t end = panels - p < some ? panels : p + some;
        always_down(s, w, first, m, p, end - p, always, scratch);
        for (size_t r = 0; r < m; r++)
            for (size_t at = p, n; at < end; at += n) {
                n = end - at < GM_OUT_PANELS ? end - at : GM_OUT_PANELS;
                combine_row(s, w, first + r, at * GM_PANEL, n * GM_PANEL,
                            (const float *)routed->address + at * GM_PANEL, routed->stride,
                            always + r * n * GM_PANEL);
            }
    }
}

/* Norms of what the experts and the MLP gave, of their sum, and the residual's scale; shared among
 * the workers, who meet afterwards. */
static void add_normed(gm_worker *me, const gm_step *s, const gm_layer *w)
{
    const gm_work *work = s->work;
    const size_t d = work->x.cols;
    const float *scale = w->scale.address; /* (1) or NULL */
    float *routed = gm_scratch_of(s, me), *always = routed + gm_round_up(d, GM_PANEL);
    size_t first, end;
    gm_worker_share(me, s->n_rows, &first, &end);
    for (size_t r = first; r < end; r++) {
        float *x = gm_row_at(&work->x, r);
        gm_cpu_norm(s, &w->expert_out_norm, gm_row_at(&work->given, r), routed);
        gm_cpu_norm(s, &w->always_out_norm, gm_row_at(&work->always_given, r), always);
        for (size_t i = 0; i < d; i++) routed[i] += always[i];
        gm_cpu_norm(s, &w->mlp_out_norm, routed, routed);
        for (size_t i = 0; i < d; i++) x[i] += s->arch->residual_scale * routed[i];
        for (size_t i = 0; scale && i < d; i++) x[i] *= scale[0];
    }
    gm_worker_meet(me);
}

void gm_cpu_moe_out(gm_worker *me, const gm_step *s, size_t layer, const gm_layer *w)
{
    (void)layer;
    const size_t panels = gm_n_panels((size_t)s->arch->width),
                 most = gm_out_panels(s->n_rows, s->work->scratch.rows, panels);
    if (is_whole(s))
        add_up(me, s, w, panels);
    else
        for (size_t p; (p = gm_worker_next(me) * most) < panels;)
            down_task(s, w, p, panels - p < most ? panels - p : most, gm_scratch_of(s, me));
    gm_worker_meet(me);
    if (w->expert_out_norm.address)
        add_normed(me, s, w);
    else
        gm_cpu_add_given(me, s, &w->mlp_out_norm);
}
