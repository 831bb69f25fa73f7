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
/* cpu_route.c */
void gm_cpu_route(gm_worker *me, const gm_step *s, size_t layer, const gm_layer *w);
/* cpu_experts.c */
void gm_cpu_moe_in(gm_worker *me, const gm_step *s, size_t layer, const gm_layer *w);
void gm_cpu_moe_out(gm_worker *me, const gm_step *s, size_t layer, const gm_layer *w);
/* cpu_ends.c */
void gm_cpu_embed(gm_worker *me, const gm_step *s);
void gm_cpu_head(gm_worker *me, const gm_step *s, size_t block);
void gm_cpu_sample(gm_worker *me, const gm_step *s, size_t block);
void gm_cpu_record_drain(gm_worker *me, const gm_step *s);

enum {
    TASK_ROWS = 64,  /* rows of a product that are swept together: they stay in cache */
    TASK_PANELS = 4, /* panels of one task */
};

static inline bool gm_rounds(const gm_step *s)
{
    return s->weights->numerics == GM_NUMERICS_BF16;
}

static inline gm_gemm *gm_product_of(const gm_step *s, const gm_buf *panels)
{
    const gm_kernels *k = s->weights->kernels;
    return panels->dtype == GM_BF16 ? k->gemm_bf16 : k->gemm_f32;
}

/* Row r of a buffer of floats. */
static inline float *gm_row_at(const gm_buf *buf, size_t r)
{
    return (float *)buf->address + r * buf->stride;
}

static inline float *gm_scratch_of(const gm_step *s, const gm_worker *me)
{
    return gm_row_at(&s->work->scratch, me->index);
}

static inline size_t gm_n_panels(size_t n)
{
    return gm_round_up(n, GM_PANEL) / GM_PANEL;
}

/* Norms of all rows into work->norm, rounded for the products to come; shared among
 * the workers, who meet behind it. */
void gm_cpu_norm_rows(gm_worker *me, const gm_step *s, const gm_buf *weight);

#endif
