/* record.h - a trace of a steered run, so that the dose achieved is known. */
#ifndef GM_STEER_RECORD_H
#define GM_STEER_RECORD_H

#include "steer/setup.h"

typedef struct gm_recorder gm_recorder;

/* Room for every row that list[0..n) can have; the list is borrowed. GM_EMEM. */
gm_status gm_recorder_create(gm_recorder **out, const gm_setup *setup, const gm_continuation *list,
                             size_t n, gm_error *err) GM_MUST_USE;
void gm_recorder_free(gm_recorder *recorder);

/* A gm_on_rows whose context is the recorder. */
gm_status gm_recorder_on_rows(void *context, const gm_segment *segments,
                              gm_continuation *const *owner, size_t n_segments,
                              const gm_record *record, size_t n_rows, gm_error *err);

/* Write what was seen: a document a continuation, its prompt and what was generated
 * (the last token was never fed, so it has no row). `command` is the command line. Errors
 * of gm_trace_write. */
gm_status gm_recorder_write(gm_recorder *recorder, const char *path, const gm_prompts *prompts,
                            const gm_plan *plan, const char *command, bool replace, gm_error *err)
    GM_MUST_USE;

#endif
