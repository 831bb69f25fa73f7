/* contrast_groups.h - private to probe: the documents that are contrasted, and their rates: two
 * groups of one trace by their subsets, or the same texts in two traces.
 *
 * Documents of two traces are matched by the SHA-256 of their text, in any order, each text once.
 * They may have other tokens, or another number of them: a rate is a share of the document's own.
 */
#ifndef GM_CONTRAST_GROUPS_H
#define GM_CONTRAST_GROUPS_H

#include "base/cli.h"
#include "formats/trace.h"
#include "probe/contrast.h"
#include "probe/pairs.h"

typedef struct gm_contrast_groups {
    const gm_trace_info *info; /* of the (first) trace, borrowed */
    gm_contrast_data data;     /* of the documents that have choices in every layer */
    size_t n_a, n_b, n_left;   /* documents of data; left out of either group: without choices */
    size_t n_alone[2];         /* of two traces: documents without a partner in the other, */
    size_t n_copies;           /* and those that repeat a text of their own trace */
    uint32_t *pair;            /* data.pair */
} gm_contrast_groups;

/* Documents of subsets `a` against those of `b`, or against all others where b is empty.
 * GM_EARG: an unknown subset, one in both groups, what pairs.h refuses; GM_EIO, GM_EFORMAT,
 * GM_EMEM, GM_EINTERRUPTED. */
gm_status gm_contrast_groups_of_subsets(gm_contrast_groups *groups, gm_trace *trace,
                                        const gm_opt_list *a, const gm_opt_list *b, gm_pairing how,
                                        gm_error *err) GM_MUST_USE;

/* The documents of `trace` (of some subsets, unless there are none in the list) against the same
 * texts in `other`, in pairs. GM_EARG: layers, experts or K differ, fewer than two texts in both,
 * an unknown subset; else as above. */
gm_status gm_contrast_groups_of_traces(gm_contrast_groups *groups, gm_trace *trace, gm_trace *other,
                                       const gm_opt_list *subsets, gm_error *err) GM_MUST_USE;

void gm_contrast_groups_clear(gm_contrast_groups *groups);

/* Two heatmaps, *.png or *.svg: differences of the rates, and log-ratios, of the experts (L*E)
 * whose p is at most alpha, or has not been asked for. Errors: those of gm_figure_heat. */
gm_status gm_contrast_figure(const gm_contrast_groups *groups, const gm_contrast_expert *expert,
                             double alpha, const char *path, bool replace, gm_error *err)
    GM_MUST_USE;

#endif
