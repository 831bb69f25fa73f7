/* rng.c - random numbers by counter: Philox4x32-10 of Random123. */
#include "base/rng.h"

#include <Random123/philox.h>
#include <math.h>

/* The serial functions draw from this step, so they never repeat what
 * gm_rng_at gives for the same stream. */
#define SERIAL_STEP UINT32_MAX

gm_rng gm_rng_make(uint64_t seed, uint64_t stream)
{
    return (gm_rng){.seed = seed, .stream = stream};
}

/* Counter: index (64 bits), step, low half of the stream. Key: seed, with the
 * high half of the stream folded in. Streams of one seed therefore never share a
 * (key, counter) pair. */
void gm_rng_at(const gm_rng *rng, uint64_t index, uint32_t step, uint32_t out[4])
{
    philox4x32_ctr_t counter = {
        {(uint32_t)index, (uint32_t)(index >> 32), step, (uint32_t)rng->stream}};
    philox4x32_key_t key = {
        {(uint32_t)rng->seed, (uint32_t)(rng->seed >> 32) ^ (uint32_t)(rng->stream >> 32)}};
    philox4x32_ctr_t word = philox4x32(counter, key);
    for (int i = 0; i < 4; i++) out[i] = word.v[i];
}

static uint64_t next_u64(gm_rng *rng)
{
    uint32_t word[4];
    gm_rng_at(rng, rng->next++, SERIAL_STEP, word);
    return (uint64_t)word[1] << 32 | word[0];
}

uint32_t gm_rng_next(gm_rng *rng)
{
    return (uint32_t)next_u64(rng);
}

double gm_rng_unit(gm_rng *rng)
{
    return (double)(next_u64(rng) >> 11) * 0x1p-53;
}

uint64_t gm_rng_below(gm_rng *rng, uint64_t n)
{
    /* The lowest 2^64 mod n values are drawn again: the rest is a multiple of n. */
    uint64_t skip = (0 - n) % n;
    uint64_t value;
    do value = next_u64(rng);
    while (value < skip);
    return value % n;
}

double gm_rng_normal(gm_rng *rng)
{
    /* Box-Muller; 1 - u is in (0,1], so the logarithm is finite. */
    double radius = sqrt(-2.0 * log(1.0 - gm_rng_unit(rng)));
    return radius * cos(6.283185307179586 * gm_rng_unit(rng));
}

void gm_rng_shuffle(gm_rng *rng, uint32_t *items, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        size_t j = (size_t)gm_rng_below(rng, i);
        uint32_t item = items[i - 1];
        items[i - 1] = items[j];
        items[j] = item;
    }
}
