/* test_team.c - a team: everybody takes part, numbers are given out once, nobody
 * passes a meeting early, awake or asleep, denormals are flushed inside and restored outside.
 * label: threads */
#define _GNU_SOURCE /* cpu_set_t, get_nprocs, syscall */

#include "engine/team.h"
#include "engine/engine.h"
#include "base/machine.h"
#include "tests/check.h"

#include <errno.h>
#include <float.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 500, NUMBERS = 37 };

typedef struct shared {
    _Atomic int here[ROUNDS], given[NUMBERS], early, kept_denormals;
    _Atomic size_t covered;
    volatile float smallest;
} shared;

static void meet_often(void *context, gm_worker *me)
{
    shared *s = context;
    for (int i = 0; i < ROUNDS; i++) {
        atomic_fetch_add(&s->here[i], 1);
        gm_worker_meet(me);
        if (atomic_load(&s->here[i]) != (int)me->n) atomic_fetch_add(&s->early, 1);
    }
    for (int i = 0; i < 3; i++) {
        for (size_t n; (n = gm_worker_next(me)) < NUMBERS;) atomic_fetch_add(&s->given[n], 1);
        gm_worker_meet(me);
    }
    size_t first, end;
    gm_worker_share(me, 1001, &first, &end);
    atomic_fetch_add(&s->covered, end - first);
    if (s->smallest * 0.5f != 0.0f) atomic_fetch_add(&s->kept_denormals, 1);
}

static void runs(int threads, bool alone)
{
    gm_team *team = NULL;
    gm_error err = {0};
    CHECK_OK(gm_team_create(&team, threads, &err), err);
    CHECK_INT(gm_team_size(team), threads);
    for (int again = 0; again < 3; again++) {
        shared s = {.smallest = FLT_MIN};
        gm_team_run(team, alone, meet_often, &s);
        CHECK_INT(s.here[ROUNDS - 1], alone ? 1 : threads);
        CHECK_INT(s.early, 0);
        CHECK_INT(s.covered, 1001);
        for (int i = 0; i < NUMBERS; i++) CHECK_INT(s.given[i], 3);
#if defined(__SSE2__) || defined(__aarch64__)
        CHECK_INT(s.kept_denormals, 0);
        CHECK(s.smallest * 0.5f != 0.0f);
#endif
    }
    gm_team_free(team);
}

static void teams_of_any_size(void)
{
    runs(1, false);
    runs(2, false);
    runs(5, false); /* more than the machine has: waiting must not need a core */
    runs(3, true);
}

#if defined(__SSE2__) /* where a look pauses: 2,000 take longer than falling asleep */
/* The first worker waits for the second, which comes late, each time. */
static void come_late(void *context, gm_worker *me)
{
    struct timespec before, after;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
    for (int i = 0; i < 100; i++) {
        if (me->index == 1) nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        gm_worker_meet(me);
    }
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
    if (me->index == 0)
        *(double *)context =
            difftime(after.tv_sec, before.tv_sec) + 1e-9 * (double)(after.tv_nsec - before.tv_nsec);
}

static double seconds_of_waiting(void)
{
    gm_team *team = NULL;
    gm_error err = {0};
    double seconds = 0.0;
    CHECK_OK(gm_team_create(&team, 2, &err), err);
    gm_team_run(team, false, come_late, &seconds);
    gm_team_free(team);
    return seconds;
}

/* Another program that takes the processor away makes either wait less itself: hence the most, the
 * least of some. */
static void passive_waiting_takes_no_time(void)
{
    double active = 0.0, passive = INFINITY;
    for (int i = 0; i < 10 && !(2.0 * passive < active); i++) {
        setenv("OMP_WAIT_POLICY", "active", 1);
        active = fmax(active, seconds_of_waiting());
        teams_of_any_size();
        setenv("OMP_WAIT_POLICY", "PASSIVE", 1);
        passive = fmin(passive, seconds_of_waiting());
        teams_of_any_size();
    }
    printf("waiting 100 times: %.4f s awake, %.4f s asleep\n", active, passive);
    CHECK(2.0 * passive < active);
}
#else
static void passive_waiting_takes_no_time(void)
{
    TEST_SKIP("a look at a gate does not pause here");
}
#endif

static void odd_sizes_are_refused(void)
{
    gm_team *team = NULL;
    gm_error err;
    CHECK_FAILS(gm_team_create(&team, -1, &err), err, GM_EARG, "threads is -1");
    CHECK_FAILS(gm_team_create(&team, 5000, &err), err, GM_EARG, "threads is 5000");
    CHECK(team == NULL && gm_team_processors() >= 1);
    gm_team_free(NULL);
}

/* The C library's two, of a machine with more processors than a cpu_set_t has room for. */
static bool is_large;

int sched_getaffinity(pid_t pid, size_t n_bytes, cpu_set_t *set)
{
    if (is_large) {
        errno = EINVAL;
        return -1;
    }
    memset(set, 0, n_bytes);
    return syscall(SYS_sched_getaffinity, pid, n_bytes, set) < 0 ? -1 : 0;
}

int get_nprocs(void)
{
    return is_large ? GM_MAX_THREADS + 128 : 1;
}

static void a_large_machine_has_as_many_as_a_team_may_have(void)
{
    is_large = true;
    const int n = gm_team_processors();
    is_large = false;
    const double time = gm_machine_processors(""); /* less where a control group limits this test */
    if (time < GM_MAX_THREADS)
        CHECK(n >= 1 && n < time + 1);
    else
        CHECK_INT(n, GM_MAX_THREADS);
}

TESTS(TEST(teams_of_any_size), TEST(passive_waiting_takes_no_time), TEST(odd_sizes_are_refused),
      TEST(a_large_machine_has_as_many_as_a_team_may_have))
