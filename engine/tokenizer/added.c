/* added.c - added tokens: finding them in text. */
#include "engine/tokenizer/added.h"

#include "engine/tokenizer/codepoint.h"

const gm_added_token *gm_added_get(const gm_added *added, uint32_t id)
{
    uint32_t place = id < added->names.n_ids ? added->by_id[id] : 0;
    return place ? &added->token[place - 1] : NULL;
}

/* The character that ends at at[stop), stop >= 1, and where it begins. */
static uint32_t char_before(const char *at, size_t stop, size_t *start)
{
    uint32_t c;
    *start = stop - 1;
    while (*start > 0 && gm_is_tail_byte(at[*start])) --*start;
    (void)gm_utf8_decode(at + *start, stop - *start, &c);
    return c;
}

static bool touches_word(const gm_added_walk *walk, size_t start, size_t stop)
{
    uint32_t c;
    size_t before;
    if (start > 0 && gm_is_word(char_before(walk->at, start, &before))) return true;
    if (stop == walk->n) return false;
    (void)gm_utf8_decode(walk->at + stop, walk->n - stop, &c);
    return gm_is_word(c);
}

static size_t skip_space_left(const gm_added_walk *walk, size_t start)
{
    size_t before;
    while (start > walk->done && gm_is_white_space(char_before(walk->at, start, &before)))
        start = before;
    return start;
}

static size_t skip_space_right(const gm_added_walk *walk, size_t stop)
{
    while (stop < walk->n) {
        uint32_t c;
        size_t len = gm_utf8_decode(walk->at + stop, walk->n - stop, &c);
        if (!gm_is_white_space(c)) break;
        stop += len;
    }
    return stop;
}

bool gm_added_next(const gm_added *added, const gm_trie *trie, gm_added_walk *walk, size_t *start,
                   size_t *stop, uint32_t *id)
{
    uint32_t place;
    while (gm_trie_find(trie, walk->at, walk->n, walk->from, start, stop, &place)) {
        const gm_added_token *token = &added->token[place];
        walk->from = *stop;
        if (token->single_word && touches_word(walk, *start, *stop)) continue;
        /* As in the reference, matching goes on inside the white space taken; a token
         * that takes its left side and has nothing of its own left is dropped. */
        if (token->lstrip) *start = skip_space_left(walk, *start);
        if (token->lstrip && *start < walk->done) *start = walk->done;
        if (token->rstrip) *stop = skip_space_right(walk, *stop);
        if (*start >= *stop) continue;
        walk->done = *stop;
        *id = token->id;
        return true;
    }
    return false;
}
