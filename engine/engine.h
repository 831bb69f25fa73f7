/* engine.h - runs a Mixture-of-Experts language model and lets the caller see and
 * change what its routers do.
 *
 * Two nouns: a gm_model (immutable, shareable between threads) and a gm_session
 * (the mutable state of a timeline or a batch; belongs to one thread at a time).
 * Two hooks: a gm_record, filled with the choice of every row at every MoE layer,
 * and a gm_edit, a bias per layer and expert applied inside the router. Both are
 * data: no user code runs inside a forward pass.
 *
 * Sizes: T rows of a step, L MoE layers (dense layers are not counted; layer_of_moe
 *        maps back), E routed experts, K chosen per token, D width, V vocabulary.
 * Logits and nll are in nats.
 *
 * The same machine, build and arguments give the same bytes (level A). On the CPU a row's results
 * do not depend on what else is in the step, on the step's size or on the number of threads either
 * (level B); on a GPU they do, because cuBLAS chooses its kernels by the number of rows.
 * gm_model_info.invariance says which of the two a model has.
 */
#ifndef GM_ENGINE_H
#define GM_ENGINE_H

#include "base/base.h"

/* ---- model ---- */

typedef struct gm_model gm_model;

/* How products are computed. The router is always f32. */
typedef enum gm_numerics {
    GM_NUMERICS_AUTO, /* bf16 if the checkpoint is (or its experts are MXFP4), otherwise f32 */
    GM_NUMERICS_F32,
    GM_NUMERICS_BF16,     /* inputs rounded once to bf16, sums in the order of cpu/kernels.h */
    GM_NUMERICS_INT8,     /* as bf16; weights are -127 to 127 times a scale for each output */
    GM_NUMERICS_BF16_DOT, /* as bf16, in the order of AVX512-BF16's dot product: other bits, and
                             faster on processors that have it but not AMX */
    GM_NUMERICS_FP8       /* as int8 with weights in e4m3; for GPUs, slow on the CPU */
} gm_numerics;

/* "f32", "bf16", "int8", "bf16-dot", "fp8"; and what command lines offer, in the order of the
 * enum. */
const char *gm_numerics_name(gm_numerics numerics);
#define GM_NUMERICS_CHOICES "auto|f32|bf16|int8|bf16-dot|fp8"

/* Called while weights are loaded and packed; total is the sum of `done`. */
typedef void gm_load_progress(void *context, double done_bytes, double total_bytes);

/* How weights are held. */
typedef enum gm_hold {
    GM_HOLD_RESIDENT, /* packed, in memory: a copy, or the cache file where the page cache has it
                         in huge pages; when memory is too small, mapped */
    GM_HOLD_MAPPED,   /* in the page cache, from the cache file, which is written if need be */
    GM_HOLD_STREAMED  /* two layers in memory, all read again in every step: for steps of very many
                         rows. One session at a time; CPU only */
} gm_hold;

/* The cache file of packed weights, as large as the weights: beside the checkpoint or, if that
 * folder cannot be written to, in $XDG_CACHE_HOME/gm or ~/.cache/gm. */
typedef enum gm_cache {
    GM_CACHE_USE,   /* if it exists */
    GM_CACHE_WRITE, /* the same; write it if there is none, or one of another model */
    GM_CACHE_OFF
} gm_cache;

/* A sentence for the user: what is not done as asked, and why. */
typedef void gm_notice(void *context, const char *sentence);

typedef struct gm_session_options gm_session_options;

#define GM_KERNELS "auto, portable, neon, avx2, avx512f, avx512bf16 or amx"

typedef struct gm_model_options {
    /* "cpu"; "cuda:N"; "cuda": the first GPU that can; NULL or "auto": the same, or else the CPU. A
     * GPU can if this build supports it, driver and cuBLAS are installed, nothing is asked for that
     * only the CPU does (kernels, hold, cache, bf16-dot), and weights and planned session fit. */
    const char *device;
    gm_numerics numerics;
    bool headers_only;          /* check everything but load no weights: for info and --dry-run */
    int threads;                /* for loading, at most GM_MAX_THREADS; 0: as gm_team_processors */
    const char *kernels;        /* one of GM_KERNELS; NULL, "auto": the best this CPU has */
    gm_load_progress *progress; /* may be NULL */
    void *progress_context;
    gm_hold hold;
    gm_cache cache;
    const char *cache_folder; /* instead of those above; may be NULL */
    bool strict_memory;       /* fail when memory is too small, instead of going on slowly */
    const gm_session_options *planned; /* a session whose memory is needed as well; may be NULL */
    gm_notice *notice;                 /* may be NULL */
    /* Called once: which GPU is taken; or why the CPU is, although "auto" found a GPU. May be
     * NULL. */
    gm_notice *device_notice;
    void *notice_context; /* of both */
    bool no_head;         /* leave the head out: no logits, nll or sampling */
} gm_model_options;

