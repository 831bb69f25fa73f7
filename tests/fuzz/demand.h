/* demand.h - what fuzzers say of a parser, and the file that they give it. */
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

static inline void write_input(const char *path, const void *bytes, size_t n)
{
    FILE *file = fopen(path, "wb");
    demand(file != NULL && (n == 0 || fwrite(bytes, 1, n, file) == n) && fclose(file) == 0);
}

#endif
