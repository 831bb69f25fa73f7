/* mst.c - Boruvka's rounds: every component finds its lightest edge out, all at once.
 *
 * Points of a component share a bound, the weight of the lightest edge out that any of them
 * has found. It only prunes what is strictly heavier, so the edge that comes first in the
 * total order is always found, in whatever order threads lower the bound. A point's own best edge
 * prunes by the whole order, or copies of a point would all be looked at by each other.
 */
#include "cluster/mst.h"

#include "cluster/kdtree.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

int gm_edge_compare(const gm_edge *a, const gm_edge *b)
{
    if (a->weight != b->weight) return a->weight < b->weight ? -1 : 1;
    if (a->core != b->core) return a->core < b->core ? -1 : 1;
    if (a->distance != b->distance) return a->distance < b->distance ? -1 : 1;
    if (a->low != b->low) return a->low < b->low ? -1 : 1;
    return (a->high > b->high) - (a->high < b->high);
}

static int compare_edges(const void *a, const void *b)
{
    return gm_edge_compare(a, b);
}

gm_edge gm_edge_make(const double *core, uint32_t i, uint32_t j, double squared)
{
    double d = sqrt(squared);
    return (gm_edge){.weight = fmax(d, fmax(core[i], core[j])),
                     .core = fmin(core[i], core[j]),
                     .distance = d,
                     .low = i < j ? i : j,
                     .high = i < j ? j : i};
}

uint32_t gm_find_root(uint32_t *root, uint32_t i)
{
    while (root[i] != i) {
        root[i] = root[root[i]];
        i = root[i];
    }
    return i;
}

static const gm_edge NONE = {INFINITY, INFINITY, INFINITY, UINT32_MAX, UINT32_MAX};
static const uint32_t MIXED = UINT32_MAX; /* a node whose points are of several components */

typedef struct boruvka {
    gm_kdtree tree;
    const double *core;       /* (N) */
    uint32_t *component;      /* (N) root of each point's component */
    double *node_core;        /* (M) smallest core below */
    uint32_t *node_component; /* (M) or MIXED */
    _Atomic uint64_t *bound;  /* (N) by root: bits of a weight; weights are >= 0, so bits order */
    gm_edge *best;            /* (N) lightest edge out of each point's component that it found */
} boruvka;

static double bound_of(const boruvka *b, uint32_t component)
{
    uint64_t bits = atomic_load_explicit(&b->bound[component], memory_order_relaxed);
    double weight;
    memcpy(&weight, &bits, sizeof weight);
    return weight;
}

