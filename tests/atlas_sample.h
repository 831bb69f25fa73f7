/* atlas_sample.h - a small atlas made by hand, for the tests of what writes and reads one. */
#ifndef GM_ATLAS_SAMPLE_H
#define GM_ATLAS_SAMPLE_H

#include "formats/atlas.h"

#include <math.h>

/* Sizes; EDGES entries of the graph, NODES of the condensed tree, SCRIPTS and
 * LANGUAGES names. */
enum { N = 6, C = 2, S = 2, L = 2, E = 3, EDGES = 4, NODES = 3, SCRIPTS = 2, LANGUAGES = 3 };

typedef struct made_atlas {
    gm_atlas atlas;
    int layers[L];
    float xy[2 * N], probability[N], outlier[N], score[C * GM_N_KEYWORDS], usage[C * L * E],
        half[C * 2 * L * E], lift[C * L * E], stability[C], corpus[L * E], corpus_half[2 * L * E],
        subset_usage[S * L * E], subset_half[S * 2 * L * E], weight[EDGES], seed_jaccard[C],
        half_jaccard[C], validity[C], coherence[C];
    int32_t cluster[N], node_cluster[NODES];
    uint16_t subset[N], script[N], language[N];
    uint32_t n_tokens[N], size[C], subset_count[C * S], indices[EDGES], left[N - 1], right[N - 1],
        tree_size[N - 1], first[N], node[N], representative[C * GM_N_EXAMPLES],
        outlying[C * GM_N_EXAMPLES], node_parent[NODES], node_size[NODES];
    uint64_t indptr[N + 1];
    double distance[N - 1], lambda[N], node_birth[NODES];
    uint8_t sha[32 * N], important[C * L * E];
    int trace_layers[L + 1];
    const char *id[N], *keyword[C * GM_N_KEYWORDS], *subset_name[S], *script_name[SCRIPTS],
        *language_name[LANGUAGES], *name[C], *node_keyword[NODES * GM_N_KEYWORDS];
} made_atlas;

static inline void made_fill(float *value, size_t n)
{
    for (size_t i = 0; i < n; i++) value[i] = (float)(i % 7) / 8;
}

/* What schema 2 brought: cluster c is node c + 1, its members are documents c + 1 and c + 4. */
static inline void made_init_later(made_atlas *m)
{
    for (uint32_t i = 0; i < N; i++) {
        m->script[i] = (uint16_t)(i % SCRIPTS);
        m->language[i] = (uint16_t)(i % LANGUAGES);
        m->first[i] = i == 3 ? 0 : i == 5 ? GM_ATLAS_NONE : i;
        m->node[i] = i == 5 ? GM_ATLAS_NONE : i % 3;
        m->lambda[i] = 1 + i;
    }
    for (uint32_t c = 0; c < C; c++) {
        m->seed_jaccard[c] = 0.5f, m->half_jaccard[c] = (float)NAN;
        m->validity[c] = -0.5f, m->coherence[c] = 0.25f;
        m->name[c] = c ? "Ships" : "";
        for (uint32_t x = 0; x < GM_N_EXAMPLES; x++) {
            m->representative[c * GM_N_EXAMPLES + x] = x < 2 ? c + 1 + 3 * x : GM_ATLAS_NONE;
            m->outlying[c * GM_N_EXAMPLES + x] = x < 2 ? (x ? c + 1 : c + 4) : GM_ATLAS_NONE;
        }
    }
    for (uint32_t r = 0; r < NODES; r++) {
        m->node_birth[r] = r, m->node_size[r] = r ? 2u : 5u, m->node_cluster[r] = (int32_t)r - 1;
        for (uint32_t k = 0; k < GM_N_KEYWORDS; k++)
            m->node_keyword[r * GM_N_KEYWORDS + k] = k ? "" : "word";
    }
    m->script_name[0] = "none", m->script_name[1] = "Latin";
    m->language_name[0] = "en", m->language_name[1] = "unknown", m->language_name[2] = "de";
}

