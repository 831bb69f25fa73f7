/* codepoint.h - the classes of characters that splitting and normalizing ask for,
 * as the reference draws them (codepoint_tables.h).
 */
#ifndef GM_CODEPOINT_H
#define GM_CODEPOINT_H

#include "base/base.h"

/* The property White_Space, 25 characters: Rust's char::is_whitespace and
 * Oniguruma's \s. */
bool gm_is_white_space(uint32_t code_point);

/* Categories Nd, Nl and No: Rust's char::is_numeric. */
bool gm_is_numeric(uint32_t code_point);

/* ASCII punctuation and symbols, and the categories P*. */
bool gm_is_punctuation(uint32_t code_point);

/* \w of Rust's regex crate: Alphabetic, M, Nd, Pc and the two joiners. */
bool gm_is_word(uint32_t code_point);

/* True for a character that is too young for the reference's normal forms: it
 * stays as it is, and nothing joins it. */
bool gm_is_inert(uint32_t code_point);

/* The lower case of a character, where that is one character (not for U+0130). */
uint32_t gm_lower_of(uint32_t code_point);

/* True when the byte is not the first of its character. */
static inline bool gm_is_tail_byte(char byte)
{
    return ((unsigned char)byte & 0xC0) == 0x80;
}

#endif
