/* test_json.c - reading JSON: what cJSON alone would let through, lose or round. */
#include "base/json.h"

#include "tests/put_file.h"

static gm_json *parse(const char *text)
{
    gm_json *root = NULL;
    gm_error err = {0};
    CHECK_OK(gm_json_parse(&root, text, strlen(text), "t", &err), err);
    return root;
}

/* The document is refused, leaves nothing, and says `part`. */
static void refuse(const char *text, size_t n, const char *part)
{
    gm_json *root = NULL;
    gm_error err;
    CHECK_FAILS(gm_json_parse(&root, text, n, "t.json", &err), err, GM_EFORMAT, part);
    CHECK_HAS(err.text, "'t.json'");
    CHECK(root == NULL);
}

static void values_have_kinds_and_an_order(void)
{
    gm_json *root = parse("{\"a\":null,\"b\":true,\"A\":[1,\"x\",{}],\"\":-2.5e1}");
    static const gm_json_kind kind[] = {GM_JSON_NULL, GM_JSON_BOOL, GM_JSON_ARRAY, GM_JSON_NUMBER};
    static const char *const key[] = {"a", "b", "A", ""};
    size_t i = 0;
    for (const gm_json *at = gm_json_first(root); at != NULL; at = gm_json_next(at), i++) {
        CHECK_INT(gm_json_kind_of(at), kind[i]);
        CHECK_TEXT(gm_json_key(at), key[i]);
    }
    CHECK_INT(i, 4);
    CHECK_INT(gm_json_kind_of(root), GM_JSON_OBJECT);
    CHECK_INT(gm_json_n_items(root), 4);
    CHECK_INT(gm_json_n_items(gm_json_find(root, "A")), 3); /* not "a": case counts */
    CHECK(gm_json_find(root, "B") == NULL);
    CHECK(gm_json_find(gm_json_first(root), "a") == NULL); /* not an object */
    CHECK_TEXT(gm_json_kind_name(GM_JSON_OBJECT), "object");
    gm_json_free(root);
}

static void strings_and_keys_keep_nul(void)
{
    size_t n = 0;
    gm_json *root = parse("{\"k\\u0000\":\"x\\u0000y\\u0000\",\"k\":\"\\u0000\"}");
    const gm_json *first = gm_json_first(root), *second = gm_json_next(first);

    CHECK_BYTES(gm_json_key_text(first, &n), "k\0", 3);
    CHECK_INT(n, 2);
    CHECK_BYTES(gm_json_text(first, &n), "x\0y\0\0", 5);
    CHECK_INT(n, 4);
    CHECK_BYTES(gm_json_text(second, &n), "\0\0", 2);
    CHECK_INT(n, 1);
    CHECK(gm_json_find(root, "k") == second); /* the first one's key is longer */
    gm_json_free(root);
}

static void escapes_become_characters(void)
{
    size_t n = 0;
    gm_json *root = parse("\"\\ud83d\\uDE00\\u00e9\\n\\\"\\\\\\/\\b\\f\\r\\t\xc3\xa9\"");
    const char want[] = "\xf0\x9f\x98\x80\xc3\xa9\n\"\\/\b\f\r\t\xc3\xa9";
    CHECK_TEXT(gm_json_text(root, &n), want);
    CHECK_INT(n, sizeof want - 1);
    gm_json_free(root);
}

static void integers_are_exact_to_64_bits(void)
{
    static const struct {
        const char *text;
        int64_t want;
    } good[] = {
        {"9007199254740993", INT64_C(9007199254740993)}, /* 2^53 + 1 */
        {"-9223372036854775808", INT64_MIN},
        {"9223372036854775807", INT64_MAX},
        {"999999999999999", INT64_C(999999999999999)},
        {"-0", 0},
        {"1e3", 1000},
        {"5.0", 5},
    };
    int64_t i = 0;
    double x = 0;
    for (size_t k = 0; k < sizeof good / sizeof *good; k++) {
        gm_json *root = parse(good[k].text);
        CHECK(gm_json_i64(root, &i));
        CHECK_INT(i, good[k].want);
        CHECK(gm_json_f64(root, &x));
        CHECK_NEAR(x, (double)good[k].want, 0);
        CHECK_INT(gm_json_kind_of(root), GM_JSON_NUMBER);
        CHECK(gm_json_text(root, NULL) == NULL);
        gm_json_free(root);
    }
    static const char *const bad[] = {
        "0.5", "9223372036854775808", "1e300", "9007199254740993.0", "true", "\"1\"", "null"};
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        gm_json *root = parse(bad[k]);
        CHECK(!gm_json_i64(root, &i));
        gm_json_free(root);
    }
}

