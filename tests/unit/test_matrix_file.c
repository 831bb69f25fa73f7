/* test_matrix_file.c - formats/matrix_file.c and npy.c: tables of any type as NumPy keeps them.
 * What a front may look like is tried in test_array_file.c. */
#include "formats/matrix_file.h"
#include "base/text.h"
#include "tests/check.h"

#include <math.h>

/* The front of a .npy of 2 x 2 values of `type`; its length. */
static size_t make_front(char bytes[256], const char *type)
{
    char dict[96];
    int length = snprintf(dict, sizeof dict,
                          "{'descr': '%s', 'fortran_order': False, 'shape': (2, 2), }\n", type);
    memcpy(bytes, "\x93NUMPY\x01\x00", 8);
    bytes[8] = (char)length;
    bytes[9] = 0;
    memcpy(bytes + 10, dict, (size_t)length);
    return 10 + (size_t)length;
}

/* Read one, n bytes of data. */
static gm_status parse_as(const char *type, const void *data, size_t n, gm_matrix *out,
                          gm_error *err)
{
    char bytes[256];
    const size_t front = make_front(bytes, type);
    memcpy(bytes + front, data, n);
    return gm_matrix_parse(out, bytes, front + n, "x.npy", err);
}

static void memory_is_of_file_and_doubles(void)
{
    static const struct {
        const char *type;
        uint64_t bytes;
    } cases[] = {{"<f8", 2000}, {"<f4", 3000}, {"<f2", 5000}, {"|u1", 9000}, {"<c8", 1000}};
    char bytes[256];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CHECK_INT(gm_matrix_memory(bytes, make_front(bytes, cases[i].type), 1000), cases[i].bytes);
    CHECK_INT(gm_matrix_memory("a,b", 3, 1000), 1000);
}

static void every_type_is_read(void)
{
    const uint16_t f2[] = {0x3C00, 0xC000, 0x4300, 0x0001}; /* the last: 2^-24 */
    const float f4[] = {1, -2, 3.5f, 4};
    const double f8[] = {1, -2, 3.5, 4};
    const int8_t i1[] = {1, -2, 3, -128};
    const uint8_t u1[] = {1, 0, 255, 4};
    const int16_t i2[] = {1, -2, INT16_MAX, INT16_MIN};
    const uint16_t u2[] = {1, 0, 65535, 4};
    const int32_t i4[] = {1, -2, INT32_MAX, INT32_MIN};
    const uint32_t u4[] = {1, 0, UINT32_MAX, 4};
    const int64_t i8[] = {1, -2, (int64_t)1 << 53, 4};
    const uint64_t u8[] = {1, 0, (uint64_t)1 << 63, 4};
    const struct {
        const char *type;
        const void *data;
        size_t n;
        double want[4];
    } good[] = {{"<f2", f2, sizeof f2, {1, -2, 3.5, 0x1p-24}},
                {"<i2", i2, sizeof i2, {1, -2, 32767, -32768}},
                {"<u4", u4, sizeof u4, {1, 0, 4294967295.0, 4}},
                {"<u8", u8, sizeof u8, {1, 0, 0x1p63, 4}},
                {"<f4", f4, sizeof f4, {1, -2, 3.5, 4}},
                {"<f8", f8, sizeof f8, {1, -2, 3.5, 4}},
                {"|i1", i1, sizeof i1, {1, -2, 3, -128}},
                {"|u1", u1, sizeof u1, {1, 0, 255, 4}},
                {"|b1", u1, sizeof u1, {1, 0, 255, 4}},
                {"<u2", u2, sizeof u2, {1, 0, 65535, 4}},
                {"<i4", i4, sizeof i4, {1, -2, 2147483647.0, -2147483648.0}},
                {"<i8", i8, sizeof i8, {1, -2, 9007199254740992.0, 4}}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        gm_matrix m;
        gm_error err = {0};
        CHECK_OK(parse_as(good[i].type, good[i].data, good[i].n, &m, &err), err);
        CHECK_INT(m.rows, 2);
        CHECK_INT(m.cols, 2);
        for (size_t k = 0; k < 4; k++) CHECK_NEAR(m.at[k], good[i].want[k], 0);
        gm_matrix_clear(&m);
    }
}

