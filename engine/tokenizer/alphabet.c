/* alphabet.c - the 256 characters in which byte-level vocabularies spell bytes. */
#include "engine/tokenizer/alphabet.h"

/* The bytes that do not stand for themselves: 0x00-0x20, 0x7F-0xA0 and 0xAD. */
enum { N_LOW = 0x21, N_MIDDLE = 0xA1 - 0x7F, N_MOVED = N_LOW + N_MIDDLE + 1 };

uint32_t gm_byte_symbol(uint8_t byte)
{
    if (byte < 0x21) return 0x100u + byte;
    if (byte >= 0x7F && byte < 0xA1) return 0x100u + N_LOW + byte - 0x7Fu;
    if (byte == 0xAD) return 0x100u + N_LOW + N_MIDDLE;
    return byte;
}

bool gm_symbol_byte(uint32_t code_point, uint8_t *byte)
{
    if (code_point >= 0x100 + N_MOVED) return false;
    if (code_point < 0x100)
        *byte = (uint8_t)code_point;
    else if (code_point < 0x100 + N_LOW)
        *byte = (uint8_t)(code_point - 0x100);
    else if (code_point < 0x100 + N_LOW + N_MIDDLE)
        *byte = (uint8_t)(code_point - 0x100 - N_LOW + 0x7F);
    else
        *byte = 0xAD;
    return gm_byte_symbol(*byte) == code_point;
}
