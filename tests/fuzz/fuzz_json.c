/* fuzz_json.c - any bytes as JSON: no crash, and what is accepted and written
 * again is accepted again.
 */
#include <stdlib.h>

#include "base/json.h"

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

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    gm_json *root, *again;
    gm_error err = {0};
    gm_json_out out = {0};

    gm_status status = gm_json_parse(&root, (const char *)bytes, n, "input", &err);
    if (status != GM_OK) {
        if (root != NULL || err.text[0] == '\0') abort();
        return 0;
    }
    if (!has_nul_key(root)) {
        put_value(&out, NULL, root);
        if (gm_json_out_done(&out, &err) != GM_OK) abort();
        if (gm_json_parse(&again, out.text.at, out.text.n, "output", &err) != GM_OK) abort();
        gm_json_free(again);
    }
    gm_text_clear(&out.text);
    gm_json_free(root);
    return 0;
}
