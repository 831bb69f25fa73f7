/* atlas_schema.c - the table of an atlas's datasets: see atlas_schema.h. */
#include "formats/atlas_schema.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static_assert((int)GM_ATLAS_NAME_BYTES == (int)GM_H5_TEXT_BYTES, "a name is a text of a column");

#define AT(member) offsetof(gm_atlas, member)

const gm_atlas_column gm_atlas_columns[GM_ATLAS_N_COLUMNS] = {
    {"/samples/xy", GM_H5_F32, "N2", AT(xy), GM_ATLAS_PLAIN, "place on the map", 1},
    {"/samples/cluster", GM_H5_I32, "N", AT(cluster), GM_ATLAS_PLAIN, "-1: noise", 1},
    {"/samples/probability", GM_H5_F32, "N", AT(probability), GM_ATLAS_PLAIN,
     "how firmly a document belongs to its cluster, in [0,1]", 1},
    {"/samples/outlier", GM_H5_F32, "N", AT(outlier), GM_ATLAS_PLAIN, "GLOSH, in [0,1]", 1},
    {"/samples/subset", GM_H5_U16, "N", AT(subset), GM_ATLAS_SUBSET, "index into /subset_name", 1},
    {"/samples/n_tokens", GM_H5_U32, "N", AT(n_tokens), GM_ATLAS_PLAIN, "counted tokens", 1},
    {"/samples/id", GM_H5_TEXT, "N", AT(id), GM_ATLAS_TEXTS, "file:line", 1},
    {"/samples/sha", GM_H5_TEXT, "N", AT(sha), GM_ATLAS_SHA, "SHA-256 of the text", 1},
    {"/subset_name", GM_H5_TEXT, "S", AT(subset_name), GM_ATLAS_TEXTS, "labels of the corpus", 1},
    {"/clusters/size", GM_H5_U32, "C", AT(size), GM_ATLAS_PLAIN, "documents", 1},
    {"/clusters/keywords", GM_H5_TEXT, "CW", AT(keyword), GM_ATLAS_TEXTS, "best first", 1},
    {"/clusters/keyword_score", GM_H5_F32, "CW", AT(keyword_score), GM_ATLAS_PLAIN,
     "mean TF-IDF over the members, or class TF-IDF: /parameters, keywords", 1},
    {"/clusters/usage", GM_H5_F32, "CLE", AT(usage), GM_ATLAS_PLAIN,
     "mean of the members' usage vectors: a document's choices over their sum, all layers together",
     1},
    {"/clusters/usage_half", GM_H5_F32, "C2LE", AT(usage_half), GM_ATLAS_PLAIN,
     "the same over members whose sha begins with an even, an odd byte", 1},
    {"/clusters/lift", GM_H5_F32, "CLE", AT(lift), GM_ATLAS_PLAIN, "usage over the corpus's", 1},
    {"/clusters/important", GM_H5_U8, "CLE", AT(important), GM_ATLAS_PLAIN, "0 or 1", 1},
    {"/clusters/stability", GM_H5_F32, "C", AT(stability), GM_ATLAS_PLAIN,
     "HDBSCAN persistence, in [0,1]", 1},
    {"/clusters/subset_count", GM_H5_U32, "CS", AT(subset_count), GM_ATLAS_PLAIN,
     "members of each subset", 1},
    {"/corpus/usage", GM_H5_F32, "LE", AT(corpus_usage), GM_ATLAS_PLAIN,
     "mean of all documents' usage vectors", 1},
    {"/corpus/usage_half", GM_H5_F32, "2LE", AT(corpus_usage_half), GM_ATLAS_PLAIN,
     "the same over documents whose sha begins with an even, an odd byte", 1},
    {"/corpus/subset_usage", GM_H5_F32, "SLE", AT(subset_usage), GM_ATLAS_PLAIN,
     "mean of the usage vectors of each subset", 1},
    {"/corpus/subset_usage_half", GM_H5_F32, "S2LE", AT(subset_usage_half), GM_ATLAS_PLAIN,
     "the same over documents whose sha begins with an even, an odd byte", 1},
    {"/graph/indptr", GM_H5_U64, "M", AT(graph_indptr), GM_ATLAS_PLAIN,
     "of a row of the graph, CSR: where its entries begin", 1},
    {"/graph/indices", GM_H5_U32, "G", AT(graph_indices), GM_ATLAS_PLAIN,
     "the neighbour, a document", 1},
    {"/graph/weight", GM_H5_F32, "G", AT(graph_weight), GM_ATLAS_PLAIN,
     "UMAP's membership, in [0,1], symmetric", 1},
    {"/tree/left", GM_H5_U32, "P", AT(tree_left), GM_ATLAS_PLAIN,
     "a document, or from N on a row of the tree", 1},
    {"/tree/right", GM_H5_U32, "P", AT(tree_right), GM_ATLAS_PLAIN,
     "a document, or from N on a row of the tree", 1},
    {"/tree/distance", GM_H5_F64, "P", AT(tree_distance), GM_ATLAS_PLAIN,
     "at which the two join: mutual reachability", 1},
    {"/tree/size", GM_H5_U32, "P", AT(tree_size), GM_ATLAS_PLAIN, "documents of both", 1},
    {"/layer", GM_H5_I32, "L", AT(layer_of_moe), GM_ATLAS_PLAIN, "layer of the model", 1},
    {"/script_name", GM_H5_TEXT, "H", AT(script_name), GM_ATLAS_TEXTS, "of most letters of a text",
     2},
    {"/samples/script", GM_H5_U16, "N", AT(script), GM_ATLAS_SCRIPT, "index into /script_name", 2},
    {"/samples/first", GM_H5_U32, "N", AT(first), GM_ATLAS_PLAIN,
     "the first document that uses the experts exactly alike", 2},
    {"/samples/node", GM_H5_U32, "N", AT(node), GM_ATLAS_PLAIN, "of /condensed, where it leaves",
     2},
    {"/samples/lambda", GM_H5_F64, "N", AT(lambda), GM_ATLAS_PLAIN,
     "1 / distance at which it leaves", 2},
    {"/clusters/name", GM_H5_TEXT, "C", AT(name), GM_ATLAS_TEXTS, "given by hand", 2},
    {"/clusters/seed_jaccard", GM_H5_F32, "C", AT(seed_jaccard), GM_ATLAS_PLAIN,
     "best match over maps from other seeds, mean", 2},
    {"/clusters/half_jaccard", GM_H5_F32, "C", AT(half_jaccard), GM_ATLAS_PLAIN,
     "best match over maps of half the documents, mean", 2},
    {"/clusters/validity", GM_H5_F32, "C", AT(validity), GM_ATLAS_PLAIN, "DBCV, in [-1,1]", 2},
    {"/clusters/coherence", GM_H5_F32, "C", AT(coherence), GM_ATLAS_PLAIN,
     "mean NPMI of pairs of keywords, in [-1,1]", 2},
    {"/clusters/representative", GM_H5_U32, "CX", AT(representative), GM_ATLAS_PLAIN,
     "members nearest to the mean usage", 2},
    {"/clusters/outlying", GM_H5_U32, "CX", AT(outlying), GM_ATLAS_PLAIN,
     "members farthest from the mean usage", 2},
    {"/condensed/parent", GM_H5_U32, "R", AT(node_parent), GM_ATLAS_PLAIN, "node 0 is the root", 2},
    {"/condensed/birth", GM_H5_F64, "R", AT(node_birth), GM_ATLAS_PLAIN,
     "1 / distance at which it parts from its parent", 2},
    {"/condensed/size", GM_H5_U32, "R", AT(node_size), GM_ATLAS_PLAIN, "documents at birth", 2},
    {"/condensed/cluster", GM_H5_I32, "R", AT(node_cluster), GM_ATLAS_PLAIN,
     "the cluster it was chosen as; -1: none", 2},
    {"/condensed/keywords", GM_H5_TEXT, "RW", AT(node_keyword), GM_ATLAS_TEXTS,
     "of all documents below the node", 2},
    {"/samples/space", GM_H5_F32, "QZ", AT(space), GM_ATLAS_PLAIN,
     "place where clusters were found, when that is not the map", 3},
    {"/language_name", GM_H5_TEXT, "I", AT(language_name), GM_ATLAS_TEXTS, "most documents first",
     4},
    {"/samples/language", GM_H5_U16, "N", AT(language), GM_ATLAS_LANGUAGE,
     "index into /language_name", 4},
};

