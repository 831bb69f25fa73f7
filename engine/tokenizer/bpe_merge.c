/* bpe_merge.c - joining neighbours by rank.
 *
 * Short pieces: look for the lowest rank, join, look again; quadratic, and the
 * fastest way for words. Long pieces: a heap of candidate pairs over a linked
 * list, n log n for any text. Both join the lowest rank first and, among equal
 * ranks, the leftmost pair.
 */
#include "engine/tokenizer/bpe.h"
#include "engine/tokenizer/bytehash.h"

#include <string.h>

enum { SHORT_PIECE = 40 };

static const uint64_t no_merge = UINT64_MAX;

/* rank << 32 | joined id of a pair; no_merge when it has none. */
static inline uint64_t find_merge(const gm_bpe *bpe, uint32_t left, uint32_t right)
{
    uint64_t pair = (uint64_t)left << 32 | right;
    if (bpe->n_slots == 0) return no_merge;
    size_t mask = bpe->n_slots - 1;
    for (size_t at = (size_t)gm_hash_pair(pair) & mask;; at = (at + 1) & mask) {
        const gm_merge *m = &bpe->merge[at];
        if (m->rank == GM_NO_RANK) return no_merge;
        if (m->pair == pair) return (uint64_t)m->rank << 32 | m->id;
    }
}

static size_t merge_short(const gm_bpe *bpe, gm_token *token, uint64_t *merge, size_t n)
{
    for (size_t i = 0; i + 1 < n; i++) merge[i] = find_merge(bpe, token[i].id, token[i + 1].id);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (merge[i] < merge[best]) best = i;
        if (merge[best] == no_merge) break;

        token[best] = (gm_token){.id = (uint32_t)merge[best], .end = token[best + 1].end};
        n--;
        memmove(token + best + 1, token + best + 2, (n - best - 1) * sizeof *token);
        memmove(merge + best, merge + best + 1, (n - best) * sizeof *merge);
        if (best > 0) merge[best - 1] = find_merge(bpe, token[best - 1].id, token[best].id);
        if (best + 1 < n) merge[best] = find_merge(bpe, token[best].id, token[best + 1].id);
    }
    return n;
}

/* ---- long pieces ---- */

static void sift_down(uint64_t *heap, size_t n, size_t at)
{
    uint64_t item = heap[at];
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && heap[child + 1] < heap[child]) child++;
        if (item <= heap[child]) break;
        heap[at] = heap[child];
    }
    heap[at] = item;
}

static void heap_push(gm_bpe_work *work, uint64_t item)
{
    size_t at = work->n_heap++;
    for (; at > 0 && item < work->heap[(at - 1) / 2]; at = (at - 1) / 2)
        work->heap[at] = work->heap[(at - 1) / 2];
    work->heap[at] = item;
}

static uint64_t heap_pop(gm_bpe_work *work)
{
    uint64_t top = work->heap[0];
    work->heap[0] = work->heap[--work->n_heap];
    if (work->n_heap > 1) sift_down(work->heap, work->n_heap, 0);
    return top;
}

/* Candidates are rank << 32 | left symbol. */
static void push_candidate(const gm_bpe *bpe, gm_bpe_work *work, uint32_t left, uint32_t right)
{
    uint64_t merge = find_merge(bpe, work->token[left].id, work->token[right].id);
    if (merge != no_merge) heap_push(work, (merge & ~(uint64_t)UINT32_MAX) | left);
}

static void fill_heap(const gm_bpe *bpe, gm_bpe_work *work, size_t n)
{
    work->n_heap = 0;
    for (size_t i = 0; i + 1 < n; i++) {
        uint64_t merge = find_merge(bpe, work->token[i].id, work->token[i + 1].id);
        if (merge == no_merge) continue;
        work->heap[work->n_heap++] = (merge & ~(uint64_t)UINT32_MAX) | i;
    }
    for (size_t i = work->n_heap / 2; i-- > 0;) sift_down(work->heap, work->n_heap, i);
}

static size_t merge_long(const gm_bpe *bpe, gm_bpe_work *work, size_t n)
{
    gm_token *token = work->token;
    gm_bpe_link *link = work->link;
    for (size_t i = 0; i < n; i++)
        link[i] = (gm_bpe_link){.before = i ? (uint32_t)i - 1 : GM_NO_TOKEN,
                                .after = i + 1 < n ? (uint32_t)i + 1 : GM_NO_TOKEN};
    fill_heap(bpe, work, n);

    while (work->n_heap > 0) {
        uint64_t top = heap_pop(work);
        uint32_t left = (uint32_t)top, right = link[left].after;
        if (token[left].id == GM_NO_TOKEN || right == GM_NO_TOKEN) continue;
        /* A candidate of long ago: the pair there now is another one. */
        uint64_t merge = find_merge(bpe, token[left].id, token[right].id);
        if (merge >> 32 != top >> 32) continue;

        token[left] = (gm_token){.id = (uint32_t)merge, .end = token[right].end};
        token[right].id = GM_NO_TOKEN;
        uint32_t after = link[right].after, before = link[left].before;
        link[left].after = after;
        if (after != GM_NO_TOKEN) {
            link[after].before = left;
            push_candidate(bpe, work, left, after);
        }
        if (before != GM_NO_TOKEN) push_candidate(bpe, work, before, left);
    }
    size_t left = 0;
    for (size_t i = 0; i < n; i++)
        if (token[i].id != GM_NO_TOKEN) token[left++] = token[i];
    return left;
}

size_t gm_bpe_merge(const gm_bpe *bpe, gm_bpe_work *work, size_t n)
{
    return n <= SHORT_PIECE ? merge_short(bpe, work->token, work->heap, n)
                            : merge_long(bpe, work, n);
}
