/* split.c - a text cut into words: NFC, lower case, runs of word characters of one script.
 *
 * Sources: scikit-learn's CountVectorizer, token_pattern "(?u)\b\w\w+\b"; marks belong to the
 * letter before them (Unicode Standard Annex 29, rule WB4); pairs of neighbours where no space
 * stands between words (Lucene's CJKBigramFilter); clusters of letters: T. Theeramunkong et al.,
 * Character cluster based Thai information retrieval (IRAL 2000), Z. M. Maung, Y. Mikami, A
 * rule-based syllable segmentation of Myanmar text (IJCNLP 2008).
 */
#include "text/split.h"

#include <utf8proc.h>

#include <stdlib.h>
#include <string.h>

/* Two characters whose lower case is not one for one: a capital sigma at the end of a word is the
 * final one, and a capital I with a dot is i and a combining dot. */
enum { SIGMA = 0x3A3, FINAL_SIGMA = 0x3C2, I_WITH_DOT = 0x130, DOT_ABOVE = 0x307 };
enum { YO = 0x451, YE = 0x435 };

/* What a run is made of. Words in Han and hiragana have no ends to be seen: each two neighbours
 * are taken for one; of Thai, Lao, Khmer and Burmese, each two clusters of letters. */
typedef enum run_kind { RUN_SPACED, RUN_KATAKANA, RUN_HIRAGANA, RUN_HAN, RUN_CLUSTERS } run_kind;

/* The code point that bytes[0..n) begin with. */
static uint32_t peek(const char *bytes, size_t n)
{
    uint32_t code_point = ' ';
    if (n > 0) gm_utf8_decode(bytes, n, &code_point);
    return code_point;
}

/* A letter of Thai, Lao, Khmer or Burmese; their digits are written as everyone's are. */
static bool is_of_clusters(uint32_t c)
{
    if (!((c >= 0xE00 && c < 0xF00) || (c >= 0x1000 && c < 0x10A0) || (c >= 0x1780 && c < 0x1800) ||
          (c >= 0xA9E0 && c < 0xAA00) || (c >= 0xAA60 && c < 0xAA80)))
        return false;
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)c);
    return category == UTF8PROC_CATEGORY_LO || category == UTF8PROC_CATEGORY_LM;
}

/* Does c, a letter of theirs after `before`, with bytes[0..n) to follow, belong to the cluster of
 * the letter before it? It does after a vowel that is written before its consonant, and as one that
 * is written after it; as a consonant under another; and as one without a vowel of its own, which
 * in Burmese a mark after it tells. */
static bool joins(uint32_t before, uint32_t c, const char *bytes, size_t n)
{
    enum { DOT_BELOW = 0x1037, VIRAMA = 0x1039, ASAT = 0x103A, COENG = 0x17D2 };
    uint32_t after = peek(bytes, n);
    if (after == DOT_BELOW) after = peek(bytes + 3, n - 3);
    if ((before >= 0xE40 && before <= 0xE44) || (before >= 0xEC0 && before <= 0xEC4)) return true;
    if (before == VIRAMA || before == COENG || after == VIRAMA || after == ASAT) return true;
    return c == 0xE30 || c == 0xE32 || c == 0xE33 || c == 0xE45 || c == 0xEB0 || c == 0xEB2 ||
           c == 0xEB3;
}

/* Of a word character. Source: the Unicode Standard, Scripts.txt. */
static run_kind kind_of(uint32_t c)
{
    if (c < 0xE00) return RUN_SPACED;
    if (is_of_clusters(c)) return RUN_CLUSTERS;
    if (c >= 0x3041 && c <= 0x309F) return RUN_HIRAGANA;
    if ((c >= 0x30A1 && c <= 0x30FF) || (c >= 0x31F0 && c <= 0x31FF)) return RUN_KATAKANA;
    if (c >= 0xFF66 && c <= 0xFF9F) return RUN_KATAKANA;
    if (c == 0x3005 || c == 0x3007 || (c >= 0x3021 && c <= 0x3029)) return RUN_HAN;
    if (c >= 0x3038 && c <= 0x303B) return RUN_HAN;
    if ((c >= 0x3400 && c <= 0x9FFF) || (c >= 0xF900 && c <= 0xFAFF)) return RUN_HAN;
    return c >= 0x20000 && c <= 0x3FFFF ? RUN_HAN : RUN_SPACED;
}

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

static bool is_mark(uint32_t code_point)
{
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)code_point);
    return category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_MC;
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
        bool plain = lower < UINT16_MAX && c != SIGMA;
        out->lower[c] = plain ? (uint16_t)lower : UINT16_MAX;
    }
}

