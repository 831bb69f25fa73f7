/* rope.h - the angles of rotary positions, as they are, stretched by YaRN or divided by LongRoPE.
 *
 * The first `dim` elements of a head turn, in pairs; what lies behind them stays. Pair i, elements
 * i and i + dim / 2 or neighbours 2 i and 2 i + 1, turns by theta^(-2 i / dim) from one position to
 * the next. YaRN
 * divides that by `factor` for the pairs that turn less than beta_slow times over the positions
 * that the model was first made for, leaves it for those that turn more than beta_fast times, and
 * goes from the one to the other in a straight line over i; cosine and sine are multiplied by
 * `amplitude`. DeepSeek's form names two factors m of M(m) = 0.1 m ln factor + 1: the amplitude is
 * M(mscale) / M(mscale_all_dim), and attention's scale is multiplied by M(mscale_all_dim)^2 where
 * mscale_all_dim is not 0. Source: arXiv:2309.00071, and transformers, modeling_rope_utils.py,
 * whose rules for the ends of the line these are.
 *
 * LongRoPE divides each pair's step by a number of its own, and cosine and sine are multiplied by
 * an amplitude. A config names numbers for sequences up to the length that the model was first made
 * for, which are taken, and others for longer ones. Source: arXiv:2402.13753.
 */
#ifndef GM_ROPE_H
#define GM_ROPE_H

#include "base/json.h"

struct gm_family;

typedef struct gm_rope {
    double theta;
    size_t dim;      /* elements that turn, even */
    bool neighbours; /* pairs are of neighbours */
    bool yarn;       /* the rest is YaRN's */
    double factor;
    double first_context; /* positions that the model was first made for; LongRoPE's too */
    double beta_fast, beta_slow;
    bool whole;       /* the line's ends are rounded outwards to pairs */
    double amplitude; /* of cosine and sine: 0.1 ln factor + 1, unless the config says so */
    double attention; /* of attention's scale: 1 but in DeepSeek's form */
    double *divisor;  /* (dim / 2) of the pairs' steps, LongRoPE's; NULL: none */
} gm_rope;

/* From "rope_scaling" or "rope_parameters", or from the config itself where neither is there, for
 * heads of `head_dim`, of which a part turns where the family has such a part. YaRN and LongRoPE
 * are refused where the family does not have them, other variants always, and so are two that
 * differ. GM_EFORMAT, GM_EMEM; gm_rope_clear frees. */
gm_status gm_rope_read(gm_rope *out, const gm_json *config, const struct gm_family *family,
                       size_t head_dim, const char *where, gm_error *err) GM_MUST_USE;

void gm_rope_clear(gm_rope *rope);

/* Let the first `dim` of a head's elements turn; `key` said so. GM_EFORMAT when there are not as
 * many, or they are no pairs. */
gm_status gm_rope_set_dim(gm_rope *rope, double dim, size_t head_dim, const char *key,
                          const char *where, gm_error *err) GM_MUST_USE;

/* What pair `i` turns by from one position to the next. */
double gm_rope_step(const gm_rope *rope, size_t i);

/* Cosines and sines of positions 0 to n - 1: (n, dim / 2), rows `stride` floats apart; computed in
 * double. */
void gm_rope_fill(const gm_rope *rope, size_t n, size_t stride, float *cosine, float *sine);

#endif
