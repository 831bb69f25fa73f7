/* names.h - private to formats: a set of names, numbered in order of appearance. */
#ifndef GM_NAMES_H
#define GM_NAMES_H

#include "base/arena.h"

typedef struct gm_names {
    const char **at; /* (n) in the arena; NULL while empty */
    size_t n, cap;
    uint32_t *slot; /* (n_slots) 1 + number, 0: free; open addressing */
    size_t n_slots;
    gm_arena arena;
} gm_names;

/* The number of `name`, copied and numbered if it is new. Starts as (gm_names){0}.
 * GM_EMEM; GM_EARG where it would be number `max`. */
gm_status gm_names_add(gm_names *names, const char *name, size_t max, size_t *number, gm_error *err)
    GM_MUST_USE;
void gm_names_clear(gm_names *names);

#endif
