/* sha_index.c - see sha_index.h. */
#include "probe/sha_index.h"

#include <stdlib.h>
#include <string.h>

enum { SHA_BYTES = 32 };

static int by_sha(const void *x, const void *y)
{
    const uint8_t *a = *(const uint8_t *const *)x, *b = *(const uint8_t *const *)y;
    int order = memcmp(a, b, SHA_BYTES);
    return order ? order : (a > b) - (a < b); /* of equal texts the first */
}

gm_status gm_sha_index_init(gm_sha_index *index, const uint8_t *sha, size_t n, gm_error *err)
{
    *index = (gm_sha_index){.sha = sha, .sorted = gm_alloc(n, sizeof *index->sorted), .n = n};
    if (index->sorted == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu documents", n);
    for (size_t i = 0; i < n; i++) index->sorted[i] = sha + i * SHA_BYTES;
    qsort(index->sorted, n, sizeof *index->sorted, by_sha);
    return GM_OK;
}

void gm_sha_index_clear(gm_sha_index *index)
{
    gm_free(index->sorted);
    *index = (gm_sha_index){0};
}

void gm_sha_index_keep(gm_sha_index *index, const uint8_t *keep)
{
    const size_t n = index->n;
    index->n = 0;
    for (size_t k = 0; k < n; k++)
        if (keep[(index->sorted[k] - index->sha) / SHA_BYTES])
            index->sorted[index->n++] = index->sorted[k];
}

int64_t gm_sha_index_find(const gm_sha_index *index, const uint8_t sha[32])
{
    size_t lo = 0, hi = index->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (memcmp(index->sorted[mid], sha, SHA_BYTES) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == index->n || memcmp(index->sorted[lo], sha, SHA_BYTES) != 0) return -1;
    return (index->sorted[lo] - index->sha) / SHA_BYTES;
}
