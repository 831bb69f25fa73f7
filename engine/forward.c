/* forward.c - the forward pass, written once over the operations of a backend. */
#include "engine/ops.h"

/* Where attention and the MLP are parallel, the MLP has read the residual before attention adds to
 * it. */
static void forward_layer(const gm_ops *ops, gm_worker *me, const gm_step *step, size_t layer,
                          const gm_layer *w)
{
    const bool parallel = step->arch->parallel;
    if (w->mixer) {
        ops->attn_in(me, step, layer, w);
        ops->attn(me, step, layer, w);
        if (!parallel) ops->attn_out(me, step, layer, w);
    }
    if (w->mlp) {
        ops->route(me, step, layer, w);
        ops->moe_in(me, step, layer, w);
        if (parallel) ops->attn_out(me, step, layer, w);
        ops->moe_out(me, step, layer, w);
    }
}

/* Does the caller want to stop? All workers hear the same. */
static bool ask(gm_worker *me, gm_watch *watch, size_t done, size_t n_layers)
{
    if (watch == NULL) return false;
    if (me == NULL || me->index == 0)
        watch->stopped = watch->after_layer(watch->context, done, n_layers);
    if (me) gm_worker_meet(me);
    return watch->stopped;
}

void gm_forward(gm_worker *me, const gm_step *piece, size_t n, gm_watch *watch)
{
    const gm_ops *ops = piece->weights->ops;
    const size_t n_layers = piece->weights->n_layers, end = piece->end_layer;
    for (size_t i = 0; i < n; i++) {
        ops->embed(me, &piece[i]); /* and clears what is bad, keeps the tokens for sampling */
        if (piece->first_layer > 0) ops->enter(me, &piece[i]);
    }
    for (size_t layer = piece->first_layer; layer < end; layer++) {
        const gm_layer *w = ops->layer_acquire(me, piece, layer);
        for (size_t i = 0; i < n; i++) forward_layer(ops, me, &piece[i], layer, w);
        ops->layer_release(me, piece, layer);
        if (ask(me, watch, layer + 1, n_layers)) return;
    }
    for (size_t i = 0; i < n; i++) {
        if (end < n_layers) ops->leave(me, &piece[i]);
        for (size_t block = 0; block * GM_HEAD_ROWS < piece[i].n_head; block++) {
            ops->head(me, &piece[i], block);
            ops->sample(me, &piece[i], block);
        }
        ops->record_drain(me, &piece[i]);
    }
}
