/* assess.h - how far clusters may be trusted: every figure that needs more than the result itself.
 *
 * Sizes: C clusters, M points (documents that differ in usage).
 *
 * By default on samples, so that a fit stays fast; `full` takes all points for everything.
 */
#ifndef GM_ASSESS_H
#define GM_ASSESS_H

#include "cluster/control.h"
#include "cluster/stability.h"
#include "text/coherence.h"

typedef enum gm_quality_level {
    GM_QUALITY_SAMPLE,
    GM_QUALITY_FULL,
    GM_QUALITY_NONE
} gm_quality_level;
#define GM_QUALITY_CHOICES "sample|full|none"

/* Rows of trustworthiness, points of DBCV, of a run from another seed (all where there are no more
 * than GM_STABILITY_ALL), of the control. */
enum {
    GM_MAP_SAMPLE = 500,
    GM_VALIDITY_SAMPLE = 5000,
    GM_STABILITY_ALL = 5000,
    GM_STABILITY_SAMPLE = 2500,
    GM_CONTROL_SAMPLE = 2500
};

/* What is not known is NaN. */
typedef struct gm_assessment {
    double dbcv;      /* over n_dbcv points */
    double *validity; /* (C) of each cluster */
    size_t n_dbcv;
    bool has_reruns; /* false: stability is empty */
    gm_stability stability;
    gm_token_control control;
    gm_coherence keywords;
    double *coherence; /* (C) */
    double length_noise, length_cluster;
} gm_assessment;

typedef struct gm_assess_input {
    gm_token_control_input
        control;     /* trace, usage, labels and options; `most` is left to the level */
    const float *at; /* (N,dim) where clusters were found */
    int dim;
    size_t n_clusters;
    const char *const *keyword; /* (C, GM_N_KEYWORDS) */
    gm_quality_level level;
    bool quiet;
} gm_assess_input;

/* Errors: those of the steps; *out is empty then. */
gm_status gm_assess(gm_assessment *out, const gm_assess_input *input, gm_error *err) GM_MUST_USE;
void gm_assessment_clear(gm_assessment *assessment);

#endif
