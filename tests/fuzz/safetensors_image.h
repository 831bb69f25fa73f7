/* safetensors_image.h - bytes as a safetensors file whose header has the length it says, so
 * that what is fuzzed is not the eight bytes of that length.
 */
#ifndef GM_FUZZ_SAFETENSORS_IMAGE_H
#define GM_FUZZ_SAFETENSORS_IMAGE_H

#include "base/base.h"

#include <string.h>

/* A copy of bytes[0..n) whose header ends after its last '}' and the spaces there; the
 * caller frees it. NULL when there is no room for a header. */
static inline uint8_t *image_mended(const uint8_t *bytes, size_t n)
{
    size_t end = n;
    while (end > 9 && bytes[end - 1] != '}') end--;
    if (end <= 9) return NULL;
    while (end < n && bytes[end] == ' ') end++;
    uint8_t *image = gm_alloc(n, 1); /* exactly: a sanitizer sees one byte too many */
    if (image == NULL) return NULL;
    memcpy(image, bytes, n);
    for (int i = 0; i < 8; i++) image[i] = (uint8_t)((end - 8) >> 8 * i);
    return image;
}

#endif
