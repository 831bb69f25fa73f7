/* run.h - private to probe: one run of gm-probe collect.
 *
 * run_open.c opens what it needs, run_plan.c its plan; collect.c computes it; run_output.c checks
 * an existing output at the start, and makes the one file when all blocks are there. gm-probe
 * ablate opens a run as well, and reads its documents several times.
 */
#ifndef GM_PROBE_RUN_H
#define GM_PROBE_RUN_H

#include "base/json.h"
#include "base/progress.h"
#include "formats/plan.h"
#include "formats/shards.h"
#include "probe/blocks.h"
#include "probe/collect_options.h"
#include "probe/runner.h"

typedef struct gm_run {
    gm_collect_options o;
    gm_model *model;
    gm_tokenizer *tokenizer;
    gm_plan plan; /* bias NULL: none */
    gm_edit edit; /* that plan's, borrows it */
    char plan_digest[65];
    gm_blocks_options blocks_options;
    gm_runner_options runner_options;
    gm_blocks *blocks;
    gm_runner *runner;
    gm_trace_info info;
    gm_shard_lock lock;
    gm_text folder;                           /* OUT.parts */
    gm_text command, options, fingerprint_of; /* options and fingerprint_of: JSON */
    gm_json_out provenance;
    char fingerprint[65];
    gm_progress progress;
    uint64_t n_tokens, n_kept_tokens; /* run now; found in shards */
    uint64_t n_lost;                  /* rows computed in vain by a run that was stopped */
    bool started;                     /* computing has begun */
    bool merged;                      /* the output is complete, its shards not yet removed */
    uint64_t number;                  /* of the block that is computed */
    /* Share of the corpus before the first block computed here, and before and after the current
     * one; its rows. */
    double share_first, share_before, share_after;
    size_t block_rows;
    double seconds;
} gm_run;

/* Open tokenizer, plan, model and corpus as run->o says, and fill in blocks_options and
 * runner_options. GM_EARG, GM_EFORMAT, errors of gm_model_open and gm_blocks_create. What is open
 * is closed by the close. */
gm_status gm_run_open(gm_run *run, gm_error *err) GM_MUST_USE;
void gm_run_close(gm_run *run);

/* Read the plan that the run is under: it must be for this model, and act on texts. GM_EARG, errors
 * of gm_plan_read. */
gm_status gm_run_open_plan(gm_run *run, const gm_model_info *model, gm_error *err) GM_MUST_USE;

/* Look at OUT and OUT.parts and lock the folder. *done: the run is finished and nothing is
 * left to do; run->merged: all but the last step is. GM_EEXIST where something is in the
 * way: an output without --resume, another run's shards or output; GM_EBUSY: another process. */
gm_status gm_run_look_at_output(gm_run *run, bool *done, gm_error *err) GM_MUST_USE;

/* Merge the shards into OUT, unless run->merged; check it, drop the shards and print what
 * there is. GM_ECHECK when a check fails. */
gm_status gm_run_conclude(gm_run *run, gm_error *err) GM_MUST_USE;

#endif
