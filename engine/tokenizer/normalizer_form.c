/* normalizer_form.c - NFC, NFD, NFKC, NFKD.
 *
 * The text is cut into stretches that normalize by themselves: a stretch goes on
 * while its next character is (or, in the compatible forms, becomes) a mark or a
 * Hangul vowel or final, the only ones that ever join what stands before. Offsets
 * are exact between stretches; inside a stretch that changed, every byte has the
 * stretch's end. Marks are ordered by sorting, so a text of nothing but marks takes
 * n log n.
 *
 * Source: Unicode Standard Annex 15.
 */
#include "engine/tokenizer/codepoint.h"
#include "engine/tokenizer/normalizer.h"

#include <utf8proc.h>

#include <stdlib.h>
#include <string.h>

/* A single character decomposes into at most 18 (U+FDFA). */
enum { MAX_PER_CHAR = 18 };

static bool composes(gm_form form)
{
    return form == GM_FORM_NFC || form == GM_FORM_NFKC;
}

static bool is_compatible(gm_form form)
{
    return form == GM_FORM_NFKC || form == GM_FORM_NFKD;
}

/* True when nothing before the character can join it or pass it. In the compatible
 * forms that is decided by what it becomes first: a letter may become a mark. */
static bool begins_stretch(gm_form form, uint32_t c)
{
    if (c < 0x300) return true;
    if (is_compatible(form)) {
        int32_t code[MAX_PER_CHAR];
        int boundary = 0;
        utf8proc_ssize_t n = utf8proc_decompose_char(
            (utf8proc_int32_t)c, code, MAX_PER_CHAR,
            (utf8proc_option_t)(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT), &boundary);
        if (n > 0) c = (uint32_t)code[0];
    }
    if ((c >= 0x1160 && c <= 0x11FF) || (c >= 0xD7B0 && c <= 0xD7FF)) return false;
    const utf8proc_property_t *p = utf8proc_get_property((utf8proc_int32_t)c);
    bool mark = p->category >= UTF8PROC_CATEGORY_MN && p->category <= UTF8PROC_CATEGORY_ME;
    return !mark && p->combining_class == 0;
}

/* First byte at or after `from` that may belong to a character the form changes:
 * below U+0300 NFC changes nothing, the other forms change nothing in ASCII. */
static size_t plain_until(gm_form form, const char *at, size_t n, size_t from)
{
    const unsigned char lead = form == GM_FORM_NFC ? 0xCC : 0x80;
    while (from < n && (unsigned char)at[from] < lead) from++;
    return from;
}

static size_t char_start(const char *at, size_t i)
{
    while (i > 0 && gm_is_tail_byte(at[i])) i--;
    return i;
}

/* One past the stretch that begins at `start`. A character that the reference does
 * not know is a stretch of its own, and *inert. */
static size_t stretch_stop(gm_form form, const gm_view *view, size_t start, bool *inert)
{
    uint32_t c;
    size_t stop = start + gm_utf8_decode(view->at + start, view->n - start, &c);
    *inert = gm_is_inert(c);
    while (!*inert && stop < view->n) {
        size_t len = gm_utf8_decode(view->at + stop, view->n - stop, &c);
        if (begins_stretch(form, c) || gm_is_inert(c)) break;
        stop += len;
    }
    return stop;
}

/* Room for one more character's code points after `used` others. */
static gm_status make_room(gm_normalizer_work *work, size_t used, gm_error *err)
{
    if (work->code_cap - used >= MAX_PER_CHAR) return GM_OK;
    size_t n = 2 * work->code_cap + 4 * (size_t)MAX_PER_CHAR;
    int32_t *code = gm_grow(work->code, work->code_cap, n, sizeof *code);
    if (code) work->code = code;
    uint64_t *key = code ? gm_grow(work->key, work->code_cap, n, sizeof *key) : NULL;
    if (key == NULL) return gm_fail(err, GM_EMEM, "no memory to normalize %zu characters", n);
    work->key = key;
    work->code_cap = n;
    return GM_OK;
}

