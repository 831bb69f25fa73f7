/* language.h - which language a text is written in, as CLD2 guesses it from its letters.
 *
 * Some 80 languages. How often it is right: README.md. Where the build has no CLD2, nothing is
 * guessed. Source: Sites 2013, Compact Language Detector 2.
 */
#ifndef GM_LANGUAGE_H
#define GM_LANGUAGE_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of a text that are looked at, its first ones. */
enum { GM_LANGUAGE_BYTES = 1024 };

/* Is it part of this build? */
bool gm_language_is_there(void);

/* The language of UTF-8 bytes[0..n), or of most of them: a code of ISO 639-1 where there is one
 * ("en", "ru", "zh", "zh-Hant"), "" when it cannot be told, NULL without memory. Static text;
 * threads may ask at once. The same bytes give the same code. */
const char *gm_language_of(const char *bytes, size_t n);

#ifdef __cplusplus
}
#endif

#endif
