/* lbfgs.h - minimum of a smooth function of many variables, by L-BFGS in double.
 *
 * Deterministic: one thread, sums in the order of the variables.
 * Source: Nocedal, Wright 2006, Numerical Optimization, algorithms 7.4, 7.5 and 3.1.
 */
#ifndef GM_LBFGS_H
#define GM_LBFGS_H

#include "base/base.h"

/* The value at x (n), and its gradient (n), written. */
typedef double (*gm_objective)(const double *x, double *gradient, void *state);

typedef struct gm_lbfgs_report {
    int steps;
    double value;
    double steepest; /* the largest entry of the gradient, in magnitude */
    bool converged;  /* steepest <= tolerance */
} gm_lbfgs_report;

/* Move x (n) to where no entry of the gradient is above `tolerance`, in at most max_steps.
 * Stops early, not converged, when no step brings the value down. Errors: GM_EMEM;
 * GM_ENUMERIC when the value at the start is not finite. */
gm_status gm_lbfgs(double *x, size_t n, gm_objective objective, void *state, double tolerance,
                   int max_steps, gm_lbfgs_report *report, gm_error *err) GM_MUST_USE;

#endif
