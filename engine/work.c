/* work.c - the buffers between operations: their sizes, all known at session creation. */
#include "engine/ops.h"

#include "engine/cpu/kernels.h"
#include "engine/cpu/router.h"

enum { WORK_BUFFERS = 29 };

/* Most memory for what the experts give before it is added up: longer steps do without. */
static const uint64_t MAX_ROUTED_BYTES = (uint64_t)288 << 20;

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Floats that a task of a product of k inputs needs. */
static size_t task_floats(size_t k)
{
    return k ? GM_PART_FLOATS + gm_room_floats(gm_block_rows(k), k) : 0;
}

/* Most floats of a row that O reads. */
static size_t given_floats(const gm_arch *arch)
{
    const gm_delta *d = &arch->delta;
    const size_t out = larger(gm_arch_heads(arch, false).out, gm_arch_heads(arch, true).out);
    return larger((size_t)arch->n_heads * out, (size_t)d->value_heads * (size_t)d->value);
}

/* Floats of a tile of queries and its heads. */
static size_t attend_floats(const gm_arch *arch, bool global)
{
    const gm_heads heads = gm_arch_heads(arch, global);
    if (heads.kv == 0) return 0;
    const size_t queries = GM_TILE_ROWS * gm_heads_together(arch, heads.kv) *
                           gm_tiles_together((size_t)arch->n_heads, heads.kv);
    const size_t value = gm_round_up(heads.value, GM_K_BLOCK);
    return queries * ((size_t)2 * GM_KV_BLOCK + 2 * value + 4) +
           gm_room_floats(queries, heads.key) + gm_room_floats(queries, GM_KV_BLOCK);
}

/* Floats of a task that computes an expert's rows whole, or adds up rows with the MLP that all
 * take, beside those of its products. */
static size_t whole_floats(const gm_arch *arch, gm_dtype read)
{
    const size_t rows = gm_block_rows((size_t)arch->width);
    const gm_buf units = gm_buf_spread_rows(read, 1, rows, (size_t)arch->expert_width);
    return larger(units.item_bytes / sizeof(float),
                  (size_t)GM_MOST_ROWS * GM_OUT_PANELS * GM_PANEL);
}

/* Floats that one thread needs at most, over the operations that use scratch; `rows` of a step
 * whose experts are not computed whole. */
static size_t scratch_floats(const gm_arch *arch, gm_dtype read, size_t rows, size_t threads)
{
    const size_t d = (size_t)arch->width, e = (size_t)arch->n_experts, k = (size_t)arch->n_chosen;
    const gm_latent *latent = &arch->latent;
    const size_t inputs[] = {d,
                             given_floats(arch),
                             (size_t)latent->q,
                             (size_t)latent->kv,
                             (size_t)latent->plain,
                             (size_t)arch->delta.rank,
                             (size_t)arch->expert_width,
                             (size_t)arch->shared_width,
                             (size_t)arch->dense_width};
    size_t product = 0;
    for (size_t i = 0; i < sizeof inputs / sizeof inputs[0]; i++)
        product = larger(product, task_floats(inputs[i]));
    const size_t attend = larger(attend_floats(arch, false), attend_floats(arch, true));
    const size_t outputs = e + arch->gated_shared; /* of the router */
    size_t route = GM_ROUTE_ROWS * (gm_round_up(d, GM_K_BLOCK) + gm_round_up(outputs, GM_PANEL)) +
                   gm_router_scratch(e) + k;
    size_t combine = product + whole_floats(arch, read);
    for (size_t r = 16; r < 2 * rows; r *= 2) { /* gm_out_panels changes at powers of two */
        size_t n = r < rows ? r : rows;
        combine = larger(
            combine, product + n * (k + 1) *
                                   gm_out_panels(n, threads, gm_round_up(d, GM_PANEL) / GM_PANEL) *
                                   GM_PANEL);
    }
    size_t sample = 2 * (size_t)arch->vocab + (size_t)arch->vocab / sizeof(float) + 1;
    return larger(larger(attend, route), larger(combine, sample));
}

