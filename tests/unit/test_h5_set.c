/* test_h5_set.c - formats/h5_set.c on files that our writer never makes: a few kilobytes
 * that declare more than any memory holds, or that lead out of the file.
 */
#include "formats/atlas.h"
#include "formats/h5.h"
#include "tests/written_sample.h"
#include "tests/atlas_sample.h" /* last: its sizes have names of one letter */

#include <hdf5.h>

#define HUGE (UINT64_C(1) << 33)

static const gm_h5_layout any = {
    .name = "/x", .type = GM_H5_F32, .rank = 2, .dim = {GM_H5_ANY, GM_H5_ANY}};

/* An old-format file (its index of chunks has no checksum) with the f32 dataset /x. */
static void make_file(const char *path, hsize_t rows, hsize_t cols, hid_t list)
{
    const hsize_t dim[] = {rows, cols};
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    hid_t space = H5Screate_simple(2, dim, NULL);
    hid_t set = H5Dcreate2(file, "/x", H5T_IEEE_F32LE, space, H5P_DEFAULT, list, H5P_DEFAULT);
    CHECK(set >= 0);
    H5Dclose(set);
    H5Sclose(space);
    CHECK(H5Fclose(file) >= 0);
    if (list != H5P_DEFAULT) H5Pclose(list);
}

static hid_t chunked(hsize_t rows, hsize_t cols)
{
    const hsize_t chunk[] = {rows, cols};
    hid_t list = H5Pcreate(H5P_DATASET_CREATE);
    CHECK(H5Pset_chunk(list, 2, chunk) >= 0 && H5Pset_deflate(list, 1) >= 0);
    return list;
}

static void check_refused(const char *path, gm_status code, const char *part)
{
    gm_error err = {0};
    hid_t file;
    gm_h5_set set;
    CHECK_OK(gm_h5_open(&file, path, &err), err);
    CHECK_FAILS(gm_h5_set_open(&set, file, &any, &err), err, code, part);
    CHECK_HAS(err.text, path);
    CHECK(set.id < 0);
    gm_h5_drop(&file);
}

static void what_cannot_be_read_is_not_called_another_kind(void)
{
    gm_error err = {0};
    hid_t file;
    CHECK_FAILS(gm_h5_open(&file, ".", &err), err, GM_EIO, "cannot read '.': Is a directory");
    CHECK_FAILS(gm_h5_open(&file, "/dev/null", &err), err, GM_EFORMAT, "is not an HDF5 file");
}

static void extents_beyond_memory_are_refused(void)
{
    make_file("huge.h5", HUGE, HUGE, chunked(64, 64));
    check_refused("huge.h5", GM_ESHAPE,
                  "'/x' declares more than 2^63 bytes, with size 8589934592 along");
    make_file("wide.h5", HUGE, 2, chunked(64, 2));
    check_refused("wide.h5", GM_EFORMAT, "'/x' declares 68719476736 bytes but holds only 0");
    make_file("plain.h5", HUGE, 2, H5P_DEFAULT);
    check_refused("plain.h5", GM_EFORMAT, "'/x' declares 68719476736 bytes but holds only 0");
    make_file("chunk.h5", HUGE, 2, chunked(1 << 24, 2));
    check_refused("chunk.h5", GM_EFORMAT, "'/x' has chunks of more than 64 MiB");

    struct stat about;
    CHECK(stat("huge.h5", &about) == 0 && about.st_size < 8192);
}

