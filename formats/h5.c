/* h5.c - HDF5 files, groups, types and attributes, checked: see h5.h. */
#include "formats/h5.h"

#include "base/json.h"
#include "base/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A type's message in an object header holds 64 KiB at most; an enum takes its
 * names, each padded to 8 bytes, and its values. */
enum { MAX_ENUM_BYTES = 48 * 1024 };

enum { MAX_TEXT_BYTES = 64 << 20 }; /* of an attribute */

/* ---- types ---- */

size_t gm_h5_type_size(gm_h5_type type)
{
    switch (type) {
    case GM_H5_U8: return 1;
    case GM_H5_U16: return 2;
    case GM_H5_U32: return 4;
    case GM_H5_U64: return 8;
    case GM_H5_I32: return 4;
    case GM_H5_F16: return 2;
    case GM_H5_F32: return 4;
    case GM_H5_F64: return 8;
    case GM_H5_TEXT: return GM_H5_TEXT_BYTES;
    }
    return 0;
}

/* IEEE binary16 cut out of binary32. The order of the calls matters: fields first,
 * or the size would not hold them; the bias last. */
static hid_t make_half(void)
{
    hid_t half = H5Tcopy(H5T_IEEE_F32LE);
    if (half < 0) return half;
    if (H5Tset_fields(half, 15, 10, 5, 0, 10) < 0 || H5Tset_size(half, 2) < 0 ||
        H5Tset_ebias(half, 15) < 0) {
        H5Tclose(half);
        return H5I_INVALID_HID;
    }
    return half;
}

static hid_t make_text(void)
{
    hid_t text = H5Tcopy(H5T_C_S1);
    if (text < 0) return text;
    if (H5Tset_size(text, GM_H5_TEXT_BYTES) < 0 || H5Tset_strpad(text, H5T_STR_NULLPAD) < 0 ||
        H5Tset_cset(text, H5T_CSET_UTF8) < 0) {
        H5Tclose(text);
        return H5I_INVALID_HID;
    }
    return text;
}

hid_t gm_h5_type_make(gm_h5_type type)
{
    switch (type) {
    case GM_H5_U8: return H5Tcopy(H5T_STD_U8LE);
    case GM_H5_U16: return H5Tcopy(H5T_STD_U16LE);
    case GM_H5_U32: return H5Tcopy(H5T_STD_U32LE);
    case GM_H5_U64: return H5Tcopy(H5T_STD_U64LE);
    case GM_H5_I32: return H5Tcopy(H5T_STD_I32LE);
    case GM_H5_F16: return make_half();
    case GM_H5_F32: return H5Tcopy(H5T_IEEE_F32LE);
    case GM_H5_F64: return H5Tcopy(H5T_IEEE_F64LE);
    case GM_H5_TEXT: return make_text();
    }
    return H5I_INVALID_HID;
}

hid_t gm_h5_type_make_enum(gm_h5_type base, const char *const *name, size_t n)
{
    hid_t number = gm_h5_type_make(base);
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++) bytes += strlen(name[i]) + 16;
    if (number < 0 || n == 0 || bytes > MAX_ENUM_BYTES) return number;

    hid_t type = H5Tenum_create(number);
    bool fine = type >= 0;
    for (size_t i = 0; fine && i < n; i++) {
        uint16_t value = (uint16_t)i; /* little-endian: its first byte is the u8 */
        fine = H5Tenum_insert(type, name[i][0] ? name[i] : "(none)", &value) >= 0;
    }
    if (!fine && type >= 0) H5Tclose(type);
    if (!fine) return number; /* a subset that is really called "(none)" */
    H5Tclose(number);
    return type;
}

/* The tail of a text that fits, from the beginning of a character. */
static const char *tail_of(const char *text)
{
    const size_t n = strlen(text), room = GM_H5_TEXT_BYTES - 1;
    if (n <= room) return text;
    text += n - room;
    for (int k = 0; k < 3 && ((unsigned char)*text & 0xC0) == 0x80; k++) text++;
    return text;
}

