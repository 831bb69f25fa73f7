/* examples.h - documents that represent a cluster, and members that fit it least.
 *
 * Sizes: N documents, D dimensions, C clusters.
 */
#ifndef GM_EXAMPLES_H
#define GM_EXAMPLES_H

#include "cluster/distinct.h"
#include "cluster/points.h"
#include "formats/atlas.h"

/* All borrowed. */
typedef struct gm_examples_input {
    const gm_usage *usage; /* N rows of D */
    const gm_distinct *distinct;
    gm_metric metric;
    const int32_t *label; /* (N) in [0,C), or -1 */
    const float *mean;    /* (C,D) of the usage vectors of each cluster */
    size_t n_clusters;
} gm_examples_input;

/* For each cluster its members nearest to its mean in the metric, nearest first, and those farthest
 * from it, farthest first; ties by canonical place. Documents that use the experts alike appear
 * once, as the first. Both (C, GM_N_EXAMPLES) written with canonical places, UINT32_MAX after the
 * last. Errors: GM_EARG from the metric; GM_EMEM. */
gm_status gm_examples_find(uint32_t *nearest, uint32_t *farthest, const gm_examples_input *in,
                           gm_error *err) GM_MUST_USE;

#endif
