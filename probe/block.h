/* block.h - one block of a run in memory: documents, their tokens, and what the routers
 * did with them. Filled by blocks.h (documents) and runner.h (routing), written by
 * writer.h as one shard.
 */
#ifndef GM_PROBE_BLOCK_H
#define GM_PROBE_BLOCK_H

#include "base/arena.h"
#include "base/text.h"
#include "engine/engine.h"
#include "engine/tokenizer/tokenizer.h"
#include "formats/trace.h"
#include "text/corpus.h"

/* Reasons for leaving documents out: those of gm_skip but the first, and one more. */
enum { GM_PROBE_NOT_SAMPLED = GM_N_SKIPS - 1, GM_PROBE_N_SKIPS = GM_N_SKIPS };
void gm_probe_skip_names(const char *name[GM_PROBE_N_SKIPS]);
/* In brackets, which option decided it, or "". */
const char *gm_probe_skip_option(const char *name);

enum { GM_BLOCK_MAX_TOKENS = 65536, GM_BLOCK_MAX_DOCUMENTS = 1024 };

typedef struct gm_probe_block {
    uint64_t number, n_read;
    bool more;
    uint64_t skipped[GM_PROBE_N_SKIPS];

    gm_trace_document document[GM_BLOCK_MAX_DOCUMENTS]; /* texts point into the arena */
    size_t begin[GM_BLOCK_MAX_DOCUMENTS + 1];           /* first row of each document */
    size_t n_documents;
    gm_ids token;   /* (T) */
    uint8_t *phase; /* (T), room for phase_cap */
    size_t phase_cap;

    /* routing: NULL where the record level has no use for it */
    uint32_t *counts;     /* (n_documents,L,E) */
    uint16_t *expert;     /* (T,L,K) */
    float *gate, *norm;   /* (T,L,K) */
    float *mass, *margin; /* (T,L) */
    float *nll;           /* (T) */
    float *scale;         /* (T) as gm_record's */
    uint32_t *pos;        /* (T) */
    uint64_t *logit_row;  /* (n_logit_rows) */
    float *logits;        /* (n_logit_rows,L,E) */
    size_t n_logit_rows;
    gm_expert_sums *sums; /* borrowed, of all blocks; NULL: none */
    float **residual; /* (n_documents) of (rows,D) for gm_runner_layers; all borrowed, or NULL */

    gm_trace_spelling spelling; /* empty unless it was asked for */
    gm_arena arena;
} gm_probe_block;

gm_status gm_probe_block_create(gm_probe_block **out, uint64_t number, gm_error *err) GM_MUST_USE;
void gm_probe_block_free(gm_probe_block *block);

/* Has the block room for a document of n tokens? An empty one always has. */
bool gm_probe_block_fits(const gm_probe_block *block, size_t n);

/* Append a document of ids[0..n), of which the first n_before and the last n_after are
 * template tokens; everything is copied. text NULL: left out. */
typedef struct gm_probe_document {
    const char *id, *subset, *language, *text;
    size_t n_text;
    uint8_t sha[32];
    const uint32_t *token;
    size_t n, n_before, n_after;
    bool truncated;
} gm_probe_document;
gm_status gm_probe_block_add(gm_probe_block *block, const gm_probe_document *document,
                             gm_error *err) GM_MUST_USE;

/* Note how the tokens of the block's texts are spelt. */
gm_status gm_probe_block_spell(gm_probe_block *block, const gm_tokenizer *tokenizer, gm_error *err)
    GM_MUST_USE;

/* The block as gm_trace_write takes it; borrows from it. */
gm_trace_block gm_probe_block_view(const gm_probe_block *block);

#endif
