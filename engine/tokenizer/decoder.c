/* decoder.c - spellings of tokens into text, step by step. */
#define _GNU_SOURCE /* memmem */
#include "engine/tokenizer/decoder.h"

#include "engine/tokenizer/alphabet.h"
#include "engine/tokenizer/component.h"

#include <string.h>

enum { MAX_STEPS = 64 };

/* U+FFFD, for bytes that are not UTF-8. */
static const char replacement[] = "\xEF\xBF\xBD";

typedef enum step_kind { BYTE_LEVEL, BYTE_FALLBACK, FUSE, REPLACE, STRIP, METASPACE } step_kind;

typedef struct gm_decoder_step {
    step_kind kind;
    bool fused;          /* the tokens are one string by now: the whole text */
    gm_text from, to;    /* Replace; `from` also: Strip's and Metaspace's character */
    int64_t start, stop; /* Strip: how many at most */
    bool drop_first;     /* Metaspace: the first token loses its marks */
} step;

/* ---- strings ---- */

gm_status gm_strings_append(gm_strings *strings, const char *bytes, size_t n, gm_error *err)
{
    if (strings->n == strings->cap) {
        size_t cap = strings->cap ? 2 * strings->cap : 16;
        size_t *stop = gm_grow(strings->stop, strings->n, cap, sizeof *stop);
        if (stop == NULL) return gm_fail(err, GM_EMEM, "no memory to decode %zu tokens", cap);
        strings->stop = stop;
        strings->cap = cap;
    }
    gm_status status = gm_text_append(&strings->text, bytes, n, err);
    if (status == GM_OK) strings->stop[strings->n++] = strings->text.n;
    return status;
}

void gm_strings_clear(gm_strings *strings)
{
    gm_text_clear(&strings->text);
    gm_free(strings->stop);
    *strings = (gm_strings){0};
}

/* String i and its length. */
static const char *string_at(const gm_strings *strings, size_t i, size_t *n)
{
    size_t start = i ? strings->stop[i - 1] : 0;
    *n = strings->stop[i] - start;
    return strings->text.at ? strings->text.at + start : "";
}

/* Room for an n-byte string is made at once, so that it can be built in place. */
static gm_status end_string(gm_strings *strings, gm_error *err)
{
    return gm_strings_append(strings, "", 0, err);
}

/* ---- steps ---- */

/* Bytes of the invalid sequence at the start: the longest beginning of a valid one,
 * at least one byte. Each becomes one U+FFFD. */
static size_t invalid_bytes(const char *bytes, size_t n)
{
    size_t most = n < 3 ? n : 3;
    while (most > 1 && gm_utf8_pending(bytes, most) != most) most--;
    return most;
}

static gm_status append_lossy(gm_text *out, const char *bytes, size_t n, gm_error *err)
{
    gm_status status = GM_OK;
    while (n > 0) {
        size_t valid = gm_utf8_valid(bytes, n);
        GM_TRY(gm_text_append(out, bytes, valid, err));
        bytes += valid;
        n -= valid;
        if (n == 0) break;
        size_t bad = invalid_bytes(bytes, n);
        GM_TRY(gm_text_add(out, replacement, err));
        bytes += bad;
        n -= bad;
    }
out:
    return status;
}

/* The bytes that a token spells in the byte alphabet; a token with any other
 * character stands for itself. */
static gm_status append_spelt(gm_text *bytes, const char *token, size_t n, gm_error *err)
{
    size_t before = bytes->n;
    for (size_t i = 0; i < n;) {
        uint32_t c;
        uint8_t byte;
        i += gm_utf8_decode(token + i, n - i, &c);
        if (!gm_symbol_byte(c, &byte)) {
            bytes->n = before;
            return gm_text_append(bytes, token, n, err);
        }
        char one = (char)byte;
        gm_status status = gm_text_append(bytes, &one, 1, err);
        if (status != GM_OK) return status;
    }
    return GM_OK;
}

static gm_status byte_level(const gm_strings *in, gm_strings *out, bool last, bool *held,
                            gm_error *err)
{
    gm_status status = GM_OK;
    gm_text bytes = {0};
    for (size_t i = 0; i < in->n; i++) {
        size_t n;
        const char *token = string_at(in, i, &n);
        GM_TRY(append_spelt(&bytes, token, n, err));
    }
    size_t pending = last ? 0 : gm_utf8_pending(bytes.at, bytes.n);
    *held |= pending > 0;
    GM_TRY(append_lossy(&out->text, bytes.at, bytes.n - pending, err));
    GM_TRY(end_string(out, err));
out:
    gm_text_clear(&bytes);
    return status;
}

