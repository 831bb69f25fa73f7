/* piece_cache.h - pieces of text met before, and the tokens they gave.
 *
 * Words repeat: on prose nine pieces in ten are found here. Memory is bounded;
 * when it is full everything is forgotten at once, so the cache follows the text.
 */
#ifndef GM_PIECE_CACHE_H
#define GM_PIECE_CACHE_H

#include "base/base.h"

/* A longer piece is not kept. */
#define GM_PIECE_CACHE_BYTES 64

/* One token of a piece: bytes up to `end` of the piece are spelt by now. */
typedef struct gm_token {
    uint32_t id, end;
} gm_token;

typedef struct gm_piece_cache {
    struct gm_piece_slot *slot; /* (N_SLOTS) open addressing */
    uint8_t *store;             /* (STORE_BYTES) tokens, then the bytes, of each piece */
    size_t n, used;             /* slots and bytes in use */
} gm_piece_cache;               /* starts as (gm_piece_cache){0} */

gm_status gm_piece_cache_init(gm_piece_cache *cache, gm_error *err) GM_MUST_USE;
void gm_piece_cache_clear(gm_piece_cache *cache);

/* The tokens of a piece (n <= GM_PIECE_CACHE_BYTES) with this hash, NULL when it
 * was not met; borrowed until the next put. A piece may have no tokens. */
const gm_token *gm_piece_cache_find(const gm_piece_cache *cache, const char *piece, size_t n,
                                    uint64_t hash, size_t *n_tokens);

/* Remember a piece that was not found. */
void gm_piece_cache_put(gm_piece_cache *cache, const char *piece, size_t n, uint64_t hash,
                        const gm_token *tokens, size_t n_tokens);

#endif
