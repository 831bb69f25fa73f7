/* slice.c - see slice.h. */
#include "engine/slice.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static const char BLOCKS[] = "_blocks", SCALES[] = "_scales";

int gm_slice_shape(const gm_slice *slice, size_t dim[GM_MAX_RANK])
{
    const size_t rows = slice->stack ? slice->stack_rows : slice->rows, cols = slice->cols;
    int n = 0;
    if (slice->tall) {
        dim[n++] = slice->tall;
        dim[n++] = slice->stored == GM_STORED_COLUMNS ? rows : cols;
        return n;
    }
    if (slice->stack) dim[n++] = slice->stack;
    if (slice->stored == GM_STORED_COLUMNS) {
        dim[n++] = cols;
        dim[n++] = rows;
        return n;
    }
    if (slice->stack || rows > 1 || slice->middle) dim[n++] = rows;
    if (slice->middle) dim[n++] = 1;
    if (slice->stored == GM_STORED_MXFP4) {
        dim[n++] = cols / GM_MX_BLOCK;
        dim[n++] = GM_MX_BLOCK / 2;
    } else if (slice->stack == 0 || cols > 1 || slice->stored == GM_STORED_SCALES) {
        dim[n++] = cols;
    }
    return n;
}

size_t gm_slice_outputs(const gm_slice *slice)
{
    return slice->tall                          ? slice->tall
           : slice->stored == GM_STORED_COLUMNS ? slice->cols
                                                : slice->rows;
}

size_t gm_slice_inputs(const gm_slice *slice)
{
    return slice->stored == GM_STORED_COLUMNS ? slice->rows : slice->cols;
}

static size_t n_blocks(size_t n, size_t each)
{
    return each ? n / each + (n % each > 0) : 1;
}

static gm_slice grid_of(const gm_slice *slice)
{
    gm_slice grid = {.rows = n_blocks(gm_slice_outputs(slice), slice->blocks.rows),
                     .cols = n_blocks(gm_slice_inputs(slice), slice->blocks.cols),
                     .stored = GM_STORED_GRID};
    if (slice->stack) grid.rows = slice->stack;
    const size_t n = strlen(slice->name);
    assert(n + strlen(slice->blocks.suffix) < sizeof grid.name);
    memcpy(grid.name, slice->name, n + 1);
    memcpy(grid.name + n, slice->blocks.suffix, strlen(slice->blocks.suffix) + 1);
    return grid;
}

gm_grid gm_slice_grid(const gm_slice *slice)
{
    const size_t rows = gm_slice_outputs(slice), cols = gm_slice_inputs(slice);
    if (slice->stack)
        return (gm_grid){.rows = slice->stack_rows,
                         .cols = cols,
                         .per_row = 1,
                         .first = slice->item * slice->stack_rows + slice->first};
    return (gm_grid){.rows = slice->blocks.rows ? slice->blocks.rows : rows,
                     .cols = slice->blocks.cols ? slice->blocks.cols : cols,
                     .per_row = n_blocks(cols, slice->blocks.cols),
                     .first = slice->first};
}

gm_slice gm_slice_scales(const gm_slice *slice)
{
    if (slice->blocks.suffix) return grid_of(slice);
    gm_slice scales = *slice;
    char *end = strstr(scales.name, BLOCKS);
    assert(slice->stored == GM_STORED_MXFP4 && end && sizeof BLOCKS == sizeof SCALES);
    memcpy(end, SCALES, sizeof SCALES);
    scales.cols = slice->cols / GM_MX_BLOCK;
    scales.stored = GM_STORED_SCALES;
    return scales;
}

enum { SHAPE_BYTES = GM_MAX_RANK * 23 + 1 }; /* numbers of 20 digits and " x " */

/* "3 x 4 x 2" */
static const char *show_shape(char text[SHAPE_BYTES], const size_t *dim, int rank)
{
    size_t n = 0;
    text[0] = '\0';
    for (int i = 0; i < rank; i++)
        n += (size_t)snprintf(text + n, SHAPE_BYTES - n, "%s%zu", i ? " x " : "", dim[i]);
    return text;
}

/* Without the dimensions of one: scales of rows are (n, 1) or (n), one for all is (1) or (). */
static bool is_same_grid(const gm_tensor *t, const gm_slice *slice)
{
    const size_t expected[] = {slice->rows, slice->cols};
    int n = 0;
    for (int i = 0; i < 2; i++) {
        if (expected[i] == 1) continue;
        while (n < t->rank && t->dim[n] == 1) n++;
        if (n == t->rank || t->dim[n++] != expected[i]) return false;
    }
    while (n < t->rank && t->dim[n] == 1) n++;
    return n == t->rank;
}

