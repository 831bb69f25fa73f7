/* h5_filter.h - private to formats: HDF5's shuffle, deflate and fletcher32 filters,
 * so that chunks are packed and unpacked by our own threads and handed over whole.
 *
 * Source: the HDF5 file format specification, "Filter pipeline"; the checksum is
 * computed over big-endian 16-bit words, as HDF5 computes it on every machine.
 */
#ifndef GM_H5_FILTER_H
#define GM_H5_FILTER_H

#include "base/base.h"

enum { GM_H5_GZIP_LEVEL = 1 }; /* level 4 gains 1-2 % at half the speed */

/* Most bytes that a chunk of n bytes takes when packed. */
size_t gm_h5_pack_bound(size_t n);

/* Pack chunk[0..n): shuffle items of `item` bytes when `shuffle` (scratch of n
 * bytes, written), deflate, append the checksum. Returns the number of bytes
 * written to out (room: gm_h5_pack_bound), 0 when zlib has no memory. Thread-safe. */
size_t gm_h5_pack(uint8_t *out, const uint8_t *chunk, size_t n, size_t item, bool shuffle,
                  uint8_t *scratch);

/* Undo it: packed[0..n_packed), which may be anybody's, to the n bytes of out. `scratch`, n
 * bytes, is written where items were shuffled; NULL: they were not. False when the checksum
 * does not hold or it does not give n bytes. Thread-safe. */
bool gm_h5_unpack(uint8_t *out, size_t n, const uint8_t *packed, size_t n_packed, size_t item,
                  uint8_t *scratch) GM_MUST_USE;

uint32_t gm_h5_fletcher32(const uint8_t *bytes, size_t n);

#endif
