/* text.h - byte strings that grow, UTF-8, numbers and sizes as people write them,
 * whole files in memory.
 *
 * A gm_text is bytes with a length, and a NUL after them; it may hold NUL bytes.
 * It starts as (gm_text){0} and is freed with gm_text_clear.
 */
#ifndef GM_TEXT_H
#define GM_TEXT_H

#include "base/base.h"

#include <stdarg.h>
#include <stdio.h>

typedef struct gm_text {
    char *at;   /* n bytes and a NUL; NULL while nothing was appended */
    size_t n;   /* bytes, without the NUL */
    size_t cap; /* bytes allocated */
} gm_text;

gm_status gm_text_append(gm_text *text, const char *bytes, size_t n, gm_error *err) GM_MUST_USE;
gm_status gm_text_add(gm_text *text, const char *c_string, gm_error *err) GM_MUST_USE;
gm_status gm_text_printf(gm_text *text, gm_error *err, const char *fmt, ...) GM_PRINTF(3, 4)
    GM_MUST_USE;
/* Room for n more bytes, so that appending them cannot fail. */
gm_status gm_text_reserve(gm_text *text, size_t n, gm_error *err) GM_MUST_USE;
void gm_text_clear(gm_text *text);

/* Read a whole file of at most `max_bytes` bytes; a plain file takes its size in memory. Errors:
 * GM_EIO (missing, unreadable, a folder), GM_EFORMAT larger than max_bytes, GM_EMEM. */
gm_status gm_text_read_file(gm_text *out, const char *path, size_t max_bytes, gm_error *err)
    GM_MUST_USE;

/* Where valid UTF-8 ends: n when all of it is valid, otherwise the place of the
 * first byte of the first invalid sequence (overlong forms, surrogates and code
 * points above U+10FFFF are invalid; NUL is valid). */
size_t gm_utf8_valid(const char *bytes, size_t n);

/* Decode one code point of *valid* UTF-8 at bytes[0..n), n >= 1; returns its
 * length in bytes, 1 to 4. */
size_t gm_utf8_decode(const char *bytes, size_t n, uint32_t *code_point);

/* Encode one code point (a Unicode scalar value); returns its length, 1 to 4. */
size_t gm_utf8_encode(uint32_t code_point, char out[4]);

/* How many bytes at the end of bytes[0..n) begin a character that is not yet
 * complete (0 to 3): what a stream holds back before it prints. */
size_t gm_utf8_pending(const char *bytes, size_t n);

/* Does a character move a cursor, end a line or change the direction of writing? Controls,
 * U+2028/9, bidirectional marks. */
bool gm_utf8_controls(uint32_t code_point);

/* A C string as UTF-8: invalid bytes, as in file names, are spelt \xHH. `out` has room for four
 * bytes for each byte, and a NUL. Returns the length. */
size_t gm_utf8_spell(char *out, const char *c_string);

/* Escape for one line of a message: what gm_utf8_controls, invalid bytes and backslash become
 * \n, \t, \xHH or \u{H}. Writes at most cap-1 bytes and a NUL, ends in "..." when cut. */
void gm_text_escape(char *out, size_t cap, const char *bytes, size_t n);

/* Does a name end in `ending`, after something else? */
bool gm_ends_in(const char *name, const char *ending);

/* The last part of a path, inside `path`: "b/" of "a/b/". */
const char *gm_path_name(const char *path);

/* Whole-string number parsing, C locale; false when anything is left over, the
 * text is empty, or the value does not fit. gm_parse_f64 refuses hex floats and
 * takes "nan" and "inf" (callers check the range). */
bool gm_parse_i64(const char *text, int64_t *out);
bool gm_parse_u64(const char *text, uint64_t *out);
bool gm_parse_f64(const char *text, double *out);

/* The same of text[0..n), n at most GM_NUMBER_BYTES. */
enum { GM_NUMBER_BYTES = 63 };
bool gm_parse_i64_n(const char *text, size_t n, int64_t *out);
bool gm_parse_f64_n(const char *text, size_t n, double *out);

/* What a hexadecimal digit stands for; -1: it is none. */
int gm_hex_digit(char c);

/* For qsort, from the smallest on: doubles, none of them NaN; uint32_t; const char *, by bytes. */
int gm_ascending(const void *a, const void *b);
int gm_ascending_u32(const void *a, const void *b);
int gm_ascending_text(const void *a, const void *b);

/* "1.5 GB", "312 kB" (decimal units), "14.2 k", "3.1 M", "1:02:03". */
const char *gm_show_bytes(char buf[24], double bytes);
const char *gm_show_count(char buf[24], double count);
const char *gm_show_seconds(char buf[24], double seconds);

/* What the noun after a count ends in: "%zu document%s", n, gm_plural(n). */
const char *gm_plural(uint64_t n);

/* The shortest of 15 to 17 digits that reads back as the same number. */
const char *gm_show_exact(char buf[32], double value);

#endif
