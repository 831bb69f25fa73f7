/* stats.c - see stats.h. */
#include "steer/stats.h"

#include <math.h>
#include <string.h>

#include "base/rng.h"

static double log_choose(size_t n, size_t k)
{
    return lgamma((double)n + 1) - lgamma((double)k + 1) - lgamma((double)(n - k) + 1);
}

double gm_fisher_greater(size_t hits, size_t n, size_t other_hits, size_t other_n)
{
    size_t all = n + other_n, all_hits = hits + other_hits;
    size_t most = all_hits < n ? all_hits : n;
    double sum = 0;
    if (n == 0 || other_n == 0) return 1;
    for (size_t k = hits; k <= most; k++) {
        if (all_hits - k > other_n) continue;
        sum +=
            exp(log_choose(n, k) + log_choose(other_n, all_hits - k) - log_choose(all, all_hits));
    }
    return sum < 1 ? sum : 1;
}

double gm_block_difference(const gm_observation *at, size_t n)
{
    double total = 0;
    size_t n_blocks = 0;
    for (size_t i = 0; i < n;) {
        double sum[2] = {0, 0};
        size_t count[2] = {0, 0}, j = i;
        for (; j < n && at[j].block == at[i].block; j++) {
            sum[at[j].treated] += at[j].value;
            count[at[j].treated]++;
        }
        if (count[0] > 0 && count[1] > 0) {
            total += sum[1] / (double)count[1] - sum[0] / (double)count[0];
            n_blocks++;
        }
        i = j;
    }
    return n_blocks > 0 ? total / (double)n_blocks : (double)NAN;
}

/* Exchange the labels within each block: Fisher-Yates. */
static void relabel(gm_observation *at, size_t n, gm_rng *rng)
{
    for (size_t i = 0; i < n;) {
        size_t j = i + 1;
        while (j < n && at[j].block == at[i].block) j++;
        for (size_t k = j; k > i + 1; k--) { /* the k-th goes to a place in [i, k) */
            size_t other = i + gm_rng_below(rng, k - i);
            bool label = at[k - 1].treated;
            at[k - 1].treated = at[other].treated;
            at[other].treated = label;
        }
        i = j;
    }
}

gm_status gm_permutation_greater(double *p, const gm_observation *at, size_t n, size_t draws,
                                 uint64_t seed, gm_error *err)
{
    gm_rng rng = gm_rng_make(seed, 0);
    double seen = gm_block_difference(at, n);
    size_t as_large = 0;
    *p = (double)NAN;
    if (isnan(seen)) return GM_OK;

    gm_observation *copy = gm_alloc(n, sizeof *copy);
    if (copy == NULL) return gm_fail(err, GM_EMEM, "no memory for a permutation test");
    memcpy(copy, at, n * sizeof *copy);
    for (size_t d = 0; d < draws; d++) {
        relabel(copy, n, &rng);
        as_large += gm_block_difference(copy, n) >= seen - 1e-12 * fabs(seen);
    }
    gm_free(copy);
    *p = (1 + (double)as_large) / (1 + (double)draws);
    return GM_OK;
}