static inline void made_init(made_atlas *m)
{
    *m = (made_atlas){.layers = {1, 3},
                      .trace_layers = {1, 2, 3},
                      .subset_name = {"Books", ""},
                      .size = {2, 2},
                      .subset_count = {1, 1, 1, 1}};
    made_fill(m->xy, 2 * N), made_fill(m->probability, N), made_fill(m->outlier, N);
    made_fill(m->score, C * GM_N_KEYWORDS), made_fill(m->usage, C * L * E),
        made_fill(m->half, C * 2 * L * E);
    made_fill(m->lift, C * L * E), made_fill(m->stability, C), made_fill(m->corpus, L * E);
    made_fill(m->corpus_half, 2 * L * E), made_fill(m->subset_usage, S * L * E);
    made_fill(m->subset_half, S * 2 * L * E), made_fill(m->weight, EDGES);
    for (uint32_t i = 0; i < N; i++) {
        m->cluster[i] = (int32_t)(i % 3) - 1;
        m->subset[i] = (uint16_t)(i % S);
        m->n_tokens[i] = 100 + i;
        m->id[i] = "a.jsonl:7";
        m->indptr[i + 1] = i + 1 < EDGES ? i + 1 : EDGES;
        for (uint32_t k = 0; k < 32; k++) m->sha[32 * i + k] = (uint8_t)(7 * i + k);
    }
    static const uint32_t right[N - 1] = {3, 1, 2, 4, 5}; /* 3 is a copy of 0, 5 has no choice */
    for (uint32_t i = 0; i + 1 < N; i++) {
        m->left[i] = i ? N + i - 1 : 0;
        m->right[i] = right[i];
        m->tree_size[i] = i + 2;
        m->distance[i] = i;
    }
    for (int i = 0; i < C * GM_N_KEYWORDS; i++)
        m->keyword[i] = i % 3 ? "\xd0\xba\xd0\xbe\xd1\x82" : "";
    m->important[1] = 1;
    made_init_later(m);
    m->atlas = (gm_atlas){.n = N,
                          .n_clusters = C,
                          .n_subsets = S,
                          .n_layers = L,
                          .n_experts = E,
                          .n_chosen = 2,
                          .layer_of_moe = m->layers,
                          .n_trace_layers = L + 1,
                          .trace_layer = m->trace_layers,
                          .xy = m->xy,
                          .cluster = m->cluster,
                          .probability = m->probability,
                          .outlier = m->outlier,
                          .subset = m->subset,
                          .n_tokens = m->n_tokens,
                          .id = m->id,
                          .sha = m->sha,
                          .subset_name = m->subset_name,
                          .size = m->size,
                          .keyword = m->keyword,
                          .keyword_score = m->score,
                          .usage = m->usage,
                          .usage_half = m->half,
                          .lift = m->lift,
                          .important = m->important,
                          .stability = m->stability,
                          .subset_count = m->subset_count,
                          .corpus_usage = m->corpus,
                          .corpus_usage_half = m->corpus_half,
                          .subset_usage = m->subset_usage,
                          .subset_usage_half = m->subset_half,
                          .n_edges = EDGES,
                          .graph_indptr = m->indptr,
                          .graph_indices = m->indices,
                          .graph_weight = m->weight,
                          .tree_left = m->left,
                          .tree_right = m->right,
                          .tree_size = m->tree_size,
                          .tree_distance = m->distance,
                          .n_scripts = SCRIPTS,
                          .n_nodes = NODES,
                          .script = m->script,
                          .script_name = m->script_name,
                          .n_languages = LANGUAGES,
                          .language = m->language,
                          .language_name = m->language_name,
                          .first = m->first,
                          .node = m->node,
                          .lambda = m->lambda,
                          .name = m->name,
                          .seed_jaccard = m->seed_jaccard,
                          .half_jaccard = m->half_jaccard,
                          .validity = m->validity,
                          .coherence = m->coherence,
                          .representative = m->representative,
                          .outlying = m->outlying,
                          .node_parent = m->node_parent,
                          .node_size = m->node_size,
                          .node_birth = m->node_birth,
                          .node_cluster = m->node_cluster,
                          .node_keyword = m->node_keyword,
                          .model = "tiny",
                          .config_digest = "c0de",
                          .parameters = "{\"neighbors\":15}",
                          .quality = "{}"};
}

#endif
