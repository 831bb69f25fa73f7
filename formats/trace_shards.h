/* trace_shards.h - private to formats: the inside of a gm_trace, one file, an index or a
 * folder of shards seen as one row of documents and tokens.
 *
 * Shards are opened one at a time, when rows of theirs are asked for; an index is not
 * read through its virtual datasets, because those give fill values for a missing
 * shard without an error.
 */
#ifndef GM_TRACE_SHARDS_H
#define GM_TRACE_SHARDS_H

#include "formats/names.h"
#include "formats/trace_file.h"

/* One file's documents, tokens and logit rows. */
typedef struct gm_trace_shard {
    const char *path;
    const char *digest;              /* what an index says; NULL elsewhere */
    int64_t number;                  /* of a listed shard's block */
    uint64_t document, token, logit; /* of its first, in the whole trace */
    gm_trace_sizes sizes;
} gm_trace_shard;

/* What gm_trace_select selected. */
typedef struct gm_trace_view {
    gm_trace_info info;
    gm_trace_samples samples;
    const size_t *layer;    /* (info.n_layers) rows of the whole's layers */
    const size_t *document; /* (samples.n) places in the whole's samples */
} gm_trace_view;

struct gm_trace {
    gm_trace_file head;    /* the file itself, the index, or the first shard */
    bool is_shards;        /* shards of a folder or a list: each counts from 0 */
    gm_trace_shard *shard; /* (n_shards); a file by itself is one */
    size_t n_shards;
    size_t n_open; /* shard[n_open] is open as `open`; n_shards: none is */
    gm_trace_file open;
    gm_trace_sizes sizes; /* of the whole */
    uint64_t n_read;      /* documents of the corpus that the shards cover */
    gm_trace_samples samples;
    gm_trace_view *view; /* in the arena; NULL: all of it */
    gm_trace_skips skips;
    gm_names subsets;           /* holds samples.subset_name */
    gm_trace_spelling spelling; /* of all shards, once it was asked for; offset NULL: not yet */
    uint32_t *spelt;            /* (n_spelt) by id: its place in spelling plus 1; 0: it has none */
    size_t n_spelt;
    gm_arena arena;
};

/* Find the shards of an opened head (index, file) or of the folder `path`, and where
 * each begins. */
gm_status gm_trace_find_shards(gm_trace *trace, const char *path, gm_error *err) GM_MUST_USE;

/* gm_trace_open for shards named one by one, in any order: gm_trace_merge says which. */
gm_status gm_trace_open_list(gm_trace **out, const char *const *shard, size_t n, gm_error *err)
    GM_MUST_USE;

/* Open shard i, as trace->open; checks that it is of the same run. */
gm_status gm_trace_open_shard(gm_trace *trace, size_t i, gm_error *err) GM_MUST_USE;

/* GM_ECHECK, with a sentence, unless the counts of every document are those of its
 * recorded choices. Nothing to check where only counts were recorded. */
gm_status gm_trace_recount(gm_trace *trace, gm_error *err) GM_MUST_USE;

/* Read trace->spelling, unless that was done, which holds the spellings of all shards. */
gm_status gm_trace_read_spelling(gm_trace *trace, gm_error *err) GM_MUST_USE;

/* GM_EARG or GM_EFORMAT (`code`), with a sentence about `where`, unless ids and offsets ascend and
 * are in range. */
gm_status gm_trace_check_spelling(const gm_trace_spelling *spelling, const char *where,
                                  gm_status code, gm_error *err) GM_MUST_USE;

/* The rows of the whole, counted as `column` counts them (documents or tokens), that rows [first,
 * first + n) of a narrowed trace are: row (n), written, ascending. */
void gm_trace_whole_rows(uint64_t *row, const gm_trace *trace, gm_trace_column column,
                         uint64_t first, size_t n);

/* Read /samples and /corpus of all shards. */
gm_status gm_trace_read_samples(gm_trace *trace, gm_error *err) GM_MUST_USE;

#endif
