/* ids.c - a growing list of token ids. */
#include "engine/tokenizer/tokenizer.h"

gm_status gm_ids_append(gm_ids *ids, uint32_t id, gm_error *err)
{
    if (ids->n == ids->cap) {
        size_t cap = ids->cap ? 2 * ids->cap : 16;
        uint32_t *at = gm_grow(ids->at, ids->n, cap, sizeof *at);
        if (at == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu token ids", cap);
        ids->at = at;
        ids->cap = cap;
    }
    ids->at[ids->n++] = id;
    return GM_OK;
}

void gm_ids_clear(gm_ids *ids)
{
    gm_free(ids->at);
    *ids = (gm_ids){0};
}
