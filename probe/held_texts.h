/* held_texts.h - private to probe: the documents of a corpus, held in memory as tokens, to be run
 * through the model more than once, or not in their order; and their groups.
 *
 * Sizes: N documents, T rows, G groups.
 */
#ifndef GM_HELD_TEXTS_H
#define GM_HELD_TEXTS_H

#include "base/progress.h"
#include "probe/blocks.h"
#include "probe/runner.h"

typedef struct gm_held_texts {
    size_t n;                 /* N */
    gm_ids token;             /* (T) */
    uint8_t *phase;           /* (T) */
    size_t *begin;            /* (N+1) first row of each */
    uint8_t *sha;             /* (N,32) */
    uint16_t *group;          /* (N) below n_groups, or GM_HELD_NO_GROUP */
    const char **group_name;  /* (G) in the arena */
    const char **group_words; /* (G) of a cluster its keywords, "salt, soup, ..."; NULL: the groups
                                 are no clusters */
    size_t n_groups;          /* G */
    size_t cap_rows, cap;     /* room for rows, for documents */
    gm_arena arena;
} gm_held_texts;

enum { GM_HELD_NO_GROUP = UINT16_MAX };

/* Read all of a corpus; groups are its subsets, by name; a document that names none is in no
 * group. Errors of gm_blocks_next, GM_EMEM. */
gm_status gm_held_texts_read(gm_held_texts *texts, gm_blocks *blocks, gm_error *err) GM_MUST_USE;
/* Let groups be the clusters of the atlas in `path`, "0", "1", ..., and "noise"; *n_unknown
 * documents are not in it and in no group. Errors of gm_atlas_open, GM_EARG (none is), GM_EMEM. */
gm_status gm_held_texts_cluster(gm_held_texts *texts, const char *path, size_t *n_unknown,
                                gm_error *err) GM_MUST_USE;
/* Append document i to *block, which is created if NULL. GM_EMEM. */
gm_status gm_held_texts_put(const gm_held_texts *texts, size_t i, gm_probe_block **block,
                            gm_error *err) GM_MUST_USE;
void gm_held_texts_clear(gm_held_texts *texts);

/* Run a block that they were put into, and move the progress on by its rows; NULL: none is shown.
 * Errors of gm_runner_run. */
gm_status gm_held_texts_run(gm_runner *runner, gm_probe_block *block, gm_progress *progress,
                            gm_error *err) GM_MUST_USE;

#endif
