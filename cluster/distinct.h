/* distinct.h - one point for each usage vector, and the way back to all documents.
 *
 * Sizes: N documents, M distinct usage vectors, zero rows left out.
 *
 * Documents that use the experts exactly alike are one point for neighbours, map and
 * clusters: so they get one place and one label, and a text that was copied fifteen times
 * is nobody's whole neighbourhood. Documents without a counted choice are no point at all:
 * they are beside the map, in no cluster. Sizes and means of clusters count documents.
 */
#ifndef GM_DISTINCT_H
#define GM_DISTINCT_H

#include "cluster/graph.h"
#include "cluster/hdbscan.h"
#include "cluster/usage.h"

typedef struct gm_distinct {
    size_t n, m;     /* N, M */
    uint32_t *first; /* (M) canonical place of the first document of each point, ascending */
    uint32_t *count; /* (M) documents of each point */
    uint32_t *point; /* (N) the point of each document; GM_NO_POINT for a zero row */
} gm_distinct;

gm_status gm_distinct_find(gm_distinct *out, const gm_usage *usage, gm_error *err) GM_MUST_USE;
void gm_distinct_clear(gm_distinct *distinct);

/* xy holds (M,dim) places and has room for (N,dim), dim <= GM_MAX_LAYOUT_DIM: every document gets
 * its point's; those without one are left of the middle, outside the map. */
void gm_distinct_spread_map(float *xy, size_t dim, const gm_distinct *distinct);

/* Replace the graph of points by one of documents: the first of each point has its edges,
 * the others one edge of weight 1 to the first. Errors: GM_EMEM, the graph is as it was. */
gm_status gm_distinct_spread_graph(gm_graph *graph, const gm_distinct *distinct, gm_error *err)
    GM_MUST_USE;

/* The other way: indptr (M+1), written, as far as a graph of points says who has an edge (the rest
 * of one is what gm_rerun_cluster does not ask for). Of the first document of each point, first
 * (M), those edges count that lead to documents of others; from_indptr, from_index: the graph of
 * documents; point (N). */
void gm_distinct_count_edges(uint64_t *indptr, const uint32_t *first, size_t m,
                             const uint64_t *from_indptr, const uint32_t *from_index,
                             const uint32_t *point);

/* Replace the clustering of points by one of documents. Those without a point are noise,
 * probability 0, outlier 1. M >= 1. The linkage joins the documents of a point first, at distance
 * 0, and those without a point last, at the distance of the row before. The condensed tree stays
 * that of the points. Errors: GM_EMEM, the clustering is as it was. */
gm_status gm_distinct_spread_clusters(gm_clustering *clustering, const gm_distinct *distinct,
                                      gm_error *err) GM_MUST_USE;

#endif
