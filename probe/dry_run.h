/* dry_run.h - what a run would take, without doing it. */
#ifndef GM_PROBE_DRY_RUN_H
#define GM_PROBE_DRY_RUN_H

#include "probe/blocks.h"
#include "probe/runner.h"

/* Bytes of a token's row and of a document in a trace, before compression and without
 * the text. */
double gm_trace_row_bytes(const gm_trace_info *info);
double gm_trace_document_bytes(const gm_trace_info *info);

/* Read the whole corpus, run a few documents of it, and print on stdout (json: as one
 * object) documents, tokens, blocks, file size before compression, memory, speed, time. */
gm_status gm_dry_run(gm_blocks *blocks, const gm_model *model, const gm_runner_options *options,
                     const gm_trace_info *info, bool json, gm_error *err) GM_MUST_USE;

#endif
