/* words.h - the words of a text: as scikit-learn's default analyser finds them where spaces stand
 * between words, pairs of characters in Chinese and Japanese, of clusters in Thai and its like.
 *
 * NFC, Unicode lower case (final sigma too), runs of two or more word characters (letters,
 * digits, underscore) with the marks that follow them. In runs of Han and of hiragana each two
 * neighbours are a word, in runs of Thai, Lao, Khmer and Burmese letters each two clusters (a
 * letter, its marks, and letters that no word's end parts from it: split.c); katakana is a run of
 * its own. Options: stop lists (English, Russian), folding of yo to ye. Stems are for grouping
 * words, never for showing them.
 */
#ifndef GM_WORDS_H
#define GM_WORDS_H

#include "base/arena.h"

/* Distinct words and their numbers 0..n-1 in order of first appearance. Words are compared byte by
 * byte, and hold no NUL. */
typedef struct gm_vocabulary gm_vocabulary;

gm_status gm_vocabulary_create(gm_vocabulary **out, gm_error *err) GM_MUST_USE;
void gm_vocabulary_free(gm_vocabulary *vocabulary);
size_t gm_vocabulary_n(const gm_vocabulary *vocabulary);
/* Of an id below n; the vocabulary's, as long as it lives. */
const char *gm_vocabulary_word(const gm_vocabulary *vocabulary, uint32_t id);
/* The id of word[0..n); false: not there, *id as it was. */
bool gm_vocabulary_find(const gm_vocabulary *vocabulary, const char *word, size_t n, uint32_t *id);
/* The same, added when it is new. GM_EMEM. */
gm_status gm_vocabulary_add(gm_vocabulary *vocabulary, const char *word, size_t n, uint32_t *id,
                            gm_error *err) GM_MUST_USE;

/* Texts of valid UTF-8, which may hold NUL. All borrowed. */
typedef struct gm_texts {
    const char *const *at;
    const size_t *n_bytes;
    size_t n;
} gm_texts;

/* Bag of words: a row a text, entries by word ascending. */
typedef struct gm_bag {
    size_t n_rows, n_entries;
    uint64_t *indptr; /* (n_rows+1) row i has entries indptr[i] .. indptr[i+1]-1 */
    uint32_t *word;   /* (n_entries) */
    double *value;    /* (n_entries) counts, or weights after gm_tfidf_apply */
} gm_bag;

typedef enum gm_stop_words {
    GM_STOP_NONE = 0,
    GM_STOP_ENGLISH = 1,
    GM_STOP_RUSSIAN = 2
} gm_stop_words;

typedef struct gm_words_options {
    unsigned stop;                 /* sum of gm_stop_words */
    bool fold_yo;                  /* Russian yo counts as ye */
    const char *const *extra_stop; /* further stop words, ending with NULL; or NULL */
} gm_words_options;

/* Count the words of texts, one row each; new words join the vocabulary unless
 * `frozen`, when they are left out. Errors: GM_EMEM; *out is empty then. */
gm_status gm_bag_count(gm_bag *out, gm_vocabulary *vocabulary, bool frozen, gm_texts texts,
                       const gm_words_options *options, gm_error *err) GM_MUST_USE;
void gm_bag_clear(gm_bag *bag);

/* Snowball stemmers, English and Russian. Not thread-safe: one a thread. */
typedef struct gm_stemmer gm_stemmer;

gm_status gm_stemmer_create(gm_stemmer **out, gm_error *err) GM_MUST_USE;
void gm_stemmer_free(gm_stemmer *stemmer);

/* The stem of a lower-case word, *n_bytes long: Russian when the word holds a Cyrillic letter,
 * otherwise English. Valid until the next call, and as long as `word`, which it is where memory is
 * short. */
const char *gm_stem(gm_stemmer *stemmer, const char *word, size_t *n_bytes);

#endif
