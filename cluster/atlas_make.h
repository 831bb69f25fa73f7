/* atlas_make.h - an atlas out of an analysis, documents back in the order of the trace. */
#ifndef GM_ATLAS_MAKE_H
#define GM_ATLAS_MAKE_H

#include "base/arena.h"
#include "cluster/analysis.h"
#include "formats/atlas.h"

/* Fill *atlas. Its arrays live in `arena`, its texts in `arena`, the trace and the analysis:
 * all three must outlive it. trace_path and command are borrowed. Errors: GM_EMEM. */
gm_status gm_atlas_make(gm_atlas *atlas, gm_arena *arena, const gm_analysis *analysis,
                        const gm_trace *trace, const char *trace_path,
                        const gm_fit_options *options, const char *command, gm_error *err)
    GM_MUST_USE;

#endif
