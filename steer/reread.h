/* reread.h - how likely each token of a finished text is, without a plan and under it: the
 * text's tokens are fed again (teacher forcing), under the plan as it acted, or would have
 * acted, when the text was generated - phases, layers and schedule included.
 */
#ifndef GM_REREAD_H
#define GM_REREAD_H

#include "steer/continuation.h"

/* T tokens: the prompt's, after the template's, then the generated ones. */
typedef struct gm_reread {
    size_t n, n_prompt;     /* T, of which the prompt's */
    float *plain, *steered; /* (T) ln p of each token given those before it, nats; NaN for the
                               first, and where the model's logits are not finite */
} gm_reread;

/* Read text i of `list` (n) under edit[i] of options->edits; what the text itself was
 * generated under does not matter. out (n) is written; on failure all of it is empty.
 * Costs two passes over each text. Errors: GM_EINTERRUPTED, GM_EMEM, those of the engine. */
gm_status gm_reread_all(gm_reread *out, const gm_continuation *list, const int *edit, size_t n,
                        const gm_model *model, const gm_continue_options *options, gm_error *err)
    GM_MUST_USE;
void gm_reread_clear(gm_reread *reread);

#endif
