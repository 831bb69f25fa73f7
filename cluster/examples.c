/* examples.c - members by their distance from the cluster's mean. */
#include "cluster/examples.h"

#include <string.h>

typedef struct example {
    double s;
    uint32_t place;
} example;

/* Does a stand before b: nearer, or when `far` farther; then by place? */
static bool stands_before(example a, example b, bool far)
{
    if (a.s != b.s) return far ? a.s > b.s : a.s < b.s;
    return a.place < b.place;
}

static void insert(example *best, size_t *n, example it, bool far)
{
    if (*n == GM_N_EXAMPLES_FOUND && !stands_before(it, best[*n - 1], far)) return;
    size_t at = *n < GM_N_EXAMPLES_FOUND ? (*n)++ : *n - 1;
    for (; at > 0 && stands_before(it, best[at - 1], far); at--) best[at] = best[at - 1];
    best[at] = it;
}

static void write_down(uint32_t *out, const example *best, size_t n)
{
    for (size_t i = 0; i < GM_N_EXAMPLES_FOUND; i++) out[i] = i < n ? best[i].place : UINT32_MAX;
}

/* One cluster: its members and, as the last point, its mean. rows (size+1, D) is scratch. */
static gm_status find_of(uint32_t *nearest, uint32_t *farthest, const gm_usage *usage,
                         const uint32_t *member, size_t size, gm_metric metric, const float *mean,
                         float *rows, gm_error *err)
{
    gm_points points;
    example near[GM_N_EXAMPLES_FOUND], far[GM_N_EXAMPLES_FOUND];
    size_t n_near = 0, n_far = 0, dim = usage->dim;
    for (size_t i = 0; i < size; i++)
        memcpy(rows + i * dim, usage->rate + member[i] * dim, dim * sizeof *rows);
    memcpy(rows + size * dim, mean, dim * sizeof *rows);
    gm_status status = gm_points_init(&points, rows, size + 1, dim, metric, err);
    if (status != GM_OK) return status;
    for (size_t i = 0; i < size; i++) {
        example it = {gm_points_squared(&points, i, size), member[i]};
        insert(near, &n_near, it, false);
        insert(far, &n_far, it, true);
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
    float *rows = NULL;
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
    rows = gm_alloc2(most + 1, usage->dim, sizeof *rows);
    if (rows == NULL) GM_FAIL(GM_EMEM, "no memory for examples of %zu clusters", n_clusters);
    for (size_t c = 0; c < n_clusters; c++)
        GM_TRY(find_of(nearest + c * GM_N_EXAMPLES_FOUND, farthest + c * GM_N_EXAMPLES_FOUND, usage,
                       member + first[c], first[c + 1] - first[c], metric, mean + c * usage->dim,
                       rows, err));
out:
    gm_free(first);
    gm_free(member);
    gm_free(rows);
    return status;
}
