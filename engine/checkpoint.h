/* checkpoint.h - the tensors of a Hugging Face folder, mapped and checked.
 *
 * Reads model.safetensors, or the shards that model.safetensors.index.json names.
 * Every header is parsed whole and every offset checked (base/safetensors.h) before
 * a tensor can be asked for. Data stays in the files, which are mapped read-only and
 * must not change while the checkpoint is open.
 */
#ifndef GM_CHECKPOINT_H
#define GM_CHECKPOINT_H

#include "base/safetensors.h" /* gm_tensor, gm_dtype, gm_tensor_to_f32 */
#include "engine/slice.h"

typedef struct gm_checkpoint gm_checkpoint;
struct gm_arch; /* arch.h */

/* Open all tensors below `folder`; a path that ends in .safetensors opens that one
 * file. Errors: GM_EIO, GM_EFORMAT (truncated, overlapping, unknown dtype, a shard or
 * one of its tensors missing, a tensor in two shards: names file and tensor), GM_EMEM. */
gm_status gm_checkpoint_open(gm_checkpoint **out, const char *folder, gm_error *err) GM_MUST_USE;
void gm_checkpoint_close(gm_checkpoint *checkpoint);

/* A checkpoint of `n` tensors in memory. `tensor` comes from gm_alloc, their names and data are in
 * the anonymous mapping `map`; both are taken, even on failure. For gm_checkpoint_random only,
 * whose functions treat every checkpoint in memory as their own. GM_EMEM. */
gm_status gm_checkpoint_in_memory(gm_checkpoint **out, const char *name, gm_tensor *tensor,
                                  size_t n, void *map, size_t n_bytes, gm_error *err) GM_MUST_USE;

enum { GM_RANDOM_SCALE = 119 }; /* of MXFP4: 2^-8, so that codes up to 6 give usual values */

/* For measuring: every tensor that `arch` asks for, in bf16 with normal values of deviation 0.02
 * and ones in the norms; in MXFP4 the bytes of such values as codes, under one scale. All tensors
 * share one pool as large as the largest of them. The same architecture gives the same values. */
gm_status gm_checkpoint_random(gm_checkpoint **out, const struct gm_arch *arch, gm_error *err)
    GM_MUST_USE;

/* What such a checkpoint is made of: a table of n bf16; element i of a tensor, or its bytes 2 i and
 * 2 i + 1 where it is of bytes, is number at + (first + i) % period of it. NULL: another
 * checkpoint. */
typedef struct gm_random_place {
    size_t at, first, period;
} gm_random_place;
const uint16_t *gm_checkpoint_random_values(const gm_checkpoint *checkpoint, size_t *n);
gm_random_place gm_checkpoint_random_place(const gm_checkpoint *checkpoint,
                                           const gm_tensor *tensor);

size_t gm_checkpoint_n(const gm_checkpoint *checkpoint);
/* By name in C order; the tensors are one array, so i is also the distance from the first. */
const gm_tensor *gm_checkpoint_at(const gm_checkpoint *checkpoint, size_t i);
const gm_tensor *gm_checkpoint_find(const gm_checkpoint *checkpoint, const char *name);
uint64_t gm_checkpoint_bytes(const gm_checkpoint *checkpoint); /* of tensors, headers left out */

bool gm_checkpoint_in_memory_only(const gm_checkpoint *checkpoint); /* it has no files */
const void *gm_checkpoint_memory(const gm_checkpoint *checkpoint);  /* its mapping, or NULL */

/* The dtype that most bytes of the tensors have. */
gm_dtype gm_checkpoint_dtype(const gm_checkpoint *checkpoint);

/* The matrix at `slice`, as gm_slice_cut gives it. Errors: GM_EFORMAT missing or another type;
 * GM_ESHAPE. */
gm_status gm_checkpoint_get(const gm_checkpoint *checkpoint, const gm_slice *slice, gm_tensor *out,
                            gm_error *err) GM_MUST_USE;

/* Elements of the largest tensor that has a name which ends in `suffix` (NULL: 0). */
size_t gm_checkpoint_most(const gm_checkpoint *checkpoint, const char *suffix);

/* Open the file that holds `tensor` once more, for reading without the mapping: *fd, the
 * caller's to close, and where its data begins; `direct`: past the page cache if the file system
 * can. A tensor in memory gives -1. GM_EIO: gone, or another file by now. */
gm_status gm_checkpoint_reopen(const gm_checkpoint *checkpoint, const gm_tensor *tensor,
                               bool direct, int *fd, uint64_t *offset, gm_error *err) GM_MUST_USE;

/* Identity of the weights: SHA-256, 64 hex digits, over name, dtype, shape and the first and last
 * 4 KiB of every tensor (of every expert's part, where a tensor stacks experts), in C order of
 * names. It reads 45 MB of a 41 GB model of 5466 tensors, and does not depend on the shards. Two
 * trainings of one architecture have different digests; a change by hand in the middle of a tensor,
 * as to some rows of a router, is not seen. */
void gm_checkpoint_digest(const gm_checkpoint *checkpoint, char hex[65]);

/* The state of its files, as a key for caches: the digest with the size and modification time of
 * every shard, so that a change by hand invalidates them. */
void gm_checkpoint_stamp(const gm_checkpoint *checkpoint, const char *digest, char hex[65]);

#endif
