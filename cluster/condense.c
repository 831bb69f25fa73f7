/* condense.c - single linkage, and its tree without the clusters that are too small. */
#include "cluster/hdbscan.h"

#include <math.h>

gm_status gm_linkage_make(gm_linkage *out, const gm_edge *edge, size_t n, gm_error *err)
{
    gm_status status = GM_OK;
    gm_linkage link = {.n = n};
    const size_t rows = n > 0 ? n - 1 : 0;
    uint32_t *root = gm_alloc(n, sizeof *root), *node = gm_alloc(n, sizeof *node);
    uint32_t *size = gm_alloc(n, sizeof *size);
    *out = (gm_linkage){0};
    link.left = gm_alloc(rows, sizeof *link.left);
    link.right = gm_alloc(rows, sizeof *link.right);
    link.size = gm_alloc(rows, sizeof *link.size);
    link.distance = gm_alloc(rows, sizeof *link.distance);
    if (!root || !node || !size || !link.left || !link.right || !link.size || !link.distance)
        GM_FAIL(GM_EMEM, "no memory for the linkage of %zu points", n);

    /* A set is known by its root, the smallest point in it; node is its place in the tree. */
    for (size_t i = 0; i < n; i++) root[i] = node[i] = (uint32_t)i, size[i] = 1;
    for (size_t i = 0; i < rows; i++) {
        uint32_t a = gm_find_root(root, edge[i].low), b = gm_find_root(root, edge[i].high);
        uint32_t keep = a < b ? a : b, gone = a < b ? b : a;
        link.left[i] = node[a];
        link.right[i] = node[b];
        link.distance[i] = edge[i].weight;
        link.size[i] = size[a] + size[b];
        root[gone] = keep;
        node[keep] = (uint32_t)(n + i);
        size[keep] = link.size[i];
    }
    *out = link;
    link = (gm_linkage){0};
out:
    gm_free(root);
    gm_free(node);
    gm_free(size);
    gm_linkage_clear(&link);
    return status;
}

void gm_linkage_clear(gm_linkage *linkage)
{
    gm_free(linkage->left);
    gm_free(linkage->right);
    gm_free(linkage->size);
    gm_free(linkage->distance);
    *linkage = (gm_linkage){0};
}

/* What the way down from the root knows of a node. */
typedef struct place {
    uint32_t cluster; /* the cluster it is in */
    bool fallen;      /* it left that cluster, */
    double lambda;    /* at this lambda */
} place;

static double smallest_positive(const gm_linkage *link)
{
    for (size_t i = 0; i + 1 < link->n; i++)
        if (link->distance[i] > 0) return link->distance[i];
    return 1;
}

/* Put a node at its place: a point ends there, a row waits for its turn. */
static void set_place(gm_condensed *tree, place *row_place, uint32_t node, place at)
{
    if (node < tree->n_points) {
        tree->point_cluster[node] = at.cluster;
        tree->point_lambda[node] = at.lambda;
    } else {
        row_place[node - tree->n_points] = at;
    }
}

static uint32_t add_cluster(gm_condensed *tree, uint32_t parent, double birth, uint32_t size)
{
    uint32_t c = (uint32_t)tree->n_clusters++;
    tree->parent[c] = parent;
    tree->birth[c] = birth;
    tree->size[c] = size;
    return c;
}

/* Both halves of a row large enough: two clusters are born. One: the cluster goes on there,
 * the other half falls out. None: both fall out. */
static void condense_row(gm_condensed *tree, const gm_linkage *link, place *row_place, size_t i,
                         double floor_distance, size_t min_size)
{
    const place here = row_place[i];
    const uint32_t child[2] = {link->left[i], link->right[i]};
    double lambda = 1 / fmax(link->distance[i], floor_distance);
    bool large[2];
    for (int c = 0; c < 2; c++) large[c] = gm_linkage_size(link, child[c]) >= min_size;
    for (int c = 0; c < 2; c++) {
        place at = here;
        if (!here.fallen && large[0] && large[1]) {
            at.cluster = add_cluster(tree, here.cluster, lambda, gm_linkage_size(link, child[c]));
        } else if (!here.fallen && !large[c]) {
            at.fallen = true;
            at.lambda = lambda;
        }
        set_place(tree, row_place, child[c], at);
    }
}

gm_status gm_condense(gm_condensed *out, const gm_linkage *linkage, size_t min_cluster_size,
                      gm_error *err)
{
    gm_status status = GM_OK;
    const size_t n = linkage->n, most = 2 * n / (min_cluster_size > 0 ? min_cluster_size : 1) + 1;
    gm_condensed tree = {.n_points = n};
    place *row_place = NULL;
    *out = (gm_condensed){0};
    if (n == 0) return gm_fail(err, GM_EARG, "a tree of no points cannot be condensed");
    if (min_cluster_size < 2)
        return gm_fail(err, GM_EARG, "min-cluster-size is %zu, expected at least 2",
                       min_cluster_size);

    /* Births come in pairs of at least 2 min_size points: never above 2N/min_size + 1. */
    row_place = gm_alloc(n, sizeof *row_place);
    tree.parent = gm_alloc(most, sizeof *tree.parent);
    tree.birth = gm_alloc(most, sizeof *tree.birth);
    tree.size = gm_alloc(most, sizeof *tree.size);
    tree.point_cluster = gm_alloc(n, sizeof *tree.point_cluster);
    tree.point_lambda = gm_alloc(n, sizeof *tree.point_lambda);
    if (!row_place || !tree.parent || !tree.birth || !tree.size || !tree.point_cluster ||
        !tree.point_lambda)
        GM_FAIL(GM_EMEM, "no memory for the condensed tree of %zu points", n);

    add_cluster(&tree, 0, 0, (uint32_t)n);
    double floor_distance = smallest_positive(linkage);
    if (n >= 2) row_place[n - 2] = (place){0};
    for (size_t i = n - 1; i-- > 0;) /* a row comes after both its halves */
        condense_row(&tree, linkage, row_place, i, floor_distance, min_cluster_size);
    *out = tree;
    tree = (gm_condensed){0};
out:
    gm_free(row_place);
    gm_condensed_clear(&tree);
    return status;
}

void gm_condensed_clear(gm_condensed *tree)
{
    gm_free(tree->parent);
    gm_free(tree->birth);
    gm_free(tree->size);
    gm_free(tree->point_cluster);
    gm_free(tree->point_lambda);
    *tree = (gm_condensed){0};
}
