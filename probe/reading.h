/* reading.h - private to probe: tokens of a trace with what the router chose for them, as the page
 * of gm-probe read has them.
 *
 * Sizes: T tokens of all passages, one after another; M layers kept; E experts, K a token.
 * Choices are by layer, since the page shows one at a time; gates and margins are the bits of the
 * trace's halves, so that nothing is rounded.
 */
#ifndef GM_READING_H
#define GM_READING_H

#include "probe/passages.h"

typedef struct gm_reading {
    size_t T, M, E, K;
    uint32_t *token, *pos; /* (T) */
    uint8_t *phase;        /* (T) */
    float *nll;            /* (T); NULL: not recorded */
    uint16_t *expert;      /* (M,T,K), GM_TRACE_NO_EXPERT in bad rows */
    uint16_t *gate;        /* (M,T,K); NULL: not recorded */
    uint16_t *margin;      /* (M,T); likewise */
    float *corpus;         /* (M,E) share of all documents' tokens that chose the expert */
} gm_reading;

/* Read what the passages have, in the MoE layers layer[0..M), ascending. GM_EIO, GM_EFORMAT,
 * GM_EMEM, GM_EINTERRUPTED. */
gm_status gm_reading_read(gm_reading *out, gm_trace *trace, const gm_passages *passages,
                          const size_t *layer, size_t M, gm_error *err) GM_MUST_USE;
void gm_reading_clear(gm_reading *reading);

#endif
