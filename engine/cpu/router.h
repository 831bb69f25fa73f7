/* router.h - choosing experts: from one row of router logits to K ids and gates.
 *
 * Sizes:  E experts, K chosen, 1 <= K <= E. Logits in nats.
 * Source: Shazeer et al. 2017, arXiv:1701.06538, 2.1; DeepSeekMoE, arXiv:2401.06066;
 *         groups and correction bias: DeepSeek-V2 (arXiv:2405.04434), DeepSeek-V3
 *         (arXiv:2412.19437); sparsemixer: GRIN (arXiv:2409.12136) as transformers'
 *         models/phimoe computes it outside training.
 *
 * The selection score is the logit, the edit included; where the router has a
 * correction bias it is activation(logit) + correction. With groups only the experts of
 * the best `top_groups` groups can be chosen; a group counts its best score, or with a
 * correction the sum of its best two. Equal scores: the lower id is stronger.
 *
 * Gates, g the logits with the edit where its mode changes gates:
 *   softmax       p = softmax of g over all E
 *   sigmoid       p = 1 / (1 + e^-g)
 *   top-k first   p = softmax of g over the chosen
 *   sparsemixer   each round chooses the expert e of the best remaining selection score; its p =
 *                 e^g(e) / sum of e^g over e and those x not chosen before with
 *                 (g(e) - g(x)) / max(|g(x)|, g(e)) <= within. Where no two experts are near each
 *                 other the gates sum to K, not to one; a shift of all logits changes them
 * then divided by (their sum, at least least_sum, + epsilon) when the router renormalises, then
 * scaled to the unedited total when the edit is mass-matched. Sums are taken in double.
 *
 * Modes: bias adds to both, select to the choice, gate to the gates. mask removes the
 * experts of negative bias from choice and softmax, and chooses those of positive bias
 * first, the strongest K of them if there are more; it does not change logits.
 */
#ifndef GM_ROUTER_H
#define GM_ROUTER_H

#include "engine/cpu/kernels.h"
#include "engine/edits.h"

typedef struct gm_router {
    const gm_router_desc *desc;
    const gm_kernels *kernels;
    const float *correction; /* (E) or NULL */
    size_t n_experts, n_chosen;
} gm_router;

typedef struct gm_choice {
    uint16_t *expert; /* (K) by gate descending, then lower id; written */
    float *gate;      /* (K) written; the routed scale is not in it */
    float mass;       /* sum of the chosen p before renormalising; top-k first and
                         sparsemixer: of the softmax over all E */
    float margin;     /* selection score of rank K minus rank K+1; +inf when no other
                         expert could have been chosen */
} gm_choice;

/* Floats of scratch that gm_router_choose needs. */
size_t gm_router_scratch(size_t n_experts);

/* False for a bad row, one with a logit that is not finite: its ids are then
 * GM_NO_EXPERT, gates, mass and margin NaN. `edit` may be NULL. */
bool gm_router_choose(const gm_router *router, const float *logits, const gm_router_edit *edit,
                      float *scratch, gm_choice *out);

#endif
