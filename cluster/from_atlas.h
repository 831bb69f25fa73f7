/* from_atlas.h - an atlas taken up again: its options, its tree of points, and with the trace it
 * was made of the whole analysis.
 *
 * Sizes: N documents, M points (documents that differ in usage), C clusters.
 *
 * Points are numbered here by their first document in the order of the trace.
 */
#ifndef GM_FROM_ATLAS_H
#define GM_FROM_ATLAS_H

#include "cluster/analysis.h"
#include "formats/atlas.h"

/* Was the atlas made of this trace, or was this selected from it (atlas_selection.h): the same
 * documents, layers, experts and fingerprint? Errors: GM_EARG, saying what differs. */
gm_status gm_atlas_check_trace(const gm_atlas *atlas, const gm_trace *trace, gm_error *err)
    GM_MUST_USE;
/* Open the atlas's trace, reduced to what the atlas is of: `path`, or where that is NULL
 * the one that the atlas names, which may have moved. Errors: those of gm_trace_open and the check,
 * which then say what to do. */
gm_status gm_atlas_open_trace(gm_trace **out, const gm_atlas *atlas, const char *path,
                              gm_error *err) GM_MUST_USE;

/* The options an atlas was fitted with; what was chosen automatically is as it was chosen.
 * Errors: GM_EFORMAT for a parameter that is missing or out of range; GM_EMEM. */
gm_status gm_from_atlas_options(gm_fit_options *out, const gm_atlas *atlas, gm_error *err)
    GM_MUST_USE;

/* What its usage vectors were made from; counts for an atlas that does not say. Errors as above. */
gm_status gm_from_atlas_usage(gm_usage_kind *out, const gm_atlas *atlas, gm_error *err) GM_MUST_USE;

typedef struct gm_atlas_points {
    size_t m;
    uint32_t *point;    /* (N) GM_NO_POINT for documents without a counted choice */
    uint32_t *document; /* (M) the first of each point */
    gm_linkage linkage; /* of the points */
    gm_graph graph;     /* of the points, as far as it says who has an edge: index is NULL */
} gm_atlas_points;

/* Errors: GM_EFORMAT for an atlas of schema 1, which does not say who is a copy, or a tree in which
 * copies do not join first; GM_EMEM. */
gm_status gm_from_atlas_points(gm_atlas_points *out, const gm_atlas *atlas, gm_error *err)
    GM_MUST_USE;
void gm_atlas_points_clear(gm_atlas_points *points);

/* An atlas's analysis with other clusters: usage is read from the trace, names and figures
 * are found again, the map and what was said of it stay. clustering: of the points as they are
 * numbered in `points`, labels final; moved into *out. Errors: GM_EARG for another trace than the
 * atlas was made of; those of the steps. */
gm_status gm_from_atlas_analysis(gm_analysis *out, const gm_atlas *atlas,
                                 const gm_atlas_points *points, gm_clustering *clustering,
                                 gm_trace *trace, const gm_fit_options *options, gm_error *err)
    GM_MUST_USE;

#endif
