/* threads.h - OpenMP's threads by number, also in builds without OpenMP. */
#ifndef GM_THREADS_H
#define GM_THREADS_H

#include <stddef.h>

#ifdef _OPENMP
#include <omp.h>
#endif

/* Most threads of a parallel region that the caller begins without num_threads; one when the caller
 * is in a team already, because regions do not nest. */
static inline size_t gm_max_threads(void)
{
#ifdef _OPENMP
    return omp_get_active_level() < omp_get_max_active_levels() ? (size_t)omp_get_max_threads() : 1;
#else
    return 1;
#endif
}

/* Parallel regions that the caller begins from now on have n threads; without OpenMP, one. */
static inline void gm_set_threads(int n)
{
#ifdef _OPENMP
    omp_set_num_threads(n);
#else
    (void)n;
#endif
}

/* Of the team that the caller is in. */
static inline size_t gm_thread_count(void)
{
#ifdef _OPENMP
    return (size_t)omp_get_num_threads();
#else
    return 1;
#endif
}

/* Of the calling thread in its team, from 0. */
static inline size_t gm_thread_number(void)
{
#ifdef _OPENMP
    return (size_t)omp_get_thread_num();
#else
    return 0;
#endif
}

#endif
