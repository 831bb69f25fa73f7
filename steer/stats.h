/* stats.h - the two tests behind the table of gm-steer sweep. */
#ifndef GM_STATS_H
#define GM_STATS_H

#include "base/base.h"

/* Fisher's exact test, one-sided: the probability, margins fixed, of at least `hits`
 * successes among n when other_hits of other_n succeeded elsewhere. 1 when either
 * group is empty. Source: Fisher 1935; hypergeometric tail summed in double. */
double gm_fisher_greater(size_t hits, size_t n, size_t other_hits, size_t other_n);

/* One value of a permutation test: `treated` values are compared with the others of
 * the same block (same prompt, same cluster), and labels are exchanged within a block. */
typedef struct gm_observation {
    double value;
    uint32_t block;
    bool treated;
} gm_observation;

/* Mean over blocks of (mean treated - mean others); blocks without both are left out.
 * NaN when there are none. The observations are ordered by block. */
double gm_block_difference(const gm_observation *at, size_t n);

/* The one-sided p of that difference over `draws` random relabellings, the one seen
 * counted: (1 + at least as large) / (1 + draws). Observations are ordered by block and
 * come back as they were. GM_EMEM. */
gm_status gm_permutation_greater(double *p, const gm_observation *at, size_t n, size_t draws,
                                 uint64_t seed, gm_error *err) GM_MUST_USE;

#endif
