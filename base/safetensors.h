/* safetensors.h - one .safetensors file in memory: its header parsed and checked,
 * its tensors as addresses; and writing such a file.
 *
 * Layout: 8 bytes little-endian header length, the header (a JSON object from names
 * to {dtype, shape, data_offsets}, trailing spaces allowed, and __metadata__, an
 * object of strings), then the data, which the tensors cover without hole, overlap
 * or rest. Data is row-major, little-endian and not aligned.
 * Source: github.com/huggingface/safetensors, README, "Format".
 */
#ifndef GM_SAFETENSORS_H
#define GM_SAFETENSORS_H

#include "base/json.h"

/* code, name in the file, bytes of one element */
#define GM_DTYPE_LIST(X)  \
    X(GM_F32, "F32", 4)   \
    X(GM_F16, "F16", 2)   \
    X(GM_BF16, "BF16", 2) \
    X(GM_I8, "I8", 1)     \
    X(GM_U8, "U8", 1)     \
    X(GM_I32, "I32", 4)   \
    X(GM_I64, "I64", 8)   \
    X(GM_FP8, "F8_E4M3", 1)

#define GM_DTYPE_ENUM(code, name, bytes) code,
typedef enum gm_dtype { GM_DTYPE_LIST(GM_DTYPE_ENUM) GM_N_DTYPES } gm_dtype;

size_t gm_dtype_bytes(gm_dtype dtype);
const char *gm_dtype_name(gm_dtype dtype); /* "BF16" */
bool gm_dtype_is_float(gm_dtype dtype);

enum { GM_MAX_RANK = 5 }; /* of the weights of some vision models */

typedef struct gm_tensor {
    const char *name;
    gm_dtype dtype;
    int rank; /* 0: a single number */
    size_t dim[GM_MAX_RANK];
    const void *data; /* not aligned */
    size_t n_bytes;   /* product of dim times the element's size, checked */
    const char *file; /* for messages */
} gm_tensor;

/* Elements [first, first+n) of a float tensor as float32. */
void gm_tensor_to_f32(const gm_tensor *tensor, size_t first, size_t n, float *out);

typedef struct gm_safetensors {
    gm_tensor *tensor; /* (n) by name in C order */
    size_t n;
    gm_json *header; /* owns the names */
} gm_safetensors;

/* Parse the file bytes[0..n), called `where` in messages; both are borrowed as long
 * as *out lives. Errors: GM_EFORMAT (not this format, truncated, offsets that leave
 * the file, overlap or leave a hole, an unknown dtype or rank; names file and tensor),
 * GM_EMEM. */
gm_status gm_safetensors_parse(gm_safetensors *out, const void *bytes, size_t n, const char *where,
                               gm_error *err) GM_MUST_USE;
void gm_safetensors_clear(gm_safetensors *file);

/* NULL when there is none of that name. */
const gm_tensor *gm_safetensors_find(const gm_safetensors *file, const char *name);

/* A string of __metadata__, or NULL. */
const char *gm_safetensors_metadata(const gm_safetensors *file, const char *key);

typedef struct gm_safetensors_note {
    const char *key, *value; /* one entry of __metadata__ */
} gm_safetensors_note;

/* Write `n` tensors, in the order given, as the file `path`, by base/outfile.h. The
 * header is padded so that the data starts at a multiple of 8. The tensors' `file` is
 * ignored. GM_EARG when n_bytes is not what dim and dtype say. */
gm_status gm_safetensors_write(const char *path, bool replace, const gm_tensor *tensors, size_t n,
                               const gm_safetensors_note *notes, size_t n_notes, gm_error *err)
    GM_MUST_USE;

#endif
