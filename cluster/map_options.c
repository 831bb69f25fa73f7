/* map_options.c - see map_options.h. */
#include "cluster/map_options.h"

#include <assert.h>

gm_map_choices gm_map_choices_of(const gm_map_targets *from)
{
    return (gm_map_choices){.metric = (int)*from->metric,
                            .neighbours = (int)from->neighbours->method,
                            .layout = (int)from->umap->layout,
                            .selection = (int)from->hdbscan->selection,
                            .n_neighbors = *from->n_neighbors,
                            .effort = gm_neighbours_effort(from->neighbours),
                            .epochs = from->umap->n_epochs,
                            .negative = from->umap->negative_rate,
                            .seed = (int64_t)from->umap->seed,
                            .min_cluster_size = (int64_t)from->hdbscan->min_cluster_size,
                            .min_samples = from->hdbscan->min_samples,
                            .max_cluster_size = (int64_t)from->hdbscan->max_cluster_size};
}

gm_status gm_map_choices_check(const gm_map_choices *c, const gm_umap_options *umap, gm_error *err)
{
    if (c->min_cluster_size == 1)
        return gm_fail(err, GM_EARG, "--min-cluster-size is 1, expected 0 or at least 2");
    if (umap->min_dist > umap->spread)
        return gm_fail(err, GM_EARG, "--min-dist is %g, expected at most --spread (%g)",
                       umap->min_dist, umap->spread);
    return GM_OK;
}

void gm_map_choices_apply(const gm_map_choices *c, const gm_map_targets *to)
{
    *to->metric = (gm_metric)c->metric;
    *to->n_neighbors = (int)c->n_neighbors;
    *to->neighbours = (gm_neighbour_options){(gm_neighbour_method)c->neighbours, (int)c->effort};
    to->umap->layout = (gm_layout)c->layout;
    to->umap->n_epochs = (int)c->epochs;
    to->umap->negative_rate = (int)c->negative;
    to->umap->seed = (uint64_t)c->seed;
    to->hdbscan->selection = (gm_selection)c->selection;
    to->hdbscan->min_cluster_size = (size_t)c->min_cluster_size;
    to->hdbscan->min_samples = (int)c->min_samples;
    to->hdbscan->max_cluster_size = (size_t)c->max_cluster_size;
}

/* ---- rows ---- */

void gm_option_table_add(gm_option_table *table, const gm_opt *rows)
{
    for (; rows->kind != GM_OPT_END_; rows++) {
        assert(table->n < GM_MAX_OPTIONS);
        table->row[table->n++] = *rows;
    }
    table->row[table->n] = *rows;
}

void gm_option_table_add_map(gm_option_table *table, gm_map_choices *c, gm_umap_options *umap)
{
    const gm_opt rows[] = {
        {GM_OPT_CHOICE, "metric", &c->metric, 0, 0, GM_METRIC_CHOICES, "distance"},
        {GM_OPT_I64, "n-neighbors", &c->n_neighbors, 2, 64, "N",
         "neighbours of each point, itself included"},
        {GM_OPT_CHOICE, "neighbours", &c->neighbours, 0, 0, GM_NEIGHBOUR_CHOICES,
         "auto: exact up to 140,000 + 160 million / D points, where D is layers x experts (or "
         "columns)"},
        {GM_OPT_I64, "effort", &c->effort, 8, 100000, "N",
         "candidates looked at by an approximate search"},
        {GM_OPT_F64, "min-dist", &umap->min_dist, 0, 10, "D",
         "least distance on the map, at most --spread; umap-learn's 0.1 joins clusters"},
        {GM_OPT_F64, "spread", &umap->spread, 1e-3, 100, "S", "scale of the map"},
        {GM_OPT_F64, "set-op-mix", &umap->mix, 0, 1, "M",
         "join neighbour relations by union (1), intersection (0) or between"},
        {GM_OPT_I64, "epochs", &c->epochs, 0, 100000, "N", "epochs of the layout; 0: automatic"},
        {GM_OPT_F64, "learning-rate", &umap->learning_rate, 1e-6, 100, "R",
         "learning rate of the layout"},
        {GM_OPT_F64, "repulsion", &umap->repulsion, 0, 100, "R",
         "weight of the repulsion by random points"},
        {GM_OPT_I64, "negative-samples", &c->negative, 1, 100, "N", "random points per neighbour"},
        {GM_OPT_CHOICE, "layout", &c->layout, 0, 0, GM_LAYOUT_CHOICES,
         "parallel, or serial as in umap-learn"},
        {GM_OPT_FLAG, "densmap", &umap->densmap, 0, 0, NULL,
         "use densMAP: keep dense regions dense on the map"},
        {GM_OPT_F64, "dens-lambda", &umap->density.lambda, 0, 1000, "W",
         "densMAP: weight of the density term"},
        {GM_OPT_F64, "dens-frac", &umap->density.fraction, 0, 1, "F",
         "densMAP: share of the epochs, at the end, that use it"},
        {GM_OPT_F64, "dens-var-shift", &umap->density.var_shift, 0, 100, "V",
         "densMAP: added to the variance of local radii"},
        {GM_OPT_I64, "seed", &c->seed, 0, 1e15, "N", "random seed"},
        {.kind = GM_OPT_END_},
    };
    gm_option_table_add(table, rows);
}

void gm_option_table_add_clusters(gm_option_table *table, gm_map_choices *c,
                                  gm_hdbscan_options *hdbscan)
{
    const gm_opt rows[] = {
        {GM_OPT_I64, "min-cluster-size", &c->min_cluster_size, 0, 1 << 30, "N",
         "smallest cluster, 2 or more; 0: automatic"},
        {GM_OPT_I64, "min-samples", &c->min_samples, 0, 100000, "N",
         "HDBSCAN's min_samples; 0: automatic"},
        {GM_OPT_FLAG, "count-self", &hdbscan->count_self, 0, 0, NULL,
         "count a point as one of its own min-samples, as scikit-learn does"},
        {GM_OPT_CHOICE, "selection", &c->selection, 0, 0, GM_SELECTION_CHOICES,
         "select by excess of mass, or take the leaves"},
        {GM_OPT_F64, "epsilon", &hdbscan->epsilon, 0, 1e9, "D", "merge clusters closer than this"},
        {GM_OPT_I64, "max-cluster-size", &c->max_cluster_size, 0, 1 << 30, "N",
         "largest cluster; 0: no limit"},
        {GM_OPT_FLAG, "allow-single-cluster", &hdbscan->allow_single_cluster, 0, 0, NULL,
         "allow one cluster of all points"},
        {.kind = GM_OPT_END_},
    };
    gm_option_table_add(table, rows);
}
