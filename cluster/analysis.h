/* analysis.h - the whole way from a trace to clusters: every step once, in order.
 *
 * Sizes: N documents, C clusters. All arrays are in canonical order (usage.h).
 */
#ifndef GM_ANALYSIS_H
#define GM_ANALYSIS_H

#include "cluster/assess.h"
#include "cluster/dimensions.h"
#include "cluster/distinct.h"
#include "cluster/hdbscan.h"
#include "cluster/map_quality.h"
#include "cluster/naming.h"
#include "cluster/neighbours.h"
#include "cluster/stages.h"
#include "cluster/umap.h"
#include "cluster/usage.h"

typedef struct gm_fit_options {
    bool by_subset;     /* documents of some subsets alone were selected */
    int64_t min_tokens; /* and those of so many tokens or more; atlas_selection.h */
    gm_usage_kind usage;
    gm_metric metric;
    int n_neighbors; /* the document itself counted */
    gm_neighbour_options neighbours;
    gm_umap_options umap;       /* of the map; umap.dim is 2 */
    int cluster_dim;            /* dimensions in which clusters are found; 2: on the map */
    gm_hdbscan_options hdbscan; /* min_cluster_size 0: by N; min_samples 0: by that */
    size_t target_clusters;     /* 0: none; else min_cluster_size is chosen for it */
    gm_naming_options naming;
    gm_quality_level quality;
    struct gm_gpu *gpu; /* finds the neighbours, borrowed (gpu.h); NULL: the CPU */
    bool quiet;
} gm_fit_options;

gm_fit_options gm_fit_defaults(void);

typedef struct gm_analysis {
    gm_usage usage;
    gm_distinct distinct;
    gm_graph graph;
    gm_umap_report umap;
    float *xy;                  /* (N,2) */
    float *space;               /* (N,D) where clusters were found; NULL: on the map */
    gm_clustering clustering;   /* labels numbered by size */
    gm_words_of words;          /* empty without texts and tokens */
    const char **keyword;       /* (C,10) borrowed from words */
    float *score;               /* (C,10) */
    const char **node_keyword;  /* (R,10) of the condensed tree's nodes, borrowed from words */
    gm_hdbscan_options hdbscan; /* as used */
    const char *recut_of;       /* digest of the atlas that was cut again, borrowed; or NULL */
    /* quality */
    gm_quality_level level;
    size_t n_uncertified; /* points whose neighbours were found the slow way */
    size_t n_checked;     /* points whose neighbours were compared with exact ones; 0: all are */
    double recall;        /* share of these that was found */
    gm_map_quality map;
    double density_kept;      /* gm_density_kept of the map */
    gm_dimensions dimensions; /* clusters against those of the map */
    double neighbour_purity;  /* share of neighbours of a point's own subset */
    double neighbour_chance;  /* what it is by chance */
    gm_assessment assessment;
    gm_stages stages; /* how long each step took */
} gm_analysis;

/* Run all steps; progress on stderr unless options->quiet. Errors: GM_EARG for a trace that
 * cannot be clustered (fewer than 15 usage vectors that differ) or options that do not fit it, and
 * those of every step. Warnings are printed. */
gm_status gm_analysis_run(gm_analysis *out, gm_trace *trace, const gm_fit_options *options,
                          gm_error *err) GM_MUST_USE;
/* The last steps, of an analysis that has all but names and figures: usage, distinct, graph, xy,
 * clustering of documents, hdbscan. On failure the caller clears it. */
gm_status gm_analysis_finish(gm_analysis *analysis, gm_trace *trace, const gm_fit_options *options,
                             gm_error *err) GM_MUST_USE;
void gm_analysis_clear(gm_analysis *analysis);

#endif
