/* h5.h - private to formats: HDF5 with every call checked and every failure a sentence.
 *
 * HDF5 prints nothing here (its automatic printing is per thread, so every function
 * that opens or creates a file switches it off) and what it has to say about a
 * failure ends the message. Objects carry no time stamps. Only numbered calls are
 * used, so that 1.10 and 1.14 build from one source.
 *
 * Files are read as untrusted: datasets are hard links, of the stated type and
 * shape, in gzip, shuffle and fletcher32 at most, neither virtual nor in another
 * file, with chunks of bounded size, and with as much stored as their extent needs.
 * Files are written in the format of HDF5 1.10, whose structures carry checksums, and
 * nothing of variable length is read: a damaged byte is then an error. Against a file
 * made to break HDF5 itself, checksums and all, there is only a newer HDF5.
 */
#ifndef GM_H5_H
#define GM_H5_H

#include "base/arena.h"
#include "base/sha256.h"

#include <hdf5.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "stored bytes are memory's bytes");

/* ---- types: the same bytes in the file and in memory ---- */

typedef enum gm_h5_type {
    GM_H5_U8,
    GM_H5_U16,
    GM_H5_U32,
    GM_H5_U64,
    GM_H5_I32,
    GM_H5_F16, /* our own: HDF5 has none before 1.14.4 */
    GM_H5_F32,
    GM_H5_F64,
    GM_H5_TEXT /* 64 bytes of UTF-8, filled up with NUL */
} gm_h5_type;

enum { GM_H5_TEXT_BYTES = 64, GM_H5_MAX_RANK = 4 };

size_t gm_h5_type_size(gm_h5_type type);
/* A new HDF5 type, the caller's to close. H5I_INVALID_HID when HDF5 is out of memory. */
hid_t gm_h5_type_make(gm_h5_type type);
/* An enum over u8 or u16 with the values 0..n-1. Where HDF5 cannot hold so many names
 * (64 KiB of a type), the plain number; "" becomes "(none)". */
hid_t gm_h5_type_make_enum(gm_h5_type base, const char *const *name, size_t n);

/* `text` as the 64 stored bytes: a longer one keeps its tail, cut at a character; what is not
 * UTF-8 (names of files may be anything) is spelt \xHH, so that it can be read. */
void gm_h5_text_pack(char out[GM_H5_TEXT_BYTES], const char *text);

/* One step of a file's digest: name and SHA-256 of a column. */
void gm_h5_fold(gm_sha256 *hash, const char *name, const uint8_t digest[32]);

/* ---- errors, files, groups, attributes ---- */

/* gm_fail, with the file of `object` before the message and HDF5's innermost reason after it. */
gm_status gm_h5_fail(gm_error *err, gm_status code, hid_t object, const char *fmt, ...)
    GM_PRINTF(4, 5);
#ifdef __clang_analyzer__ /* as with gm_fail: its code is what it returns */
#define gm_h5_fail(err, code, object, ...) \
    ((void)gm_h5_fail(err, code, object, __VA_ARGS__), (code))
#endif

/* Write anew (commit.h has created the file), or open for reading. *out is H5I_INVALID_HID
 * on failure. Close strongly: whatever is still open in the file goes with it. The
 * check of a close matters: a full disk may show only there. */
gm_status gm_h5_create(hid_t *out, const char *path, gm_error *err) GM_MUST_USE;
gm_status gm_h5_open(hid_t *out, const char *path, gm_error *err) GM_MUST_USE;
gm_status gm_h5_close(hid_t *file, const char *path, gm_error *err) GM_MUST_USE;
/* For the way out of a failure: closes what is open, says nothing. */
void gm_h5_drop(hid_t *file);

gm_status gm_h5_make_group(hid_t file, const char *name, gm_error *err) GM_MUST_USE;
bool gm_h5_has(hid_t file, const char *name); /* a hard link of that path exists */

/* Attributes of `object`: one text (what is not UTF-8 is spelt \xHH), whole number or real
 * number. The range of what is read is checked; texts are copied into the arena. GM_EFORMAT. */
gm_status gm_h5_put_text(hid_t object, const char *name, const char *text, gm_error *err)
    GM_MUST_USE;
