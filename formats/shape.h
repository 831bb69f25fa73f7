/* shape.h - sizes and identity of the model that an atlas or a plan is for, compared with the model
 * in use.
 */
#ifndef GM_SHAPE_H
#define GM_SHAPE_H

#include "base/base.h"

typedef struct gm_shape {
    int n_layers, n_experts, n_chosen;
    const int *layer_of_moe;                  /* (n_layers) borrowed */
    const char *model_digest, *config_digest; /* "" unknown */
} gm_shape;

/* The row of a layer of the model among its MoE layers, or -1. */
int gm_find_layer(const int *layer_of_moe, int n_layers, int64_t layer);

/* GM_EARG unless what `has` belongs to, called `what` in messages, is for the model `own` in
 * `folder`: the same layers and experts, and unless any_model the same weights and config.json,
 * where both are known. */
gm_status gm_shape_check(const gm_shape *has, const char *what, const gm_shape *own,
                         const char *folder, bool any_model, gm_error *err) GM_MUST_USE;

#endif
