/* plan.h - the plan: a steering instruction, in safetensors.
 *
 * One f32 tensor `bias` (L,E) in logits (nats) - the weight is multiplied in - and
 * string metadata under __metadata__: format "gm-plan", schema "1", mode,
 * mass_matched, first_layer and last_layer (model layer numbers), phases, and
 * `source`, a JSON object: atlas and its digest, model digest, clusters and
 * weights, filter, scale, control, experts set by hand. A bias of zeros steers
 * nothing, bit for bit.
 */
#ifndef GM_PLAN_H
#define GM_PLAN_H

#include "base/base.h"

typedef enum gm_plan_mode {
    GM_PLAN_BIAS,
    GM_PLAN_SELECT,
    GM_PLAN_GATE,
    GM_PLAN_MASK
} gm_plan_mode; /* the order of gm_edit_mode */

typedef struct gm_plan {
    int n_layers, n_experts; /* L, E */
    float *bias;             /* (L,E), owned by the plan (gm_alloc) */
    int *layer_of_moe;       /* (L) model layer numbers, owned */
    gm_plan_mode mode;
    bool mass_matched;
    int first_layer, last_layer; /* model layer numbers, inclusive */
    uint8_t phases;              /* bit p: phase p (0 prompt, 1 generated, 2 template) */
    char model_digest[65];       /* of the model the plan was made for; "" unknown */
    char *source;                /* JSON object, owned */
} gm_plan;

/* An empty plan: zero bias, all layers, all phases, mode bias. */
gm_status gm_plan_init(gm_plan *plan, int n_layers, int n_experts, const int *layer_of_moe,
                       gm_error *err) GM_MUST_USE;
void gm_plan_clear(gm_plan *plan);

gm_status gm_plan_write(const char *path, const gm_plan *plan, bool replace, gm_error *err)
    GM_MUST_USE;

/* Read and check: sizes, finite values (or -inf), known mode, windows inside the
 * model. GM_EIO, GM_EFORMAT, GM_ESHAPE, GM_EMEM. */
gm_status gm_plan_read(gm_plan *plan, const char *path, gm_error *err) GM_MUST_USE;

#endif
