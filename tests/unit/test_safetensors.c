/* test_safetensors.c - base/safetensors.c: reading files made by hand, refusing
 * broken ones, and what is written reads back.
 */
#include "base/safetensors.h"

#include "tests/check.h"

/* A file in memory: length, header, data. */
typedef struct image {
    unsigned char at[4096];
    size_t n;
} image;

static image make_image(const char *header, const void *data, size_t n_data)
{
    image f = {.n = 8 + strlen(header) + n_data};
    size_t n_header = strlen(header);
    for (int i = 0; i < 8; i++) f.at[i] = (unsigned char)(n_header >> 8 * i);
    memcpy(f.at + 8, header, n_header);
    if (n_data) memcpy(f.at + 8 + n_header, data, n_data);
    return f;
}

/* Parse a header with n_data bytes of zeros after it, which must fail. */
static void check_refused(const char *header, size_t n_data, const char *part)
{
    static const unsigned char zeros[64];
    image f = make_image(header, zeros, n_data);
    gm_safetensors file;
    gm_error err;
    CHECK_FAILS(gm_safetensors_parse(&file, f.at, f.n, "x", &err), err, GM_EFORMAT, part);
    CHECK(file.tensor == NULL && file.header == NULL && file.n == 0);
    gm_safetensors_clear(&file);
}

static void reads_tensors_by_name(void)
{
    const unsigned char data[] = {0x00, 0x00, 0x80, 0x3f, 0x80, 0x3f, 0x00, 0xc0, 0x00, 0x3c};
    image f = make_image("{\"__metadata__\":{\"format\":\"pt\"},"
                         "\"z\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
                         "\"b\":{\"dtype\":\"BF16\",\"shape\":[2,1],\"data_offsets\":[4,8]},"
                         "\"h\":{\"dtype\":\"F16\",\"shape\":[],\"data_offsets\":[8,10]},"
                         "\"empty\":{\"dtype\":\"I64\",\"shape\":[0,3],\"data_offsets\":[4,4]}} ",
                         data, sizeof data);
    gm_safetensors file;
    gm_error err = {0};
    float value[2];

    CHECK_OK(gm_safetensors_parse(&file, f.at, f.n, "x", &err), err);
    CHECK_INT(file.n, 4);
    CHECK_TEXT(file.tensor[0].name, "b");
    CHECK_TEXT(file.tensor[3].name, "z");
    CHECK_TEXT(gm_safetensors_metadata(&file, "format"), "pt");
    CHECK(gm_safetensors_metadata(&file, "other") == NULL);
    CHECK(gm_safetensors_find(&file, "a") == NULL);
    CHECK_INT(gm_safetensors_find(&file, "empty")->n_bytes, 0);
    CHECK_INT(gm_safetensors_find(&file, "h")->rank, 0);

    gm_tensor_to_f32(gm_safetensors_find(&file, "z"), 0, 1, value);
    CHECK_NEAR(value[0], 1.0, 0);
    gm_tensor_to_f32(gm_safetensors_find(&file, "b"), 0, 2, value);
    CHECK_NEAR(value[0], 1.0, 0);
    CHECK_NEAR(value[1], -2.0, 0);
    gm_tensor_to_f32(gm_safetensors_find(&file, "b"), 1, 1, value);
    CHECK_NEAR(value[0], -2.0, 0);
    gm_tensor_to_f32(gm_safetensors_find(&file, "h"), 0, 1, value);
    CHECK_NEAR(value[0], 1.0, 0);
    gm_safetensors_clear(&file);
}

static void refuses_what_is_not_the_format(void)
{
    unsigned char bytes[16] = {200};
    gm_safetensors file;
    gm_error err;
    CHECK_FAILS(gm_safetensors_parse(&file, bytes, 7, "x", &err), err, GM_EFORMAT, "too few");
    CHECK_FAILS(gm_safetensors_parse(&file, bytes, 16, "x", &err), err, GM_EFORMAT, "truncated");
    memset(bytes, 0xff, sizeof bytes);
    CHECK_FAILS(gm_safetensors_parse(&file, bytes, 16, "x", &err), err, GM_EFORMAT,
                "not a safetensors file");
    check_refused("", 0, "not a JSON object");
    check_refused("[1]", 0, "not a JSON object");
    check_refused("{\"a\":3}", 0, "not an object");
    check_refused("{\"__metadata__\":[]}", 0, "not an object");
    check_refused("{\"__metadata__\":{\"a\":1}}", 0, "not a string");
    check_refused("{", 0, "x");
}

