/* jobs.c - see jobs.h. One lock and one condition variable for everything: requests are few. */
#include "steer/serve/jobs.h"

#include "base/progress.h"

#include <math.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

enum { MAX_WAITING = 64 };

struct gm_job {
    gm_jobs *jobs;
    gm_job *next; /* in the queue */
    gm_request request;
    uint64_t number;
    int references; /* 2, then 1; at 0 it is freed */
    int code;       /* HTTP status of the output; 0: none yet */
    bool ended, cancelled;
    gm_text output; /* of which the first `read` bytes were read */
    size_t read;
};

struct gm_jobs {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    gm_job *first, *last; /* of the queue */
    size_t n_waiting;
    uint64_t n_posted;
    bool closed;
};

gm_status gm_jobs_create(gm_jobs **out, gm_error *err)
{
    pthread_condattr_t monotonic;
    gm_jobs *jobs = gm_alloc(1, sizeof *jobs);
    *out = jobs;
    if (jobs == NULL) return gm_fail(err, GM_EMEM, "no memory for requests");
    pthread_mutex_init(&jobs->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC); /* the day's clock may be set back */
    pthread_cond_init(&jobs->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return GM_OK;
}

void gm_jobs_free(gm_jobs *jobs)
{
    if (jobs == NULL) return;
    pthread_cond_destroy(&jobs->changed);
    pthread_mutex_destroy(&jobs->lock);
    gm_free(jobs);
}

/* Wait for a change, for a fifth of a second at most. */
static void wait_for_change(gm_jobs *jobs)
{
    enum { SECOND_NS = 1000000000, WAIT_NS = 200000000 };
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += WAIT_NS;
    until.tv_sec += until.tv_nsec / SECOND_NS;
    until.tv_nsec %= SECOND_NS;
    pthread_cond_timedwait(&jobs->changed, &jobs->lock, &until);
}

static void release_reference(gm_job *job)
{
    gm_jobs *jobs = job->jobs;
    pthread_mutex_lock(&jobs->lock);
    const bool last = --job->references == 0;
    pthread_cond_broadcast(&jobs->changed);
    pthread_mutex_unlock(&jobs->lock);
    if (!last) return;
    gm_request_clear(&job->request);
    gm_text_clear(&job->output);
    gm_free(job);
}

/* ---- the connection's side ---- */

gm_status gm_jobs_post(gm_jobs *jobs, gm_request *request, gm_job **out, gm_error *err)
{
    gm_status status = GM_OK;
    gm_job *job = gm_alloc(1, sizeof *job);
    *out = NULL;
    if (job == NULL) {
        gm_request_clear(request);
        return gm_fail(err, GM_EMEM, "no memory for a request");
    }
    *job = (gm_job){.jobs = jobs, .request = *request, .references = 2};
    *request = (gm_request){0};
    pthread_mutex_lock(&jobs->lock);
    if (jobs->closed)
        status = gm_fail(err, GM_EBUSY, "the server is shutting down");
    else if (jobs->n_waiting == MAX_WAITING)
        status =
            gm_fail(err, GM_EBUSY, "%d requests are already waiting; try again later", MAX_WAITING);
    if (status == GM_OK) {
        job->number = ++jobs->n_posted;
        *(jobs->last ? &jobs->last->next : &jobs->first) = job;
        jobs->last = job;
        jobs->n_waiting++;
        pthread_cond_broadcast(&jobs->changed);
    }
    pthread_mutex_unlock(&jobs->lock);
    if (status == GM_OK) {
        *out = job;
        return GM_OK;
    }
    gm_request_clear(&job->request);
    gm_free(job);
    return status;
}

static bool has_more(const gm_job *job)
{
    return job->read < job->output.n || job->ended;
}

/* With the lock held: wait for output, the end of the job, or `seconds`. False, and the job is
 * cancelled, once the client has disconnected. */
static bool wait_for_more(gm_job *job, double seconds, gm_is_connected *is_connected, void *context)
{
    const double until = gm_now() + seconds;
    while (!has_more(job) && gm_now() < until) {
        wait_for_change(job->jobs);
        if (!has_more(job) && !is_connected(context)) {
            job->cancelled = true;
            return false;
        }
    }
    return true;
}

int gm_job_wait(gm_job *job, gm_is_connected *is_connected, void *context)
{
    pthread_mutex_lock(&job->jobs->lock);
    const int code = wait_for_more(job, INFINITY, is_connected, context) ? job->code : 0;
    pthread_mutex_unlock(&job->jobs->lock);
    return code;
}

bool gm_job_is_idle(gm_job *job, double seconds, gm_is_connected *is_connected, void *context)
{
    pthread_mutex_lock(&job->jobs->lock);
    const bool idle = wait_for_more(job, seconds, is_connected, context) && !has_more(job);
    pthread_mutex_unlock(&job->jobs->lock);
    return idle;
}

size_t gm_job_read(gm_job *job, char *buffer, size_t most, gm_is_connected *is_connected,
                   void *context)
{
    size_t n = 0;
    pthread_mutex_lock(&job->jobs->lock);
    if (wait_for_more(job, INFINITY, is_connected, context)) {
        n = job->output.n - job->read < most ? job->output.n - job->read : most;
        if (n > 0) memcpy(buffer, job->output.at + job->read, n);
        job->read += n;
        if (job->read == job->output.n)
            job->read = job->output.n = 0; /* keep a long stream's buffer small */
    }
    pthread_mutex_unlock(&job->jobs->lock);
    return n;
}

void gm_job_release(gm_job *job)
{
    pthread_mutex_lock(&job->jobs->lock);
    job->cancelled = true;
    pthread_mutex_unlock(&job->jobs->lock);
    release_reference(job);
}

/* ---- the worker's side ---- */

/* With the lock held. */
static gm_job *pop(gm_jobs *jobs)
{
    gm_job *job = jobs->first;
    if (job == NULL) return NULL;
    jobs->first = job->next;
    if (jobs->first == NULL) jobs->last = NULL;
    jobs->n_waiting--;
    return job;
}

gm_job *gm_jobs_take(gm_jobs *jobs)
{
    pthread_mutex_lock(&jobs->lock);
    if (jobs->first == NULL) wait_for_change(jobs);
    gm_job *job = pop(jobs);
    pthread_mutex_unlock(&jobs->lock);
    return job;
}

gm_job *gm_jobs_close(gm_jobs *jobs)
{
    pthread_mutex_lock(&jobs->lock);
    jobs->closed = true;
    gm_job *job = pop(jobs);
    pthread_mutex_unlock(&jobs->lock);
    return job;
}

const gm_request *gm_job_request(const gm_job *job)
{
    return &job->request;
}

uint64_t gm_job_number(const gm_job *job)
{
    return job->number;
}

bool gm_job_is_cancelled(gm_job *job)
{
    pthread_mutex_lock(&job->jobs->lock);
    const bool cancelled = job->cancelled;
    pthread_mutex_unlock(&job->jobs->lock);
    return cancelled;
}

bool gm_job_has_written(gm_job *job)
{
    pthread_mutex_lock(&job->jobs->lock);
    const bool has = job->code != 0;
    pthread_mutex_unlock(&job->jobs->lock);
    return has;
}

gm_status gm_job_write(gm_job *job, int code, const char *bytes, size_t n, gm_error *err)
{
    pthread_mutex_lock(&job->jobs->lock);
    gm_status status = gm_text_append(&job->output, bytes, n, err);
    if (job->code == 0) job->code = code;
    pthread_cond_broadcast(&job->jobs->changed);
    pthread_mutex_unlock(&job->jobs->lock);
    return status;
}

void gm_job_end(gm_job *job)
{
    pthread_mutex_lock(&job->jobs->lock);
    job->ended = true;
    if (job->code == 0) job->code = 500; /* not even an error could be written */
    pthread_mutex_unlock(&job->jobs->lock);
    release_reference(job);
}
