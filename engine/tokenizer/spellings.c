/* spellings.c - spellings and ids, both ways. */
#include "engine/tokenizer/spellings.h"

#include "base/text.h"
#include "engine/tokenizer/bytehash.h"

enum { FIRST_SLOTS = 64, FIRST_IDS = 64 };

/* The slot that holds the spelling, or the free one where it belongs. */
static size_t slot_of(const gm_spellings *v, const char *spelling, size_t n)
{
    size_t mask = v->n_slots - 1, at = (size_t)gm_hash_bytes(spelling, n) & mask;
    while (v->slot[at] != 0) {
        const gm_spelling *s = &v->by_id[v->slot[at] - 1];
        if (s->n == n && memcmp(s->at, spelling, n) == 0) break;
        at = (at + 1) & mask;
    }
    return at;
}

/* Half of the slots stay free. */
static gm_status grow_slots(gm_spellings *v, gm_error *err)
{
    if (2 * (v->n + 1) <= v->n_slots) return GM_OK;
    size_t n_slots = v->n_slots ? 2 * v->n_slots : FIRST_SLOTS;
    uint32_t *slot = gm_alloc(n_slots, sizeof *slot);
    if (slot == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu tokens", v->n);
    gm_free(v->slot);
    v->slot = slot;
    v->n_slots = n_slots;
    for (size_t id = 0; id < v->n_ids; id++)
        if (v->by_id[id].at) slot[slot_of(v, v->by_id[id].at, v->by_id[id].n)] = (uint32_t)id + 1;
    return GM_OK;
}

static gm_status grow_ids(gm_spellings *v, uint32_t id, gm_error *err)
{
    if (id < v->ids_cap) return GM_OK;
    size_t cap = v->ids_cap ? v->ids_cap : FIRST_IDS;
    while (cap <= id) cap *= 2;
    gm_spelling *by_id = gm_grow(v->by_id, v->n_ids, cap, sizeof *by_id);
    if (by_id == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu tokens", cap);
    v->by_id = by_id;
    v->ids_cap = cap;
    return GM_OK;
}

gm_status gm_spellings_add(gm_spellings *v, const char *spelling, size_t n, uint32_t id,
                           const char *where, gm_error *err)
{
    char shown[96], other[96];
    gm_text_escape(shown, sizeof shown, spelling, n);
    if (id >= GM_MAX_TOKEN_ID)
        return gm_fail(err, GM_EFORMAT, "'%s': token '%s' has id %u, expected less than %u", where,
                       shown, (unsigned)id, (unsigned)GM_MAX_TOKEN_ID);
    if (gm_spellings_get(v, id).at != NULL) {
        gm_text_escape(other, sizeof other, v->by_id[id].at, v->by_id[id].n);
        return gm_fail(err, GM_EFORMAT, "'%s': tokens '%s' and '%s' have the same id %u", where,
                       other, shown, (unsigned)id);
    }
    gm_status status = grow_slots(v, err);
    if (status == GM_OK) status = grow_ids(v, id, err);
    if (status != GM_OK) return status;

    size_t slot = slot_of(v, spelling, n);
    if (v->slot[slot] != 0)
        return gm_fail(err, GM_EFORMAT, "'%s': token '%s' has two ids, %u and %u", where, shown,
                       (unsigned)v->slot[slot] - 1, (unsigned)id);
    const char *copy = gm_arena_text(&v->arena, spelling, n);
    if (copy == NULL) return gm_fail(err, GM_EMEM, "no memory for token '%s'", shown);
    v->by_id[id] = (gm_spelling){copy, n};
    if (id >= v->n_ids) v->n_ids = (size_t)id + 1;
    v->slot[slot] = id + 1;
    v->n++;
    return GM_OK;
}

bool gm_spellings_find(const gm_spellings *v, const char *spelling, size_t n, uint32_t *id)
{
    if (v->n_slots == 0) return false;
    uint32_t found = v->slot[slot_of(v, spelling, n)];
    if (found == 0) return false;
    *id = found - 1;
    return true;
}

gm_spelling gm_spellings_get(const gm_spellings *v, uint32_t id)
{
    return id < v->n_ids ? v->by_id[id] : (gm_spelling){0};
}

void gm_spellings_clear(gm_spellings *v)
{
    gm_arena_clear(&v->arena);
    gm_free(v->by_id);
    gm_free(v->slot);
    *v = (gm_spellings){0};
}
