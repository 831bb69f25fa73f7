/* h5_set.c - reading datasets of files that nobody vouches for: see h5.h. */
#include "formats/h5.h"
#include "base/text.h"
#include "formats/h5_chunks.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    MAX_CHUNK_BYTES = 64 << 20, /* HDF5 takes that much memory to read one byte */
    MAX_DEFLATE = 1100,         /* zlib packs at most 1032 to 1 */
    DIGEST_BYTES = 4 << 20      /* read at a time */
};

static const char *const TYPE_NAME[] = {
    "u8", "u16", "u32", "u64", "i32", "f16", "f32", "f64", "text of 64 bytes"};

/* An enum counts as its base number. */
static bool type_is(hid_t found, gm_h5_type want)
{
    H5T_class_t class = H5Tget_class(found);
    if (H5Tget_size(found) != gm_h5_type_size(want)) return false;
    if (want == GM_H5_TEXT)
        return class == H5T_STRING && H5Tis_variable_str(found) == 0 &&
               H5Tget_strpad(found) == H5T_STR_NULLPAD;
    if (want == GM_H5_F16 || want == GM_H5_F32 || want == GM_H5_F64)
        return class == H5T_FLOAT && H5Tget_order(found) == H5T_ORDER_LE;
    bool is_number = class == H5T_INTEGER || (class == H5T_ENUM && want <= GM_H5_U16);
    if (!is_number || (want > GM_H5_U8 && H5Tget_order(found) != H5T_ORDER_LE)) return false;
    hid_t number = class == H5T_ENUM ? H5Tget_super(found) : H5Tcopy(found);
    H5T_sign_t sign = H5Tget_sign(number);
    H5Tclose(number);
    return sign == (want == GM_H5_I32 ? H5T_SGN_2 : H5T_SGN_NONE);
}

/* Layout, filters and chunk size: what a stranger's file may ask of us. */
static gm_status check_storage(gm_h5_set *set, uint64_t bytes, gm_error *err)
{
    gm_status status = GM_OK;
    hid_t list = H5Dget_create_plist(set->id);
    if (list < 0) return gm_h5_fail(err, GM_EFORMAT, set->id, "cannot read '%s'", set->name);
    H5D_layout_t layout = H5Pget_layout(list);
    if (layout == H5D_VIRTUAL || H5Pget_external_count(list) > 0) {
        status = gm_h5_fail(err, GM_EFORMAT, set->id,
                            "dataset '%s' stores its data in another file", set->name);
        goto out;
    }
    for (int i = 0; layout == H5D_CHUNKED && i < H5Pget_nfilters(list); i++) {
        unsigned flags, config;
        size_t n = 0;
        H5Z_filter_t filter = H5Pget_filter2(list, (unsigned)i, &flags, &n, NULL, 0, NULL, &config);
        if (filter == H5Z_FILTER_DEFLATE || filter == H5Z_FILTER_SHUFFLE ||
            filter == H5Z_FILTER_FLETCHER32)
            continue;
        status = gm_h5_fail(err, GM_EFORMAT, set->id,
                            "dataset '%s' is compressed with HDF5 filter %d, expected gzip",
                            set->name, filter);
        goto out;
    }
    hsize_t chunk[GM_H5_MAX_RANK];
    hid_t type = H5Dget_type(set->id);
    hsize_t chunk_bytes = type < 0 ? 0 : H5Tget_size(type);
    if (type >= 0) H5Tclose(type);
    if (chunk_bytes == 0) {
        status = gm_h5_fail(err, GM_EFORMAT, set->id, "the type of '%s' has no size", set->name);
        goto out;
    }
    int rank = layout == H5D_CHUNKED ? H5Pget_chunk(list, GM_H5_MAX_RANK, chunk) : 0;
    for (int i = 0; i < rank && i < GM_H5_MAX_RANK; i++) {
        if (chunk[i] < 1 || chunk[i] > MAX_CHUNK_BYTES / chunk_bytes)
            chunk[i] = MAX_CHUNK_BYTES + 1;
        chunk_bytes *= chunk[i];
        if (chunk_bytes <= MAX_CHUNK_BYTES) continue;
        status = gm_h5_fail(err, GM_EFORMAT, set->id, "dataset '%s' has chunks of more than %d MiB",
                            set->name, MAX_CHUNK_BYTES >> 20);
        goto out;
    }
    uint64_t stored = H5Dget_storage_size(set->id);
    hsize_t file_bytes = 0; /* what a forged index of chunks says may be more than there is */
    hid_t file = H5Iget_file_id(set->id);
    if (file >= 0 && H5Fget_filesize(file, &file_bytes) >= 0 && stored > file_bytes)
        stored = file_bytes;
    if (file >= 0) H5Fclose(file);
    if (stored < bytes / MAX_DEFLATE)
        status = gm_h5_fail(err, GM_EFORMAT, set->id,
                            "dataset '%s' declares %" PRIu64 " bytes but holds only %" PRIu64,
                            set->name, bytes, stored);
    gm_h5_chunks_find(set, list);
out:
    H5Pclose(list);
    return status;
}

