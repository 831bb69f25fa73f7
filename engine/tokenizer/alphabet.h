/* alphabet.h - the 256 characters in which byte-level vocabularies spell bytes.
 *
 * Printable Latin-1 spells itself, the other 68 bytes are U+0100 and up in
 * their order: a space is U+0120, a newline U+010A.
 * Source: GPT-2's encoder.py, bytes_to_unicode.
 */
#ifndef GM_ALPHABET_H
#define GM_ALPHABET_H

#include "base/base.h"

/* The code point that spells a byte. */
uint32_t gm_byte_symbol(uint8_t byte);

/* The byte that a code point spells; false when it spells none. */
bool gm_symbol_byte(uint32_t code_point, uint8_t *byte);

#endif
