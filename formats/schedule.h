/* schedule.h - how strongly a plan steers each generated token: a factor on the bias of the row of
 * generated token i = 0, 1, ..., the row that chooses token i + 1. Rows of the prompt are steered
 * as the plan's phases say.
 *
 *   constant   1
 *   first:N    1 for i < N, then 0
 *   rise:N     (i + 1) / N, then 1
 *   fade:N     1 - i / N, then 0
 */
#ifndef GM_SCHEDULE_H
#define GM_SCHEDULE_H

#include "base/base.h"

typedef enum gm_schedule_kind {
    GM_SCHEDULE_CONSTANT,
    GM_SCHEDULE_FIRST,
    GM_SCHEDULE_RISE,
    GM_SCHEDULE_FADE
} gm_schedule_kind;

#define GM_SCHEDULES "constant|first:N|rise:N|fade:N"
enum { GM_SCHEDULE_MAX = 1024 }; /* the largest N */

typedef struct gm_schedule {
    gm_schedule_kind kind;
    int n; /* N, 1 to GM_SCHEDULE_MAX; 0 when constant */
} gm_schedule;

/* False when the text is none of GM_SCHEDULES. */
bool gm_schedule_parse(gm_schedule *out, const char *text) GM_MUST_USE;

/* As it is written, in `text`. */
const char *gm_schedule_show(char text[24], gm_schedule schedule);

/* Does it use values between 0 and 1? */
bool gm_schedule_is_ramp(gm_schedule schedule);

/* The share of the bias at generated token i, as k of k / gm_schedule_parts. */
int gm_schedule_at(gm_schedule schedule, size_t i);
int gm_schedule_parts(gm_schedule schedule); /* N of a ramp, otherwise 1 */

#endif
