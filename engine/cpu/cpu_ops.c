/* cpu_ops.c - the table of operations on the CPU. */
#include "engine/cpu/cpu_ops.h"

#include "engine/layer_stream.h"

static const gm_layer *layer_acquire(gm_worker *me, const gm_step *s, size_t layer)
{
    const gm_weights *w = s->weights;
    return w->stream ? gm_layer_stream_acquire(w->stream, me, layer) : &w->layer[layer];
}

/* The layer's place is given to the next one when nobody looks at it any more, and who asks for
 * the next must not be given this one once more. */
static void layer_release(gm_worker *me, const gm_step *s, size_t layer)
{
    (void)layer;
    if (s->weights->stream == NULL) return;
    gm_worker_meet(me);
    if (me->index == 0) gm_layer_stream_release(s->weights->stream);
    gm_worker_meet(me);
}

const gm_ops gm_cpu_ops = {
    .name = "cpu",
    .layer_acquire = layer_acquire,
    .layer_release = layer_release,
    .embed = gm_cpu_embed,
    .enter = gm_cpu_enter,
    .leave = gm_cpu_leave,
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