static void long_numbers_are_not_cut(void)
{
    double x = 0;
    gm_json *root =
        parse("[0.33333333333333333333333333333333333333333333333333333333333333333333]");
    CHECK(gm_json_f64(gm_json_first(root), &x));
    CHECK_NEAR(x, 1.0 / 3, 0);
    gm_json_free(root);
}

static void what_is_not_json_is_refused_with_its_place(void)
{
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"", "byte 0: expected a value, found the end"},
        {"{} x", "byte 3: expected the end of the document, found 'x'"},
        {"[1,]", "expected a value, found ']'"},
        {"[1 2]", "expected ',' or ']', found '2'"},
        {"{\"a\":1,}", "expected a key in quotes, found '}'"},
        {"{\"a\" 1}", "expected ':'"},
        {"{\"a\":1", "expected ',' or '}', found the end"},
        {"{a:1}", "expected a key in quotes, found 'a'"},
        {"{\n \"a\": x}", "line 2, column 7: expected a value, found 'x'"},
        {"NaN", "NaN is not JSON (Python writes it)"},
        {"[Infinity]", "Infinity is not JSON"},
        {"[-Infinity]", "-Infinity is not JSON"},
        {"None", "None is not JSON"},
        {"nul", "expected a value"},
        {"01", "leading zero"},
        {"+1", "expected a value, found '+'"},
        {"1.", "expected a digit"},
        {"-", "expected a digit, found the end"},
        {"1e+", "expected a digit"},
        {"\"a", "without a closing quote"},
        {"\"a\tb\"", "byte 2: raw control character"},
        {"\"\\x\"", "expected an escape, found 'x'"},
        {"\"\\", "expected an escape, found the end"},
        {"\"\\u12g4\"", "four hex digits"},
        {"\"\\u12", "four hex digits"},
        {"\"\\ud800\"", "lone high surrogate"},
        {"\"\\ud800\\u0041\"", "lone high surrogate"},
        {"\"\\udc00\"", "lone low surrogate"},
        {"\"\xc0\x80\"", "byte 1: invalid UTF-8"},
        {"[1e999]", "too large for a double"},
        {"\v1", "expected a value, found '\\x0b'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refuse(cases[i].text, strlen(cases[i].text), cases[i].part);
    refuse("1\0", 2, "found '\\x00'");
    refuse("\"a\0b\"", 5, "raw control character");
    refuse("[1", 1, "found the end"); /* nothing after n is looked at */
}

static void duplicate_keys_are_refused_in_small_and_large_objects(void)
{
    gm_text text = {0};
    gm_error err = {0};
    refuse("{\"a\":1,\"b\":2,\"a\":3}", 19, "key 'a' appears twice");
    refuse("[{\"x\":{\"\":1,\"\":2}}]", 19, "key '' appears twice");

    CHECK_OK(gm_text_add(&text, "{\"k4999\":0", &err), err);
    for (int i = 0; i < 4999; i++) CHECK_OK(gm_text_printf(&text, &err, ",\"k%d\":%d", i, i), err);
    size_t n = text.n;
    CHECK_OK(gm_text_add(&text, "}", &err), err);
    gm_json *root = parse(text.at);
    CHECK_INT(gm_json_n_items(root), 5000);
    gm_json_free(root);

    text.n = n;
    CHECK_OK(gm_text_add(&text, ",\"k17\":1}", &err), err);
    refuse(text.at, text.n, "key 'k17' appears twice");
    gm_text_clear(&text);
}

/* `depth` arrays inside each other. */
static gm_text nest(int depth)
{
    gm_text text = {0};
    gm_error err = {0};
    for (int i = 0; i < depth; i++) CHECK_OK(gm_text_add(&text, "[", &err), err);
    for (int i = 0; i < depth; i++) CHECK_OK(gm_text_add(&text, "]", &err), err);
    return text;
}