static void refuses_bad_entries(void)
{
    check_refused("{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "no 'dtype'");
    check_refused("{\"a\":{\"dtype\":\"F8_E5M2\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4,
                  "dtype 'F8_E5M2'");
    check_refused("{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "no 'shape'");
    check_refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1,
                  "rank 6");
    check_refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[-1],\"data_offsets\":[0,1]}}", 1,
                  "dimension 0");
    check_refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[1.5],\"data_offsets\":[0,1]}}", 1,
                  "dimension 0");
    check_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[4503599627370496,4503599627370496],"
                  "\"data_offsets\":[0,4]}}",
                  4, "too large for memory");
    check_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "data_offsets");
    check_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4,
                  "data_offsets");
    check_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,8]}}", 4,
                  "data_offsets");
    check_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4,
                  "has 4 bytes, expected 8");
    check_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 4,
                  "truncated");
    check_refused("{\"a\\u0000b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
                  "NUL");
}

static void refuses_overlap_and_holes(void)
{
    check_refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},"
                  "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[2,4]}}",
                  4, "'a' and 'b' overlap");
    check_refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                  "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[2,4]}}",
                  4, "1 bytes before tensor 'b'");
    check_refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 3,
                  "2 bytes at the end");
}

static void every_cut_of_a_file_is_refused(void)
{
    const unsigned char data[6] = {1, 2, 3, 4, 5, 6};
    image f = make_image("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
                         "\"b\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[2,6]}}",
                         data, sizeof data);
    for (size_t n = 0; n < f.n; n++) {
        gm_safetensors file;
        gm_error err = {0};
        CHECK_INT(gm_safetensors_parse(&file, f.at, n, "x", &err), GM_EFORMAT);
        CHECK(file.tensor == NULL && err.text[0] != '\0');
        gm_safetensors_clear(&file);
    }
}

static void what_is_written_reads_back(void)
{
    const float bias[] = {1.5f, -INFINITY, 0, -2};
    const uint8_t byte[] = {7};
    const gm_tensor tensor[] = {
        {.name = "bias", .dtype = GM_F32, .rank = 2, .dim = {2, 2}, .data = bias, .n_bytes = 16},
        {.name = "a", .dtype = GM_U8, .rank = 1, .dim = {1}, .data = byte, .n_bytes = 1},
    };
    const gm_safetensors_note notes[] = {{"format", "test"}, {"quote", "a\"b\n"}};
    gm_error err = {0};
    gm_text bytes = {0};
    gm_safetensors file;
    float value[4];

    CHECK_OK(gm_safetensors_write("out.safetensors", true, tensor, 2, notes, 2, &err), err);
    CHECK_OK(gm_text_read_file(&bytes, "out.safetensors", 1 << 20, &err), err);
    CHECK_OK(gm_safetensors_parse(&file, bytes.at, bytes.n, "out", &err), err);
    CHECK_TEXT(gm_safetensors_metadata(&file, "quote"), "a\"b\n");
    const gm_tensor *t = gm_safetensors_find(&file, "bias");
    CHECK(t && t->dim[0] == 2 && t->dim[1] == 2);
    CHECK_INT(((const char *)t->data - bytes.at) % 8, 0);
    gm_tensor_to_f32(t, 0, 4, value);
    CHECK_BYTES(value, bias, sizeof bias);
    gm_safetensors_clear(&file);
    gm_text_clear(&bytes);

    CHECK_FAILS(gm_safetensors_write("out.safetensors", false, tensor, 2, NULL, 0, &err), err,
                GM_EEXIST, "out.safetensors");
    gm_tensor wrong = tensor[0];
    wrong.n_bytes = 12;
    CHECK_FAILS(gm_safetensors_write("w.safetensors", true, &wrong, 1, NULL, 0, &err), err, GM_EARG,
                "12 bytes");
}

static gm_status parse_attempt(void *state, gm_error *err)
{
    const image *f = state;
    gm_safetensors file;
    gm_status status = gm_safetensors_parse(&file, f->at, f->n, "x", err);
    gm_safetensors_clear(&file);
    return status;
}

static gm_status write_attempt(void *state, gm_error *err)
{
    const gm_safetensors_note note = {"a", "b"};
    return gm_safetensors_write("alloc.safetensors", true, state, 1, &note, 1, err);
}

static void survives_every_allocation_failure(void)
{
    image f = make_image("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", "x", 1);
    gm_tensor t = {.name = "a", .dtype = GM_U8, .rank = 1, .dim = {1}, .data = "x", .n_bytes = 1};
    check_every_allocation(parse_attempt, &f);
    check_every_allocation(write_attempt, &t);
}

TESTS(TEST(reads_tensors_by_name), TEST(refuses_what_is_not_the_format), TEST(refuses_bad_entries),
      TEST(refuses_overlap_and_holes), TEST(every_cut_of_a_file_is_refused),
      TEST(what_is_written_reads_back), TEST(survives_every_allocation_failure))
