/* test_array_file.c - formats/array_file.c: arrays as NumPy and ds4 keep them. */
#include "formats/array_file.h"

#include "base/outfile.h"
#include "base/text.h"
#include "tests/check.h"

static const float table[6] = {0.5f, -INFINITY, 0, -0.25f, 1e-30f, 2}, zeros[6];

/* What numpy.save(path, array of 2 x 3 '<f4') writes before the data. */
static const char front[] =
    "\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': "
    "(2, 3), }                                                          \n";

static void npy_is_numpys_to_the_byte(void)
{
    gm_error err = {0};
    gm_text bytes = {0};
    gm_array back;
    CHECK_OK(gm_array_write("a.npy", table, 2, 3, true, &err), err);
    CHECK_OK(gm_text_read_file(&bytes, "a.npy", 4096, &err), err);
    CHECK_INT(bytes.n, 128 + sizeof table);
    CHECK_INT(sizeof front - 1, 128);
    CHECK_BYTES(bytes.at, front, 128);
    CHECK_BYTES(bytes.at + 128, table, sizeof table);
    CHECK_OK(gm_array_read(&back, "a.npy", &err), err);
    CHECK_INT(back.n_rows, 2);
    CHECK_INT(back.n_cols, 3);
    CHECK_BYTES(back.at, table, sizeof table);
    CHECK_INT(strlen(back.sha256), 64);
    gm_array_clear(&back);
    gm_text_clear(&bytes);
}

/* A .npy of the header `dict`, its newline included, and the bytes data[0..n_data). */
static gm_status parse_with(const char *dict, const void *data, size_t n_data, gm_array *out,
                            gm_error *err)
{
    char bytes[512] = {0};
    size_t n = strlen(dict);
    memcpy(bytes, front, 8);
    bytes[8] = (char)n;
    memcpy(bytes + 10, dict, n);
    memcpy(bytes + 10 + n, data, n_data);
    return gm_array_parse(out, bytes, 10 + n + n_data, "x.npy", err);
}

static void a_header_may_be_spelt_otherwise(void)
{
    static const char *const good[] = {
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}\n",
        "{\"shape\":(2,3,),\"descr\":\"<f4\",\"fortran_order\":False,}\n",
        "  { 'fortran_order' :False , 'shape' : ( 2 , 3 ) , 'descr' : '<f4' }   \n",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        gm_array out;
        gm_error err = {0};
        CHECK_OK(parse_with(good[i], zeros, sizeof zeros, &out, &err), err);
        CHECK_INT(out.n_rows, 2);
        CHECK_INT(out.n_cols, 3);
        gm_array_clear(&out);
    }
}

static void refuses_other_headers(void)
{
    static const struct {
        const char *dict;
        gm_status code;
        const char *part;
    } bad[] = {
        {"{'descr': '>f4', 'fortran_order': False, 'shape': (2, 3), }\n", GM_EFORMAT, "'>f4'"},
        {"{'descr': '<f4', 'fortran_order': 0, 'shape': (2, 3), }\n", GM_EFORMAT, "header"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (6,), }\n", GM_ESHAPE,
         "1 dimension, expected"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 3), }\n", GM_ESHAPE,
         "3 dimensions, expected 2 (array.reshape(len(array), -1))"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (), }\n", GM_ESHAPE, "0 dimensions"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (0, 3), }\n", GM_ESHAPE, "empty"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3, }\n", GM_EFORMAT, "header"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2 3), }\n", GM_EFORMAT, "header"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, -3), }\n", GM_EFORMAT, "header"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 9999999999), }\n", GM_EFORMAT,
         "header"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 3), }\n", GM_ESHAPE,
         "24 bytes of data, expected 3 x 3"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (999999999, 999999999), }\n", GM_ESHAPE,
         "24 bytes"},
        {"{'descr': '<f4', 'fortran_order': False}\n", GM_EFORMAT, "header"},
        {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}\n", GM_EFORMAT,
         "header"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), 'more': 1}\n", GM_EFORMAT,
         "header"},
        {"{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (2, 3)}\n", GM_EFORMAT,
         "records of several fields"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)} 1\n", GM_EFORMAT, "header"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}", GM_EFORMAT, "header"},
        {"\n", GM_EFORMAT, "header"},
        {"", GM_EFORMAT, "header"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        gm_array out;
        gm_error err = {0};
        CHECK_FAILS(parse_with(bad[i].dict, zeros, sizeof zeros, &out, &err), err, bad[i].code,
                    bad[i].part);
        CHECK_HAS(err.text, "x.npy");
        CHECK(out.at == NULL);
    }
}

/* What NumPy makes of numbers without being asked for floats: doubles; and by column. */
static void other_numbers_become_floats(void)
{
    static const double doubles[6] = {0.5, -INFINITY, 0, -0.25, 1e-30, 2},
                        beyond[6] = {0, 0, -1e39};
    static const int8_t bytes[6] = {1, 2, 3, 4, 5, -6};
    gm_array out;
    gm_error err = {0};
    CHECK_OK(parse_with("{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }\n", doubles,
                        sizeof doubles, &out, &err),
             err);
    CHECK_BYTES(out.at, table, sizeof table);
    CHECK_INT(strlen(out.sha256), 64);
    gm_array_clear(&out);
    CHECK_OK(parse_with("{'descr': '|i1', 'fortran_order': True, 'shape': (3, 2), }\n", bytes,
                        sizeof bytes, &out, &err),
             err);
    CHECK_INT(out.n_rows, 3);
    CHECK_BYTES(out.at, ((const float[]){1, 4, 2, 5, 3, -6}), sizeof table);
    gm_array_clear(&out);
    CHECK_FAILS(parse_with("{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }\n", beyond,
                           sizeof beyond, &out, &err),
                err, GM_ENUMERIC, "row 0, column 2 is -1e+39");
    CHECK(out.at == NULL);
}

