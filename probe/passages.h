/* passages.h - private to probe: which texts of a trace gm-probe read shows.
 *
 * A passage is consecutive tokens of one document, usually all of them. Chosen are named documents;
 * or those that use an expert most, followed by the passages in which it has its largest gates; or
 * some of every subset, evenly spaced, since neighbours in a corpus are often parts of one work.
 */
#ifndef GM_PASSAGES_H
#define GM_PASSAGES_H

#include "formats/trace.h"

enum {
    GM_PASSAGE_SUBSETS = 6, /* shown where none is named, those of most documents */
    GM_PASSAGE_REACH = 32,  /* tokens on each side of an expert's largest gate */
    GM_NO_HIT = -1
};

typedef struct gm_passage {
    size_t document;
    uint64_t first; /* its tokens: rows first .. first+n-1 of the trace */
    size_t n;
    int64_t hit;  /* the token that it is shown for, in [0,n), or GM_NO_HIT: a whole document */
    double value; /* share of the document's tokens that chose the expert; its gate at `hit`; NaN
                   * without an expert */
} gm_passage;

typedef struct gm_passages {
    gm_passage *at; /* (n) */
    size_t n;
} gm_passages;

typedef struct gm_passages_wanted {
    const char *const
        *document; /* (n_documents) an id; 8 or more digits of a sha; a number from 0 */
    size_t n_documents;
    const char *const *subset; /* (n_subsets) names; with an expert: only documents of these */
    size_t n_subsets;
    bool by_expert;
    size_t l, e;         /* MoE layer, expert */
    size_t limit, peaks; /* documents of each subset, or of the expert; its passages */
    bool quiet;
} gm_passages_wanted;

/* Errors: GM_EARG for a document or a subset that is not there, or when nothing is left to show;
 * GM_EABSENT when the trace holds counts alone; GM_EIO, GM_EFORMAT, GM_EMEM, GM_EINTERRUPTED. With
 * an expert the counts of all documents are read, and the choices of all that it was chosen in. */
gm_status gm_passages_choose(gm_passages *out, gm_trace *trace, const gm_passages_wanted *wanted,
                             gm_error *err) GM_MUST_USE;
void gm_passages_clear(gm_passages *passages);

#endif