/* The stored size of a chunk in the index changed to 4 GiB: the file still has 8 kB. */
static void what_the_index_of_chunks_says_is_bounded_by_the_file(void)
{
    static const char node[] = {'T', 'R', 'E', 'E', 1};
    enum { KEYS = 24, NEW_SIZE = 4 }; /* a node's head of 24 bytes, then size, mask, place */
    gm_text bytes = {0};
    gm_error err = {0};
    const float value[128] = {1};
    make_file("forged.h5", 1 << 20, 2, chunked(64, 2));
    hid_t file = H5Fopen("forged.h5", H5F_ACC_RDWR, H5P_DEFAULT);
    hid_t set = H5Dopen2(file, "/x", H5P_DEFAULT), space = H5Dget_space(set);
    const hsize_t start[] = {0, 0}, count[] = {64, 2};
    hid_t memory = H5Screate_simple(2, count, NULL);
    H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL);
    CHECK(H5Dwrite(set, H5T_NATIVE_FLOAT, memory, space, H5P_DEFAULT, value) >= 0);
    H5Sclose(memory);
    H5Sclose(space);
    H5Dclose(set);
    CHECK(H5Fclose(file) >= 0);

    CHECK_OK(gm_text_read_file(&bytes, "forged.h5", 1 << 20, &err), err);
    size_t at = 0;
    while (at + sizeof node < bytes.n && memcmp(bytes.at + at, node, sizeof node) != 0) at++;
    CHECK(at + KEYS + NEW_SIZE < bytes.n);
    memset(bytes.at + at + KEYS, 0xFF, NEW_SIZE);
    FILE *out = fopen("forged.h5", "wb");
    CHECK(out != NULL && fwrite(bytes.at, 1, bytes.n, out) == bytes.n && fclose(out) == 0);
    char found[64];
    snprintf(found, sizeof found, "declares 8388608 bytes but holds only %zu", bytes.n);
    check_refused("forged.h5", GM_EFORMAT, found);
    gm_text_clear(&bytes);
}

static void data_elsewhere_is_refused(void)
{
    hid_t list = H5Pcreate(H5P_DATASET_CREATE);
    CHECK(H5Pset_external(list, "/etc/hostname", 0, 64) >= 0);
    make_file("external.h5", 4, 2, list);
    check_refused("external.h5", GM_EFORMAT, "'/x' stores its data in another file");

    hid_t file = H5Fcreate("links.h5", H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    CHECK(H5Lcreate_external("external.h5", "/x", file, "/x", H5P_DEFAULT, H5P_DEFAULT) >= 0);
    CHECK(H5Fclose(file) >= 0);
    check_refused("links.h5", GM_EFORMAT, "no dataset '/x'");
}

/* Replace a dataset of a good file by one that only declares. */
static void blow_up(const char *path, const char *name, int rank)
{
    const hsize_t dim[] = {HUGE, HUGE, 2}, chunk[] = {64, 64, 2};
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), list = H5Pcreate(H5P_DATASET_CREATE);
    CHECK(H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110) >= 0);
    CHECK(H5Pset_chunk(list, rank, chunk) >= 0);
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, access);
    hid_t old = H5Dopen2(file, name, H5P_DEFAULT), type = H5Dget_type(old);
    hid_t space = H5Screate_simple(rank, dim, NULL);
    H5Dclose(old);
    CHECK(H5Ldelete(file, name, H5P_DEFAULT) >= 0);
    hid_t set = H5Dcreate2(file, name, type, space, H5P_DEFAULT, list, H5P_DEFAULT);
    CHECK(set >= 0);
    H5Dclose(set);
    H5Sclose(space);
    H5Tclose(type);
    CHECK(H5Fclose(file) >= 0);
    H5Pclose(list);
    H5Pclose(access);
}

