/* response_likelihood.h - the server's JSON: log-probabilities in the two shapes of OpenAI's API.
 *
 *   completions   lists beside each other: "tokens", "token_logprobs", "top_logprobs", whose places
 *                 are objects, spelling to number
 *   chats         "content", an object for each token: "token", "logprob", "bytes", "top_logprobs"
 *
 * Both have a member of our own, "token_ids". A token whose bytes are no whole characters, or hold
 * a NUL, is spelt "bytes:\xe2\x80". There is no text_offset.
 */
#ifndef GM_RESPONSE_LIKELIHOOD_H
#define GM_RESPONSE_LIKELIHOOD_H

#include "base/json.h"
#include "steer/serve/likelihood.h"

/* Append the member "logprobs" to an open object: of the tokens of `c`. GM_EMEM. */
gm_status gm_response_likelihood(gm_json_out *json, bool chat, const gm_likelihood *likelihood,
                                 const gm_continuation *c, const gm_tokenizer *tokenizer,
                                 gm_error *err) GM_MUST_USE;

#endif
