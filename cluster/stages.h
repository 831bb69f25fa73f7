/* stages.h - how long each step of a run took, for people who wait and for benchmarks. */
#ifndef GM_STAGES_H
#define GM_STAGES_H

#include "base/text.h"

enum { GM_MAX_STAGES = 16 };

typedef struct gm_stages {
    struct gm_stage {
        const char *name; /* borrowed */
        double seconds;
    } at[GM_MAX_STAGES];
    size_t n;
    double start_s, last_s; /* by gm_now */
} gm_stages;

gm_stages gm_stages_start(void);

/* What went by since the last call was `name`; a name that was there before gets more. Beyond
 * GM_MAX_STAGES names the last one gets it. */
void gm_stages_end(gm_stages *stages, const char *name);

/* Append "counts 1.02 s, neighbours 3.40 s, ... , 12.31 s in all". */
gm_status gm_stages_say(gm_text *out, const gm_stages *stages, gm_error *err) GM_MUST_USE;

#endif
