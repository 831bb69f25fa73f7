/* fuzz_json.c - any bytes as JSON: no crash, and what is accepted and written is read back as the
 * same.
 */
#include "base/json.h"
#include "tests/fuzz/demand.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* Write a value and everything below it. */
static void put_value(gm_json_out *out, const char *key, const gm_json *value)
{
    size_t n = 0;
    double number = 0;
    int64_t integer = 0;
    bool truth = false;

    switch (gm_json_kind_of(value)) {
    case GM_JSON_NULL: gm_json_put_null(out, key); break;
    case GM_JSON_BOOL:
        (void)gm_json_bool(value, &truth);
        gm_json_put_bool(out, key, truth);
        break;
    case GM_JSON_NUMBER:
        if (gm_json_i64(value, &integer)) {
            gm_json_put_i64(out, key, integer);
        } else {
            (void)gm_json_f64(value, &number);
            gm_json_put_f64(out, key, number);
        }
        break;
    case GM_JSON_TEXT: {
        const char *text = gm_json_text(value, &n);
        gm_json_put_text(out, key, text, n);
        break;
    }
    case GM_JSON_ARRAY:
    case GM_JSON_OBJECT: {
        bool object = gm_json_kind_of(value) == GM_JSON_OBJECT;
        if (object)
            gm_json_open_object(out, key);
        else
            gm_json_open_array(out, key);
        for (const gm_json *at = gm_json_first(value); at != NULL; at = gm_json_next(at))
            put_value(out, object ? gm_json_key(at) : NULL, at);
        if (object)
            gm_json_close_object(out);
        else
            gm_json_close_array(out);
        break;
    }
    }
}

/* Keys that hold NUL are written cut, and may then be equal: no round trip. */
static bool has_nul_key(const gm_json *value)
{
    for (const gm_json *at = gm_json_first(value); at != NULL; at = gm_json_next(at)) {
        size_t n = 0;
        const char *key = gm_json_key_text(at, &n);
        if (key != NULL)
            for (size_t i = 0; i < n; i++)
                if (key[i] == '\0') return true;
        if (has_nul_key(at)) return true;
    }
    return false;
}

static bool same(const gm_json *a, const gm_json *b)
{
    const gm_json *p = gm_json_first(a), *q = gm_json_first(b);
    bool truth[2] = {false};
    double number[2] = {0};
    size_t n[2] = {0};
    switch (gm_json_kind_of(a)) {
    case GM_JSON_BOOL:
        return gm_json_bool(a, &truth[0]) && gm_json_bool(b, &truth[1]) && truth[0] == truth[1];
    case GM_JSON_NUMBER:
        return gm_json_f64(a, &number[0]) && gm_json_f64(b, &number[1]) && number[0] == number[1];
    case GM_JSON_TEXT: {
        const char *text = gm_json_text(a, &n[0]), *other = gm_json_text(b, &n[1]);
        return other != NULL && n[0] == n[1] && memcmp(text, other, n[0]) == 0;
    }
    default: break;
    }
    for (; p && q; p = gm_json_next(p), q = gm_json_next(q)) {
        const char *key = gm_json_key(p), *other = gm_json_key(q);
        if (key && (other == NULL || strcmp(key, other) != 0)) return false;
        if (!same(p, q)) return false;
    }
    return p == q && gm_json_kind_of(a) == gm_json_kind_of(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    gm_json *root, *again;
    gm_json_out out = {0};
    gm_error err = {0};
    if (gm_json_parse(&root, (const char *)bytes, n, "input", &err) != GM_OK) {
        demand(root == NULL && err.text[0] != '\0');
        return 0;
    }
    if (!has_nul_key(root)) {
        put_value(&out, NULL, root);
        demand(gm_json_out_done(&out, NULL) == GM_OK);
        demand(gm_json_parse(&again, out.text.at, out.text.n, "output", NULL) == GM_OK);
        demand(same(root, again));
        gm_json_free(again);
    }
    gm_text_clear(&out.text);
    gm_json_free(root);
    return 0;
}
