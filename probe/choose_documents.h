/* choose_documents.h - which documents of a corpus a sample takes: those whose hash of seed and
 * SHA-256 is smallest, of the whole corpus or of each subset. No dependence on threads,
 * shards or the order of documents.
 *
 * Drawn among usable lines, before the minimum length is known.
 */
#ifndef GM_PROBE_SAMPLE_H
#define GM_PROBE_SAMPLE_H

#include "base/base.h"

struct gm_blocks_options;

typedef struct gm_sample {
    uint64_t *ordinal; /* (n) documents of the corpus from 0, unusable ones counted; ascending */
    size_t n;
} gm_sample;

/* Read the corpus of the options once and draw. Errors: those of the corpus, GM_EIO when it is a
 * pipe, which could not be read again, GM_EMEM. */
gm_status gm_sample_draw(gm_sample *sample, const struct gm_blocks_options *options, gm_error *err)
    GM_MUST_USE;
bool gm_sample_has(const gm_sample *sample, uint64_t ordinal);
void gm_sample_clear(gm_sample *sample);

#endif