/* True for <0xHH>. */
static bool is_byte_token(const char *token, size_t n, char *byte)
{
    if (n != 6 || memcmp(token, "<0x", 3) != 0 || token[5] != '>') return false;
    int high = gm_hex_digit(token[3]), low = gm_hex_digit(token[4]);
    if (high < 0 || low < 0) return false;
    *byte = (char)(high * 16 + low);
    return true;
}

/* A run of byte tokens is one string, or, when its bytes are not UTF-8, U+FFFD for
 * every byte. */
static gm_status end_run(gm_text *run, gm_strings *out, gm_error *err)
{
    gm_status status = GM_OK;
    if (run->n > 0 && gm_utf8_valid(run->at, run->n) == run->n) {
        status = gm_strings_append(out, run->at, run->n, err);
    } else {
        for (size_t i = 0; i < run->n && status == GM_OK; i++)
            status = gm_strings_append(out, replacement, sizeof replacement - 1, err);
    }
    run->n = 0;
    return status;
}

static gm_status byte_fallback(const gm_strings *in, gm_strings *out, bool last, bool *held,
                               gm_error *err)
{
    gm_status status = GM_OK;
    gm_text run = {0};
    for (size_t i = 0; i < in->n; i++) {
        size_t n;
        char byte;
        const char *token = string_at(in, i, &n);
        if (is_byte_token(token, n, &byte)) {
            GM_TRY(gm_text_append(&run, &byte, 1, err));
            continue;
        }
        GM_TRY(end_run(&run, out, err));
        GM_TRY(gm_strings_append(out, token, n, err));
    }
    if (!last && run.n > 0)
        *held = true; /* the next byte may spoil the run */
    else
        GM_TRY(end_run(&run, out, err));
out:
    gm_text_clear(&run);
    return status;
}

static gm_status replace_in(const step *s, const char *token, size_t n, gm_strings *out,
                            gm_error *err)
{
    gm_status status = GM_OK;
    const char *stop = token + n;
    for (const char *hit; (hit = memmem(token, (size_t)(stop - token), s->from.at, s->from.n));
         token = hit + s->from.n) {
        GM_TRY(gm_text_append(&out->text, token, (size_t)(hit - token), err));
        GM_TRY(gm_text_append(&out->text, s->to.at, s->to.n, err));
    }
    GM_TRY(gm_text_append(&out->text, token, (size_t)(stop - token), err));
    GM_TRY(end_string(out, err));
out:
    return status;
}

/* Up to `start` of the character from the front, up to `stop` from the back. */
static gm_status strip_from(const step *s, bool begun, const char *token, size_t n, gm_strings *out,
                            gm_error *err)
{
    const size_t len = s->from.n;
    int64_t from_front = s->fused && begun ? 0 : s->start;
    for (; from_front > 0 && n >= len && memcmp(token, s->from.at, len) == 0; from_front--) {
        token += len;
        n -= len;
    }
    int64_t from_back = s->stop;
    for (; from_back > 0 && n >= len && memcmp(token + n - len, s->from.at, len) == 0; from_back--)
        n -= len;
    return gm_strings_append(out, token, n, err);
}

/* A mark is a space; those of the first token are dropped. */
static gm_status unmark(const step *s, bool first, const char *token, size_t n, gm_strings *out,
                        gm_error *err)
{
    const step as_space = {.from = s->from, .to = {.at = (char[]){" "}, .n = 1}};
    const step dropped = {.from = s->from};
    return replace_in(first && s->drop_first ? &dropped : &as_space, token, n, out, err);
}

static gm_status apply_step(const step *s, const gm_strings *in, gm_strings *out, bool begun,
                            bool last, bool *held, gm_error *err)
{
    gm_status status = GM_OK;
    if (s->kind == BYTE_LEVEL) return byte_level(in, out, last, held, err);
    if (s->kind == BYTE_FALLBACK) return byte_fallback(in, out, last, held, err);
    if (s->kind == FUSE) return gm_strings_append(out, in->text.at, in->text.n, err);
    for (size_t i = 0; i < in->n && status == GM_OK; i++) {
        size_t n;
        const char *token = string_at(in, i, &n);
        if (s->kind == REPLACE)
            status = replace_in(s, token, n, out, err);
        else if (s->kind == STRIP)
            status = strip_from(s, begun, token, n, out, err);
        else
            status = unmark(s, i == 0 && !begun, token, n, out, err);
    }
    return status;
}

