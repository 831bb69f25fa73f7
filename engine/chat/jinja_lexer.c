/* jinja_lexer.c - see jinja_lexer.h. */
#include "engine/chat/jinja_lexer.h"

#include <string.h>

size_t gm_jinja_blank(const char *at, size_t n)
{
    uint32_t c = 0;
    if (n == 0) return 0;
    const size_t length = gm_utf8_decode(at, n, &c);
    const bool blank = (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 ||
                       c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
                       c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
    return blank ? length : 0;
}

void gm_jlexer_init(gm_jlexer *lexer, const char *text, size_t n, gm_arena *arena,
                    const char *where)
{
    *lexer = (gm_jlexer){
        .at = text, .end = text + n, .arena = arena, .where = where, .line = 1, .fresh = true};
}

/* ---- between tags ---- */

static void go_to(gm_jlexer *lexer, const char *at)
{
    for (const char *c = lexer->at; c < at; c++) lexer->line += *c == '\n';
    lexer->at = at;
}

static void skip_blanks(gm_jlexer *lexer)
{
    size_t n;
    while ((n = gm_jinja_blank(lexer->at, (size_t)(lexer->end - lexer->at))) > 0)
        go_to(lexer, lexer->at + n);
}

static char at_offset(const gm_jlexer *lexer, const char *at, size_t offset)
{
    return (size_t)(lexer->end - at) > offset ? at[offset] : '\0';
}

/* Go on at `after`, past the mark that ends a tag; `sign`: the byte before that mark. */
static void leave_tag(gm_jlexer *lexer, const char *after, char sign, bool takes_line_end)
{
    go_to(lexer, after);
    if (sign == '-')
        skip_blanks(lexer);
    else if (sign != '+' && takes_line_end && at_offset(lexer, after, 0) == '\n')
        go_to(lexer, after + 1);
    lexer->fresh = lexer->at[-1] == '\n';
    lexer->tag = '\0';
    lexer->depth = 0;
}

/* Where the data before a tag end. */
static const char *end_of_data(const char *from, const char *to, char tag, char sign, bool fresh)
{
    const char *at = to;
    if (sign == '-') {
        /* every blank character is found from its first byte */
        for (const char *c = at = from; c < to;) {
            size_t n = gm_jinja_blank(c, (size_t)(to - c));
            c += n ? n : 1;
            if (n == 0) at = c;
        }
        return at;
    }
    if (sign == '+' || tag == '{') return to;
    while (at > from && at[-1] != '\n') at--;
    if (at == from && !fresh) return to;
    for (const char *c = at; c < to;) {
        size_t n = gm_jinja_blank(c, (size_t)(to - c));
        if (n == 0) return to;
        c += n;
    }
    return at;
}

static gm_status skip_comment(gm_jlexer *lexer, gm_error *err)
{
    const char *at = lexer->at;
    while (lexer->end - at >= 2 && !(at[0] == '#' && at[1] == '}')) at++;
    if (lexer->end - at < 2)
        return gm_fail(err, GM_EFORMAT, "'%s', line %d: a comment is not closed", lexer->where,
                       lexer->line);
    leave_tag(lexer, at + 2, at > lexer->at ? at[-1] : '\0', true);
    return GM_OK;
}

/* Data up to the next tag, which is opened; data that are empty are left out. */
static gm_status read_data(gm_jlexer *lexer, gm_jtoken *token, gm_error *err)
{
    gm_status status = GM_OK;
    while (lexer->at < lexer->end && !lexer->opens) {
        const char *from = lexer->at, *at = from, *to = lexer->end;
        const bool fresh = lexer->fresh;
        while (lexer->end - at >= 2 && !(at[0] == '{' && at[1] && strchr("{%#", at[1]))) at++;
        *token = (gm_jtoken){.kind = GM_JT_DATA, .line = lexer->line, .at = from};
        if (lexer->end - at < 2) {
            go_to(lexer, lexer->end);
        } else {
            const char tag = at[1], sign = at_offset(lexer, at, 2);
            const bool has_sign = sign == '-' || sign == '+';
            to = end_of_data(from, at, tag, sign, fresh);
            go_to(lexer, at + 2 + has_sign);
            if (tag == '#')
                GM_TRY(skip_comment(lexer, err));
            else
                lexer->tag = tag, lexer->opens = true;
        }
        token->n = (size_t)(to - from);
        if (token->n > 0) return GM_OK;
    }
    const bool opens = lexer->opens;
    lexer->opens = false;
    *token = (gm_jtoken){.kind = !opens              ? GM_JT_END
                                 : lexer->tag == '{' ? GM_JT_SAY
                                                     : GM_JT_DO,
                         .line = lexer->line};
out:
    return status;
}

/* ---- inside of one ---- */

/* The character that \x, \u, \U or \0 to \7 spells at at[0..n), after the backslash; how many
 * bytes that takes, 0: it is spelt wrongly. */
static size_t spelt_character(const char *at, size_t n, uint32_t *c)
{
    static const char kind[] = "xuU01234567";
    const char *which = n > 0 ? strchr(kind, *at) : NULL;
    if (which == NULL || *at == '\0') return 0;
    const bool octal = which - kind > 2;
    const size_t digits = octal ? 3 : (size_t)2 << (which - kind);
    size_t i = octal ? 0 : 1;
    const size_t end = i + digits;
    *c = 0;
    for (; i < end && i < n; i++) {
        int digit = gm_hex_digit(at[i]);
        if (digit < 0 || (octal && digit > 7)) break;
        *c = *c * (octal ? 8 : 16) + (uint32_t)digit;
    }
    const bool whole = octal || i == end;
    return whole && *c <= 0x10ffff && !(*c >= 0xd800 && *c <= 0xdfff) ? i : 0;
}

/* Resolve the escapes of at[0..n) into `to`; false: one is spelt wrongly. */
static bool resolve(char *to, size_t *n_to, const char *at, size_t n)
{
    static const char plain[] = "ntrabfv\\'\"\n", means[] = "\n\t\r\a\b\f\v\\'\"";
    *n_to = 0;
    for (size_t i = 0; i < n;) {
        if (at[i] != '\\' || i + 1 == n) {
            to[(*n_to)++] = at[i++];
            continue;
        }
        const char *which = at[i + 1] ? strchr(plain, at[i + 1]) : NULL;
        if (which) { /* a line's end after a backslash is nothing */
            if (*which != '\n') to[(*n_to)++] = means[which - plain];
            i += 2;
        } else if (at[i + 1] && strchr("xuU01234567", at[i + 1])) {
            uint32_t c;
            size_t length = spelt_character(at + i + 1, n - i - 1, &c);
            if (length == 0) return false;
            *n_to += gm_utf8_encode(c, to + *n_to);
            i += 1 + length;
        } else if (at[i + 1] == 'N' || (unsigned char)at[i + 1] >= 0x80) {
            return false;
        } else { /* Python keeps what it does not know */
            to[(*n_to)++] = at[i++];
            to[(*n_to)++] = at[i++];
        }
    }
    return true;
}

static gm_status read_literal(gm_jlexer *lexer, gm_jtoken *token, gm_error *err)
{
    gm_status status = GM_OK;
    const char quote = *lexer->at, *from = lexer->at + 1, *at = from;
    while (at < lexer->end && *at != quote) at += *at == '\\' && lexer->end - at > 1 ? 2 : 1;
    if (at >= lexer->end)
        GM_FAIL(GM_EFORMAT, "'%s', line %d: a string is not closed", lexer->where, lexer->line);
    /* four bytes of a character have ten of an escape, or three: \377 are two bytes */
    char *to = gm_arena_alloc(lexer->arena, (size_t)(at - from) + 1, 1);
    if (to == NULL) GM_FAIL(GM_EMEM, "no memory for a string of '%s'", lexer->where);
    if (!resolve(to, &token->n, from, (size_t)(at - from)))
        GM_FAIL(GM_EFORMAT, "'%s', line %d: a string has an unknown escape", lexer->where,
                lexer->line);
    token->kind = GM_JT_TEXT;
    token->at = to;
    go_to(lexer, at + 1);
out:
    return status;
}

static bool in_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c >= '0' && c <= '9');
}

