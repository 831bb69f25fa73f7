/* examples.c - members by their distance from the cluster's mean. */
#include "cluster/examples.h"

#include "cluster/neighbour.h"

static void write_down(uint32_t *out, const gm_neighbour *best, size_t n)
{
    for (size_t i = 0; i < GM_N_EXAMPLES_FOUND; i++) out[i] = i < n ? best[i].index : UINT32_MAX;
}

/* One cluster: its members and, as the last point, its mean. row (size+1) is scratch. */
static gm_status find_of(uint32_t *nearest, uint32_t *farthest, const gm_usage *usage,
                         const uint32_t *member, size_t size, gm_metric metric, const float *mean,
                         const float **row, gm_error *err)
{
    gm_points points;
    gm_neighbour near[GM_N_EXAMPLES_FOUND], far[GM_N_EXAMPLES_FOUND]; /* by s, by -s */
    size_t n_near = 0, n_far = 0;
    for (size_t i = 0; i < size; i++) row[i] = usage->row[member[i]];
    row[size] = mean;
    gm_status status = gm_points_of_rows(&points, row, size + 1, usage->dim, metric, err);
    if (status != GM_OK) return status;
    for (size_t i = 0; i < size; i++) {
        const double s = gm_points_squared(&points, i, size);
        gm_neighbour_insert(near, &n_near, GM_N_EXAMPLES_FOUND, (gm_neighbour){s, member[i]});
        gm_neighbour_insert(far, &n_far, GM_N_EXAMPLES_FOUND, (gm_neighbour){-s, member[i]});
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
    size_t most = 0;
    size_t *first = gm_alloc(n_clusters + 2, sizeof *first);
    uint32_t *member = gm_alloc(distinct->m, sizeof *member);
    const float **row = NULL;
    if (!first || !member) GM_FAIL(GM_EMEM, "no memory for examples of %zu clusters", n_clusters);
    size_t *place = first + 1; /* place[c] runs from where cluster c begins to its end */
    for (size_t p = 0; p < distinct->m; p++)
        if (label[distinct->first[p]] >= 0) place[label[distinct->first[p]] + 1]++;
    for (size_t c = 1; c <= n_clusters; c++) {
        most = place[c] > most ? place[c] : most;
        place[c] += place[c - 1];
    }
    for (size_t p = 0; p < distinct->m; p++) {
        uint32_t d = distinct->first[p];
        if (label[d] >= 0) member[place[label[d]]++] = d;
    }
    row = gm_alloc(most + 1, sizeof *row);
    if (row == NULL) GM_FAIL(GM_EMEM, "no memory for examples of %zu clusters", n_clusters);
    for (size_t c = 0; c < n_clusters; c++)
        GM_TRY(find_of(nearest + c * GM_N_EXAMPLES_FOUND, farthest + c * GM_N_EXAMPLES_FOUND, usage,
                       member + first[c], first[c + 1] - first[c], metric, mean + c * usage->dim,
                       row, err));
out:
    gm_free(first);
    gm_free(member);
    gm_free(row);
    return status;
}