void gm_h5_text_pack(char out[GM_H5_TEXT_BYTES], const char *text)
{
    char spelt[4 * GM_H5_TEXT_BYTES];
    gm_utf8_spell(spelt, tail_of(text));
    text = tail_of(spelt);
    memset(out, 0, GM_H5_TEXT_BYTES);
    memcpy(out, text, strlen(text));
}

void gm_h5_fold(gm_sha256 *hash, const char *name, const uint8_t digest[32])
{
    gm_sha256_update(hash, name, strlen(name));
    gm_sha256_update(hash, digest, 32);
}

/* ---- files and groups ---- */

/* How files are opened. HDF5 takes no lock: commit.c holds one on what is written, and what
 * was committed never changes.
 *
 * A file that a full disk or a bad one keeps HDF5 from closing stays open in the library,
 * and 1.10 crashes when it tries again at exit: so it does not. We close everything. */
static hid_t make_access_list(void)
{
    (void)H5dont_atexit();
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    hid_t list = H5Pcreate(H5P_FILE_ACCESS);
    if (list >= 0 && (H5Pset_fclose_degree(list, H5F_CLOSE_STRONG) < 0 ||
                      H5Pset_file_locking(list, false, true) < 0)) {
        H5Pclose(list);
        return H5I_INVALID_HID;
    }
    return list;
}

gm_status gm_h5_create(hid_t *out, const char *path, gm_error *err)
{
    gm_status status = GM_OK;
    *out = H5I_INVALID_HID;
    hid_t access = make_access_list(), how = H5Pcreate(H5P_FILE_CREATE);
    /* The format of 1.10: its headers and indices carry checksums, so that a byte that
     * changed is an error and not a wild pointer inside HDF5. The file's list is the root
     * group's, which would have the time in it. */
    if (access < 0 || how < 0 || H5Pset_obj_track_times(how, false) < 0 ||
        H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110) < 0)
        GM_FAIL(GM_EMEM, "cannot create '%s'", path);
    *out = H5Fcreate(path, H5F_ACC_TRUNC, how, access);
    if (*out < 0) status = gm_h5_fail(err, GM_EIO, -1, "cannot write '%s'", path);
out:
    if (how >= 0) H5Pclose(how); /* not before: HDF5 forgets the reason */
    if (access >= 0) H5Pclose(access);
    return status;
}

/* What HDF5 does not tell apart: a file that is missing, is none of its own, or is damaged. */
static gm_status look_first(const char *path, gm_error *err)
{
    static const char signature[8] = "\211HDF\r\n\032\n";
    char start[sizeof signature] = "";
    FILE *file = fopen(path, "rb");
    if (file == NULL) return gm_fail(err, GM_EIO, "cannot open '%s': %s", path, strerror(errno));
    size_t n = fread(start, 1, sizeof start, file);
    const int reason = ferror(file) ? errno : 0; /* a folder, a bad disk */
    fclose(file);
    if (reason) return gm_fail(err, GM_EIO, "cannot read '%s': %s", path, strerror(reason));
    if (n == sizeof start && memcmp(start, signature, sizeof start) == 0) return GM_OK;
    return gm_fail(err, GM_EFORMAT, "'%s' is not an HDF5 file, as a trace or an atlas would be",
                   path);
}

gm_status gm_h5_open(hid_t *out, const char *path, gm_error *err)
{
    *out = H5I_INVALID_HID;
    gm_status status = look_first(path, err);
    if (status != GM_OK) return status;

    hid_t access = make_access_list();
    if (access < 0) return gm_h5_fail(err, GM_EMEM, -1, "cannot open '%s'", path);
    *out = H5Fopen(path, H5F_ACC_RDONLY, access);
    if (*out < 0) /* before another call of HDF5 forgets the reason */
        status = gm_h5_fail(err, GM_EFORMAT, -1, "'%s' is damaged or truncated", path);
    H5Pclose(access);
    return status;
}

