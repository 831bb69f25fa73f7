/* vocabulary.c - distinct words and their numbers: open addressing, linear probing. */
#include "text/words.h"

#include <string.h>

enum { FIRST_SLOTS = 1 << 12 };

struct gm_vocabulary {
    gm_arena names;
    const char **word; /* (cap) by id */
    uint64_t *hash;    /* (cap) by id */
    size_t n, cap;
    uint32_t *slot; /* (n_slots) id + 1; 0: free; n_slots is a power of two > 2n */
    size_t n_slots;
};

/* FNV-1a, 64 bits, its high bits mixed down: the low ones choose the slot. */
static uint64_t hash_of(const char *word, size_t n)
{
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < n; i++) hash = (hash ^ (unsigned char)word[i]) * 1099511628211u;
    return hash ^ hash >> 32;
}

gm_status gm_vocabulary_create(gm_vocabulary **out, gm_error *err)
{
    gm_vocabulary *v = gm_alloc(1, sizeof *v);
    *out = v;
    if (v) v->slot = gm_alloc(FIRST_SLOTS, sizeof *v->slot);
    if (v == NULL || v->slot == NULL) {
        gm_vocabulary_free(v);
        *out = NULL;
        return gm_fail(err, GM_EMEM, "no memory for a vocabulary");
    }
    v->n_slots = FIRST_SLOTS;
    return GM_OK;
}

void gm_vocabulary_free(gm_vocabulary *vocabulary)
{
    if (vocabulary == NULL) return;
    gm_arena_clear(&vocabulary->names);
    gm_free(vocabulary->word);
    gm_free(vocabulary->hash);
    gm_free(vocabulary->slot);
    gm_free(vocabulary);
}

size_t gm_vocabulary_n(const gm_vocabulary *vocabulary)
{
    return vocabulary->n;
}

const char *gm_vocabulary_word(const gm_vocabulary *vocabulary, uint32_t id)
{
    return vocabulary->word[id];
}

/* The slot that holds the word, or the free one where it would go. */
static size_t find_slot(const gm_vocabulary *v, const char *word, size_t n, uint64_t hash)
{
    size_t at = hash & (v->n_slots - 1);
    for (; v->slot[at] != 0; at = (at + 1) & (v->n_slots - 1)) {
        uint32_t id = v->slot[at] - 1;
        if (v->hash[id] == hash && strncmp(v->word[id], word, n) == 0 && v->word[id][n] == '\0')
            break;
    }
    return at;
}

bool gm_vocabulary_find(const gm_vocabulary *vocabulary, const char *word, size_t n, uint32_t *id)
{
    size_t at = find_slot(vocabulary, word, n, hash_of(word, n));
    if (vocabulary->slot[at] == 0) return false;
    *id = vocabulary->slot[at] - 1;
    return true;
}

static bool grow_words(gm_vocabulary *v)
{
    size_t cap = v->cap ? 2 * v->cap : 1024;
    const char **word = gm_grow(v->word, v->n, cap, sizeof *word);
    if (word) v->word = word;
    uint64_t *hash = word ? gm_grow(v->hash, v->n, cap, sizeof *hash) : NULL;
    if (hash == NULL) return false;
    v->hash = hash, v->cap = cap;
    return true;
}

static bool grow_slots(gm_vocabulary *v)
{
    size_t n_slots = 2 * v->n_slots;
    uint32_t *slot = gm_alloc(n_slots, sizeof *slot);
    if (slot == NULL) return false;
    for (uint32_t id = 0; id < v->n; id++) {
        size_t at = v->hash[id] & (n_slots - 1);
        while (slot[at] != 0) at = (at + 1) & (n_slots - 1);
        slot[at] = id + 1;
    }
    gm_free(v->slot);
    v->slot = slot, v->n_slots = n_slots;
    return true;
}

gm_status gm_vocabulary_add(gm_vocabulary *vocabulary, const char *word, size_t n, uint32_t *id,
                            gm_error *err)
{
    gm_vocabulary *v = vocabulary;
    uint64_t hash = hash_of(word, n);
    size_t at = find_slot(v, word, n, hash);
    if (v->slot[at] != 0) {
        *id = v->slot[at] - 1;
        return GM_OK;
    }
    const char *copy = gm_arena_text(&v->names, word, n);
    if (copy == NULL || (v->n == v->cap && !grow_words(v)) ||
        (2 * (v->n + 1) > v->n_slots && !grow_slots(v)))
        return gm_fail(err, GM_EMEM, "no memory for a vocabulary of %zu words", v->n + 1);
    at = find_slot(v, word, n, hash); /* the slots may be new */
    *id = (uint32_t)v->n++;
    v->word[*id] = copy;
    v->hash[*id] = hash;
    v->slot[at] = *id + 1;
    return GM_OK;
}
