/* regex_dialect.c - from Oniguruma's patterns to PCRE2's.
 *
 * Taken over unchanged: characters, '.', '|', groups (?:..) (?=..) (?!..)
 * (?<=..) (?<!..) (?>..) (?i:..) and plain (..), the quantifiers * + ? {n} {n,}
 * {n,m}, sets without sets inside, and the escapes of control characters and
 * punctuation.
 * Rewritten: \s and \S (PCRE2 counts U+180E as white space, Oniguruma does not),
 * \d and \p{..} (the characters that are younger than PCRE2's Unicode join them),
 * \uHHHH, \v (a class in PCRE2), \p{^..}, script names (PCRE2 would look at script
 * extensions).
 * Refused: \w and \b (the engines draw "word" differently), \h \R \X \K \G \Z,
 * \p{C} \p{Cn} \p{Mn} (they lose characters from one Unicode to the next), \P and \D
 * inside a set, back references, (?m) and other options, {,n}, {n,m}+ and {n}? (they
 * mean other things in Ruby), sets in sets, &&, POSIX classes, verbs. Without regard
 * to case, where one character of Oniguruma may be two: everything but ASCII, \p,
 * sets with ^, and the pairs ss ff fi fl st.
 *
 * Source: Oniguruma's doc/RE (6.9) and pcre2pattern(3) (10.42).
 */
#include "engine/tokenizer/codepoint.h"
#include "engine/tokenizer/codepoint_tables.h"
#include "engine/tokenizer/regex.h"

#include <string.h>

/* The inside of a set: White_Space, 25 characters. */
#define WHITE_SPACE                                                                         \
    "\\x09-\\x0d\\x20\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}" \
    "\\x{205f}\\x{3000}"

typedef struct reader {
    const char *pattern; /* (n) */
    size_t n, at;
    bool in_set;
    int depth;    /* groups open here */
    int caseless; /* the depth at which letters lost their case; 0: they have not */
    gm_text *out;
    const char *where;
    gm_error *err;
} reader;

/* The byte k places on; NUL past the end. */
static char peek(const reader *r, size_t k)
{
    return k < r->n - r->at ? r->pattern[r->at + k] : '\0';
}

static bool is_next(const reader *r, const char *text)
{
    size_t n = strlen(text);
    return r->n - r->at >= n && memcmp(r->pattern + r->at, text, n) == 0;
}

/* The first `most` of n bytes, or a few more to end with a whole character. */
static int whole_chars(const char *at, size_t n, size_t most)
{
    if (most > n) most = n;
    while (most < n && gm_is_tail_byte(at[most])) most++;
    return (int)most;
}

