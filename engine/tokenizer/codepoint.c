/* codepoint.c - the classes of characters that splitting and normalizing ask for. */
#include "engine/tokenizer/codepoint.h"

#include "engine/tokenizer/codepoint_tables.h"

#include <utf8proc.h>

/* Whether one of n sorted ranges holds the character. */
static bool is_in(const gm_code_range *range, size_t n, uint32_t c)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (c > range[middle].last)
            low = middle + 1;
        else
            high = middle;
    }
    return low < n && c >= range[low].first;
}

bool gm_is_white_space(uint32_t code_point)
{
    if (code_point < 0x80) return code_point == ' ' || (code_point >= '\t' && code_point <= '\r');
    return code_point == 0x85 || code_point == 0xA0 || code_point == 0x1680 ||
           (code_point >= 0x2000 && code_point <= 0x200A) || code_point == 0x2028 ||
           code_point == 0x2029 || code_point == 0x202F || code_point == 0x205F ||
           code_point == 0x3000;
}

bool gm_is_numeric(uint32_t code_point)
{
    if (code_point < 0x80) return code_point >= '0' && code_point <= '9';
    return is_in(gm_numeric_chars, gm_numeric_chars_n, code_point);
}

bool gm_is_punctuation(uint32_t code_point)
{
    return is_in(gm_punctuation_chars, gm_punctuation_chars_n, code_point);
}

bool gm_is_word(uint32_t code_point)
{
    return is_in(gm_word_chars, gm_word_chars_n, code_point);
}

bool gm_is_inert(uint32_t code_point)
{
    return code_point >= gm_inert_chars[0].first &&
           is_in(gm_inert_chars, gm_inert_chars_n, code_point);
}

uint32_t gm_lower_of(uint32_t code_point)
{
    if (code_point < 0x80)
        return code_point >= 'A' && code_point <= 'Z' ? code_point + ('a' - 'A') : code_point;
    for (size_t i = 0; i < gm_lower_chars_n; i++) {
        const gm_case_range *range = &gm_lower_chars[i];
        if (code_point >= range->first && code_point <= range->last)
            return (uint32_t)((int32_t)code_point + range->to_lower);
    }
    return (uint32_t)utf8proc_tolower((utf8proc_int32_t)code_point);
}
