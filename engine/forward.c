/* forward.c - the forward pass, written once over the operations of a backend. */
#include "engine/ops.h"

static void forward_layer(const gm_ops *ops, gm_worker *me, const gm_step *step, size_t layer)
{
    const gm_layer *w = ops->layer_acquire(me, step, layer);
    ops->attn_in(me, step, layer, w);
    ops->attn(me, step, layer, w);
    ops->attn_out(me, step, layer, w);
    ops->route(me, step, layer, w);
    ops->moe_in(me, step, layer, w);
    ops->moe_out(me, step, layer, w);
    ops->layer_release(me, step, layer);
}

void gm_forward(gm_worker *me, const gm_step *step)
{
    const gm_ops *ops = step->weights->ops;
    ops->embed(me, step);
    for (size_t layer = 0; layer < step->weights->n_layers; layer++)
        forward_layer(ops, me, step, layer);
    for (size_t block = 0; block * GM_HEAD_ROWS < step->n_head; block++) {
        ops->head(me, step, block);
        ops->sample(me, step, block);
    }
    ops->record_drain(me, step);
}
