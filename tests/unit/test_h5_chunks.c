/* test_h5_chunks.c - formats/h5_chunks.c: every range of rows is what HDF5 reads; chunks that are
 * damaged, not packed or not there.
 * label: threads
 */
#include "formats/h5_chunks.h"
#include "formats/h5_column.h"
#include "formats/h5_filter.h"
#include "tests/check.h"

#include <hdf5.h>

enum { ROWS = 45, COLS = 3, CHUNK = 8, ITEMS = ROWS * COLS };

static const gm_h5_layout any = {
    .name = "/x", .type = GM_H5_U16, .rank = 2, .dim = {GM_H5_ANY, GM_H5_ANY}};

static uint16_t value_of(size_t i)
{
    return (uint16_t)(i * i * 7 + i);
}

/* /x, packed as ours or by `filters` of shuffle, deflate and fletcher32. */
static void make_file(bool ours)
{
    const hsize_t dim[] = {ROWS, COLS}, chunk[] = {CHUNK, COLS};
    uint16_t value[ITEMS];
    hid_t list = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(2, dim, NULL);
    for (size_t i = 0; i < ITEMS; i++) value[i] = value_of(i);
    CHECK(H5Pset_chunk(list, 2, chunk) >= 0);
    if (ours) CHECK(H5Pset_shuffle(list) >= 0);
    CHECK(H5Pset_deflate(list, 1) >= 0);
    if (ours) CHECK(H5Pset_fletcher32(list) >= 0);
    hid_t file = H5Fcreate("x.h5", H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    hid_t set = H5Dcreate2(file, "/x", H5T_STD_U16LE, space, H5P_DEFAULT, list, H5P_DEFAULT);
    CHECK(H5Dwrite(set, H5T_NATIVE_UINT16, H5S_ALL, H5S_ALL, H5P_DEFAULT, value) >= 0);
    H5Dclose(set);
    H5Sclose(space);
    H5Pclose(list);
    CHECK(H5Fclose(file) >= 0);
}

typedef struct opened {
    hid_t file;
    gm_h5_set set;
} opened;

static opened open_file(void)
{
    gm_error err = {0};
    opened o;
    CHECK_OK(gm_h5_open(&o.file, "x.h5", &err), err);
    CHECK_OK(gm_h5_set_open(&o.set, o.file, &any, &err), err);
    return o;
}

static void close_file(opened *o)
{
    gm_h5_set_close(&o->set);
    gm_h5_drop(&o->file);
}

static void check_range(const gm_h5_set *set, size_t first, size_t n)
{
    uint16_t out[ITEMS + 1];
    gm_error err = {0};
    out[n * COLS] = 0xABCD; /* after it nothing is written */
    CHECK_OK(gm_h5_set_read(set, first, n, out, &err), err);
    for (size_t i = 0; i < n * COLS; i++) CHECK_INT(out[i], value_of(first * COLS + i));
    CHECK_INT(out[n * COLS], 0xABCD);
}

static void check_every_range(size_t chunk_rows)
{
    opened o = open_file();
    CHECK_INT(o.set.chunk_rows, chunk_rows);
    for (size_t first = 0; first <= ROWS; first++)
        for (size_t n = 0; first + n <= ROWS; n++) check_range(&o.set, first, n);
    close_file(&o);
}

static void every_range_of_rows(void)
{
    make_file(true);
    check_every_range(CHUNK);
    make_file(false); /* deflate alone: HDF5 reads it */
    check_every_range(0);
}

/* Chunk 2 put there anew: its bytes as they are, with all filters said to be left out; or packed,
 * with one byte changed. */
enum damage { NONE, MIDDLE, CHECKSUM };

static void rewrite_chunk(enum damage damage)
{
    const hsize_t at[] = {(hsize_t)2 * CHUNK, 0};
    uint8_t bytes[4096];
    uint32_t left_out = 0;
    hsize_t n = 0;
    hid_t file = H5Fopen("x.h5", H5F_ACC_RDWR, H5P_DEFAULT);
    hid_t set = H5Dopen2(file, "/x", H5P_DEFAULT);
    if (damage != NONE) {
        CHECK(H5Dget_chunk_storage_size(set, at, &n) >= 0 && n > 12 && n < sizeof bytes);
        CHECK(H5Dread_chunk(set, H5P_DEFAULT, at, &left_out, bytes) >= 0);
        bytes[damage == MIDDLE ? n / 2 : n - 1] ^= 1;
    } else {
        n = CHUNK * COLS * sizeof(uint16_t);
        for (size_t i = 0; i < (size_t)CHUNK * COLS; i++) {
            uint16_t value = value_of((size_t)2 * CHUNK * COLS + i);
            memcpy(bytes + 2 * i, &value, sizeof value);
        }
        left_out = 7;
    }
    CHECK(H5Dwrite_chunk(set, H5P_DEFAULT, left_out, at, n, bytes) >= 0);
    H5Dclose(set);
    CHECK(H5Fclose(file) >= 0);
}

static void a_chunk_that_is_not_packed(void)
{
    make_file(true);
    rewrite_chunk(NONE);
    check_every_range(CHUNK);
}

static void check_damaged(enum damage damage)
{
    uint16_t out[ITEMS];
    size_t n_read = 0;
    gm_error err = {0};
    make_file(true);
    rewrite_chunk(damage);
    opened o = open_file();
    CHECK_FAILS(gm_h5_set_read(&o.set, 0, ROWS, out, &err), err, GM_EIO,
                "cannot read dataset '/x'");
    CHECK_OK(gm_h5_chunks_read(&o.set, 0, (size_t)5 * CHUNK, (uint8_t *)out, &n_read, &err), err);
    CHECK_INT(n_read, 2 * CHUNK); /* those before it */
    check_range(&o.set, 0, (size_t)2 * CHUNK);
    check_range(&o.set, (size_t)3 * CHUNK, ROWS - (size_t)3 * CHUNK);
    close_file(&o);
}

static void a_damaged_chunk_is_an_error(void)
{
    check_damaged(MIDDLE);
    check_damaged(CHECKSUM);
}

static gm_status attempt(void *context, gm_error *err)
{
    const opened *o = context;
    uint16_t out[ITEMS];
    return gm_h5_set_read(&o->set, 0, ROWS, out, err);
}

static void allocations_fail(void)
{
    make_file(true);
    opened o = open_file();
    check_every_allocation(attempt, &o);
    close_file(&o);
}

/* x modulo 65535; 65535 for 0 unless nothing was added. */
static uint64_t ones_complement(uint64_t x)
{
    return x == 0 ? 0 : (x - 1) % 65535 + 1;
}

/* Fletcher's sums of big-endian words, by their definition: of bytes that are all 0 or all 255, and
 * of any, in every length about that after which sums must be folded. */
static void checksums_are_fletchers(void)
{
    enum { MOST = 2203 };
    uint8_t bytes[MOST];
    for (int kind = 0; kind < 3; kind++) {
        uint64_t a = 0, b = 0;
        for (size_t i = 0; i < MOST; i++)
            bytes[i] = kind == 0 ? 0 : kind == 1 ? 255 : (uint8_t)(i * i * 37 >> 3);
        for (size_t n = 0; n + 1 < MOST; n += 2) {
            CHECK_INT(gm_h5_fletcher32(bytes, n), ones_complement(b) << 16 | ones_complement(a));
            const uint64_t odd = a + ((uint64_t)bytes[n] << 8);
            CHECK_INT(gm_h5_fletcher32(bytes, n + 1),
                      ones_complement(b + odd) << 16 | ones_complement(odd));
            a = odd + bytes[n + 1];
            b += a;
            if (test_failures > 5) return;
        }
    }
}

TESTS(TEST(every_range_of_rows), TEST(a_chunk_that_is_not_packed),
      TEST(a_damaged_chunk_is_an_error), TEST(allocations_fail), TEST(checksums_are_fletchers))
