/* codepoint.h - the classes of characters that splitting asks for, as the
 * reference draws them.
 *
 * Categories are those of utf8proc (Unicode 15.0 in version 2.8).
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

/* True when the byte is not the first of its character. */
static inline bool gm_is_tail_byte(char byte)
{
    return ((unsigned char)byte & 0xC0) == 0x80;
}

#endif
