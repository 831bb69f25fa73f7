/* page_tree.h - the condensed tree of an atlas, as the page draws it (inside cluster/).
 *
 * Sizes: R nodes of the atlas's tree.
 */
#ifndef GM_PAGE_TREE_H
#define GM_PAGE_TREE_H

#include "formats/atlas.h"

typedef struct gm_page_branch {
    uint32_t node;   /* of the atlas */
    uint32_t parent; /* an earlier branch; the root's is 0 */
    double end;      /* lambda at which its last document leaves it, or at which it parts in two */
} gm_page_branch;

typedef struct gm_page_tree {
    size_t n, n_left_out; /* branches shown, and small ones that are not */
    gm_page_branch *branch;
} gm_page_tree;

/* All nodes of the atlas's condensed tree, or of more than `most` the largest. Empty when the
 * atlas does not hold the tree. Errors: GM_EMEM. */
gm_status gm_page_tree_make(gm_page_tree *out, const gm_atlas *atlas, size_t most, gm_error *err)
    GM_MUST_USE;
void gm_page_tree_clear(gm_page_tree *tree);

#endif