static gm_status join_by_spaces(const gm_strings *tokens, bool begun, gm_text *text, gm_error *err)
{
    gm_status status = GM_OK;
    for (size_t i = 0; i < tokens->n; i++) {
        size_t n;
        const char *token = string_at(tokens, i, &n);
        if (begun || i > 0) GM_TRY(gm_text_add(text, " ", err));
        GM_TRY(gm_text_append(text, token, n, err));
    }
out:
    return status;
}

gm_status gm_decoder_apply(const gm_decoder *decoder, gm_strings *tokens, bool begun, bool last,
                           bool *held, gm_text *text, gm_error *err)
{
    gm_status status = GM_OK;
    gm_strings other = {0};
    *held = decoder->all_first && !last;
    if (*held) return GM_OK;
    if (!decoder->given) return join_by_spaces(tokens, begun, text, err);

    for (size_t i = 0; i < decoder->n; i++) {
        other.n = other.text.n = 0;
        GM_TRY(apply_step(&decoder->step[i], tokens, &other, begun, last, held, err));
        gm_strings swap = *tokens;
        *tokens = other;
        other = swap;
    }
    GM_TRY(gm_text_append(text, tokens->text.at, tokens->text.n, err));
out:
    gm_strings_clear(&other);
    return status;
}

/* One step of a token by itself. */
static gm_status apply_to_one(const step *s, const char *token, size_t n, gm_strings *out,
                              gm_error *err)
{
    char byte;
    switch (s->kind) {
    case BYTE_LEVEL: return append_spelt(&out->text, token, n, err);
    case BYTE_FALLBACK:
        if (is_byte_token(token, n, &byte)) token = &byte, n = 1;
        return gm_text_append(&out->text, token, n, err);
    case REPLACE: return replace_in(s, token, n, out, err);
    case METASPACE: return unmark(s, false, token, n, out, err);
    case STRIP:
        if (!s->fused) return strip_from(s, true, token, n, out, err);
        break; /* of the whole text's ends */
    case FUSE: break;
    }
    return gm_text_append(&out->text, token, n, err);
}

gm_status gm_decoder_piece(const gm_decoder *decoder, const char *token, size_t n, gm_text *bytes,
                           gm_error *err)
{
    gm_status status = GM_OK;
    gm_strings from = {0}, to = {0};
    if (!decoder->given) GM_TRY(gm_text_add(&from.text, " ", err));
    GM_TRY(gm_text_append(&from.text, token, n, err));
    for (size_t i = 0; i < decoder->n; i++) {
        to.n = to.text.n = 0;
        const char *so_far = from.text.at ? from.text.at : "";
        GM_TRY(apply_to_one(&decoder->step[i], so_far, from.text.n, &to, err));
        gm_strings swap = from;
        from = to;
        to = swap;
    }
    GM_TRY(gm_text_append(bytes, from.text.at, from.text.n, err));
out:
    gm_strings_clear(&from);
    gm_strings_clear(&to);
    return status;
}

/* ---- loading ---- */

static gm_status load_text(const gm_json *json, const char *key, gm_text *out, const char *type,
                           const char *where, gm_error *err)
{
    size_t n;
    const char *text = gm_member_text(json, key, &n);
    if (text == NULL)
        return gm_fail(err, GM_EFORMAT, "'%s': decoder '%s' has no string '%s'", where, type, key);
    return gm_text_append(out, text, n, err);
}

static gm_status load_metaspace(step *s, const gm_json *json, const char *where, gm_error *err)
{
    bool space;
    const char *scheme;
    gm_status status = load_text(json, "replacement", &s->from, "Metaspace", where, err);
    if (status == GM_OK)
        status = gm_json_get_bool_or(json, "add_prefix_space", true, &space, where, err);
    if (status == GM_OK)
        status = gm_json_get_text_or(json, "prepend_scheme", space ? "always" : "never", &scheme,
                                     where, err);
    if (status == GM_OK) s->drop_first = strcmp(scheme, "never") != 0;
    return status;
}

