/* cpu_ops.h - the operations on the CPU and what their files share. */
#ifndef GM_CPU_OPS_H
#define GM_CPU_OPS_H

#include "engine/cpu/kernels.h"
#include "engine/cpu/pack.h"
#include "engine/ops.h"

extern const gm_ops gm_cpu_ops;

/* cpu_attention.c */
void gm_cpu_attn_in(gm_worker *me, const gm_step *s, size_t layer, const gm_layer *w);
void gm_cpu_attn(gm_worker *me, const gm_step *s, size_t layer, const gm_layer *w);
void gm_cpu_attn_out(gm_worker *me, const gm_step *s, size_t layer, const gm_layer *w);
/* Key and value of one KV head into the cache of a layer; see kv.h for what is
 * not finite (bf16 rounds the largest f32 up to infinity), which overwrites them. */
void gm_cpu_append(const gm_step *s, const gm_layer *w, const gm_row *row, size_t h, float *key,
                   float *value);
/* Rotate pairs of neighbours, beginning with pair `first` of a head. */
void gm_cpu_turn(const gm_step *s, size_t position, float *x, size_t first, size_t pairs);
/* cpu_latent.c: attn_in of latent attention after its first product, entered by every worker when
 * all have met; and its part of attn_out before O */
void gm_cpu_latent_in(gm_worker *me, const gm_step *s, const gm_layer *w);
void gm_cpu_latent_out(gm_worker *me, const gm_step *s, const gm_layer *w);
/* Zeros after the first n elements of a row that others may have filled, as far as products read.
 */
void gm_cpu_end_row(const gm_step *s, const gm_buf *of, size_t r, size_t n);
/* cpu_delta.c: for Gated DeltaNet, attn_in after its product, entered by every worker when all have
 * met; and attn */
void gm_cpu_delta_in(gm_worker *me, const gm_step *s, const gm_layer *w);
void gm_cpu_delta(gm_worker *me, const gm_step *s, const gm_layer *w);
/* cpu_route.c */
void gm_cpu_route(gm_worker *me, const gm_step *s, size_t layer, const gm_layer *w);
/* cpu_experts.c */
void gm_cpu_moe_in(gm_worker *me, const gm_step *s, size_t layer, const gm_layer *w);
void gm_cpu_moe_out(gm_worker *me, const gm_step *s, size_t layer, const gm_layer *w);
/* cpu_outputs.c: norms of what an expert gave at places [first, first + m), to the record; after
 * moe_in the layer's sums, entered by every worker when all have met, who meet afterwards */
void gm_cpu_record_norms(const gm_step *s, const gm_layer *w, size_t expert, size_t first,
                         size_t m);
void gm_cpu_add_sums(gm_worker *me, const gm_step *s, const gm_layer *w);
/* cpu_ends.c */
void gm_cpu_embed(gm_worker *me, const gm_step *s);
void gm_cpu_enter(gm_worker *me, const gm_step *s);
void gm_cpu_leave(gm_worker *me, const gm_step *s);
void gm_cpu_head(gm_worker *me, const gm_step *s, size_t block);
void gm_cpu_sample(gm_worker *me, const gm_step *s, size_t block);
void gm_cpu_record_drain(gm_worker *me, const gm_step *s);

static inline const gm_kernel_product *gm_kernel_product_for(const gm_kernels *k,
                                                             gm_numerics numerics, gm_dtype dtype)
{
    if (dtype == GM_F32) return &k->f32;
    if (dtype == GM_I8) return &k->i8;
    if (dtype == GM_FP8) return &k->fp8;
    return numerics == GM_NUMERICS_BF16_DOT ? &k->dot : &k->bf16;
}

static inline const gm_kernel_product *gm_kernel_product_of(const gm_step *s, const gm_buf *panels)
{
    return gm_kernel_product_for(s->weights->kernels, s->weights->numerics, panels->dtype);
}

/* Row r of a buffer of floats. */
static inline float *gm_row_at(const gm_buf *buf, size_t r)
{
    return (float *)buf->address + r * buf->stride;
}

/* Row r of a buffer of anything. */
static inline void *gm_row_of(const gm_buf *buf, size_t r)
{
    return (char *)buf->address + r * buf->stride * gm_dtype_bytes(buf->dtype);
}

static inline float *gm_scratch_of(const gm_step *s, const gm_worker *me)
{
    return gm_row_at(&s->work->scratch, me->index);
}

/* (T) weights of a layer's shared experts; NULL: all 1 */
static inline float *gm_share_of(const gm_step *s, const gm_layer *w)
{
    return s->arch->gated_shared && w->moe >= 0 ? s->work->share.address : NULL;
}

