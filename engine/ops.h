/* ops.h - the table of operations that a forward pass is made of, and the step that
 * they work on.
 *
 * forward.c is written once over this table; engine/cpu/ and engine/cuda/ fill it. An
 * operation is as coarse as one good fused kernel. The plain C form of each (kernels
 * "portable") is its definition.
 *
 * A step is data and lives where the backend lives: no operation takes a value per
 * token, and the host reads nothing back before record_drain. On the CPU every
 * thread of a team calls every operation; an operation ends when all have met. On a
 * GPU one host thread calls them (`me` is NULL), and an operation enqueues kernels.
 */
#ifndef GM_OPS_H
#define GM_OPS_H

#include "base/device.h"
#include "engine/edits.h"
#include "engine/kv.h"
#include "engine/team.h"
#include "engine/weights.h"

enum {
    GM_TILE_ROWS = 16,     /* most queries that attend together */
    GM_HEAD_ROWS = 32,     /* rows whose logits are held at once */
    GM_ROUTE_ROWS = 16,    /* rows that one thread routes together */
    GM_OUT_PANELS = 16,    /* most panels of the residual that are added up together */
    GM_PART_FLOATS = 8192, /* of a product's result, processed while in cache */
};

/* Panels of the residual, of n, that one thread adds up together in moe_out: few enough that
 * every thread has some, and that the rows' choices stay small. */
static inline size_t gm_out_panels(size_t rows, size_t threads, size_t n)
{
    const size_t most = rows <= 16     ? 8
                        : rows <= 8192 ? GM_OUT_PANELS
                                       : 8,
                 share = n / (2 * threads);
    return share < 2 ? 2 : share < most ? share : most;
}

/* Tiles of queries computed together, enough for two AMX tiles. */
static inline size_t gm_tiles_together(size_t heads, size_t kv_heads)
{
    return heads < 2 * kv_heads ? 2 : 1;
}

/* Heads that attend together: those of a KV head; of latent attention, whose one KV head has wide
 * keys and values, few enough that a tile's sums stay in cache. */
static inline size_t gm_heads_together(const gm_arch *arch, size_t kv_heads)
{
    enum { OF_LATENTS = 4 };
    size_t n = (size_t)arch->n_heads / kv_heads;
    if (arch->latent.kv > 0 && n > OF_LATENTS) n = OF_LATENTS;
    while ((size_t)arch->n_heads % n != 0) n--;
    return n;
}

/* Fewest rows of a step whose experts are computed whole: one task takes a block of an expert's
 * rows from the first product to the last. With fewer rows, or too many threads for such tasks, the
 * two products have tasks of their own. */
static inline size_t gm_whole_rows(size_t n_experts, size_t n_chosen, size_t threads)
{
    enum { ROWS_OF_AN_EXPERT = 64, TASKS_A_THREAD = 8 };
    if (n_chosen == 0 || n_experts < TASKS_A_THREAD * threads) return SIZE_MAX;
    return (ROWS_OF_AN_EXPERT * n_experts + n_chosen - 1) / n_chosen;
}

/* A token of the step. */
typedef struct gm_row {
    uint32_t token, position;
    int32_t sequence;
    int32_t edit; /* -1: none */
    uint8_t phase;
} gm_row;

/* Consecutive rows of one segment that attend together. */
typedef struct gm_tile {
    uint32_t first, n;
} gm_tile;

/* All rows that the step has of a sequence; they are consecutive. */
typedef gm_tile gm_sequence_rows;

/* A row whose logits are needed: for the caller, for nll, or to sample from. */
typedef struct gm_head_row {
    uint32_t row, target; /* GM_NO_TARGET: no nll */
    int64_t out;          /* row of result->logits; -1: not wanted */
    int64_t segment;      /* samples for this segment; -1: does not */
    const gm_sampling *sampling;
} gm_head_row;

