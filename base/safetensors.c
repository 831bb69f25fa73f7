/* safetensors.c - see safetensors.h. Nothing in the file is trusted: lengths and
 * offsets are compared before they are added, and sizes go through a checked product.
 */
#include "base/safetensors.h"

#include "base/folder.h"
#include "base/half.h"
#include "base/outfile.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTH_BYTES = 8, DATA_ALIGNMENT = 8 };

/* The limit of the format's own library: longer headers are refused there too. */
static const uint64_t MAX_HEADER_BYTES = 100000000;

static const char METADATA[] = "__metadata__";

/* ---- dtypes and elements ---- */

#define DTYPE_ROW(code, name, bytes) [code] = {name, bytes},
static const struct {
    const char *name;
    size_t bytes;
} dtypes[GM_N_DTYPES] = {GM_DTYPE_LIST(DTYPE_ROW)};

size_t gm_dtype_bytes(gm_dtype dtype)
{
    assert((unsigned)dtype < GM_N_DTYPES);
    return dtypes[dtype].bytes;
}

const char *gm_dtype_name(gm_dtype dtype)
{
    assert((unsigned)dtype < GM_N_DTYPES);
    return dtypes[dtype].name;
}

bool gm_dtype_is_float(gm_dtype dtype)
{
    return dtype == GM_F32 || dtype == GM_F16 || dtype == GM_BF16;
}

static uint16_t load_u16(const unsigned char *at)
{
    return (uint16_t)(at[0] | at[1] << 8);
}

