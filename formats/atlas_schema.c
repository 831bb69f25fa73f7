/* atlas_schema.c - the table of an atlas's datasets: see atlas_schema.h. */
#include "formats/atlas_schema.h"

#include <string.h>

#define AT(member) offsetof(gm_atlas, member)

const gm_atlas_column gm_atlas_columns[GM_ATLAS_N_COLUMNS] = {
    {"/samples/xy", GM_H5_F32, "N2", AT(xy), GM_ATLAS_PLAIN, "place on the map"},
    {"/samples/cluster", GM_H5_I32, "N", AT(cluster), GM_ATLAS_PLAIN, "-1: noise"},
    {"/samples/probability", GM_H5_F32, "N", AT(probability), GM_ATLAS_PLAIN,
     "how firmly a document belongs to its cluster, in [0,1]"},
    {"/samples/outlier", GM_H5_F32, "N", AT(outlier), GM_ATLAS_PLAIN, "GLOSH, in [0,1]"},
    {"/samples/subset", GM_H5_U16, "N", AT(subset), GM_ATLAS_SUBSET, "index into /subset_name"},
    {"/samples/n_tokens", GM_H5_U32, "N", AT(n_tokens), GM_ATLAS_PLAIN, "counted tokens"},
    {"/samples/id", GM_H5_TEXT, "N", AT(id), GM_ATLAS_TEXTS, "file:line"},
    {"/samples/sha", GM_H5_TEXT, "N", AT(sha), GM_ATLAS_SHA, "SHA-256 of the text"},
    {"/subset_name", GM_H5_TEXT, "S", AT(subset_name), GM_ATLAS_TEXTS, NULL},
    {"/clusters/size", GM_H5_U32, "C", AT(size), GM_ATLAS_PLAIN, "documents"},
    {"/clusters/keywords", GM_H5_TEXT, "CW", AT(keyword), GM_ATLAS_TEXTS, NULL},
    {"/clusters/keyword_score", GM_H5_F32, "CW", AT(keyword_score), GM_ATLAS_PLAIN, NULL},
    {"/clusters/usage", GM_H5_F32, "CLE", AT(usage), GM_ATLAS_PLAIN,
     "mean of the members' usage vectors"},
    {"/clusters/usage_half", GM_H5_F32, "C2LE", AT(usage_half), GM_ATLAS_PLAIN,
     "the same over members whose sha begins with an even, an odd byte"},
    {"/clusters/lift", GM_H5_F32, "CLE", AT(lift), GM_ATLAS_PLAIN, "usage over the corpus's"},
    {"/clusters/important", GM_H5_U8, "CLE", AT(important), GM_ATLAS_PLAIN, "0 or 1"},
    {"/clusters/stability", GM_H5_F32, "C", AT(stability), GM_ATLAS_PLAIN,
     "HDBSCAN persistence, in [0,1]"},
    {"/clusters/subset_count", GM_H5_U32, "CS", AT(subset_count), GM_ATLAS_PLAIN, NULL},
    {"/corpus/usage", GM_H5_F32, "LE", AT(corpus_usage), GM_ATLAS_PLAIN, NULL},
    {"/corpus/usage_half", GM_H5_F32, "2LE", AT(corpus_usage_half), GM_ATLAS_PLAIN, NULL},
    {"/corpus/subset_usage", GM_H5_F32, "SLE", AT(subset_usage), GM_ATLAS_PLAIN, NULL},
    {"/corpus/subset_usage_half", GM_H5_F32, "S2LE", AT(subset_usage_half), GM_ATLAS_PLAIN, NULL},
    {"/graph/indptr", GM_H5_U64, "M", AT(graph_indptr), GM_ATLAS_PLAIN, NULL},
    {"/graph/indices", GM_H5_U32, "G", AT(graph_indices), GM_ATLAS_PLAIN, NULL},
    {"/graph/weight", GM_H5_F32, "G", AT(graph_weight), GM_ATLAS_PLAIN, NULL},
    {"/tree/left", GM_H5_U32, "P", AT(tree_left), GM_ATLAS_PLAIN, NULL},
    {"/tree/right", GM_H5_U32, "P", AT(tree_right), GM_ATLAS_PLAIN, NULL},
    {"/tree/distance", GM_H5_F64, "P", AT(tree_distance), GM_ATLAS_PLAIN, NULL},
    {"/tree/size", GM_H5_U32, "P", AT(tree_size), GM_ATLAS_PLAIN, NULL},
    {"/layer", GM_H5_I32, "L", AT(layer_of_moe), GM_ATLAS_PLAIN, "layer of the model"},
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
    case 'W': return GM_N_KEYWORDS;
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
    case 'W': return "/keyword";
    case 'M': return "/bound";
    case 'P': return "/merge";
    case 'G': return "/edge";
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

void gm_atlas_fold(gm_sha256 *hash, const char *name, const uint8_t digest[32])
{
    gm_sha256_update(hash, name, strlen(name));
    gm_sha256_update(hash, digest, 32);
}
