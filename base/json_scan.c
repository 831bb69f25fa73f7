/* json_scan.c - checks a JSON document by recursive descent (RFC 8259) and
 * rewrites what cJSON cannot hold. One function per rule of the grammar.
 */
#include "base/json_scan.h"

#include <string.h>

typedef struct scan {
    const char *bytes; /* [n] the document */
    size_t n, at;      /* at: next byte to look at */
    size_t copied;     /* bytes[0..copied) stand in *copy, rewritten */
    int depth;
    size_t n_values;
    bool infinity; /* may be written, as Python does */
    gm_text *copy;
    const char *where;
    gm_error *err;
} scan;

/* The next byte, or '\0' at the end (a NUL in the text fits no rule either). */
static char peek(const scan *s)
{
    return s->at < s->n ? s->bytes[s->at] : '\0';
}

static void skip_space(scan *s)
{
    while (s->at < s->n && strchr(" \t\n\r", s->bytes[s->at]) && s->bytes[s->at]) s->at++;
}

/* Fail at the current place with "'where': line 3, column 7: <what>". */
static gm_status refuse(const scan *s, const char *what)
{
    size_t line = 1, start = 0;
    for (size_t i = 0; i < s->at; i++)
        if (s->bytes[i] == '\n') line++, start = i + 1;
    if (line == 1) return gm_fail(s->err, GM_EFORMAT, "'%s': byte %zu: %s", s->where, s->at, what);
    return gm_fail(s->err, GM_EFORMAT, "'%s': line %zu, column %zu: %s", s->where, line,
                   s->at - start + 1, what);
}

/* Fail with "expected <what>, found 'x'". */
static gm_status expected(const scan *s, const char *what)
{
    char found[32] = "the end", text[96];
    if (s->at < s->n) {
        uint32_t cp;
        char shown[16];
        size_t len = gm_utf8_decode(s->bytes + s->at, s->n - s->at, &cp);
        gm_text_escape(shown, sizeof shown, s->bytes + s->at, len);
        (void)snprintf(found, sizeof found, "'%s'", shown);
    }
    (void)snprintf(text, sizeof text, "expected %s, found %s", what, found);
    return refuse(s, text);
}

/* Put `text` into the copy in place of bytes[start..at). */
static gm_status rewrite(scan *s, size_t start, const char *text, size_t n)
{
    gm_status status = gm_text_append(s->copy, s->bytes + s->copied, start - s->copied, s->err);
    if (status == GM_OK) status = gm_text_append(s->copy, text, n, s->err);
    s->copied = s->at;
    return status;
}

