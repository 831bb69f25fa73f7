/* sha256_x86.c - SHA-256 by the instructions of x86 for it: see sha256_blocks.h.
 *
 * Source: FIPS 180-4, section 6.2.2; Intel 64 and IA-32 Architectures Software Developer's
 *         Manual, volume 2, SHA256RNDS2, SHA256MSG1, SHA256MSG2.
 */
#include "base/sha256_blocks.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#include <stdatomic.h>
#include <string.h>

static bool ask_processor(void)
{
    enum { SSSE3_SSE41 = 1 << 9 | 1 << 19, SHA = 1 << 29 };
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & SSSE3_SSE41) != SSSE3_SSE41) return false;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & SHA) != 0;
}

bool gm_sha256_has_x86(void)
{
    static atomic_int answer; /* 0: not asked yet; to ask takes longer than a block */
    int known = atomic_load_explicit(&answer, memory_order_relaxed);
    if (known == 0) {
        known = ask_processor() ? 1 : -1;
        atomic_store_explicit(&answer, known, memory_order_relaxed);
    }
    return known > 0;
}

static __m128i load(const void *at)
{
    return _mm_loadu_si128(at);
}

/* The processor keeps the state as two registers, from the top (a,b,e,f) and (c,d,g,h), and does
 * two rounds at a time, after which what was (a,b,e,f) is (c,d,g,h). Words of the schedule are
 * made four at a time of the sixteen before. */
__attribute__((target("sha,sse4.1"))) void gm_sha256_blocks_x86(uint32_t state[8],
                                                                const uint8_t *at, size_t n)
{
    const __m128i big_endian = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
    __m128i abef = _mm_set_epi32((int)state[0], (int)state[1], (int)state[4], (int)state[5]);
    __m128i cdgh = _mm_set_epi32((int)state[2], (int)state[3], (int)state[6], (int)state[7]);
    for (; n > 0; n--, at += 64) {
        const __m128i abef_before = abef, cdgh_before = cdgh;
        __m128i w[16]; /* the schedule, four words each */
#pragma GCC unroll 16
        for (size_t i = 0; i < 16; i++) {
            if (i < 4) {
                w[i] = _mm_shuffle_epi8(load(at + 16 * i), big_endian);
            } else {
                const __m128i seven_back = _mm_alignr_epi8(w[i - 1], w[i - 2], 4);
                const __m128i sum =
                    _mm_add_epi32(_mm_sha256msg1_epu32(w[i - 4], w[i - 3]), seven_back);
                w[i] = _mm_sha256msg2_epu32(sum, w[i - 1]);
            }
            const __m128i four = _mm_add_epi32(w[i], load(gm_sha256_round + 4 * i));
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, four);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(four, 0x0E));
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    uint32_t first[4], second[4];
    memcpy(first, &abef, sizeof first);
    memcpy(second, &cdgh, sizeof second);
    for (int i = 0; i < 2; i++) {
        state[i] = first[3 - i];
        state[i + 2] = second[3 - i];
        state[i + 4] = first[1 - i];
        state[i + 6] = second[1 - i];
    }
}

#else

bool gm_sha256_has_x86(void)
{
    return false;
}

void gm_sha256_blocks_x86(uint32_t state[8], const uint8_t *at, size_t n)
{
    gm_sha256_blocks_plain(state, at, n);
}

#endif
