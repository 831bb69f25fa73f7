/* team.c - threads that sleep between steps, a barrier that spins and then sleeps.
 *
 * Two counters carry all synchronisation: `region` is increased when work begins,
 * `meeting` each time the last worker arrives. Whoever waits for one of them spins
 * a little (never, where OMP_WAIT_POLICY is "passive") and then sleeps on it; the sleeper count
 * saves the wake-up call when nobody sleeps.
 */
#define _GNU_SOURCE /* sched_getaffinity, syscall */

#include "engine/team.h"

#include "base/machine.h"
#include "engine/engine.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <unistd.h>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

enum { SPINS = 2000 };

typedef struct gate {
    _Atomic uint32_t count;
    _Atomic uint32_t sleepers;
    char pad[56];
} gate;

struct gm_team {
    gate region;
    gate meeting;
    _Atomic uint32_t arrived;
    char pad[60];
    _Atomic size_t next;
    size_t size; /* threads of the team */
    int spins;   /* looks at a gate before sleeping on it */
    bool quit;
    void (*work)(void *context, gm_worker *me);
    void *context;
    size_t started; /* threads created, to be joined */
    struct member {
        gm_worker worker;
        pthread_t thread;
    } member[]; /* (size); the first is the caller */
};

int gm_team_processors(void)
{
    cpu_set_t set;
    int n = 1;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        n = CPU_COUNT(&set);
    else if (errno == EINVAL) /* more processors than the set has room for */
        n = get_nprocs();
    /* Threads beyond the time that a container may take would all be stopped, again and again, in
     * the middle of steps. */
    const double time = ceil(gm_machine_processors(""));
    if (time < n) n = (int)time;
    if (n > GM_MAX_THREADS) n = GM_MAX_THREADS;
    return n < 1 ? 1 : n;
}

/* ---- waiting ---- */

static void pause_briefly(void)
{
#if defined(__SSE2__)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb"); /* takes about as long as x86's pause; `yield` does nothing */
#else
    atomic_signal_fence(memory_order_seq_cst);
#endif
}

/* Until gate->count is no longer `old`. */
static void gate_wait(gate *g, uint32_t old, int spins)
{
    for (int i = 0; i < spins; i++) {
        if (atomic_load_explicit(&g->count, memory_order_acquire) != old) return;
        pause_briefly();
    }
    atomic_fetch_add(&g->sleepers, 1);
    while (atomic_load(&g->count) == old)
        syscall(SYS_futex, &g->count, FUTEX_WAIT_PRIVATE, old, NULL, NULL, 0);
    atomic_fetch_sub(&g->sleepers, 1);
}

static void gate_open(gate *g)
{
    atomic_fetch_add(&g->count, 1);
    if (atomic_load(&g->sleepers) != 0)
        syscall(SYS_futex, &g->count, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

void gm_worker_meet(gm_worker *me)
{
    gm_team *team = me->team;
    uint32_t meeting = atomic_load(&team->meeting.count);
    if (atomic_fetch_add(&team->arrived, 1) + 1 < me->n) {
        gate_wait(&team->meeting, meeting, team->spins);
        return;
    }
    atomic_store(&team->arrived, 0);
    atomic_store(&team->next, 0);
    gate_open(&team->meeting);
}

size_t gm_worker_next(gm_worker *me)
{
    return atomic_fetch_add_explicit(&me->team->next, 1, memory_order_relaxed);
}

void gm_worker_share(const gm_worker *me, size_t n, size_t *first, size_t *end)
{
    *first = n * me->index / me->n;
    *end = n * (me->index + 1) / me->n;
}

/* ---- floating point state ---- */

unsigned gm_denormals_flush(void)
{
    unsigned old = 0;
#if defined(__SSE2__)
    enum { DENORMALS_ARE_ZERO = 0x40, ALL_MASKED = 0x1f80, FLUSH_TO_ZERO = 0x8000 };
    old = _mm_getcsr();
    _mm_setcsr(ALL_MASKED | FLUSH_TO_ZERO | DENORMALS_ARE_ZERO); /* rounding: nearest even */
#elif defined(__aarch64__)
    uint64_t state;
    __asm__ volatile("mrs %0, fpcr" : "=r"(state));
    old = (unsigned)state;
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)1 << 24)); /* FZ: inputs and outputs */
#endif
    return old;
}

void gm_denormals_restore(unsigned state)
{
#if defined(__SSE2__)
    _mm_setcsr(state);
#elif defined(__aarch64__)
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)state));
#else
    (void)state;
#endif
}

/* ---- the team ---- */

static void *member_main(void *argument)
{
    struct member *self = argument;
    gm_team *team = self->worker.team;
    (void)gm_denormals_flush();
    for (uint32_t region = 0;; region++) {
        gate_wait(&team->region, region, team->spins);
        if (team->quit) return NULL;
        team->work(team->context, &self->worker);
        gm_worker_meet(&self->worker);
    }
}

gm_status gm_team_create(gm_team **out, int threads, gm_error *err)
{
    *out = NULL;
    if (threads < 0 || threads > GM_MAX_THREADS)
        return gm_fail(err, GM_EARG, "the number of threads is %d, expected 0 to %d", threads,
                       GM_MAX_THREADS);
    size_t size = (size_t)(threads ? threads : gm_team_processors());
    gm_team *team = gm_alloc(1, (size_t)gm_team_bytes(size));
    if (team == NULL) return gm_fail(err, GM_EMEM, "no memory for a team of %zu threads", size);

    const char *policy = getenv("OMP_WAIT_POLICY");
    team->size = size;
    team->spins = policy && strcasecmp(policy, "passive") == 0 ? 0 : SPINS;
    for (size_t i = 0; i < size; i++)
        team->member[i].worker = (gm_worker){.team = team, .index = i, .n = size};
    for (team->started = 1; team->started < size; team->started++) {
        struct member *m = &team->member[team->started];
        if (pthread_create(&m->thread, NULL, member_main, m) != 0) {
            gm_status status =
                gm_fail(err, GM_EIO, "cannot start thread %zu of %zu", team->started + 1, size);
            gm_team_free(team);
            return status;
        }
    }
    *out = team;
    return GM_OK;
}

void gm_team_free(gm_team *team)
{
    if (team == NULL) return;
    team->quit = true;
    gate_open(&team->region);
    for (size_t i = 1; i < team->started; i++) pthread_join(team->member[i].thread, NULL);
    gm_free(team);
}

size_t gm_team_size(const gm_team *team)
{
    return team->size;
}

uint64_t gm_team_bytes(size_t threads)
{
    return sizeof(gm_team) + threads * sizeof(struct member);
}

void gm_team_run(gm_team *team, bool alone, void (*work)(void *context, gm_worker *me),
                 void *context)
{
    unsigned state = gm_denormals_flush();
    gm_worker me = {.team = team, .index = 0, .n = alone ? 1 : team->size};
    atomic_store(&team->next, 0);
    if (me.n > 1) {
        team->work = work;
        team->context = context;
        gate_open(&team->region);
    }
    work(context, &me);
    gm_worker_meet(&me);
    gm_denormals_restore(state);
}
