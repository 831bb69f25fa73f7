/* distinct.c - points to documents. See distinct.h. */
#include "cluster/distinct.h"

#include "cluster/umap.h"

#include <assert.h>

gm_status gm_distinct_find(gm_distinct *out, const gm_usage *usage, gm_error *err)
{
    gm_status status = GM_OK;
    gm_distinct d = {.n = usage->n, .m = usage->n_distinct};
    *out = (gm_distinct){0};
    d.first = gm_alloc(d.m, sizeof *d.first);
    d.count = gm_alloc(d.m, sizeof *d.count);
    d.point = gm_alloc(d.n, sizeof *d.point);
    if (!d.first || !d.count || !d.point)
        GM_FAIL(GM_EMEM, "no memory to tell %zu documents apart", d.n);
    for (size_t i = d.n; i-- > 0;) {
        uint32_t p = d.point[i] = usage->point[i];
        if (p == GM_NO_POINT) continue;
        d.first[p] = (uint32_t)i;
        d.count[p]++;
    }
    *out = d;
    d = (gm_distinct){0};
out:
    gm_distinct_clear(&d);
    return status;
}

void gm_distinct_clear(gm_distinct *distinct)
{
    gm_free(distinct->first);
    gm_free(distinct->count);
    gm_free(distinct->point);
    *distinct = (gm_distinct){0};
}

/* ---- map ---- */

void gm_distinct_spread_map(float *xy, size_t dim, const gm_distinct *d)
{
    double centre[GM_MAX_LAYOUT_DIM] = {0};
    const double rim = gm_umap_rim(centre, xy, d->m, dim);
    centre[0] -= rim;
    for (size_t i = d->n; i-- > 0;) { /* backwards: a point's number is at most its document's */
        size_t p = d->point[i];
        for (size_t c = 0; c < dim; c++)
            xy[dim * i + c] = p == GM_NO_POINT ? (float)centre[c] : xy[dim * p + c];
    }
}

/* ---- graph ---- */

/* Append an edge to the row that ends at to->indptr[row + 1]. */
static void add_edge(gm_graph *to, size_t row, uint32_t index, float weight)
{
    uint64_t at = to->indptr[row + 1]++;
    to->index[at] = index;
    to->weight[at] = weight;
}

/* The row of a point's first document: columns ascend, its other documents in between. */
static void spread_row(gm_graph *to, const gm_graph *from, size_t point, const gm_distinct *d)
{
    const uint32_t row = d->first[point];
    uint64_t e = from->indptr[point], end = from->indptr[point + 1];
    for (; e < end && from->index[e] < point; e++)
        add_edge(to, row, d->first[from->index[e]], from->weight[e]);
    for (uint32_t c = 1; c < d->count[point]; c++) add_edge(to, row, row + c, 1);
    for (; e < end; e++) add_edge(to, row, d->first[from->index[e]], from->weight[e]);
}

gm_status gm_distinct_spread_graph(gm_graph *graph, const gm_distinct *d, gm_error *err)
{
    gm_status status = GM_OK;
    gm_graph g = {.n = d->n};
    uint64_t n_edges = graph->indptr[d->m];
    for (size_t p = 0; p < d->m; p++) n_edges += 2 * (uint64_t)(d->count[p] - 1);
    g.indptr = gm_alloc(d->n + 1, sizeof *g.indptr);
    g.index = gm_alloc(n_edges, sizeof *g.index);
    g.weight = gm_alloc(n_edges, sizeof *g.weight);
    if (!g.indptr || !g.index || !g.weight)
        GM_FAIL(GM_EMEM, "no memory for the graph of %zu documents", d->n);
    for (size_t i = 0; i < d->n; i++) {
        size_t p = d->point[i];
        g.indptr[i + 1] = g.indptr[i];
        if (p == GM_NO_POINT) continue;
        if (d->first[p] == i)
            spread_row(&g, graph, p, d);
        else
            add_edge(&g, i, d->first[p], 1);
    }
    gm_graph_clear(graph);
    *graph = g;
    g = (gm_graph){0};
out:
    gm_graph_clear(&g);
    return status;
}