gm_status gm_h5_close(hid_t *file, const char *path, gm_error *err)
{
    hid_t id = *file;
    *file = H5I_INVALID_HID;
    if (H5Fclose(id) < 0) return gm_h5_fail(err, GM_EIO, -1, "cannot finish writing '%s'", path);
    return GM_OK;
}

void gm_h5_drop(hid_t *file)
{
    if (*file >= 0) H5Fclose(*file);
    *file = H5I_INVALID_HID;
    H5Eclear2(H5E_DEFAULT);
}

gm_status gm_h5_make_group(hid_t file, const char *name, gm_error *err)
{
    gm_status status = GM_OK;
    hid_t group = H5I_INVALID_HID;
    hid_t list = H5Pcreate(H5P_GROUP_CREATE);
    if (list < 0 || H5Pset_obj_track_times(list, false) < 0)
        GM_FAIL(GM_EMEM, "cannot create group '%s'", name);
    group = H5Gcreate2(file, name, H5P_DEFAULT, list, H5P_DEFAULT);
    if (group < 0) status = gm_h5_fail(err, GM_EIO, file, "cannot create group '%s'", name);
out:
    if (group >= 0) H5Gclose(group);
    if (list >= 0) H5Pclose(list);
    return status;
}

/* Every part of the path is looked at: a soft or external link could lead anywhere. */
bool gm_h5_has(hid_t file, const char *name)
{
    char path[128];
    if (snprintf(path, sizeof path, "%s", name) >= (int)sizeof path) return false;
    for (char *end = strchr(path + 1, '/');; end = strchr(end + 1, '/')) {
        H5L_info_t link;
        if (end) *end = '\0';
        if (H5Lexists(file, path, H5P_DEFAULT) <= 0) return false;
        if (H5Lget_info(file, path, &link, H5P_DEFAULT) < 0) return false;
        if (link.type != H5L_TYPE_HARD) return false;
        if (end == NULL) return true;
        *end = '/';
    }
}

/* ---- attributes ---- */

static gm_status put_scalar(hid_t object, const char *name, hid_t type, const void *value,
                            gm_error *err)
{
    gm_status status = GM_OK;
    hid_t space = H5Screate(H5S_SCALAR);
    hid_t at = space < 0 ? space : H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    if (at < 0 || H5Awrite(at, type, value) < 0)
        status = gm_h5_fail(err, GM_EIO, object, "cannot write attribute '%s'", name);
    if (at >= 0) H5Aclose(at);
    if (space >= 0) H5Sclose(space);
    return status;
}

/* Of fixed length, n bytes of UTF-8 (h5py gives bytes): variable length would be kept in the
 * global heap, whose reading HDF5 1.10 does not check (fuzz_atlas.c). */
static hid_t make_text_of(size_t n)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    if (type >= 0 && (H5Tset_size(type, n) < 0 || H5Tset_cset(type, H5T_CSET_UTF8) < 0 ||
                      H5Tset_strpad(type, H5T_STR_NULLPAD) < 0)) {
        H5Tclose(type);
        return H5I_INVALID_HID;
    }
    return type;
}

gm_status gm_h5_put_text(hid_t object, const char *name, const char *text, gm_error *err)
{
    gm_status status = GM_OK;
    hid_t type = H5I_INVALID_HID;
    if (text == NULL) text = "";
    char *value = gm_alloc(strlen(text) + 1, 4);
    if (value == NULL) GM_FAIL(GM_EMEM, "no memory to write attribute '%s'", name);
    const size_t n = gm_utf8_spell(value, text);
    type = make_text_of(n > 0 ? n : 1);
    if (type < 0) {
        status = gm_h5_fail(err, GM_EMEM, object, "cannot write attribute '%s'", name);
        goto out;
    }
    GM_TRY(put_scalar(object, name, type, value, err));
out:
    if (type >= 0) H5Tclose(type);
    gm_free(value);
    return status;
}

gm_status gm_h5_put_i64(hid_t object, const char *name, int64_t value, gm_error *err)
{
    return put_scalar(object, name, H5T_STD_I64LE, &value, err);
}

