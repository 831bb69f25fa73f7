/* text_bag.h - bags of words of texts written in a test. */
#ifndef GM_TEXT_BAG_H
#define GM_TEXT_BAG_H

#include "tests/check.h"
#include "text/words.h"

typedef struct text_bag {
    gm_vocabulary *vocabulary;
    gm_bag counts;
} text_bag;

static inline text_bag text_bag_make(const char *const *text, size_t n, const gm_words_options *how)
{
    text_bag made = {0};
    gm_error err = {0};
    size_t *n_bytes = gm_alloc(n, sizeof *n_bytes);
    for (size_t i = 0; i < n; i++) n_bytes[i] = strlen(text[i]);
    CHECK_OK(gm_vocabulary_create(&made.vocabulary, &err), err);
    CHECK_OK(
        gm_bag_count(&made.counts, made.vocabulary, false, (gm_texts){text, n_bytes, n}, how, &err),
        err);
    gm_free(n_bytes);
    return made;
}

static inline void text_bag_clear(text_bag *bag)
{
    gm_bag_clear(&bag->counts);
    gm_vocabulary_free(bag->vocabulary);
}

/* The number of a word that must be there. */
static inline uint32_t text_bag_id(const text_bag *bag, const char *word)
{
    uint32_t id = 0;
    if (!gm_vocabulary_find(bag->vocabulary, word, strlen(word), &id))
        TEST_FAILED_("no word '%s'", word);
    return id;
}

#endif
