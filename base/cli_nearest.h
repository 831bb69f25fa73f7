/* cli_nearest.h - the known name nearest to a mistyped one. */
#ifndef GM_CLI_NEAREST_H
#define GM_CLI_NEAREST_H

#include "base/cli.h"

enum { GM_ADVICE_BYTES = 64 };

typedef struct gm_nearest {
    const char *word; /* what was typed */
    const char *name; /* best so far; NULL when nothing is near */
    int distance;     /* edits between the two */
} gm_nearest;

gm_nearest gm_nearest_to(const char *word);
void gm_nearest_offer(gm_nearest *nearest, const char *name);
/* The names of a table, except those of one letter. */
void gm_nearest_offer_options(gm_nearest *nearest, const gm_opt *opts);

/* In `text`, which is returned: "; did you mean 'NAME'?", the name after `dashes`; "" when nothing
 * is near. */
const char *gm_nearest_advice(const gm_nearest *nearest, const char *dashes,
                              char text[GM_ADVICE_BYTES]);

#endif
