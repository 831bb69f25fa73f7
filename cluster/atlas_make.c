/* atlas_make.c - arrays of the atlas from an analysis. */
#include "cluster/atlas_make.h"

#include "cluster/atlas_notes.h"
#include "cluster/examples.h"
#include "cluster/profile.h"
#include "text/script.h"

#include <stdlib.h>
#include <string.h>

static gm_status no_memory(gm_error *err)
{
    return gm_fail(err, GM_EMEM, "no memory for the atlas");
}

/* ---- documents ---- */

static gm_status put_documents(gm_atlas *atlas, gm_arena *arena, const gm_analysis *a,
                               const gm_trace_samples *samples, gm_error *err)
{
    const size_t n = a->usage.n, dim = a->space ? (size_t)a->dimensions.dim : 0;
    float *xy = gm_arena_alloc(arena, 2 * n, sizeof *xy);
    float *space = gm_arena_alloc(arena, dim * n, sizeof *space);
    int32_t *cluster = gm_arena_alloc(arena, n, sizeof *cluster);
    float *probability = gm_arena_alloc(arena, n, sizeof *probability);
    float *outlier = gm_arena_alloc(arena, n, sizeof *outlier);
    if (!xy || !space || !cluster || !probability || !outlier) return no_memory(err);
    for (size_t i = 0; i < n; i++) {
        size_t at = a->usage.place[i];
        xy[2 * at] = a->xy[2 * i], xy[2 * at + 1] = a->xy[2 * i + 1];
        for (size_t c = 0; a->space && c < dim; c++) space[dim * at + c] = a->space[dim * i + c];
        cluster[at] = a->clustering.label[i];
        probability[at] = a->clustering.probability[i];
        outlier[at] = a->clustering.outlier[i];
    }
    atlas->n = n;
    atlas->xy = xy;
    atlas->space = a->space ? space : NULL;
    atlas->cluster_dim = a->space ? a->dimensions.dim : 2;
    atlas->cluster = cluster;
    atlas->probability = probability;
    atlas->outlier = outlier;
    atlas->subset = samples->subset;
    atlas->n_tokens = samples->n_tokens;
    atlas->id = samples->id;
    atlas->sha = samples->sha;
    atlas->subset_name = samples->subset_name;
    atlas->n_subsets = samples->n_subsets;
    return GM_OK;
}

/* The script and the language of each text, the first document of each kind, and where documents
 * leave the condensed tree. */
static gm_status put_places(gm_atlas *atlas, gm_arena *arena, const gm_analysis *a, gm_error *err)
{
    const size_t n = a->usage.n;
    const gm_condensed *tree = &a->clustering.tree;
    const gm_languages *spoken = &a->words.languages;
    uint16_t *script = gm_arena_alloc(arena, n, sizeof *script);
    const char **script_name = gm_arena_alloc(arena, GM_N_SCRIPTS, sizeof *script_name);
    uint16_t *language = gm_arena_alloc(arena, n, sizeof *language);
    uint32_t *first = gm_arena_alloc(arena, n, sizeof *first);
    uint32_t *node = gm_arena_alloc(arena, n, sizeof *node);
    double *lambda = gm_arena_alloc(arena, n, sizeof *lambda);
    if (!script || !script_name || !language || !first || !node || !lambda) return no_memory(err);
    for (int s = 0; s < GM_N_SCRIPTS; s++) script_name[s] = gm_script_name((gm_script)s);
    for (size_t i = 0; i < n; i++) {
        size_t at = a->usage.place[i];
        uint32_t p = a->distinct.point[i];
        bool none = p == GM_NO_POINT;
        if (a->words.script) script[at] = a->words.script[i];
        if (spoken->code) language[at] = spoken->code[i];
        first[at] = none ? GM_ATLAS_NONE : a->usage.place[a->distinct.first[p]];
        node[at] = none ? GM_ATLAS_NONE : tree->point_cluster[p];
        lambda[at] = none ? 0 : tree->point_lambda[p];
    }
    atlas->n_scripts = a->words.script ? GM_N_SCRIPTS : 0;
    atlas->script_name = script_name;
    atlas->script = script;
    atlas->n_languages = spoken->n;
    atlas->language_name = spoken->name;
    atlas->language = language;
    atlas->first = first;
    atlas->node = node;
    atlas->lambda = lambda;
    return GM_OK;
}

