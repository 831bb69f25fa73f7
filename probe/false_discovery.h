/* false_discovery.h - private to probe: p values of many tests at once.
 *
 * Source: Benjamini and Hochberg 1995, Journal of the Royal Statistical Society B 57, 289-300. If
 * every test of an adjusted p of q or less is called a discovery, at most a share q of these is
 * expected to be false, where tests are independent or positively dependent.
 */
#ifndef GM_FALSE_DISCOVERY_H
#define GM_FALSE_DISCOVERY_H

#include "base/base.h"

/* Adjust `p` (n) in place: of the p that is k-th from below, the least of p(j) m/j over j >= k,
 * where m is the number of tests. NaN is no test, and stays. GM_EMEM. */
gm_status gm_false_discovery(double *p, size_t n, gm_error *err) GM_MUST_USE;

#endif
