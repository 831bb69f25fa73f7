/* codepoint.c - the classes of characters that splitting asks for. */
#include "engine/tokenizer/codepoint.h"

#include <utf8proc.h>

static utf8proc_category_t category(uint32_t code_point)
{
    return utf8proc_category((utf8proc_int32_t)code_point);
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
    utf8proc_category_t c = category(code_point);
    return c >= UTF8PROC_CATEGORY_ND && c <= UTF8PROC_CATEGORY_NO;
}

bool gm_is_punctuation(uint32_t code_point)
{
    if (code_point < 0x80)
        return (code_point >= '!' && code_point <= '/') ||
               (code_point >= ':' && code_point <= '@') ||
               (code_point >= '[' && code_point <= '`') || (code_point >= '{' && code_point <= '~');
    utf8proc_category_t c = category(code_point);
    return c >= UTF8PROC_CATEGORY_PC && c <= UTF8PROC_CATEGORY_PO;
}

/* Letters outside the categories L and M that are Alphabetic all the same: the
 * circled and squared Latin letters (Other_Alphabetic within So). */
static bool is_enclosed_letter(uint32_t c)
{
    return (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) ||
           (c >= 0x1F150 && c <= 0x1F169) || (c >= 0x1F170 && c <= 0x1F189);
}

bool gm_is_word(uint32_t code_point)
{
    utf8proc_category_t c = category(code_point);
    return (c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_ME) || c == UTF8PROC_CATEGORY_ND ||
           c == UTF8PROC_CATEGORY_NL || c == UTF8PROC_CATEGORY_PC || code_point == 0x200C ||
           code_point == 0x200D || is_enclosed_letter(code_point);
}
