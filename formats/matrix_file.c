/* matrix_file.c - see matrix_file.h. */
#include "formats/matrix_file.h"

#include "base/half.h"
#include "base/machine.h"
#include "base/outfile.h"
#include "base/text.h"
#include "formats/npy.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_MATRIX_BYTES ((size_t)1 << 36)

void gm_matrix_clear(gm_matrix *matrix)
{
    gm_free(matrix->at);
    *matrix = (gm_matrix){0};
}

/* ---- the types ---- */

#define TAKE(name, type)                                            \
    static void take_##name(double *to, const char *from, size_t n) \
    {                                                               \
        for (size_t i = 0; i < n; i++) {                            \
            type value;                                             \
            memcpy(&value, from + i * sizeof value, sizeof value);  \
            to[i] = (double)value;                                  \
        }                                                           \
    }
TAKE(f4, float)
TAKE(f8, double)
TAKE(i1, int8_t)
TAKE(u1, uint8_t)
TAKE(i2, int16_t)
TAKE(u2, uint16_t)
TAKE(i4, int32_t)
TAKE(u4, uint32_t)
TAKE(i8, int64_t)
TAKE(u8, uint64_t)

static void take_f2(double *to, const char *from, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t half;
        memcpy(&half, from + i * sizeof half, sizeof half);
        to[i] = (double)gm_half_to_f32(half);
    }
}

static const struct npy_type {
    const char *name;
    size_t n_bytes;
    void (*take)(double *to, const char *from, size_t n);
} types[] = {{"<f2", 2, take_f2}, {"<f4", 4, take_f4}, {"<f8", 8, take_f8}, {"|i1", 1, take_i1},
             {"|u1", 1, take_u1}, {"|b1", 1, take_u1}, {"<i2", 2, take_i2}, {"<u2", 2, take_u2},
             {"<i4", 4, take_i4}, {"<u4", 4, take_u4}, {"<i8", 8, take_i8}, {"<u8", 8, take_u8}};

static const struct npy_type *find_type(const char *name)
{
    for (size_t t = 0; t < sizeof types / sizeof types[0]; t++)
        if (strcmp(types[t].name, name) == 0) return &types[t];
    return NULL;
}

/* Columns one after the other become rows: a cache line of them at a time. */
static gm_status take_columns(gm_matrix *out, const struct npy_type *type, const char *from,
                              gm_error *err)
{
    enum { BATCH = 8 };
    const size_t rows = out->rows, cols = out->cols, most = cols < BATCH ? cols : BATCH;
    double *column = gm_alloc2(rows, most, sizeof *column); /* (n, rows) */
    if (column == NULL) return gm_fail(err, GM_EMEM, "no memory for columns of %zu numbers", rows);
    for (size_t first = 0; first < cols; first += most) {
        const size_t n = cols - first < most ? cols - first : most;
        type->take(column, from + first * rows * type->n_bytes, n * rows);
        for (size_t r = 0; r < rows; r++)
            for (size_t k = 0; k < n; k++) out->at[r * cols + first + k] = column[k * rows + r];
    }
    gm_free(column);
    return GM_OK;
}

/* ---- files ---- */

gm_status gm_matrix_parse(gm_matrix *out, const void *bytes, size_t n, const char *path,
                          gm_error *err)
{
    gm_status status = GM_OK;
    gm_npy_front front;
    *out = (gm_matrix){0};
    GM_TRY(gm_npy_read_front(&front, bytes, n, path, err));
    const struct npy_type *type = find_type(front.type);
    if (type == NULL)
        GM_FAIL(GM_EFORMAT, "'%s' holds '%s', expected numbers as '<f4' (array.astype('<f4'))",
                path, front.type);
    if (front.rank != 2)
        GM_FAIL(GM_ESHAPE, "'%s' has %d dimension%s, expected 2 (array.reshape(len(array), -1))",
                path, (int)front.rank, gm_plural(front.rank));
    if (front.dim[0] == 0 || front.dim[1] == 0) GM_FAIL(GM_ESHAPE, "'%s' is empty", path);
    const size_t n_data = n - front.first, n_values = n_data / type->n_bytes;
    if (n_data % type->n_bytes != 0 || n_values % front.dim[1] != 0 ||
        n_values / front.dim[1] != front.dim[0])
        GM_FAIL(GM_ESHAPE, "'%s' holds %zu bytes of data, expected %zu x %zu numbers of %zu bytes",
                path, n_data, front.dim[0], front.dim[1], type->n_bytes);
    out->at = gm_alloc2(front.dim[0], front.dim[1], sizeof *out->at);
    if (out->at == NULL)
        GM_FAIL(GM_EMEM, "no memory for the %zu x %zu numbers of '%s'", front.dim[0], front.dim[1],
                path);
    out->rows = front.dim[0];
    out->cols = front.dim[1];
    if (front.by_column)
        GM_TRY(take_columns(out, type, (const char *)bytes + front.first, err));
    else
        type->take(out->at, (const char *)bytes + front.first, n_values);
out:
    if (status != GM_OK) gm_matrix_clear(out);
    return status;
}

uint64_t gm_matrix_memory(const void *bytes, size_t n, uint64_t file_bytes)
{
    gm_npy_front front;
    const struct npy_type *type = NULL;
    if (gm_npy_read_front(&front, bytes, n, "", NULL) == GM_OK) type = find_type(front.type);
    return type ? file_bytes + file_bytes / type->n_bytes * sizeof(double) : file_bytes;
}

/* What is no plain file shows its size when it is read; what cannot be read says so then. */
static gm_status check_memory(const char *path, gm_error *err)
{
    struct stat about;
    char what[128], front[4096];
    if (stat(path, &about) != 0 || !S_ISREG(about.st_mode)) return GM_OK;
    FILE *file = fopen(path, "rb");
    if (file == NULL) return GM_OK;
    const size_t n = fread(front, 1, sizeof front, file);
    fclose(file);
    snprintf(what, sizeof what, "'%.100s'", path);
    return gm_machine_spare(gm_matrix_memory(front, n, (uint64_t)about.st_size), what, err);
}

gm_status gm_matrix_read(gm_matrix *out, const char *path, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text bytes = {0};
    *out = (gm_matrix){0};
    GM_TRY(check_memory(path, err));
    GM_TRY(gm_text_read_file(&bytes, path, MAX_MATRIX_BYTES, err));
    GM_TRY(gm_matrix_parse(out, bytes.at, bytes.n, path, err));
out:
    gm_text_clear(&bytes);
    return status;
}

gm_status gm_matrix_write(const char *path, const double *values, size_t rows, size_t cols,
                          bool replace, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text bytes = {0};
    const uint64_t dim[2] = {rows, cols};
    GM_TRY(gm_npy_put_front(&bytes, "<f8", dim, 2, err));
    GM_TRY(gm_text_append(&bytes, (const char *)values, rows * cols * sizeof *values, err));
    GM_TRY(gm_outfile_write(path, replace, bytes.at, bytes.n, err));
out:
    gm_text_clear(&bytes);
    return status;
}
