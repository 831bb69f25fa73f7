/* fuzz_language.c - any bytes have a language or none, and the same one twice. */
#include "text/language.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    const char *code = gm_language_of((const char *)bytes, n);
    if (strlen(code) > 15 || strcmp(code, gm_language_of((const char *)bytes, n)) != 0) abort();
    return 0;
}