static gm_status refuse(const reader *r, size_t n)
{
    const char *at = r->pattern + r->at;
    return gm_fail(r->err, GM_EFORMAT,
                   "'%s': '%.*s' at byte %zu of the regular expression '%.*s' is not supported",
                   r->where, whole_chars(at, r->n - r->at, n), at, r->at,
                   whole_chars(r->pattern, r->n, 200), r->pattern);
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

/* Whether a class of characters, a category "Lu", all of "L", or a script, counts an
 * entry of the tables among its own. */
static bool covers(const char *class, size_t n, const char *name)
{
    return strncmp(class, name, n) == 0 && (n == 1 || name[n] == '\0');
}

/* \x{..}-\x{..} for what joined a class since PCRE2's Unicode. */
static gm_status append_new(reader *r, const char *class, size_t n)
{
    bool script = n > 2;
    const gm_category_range *table = script ? gm_script_chars : gm_new_categories;
    const size_t n_table = script ? gm_script_chars_n : gm_new_categories_n;
    gm_status status = GM_OK;
    for (size_t i = 0; i < n_table && status == GM_OK;) {
        uint32_t first = table[i].first, last = table[i].last;
        bool mine = covers(class, n, table[i].name);
        while (++i < n_table && mine && covers(class, n, table[i].name) &&
               table[i].first == last + 1)
            last = table[i].last;
        if (mine && first <= last)
            status =
                gm_text_printf(r->out, r->err, "\\x{%x}-\\x{%x}", (unsigned)first, (unsigned)last);
    }
    return status;
}

/* Write a class for the next n_pattern bytes of the pattern. */
static gm_status put_class(reader *r, size_t n_pattern, const char *class, size_t n, bool negative)
{
    gm_status status = GM_OK;
    if (r->caseless || (negative && r->in_set)) return refuse(r, n_pattern);
    if (!r->in_set) GM_TRY(gm_text_add(r->out, negative ? "[^" : "[", r->err));
    GM_TRY(gm_text_printf(r->out, r->err, "\\p{%s%.*s}", n > 2 ? "sc:" : "", (int)n, class));
    GM_TRY(append_new(r, class, n));
    if (!r->in_set) GM_TRY(gm_text_add(r->out, "]", r->err));
    r->at += n_pattern;
out:
    return status;
}

/* Whether a class has a name that is understood. */
static bool is_class(const char *class, size_t n)
{
    static const char *const changed[] = {"C", "Cn", "Mn", "Cs"};
    for (size_t i = 0; i < sizeof changed / sizeof changed[0]; i++)
        if (strlen(changed[i]) == n && memcmp(class, changed[i], n) == 0) return false;
    if (n == 1) return strchr("LMNPSZ", class[0]) != NULL;
    if (n == 2) return class[0] >= 'A' && class[0] <= 'Z' && class[1] >= 'a';
    for (size_t i = 0; i < gm_script_chars_n; i++)
        if (covers(class, n, gm_script_chars[i].name)) return true;
    return false;
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
    const char *class = r->pattern + r->at + name;
    if (!is_class(class, stop - name)) return refuse(r, stop + 1);
    return put_class(r, stop + 1, class, stop - name, negative);
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
    case 'd':
    case 'D': return put_class(r, 2, "Nd", 2, c == 'D');
    case 'x':
    case 'u': return r->caseless ? refuse(r, 2) : hex(r);
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
    if ((unsigned char)c >= 0x80 && r->caseless) return refuse(r, 2);
    if ((unsigned char)c >= 0x80) r->at++; /* the character itself; PCRE2 forbids the backslash */
    return copy(r, (unsigned char)c >= 0x80 ? 1 : 2);
}

static gm_status open_group(reader *r)
{
    static const char *const known[] = {"(?:", "(?=", "(?!", "(?>", "(?<=", "(?<!", "(?i:"};
    size_t n = 1;
    /* Elsewhere (?i) reaches over a '|' in one engine and not in the other. */
    if (is_next(r, "(?i)")) {
        if (r->at != 0) return refuse(r, 4);
        r->caseless = 1;
        r->depth = 1; /* as if a group were open to the end */
        return copy(r, 4);
    }
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (is_next(r, known[i])) n = strlen(known[i]);
    if (n == 1 && (peek(r, 1) == '?' || peek(r, 1) == '*')) return refuse(r, 3);
    r->depth++;
    if (n == 4 && peek(r, 2) == 'i' && r->caseless == 0) r->caseless = r->depth;
    return copy(r, n);
}

static gm_status close_group(reader *r)
{
    if (r->caseless == r->depth) r->caseless = 0;
    if (r->depth > 0) r->depth--;
    return copy(r, 1);
}

/* A character that stands for itself. Two letters that are one in Oniguruma when
 * case does not count (the long s, ligatures) are refused. */
static gm_status literal(reader *r)
{
    static const char *const pairs[] = {"ss", "ff", "fi", "fl", "st"};
    if (!r->caseless) return copy(r, 1);
    if ((unsigned char)peek(r, 0) >= 0x80) return refuse(r, 1);
    for (size_t i = 0; !r->in_set && i < sizeof pairs / sizeof pairs[0]; i++)
        if ((peek(r, 0) | 0x20) == pairs[i][0] && (peek(r, 1) | 0x20) == pairs[i][1])
            return refuse(r, 2);
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
    if (peek(r, n) == ']' || (n == 2 && r->caseless)) return refuse(r, n + 1);
    r->in_set = true;
    return copy(r, n);
}

static gm_status in_set(reader *r)
{
    if (peek(r, 0) == '[' || is_next(r, "&&")) return refuse(r, 2);
    if (peek(r, 0) == ']') r->in_set = false;
    return literal(r);
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
        else if (c == ')')
            status = close_group(&r);
        else if (c == '{')
            status = interval(&r);
        else
            status = literal(&r);
    }
    return status;
}