/* The lower case of a code point after which bytes[0..n) follow; 0 when it is no word character. */
static uint32_t look_up(const gm_alphabet *alphabet, uint32_t code_point, uint32_t before,
                        const char *bytes, size_t n)
{
    if (code_point < GM_KNOWN_CHARACTERS && alphabet->lower[code_point] != UINT16_MAX)
        return alphabet->lower[code_point];
    if (code_point == SIGMA && is_cased(before) && !is_cased(peek(bytes, n))) return FINAL_SIGMA;
    return is_word_character(code_point) ? lower_case(code_point, alphabet->fold_yo) : 0;
}

/* The run that is being read, as far as it is not taken yet. */
typedef struct run {
    char *word;                   /* room for the whole text in lower case */
    size_t n_bytes, n_characters; /* marks are no characters */
    size_t n_first;               /* bytes of the cluster before the last one; 0: there is none */
    run_kind kind;
    gm_word_taker take;
    void *to;
} run;

static bool is_cut_in_pairs(const run *r)
{
    return r->kind == RUN_HAN || r->kind == RUN_HIRAGANA;
}

static void append(run *r, uint32_t code_point)
{
    if (code_point < 0x80)
        r->word[r->n_bytes++] = (char)code_point;
    else
        r->n_bytes += gm_utf8_encode(code_point, r->word + r->n_bytes);
}

static gm_status end_run(run *r, gm_error *err)
{
    gm_status status = GM_OK;
    if (r->n_characters >= 2) status = r->take(r->to, r->word, r->n_bytes, err);
    r->n_bytes = r->n_characters = r->n_first = 0;
    return status;
}

/* Takes the word that the run holds, and leaves what is behind its first n bytes. */
static gm_status take_pair(run *r, size_t n, gm_error *err)
{
    gm_status status = r->take(r->to, r->word, r->n_bytes, err);
    r->n_bytes -= n;
    memmove(r->word, r->word + n, r->n_bytes);
    return status;
}

/* A character of a run that is cut in pairs: with the one before it, it is a word. */
static gm_status add_to_pair(run *r, uint32_t code_point, gm_error *err)
{
    const size_t n_before = r->n_bytes;
    append(r, code_point);
    r->n_characters = 1;
    return n_before > 0 ? take_pair(r, n_before, err) : GM_OK;
}

/* A letter of a run of clusters that begins one: the two before it are whole, and a word. */
static gm_status begin_cluster(run *r, gm_error *err)
{
    gm_status status = r->n_first > 0 ? take_pair(r, r->n_first, err) : GM_OK;
    r->n_first = r->n_bytes;
    return status;
}

/* Any code point but those of ASCII, after `before`, with bytes[0..n) to follow; `lower` is what
 * look_up says of it. */
static gm_status add_wide(run *r, uint32_t before, uint32_t code_point, uint32_t lower,
                          const char *bytes, size_t n, gm_error *err)
{
    if (lower == 0) {
        if (r->n_characters == 0 || !is_mark(code_point)) return end_run(r, err);
        if (!is_cut_in_pairs(r)) append(r, code_point);
        return GM_OK;
    }
    const run_kind kind = kind_of(code_point);
    gm_status status = kind == r->kind ? GM_OK : end_run(r, err);
    if (status != GM_OK) return status;
    r->kind = kind;
    if (is_cut_in_pairs(r)) return add_to_pair(r, lower, err);
    if (kind == RUN_CLUSTERS && !joins(before, code_point, bytes, n))
        status = begin_cluster(r, err);
    append(r, lower);
    if (code_point == I_WITH_DOT) append(r, DOT_ABOVE);
    r->n_characters++;
    return status;
}

/* The text is in NFC; r is empty. */
static gm_status split_composed(const gm_alphabet *alphabet, const char *bytes, size_t n, run *r,
                                gm_error *err)
{
    gm_status status = GM_OK;
    uint32_t before = ' ';
    for (size_t i = 0; i < n && status == GM_OK;) {
        uint32_t code_point = (unsigned char)bytes[i], lower;
        if (code_point < 0x80) {
            i++;
            lower = alphabet->lower[code_point];
            if (lower == 0 || r->kind != RUN_SPACED) status = end_run(r, err);
            if (lower != 0) {
                r->kind = RUN_SPACED;
                r->word[r->n_bytes++] = (char)lower;
                r->n_characters++;
            }
        } else {
            i += gm_utf8_decode(bytes + i, n - i, &code_point);
            lower = look_up(alphabet, code_point, before, bytes + i, n - i);
            status = add_wide(r, before, code_point, lower, bytes + i, n - i, err);
        }
        before = code_point;
    }
    return status == GM_OK ? end_run(r, err) : status;
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
    GM_TRY(gm_text_reserve(room, 4 * n + 4, err));
    run r = {.word = room->at, .take = take, .to = to};
    GM_TRY(split_composed(alphabet, bytes, n, &r, err));
out:
    free(composed);
    return status;
}