static float load_f32(const unsigned char *at)
{
    uint32_t bits = (uint32_t)load_u16(at) | (uint32_t)load_u16(at + 2) << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

void gm_tensor_to_f32(const gm_tensor *tensor, size_t first, size_t n, float *out)
{
    size_t size = gm_dtype_bytes(tensor->dtype);
    assert(gm_dtype_is_float(tensor->dtype));
    assert(first <= tensor->n_bytes / size && n <= tensor->n_bytes / size - first);

    const unsigned char *at = (const unsigned char *)tensor->data + first * size;
    switch (tensor->dtype) {
    case GM_F16:
        for (size_t i = 0; i < n; i++) out[i] = gm_half_to_f32(load_u16(at + 2 * i));
        break;
    case GM_BF16:
        for (size_t i = 0; i < n; i++) out[i] = gm_bf16_to_f32(load_u16(at + 2 * i));
        break;
    default:
        for (size_t i = 0; i < n; i++) out[i] = load_f32(at + 4 * i);
    }
}

/* Bytes of a tensor by its dtype and shape; false when that exceeds a size_t. */
static bool tensor_bytes(const gm_tensor *t, size_t *out)
{
    size_t n = gm_dtype_bytes(t->dtype);
    for (int i = 0; i < t->rank; i++) {
        if (t->dim[i] != 0 && n > SIZE_MAX / t->dim[i]) return false;
        n *= t->dim[i];
    }
    *out = n;
    return true;
}

/* ---- reading ---- */

/* The member `key` when it is there and of that kind, otherwise NULL. */
static const gm_json *member(const gm_json *entry, const char *key, gm_json_kind kind)
{
    const gm_json *value = gm_json_find(entry, key);
    return value && gm_json_kind_of(value) == kind ? value : NULL;
}

static gm_status read_dtype(gm_tensor *t, const gm_json *entry, const char *where, gm_error *err)
{
    const gm_json *dtype = member(entry, "dtype", GM_JSON_TEXT);
    if (dtype == NULL)
        return gm_fail(err, GM_EFORMAT, "'%s': tensor '%s' has no 'dtype'", where, t->name);
    const char *name = gm_json_text(dtype, NULL);
    for (int i = 0; i < GM_N_DTYPES; i++) {
        if (strcmp(dtypes[i].name, name) == 0) {
            t->dtype = (gm_dtype)i;
            return GM_OK;
        }
    }
    return gm_fail(
        err, GM_EFORMAT,
        "'%s': tensor '%s' has dtype '%s', expected F32, F16, BF16, F8_E4M3 or an integer type",
        where, t->name, name);
}

static gm_status read_shape(gm_tensor *t, const gm_json *entry, const char *where, gm_error *err)
{
    const gm_json *shape = member(entry, "shape", GM_JSON_ARRAY);
    if (shape == NULL)
        return gm_fail(err, GM_EFORMAT, "'%s': tensor '%s' has no 'shape'", where, t->name);
    if (gm_json_n_items(shape) > GM_MAX_RANK)
        return gm_fail(err, GM_EFORMAT, "'%s': tensor '%s' has rank %zu, expected at most %d",
                       where, t->name, gm_json_n_items(shape), GM_MAX_RANK);

    for (const gm_json *d = gm_json_first(shape); d; d = gm_json_next(d)) {
        int64_t dim;
        if (!gm_json_i64(d, &dim) || dim < 0)
            return gm_fail(err, GM_EFORMAT,
                           "'%s': tensor '%s': dimension %d is not a non-negative integer", where,
                           t->name, t->rank);
        t->dim[t->rank++] = (size_t)dim;
    }
    if (!tensor_bytes(t, &t->n_bytes))
        return gm_fail(err, GM_EFORMAT, "'%s': tensor '%s' is too large for memory", where,
                       t->name);
    return GM_OK;
}

/* Set t->data to byte `begin` of `data`, once [begin, end) is known to lie in it. */
static gm_status read_offsets(gm_tensor *t, const gm_json *entry, const unsigned char *data,
                              size_t n_data, const char *where, gm_error *err)
{
    const gm_json *offsets = member(entry, "data_offsets", GM_JSON_ARRAY);
    const gm_json *first = offsets ? gm_json_first(offsets) : NULL;
    const gm_json *second = first ? gm_json_next(first) : NULL;
    int64_t begin, end;

    if (!second || gm_json_next(second) || !gm_json_i64(first, &begin) ||
        !gm_json_i64(second, &end) || begin < 0 || end < begin)
        return gm_fail(err, GM_EFORMAT,
                       "'%s': tensor '%s': 'data_offsets' is not a pair of ascending offsets",
                       where, t->name);
    if ((uint64_t)end > n_data)
        return gm_fail(err, GM_EFORMAT,
                       "'%s' is truncated: tensor '%s' ends at byte %" PRId64
                       " of the data, which has only %zu bytes",
                       where, t->name, end, n_data);
    if ((uint64_t)(end - begin) != t->n_bytes)
        return gm_fail(err, GM_EFORMAT,
                       "'%s': tensor '%s' has %" PRId64
                       " bytes, expected %zu for its shape and dtype %s",
                       where, t->name, end - begin, t->n_bytes, gm_dtype_name(t->dtype));
    t->data = data + begin;
    return GM_OK;
}

static gm_status check_metadata(const gm_json *notes, const char *where, gm_error *err)
{
    if (gm_json_kind_of(notes) != GM_JSON_OBJECT)
        return gm_fail(err, GM_EFORMAT, "'%s': '%s' is not an object", where, METADATA);
    for (const gm_json *n = gm_json_first(notes); n; n = gm_json_next(n)) {
        if (gm_json_kind_of(n) != GM_JSON_TEXT)
            return gm_fail(err, GM_EFORMAT, "'%s': '%s': '%s' is not a string", where, METADATA,
                           gm_json_key(n));
    }
    return GM_OK;
}

static int by_place(const void *a, const void *b)
{
    const gm_tensor *s = a, *t = b;
    if (s->data != t->data) return (uintptr_t)s->data < (uintptr_t)t->data ? -1 : 1;
    return (s->n_bytes > t->n_bytes) - (s->n_bytes < t->n_bytes);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const gm_tensor *)a)->name, ((const gm_tensor *)b)->name);
}

/* The tensors, in order of place, must follow each other from the first byte of the
 * data to the last. */