void gm_distinct_count_edges(uint64_t *indptr, const uint32_t *first, size_t m,
                             const uint64_t *from_indptr, const uint32_t *from_index,
                             const uint32_t *point)
{
    indptr[0] = 0;
    for (size_t p = 0; p < m; p++) {
        indptr[p + 1] = indptr[p];
        for (uint64_t e = from_indptr[first[p]]; e < from_indptr[first[p] + 1]; e++)
            indptr[p + 1] += point[from_index[e]] != p;
    }
}

/* ---- clusters ---- */

/* Join two nodes by the next row; returns the new node. */
static uint32_t join(gm_linkage *link, size_t *row, uint32_t left, uint32_t right, double distance)
{
    size_t r = (*row)++;
    link->left[r] = left;
    link->right[r] = right;
    link->distance[r] = distance;
    link->size[r] = gm_linkage_size(link, left) + gm_linkage_size(link, right);
    return (uint32_t)(link->n + r);
}

/* top (M) is scratch: the node that holds all documents of a point. */
static void spread_linkage(gm_linkage *to, const gm_linkage *from, const gm_distinct *d,
                           uint32_t *top)
{
    size_t row = 0;
    assert(d->m >= 1);
    for (size_t p = 0; p < d->m; p++) {
        top[p] = d->first[p];
        for (uint32_t c = 1; c < d->count[p]; c++)
            top[p] = join(to, &row, top[p], d->first[p] + c, 0);
    }
    const size_t base = d->n + row;
    uint32_t root = top[0];
    double last = 0;
    for (size_t i = 0; i + 1 < d->m; i++) {
        uint32_t half[2] = {from->left[i], from->right[i]};
        for (int h = 0; h < 2; h++)
            half[h] = half[h] < d->m ? top[half[h]] : (uint32_t)(base + half[h] - d->m);
        last = from->distance[i];
        root = join(to, &row, half[0], half[1], last);
    }
    for (size_t i = 0; i < d->n; i++)
        if (d->point[i] == GM_NO_POINT) root = join(to, &row, root, (uint32_t)i, last);
}

static gm_status alloc_clusters(gm_clustering *c, size_t n, gm_error *err)
{
    gm_linkage *link = &c->linkage;
    link->n = c->n = n;
    c->label = gm_alloc(n, sizeof *c->label);
    c->probability = gm_alloc(n, sizeof *c->probability);
    c->outlier = gm_alloc(n, sizeof *c->outlier);
    link->left = gm_alloc(n, sizeof *link->left);
    link->right = gm_alloc(n, sizeof *link->right);
    link->size = gm_alloc(n, sizeof *link->size);
    link->distance = gm_alloc(n, sizeof *link->distance);
    bool fine = c->label && c->probability && c->outlier && link->left && link->right &&
                link->size && link->distance;
    return fine ? GM_OK : gm_fail(err, GM_EMEM, "no memory for the labels of %zu documents", n);
}

gm_status gm_distinct_spread_clusters(gm_clustering *clustering, const gm_distinct *d,
                                      gm_error *err)
{
    gm_status status = GM_OK;
    gm_clustering c = {.n_clusters = clustering->n_clusters};
    uint32_t *top = gm_alloc(d->m, sizeof *top);
    if (top == NULL) GM_FAIL(GM_EMEM, "no memory for the labels of %zu documents", d->n);
    GM_TRY(alloc_clusters(&c, d->n, err));
    for (size_t i = 0; i < d->n; i++) {
        size_t p = d->point[i];
        bool none = p == GM_NO_POINT;
        c.label[i] = none ? -1 : clustering->label[p];
        c.probability[i] = none ? 0 : clustering->probability[p];
        c.outlier[i] = none ? 1 : clustering->outlier[p];
    }
    spread_linkage(&c.linkage, &clustering->linkage, d, top);
    c.persistence = clustering->persistence;
    clustering->persistence = NULL;
    c.node_label = clustering->node_label;
    clustering->node_label = NULL;
    c.tree = clustering->tree;
    clustering->tree = (gm_condensed){0};
    gm_clustering_clear(clustering);
    *clustering = c;
    c = (gm_clustering){0};
out:
    gm_free(top);
    gm_clustering_clear(&c);
    return status;
}
