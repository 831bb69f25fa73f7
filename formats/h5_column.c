/* h5_column.c - datasets written in whole chunks that we pack ourselves: see
 * h5_column.h. */
#include "formats/h5_column.h"

#include "formats/h5_filter.h"

#include <hdf5_hl.h>

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { BATCH_CHUNKS = 8 }; /* packed in parallel, about 3 MB */

size_t gm_h5_chunk_rows(size_t row_bytes, size_t bytes, size_t lo, size_t hi)
{
    size_t rows = lo;
    while (rows < hi && rows * 2 * row_bytes <= bytes) rows *= 2;
    return rows;
}

/* ---- creating ---- */

/* Creation properties: no times, a fill value that no row holds, and for rows in
 * chunks the filters, mandatory so that none is left out silently. Texts keep HDF5's own fill
 * value, NUL: one that is set netCDF-C reads into a pointer's 8 bytes, and crashes. */
static hid_t make_list(const gm_h5_layout *layout, hid_t type, size_t chunk_rows)
{
    static const uint8_t ones[8] = {255, 255, 255, 255, 255, 255, 255, 255};
    hid_t list = H5Pcreate(H5P_DATASET_CREATE);
    if (list < 0) return list;
    hsize_t chunk[GM_H5_MAX_RANK] = {chunk_rows};
    for (int i = 1; i < layout->rank; i++) chunk[i] = layout->dim[i];
    bool fine = H5Pset_obj_track_times(list, false) >= 0 &&
                (layout->type == GM_H5_TEXT || H5Pset_fill_value(list, type, ones) >= 0);
    if (fine && chunk_rows > 0)
        fine = H5Pset_chunk(list, layout->rank, chunk) >= 0 &&
               (!layout->shuffle ||
                H5Pset_filter(list, H5Z_FILTER_SHUFFLE, H5Z_FLAG_MANDATORY, 0, NULL) >= 0) &&
               H5Pset_filter(list, H5Z_FILTER_DEFLATE, H5Z_FLAG_MANDATORY, 1,
                             (const unsigned[]){GM_H5_GZIP_LEVEL}) >= 0 &&
               H5Pset_filter(list, H5Z_FILTER_FLETCHER32, H5Z_FLAG_MANDATORY, 0, NULL) >= 0;
    if (fine) return list;
    H5Pclose(list);
    return H5I_INVALID_HID;
}

/* Attach the scales and the description to a new dataset. */
static gm_status describe(hid_t id, hid_t file, const gm_h5_layout *layout, gm_error *err)
{
    for (int i = 0; i < layout->rank; i++) {
        if (layout->scale[i] == NULL) continue;
        hid_t scale = H5Dopen2(file, layout->scale[i], H5P_DEFAULT);
        bool fine = scale >= 0 && H5DSattach_scale(id, scale, (unsigned)i) >= 0;
        if (scale >= 0) H5Dclose(scale);
        if (!fine)
            return gm_h5_fail(err, GM_EIO, file, "cannot attach scale '%s' to '%s'",
                              layout->scale[i], layout->name);
    }
    if (layout->about) return gm_h5_put_text(id, "description", layout->about, err);
    return GM_OK;
}

/* Make the dataset of a layout; `list` is taken. */
static gm_status make_dataset(hid_t *out, hid_t file, const gm_h5_layout *layout, hid_t type,
                              hid_t list, gm_error *err)
{
    gm_status status = GM_OK;
    hsize_t dim[GM_H5_MAX_RANK];
    for (int i = 0; i < layout->rank; i++) dim[i] = layout->dim[i];
    hid_t space = H5Screate_simple(layout->rank, dim, NULL);
    *out = H5I_INVALID_HID;
    if (space >= 0 && list >= 0)
        *out = H5Dcreate2(file, layout->name, type, space, H5P_DEFAULT, list, H5P_DEFAULT);
    if (*out < 0) {
        status = gm_h5_fail(err, GM_EIO, file, "cannot create dataset '%s'", layout->name);
        goto out;
    }
    GM_TRY(describe(*out, file, layout, err));
out:
    if (status != GM_OK && *out >= 0) {
        H5Dclose(*out);
        *out = H5I_INVALID_HID;
    }
    if (space >= 0) H5Sclose(space);
    if (list >= 0) H5Pclose(list);
    return status;
}