/* Four hex digits at bytes[at..]; -1 when they are not. */
static int32_t hex4(const scan *s, size_t at)
{
    int32_t value = 0;
    if (s->n < 4 || at > s->n - 4) return -1;
    for (size_t i = at; i < at + 4; i++) {
        const int digit = gm_hex_digit(s->bytes[i]);
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* bytes[at] is the 'u' of an escape. */
static gm_status scan_unicode_escape(scan *s)
{
    size_t start = s->at - 1;
    int32_t unit = hex4(s, s->at + 1);
    if (unit < 0) return refuse(s, "expected four hex digits after '\\u'");
    if (unit >= 0xDC00 && unit <= 0xDFFF) return refuse(s, "lone low surrogate in a string");
    if (unit >= 0xD800 && unit <= 0xDBFF) {
        bool escape = s->n - s->at > 6 && memcmp(s->bytes + s->at + 5, "\\u", 2) == 0;
        int32_t low = escape ? hex4(s, s->at + 7) : -1;
        if (low < 0xDC00 || low > 0xDFFF) return refuse(s, "lone high surrogate in a string");
        s->at += 6;
    }
    s->at += 5;
    return unit == 0 ? rewrite(s, start, (const char[]){GM_JSON_NUL}, 1) : GM_OK;
}

static gm_status scan_string(scan *s)
{
    gm_status status = GM_OK;
    s->at++; /* the opening quote */
    for (;;) {
        while (s->at < s->n && (unsigned char)s->bytes[s->at] >= 0x20 && s->bytes[s->at] != '"' &&
               s->bytes[s->at] != '\\')
            s->at++;
        if (s->at == s->n) return refuse(s, "string without a closing quote");
        char c = s->bytes[s->at];
        if (c != '"' && c != '\\') return refuse(s, "raw control character in a string");
        s->at++;
        if (c == '"') return GM_OK;
        if (peek(s) == 'u') {
            GM_TRY(scan_unicode_escape(s));
        } else {
            if (peek(s) == '\0' || strchr("\"\\/bfnrt", peek(s)) == NULL)
                return expected(s, "an escape");
            s->at++;
        }
    }
out:
    return status;
}

/* At least one digit. */
static gm_status scan_digits(scan *s)
{
    if (peek(s) < '0' || peek(s) > '9') return expected(s, "a digit");
    while (peek(s) >= '0' && peek(s) <= '9') s->at++;
    return GM_OK;
}

static gm_status scan_number(scan *s)
{
    enum { EXACT_DIGITS = 15, CJSON_CHARACTERS = 60 };
    gm_status status = GM_OK;
    size_t start = s->at;
    bool integer = true;

    if (peek(s) == '-') s->at++;
    if (peek(s) == 'I') return refuse(s, "-Infinity is not JSON (Python writes it)");
    size_t first = s->at;
    GM_TRY(scan_digits(s));
    if (s->bytes[first] == '0' && s->at - first > 1) {
        s->at = first;
        return refuse(s, "number with a leading zero");
    }
    bool long_integer = s->at - first > EXACT_DIGITS;
    if (peek(s) == '.') {
        integer = false;
        s->at++;
        GM_TRY(scan_digits(s));
    }
    if (peek(s) == 'e' || peek(s) == 'E') {
        integer = false;
        s->at++;
        if (peek(s) == '+' || peek(s) == '-') s->at++;
        GM_TRY(scan_digits(s));
    }
    if ((integer && long_integer) || s->at - start > CJSON_CHARACTERS) {
        size_t end = s->at;
        s->at = start;
        GM_TRY(rewrite(s, start, (const char[]){'"', GM_JSON_DIGITS}, 2));
        s->at = end;
        GM_TRY(rewrite(s, end, "", 0));
        GM_TRY(gm_text_append(s->copy, "\"", 1, s->err));
    }
out:
    return status;
}

static gm_status scan_word(scan *s)
{
    static const char as_object[] = "{\"__float__\": \"Infinity\"}";
    static const char *const words[] = {"true", "false", "null"};
    static const char *const foreign[] = {"NaN", "Infinity", "nan", "inf", "None", "True", "False"};
    size_t n = 0;
    while (s->at + n < s->n && ((s->bytes[s->at + n] | 0x20) >= 'a') &&
           ((s->bytes[s->at + n] | 0x20) <= 'z'))
        n++;
    const char *word = s->bytes + s->at;
    const size_t start = s->at;
    if (s->infinity && n == 8 && memcmp(word, "Infinity", n) == 0) {
        s->at += n;
        return rewrite(s, start, as_object, sizeof as_object - 1);
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strlen(words[i]) == n && memcmp(words[i], word, n) == 0) {
            s->at += n;
            return GM_OK;
        }
    }
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        if (strlen(foreign[i]) == n && memcmp(foreign[i], word, n) == 0) {
            char text[64];
            (void)snprintf(text, sizeof text, "%s is not JSON (Python writes it)", foreign[i]);
            return refuse(s, text);
        }
    }
    return expected(s, "a value");
}

static gm_status scan_value(scan *s);

/* The members between `open` and `close`; in an object each has a key. */
static gm_status scan_members(scan *s, char close)
{
    gm_status status = GM_OK;
    if (++s->depth > GM_JSON_DEPTH) return refuse(s, "nested more than 512 levels deep");
    s->at++;
    skip_space(s);
    if (peek(s) != close) {
        for (;;) {
            if (close == '}') {
                if (peek(s) != '"') return expected(s, "a key in quotes");
                GM_TRY(scan_string(s));
                skip_space(s);
                if (peek(s) != ':') return expected(s, "':'");
                s->at++;
                skip_space(s);
            }
            GM_TRY(scan_value(s));
            skip_space(s);
            if (peek(s) != ',') break;
            s->at++;
            skip_space(s);
        }
        if (peek(s) != close) return expected(s, close == '}' ? "',' or '}'" : "',' or ']'");
    }
    s->at++;
    s->depth--;
out:
    return status;
}

static gm_status scan_value(scan *s)
{
    char c = peek(s);
    if (++s->n_values > GM_JSON_VALUES) return refuse(s, "more than 4194304 values");
    if (c == '{') return scan_members(s, '}');
    if (c == '[') return scan_members(s, ']');
    if (c == '"') return scan_string(s);
    if (c == '-' || (c >= '0' && c <= '9')) return scan_number(s);
    return scan_word(s);
}

gm_status gm_json_scan(gm_text *copy, const char *bytes, size_t n, bool infinity, const char *where,
                       gm_error *err)
{
    gm_status status = GM_OK;
    scan s = {
        .bytes = bytes, .n = n, .infinity = infinity, .copy = copy, .where = where, .err = err};
    *copy = (gm_text){0};

    s.at = gm_utf8_valid(bytes, n);
    if (s.at < n) return refuse(&s, "invalid UTF-8");
    s.at = 0;
    skip_space(&s);
    GM_TRY(scan_value(&s));
    skip_space(&s);
    if (s.at < n) GM_TRY(expected(&s, "the end of the document"));
    if (s.copied > 0) GM_TRY(rewrite(&s, s.at, "", 0));
out:
    if (status != GM_OK) gm_text_clear(copy);
    return status;
}