static gm_status check_shape(const gm_tensor *t, const gm_slice *slice, gm_error *err)
{
    size_t dim[GM_MAX_RANK];
    char found[SHAPE_BYTES], expected[SHAPE_BYTES];
    const int rank = gm_slice_shape(slice, dim);
    if (slice->stored == GM_STORED_GRID && !is_same_grid(t, slice))
        return gm_fail(err, GM_ESHAPE, "'%s': tensor '%s' is %s, expected %zu x %zu", t->file,
                       slice->name, t->rank ? show_shape(found, t->dim, t->rank) : "one number",
                       slice->rows, slice->cols);
    if (slice->stored == GM_STORED_GRID) return GM_OK;
    if (slice->stack == 0 && rank == 1 && t->rank > 1 && is_same_grid(t, slice))
        return GM_OK; /* a row in another form */
    if (t->rank != rank)
        return gm_fail(err, GM_ESHAPE, "'%s': tensor '%s' has rank %d, expected %d", t->file,
                       slice->name, t->rank, rank);
    for (int i = 0; i < rank; i++)
        if (t->dim[i] != dim[i])
            return gm_fail(err, GM_ESHAPE, "'%s': tensor '%s' is %s, expected %s", t->file,
                           slice->name, show_shape(found, t->dim, rank),
                           show_shape(expected, dim, rank));
    return GM_OK;
}

static gm_status check_dtype(const gm_tensor *t, const gm_slice *slice, gm_error *err)
{
    const bool bytes = slice->stored == GM_STORED_MXFP4 || slice->stored == GM_STORED_SCALES;
    if (bytes ? t->dtype == GM_U8 : gm_dtype_is_float(t->dtype)) return GM_OK;
    if (t->dtype == GM_FP8 && slice->blocks.suffix) return GM_OK;
    if (t->dtype == GM_FP8 && !bytes)
        return gm_fail(
            err, GM_EFORMAT,
            "'%s': tensor '%s' has dtype F8_E4M3, expected F32, F16 or BF16: fp8 is supported only "
            "for single matrices, and for stacks of rows with one scale a matrix, with a "
            "'quantization_config' in config.json",
            t->file, slice->name);
    return gm_fail(err, GM_EFORMAT, "'%s': tensor '%s' has dtype %s, expected %s", t->file,
                   slice->name, gm_dtype_name(t->dtype), bytes ? "U8" : "F32, F16 or BF16");
}

/* One matrix of a stack, and where they lie side by side the rows of it that are wanted. */
static void cut(gm_tensor *t, const gm_slice *slice)
{
    const size_t item_bytes = t->n_bytes / slice->stack;
    const size_t row_bytes = slice->stack_rows ? item_bytes / slice->stack_rows : 0;
    const bool all = slice->every > 1 || slice->stored == GM_STORED_COLUMNS;
    const size_t rows = all ? slice->stack_rows : slice->rows;
    t->rank--;
    for (int i = 0; i < t->rank; i++) t->dim[i] = t->dim[i + 1];
    t->dim[0] = slice->stored == GM_STORED_COLUMNS ? slice->cols : rows;
    t->data =
        (const char *)t->data + slice->item * item_bytes + (all ? 0 : slice->first * row_bytes);
    t->n_bytes = rows * row_bytes;
}

/* Some rows of a tall tensor. */
static void cut_rows(gm_tensor *t, const gm_slice *slice)
{
    const size_t row_bytes = t->n_bytes / slice->tall;
    t->dim[0] = slice->stored == GM_STORED_COLUMNS ? slice->cols : slice->rows;
    t->data = (const char *)t->data + slice->first * row_bytes;
    t->n_bytes = t->dim[0] * row_bytes;
}

gm_status gm_slice_cut(const gm_slice *slice, const gm_tensor *tensor, gm_tensor *out,
                       gm_error *err)
{
    gm_status status = GM_OK;
    *out = (gm_tensor){0};
    GM_TRY(check_dtype(tensor, slice, err));
    GM_TRY(check_shape(tensor, slice, err));
    *out = *tensor;
    if (slice->stack) cut(out, slice);
    if (slice->tall) cut_rows(out, slice);
out:
    return status;
}
