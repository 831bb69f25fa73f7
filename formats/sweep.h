/* sweep.h - the result of a sweep: every cell that was measured, every text, in HDF5.
 *
 * A cell is one steering arm of one cluster at one dose: the same prompts continued under
 * one plan, judged, and its cost on fixed texts.
 *
 * Sizes: M cells, R texts, Q prompts, J the judge's classes, C measured clusters, L MoE
 *        layers, E experts; 3 kinds of fixed text: neutral, in topic, off topic.
 *
 * Schema 1:
 *   /cells/cluster i32 (M) number in the atlas, -1: the unsteered cells, shared by all;
 *          -2, -3, ...: the first, second subset or plan file;
 *          arm u8 (M) index into /arm_name; draw i32; filter u8 index into /filter_name;
 *          half u8: 0 prompts on which dose and filter are chosen, 1 on which they are judged;
 *          dose f64; max_bias, rms_bias f32: largest magnitude and root mean square of the plan's
 *          entries in the layers that it acts on, in nats
 *          usage f32 (M,L,E): share of each expert among the choices of generated tokens
 *          log_odds, share, shift, shift_lo, shift_hi f64 (M): of the cluster's class; shift
 *          is against the unsteered cell, its 95 % interval is over prompts; NaN: none
 *   /cost/n_tokens u32 (M,3); kl_mean, kl_median, kl_p99 f64: nats a token, base || steered;
 *          same_top1 f64 in [0,1]; nll_base, nll f64: nats a token; jaccard f64: of the chosen
 *          sets; mass f64: total weight of the routed branch over the unsteered; NaN: not measured
 *   /texts/cell, prompt, seed, n_tokens u32 (R); end u8 0 length 1 end token 2 stop string;
 *          rep4 f32: share of 4-grams seen before in the text; distinct2 f32: distinct bigrams
 *          over bigrams; log_p f32 (R,J): ln p of each class; offset u64 (R+1), bytes u8
 *   /prompts/class i32 (Q) class that a prompt was taken from, -1 neutral; half u8 (Q);
 *          offset u64 (Q+1), bytes u8
 *   /class_name, /arm_name, /filter_name: texts
 *   /clusters/id, class i32 (C), subsets and plan files among them; dose f64; filter u8: as chosen;
 *          where no dose was within max-kl (/summary: affordable), the smallest
 *   /config, /summary u8: JSON, the protocol (--config reads it back) and the verdict
 *   root attributes: schema, fingerprint of the protocol, model, atlas, provenance, digest
 */
#ifndef GM_FORMATS_SWEEP_H
#define GM_FORMATS_SWEEP_H

#include "base/base.h"

#define GM_SWEEP_SCHEMA 1

enum { GM_SWEEP_KINDS = 3 };

/* In memory: read, everything belongs to the sweep; written, everything is borrowed. */
typedef struct gm_sweep {
    size_t n_cells, n_texts, n_prompts, n_classes, n_arms, n_filters, n_clusters;
    int n_layers, n_experts;
    /* cells */
    const int32_t *cluster, *draw; /* (M) */
    const uint8_t *arm, *filter, *half;
    const double *dose;
    const float *max_bias, *rms_bias;
    const float *usage; /* (M,L,E) */
    const double *log_odds, *share, *shift, *shift_lo, *shift_hi;
    /* cost (M,3) */
    const uint32_t *cost_tokens;
    const double *kl_mean, *kl_median, *kl_p99, *same_top1, *nll_base, *nll, *jaccard, *mass;
    /* texts (R) */
    const uint32_t *text_cell, *text_prompt, *text_seed, *text_tokens;
    const uint8_t *text_end;
    const float *rep4, *distinct2;
    const float *log_p; /* (R,J) */
    const uint64_t *text_offset;
    const uint8_t *text_bytes;
    /* prompts (Q) */
    const int32_t *prompt_class;
    const uint8_t *prompt_half;
    const uint64_t *prompt_offset;
    const uint8_t *prompt_bytes;
    const char *const *class_name, *const *arm_name, *const *filter_name;
    /* clusters (C) */
    const int32_t *cluster_id, *cluster_class;
    const double *cluster_dose;
    const uint8_t *cluster_filter;
    /* JSON, n bytes */
    const uint8_t *config, *summary;
    size_t n_config, n_summary;
    const char *fingerprint, *model_digest, *atlas_digest, *provenance; /* NULL: "" */
    const char *config_digest; /* NULL, and in files of older programs: "" */
    char digest[65];           /* of the contents; filled by read and write */
} gm_sweep;

/* Write under the final name only when complete and read back. Errors: GM_EEXIST unless
 * `replace`, GM_EBUSY, GM_EIO, GM_EMEM. */
gm_status gm_sweep_write(const char *path, gm_sweep *sweep, bool replace, gm_error *err)
    GM_MUST_USE;

/* Read and check shapes, digest, and that every number that points at something is in its
 * range. GM_EIO, GM_EFORMAT, GM_ESHAPE, GM_EMEM. */
gm_status gm_sweep_open(gm_sweep **out, const char *path, gm_error *err) GM_MUST_USE;
void gm_sweep_close(gm_sweep *sweep);

#endif
