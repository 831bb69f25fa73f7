/* team.h - a team of threads that run one piece of work together and meet at a
 * barrier of their own.
 *
 * One parallel region per step of the model, not one per operation: every worker
 * runs the whole step and meets the others between operations. Workers wait by
 * spinning briefly and then sleeping on a futex, so a team may be larger than the
 * machine; where OMP_WAIT_POLICY is "passive" they sleep at once, which leaves the
 * processors to others. Inside a region every worker, the caller's thread included,
 * flushes denormals, so results do not depend on which worker computed them.
 */
#ifndef GM_TEAM_H
#define GM_TEAM_H

#include "base/base.h"

typedef struct gm_team gm_team;

typedef struct gm_worker {
    gm_team *team;
    size_t index, n; /* this worker and how many take part */
} gm_worker;

/* Processors that this process may use, at least 1: those it may run on, at most the time that a
 * control group allows (docker run --cpus), and at most GM_MAX_THREADS. */
int gm_team_processors(void);

/* A team of `threads` (0: gm_team_processors()) workers, the caller's thread being
 * the first. Errors: GM_EARG (outside 0 .. GM_MAX_THREADS), GM_EMEM, GM_EIO (no thread). */
gm_status gm_team_create(gm_team **out, int threads, gm_error *err) GM_MUST_USE;
void gm_team_free(gm_team *team);
size_t gm_team_size(const gm_team *team);
uint64_t gm_team_bytes(size_t threads); /* without the threads' stacks */

/* Run work(context, worker) on every worker and wait for them; `alone`: on the
 * caller's thread only, which pays for small work. */
void gm_team_run(gm_team *team, bool alone, void (*work)(void *context, gm_worker *me),
                 void *context);

/* Wait until every worker of the region is here. */
void gm_worker_meet(gm_worker *me);

/* Numbers 0, 1, 2, ... each given to one worker; starts again at every meeting. */
size_t gm_worker_next(gm_worker *me);

/* This worker's even share of n items: [*first, *end). */
void gm_worker_share(const gm_worker *me, size_t n, size_t *first, size_t *end);

/* Flush denormals on this thread; gives the old state for gm_denormals_restore. */
unsigned gm_denormals_flush(void);
void gm_denormals_restore(unsigned state);

#endif
