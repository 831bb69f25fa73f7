/* curve.h - the low-dimensional curve 1/(1 + a x^(2b)) of UMAP.
 *
 * Least squares on 300 points in [0, 3 spread] against 1 for x < min_dist and
 * exp(-(x - min_dist)/spread) beyond, as umap-learn's find_ab_params. Rounded to 7
 * significant digits, so that the last bits of a solver do not change a layout.
 */
#ifndef GM_CURVE_H
#define GM_CURVE_H

#include "base/base.h"

/* Errors: GM_EARG unless spread > 0 and 0 <= min_dist <= spread; GM_ENUMERIC when the fit
 * does not converge; GM_EMEM. */
gm_status gm_curve_fit(double min_dist, double spread, double *a, double *b, gm_error *err)
    GM_MUST_USE;

#endif