enum { GM_MAX_THREADS = 1024 };

enum { GM_MAX_EOS = 64 };

typedef struct gm_model_info {
    const char *folder;       /* as given */
    const char *architecture; /* "DeepseekForCausalLM" */
    const char *family;       /* "deepseek-moe-v1", "olmoe" */
    const char *weight_dtype; /* "BF16": what most of the checkpoint is; "MXFP4": its experts;
                                 "F8_E4M3": its matrices */
    char weight_scales[48];   /* F8_E4M3: "128 x 128", "a row", "a tensor" has a scale;
                                 INT4: "32 inputs", "a row"; else "" */
    const char *kernels;      /* "avx512f"; on a GPU its name; "" with headers_only */
    const char *device;       /* "cpu", "cuda:0"; "" with headers_only */
    const char *invariance;   /* "B" or "A", see above; "" with headers_only */
    gm_numerics numerics;
    int n_layers;            /* all decoder layers */
    int n_moe_layers;        /* L */
    const int *layer_of_moe; /* (L) model layer number of each MoE layer, from 0 */
    int n_experts, n_chosen; /* E, K */
    int n_shared_experts;
    int width, expert_width; /* D, F */
    int n_heads, n_kv_heads, head_dim;
    int global_kv_heads, global_head_dim; /* of layers that see all positions, where these have
                                             others than those with a window; else 0 */
    int kv_latent;       /* width of latent attention's keys and values; 0: it has heads of them */
    int vocab_size;      /* V, rows of the embedding */
    int max_context;     /* positions the model was made for */
    const char *scoring; /* "softmax" */
    bool renormalised;   /* chosen weights rescaled to sum to one */
    double routed_scale;
    int64_t bos; /* -1: none */
    int n_eos;
    uint32_t eos[GM_MAX_EOS];
    uint64_t n_parameters, n_active; /* active: touched by one token, head included */
    uint64_t checkpoint_bytes;
    uint64_t mtp_bytes;          /* part of it, not read: predicts further tokens */
    uint64_t other_bytes;        /* likewise: sees images */
    uint64_t indexer_bytes;      /* likewise: chooses keys, beyond max_context */
    uint64_t resident_bytes;     /* memory that the weights take, or would take, held as asked */
    uint64_t kv_bytes_per_token; /* of cached keys and values, on the CPU */
    uint64_t gpu_kv_bytes_per_token;   /* smaller for latent attention, else the same */
    uint64_t state_bytes_per_sequence; /* of layers without keys, whatever the length */
    char digest[65];                   /* identity of the weights: gm_checkpoint_digest */
    char config_digest[65];            /* of the rest of config.json: gm_arch_digest */
    /* generation_config.json, with Hugging Face's defaults where it is silent */
    bool do_sample;
    double temperature, top_p, repetition_penalty;
    int top_k;
    int max_new_tokens;       /* 0: not stated */
    const char *unknown_keys; /* keys of config.json that are not known: "a, b"; "" none */
} gm_model_info;

/* GM_EARG unless `name` is one that gm_model_options.kernels takes, on this processor or not. */
gm_status gm_kernels_check(const char *name, gm_error *err) GM_MUST_USE;

/* Load a Hugging Face folder. Unknown architectures and config values are refused by name; every
 * tensor is checked by name, type and shape.
 * Errors: GM_EIO, GM_EFORMAT, GM_ESHAPE, GM_EMEM, GM_EABSENT (device not in this
 * build), GM_EDEVICE. */
gm_status gm_model_open(gm_model **out, const char *folder, const gm_model_options *options,
                        gm_error *err) GM_MUST_USE;

/* The first GPU that this build can use. */
typedef struct gm_gpu_info {
    char name[64];   /* "NVIDIA H200" */
    uint64_t memory; /* bytes, in all */
} gm_gpu_info;

/* False: there is none. Takes none of its memory. */
bool gm_gpu_find(gm_gpu_info *out);

