/* array_file.c - see array_file.h. */
#include "formats/array_file.h"

#include "base/outfile.h"
#include "base/sha256.h"
#include "base/text.h"
#include "formats/matrix_file.h"
#include "formats/npy.h"

#include <math.h>
#include <string.h>

enum { MAX_ARRAY_BYTES = 1 << 28, DS4_LAYERS = 43, DS4_EXPERTS = 256 };

void gm_array_clear(gm_array *array)
{
    gm_free(array->at);
    *array = (gm_array){0};
}

bool gm_array_is_ds4(const char *path)
{
    return gm_ends_in(path, ".f32");
}

static gm_status check_name(const char *path, gm_error *err)
{
    if (gm_array_is_ds4(path) || gm_ends_in(path, ".npy")) return GM_OK;
    return gm_fail(err, GM_EARG,
                   "'%s': expected a name that ends in .npy (NumPy), .f32 (ds4) or .csv (experts)",
                   path);
}

static gm_status check_values(const char *path, const float *at, size_t rows, size_t cols,
                              gm_error *err)
{
    const bool is_ds4 = gm_array_is_ds4(path);
    for (size_t i = 0; i < rows * cols; i++) {
        if (at[i] < INFINITY && !(is_ds4 && at[i] == -INFINITY)) continue; /* not NaN */
        return gm_fail(err, GM_ENUMERIC, "'%s': row %zu, column %zu is %g, expected a number%s",
                       path, i / cols, i % cols, (double)at[i], is_ds4 ? "" : " or -inf");
    }
    return GM_OK;
}

static gm_status check_ds4_shape(const char *path, size_t rows, size_t cols, gm_error *err)
{
    if (rows == DS4_LAYERS && cols == DS4_EXPERTS) return GM_OK;
    return gm_fail(err, GM_ESHAPE,
                   "'%s': a ds4 file has %d layers of %d experts, but this plan has %zu of %zu; "
                   "write a .npy file instead",
                   path, DS4_LAYERS, DS4_EXPERTS, rows, cols);
}

static gm_status make_array(gm_array *out, size_t rows, size_t cols, const char *path,
                            gm_error *err)
{
    float *at = gm_alloc2(rows, cols, sizeof *at);
    if (at == NULL) return gm_fail(err, GM_EMEM, "no memory for '%s'", path);
    *out = (gm_array){.n_rows = rows, .n_cols = cols, .at = at};
    return GM_OK;
}

/* A .npy's numbers as floats. */
static gm_status take_npy(gm_array *out, const void *bytes, size_t n, const char *path,
                          gm_error *err)
{
    gm_status status = GM_OK;
    gm_matrix table;
    GM_TRY(gm_matrix_parse(&table, bytes, n, path, err));
    GM_TRY(make_array(out, table.rows, table.cols, path, err));
    for (size_t i = 0; i < table.rows * table.cols; i++) {
        out->at[i] = (float)table.at[i];
        if (isfinite(table.at[i]) && !isfinite(out->at[i]))
            GM_FAIL(GM_ENUMERIC, "'%s': row %zu, column %zu is %g, which is too large for a float",
                    path, i / table.cols, i % table.cols, table.at[i]);
    }
out:
    gm_matrix_clear(&table);
    return status;
}

/* ds4's file is the floats. */
static gm_status take_ds4(gm_array *out, const void *bytes, size_t n, const char *path,
                          gm_error *err)
{
    const size_t expected = sizeof(float) * DS4_LAYERS * DS4_EXPERTS;
    if (n != expected)
        return gm_fail(err, GM_ESHAPE,
                       "'%s' holds %zu bytes of data, expected %d x %d numbers of 4 bytes", path, n,
                       DS4_LAYERS, DS4_EXPERTS);
    gm_status status = make_array(out, DS4_LAYERS, DS4_EXPERTS, path, err);
    if (status == GM_OK) memcpy(out->at, bytes, expected);
    return status;
}

/* ---- files ---- */

gm_status gm_array_parse(gm_array *out, const void *bytes, size_t n, const char *path,
                         gm_error *err)
{
    gm_status status = GM_OK;
    uint8_t digest[32];
    *out = (gm_array){0};

    GM_TRY(check_name(path, err));
    GM_TRY((gm_array_is_ds4(path) ? take_ds4 : take_npy)(out, bytes, n, path, err));
    GM_TRY(check_values(path, out->at, out->n_rows, out->n_cols, err));
    gm_sha256_of(bytes, n, digest);
    gm_sha256_hex(digest, out->sha256);
out:
    if (status != GM_OK) gm_array_clear(out);
    return status;
}

gm_status gm_array_read(gm_array *out, const char *path, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text bytes = {0};
    *out = (gm_array){0};
    GM_TRY(check_name(path, err));
    GM_TRY(gm_text_read_file(&bytes, path, MAX_ARRAY_BYTES, err));
    GM_TRY(gm_array_parse(out, bytes.at, bytes.n, path, err));
out:
    gm_text_clear(&bytes);
    return status;
}

gm_status gm_array_write(const char *path, const float *values, size_t n_rows, size_t n_cols,
                         bool replace, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text bytes = {0};
    const uint64_t dim[2] = {n_rows, n_cols};
    GM_TRY(check_name(path, err));
    if (gm_array_is_ds4(path)) GM_TRY(check_ds4_shape(path, n_rows, n_cols, err));
    GM_TRY(check_values(path, values, n_rows, n_cols, err));
    if (!gm_array_is_ds4(path)) GM_TRY(gm_npy_put_front(&bytes, "<f4", dim, 2, err));
    GM_TRY(gm_text_append(&bytes, (const char *)values, n_rows * n_cols * sizeof *values, err));
    GM_TRY(gm_outfile_write(path, replace, bytes.at, bytes.n, err));
out:
    gm_text_clear(&bytes);
    return status;
}
