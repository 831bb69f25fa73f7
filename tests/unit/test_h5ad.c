/* test_h5ad.c - formats/h5ad.c: what stands in the file, equal names, every allocation, every write
 * that a disk refuses. That anndata and scanpy open it: scripts/golden/live_export.py. */
#include "base/text.h"
#include "formats/h5ad.h"
#include "tests/atlas_sample.h"
#include "tests/check.h"

#include <hdf5.h>

#include <errno.h>
#include <sys/time.h>
#include <unistd.h>

static made_atlas m;

static size_t size_of(hid_t file, const char *name)
{
    hid_t set = H5Dopen2(file, name, H5P_DEFAULT);
    hid_t space = set < 0 ? -1 : H5Dget_space(set);
    hssize_t n = space < 0 ? 0 : H5Sget_simple_extent_npoints(space);
    if (space >= 0) H5Sclose(space);
    if (set >= 0) H5Dclose(set);
    return (size_t)n;
}

/* The i-th text of a dataset. */
static void check_text(hid_t file, const char *name, size_t i, const char *want)
{
    char *text[16];
    hid_t set = H5Dopen2(file, name, H5P_DEFAULT), type = H5Dget_type(set);
    CHECK(size_of(file, name) <= 16);
    CHECK(H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, text) >= 0);
    CHECK_TEXT(text[i], want);
    hid_t space = H5Dget_space(set);
    H5Dvlen_reclaim(type, space, H5P_DEFAULT, text);
    H5Sclose(space);
    H5Tclose(type);
    H5Dclose(set);
}

static void everything_is_there(void)
{
    gm_error err = {0};
    float rate[N * L * E] = {0};
    made_init(&m);
    m.subset_name[1] = "Books"; /* a name that is there already */
    CHECK_OK(gm_h5ad_write("one.h5ad", &m.atlas, rate, true, &err), err);
    hid_t file = H5Fopen("one.h5ad", H5F_ACC_RDONLY, H5P_DEFAULT);
    CHECK(file >= 0);
    CHECK_INT(size_of(file, "/X"), N * L * E);
    CHECK_INT(size_of(file, "/obsm/X_umap"), 2 * N);
    CHECK_INT(size_of(file, "/obsp/connectivities/data"), EDGES);
    CHECK_INT(size_of(file, "/obs/cluster/codes"), N);
    check_text(file, "/obs/cluster/categories", 2, "noise");
    check_text(file, "/obs/subset/categories", 1, "Books (1)");
    check_text(file, "/var/_index", 5, "3:2");
    H5Fclose(file);
    CHECK_OK(gm_h5ad_write("bare.h5ad", &m.atlas, NULL, true, &err), err);
    file = H5Fopen("bare.h5ad", H5F_ACC_RDONLY, H5P_DEFAULT);
    CHECK_INT(H5Lexists(file, "/X", H5P_DEFAULT), 0);
    H5Fclose(file);
}

static void an_existing_file_stays(void)
{
    gm_error err = {0};
    made_init(&m);
    CHECK_OK(gm_h5ad_write("kept.h5ad", &m.atlas, NULL, true, &err), err);
    CHECK_FAILS(gm_h5ad_write("kept.h5ad", &m.atlas, NULL, false, &err), err, GM_EEXIST, "exists");
}

static bool same_files(const char *one, const char *other)
{
    gm_text a = {0}, b = {0};
    gm_error err = {0};
    CHECK_OK(gm_text_read_file(&a, one, 1 << 20, &err), err);
    CHECK_OK(gm_text_read_file(&b, other, 1 << 20, &err), err);
    const bool same = a.n == b.n && memcmp(a.at, b.at, a.n) == 0;
    gm_text_clear(&a);
    gm_text_clear(&b);
    return same;
}

/* The clock that HDF5 looks at: a second passes at every look. */
int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    static time_t second = 1000000000;
    (void)zone;
    *now = (struct timeval){.tv_sec = second++};
    return 0;
}

static void the_hour_is_in_no_file(void)
{
    gm_error err = {0};
    made_init(&m);
    CHECK_OK(gm_h5ad_write("first.h5ad", &m.atlas, NULL, true, &err), err);
    CHECK_OK(gm_h5ad_write("second.h5ad", &m.atlas, NULL, true, &err), err);
    CHECK(same_files("first.h5ad", "second.h5ad"));
    CHECK_OK(gm_atlas_write("first.h5", &m.atlas, true, &err), err);
    CHECK_OK(gm_atlas_write("second.h5", &m.atlas, true, &err), err);
    CHECK(same_files("first.h5", "second.h5"));
}

/* HDF5 writes by this one. */
static int fails_at = -1; /* the write, from 0, that a disk which is full for a moment refuses */

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t at)
{
    if (fails_at >= 0 && fails_at-- == 0) {
        errno = ENOSPC;
        return -1;
    }
    return lseek(fd, at, SEEK_SET) == at ? write(fd, bytes, n) : -1;
}

static void no_write_is_lost(void)
{
    gm_error err = {0};
    int k = 0, n_failed = 0;
    made_init(&m);
    CHECK_OK(gm_h5ad_write("whole.h5ad", &m.atlas, NULL, true, &err), err);
    do {
        fails_at = k++;
        if (gm_h5ad_write("disk.h5ad", &m.atlas, NULL, true, &err) == GM_OK) {
            CHECK(same_files("disk.h5ad", "whole.h5ad"));
        } else {
            CHECK_HAS(err.text, "disk.h5ad");
            n_failed++;
        }
    } while (fails_at < 0);
    CHECK(n_failed > 10);
    fails_at = -1;
}

static gm_status write_it(void *state, gm_error *err)
{
    (void)state;
    return gm_h5ad_write("fault.h5ad", &m.atlas, NULL, true, err);
}

static void survives_every_allocation_failure(void)
{
    made_init(&m);
    check_every_allocation(write_it, NULL);
}

TESTS(TEST(everything_is_there), TEST(an_existing_file_stays), TEST(the_hour_is_in_no_file),
      TEST(no_write_is_lost), TEST(survives_every_allocation_failure))
