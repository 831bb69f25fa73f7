/* likelihood.h - log-probabilities of the tokens of finished texts, and the likeliest tokens in
 * their places: the texts are fed again under the plans that they were written under.
 */
#ifndef GM_LIKELIHOOD_H
#define GM_LIKELIHOOD_H

#include "steer/continuation.h"

/* Of tokens first ... first+n-1 of a text: its prompt's, after the template's, then the generated
 * ones. Nats; the text's first token has no predecessor: NaN, and no likeliest tokens. */
typedef struct gm_likelihood {
    size_t first, n;
    float *log_p;     /* (n) */
    uint32_t *top;    /* (n,most) likeliest tokens, ties to the lower id */
    float *top_log_p; /* (n,most) */
    size_t most;      /* at most the vocabulary's size */
} gm_likelihood;

/* Read every text of `list` (n), each under its own `edit` among options->edits: all of it, or
 * (generated) what was generated. out (n) is written; on failure all of it is empty. Errors:
 * GM_EINTERRUPTED, GM_EMEM, those of the engine. */
gm_status gm_likelihood_all(gm_likelihood *out, const gm_continuation *list, size_t n,
                            bool generated, size_t most, const gm_model *model,
                            const gm_continue_options *options, gm_error *err) GM_MUST_USE;
void gm_likelihood_clear(gm_likelihood *likelihood);

#endif
