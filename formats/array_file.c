/* array_file.c - see array_file.h. */
#include "formats/array_file.h"

#include <math.h>
#include <string.h>

#include "base/outfile.h"
#include "base/sha256.h"
#include "formats/npy.h"

enum { MAX_ARRAY_BYTES = 1 << 28, DS4_LAYERS = 43, DS4_EXPERTS = 256 };
enum { NPY_FRONT = 10 };                         /* magic, version, length of the header */
static const char npy_magic[] = "\x93NUMPY\x01"; /* and a NUL: version 1.0 */

void gm_array_clear(gm_array *array)
{
    gm_free(array->at);
    *array = (gm_array){0};
}

static bool ends_in(const char *path, const char *ending)
{
    size_t n = strlen(path), m = strlen(ending);
    return n > m && strcmp(path + n - m, ending) == 0;
}

bool gm_array_is_ds4(const char *path)
{
    return ends_in(path, ".f32");
}

static gm_status check_name(const char *path, gm_error *err)
{
    if (gm_array_is_ds4(path) || ends_in(path, ".npy")) return GM_OK;
    return gm_fail(err, GM_EARG, "'%s': expected a name that ends in .npy (NumPy) or .f32 (ds4)",
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
                   "'%s': ds4's file has %d layers of %d experts, this plan %zu of %zu; write a "
                   ".npy",
                   path, DS4_LAYERS, DS4_EXPERTS, rows, cols);
}

/* ---- the header of a .npy: a dictionary as Python spells it ---- */

typedef struct cursor {
    const char *at, *end;
} cursor;

typedef struct npy_header {
    bool has_descr, has_order, has_shape;
    size_t dim[2];
} npy_header;

static void skip_blanks(cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n')) c->at++;
}

/* Take `text` behind blanks; false when something else stands there. */
static bool take(cursor *c, const char *text)
{
    size_t n = strlen(text);
    skip_blanks(c);
    if ((size_t)(c->end - c->at) < n || memcmp(c->at, text, n) != 0) return false;
    c->at += n;
    return true;
}

/* Take a quoted string without escapes into out, NUL-terminated. */
static bool take_string(cursor *c, char out[16])
{
    skip_blanks(c);
    if (c->at == c->end || (*c->at != '\'' && *c->at != '"')) return false;
    const char quote = *c->at++, *close = memchr(c->at, quote, (size_t)(c->end - c->at));
    if (close == NULL || close - c->at > 15 || memchr(c->at, '\\', (size_t)(close - c->at)))
        return false;
    size_t n = (size_t)(close - c->at);
    memcpy(out, c->at, n);
    out[n] = '\0';
    c->at = close + 1;
    return true;
}

/* Take a whole number of at most nine digits. */
static bool take_number(cursor *c, size_t *out)
{
    int n_digits = 0;
    skip_blanks(c);
    for (*out = 0; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++) {
        if (++n_digits > 9) return false;
        *out = *out * 10 + (size_t)(*c->at - '0');
    }
    return n_digits > 0;
}

/* "(2, 3)", a comma behind the last allowed; how many numbers are in *rank. */
static bool take_shape(cursor *c, size_t dim[2], size_t *rank)
{
    size_t value;
    *rank = 0;
    if (!take(c, "(")) return false;
    while (!take(c, ")")) {
        if (!take_number(c, &value)) return false;
        if (*rank < 2) dim[*rank] = value;
        ++*rank;
        if (take(c, ",")) continue;
        return take(c, ")");
    }
    return true;
}

static gm_status unreadable(const char *path, gm_error *err)
{
    return gm_fail(err, GM_EFORMAT, "'%s': the header is not one of NumPy's format 1.0", path);
}

