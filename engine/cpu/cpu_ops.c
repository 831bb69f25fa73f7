/* cpu_ops.c - the table of operations on the CPU. */
#include "engine/cpu/cpu_ops.h"

/* Weights are resident: always there. */
static const gm_layer *layer_acquire(gm_worker *me, const gm_step *s, size_t layer)
{
    (void)me;
    return &s->weights->layer[layer];
}

static void layer_release(gm_worker *me, const gm_step *s, size_t layer)
{
    (void)me, (void)s, (void)layer;
}

const gm_ops gm_cpu_ops = {
    .name = "cpu",
    .layer_acquire = layer_acquire,
    .layer_release = layer_release,
    .embed = gm_cpu_embed,
    .attn_in = gm_cpu_attn_in,
    .attn = gm_cpu_attn,
    .attn_out = gm_cpu_attn_out,
    .route = gm_cpu_route,
    .moe_in = gm_cpu_moe_in,
    .moe_out = gm_cpu_moe_out,
    .head = gm_cpu_head,
    .sample = gm_cpu_sample,
    .record_drain = gm_cpu_record_drain,
};
