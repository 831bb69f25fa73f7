/* names.c - numbering names: see names.h. */
#include "formats/names.h"

#include <string.h>

static uint64_t hash_of(const char *name) /* FNV-1a */
{
    uint64_t hash = 0xCBF29CE484222325u;
    for (; *name; name++) hash = (hash ^ (uint8_t)*name) * 0x100000001B3u;
    return hash;
}

/* The slot that holds `name`, or the free one where it belongs. */
static size_t find_slot(const gm_names *names, const char *name)
{
    size_t i = hash_of(name) & (names->n_slots - 1);
    while (names->slot[i] && strcmp(names->at[names->slot[i] - 1], name) != 0)
        i = (i + 1) & (names->n_slots - 1);
    return i;
}

static gm_status grow(gm_names *names, gm_error *err)
{
    size_t cap = names->cap ? 2 * names->cap : 32;
    const char **at = gm_grow(names->at, names->cap, cap, sizeof *at);
    if (at == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu names", cap);
    names->at = at;
    names->cap = cap;
    uint32_t *slot = gm_alloc(2 * cap, sizeof *slot);
    if (slot == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu names", cap);
    gm_free(names->slot);
    names->slot = slot;
    names->n_slots = 2 * cap;
    for (size_t i = 0; i < names->n; i++) slot[find_slot(names, at[i])] = (uint32_t)i + 1;
    return GM_OK;
}

gm_status gm_names_add(gm_names *names, const char *name, size_t max, size_t *number, gm_error *err)
{
    gm_status status = GM_OK;
    *number = 0;
    if (names->n_slots < 2 * (names->n + 1)) GM_TRY(grow(names, err));
    size_t i = find_slot(names, name);
    if (names->slot[i] == 0) {
        if (names->n >= max) GM_FAIL(GM_EARG, "more than %zu names, the next is '%s'", max, name);
        names->at[names->n] = gm_arena_text(&names->arena, name, strlen(name));
        if (names->at[names->n] == NULL) GM_FAIL(GM_EMEM, "no memory for name '%s'", name);
        names->slot[i] = (uint32_t)++names->n;
    }
    *number = names->slot[i] - 1;
out:
    return status;
}

void gm_names_clear(gm_names *names)
{
    gm_free(names->at);
    gm_free(names->slot);
    gm_arena_clear(&names->arena);
    *names = (gm_names){0};
}
