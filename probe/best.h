/* best.h - the few of many that have the largest values. */
#ifndef GM_BEST_H
#define GM_BEST_H

#include "base/base.h"

typedef struct gm_best {
    size_t n, most;
    size_t *at;    /* (n) what was offered, largest value first, of equal ones the earlier */
    double *value; /* (n) */
} gm_best;

gm_status gm_best_init(gm_best *best, size_t most, gm_error *err) GM_MUST_USE;
void gm_best_clear(gm_best *best);

/* Take `at` in if its value is among the largest so far; NaN never is. At most n comparisons. */
void gm_best_offer(gm_best *best, size_t at, double value);

#endif
