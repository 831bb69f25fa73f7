/* script.c - counting letters by blocks of code points. Source: the Unicode Standard, Blocks.txt.
 */
#include "text/script.h"

#include <utf8proc.h>

#include <stdint.h>

const char *gm_script_name(gm_script script)
{
    static const char *const name[GM_N_SCRIPTS] = {"none",   "Latin", "Cyrillic", "Greek", "Hebrew",
                                                   "Arabic", "Indic", "CJK",      "other"};
    return name[script];
}

/* Blocks in ascending order; what lies between them is `other`. */
static const struct block {
    uint32_t first, last;
    gm_script script;
} blocks[] = {
    {0x0041, 0x024F, GM_SCRIPT_LATIN},    {0x0250, 0x02AF, GM_SCRIPT_LATIN},
    {0x0370, 0x03FF, GM_SCRIPT_GREEK},    {0x0400, 0x052F, GM_SCRIPT_CYRILLIC},
    {0x0590, 0x05FF, GM_SCRIPT_HEBREW},   {0x0600, 0x06FF, GM_SCRIPT_ARABIC},
    {0x0750, 0x077F, GM_SCRIPT_ARABIC},   {0x08A0, 0x08FF, GM_SCRIPT_ARABIC},
    {0x0900, 0x0D7F, GM_SCRIPT_INDIC},    {0x1100, 0x11FF, GM_SCRIPT_CJK},
    {0x1C80, 0x1C8F, GM_SCRIPT_CYRILLIC}, {0x1E00, 0x1EFF, GM_SCRIPT_LATIN},
    {0x1F00, 0x1FFF, GM_SCRIPT_GREEK},    {0x2C60, 0x2C7F, GM_SCRIPT_LATIN},
    {0x2DE0, 0x2DFF, GM_SCRIPT_CYRILLIC}, {0x3005, 0x3007, GM_SCRIPT_CJK},
    {0x3041, 0x318F, GM_SCRIPT_CJK},      {0x31F0, 0x31FF, GM_SCRIPT_CJK},
    {0x3400, 0x9FFF, GM_SCRIPT_CJK},      {0xA640, 0xA69F, GM_SCRIPT_CYRILLIC},
    {0xA720, 0xA7FF, GM_SCRIPT_LATIN},    {0xAC00, 0xD7FF, GM_SCRIPT_CJK},
    {0xF900, 0xFAFF, GM_SCRIPT_CJK},      {0xFB1D, 0xFB4F, GM_SCRIPT_HEBREW},
    {0xFB50, 0xFDFF, GM_SCRIPT_ARABIC},   {0xFE70, 0xFEFF, GM_SCRIPT_ARABIC},
    {0xFF21, 0xFF5A, GM_SCRIPT_LATIN},    {0xFF66, 0xFFDC, GM_SCRIPT_CJK},
    {0x1B000, 0x1B16F, GM_SCRIPT_CJK},    {0x20000, 0x3FFFF, GM_SCRIPT_CJK},
};

static gm_script script_of_letter(uint32_t c)
{
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++)
        if (c <= blocks[i].last) return c >= blocks[i].first ? blocks[i].script : GM_SCRIPT_OTHER;
    return GM_SCRIPT_OTHER;
}

static int is_letter(utf8proc_int32_t c)
{
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO: return 1;
    default: return 0;
    }
}

gm_script gm_script_of(const char *bytes, size_t n)
{
    size_t count[GM_N_SCRIPTS] = {0};
    for (size_t i = 0; i < n;) {
        unsigned char first = (unsigned char)bytes[i];
        if (first < 0x80) {
            unsigned char lower = first | 0x20;
            count[GM_SCRIPT_LATIN] += lower >= 'a' && lower <= 'z';
            i++;
            continue;
        }
        utf8proc_int32_t c;
        utf8proc_ssize_t used =
            utf8proc_iterate((const utf8proc_uint8_t *)bytes + i, (utf8proc_ssize_t)(n - i), &c);
        if (used > 0 && is_letter(c)) count[script_of_letter((uint32_t)c)]++;
        i += used > 0 ? (size_t)used : 1;
    }
    gm_script most = GM_SCRIPT_NONE;
    for (int s = GM_SCRIPT_LATIN; s < GM_N_SCRIPTS; s++)
        if (count[s] > count[most]) most = (gm_script)s;
    return most;
}
