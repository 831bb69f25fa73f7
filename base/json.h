/* json.h - reading and writing JSON, over cJSON with its traps closed.
 *
 * Reading: nothing may follow the document; duplicate keys are refused; keys are
 * compared case-sensitively; strings keep NUL (cJSON cuts them at \u0000); raw
 * control characters and invalid UTF-8 inside strings are refused; NaN and
 * Infinity are refused with a sentence that names them (Python writes them; see
 * gm_json_read_config);
 * nesting is at most 512; a document has at most 2 GiB, and 2^22 values, which take
 * up to 150 bytes of memory each however short they are (a vocabulary of 262,144
 * with its merges has 1.8 million). Integers of 64 bits are read exactly. Numbers
 * are read in the C locale: nothing in this project calls setlocale(LC_NUMERIC). A
 * byte order mark before the document is skipped.
 *
 * Writing: NaN and infinities become null; integers of 64 bits are printed whole;
 * a byte that is not UTF-8 becomes U+FFFD.
 *
 * Every message names `where` (a file or file:line) and the key.
 */
#ifndef GM_JSON_H
#define GM_JSON_H

#include "base/text.h"

typedef struct cJSON gm_json; /* a value: a document's root or part of it */

typedef enum gm_json_kind {
    GM_JSON_NULL,
    GM_JSON_BOOL,
    GM_JSON_NUMBER,
    GM_JSON_TEXT,
    GM_JSON_ARRAY,
    GM_JSON_OBJECT
} gm_json_kind;

/* ---- reading ---- */

/* Parse bytes[0..n), borrowed during the call only. *out is the root, the
 * caller's, freed with gm_json_free. Errors: GM_EFORMAT, GM_EMEM. */
gm_status gm_json_parse(gm_json **out, const char *bytes, size_t n, const char *where,
                        gm_error *err) GM_MUST_USE;
gm_status gm_json_read_file(gm_json **out, const char *path, size_t max_bytes, gm_error *err)
    GM_MUST_USE;
/* The same of a config.json, where Infinity may stand as a value, as Python writes it (Nemotron 3
 * Nano is published so): it is read as {"__float__": "Infinity"}, which transformers 5 writes. */
gm_status gm_json_read_config(gm_json **out, const char *path, size_t max_bytes, gm_error *err)
    GM_MUST_USE;
void gm_json_free(gm_json *root);

/* The version of cJSON, for the provenance record. */
const char *gm_json_library_version(void);

gm_json_kind gm_json_kind_of(const gm_json *value);
const char *gm_json_kind_name(gm_json_kind kind); /* "object", "string", ... */

/* Members in file order: first child of an array or object (NULL when empty),
 * the next one (NULL at the end), and the key of an object's member. */
const gm_json *gm_json_first(const gm_json *value);
const gm_json *gm_json_next(const gm_json *value);
const char *gm_json_key(const gm_json *value);
const char *gm_json_key_text(const gm_json *value, size_t *n); /* n: bytes, may hold NUL */
size_t gm_json_n_items(const gm_json *value);

/* The member `key` of an object, NULL when absent. Linear: never in a loop over
 * a large object; iterate instead. */
const gm_json *gm_json_find(const gm_json *object, const char *key);

/* The string's bytes (NUL-terminated, may hold NUL) and their number; NULL when
 * the value is not a string. `n` may be NULL. */
const char *gm_json_text(const gm_json *value, size_t *n);

/* The value as bool / exact integer / double; false when it is something else.
 * 1.0 and 1e3 are integers; a fraction, or one beyond 64 bits, is not. */
bool gm_json_bool(const gm_json *value, bool *out);
bool gm_json_i64(const gm_json *value, int64_t *out);
bool gm_json_f64(const gm_json *value, double *out);

/* Whether two values are the same: keys are not looked at, but members in another order differ.
 * NULL, an absent value, is only the same as NULL. */
bool gm_json_same(const gm_json *a, const gm_json *b);

/* Required members, with type and range checked and a sentence on failure
 * ("'config.json': 'num_hidden_layers' is a string, expected an integer from 1
 * to 1000"). GM_EFORMAT. The _or variants take `fallback` when the key is absent
 * or null. */
gm_status gm_json_get_i64(const gm_json *object, const char *key, int64_t lo, int64_t hi,
                          int64_t *out, const char *where, gm_error *err) GM_MUST_USE;
gm_status gm_json_get_i64_or(const gm_json *object, const char *key, int64_t lo, int64_t hi,
                             int64_t fallback, int64_t *out, const char *where, gm_error *err)
    GM_MUST_USE;
gm_status gm_json_get_f64(const gm_json *object, const char *key, double lo, double hi, double *out,
                          const char *where, gm_error *err) GM_MUST_USE;
gm_status gm_json_get_f64_or(const gm_json *object, const char *key, double lo, double hi,
                             double fallback, double *out, const char *where, gm_error *err)
    GM_MUST_USE;
gm_status gm_json_get_bool_or(const gm_json *object, const char *key, bool fallback, bool *out,
                              const char *where, gm_error *err) GM_MUST_USE;
gm_status gm_json_get_text(const gm_json *object, const char *key, const char **out,
                           const char *where, gm_error *err) GM_MUST_USE;
gm_status gm_json_get_text_or(const gm_json *object, const char *key, const char *fallback,
                              const char **out, const char *where, gm_error *err) GM_MUST_USE;

/* ---- writing: straight into a gm_text, commas and escapes looked after ---- */

typedef struct gm_json_out {
    gm_text text;     /* what was written so far; the caller clears it */
    gm_status status; /* first failure; later calls do nothing */
    int depth;        /* open objects and arrays */
    bool comma;       /* a value came before on this level */
} gm_json_out;

/* A writer starts as (gm_json_out){0}. `key` is NULL inside arrays and at the
 * root. A failed allocation is remembered; look at gm_json_out_done once. */
void gm_json_open_object(gm_json_out *out, const char *key);
void gm_json_open_array(gm_json_out *out, const char *key);
void gm_json_close_object(gm_json_out *out);
void gm_json_close_array(gm_json_out *out);
void gm_json_put_text(gm_json_out *out, const char *key, const char *bytes, size_t n);
void gm_json_put_string(gm_json_out *out, const char *key, const char *c_string); /* NULL: null */
void gm_json_put_i64(gm_json_out *out, const char *key, int64_t value);
void gm_json_put_u64(gm_json_out *out, const char *key, uint64_t value);
/* The shortest digits that read back as the same value. */
void gm_json_put_f64(gm_json_out *out, const char *key, double value);
void gm_json_put_bool(gm_json_out *out, const char *key, bool value);
void gm_json_put_null(gm_json_out *out, const char *key);
/* A value that was read, with all that it holds. */
void gm_json_put_value(gm_json_out *out, const char *key, const gm_json *value);
/* Text that is JSON already (one value), taken as it is. */
void gm_json_put_raw(gm_json_out *out, const char *key, const char *json);
/* GM_OK when everything was written and every object and array is closed. */
gm_status gm_json_out_done(gm_json_out *out, gm_error *err) GM_MUST_USE;

#endif
