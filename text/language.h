/* language.h - which language a text is written in, as CLD2 guesses it from its letters.
 *
 * Some 80 languages; how often it is right: README.md. A build without CLD2 guesses nothing.
 * Source: Sites 2013, Compact Language Detector 2.
 */
#ifndef GM_LANGUAGE_H
#define GM_LANGUAGE_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How many of a text's first bytes are used. */
enum { GM_LANGUAGE_BYTES = 1024 };

/* Is it part of this build? */
bool gm_language_is_there(void);

/* The main language of UTF-8 bytes[0..n): a code of ISO 639-1 where there is one ("en", "ru", "zh",
 * "zh-Hant"), "" unknown, NULL without memory. Static text; thread-safe. The same bytes give the
 * same code. */
const char *gm_language_of(const char *bytes, size_t n);

#ifdef __cplusplus
}
#endif

#endif
