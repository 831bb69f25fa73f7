/* trace_tokenizer.h - private to probe: the tokenizer that spells the tokens of a trace. */
#ifndef GM_TRACE_TOKENIZER_H
#define GM_TRACE_TOKENIZER_H

#include "engine/tokenizer/tokenizer.h"
#include "formats/trace.h"

/* That of the model folder `model`, which must be the one of the trace; *out is NULL when `model`
 * is. GM_EARG for another, errors of gm_tokenizer_open. */
gm_status gm_trace_tokenizer_open(gm_tokenizer **out, const gm_trace *trace, const char *model,
                                  gm_error *err) GM_MUST_USE;

#endif