static gm_status read_number(gm_jlexer *lexer, gm_jtoken *token, gm_error *err)
{
    char digits[24];
    size_t n = 0;
    const char *at = lexer->at;
    while (at < lexer->end && in_name(*at) && n + 1 < sizeof digits) {
        if (*at != '_') digits[n++] = *at;
        at++;
    }
    digits[n] = '\0';
    const bool zeros = n > 1 && digits[0] == '0';
    const bool fraction =
        at_offset(lexer, at, 0) == '.' && gm_hex_digit(at_offset(lexer, at, 1)) >= 0;
    if (fraction || zeros || !gm_parse_i64(digits, &token->number))
        return gm_fail(
            err, GM_EFORMAT,
            "'%s', line %d: the number that begins with '%s' is not an integer of 64 bits",
            lexer->where, lexer->line, digits);
    token->kind = GM_JT_NUMBER;
    token->n = (size_t)(at - lexer->at);
    go_to(lexer, at);
    return GM_OK;
}

static gm_status read_sign(gm_jlexer *lexer, gm_jtoken *token, gm_error *err)
{
    static const char *const two[] = {"==", "!=", "<=", ">=", "//", "**"};
    const char *at = lexer->at;
    uint32_t c;
    size_t n = 1;
    for (size_t i = 0; i < sizeof two / sizeof *two; i++)
        if (lexer->end - at > 1 && memcmp(at, two[i], 2) == 0) n = 2;
    if (*at == '\0' || strchr("+-*/%~<>=!()[]{}.,:|", *at) == NULL || (*at == '!' && n == 1))
        return gm_fail(err, GM_EFORMAT, "'%s', line %d: unexpected character '%.*s'", lexer->where,
                       lexer->line, (int)gm_utf8_decode(at, (size_t)(lexer->end - at), &c), at);
    if (strchr("([{", *at)) lexer->depth++;
    if (strchr(")]}", *at) && lexer->depth > 0) lexer->depth--;
    token->kind = GM_JT_SIGN;
    token->n = n;
    go_to(lexer, at + n);
    return GM_OK;
}

