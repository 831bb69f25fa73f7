/* analysis.h - the whole way from a trace to clusters: every step once, in order.
 *
 * Sizes: N documents, C clusters. All arrays are in canonical order (usage.h).
 */
#ifndef GM_ANALYSIS_H
#define GM_ANALYSIS_H

#include "cluster/distinct.h"
#include "cluster/hdbscan.h"
#include "cluster/map_quality.h"
#include "cluster/naming.h"
#include "cluster/stages.h"
#include "cluster/umap.h"
#include "cluster/usage.h"

typedef struct gm_fit_options {
    gm_usage_kind usage;
    gm_metric metric;
    int n_neighbors; /* the document itself counted */
    gm_umap_options umap;
    gm_hdbscan_options hdbscan; /* min_cluster_size 0: by N; min_samples 0: by that */
    gm_naming_options naming;
    bool quiet;
} gm_fit_options;

gm_fit_options gm_fit_defaults(void);

typedef struct gm_analysis {
    gm_usage usage;
    gm_distinct distinct;
    gm_graph graph;
    gm_umap_report umap;
    float *xy;                  /* (N,2) */
    gm_clustering clustering;   /* labels numbered by size */
    gm_words_of words;          /* empty when the trace has no texts */
    const char **keyword;       /* (C,10) borrowed from words */
    float *score;               /* (C,10) */
    gm_hdbscan_options hdbscan; /* as used */
    /* quality */
    size_t n_uncertified; /* points whose neighbours were found the slow way */
    gm_map_quality map;
    double neighbour_purity; /* share of neighbours of a point's own subset */
    gm_control control;      /* n 0: no texts */
    gm_stages stages;        /* how long each step took */
} gm_analysis;

/* Run all steps; progress on stderr unless options->quiet. Errors: GM_EARG for a trace that
 * cannot be clustered (fewer than 15 usage vectors that differ) or options that do not fit it, and
 * those of every step. Warnings are printed. */
gm_status gm_analysis_run(gm_analysis *out, gm_trace *trace, const gm_fit_options *options,
                          gm_error *err) GM_MUST_USE;
void gm_analysis_clear(gm_analysis *analysis);

#endif
