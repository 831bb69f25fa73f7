/* spellings.h - spellings and ids, both ways. */
#ifndef GM_SPELLINGS_H
#define GM_SPELLINGS_H

#include "base/arena.h"

/* An id at or above this is refused: it would ask for tables of gigabytes. */
#define GM_MAX_TOKEN_ID (UINT32_C(1) << 24)

typedef struct gm_spelling {
    const char *at; /* NULL: no token has this id */
    size_t n;
} gm_spelling;

typedef struct gm_spellings {
    gm_arena arena;     /* holds the spellings */
    gm_spelling *by_id; /* (ids_cap) */
    size_t n_ids;       /* one more than the largest id */
    size_t ids_cap;
    size_t n;       /* tokens */
    uint32_t *slot; /* (n_slots) id + 1, 0 when free; open addressing */
    size_t n_slots; /* a power of two, or 0 */
} gm_spellings;     /* starts as (gm_spellings){0} */

/* Add a token. Errors: GM_EFORMAT when the spelling or the id is taken or the id
 * is too large (the sentence says which), GM_EMEM. */
gm_status gm_spellings_add(gm_spellings *v, const char *spelling, size_t n, uint32_t id,
                           const char *where, gm_error *err) GM_MUST_USE;

/* False when no token is spelt so. */
bool gm_spellings_find(const gm_spellings *v, const char *spelling, size_t n, uint32_t *id);

/* {NULL, 0} when no token has this id. */
gm_spelling gm_spellings_get(const gm_spellings *v, uint32_t id);
void gm_spellings_clear(gm_spellings *v);

#endif