/* ---- clusters ---- */

static gm_status put_usage(gm_atlas *atlas, gm_arena *arena, const gm_analysis *a, gm_error *err)
{
    const size_t dim = a->usage.dim, n_clusters = a->clustering.n_clusters, n = a->usage.n;
    const size_t S = atlas->n_subsets, L = (size_t)atlas->n_layers, E = (size_t)atlas->n_experts;
    float *usage = gm_arena_alloc(arena, n_clusters * dim, sizeof *usage);
    float *half = gm_arena_alloc(arena, 2 * n_clusters * dim, sizeof *half);
    float *lift = gm_arena_alloc(arena, n_clusters * dim, sizeof *lift);
    uint8_t *important = gm_arena_alloc(arena, n_clusters * dim, sizeof *important);
    float *corpus = gm_arena_alloc(arena, dim, sizeof *corpus);
    float *corpus_half = gm_arena_alloc(arena, 2 * dim, sizeof *corpus_half);
    float *subset = gm_arena_alloc(arena, S * dim, sizeof *subset);
    float *subset_half = gm_arena_alloc(arena, 2 * S * dim, sizeof *subset_half);
    int32_t *all = gm_arena_alloc(arena, n, sizeof *all); /* (N) zero: one group */
    int32_t *of_subset = gm_arena_alloc(arena, n, sizeof *of_subset);
    if (!usage || !half || !lift || !important || !corpus || !corpus_half || !subset ||
        !subset_half || !all || !of_subset)
        return no_memory(err);
    for (size_t i = 0; i < n; i++) of_subset[i] = a->usage.subset[i];

    gm_status status = gm_profile_means(corpus, corpus_half, &a->usage, all, 1, err);
    if (status == GM_OK)
        status = gm_profile_means(subset, subset_half, &a->usage, of_subset, S, err);
    if (status == GM_OK)
        status = gm_profile_means(usage, half, &a->usage, a->clustering.label, n_clusters, err);
    for (size_t c = 0; status == GM_OK && c < n_clusters; c++) {
        gm_profile_lift(lift + c * dim, usage + c * dim, corpus, dim);
        gm_profile_important(important + c * dim, usage + c * dim, half + 2 * c * dim, corpus, L, E,
                             (size_t)atlas->n_chosen);
    }
    atlas->usage = usage, atlas->usage_half = half, atlas->lift = lift;
    atlas->important = important;
    atlas->corpus_usage = corpus, atlas->corpus_usage_half = corpus_half;
    atlas->subset_usage = subset, atlas->subset_usage_half = subset_half;
    return status;
}

/* What the assessment says of each cluster, and its examples as documents of the trace. */
static gm_status put_figures(gm_atlas *atlas, gm_arena *arena, const gm_analysis *a,
                             gm_metric metric, gm_error *err)
{
    const size_t C = a->clustering.n_clusters, X = C * GM_N_EXAMPLES;
    const gm_assessment *found = &a->assessment;
    float *validity = gm_arena_alloc(arena, C, sizeof *validity);
    float *coherence = gm_arena_alloc(arena, C, sizeof *coherence);
    uint32_t *near = gm_arena_alloc(arena, X, sizeof *near);
    uint32_t *far = gm_arena_alloc(arena, X, sizeof *far);
    if (!validity || !coherence || !near || !far) return no_memory(err);
    for (size_t c = 0; c < C; c++) {
        validity[c] = (float)found->validity[c];
        coherence[c] = (float)found->coherence[c];
    }
    const gm_examples_input in = {.usage = &a->usage,
                                  .distinct = &a->distinct,
                                  .metric = metric,
                                  .label = a->clustering.label,
                                  .mean = atlas->usage,
                                  .n_clusters = C};
    gm_status status = gm_examples_find(near, far, &in, err);
    if (status != GM_OK) return status;
    for (size_t x = 0; x < X; x++) {
        if (near[x] != UINT32_MAX) near[x] = a->usage.place[near[x]];
        if (far[x] != UINT32_MAX) far[x] = a->usage.place[far[x]];
    }
    atlas->seed_jaccard = found->has_reruns ? found->stability.seed_jaccard : NULL;
    atlas->half_jaccard = found->has_reruns ? found->stability.half_jaccard : NULL;
    atlas->validity = validity;
    atlas->coherence = coherence;
    atlas->representative = near;
    atlas->outlying = far;
    return GM_OK;
}

