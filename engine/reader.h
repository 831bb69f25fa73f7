/* reader.h - reading the bytes of a checkpoint's tensors, piece by piece, into memory of
 * its own. Reading through the mapping would count every page of the checkpoint as memory of
 * this process, beside the packed weights.
 *
 * What the page cache holds is taken from there. The rest is read past it (O_DIRECT) when
 * the checkpoint is large: it would push everything else out of the cache, itself included.
 */
#ifndef GM_READER_H
#define GM_READER_H

#include "engine/checkpoint.h"

enum { GM_READ_BYTES = 8 << 20, GM_DISK_PAGE = 4096 };

typedef struct gm_reader {
    const gm_checkpoint *checkpoint; /* borrowed */
    unsigned char *staging;          /* what is read lies in it, at a page */
    bool borrowed;                   /* it is the caller's */
    bool direct;                     /* read past the page cache what it does not hold */
} gm_reader;

/* Room for pieces of at most `most` bytes. GM_EMEM. */
gm_status gm_reader_create(gm_reader *reader, const gm_checkpoint *checkpoint, size_t most,
                           gm_error *err) GM_MUST_USE;
void gm_reader_clear(gm_reader *reader);

/* The same with memory of the caller's: from gm_reader_use on pieces are read into `memory`,
 * page-aligned and four pages larger than the largest piece. Nothing has to be cleared. */
void gm_reader_init(gm_reader *reader, const gm_checkpoint *checkpoint);
void gm_reader_use(gm_reader *reader, void *memory);

/* Bytes [first, first + n) of a tensor at *out, until the next call; of a checkpoint that lies in
 * memory, where they are. GM_EIO. */
gm_status gm_reader_get(gm_reader *reader, const gm_tensor *tensor, size_t first, size_t n,
                        const void **out, gm_error *err) GM_MUST_USE;

/* Does the page cache hold all these bytes of a mapped file? */
bool gm_is_cached(const void *mapped, size_t n);

/* n bytes at `offset` of a file, whole: the buffer, offset and n of an O_DIRECT file are
 * multiples of GM_DISK_PAGE, and only `needed` bytes must be there. `where` is its name. */
gm_status gm_read_whole(int fd, void *to, size_t n, size_t needed, uint64_t offset,
                        const char *where, gm_error *err) GM_MUST_USE;

#endif
