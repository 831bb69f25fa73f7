/* json_out.c - writing JSON straight into a text. */
#include "base/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void put(gm_json_out *out, const char *bytes, size_t n)
{
    if (out->status == GM_OK) out->status = gm_text_append(&out->text, bytes, n, NULL);
}

static void put_c(gm_json_out *out, const char *c_string)
{
    put(out, c_string, strlen(c_string));
}

/* One character of a string, or one invalid byte, which becomes U+FFFD: what is
 * written is always JSON. Returns the bytes taken. */
static size_t put_character(gm_json_out *out, const char *bytes, size_t n)
{
    static const char short_escape[] = "\bb\ff\nn\rr\tt\"\"\\\\"; /* pairs: character, letter */
    unsigned char c = (unsigned char)bytes[0];
    char escape[8];

    for (const char *pair = short_escape; *pair != '\0'; pair += 2) {
        if (c != (unsigned char)*pair) continue;
        put(out, (const char[]){'\\', pair[1]}, 2);
        return 1;
    }
    if (c < 0x20) {
        (void)snprintf(escape, sizeof escape, "\\u%04x", c);
        put_c(out, escape);
        return 1;
    }
    size_t len = c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
    if (len > n || gm_utf8_valid(bytes, len) != len) {
        put_c(out, "\xEF\xBF\xBD");
        return 1;
    }
    put(out, bytes, len);
    return len;
}

static bool is_plain(char c)
{
    return c >= 0x20 && c < 0x7F && c != '"' && c != '\\';
}

static void put_quoted(gm_json_out *out, const char *bytes, size_t n)
{
    put(out, "\"", 1);
    for (size_t i = 0; i < n;) {
        size_t run = i;
        while (run < n && is_plain(bytes[run])) run++;
        put(out, bytes + i, run - i);
        i = run;
        if (i < n) i += put_character(out, bytes + i, n - i);
    }
    put(out, "\"", 1);
}

/* A key, after a comma where one is due, and before its value. */
static void put_key(gm_json_out *out, const char *key, size_t n)
{
    if (out->comma) put(out, ",", 1);
    put_quoted(out, key, n);
    put(out, ":", 1);
    out->comma = false;
}

/* What stands before a value: a comma where one is due, and the key. */
static void begin(gm_json_out *out, const char *key)
{
    if (out->depth == 0 && out->comma && out->status == GM_OK)
        out->status = GM_EARG; /* a document has one root */
    if (key != NULL)
        put_key(out, key, strlen(key));
    else if (out->comma)
        put(out, ",", 1);
    out->comma = true;
}

static void open_level(gm_json_out *out, const char *key, const char *bracket)
{
    begin(out, key);
    put_c(out, bracket);
    out->depth++;
    out->comma = false;
}

static void close_level(gm_json_out *out, const char *bracket)
{
    if (out->depth == 0 && out->status == GM_OK) out->status = GM_EARG;
    put_c(out, bracket);
    out->depth--;
    out->comma = true;
}

void gm_json_open_object(gm_json_out *out, const char *key)
{
    open_level(out, key, "{");
}

void gm_json_open_array(gm_json_out *out, const char *key)
{
    open_level(out, key, "[");
}

void gm_json_close_object(gm_json_out *out)
{
    close_level(out, "}");
}

void gm_json_close_array(gm_json_out *out)
{
    close_level(out, "]");
}

void gm_json_put_raw(gm_json_out *out, const char *key, const char *json)
{
    begin(out, key);
    put_c(out, json);
}

void gm_json_put_text(gm_json_out *out, const char *key, const char *bytes, size_t n)
{
    begin(out, key);
    put_quoted(out, bytes, n);
}

void gm_json_put_string(gm_json_out *out, const char *key, const char *c_string)
{
    if (c_string == NULL)
        gm_json_put_null(out, key);
    else
        gm_json_put_text(out, key, c_string, strlen(c_string));
}

void gm_json_put_i64(gm_json_out *out, const char *key, int64_t value)
{
    char digits[24];
    (void)snprintf(digits, sizeof digits, "%" PRId64, value);
    gm_json_put_raw(out, key, digits);
}

/* An export has billions of these, and printf takes its time. */
void gm_json_put_u64(gm_json_out *out, const char *key, uint64_t value)
{
    char digits[24], *at = digits + sizeof digits - 1;
    *at = '\0';
    do {
        *--at = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    gm_json_put_raw(out, key, at);
}

void gm_json_put_f64(gm_json_out *out, const char *key, double value)
{
    char digits[32];
    if (!isfinite(value)) {
        gm_json_put_null(out, key);
        return;
    }
    gm_json_put_raw(out, key, gm_show_exact(digits, value));
}

void gm_json_put_bool(gm_json_out *out, const char *key, bool value)
{
    gm_json_put_raw(out, key, value ? "true" : "false");
}

void gm_json_put_null(gm_json_out *out, const char *key)
{
    gm_json_put_raw(out, key, "null");
}

static void put_number(gm_json_out *out, const char *key, const gm_json *value)
{
    int64_t whole;
    double number = 0;
    if (gm_json_i64(value, &whole)) {
        gm_json_put_i64(out, key, whole);
    } else {
        (void)gm_json_f64(value, &number);
        gm_json_put_f64(out, key, number);
    }
}

static void put_items(gm_json_out *out, const gm_json *value)
{
    for (const gm_json *v = gm_json_first(value); v; v = gm_json_next(v)) {
        size_t n = 0;
        const char *key = gm_json_key_text(v, &n); /* NULL in a list */
        if (key) put_key(out, key, n);
        gm_json_put_value(out, NULL, v);
    }
}

void gm_json_put_value(gm_json_out *out, const char *key, const gm_json *value)
{
    size_t n = 0;
    bool yes = false;
    const char *text = gm_json_text(value, &n);
    switch (gm_json_kind_of(value)) {
    case GM_JSON_NULL: gm_json_put_null(out, key); break;
    case GM_JSON_BOOL: (void)gm_json_bool(value, &yes), gm_json_put_bool(out, key, yes); break;
    case GM_JSON_NUMBER: put_number(out, key, value); break;
    case GM_JSON_TEXT: gm_json_put_text(out, key, text, n); break;
    case GM_JSON_ARRAY:
        gm_json_open_array(out, key);
        put_items(out, value);
        gm_json_close_array(out);
        break;
    case GM_JSON_OBJECT:
        gm_json_open_object(out, key);
        put_items(out, value);
        gm_json_close_object(out);
        break;
    }
}

gm_status gm_json_out_done(gm_json_out *out, gm_error *err)
{
    if (out->status == GM_EMEM) return gm_fail(err, GM_EMEM, "no memory for the JSON output");
    if (out->status != GM_OK || out->depth != 0 || !out->comma)
        return gm_fail(err, GM_EARG, "JSON output has %d open levels or not exactly one root",
                       out->depth);
    return GM_OK;
}