static gm_status check_shape(gm_h5_set *set, const gm_h5_layout *layout, uint64_t *bytes,
                             gm_error *err)
{
    gm_status status = GM_OK;
    const size_t item_bytes = gm_h5_type_size(layout->type);
    const int rank = layout->rank;
    hsize_t found[GM_H5_MAX_RANK];
    hid_t space = H5Dget_space(set->id);
    if (space < 0) return gm_h5_fail(err, GM_EFORMAT, set->id, "cannot read '%s'", set->name);
    int n = H5Sget_simple_extent_ndims(space);
    if (n != rank) {
        status = gm_h5_fail(err, GM_ESHAPE, set->id, "dataset '%s' has rank %d, expected %d",
                            set->name, n, rank);
        goto out;
    }
    H5Sget_simple_extent_dims(space, found, NULL);
    set->rank = rank;
    *bytes = item_bytes;
    for (int i = 0; i < rank; i++) {
        set->dim[i] = found[i];
        if (layout->dim[i] != GM_H5_ANY && layout->dim[i] != found[i]) {
            status =
                gm_h5_fail(err, GM_ESHAPE, set->id,
                           "dataset '%s' has size %" PRIu64 " along axis %d, expected %" PRIu64,
                           set->name, (uint64_t)found[i], i, layout->dim[i]);
            goto out;
        }
        if (found[i] > 0 && *bytes > (uint64_t)INT64_MAX / found[i]) {
            status = gm_h5_fail(err, GM_ESHAPE, set->id,
                                "dataset '%s' declares more than 2^63 bytes, with size %" PRIu64
                                " along axis %d",
                                set->name, (uint64_t)found[i], i);
            goto out;
        }
        *bytes *= found[i];
    }
    set->row_bytes = item_bytes;
    for (int i = 1; i < rank; i++) set->row_bytes *= (size_t)found[i];
out:
    H5Sclose(space);
    return status;
}

gm_status gm_h5_set_open(gm_h5_set *set, hid_t file, const gm_h5_layout *layout, gm_error *err)
{
    gm_status status = GM_OK;
    const char *name = layout->name;
    uint64_t bytes = 0;
    *set = GM_H5_SET_CLOSED;
    snprintf(set->name, sizeof set->name, "%s", name);
    if (!gm_h5_has(file, name)) return gm_h5_fail(err, GM_EFORMAT, file, "no dataset '%s'", name);
    set->id = H5Dopen2(file, name, H5P_DEFAULT);
    if (set->id < 0) return gm_h5_fail(err, GM_EFORMAT, file, "no dataset '%s'", name);

    set->type = H5Dget_type(set->id);
    if (set->type < 0 || !type_is(set->type, layout->type)) {
        status = gm_h5_fail(err, GM_EFORMAT, file, "dataset '%s' does not have the type %s", name,
                            TYPE_NAME[layout->type]);
        goto out;
    }
    if (H5Tget_class(set->type) != H5T_ENUM) {
        H5Tclose(set->type);
        set->type = gm_h5_type_make(layout->type);
    }
    GM_TRY(check_shape(set, layout, &bytes, err));
    GM_TRY(check_storage(set, bytes, err));
out:
    if (status != GM_OK) gm_h5_set_close(set);
    return status;
}

void gm_h5_set_close(gm_h5_set *set)
{
    if (set->type >= 0) H5Tclose(set->type);
    if (set->id >= 0) H5Dclose(set->id);
    set->id = set->type = H5I_INVALID_HID;
}

static gm_status read_rows(const gm_h5_set *set, uint64_t first, size_t n, void *out, gm_error *err)
{
    gm_status status = GM_OK;
    if (n == 0) return GM_OK;
    hsize_t start[GM_H5_MAX_RANK] = {first}, count[GM_H5_MAX_RANK] = {n};
    for (int i = 1; i < set->rank; i++) count[i] = set->dim[i];
    hid_t rows = H5Dget_space(set->id), memory = H5Screate_simple(set->rank, count, NULL);
    if (rows < 0 || memory < 0 ||
        H5Sselect_hyperslab(rows, H5S_SELECT_SET, start, NULL, count, NULL) < 0 ||
        H5Dread(set->id, set->type, memory, rows, H5P_DEFAULT, out) < 0)
        status = gm_h5_fail(err, GM_EIO, set->id, "cannot read dataset '%s'", set->name);
    if (memory >= 0) H5Sclose(memory);
    if (rows >= 0) H5Sclose(rows);
    return status;
}

