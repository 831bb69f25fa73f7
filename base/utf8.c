/* utf8.c - UTF-8: checking, decoding, encoding, escaping for one line of text.
 *
 * Source: The Unicode Standard 15, section 3.9, table 3-7 (well-formed byte
 * sequences).
 */
#include "base/utf8.h"

#include "base/text.h"

#include <stdio.h>
#include <string.h>

static bool is_tail(unsigned char byte)
{
    return (byte & 0xC0) == 0x80;
}

/* Length of the well-formed sequence at s[0..n), n >= 1; 0 when it is not one.
 * Table 3-7: only the second byte has a range that depends on the first. */
static size_t sequence_length(const unsigned char *s, size_t n)
{
    unsigned char lo = 0x80, hi = 0xBF;
    size_t len;

    if (s[0] < 0x80) return 1;
    if (s[0] < 0xC2) return 0; /* a tail byte, or an overlong form */
    if (s[0] < 0xE0) {
        len = 2;
    } else if (s[0] < 0xF0) {
        len = 3;
        if (s[0] == 0xE0) lo = 0xA0; /* overlong below */
        if (s[0] == 0xED) hi = 0x9F; /* surrogates above */
    } else if (s[0] < 0xF5) {
        len = 4;
        if (s[0] == 0xF0) lo = 0x90; /* overlong below */
        if (s[0] == 0xF4) hi = 0x8F; /* above U+10FFFF */
    } else {
        return 0;
    }
    if (n < len || s[1] < lo || s[1] > hi) return 0;
    for (size_t i = 2; i < len; i++)
        if (!is_tail(s[i])) return 0;
    return len;
}

size_t gm_utf8_valid(const char *bytes, size_t n)
{
    const unsigned char *s = (const unsigned char *)bytes;
    size_t i = 0;

    while (i < n) {
        /* Most text is ASCII: eight bytes at a time while no high bit is set. */
        uint64_t word;
        while (n - i >= sizeof word) {
            memcpy(&word, s + i, sizeof word);
            if (word & UINT64_C(0x8080808080808080)) break;
            i += sizeof word;
        }
        if (i == n) break;
        size_t len = sequence_length(s + i, n - i);
        if (len == 0) return i;
        i += len;
    }
    return n;
}

size_t gm_utf8_decode(const char *bytes, size_t n, uint32_t *code_point)
{
    const unsigned char *s = (const unsigned char *)bytes;
    size_t len = s[0] < 0x80 ? 1 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : 4;
    if (len > n) len = n; /* only when the caller's text is not valid */

    uint32_t cp = len == 1 ? s[0] : s[0] & (0x7Fu >> len);
    for (size_t i = 1; i < len; i++) cp = cp << 6 | (s[i] & 0x3Fu);
    *code_point = cp;
    return len;
}

size_t gm_utf8_encode(uint32_t code_point, char out[4])
{
    if (code_point < 0x80) {
        out[0] = (char)code_point;
        return 1;
    }
    size_t len = code_point < 0x800 ? 2 : code_point < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (code_point & 0x3F));
        code_point >>= 6;
    }
    out[0] = (char)(0xF00u >> len | code_point); /* 110xxxxx, 1110xxxx, 11110xxx */
    return len;
}

size_t gm_utf8_pending(const char *bytes, size_t n)
{
    const unsigned char *s = (const unsigned char *)bytes;

    for (size_t back = 1; back <= 3 && back <= n; back++) {
        const unsigned char *lead = s + n - back;
        if (is_tail(*lead)) continue;
        size_t len = *lead < 0xC2 ? 1 : *lead < 0xE0 ? 2 : *lead < 0xF0 ? 3 : *lead < 0xF5 ? 4 : 1;
        if (len <= back) return 0;
        /* Held back only if some continuation makes it valid: complete it with
         * the middle tail byte that its second byte's range allows. */
        unsigned char whole[4] = {0x80, 0x80, 0x80, 0x80};
        memcpy(whole, lead, back);
        if (back == 1) whole[1] = *lead == 0xE0 || *lead == 0xF0 ? 0xA0 : 0x80;
        return sequence_length(whole, len) == len ? back : 0;
    }
    return 0;
}

size_t gm_utf8_spell(char *out, const char *c_string)
{
    char *at = out;
    for (size_t left = strlen(c_string); left > 0; left--) {
        const size_t valid = gm_utf8_valid(c_string, left);
        memcpy(at, c_string, valid);
        at += valid, c_string += valid, left -= valid;
        if (left == 0) break;
        at += snprintf(at, 5, "\\x%02x", (unsigned)(unsigned char)*c_string++);
    }
    *at = '\0';
    return (size_t)(at - out);
}

bool gm_utf8_controls(uint32_t cp)
{
    return cp < 0x20 || (cp >= 0x7F && cp < 0xA0) ||       /* C0, DEL, C1 */
           cp == 0x2028 || cp == 0x2029 ||                 /* line, paragraph separator */
           cp == 0x061C || cp == 0x200E || cp == 0x200F || /* bidirectional marks, */
           (cp >= 0x202A && cp <= 0x202E) ||               /* embeddings and overrides, */
           (cp >= 0x2066 && cp <= 0x2069);                 /* isolates */
}

/* The escape of the character or invalid byte at bytes[0..n); the empty string
 * when it needs none. Returns how many bytes it stands for. */
static size_t escape_one(const char *bytes, size_t n, gm_backslash backslash, char out[16])
{
    uint32_t cp;
    out[0] = '\0';
    size_t len = sequence_length((const unsigned char *)bytes, n);
    if (len == 0) {
        (void)snprintf(out, 16, "\\x%02x", (unsigned)(unsigned char)bytes[0]);
        return 1;
    }
    (void)gm_utf8_decode(bytes, n, &cp);
    if (cp == '\\' && backslash == GM_ESCAPE_BACKSLASH)
        memcpy(out, "\\\\", 3);
    else if (cp == '\n')
        memcpy(out, "\\n", 3);
    else if (cp == '\t')
        memcpy(out, "\\t", 3);
    else if (gm_utf8_controls(cp))
        (void)snprintf(out, 16, cp < 0x80 ? "\\x%02x" : "\\u{%x}", (unsigned)cp);
    return len;
}

void gm_utf8_escape(char *out, size_t cap, const char *bytes, size_t n, gm_backslash backslash)
{
    static const char dots[] = "...";
    size_t used = 0, safe = 0; /* `safe`: where "..." still fits after a whole character */
    if (cap == 0) return;

    for (size_t i = 0; i < n;) {
        char escape[16];
        size_t len = escape_one(bytes + i, n - i, backslash, escape);
        const char *piece = escape[0] ? escape : bytes + i;
        size_t piece_n = escape[0] ? strlen(escape) : len;

        if (used + piece_n > cap - 1) {
            size_t dots_n = cap - 1 < sizeof dots - 1 ? cap - 1 : sizeof dots - 1;
            memcpy(out + safe, dots, dots_n);
            out[safe + dots_n] = '\0';
            return;
        }
        memcpy(out + used, piece, piece_n);
        used += piece_n;
        if (used + sizeof dots <= cap) safe = used;
        i += len;
    }
    out[used] = '\0';
}

void gm_text_escape(char *out, size_t cap, const char *bytes, size_t n)
{
    gm_utf8_escape(out, cap, bytes, n, GM_ESCAPE_BACKSLASH);
}