static void depth_has_a_limit(void)
{
    gm_text text = nest(512);
    gm_json_free(parse(text.at));
    gm_text_clear(&text);
    text = nest(513);
    refuse(text.at, text.n, "nested more than 512 levels deep");
    gm_text_clear(&text);
}

static void space_and_a_byte_order_mark_may_stand_around(void)
{
    bool value = false;
    gm_json *root = parse("\xEF\xBB\xBF \t\r\n true \n");
    CHECK(gm_json_bool(root, &value) && value);
    gm_json_free(root);
    refuse("\xEF\xBB\xBF", 3, "found the end");
}

static void required_members_say_what_was_expected(void)
{
    gm_json *root = parse("{\"n\":12,\"s\":\"x\",\"z\":null,\"h\":0.5,\"b\":true,\"o\":{},"
                          "\"nul\":\"a\\u0000\"}");
    gm_error err = {0};
    int64_t i = -1;
    double x = -1;
    bool b = false;
    const char *text = "";

    CHECK_OK(gm_json_get_i64(root, "n", 1, 12, &i, "c", &err), err);
    CHECK_INT(i, 12);
    CHECK_FAILS(gm_json_get_i64(root, "n", 1, 11, &i, "c", &err), err, GM_EFORMAT,
                "'c': 'n' is 12, expected an integer from 1 to 11");
    CHECK_INT(i, 0);
    CHECK_FAILS(gm_json_get_i64(root, "n", 11, 11, &i, "c", &err), err, GM_EFORMAT,
                "'c': 'n' is 12, expected 11");
    CHECK_FAILS(gm_json_get_i64(root, "s", 1, 9, &i, "c", &err), err, GM_EFORMAT,
                "'c': 's' is a string, expected an integer from 1 to 9");
    CHECK_FAILS(gm_json_get_i64(root, "h", 0, 9, &i, "c", &err), err, GM_EFORMAT, "'h' is 0.5");
    CHECK_FAILS(gm_json_get_i64(root, "no", 0, 9, &i, "c", &err), err, GM_EFORMAT,
                "'c': 'no' is missing, expected an integer from 0 to 9");
    CHECK_OK(gm_json_get_i64_or(root, "no", 0, 9, 99, &i, "c", &err), err);
    CHECK_INT(i, 99);
    CHECK_OK(gm_json_get_i64_or(root, "z", 0, 9, 7, &i, "c", &err), err);
    CHECK_INT(i, 7);
    CHECK_FAILS(gm_json_get_i64_or(root, "o", 0, 9, 7, &i, "c", &err), err, GM_EFORMAT,
                "'o' is an object");

    CHECK_OK(gm_json_get_f64(root, "h", 0, 1, &x, "c", &err), err);
    CHECK_NEAR(x, 0.5, 0);
    CHECK_FAILS(gm_json_get_f64(root, "h", 1, 2, &x, "c", &err), err, GM_EFORMAT,
                "'h' is 0.5, expected a number from 1 to 2");
    CHECK_FAILS(gm_json_get_f64(root, "z", 1, 2, &x, "c", &err), err, GM_EFORMAT, "'z' is null,");
    CHECK_OK(gm_json_get_f64_or(root, "z", 0, 1, 3, &x, "c", &err), err);
    CHECK_NEAR(x, 3, 0);

    CHECK_OK(gm_json_get_bool_or(root, "b", false, &b, "c", &err), err);
    CHECK(b);
    CHECK_OK(gm_json_get_bool_or(root, "no", true, &b, "c", &err), err);
    CHECK(b);
    CHECK_FAILS(gm_json_get_bool_or(root, "n", true, &b, "c", &err), err, GM_EFORMAT,
                "'n' is 12, expected a boolean");

    CHECK_OK(gm_json_get_text(root, "s", &text, "c", &err), err);
    CHECK_TEXT(text, "x");
    CHECK_FAILS(gm_json_get_text(root, "nul", &text, "c", &err), err, GM_EFORMAT,
                "'nul' contains a NUL");
    CHECK(text == NULL);
    CHECK_FAILS(gm_json_get_text(root, "b", &text, "c", &err), err, GM_EFORMAT,
                "'b' is a boolean, expected a string");
    CHECK_OK(gm_json_get_text_or(root, "z", "fallback", &text, "c", &err), err);
    CHECK_TEXT(text, "fallback");
    gm_json_free(root);
}

