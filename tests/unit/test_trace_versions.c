/* test_trace_versions.c - what verify and reading make of traces of newer and older programs. */
#include "formats/trace.h"
#include "tests/written_sample.h"

#include <hdf5.h>

static sample one;

/* Add a dataset, as a newer program may, and state another digest. */
static void add_dataset(const char *path, const char *name)
{
    static const char other[64] = "0123";
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), space = H5Screate(H5S_SCALAR);
    hid_t set = H5Dcreate2(file, name, H5T_STD_U8LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    hid_t digest = H5Aopen(file, "digest", H5P_DEFAULT), type = H5Aget_type(digest);
    CHECK(set >= 0 && H5Awrite(digest, type, other) >= 0);
    H5Tclose(type);
    H5Aclose(digest);
    H5Dclose(set);
    H5Sclose(space);
    CHECK(H5Fclose(file) >= 0);
}

static void what_is_newer_is_named(void)
{
    static const char *const name[] = {"/samples/mood", "/tokens/\x1b[1m"};
    static const char *const says[] = {"by a newer program? '/samples/mood' is not known here",
                                       "? '/tokens/\\x1b[1m' is not known here"};
    for (int i = 0; i < 2; i++) {
        gm_error err = {0};
        gm_trace *trace = NULL;
        gm_trace_check check[GM_MAX_CHECKS];
        size_t n = 0;
        sample_fill(&one, GM_RECORD_LOGITS, 8, 0);
        sample_write(&one, "newer.h5");
        add_dataset("newer.h5", name[i]);
        CHECK_OK(gm_trace_open(&trace, "newer.h5", &err), err);
        if (trace) CHECK_OK(gm_trace_verify(trace, check, &n, &err), err);
        if (n > 0) CHECK_TEXT(check[0].name, "digest");
        if (n > 0) CHECK_HAS(check[0].detail, says[i]);
        gm_trace_close(trace);
    }
}

/* A file from before the digest of config.json was stored says that it does not know it. */
static void what_is_older_is_read(void)
{
    gm_error err = {0};
    gm_trace *trace = NULL;
    sample_fill(&one, GM_RECORD_CHOICES, 8, 0);
    sample_write(&one, "older.h5");
    hid_t file = H5Fopen("older.h5", H5F_ACC_RDWR, H5P_DEFAULT);
    CHECK(H5Adelete(file, "config_digest") >= 0);
    CHECK(H5Fclose(file) >= 0);
    CHECK_OK(gm_trace_open(&trace, "older.h5", &err), err);
    if (trace == NULL) return;
    CHECK_TEXT(gm_trace_get_info(trace)->config_digest, "");
    gm_trace_check check[GM_MAX_CHECKS];
    size_t n = 0;
    CHECK_OK(gm_trace_verify(trace, check, &n, &err), err);
    CHECK(n > 0);
    for (size_t i = 0; i < n; i++) CHECK(check[i].passed);
    gm_trace_close(trace);
}

TESTS(TEST(what_is_newer_is_named), TEST(what_is_older_is_read))
