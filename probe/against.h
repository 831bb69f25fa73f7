/* against.h - private to probe: how far two traces of the same documents choose the same
 * experts, split by the margin of the first: across backends, precisions, quantisations,
 * checkpoints, or with and without a plan.
 *
 * Documents are matched by the SHA-256 of their text, in any order. Rows of a pair are compared as
 * long as their token ids are the same, since after the first difference the contexts
 * differ. Rows that are bad in either trace are left out.
 * Source: `shared` over K is OLMoE's router saturation (arXiv:2409.02060, section 5.1) where
 * the second trace is of the final checkpoint.
 */
#ifndef GM_AGAINST_H
#define GM_AGAINST_H

#include "probe/loss.h"

enum {
    GM_MARGIN_EXPONENT = -12,
    GM_MARGIN_BINS = 16 /* bin b: margin in [2^(b-12), 2^(b-11)); the first from 0, the last
                           without an end: K = E has an infinite margin */
};

/* (token, layer) pairs of one bin. */
typedef struct gm_agree {
    uint64_t n, same_set, same_first; /* pairs; of them with the same K, with the same strongest */
    uint64_t shared;                  /* experts that both chose, summed: at most K n */
} gm_agree;

typedef struct gm_against {
    const gm_trace_info *info; /* of the first trace, as are its samples; borrowed */
    const gm_trace_samples *samples;
    uint64_t documents, alone; /* that met; of the first that found none in the second */
    uint64_t tokens;           /* rows compared */
    uint64_t left;             /* rows of documents that met which were not: other ids, bad */
    gm_agree *agree;           /* (L,GM_MARGIN_BINS); all in bin 0 if info->no_margins */
    gm_document_loss *loss;    /* (N of the first); NULL where a trace has no -ln p */
} gm_against;

/* GM_EARG unless both traces have the same layers, experts and K. */
gm_status gm_against_check_sizes(const gm_trace_info *a, const gm_trace_info *b, gm_error *err)
    GM_MUST_USE;

/* Compare two traces with choices; each is read once, a few thousand rows at a time.
 * GM_EARG when layers, experts or K differ; GM_EABSENT without choices; GM_EIO, GM_EFORMAT,
 * GM_EMEM, GM_EINTERRUPTED. */
gm_status gm_against_compare(gm_against *against, gm_trace *a, gm_trace *b, bool quiet,
                             gm_error *err) GM_MUST_USE;
void gm_against_clear(gm_against *against);

/* The sum over layers [l, l + n_layers) of bin `bin`, -1: of all bins. */
gm_agree gm_against_sum(const gm_against *against, size_t l, size_t n_layers, int bin);

/* Members of the open object; tables on stdout. */
void gm_against_put(const gm_against *against, gm_json_out *out);
void gm_against_print(const gm_against *against);

#endif
