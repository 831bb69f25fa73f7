/* cluster_verdict.h - what the quality figures mean, in plain sentences: what may be trusted, what
 * is to be doubted, and why.
 *
 * In the atlas's quality JSON: `verdict`, an array of {"level": "trust" | "fair" | "doubt",
 * "about", "text"}; `thresholds`, an object of [good, poor] by the name of the figure. Where good >
 * poor a larger figure is better. Sources of the thresholds: cuML's developer guide
 * (trustworthiness), hdbscan's tests (DBCV), EVoC's table of seeds (ARI), Hennig 2007 (Jaccard),
 * Roeder et al. 2015 and Dieng et al. 2020 (keywords); noise, lengths, homogeneity and purity by
 * what the Pile allows.
 */
#ifndef GM_CLUSTER_VERDICT_H
#define GM_CLUSTER_VERDICT_H

#include "base/json.h"
#include "cluster/analysis.h"
#include "formats/atlas.h"

#include <stdio.h>

typedef enum gm_verdict { GM_VERDICT_TRUST, GM_VERDICT_FAIR, GM_VERDICT_DOUBT } gm_verdict;

typedef struct gm_threshold {
    const char *figure; /* its name in the quality JSON; of one in each cluster, its dataset */
    double good, poor;
} gm_threshold;

/* "trust", "fair", "doubt". */
const char *gm_verdict_name(gm_verdict verdict);

/* The threshold of a figure, NULL for one without. */
const gm_threshold *gm_threshold_find(const char *figure);

/* FAIR between good and poor, and for NaN. */
gm_verdict gm_threshold_judge(const char *figure, double value);

/* Write `verdict` and `thresholds` into an open object. atlas: its clusters and subsets are read.
 * Errors: GM_EMEM. */
gm_status gm_verdict_put(gm_json_out *out, const gm_analysis *analysis, const gm_atlas *atlas,
                         gm_error *err) GM_MUST_USE;

/* Print the sentences of a quality JSON, one a line, doubts first. Nothing when it has none.
 * Errors: those of gm_json_parse. */
gm_status gm_verdict_print(FILE *to, const char *quality, gm_error *err) GM_MUST_USE;

#endif
