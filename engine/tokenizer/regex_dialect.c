/* regex_dialect.c - from Oniguruma's patterns to PCRE2's.
 *
 * Taken over unchanged: characters, '.', '|', groups (?:..) (?=..) (?!..)
 * (?<=..) (?<!..) (?>..) (?i:..) and plain (..), the quantifiers * + ? {n} {n,}
 * {n,m}, sets without sets inside, \p{..} of general categories, \d, and the
 * escapes of control characters and punctuation.
 * Rewritten: \s and \S (PCRE2 counts U+180E as white space, Oniguruma does not),
 * \uHHHH, \v (a class in PCRE2), \p{^..}, script names (PCRE2 would look at script
 * extensions).
 * Refused: \w and \b (the engines draw "word" differently), \h \R \X \K \G \Z,
 * back references, (?m) and other options, {,n}, {n,m}+ and {n}? (they mean other
 * things in Ruby), sets in sets, &&, POSIX classes, verbs.
 *
 * Source: Oniguruma's doc/RE (6.9) and pcre2pattern(3) (10.42).
 */
#include <string.h>

#include "engine/tokenizer/regex.h"

/* The inside of a set: White_Space, 25 characters. */
#define WHITE_SPACE                                                                         \
    "\\x09-\\x0d\\x20\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}" \
    "\\x{205f}\\x{3000}"

typedef struct reader {
    const char *pattern; /* (n) */
    size_t n, at;
    bool in_set;
    gm_text *out;
    const char *where;
    gm_error *err;
} reader;

/* The byte k places on; NUL behind the end. */
static char peek(const reader *r, size_t k)
{
    return k < r->n - r->at ? r->pattern[r->at + k] : '\0';
}

static bool is_next(const reader *r, const char *text)
{
    size_t n = strlen(text);
    return r->n - r->at >= n && memcmp(r->pattern + r->at, text, n) == 0;
}

static gm_status refuse(const reader *r, size_t n)
{
    size_t left = r->n - r->at;
    return gm_fail(r->err, GM_EFORMAT,
                   "'%s': '%.*s' at byte %zu of the regular expression '%.*s' is not understood",
                   r->where, (int)(n < left ? n : left), r->pattern + r->at, r->at,
                   (int)(r->n < 200 ? r->n : 200), r->pattern);
}

static gm_status copy(reader *r, size_t n)
{
    gm_status status = gm_text_append(r->out, r->pattern + r->at, n, r->err);
    r->at += n;
    return status;
}

