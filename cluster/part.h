/* part.h - the part of a trace that a map is of: some of its layers, the documents of some subsets
 * or of some length. An atlas knows it by its layers, its subsets and its parameters.
 */
#ifndef GM_PART_H
#define GM_PART_H

#include "base/json.h"
#include "cluster/analysis.h"
#include "formats/atlas.h"

/* Narrow the atlas's trace to the part that the atlas is of. Errors: those of gm_trace_narrow;
 * GM_EFORMAT for parameters out of range. */
gm_status gm_part_take(gm_trace *trace, const gm_atlas *atlas, gm_error *err) GM_MUST_USE;

/* The members of /parameters that name the part (formats/atlas.h); none of a whole trace. */
gm_status gm_part_put(gm_json_out *out, const gm_trace *trace, const gm_fit_options *options,
                      gm_error *err) GM_MUST_USE;

/* Append a sentence that says which part; nothing where it is all of the trace. Errors as above. */
gm_status gm_part_say(gm_text *out, const gm_atlas *atlas, gm_error *err) GM_MUST_USE;

/* What options keep of a part. Errors as above. */
gm_status gm_part_options(gm_fit_options *out, const gm_json *parameters, gm_error *err)
    GM_MUST_USE;

#endif
