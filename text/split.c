/* split.c - a text cut into words: NFC, lower case, runs of word characters.
 *
 * Source of the token rule: scikit-learn's CountVectorizer, token_pattern "(?u)\b\w\w+\b".
 */
#include "text/split.h"

#include <utf8proc.h>

#include <stdlib.h>

/* Two characters whose lower case is not one for one: a capital sigma at the end of a word is the
 * final one, and a capital I with a dot is i and a combining dot, which ends the word. */
enum { SIGMA = 0x3A3, FINAL_SIGMA = 0x3C2, I_WITH_DOT = 0x130, YO = 0x451, YE = 0x435 };

static bool is_word_character(uint32_t code_point)
{
    if (code_point == '_') return true;
    switch (utf8proc_category((utf8proc_int32_t)code_point)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO: return true;
    default: return false;
    }
}

static bool is_cased(uint32_t code_point)
{
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)code_point);
    return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LL ||
           category == UTF8PROC_CATEGORY_LT;
}

static uint32_t lower_case(uint32_t code_point, bool fold_yo)
{
    uint32_t lower = (uint32_t)utf8proc_tolower((utf8proc_int32_t)code_point);
    return fold_yo && lower == YO ? YE : lower;
}

void gm_alphabet_init(gm_alphabet *out, bool fold_yo)
{
    out->fold_yo = fold_yo;
    for (uint32_t c = 0; c < GM_KNOWN_CHARACTERS; c++) {
        uint32_t lower = is_word_character(c) ? lower_case(c, fold_yo) : 0;
        bool plain = lower < UINT16_MAX && c != SIGMA && c != I_WITH_DOT;
        out->lower[c] = plain ? (uint16_t)lower : UINT16_MAX;
    }
}

/* The lower case of a code point after which bytes[0..n) follow, 0 when it is in no word; *ends
 * says whether the word ends after it whatever follows. */
static uint32_t look_up(const gm_alphabet *alphabet, uint32_t code_point, uint32_t before,
                        const char *bytes, size_t n, bool *ends)
{
    uint32_t next = ' ';
    *ends = code_point == I_WITH_DOT;
    if (code_point < GM_KNOWN_CHARACTERS && alphabet->lower[code_point] != UINT16_MAX)
        return alphabet->lower[code_point];
    if (*ends) return 'i';
    if (code_point == SIGMA && is_cased(before)) {
        if (n > 0) gm_utf8_decode(bytes, n, &next);
        if (!is_cased(next)) return FINAL_SIGMA;
    }
    return is_word_character(code_point) ? lower_case(code_point, alphabet->fold_yo) : 0;
}

/* The text is in NFC; a word grows in `word` until it ends. */
static gm_status split_composed(const gm_alphabet *alphabet, const char *bytes, size_t n,
                                char *word, gm_word_taker take, void *to, gm_error *err)
{
    gm_status status = GM_OK;
    size_t n_word = 0, n_characters = 0;
    uint32_t before = ' ';
    for (size_t i = 0; i <= n && status == GM_OK;) {
        uint32_t code_point = i < n ? (unsigned char)bytes[i] : ' ', lower;
        bool ends = false;
        if (code_point < 0x80) {
            i++;
            lower = alphabet->lower[code_point];
        } else {
            i += gm_utf8_decode(bytes + i, n - i, &code_point);
            lower = look_up(alphabet, code_point, before, bytes + i, n - i, &ends);
        }
        before = code_point;
        if (lower != 0 && lower < 0x80)
            word[n_word++] = (char)lower;
        else if (lower != 0)
            n_word += gm_utf8_encode(lower, word + n_word);
        n_characters += lower != 0;
        if (lower != 0 && !ends) continue;
        if (n_characters >= 2) status = take(to, word, n_word, err);
        n_word = n_characters = 0;
    }
    return status;
}

/* Starters that neither compose with what is before them nor come apart. */
bool gm_is_composed(uint32_t c)
{
    return c < 0x300 ||                                             /* Latin */
           (c >= 0x400 && c < 0x530 && (c < 0x483 || c > 0x489)) || /* Cyrillic less its marks */
           (c >= 0x2010 && c < 0x2028) ||                           /* dashes, quotes */
           (c >= 0x2030 && c < 0x2060) || (c >= 0x20A0 && c < 0x20C0) || /* signs, currencies */
           (c >= 0x4E00 && c < 0xA000);                                  /* Han */
}

static bool is_composed_text(const char *bytes, size_t n)
{
    for (size_t i = 0; i < n;) {
        uint32_t code_point = (unsigned char)bytes[i];
        i += code_point < 0x80 ? 1 : gm_utf8_decode(bytes + i, n - i, &code_point);
        if (!gm_is_composed(code_point)) return false;
    }
    return true;
}

gm_status gm_split_words(const gm_alphabet *alphabet, const char *bytes, size_t n, gm_text *room,
                         gm_word_taker take, void *to, gm_error *err)
{
    gm_status status = GM_OK;
    utf8proc_uint8_t *composed = NULL;
    if (!is_composed_text(bytes, n)) {
        utf8proc_ssize_t length = utf8proc_map((const utf8proc_uint8_t *)bytes, (utf8proc_ssize_t)n,
                                               &composed, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
        if (length < 0)
            return gm_fail(err, GM_EMEM, "cannot normalise a text of %zu bytes: %s", n,
                           utf8proc_errmsg(length));
        bytes = (const char *)composed, n = (size_t)length;
    }
    room->n = 0;
    GM_TRY(gm_text_reserve(room, 4 * n + 4, err));
    GM_TRY(split_composed(alphabet, bytes, n, room->at, take, to, err));
out:
    free(composed);
    return status;
}
