/* written_sample.h - the block of trace_sample.h as a file. */
#ifndef GM_WRITTEN_SAMPLE_H
#define GM_WRITTEN_SAMPLE_H

#include "tests/check.h"
#include "tests/trace_sample.h"

/* Written anew, in place of a file that is there. */
static inline void sample_write(const sample *s, const char *path)
{
    gm_error err = {0};
    CHECK_OK(gm_trace_write(path, &s->info, &s->block, SAMPLE_REASONS, 2, true, &err), err);
}

/* The same, opened; the caller closes it. */
static inline gm_trace *sample_open(const sample *s, const char *path)
{
    gm_trace *trace = NULL;
    gm_error err = {0};
    sample_write(s, path);
    CHECK_OK(gm_trace_open(&trace, path, &err), err);
    return trace;
}

#endif