static hid_t stored_type(const gm_h5_layout *layout)
{
    return layout->stored >= 0 ? H5Tcopy(layout->stored) : gm_h5_type_make(layout->type);
}

gm_status gm_h5_column_create(gm_h5_column *column, hid_t file, const gm_h5_layout *layout,
                              gm_error *err)
{
    gm_status status = GM_OK;
    hid_t type = stored_type(layout);
    *column = (gm_h5_column){.id = H5I_INVALID_HID,
                             .name = layout->name,
                             .type = layout->type,
                             .rank = layout->rank,
                             .n_rows = layout->dim[0],
                             .item_bytes = gm_h5_type_size(layout->type),
                             .shuffle = layout->shuffle};
    gm_sha256_init(&column->hash);
    column->row_bytes = column->item_bytes;
    for (int i = 1; i < layout->rank; i++) column->row_bytes *= (size_t)layout->dim[i];
    column->chunk_rows = layout->chunk_rows;
    if (column->chunk_rows > column->n_rows) column->chunk_rows = (size_t)column->n_rows;

    if (type < 0) {
        status = gm_h5_fail(err, GM_EMEM, file, "cannot create the type of '%s'", layout->name);
        goto out;
    }
    hid_t list = make_list(layout, type, column->row_bytes ? column->chunk_rows : 0);
    GM_TRY(make_dataset(&column->id, file, layout, type, list, err));
    if (column->chunk_rows == 0) goto out; /* an empty dataset */

    uint64_t chunks = (column->n_rows - 1) / column->chunk_rows + 1;
    column->batch_rows =
        column->chunk_rows * (size_t)(chunks < BATCH_CHUNKS ? chunks : BATCH_CHUNKS);
    column->batch = gm_alloc2(column->batch_rows, column->row_bytes, 1);
    if (column->batch == NULL) GM_FAIL(GM_EMEM, "no memory to write '%s'", layout->name);
out:
    if (type >= 0) H5Tclose(type);
    if (status != GM_OK) gm_h5_column_drop(column);
    return status;
}

/* ---- filling ---- */

/* Pack and write the chunks of the batch; a last, partial chunk is filled up. */
static gm_status flush(gm_h5_column *c, gm_error *err)
{
    gm_status status = GM_OK;
    size_t chunk_bytes = c->chunk_rows * c->row_bytes, n = c->n_batch * c->row_bytes;
    size_t n_chunks = (c->n_batch + c->chunk_rows - 1) / c->chunk_rows;
    size_t bound = gm_h5_pack_bound(chunk_bytes), size[BATCH_CHUNKS] = {0};
    uint64_t first = c->n_appended - c->n_batch;
    assert(c->batch != NULL && c->n_batch > 0);
    uint8_t *packed = gm_alloc2(n_chunks, bound, 1);
    uint8_t *scratch = c->shuffle ? gm_alloc2(n_chunks, chunk_bytes, 1) : NULL;
    if (packed == NULL || (c->shuffle && scratch == NULL))
        GM_FAIL(GM_EMEM, "no memory to write '%s'", c->name);

    memset(c->batch + n, c->type == GM_H5_TEXT ? 0 : 0xFF, n_chunks * chunk_bytes - n);
#pragma omp parallel for schedule(dynamic) if (n_chunks > 1)
    for (size_t i = 0; i < n_chunks; i++)
        size[i] = gm_h5_pack(packed + i * bound, c->batch + i * chunk_bytes, chunk_bytes,
                             c->item_bytes, c->shuffle, scratch ? scratch + i * chunk_bytes : NULL);

    for (size_t i = 0; i < n_chunks; i++) {
        hsize_t at[GM_H5_MAX_RANK] = {first + i * c->chunk_rows};
        if (size[i] == 0) GM_FAIL(GM_EMEM, "no memory to pack '%s'", c->name);
        if (H5Dwrite_chunk(c->id, H5P_DEFAULT, 0, at, size[i], packed + i * bound) < 0) {
            status = gm_h5_fail(err, GM_EIO, c->id, "cannot write dataset '%s'", c->name);
            goto out;
        }
    }
    c->n_batch = 0;
out:
    gm_free(scratch);
    gm_free(packed);
    return status;
}