static gm_status check_cover(gm_safetensors *file, const unsigned char *data, size_t n_data,
                             const char *where, gm_error *err)
{
    if (file->n > 0) qsort(file->tensor, file->n, sizeof *file->tensor, by_place);
    size_t at = 0;
    for (size_t i = 0; i < file->n; i++) {
        const gm_tensor *t = &file->tensor[i];
        size_t begin = (size_t)((const unsigned char *)t->data - data);
        if (begin < at)
            return gm_fail(err, GM_EFORMAT, "'%s': tensors '%s' and '%s' overlap", where,
                           file->tensor[i - 1].name, t->name);
        if (begin > at)
            return gm_fail(err, GM_EFORMAT,
                           "'%s': %zu bytes before tensor '%s' belong to no tensor", where,
                           begin - at, t->name);
        at = begin + t->n_bytes;
    }
    if (at != n_data)
        return gm_fail(err, GM_EFORMAT, "'%s': %zu bytes at the end belong to no tensor", where,
                       n_data - at);
    return GM_OK;
}

/* Length of the header; GM_EFORMAT unless the file begins with one and holds all of it. */
static gm_status header_length(const unsigned char *at, size_t n, const char *where, size_t *out,
                               gm_error *err)
{
    uint64_t length = 0;
    if (n < LENGTH_BYTES)
        return gm_fail(err, GM_EFORMAT, "'%s' has %zu bytes, too few for a safetensors file", where,
                       n);
    for (int i = LENGTH_BYTES - 1; i >= 0; i--) length = length << 8 | at[i];
    if (memcmp(at, "\x89HDF", 4) == 0)
        return gm_fail(
            err, GM_EFORMAT,
            "'%s' is an HDF5 file, as a trace or an atlas is; expected a safetensors file", where);
    if (length > MAX_HEADER_BYTES)
        return gm_fail(err, GM_EFORMAT,
                       "'%s' is not a safetensors file: its header would have %" PRIu64 " bytes",
                       where, length);
    if (length > n - LENGTH_BYTES)
        return gm_fail(err, GM_EFORMAT,
                       "'%s' is truncated: it has %zu bytes, but the header alone needs %" PRIu64,
                       where, n, length + LENGTH_BYTES);
    if (length == 0 || at[LENGTH_BYTES] != '{')
        return gm_fail(err, GM_EFORMAT, "'%s': the header is not a JSON object", where);
    *out = (size_t)length;
    return GM_OK;
}

gm_status gm_safetensors_parse(gm_safetensors *out, const void *bytes, size_t n, const char *where,
                               gm_error *err)
{
    gm_status status = GM_OK;
    const unsigned char *at = bytes;
    size_t n_header = 0;
    *out = (gm_safetensors){0};

    GM_TRY(gm_refuse_lfs_pointer(bytes, n, where, err));
    GM_TRY(header_length(at, n, where, &n_header, err));
    GM_TRY(gm_json_parse(&out->header, (const char *)at + LENGTH_BYTES, n_header, where, err));

    const unsigned char *data = at + LENGTH_BYTES + n_header;
    size_t n_data = n - LENGTH_BYTES - n_header;
    out->tensor = gm_alloc(gm_json_n_items(out->header), sizeof *out->tensor);
    if (out->tensor == NULL) GM_FAIL(GM_EMEM, "no memory for the header of '%s'", where);

    for (const gm_json *e = gm_json_first(out->header); e; e = gm_json_next(e)) {
        if (strcmp(gm_json_key(e), METADATA) == 0) {
            GM_TRY(check_metadata(e, where, err));
            continue;
        }
        gm_tensor *t = &out->tensor[out->n];
        size_t n_name;
        *t = (gm_tensor){.name = gm_json_key_text(e, &n_name), .file = where};
        if (strlen(t->name) != n_name)
            GM_FAIL(GM_EFORMAT, "'%s': the name of tensor '%s' is followed by a NUL character",
                    where, t->name);
        if (gm_json_kind_of(e) != GM_JSON_OBJECT)
            GM_FAIL(GM_EFORMAT, "'%s': the entry of tensor '%s' is not an object", where, t->name);
        GM_TRY(read_dtype(t, e, where, err));
        GM_TRY(read_shape(t, e, where, err));
        GM_TRY(read_offsets(t, e, data, n_data, where, err));
        out->n++;
    }
    GM_TRY(check_cover(out, data, n_data, where, err));
    if (out->n > 0) qsort(out->tensor, out->n, sizeof *out->tensor, by_name);
out:
    if (status != GM_OK) gm_safetensors_clear(out);
    return status;
}

