/* stats_outputs.h - private to probe: how much what an expert puts out matters, not only how often
 * it is chosen: sums over the norms that `collect --record norms` keeps.
 *
 * Sizes:   L layers, E experts, K per token.
 * Sources: EAN, the sum of the norms of an expert's outputs over the tokens that chose it: Jaiswal
 *          et al. 2025, arXiv:2504.05586. REAP, the mean over these tokens of gate times norm:
 *          Lasby et al. 2025, arXiv:2510.13999.
 *
 * Gates are those of the trace, before the routed scale, which is the same for all experts. Scores
 * are to be compared within a layer: norms grow with the residual stream.
 */
#ifndef GM_STATS_OUTPUTS_H
#define GM_STATS_OUTPUTS_H

#include "formats/trace.h"

typedef struct gm_output_sum {
    uint64_t n;             /* choices */
    double norms, weighted; /* sums of norms; of gates times norms */
    double largest;         /* norm */
} gm_output_sum;

/* Of all (L,E); `sum` NULL: the trace has no norms. */
typedef struct gm_outputs {
    size_t L, E;
    gm_output_sum *sum;
} gm_outputs;

/* One pass over /routing; template tokens and bad rows left out. Tokens are added in their order,
 * layers shared out over threads, so the sums depend on neither. GM_EFORMAT: an expert that there
 * is not; GM_EMEM, GM_EINTERRUPTED, errors of reading. */
gm_status gm_outputs_count(gm_outputs *outputs, gm_trace *trace, gm_error *err) GM_MUST_USE;
void gm_outputs_clear(gm_outputs *outputs);

/* EAN; REAP, NaN of an expert that was never chosen. */
double gm_outputs_ean(const gm_outputs *outputs, size_t l, size_t e);
double gm_outputs_reap(const gm_outputs *outputs, size_t l, size_t e);

/* The mean of REAP over the layer's experts that were chosen; NaN: none was. */
double gm_outputs_mean_reap(const gm_outputs *outputs, size_t l);

/* REAP over this mean: of which scores of several layers can be compared. */
double gm_outputs_relative_reap(const gm_outputs *outputs, size_t l, size_t e);

/* Expert e's share of the layer's EAN, and of its choices; NaN: no choices. */
double gm_outputs_ean_share(const gm_outputs *outputs, size_t l, size_t e);
double gm_outputs_choice_share(const gm_outputs *outputs, size_t l, size_t e);

#endif