gm_status gm_h5_column_append(gm_h5_column *column, const void *rows, size_t n, gm_error *err)
{
    gm_status status = GM_OK;
    const uint8_t *at = rows;
    if (n > column->n_rows - column->n_appended)
        return gm_h5_fail(err, GM_EARG, column->id, "too many rows for '%s'", column->name);
    if (n > 0 && column->row_bytes > 0)
        gm_sha256_update(&column->hash, rows, n * column->row_bytes);
    while (n > 0 && column->batch) {
        size_t room = column->batch_rows - column->n_batch, part = n < room ? n : room;
        memcpy(column->batch + column->n_batch * column->row_bytes, at, part * column->row_bytes);
        column->n_batch += part;
        column->n_appended += part;
        at += part * column->row_bytes;
        n -= part;
        if (column->n_batch == column->batch_rows) GM_TRY(flush(column, err));
    }
out:
    return status;
}

gm_status gm_h5_column_finish(gm_h5_column *column, uint8_t digest[32], gm_error *err)
{
    gm_status status = GM_OK;
    if (column->batch && column->n_appended != column->n_rows)
        GM_FAIL(GM_EARG, "dataset '%s' was given %" PRIu64 " rows, expected %" PRIu64, column->name,
                column->n_appended, column->n_rows);
    if (column->n_batch > 0) GM_TRY(flush(column, err));
    if (digest) gm_sha256_final(&column->hash, digest);
    hid_t id = column->id;
    column->id = H5I_INVALID_HID;
    if (H5Dclose(id) < 0)
        status = gm_h5_fail(err, GM_EIO, -1, "cannot finish dataset '%s'", column->name);
out:
    gm_h5_column_drop(column);
    return status;
}

void gm_h5_column_drop(gm_h5_column *column)
{
    gm_free(column->batch);
    if (column->id >= 0) H5Dclose(column->id);
    *column = GM_H5_COLUMN_CLOSED;
}

gm_status gm_h5_write_all(hid_t file, const gm_h5_layout *layout, const void *rows,
                          uint8_t digest[32], gm_error *err)
{
    gm_status status = GM_OK;
    gm_h5_column column = GM_H5_COLUMN_CLOSED;
    GM_TRY(gm_h5_column_create(&column, file, layout, err));
    GM_TRY(gm_h5_column_append(&column, rows, (size_t)layout->dim[0], err));
    GM_TRY(gm_h5_column_finish(&column, digest, err));
out:
    gm_h5_column_drop(&column);
    return status;
}

/* ---- virtual datasets and scales ---- */

/* A file's name as H5Pset_virtual takes it, for whom %b is a number: a percent sign is two. The
 * caller's; NULL when memory is short. */
static char *double_percents(const char *name)
{
    char *doubled = gm_alloc(2 * strlen(name) + 1, 1), *to = doubled;
    for (; doubled && *name; *to++ = *name++)
        if (*name == '%') *to++ = '%';
    return doubled;
}