/* What flows from one operation to the next; see work.c for the sizes. What a product of
 * weights reads is f32, or under bf16 numerics bf16: `norm`, `always_x`, `query`, `latent`,
 * `plain`, `low`, `heads`, `hidden`, `always`, `head_x`. */
typedef struct gm_work {
    gm_buf x;        /* (T,D) residual stream */
    gm_buf norm;     /* (T,D) after a norm */
    gm_buf always_x; /* (T,D) after the norm of the MLP that all rows take, if it has its own */
    gm_buf given;    /* (T,D) f32 outputs of attention or of the MLP that have a norm */
    gm_buf
        always_given; /* (T,D) f32 those of the MLP that all rows take, where they have their own */
    gm_buf qkv;       /* (T, q + k + v), or as gm_delta_place has it */
    gm_buf query;     /* (T H, head_dim) rotated; after latent attention its result */
    gm_buf latent;    /* (T, latent.q) of queries, where they have one */
    gm_buf plain;     /* (T H, latent.plain) of queries, before keys are multiplied into it */
    gm_buf low;       /* (T 2, delta.rank) latents of a and of z of a row (gm_delta) */
    gm_buf heads;     /* (T, H head_out), or wider; result of attention, or what replaces it */
    gm_buf expert;    /* (T,K) i32 ids chosen in this layer; bad rows: GM_NO_EXPERT */
    gm_buf gate;      /* (T,K) */
    gm_buf share;     /* (1,T) weight of the shared experts, where they are gated */
    gm_buf bad;       /* (1,T) u8, kept through the layers */
    gm_buf slot;      /* (T,K) i32 place of a choice among the choices by expert */
    gm_buf slot_row;  /* (1, T K) i32 row of a place */
    gm_buf first;     /* (1, E + 1) i32 first place of each expert */
    gm_buf busy;      /* (1, E + 1) i32 experts with rows, most rows first; [E]: how many */
    gm_buf hidden;    /* (T K, F) by place, T < whole_rows */
    gm_buf routed;    /* (T K, D) f32 by place, T >= whole_rows: the experts' outputs */
    gm_buf always;    /* (T, width of the shared or dense MLP) */
    gm_buf head_x;    /* (GM_HEAD_ROWS, D) */
    gm_buf logits;    /* (GM_HEAD_ROWS, V) */
    gm_buf cosine[2], sine[2]; /* (positions, rope.dim / 2), in double; [1]: of global layers */
    gm_buf scratch;            /* (threads, f32) each thread's own */
    size_t whole_rows;         /* from so many rows on experts are computed whole; see work.c */
} gm_work;

typedef struct gm_work_sizes {
    size_t rows, positions, threads; /* rows: most of a step */
    bool norms;                      /* of what experts give: all steps compute them whole */
} gm_work_sizes;

uint64_t gm_work_bytes(const gm_arch *arch, gm_numerics numerics, const gm_work_sizes *sizes);
gm_status gm_work_create(gm_work *work, const gm_arch *arch, gm_numerics numerics,
                         const gm_work_sizes *sizes, gm_error *err) GM_MUST_USE;
void gm_work_clear(gm_work *work);

typedef struct gm_step {
    const gm_arch *arch;
    const gm_weights *weights;
    gm_work *work;
    gm_kv *kv;
    const gm_edits *edits;
    gm_row *row;
    gm_tile *tile;
    gm_sequence_rows
        *run; /* with layers that keep a state, where a step has each sequence at most once */
    gm_head_row *head;
    size_t n_rows, n_tiles, n_runs, n_head;
    size_t first_layer, end_layer; /* those that are computed */
    float **residual; /* (n_rows) rows (D) of the caller that enter the first, and leave the last */
    const gm_record *record; /* may be NULL */
    size_t record_rows;      /* T of the record: a step may be a piece of a longer one */
    const gm_result *result; /* may be NULL */
    size_t n_segments;
    void *own; /* what a backend with memory of its own keeps for the session */
} gm_step;

