/* put_file.h - a file for a test to read, in place of one that is there. */
#ifndef GM_PUT_FILE_H
#define GM_PUT_FILE_H

#include "tests/check.h"

static inline void put_bytes(const char *path, const void *bytes, size_t n)
{
    FILE *file = fopen(path, "wb");
    CHECK(file != NULL && fwrite(bytes, 1, n, file) == n);
    CHECK(file != NULL && fclose(file) == 0);
}

static inline void put_text(const char *path, const char *text)
{
    put_bytes(path, text, strlen(text));
}

#endif
