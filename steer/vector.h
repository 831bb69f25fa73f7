/* vector.h - from usage rates to a steering vector: filters, scales, and the controls that it is
 * compared with.
 *
 * Sizes: L MoE layers, E experts. Every array is (L,E). Rates are means of usage
 * vectors and sum to 1; e = 0.05/(L*E) smooths every ratio.
 */
#ifndef GM_VECTOR_H
#define GM_VECTOR_H

#include "base/rng.h"

/* What is to be strengthened, and what it is compared with. All borrowed. */
typedef struct gm_rates {
    int n_layers, n_experts;
    const float *rate;    /* of the cluster, p_c */
    const float *half[2]; /* of its documents whose sha begins even, odd */
    const float *corpus;  /* of all documents, p */
} gm_rates;

typedef enum gm_filter_kind {
    GM_FILTER_LIFT,       /* lift >= 1.25 (signed scales: or <= 0.8) in both halves */
    GM_FILTER_TOP,        /* the n largest rates of each layer */
    GM_FILTER_TOP_GLOBAL, /* the n largest rates of all layers */
    GM_FILTER_QUANTILE,   /* rates not below the q quantile of all rates */
    GM_FILTER_NONE
} gm_filter_kind;

typedef struct gm_filter {
    gm_filter_kind kind;
    int n;    /* TOP, TOP_GLOBAL: >= 1 */
    double q; /* QUANTILE: in [0,1] */
} gm_filter;

/* "lift", "top:6", "top-global:40", "quantile:0.95", "none". GM_EARG otherwise. */
gm_status gm_filter_parse(gm_filter *out, const char *text, gm_error *err) GM_MUST_USE;

#define GM_SCALES "logratio|logit|article"
typedef enum gm_scale {
    GM_SCALE_LOGRATIO, /* ln of cluster over corpus rate, clipped to +-2: signed, in logits */
    GM_SCALE_LOGIT,    /* each layer's filtered rates brought to maximum 1 */
    GM_SCALE_ARTICLE   /* the filtered rates as they are */
} gm_scale;

/* The filtered, scaled vector, written. Ties go to the lower layer, then the lower
 * id. GM_EMEM. */
gm_status gm_vector_make(float *out, const gm_rates *rates, const gm_filter *filter, gm_scale scale,
                         gm_error *err) GM_MUST_USE;

typedef enum gm_control {
    GM_CONTROL_NONE,
    GM_CONTROL_RANDOM,   /* a layer's values on experts drawn at random: as many, the same values */
    GM_CONTROL_SHUFFLED, /* a layer's values exchanged among the experts that have them */
    GM_CONTROL_OTHER,    /* another cluster's vector */
    GM_CONTROL_MEAN,     /* the corpus mean's vector, compared with uniform rates */
    GM_CONTROL_COMMITTEE, /* the experts that every text uses, gm_vector_committee */
    GM_CONTROL_HALF,      /* the vector of half the cluster's documents */
    GM_CONTROL_REVERSE    /* the sign reversed */
} gm_control;

/* Replace `vector` by its RANDOM, SHUFFLED or REVERSE control. Draws are a function of
 * seed and layer. GM_EMEM. */
gm_status gm_vector_control(float *vector, int n_layers, int n_experts, gm_control control,
                            uint64_t seed, gm_error *err) GM_MUST_USE;

/* The committee: in each layer the fewest experts that together have half of `rate`, each
 * at 1; ties to the lower id. Written. Source: arXiv:2601.03425. GM_EMEM. */
gm_status gm_vector_committee(float *out, const float *rate, int n_layers, int n_experts,
                              gm_error *err) GM_MUST_USE;

/* Scale each layer of `vector` to the Euclidean norm that it has in `model`; a layer
 * of zeros stays. */
void gm_vector_match_norm(float *vector, const float *model, int n_layers, int n_experts);

/* The important experts of a vector: its positive entries, the strongest `most` a
 * layer, ties to the lower id. Written as 0 or 1. */
void gm_vector_important(uint8_t *out, const float *vector, int n_layers, int n_experts, int most);

#endif
