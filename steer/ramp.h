/* ramp.h - what schedules need of a session: beside each edit its parts, k / N of the bias,
 * and which of them acts on the row of a generated token.
 */
#ifndef GM_RAMP_H
#define GM_RAMP_H

#include "engine/engine.h"
#include "formats/schedule.h"

typedef struct gm_ramp {
    size_t n;              /* edits */
    gm_schedule *schedule; /* (n) */
    size_t *part;          /* (n) session's index of the first part of each, 1 / N; none
                            * where the schedule is constant */
} gm_ramp;

/* Give the session `n` edits, edit i under schedule[i], and their parts after them. `schedule`
 * may be NULL: all constant. What was set before is forgotten. Errors: those of
 * gm_session_set_edits; GM_EMEM. *out is empty then. */
gm_status gm_ramp_set(gm_ramp *out, gm_session *session, const gm_model_info *info,
                      const gm_edit *edits, const gm_schedule *schedule, size_t n, gm_error *err)
    GM_MUST_USE;
void gm_ramp_clear(gm_ramp *ramp);

/* The session's edit for the row of generated token i under `edit` (-1: none); -1: none. Rows
 * of the prompt take `edit` itself. */
int gm_ramp_at(const gm_ramp *ramp, int edit, size_t i);
/* The same for row t of a text whose first n_prompt rows are its prompt's. */
int gm_ramp_at_row(const gm_ramp *ramp, int edit, size_t n_prompt, size_t t);

#endif
