/* sweep_run.h - measuring a study: what is not done yet, in groups of cells, each kept when it
 * is complete.
 */
#ifndef GM_SWEEP_RUN_H
#define GM_SWEEP_RUN_H

#include "steer/sweep/study.h"

/* Measure all cells: choose on half 0, then judge on half 1. Cells found in `from`, a folder of
 * parts or a whole result, are taken over; new ones are kept in `folder`. Either may be NULL.
 * Errors: GM_EINTERRUPTED (what is complete was kept); those of the parts. */
gm_status gm_study_run(gm_study *study, const char *from, const char *folder, bool quiet,
                       gm_error *err) GM_MUST_USE;

/* How long the whole study would take here, from one group of cells with one text a prompt and
 * few fixed texts, which are measured for it and forgotten. Errors: those of measuring. */
gm_status gm_study_time(double *seconds, gm_study *study, gm_error *err) GM_MUST_USE;

#endif
