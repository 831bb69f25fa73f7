/* rope.h - the angles of rotary positions: plain, proportional, YaRN, Llama 3's, LongRoPE or NTK by
 * a fixed alpha.
 *
 * The first `dim` elements of a head are rotated in pairs, the others are left alone. Pair i,
 * elements i and i + dim / 2 or neighbours 2 i and 2 i + 1, turns by theta^(-2 i / dim) from one
 * position to the next.
 *
 * The proportional form, of p-RoPE (arXiv:2410.06205), turns only the first `turning` pairs, by the
 * same angles, and leaves the slower ones alone.
 *
 * YaRN divides that step by `factor` for pairs that turn less than beta_slow times over the
 * original context, keeps it for those that turn more than beta_fast times, and interpolates
 * linearly over i between them; cosine and sine are multiplied by `amplitude`. DeepSeek's form
 * names two factors m of M(m) = 0.1 m ln factor + 1: the amplitude is M(mscale) /
 * M(mscale_all_dim), and attention's scale is multiplied by M(mscale_all_dim)^2 unless
 * mscale_all_dim is 0. Source: arXiv:2309.00071; the ends of the line: transformers,
 * modeling_rope_utils.py.
 *
 * Llama 3's form does the same, but interpolates linearly over the turns, and has no amplitude.
 * Source: arXiv:2407.21783, section 3.4.2; transformers, modeling_rope_utils.py.
 *
 * LongRoPE divides each pair's step by a number of its own, and multiplies cosine and sine by an
 * amplitude. Of the config's two lists of numbers, the one for sequences within the original
 * context is used. Source: arXiv:2402.13753.
 *
 * NTK by a fixed alpha, which Hunyuan calls 'dynamic' though no length changes it, multiplies theta
 * by alpha^(dim / (dim - 2)): the slowest pair turns alpha times slower, the fastest as before.
 */
#ifndef GM_ROPE_H
#define GM_ROPE_H

#include "base/json.h"

struct gm_family;

typedef struct gm_rope {
    double theta;
    size_t dim;      /* rotated elements, even; 0: positions do not enter attention */
    bool neighbours; /* pairs are neighbours */
    bool yarn;       /* the rest is YaRN's, */
    bool turns;      /* or Llama 3's, as far as it has them */
    double factor;
    double first_context; /* original context, in positions; LongRoPE's too */
    double beta_fast, beta_slow;
    bool whole;       /* the line's ends are rounded outwards to pairs */
    double amplitude; /* of cosine and sine: 0.1 ln factor + 1, unless the config says so */
    double attention; /* factor of attention's scale: 1 except in DeepSeek's form */
    double alpha;     /* of NTK, which theta has in it already; 1: none */
    double *divisor;  /* (dim / 2) of the pairs' steps: LongRoPE; NULL: none */
    size_t turning;   /* pairs, of the proportional form; 0: all */
} gm_rope;

/* From "rope_scaling" or "rope_parameters", or else from the config itself, for heads of
 * `head_dim`. YaRN, LongRoPE and Llama 3's form are refused in families without them, other
 * variants always, and so are two descriptions that differ. GM_EFORMAT, GM_EMEM; gm_rope_clear
 * frees. */
gm_status gm_rope_read(gm_rope *out, const gm_json *config, const struct gm_family *family,
                       size_t head_dim, const char *where, gm_error *err) GM_MUST_USE;

/* The same for layers of a `type` of their own, as "rope_parameters" has it under that name, plain
 * or, in families with YaRN, that, in others proportional; where the config does not have it,
 * `otherwise`. */
gm_status gm_rope_read_type(gm_rope *out, const gm_json *config, const struct gm_family *family,
                            const char *type, const gm_rope *otherwise, size_t head_dim,
                            const char *where, gm_error *err) GM_MUST_USE;

void gm_rope_clear(gm_rope *rope);

/* Rotate the first `dim` elements of a head, as the config's `key` says. GM_EFORMAT unless dim is
 * even and at most head_dim. */
gm_status gm_rope_set_dim(gm_rope *rope, double dim, size_t head_dim, const char *key,
                          const char *where, gm_error *err) GM_MUST_USE;

/* The angle by which pair `i` turns from one position to the next. */
double gm_rope_step(const gm_rope *rope, size_t i);

/* Cosines and sines of positions 0 to n - 1: (n, dim / 2), rows `stride` floats apart; computed in
 * double. */
void gm_rope_fill(const gm_rope *rope, size_t n, size_t stride, float *cosine, float *sine);

#endif
