/* matrix_write.c - what was found in a matrix, as files. See matrix_fit.h.
 *
 * Arrays are in canonical order of the usable rows; files count the rows of the matrix.
 */
#include "base/outfile.h"
#include "cluster/matrix_fit.h"

#include <math.h>

typedef void (*write_fn)(FILE *to, const gm_matrix_found *found, const uint32_t *at);

/* at (N): canonical place of each row of the matrix, UINT32_MAX for one set aside. */
static gm_status find_places(uint32_t **at, const gm_rows *rows, gm_error *err)
{
    *at = gm_alloc(rows->n, sizeof **at);
    if (*at == NULL) return gm_fail(err, GM_EMEM, "no memory to write %zu rows", rows->n);
    for (size_t i = 0; i < rows->n; i++) (*at)[i] = UINT32_MAX;
    for (size_t i = 0; i < rows->n_used; i++) (*at)[rows->place[i]] = (uint32_t)i;
    return GM_OK;
}

static gm_status write_text(const char *path, const gm_matrix_found *found, bool replace,
                            write_fn write, gm_error *err)
{
    gm_status status = GM_OK;
    gm_outfile *file = NULL;
    uint32_t *at = NULL;
    GM_TRY(find_places(&at, &found->rows, err));
    GM_TRY(gm_outfile_open(&file, path, replace, err));
    write(gm_outfile_stream(file), found, at);
    status = gm_outfile_commit(file, err);
out:
    gm_free(at);
    return status;
}

/* ---- rows ---- */

static void put_rows(FILE *to, const gm_matrix_found *f, const uint32_t *at)
{
    const gm_clustering *c = &f->clustering;
    fputs("row,x,y,cluster,probability,outlier\r\n", to);
    for (size_t row = 0; row < f->rows.n; row++) {
        const uint32_t i = at[row];
        if (i == UINT32_MAX) {
            fprintf(to, "%zu,,,-1,0,1\r\n", row);
            continue;
        }
        fprintf(to, "%zu,", row);
        if (f->xy)
            fprintf(to, "%.9g,%.9g,", (double)f->xy[2 * (size_t)i],
                    (double)f->xy[2 * (size_t)i + 1]);
        else
            fputs(",,", to);
        fprintf(to, "%d,%.9g,%.9g\r\n", c->label[i], (double)c->probability[i],
                (double)c->outlier[i]);
    }
}

gm_status gm_matrix_write_rows(const char *path, const gm_matrix_found *found, bool replace,
                               gm_error *err)
{
    return write_text(path, found, replace, put_rows, err);
}

/* ---- single linkage ---- */

gm_status gm_matrix_write_linkage(const char *path, const gm_matrix_found *found, bool replace,
                                  gm_error *err)
{
    gm_status status = GM_OK;
    const gm_rows *rows = &found->rows;
    const gm_linkage *link = &found->clustering.linkage;
    const size_t n = rows->n, u = rows->n_used;
    uint32_t *at = NULL;
    double *z = gm_alloc2(n, 4, sizeof *z);
    size_t row = 0, top;
    if (z == NULL) GM_FAIL(GM_EMEM, "no memory for the linkage of %zu rows", n);
    if (n < 2) GM_FAIL(GM_EARG, "a single row has no linkage");
    GM_TRY(find_places(&at, rows, err));
    for (; row + 1 < u; row++) {
        const uint32_t half[2] = {link->left[row], link->right[row]};
        for (int h = 0; h < 2; h++)
            z[4 * row + (size_t)h] =
                half[h] < u ? (double)rows->place[half[h]] : (double)(n + half[h] - u);
        z[4 * row + 2] = link->distance[row];
        z[4 * row + 3] = (double)link->size[row];
    }
    top = u > 1 ? n + u - 2 : rows->place[0];
    for (size_t i = 0; i < n; i++) {
        if (at[i] != UINT32_MAX) continue;
        const double joined[4] = {(double)top, (double)i, INFINITY, (double)row + 2};
        for (int c = 0; c < 4; c++) z[4 * row + (size_t)c] = joined[c];
        top = n + row++;
    }
    GM_TRY(gm_matrix_write(path, z, n - 1, 4, replace, err));
out:
    gm_free(at);
    gm_free(z);
    return status;
}

/* ---- condensed tree ---- */

static void put_tree(FILE *to, const gm_matrix_found *f, const uint32_t *at)
{
    const gm_condensed *tree = &f->clustering.tree;
    const size_t n = f->rows.n;
    fputs("parent,child,lambda,child_size,cluster\r\n", to);
    for (size_t r = 1; r < tree->n_clusters; r++)
        fprintf(to, "%zu,%zu,%.17g,%u,%d\r\n", n + tree->parent[r], n + r, tree->birth[r],
                tree->size[r], f->clustering.node_label[r]);
    for (size_t row = 0; row < n; row++) {
        if (at[row] == UINT32_MAX) continue;
        const uint32_t p = f->on_rows ? at[row] : f->rows.distinct.point[at[row]];
        fprintf(to, "%zu,%zu,%.17g,1,-1\r\n", n + tree->point_cluster[p], row,
                tree->point_lambda[p]);
    }
}

gm_status gm_matrix_write_tree(const char *path, const gm_matrix_found *found, bool replace,
                               gm_error *err)
{
    return write_text(path, found, replace, put_tree, err);
}

/* ---- neighbour graph ---- */

static void put_graph(FILE *to, const gm_matrix_found *f, const uint32_t *at)
{
    const gm_graph *g = &f->graph;
    fputs("row,neighbour,weight\r\n", to);
    for (size_t row = 0; row < f->rows.n; row++) {
        if (at[row] == UINT32_MAX) continue;
        for (uint64_t e = g->indptr[at[row]]; e < g->indptr[at[row] + 1]; e++)
            fprintf(to, "%zu,%u,%.9g\r\n", row, f->rows.place[g->index[e]], (double)g->weight[e]);
    }
}

gm_status gm_matrix_write_graph(const char *path, const gm_matrix_found *found, bool replace,
                                gm_error *err)
{
    if (found->xy == NULL) return gm_fail(err, GM_EARG, "without a map there is no graph");
    return write_text(path, found, replace, put_graph, err);
}
