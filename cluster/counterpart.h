/* counterpart.h - two groupings of documents side by side: which documents they share, and which
 * group of the other is a group's counterpart.
 *
 * A grouping is an atlas's clusters or a column of somebody else's table. Documents are the same
 * where their key is: the SHA-256 of the text, the id, or the row, their place in the atlas from 0.
 */
#ifndef GM_COUNTERPART_H
#define GM_COUNTERPART_H

#include "base/csv.h"
#include "cluster/quality.h"
#include "formats/atlas.h"

/* By the names of their columns: "sha", "id", "row". */
typedef enum gm_key { GM_KEY_SHA, GM_KEY_ID, GM_KEY_ROW } gm_key;

typedef struct gm_grouping {
    size_t n, n_groups;
    gm_key by;         /* what its keys are */
    const char **key;  /* (n) */
    int32_t *group;    /* (n) below n_groups; -1: in none */
    const char **name; /* (n_groups) of a table's groups, else "" */
    char *texts;       /* what keys of an atlas point into; NULL otherwise */
} gm_grouping;

/* Both borrow texts of what they are made from. Errors: GM_EMEM; of a table also GM_EFORMAT (a
 * column is missing) and GM_EARG (more than 65,536 groups). A table's groups are numbered as they
 * come up; in none is a document whose field is empty or the number -1. */
gm_status gm_grouping_of_atlas(gm_grouping *out, const gm_atlas *atlas, gm_key key, gm_error *err)
    GM_MUST_USE;
gm_status gm_grouping_of_table(gm_grouping *out, const gm_csv *table, const char *column,
                               gm_key key, const char *path, gm_error *err) GM_MUST_USE;
void gm_grouping_clear(gm_grouping *grouping);

/* The first key of which the table has a column; GM_EFORMAT where it has none. */
gm_status gm_key_of_table(gm_key *key, const gm_csv *table, const char *path, gm_error *err)
    GM_MUST_USE;

typedef struct gm_counterpart {
    int32_t group;  /* of the other, with the largest Jaccard index; ties to the lower; -1: no
                       document of this one is in a group of the other */
    size_t here;    /* documents of this one */
    size_t there;   /* of the counterpart */
    size_t both;    /* in both */
    double jaccard; /* both / (here + there - both) in [0,1]; NaN where here is 0 */
} gm_counterpart;

/* out (n_groups): the counterpart of each group of `label`. Both (n), -1 none. Errors: GM_EMEM.
 * Cost: n and the numbers of groups; no table of all pairs. */
gm_status gm_counterparts_find(gm_counterpart *out, const int32_t *label, size_t n_groups,
                               const int32_t *other, size_t n_other, size_t n, gm_error *err)
    GM_MUST_USE;

typedef struct gm_side_by_side {
    size_t n_both, n_alone[2]; /* documents of both, of the first or second alone */
    size_t n_none[2];          /* of both: in no group of the first, of the second */
    size_t n_grouped;          /* of both: in a group of either */
    gm_agreement all;          /* over those of both; in none is a class of its own */
    gm_agreement grouped;      /* over n_grouped; NaN where there are none */
    gm_counterpart *of_first;  /* (n_groups of the first) over those of both */
} gm_side_by_side;

/* The k-th document of a key meets the k-th of the other. Both have keys of one kind. Errors:
 * GM_EARG (none is in both: shows a key of each), GM_EMEM. */
gm_status gm_side_by_side_find(gm_side_by_side *out, const gm_grouping *first,
                               const gm_grouping *second, gm_error *err) GM_MUST_USE;
void gm_side_by_side_clear(gm_side_by_side *s);

#endif
