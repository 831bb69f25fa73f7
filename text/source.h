/* source.h - the bytes of a file, decompressed as they are read (inside text/).
 *
 * .zst (zstd, frames one after another, long windows) and .gz (gzip, members one
 * after another, trailing zeros allowed) by the file's ending; anything else is read as it is. A
 * compressed file of no bytes is truncated: even an empty one has a frame, or a member.
 */
#ifndef GM_SOURCE_H
#define GM_SOURCE_H

#include "base/base.h"

typedef struct gm_source gm_source;

/* Errors: GM_EIO (missing, unreadable, a folder), GM_EMEM. */
gm_status gm_source_open(gm_source **out, const char *path, gm_error *err) GM_MUST_USE;

/* Read up to `cap` bytes; *n is 0 at the end only. Errors: GM_EIO; GM_EFORMAT
 * damaged or truncated, naming file and byte of the compressed file; GM_EINTERRUPTED by a signal
 * that came while it waited for bytes; GM_EMEM. */
gm_status gm_source_read(gm_source *source, char *bytes, size_t cap, size_t *n, gm_error *err)
    GM_MUST_USE;

/* Compressed bytes of the file that were read so far. */
uint64_t gm_source_position(const gm_source *source);
void gm_source_close(gm_source *source);

#endif