static const char rich[] =
    "{\"a\":[1,2,{\"b\\u0000\":\"\\u0000\"}],\"n\":12345678901234567890,\"k1\":1,\"k2\":2,\"k3\":3,"
    "\"k4\":4,\"k5\":5,\"k6\":6,\"k7\":7,\"k8\":8,\"k9\":9,\"ka\":1,\"kb\":2,\"kc\":3,\"kd\":4,"
    "\"ke\":5,\"kf\":6,\"kg\":7}";

static gm_status parse_rich(void *state, gm_error *err)
{
    (void)state;
    gm_json *root = NULL;
    gm_status status = gm_json_parse(&root, rich, sizeof rich - 1, "rich", err);
    CHECK((root == NULL) == (status != GM_OK));
    gm_json_free(root);
    return status;
}

static void every_allocation_may_fail(void)
{
    check_every_allocation(parse_rich, NULL);
}

static void files_are_named_in_messages(void)
{
    gm_json *root;
    gm_error err = {0};
    put_text("bad.json", "{\"a\":}");
    CHECK_FAILS(gm_json_read_file(&root, "bad.json", 100, &err), err, GM_EFORMAT,
                "'bad.json': byte 5: expected a value");
    CHECK_FAILS(gm_json_read_file(&root, "bad.json", 5, &err), err, GM_EFORMAT, "larger than 5");
    CHECK_FAILS(gm_json_read_file(&root, "none.json", 5, &err), err, GM_EIO, "none.json");
    CHECK(root == NULL);
    gm_json_free(NULL);
}

static void a_config_may_have_pythons_infinity(void)
{
    static const char *const refused[][2] = {{"[-Infinity]", "-Infinity is not JSON"},
                                             {"[NaN]", "NaN is not JSON"},
                                             {"[Infinityx]", "expected a value"},
                                             {"[infinity]", "expected a value"},
                                             {"{Infinity: 1}", "expected a key in quotes"}};
    gm_json *root;
    gm_error err = {0};
    put_text("config.json", "{\"Infinity\": [1, Infinity ,\"Infinity\"]}");
    CHECK_FAILS(gm_json_read_file(&root, "config.json", 100, &err), err, GM_EFORMAT,
                "Infinity is not JSON");
    CHECK_OK(gm_json_read_config(&root, "config.json", 100, &err), err);
    const gm_json *list = gm_json_find(root, "Infinity");
    CHECK_INT(gm_json_n_items(list), 3);
    const gm_json *second = gm_json_next(gm_json_first(list));
    CHECK_TEXT(gm_json_text(gm_json_find(second, "__float__"), NULL), "Infinity");
    CHECK_TEXT(gm_json_text(gm_json_next(second), NULL), "Infinity");
    gm_json_free(root);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        put_text("config.json", refused[i][0]);
        CHECK_FAILS(gm_json_read_config(&root, "config.json", 100, &err), err, GM_EFORMAT,
                    refused[i][1]);
    }
}

/* Two bytes of text are up to 150 bytes of memory, so their number is bounded. */
static void values_have_a_limit(void)
{
    enum { MOST = 1 << 22 };
    gm_text text = {0};
    gm_error err = {0};
    CHECK_OK(gm_text_reserve(&text, 2 * MOST + 2, &err), err);
    CHECK_OK(gm_text_add(&text, "[", &err), err);
    for (int i = 0; i < MOST; i++)
        CHECK_OK(gm_text_append(&text, i ? ",1" : "1", i ? 2 : 1, &err), err);
    CHECK_OK(gm_text_add(&text, "]", &err), err); /* with the list itself one too many */
    refuse(text.at, text.n, "more than 4194304 values");
    gm_text_clear(&text);
}

TESTS(TEST(values_have_kinds_and_an_order), TEST(strings_and_keys_keep_nul),
      TEST(escapes_become_characters), TEST(integers_are_exact_to_64_bits),
      TEST(long_numbers_are_not_cut), TEST(what_is_not_json_is_refused_with_its_place),
      TEST(duplicate_keys_are_refused_in_small_and_large_objects), TEST(depth_has_a_limit),
      TEST(space_and_a_byte_order_mark_may_stand_around),
      TEST(required_members_say_what_was_expected), TEST(every_allocation_may_fail),
      TEST(files_are_named_in_messages), TEST(a_config_may_have_pythons_infinity),
      TEST(values_have_a_limit))
