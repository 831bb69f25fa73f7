/* arena.c - small blocks cut from chunks, freed together. */
#include "base/arena.h"

#include <string.h>

enum { DEFAULT_CHUNK_BYTES = 64 * 1024, LINE = 64, SMALL = 16 };

/* Header of a chunk; its blocks begin one cache line after it. */
typedef struct gm_arena_chunk {
    struct gm_arena_chunk *before;
    size_t used, cap; /* bytes after the header */
} chunk;

static char *chunk_bytes(chunk *c)
{
    return (char *)c + LINE;
}

/* Where the next block of `align` (a power of two) would begin. */
static size_t aligned_end(const chunk *c, size_t align)
{
    return (c->used + align - 1) & ~(align - 1);
}

static chunk *new_chunk(size_t bytes)
{
    if (bytes > SIZE_MAX - LINE) return NULL;
    chunk *c = gm_alloc(bytes + LINE, 1);
    if (c != NULL) c->cap = bytes;
    return c;
}

void *gm_arena_alloc(gm_arena *arena, size_t n, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes)) return NULL;

    size_t align = bytes >= LINE ? LINE : SMALL;
    chunk *c = arena->last;
    if (c == NULL || aligned_end(c, align) > c->cap || c->cap - aligned_end(c, align) < bytes) {
        size_t usual = arena->chunk_bytes ? arena->chunk_bytes : DEFAULT_CHUNK_BYTES;
        chunk *fresh = new_chunk(bytes > usual ? bytes : usual);
        if (fresh == NULL) return NULL;
        if (c != NULL && bytes > usual) {
            /* A chunk of its own is listed after the newest, which still has room. */
            fresh->before = c->before;
            c->before = fresh;
        } else {
            fresh->before = c;
            arena->last = fresh;
        }
        c = fresh;
    }
    size_t at = aligned_end(c, align);
    c->used = at + bytes;
    return chunk_bytes(c) + at;
}

char *gm_arena_text(gm_arena *arena, const char *bytes, size_t n)
{
    char *copy = n < SIZE_MAX ? gm_arena_alloc(arena, n + 1, 1) : NULL;
    if (copy != NULL && n > 0) memcpy(copy, bytes, n);
    return copy;
}

void gm_arena_clear(gm_arena *arena)
{
    for (chunk *c = arena->last; c != NULL;) {
        chunk *before = c->before;
        gm_free(c);
        c = before;
    }
    arena->last = NULL;
}
