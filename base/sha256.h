/* sha256.h - SHA-256 of bytes. Source: FIPS 180-4. */
#ifndef GM_SHA256_H
#define GM_SHA256_H

#include "base/base.h"

typedef struct gm_sha256 {
    uint32_t state[8];
    uint64_t n_bytes;
    uint8_t block[64];
} gm_sha256;

void gm_sha256_init(gm_sha256 *hash);
void gm_sha256_update(gm_sha256 *hash, const void *bytes, size_t n);
void gm_sha256_final(gm_sha256 *hash, uint8_t digest[32]);

/* All at once, and as 64 lower-case hex digits with a NUL. */
void gm_sha256_of(const void *bytes, size_t n, uint8_t digest[32]);
void gm_sha256_hex(const uint8_t digest[32], char hex[65]);
/* Back from the 64 digits; false when they are not. */
bool gm_sha256_from_hex(uint8_t digest[32], const char hex[64]);

#endif