/* Of (T,K), the choice of a row that has a place. */
static inline size_t gm_cpu_choice(const gm_step *s, size_t row, size_t place)
{
    const int32_t *slot = s->work->slot.address; /* (T,K) */
    size_t choice = row * (size_t)s->arch->n_chosen;
    while ((size_t)slot[choice] != place) choice++;
    return choice;
}

/* What the output of a choice, of (T,K), is multiplied by. */
static inline float gm_cpu_weight(const gm_step *s, const gm_layer *w, size_t choice)
{
    const float *gate = s->work->gate.address, *scale = w->expert_scale.address;
    const int32_t *expert = s->work->expert.address;
    return (s->arch->router.scales_input ? 1.0f : gate[choice]) *
           (scale ? scale[expert[choice]] : s->arch->router.scale);
}

static inline size_t gm_n_panels(size_t n)
{
    return gm_round_up(n, GM_PANEL) / GM_PANEL;
}

/* ---- cpu_product.c ---- */

/* A product cut into tasks: blocks of rows by groups of panels. */
typedef struct gm_split {
    size_t rows, panels; /* of a task; the last ones may have fewer */
    size_t blocks, groups;
} gm_split;

/* Rows of a block when m rows of k inputs are cut into the fewest blocks of about equal
 * size: a short last block would read all the weights for a few rows. */
size_t gm_even_rows(size_t m, size_t k);

/* Tasks for `blocks` blocks of rows, `rows` rows the largest: few groups, because every
 * group gathers its rows again, and enough of them that no worker waits long. */
gm_split gm_split_panels(const gm_worker *me, size_t blocks, size_t rows, size_t n_panels);
/* The same for m rows of k inputs. */
gm_split gm_split_rows(const gm_worker *me, size_t m, size_t k, size_t n_panels);

/* One task: m rows of x, at most gm_block_rows(k), times n panels of w. */
typedef struct gm_task {
    const gm_buf *w, *x;
    size_t item;         /* which matrix of w */
    size_t panel, n;     /* panels [panel, panel + n) */
    size_t first, m;     /* rows [first, first + m) of x, or with `row` the m rows that it lists */
    const uint32_t *row; /* (m) or NULL */
    bool next;           /* the rows after these are next */
    float *out;          /* (m, 16 n) written, rows ldo floats apart; NULL: given in parts */
    size_t ldo;
} gm_task;

/* Part of a task's result: panels [p, p + n) of all its rows, rows ld floats apart; it may be
 * written over. */
typedef void gm_part_end(const gm_step *s, const gm_task *task, float *part, size_t ld, size_t p,
                         size_t n, const void *context);

/* `scratch` holds GM_PART_FLOATS and the room of its rows; `end` may be NULL when the task has an
 * `out`. */
void gm_task_run(const gm_step *s, const gm_task *task, float *scratch, gm_part_end *end,
                 const void *context);

/* All rows of x times w, into `out` or else given to `end`; shared among the workers, who meet
 * afterwards. */
void gm_cpu_multiply(gm_worker *me, const gm_step *s, const gm_buf *w, const gm_buf *x,
                     const gm_buf *out, gm_part_end *end, const void *context);

/* cpu_latent.c: a product for each of w's `count` matrices; rows of the h-th are rows r count + h
 * of x. And columns of a part of it that are no padding. */
void gm_cpu_multiply_heads(gm_worker *me, const gm_step *s, const gm_buf *w, const gm_buf *x,
                           gm_part_end *end);
size_t gm_cpu_columns_of(const gm_task *t, size_t p, size_t n);

/* n values of queries of a position times how much these grow there. */
void gm_cpu_grow(const gm_growth *growth, size_t position, float *query, size_t n);

/* n values into row r of a buffer of activations, from column on, rounded if it is bf16. */
void gm_store_row(const gm_kernels *k, const gm_buf *to, size_t r, size_t column, const float *x,
                  size_t n);

/* Norm of a row of the residual, `norm` as in weights.h; without one the row itself. */
void gm_cpu_norm(const gm_step *s, const gm_buf *norm, const float *x, float *out);

/* n outputs of attention or of the MLP for row r, from column on: added to the residual; or if they
 * have a norm, kept for gm_cpu_add_given. That one norms all rows' and adds them, shared among the
 * workers, who meet afterwards. */
void gm_cpu_give(const gm_step *s, const gm_buf *norm, size_t r, size_t column, const float *y,
                 size_t n);
void gm_cpu_add_given(gm_worker *me, const gm_step *s, const gm_buf *norm);

/* Norms of all rows into work->norm; shared among the workers, who meet afterwards. */
void gm_cpu_norm_rows(gm_worker *me, const gm_step *s, const gm_buf *weights);

#endif
