/* choose_documents.h - which documents of a corpus a sample takes: those whose hash of seed and
 * SHA-256 is smallest, of the whole corpus or of each subset. No dependence on threads,
 * shards or the order of documents.
 *
 * Drawn among usable lines, before the minimum length is known.
 */
#ifndef GM_PROBE_CHOOSE_DOCUMENTS_H
#define GM_PROBE_CHOOSE_DOCUMENTS_H

#include "probe/blocks.h"

typedef struct gm_drawn {
    uint64_t ordinal; /* of the corpus's documents from 0, unusable ones counted */
    uint64_t key;     /* hash of seed and SHA-256 */
} gm_drawn;

typedef struct gm_sample {
    gm_drawn *at; /* (n) by ordinal */
    size_t n;
    uint64_t seed;
} gm_sample;

/* Read the corpus of the options once and draw. Errors: those of the corpus, GM_EIO when it is a
 * pipe, which could not be read again, GM_EMEM. */
gm_status gm_sample_draw(gm_sample *sample, const gm_blocks_options *options, gm_error *err)
    GM_MUST_USE;
/* Is the document of this ordinal drawn? GM_EFORMAT when it is not the one that was. */
gm_status gm_sample_has(const gm_sample *sample, uint64_t ordinal, const gm_document *document,
                        bool *yes, gm_error *err) GM_MUST_USE;
void gm_sample_clear(gm_sample *sample);

#endif