const gm_atlas_text gm_atlas_texts[GM_ATLAS_N_TEXTS] = {
    {"/", "model", AT(model)},
    {"/", "architecture", AT(architecture)},
    {"/", "model_digest", AT(model_digest)},
    {"/", "trace_fingerprint", AT(trace_fingerprint)},
    {"/", "trace_path", AT(trace_path)},
    {"/", "provenance", AT(provenance)},
    {"/", "command", AT(command)},
    {"/parameters", "json", AT(parameters)},
    {"/quality", "json", AT(quality)},
    {"/", "config_digest", AT(config_digest)},
};

uint64_t gm_atlas_size(const gm_atlas *atlas, char letter)
{
    switch (letter) {
    case 'N': return atlas->n;
    case 'M': return atlas->n + 1;
    case 'P': return atlas->n > 0 ? atlas->n - 1 : 0;
    case 'C': return atlas->n_clusters;
    case 'S': return atlas->n_subsets;
    case 'L': return (uint64_t)atlas->n_layers;
    case 'E': return (uint64_t)atlas->n_experts;
    case 'G': return atlas->n_edges;
    case 'R': return atlas->n_nodes;
    case 'H': return atlas->n_scripts;
    case 'I': return atlas->n_languages;
    case 'W': return GM_N_KEYWORDS;
    case 'X': return GM_N_EXAMPLES;
    case 'Q': return atlas->cluster_dim > 2 ? atlas->n : 0;
    case 'Z': return atlas->cluster_dim > 2 ? (uint64_t)atlas->cluster_dim : 2;
    default: return 2;
    }
}