static gm_status take_entry(cursor *c, npy_header *h, const char *path, gm_error *err)
{
    char key[16], descr[16];
    size_t rank;
    if (!take_string(c, key) || !take(c, ":")) return unreadable(path, err);
    if (strcmp(key, "descr") == 0 && !h->has_descr) {
        h->has_descr = true;
        if (!take_string(c, descr)) return unreadable(path, err);
        if (strcmp(descr, "<f4") != 0)
            return gm_fail(err, GM_EFORMAT, "'%s' holds '%s', expected '<f4' (array.astype('<f4'))",
                           path, descr);
    } else if (strcmp(key, "fortran_order") == 0 && !h->has_order) {
        h->has_order = true;
        if (take(c, "True"))
            return gm_fail(err, GM_EFORMAT, "'%s' is in Fortran order, expected C order", path);
        if (!take(c, "False")) return unreadable(path, err);
    } else if (strcmp(key, "shape") == 0 && !h->has_shape) {
        h->has_shape = true;
        if (!take_shape(c, h->dim, &rank)) return unreadable(path, err);
        if (rank != 2 || h->dim[0] == 0 || h->dim[1] == 0)
            return gm_fail(err, GM_ESHAPE, "'%s': expected a table of layers and experts", path);
    } else {
        return unreadable(path, err);
    }
    return GM_OK;
}

static gm_status take_header(cursor *c, npy_header *h, const char *path, gm_error *err)
{
    gm_status status = GM_OK;
    *h = (npy_header){0};
    if (c->end == c->at || c->end[-1] != '\n' || !take(c, "{")) return unreadable(path, err);
    while (!take(c, "}")) {
        GM_TRY(take_entry(c, h, path, err));
        if (take(c, ",")) continue;
        if (!take(c, "}")) return unreadable(path, err);
        break;
    }
    skip_blanks(c);
    if (c->at != c->end || !h->has_descr || !h->has_order || !h->has_shape)
        status = unreadable(path, err);
out:
    return status;
}

/* The sizes of a .npy and where its data begins. */
static gm_status read_npy_front(const char *bytes, size_t n, const char *path, size_t dim[2],
                                size_t *first, gm_error *err)
{
    gm_status status = GM_OK;
    npy_header h;
    if (n < NPY_FRONT || memcmp(bytes, npy_magic, 6) != 0)
        GM_FAIL(GM_EFORMAT, "'%s' is not a .npy file", path);
    if (memcmp(bytes, npy_magic, 8) != 0)
        GM_FAIL(GM_EFORMAT, "'%s' has NumPy's format %d.%d, expected 1.0", path,
                (unsigned char)bytes[6], (unsigned char)bytes[7]);
    size_t length = (size_t)(unsigned char)bytes[8] | (size_t)(unsigned char)bytes[9] << 8;
    if (n - NPY_FRONT < length) GM_FAIL(GM_EFORMAT, "'%s' ends within its header", path);
    *first = NPY_FRONT + length;
    cursor c = {bytes + NPY_FRONT, bytes + *first};
    GM_TRY(take_header(&c, &h, path, err));
    memcpy(dim, h.dim, sizeof h.dim);
out:
    return status;
}

/* ---- files ---- */

gm_status gm_array_parse(gm_array *out, const void *bytes, size_t n, const char *path,
                         gm_error *err)
{
    gm_status status = GM_OK;
    size_t dim[2] = {DS4_LAYERS, DS4_EXPERTS}, first = 0;
    uint8_t digest[32];
    *out = (gm_array){0};

    GM_TRY(check_name(path, err));
    if (!gm_array_is_ds4(path)) GM_TRY(read_npy_front(bytes, n, path, dim, &first, err));
    const size_t n_values = (n - first) / sizeof *out->at;
    if ((n - first) % sizeof *out->at != 0 || n_values / dim[1] != dim[0] || n_values % dim[1] != 0)
        GM_FAIL(GM_ESHAPE, "'%s' holds %zu bytes of data, expected %zu x %zu numbers of 4", path,
                n - first, dim[0], dim[1]);
    out->at = gm_alloc2(dim[0], dim[1], sizeof *out->at);
    if (out->at == NULL) GM_FAIL(GM_EMEM, "no memory for '%s'", path);
    out->n_rows = dim[0];
    out->n_cols = dim[1];
    memcpy(out->at, (const char *)bytes + first, n_values * sizeof *out->at);
    GM_TRY(check_values(path, out->at, dim[0], dim[1], err));
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
