/* examples.c - members by their distance from the cluster's mean. */
#include "cluster/examples.h"

#include "cluster/members.h"
#include "cluster/neighbour.h"

static void write_down(uint32_t *out, const gm_neighbour *best, size_t n)
{
    for (size_t i = 0; i < GM_N_EXAMPLES; i++) out[i] = i < n ? best[i].index : UINT32_MAX;
}

/* Cluster c: its members, turned from points into their first documents, and, as the last point,
 * its mean. row (members + 1) is scratch. */
static gm_status find_of(uint32_t *nearest, uint32_t *farthest, const gm_examples_input *in,
                         const gm_members *members, size_t c, const float **row, gm_error *err)
{
    uint32_t *member = members->at + members->first[c]; /* (size) */
    const size_t size = members->first[c + 1] - members->first[c], dim = in->usage->dim;
    gm_points points;
    gm_neighbour near[GM_N_EXAMPLES], far[GM_N_EXAMPLES]; /* by s, by -s */
    size_t n_near = 0, n_far = 0;
    for (size_t i = 0; i < size; i++) {
        member[i] = in->distinct->first[member[i]];
        row[i] = in->usage->row[member[i]];
    }
    row[size] = in->mean + c * dim;
    gm_status status = gm_points_of_rows(&points, row, size + 1, dim, in->metric, err);
    if (status != GM_OK) return status;
    for (size_t i = 0; i < size; i++) {
        const double s = gm_points_squared(&points, i, size);
        gm_neighbour_insert(near, &n_near, GM_N_EXAMPLES, (gm_neighbour){s, member[i]});
        gm_neighbour_insert(far, &n_far, GM_N_EXAMPLES, (gm_neighbour){-s, member[i]});
    }
    gm_points_clear(&points);
    write_down(nearest + c * GM_N_EXAMPLES, near, n_near);
    write_down(farthest + c * GM_N_EXAMPLES, far, n_far);
    return GM_OK;
}

gm_status gm_examples_find(uint32_t *nearest, uint32_t *farthest, const gm_examples_input *in,
                           gm_error *err)
{
    gm_status status = GM_OK;
    const size_t m = in->distinct->m, n_clusters = in->n_clusters;
    size_t most = 0;
    gm_members members = {0};
    const float **row = NULL;
    int32_t *of_point = gm_alloc(m, sizeof *of_point);
    if (of_point == NULL) GM_FAIL(GM_EMEM, "no memory for examples of %zu clusters", n_clusters);
    for (size_t p = 0; p < m; p++) of_point[p] = in->label[in->distinct->first[p]];
    GM_TRY(gm_members_find(&members, of_point, m, n_clusters, err));
    for (size_t c = 0; c < n_clusters; c++) {
        const size_t size = members.first[c + 1] - members.first[c];
        most = size > most ? size : most;
    }
    row = gm_alloc(most + 1, sizeof *row);
    if (row == NULL) GM_FAIL(GM_EMEM, "no memory for examples of %zu clusters", n_clusters);
    for (size_t c = 0; c < n_clusters; c++)
        GM_TRY(find_of(nearest, farthest, in, &members, c, row, err));
out:
    gm_free(of_point);
    gm_members_clear(&members);
    gm_free(row);
    return status;
}
