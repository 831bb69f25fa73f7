/* same_run.h - private to probe: was an existing output of gm-probe collect made by
 * this run, on which device, and if not, what differs.
 */
#ifndef GM_PROBE_SAME_RUN_H
#define GM_PROBE_SAME_RUN_H

#include "probe/run.h"

/* The device of a resumed run, so that it ends as if it had never been stopped: the user's choice,
 * or if left open, the one that the output or its first shard was made on, "cpu" or "cuda" (*by is
 * that file's name, to be cleared). A file that cannot be read is reported later. GM_EMEM. */
gm_status gm_run_device(const gm_run *run, const char **device, gm_text *by, gm_error *err)
    GM_MUST_USE;

/* GM_OK if `has`, read from `path`, is of this run. GM_EEXIST names what differs and ends with
 * `remedy`: "give --force to start over". */
gm_status gm_run_same(const gm_run *run, const gm_trace_info *has, const char *path,
                      const char *remedy, gm_error *err) GM_MUST_USE;

#endif