gm_status gm_h5_put_i64(hid_t object, const char *name, int64_t value, gm_error *err) GM_MUST_USE;
gm_status gm_h5_put_f64(hid_t object, const char *name, double value, gm_error *err) GM_MUST_USE;
gm_status gm_h5_get_text(hid_t object, const char *name, gm_arena *arena, const char **out,
                         gm_error *err) GM_MUST_USE;
/* The same of a text that older files lack: "" there. */
gm_status gm_h5_find_text(hid_t object, const char *name, gm_arena *arena, const char **out,
                          gm_error *err) GM_MUST_USE;
/* Refuse a text of that name that is neither "" nor a JSON object. */
gm_status gm_h5_check_object(hid_t object, const char *name, const char *text, gm_error *err)
    GM_MUST_USE;
gm_status gm_h5_get_i64(hid_t object, const char *name, int64_t lo, int64_t hi, int64_t *out,
                        gm_error *err) GM_MUST_USE;
gm_status gm_h5_get_f64(hid_t object, const char *name, double *out, gm_error *err) GM_MUST_USE;

/* Refuse a file whose `schema_name` is not `name` or whose `schema` is not `version`. */
gm_status gm_h5_check_schema(hid_t file, const char *name, int version, gm_error *err) GM_MUST_USE;
/* The same for schemas `oldest` to `newest`; *version is the file's. */
gm_status gm_h5_check_schemas(hid_t file, const char *name, int oldest, int newest, int *version,
                              gm_error *err) GM_MUST_USE;

/* ---- datasets ---- */

#define GM_H5_ANY UINT64_MAX

/* What a dataset is: to find it so where it is read, to make it so where it is written. */
typedef struct gm_h5_layout {
    const char *name;
    gm_h5_type type;
    int rank;
    uint64_t dim[GM_H5_MAX_RANK]; /* read: GM_H5_ANY takes what the file has */
    /* the rest where it is written only */
    hid_t stored;      /* an enum over `type`, borrowed; below 0: `type` itself */
    size_t chunk_rows; /* at least 1 */
    bool shuffle;
    const char *scale[GM_H5_MAX_RANK]; /* dimension scale of each axis; NULL: none */
    const char *about;                 /* attribute `description`; NULL: none */
} gm_h5_layout;

/* ---- datasets read ---- */

typedef struct gm_h5_set {
    hid_t id;   /* H5I_INVALID_HID when closed; (gm_h5_set){0} is not a closed set */
    hid_t type; /* of memory: the file's own for enums */
    char name[64];
    int rank;
    uint64_t dim[GM_H5_MAX_RANK];
    size_t row_bytes;  /* of one index of the first dimension */
    size_t chunk_rows; /* 0: chunks that HDF5 alone unpacks; otherwise we do, see h5_chunks.h */
    size_t item_bytes;
    bool shuffle;
} gm_h5_set;

#define GM_H5_SET_CLOSED ((gm_h5_set){.id = H5I_INVALID_HID, .type = H5I_INVALID_HID})

/* Open and check; closed on failure. GM_EFORMAT, GM_ESHAPE. */
gm_status gm_h5_set_open(gm_h5_set *set, hid_t file, const gm_h5_layout *layout, gm_error *err)
    GM_MUST_USE;
/* Rows [first, first+n) of the first dimension into `out`. Whole chunks among them are
 * unpacked by all threads. */
gm_status gm_h5_set_read(const gm_h5_set *set, uint64_t first, size_t n, void *out, gm_error *err)
    GM_MUST_USE;
void gm_h5_set_close(gm_h5_set *set);

/* Open, read whole into the arena, close. *n_rows may be NULL. */
gm_status gm_h5_read_all(hid_t file, const gm_h5_layout *layout, gm_arena *arena, void **out,
                         uint64_t *n_rows, gm_error *err) GM_MUST_USE;

/* Texts of a (n) or (n,m) GM_H5_TEXT dataset as C strings in the arena; *n_texts in all, may be
 * NULL. */
gm_status gm_h5_read_texts(hid_t file, const gm_h5_layout *layout, gm_arena *arena,
                           const char *const **out, uint64_t *n_texts, gm_error *err) GM_MUST_USE;

/* SHA-256 of all rows as stored. */
gm_status gm_h5_set_digest(const gm_h5_set *set, uint8_t digest[32], gm_error *err) GM_MUST_USE;

#endif
