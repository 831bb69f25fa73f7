/* rng.h - random numbers by counter: the same for any number of threads, and on
 * the GPU.
 *
 * A gm_rng is a key (seed, stream); numbers are a pure function of key and
 * counter. Use gm_rng_at in parallel work (counter = index of the item), gm_rng_next in
 * serial work.
 *
 * Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3";
 *         Philox4x32-10 from Random123.
 */
#ifndef GM_RNG_H
#define GM_RNG_H

#include "base/base.h"

typedef struct gm_rng {
    uint64_t seed;
    uint64_t stream; /* what the numbers are for; different streams are independent */
    uint64_t next;   /* counter of the serial functions */
} gm_rng;

gm_rng gm_rng_make(uint64_t seed, uint64_t stream);

/* Four words for counter (index, step): a pure function of rng->seed, ->stream. */
void gm_rng_at(const gm_rng *rng, uint64_t index, uint32_t step, uint32_t out[4]);

/* Serial: each call takes the next counter. */
uint32_t gm_rng_next(gm_rng *rng);
double gm_rng_unit(gm_rng *rng);                             /* [0,1), 53 bits */
uint64_t gm_rng_below(gm_rng *rng, uint64_t n);              /* [0,n) without bias, n >= 1 */
double gm_rng_normal(gm_rng *rng);                           /* mean 0, variance 1 */
void gm_rng_shuffle(gm_rng *rng, uint32_t *items, size_t n); /* Fisher-Yates, in place */

#endif