gm_status gm_h5_put_f64(hid_t object, const char *name, double value, gm_error *err)
{
    return put_scalar(object, name, H5T_IEEE_F64LE, &value, err);
}

/* Open an attribute that must hold one value of the class `want`. */
static gm_status open_scalar(hid_t *out, hid_t object, const char *name, H5T_class_t want,
                             const char *what, gm_error *err)
{
    gm_status status = GM_OK;
    hid_t at = H5I_INVALID_HID, space = H5I_INVALID_HID, type = H5I_INVALID_HID;
    *out = H5I_INVALID_HID;
    if (H5Aexists(object, name) <= 0)
        return gm_h5_fail(err, GM_EFORMAT, object, "attribute '%s' is missing", name);
    at = H5Aopen(object, name, H5P_DEFAULT);
    space = at < 0 ? at : H5Aget_space(at);
    type = at < 0 ? at : H5Aget_type(at);
    if (space < 0 || type < 0)
        status = gm_h5_fail(err, GM_EFORMAT, object, "cannot read attribute '%s'", name);
    else if (H5Tget_class(type) != want || H5Sget_simple_extent_npoints(space) != 1)
        status = gm_h5_fail(err, GM_EFORMAT, object, "attribute '%s' is not %s", name, what);
    if (status == GM_OK) {
        *out = at;
        at = H5I_INVALID_HID;
    }
    if (type >= 0) H5Tclose(type);
    if (space >= 0) H5Sclose(space);
    if (at >= 0) H5Aclose(at);
    return status;
}

gm_status gm_h5_get_text(hid_t object, const char *name, gm_arena *arena, const char **out,
                         gm_error *err)
{
    gm_status status = GM_OK;
    hid_t at = H5I_INVALID_HID, own = H5I_INVALID_HID, type = H5I_INVALID_HID;
    *out = NULL;
    GM_TRY(open_scalar(&at, object, name, H5T_STRING, "a string", err));
    own = H5Aget_type(at);
    size_t n = own < 0 || H5Tis_variable_str(own) != 0 ? 0 : H5Tget_size(own);
    if (n == 0 || n > MAX_TEXT_BYTES || H5Aget_storage_size(at) != n) {
        status = gm_h5_fail(err, GM_EFORMAT, object, "attribute '%s' is not a fixed-length string",
                            name);
        goto out;
    }
    char *text = gm_arena_alloc(arena, n + 1, 1); /* zeroed: a NUL follows */
    type = make_text_of(n);
    if (text == NULL || type < 0) {
        status = gm_h5_fail(err, GM_EMEM, object, "no memory for '%s'", name);
        goto out;
    }
    if (H5Aread(at, type, text) < 0)
        status = gm_h5_fail(err, GM_EFORMAT, object, "cannot read attribute '%s'", name);
    else if (gm_utf8_valid(text, strlen(text)) != strlen(text))
        status = gm_h5_fail(err, GM_EFORMAT, object, "attribute '%s' is not UTF-8", name);
    else
        *out = text;
out:
    if (own >= 0) H5Tclose(own);
    if (type >= 0) H5Tclose(type);
    if (at >= 0) H5Aclose(at);
    return status;
}

gm_status gm_h5_find_text(hid_t object, const char *name, gm_arena *arena, const char **out,
                          gm_error *err)
{
    *out = "";
    return H5Aexists(object, name) == 0 ? GM_OK : gm_h5_get_text(object, name, arena, out, err);
}

gm_status gm_h5_check_object(hid_t object, const char *name, const char *text, gm_error *err)
{
    gm_json *root = NULL;
    if (text[0] == '\0') return GM_OK;
    gm_status status = gm_json_parse(&root, text, strlen(text), name, err);
    bool fine = status == GM_OK && gm_json_kind_of(root) == GM_JSON_OBJECT;
    if (!fine && status != GM_EMEM)
        status = gm_h5_fail(err, GM_EFORMAT, object, "'%s' is not a JSON object", name);
    gm_json_free(root);
    return status;
}