static const char *scale_of(char letter)
{
    switch (letter) {
    case 'N': return "/document";
    case 'C': return "/cluster";
    case 'S': return "/subset";
    case 'L': return "/layer";
    case 'E': return "/expert";
    case 'R': return "/node";
    case 'H': return "/script";
    case 'I': return "/language";
    case 'W': return "/keyword";
    case 'X': return "/example";
    case 'M': return "/bound";
    case 'P': return "/merge";
    case 'G': return "/edge";
    case 'Q': return "/place";
    case 'Z': return "/axis";
    default: return "/pair";
    }
}

gm_h5_layout gm_atlas_layout(const gm_atlas_column *column, const gm_atlas *atlas)
{
    gm_h5_layout layout = {.name = column->name,
                           .type = column->type,
                           .stored = H5I_INVALID_HID,
                           .rank = (int)strlen(column->shape),
                           .shuffle = gm_h5_type_size(column->type) < GM_H5_TEXT_BYTES &&
                                      gm_h5_type_size(column->type) > 1,
                           .about = column->about};
    size_t row_bytes = gm_h5_type_size(layout.type);
    bool is_scale = strcmp(column->name, "/layer") == 0;
    for (int i = 0; i < layout.rank; i++) {
        layout.dim[i] = gm_atlas_size(atlas, column->shape[i]);
        if (!is_scale) layout.scale[i] = scale_of(column->shape[i]);
        if (i > 0) row_bytes *= (size_t)layout.dim[i];
    }
    layout.chunk_rows = gm_h5_chunk_rows(row_bytes, 512 << 10, 1, 8192);
    return layout;
}

gm_atlas_groups gm_atlas_subsets(const gm_atlas *atlas)
{
    return (gm_atlas_groups){atlas->subset, atlas->subset_name, atlas->n_subsets};
}

gm_atlas_groups gm_atlas_scripts(const gm_atlas *atlas)
{
    return (gm_atlas_groups){atlas->script, atlas->script_name, atlas->n_scripts};
}

gm_atlas_groups gm_atlas_languages(const gm_atlas *atlas)
{
    return (gm_atlas_groups){atlas->language, atlas->language_name, atlas->n_languages};
}

void gm_atlas_fill_unknown(void *at, const gm_atlas_column *column, size_t n)
{
    if (column->type == GM_H5_TEXT)
        for (size_t i = 0; i < n; i++) ((const char **)at)[i] = "";
    else if (column->type == GM_H5_F32)
        for (size_t i = 0; i < n; i++) ((float *)at)[i] = NAN;
    else if (column->type == GM_H5_F64)
        for (size_t i = 0; i < n; i++) ((double *)at)[i] = (double)NAN;
    else /* -1, GM_ATLAS_NONE; of scripts and languages the first */
        memset(at, column->kind >= GM_ATLAS_SCRIPT ? 0 : 0xFF, n * gm_h5_type_size(column->type));
}
