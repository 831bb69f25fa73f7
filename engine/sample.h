/* sample.h - choosing the next token from logits.
 *
 * Order of the steps (as Hugging Face's generate): repetition penalty, temperature,
 * top-k, top-p, draw. Everywhere a token is stronger than another when its logit is
 * larger, or equal and its id lower.
 */
#ifndef GM_SAMPLE_H
#define GM_SAMPLE_H

#include "engine/engine.h"

/* GM_EARG unless temperature >= 0, top_k >= 0, 0 < top_p <= 1, repetition_penalty > 0,
 * all finite. */
gm_status gm_sampling_check(const gm_sampling *sampling, gm_error *err) GM_MUST_USE;

/* For tokens with `seen` (V) 1: divide a positive logit by the penalty, multiply any other. */
void gm_sample_penalise(float *logits, const uint8_t *seen, size_t vocab, double penalty);

/* The token after `position` tokens. Greedy at temperature 0; otherwise the draw is a
 * function of (seed, stream, position). Candidates are the top_k strongest, and of these
 * the strongest until their renormalised probabilities reach top_p. GM_NO_TARGET when all
 * logits are NaN or -inf.
 *
 *   logits  (V)  borrowed
 *   order   (V)  scratch
 *   weight  (V)  scratch */
uint32_t gm_sample_token(const float *logits, size_t vocab, const gm_sampling *sampling,
                         uint64_t position, uint32_t *order, float *weight);

/* GM_EARG where none could be sampled for one of n segments, so that there is nothing to feed. */
gm_status gm_sampled_check(const uint32_t *sampled, size_t n, gm_error *err) GM_MUST_USE;

#endif
