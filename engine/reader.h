/* reader.h - reading the bytes of a checkpoint's tensors, piece by piece, into memory of its own.
 * (Read through the mapping, every page of the checkpoint would count as this process's memory, in
 * addition to the packed weights.)
 *
 * What the page cache holds is taken from there. A large checkpoint is otherwise read past it
 * (O_DIRECT), because it would push everything else out of the cache, itself included.
 */
#ifndef GM_READER_H
#define GM_READER_H

#include "engine/checkpoint.h"

enum { GM_READ_BYTES = 8 << 20, GM_DISK_PAGE = 4096 };

typedef struct gm_reader {
    const gm_checkpoint *checkpoint; /* borrowed */
    unsigned char *staging;          /* page-aligned; pieces are read into it */
    bool borrowed;                   /* it is the caller's */
    bool direct;                     /* read past the page cache, except what it holds */
} gm_reader;

/* Room for pieces of at most `most` bytes. GM_EMEM. */
gm_status gm_reader_create(gm_reader *reader, const gm_checkpoint *checkpoint, size_t most,
                           gm_error *err) GM_MUST_USE;
void gm_reader_clear(gm_reader *reader);

/* The same with memory of the caller's: from gm_reader_use on pieces are read into `memory`,
 * page-aligned and four pages larger than the largest piece. Nothing has to be cleared. */
void gm_reader_init(gm_reader *reader, const gm_checkpoint *checkpoint);
void gm_reader_use(gm_reader *reader, void *memory);

/* *out: bytes [first, first + n) of a tensor, valid until the next call; of a checkpoint in memory,
 * the bytes themselves. GM_EIO. */
gm_status gm_reader_get(gm_reader *reader, const gm_tensor *tensor, size_t first, size_t n,
                        const void **out, gm_error *err) GM_MUST_USE;

/* Does the page cache hold all these bytes of a mapped file? */
bool gm_is_cached(const void *mapped, size_t n);

/* n bytes at `offset` of a file, whole: the buffer, offset and n of an O_DIRECT file are
 * multiples of GM_DISK_PAGE, and only `needed` bytes must be there. `where` is its name. */
gm_status gm_read_whole(int fd, void *to, size_t n, size_t needed, uint64_t offset,
                        const char *where, gm_error *err) GM_MUST_USE;

#endif
