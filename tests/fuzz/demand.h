/* demand.h - what fuzzers demand of a parser, and the file that they give it. */
#ifndef GM_DEMAND_H
#define GM_DEMAND_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/* A broken promise is a finding. */
static inline void demand(bool promise)
{
    if (!promise) abort();
}

/* Whether a place in a text of UTF-8 is between the bytes of a character. */
static inline bool is_inside_character(const char *text, size_t n, size_t at)
{
    return at < n && ((unsigned char)text[at] & 0xC0) == 0x80;
}

static inline void write_input(const char *path, const void *bytes, size_t n)
{
    FILE *file = fopen(path, "wb");
    demand(file != NULL && (n == 0 || fwrite(bytes, 1, n, file) == n) && fclose(file) == 0);
}

#endif