gm_status gm_jlexer_next(gm_jlexer *lexer, gm_jtoken *token, gm_error *err)
{
    if (lexer->tag == '\0' || lexer->opens) return read_data(lexer, token, err);
    skip_blanks(lexer);
    const char *at = lexer->at, close = lexer->tag == '{' ? '}' : '%';
    *token = (gm_jtoken){.line = lexer->line, .at = at};
    if (at == lexer->end)
        return gm_fail(err, GM_EFORMAT, "'%s', line %d: a tag is not closed", lexer->where,
                       lexer->line);
    const bool signed_end = *at == '-' || (*at == '+' && lexer->tag == '%');
    if (lexer->depth == 0 && at_offset(lexer, at, signed_end) == close &&
        at_offset(lexer, at, 1 + signed_end) == '}') {
        token->kind = GM_JT_CLOSE;
        leave_tag(lexer, at + 2 + signed_end, signed_end ? *at : '\0', lexer->tag == '%');
        return GM_OK;
    }
    if (*at == '\'' || *at == '"') return read_literal(lexer, token, err);
    if (*at >= '0' && *at <= '9') return read_number(lexer, token, err);
    if (!in_name(*at)) return read_sign(lexer, token, err);
    while (at < lexer->end && in_name(*at)) at++;
    token->kind = GM_JT_NAME;
    token->n = (size_t)(at - lexer->at);
    lexer->at = at;
    return GM_OK;
}
