/* piece_cache.c - pieces of text met before, and the tokens they gave. */
#include "engine/tokenizer/piece_cache.h"

#include <string.h>

enum {
    N_SLOTS = 1 << 17, /* a power of two */
    MAX_PIECES = N_SLOTS / 2,
    STORE_BYTES = MAX_PIECES * 48 /* a piece of 10 bytes and 2 tokens takes 32 */
};

/* `place` is where the piece lies in the store, in units of 8 bytes; 0: free. */
typedef struct gm_piece_slot {
    uint32_t hash; /* its upper half; the lower half chose the slot */
    uint32_t place;
    uint8_t n_bytes, n_tokens;
} slot;

gm_status gm_piece_cache_init(gm_piece_cache *cache, gm_error *err)
{
    *cache = (gm_piece_cache){.used = 8}; /* place 0 means free */
    cache->slot = gm_alloc(N_SLOTS, sizeof *cache->slot);
    cache->store = gm_alloc(STORE_BYTES, 1);
    if (cache->slot && cache->store) return GM_OK;
    gm_piece_cache_clear(cache);
    return gm_fail(err, GM_EMEM, "no memory for a cache of pieces");
}

void gm_piece_cache_clear(gm_piece_cache *cache)
{
    gm_free(cache->slot);
    gm_free(cache->store);
    *cache = (gm_piece_cache){0};
}

const gm_token *gm_piece_cache_find(const gm_piece_cache *cache, const char *piece, size_t n,
                                    uint64_t hash, size_t *n_tokens)
{
    for (size_t at = (size_t)hash % N_SLOTS;; at = (at + 1) % N_SLOTS) {
        const slot *s = &cache->slot[at];
        if (s->place == 0) return NULL;
        if (s->hash != (uint32_t)(hash >> 32) || s->n_bytes != n) continue;
        const uint8_t *block = cache->store + (size_t)s->place * 8;
        if (memcmp(block + s->n_tokens * sizeof(gm_token), piece, n) != 0) continue;
        *n_tokens = s->n_tokens;
        return (const gm_token *)(const void *)block; /* blocks are 8-byte aligned */
    }
}

void gm_piece_cache_put(gm_piece_cache *cache, const char *piece, size_t n, uint64_t hash,
                        const gm_token *tokens, size_t n_tokens)
{
    if (n > GM_PIECE_CACHE_BYTES || n_tokens > UINT8_MAX) return;
    size_t bytes = (n_tokens * sizeof *tokens + n + 7) / 8 * 8;
    if (bytes == 0) return;
    if (cache->n == MAX_PIECES || bytes > STORE_BYTES - cache->used) {
        memset(cache->slot, 0, N_SLOTS * sizeof *cache->slot);
        cache->n = 0;
        cache->used = 8;
    }
    size_t at = (size_t)hash % N_SLOTS;
    while (cache->slot[at].place != 0) at = (at + 1) % N_SLOTS;

    uint8_t *block = cache->store + cache->used;
    if (n_tokens > 0) memcpy(block, tokens, n_tokens * sizeof *tokens);
    memcpy(block + n_tokens * sizeof *tokens, piece, n);
    cache->slot[at] = (slot){.hash = (uint32_t)(hash >> 32),
                             .place = (uint32_t)(cache->used / 8),
                             .n_bytes = (uint8_t)n,
                             .n_tokens = (uint8_t)n_tokens};
    cache->n++;
    cache->used += bytes;
}
