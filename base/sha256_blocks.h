/* sha256_blocks.h - private to base: whole blocks of 64 bytes into the state of SHA-256.
 *
 * The plain version is the definition; the other uses x86's SHA instructions where the processor
 * has them, and gives the same bits.
 */
#ifndef GM_SHA256_BLOCKS_H
#define GM_SHA256_BLOCKS_H

#include "base/base.h"

/* Section 4.2.2: the constants of the 64 rounds. */
extern const uint32_t gm_sha256_round[64];

/* state (8), written; at (n,64). */
typedef void gm_sha256_blocks(uint32_t state[8], const uint8_t *at, size_t n);

gm_sha256_blocks gm_sha256_blocks_plain;
gm_sha256_blocks gm_sha256_blocks_x86; /* only where gm_sha256_has_x86 */
bool gm_sha256_has_x86(void);

#endif
