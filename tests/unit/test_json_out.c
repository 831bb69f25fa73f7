/* test_json_out.c - writing JSON, and reading back what was written. */
#include "base/json.h"
#include "tests/check.h"

static void commas_and_levels_are_looked_after(void)
{
    gm_json_out out = {0};
    gm_error err = {0};
    gm_json_open_object(&out, NULL);
    gm_json_put_i64(&out, "i", INT64_MIN);
    gm_json_put_u64(&out, "u", UINT64_MAX);
    gm_json_open_array(&out, "a");
    gm_json_put_bool(&out, NULL, true);
    gm_json_put_null(&out, NULL);
    gm_json_open_object(&out, NULL);
    gm_json_close_object(&out);
    gm_json_put_raw(&out, NULL, "[1,2]");
    gm_json_close_array(&out);
    gm_json_put_string(&out, "s", NULL);
    gm_json_close_object(&out);
    CHECK_OK(gm_json_out_done(&out, &err), err);
    CHECK_TEXT(out.text.at, "{\"i\":-9223372036854775808,\"u\":18446744073709551615,"
                            "\"a\":[true,null,{},[1,2]],\"s\":null}");
    gm_text_clear(&out.text);
}

static void strings_are_escaped_and_always_utf8(void)
{
    gm_json_out out = {0};
    gm_error err = {0};
    const char bytes[] = "\"\\/\b\f\n\r\t\x01\0\x7f\xc3\xa9\xff\xe2\x82";
    gm_json_put_text(&out, NULL, bytes, sizeof bytes - 1);
    CHECK_OK(gm_json_out_done(&out, &err), err);
    CHECK_TEXT(out.text.at, "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u0000\x7f\xc3\xa9"
                            "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
    gm_json *root = NULL;
    size_t n = 0;
    CHECK_OK(gm_json_parse(&root, out.text.at, out.text.n, "t", &err), err);
    CHECK_BYTES(gm_json_text(root, &n), "\"\\/\b\f\n\r\t\x01\0\x7f\xc3\xa9", 13);
    gm_json_free(root);
    gm_text_clear(&out.text);
}

static void numbers_read_back_and_nan_is_null(void)
{
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0.1, "0.1"},
        {1.0 / 3, "0.3333333333333333"},
        {-0.0, "-0"},
        {1e300, "1e+300"},
        {123456789, "123456789"},
        {0x1p-1074, "4.94065645841247e-324"},
        {(double)NAN, "null"},
        {(double)INFINITY, "null"},
        {(double)-INFINITY, "null"},
    };
    gm_error err = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        gm_json_out out = {0};
        gm_json *root = NULL;
        double back = 0;
        gm_json_put_f64(&out, NULL, cases[i].value);
        CHECK_OK(gm_json_out_done(&out, &err), err);
        CHECK_TEXT(out.text.at, cases[i].text);
        CHECK_OK(gm_json_parse(&root, out.text.at, out.text.n, "t", &err), err);
        if (isfinite(cases[i].value)) {
            CHECK(gm_json_f64(root, &back));
            CHECK_BYTES(&back, &cases[i].value, sizeof back);
        }
        gm_json_free(root);
        gm_text_clear(&out.text);
    }
}

static void what_is_not_one_document_is_an_error(void)
{
    gm_error err;
    gm_json_out out = {0};
    CHECK_FAILS(gm_json_out_done(&out, &err), err, GM_EARG, "exactly one root");
    gm_json_open_array(&out, NULL);
    CHECK_FAILS(gm_json_out_done(&out, &err), err, GM_EARG, "1 open levels");
    gm_json_close_array(&out);
    CHECK_OK(gm_json_out_done(&out, &err), err);
    gm_json_put_null(&out, NULL);
    CHECK_FAILS(gm_json_out_done(&out, &err), err, GM_EARG, "one root");
    gm_text_clear(&out.text);

    out = (gm_json_out){0};
    gm_json_close_object(&out);
    CHECK_FAILS(gm_json_out_done(&out, &err), err, GM_EARG, "open levels");
    gm_text_clear(&out.text);
}

static gm_status write_some(void *state, gm_error *err)
{
    (void)state;
    gm_json_out out = {0};
    gm_json_open_array(&out, NULL);
    for (int i = 0; i < 40; i++) gm_json_put_string(&out, NULL, "twelve bytes");
    gm_json_close_array(&out);
    gm_status status = gm_json_out_done(&out, err);
    gm_text_clear(&out.text);
    return status;
}

static void every_allocation_may_fail(void)
{
    check_every_allocation(write_some, NULL);
}

static void what_was_read_is_written_again(void)
{
    static const char text[] = "{\"a\":[true,null,{},[1,-2.5]],\"s\":\"\\u0000\",\"i\":"
                               "9007199254740993,\"o\":{\"e\":[],\"f\":1e+100},\"s\\u0000\":{}}";
    gm_json_out out = {0};
    gm_json *root = NULL;
    gm_error err = {0};
    CHECK_OK(gm_json_parse(&root, text, sizeof text - 1, "t", &err), err);
    gm_json_put_value(&out, NULL, root);
    CHECK_OK(gm_json_out_done(&out, &err), err);
    CHECK_TEXT(out.text.at, text);
    gm_text_clear(&out.text);
    gm_json_free(root);
}

TESTS(TEST(commas_and_levels_are_looked_after), TEST(strings_are_escaped_and_always_utf8),
      TEST(numbers_read_back_and_nan_is_null), TEST(what_is_not_one_document_is_an_error),
      TEST(what_was_read_is_written_again), TEST(every_allocation_may_fail))
