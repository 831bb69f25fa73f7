/* fuzz_safetensors.c - any bytes as a safetensors file: no crash, and what is accepted
 * can be read to its last byte.
 */
#include "base/safetensors.h"
#include "tests/fuzz/safetensors_image.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void parse(const uint8_t *bytes, size_t n)
{
    gm_safetensors file;
    gm_error err = {0};

    if (gm_safetensors_parse(&file, bytes, n, "input", &err) != GM_OK) {
        if (file.tensor != NULL || err.text[0] == '\0') abort();
        return;
    }
    size_t total = 0;
    unsigned sum = 0;
    for (size_t i = 0; i < file.n; i++) {
        const gm_tensor *t = &file.tensor[i];
        for (size_t b = 0; b < t->n_bytes; b++) sum += ((const unsigned char *)t->data)[b];
        if (gm_safetensors_find(&file, t->name) != t) abort();
        total += t->n_bytes;
    }
    if (total > n || sum > 255u * n) abort();
    (void)gm_safetensors_metadata(&file, "format");
    gm_safetensors_clear(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    uint8_t *mended = image_mended(bytes, n);
    parse(bytes, n);
    if (mended) parse(mended, n);
    gm_free(mended);
    return 0;
}
