/* regex.h - regular expressions of a tokenizer.json, run by PCRE2.
 *
 * The files are written for Oniguruma (Ruby syntax). A pattern is translated into
 * the PCRE2 pattern of the same meaning; whatever the two engines read
 * differently, or might, is refused by name (regex_dialect.c lists it).
 */
#ifndef GM_REGEX_H
#define GM_REGEX_H

#include "base/text.h"

typedef struct gm_regex gm_regex;           /* compiled, immutable, shareable */
typedef struct gm_regex_work gm_regex_work; /* what one thread needs to match */

/* Compile a pattern of n bytes. `where` names the file in messages. Errors:
 * GM_EFORMAT (names the construct and its place), GM_EMEM. */
gm_status gm_regex_compile(gm_regex **out, const char *pattern, size_t n, const char *where,
                           gm_error *err) GM_MUST_USE;
void gm_regex_free(gm_regex *regex);

/* True unless every match is at least one character long. */
bool gm_regex_may_be_empty(const gm_regex *regex);

gm_status gm_regex_work_create(gm_regex_work **out, gm_error *err) GM_MUST_USE;
void gm_regex_work_free(gm_regex_work *work);

/* Walking over the matches of a text; starts as {.at = text, .n = bytes}. An
 * empty match that touches the match before it is passed over, as Oniguruma's
 * users do. */
typedef struct gm_regex_walk {
    const char *at; /* valid UTF-8, borrowed */
    size_t n;
    size_t from; /* private: where to look next */
    bool begun;  /* private: something was matched, the last match ended at `from` */
} gm_regex_walk;

/* The next match as bytes [*start,*stop); *found is false at the end. Errors:
 * GM_EFORMAT when a pattern needs more memory or steps than PCRE2's limits. */
gm_status gm_regex_next(const gm_regex *regex, gm_regex_work *work, gm_regex_walk *walk,
                        size_t *start, size_t *stop, bool *found, gm_error *err) GM_MUST_USE;

/* The translation alone (regex_dialect.c): appends the PCRE2 pattern to *out. */
gm_status gm_regex_translate(gm_text *out, const char *pattern, size_t n, const char *where,
                             gm_error *err) GM_MUST_USE;

#endif