static gm_status put_clusters(gm_atlas *atlas, gm_arena *arena, const gm_analysis *a, gm_error *err)
{
    const size_t C = a->clustering.n_clusters, S = atlas->n_subsets;
    uint32_t *size = gm_arena_alloc(arena, C, sizeof *size);
    uint32_t *subset_count = gm_arena_alloc(arena, C * S, sizeof *subset_count);
    float *stability = gm_arena_alloc(arena, C, sizeof *stability);
    if (!size || !subset_count || !stability) return no_memory(err);
    for (size_t c = 0; c < C; c++) stability[c] = (float)a->clustering.persistence[c];
    for (size_t i = 0; i < a->usage.n; i++) {
        if (a->clustering.label[i] < 0) continue;
        size_t c = (size_t)a->clustering.label[i];
        size[c]++;
        if (S > 0) subset_count[c * S + a->usage.subset[i]]++;
    }
    atlas->n_clusters = C;
    atlas->size = size;
    atlas->subset_count = subset_count;
    atlas->stability = stability;
    atlas->keyword = a->keyword;
    atlas->keyword_score = a->score;
    return GM_OK;
}

/* ---- graph and tree ---- */

typedef struct entry {
    uint32_t index;
    float weight;
} entry;

static int by_index(const void *p, const void *q)
{
    uint32_t a = ((const entry *)p)->index, b = ((const entry *)q)->index;
    return (a > b) - (a < b);
}

static gm_status put_graph(gm_atlas *atlas, gm_arena *arena, const gm_analysis *a, gm_error *err)
{
    const gm_graph *g = &a->graph;
    const size_t n = g->n, m = g->indptr[n];
    uint64_t *indptr = gm_arena_alloc(arena, n + 1, sizeof *indptr);
    uint32_t *indices = gm_arena_alloc(arena, m, sizeof *indices);
    float *weight = gm_arena_alloc(arena, m, sizeof *weight);
    uint32_t *from = gm_arena_alloc(arena, n, sizeof *from); /* canonical place of a document */
    entry *row = gm_arena_alloc(arena, n, sizeof *row);
    if (!indptr || !indices || !weight || !from || !row) return no_memory(err);
    for (size_t i = 0; i < n; i++) from[a->usage.place[i]] = (uint32_t)i;
    for (size_t d = 0; d < n; d++) {
        uint64_t first = g->indptr[from[d]], size = g->indptr[from[d] + 1] - first;
        for (size_t e = 0; e < size; e++)
            row[e] = (entry){a->usage.place[g->index[first + e]], g->weight[first + e]};
        qsort(row, size, sizeof *row, by_index);
        for (size_t e = 0; e < size; e++) {
            indices[indptr[d] + e] = row[e].index;
            weight[indptr[d] + e] = row[e].weight;
        }
        indptr[d + 1] = indptr[d] + size;
    }
    atlas->n_edges = m;
    atlas->graph_indptr = indptr;
    atlas->graph_indices = indices;
    atlas->graph_weight = weight;
    return GM_OK;
}

