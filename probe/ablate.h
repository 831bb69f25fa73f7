/* ablate.h - private to probe: what a model loses on which texts without some of its experts.
 *
 * The same documents are read untouched and then once under each knock-out, a bias of -inf as in a
 * plan, for all rows of a document. A change is that of loss.h: of -ln p of the same tokens, with
 * documents as independent.
 *
 * A knock-out changes nothing before the layer of its first expert. So the residual stream that
 * enters this layer is kept, for as many documents as memory is given for, and the knock-out is
 * computed from there, on a CPU with the same bits. For knock-outs of a later layer, what is kept
 * is first brought there, untouched.
 *
 * If gm_edit_is_local says so, a document whose rows have not chosen the expert is not read again:
 * its difference is exactly 0. On a CPU the figures depend on model, documents and knock-out alone;
 * on a GPU also on which documents are computed together (gm_model_info.invariance).
 *
 * Sizes: N documents, T rows, G groups, X knock-outs.
 */
#ifndef GM_ABLATE_H
#define GM_ABLATE_H

#include "probe/held_texts.h"
#include "probe/knockouts.h"
#include "probe/loss.h"

/* What one knock-out did to one group. */
typedef struct gm_ablate_row {
    gm_loss loss;    /* a: untouched, b: without the experts */
    uint64_t chosen; /* of loss.tokens those that chose one of the experts, untouched */
} gm_ablate_row;

typedef struct gm_ablate {
    const gm_model *model; /* these four are the caller's, given before the first function */
    gm_runner *runner;     /* of level choices, with -ln p */
    const gm_held_texts *texts;
    const gm_knockouts *out;
    gm_edit_mode mode;
    bool run_all;          /* also what cannot have changed */
    uint64_t keep_bytes;   /* most for the residual stream; 0: documents are read from the start */
    gm_progress *progress; /* started by the caller; in tokens */
    /* made here */
    uint32_t *user;     /* knock-outs by expert, those of expert e from user_end[e] on */
    size_t *user_end;   /* (L*E+1) */
    uint64_t *last_row; /* (X) the row that was last found to choose one of its experts, + 1 */
    float *bias;        /* (L,E) */
    float *nll;         /* (T) untouched */
    float *residual;    /* (rows of the first n_kept, D) as it enters layer at_layer; or NULL */
    size_t n_kept, at_layer;
    uint32_t *chosen;       /* (X,N) tokens of the text with -ln p that chose one of them */
    uint8_t *touched;       /* (X,N) any row did */
    gm_document_loss *loss; /* (N) of the knock-out that was last */
    gm_ablate_row *row;     /* (X,G+1) all documents first, then the groups */
    double *adjusted;       /* (X,G+1) p of the rows, all taken together; NULL before the end */
    size_t n_done;          /* knock-outs whose rows are there */
} gm_ablate;

/* Read the documents untouched. GM_EINTERRUPTED, GM_EMEM, errors of gm_runner_run. */
gm_status gm_ablate_begin(gm_ablate *ablate, gm_error *err) GM_MUST_USE;
/* Read them under knock-out n_done, and fill in its rows. Errors likewise. */
gm_status gm_ablate_next(gm_ablate *ablate, gm_error *err) GM_MUST_USE;
/* Or have knock-out n_done for done: its rows (G+1) as of untouched texts, whose figures the caller
 * knows from elsewhere. */
gm_ablate_row *gm_ablate_take(gm_ablate *ablate);
/* All are done: adjust their p (false_discovery.h). GM_EMEM. */
gm_status gm_ablate_end(gm_ablate *ablate, gm_error *err) GM_MUST_USE;
void gm_ablate_clear(gm_ablate *ablate);

/* Rows that knock-out `x` will read. */
uint64_t gm_ablate_cost(const gm_ablate *ablate, size_t x);
/* The G+1 rows of a knock-out that is done. */
const gm_ablate_row *gm_ablate_rows(const gm_ablate *ablate, size_t x);

#endif