/* What a layer may have. */
typedef enum gm_layer_part {
    GM_LAYER_ATTENTION, /* to all positions */
    GM_LAYER_WINDOW,    /* to the last ones */
    GM_LAYER_DELTA,     /* Gated DeltaNet */
    GM_LAYER_KDA,       /* Kimi Delta Attention */
    GM_LAYER_MAMBA,     /* Mamba2 */
    GM_LAYER_CONVOLVES, /* a short convolution */
    GM_LAYER_MLP,       /* without experts */
    GM_LAYER_EXPERTS,
    GM_N_LAYER_PARTS
} gm_layer_part;

/* Has a decoder layer (from 0) this part? */
bool gm_model_layer_has(const gm_model *model, int layer, gm_layer_part part);

/* Seconds that steps have waited for streamed layers so far. */
double gm_model_waited(const gm_model *model);
void gm_model_close(gm_model *model);
const gm_model_info *gm_model_get_info(const gm_model *model);

/* ---- edits: what a plan does to the routers ----
 *
 * A bias is always added to the logits, before the softmax or sigmoid that turns them into scores.
 * A family that corrects scores for the choice (GLM-4.5, dots.llm1, ERNIE 4.5, MiniMax-M2) does so
 * afterwards: it chooses by score(logit + bias) + correction, and the gate is score(logit + bias).
 * A score is at most 1, so no bias lifts an expert over one whose correction is larger by more than
 * that; GM_EDIT_MASK does. Phi-3.5-MoE weighs its two experts in rounds (cpu/router.h), from logits
 * with the bias. */

typedef enum gm_edit_mode {
    GM_EDIT_BIAS,   /* before the scores: changes choice and gate (the article's) */
    GM_EDIT_SELECT, /* changes the choice only; gates come from the unedited logits */
    GM_EDIT_GATE,   /* changes the gates only; the choice is the unedited one */
    GM_EDIT_MASK    /* bias > 0: always chosen (the strongest K); bias < 0: never */
} gm_edit_mode;

enum { GM_PHASE_PROMPT = 0, GM_PHASE_GENERATED = 1, GM_PHASE_TEMPLATE = 2 };

typedef struct gm_edit {
    const float *bias; /* (L,E) in logits; -inf removes an expert; never NaN or +inf;
                          borrowed during gm_session_set_edits only */
    gm_edit_mode mode;
    bool mass_matched;           /* the chosen gates keep the total they had without the edit */
    int first_layer, last_layer; /* MoE layer indices, inclusive */
    uint8_t phases;              /* bit p: rows of phase p are edited */
} gm_edit;

/* Does removing an expert (-inf) in this mode leave a row that has not chosen it unchanged, bit for
 * bit? Not where gates are a softmax over all experts (even renormalised: its sum rounds
 * differently), nor where the choice is by groups or by corrected softmax scores. */
bool gm_edit_is_local(const gm_model *model, gm_edit_mode mode);

/* ---- session ---- */

typedef struct gm_session gm_session;

struct gm_session_options {
    int threads;     /* 0: as many as the process may use, fewer for small steps */
    size_t max_rows; /* most rows of one step */
    size_t kv_rows;  /* rows of KV cache that all open sequences share */
    int max_sequences;
    /* A model with states (gm_model_info) may get fewer sequences, but at least eight, so that all
     * states take at most 4 GiB; gm_session_sequences says how many. */
    bool fewer_do;
    /* 0: a step goes through the model as a whole. Otherwise layer by layer, in pieces of this many
     * rows, so that a long step reads every layer once and keeps the keys and values of one layer
     * only: a sequence then begins and ends in the same step. The results are the same bits. CPU
     * only. */
    size_t piece_rows;
    /* Steps can fill gm_record's norm, scale and sums: what experts give is then kept until it is
     * added up, 4 K D bytes a row of a step. Every other result has the same bits. CPU only, and
     * not where gates multiply what experts read (Llama 4). */
    bool norms;
    /* Called after every layer of a step, on its thread; may be NULL. True stops the step, which
     * then fails with GM_EINTERRUPTED and leaves its sequences unusable. On a GPU it is called once
     * for a step of few rows, at its end, and during one of many rows when a layer's routing has
     * ended. */
    bool (*after_layer)(void *context, size_t done, size_t n_layers);
    void *context;
};

/* Errors: GM_EARG (options out of range, a model opened with headers_only, or streamed to another
 * session), GM_EABSENT (piece_rows or norms where there are none), GM_EMEM, GM_EDEVICE. */