static void refuses_other_bytes(void)
{
    char bytes[sizeof front + 64] = {0};
    gm_array out;
    gm_error err = {0};
    memcpy(bytes, front, 128);
    CHECK_OK(gm_array_parse(&out, bytes, 128 + 24, "x.npy", &err), err);
    gm_array_clear(&out);
    CHECK_FAILS(gm_array_parse(&out, bytes, 128 + 25, "x.npy", &err), err, GM_ESHAPE, "25 bytes");
    CHECK_FAILS(gm_array_parse(&out, bytes, 128 + 23, "x.npy", &err), err, GM_ESHAPE, "23 bytes");
    CHECK_FAILS(gm_array_parse(&out, bytes, 100, "x.npy", &err), err, GM_EFORMAT, "within");
    CHECK_FAILS(gm_array_parse(&out, bytes, 9, "x.npy", &err), err, GM_EFORMAT, "not a .npy");
    bytes[6] = 2;
    CHECK_FAILS(gm_array_parse(&out, bytes, 152, "x.npy", &err), err, GM_EFORMAT, "format 2.0");
    bytes[0] = 'P';
    CHECK_FAILS(gm_array_parse(&out, bytes, 152, "x.npy", &err), err, GM_EFORMAT, "not a .npy");
    CHECK_FAILS(gm_array_read(&out, "absent.npy", &err), err, GM_EIO, "absent.npy");
    CHECK_FAILS(gm_array_read(&out, "a.txt", &err), err, GM_EARG,
                ".npy (NumPy), .f32 (ds4) or .csv");
    CHECK_FAILS(gm_array_read(&out, ".npy", &err), err, GM_EARG, "expected a name");
}

static void refuses_values_that_are_not_numbers(void)
{
    static const float bad[2] = {NAN, INFINITY};
    gm_error err = {0};
    for (int i = 0; i < 2; i++) {
        float values[6] = {0};
        values[5] = bad[i];
        CHECK_FAILS(gm_array_write("bad.npy", values, 2, 3, true, &err), err, GM_ENUMERIC,
                    "row 1, column 2");
        char bytes[152];
        gm_array out;
        memcpy(bytes, front, 128);
        memcpy(bytes + 128, values, sizeof values);
        CHECK_FAILS(gm_array_parse(&out, bytes, sizeof bytes, "x.npy", &err), err, GM_ENUMERIC,
                    "row 1, column 2");
        CHECK(out.at == NULL);
    }
}

static void ds4_has_one_shape_and_no_header(void)
{
    static float values[43 * 256];
    gm_error err = {0};
    gm_text bytes = {0};
    gm_array back;
    values[3 * 256 + 7] = 1;
    values[42 * 256 + 255] = -1;
    CHECK(gm_array_is_ds4("a.f32") && !gm_array_is_ds4("a.npy"));
    CHECK_OK(gm_array_write("a.f32", values, 43, 256, true, &err), err);
    CHECK_OK(gm_text_read_file(&bytes, "a.f32", 1 << 20, &err), err);
    CHECK_INT(bytes.n, 44032);
    CHECK_BYTES(bytes.at, values, sizeof values);
    CHECK_OK(gm_array_read(&back, "a.f32", &err), err);
    CHECK_INT(back.n_rows, 43);
    CHECK_INT(back.n_cols, 256);
    CHECK_BYTES(back.at, values, sizeof values);
    gm_array_clear(&back);
    CHECK_FAILS(gm_array_parse(&back, bytes.at, 44028, "x.f32", &err), err, GM_ESHAPE,
                "expected 43 x 256");
    CHECK_FAILS(gm_array_write("b.f32", table, 2, 3, true, &err), err, GM_ESHAPE, "2 of 3");
    values[0] = -INFINITY;
    CHECK_FAILS(gm_array_write("b.f32", values, 43, 256, true, &err), err, GM_ENUMERIC, "row 0");
    gm_text_clear(&bytes);
}

static gm_status round_trip_attempt(void *state, gm_error *err)
{
    gm_array back = {0};
    gm_status status = gm_array_write("alloc.npy", state, 2, 3, true, err);
    if (status == GM_OK) status = gm_array_read(&back, "alloc.npy", err);
    gm_array_clear(&back);
    return status;
}

static void survives_every_allocation_failure(void)
{
    float values[6] = {1};
    check_every_allocation(round_trip_attempt, values);
}

TESTS(TEST(npy_is_numpys_to_the_byte), TEST(a_header_may_be_spelt_otherwise),
      TEST(refuses_other_headers), TEST(other_numbers_become_floats), TEST(refuses_other_bytes),
      TEST(refuses_values_that_are_not_numbers), TEST(ds4_has_one_shape_and_no_header),
      TEST(survives_every_allocation_failure))
