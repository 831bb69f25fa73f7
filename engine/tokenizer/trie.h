/* trie.h - finds the leftmost of a set of byte strings in a text, and the longest
 * of those that begin there. */
#ifndef GM_TRIE_H
#define GM_TRIE_H

#include "base/base.h"

typedef struct gm_trie {
    struct gm_trie_node *node; /* (n); node 0 is the root */
    size_t n, cap;
    uint32_t first[256]; /* child of the root by byte; 0: none */
} gm_trie;               /* starts as (gm_trie){0} */

/* Add a string of n >= 1 bytes with its `value`; of equal strings the first
 * counts. */
gm_status gm_trie_add(gm_trie *trie, const char *bytes, size_t n, uint32_t value, gm_error *err)
    GM_MUST_USE;

/* The first match at or after `from`, as bytes [*start,*stop). Cost: O(n) over
 * text that begins no string, the longest string per byte at worst. */
bool gm_trie_find(const gm_trie *trie, const char *text, size_t n, size_t from, size_t *start,
                  size_t *stop, uint32_t *value);
void gm_trie_clear(gm_trie *trie);

#endif
