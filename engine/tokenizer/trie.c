/* trie.c - finds the leftmost-longest of a set of byte strings in a text. */
#include "engine/tokenizer/trie.h"

typedef struct gm_trie_node {
    uint32_t child, sibling; /* 0: none */
    uint32_t value;          /* + 1; 0: no string ends here */
    uint8_t byte;
} node;

static gm_status new_node(gm_trie *trie, uint8_t byte, uint32_t *out, gm_error *err)
{
    if (trie->n == trie->cap) {
        size_t cap = trie->cap ? 2 * trie->cap : 256;
        node *grown = cap < UINT32_MAX ? gm_grow(trie->node, trie->n, cap, sizeof *grown) : NULL;
        if (grown == NULL) return gm_fail(err, GM_EMEM, "no memory for the added tokens");
        trie->node = grown;
        trie->cap = cap;
        if (trie->n == 0) trie->n = 1; /* the root */
    }
    *out = (uint32_t)trie->n++;
    trie->node[*out] = (node){.byte = byte};
    return GM_OK;
}

/* The child of `at` by `byte`; 0 when there is none. */
static uint32_t child_of(const gm_trie *trie, uint32_t at, uint8_t byte)
{
    if (at == 0) return trie->first[byte];
    uint32_t child = trie->node[at].child;
    while (child && trie->node[child].byte != byte) child = trie->node[child].sibling;
    return child;
}

gm_status gm_trie_add(gm_trie *trie, const char *bytes, size_t n, uint32_t value, gm_error *err)
{
    uint32_t at = 0;
    for (size_t i = 0; i < n; i++) {
        uint8_t byte = (uint8_t)bytes[i];
        uint32_t next = child_of(trie, at, byte);
        if (next == 0) {
            gm_status status = new_node(trie, byte, &next, err);
            if (status != GM_OK) return status;
            if (at == 0) {
                trie->first[byte] = next;
            } else {
                trie->node[next].sibling = trie->node[at].child;
                trie->node[at].child = next;
            }
        }
        at = next;
    }
    if (at != 0 && trie->node[at].value == 0) trie->node[at].value = value + 1;
    return GM_OK;
}

bool gm_trie_find(const gm_trie *trie, const char *text, size_t n, size_t from, size_t *start,
                  size_t *stop, uint32_t *value)
{
    for (size_t begin = from; begin < n; begin++) {
        uint32_t at = trie->first[(uint8_t)text[begin]];
        bool found = false;
        for (size_t i = begin + 1; at != 0; i++) {
            if (trie->node[at].value) {
                *value = trie->node[at].value - 1;
                *start = begin;
                *stop = i;
                found = true;
            }
            if (i == n) break;
            at = child_of(trie, at, (uint8_t)text[i]);
        }
        if (found) return true;
    }
    return false;
}

void gm_trie_clear(gm_trie *trie)
{
    gm_free(trie->node);
    *trie = (gm_trie){0};
}
