/* test_steer_jobs.c - steer/serve/jobs.c: requests of many threads are answered in their order,
 * each by its own thread's reader; who leaves, and what is closed, holds nobody up.
 *
 * label: threads
 */
#include "base/progress.h"
#include "steer/serve/jobs.h"
#include "tests/check.h"

#include <pthread.h>

enum { READERS = 6, REQUESTS = 10 };

static bool there(void *context)
{
    return *(const bool *)context;
}

static gm_ask ask_of(uint64_t seed)
{
    gm_ask ask;
    gm_error err = {0};
    static const char body[] = "{\"prompt\": \"x\"}";
    const gm_ask_defaults defaults = {
        .sampling = {.top_p = 1, .repetition_penalty = 1, .seed = seed},
        .max_tokens = 1,
        .max_context = 8,
        .vocabulary = 2};
    CHECK_OK(gm_ask_read(&ask, false, body, sizeof body - 1, &defaults, &err), err);
    return ask;
}

typedef struct reader {
    gm_jobs *jobs;
    uint64_t seed;
    bool leaves, right;
} reader;

/* Post requests; each is answered by its own seed, byte by byte. */
static void *read_answers(void *context)
{
    reader *r = context;
    r->right = true;
    for (int i = 0; i < REQUESTS; i++) {
        gm_error err = {0};
        gm_job *job = NULL;
        gm_ask ask = ask_of(r->seed);
        bool here = !(r->leaves && i % 2);
        char text[64], want[64];
        size_t n = 0, more;
        if (gm_jobs_post(r->jobs, &ask, &job, &err) != GM_OK) {
            r->right = false;
            continue;
        }
        const int code = gm_job_wait(job, there, &here);
        while (here && (more = gm_job_read(job, text + n, 3, there, &here)) > 0) n += more;
        text[n] = '\0';
        snprintf(want, sizeof want, "seed %d, and more", (int)r->seed);
        if (here && (code != 200 + (int)r->seed || strcmp(text, want) != 0)) r->right = false;
        gm_job_release(job);
    }
    return NULL;
}

static void answers_reach_who_asked(void)
{
    gm_error err = {0};
    gm_jobs *jobs = NULL;
    pthread_t thread[READERS];
    reader readers[READERS];
    uint64_t last = 0;
    CHECK_OK(gm_jobs_create(&jobs, &err), err);
    for (int i = 0; i < READERS; i++) {
        readers[i] = (reader){jobs, (uint64_t)i, i % 3 == 0, false};
        CHECK_INT(pthread_create(&thread[i], NULL, read_answers, &readers[i]), 0);
    }
    for (int done = 0; done < READERS * REQUESTS;) {
        gm_job *job = gm_jobs_take(jobs);
        if (job == NULL) continue;
        char text[64];
        const int seed = (int)gm_job_ask(job)->sampling.seed;
        CHECK(gm_job_number(job) == last + 1 && !gm_job_has_said(job));
        last++;
        snprintf(text, sizeof text, "seed %d", seed);
        CHECK_OK(gm_job_say(job, 200 + seed, text, strlen(text), &err), err);
        CHECK_OK(gm_job_say(job, 500, ", and more", 10, &err), err);
        CHECK(gm_job_has_said(job));
        gm_job_end(job);
        done++;
    }
    for (int i = 0; i < READERS; i++) {
        pthread_join(thread[i], NULL);
        CHECK(readers[i].right);
    }
    CHECK(gm_jobs_take(jobs) == NULL);
    gm_jobs_free(jobs);
}

static void who_leaves_is_known_and_what_is_closed_refuses(void)
{
    gm_error err = {0};
    gm_jobs *jobs = NULL;
    gm_job *job[65], *taken;
    bool here = false;
    CHECK_OK(gm_jobs_create(&jobs, &err), err);
    for (int i = 0; i < 64; i++) {
        gm_ask ask = ask_of(1);
        CHECK_OK(gm_jobs_post(jobs, &ask, &job[i], &err), err);
    }
    gm_ask ask = ask_of(1);
    CHECK_FAILS(gm_jobs_post(jobs, &ask, &job[64], &err), err, GM_EBUSY,
                "64 requests are already waiting");
    CHECK(job[64] == NULL && ask.body == NULL);
    taken = gm_jobs_take(jobs);
    CHECK(taken == job[0] && gm_job_wanted(taken));
    CHECK_INT(gm_job_wait(job[0], there, &here), 0);
    CHECK(!gm_job_wanted(taken));
    gm_job_end(taken);
    gm_job_release(job[0]);
    for (int i = 1; i < 64; i++) {
        taken = gm_jobs_close(jobs);
        CHECK(taken == job[i]);
        gm_job_end(taken);
        here = true;
        CHECK_INT(gm_job_wait(job[i], there, &here), 500); /* it ended without a word */
        gm_job_release(job[i]);
    }
    CHECK(gm_jobs_close(jobs) == NULL);
    ask = ask_of(1);
    CHECK_FAILS(gm_jobs_post(jobs, &ask, &job[64], &err), err, GM_EBUSY, "shutting down");
    gm_jobs_free(jobs);
}

static void a_job_rests_while_nothing_is_said(void)
{
    gm_error err = {0};
    gm_jobs *jobs = NULL;
    gm_job *job = NULL;
    gm_ask ask = ask_of(1);
    bool here = true;
    char byte;
    CHECK_OK(gm_jobs_create(&jobs, &err), err);
    CHECK_OK(gm_jobs_post(jobs, &ask, &job, &err), err);
    gm_job *taken = gm_jobs_take(jobs);
    const double begun = gm_now();
    CHECK(gm_job_rests(job, .1, there, &here) && gm_now() - begun >= .1);
    CHECK_OK(gm_job_say(taken, 200, "x", 1, &err), err);
    CHECK(!gm_job_rests(job, 60, there, &here));
    CHECK_INT(gm_job_read(job, &byte, 1, there, &here), 1);
    CHECK(gm_job_rests(job, 0, there, &here));
    CHECK(gm_job_wanted(taken));
    here = false;
    CHECK(!gm_job_rests(job, 60, there, &here) && !gm_job_wanted(taken));
    gm_job_end(taken);
    here = true;
    CHECK(!gm_job_rests(job, 60, there, &here));
    CHECK_INT(gm_job_read(job, &byte, 1, there, &here), 0);
    gm_job_release(job);
    gm_jobs_free(jobs);
}

TESTS(TEST(answers_reach_who_asked), TEST(who_leaves_is_known_and_what_is_closed_refuses),
      TEST(a_job_rests_while_nothing_is_said))
