/* curve.c - fitting a and b with GSL's Levenberg-Marquardt. */
#include "cluster/curve.h"

#include <gsl/gsl_errno.h>
#include <gsl/gsl_multifit_nlinear.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { N_POINTS = 300, MAX_STEPS = 200 };

typedef struct target {
    double x[N_POINTS], y[N_POINTS];
} target;

static int residuals(const gsl_vector *ab, void *data, gsl_vector *out)
{
    const target *t = data;
    double a = gsl_vector_get(ab, 0), b = gsl_vector_get(ab, 1);
    for (size_t i = 0; i < N_POINTS; i++)
        gsl_vector_set(out, i, 1 / (1 + a * pow(t->x[i], 2 * b)) - t->y[i]);
    return GSL_SUCCESS;
}

static int derivatives(const gsl_vector *ab, void *data, gsl_matrix *out)
{
    const target *t = data;
    double a = gsl_vector_get(ab, 0), b = gsl_vector_get(ab, 1);
    for (size_t i = 0; i < N_POINTS; i++) {
        double power = pow(t->x[i], 2 * b), f = 1 / (1 + a * power);
        double log_x = t->x[i] > 0 ? log(t->x[i]) : 0; /* power is 0 there */
        gsl_matrix_set(out, i, 0, -power * f * f);
        gsl_matrix_set(out, i, 1, -2 * a * power * log_x * f * f);
    }
    return GSL_SUCCESS;
}

static double seven_digits(double value)
{
    char text[32];
    snprintf(text, sizeof text, "%.6e", value);
    return strtod(text, NULL);
}

/* In units of spread: at a small spread the solver would leave for negative a and b. */
static void fill_target(target *t, double min_dist)
{
    for (int i = 0; i < N_POINTS; i++) {
        double x = 3.0 * i / (N_POINTS - 1);
        t->x[i] = x;
        t->y[i] = x < min_dist ? 1 : exp(-(x - min_dist));
    }
}

gm_status gm_curve_fit(double min_dist, double spread, double *a, double *b, gm_error *err)
{
    gm_status status = GM_OK;
    target t;
    gsl_multifit_nlinear_parameters how = gsl_multifit_nlinear_default_parameters();
    gsl_multifit_nlinear_fdf problem = {
        .f = residuals, .df = derivatives, .n = N_POINTS, .p = 2, .params = &t};
    gsl_error_handler_t *old = gsl_set_error_handler_off();
    gsl_multifit_nlinear_workspace *work = NULL;
    *a = *b = 0;
    if (!(spread > 0) || !(min_dist >= 0) || !(min_dist <= spread))
        GM_FAIL(GM_EARG, "min-dist is %g and spread is %g, expected 0 <= min-dist <= spread",
                min_dist, spread);

    work = gsl_multifit_nlinear_alloc(gsl_multifit_nlinear_trust, &how, N_POINTS, 2);
    if (work == NULL) GM_FAIL(GM_EMEM, "no memory to fit the curve of the layout");
    double start[] = {1, 1};
    gsl_vector_view view = gsl_vector_view_array(start, 2);
    fill_target(&t, min_dist / spread);
    int info = 0, code = gsl_multifit_nlinear_init(&view.vector, &problem, work);
    if (code == GSL_SUCCESS)
        code = gsl_multifit_nlinear_driver(MAX_STEPS, 1e-12, 1e-12, 0, NULL, NULL, &info, work);
    if (code != GSL_SUCCESS && code != GSL_ENOPROG)
        GM_FAIL(GM_ENUMERIC, "no curve fits min-dist %g and spread %g: %s", min_dist, spread,
                gsl_strerror(code));
    double found_a = gsl_vector_get(work->x, 0), found_b = gsl_vector_get(work->x, 1);
    found_a *= pow(spread, -2 * found_b);
    if (!(found_a > 0) || !(found_b > 0) || !isfinite(found_a) || !isfinite(found_b))
        GM_FAIL(GM_ENUMERIC,
                "the curve for min-dist %g and spread %g has a = %g and b = %g, expected positive "
                "numbers",
                min_dist, spread, found_a, found_b);
    *a = seven_digits(found_a);
    *b = seven_digits(found_b);
out:
    gsl_multifit_nlinear_free(work);
    gsl_set_error_handler(old);
    return status;
}
