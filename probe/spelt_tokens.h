/* spelt_tokens.h - private to probe: running tokens on an HTML page, a <span> each.
 *
 * A character whose bytes are of several tokens is in the first of these; a token that has
 * nothing left is an empty span of class "more". Line ends and tabs show a mark besides. Without a
 * tokenizer, and where a token has no spelling, its id is given. Template tokens have the class
 * "template"; where the prompt ends and what was generated begins, or the other way round, an
 * element "em" says so.
 */
#ifndef GM_SPELT_TOKENS_H
#define GM_SPELT_TOKENS_H

#include "engine/tokenizer/tokenizer.h"
#include "figures/html.h"

/* token, phase (n). hit: the token of class "hit", or -1. GM_EMEM; GM_EARG for an id that the
 * tokenizer cannot have. */
gm_status gm_spelt_tokens_put(gm_html *page, const gm_tokenizer *tokenizer, const uint32_t *token,
                              const uint8_t *phase, size_t n, int64_t hit, gm_error *err)
    GM_MUST_USE;

/* Append how one token is spelt, on a line, what is no text escaped: " a", "\xd1", "\n". Nothing
 * without a tokenizer, or for an id without a spelling. GM_EMEM, GM_EARG. */
gm_status gm_spelt_token(gm_text *out, const gm_tokenizer *tokenizer, uint32_t token, gm_error *err)
    GM_MUST_USE;

#endif
