/* kdtree.c - building the tree, and the k-th neighbour. */
#include "cluster/kdtree.h"

#include <math.h>

double gm_kdtree_squared(const gm_kdtree *tree, const double *p, const double *q)
{
    double sum = 0;
    for (int c = 0; c < tree->dim; c++) sum += (p[c] - q[c]) * (p[c] - q[c]);
    return sum;
}

double gm_kdtree_box(const gm_kdtree *tree, size_t node, const double *p)
{
    const size_t dim = (size_t)tree->dim;
    const double *lo = tree->lo + node * dim, *hi = tree->hi + node * dim; /* (d) */
    double sum = 0;
    for (size_t c = 0; c < dim; c++) {
        double out = p[c] < lo[c] ? lo[c] - p[c] : p[c] > hi[c] ? p[c] - hi[c] : 0;
        sum += out * out;
    }
    return sum;
}

static void fit_box(gm_kdtree *tree, size_t node)
{
    const size_t dim = (size_t)tree->dim;
    gm_kdnode *it = &tree->node[node];
    double *lo = tree->lo + node * dim, *hi = tree->hi + node * dim;
    for (size_t c = 0; c < dim; c++) lo[c] = INFINITY, hi[c] = -INFINITY;
    it->least = tree->order[it->first];
    for (uint32_t i = it->first; i < it->first + it->n; i++) {
        const double *p = tree->at + tree->order[i] * dim; /* (d) */
        if (tree->order[i] < it->least) it->least = tree->order[i];
        for (size_t c = 0; c < dim; c++) lo[c] = fmin(lo[c], p[c]), hi[c] = fmax(hi[c], p[c]);
    }
}

/* True when point i comes before point j along an axis; numbers decide between equals. */
static bool comes_before(const gm_kdtree *tree, size_t axis, uint32_t i, uint32_t j)
{
    double x = tree->at[i * (size_t)tree->dim + axis], y = tree->at[j * (size_t)tree->dim + axis];
    return x < y || (x == y && i < j);
}

/* Bring the `keep` first points along `axis` to the front of order[0..n). */
static void split_order(const gm_kdtree *tree, uint32_t *order, size_t n, size_t keep, size_t axis)
{
    size_t lo = 0, hi = n - 1;
    while (lo < hi) {
        uint32_t pivot = order[lo + (hi - lo) / 2];
        size_t i = lo, j = hi;
        for (;;) {
            while (comes_before(tree, axis, order[i], pivot)) i++;
            while (comes_before(tree, axis, pivot, order[j])) j--;
            if (i >= j) break;
            uint32_t swap = order[i];
            order[i++] = order[j], order[j--] = swap;
        }
        if (keep == j + 1) return;
        if (keep <= j)
            hi = j;
        else
            lo = j + 1;
    }
}

static void split_node(gm_kdtree *tree, size_t node)
{
    const size_t dim = (size_t)tree->dim;
    gm_kdnode *it = &tree->node[node];
    const double *lo = tree->lo + node * dim, *hi = tree->hi + node * dim;
    size_t axis = 0;
    for (size_t c = 1; c < dim; c++)
        if (hi[c] - lo[c] > hi[axis] - lo[axis]) axis = c;
    uint32_t half = it->n / 2;
    split_order(tree, tree->order + it->first, it->n, half, axis);
    it->left = (uint32_t)tree->n_nodes;
    tree->node[tree->n_nodes++] = (gm_kdnode){.first = it->first, .n = half};
    tree->node[tree->n_nodes++] = (gm_kdnode){.first = it->first + half, .n = it->n - half};
}

gm_status gm_kdtree_build(gm_kdtree *out, const double *at, size_t n, int dim, gm_error *err)
{
    gm_status status = GM_OK;
    gm_kdtree tree = {.n = n, .dim = dim, .at = at};
    *out = (gm_kdtree){0};
    if (n == 0 || n > UINT32_MAX / 2 || dim < 1 || dim > GM_MAX_KD_DIM)
        return gm_fail(err, GM_EARG,
                       "the tree has %zu points in %d dimensions, expected 1 to %d dimensions", n,
                       dim, GM_MAX_KD_DIM);
    for (size_t i = 0; i < n * (size_t)dim; i++)
        if (!isfinite(at[i]))
            return gm_fail(err, GM_EARG, "point %zu is not finite", i / (size_t)dim);

    /* Halving ends at leaves of more than GM_KD_LEAF/2 points, or one leaf in all. */
    const size_t most = 2 * (n / (GM_KD_LEAF / 2) + 1);
    tree.order = gm_alloc(n, sizeof *tree.order);
    tree.node = gm_alloc(most, sizeof *tree.node);
    tree.lo = gm_alloc2(most, (size_t)dim, sizeof *tree.lo);
    tree.hi = gm_alloc2(most, (size_t)dim, sizeof *tree.hi);
    if (!tree.order || !tree.node || !tree.lo || !tree.hi)
        GM_FAIL(GM_EMEM, "no memory for a tree over %zu points", n);
    for (size_t i = 0; i < n; i++) tree.order[i] = (uint32_t)i;
    tree.node[0] = (gm_kdnode){.n = (uint32_t)n};
    tree.n_nodes = 1;
    for (size_t node = 0; node < tree.n_nodes; node++) {
        fit_box(&tree, node);
        if (tree.node[node].n > GM_KD_LEAF) split_node(&tree, node);
    }
    *out = tree;
    tree = (gm_kdtree){0};
out:
    gm_kdtree_clear(&tree);
    return status;
}

void gm_kdtree_clear(gm_kdtree *tree)
{
    gm_free(tree->order);
    gm_free(tree->node);
    gm_free(tree->lo);
    gm_free(tree->hi);
    *tree = (gm_kdtree){0};
}

/* Whether a node, `s` away, can hold one of the k nearest: of equals the lower number is kept, and
 * so a thousand copies cost no more than one. */
static bool may_hold(const gm_kdnode *it, double s, size_t k, const gm_neighbour *best, size_t n)
{
    if (n < k || s < best[k - 1].s) return true;
    return s == best[k - 1].s && it->least < best[k - 1].index;
}

static void look_below(const gm_kdtree *tree, size_t node, size_t i, size_t k, gm_neighbour *best,
                       size_t *n)
{
    const gm_kdnode *it = &tree->node[node];
    const size_t dim = (size_t)tree->dim;
    const double *p = tree->at + i * dim; /* (d) */
    if (it->left == 0) {
        for (uint32_t m = it->first; m < it->first + it->n; m++)
            if (tree->order[m] != i)
                gm_neighbour_insert(
                    best, n, k,
                    (gm_neighbour){gm_kdtree_squared(tree, p, tree->at + tree->order[m] * dim),
                                   tree->order[m]});
        return;
    }
    double near = gm_kdtree_box(tree, it->left, p), far = gm_kdtree_box(tree, it->left + 1, p);
    bool swap = far < near;
    for (size_t c = 0; c < 2; c++) {
        const size_t child = it->left + ((c == 1) != swap);
        const double s = child == it->left ? near : far;
        if (may_hold(&tree->node[child], s, k, best, *n)) look_below(tree, child, i, k, best, n);
    }
}

size_t gm_kdtree_nearest(const gm_kdtree *tree, size_t i, size_t k, gm_neighbour *best)
{
    size_t n = 0;
    look_below(tree, 0, i, k, best, &n);
    return n;
}

double gm_kdtree_kth(const gm_kdtree *tree, size_t i, size_t k, gm_neighbour *work)
{
    size_t n = gm_kdtree_nearest(tree, i, k, work);
    return n > 0 ? sqrt(work[n - 1].s) : 0;
}
