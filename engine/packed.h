/* packed.h - packed weights in a file: a start that has nothing to pack, or that maps them.
 *
 * A header of whole pages, then the image of weights.h: its sections, in order.
 *   0   8 bytes   "gmpacked"
 *   8   u32       version of this format (PACKED_VERSION)
 *   12  u32       S sections
 *   16  u64       bytes of the image
 *   24  32 bytes  key: SHA-256 of what the image is made from and how it is laid out
 *   56  u64       sum of the header, these 8 bytes being zero
 *   64  u64 * S   sum of each section
 * Numbers are little-endian, the image is in the machine's order. A file is written under
 * another name and renamed, so it is whole or not there; one of another key, version or length
 * is no cache of this model. Sums are checked when sections are read; a mapped file's are not.
 */
#ifndef GM_PACKED_H
#define GM_PACKED_H

#include "base/text.h"
#include "engine/weights.h"

typedef struct gm_packed gm_packed;

enum { GM_PACKED_KEY = 32 };

/* Identifies what `weights`, once described, would hold of the checkpoint with this stamp. It
 * includes what only `arch` knows: which rows a scale is for, and which belong to a head of Gated
 * DeltaNet. */
void gm_packed_key(const gm_weights *weights, const gm_arch *arch, const char *stamp,
                   uint8_t key[GM_PACKED_KEY]);

/* Open a cache of this key and these sections. GM_EIO: not there or not to be read;
 * GM_EFORMAT: of another model or version, cut short, damaged. */
gm_status gm_packed_open(gm_packed **out, const char *path, const uint8_t key[GM_PACKED_KEY],
                         const gm_section *section, size_t n, gm_error *err) GM_MUST_USE;
void gm_packed_close(gm_packed *packed);

/* The image, mapped for reading only; it ends with the close. */
void *gm_packed_image(const gm_packed *packed);

/* Are the first n bytes of the file (SIZE_MAX: all) in huge pages of the page cache? Then using
 * them in place is as fast as a copy. Reads them into memory; true for a file of a few huge
 * pages. */
bool gm_packed_is_huge(gm_packed *packed, size_t n);

/* Read section `i` to page-aligned memory; GM_EFORMAT when its sum is another. The chunks of a
 * section may be read by several threads: chunk c, of GM_READ_BYTES, adds to *sum, and whoever
 * has all of them compares. `section` NULL: the mapped ones are summed. */
gm_status gm_packed_read(const gm_packed *packed, size_t i, void *to, gm_error *err) GM_MUST_USE;
size_t gm_packed_n_chunks(const gm_packed *packed, size_t i);
gm_status gm_packed_read_chunk(const gm_packed *packed, size_t i, size_t c, void *section,
                               uint64_t *sum, gm_error *err) GM_MUST_USE;
gm_status gm_packed_check(const gm_packed *packed, size_t i, uint64_t sum, gm_error *err)
    GM_MUST_USE;

/* Writing one, section by section in order. `put` and `commit` as in base/outfile.h: what
 * cannot be written shows at the commit. GM_EBUSY: another process is writing it. */
typedef struct gm_packed_out gm_packed_out;
gm_status gm_packed_begin(gm_packed_out **out, const char *path, const uint8_t key[GM_PACKED_KEY],
                          const gm_section *section, size_t n, gm_error *err) GM_MUST_USE;
void gm_packed_put(gm_packed_out *out, const void *section);
gm_status gm_packed_commit(gm_packed_out *out, gm_error *err) GM_MUST_USE; /* frees */
void gm_packed_abort(gm_packed_out *out);

#endif