/* Write `text` for the next n bytes of the pattern. */
static gm_status rewrite(reader *r, size_t n, const char *text)
{
    r->at += n;
    return gm_text_add(r->out, text, r->err);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* \p{L}, \p{Lu}, \p{^L}, \p{Han}; at the backslash. */
static gm_status property(reader *r)
{
    bool negative = peek(r, 1) == 'P';
    size_t name = 3;
    if (peek(r, 2) != '{') return refuse(r, 3);
    if (peek(r, 3) == '^') negative = !negative, name++;
    size_t stop = name;
    while (is_letter(peek(r, stop)) || peek(r, stop) == '_') stop++;
    if (peek(r, stop) != '}' || stop == name) return refuse(r, stop + 1);

    const char *text = r->pattern + r->at + name;
    size_t n = stop - name;
    bool category = n == 1 ? strchr("CLMNPSZ", text[0]) != NULL
                           : n == 2 && text[0] >= 'A' && text[0] <= 'Z' && text[1] >= 'a';
    if (n <= 2 && !category) return refuse(r, stop + 1);
    r->at += stop + 1;
    return gm_text_printf(r->out, r->err, "\\%c{%s%.*s}", negative ? 'P' : 'p',
                          category ? "" : "sc:", (int)n, text);
}

/* \xHH below 0x80, \x{H..}, \uHHHH; at the backslash. */
static gm_status hex(reader *r)
{
    size_t stop = 2;
    if (peek(r, 1) == 'x' && peek(r, 2) == '{') {
        stop = 3;
        while (is_hex(peek(r, stop))) stop++;
        if (peek(r, stop) != '}' || stop == 3 || stop > 9) return refuse(r, stop + 1);
        return copy(r, stop + 1);
    }
    size_t wanted = peek(r, 1) == 'x' ? 2 : 4;
    while (stop < 2 + wanted && is_hex(peek(r, stop))) stop++;
    bool high_byte = wanted == 2 && peek(r, 2) > '7'; /* half a character in Oniguruma */
    if (stop != 2 + wanted || high_byte) return refuse(r, stop);
    gm_status status =
        gm_text_printf(r->out, r->err, "\\x{%.*s}", (int)wanted, r->pattern + r->at + 2);
    r->at += stop;
    return status;
}

static gm_status escape(reader *r)
{
    char c = peek(r, 1);
    switch (c) {
    case 's': return rewrite(r, 2, r->in_set ? WHITE_SPACE : "[" WHITE_SPACE "]");
    case 'S': return rewrite(r, 2, r->in_set ? "\\P{White_Space}" : "[^" WHITE_SPACE "]");
    case 'v': return rewrite(r, 2, "\\x0b");
    case 'p':
    case 'P': return property(r);
    case 'x':
    case 'u': return hex(r);
    case 'd':
    case 'D':
    case 'r':
    case 'n':
    case 't':
    case 'f':
    case 'a':
    case 'e': return copy(r, 2);
    default: break;
    }
    if (c == 'A' || c == 'z') return r->in_set ? refuse(r, 2) : copy(r, 2);
    if (c == '\0' || is_letter(c) || is_digit(c)) return refuse(r, 2);
    if ((unsigned char)c >= 0x80) r->at++; /* the character itself; PCRE2 forbids the backslash */
    return copy(r, (unsigned char)c >= 0x80 ? 1 : 2);
}

static gm_status open_group(reader *r)
{
    static const char *const known[] = {"(?:", "(?=", "(?!", "(?>", "(?<=", "(?<!", "(?i:"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (is_next(r, known[i])) return copy(r, strlen(known[i]));
    /* Elsewhere (?i) reaches over a '|' in one engine and not in the other. */
    if (is_next(r, "(?i)")) return r->at == 0 ? copy(r, 4) : refuse(r, 4);
    if (peek(r, 1) == '?' || peek(r, 1) == '*') return refuse(r, 3);
    return copy(r, 1);
}

/* At '{': a quantifier, or the character itself. */
static gm_status interval(reader *r)
{
    size_t stop = 1;
    bool comma = false;
    while (is_digit(peek(r, stop))) stop++;
    size_t n_low = stop - 1;
    if (peek(r, stop) == ',') {
        comma = true;
        do stop++;
        while (is_digit(peek(r, stop)));
    }
    if (peek(r, stop) != '}' || (n_low == 0 && !comma)) return rewrite(r, 1, "\\{");
    char next = peek(r, stop + 1);
    if (n_low == 0 || next == '+' || (next == '?' && !comma)) return refuse(r, stop + 2);
    return copy(r, stop + 1);
}

static gm_status open_set(reader *r)
{
    size_t n = peek(r, 1) == '^' ? 2 : 1;
    if (peek(r, n) == ']') return refuse(r, n + 1);
    r->in_set = true;
    return copy(r, n);
}

static gm_status in_set(reader *r)
{
    if (peek(r, 0) == '[' || is_next(r, "&&")) return refuse(r, 2);
    if (peek(r, 0) == ']') r->in_set = false;
    return copy(r, 1);
}

gm_status gm_regex_translate(gm_text *out, const char *pattern, size_t n, const char *where,
                             gm_error *err)
{
    gm_status status = GM_OK;
    reader r = {.pattern = pattern, .n = n, .out = out, .where = where, .err = err};

    while (r.at < r.n && status == GM_OK) {
        char c = peek(&r, 0);
        if (c == '\\')
            status = escape(&r);
        else if (r.in_set)
            status = in_set(&r);
        else if (c == '[')
            status = open_set(&r);
        else if (c == '(')
            status = open_group(&r);
        else if (c == '{')
            status = interval(&r);
        else
            status = copy(&r, 1);
    }
    return status;
}