gm_status gm_session_create(gm_session **out, const gm_model *model,
                            const gm_session_options *options, gm_error *err) GM_MUST_USE;
void gm_session_free(gm_session *session);

/* Most sequences that may be open at once. */
size_t gm_session_sequences(const gm_session *session);

/* Bytes such a session takes, KV cache and states included. */
uint64_t gm_session_bytes(const gm_model *model, const gm_session_options *options);

/* A sequence owns `capacity` rows of KV cache, at most the model's context.
 * *id is its number from 0. Errors: GM_EARG too long, GM_EMEM no rows or sequences left. */
gm_status gm_sequence_open(gm_session *session, size_t capacity, int *id, gm_error *err)
    GM_MUST_USE;
void gm_sequence_close(gm_session *session, int id);
size_t gm_sequence_length(const gm_session *session, int id);
/* Forget everything after the first n tokens. GM_EARG: 0 < n < length in a model some of whose
 * layers keep one state for all tokens instead of keys. */
gm_status gm_sequence_rewind(gm_session *session, int id, size_t n, gm_error *err) GM_MUST_USE;

/* Copy `n` edits into the session (n = 0: none); a segment names one by its index.
 * A bias of zeros computes the same bits as no edit. Errors: GM_EARG (a bias that
 * is NaN or +inf, a window outside the model, a mask that leaves fewer than K
 * experts: names layer and expert), GM_EMEM; the session then has the edits it had. GM_EDEVICE. */
gm_status gm_session_set_edits(gm_session *session, const gm_edit *edits, size_t n, gm_error *err)
    GM_MUST_USE;

/* ---- one step: some tokens of some sequences through the whole model ---- */

typedef struct gm_sampling {
    double temperature;        /* 0: greedy */
    int top_k;                 /* 0: off */
    double top_p;              /* 1: off */
    double repetition_penalty; /* 1: off; over the sequence's tokens so far */
    uint64_t seed, stream;     /* draws are a function of (seed, stream, position) */
} gm_sampling;

typedef enum gm_want { GM_WANT_NOTHING, GM_WANT_LAST, GM_WANT_ALL } gm_want;

/* Consecutive tokens of one sequence, after those it already has. */
typedef struct gm_segment {
    int sequence;
    size_t n;                    /* tokens, >= 1 */
    const uint32_t *token;       /* (n) ids in [0,V) */
    const uint8_t *phase;        /* (n); NULL: all GM_PHASE_PROMPT */
    int edit;                    /* index of an edit; -1: none */
    gm_want want;                /* rows whose logits are delivered */
    const uint32_t *target;      /* (n) or NULL; nll[row] = -ln p(target); GM_NO_TARGET: NaN */
    const gm_sampling *sampling; /* not NULL: sample the token after the last row */
    float *residual;             /* (n,D) for gm_session_step_layers */
} gm_segment;

#define GM_NO_TARGET UINT32_MAX

enum { GM_NO_EXPERT = 0xFFFF };

/* What one expert gave, over the rows that chose it. Its output is what gm_record's norm is of. */
typedef struct gm_expert_sum {
    uint64_t n;         /* rows */
    uint64_t n_first;   /* of them those in which it had the largest gate */
    double norms;       /* L2 norms of its outputs */
    double cosines;     /* over n_first: of what it adds to the residual with what the K add */
    float largest;      /* absolute element of an output, 0 before there is one */
    uint32_t dimension; /* in [0,D), where it was: of equal ones the first row's, the lowest */
} gm_expert_sum;

/* What the experts of MoE layers [first, end) gave, added up over any number of steps: a table of
 * the caller's, zeros at first, 8 D + 40 bytes an expert.
 *
 * What an expert adds is its output times its gate and the model's scales, as it enters the
 * residual stream: moe_out's sum over the K of a row is x's change, but for the MLP that all rows
 * take. Where that sum passes a norm of its own before it is added (Gemma 4, FlexOlmo, AFMoE), no
 * expert adds anything by itself, and a step with sums is GM_EABSENT.
 *
 * Left out are template rows, rows that are bad in this layer or one before, and outputs that are
 * not finite, whose rows are bad from the next layer on (so rows that turn bad later count here,
 * unlike in the rest of the record).
 *
 * Order: after moe_in one thread takes an expert and adds its rows, in double, ascending and
 * straight to what is there. So the table has the same bits for any number of threads and any cut
 * into steps, as long as sequences come in the same order. Cost: of a choice 8 D bytes read and
 * written, some (K + 4) D additions; moe_in's products are 3 F D. */
