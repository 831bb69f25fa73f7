/* jobs.c - see jobs.h. One lock and one signal for everything: requests are few. */
#include "steer/serve/jobs.h"

#include "base/progress.h"

#include <math.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

enum { MOST_WAITING = 64 };

struct gm_job {
    gm_jobs *jobs;
    gm_job *next; /* that waits after it */
    gm_ask ask;
    uint64_t number;
    int owners; /* 2, then 1; at 0 it is freed */
    int code;   /* of what was said; 0: nothing yet */
    bool ended, unwanted;
    gm_text said; /* `read` bytes that were read, then those that were not */
    size_t read;
};

struct gm_jobs {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    gm_job *first, *last; /* that wait */
    size_t n_waiting;
    uint64_t n_posted;
    bool closed;
};

gm_status gm_jobs_create(gm_jobs **out, gm_error *err)
{
    gm_jobs *jobs = gm_alloc(1, sizeof *jobs);
    *out = jobs;
    if (jobs == NULL) return gm_fail(err, GM_EMEM, "no memory for requests");
    pthread_mutex_init(&jobs->lock, NULL);
    pthread_cond_init(&jobs->changed, NULL);
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
static void wait_a_while(gm_jobs *jobs)
{
    enum { NS = 1000000000, A_WHILE = 200000000 };
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += A_WHILE;
    until.tv_sec += until.tv_nsec / NS;
    until.tv_nsec %= NS;
    pthread_cond_timedwait(&jobs->changed, &jobs->lock, &until);
}

/* One of the two owners lets go. */
static void let_go(gm_job *job)
{
    gm_jobs *jobs = job->jobs;
    pthread_mutex_lock(&jobs->lock);
    const bool last = --job->owners == 0;
    pthread_cond_broadcast(&jobs->changed);
    pthread_mutex_unlock(&jobs->lock);
    if (!last) return;
    gm_ask_clear(&job->ask);
    gm_text_clear(&job->said);
    gm_free(job);
}

/* ---- the connection's side ---- */

gm_status gm_jobs_post(gm_jobs *jobs, gm_ask *ask, gm_job **out, gm_error *err)
{
    gm_status status = GM_OK;
    gm_job *job = gm_alloc(1, sizeof *job);
    *out = NULL;
    if (job == NULL) {
        gm_ask_clear(ask);
        return gm_fail(err, GM_EMEM, "no memory for a request");
    }
    *job = (gm_job){.jobs = jobs, .ask = *ask, .owners = 2};
    *ask = (gm_ask){0};
    pthread_mutex_lock(&jobs->lock);
    if (jobs->closed)
        status = gm_fail(err, GM_EBUSY, "the server is shutting down");
    else if (jobs->n_waiting == MOST_WAITING)
        status = gm_fail(err, GM_EBUSY, "%d requests are already waiting; try again later",
                         MOST_WAITING);
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
    gm_ask_clear(&job->ask);
    gm_free(job);
    return status;
}

static bool has_more(const gm_job *job)
{
    return job->read < job->said.n || job->ended;
}

/* With the lock held: wait until there is something to read, or all was said, or `seconds` are
 * over; false when nobody is there any more. */
static bool wait_for_more(gm_job *job, double seconds, gm_still_there *there, void *context)
{
    const double until = gm_now() + seconds;
    while (!has_more(job) && gm_now() < until) {
        wait_a_while(job->jobs);
        if (!has_more(job) && !there(context)) {
            job->unwanted = true;
            return false;
        }
    }
    return true;
}

int gm_job_wait(gm_job *job, gm_still_there *there, void *context)
{
    pthread_mutex_lock(&job->jobs->lock);
    const int code = wait_for_more(job, INFINITY, there, context) ? job->code : 0;
    pthread_mutex_unlock(&job->jobs->lock);
    return code;
}

bool gm_job_rests(gm_job *job, double seconds, gm_still_there *there, void *context)
{
    pthread_mutex_lock(&job->jobs->lock);
    const bool rests = wait_for_more(job, seconds, there, context) && !has_more(job);
    pthread_mutex_unlock(&job->jobs->lock);
    return rests;
}

size_t gm_job_read(gm_job *job, char *buffer, size_t most, gm_still_there *there, void *context)
{
    size_t n = 0;
    pthread_mutex_lock(&job->jobs->lock);
    if (wait_for_more(job, INFINITY, there, context)) {
        n = job->said.n - job->read < most ? job->said.n - job->read : most;
        if (n > 0) memcpy(buffer, job->said.at + job->read, n);
        job->read += n;
        if (job->read == job->said.n) job->read = job->said.n = 0; /* a long stream takes no room */
    }
    pthread_mutex_unlock(&job->jobs->lock);
    return n;
}

void gm_job_release(gm_job *job)
{
    pthread_mutex_lock(&job->jobs->lock);
    job->unwanted = true;
    pthread_mutex_unlock(&job->jobs->lock);
    let_go(job);
}

/* ---- the worker's side ---- */

/* With the lock held. */
static gm_job *first_waiting(gm_jobs *jobs)
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
    if (jobs->first == NULL) wait_a_while(jobs);
    gm_job *job = first_waiting(jobs);
    pthread_mutex_unlock(&jobs->lock);
    return job;
}

gm_job *gm_jobs_close(gm_jobs *jobs)
{
    pthread_mutex_lock(&jobs->lock);
    jobs->closed = true;
    gm_job *job = first_waiting(jobs);
    pthread_mutex_unlock(&jobs->lock);
    return job;
}

const gm_ask *gm_job_ask(const gm_job *job)
{
    return &job->ask;
}

uint64_t gm_job_number(const gm_job *job)
{
    return job->number;
}

bool gm_job_wanted(gm_job *job)
{
    pthread_mutex_lock(&job->jobs->lock);
    const bool wanted = !job->unwanted;
    pthread_mutex_unlock(&job->jobs->lock);
    return wanted;
}

bool gm_job_has_said(gm_job *job)
{
    pthread_mutex_lock(&job->jobs->lock);
    const bool has = job->code != 0;
    pthread_mutex_unlock(&job->jobs->lock);
    return has;
}

gm_status gm_job_say(gm_job *job, int code, const char *bytes, size_t n, gm_error *err)
{
    pthread_mutex_lock(&job->jobs->lock);
    gm_status status = gm_text_append(&job->said, bytes, n, err);
    if (job->code == 0) job->code = code;
    pthread_cond_broadcast(&job->jobs->changed);
    pthread_mutex_unlock(&job->jobs->lock);
    return status;
}

void gm_job_end(gm_job *job)
{
    pthread_mutex_lock(&job->jobs->lock);
    job->ended = true;
    if (job->code == 0) job->code = 500; /* not even an error could be said */
    pthread_mutex_unlock(&job->jobs->lock);
    let_go(job);
}
