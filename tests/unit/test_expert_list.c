/* test_expert_list.c - formats/expert_list.c: a plan's biases as a table of experts. */
#include "formats/expert_list.h"

#include "base/text.h"
#include "tests/put_file.h"

static const int layers[2] = {1, 4};
static const float bias[6] = {0, -INFINITY, 1e-40f, 0.1f, -0.0f, 1e38f};

static void every_bias_comes_back(void)
{
    gm_error err = {0};
    gm_text text = {0};
    gm_array back;
    CHECK(gm_expert_list_is("a.csv") && !gm_expert_list_is(".csv") && !gm_expert_list_is("a.npy"));
    CHECK_OK(gm_expert_list_write("a.csv", bias, layers, 2, 3, true, &err), err);
    CHECK_OK(gm_text_read_file(&text, "a.csv", 4096, &err), err);
    CHECK_TEXT(text.at, "layer,expert,bias\n1,1,-inf\n1,2,9.9999461e-41\n4,0,0.100000001\n"
                        "4,2,9.99999968e+37\n");
    CHECK_OK(gm_expert_list_read(&back, "a.csv", layers, 2, 3, &err), err);
    CHECK_INT(back.n_rows, 2);
    CHECK_INT(back.n_cols, 3);
    for (int i = 0; i < 6; i++) CHECK(back.at[i] == bias[i]);
    CHECK_INT(strlen(back.sha256), 64);
    CHECK_INT(gm_expert_list_write("a.csv", bias, layers, 2, 3, false, &err), GM_EEXIST);
    gm_array_clear(&back);
    gm_text_clear(&text);
}

static void an_expert_that_no_float_holds_is_refused(void)
{
    gm_array out;
    gm_error err = {0};
    put_text("b.csv", "layer,expert,bias\n4,2,1e39\n");
    CHECK_INT(gm_expert_list_read(&out, "b.csv", layers, 2, 3, &err), GM_EFORMAT);
    CHECK_TEXT(err.text, "'b.csv', line 2: expected a number or -inf for bias, found '1e39'");
    CHECK(out.at == NULL);
}

/* Columns with gaps are floats to pandas, and people put blanks after commas. */
static void lists_as_pandas_and_hands_write_them(void)
{
    gm_array out;
    gm_error err = {0};
    put_text("p.csv", "name, layer, expert, bias\n,1.0,2.0,0.5\nx, 4, 1, -inf\n,4.0,0,1e0\n");
    CHECK_OK(gm_expert_list_read(&out, "p.csv", layers, 2, 3, &err), err);
    CHECK_NEAR(out.at[2], 0.5, 0);
    CHECK(out.at[4] == -INFINITY);
    CHECK_NEAR(out.at[3], 1, 0);
    gm_array_clear(&out);
    static const char *const broken[] = {"1.5,2,1", "1,2.000001,1", ",2,1",
                                         "1,nan,1", "1,inf,1",      "1,1e30,1"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        char text[64];
        snprintf(text, sizeof text, "layer,expert,bias\n%s\n", broken[i]);
        put_text("q.csv", text);
        CHECK_FAILS(gm_expert_list_read(&out, "q.csv", layers, 2, 3, &err), err, GM_EFORMAT,
                    "'q.csv', line 2: expected whole numbers for layer and expert");
    }
    put_text("q.csv", "layer,expert,bias\n4,2,1\n4,1,\n");
    CHECK_INT(gm_expert_list_read(&out, "q.csv", layers, 2, 3, &err), GM_EFORMAT);
    CHECK_TEXT(err.text, "'q.csv', line 3: the bias is empty, expected a number or -inf; to leave "
                         "the expert unchanged, remove the row");
}

/* Without a bias: which experts, in the order of the lines, each once. */
static void names_alone(void)
{
    static const uint32_t want[] = {5, 2, 3};
    uint32_t *at = NULL;
    size_t n = 0;
    gm_error err = {0};
    put_text("n.csv", "expert,t,layer\n2,9,4\n2.0,8,1.0\n2,7,4\n0,,4\n");
    CHECK_OK(gm_expert_list_read_names(&at, &n, "n.csv", layers, 2, 3, &err), err);
    CHECK_INT(n, 3);
    CHECK(n == 3 && memcmp(at, want, sizeof want) == 0);
    gm_free(at);
    put_text("n.csv", "expert,layer\n2,4\n3,4\n");
    CHECK_FAILS(gm_expert_list_read_names(&at, &n, "n.csv", layers, 2, 3, &err), err, GM_EFORMAT,
                "'n.csv', line 3: expert 3, expected 0 to 2");
    CHECK(at == NULL && n == 0);
    put_text("n.csv", "expert,bias\n2,4\n");
    CHECK_FAILS(gm_expert_list_read_names(&at, &n, "n.csv", layers, 2, 3, &err), err, GM_EFORMAT,
                "layer");
}

static gm_status read_biases(void *path, gm_error *err)
{
    gm_array out;
    gm_status status = gm_expert_list_read(&out, path, layers, 2, 3, err);
    CHECK(status == GM_OK ? out.at[3] == 1 : out.at == NULL);
    gm_array_clear(&out);
    return status;
}

static gm_status read_names(void *path, gm_error *err)
{
    uint32_t *at;
    size_t n;
    gm_status status = gm_expert_list_read_names(&at, &n, path, layers, 2, 3, err);
    CHECK(status == GM_OK ? n == 1 && at[0] == 3 : at == NULL && n == 0);
    gm_free(at);
    return status;
}

static gm_status write_biases(void *path, gm_error *err)
{
    return gm_expert_list_write(path, bias, layers, 2, 3, true, err);
}

static void survives_every_allocation_failure(void)
{
    put_text("c.csv", "expert,bias,layer\n0,1,4\n");
    check_every_allocation(read_biases, "c.csv");
    check_every_allocation(read_names, "c.csv");
    check_every_allocation(write_biases, "d.csv");
}

TESTS(TEST(every_bias_comes_back), TEST(an_expert_that_no_float_holds_is_refused),
      TEST(lists_as_pandas_and_hands_write_them), TEST(names_alone),
      TEST(survives_every_allocation_failure))
