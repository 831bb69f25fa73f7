/* atlas_selection.h - which layers and documents of its trace an atlas is of (gm_trace_selection).
 * The atlas knows it by its layers, its subsets and its parameters.
 */
#ifndef GM_ATLAS_SELECTION_H
#define GM_ATLAS_SELECTION_H

#include "base/json.h"
#include "cluster/analysis.h"
#include "formats/atlas.h"

/* Select from the atlas's trace what the atlas is of. Errors: those of gm_trace_select;
 * GM_EFORMAT for parameters out of range. */
gm_status gm_atlas_selection_apply(gm_trace *trace, const gm_atlas *atlas, gm_error *err)
    GM_MUST_USE;

/* The members of /parameters that name the selection (formats/atlas.h); none of a whole trace. */
gm_status gm_atlas_selection_put(gm_json_out *out, const gm_trace *trace,
                                 const gm_fit_options *options, gm_error *err) GM_MUST_USE;

/* Append a sentence that describes the selection; nothing for a whole trace. Errors as above. */
gm_status gm_atlas_selection_describe(gm_text *out, const gm_atlas *atlas, gm_error *err)
    GM_MUST_USE;

/* What the options of an analysis keep of it. Errors as above. */
gm_status gm_atlas_selection_options(gm_fit_options *out, const gm_json *parameters, gm_error *err)
    GM_MUST_USE;

#endif
