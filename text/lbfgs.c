/* lbfgs.c - limited-memory BFGS with a backtracking line search. */
#include "text/lbfgs.h"

#include <math.h>
#include <string.h>

enum { MEMORY = 8, MAX_HALVINGS = 40 };

typedef struct lbfgs {
    size_t n;
    double *gradient, *direction;        /* (n) */
    double *next_x, *next_gradient;      /* (n) */
    double *step[MEMORY], *turn[MEMORY]; /* (n) changes of x and of the gradient */
    double rho[MEMORY];                  /* 1 / step.turn */
    int n_kept, newest;
} lbfgs;

static double dot(const double *a, const double *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

static double steepest(const double *g, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++) most = fmax(most, fabs(g[i]));
    return most;
}

/* direction = -H gradient, H the inverse curvature that the kept steps tell (two loops). */
static void find_direction(lbfgs *s)
{
    double alpha[MEMORY] = {0}, *d = s->direction;
    for (size_t i = 0; i < s->n; i++) d[i] = -s->gradient[i];
    for (int k = 0; k < s->n_kept; k++) {
        int at = (s->newest - k + MEMORY) % MEMORY;
        alpha[at] = s->rho[at] * dot(s->step[at], d, s->n);
        for (size_t i = 0; i < s->n; i++) d[i] -= alpha[at] * s->turn[at][i];
    }
    if (s->n_kept > 0) {
        const double *turn = s->turn[s->newest];
        double scale = 1 / (s->rho[s->newest] * dot(turn, turn, s->n));
        for (size_t i = 0; i < s->n; i++) d[i] *= scale;
    }
    for (int k = s->n_kept - 1; k >= 0; k--) {
        int at = (s->newest - k + MEMORY) % MEMORY;
        double beta = s->rho[at] * dot(s->turn[at], d, s->n);
        for (size_t i = 0; i < s->n; i++) d[i] += (alpha[at] - beta) * s->step[at][i];
    }
}

/* Keep the step from x to next_x, in the place of the oldest, when the curvature along it is
 * positive; else what is kept stays as it is. */
static void remember(lbfgs *s, const double *x)
{
    int at = (s->newest + 1) % MEMORY;
    double curvature = 0, turned = 0;
    for (size_t i = 0; i < s->n; i++) {
        double turn = s->next_gradient[i] - s->gradient[i];
        curvature += (s->next_x[i] - x[i]) * turn;
        turned += turn * turn;
    }
    if (!(curvature > 1e-12 * turned)) return;
    for (size_t i = 0; i < s->n; i++) {
        s->step[at][i] = s->next_x[i] - x[i];
        s->turn[at][i] = s->next_gradient[i] - s->gradient[i];
    }
    s->rho[at] = 1 / curvature;
    s->newest = at;
    if (s->n_kept < MEMORY) s->n_kept++;
}

/* Halve the step until the value falls enough (Armijo); false when it never does. */
static bool search_line(lbfgs *s, const double *x, double *value, gm_objective objective,
                        void *state)
{
    double slope = dot(s->gradient, s->direction, s->n);
    if (!(slope < 0)) return false;
    double length = s->n_kept > 0 ? 1 : fmin(1, 1 / sqrt(dot(s->gradient, s->gradient, s->n)));
    for (int k = 0; k < MAX_HALVINGS; k++) {
        for (size_t i = 0; i < s->n; i++) s->next_x[i] = x[i] + length * s->direction[i];
        double next = objective(s->next_x, s->next_gradient, state);
        if (next <= *value + 1e-4 * length * slope) { /* NaN fails */
            *value = next;
            return true;
        }
        length /= 2;
    }
    return false;
}

static gm_status alloc_state(lbfgs *s, gm_error *err)
{
    bool ok = true;
    double **vectors[] = {&s->gradient, &s->direction, &s->next_x, &s->next_gradient};
    for (size_t v = 0; v < 4; v++) ok &= (*vectors[v] = gm_alloc(s->n, sizeof(double))) != NULL;
    for (int k = 0; k < MEMORY; k++) {
        ok &= (s->step[k] = gm_alloc(s->n, sizeof(double))) != NULL;
        ok &= (s->turn[k] = gm_alloc(s->n, sizeof(double))) != NULL;
    }
    return ok ? GM_OK : gm_fail(err, GM_EMEM, "no memory to fit %zu numbers", s->n);
}

static void free_state(lbfgs *s)
{
    gm_free(s->gradient);
    gm_free(s->direction);
    gm_free(s->next_x);
    gm_free(s->next_gradient);
    for (int k = 0; k < MEMORY; k++) {
        gm_free(s->step[k]);
        gm_free(s->turn[k]);
    }
}

gm_status gm_lbfgs(double *x, size_t n, gm_objective objective, void *state, double tolerance,
                   int max_steps, gm_lbfgs_report *report, gm_error *err)
{
    gm_status status = GM_OK;
    lbfgs s = {.n = n, .newest = MEMORY - 1};
    *report = (gm_lbfgs_report){0};
    GM_TRY(alloc_state(&s, err));
    report->value = objective(x, s.gradient, state);
    if (!isfinite(report->value)) GM_FAIL(GM_ENUMERIC, "the value to minimise is not finite");
    for (;; report->steps++) {
        report->steepest = steepest(s.gradient, n);
        report->converged = report->steepest <= tolerance;
        if (report->converged || report->steps == max_steps) break;
        find_direction(&s);
        if (!search_line(&s, x, &report->value, objective, state)) break;
        remember(&s, x);
        memcpy(x, s.next_x, n * sizeof *x);
        memcpy(s.gradient, s.next_gradient, n * sizeof *x);
    }
out:
    free_state(&s);
    return status;
}
