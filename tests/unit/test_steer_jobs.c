/* test_steer_jobs.c - steer/serve/jobs.c: requests of many threads are answered in their order,
 * each by its own thread's reader; who disconnects, and what is closed, holds nobody up.
 *
 * label: threads
 */
#include "base/progress.h"
#include "steer/serve/jobs.h"
#include "tests/check.h"

#include <pthread.h>

enum { READERS = 6, REQUESTS = 10 };

static bool is_connected(void *context)
{
    return *(const bool *)context;
}

static gm_request request_of(uint64_t seed)
{
    gm_request request;
    gm_error err = {0};
    static const char body[] = "{\"prompt\": \"x\"}";
    const gm_request_defaults defaults = {
        .sampling = {.top_p = 1, .repetition_penalty = 1, .seed = seed},
        .max_tokens = 1,
        .max_context = 8,
        .vocabulary = 2};
    CHECK_OK(gm_request_read(&request, false, body, sizeof body - 1, &defaults, &err), err);
    return request;
}

typedef struct reader {
    gm_jobs *jobs;
    uint64_t seed;
    bool disconnects, right;
} reader;

/* Post requests; each is answered by its own seed, byte by byte. */
static void *read_responses(void *context)
{
    reader *r = context;
    r->right = true;
    for (int i = 0; i < REQUESTS; i++) {
        gm_error err = {0};
        gm_job *job = NULL;
        gm_request request = request_of(r->seed);
        bool connected = !(r->disconnects && i % 2);
        char text[64], want[64];
        size_t n = 0, more;
        if (gm_jobs_post(r->jobs, &request, &job, &err) != GM_OK) {
            r->right = false;
            continue;
        }
        const int code = gm_job_wait(job, is_connected, &connected);
        while (connected && (more = gm_job_read(job, text + n, 3, is_connected, &connected)) > 0)
            n += more;
        text[n] = '\0';
        snprintf(want, sizeof want, "seed %d, and more", (int)r->seed);
        if (connected && (code != 200 + (int)r->seed || strcmp(text, want) != 0)) r->right = false;
        gm_job_release(job);
    }
    return NULL;
}

static void each_response_reaches_its_own_connection(void)
{
    gm_error err = {0};
    gm_jobs *jobs = NULL;
    pthread_t thread[READERS];
    reader readers[READERS];
    uint64_t last = 0;
    CHECK_OK(gm_jobs_create(&jobs, &err), err);
    for (int i = 0; i < READERS; i++) {
        readers[i] = (reader){jobs, (uint64_t)i, i % 3 == 0, false};
        CHECK_INT(pthread_create(&thread[i], NULL, read_responses, &readers[i]), 0);
    }
    for (int done = 0; done < READERS * REQUESTS;) {
        gm_job *job = gm_jobs_take(jobs);
        if (job == NULL) continue;
        char text[64];
        const int seed = (int)gm_job_request(job)->sampling.seed;
        CHECK(gm_job_number(job) == last + 1 && !gm_job_has_written(job));
        last++;
        snprintf(text, sizeof text, "seed %d", seed);
        CHECK_OK(gm_job_write(job, 200 + seed, text, strlen(text), &err), err);
        CHECK_OK(gm_job_write(job, 500, ", and more", 10, &err), err);
        CHECK(gm_job_has_written(job));
        gm_job_end(job);
        done++;
    }
    for (int i = 0; i < READERS; i++) {
        pthread_join(thread[i], NULL);
        CHECK(readers[i].right);
    }
    const double begun = gm_now();
    CHECK(gm_jobs_take(jobs) == NULL && gm_now() - begun >= .1);
    gm_jobs_free(jobs);
}

static void disconnecting_cancels_a_job_and_a_closed_queue_refuses_requests(void)
{
    gm_error err = {0};
    gm_jobs *jobs = NULL;
    gm_job *job[65], *taken;
    bool connected = false;
    CHECK_OK(gm_jobs_create(&jobs, &err), err);
    for (int i = 0; i < 64; i++) {
        gm_request request = request_of(1);
        CHECK_OK(gm_jobs_post(jobs, &request, &job[i], &err), err);
    }
    gm_request request = request_of(1);
    CHECK_FAILS(gm_jobs_post(jobs, &request, &job[64], &err), err, GM_EBUSY,
                "64 requests are already waiting");
    CHECK(job[64] == NULL && request.body == NULL);
    request = request_of(1);
    gm_alloc_fail_after(0);
    CHECK_FAILS(gm_jobs_post(jobs, &request, &job[64], &err), err, GM_EMEM, "no memory");
    gm_alloc_fail_after(-1);
    CHECK(job[64] == NULL && request.body == NULL);
    taken = gm_jobs_take(jobs);
    CHECK(taken == job[0] && !gm_job_is_cancelled(taken));
    request = request_of(1); /* which leaves room for one */
    CHECK_OK(gm_jobs_post(jobs, &request, &job[64], &err), err);
    CHECK_INT(gm_job_wait(job[0], is_connected, &connected), 0);
    CHECK(gm_job_is_cancelled(taken));
    gm_job_end(taken);
    gm_job_release(job[0]);
    for (int i = 1; i < 65; i++) {
        taken = gm_jobs_close(jobs);
        CHECK(taken == job[i]);
        gm_job_end(taken);
        connected = true;
        CHECK_INT(gm_job_wait(job[i], is_connected, &connected), 500); /* it ended without a word */
        gm_job_release(job[i]);
    }
    CHECK(gm_jobs_close(jobs) == NULL);
    request = request_of(1);
    CHECK_FAILS(gm_jobs_post(jobs, &request, &job[64], &err), err, GM_EBUSY, "shutting down");
    gm_jobs_free(jobs);
}

static void a_job_is_idle_while_nothing_is_written(void)
{
    gm_error err = {0};
    gm_jobs *jobs = NULL;
    gm_job *job = NULL;
    gm_request request = request_of(1);
    bool connected = true;
    char byte;
    CHECK_OK(gm_jobs_create(&jobs, &err), err);
    CHECK_OK(gm_jobs_post(jobs, &request, &job, &err), err);
    gm_job *taken = gm_jobs_take(jobs);
    const double begun = gm_now();
    CHECK(gm_job_is_idle(job, .1, is_connected, &connected) && gm_now() - begun >= .1);
    CHECK_OK(gm_job_write(taken, 200, "x", 1, &err), err);
    CHECK(!gm_job_is_idle(job, 60, is_connected, &connected));
    CHECK_INT(gm_job_read(job, &byte, 1, is_connected, &connected), 1);
    CHECK(gm_job_is_idle(job, 0, is_connected, &connected));
    CHECK(!gm_job_is_cancelled(taken));
    connected = false;
    CHECK(!gm_job_is_idle(job, 60, is_connected, &connected) && gm_job_is_cancelled(taken));
    gm_job_end(taken);
    connected = true;
    CHECK(!gm_job_is_idle(job, 60, is_connected, &connected));
    CHECK_INT(gm_job_read(job, &byte, 1, is_connected, &connected), 0);
    gm_job_release(job);
    request = request_of(1);
    CHECK_OK(gm_jobs_post(jobs, &request, &job, &err), err);
    taken = gm_jobs_take(jobs);
    gm_job_release(job); /* nobody reads it any more */
    CHECK(gm_job_is_cancelled(taken));
    gm_job_end(taken);
    gm_jobs_free(jobs);
}

TESTS(TEST(each_response_reaches_its_own_connection),
      TEST(disconnecting_cancels_a_job_and_a_closed_queue_refuses_requests),
      TEST(a_job_is_idle_while_nothing_is_written))
