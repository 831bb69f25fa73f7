/* cli_nearest.h - the known name nearest to a mistyped one. */
#ifndef GM_CLI_NEAREST_H
#define GM_CLI_NEAREST_H

typedef struct gm_nearest {
    const char *word; /* what was typed */
    const char *name; /* best so far; NULL when nothing is near */
    int distance;     /* edits between the two */
} gm_nearest;

gm_nearest gm_nearest_to(const char *word);
void gm_nearest_offer(gm_nearest *nearest, const char *name);

#endif
