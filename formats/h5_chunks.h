/* h5_chunks.h - private to formats: whole chunks of a dataset, unpacked by all threads at
 * once. HDF5 itself unpacks one after another, which takes most of the time of reading.
 */
#ifndef GM_H5_CHUNKS_H
#define GM_H5_CHUNKS_H

#include "formats/h5.h"

/* Fill set->chunk_rows and the two members after it from the dataset's creation list:
 * 0 unless chunks hold whole rows and are packed as our writer packs, ([shuffle,] deflate,
 * fletcher32). */
void gm_h5_chunks_find(gm_h5_set *set, hid_t creation_list);

/* Of rows [first, first+n) read those of whole chunks from `first` on, which begins one, to
 * `out`; *n_read of them. Where a chunk is not as it should be, reading ends before it, and
 * what is wrong is for HDF5 to say. GM_EMEM. */
gm_status gm_h5_chunks_read(const gm_h5_set *set, uint64_t first, size_t n, uint8_t *out,
                            size_t *n_read, gm_error *err) GM_MUST_USE;

#endif