static void a_huge_trace_is_one_sentence(void)
{
    static const struct {
        const char *name;
        int rank;
        gm_status code;
        const char *says;
    } sets[] = {{"/samples/counts", 3, GM_ESHAPE, "has size 8589934592 along axis 0, expected 5"},
                {"/samples/n_tokens", 1, GM_EFORMAT, "declares 34359738368 bytes but holds only 0"},
                {"/tokens/sample", 1, GM_EFORMAT, "declares 34359738368 bytes but holds only 0"},
                {"/text/bytes", 1, GM_EFORMAT, "declares 8589934592 bytes but holds only 0"},
                {"/routing/gate", 3, GM_ESHAPE, "has size 8589934592 along axis 0, expected 40"},
                {"/layer", 1, GM_ESHAPE, "has size 8589934592 along axis 0, expected 3"}};
    static sample s;
    sample_fill(&s, GM_RECORD_CHOICES, 8, 0);
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        gm_trace *trace = NULL;
        gm_error err = {0};
        sample_write(&s, "t.h5");
        blow_up("t.h5", sets[i].name, sets[i].rank);
        CHECK_FAILS(gm_trace_open(&trace, "t.h5", &err), err, sets[i].code, sets[i].says);
        CHECK_HAS(err.text, "'t.h5'");
        CHECK_HAS(err.text, sets[i].name);
        CHECK(trace == NULL);
    }
}

/* The table of an index over one shard, emptied. */
static void an_index_of_no_shards_is_refused(void)
{
    static const char *const table[] = {"/shards/digest", "/shards/n_documents", "/shards/n_tokens",
                                        "/shards/n_logits"};
    static sample s;
    const char *shard = "0.h5";
    gm_trace *trace = NULL;
    gm_error err = {0};
    const hsize_t none = 0;
    sample_fill(&s, GM_RECORD_CHOICES, 8, 0);
    sample_write(&s, shard);
    CHECK_OK(gm_trace_index("i.h5", &shard, 1, true, &err), err);
    hid_t file = H5Fopen("i.h5", H5F_ACC_RDWR, H5P_DEFAULT);
    hid_t space = H5Screate_simple(1, &none, NULL);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        hid_t old = H5Dopen2(file, table[i], H5P_DEFAULT), type = H5Dget_type(old);
        H5Dclose(old);
        CHECK(H5Ldelete(file, table[i], H5P_DEFAULT) >= 0);
        hid_t set = H5Dcreate2(file, table[i], type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
        CHECK(set >= 0);
        H5Dclose(set);
        H5Tclose(type);
    }
    H5Sclose(space);
    CHECK(H5Fclose(file) >= 0);
    CHECK_FAILS(gm_trace_open(&trace, "i.h5", &err), err, GM_EFORMAT,
                "'i.h5': '/shards' names no shard");
    CHECK(trace == NULL);
}

static void a_huge_atlas_is_one_sentence(void)
{
    static const struct {
        const char *name;
        int rank;
        gm_status code;
        const char *says;
    } sets[] = {{"/samples/xy", 2, GM_ESHAPE, "declares more than 2^63 bytes"},
                {"/clusters/keywords", 2, GM_ESHAPE, "declares more than 2^63 bytes"},
                {"/graph/indices", 1, GM_EFORMAT, "declares 34359738368 bytes but holds only 0"},
                {"/clusters/usage", 3, GM_ESHAPE, "has size 8589934592 along axis 0, expected 2"}};
    static made_atlas made;
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        gm_atlas *atlas = NULL;
        gm_error err = {0};
        made_init(&made);
        CHECK_OK(gm_atlas_write("a.h5", &made.atlas, true, &err), err);
        blow_up("a.h5", sets[i].name, sets[i].rank);
        CHECK_FAILS(gm_atlas_open(&atlas, "a.h5", &err), err, sets[i].code, sets[i].says);
        CHECK_HAS(err.text, "'a.h5'");
        CHECK_HAS(err.text, sets[i].name);
        CHECK(atlas == NULL);
    }
}

TESTS(TEST(what_cannot_be_read_is_not_called_another_kind), TEST(extents_beyond_memory_are_refused),
      TEST(what_the_index_of_chunks_says_is_bounded_by_the_file), TEST(data_elsewhere_is_refused),
      TEST(a_huge_trace_is_one_sentence), TEST(an_index_of_no_shards_is_refused),
      TEST(a_huge_atlas_is_one_sentence))
