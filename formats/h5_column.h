/* h5_column.h - private to formats: writing a dataset row by row, in whole chunks.
 *
 * A column is a dataset of known size that is filled from the first row to the
 * last. Rows are gathered into batches of chunks; the chunks of a batch are packed
 * in parallel and handed to H5Dwrite_chunk, so that HDF5 itself never compresses and
 * no chunk is written twice. The SHA-256 of all rows is computed on the way.
 */
#ifndef GM_H5_COLUMN_H
#define GM_H5_COLUMN_H

#include "formats/h5.h"

typedef struct gm_h5_column {
    hid_t id;         /* H5I_INVALID_HID when closed */
    const char *name; /* borrowed from the layout */
    gm_h5_type type;
    int rank;
    uint64_t n_rows, n_appended;
    size_t row_bytes, item_bytes, chunk_rows;
    bool shuffle;
    uint8_t *batch; /* (batch_rows, row_bytes) not yet written */
    size_t batch_rows, n_batch;
    gm_sha256 hash;
} gm_h5_column;

#define GM_H5_COLUMN_CLOSED ((gm_h5_column){.id = H5I_INVALID_HID})

/* The largest power of two of rows within `bytes`, not below lo, not above hi. */
size_t gm_h5_chunk_rows(size_t row_bytes, size_t bytes, size_t lo, size_t hi);

gm_status gm_h5_column_create(gm_h5_column *column, hid_t file, const gm_h5_layout *layout,
                              gm_error *err) GM_MUST_USE;
gm_status gm_h5_column_append(gm_h5_column *column, const void *rows, size_t n, gm_error *err)
    GM_MUST_USE;
/* Write what is left and close. An error unless every row was appended. `digest` may
 * be NULL. */
gm_status gm_h5_column_finish(gm_h5_column *column, uint8_t digest[32], gm_error *err) GM_MUST_USE;
void gm_h5_column_drop(gm_h5_column *column); /* on the way out of a failure */

/* All of it at once. */
gm_status gm_h5_write_all(hid_t file, const gm_h5_layout *layout, const void *rows,
                          uint8_t digest[32], gm_error *err) GM_MUST_USE;

/* A dataset made of parts of other files: rows [first, first+n) of `name` are rows
 * [0, n) of the same name in `file`, a path relative to this file. */
typedef struct gm_h5_part {
    const char *file;
    uint64_t n_rows;
} gm_h5_part;
gm_status gm_h5_write_virtual(hid_t file, const gm_h5_layout *layout, const gm_h5_part *part,
                              size_t n_parts, gm_error *err) GM_MUST_USE;

/* Dimension scales: with values, or only a length (a netCDF dimension without a
 * variable; it stores nothing). */
gm_status gm_h5_make_scale(hid_t file, const char *name, const int32_t *value, size_t n,
                           const char *about, gm_error *err) GM_MUST_USE;
gm_status gm_h5_make_length(hid_t file, const char *name, uint64_t n, gm_error *err) GM_MUST_USE;

#endif
