/* blocks.h - cuts a corpus into blocks: consecutive documents up to 65,536 tokens or
 * 1,024 documents. A pure function of corpus and options, so that a run that was
 * killed, or divided among tasks, meets the same blocks again.
 *
 * A block also counts what was left out after its documents, up to the first of the
 * next block; the first block also counts what came before. The first 8 unusable lines
 * are named on stderr.
 */
#ifndef GM_PROBE_BLOCKS_H
#define GM_PROBE_BLOCKS_H

#include "probe/block.h"

typedef struct gm_blocks_options {
    const char *const *paths;
    size_t n_paths;
    gm_corpus_options corpus;
    bool subset_asked; /* its field of subsets was named: warn where the first block has none */
    const gm_tokenizer *tokenizer;
    size_t doc_tokens;  /* text tokens kept of a document, at least 1 */
    size_t max_context; /* rows of a document, template tokens included */
    size_t min_tokens;
    uint64_t limit;  /* documents; 0: all */
    uint64_t sample; /* the documents of smallest hash(seed, sha); 0: all */
    bool per_subset; /* `sample` of each subset */
    uint64_t seed;
    bool keep_text;
    bool spell; /* note how tokens are spelt */
} gm_blocks_options;

typedef struct gm_blocks gm_blocks;

/* Open the corpus. With `sample` it is read once now, for its hashes; 24 bytes of
 * memory a document. Options are borrowed until the free. */
gm_status gm_blocks_create(gm_blocks **out, const gm_blocks_options *options, gm_error *err)
    GM_MUST_USE;
void gm_blocks_free(gm_blocks *blocks);

/* The next block, the caller's to free; NULL when there is none. A corpus without one
 * usable document is GM_EFORMAT, saying what was wrong with it. */
gm_status gm_blocks_next(gm_blocks *blocks, gm_probe_block **out, gm_error *err) GM_MUST_USE;

/* Pass over a block that is there already: its documents are read but not tokenized,
 * and compared by sha[0..n), 32 bytes each. GM_EFORMAT when the corpus has changed. */
gm_status gm_blocks_skip(gm_blocks *blocks, uint64_t n_read, const uint8_t *sha, size_t n,
                         gm_error *err) GM_MUST_USE;

/* Share of the corpus read, or of its limit kept, 0 to 1, and its bytes. */
double gm_blocks_share(const gm_blocks *blocks);
uint64_t gm_blocks_bytes(const gm_blocks *blocks);

#endif
