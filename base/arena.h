/* arena.h - many small blocks that live and die together.
 *
 * Memory comes in chunks from gm_alloc and is given back by gm_arena_clear at
 * once; single blocks are never freed. Blocks are zeroed and aligned to 64 bytes
 * when they hold 64 bytes or more, to 16 otherwise. Not thread-safe.
 */
#ifndef GM_ARENA_H
#define GM_ARENA_H

#include "base/base.h"

typedef struct gm_arena {
    struct gm_arena_chunk *last; /* newest chunk; NULL when empty */
    size_t chunk_bytes;          /* size of the next chunk; 0 means 64 KiB */
} gm_arena;

/* An arena starts as (gm_arena){0}. n items of `size` bytes; NULL when the
 * product overflows or memory is short. */
void *gm_arena_alloc(gm_arena *arena, size_t n, size_t size) GM_MUST_USE;

/* A copy of n bytes and a NUL; NULL when memory is short. */
char *gm_arena_text(gm_arena *arena, const char *bytes, size_t n) GM_MUST_USE;

/* Frees everything; the arena is empty and may be used again. */
void gm_arena_clear(gm_arena *arena);

#endif
