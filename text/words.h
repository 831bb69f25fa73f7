/* words.h - the words of a text, as scikit-learn's default analyser finds them.
 *
 * NFC, Unicode lower case, runs of two or more word characters (letters, digits,
 * underscore; not combining marks). Options: stop lists (English, Russian), folding
 * of yo to ye, grouping by Snowball stem.
 */
#ifndef GM_WORDS_H
#define GM_WORDS_H

#include "base/arena.h"

/* Distinct words and their numbers 0..n-1 in order of first appearance. */
typedef struct gm_vocabulary gm_vocabulary;

gm_status gm_vocabulary_create(gm_vocabulary **out, gm_error *err) GM_MUST_USE;
void gm_vocabulary_free(gm_vocabulary *vocabulary);
size_t gm_vocabulary_n(const gm_vocabulary *vocabulary);
const char *gm_vocabulary_word(const gm_vocabulary *vocabulary, uint32_t id);
bool gm_vocabulary_find(const gm_vocabulary *vocabulary, const char *word, uint32_t *id);
/* The id of a word, added when it is new. */
gm_status gm_vocabulary_add(gm_vocabulary *vocabulary, const char *word, size_t n, uint32_t *id,
                            gm_error *err) GM_MUST_USE;

/* Bag of words: CSR of counts, columns ascending within a row. */
typedef struct gm_bag {
    size_t n_rows, n_entries;
    uint64_t *indptr;  /* (n_rows+1) */
    uint32_t *word;    /* (n_entries) */
    float *value;      /* (n_entries) counts, or weights after gm_tfidf */
} gm_bag;

typedef enum gm_stop_words { GM_STOP_NONE = 0, GM_STOP_ENGLISH = 1, GM_STOP_RUSSIAN = 2 } gm_stop_words;

typedef struct gm_words_options {
    unsigned stop;      /* sum of gm_stop_words; English is scikit-learn's list of 318 */
    bool fold_yo;       /* Russian yo counts as ye */
    const char *const *extra_stop; /* NULL-terminated, or NULL */
} gm_words_options;

/* Count the words of texts, one row each; new words join the vocabulary unless
 * `frozen`, when unknown words are left out. text[i] has n_bytes[i] bytes of valid
 * UTF-8. The same result for any number of threads. */
gm_status gm_bag_count(gm_bag *out, gm_vocabulary *vocabulary, bool frozen,
                       const char *const *text, const size_t *n_bytes, size_t n_texts,
                       const gm_words_options *options, gm_error *err) GM_MUST_USE;
void gm_bag_clear(gm_bag *bag);

/* The stem of a word (Snowball; Russian for words with Cyrillic letters, otherwise
 * English), appended to the arena; the word itself when it has none. */
const char *gm_stem(gm_arena *arena, const char *word);

#endif
