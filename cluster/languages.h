/* languages.h - the language of every document: as the corpus named it, else guessed from the text.
 *
 * Sizes: N documents, G languages.
 */
#ifndef GM_LANGUAGES_H
#define GM_LANGUAGES_H

#include "cluster/usage.h"

enum { GM_MAX_LANGUAGES = 255 }; /* the rarest beyond are one */

typedef struct gm_languages {
    uint16_t *code;    /* (N) in canonical order, below n; NULL: nothing is known */
    size_t n;          /* G */
    const char **name; /* (n) by number of documents, most first, then by name */
    char *texts;       /* holds the names */
    bool given;        /* by the corpus, where it does; else all are guessed */
} gm_languages;

/* text, n_bytes (N) in canonical order, borrowed; NULL: there are none. A document whose language
 * nobody knows is "unknown". Errors: GM_EMEM; *out is empty then. */
gm_status gm_languages_find(gm_languages *out, const gm_trace *trace, const gm_usage *usage,
                            const char *const *text, const size_t *n_bytes, gm_error *err)
    GM_MUST_USE;
void gm_languages_clear(gm_languages *languages);

#endif
