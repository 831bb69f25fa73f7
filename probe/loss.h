/* loss.h - private to probe: what the same texts cost the model in two runs, with and without a
 * plan, an expert, a precision: mean -ln p of their tokens, by subset, and how much it changed.
 *
 * A token of the text counts where both runs have its -ln p. A mean is over tokens; the interval of
 * the change holds documents, not tokens, for independent: with d_i a document's summed change over
 * its n_i tokens and D = sum d_i / sum n_i, its variance is that of a ratio (Cochran 1977, Sampling
 * Techniques, 6.4): N / (N - 1) sum (d_i - D n_i)^2 / (sum n_i)^2, the quantile Student's with
 * N - 1 degrees of freedom, as is p.
 */
#ifndef GM_LOSS_H
#define GM_LOSS_H

#include "base/json.h"
#include "formats/trace.h"

/* Of one document: tokens that both runs have, their -ln p summed in the first and the second. */
typedef struct gm_document_loss {
    uint64_t n;
    double a, b;
} gm_document_loss;

/* Add one token; where either is not finite it does not count. */
void gm_loss_add(gm_document_loss *loss, float a, float b);

typedef struct gm_loss {
    uint64_t documents, tokens; /* documents with a token that counts */
    double a, b;                /* nats a token; NaN without tokens */
    double change, low, high;   /* b - a, and 95 % over documents; NaN of fewer than two */
    double p;                   /* that the change is 0, two-sided, likewise over documents */
} gm_loss;

/* Of the documents of a subset, an index into samples->subset_name, -1: of all. `loss` (N). */
gm_loss gm_loss_of(const gm_document_loss *loss, const gm_trace_samples *samples, int64_t subset);

/* The member "loss" of the open object (null without losses); a table on stdout. */
void gm_loss_put(const gm_document_loss *loss, const gm_trace_samples *samples, gm_json_out *out);
void gm_loss_print(const gm_document_loss *loss, const gm_trace_samples *samples);

#endif