static void lower_bound(boruvka *b, uint32_t component, double weight)
{
    uint64_t bits, old = atomic_load_explicit(&b->bound[component], memory_order_relaxed);
    memcpy(&bits, &weight, sizeof bits);
    while (bits < old &&
           !atomic_compare_exchange_weak_explicit(&b->bound[component], &old, bits,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

/* Go through the points of a leaf. */
static void search_leaf(boruvka *b, const gm_kdnode *leaf, uint32_t i)
{
    const size_t dim = (size_t)b->tree.dim;
    const double *p = b->tree.at + i * dim; /* (d) */
    for (uint32_t m = leaf->first; m < leaf->first + leaf->n; m++) {
        uint32_t j = b->tree.order[m];
        if (b->component[j] == b->component[i] || b->core[j] > b->best[i].weight) continue;
        gm_edge edge =
            gm_edge_make(b->core, i, j, gm_kdtree_squared(&b->tree, p, b->tree.at + j * dim));
        if (gm_edge_compare(&edge, &b->best[i]) >= 0) continue;
        b->best[i] = edge;
        lower_bound(b, b->component[i], edge.weight);
    }
}

/* The first edge in the total order that a node could hold for point i; weight infinity: none. */
static gm_edge node_edge(const boruvka *b, size_t node, uint32_t i)
{
    if (b->node_component[node] == b->component[i]) return NONE;
    const uint32_t least = b->tree.node[node].least;
    double box = gm_kdtree_box(&b->tree, node, b->tree.at + i * (size_t)b->tree.dim);
    gm_edge edge = gm_edge_make(b->core, i, least, box);
    edge.core = fmin(b->core[i], b->node_core[node]);
    edge.weight = fmax(edge.distance, fmax(b->core[i], b->node_core[node]));
    return edge;
}

static bool is_worth(const boruvka *b, const gm_edge *edge, uint32_t i)
{
    return edge->weight < INFINITY && edge->weight <= bound_of(b, b->component[i]) &&
           gm_edge_compare(edge, &b->best[i]) < 0;
}

static void search_node(boruvka *b, size_t node, uint32_t i)
{
    const gm_kdnode *it = &b->tree.node[node];
    if (it->left == 0) {
        search_leaf(b, it, i);
        return;
    }
    const gm_edge left = node_edge(b, it->left, i), right = node_edge(b, it->left + 1, i);
    const bool swap = right.weight < left.weight;
    const gm_edge *first = swap ? &right : &left, *second = swap ? &left : &right;
    if (is_worth(b, first, i)) search_node(b, it->left + swap, i);
    if (is_worth(b, second, i)) search_node(b, it->left + !swap, i);
}

/* Children come after their parents, so backwards is bottom-up. */
static void refresh_nodes(boruvka *b)
{
    for (size_t node = b->tree.n_nodes; node-- > 0;) {
        const gm_kdnode *it = &b->tree.node[node];
        if (it->left != 0) {
            uint32_t left = b->node_component[it->left], right = b->node_component[it->left + 1];
            b->node_component[node] = left == right ? left : MIXED;
            continue;
        }
        uint32_t same = b->component[b->tree.order[it->first]];
        for (uint32_t m = it->first; m < it->first + it->n; m++)
            if (b->component[b->tree.order[m]] != same) same = MIXED;
        b->node_component[node] = same;
    }
}

static void fill_node_cores(boruvka *b)
{
    for (size_t node = b->tree.n_nodes; node-- > 0;) {
        const gm_kdnode *it = &b->tree.node[node];
        double least = INFINITY;
        if (it->left != 0)
            least = fmin(b->node_core[it->left], b->node_core[it->left + 1]);
        else
            for (uint32_t m = it->first; m < it->first + it->n; m++)
                least = fmin(least, b->core[b->tree.order[m]]);
        b->node_core[node] = least;
    }
}

/* One round: add the lightest edge of every component. Returns how many were added. */
static size_t run_round(boruvka *b, gm_edge *edge, uint32_t *root)
{
    const size_t n = b->tree.n;
    const double infinity = INFINITY;
    uint64_t open;
    size_t added = 0;
    memcpy(&open, &infinity, sizeof open);
    for (size_t i = 0; i < n; i++) {
        b->component[i] = gm_find_root(root, (uint32_t)i);
        atomic_store_explicit(&b->bound[i], open, memory_order_relaxed);
        b->best[i] = NONE;
    }
    refresh_nodes(b);
#pragma omp parallel for schedule(dynamic, 64)
    for (size_t m = 0; m < n; m++) { /* in tree order: neighbours share caches */
        uint32_t i = b->tree.order[m];
        if (b->core[i] <= bound_of(b, b->component[i])) search_node(b, 0, i);
    }
    for (size_t i = 0; i < n; i++) { /* to the component's root, which holds the best of all */
        gm_edge *best = &b->best[b->component[i]];
        if (gm_edge_compare(&b->best[i], best) < 0) *best = b->best[i];
    }
    for (size_t i = 0; i < n; i++) {
        if (b->component[i] != i || b->best[i].weight == INFINITY) continue;
        uint32_t u = gm_find_root(root, b->best[i].low), v = gm_find_root(root, b->best[i].high);
        if (u == v) continue; /* both sides chose this edge */
        root[u > v ? u : v] = u > v ? v : u;
        edge[added++] = b->best[i];
    }
    return added;
}

static gm_status find_cores(double *core, const gm_kdtree *tree, size_t k, gm_error *err)
{
    size_t failed = 0;
    if (k > tree->n - 1) k = tree->n - 1;
#pragma omp parallel reduction(+ : failed)
    {
        gm_neighbour *work = gm_alloc(k, sizeof *work);
        failed += work == NULL;
#pragma omp for schedule(dynamic, 256)
        for (size_t i = 0; i < tree->n; i++)
            if (work) core[i] = k > 0 ? gm_kdtree_kth(tree, i, k, work) : 0;
        gm_free(work);
    }
    return failed ? gm_fail(err, GM_EMEM, "no memory for core distances") : GM_OK;
}

gm_status gm_mst_find(gm_edge *edge, double *core, const double *at, size_t n, int dim, int k,
                      gm_error *err)
{
    gm_status status = GM_OK;
    boruvka b = {.core = core};
    uint32_t *root = NULL;
    if (k < 0)
        return gm_fail(err, GM_EARG, "the core distance is to neighbour %d, expected 0 or more", k);
    GM_TRY(gm_kdtree_build(&b.tree, at, n, dim, err));
    GM_TRY(find_cores(core, &b.tree, (size_t)k, err));
    root = gm_alloc(n, sizeof *root);
    b.component = gm_alloc(n, sizeof *b.component);
    b.node_core = gm_alloc(b.tree.n_nodes, sizeof *b.node_core);
    b.node_component = gm_alloc(b.tree.n_nodes, sizeof *b.node_component);
    b.bound = gm_alloc(n, sizeof *b.bound);
    b.best = gm_alloc(n, sizeof *b.best);
    if (!root || !b.component || !b.node_core || !b.node_component || !b.bound || !b.best)
        GM_FAIL(GM_EMEM, "no memory for the spanning tree of %zu points", n);
    for (size_t i = 0; i < n; i++) root[i] = (uint32_t)i;
    fill_node_cores(&b);
    for (size_t found = 0, added; found + 1 < n; found += added) {
        added = run_round(&b, edge + found, root);
        if (added == 0)
            GM_FAIL(GM_EARG, "the points are so far apart that the square of their distance is not "
                             "finite; scale them down");
    }
    qsort(edge, n - 1, sizeof *edge, compare_edges);
out:
    gm_free(root);
    gm_free(b.component);
    gm_free(b.node_core);
    gm_free(b.node_component);
    gm_free((void *)b.bound);
    gm_free(b.best);
    gm_kdtree_clear(&b.tree);
    return status;
}
