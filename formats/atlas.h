/* atlas.h - the atlas: what was found in a trace, in HDF5.
 *
 * Sizes: N documents, C clusters, L MoE layers, E experts, S subsets, R nodes of the condensed
 * tree, D dimensions in which clusters were found.
 *
 * Schema 4. Additions since schema 1 are marked +, since schema 2 ++, since schema 3 +++. Older
 * files are read as well; what they lack is "not known": NaN, GM_ATLAS_NONE, -1, "".
 *   /samples/xy f32 (N,2); cluster i32 (N), -1 noise; probability, outlier f32 (N);
 *            subset enum (N); id, sha text of 64 bytes (N); n_tokens u32 (N);
 *            + script enum (N): of most letters of the text, names in /script_name;
 *            +++ language enum (N): named by the corpus or guessed from the text, names in
 *            /language_name, most documents first;
 *            + first u32 (N): the first document that uses the experts exactly alike (usually
 *            the document itself); none for one without a counted choice;
 *            + node u32, lambda f64 (N): where it leaves the condensed tree;
 *            ++ space f32 (N,D): coordinates in the D > 2 dimensions in which clusters were
 *            found; (0,2) when they were found on the map
 *   /clusters/id i32, size u32 (C); keywords text (C,10), keyword_score f32 (C,10);
 *            usage, lift, usage_half f32 (C,L,E), (C,L,E), (C,2,L,E); important u8 (C,L,E);
 *            stability f32 (C); subset_count u32 (C,S);
 *            + name text (C): given by hand, else "";
 *            + seed_jaccard, half_jaccard f32 (C): mean best match of the cluster's documents in
 *            maps made with other seeds, or from either half of the documents;
 *            + validity f32 (C): DBCV; coherence f32 (C): mean NPMI of pairs of keywords;
 *            + representative, outlying u32 (C,10): members nearest to the cluster's mean usage,
 *            and farthest from it, in the metric of the map; best first
 *   /corpus/usage f32 (L,E): the mean over all documents, noise included; usage_half (2,L,E)
 *   /corpus/subset_usage f32 (S,L,E): the mean over each labelled subset; subset_usage_half
 *   /graph/indptr, indices, weight: the neighbour graph (CSR, symmetric memberships) of
 *            documents that differ; a copy has one edge of weight 1, to the first of its kind
 *   /tree/left, right, distance, size: the single-linkage tree (N-1); copies join first, at
 *            distance 0, documents without a counted choice last
 *   + /condensed/parent, size u32, birth f64, cluster i32 (R): HDBSCAN's condensed tree; node 0
 *            is the root, parents come first; size in documents; cluster -1: not chosen itself;
 *            keywords text (R,10) of all documents below the node
 *   /layer, /expert, /document, /cluster, /keyword, /example, /subset, /script, /language, /node,
 *            /bound (N+1), /merge (N-1), /edge, /pair (2), /place (N or 0), /axis (D): dimension
 *            scales; /layer holds model layers
 *   /trace_layer i32: all MoE layers of the trace, of which /layer are some or all. Files without
 *            it are of all, whatever their schema
 *   /parameters, /quality: an attribute for each figure, and all of them as `json`. Of a
 *            gm_trace_selection the parameters name the `layers`, the `subsets`, the `min_tokens`
 *            that were given, and how many documents the trace has, `trace_documents`
 *   root attributes: schema, the trace's fingerprint, the model, the command, provenance
 */
#ifndef GM_ATLAS_H
#define GM_ATLAS_H

#include "base/base.h"

#define GM_ATLAS_SCHEMA 4

enum {
    GM_N_KEYWORDS = 10,
    GM_N_EXAMPLES = 10,
    GM_ATLAS_MAX_DIM = 10,
    GM_ATLAS_NAME_BYTES = 64 /* room for a name and its NUL */
};

/* No document, no node. */
#define GM_ATLAS_NONE UINT32_MAX

/* An atlas in memory. When read, everything belongs to the atlas and is freed by
 * gm_atlas_close; when written, everything is borrowed. NULL texts are "". Arrays marked + may be
 * NULL when written (not known); when read they are never NULL. */
