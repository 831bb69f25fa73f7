/* fuzz_words.c - any text as words: counts agree with the vocabulary, and every
 * word is UTF-8, at least two characters long, and has a stem.
 */
#include "base/text.h"
#include "text/words.h"
#include "tests/fuzz/demand.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check_word(const gm_vocabulary *vocabulary, gm_stemmer *stemmer, uint32_t id)
{
    const char *word = gm_vocabulary_word(vocabulary, id);
    const size_t n = strlen(word);
    uint32_t first, found;
    size_t n_stem = 0;
    demand(n >= 2 && gm_utf8_valid(word, n) == n && gm_utf8_decode(word, n, &first) < n);
    demand(gm_vocabulary_find(vocabulary, word, n, &found) && found == id);
    const char *stem = gm_stem(stemmer, word, &n_stem);
    demand(stem != NULL && gm_utf8_valid(stem, n_stem) == n_stem);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    if (n == 0) return 0;
    const unsigned flags = bytes[0];
    const char *const text[2] = {(const char *)bytes + 1, "two words"};
    const size_t n_bytes[2] = {n - 1, 9};
    const gm_words_options options = {.stop = flags & 3, .fold_yo = (flags & 4) != 0};
    gm_error err = {0};
    gm_vocabulary *vocabulary = NULL;
    gm_stemmer *stemmer = NULL;
    gm_bag bag, frozen;
    if (gm_utf8_valid(text[0], n_bytes[0]) != n_bytes[0]) return 0;

    demand(gm_vocabulary_create(&vocabulary, &err) == GM_OK);
    demand(gm_stemmer_create(&stemmer, &err) == GM_OK);
    demand(gm_bag_count(&bag, vocabulary, false, (gm_texts){text, n_bytes, 2}, &options, &err) ==
           GM_OK);
    demand(gm_bag_count(&frozen, vocabulary, true, (gm_texts){text, n_bytes, 2}, &options, &err) ==
           GM_OK);
    demand(bag.n_entries == frozen.n_entries && bag.n_rows == 2);
    demand(bag.indptr[0] == 0 && bag.indptr[2] == bag.n_entries);
    for (size_t i = 0; i < bag.n_entries; i++) {
        bool first_of_row = i == 0 || i == bag.indptr[1];
        demand(bag.word[i] < gm_vocabulary_n(vocabulary) && bag.value[i] >= 1);
        demand(first_of_row || bag.word[i - 1] < bag.word[i]);
        demand(bag.word[i] == frozen.word[i] && !(bag.value[i] > frozen.value[i]));
    }
    for (uint32_t id = 0; id < gm_vocabulary_n(vocabulary); id++)
        check_word(vocabulary, stemmer, id);
    gm_bag_clear(&bag);
    gm_bag_clear(&frozen);
    gm_stemmer_free(stemmer);
    gm_vocabulary_free(vocabulary);
    return 0;
}