static void describe(gm_work *w, const gm_arch *arch, gm_numerics numerics,
                     const gm_work_sizes *sizes)
{
    const size_t rows = sizes->rows, positions = sizes->positions, threads = sizes->threads;
    const gm_dtype read = numerics == GM_NUMERICS_F32 ? GM_F32 : GM_BF16; /* by products */
    const size_t d = (size_t)arch->width, e = (size_t)arch->n_experts;
    const size_t k = (size_t)arch->n_chosen, heads = (size_t)arch->n_heads;
    const size_t head = larger((size_t)arch->head_dim, (size_t)arch->global.head_dim);
    const size_t qkv = larger(gm_qkv_place_of(arch, false).all, gm_qkv_place_of(arch, true).all);
    const size_t always = larger((size_t)arch->dense_width, (size_t)arch->shared_width);
    const gm_buf routed = gm_buf_spread_rows(GM_F32, 1, rows * k, d);
    const size_t from = sizes->norms ? 1 : gm_whole_rows(e, k, threads);
    const bool whole = sizes->norms || (rows >= from && gm_buf_bytes(&routed) <= MAX_ROUTED_BYTES);
    const size_t apart = whole ? from - 1 : rows;
    const size_t given_apart = gm_arch_norms_apart(arch) ? rows : 0;
    const size_t global_positions = arch->global.n_kv_heads > 0 ? positions : 0;
    *w = (gm_work){
        .x = gm_buf_spread_rows(GM_F32, 1, rows, d),
        .norm = gm_buf_spread_rows(read, 1, rows, d),
        .always_x = gm_buf_spread_rows(read, 1, given_apart, d),
        .always_given = gm_buf_spread_rows(GM_F32, 1, given_apart, d),
        .given = gm_buf_spread_rows(GM_F32, 1, gm_arch_norms_outputs(arch) ? rows : 0, d),
        .qkv = gm_buf_spread_rows(GM_F32, 1, rows, larger(qkv, gm_delta_place_of(arch).all)),
        .query = gm_buf_rows(read, 1, rows * heads, head),
        .latent = gm_buf_spread_rows(read, 1, rows, (size_t)arch->latent.q),
        .plain = gm_buf_rows(read, 1, rows * heads, (size_t)arch->latent.plain),
        .low = gm_buf_rows(read, 1, 2 * rows, (size_t)arch->delta.rank),
        .heads = gm_buf_spread_rows(read, 1, rows, given_floats(arch)),
        .expert = gm_buf_rows(GM_I32, 1, 1, rows * k),
        .gate = gm_buf_rows(GM_F32, 1, 1, rows * k),
        .share = gm_buf_rows(GM_F32, 1, 1, arch->gated_shared ? rows : 0),
        .bad = gm_buf_rows(GM_U8, 1, 1, rows),
        .slot = gm_buf_rows(GM_I32, 1, 1, rows * k),
        .slot_row = gm_buf_rows(GM_I32, 1, 1, rows * k),
        .first = gm_buf_rows(GM_I32, 1, 1, e + 1),
        .busy = gm_buf_rows(GM_I32, 1, 1, e + 1),
        .hidden = gm_buf_spread_rows(read, 1, apart * k, (size_t)arch->expert_width),
        .routed = whole ? routed : (gm_buf){.dtype = GM_F32},
        .always = gm_buf_spread_rows(read, 1, rows, always),
        .head_x = gm_buf_spread_rows(read, 1, GM_HEAD_ROWS, d),
        .logits = gm_buf_rows(GM_F32, 1, GM_HEAD_ROWS, (size_t)arch->vocab),
        .cosine = {gm_buf_rows(GM_F32, 1, positions, arch->rope.dim / 2),
                   gm_buf_rows(GM_F32, 1, global_positions, arch->global.rope.dim / 2)},
        .sine = {gm_buf_rows(GM_F32, 1, positions, arch->rope.dim / 2),
                 gm_buf_rows(GM_F32, 1, global_positions, arch->global.rope.dim / 2)},
        .scratch = gm_buf_rows(GM_F32, 1, threads, scratch_floats(arch, read, apart, threads)),
        .whole_rows = whole ? from : SIZE_MAX,
    };
}

static void list_buffers(gm_work *w, gm_buf *list[WORK_BUFFERS])
{
    gm_buf *all[WORK_BUFFERS] = {
        &w->x,         &w->norm,    &w->qkv,       &w->query,        &w->heads,    &w->expert,
        &w->gate,      &w->share,   &w->bad,       &w->slot,         &w->slot_row, &w->first,
        &w->busy,      &w->hidden,  &w->always,    &w->routed,       &w->head_x,   &w->logits,
        &w->cosine[0], &w->sine[0], &w->cosine[1], &w->sine[1],      &w->scratch,  &w->latent,
        &w->plain,     &w->given,   &w->always_x,  &w->always_given, &w->low,
    };
    for (size_t i = 0; i < WORK_BUFFERS; i++) list[i] = all[i];
}

uint64_t gm_work_bytes(const gm_arch *arch, gm_numerics numerics, const gm_work_sizes *sizes)
{
    gm_work work;
    gm_buf *buf[WORK_BUFFERS];
    uint64_t bytes = 0;
    describe(&work, arch, numerics, sizes);
    list_buffers(&work, buf);
    for (size_t i = 0; i < WORK_BUFFERS; i++) bytes += gm_buf_bytes(buf[i]);
    return bytes;
}

gm_status gm_work_create(gm_work *work, const gm_arch *arch, gm_numerics numerics,
                         const gm_work_sizes *sizes, gm_error *err)
{
    gm_status status = GM_OK;
    gm_buf *buf[WORK_BUFFERS];
    describe(work, arch, numerics, sizes);
    list_buffers(work, buf);
    for (size_t i = 0; i < WORK_BUFFERS; i++)
        GM_TRY(gm_buf_create(buf[i], "the session's work space", err));
    for (int global = 0; global < 2; global++)
        gm_rope_fill(gm_arch_heads(arch, global).rope, work->cosine[global].rows,
                     work->cosine[global].stride, work->cosine[global].address,
                     work->sine[global].address);
out:
    if (status != GM_OK) gm_work_clear(work);
    return status;
}

void gm_work_clear(gm_work *work)
{
    gm_buf *buf[WORK_BUFFERS];
    list_buffers(work, buf);
    for (size_t i = 0; i < WORK_BUFFERS; i++) gm_buf_free(buf[i]);
}
