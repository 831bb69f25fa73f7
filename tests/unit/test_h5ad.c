/* test_h5ad.c - formats/h5ad.c: what stands in the file, equal names, every allocation. That
 * anndata and scanpy open it: scripts/golden/live_export.py. */
#include <hdf5.h>

#include "formats/h5ad.h"
#include "tests/atlas_sample.h"
#include "tests/check.h"

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

TESTS(TEST(everything_is_there), TEST(an_existing_file_stays),
      TEST(survives_every_allocation_failure))
