/* measure.h - what is computed for a cell: its texts and its cost.
 *
 * Several cells go through the model in the same steps, each under its own plan. What a
 * cell gets does not depend on the others, on threads or on batches (engine.h).
 */
#ifndef GM_MEASURE_H
#define GM_MEASURE_H

#include "steer/sweep/study.h"

/* Continue the cells' prompts and judge the texts: text, log_p, usage are filled. plan (n)
 * is that of each cell. Draws depend on (seed, prompt, continuation) alone, so that every
 * arm has the same. Errors: those of gm_continue; GM_EMEM. */
gm_status gm_measure_texts(const gm_study *study, gm_cell *const *cell, const gm_plan *plan,
                           size_t n, gm_error *err) GM_MUST_USE;

/* Read the fixed texts with and without each plan: cost is filled. The cells are of one
 * topic. Tokens count as generated ones, so that a plan for generated text acts; as the
 * prompt's where the plans act on prompts alone, which is the cost of what they do there. A
 * schedule counts from a text's first token. */
gm_status gm_measure_cost(const gm_study *study, gm_cell *const *cell, const gm_plan *plan,
                          size_t n, gm_error *err) GM_MUST_USE;

/* *share: of the n-grams of ids (n), those that occurred before; NaN when there are none.
 * GM_EMEM. */
gm_status gm_repeated_share(double *share, const uint32_t *ids, size_t n, size_t gram,
                            gm_error *err) GM_MUST_USE;

#endif