typedef struct gm_atlas {
    size_t n, n_clusters, n_subsets;   /* N, C, S */
    size_t n_scripts, n_nodes;         /* + R; both 0 when not known */
    size_t n_languages;                /* +++ 0 when not known */
    int n_layers, n_experts, n_chosen; /* L, E, K */
    int cluster_dim;                   /* ++ D; at most 2: clusters were found on the map */
    const int *layer_of_moe;           /* (L) */
    int n_trace_layers;                /* at least L */
    const int *trace_layer;            /* (n_trace_layers) + those of the trace, (L) where NULL */
    /* documents */
    const float *xy;                    /* (N,2) */
    const int32_t *cluster;             /* (N) -1 noise */
    const float *probability, *outlier; /* (N) in [0,1] */
    const uint16_t *subset;             /* (N) */
    const uint32_t *n_tokens;           /* (N) */
    const char *const *id;              /* (N) */
    const uint8_t *sha;                 /* (N,32) */
    const char *const *subset_name;     /* (S) */
    const uint16_t *script;             /* + (N) below n_scripts */
    const char *const *script_name;     /* + (n_scripts) */
    const uint16_t *language;           /* +++ (N) below n_languages */
    const char *const *language_name;   /* +++ (n_languages) */
    const uint32_t *first;              /* + (N) */
    const uint32_t *node;               /* + (N) below R or GM_ATLAS_NONE */
    const double *lambda;               /* + (N) */
    const float *space;                 /* ++ (N,D) when D > 2 */
    /* clusters 0..C-1, by size descending, ties by the smallest member sha */
    const uint32_t *size;                      /* (C) */
    const char *const *keyword;                /* (C,10); "" where there are fewer */
    const float *keyword_score;                /* (C,10) */
    const float *usage;                        /* (C,L,E) mean of usage vectors; sums to 1 */
    const float *usage_half;                   /* (C,2,L,E) over members whose sha's first byte is
                                                  even, odd; zero where a half is empty */
    const float *lift;                         /* (C,L,E) smoothed, cluster/profile.h */
    const uint8_t *important;                  /* (C,L,E) 0 or 1 */
    const float *stability;                    /* (C) HDBSCAN persistence in [0,1] */
    const uint32_t *subset_count;              /* (C,S) */
    const char *const *name;                   /* + (C) */
    const float *seed_jaccard, *half_jaccard;  /* + (C) in [0,1] */
    const float *validity, *coherence;         /* + (C) in [-1,1] */
    const uint32_t *representative, *outlying; /* + (C,GM_N_EXAMPLES) members */
    /* corpus */
    const float *corpus_usage;      /* (L,E) */
    const float *corpus_usage_half; /* (2,L,E) by the same parity of sha */
    const float *subset_usage;      /* (S,L,E) */
    const float *subset_usage_half; /* (S,2,L,E) */
    /* what a re-cut needs */
    size_t n_edges;                                     /* stored entries of the graph */
    const uint64_t *graph_indptr;                       /* (N+1) */
    const uint32_t *graph_indices;                      /* (n_edges) */
    const float *graph_weight;                          /* (n_edges) */
    const uint32_t *tree_left, *tree_right, *tree_size; /* (N-1); node N+i is row i */
    const double *tree_distance;                        /* (N-1) */
    /* the condensed tree */
    const uint32_t *node_parent, *node_size; /* + (R) */
    const double *node_birth;                /* + (R) */
    const int32_t *node_cluster;             /* + (R) */
    const char *const *node_keyword;         /* + (R,10) */
    /* where it came from */
    const char *model, *architecture;
    const char *model_digest, *config_digest; /* as the trace has them; "" unknown */
    const char *trace_fingerprint, *trace_path;
    const char *parameters; /* JSON object */
    const char *quality;    /* JSON object */
    const char *provenance; /* JSON object */
    const char *command;
    char digest[65]; /* of the contents; filled by read and write */
} gm_atlas;

/* Write under the final name only when complete. Errors: GM_EEXIST unless
 * `replace`, GM_EBUSY, GM_EIO, GM_EMEM. */
gm_status gm_atlas_write(const char *path, gm_atlas *atlas, bool replace, gm_error *err)
    GM_MUST_USE;

/* Read and check every shape and range. GM_EIO, GM_EFORMAT, GM_ESHAPE, GM_EMEM. */
gm_status gm_atlas_open(gm_atlas **out, const char *path, gm_error *err) GM_MUST_USE;
void gm_atlas_close(gm_atlas *atlas);

/* A way to part an atlas's documents into groups; borrows from the atlas. */
typedef struct gm_atlas_groups {
    const uint16_t *of;      /* (N) group of each document, below n */
    const char *const *name; /* (n) */
    size_t n;                /* 0: the atlas does not know these groups */
} gm_atlas_groups;

gm_atlas_groups gm_atlas_subsets(const gm_atlas *atlas);
gm_atlas_groups gm_atlas_scripts(const gm_atlas *atlas);
gm_atlas_groups gm_atlas_languages(const gm_atlas *atlas);

/* The subset that most members of a cluster come from; ties to the lower index. -1: no subsets. */
int gm_atlas_main_subset(const gm_atlas *atlas, size_t cluster);

#endif
