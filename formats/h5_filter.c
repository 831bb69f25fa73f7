/* h5_filter.c - packing and unpacking chunks as HDF5's own filters do: see h5_filter.h. */
#include "formats/h5_filter.h"

#include <zlib.h>

enum { CHECKSUM_BYTES = 4 };

size_t gm_h5_pack_bound(size_t n)
{
    return compressBound((uLong)n) + CHECKSUM_BYTES;
}

uint32_t gm_h5_fletcher32(const uint8_t *bytes, size_t n)
{
    const size_t words_before_overflow = 360;
    uint32_t a = 0, b = 0;
    for (size_t words = n / 2; words > 0;) {
        size_t part = words < words_before_overflow ? words : words_before_overflow;
        words -= part;
        for (; part > 0; part--, bytes += 2) {
            a += (uint32_t)bytes[0] << 8 | bytes[1];
            b += a;
        }
        a = (a & 0xFFFF) + (a >> 16);
        b = (b & 0xFFFF) + (b >> 16);
    }
    if (n % 2) {
        a += (uint32_t)bytes[0] << 8;
        b += a;
        a = (a & 0xFFFF) + (a >> 16);
        b = (b & 0xFFFF) + (b >> 16);
    }
    a = (a & 0xFFFF) + (a >> 16);
    b = (b & 0xFFFF) + (b >> 16);
    return b << 16 | a;
}

/* All first bytes, then all second bytes, ...: the slow bytes of numbers compress. */
static void shuffle_bytes(uint8_t *out, const uint8_t *in, size_t n, size_t item)
{
    size_t items = n / item;
    for (size_t byte = 0; byte < item; byte++)
        for (size_t i = 0; i < items; i++) *out++ = in[i * item + byte];
}

size_t gm_h5_pack(uint8_t *out, const uint8_t *chunk, size_t n, size_t item, bool shuffle,
                  uint8_t *scratch)
{
    if (shuffle) {
        shuffle_bytes(scratch, chunk, n, item);
        chunk = scratch;
    }
    uLongf packed = compressBound((uLong)n);
    if (compress2(out, &packed, chunk, (uLong)n, GM_H5_GZIP_LEVEL) != Z_OK) return 0;

    uint32_t sum = gm_h5_fletcher32(out, packed);
    for (int i = 0; i < CHECKSUM_BYTES; i++) out[packed++] = (uint8_t)(sum >> 8 * i);
    return packed;
}

static void unshuffle_bytes(uint8_t *out, const uint8_t *in, size_t n, size_t item)
{
    size_t items = n / item;
    if (item == 2) { /* halves, of which a trace mostly is */
        for (size_t i = 0; i < items; i++) {
            out[2 * i] = in[i];
            out[2 * i + 1] = in[items + i];
        }
        return;
    }
    for (size_t byte = 0; byte < item; byte++)
        for (size_t i = 0; i < items; i++) out[i * item + byte] = *in++;
}

bool gm_h5_unpack(uint8_t *out, size_t n, const uint8_t *packed, size_t n_packed, size_t item,
                  uint8_t *scratch)
{
    uint32_t sum = 0;
    if (n_packed < CHECKSUM_BYTES) return false;
    n_packed -= CHECKSUM_BYTES;
    for (int i = 0; i < CHECKSUM_BYTES; i++) sum |= (uint32_t)packed[n_packed + (size_t)i] << 8 * i;
    if (sum != gm_h5_fletcher32(packed, n_packed)) return false;
    uLongf n_out = (uLong)n;
    if (uncompress(scratch ? scratch : out, &n_out, packed, (uLong)n_packed) != Z_OK || n_out != n)
        return false;
    if (scratch) unshuffle_bytes(out, scratch, n, item);
    return true;
}