static gm_status put_tree(gm_atlas *atlas, gm_arena *arena, const gm_analysis *a, gm_error *err)
{
    const gm_linkage *link = &a->clustering.linkage;
    const size_t n = link->n;
    uint32_t *left = gm_arena_alloc(arena, n, sizeof *left);
    uint32_t *right = gm_arena_alloc(arena, n, sizeof *right);
    if (!left || !right) return no_memory(err);
    for (size_t i = 0; i + 1 < n; i++) {
        left[i] = link->left[i] < n ? a->usage.place[link->left[i]] : link->left[i];
        right[i] = link->right[i] < n ? a->usage.place[link->right[i]] : link->right[i];
    }
    atlas->tree_left = left;
    atlas->tree_right = right;
    atlas->tree_size = link->size;
    atlas->tree_distance = link->distance;
    return GM_OK;
}

static gm_status put_condensed(gm_atlas *atlas, gm_arena *arena, const gm_analysis *a,
                               gm_error *err)
{
    const gm_condensed *tree = &a->clustering.tree;
    const size_t R = tree->n_clusters;
    uint32_t *parent = gm_arena_alloc(arena, R, sizeof *parent);
    uint32_t *size = gm_arena_alloc(arena, R, sizeof *size);
    double *birth = gm_arena_alloc(arena, R, sizeof *birth);
    int32_t *cluster = gm_arena_alloc(arena, R, sizeof *cluster);
    if (!parent || !size || !birth || !cluster) return no_memory(err);
    memcpy(parent, tree->parent, R * sizeof *parent);
    memcpy(birth, tree->birth, R * sizeof *birth);
    for (size_t p = 0; p < tree->n_points; p++)
        size[tree->point_cluster[p]] += a->distinct.count[p];
    for (size_t r = R; r-- > 1;) size[parent[r]] += size[r];
    memcpy(cluster, a->clustering.node_label, R * sizeof *cluster);
    atlas->n_nodes = R;
    atlas->node_parent = parent;
    atlas->node_size = size;
    atlas->node_birth = birth;
    atlas->node_cluster = cluster;
    atlas->node_keyword = a->node_keyword;
    return GM_OK;
}

gm_status gm_atlas_make(gm_atlas *atlas, gm_arena *arena, const gm_analysis *analysis,
                        const gm_trace *trace, const char *trace_path,
                        const gm_fit_options *options, const char *command, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_trace_info *info = gm_trace_get_info(trace);
    *atlas = (gm_atlas){.n_layers = info->n_layers,
                        .n_experts = info->n_experts,
                        .n_chosen = info->n_chosen,
                        .layer_of_moe = info->layer_of_moe,
                        .n_trace_layers = gm_trace_get_whole_info(trace)->n_layers,
                        .trace_layer = gm_trace_get_whole_info(trace)->layer_of_moe,
                        .model = info->model,
                        .architecture = info->architecture,
                        .model_digest = info->model_digest,
                        .config_digest = info->config_digest,
                        .trace_fingerprint = info->fingerprint,
                        .trace_path = trace_path,
                        .command = command};
    GM_TRY(put_documents(atlas, arena, analysis, gm_trace_get_samples(trace), err));
    GM_TRY(put_places(atlas, arena, analysis, err));
    GM_TRY(put_clusters(atlas, arena, analysis, err));
    GM_TRY(put_usage(atlas, arena, analysis, err));
    GM_TRY(put_figures(atlas, arena, analysis, options->metric, err));
    GM_TRY(put_graph(atlas, arena, analysis, err));
    GM_TRY(put_tree(atlas, arena, analysis, err));
    GM_TRY(put_condensed(atlas, arena, analysis, err));
    GM_TRY(gm_atlas_note_parameters(&atlas->parameters, arena, analysis, trace, options, err));
    GM_TRY(gm_atlas_note_quality(&atlas->quality, arena, analysis, atlas, err));
    GM_TRY(gm_atlas_note_provenance(&atlas->provenance, arena, err));
out:
    return status;
}