void gm_safetensors_clear(gm_safetensors *file)
{
    gm_free(file->tensor);
    gm_json_free(file->header);
    *file = (gm_safetensors){0};
}

const gm_tensor *gm_safetensors_find(const gm_safetensors *file, const char *name)
{
    const gm_tensor key = {.name = name};
    if (file->n == 0) return NULL;
    return bsearch(&key, file->tensor, file->n, sizeof key, by_name);
}

const char *gm_safetensors_metadata(const gm_safetensors *file, const char *key)
{
    const gm_json *notes = member(file->header, METADATA, GM_JSON_OBJECT);
    const gm_json *note = notes ? member(notes, key, GM_JSON_TEXT) : NULL;
    return note ? gm_json_text(note, NULL) : NULL;
}

/* ---- writing ---- */

static void put_tensor(gm_json_out *json, const gm_tensor *t, uint64_t begin)
{
    gm_json_open_object(json, t->name);
    gm_json_put_string(json, "dtype", gm_dtype_name(t->dtype));
    gm_json_open_array(json, "shape");
    for (int i = 0; i < t->rank; i++) gm_json_put_u64(json, NULL, t->dim[i]);
    gm_json_close_array(json);
    gm_json_open_array(json, "data_offsets");
    gm_json_put_u64(json, NULL, begin);
    gm_json_put_u64(json, NULL, begin + t->n_bytes);
    gm_json_close_array(json);
    gm_json_close_object(json);
}

/* The header, after its length and followed by the padding. */
static gm_status make_header(gm_text *out, const gm_tensor *tensors, size_t n,
                             const gm_safetensors_note *notes, size_t n_notes, gm_error *err)
{
    gm_status status = GM_OK;
    gm_json_out json = {0};
    uint64_t begin = 0;

    gm_json_open_object(&json, NULL);
    if (n_notes > 0) {
        gm_json_open_object(&json, METADATA);
        for (size_t i = 0; i < n_notes; i++)
            gm_json_put_string(&json, notes[i].key, notes[i].value);
        gm_json_close_object(&json);
    }
    for (size_t i = 0; i < n; i++) {
        put_tensor(&json, &tensors[i], begin);
        begin += tensors[i].n_bytes;
    }
    gm_json_close_object(&json);
    GM_TRY(gm_json_out_done(&json, err));
    while (json.text.n % DATA_ALIGNMENT != 0) GM_TRY(gm_text_append(&json.text, " ", 1, err));

    char length[LENGTH_BYTES];
    for (int i = 0; i < LENGTH_BYTES; i++) length[i] = (char)((uint64_t)json.text.n >> 8 * i);
    GM_TRY(gm_text_append(out, length, sizeof length, err));
    GM_TRY(gm_text_append(out, json.text.at, json.text.n, err));
out:
    gm_text_clear(&json.text);
    return status;
}

gm_status gm_safetensors_write(const char *path, bool replace, const gm_tensor *tensors, size_t n,
                               const gm_safetensors_note *notes, size_t n_notes, gm_error *err)
{
    gm_status status = GM_OK;
    gm_outfile *file = NULL;
    gm_text header = {0};

    for (size_t i = 0; i < n; i++) {
        size_t n_bytes;
        if (!tensor_bytes(&tensors[i], &n_bytes) || n_bytes != tensors[i].n_bytes)
            GM_FAIL(GM_EARG, "tensor '%s' has %zu bytes, which is not the size of its shape",
                    tensors[i].name, tensors[i].n_bytes);
    }
    GM_TRY(make_header(&header, tensors, n, notes, n_notes, err));
    GM_TRY(gm_outfile_open(&file, path, replace, err));

    /* What cannot be written shows at the commit, which looks at the stream's error flag. */
    FILE *stream = gm_outfile_stream(file);
    (void)!fwrite(header.at, 1, header.n, stream);
    for (size_t i = 0; i < n; i++) (void)!fwrite(tensors[i].data, 1, tensors[i].n_bytes, stream);
    status = gm_outfile_commit(file, err);
    file = NULL;
out:
    gm_outfile_abort(file);
    gm_text_clear(&header);
    return status;
}
