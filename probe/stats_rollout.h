/* stats_rollout.h - private to probe: does the text that a model read predict the experts it
 * chooses when it writes?
 *
 * For every document with prompt and generated tokens: the cosine, layer by layer, of the counts
 * of its prompt with those of what was generated; beside it the cosine with the prompt of the
 * document before (of those with both), which is what experts that are always on give anyway.
 * Source: arXiv:2604.09780 compares routing of prompt and rollout; the other prompt is ours.
 */
#ifndef GM_STATS_ROLLOUT_H
#define GM_STATS_ROLLOUT_H

#include "formats/trace.h"

typedef struct gm_rollout {
    size_t L;
    uint64_t documents;  /* with tokens of both phases */
    double *own, *other; /* (L) means over documents; other over one less, NaN for none */
} gm_rollout;

/* Read a trace with choices once more. Bad rows are left out. GM_EIO, GM_EFORMAT (an expert out
 * of range), GM_EMEM, GM_EINTERRUPTED. */
gm_status gm_rollout_count(gm_rollout *rollout, gm_trace *trace, gm_error *err) GM_MUST_USE;
void gm_rollout_clear(gm_rollout *rollout);

#endif