/* Asks the caller after every layer of a step, on its own thread; true: stop. */
typedef struct gm_watch {
    bool (*after_layer)(void *context, size_t done, size_t n_layers);
    void *context;
    bool stopped; /* written */
} gm_watch;

typedef struct gm_session_sizes {
    size_t max_rows, positions, kv_rows, max_sequences;
} gm_session_sizes;

/* What a GPU does at best, in bytes, operations and seconds. */
typedef struct gm_stream_rate {
    int loads, blocks; /* vectors of 16 bytes in flight a thread; blocks a multiprocessor */
    double rate;
} gm_stream_rate;

enum { GM_STREAM_RATES = 8 };

typedef struct gm_ceilings {
    double read_rate, copy_rate;            /* memory only read; copied, reads and writes counted */
    gm_stream_rate stream[GM_STREAM_RATES]; /* read_rate is the best of them */
    double product_rate;                    /* M = 512, N = K = 2048, bf16 */
    double expert_rate;                     /* 1536 x 3584 x 2048, an expert after the other */
    double gap_s, early_gap_s; /* a kernel that does nothing in a graph; started early */
    double barrier_s;          /* all blocks of a grid meet */
} gm_ceilings;

/* What a backend does itself when its memory is not the host's: it then needs neither
 * weights.c's panels nor kv.c's cache (only its tables) nor work.c. */
typedef struct gm_accelerator {
    /* The GPUs that this build can use; the first of them. Neither takes memory of a GPU. */
    gm_status (*gpus_find)(gm_gpus *out, gm_error *err);
    gm_status (*gpu_describe)(gm_gpu_info *out);
    /* Fill *w, whose ops and numerics are set, on GPU `index`; on failure the caller calls
     * weights_free. GM_EABSENT, GM_EMEM and GM_EDEVICE mean that another device may do; the first
     * two are found before anything is loaded, if possible. */
    gm_status (*weights_load)(gm_weights *w, const gm_arch *arch, const gm_checkpoint *checkpoint,
                              const gm_model_options *options, int index, gm_error *err);
    void (*weights_free)(gm_weights *w);
    gm_status (*session_create)(void **own, const gm_arch *arch, const gm_weights *weights,
                                const gm_kv *kv, const gm_session_sizes *sizes, gm_error *err);
    void (*session_free)(void *own);
    /* Bytes of the device that session_create takes. */
    uint64_t (*session_bytes)(const gm_arch *arch, gm_numerics numerics,
                              const gm_session_sizes *sizes);
    gm_status (*edits_set)(void *own, const gm_edits *edits, gm_error *err);
    /* Run a step and deliver all of record and result. The watch (may be NULL) is asked after each
     * layer that the host follows; of a step of few rows, which is one graph, once it has been
     * delivered. A step that the watch has stopped gives GM_OK and undefined results. */
    gm_status (*step)(const gm_step *step, gm_watch *watch, gm_error *err);
    /* Does `decode` take steps of so many segments? Others go step by step. */
    bool (*decodes)(void *own, size_t n_segments);
    /* gm_session_decode, checked; step is the first. *n_done: steps that `each` has seen. The watch
     * is asked once a step. */
    gm_status (*decode)(const gm_step *step, const gm_decoding *how, gm_watch *watch,
                        size_t *n_done, gm_error *err);
    /* Kernels and copies of the step of few rows that ran last. */
    size_t (*launches)(const void *own);
    gm_status (*measure)(const gm_weights *weights, gm_ceilings *out, gm_error *err);
} gm_accelerator;

/* `layer` is a model layer; a dense layer's route does the norm only, and its MLP is
 * the one expert that every row takes. */
