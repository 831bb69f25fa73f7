/* jobs.h - a queue of requests from the threads of connections to the one thread that computes, and
 * of the responses back.
 *
 * A job is held by two references, each released once: the connection's, which reads the output
 * (gm_job_release), and the worker's, which writes it (gm_job_end). Jobs are done first in, first
 * out.
 */
#ifndef GM_JOBS_H
#define GM_JOBS_H

#include "steer/serve/request.h"

typedef struct gm_jobs gm_jobs;
typedef struct gm_job gm_job;

gm_status gm_jobs_create(gm_jobs **out, gm_error *err) GM_MUST_USE;
/* When every job was released. */
void gm_jobs_free(gm_jobs *jobs);

/* ---- the connection's side ---- */

/* Queue a request; it is taken and empty afterwards, also on failure. GM_EMEM; GM_EBUSY when the
 * queue is closed or full. */
gm_status gm_jobs_post(gm_jobs *jobs, gm_request *request, gm_job **out, gm_error *err) GM_MUST_USE;

/* Is the client still connected? Called a few times a second while its job is waited for; if not,
 * the job is cancelled. */
typedef bool gm_is_connected(void *context);

/* Wait for output or the end of the job; returns the HTTP status, 0 when the client has
 * disconnected. */
int gm_job_wait(gm_job *job, gm_is_connected *is_connected, void *context);
/* Wait for unread output, at most `seconds`: true when none came; false, too, when the job has
 * ended or the client has disconnected. */
bool gm_job_is_idle(gm_job *job, double seconds, gm_is_connected *is_connected, void *context);
/* Wait for unread output, and read up to `most` bytes of it; 0 at the end. */
size_t gm_job_read(gm_job *job, char *buffer, size_t most, gm_is_connected *is_connected,
                   void *context);
/* Release the connection's reference; a job that has not ended is cancelled. */
void gm_job_release(gm_job *job);

/* ---- the worker's side ---- */

/* The next request, or NULL when none came within a fifth of a second. */
gm_job *gm_jobs_take(gm_jobs *jobs);
const gm_request *gm_job_request(const gm_job *job);
uint64_t gm_job_number(const gm_job *job); /* from 1 */
bool gm_job_is_cancelled(gm_job *job);
/* Append bytes (n) to the output; `code` is its HTTP status if they are the first. GM_EMEM. */
gm_status gm_job_write(gm_job *job, int code, const char *bytes, size_t n, gm_error *err)
    GM_MUST_USE;
bool gm_job_has_written(gm_job *job);
/* No more output; releases the worker's reference. */
void gm_job_end(gm_job *job);
/* Close the queue to new requests, and pop one that waits; NULL: none is left. */
gm_job *gm_jobs_close(gm_jobs *jobs);

#endif
