/* sha256.c - SHA-256, FIPS 180-4, sections 5 and 6.2. */
#include "base/sha256.h"

#include "base/sha256_blocks.h"

#include <string.h>

/* Fractional parts of the cube roots of the first 64 primes. */
const uint32_t gm_sha256_round[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t rotate(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

static uint32_t load_big_endian(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* Section 6.2.2: one block of 64 bytes into the state; names as in the standard. */
static void add_block(uint32_t state[8], const uint8_t block[64])
{
    uint32_t w[64];
    for (size_t t = 0; t < 16; t++) w[t] = load_big_endian(block + 4 * t);
    for (int t = 16; t < 64; t++) {
        uint32_t s0 = rotate(w[t - 15], 7) ^ rotate(w[t - 15], 18) ^ w[t - 15] >> 3;
        uint32_t s1 = rotate(w[t - 2], 17) ^ rotate(w[t - 2], 19) ^ w[t - 2] >> 10;
        w[t] = s1 + w[t - 7] + s0 + w[t - 16];
    }

    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (int t = 0; t < 64; t++) {
        uint32_t sum1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
        uint32_t choose = (e & f) ^ (~e & g);
        uint32_t t1 = h + sum1 + choose + gm_sha256_round[t] + w[t];
        uint32_t sum0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
        uint32_t majority = (a & b) ^ (a & c) ^ (b & c);
        h = g, g = f, f = e, e = d + t1;
        d = c, c = b, b = a, a = t1 + sum0 + majority;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
    state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

void gm_sha256_blocks_plain(uint32_t state[8], const uint8_t *at, size_t n)
{
    for (; n > 0; n--, at += 64) add_block(state, at);
}

static void add_blocks(uint32_t state[8], const uint8_t *at, size_t n)
{
    (gm_sha256_has_x86() ? gm_sha256_blocks_x86 : gm_sha256_blocks_plain)(state, at, n);
}

void gm_sha256_init(gm_sha256 *hash)
{
    /* Section 5.3.3: fractional parts of the square roots of the first 8 primes. */
    *hash = (gm_sha256){.state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f,
                                  0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};
}

void gm_sha256_update(gm_sha256 *hash, const void *bytes, size_t n)
{
    const uint8_t *at = bytes;
    size_t held = hash->n_bytes % 64;
    hash->n_bytes += n;

    if (held > 0) {
        size_t take = n < 64 - held ? n : 64 - held;
        memcpy(hash->block + held, at, take);
        at += take, n -= take;
        if (held + take < 64) return;
        add_blocks(hash->state, hash->block, 1);
    }
    if (n >= 64) add_blocks(hash->state, at, n / 64);
    if (n % 64 > 0) memcpy(hash->block, at + n / 64 * 64, n % 64);
}

void gm_sha256_final(gm_sha256 *hash, uint8_t digest[32])
{
    /* Section 5.1.1: a one bit, zeros, and the length in bits as 64 bits. */
    static const uint8_t padding[64] = {0x80};
    uint64_t n_bits = hash->n_bytes * 8;
    uint8_t length[8];
    for (int i = 0; i < 8; i++) length[i] = (uint8_t)(n_bits >> (56 - 8 * i));

    size_t held = hash->n_bytes % 64;
    gm_sha256_update(hash, padding, held < 56 ? 56 - held : 120 - held);
    gm_sha256_update(hash, length, sizeof length);
    for (int i = 0; i < 32; i++) digest[i] = (uint8_t)(hash->state[i / 4] >> (24 - 8 * (i % 4)));
}

void gm_sha256_of(const void *bytes, size_t n, uint8_t digest[32])
{
    gm_sha256 hash;
    gm_sha256_init(&hash);
    if (n > 0) gm_sha256_update(&hash, bytes, n);
    gm_sha256_final(&hash, digest);
}

static const char digits[] = "0123456789abcdef";

void gm_sha256_hex(const uint8_t digest[32], char hex[65])
{
    for (size_t i = 0; i < 32; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    hex[64] = '\0';
}

bool gm_sha256_from_hex(uint8_t digest[32], const char hex[64])
{
    for (size_t i = 0; i < 32; i++) {
        const char *high = memchr(digits, hex[2 * i], 16),
                   *low = memchr(digits, hex[2 * i + 1], 16);
        if (high == NULL || low == NULL) return false;
        digest[i] = (uint8_t)((high - digits) << 4 | (low - digits));
    }
    return true;
}