static int by_key(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static uint64_t combining_class(int32_t code)
{
    return (uint64_t)utf8proc_get_property(code)->combining_class;
}

/* Put every run of marks into the order of their classes; equal classes keep
 * their order. A key is class, place and code point, from the top. */
static gm_status order_marks(int32_t *code, uint64_t *key, size_t n, gm_error *err)
{
    if (n >= UINT32_C(1) << 31)
        return gm_fail(err, GM_EFORMAT, "a run of %zu combining marks is too long", n);
    for (size_t i = 0; i < n; i++) {
        size_t stop = i;
        bool ordered = true;
        while (stop < n && combining_class(code[stop]) != 0) {
            uint64_t class = combining_class(code[stop]);
            key[stop] = class << 56 | (uint64_t)stop << 21 | (uint64_t)code[stop];
            if (stop > i && class < key[stop - 1] >> 56) ordered = false;
            stop++;
        }
        if (!ordered) qsort(key + i, stop - i, sizeof *key, by_key);
        for (size_t k = i; !ordered && k < stop; k++) code[k] = (int32_t)(key[k] & 0x1FFFFF);
        if (stop > i) i = stop - 1;
    }
    return GM_OK;
}

/* Code points of the stretch in its normal form, into work->code. */
static gm_status normalize_stretch(gm_form form, gm_normalizer_work *work, const char *at, size_t n,
                                   size_t *n_codes, gm_error *err)
{
    const int options = UTF8PROC_STABLE | (composes(form) ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE) |
                        (is_compatible(form) ? UTF8PROC_COMPAT : 0);
    int boundary = 0; /* of grapheme clusters: not asked for */
    gm_status status;
    size_t used = 0;
    for (size_t i = 0; i < n;) {
        uint32_t c;
        i += gm_utf8_decode(at + i, n - i, &c);
        status = make_room(work, used, err);
        if (status != GM_OK) return status;
        utf8proc_ssize_t got = utf8proc_decompose_char((utf8proc_int32_t)c, work->code + used,
                                                       (utf8proc_ssize_t)(work->code_cap - used),
                                                       (utf8proc_option_t)options, &boundary);
        if (got < 0 || (size_t)got > work->code_cap - used)
            return gm_fail(err, GM_EFORMAT, "cannot decompose U+%04X", (unsigned)c);
        used += (size_t)got;
    }
    status = order_marks(work->code, work->key, used, err);
    if (status != GM_OK) return status;
    if (composes(form)) {
        utf8proc_ssize_t left = utf8proc_normalize_utf32(work->code, (utf8proc_ssize_t)used,
                                                         (utf8proc_option_t)options);
        if (left < 0) return gm_fail(err, GM_EFORMAT, "cannot compose %zu characters", used);
        used = (size_t)left;
    }
    *n_codes = used;
    return GM_OK;
}

/* True when the code points spell exactly the bytes. */
static bool spells(const int32_t *code, size_t n_codes, const char *at, size_t n)
{
    size_t i = 0;
    for (size_t k = 0; k < n_codes; k++) {
        char bytes[4];
        size_t len = gm_utf8_encode((uint32_t)code[k], bytes);
        if (len > n - i || memcmp(bytes, at + i, len) != 0) return false;
        i += len;
    }
    return i == n;
}

static gm_status append_codes(gm_marked *out, const int32_t *code, size_t n, uint32_t end,
                              gm_error *err)
{
    gm_status status = GM_OK;
    for (size_t k = 0; k < n && status == GM_OK; k++) {
        char bytes[4];
        size_t len = gm_utf8_encode((uint32_t)code[k], bytes);
        status = gm_marked_append(out, bytes, len, end, err);
    }
    return status;
}

gm_status gm_normalize_form(gm_form form, gm_normalizer_work *work, const gm_view *view,
                            gm_marked *out, bool *changed, gm_error *err)
{
    gm_status status = GM_OK;
    size_t kept = 0; /* bytes before are in *out already */
    *changed = false;

    for (size_t at = 0;;) {
        size_t start = plain_until(form, view->at, view->n, at);
        if (start >= view->n) break;
        if (start > at) start = char_start(view->at, start - 1); /* a mark may join this one */

        size_t n_codes = 0;
        bool inert;
        size_t stop = stretch_stop(form, view, start, &inert);
        at = stop;
        if (inert) continue;
        GM_TRY(normalize_stretch(form, work, view->at + start, stop - start, &n_codes, err));
        if (!spells(work->code, n_codes, view->at + start, stop - start)) {
            *changed = true;
            GM_TRY(gm_marked_copy(out, view, kept, start, err));
            GM_TRY(append_codes(out, work->code, n_codes, gm_view_end(view, stop), err));
            kept = stop;
        }
    }
    if (*changed) status = gm_marked_copy(out, view, kept, view->n, err);
out:
    return status;
}
