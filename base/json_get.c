/* json_get.c - members that a file must have, with type, range and a sentence. */
#include "base/json.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* Fail with "'config.json': 'key' is a string, expected an integer". */
static gm_status wrong(const gm_json *value, const char *key, const char *want, const char *where,
                       gm_error *err)
{
    double number;
    if (value == NULL)
        return gm_fail(err, GM_EFORMAT, "'%s': '%s' is missing, expected %s", where, key, want);
    if (gm_json_f64(value, &number))
        return gm_fail(err, GM_EFORMAT, "'%s': '%s' is %.17g, expected %s", where, key, number,
                       want);
    gm_json_kind kind = gm_json_kind_of(value);
    const char *article = kind == GM_JSON_NULL ? "" : kind >= GM_JSON_ARRAY ? "an " : "a ";
    return gm_fail(err, GM_EFORMAT, "'%s': '%s' is %s%s, expected %s", where, key, article,
                   gm_json_kind_name(kind), want);
}

/* True when an optional member is not there. */
static bool is_absent(const gm_json *value)
{
    return value == NULL || gm_json_kind_of(value) == GM_JSON_NULL;
}

static gm_status read_i64(const gm_json *value, const char *key, int64_t lo, int64_t hi,
                          int64_t *out, const char *where, gm_error *err)
{
    int64_t number;
    *out = 0;
    if (value != NULL && gm_json_i64(value, &number) && number >= lo && number <= hi) {
        *out = number;
        return GM_OK;
    }
    char want[80];
    if (lo == hi)
        (void)snprintf(want, sizeof want, "%" PRId64, lo);
    else
        (void)snprintf(want, sizeof want, "an integer from %" PRId64 " to %" PRId64, lo, hi);
    return wrong(value, key, want, where, err);
}

static gm_status read_f64(const gm_json *value, const char *key, double lo, double hi, double *out,
                          const char *where, gm_error *err)
{
    double number;
    *out = 0;
    if (value != NULL && gm_json_f64(value, &number) && number >= lo && number <= hi) {
        *out = number;
        return GM_OK;
    }
    char want[80];
    (void)snprintf(want, sizeof want, "a number from %g to %g", lo, hi);
    return wrong(value, key, want, where, err);
}

static gm_status read_text(const gm_json *value, const char *key, const char **out,
                           const char *where, gm_error *err)
{
    size_t n = 0;
    *out = value ? gm_json_text(value, &n) : NULL;
    if (*out != NULL && strlen(*out) == n) return GM_OK;
    bool has_nul = *out != NULL; /* a C string would lose what follows */
    *out = NULL;
    if (has_nul) return gm_fail(err, GM_EFORMAT, "'%s': '%s' contains a NUL character", where, key);
    return wrong(value, key, "a string", where, err);
}

gm_status gm_json_get_i64(const gm_json *object, const char *key, int64_t lo, int64_t hi,
                          int64_t *out, const char *where, gm_error *err)
{
    return read_i64(gm_json_find(object, key), key, lo, hi, out, where, err);
}

gm_status gm_json_get_i64_or(const gm_json *object, const char *key, int64_t lo, int64_t hi,
                             int64_t fallback, int64_t *out, const char *where, gm_error *err)
{
    const gm_json *value = gm_json_find(object, key);
    if (!is_absent(value)) return read_i64(value, key, lo, hi, out, where, err);
    *out = fallback;
    return GM_OK;
}

gm_status gm_json_get_f64(const gm_json *object, const char *key, double lo, double hi, double *out,
                          const char *where, gm_error *err)
{
    return read_f64(gm_json_find(object, key), key, lo, hi, out, where, err);
}

gm_status gm_json_get_f64_or(const gm_json *object, const char *key, double lo, double hi,
                             double fallback, double *out, const char *where, gm_error *err)
{
    const gm_json *value = gm_json_find(object, key);
    if (!is_absent(value)) return read_f64(value, key, lo, hi, out, where, err);
    *out = fallback;
    return GM_OK;
}

gm_status gm_json_get_bool_or(const gm_json *object, const char *key, bool fallback, bool *out,
                              const char *where, gm_error *err)
{
    const gm_json *value = gm_json_find(object, key);
    *out = fallback;
    if (is_absent(value) || gm_json_bool(value, out)) return GM_OK;
    return wrong(value, key, "a boolean", where, err);
}

gm_status gm_json_get_text(const gm_json *object, const char *key, const char **out,
                           const char *where, gm_error *err)
{
    return read_text(gm_json_find(object, key), key, out, where, err);
}

gm_status gm_json_get_text_or(const gm_json *object, const char *key, const char *fallback,
                              const char **out, const char *where, gm_error *err)
{
    const gm_json *value = gm_json_find(object, key);
    if (!is_absent(value)) return read_text(value, key, out, where, err);
    *out = fallback;
    return GM_OK;
}

bool gm_json_same(const gm_json *a, const gm_json *b)
{
    size_t n_a = 0, n_b = 0;
    double x, y;
    bool yes, no;
    if (a == NULL || b == NULL) return a == b;
    if (gm_json_kind_of(a) != gm_json_kind_of(b)) return false;
    const char *text_a = gm_json_text(a, &n_a), *text_b = gm_json_text(b, &n_b);
    if (text_a && text_b) return n_a == n_b && memcmp(text_a, text_b, n_a) == 0;
    if (gm_json_f64(a, &x) && gm_json_f64(b, &y)) return x == y;
    if (gm_json_bool(a, &yes) && gm_json_bool(b, &no)) return yes == no;
    const gm_json *in_a = gm_json_first(a), *in_b = gm_json_first(b);
    for (; in_a && in_b && gm_json_same(in_a, in_b); in_a = gm_json_next(in_a))
        in_b = gm_json_next(in_b);
    return in_a == NULL && in_b == NULL;
}
