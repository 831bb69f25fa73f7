/* export_arrays.h - the arrays of a trace, one at a time, as NumPy files.
 *
 * Sizes: N documents and T of their rows, L layers, E experts, K chosen.
 */
#ifndef GM_EXPORT_ARRAYS_H
#define GM_EXPORT_ARRAYS_H

#include "formats/trace.h"

#include <stdio.h>

/* Consecutive documents and the rows that are theirs. */
typedef struct gm_export_range {
    size_t first, n;          /* documents */
    uint64_t token, n_tokens; /* rows; 0, 0 when only counts were recorded */
} gm_export_range;

/* Names of the arrays as the options table of base/cli.h wants them: "counts|expert_id|...". */
#define GM_EXPORT_ARRAYS                                                                       \
    "counts|offset|expert_id|gate|output_norm|topk_mass|margin|token_id|pos|phase|nll|logits|" \
    "logits_token"

/* Write array number `which` of that list, of the documents in `range`, to `to` as .npy. Offsets
 * and token numbers count from the range's first row. GM_EABSENT when the trace lacks it; GM_EIO,
 * GM_EFORMAT, GM_EMEM. A failed write shows when the stream is committed. */
gm_status gm_export_array(FILE *to, gm_trace *trace, int which, const gm_export_range *range,
                          gm_error *err) GM_MUST_USE;

#endif
