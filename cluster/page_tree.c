/* page_tree.c - which branches of the condensed tree the page draws, and where they end. */
#include "cluster/page_tree.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* end (R) written. */
static void find_ends(double *end, const gm_atlas *atlas)
{
    for (size_t r = 0; r < atlas->n_nodes; r++) end[r] = atlas->node_birth[r];
    for (size_t i = 0; i < atlas->n; i++) {
        uint32_t r = atlas->node[i];
        if (r != GM_ATLAS_NONE) end[r] = fmax(end[r], atlas->lambda[i]);
    }
    for (size_t r = 1; r < atlas->n_nodes; r++) {
        uint32_t parent = atlas->node_parent[r];
        end[parent] = fmax(end[parent], atlas->node_birth[r]);
    }
}

static int larger_first(const void *p, const void *q)
{
    uint32_t a = *(const uint32_t *)p, b = *(const uint32_t *)q;
    return (a < b) - (a > b);
}

/* The size a node must have, so that at most `most` are shown. size (R) is room. */
static uint32_t smallest_shown(uint32_t *size, const gm_atlas *atlas, size_t most)
{
    if (atlas->n_nodes <= most) return 0;
    memcpy(size, atlas->node_size, atlas->n_nodes * sizeof *size);
    qsort(size, atlas->n_nodes, sizeof *size, larger_first);
    return size[most] + 1; /* ties at the limit go too: they would be too many */
}

gm_status gm_page_tree_make(gm_page_tree *out, const gm_atlas *atlas, size_t most, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t n = atlas->n_nodes;
    gm_page_tree tree = {0};
    double *end = NULL;
    uint32_t *number = NULL; /* of the branch that a node is */
    *out = (gm_page_tree){0};
    if (n == 0) return GM_OK;
    end = gm_alloc(n, sizeof *end);
    number = gm_alloc(n, sizeof *number);
    tree.branch = gm_alloc(n, sizeof *tree.branch);
    if (!end || !number || !tree.branch) GM_FAIL(GM_EMEM, "no memory for a tree of %zu nodes", n);
    find_ends(end, atlas);
    uint32_t least = smallest_shown(number, atlas, most);
    for (size_t r = 0; r < n; r++) {
        /* a parent comes first and is never smaller, so it is there */
        if (r > 0 && atlas->node_size[r] < least) {
            tree.n_left_out++;
            continue;
        }
        number[r] = (uint32_t)tree.n;
        tree.branch[tree.n++] =
            (gm_page_branch){.node = (uint32_t)r,
                             .parent = r > 0 ? number[atlas->node_parent[r]] : 0,
                             .end = end[r]};
    }
    *out = tree;
    tree.branch = NULL;
out:
    gm_free(end);
    gm_free(number);
    gm_free(tree.branch);
    return status;
}

void gm_page_tree_clear(gm_page_tree *tree)
{
    gm_free(tree->branch);
    *tree = (gm_page_tree){0};
}
