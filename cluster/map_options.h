/* map_options.h - the options of a map and of its clusters, which gm-cluster fit and matrix share:
 * rows of their option tables, what they hold meanwhile, and where that goes.
 */
#ifndef GM_MAP_OPTIONS_H
#define GM_MAP_OPTIONS_H

#include "base/cli.h"
#include "cluster/hdbscan.h"
#include "cluster/neighbours.h"
#include "cluster/umap.h"

typedef struct gm_map_choices {
    int metric, neighbours, layout, selection;
    int64_t n_neighbors, effort, epochs, negative, seed;
    int64_t min_cluster_size, min_samples, max_cluster_size;
} gm_map_choices;

/* Where the choices belong; all borrowed. What is a flag or a double is there from the start. */
typedef struct gm_map_targets {
    gm_metric *metric;
    int *n_neighbors;
    gm_neighbour_options *neighbours;
    gm_umap_options *umap;
    gm_hdbscan_options *hdbscan;
} gm_map_targets;

/* What they hold, before parsing. */
gm_map_choices gm_map_choices_of(const gm_map_targets *from);
/* To be called after parsing. Errors: GM_EARG for choices that do not go together. */
gm_status gm_map_choices_check(const gm_map_choices *c, const gm_umap_options *umap, gm_error *err)
    GM_MUST_USE;
void gm_map_choices_apply(const gm_map_choices *c, const gm_map_targets *to);

/* A table of options put together from parts. */
enum { GM_MAX_OPTIONS = 64 };

typedef struct gm_option_table {
    gm_opt row[GM_MAX_OPTIONS + 1]; /* GM_OPT_END_ after the last */
    size_t n;
} gm_option_table;

/* Rows up to GM_OPT_END_, which are copied. */
void gm_option_table_add(gm_option_table *table, const gm_opt *rows);
/* Those of a map, and those of clusters. */
void gm_option_table_add_map(gm_option_table *table, gm_map_choices *c, gm_umap_options *umap);
void gm_option_table_add_clusters(gm_option_table *table, gm_map_choices *c,
                                  gm_hdbscan_options *hdbscan);

#endif
