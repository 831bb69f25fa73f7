/* dry_run.h - what a run would take, without doing it. */
#ifndef GM_PROBE_DRY_RUN_H
#define GM_PROBE_DRY_RUN_H

#include "probe/blocks.h"
#include "probe/runner.h"

/* Read the whole corpus, run a few documents of it, and print one JSON object on stdout:
 * documents, tokens, blocks, file size before compression, memory, speed, time. */
gm_status gm_dry_run(gm_blocks *blocks, const gm_model *model, const gm_runner_options *options,
                     const gm_trace_info *info, gm_error *err) GM_MUST_USE;

#endif
