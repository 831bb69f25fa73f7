/* sha_index.h - private to probe: documents found by the SHA-256 of their text. */
#ifndef GM_SHA_INDEX_H
#define GM_SHA_INDEX_H

#include "base/base.h"

typedef struct gm_sha_index {
    const uint8_t *sha;     /* (n,32) borrowed */
    const uint8_t **sorted; /* (n) into sha */
    size_t n;
} gm_sha_index;

/* GM_EMEM. */
gm_status gm_sha_index_init(gm_sha_index *index, const uint8_t *sha, size_t n, gm_error *err)
    GM_MUST_USE;
void gm_sha_index_clear(gm_sha_index *index);

/* Find documents i with keep[i] (n) not 0 only. */
void gm_sha_index_keep(gm_sha_index *index, const uint8_t *keep);

/* The first document with this text, or -1. */
int64_t gm_sha_index_find(const gm_sha_index *index, const uint8_t sha[32]);

#endif
