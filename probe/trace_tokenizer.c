/* trace_tokenizer.c - see trace_tokenizer.h. */
#include "probe/trace_tokenizer.h"

#include <string.h>

gm_status gm_trace_tokenizer_open(gm_tokenizer **out, const gm_trace *trace, const char *model,
                                  gm_error *err)
{
    *out = NULL;
    if (model == NULL) return GM_OK;
    gm_status status = gm_tokenizer_open(out, model, err);
    if (status != GM_OK) return status;
    const char *digest = gm_trace_get_info(trace)->tokenizer_digest; /* "": not known */
    if (digest[0] == '\0' || strcmp(gm_tokenizer_digest(*out), digest) == 0) return GM_OK;
    gm_tokenizer_close(*out);
    *out = NULL;
    return gm_fail(err, GM_EARG,
                   "the tokenizer of '%s' is not the one that the trace was made with", model);
}