typedef struct gm_expert_sums {
    int first, end;    /* MoE layers, 0 <= first < end <= L */
    gm_expert_sum *of; /* (end - first, E) */
    double *added;     /* (end - first, E, D) sums of what it adds */
} gm_expert_sums;

/* What the routers did: caller's memory, layer-major; NULL members are not filled.
 * Rows count through the segments in order. */
typedef struct gm_record {
    uint16_t *expert; /* (L,T,K) ids, by gate descending, then lower id */
    float *gate;      /* (L,T,K) what multiplies the expert's output (of Llama 4: its
                         input), before routed_scale */
    float *mass;      /* (L,T) sum over the chosen of the softmax or sigmoid before renormalising;
                         where the chosen are weighed among themselves, of the softmax over all E */
    float *margin;    /* (L,T) rank K minus rank K+1 of the selection score; K = E: +inf */
    float *logits;    /* (L,T,E) router logits before any edit */
    float *norm;      /* (L,T,K) L2 norm of what the gate multiplies: the expert's output, with its
                         bias and, in Gemma 4, its own scale; for sessions with `norms` */
    float *scale;     /* (T) what the final norm divides the row by: root mean square (of
                         LayerNorm: standard deviation), with its epsilon; for sessions with
                         `norms`, and steps through the last layer */
    gm_expert_sums *sums; /* added to; for sessions with `norms` */
    uint8_t *bad;         /* (T) 1: some router's row was not finite; its places in `expert`
                             are GM_NO_EXPERT, in gate, norm and scale NaN, and it adds no routed
                             output */
} gm_record;

typedef struct gm_result {
    float *logits;     /* (rows wanted, V) in row order; may be NULL when none is wanted */
    float *nll;        /* (T); may be NULL */
    uint32_t *sampled; /* (segments) the sampled id where asked for; may be NULL */
} gm_result;

/* Run one step. `record` may be NULL. The sum of n is at most max_rows.
 * Errors: GM_EARG (token out of range, sequence full, edit unknown), GM_EDEVICE, GM_EIO
 * (streamed weights cannot be read), GM_EINTERRUPTED (after_layer said so). */
gm_status gm_session_step(gm_session *session, const gm_segment *segments, size_t n_segments,
                          const gm_record *record, const gm_result *result, gm_error *err)
    GM_MUST_USE;

/* gm_session_step for model layers [first, end) alone, with the same bits. `residual` of each
 * segment is the residual stream: if first > 0, it is read as what enters layer `first`; if end <
 * n_layers, what enters layer `end` is written there, and neither logits, nll nor samples can be
 * asked for. `record` gets the computed layers only, and its `bad` is about these. All steps of a
 * sequence go through the same layers, because the others have none of its keys. first = end =
 * n_layers is the final norm and the head alone. Errors: as gm_session_step; GM_EARG (no such
 * layers), GM_EABSENT where gm_session_takes_layers is false. */
gm_status gm_session_step_layers(gm_session *session, size_t first, size_t end,
                                 const gm_segment *segments, size_t n_segments,
                                 const gm_record *record, const gm_result *result, gm_error *err)
    GM_MUST_USE;
/* False on a GPU and for sessions with piece_rows. */
bool gm_session_takes_layers(const gm_session *session);

/* Called for every step of gm_session_decode once its results are ready; false: stop. */
typedef bool gm_decoded(void *context, size_t step, const uint32_t *sampled);

typedef struct gm_decoding {
    size_t n_steps; /* at most */
    gm_decoded *each;
    void *context; /* of `each`, borrowed */
} gm_decoding;

/* Up to n_steps steps of one token a segment, each fed with what the one before it sampled (phase
 * generated): the same results as gm_session_step called in a loop, but a GPU does not wait
 * between the steps. Every segment has n = 1, wants no logits and samples, and its sequence has
 * room for n_steps tokens. `record` and `result` hold the step that `each` is called for. At the
 * end a sequence has the tokens of the steps that `each` has seen. Errors: as gm_session_step; also
 * when nothing can be sampled (all logits NaN). */
gm_status gm_session_decode(gm_session *session, const gm_segment *segments, size_t n_segments,
                            const gm_decoding *how, const gm_record *record,
                            const gm_result *result, gm_error *err) GM_MUST_USE;

#endif