typedef struct gm_ops {
    const char *name;
    /* A layer's weights, present until released. */
    const gm_layer *(*layer_acquire)(gm_worker *me, const gm_step *step, size_t layer);
    void (*layer_release)(gm_worker *me, const gm_step *step, size_t layer);
    /* x = embed_scale times rows of the embedding */
    void (*embed)(gm_worker *me, const gm_step *step);
    /* x = the rows of `residual`; `residual` = the rows of x. NULL: not on this backend */
    void (*enter)(gm_worker *me, const gm_step *step);
    void (*leave)(gm_worker *me, const gm_step *step);
    /* norm (if there is one), query-key-value, clamp, q/k norm and rotation (or the norm last),
     * growth of queries, append to the KV cache; of latents: norm, latents and their norms, append,
     * queries, rotation, each head's keys into its query; of Gated DeltaNet: norm, product, then
     * with cpu/kernels.h's names b = 1 / (1 + e^-b), a = e^(-e^rate softplus(a + bias)), in double,
     * of every value head convolve the channels q, k, v over the run and the history (zeros before
     * position 0) unit of each key head's q, scale 1/sqrt(key), and of its k, scale 1; of Mamba2
     * likewise, but b = softplus(a + bias), and there is no unit; of short convolutions: norm,
     * product, convolve_gated by b and z; of Kimi Delta Attention: norm, product, a and z as
     * products of their latents, then as Gated DeltaNet, with as many a as keys have elements */
    void (*attn_in)(gm_worker *me, const gm_step *step, size_t layer, const gm_layer *w);
    /* softmax(scale q k) v over blocks of 32 positions, those of the layer's window if it has one;
     * a sink is the first logit of the running softmax, without a value; gated attention: then
     * gate, by the further queries. Of Gated DeltaNet: token by token through each value head's
     * state (zeros before position 0) delta with decay a and beta b; then norm_gated by z (of Kimi
     * Delta Attention the norm, and gate by z). Of Mamba2 likewise scan with decay a, step b and
     * the head's skip; then gated_norm by z, over all heads of a key head together. Of short
     * convolutions: the values */
    void (*attn)(gm_worker *me, const gm_step *step, size_t layer, const gm_layer *w);
    /* x += residual_scale norm(heads times O (+ bias)), where outputs have a norm; of latents,
     * heads = the result of attention times each head's values */
    void (*attn_out)(gm_worker *me, const gm_step *step, size_t layer, const gm_layer *w);
    /* norm (if there is one), router logits, edit, choice, record; rows grouped by expert; share =
     * sigmoid of the router's last output where the shared experts are gated */
    void (*route)(gm_worker *me, const gm_step *step, size_t layer, const gm_layer *w);
    /* silu(gate) * up, or another of the arch's activations, of the chosen experts (gate and up
     * times the row's gate, where that multiplies what they read, and with the bias added) and of
     * the MLP that all rows take; the record's norms */
    void (*moe_in)(gm_worker *me, const gm_step *step, size_t layer, const gm_layer *w);
    /* x += residual_scale norm((gate[0] y[0] + ... + gate[K-1] y[K-1]) scale + share always, which
     * is the shared experts' scale where they are not gated), in this order, where outputs have a
     * norm; gate[i] y[i] is followed by gate[i] bias[i] if experts have one; gate[i] is 1 where it
     * has multiplied the input */
    void (*moe_out)(gm_worker *me, const gm_step *step, size_t layer, const gm_layer *w);
    /* final norm, logits (plus the head's bias, times logits_scale) and nll of head rows [block *
     * GM_HEAD_ROWS, ...) */
    void (*head)(gm_worker *me, const gm_step *step, size_t block);
    /* tokens from those logits */
    void (*sample)(gm_worker *me, const gm_step *step, size_t block);
    /* the parts of the caller's record that are known only after the last layer */
    void (*record_drain)(gm_worker *me, const gm_step *step);
    const gm_accelerator *accelerator; /* NULL: the host's memory and threads */
} gm_ops;

/* The step's layers for one step, or layer by layer for the `n` pieces of a longer one (the
 * same model and session); on the CPU called by every worker. watch may be NULL. */
void gm_forward(gm_worker *me, const gm_step *piece, size_t n, gm_watch *watch);

#endif
