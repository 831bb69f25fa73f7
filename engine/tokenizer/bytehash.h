/* bytehash.h - a 64-bit hash of a few bytes, for tables in memory.
 *
 * Eight bytes at a time are folded in by a 64 x 64 -> 128 bit multiplication
 * whose halves are xored (as in wyhash). Not for files, not against attackers.
 */
#ifndef GM_BYTEHASH_H
#define GM_BYTEHASH_H

#include "base/base.h"

#include <string.h>

static inline uint64_t gm_hash_fold(uint64_t a, uint64_t b)
{
#ifdef __SIZEOF_INT128__
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
#else
    a *= b;
    return a ^ a >> 32;
#endif
}

static inline uint64_t gm_hash_bytes(const char *bytes, size_t n)
{
    const uint64_t k0 = UINT64_C(0x9E3779B97F4A7C15), k1 = UINT64_C(0xD6E8FEB86659FD93);
    uint64_t hash = k0 ^ n, word = 0;
    for (; n > 8; n -= 8, bytes += 8) {
        memcpy(&word, bytes, 8);
        hash = gm_hash_fold(hash ^ word, k1);
    }
    word = 0;
    memcpy(&word, bytes, n);
    return gm_hash_fold(gm_hash_fold(hash ^ word, k1), k0);
}

/* Of a pair of 32-bit numbers. */
static inline uint64_t gm_hash_pair(uint64_t pair)
{
    return gm_hash_fold(pair ^ UINT64_C(0xD6E8FEB86659FD93), UINT64_C(0x9E3779B97F4A7C15));
}

#endif
