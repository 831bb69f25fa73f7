/* checkpoint.h - the tensors of a Hugging Face folder, mapped and checked.
 *
 * Reads model.safetensors, or the shards that model.safetensors.index.json names.
 * Every header is parsed whole, every offset checked against the file; tensors may
 * not overlap. Data stays in the file until it is read (mapped, read-only).
 * Source: the safetensors format, github.com/huggingface/safetensors, README.
 */
#ifndef GM_CHECKPOINT_H
#define GM_CHECKPOINT_H

#include "base/base.h"

typedef enum gm_dtype {
    GM_F32,
    GM_F16,
    GM_BF16,
    GM_I8,
    GM_U8,
    GM_I32,
    GM_I64,
    GM_N_DTYPES
} gm_dtype;

size_t gm_dtype_bytes(gm_dtype dtype);
const char *gm_dtype_name(gm_dtype dtype); /* "BF16" */

enum { GM_MAX_RANK = 4 };

typedef struct gm_tensor {
    const char *name;
    gm_dtype dtype;
    int rank;
    size_t dim[GM_MAX_RANK];
    const void *data; /* in the mapped file; not aligned */
    size_t n_bytes;
    const char *file; /* shard it lies in */
} gm_tensor;

typedef struct gm_checkpoint gm_checkpoint;

/* Open all tensors below `folder`; a path that ends in .safetensors opens that one
 * file. Errors: GM_EIO, GM_EFORMAT (truncated, overlapping, unknown dtype, missing
 * shard: names file and tensor), GM_EMEM. */
gm_status gm_checkpoint_open(gm_checkpoint **out, const char *folder, gm_error *err) GM_MUST_USE;
void gm_checkpoint_close(gm_checkpoint *checkpoint);

size_t gm_checkpoint_n(const gm_checkpoint *checkpoint);
const gm_tensor *gm_checkpoint_at(const gm_checkpoint *checkpoint, size_t i); /* by name, C order */
const gm_tensor *gm_checkpoint_find(const gm_checkpoint *checkpoint, const char *name);
uint64_t gm_checkpoint_bytes(const gm_checkpoint *checkpoint);

/* A string of the file's __metadata__, or NULL. */
const char *gm_checkpoint_metadata(const gm_checkpoint *checkpoint, const char *key);

/* The tensor `name` as (rows, cols), F32, F16 or BF16; rank 1 counts as one row.
 * Errors: GM_EFORMAT missing or another type; GM_ESHAPE. */
gm_status gm_checkpoint_get(const gm_checkpoint *checkpoint, const char *name, size_t rows,
                            size_t cols, const gm_tensor **out, gm_error *err) GM_MUST_USE;

/* Elements [first, first+n) of a float tensor as float32. */
void gm_tensor_to_f32(const gm_tensor *tensor, size_t first, size_t n, float *out);

/* Identity of the weights: SHA-256 over name, dtype, shape and the first and last
 * 4 KiB of every tensor in C order of names; 64 hex digits. It reads a few MB of a
 * 41 GB model, and two checkpoints of one architecture never share it by accident. */
void gm_checkpoint_digest(const gm_checkpoint *checkpoint, char hex[65]);

#endif