/* numpy.save of numpy.asfortranarray([[0, 1, ...], [100, 101, ...], ...]). */
static void columns_become_rows(void)
{
    enum { ROWS = 3, MOST = 17 };
    for (size_t cols = 1; cols <= MOST; cols += 4) {
        char bytes[512];
        gm_matrix m;
        gm_error err = {0};
        int n = snprintf(bytes, sizeof bytes, "%-10s", "\x93NUMPY\x01");
        n +=
            snprintf(bytes + n, sizeof bytes - (size_t)n,
                     "{'descr': '<i2', 'fortran_order': True, 'shape': (%d, %zu), }\n", ROWS, cols);
        memcpy(bytes + 7, "\0", 1);
        bytes[8] = (char)(n - 10);
        bytes[9] = 0;
        for (size_t c = 0; c < cols; c++)
            for (size_t r = 0; r < ROWS; r++, n += 2)
                memcpy(bytes + n, &(int16_t){(int16_t)(100 * r + c)}, 2);
        CHECK_OK(gm_matrix_parse(&m, bytes, (size_t)n, "x.npy", &err), err);
        for (size_t i = 0; m.at && i < ROWS * cols; i++)
            CHECK_NEAR(m.at[i], (double)(100 * (i / cols) + i % cols), 0);
        gm_matrix_clear(&m);
    }
}

static void other_files_are_refused(void)
{
    const double data[5] = {0};
    gm_matrix m;
    gm_error err = {0};
    CHECK_FAILS(parse_as(">f8", data, 32, &m, &err), err, GM_EFORMAT, "holds '>f8'");
    CHECK_FAILS(parse_as("<c16", data, 32, &m, &err), err, GM_EFORMAT, "holds '<c16'");
    CHECK_FAILS(parse_as("<f8", data, 24, &m, &err), err, GM_ESHAPE, "24 bytes of data");
    CHECK_FAILS(parse_as("<f8", data, 40, &m, &err), err, GM_ESHAPE, "2 x 2 numbers of 8");
    CHECK_FAILS(parse_as("<f8", data, 31, &m, &err), err, GM_ESHAPE, "31 bytes");
    CHECK_FAILS(parse_as("<f8", data, 33, &m, &err), err, GM_ESHAPE, "33 bytes");
    CHECK_FAILS(gm_matrix_parse(&m, "soup", 4, "x.npy", &err), err, GM_EFORMAT, "not a .npy");
    CHECK_FAILS(gm_matrix_read(&m, "absent.npy", &err), err, GM_EIO, "absent.npy");
    CHECK(m.at == NULL);
}

static void what_is_written_is_read(void)
{
    const double values[6] = {1e-300, -2, NAN, INFINITY, 0, 1.0 / 3};
    gm_text bytes = {0};
    gm_matrix m;
    gm_error err = {0};
    CHECK_OK(gm_matrix_write("a.npy", values, 3, 2, true, &err), err);
    CHECK_OK(gm_text_read_file(&bytes, "a.npy", 4096, &err), err);
    CHECK_INT(bytes.n, 128 + sizeof values);
    CHECK_OK(gm_matrix_read(&m, "a.npy", &err), err);
    CHECK_INT(m.rows, 3);
    CHECK_INT(m.cols, 2);
    CHECK_BYTES(m.at, values, sizeof values);
    CHECK_FAILS(gm_matrix_write("a.npy", values, 3, 2, false, &err), err, GM_EEXIST, "a.npy");
    gm_matrix_clear(&m);
    gm_text_clear(&bytes);
}

static gm_status round_trip(void *state, gm_error *err)
{
    gm_matrix m = {0};
    gm_status status = gm_matrix_write("alloc.npy", state, 2, 3, true, err);
    if (status == GM_OK) status = gm_matrix_read(&m, "alloc.npy", err);
    gm_matrix_clear(&m);
    return status;
}

static void survives_every_allocation_failure(void)
{
    double values[6] = {1};
    check_every_allocation(round_trip, values);
}

TESTS(TEST(memory_is_of_file_and_doubles), TEST(every_type_is_read), TEST(columns_become_rows),
      TEST(other_files_are_refused), TEST(what_is_written_is_read),
      TEST(survives_every_allocation_failure))