/* Map one part, from row `first` of the dataset on. */
static gm_status map_part(hid_t list, const gm_h5_layout *layout, const gm_h5_part *part,
                          uint64_t first, hid_t file, gm_error *err)
{
    gm_status status = GM_OK;
    hsize_t whole[GM_H5_MAX_RANK], start[GM_H5_MAX_RANK] = {first}, count[GM_H5_MAX_RANK];
    for (int i = 0; i < layout->rank; i++) whole[i] = count[i] = layout->dim[i];
    count[0] = part->n_rows;
    char *name = double_percents(part->file);
    if (name == NULL) return gm_fail(err, GM_EMEM, "no memory to map '%s'", part->file);
    hid_t here = H5Screate_simple(layout->rank, whole, NULL);
    hid_t there = H5Screate_simple(layout->rank, count, NULL);
    if (here < 0 || there < 0 ||
        H5Sselect_hyperslab(here, H5S_SELECT_SET, start, NULL, count, NULL) < 0 ||
        H5Pset_virtual(list, here, name, layout->name, there) < 0)
        status = gm_h5_fail(err, GM_EIO, file, "cannot map '%s' of '%s'", layout->name, part->file);
    if (there >= 0) H5Sclose(there);
    if (here >= 0) H5Sclose(here);
    gm_free(name);
    return status;
}

gm_status gm_h5_write_virtual(hid_t file, const gm_h5_layout *layout, const gm_h5_part *part,
                              size_t n_parts, gm_error *err)
{
    gm_status status = GM_OK;
    hid_t id = H5I_INVALID_HID, type = stored_type(layout);
    hid_t list = type < 0 ? type : make_list(layout, type, 0);
    uint64_t first = 0;
    for (size_t i = 0; list >= 0 && i < n_parts; first += part[i++].n_rows)
        if (part[i].n_rows > 0) GM_TRY(map_part(list, layout, &part[i], first, file, err));
    status = make_dataset(&id, file, layout, type, list, err);
    list = H5I_INVALID_HID; /* taken */
out:
    if (list >= 0) H5Pclose(list);
    if (id >= 0) H5Dclose(id);
    if (type >= 0) H5Tclose(type);
    return status;
}

static gm_status name_scale(hid_t file, const char *name, const char *scale_name, gm_error *err)
{
    hid_t id = H5Dopen2(file, name, H5P_DEFAULT);
    bool fine = id >= 0 && H5DSset_scale(id, scale_name) >= 0;
    if (id >= 0) H5Dclose(id);
    return fine ? GM_OK : gm_h5_fail(err, GM_EIO, file, "cannot make '%s' a dimension scale", name);
}

gm_status gm_h5_make_scale(hid_t file, const char *name, const int32_t *value, size_t n,
                           const char *about, gm_error *err)
{
    gm_status status = GM_OK;
    gm_h5_layout layout = {.name = name,
                           .type = GM_H5_I32,
                           .stored = -1,
                           .rank = 1,
                           .dim = {n},
                           .chunk_rows = n,
                           .shuffle = true,
                           .about = about};
    GM_TRY(gm_h5_write_all(file, &layout, value, NULL, err));
    GM_TRY(name_scale(file, name, name + 1, err)); /* without the slash */
out:
    return status;
}

gm_status gm_h5_make_length(hid_t file, const char *name, uint64_t n, gm_error *err)
{
    gm_status status = GM_OK;
    char netcdf[80];
    hid_t id = H5I_INVALID_HID, list = H5Pcreate(H5P_DATASET_CREATE);
    gm_h5_layout layout = {.name = name, .type = GM_H5_F32, .stored = -1, .rank = 1, .dim = {n}};
    if (list >= 0 && H5Pset_obj_track_times(list, false) < 0) {
        H5Pclose(list);
        list = H5I_INVALID_HID;
    }
    GM_TRY(make_dataset(&id, file, &layout, H5T_IEEE_F32BE, list, err));
    H5Dclose(id);
    /* what netCDF writes for a dimension that has no values */
    snprintf(netcdf, sizeof netcdf,
             "This is a netCDF dimension but not a netCDF variable.%10" PRIu64, n);
    GM_TRY(name_scale(file, name, netcdf, err));
out:
    return status;
}