gm_status gm_h5_set_read(const gm_h5_set *set, uint64_t first, size_t n, void *out, gm_error *err)
{
    gm_status status = GM_OK;
    if (first > set->dim[0] || n > set->dim[0] - first)
        return gm_h5_fail(err, GM_EARG, set->id,
                          "rows %" PRIu64 " to %" PRIu64 " requested from '%s', which has %" PRIu64,
                          first, first + n, set->name, set->dim[0]);
    size_t head = 0, whole = 0; /* rows before the first whole chunk, rows of whole ones */
    uint8_t *to = out;
    if (set->chunk_rows > 0) {
        head = (size_t)((set->chunk_rows - first % set->chunk_rows) % set->chunk_rows);
        whole = n > head ? (n - head) / set->chunk_rows * set->chunk_rows : 0;
    }
    if (whole < 2 * set->chunk_rows || whole == 0) return read_rows(set, first, n, to, err);
    GM_TRY(read_rows(set, first, head, to, err));
    GM_TRY(gm_h5_chunks_read(set, first + head, whole, to + head * set->row_bytes, &whole, err));
    head += whole;
    GM_TRY(read_rows(set, first + head, n - head, to + head * set->row_bytes, err));
out:
    return status;
}

gm_status gm_h5_read_all(hid_t file, const gm_h5_layout *layout, gm_arena *arena, void **out,
                         uint64_t *n_rows, gm_error *err)
{
    gm_status status = GM_OK;
    gm_h5_set set = GM_H5_SET_CLOSED;
    *out = NULL;
    if (n_rows) *n_rows = 0;
    GM_TRY(gm_h5_set_open(&set, file, layout, err));
    *out = gm_arena_alloc(arena, set.dim[0], set.row_bytes);
    if (*out == NULL) {
        status = gm_h5_fail(err, GM_EMEM, file, "no memory for dataset '%s'", layout->name);
        goto out;
    }
    GM_TRY(gm_h5_set_read(&set, 0, (size_t)set.dim[0], *out, err));
    if (n_rows) *n_rows = set.dim[0];
out:
    if (status != GM_OK) *out = NULL;
    gm_h5_set_close(&set);
    return status;
}

gm_status gm_h5_read_texts(hid_t file, const gm_h5_layout *layout, gm_arena *arena,
                           const char *const **out, uint64_t *n_texts, gm_error *err)
{
    gm_status status = GM_OK;
    gm_h5_set set = GM_H5_SET_CLOSED;
    char *packed = NULL;
    *out = NULL;
    assert(layout->type == GM_H5_TEXT);
    GM_TRY(gm_h5_set_open(&set, file, layout, err));
    size_t n = (size_t)set.dim[0] * (set.row_bytes / GM_H5_TEXT_BYTES);
    packed = gm_alloc(n, GM_H5_TEXT_BYTES);
    const char **text = gm_arena_alloc(arena, n, sizeof *text);
    if (packed == NULL || text == NULL) {
        status = gm_h5_fail(err, GM_EMEM, file, "no memory for dataset '%s'", layout->name);
        goto out;
    }
    GM_TRY(gm_h5_set_read(&set, 0, (size_t)set.dim[0], packed, err));
    for (size_t i = 0; i < n; i++) {
        const char *at = packed + i * GM_H5_TEXT_BYTES;
        size_t length = strnlen(at, GM_H5_TEXT_BYTES);
        if (gm_utf8_valid(at, length) != length) {
            status =
                gm_h5_fail(err, GM_EFORMAT, file, "text %zu of '%s' is not UTF-8", i, layout->name);
            goto out;
        }
        text[i] = gm_arena_text(arena, at, length);
        if (text[i] == NULL) {
            status = gm_h5_fail(err, GM_EMEM, file, "no memory for dataset '%s'", layout->name);
            goto out;
        }
    }
    *out = text;
    if (n_texts) *n_texts = n;
out:
    gm_free(packed);
    gm_h5_set_close(&set);
    return status;
}

gm_status gm_h5_set_digest(const gm_h5_set *set, uint8_t digest[32], gm_error *err)
{
    gm_status status = GM_OK;
    gm_sha256 hash;
    const uint64_t n_rows = set->row_bytes ? set->dim[0] : 0; /* nothing of no width */
    size_t rows = set->row_bytes ? DIGEST_BYTES / set->row_bytes + 1 : 1;
    if (rows > n_rows) rows = n_rows > 0 ? (size_t)n_rows : 1;
    uint8_t *part = gm_alloc2(rows, set->row_bytes, 1);
    if (part == NULL) GM_FAIL(GM_EMEM, "no memory to check '%s'", set->name);
    gm_sha256_init(&hash);
    for (uint64_t first = 0; first < n_rows; first += rows) {
        size_t n = n_rows - first < rows ? (size_t)(n_rows - first) : rows;
        GM_TRY(gm_h5_set_read(set, first, n, part, err));
        gm_sha256_update(&hash, part, n * set->row_bytes);
    }
    gm_sha256_final(&hash, digest);
out:
    gm_free(part);
    return status;
}
