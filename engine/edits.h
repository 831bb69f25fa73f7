/* edits.h - the edits of a session: checked, copied, and looked up per row.
 *
 * A layer in which an edit does nothing is not stored as active and costs nothing:
 * all biases 0, or, where scores are a softmax, all equal (a constant drops out of a
 * softmax; taking it literally could tie logits by rounding). So an edit of zeros
 * gives the bits of no edit, and a constant bias changes neither choice nor gates.
 */
#ifndef GM_EDITS_H
#define GM_EDITS_H

#include "engine/arch.h"

/* What the router is told about one row. */
typedef struct gm_router_edit {
    const float *bias; /* (E) */
    gm_edit_mode mode;
    bool mass_matched;
} gm_router_edit;

typedef struct gm_edits {
    size_t n, n_layers, n_experts; /* edits, L, E */
    gm_edit *edit;                 /* (n), each bias pointing into `bias` */
    float *bias;                   /* (n,L,E) */
    bool *active;                  /* (n,L) */
} gm_edits;

/* Errors: as gm_session_set_edits. */
gm_status gm_edits_create(gm_edits *out, const gm_arch *arch, const gm_edit *edits, size_t n,
                          gm_error *err) GM_MUST_USE;
void gm_edits_clear(gm_edits *edits);

/* True, with *out filled, when edit `index` (-1: none) changes MoE layer `layer` for
 * rows of `phase`. */
bool gm_edits_find(const gm_edits *edits, int index, int layer, uint8_t phase, gm_router_edit *out);

#endif
