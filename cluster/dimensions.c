/* dimensions.c - the map's own clusters, and how far others are the same. See dimensions.h. */
#include "cluster/dimensions.h"

#include "cluster/quality.h"
#include "cluster/rerun.h"

gm_status gm_dimensions_compare(gm_dimensions *out, const float *xy, const gm_graph *graph,
                                const gm_distinct *distinct, const int32_t *label,
                                const gm_hdbscan_options *options, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t n = distinct->n, m = distinct->m;
    gm_graph of_points = {.n = m};
    gm_clustering map = {0};
    gm_agreement agreement;
    size_t alike = 0;
    float *at = gm_alloc2(m, 2, sizeof *at);
    int32_t *of_map = gm_alloc(n, sizeof *of_map);
    of_points.indptr = gm_alloc(m + 1, sizeof *of_points.indptr);
    if (!at || !of_map || !of_points.indptr)
        GM_FAIL(GM_EMEM, "no memory for the clusters of a map of %zu documents", n);
    for (size_t p = 0; p < m; p++) {
        const float *place = xy + 2 * (size_t)distinct->first[p]; /* (2) */
        at[2 * p] = place[0], at[2 * p + 1] = place[1];
    }
    gm_distinct_count_edges(of_points.indptr, distinct->first, m, graph->indptr, graph->index,
                            distinct->point);
    GM_TRY(gm_rerun_cluster(&map, at, 2, &of_points, options, err));
    out->n_clusters = map.n_clusters;
    out->n_noise = 0;
    for (size_t i = 0; i < n; i++) {
        const uint32_t p = distinct->point[i];
        of_map[i] = p == GM_NO_POINT ? -1 : map.label[p];
        out->n_noise += of_map[i] < 0;
        alike += (of_map[i] < 0) == (label[i] < 0);
    }
    GM_TRY(gm_quality_agreement(&agreement, label, of_map, n, err));
    out->ari = agreement.ari, out->ami = agreement.ami;
    out->noise_alike = (double)alike / (double)n;
out:
    gm_free(at);
    gm_free(of_map);
    gm_graph_clear(&of_points);
    gm_clustering_clear(&map);
    return status;
}