gm_status gm_h5_get_i64(hid_t object, const char *name, int64_t lo, int64_t hi, int64_t *out,
                        gm_error *err)
{
    gm_status status = GM_OK;
    hid_t at = H5I_INVALID_HID;
    *out = 0;
    GM_TRY(open_scalar(&at, object, name, H5T_INTEGER, "an integer", err));
    if (H5Aread(at, H5T_NATIVE_INT64, out) < 0)
        status = gm_h5_fail(err, GM_EFORMAT, object, "cannot read attribute '%s'", name);
    else if (*out < lo || *out > hi)
        status = gm_h5_fail(err, GM_EFORMAT, object,
                            "attribute '%s' is %" PRId64 ", expected %" PRId64 " to %" PRId64, name,
                            *out, lo, hi);
    if (status != GM_OK) *out = lo;
out:
    if (at >= 0) H5Aclose(at);
    return status;
}

gm_status gm_h5_get_f64(hid_t object, const char *name, double *out, gm_error *err)
{
    gm_status status = GM_OK;
    hid_t at = H5I_INVALID_HID;
    *out = 0;
    GM_TRY(open_scalar(&at, object, name, H5T_FLOAT, "a number", err));
    if (H5Aread(at, H5T_NATIVE_DOUBLE, out) < 0)
        status = gm_h5_fail(err, GM_EFORMAT, object, "cannot read attribute '%s'", name);
out:
    if (at >= 0) H5Aclose(at);
    return status;
}

/* A file of ours of another kind, most likely the one before it in the chain. */
static gm_status refuse_kind(hid_t file, const char *found, const char *name, gm_error *err)
{
    static const char *const kind[][3] = {
        {"gm-trace", "a trace", "'gm-probe collect' writes traces"},
        {"gm-atlas", "an atlas", "'gm-cluster fit' makes one from a trace"},
        {"gm-sweep", "a sweep's result", "'gm-steer sweep -o' writes one"},
    };
    const char *is = NULL, *wanted = NULL, *how = NULL;
    for (size_t i = 0; i < sizeof kind / sizeof kind[0]; i++) {
        if (strcmp(found, kind[i][0]) == 0) is = kind[i][1];
        if (strcmp(name, kind[i][0]) == 0) wanted = kind[i][1], how = kind[i][2];
    }
    if (is == NULL || wanted == NULL)
        return gm_h5_fail(err, GM_EFORMAT, file, "it is a '%s', expected a '%s'", found, name);
    return gm_h5_fail(err, GM_EFORMAT, file, "it is %s, expected %s; %s", is, wanted, how);
}

gm_status gm_h5_check_schemas(hid_t file, const char *name, int oldest, int newest, int *version,
                              gm_error *err)
{
    gm_status status = GM_OK;
    gm_arena arena = {0};
    const char *found = NULL;
    int64_t number;
    if (H5Aexists(file, "schema_name") <= 0) {
        status = gm_h5_fail(err, GM_EFORMAT, file,
                            "it is not a %s: it has no attribute 'schema_name'", name);
        goto out;
    }
    GM_TRY(gm_h5_get_text(file, "schema_name", &arena, &found, err));
    if (strcmp(found, name) != 0) {
        status = refuse_kind(file, found, name, err);
        goto out;
    }
    GM_TRY(gm_h5_get_i64(file, "schema", 1, INT32_MAX, &number, err));
    if (number < oldest || number > newest)
        status = oldest == newest ? gm_h5_fail(err, GM_EFORMAT, file,
                                               "its schema has version %" PRId64
                                               ", but this program reads only %d",
                                               number, newest)
                                  : gm_h5_fail(err, GM_EFORMAT, file,
                                               "its schema has version %" PRId64
                                               ", but this program reads only %d to %d",
                                               number, oldest, newest);
    *version = (int)number;
out:
    gm_arena_clear(&arena);
    return status;
}

gm_status gm_h5_check_schema(hid_t file, const char *name, int version, gm_error *err)
{
    int found;
    return gm_h5_check_schemas(file, name, version, version, &found, err);
}
