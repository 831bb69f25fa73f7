/* jobs.h - requests on their way from the threads of connections to the one thread that computes,
 * and answers on their way back.
 *
 * A job has two owners, who each let go of it once: the connection, which reads what is said, and
 * the worker, which says it. Requests are answered one after the other, in the order in which they
 * came.
 */
#ifndef GM_JOBS_H
#define GM_JOBS_H

#include "steer/serve/ask.h"

typedef struct gm_jobs gm_jobs;
typedef struct gm_job gm_job;

gm_status gm_jobs_create(gm_jobs **out, gm_error *err) GM_MUST_USE;
/* No job is left: every connection has let go of its own. */
void gm_jobs_free(gm_jobs *jobs);

/* ---- the connection's side ---- */

/* Hand a request over; `ask` is taken and empty afterwards, also on failure. GM_EMEM; GM_EBUSY when
 * the server is being stopped or has too many waiting. */
gm_status gm_jobs_post(gm_jobs *jobs, gm_ask *ask, gm_job **out, gm_error *err) GM_MUST_USE;

/* Is somebody still there to be answered? Asked a few times a second. */
typedef bool gm_still_there(void *context);

/* Wait until something was said or the job has ended; returns the HTTP code of what was said, 0
 * when nobody is there any more. */
int gm_job_wait(gm_job *job, gm_still_there *there, void *context);
/* Wait for more, but no longer than `seconds`: did none come? (Not when the job has ended, or when
 * nobody is there any more.) */
bool gm_job_rests(gm_job *job, double seconds, gm_still_there *there, void *context);
/* Wait for more, and take up to `most` bytes of it; 0: that was all. */
size_t gm_job_read(gm_job *job, char *buffer, size_t most, gm_still_there *there, void *context);
/* What is left unread is no longer wanted. */
void gm_job_release(gm_job *job);

/* ---- the worker's side ---- */

/* The next request, or NULL when none came within a fifth of a second. */
gm_job *gm_jobs_take(gm_jobs *jobs);
const gm_ask *gm_job_ask(const gm_job *job);
uint64_t gm_job_number(const gm_job *job); /* from 1 */
bool gm_job_wanted(gm_job *job);
/* Say bytes (n), under `code`, which counts when they are the first. GM_EMEM. */
gm_status gm_job_say(gm_job *job, int code, const char *bytes, size_t n, gm_error *err) GM_MUST_USE;
bool gm_job_has_said(gm_job *job);
/* That was all; the worker lets go of the job. */
void gm_job_end(gm_job *job);
/* Take no more requests, and give back those that wait, one a call; NULL: none is left. */
gm_job *gm_jobs_close(gm_jobs *jobs);

#endif
