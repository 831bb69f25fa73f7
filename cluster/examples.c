/* examples.c - members by their distance from the cluster's mean. */
#include "cluster/examples.h"

#include "cluster/members.h"
#include "cluster/neighbour.h"

static void write_down(uint32_t *out, const gm_neighbour *best, size_t n)
{
    for (size_t i = 0; i < GM_N_EXAMPLES; i++) out[i] = i < n ? best[i].index : UINT32_MAX;
}

/* One cluster: its members (size), turned from points into their first documents, and, as the last
 * point, its mean. row (size+1) is scratch. */
static gm_status find_of(uint32_t *nearest, uint32_t *farthest, const gm_usage *usage,
                         const gm_distinct *distinct, uint32_t *member, size_t size,
                         gm_metric metric, const float *mean, const float **row, gm_error *err)
{
    gm_points points;
    gm_neighbour near[GM_N_EXAMPLES], far[GM_N_EXAMPLES]; /* by s, by -s */
    size_t n_near = 0, n_far = 0;
    for (size_t i = 0; i < size; i++) {
        member[i] = distinct->first[member[i]];
        row[i] = usage->row[member[i]];
    }
    row[size] = mean;
    gm_status status = gm_points_of_rows(&points, row, size + 1, usage->dim, metric, err);
    if (status != GM_OK) return status;
    for (size_t i = 0; i < size; i++) {
        const double s = gm_points_squared(&points, i, size);
        gm_neighbour_insert(near, &n_near, GM_N_EXAMPLES, (gm_neighbour){s, member[i]});
        gm_neighbour_insert(far, &n_far, GM_N_EXAMPLES, (gm_neighbour){-s, member[i]});
    }
    gm_points_clear(&points);
    write_down(nearest, near, n_near);
    write_down(farthest, far, n_far);
    return GM_OK;
}

gm_status gm_examples_find(uint32_t *nearest, uint32_t *farthest, const gm_usage *usage,
                           const gm_distinct *distinct, gm_metric metric, const int32_t *label,
                           const float *mean, size_t n_clusters, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t m = distinct->m;
    size_t most = 0;
    gm_members members = {0};
    const float **row = NULL;
    int32_t *of_point = gm_alloc(m, sizeof *of_point);
    if (of_point == NULL) GM_FAIL(GM_EMEM, "no memory for examples of %zu clusters", n_clusters);
    for (size_t p = 0; p < m; p++) of_point[p] = label[distinct->first[p]];
    GM_TRY(gm_members_find(&members, of_point, m, n_clusters, err));
    const size_t *first = members.first;
    for (size_t c = 0; c < n_clusters; c++)
        if (first[c + 1] - first[c] > most) most = first[c + 1] - first[c];
    row = gm_alloc(most + 1, sizeof *row);
    if (row == NULL) GM_FAIL(GM_EMEM, "no memory for examples of %zu clusters", n_clusters);
    for (size_t c = 0; c < n_clusters; c++)
        GM_TRY(find_of(nearest + c * GM_N_EXAMPLES, farthest + c * GM_N_EXAMPLES, usage, distinct,
                       members.at + first[c], first[c + 1] - first[c], metric,
                       mean + c * usage->dim, row, err));
out:
    gm_free(of_point);
    gm_members_clear(&members);
    gm_free(row);
    return status;
}
