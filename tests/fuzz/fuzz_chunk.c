/* fuzz_chunk.c - any bytes as a packed chunk of a dataset, which our threads unpack in HDF5's
 * place: refused, or unpacked to the bytes that, packed again, unpack to the same.
 *
 * The first byte chooses items of 1, 2, 4 or 8 bytes (bits 0 and 1), shuffled or not (bit 2), and
 * whether the checksum is put right (bit 3); the second how many items are asked for.
 */
#include "formats/h5_filter.h"
#include "tests/fuzz/demand.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { CHECKSUM_BYTES = 4 };

static void put_checksum(uint8_t *packed, size_t n)
{
    const uint32_t sum = gm_h5_fletcher32(packed, n - CHECKSUM_BYTES);
    for (size_t i = 0; i < CHECKSUM_BYTES; i++)
        packed[n - CHECKSUM_BYTES + i] = (uint8_t)(sum >> 8 * i);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    if (n < 2) return 0;
    const size_t item = (size_t)1 << (bytes[0] & 3), n_chunk = item * (size_t)bytes[1];
    const bool shuffle = bytes[0] & 4, is_right = bytes[0] & 8;
    const size_t n_packed = n - 2, bound = gm_h5_pack_bound(n_chunk);
    uint8_t *packed = gm_alloc(n_packed, 1), *again = gm_alloc(bound, 1);
    uint8_t *chunk = gm_alloc(n_chunk, 1), *back = gm_alloc(n_chunk, 1);
    uint8_t *scratch = shuffle ? gm_alloc(n_chunk, 1) : NULL;
    demand(packed && again && chunk && back && (scratch || !shuffle));
    if (n_packed > 0) memcpy(packed, bytes + 2, n_packed);
    if (is_right && n_packed >= CHECKSUM_BYTES) put_checksum(packed, n_packed);

    if (gm_h5_unpack(chunk, n_chunk, packed, n_packed, item, scratch)) {
        size_t n_again = gm_h5_pack(again, chunk, n_chunk, item, shuffle, scratch);
        demand(n_again > 0 && n_again <= bound);
        demand(gm_h5_unpack(back, n_chunk, again, n_again, item, scratch));
        demand(n_chunk == 0 || memcmp(back, chunk, n_chunk) == 0);
    }
    gm_free(packed);
    gm_free(again);
    gm_free(chunk);
    gm_free(back);
    gm_free(scratch);
    return 0;
}
