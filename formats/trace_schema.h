/* trace_schema.h - private to formats: the datasets of a trace as one table, and its
 * root attributes. Writer, reader, merge, verify and digest all walk this table, so
 * that a dataset is described once.
 */
#ifndef GM_TRACE_SCHEMA_H
#define GM_TRACE_SCHEMA_H

#include "formats/h5_column.h"
#include "formats/trace.h"

typedef enum gm_trace_column {
    GM_COL_EXPERT,
    GM_COL_GATE,
    GM_COL_MASS,
    GM_COL_MARGIN,
    GM_COL_LOGITS,
    GM_COL_LOGITS_TOKEN,
    GM_COL_TOKEN_ID,
    GM_COL_SAMPLE,
    GM_COL_POS,
    GM_COL_PHASE,
    GM_COL_NLL,
    GM_COL_OFFSET,
    GM_COL_ID,
    GM_COL_SHA,
    GM_COL_SUBSET,
    GM_COL_SUBSET_NAME,
    GM_COL_N_TOKENS,
    GM_COL_BAD,
    GM_COL_TRUNCATED,
    GM_COL_COUNTS,
    GM_COL_TEXT_BYTES,
    GM_COL_TEXT_OFFSET,
    GM_COL_SKIP_NAME,
    GM_COL_SKIP_NUMBER,
    GM_COL_SPELT_ID, /* last, so that digests without them do not change */
    GM_COL_SPELT_OFFSET,
    GM_COL_SPELT_BYTES,
    GM_COL_LANGUAGE,
    GM_COL_NORM,
    GM_N_COLUMNS
} gm_trace_column;

/* How many of everything; the letters are those of the shapes. */
typedef struct gm_trace_sizes {
    uint64_t T, N, L, E, K;
    uint64_t S; /* rows of logits */
    uint64_t B; /* bytes of text */
    uint64_t U; /* subsets */
    uint64_t R; /* reasons for leaving documents out */
    uint64_t V; /* tokens that are spelt */
    uint64_t W; /* bytes of their spellings */
} gm_trace_sizes;

/* True when a trace of this kind has the column. */
bool gm_trace_has(const gm_trace_info *info, gm_trace_column column);

/* Name, type, shape, chunks, filters and scales of a column. */
gm_h5_layout gm_trace_layout(gm_trace_column column, const gm_trace_sizes *sizes);

/* In an index: columns without local numbers are mapped virtually, and those, with the
 * texts, are read from the shards. */
bool gm_trace_is_virtual(gm_trace_column column);
bool gm_trace_in_shards(gm_trace_column column);

/* The column of that path, GM_N_COLUMNS when there is none. */
gm_trace_column gm_trace_find_column(const char *path);

/* The size of the first dimension of a column. */
uint64_t gm_trace_rows(gm_trace_column column, const gm_trace_sizes *sizes);

/* The digest of a trace: one SHA-256 over the fingerprint and, for every column it
 * has, in table order, name and SHA-256 of the rows. */
typedef uint8_t gm_trace_hashes[GM_N_COLUMNS][32];
void gm_trace_fold_digest(const gm_trace_info *info, gm_trace_hashes hashes, char hex[65]);

/* Root attributes from and into a gm_trace_info (without layer_of_moe, a dataset). */
gm_status gm_trace_put_info(hid_t file, const gm_trace_info *info, gm_error *err) GM_MUST_USE;
gm_status gm_trace_get_info_of(hid_t file, gm_arena *arena, gm_trace_info *info, gm_error *err)
    GM_MUST_USE;

#endif