static gm_status load_step(step *s, const gm_json *json, const char *type, const char *where,
                           gm_error *err)
{
    gm_status status = GM_OK;
    if (strcmp(type, "ByteLevel") == 0) {
        s->kind = BYTE_LEVEL;
    } else if (strcmp(type, "ByteFallback") == 0) {
        s->kind = BYTE_FALLBACK;
    } else if (strcmp(type, "Fuse") == 0) {
        s->kind = FUSE;
    } else if (strcmp(type, "Replace") == 0) {
        s->kind = REPLACE;
        GM_TRY(load_text(gm_member(json, "pattern"), "String", &s->from, type, where, err));
        GM_TRY(load_text(json, "content", &s->to, type, where, err));
    } else if (strcmp(type, "Strip") == 0) {
        s->kind = STRIP;
        GM_TRY(load_text(json, "content", &s->from, type, where, err));
        GM_TRY(gm_json_get_i64(json, "start", 0, INT32_MAX, &s->start, where, err));
        GM_TRY(gm_json_get_i64(json, "stop", 0, INT32_MAX, &s->stop, where, err));
    } else if (strcmp(type, "Metaspace") == 0) {
        s->kind = METASPACE;
        GM_TRY(load_metaspace(s, json, where, err));
    } else {
        GM_FAIL(GM_EFORMAT,
                "'%s': decoder '%s' is not supported (known: Sequence, ByteLevel, ByteFallback, "
                "Fuse, Replace, Strip, Metaspace)",
                where, type);
    }
    if (s->kind >= REPLACE && s->from.n == 0)
        GM_FAIL(GM_EFORMAT, "'%s': decoder '%s' has an empty pattern", where, type);
out:
    return status;
}

/* Whether the step can only work once all tokens have come. A fused text is given
 * in whole characters, so one character can be replaced as it comes. */
static bool needs_all(const step *s)
{
    uint32_t c;
    if (!s->fused) return false;
    switch (s->kind) {
    case FUSE: return false;
    case REPLACE: return gm_utf8_decode(s->from.at, s->from.n, &c) != s->from.n;
    case STRIP: return s->stop > 0;
    default: return true;
    }
}

static gm_status add_step(gm_decoder *out, const gm_json *json, const char *type, const char *where,
                          gm_error *err)
{
    if (out->n == MAX_STEPS)
        return gm_fail(err, GM_EFORMAT, "'%s': more than %d decoders", where, (int)MAX_STEPS);
    step *grown = gm_grow(out->step, out->n, out->n + 1, sizeof *grown);
    if (grown == NULL) return gm_fail(err, GM_EMEM, "no memory for a decoder");
    out->step = grown;
    step *s = &grown[out->n++];
    if (out->n > 1) s->fused = s[-1].fused || s[-1].kind == FUSE || s[-1].kind == BYTE_LEVEL;
    gm_status status = load_step(s, json, type, where, err);
    if (status == GM_OK) out->all_first |= needs_all(s);
    return status;
}

gm_status gm_decoder_load(gm_decoder *out, const gm_json *json, const char *where, gm_error *err)
{
    gm_status status = GM_OK;
    const char *type;
    if (gm_is_absent(json)) return GM_OK;
    out->given = true;
    GM_TRY(gm_json_get_text(json, "type", &type, where, err));
    if (strcmp(type, "Sequence") == 0) {
        const gm_json *list = gm_member_list(json, "decoders");
        if (list == NULL)
            GM_FAIL(GM_EFORMAT, "'%s': decoder 'Sequence' has no list 'decoders'", where);
        for (const gm_json *item = gm_json_first(list); item; item = gm_json_next(item))
            GM_TRY(gm_decoder_load(out, item, where, err));
    } else {
        GM_TRY(add_step(out, json, type, where, err));
    }
out:
    if (status != GM_OK) gm_decoder_clear(out);
    return status;
}

void gm_decoder_clear(gm_decoder *decoder)
{
    for (size_t i = 0; i < decoder->n; i++) {
        gm_text_clear(&decoder->step[i].from);
        gm_text_clear(&decoder->step[i].to);
    }
    gm_free(decoder->step);
    *decoder = (gm_decoder){0};
}
