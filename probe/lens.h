/* lens.h - private to probe: what each expert writes, read through the final norm and the head.
 *
 * Sizes: L MoE layers, E experts, K per token, D width, V tokens that the texts have (or, if
 *        `every` is set, that the tokenizer spells: rows of the head that were hardly trained go up
 *        together where others go down, and fill many lists).
 *
 * Of an expert, over the tokens that chose it: c, the mean of what it adds to the residual stream
 * (its output times its gate and the model's scales: gm_expert_sums). Of a layer: m, the mean over
 * all its choices. v = c - m is what sets the expert apart (`plain`: v = c).
 *
 * The score of token u, in nats of its logit:
 *
 *     score(u) = s / sigma  (h[u] - mean of h over V) . (w v),      1/sigma = mean of 1/sigma[t]
 *
 * h: rows of the head, s: the model's scale of logits, w: weights of the final norm, sigma[t]: what
 * that norm divides token t of the corpus by (gm_record's scale). A final LayerNorm first takes
 * the mean of v's elements from v. So the score is what choosing the expert adds to the logit of u,
 * against that of other tokens, on the direct way to the head, at the norm's usual scale: what
 * later layers make of it is not in it. It is linear in v, biases of norm and head drop out, and
 * the head computes it, with the model's numerics. Models with a norm behind their experts are
 * refused (among them those that cap logits).
 *
 * The same is made of the two halves of the documents (the first byte of their sha even, odd), m
 * and all. A token comes back if it is in both halves' lists too.
 *
 * Sources: concepts promoted in vocabulary space, Geva et al. 2022, arXiv:2203.14680, by dot
 * products with the head, without a norm; direct logit attribution with the norm's scale held
 * fixed, Elhage et al. 2021, A Mathematical Framework for Transformer Circuits; experts through a
 * logit lens, and the cosine of the strongest with all K, MoE Lens, arXiv:2603.05806. Largest
 * elements: super experts, arXiv:2507.23279. Similar mean outputs: HC-SMoE, arXiv:2410.08589, which
 * takes them plain, before gates, and over all tokens.
 */
#ifndef GM_LENS_H
#define GM_LENS_H

#include "probe/held_texts.h"
#include "probe/knockouts.h"

enum { GM_LENS_PROMOTED = 10, GM_LENS_SUPPRESSED = 5 };

typedef struct gm_lens_token {
    uint32_t id;
    double nats;
    bool again; /* comes back in both halves */
} gm_lens_token;

typedef struct gm_lens_list {
    size_t n;
    gm_lens_token at[GM_LENS_PROMOTED]; /* largest score first, or smallest; ties: lowest id */
} gm_lens_list;

/* What is not known, of an expert that no token (of a half) chose, is NaN. */
typedef struct gm_lens_expert {
    int l, e;          /* MoE layer, expert */
    gm_expert_sum sum; /* of both halves */
    double halves;     /* cosine of v of the two */
    int nearest;       /* the layer's other expert of largest cosine with v, ties: lowest; -1 */
    double cosine;     /* that one */
    gm_lens_list promoted, suppressed;
    size_t n_again; /* of the promoted; not known where `halves` is not */
} gm_lens_expert;

typedef struct gm_lens {
    const gm_model *model; /* these are the caller's, given before the first function */
    const gm_tokenizer *tokenizer;
    const gm_knockouts *asked; /* experts, each alone */
    bool plain, every;
    /* made here */
    gm_expert_sums half[2]; /* of the layers from the first to the last that is asked for */
    uint64_t n_tokens, n_documents, n_bad; /* tokens that count, and that do not */
    double inverse;                        /* sum of 1/sigma[t] */
    bool *seen;                            /* (ids of the model) in the texts */
    gm_lens_expert *expert;                /* (asked) in this order */
} gm_lens;

/* Bytes of the sums of both halves. */
uint64_t gm_lens_bytes(const gm_model_info *info, const gm_knockouts *asked);

/* Run all documents through `runner`, made with `sums`, and add up. GM_EMEM, errors of
 * gm_runner_run; GM_ENUMERIC: no token counts. */
gm_status gm_lens_read(gm_lens *lens, gm_runner *runner, const gm_held_texts *texts,
                       gm_progress *progress, gm_error *err) GM_MUST_USE;
/* Fill in `expert`, by sessions of its own. progress: in experts. GM_EMEM, GM_EINTERRUPTED, errors
 * of gm_session_create. */
gm_status gm_lens_look(gm_lens *lens, int threads, gm_progress *progress, gm_error *err)
    GM_MUST_USE;
void gm_lens_clear(gm_lens *lens);

/* c of layer l, expert e into `out` (D); NaN: never chosen, or a layer that is not in the sums. */
void gm_lens_mean(const gm_lens *lens, int l, int e, double *out);
/* The mean cosine of layer l's strongest experts alone with all K; NaN: not known. */
double gm_lens_alone(const gm_lens *lens, int l);

/* v of every expert of a layer, as its experts are looked at. */
typedef struct gm_lens_layer {
    int l;             /* -1: none */
    double *v[3];      /* (E,D) of both halves, of each; zeros where not known */
    double *length[3]; /* (E) */
} gm_lens_layer;

/* lens_head.c: the lists of n experts with v in `row` (n,3,D), at most GM_LENS_AT_ONCE. */
enum { GM_LENS_AT_ONCE = 10 };
typedef struct gm_lens_head gm_lens_head;
gm_status gm_lens_head_create(gm_lens_head **out, const gm_lens *lens, int threads, gm_error *err)
    GM_MUST_USE;
void gm_lens_head_free(gm_lens_head *head);
gm_status gm_lens_head_list(gm_lens_head *head, float *row, gm_lens_expert *expert, size_t n,
                            gm_error *err) GM_MUST_USE;

/* lens_table.c: a line an expert; one JSON object; the table on stdout; (L,E,D) f32 as .npy, c of
 * all experts, in NaN those of layers that are not in the sums. Errors of writing, GM_EMEM. */
gm_status gm_lens_write(FILE *to, const gm_lens *lens, gm_error *err) GM_MUST_USE;
gm_status gm_lens_put(const gm_lens *lens, gm_error *err) GM_MUST_USE;
gm_status gm_lens_print(const gm_lens *lens, gm_error *err) GM_MUST_USE;
gm_status gm_lens_write_vectors(FILE *to, const gm_lens *lens, gm_error *err) GM_MUST_USE;

#endif
