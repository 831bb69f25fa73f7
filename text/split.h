/* split.h - a text cut into words. What a word is: words.h. */
#ifndef GM_SPLIT_H
#define GM_SPLIT_H

#include "base/text.h"

/* Characters below this are looked up: Latin, Greek, Cyrillic. */
enum { GM_KNOWN_CHARACTERS = 0x530 };

typedef struct gm_alphabet {
    uint16_t lower[GM_KNOWN_CHARACTERS]; /* 0: not a word character; UINT16_MAX: it depends */
    bool fold_yo;
} gm_alphabet;

void gm_alphabet_init(gm_alphabet *out, bool fold_yo);

/* Called for each word, lower case, n bytes; returning anything but GM_OK ends the text. */
typedef gm_status (*gm_word_taker)(void *to, const char *word, size_t n, gm_error *err);

/* `room` is scratch that grows; keep it from text to text. Errors: GM_EMEM, the taker's. */
gm_status gm_split_words(const gm_alphabet *alphabet, const char *bytes, size_t n, gm_text *room,
                         gm_word_taker take, void *to, gm_error *err) GM_MUST_USE;

/* True: a text of such characters alone is in NFC. Also false for many that would be; true for
 * nearly all in English, Russian and Chinese. */
bool gm_is_composed(uint32_t code_point);

#endif
