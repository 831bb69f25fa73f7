/* cuda_kernels.h - the kernels, as C sees them: their parameters, and how they are launched.
 *
 * All pointers are the device's. A launch enqueues on the stream and says whether that worked; a
 * failure of the kernel shows at the step's end. Matrices are rows of outputs, `stride` elements
 * apart, a multiple of 32 with zeros after the inputs; their elements (`dtype`) are f32, bf16, or 8
 * bits with a scale for each output after the matrix (buf.h); of experts also MXFP4, whose dtype is
 * U8, with the scales of its blocks after the codes of the matrix. Products of f32 read f32
 * (`wide`), others bf16. Everything else is f32.
 *
 * Two paths. *Few rows* (up to GM_CUDA_FEW, each of its own sequence): six kernels a layer, seven
 * with Mamba2, eight with Kimi Delta Attention, eight or nine with latent attention, two more where
 * outputs have a norm, and one more where experts and the MLP that all rows take have norms apart,
 * in which a row reads each weight once; the host knows nothing about the step but its number of
 * rows, so a CUDA graph of them can be replayed. *Many rows*: cuBLAS for the products, and kernels
 * between them.
 */
#ifndef GM_CUDA_KERNELS_H
#define GM_CUDA_KERNELS_H

#include "base/cuda/cuda_device.h"
#include "engine/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    GM_CUDA_LANES = 4,               /* experts' products that may run side by side */
    GM_CUDA_FEW = 8,                 /* rows that the few-row kernels take at most */
    GM_CUDA_SPLIT = 64,              /* positions of the cache that a block attends to at once */
    GM_CUDA_MOST_SPLITS = 64,        /* blocks of a row; then each has another turn */
    GM_CUDA_SLOTS = 8,               /* steps in flight to the host */
    GM_CUDA_PIECE = 2048,            /* hidden units that a warp of `down` takes at once, at most */
    GM_CUDA_MAX_EXPERTS = 1024,      /* a block's shared memory holds the router's scores */
    GM_CUDA_MAX_VOCAB = 0xfffff,     /* tokens' weights of up to 2^44 add up in 64 bits */
    GM_CUDA_HEAD = 256,              /* of head_dim: what attention's kernels are compiled for, */
    GM_CUDA_MAX_HEAD = 512,          /* and once more for more than that, up to this */
    GM_CUDA_LATENT_SPLIT = 32,       /* GM_CUDA_SPLIT of latents, whose keys are wider */
    GM_CUDA_MAX_LATENT = 512,        /* of latents: what a warp keeps of them in registers */
    GM_CUDA_MAX_LATENT_HEAD = 640,   /* and rotated: 16 to 32 fit a block's shared memory */
    GM_CUDA_MAX_DELTA_KEY = 128,     /* of gm_delta: what a lane keeps of its state */
    GM_CUDA_MAX_DELTA_VALUE = 1024,  /* fits a block's shared memory */
    GM_CUDA_SHARED_BYTES = 96 << 10, /* of a block: every GPU from 8.0 on allows it, */
    GM_CUDA_MOST_SHARED_BYTES = 99 << 10, /* and this to a kernel without other shared memory */
};

/* A row whose logits are needed (gm_head_row, with its sampling by value). */
typedef struct gm_cuda_head {
    uint32_t row, target;
    int32_t segment; /* -1: does not sample */
    int32_t top_k;
    double temperature, top_p, penalty; /* as gm_sampling */
    uint64_t seed, stream;
} gm_cuda_head;

/* ---- weights ---- */

/* Rows of a tensor become rows of a matrix: converted, padded with zeros, in 8 bits with their
 * scales. Row r goes to row r / every + r % every * apart. */
typedef struct gm_cuda_place {
    const void *from;      /* (rows, cols) as stored; or `period` values */
    const uint8_t *scales; /* (rows, cols / 32) of MXFP4; NULL: GM_RANDOM_SCALE */
    gm_grid grid;          /* of F8_E4M3 and of four bits */
    void *to;              /* (rows, stride) */
    float *scale;          /* (rows) of 8 bits; otherwise NULL */
    uint8_t *to_scales;    /* (rows, stride / 32) of MXFP4 that is kept */
    size_t rows, cols, stride;
    size_t every, apart;  /* `every` 0: 1 */
    size_t first, period; /* period > 0: element i is from[(first + i) % period], of 16 bits */
    bool centred;         /* add 1 to what becomes f32 */
    gm_stored stored;
    gm_dtype from_dtype, to_dtype; /* of ROWS and COLUMNS f32, f16, bf16, fp8, or i32: four bits */
} gm_cuda_place;
cudaError_t gm_cuda_place_rows(const gm_cuda_how *how, const gm_cuda_place *p);

/* n weights of 8 bits, a multiple of 8, as bf16, without their scales; or a matrix of MXFP4
 * with them. */
typedef struct gm_cuda_widen {
    const void *from;
    void *to;
    size_t n;
    gm_dtype dtype;
} gm_cuda_widen;
cudaError_t gm_cuda_widen_weights(const gm_cuda_how *how, const gm_cuda_widen *p);

/* to[r][n] (+)= from[r][n] times the scale of the matrix's output n. `count` products may be side
 * by side in a row, `apart` floats from one to the next, of n_out outputs each. */
typedef struct gm_cuda_scale {
    const float *from; /* may be `to` */
    float *to;
    const void *matrix; /* (count n_out, stride), then the scales */
    size_t from_stride, to_stride, stride, apart;
    int n_rows, n_out, count; /* count 0: 1 */
    bool add;
    gm_dtype dtype; /* of the matrix */
} gm_cuda_scale;
cudaError_t gm_cuda_scale_rows(const gm_cuda_how *how, const gm_cuda_scale *p);

/* ---- products of few rows ---- */

/* A norm's weights are (width); where it has a bias, (width) too, it is LayerNorm, else RMSNorm. */

/* out[r][n] (+)= factor (sum over k of x[r][k] matrix[n][k] (+ bias[n])); x goes through the norm
 * first when there is one. With `head` row r of x is head[r].row. */
typedef struct gm_cuda_project {
    const float *x;                /* (rows, x_stride) */
    const float *norm, *norm_bias; /* or NULL */
    const gm_cuda_head *head;
    const void *matrix; /* (n_out, stride) */
    const float *bias;  /* (n_out) or NULL */
    float *out;         /* (rows, out_stride) */
    size_t x_stride, stride, out_stride;
    int n_rows, width, n_out;
    float epsilon, factor;
    gm_dtype dtype; /* of the matrix */
    bool add;       /* to out */
} gm_cuda_project;
cudaError_t gm_cuda_project_few(const gm_cuda_how *how, const gm_cuda_project *p);

/* Rows through the norm, one block a row: `rounded` in the type of products, `exact` as f32;
 * either may be NULL. The same without a norm: rounding alone. `factor` not 0: exact += factor
 * times the result. */
typedef struct gm_cuda_norm {
    const float *x, *norm, *norm_bias;
    const gm_cuda_head *head; /* row r of x is head[r].row; NULL: r */
    void *rounded;
    float *exact;
    size_t x_stride, rounded_stride, exact_stride;
    int n_rows, width;
    float epsilon, factor;
    bool wide;
} gm_cuda_norm;
cudaError_t gm_cuda_norm_rows(const gm_cuda_how *how, const gm_cuda_norm *p);

/* to[r][i] += factor bias[i], i < width */
cudaError_t gm_cuda_add_bias(const gm_cuda_how *how, float *to, const float *bias, float factor,
                             size_t stride, int n_rows, int width);

/* ---- attention ---- */

typedef struct gm_cuda_attention {
    const gm_row *row;
    const float *qkv;             /* (rows, qkv_stride) as projected */
    const float *q_norm, *k_norm; /* or NULL */
    const float *sinks;           /* (H) logits of keys without a value; or NULL */
    const float *gate;            /* (rows, qkv_stride) of H value_dim: by its sigmoid counts what
                                     attention gives; or NULL */
    const float *cosine, *sine;   /* (positions, angle_stride); where queries grow, after the
                                     cosines by how much */
    const uint32_t *block;        /* (sequences, blocks_per_sequence) */
    void *k, *v;                  /* this layer: (pool blocks, KV heads, 32, head_stride) */
    float *query;                 /* (rows, H, head_stride); many rows only */
    float *heads;                 /* (rows, heads_stride), written */
    float *part;                  /* (rows, splits, H, head_stride + 4); few rows only */
    unsigned *ticket;             /* (rows, H), 0 between kernels; few rows only */
    size_t qkv_stride, angle_stride, head_stride, heads_stride, blocks_per_sequence;
    int n_rows, n_heads, n_kv_heads, head_dim, n_splits;
    int value_dim;  /* at most head_dim; the cache has zeros after a value */
    int at_k, at_v; /* of a projected row: keys, and values, which may be the same */
    int rotary_dim; /* rotated elements of a head: rope.h */
    int window;     /* positions that a query sees, its own included; 0: all */
    bool chunked;   /* from the last multiple of it on instead */
    float scale, clip, epsilon;
    float value_scale; /* of values */
    bool norm_whole;   /* over all heads */
    bool norm_last;    /* after the rotation */
    bool norm_unit;    /* head by head, without weights */
    bool grows;        /* queries do */
    bool norm_values;  /* too, head by head, without weights */
    bool neighbours, wide;
} gm_cuda_attention;
/* Few rows: q/k norm, clamp, rotation, append and attention in one kernel; a block a split, KV
 * head (and up to four of its query heads) and row, the last to arrive merges the splits. */
cudaError_t gm_cuda_attend_few(const gm_cuda_how *how, const gm_cuda_attention *p);
/* Many rows: first queries and cache, then tiles of up to 16 queries. */
cudaError_t gm_cuda_append_many(const gm_cuda_how *how, const gm_cuda_attention *p);
cudaError_t gm_cuda_attend_many(const gm_cuda_how *how, const gm_cuda_attention *p,
                                const gm_tile *tile, int n_tiles);

/* ---- attention to latents (gm_latent, arch.h) ---- */

/* A head's query has `plain` elements, into which the head's keys are multiplied, and then the
 * rotated ones. A row of the cache is a latent and the rotated part of the key: its first `kv`
 * elements are also the value. One that is not finite is stored as a latent of 0 and a rotated part
 * of NaN (kv.h). */
typedef struct gm_cuda_latents {
    const gm_row *row;
    const float *queries;          /* (rows, queries_stride) of H heads, as projected */
    const float *keys;             /* (rows, keys_stride) latents and rotated parts, likewise */
    const float *k_norm;           /* (kv) */
    const float *cosine, *sine;    /* (positions, angle_stride); growth as in gm_cuda_attention */
    const uint32_t *block;         /* (sequences, blocks_per_sequence) */
    const void *key_up, *value_up; /* few rows: (H kv, plain_stride), (H value, kv_stride) */
    void *cache;                   /* this layer: (pool blocks, 32, head_stride) */
    float *query;                  /* (rows, H, head_stride) what keys are multiplied with */
    void *of_heads; /* many rows: (rows, H, each_stride), what products of heads read: `plain`
                       elements of queries, and after attention its result */
    float *part;    /* few rows: (rows, splits, H, head_stride + 4) */
    float *heads;   /* few rows: (rows, heads_stride) H of `value` */
    size_t queries_stride, keys_stride, angle_stride, blocks_per_sequence, plain_stride, kv_stride,
        head_stride, each_stride, heads_stride;
    int n_rows, n_heads, n_splits, kv, plain, turning, value;
    float scale;
    gm_dtype dtype; /* of key_up and value_up */
    bool grows;     /* queries do */
    bool wide;
} gm_cuda_latents;
/* Few rows, three kernels: latents into the cache, and queries; attention, a block a split, row and
 * up to eight heads; merging its parts, and heads' values. */
cudaError_t gm_cuda_latent_keys_few(const gm_cuda_how *how, const gm_cuda_latents *p);
cudaError_t gm_cuda_latent_attend_few(const gm_cuda_how *how, const gm_cuda_latents *p);
cudaError_t gm_cuda_latent_values_few(const gm_cuda_how *how, const gm_cuda_latents *p);
/* Many rows: latents into the cache, and queries except their products; tiles of up to 16 queries.
 */
cudaError_t gm_cuda_latent_append_many(const gm_cuda_how *how, const gm_cuda_latents *p);
cudaError_t gm_cuda_latent_attend_many(const gm_cuda_how *how, const gm_cuda_latents *p,
                                       const gm_tile *tile, int n_tiles);

/* ---- Gated DeltaNet, Mamba2 and short convolutions (gm_delta, arch.h) ---- */

/* A projected row is laid out as gm_delta_place says (of Mamba2, a takes the place of b). A layer
 * keeps of a sequence the channels of its last `taps` rows, those of position p at p % taps (one
 * row more than needed, so that a step overwrites none that it reads), and for each value head a
 * state (value, key_stride), zeros after `key`. Position 0 reads neither, so they are never
 * cleared. A short convolution has neither states nor what follows the convolution elsewhere. */
typedef struct gm_cuda_delta {
    const gm_row *row;
    const float *x;           /* (rows, x_stride) as projected */
    const float *conv;        /* (channels, conv_stride) of `taps` */
    const float *conv_bias;   /* (channels) or NULL */
    const float *rate, *bias; /* (H) log of the decay rate; added to a, (H), or `each` (H key) */
    const float *skip;        /* (H) of Mamba2; NULL: Gated DeltaNet */
    const float *norm;        /* (value); of Mamba2 (H value) */
    float *history;           /* this layer: (sequences, taps, channels) */
    float *state;             /* this layer: (sequences, H, value, key_stride) */
    float *vectors;           /* many rows: (rows, vectors_stride), after the convolution */
    float *heads;             /* (rows, heads_stride) of H `value`; of few rows finished */
    void *rounded;            /* many rows: (rows, heads_stride) finished, for a product */
    size_t x_stride, conv_stride, vectors_stride, heads_stride;
    int n_rows, n_heads, n_key_heads, key, value, key_stride, taps;
    int at_q, at_k, at_v, at_z, at_b, at_a; /* in a projected row */
    int channels;                           /* of it that are convolved, from its first on */
    float epsilon;
    bool each; /* Kimi Delta Attention: a for each element of a key; z's sigmoid is the gate */
    bool wide;
} gm_cuda_delta;

/* key_stride of keys of so many elements: the sizes that the kernels are compiled for. */
static inline int gm_cuda_key_stride(int key)
{
    return key <= 32 ? 32 : key <= 64 ? 64 : GM_CUDA_MAX_DELTA_KEY;
}

/* Few rows: all of Gated DeltaNet, a block a value head and row. */
cudaError_t gm_cuda_delta_few(const gm_cuda_how *how, const gm_cuda_delta *p);
/* Of Mamba2 all but gate and norm, a block some values of a head and a row. */
cudaError_t gm_cuda_scan_few(const gm_cuda_how *how, const gm_cuda_delta *p);
/* Many rows, three kernels: all before the states; the states, a block a run, head and some values;
 * norm and gate, and the history. */
cudaError_t gm_cuda_delta_convolve_many(const gm_cuda_how *how, const gm_cuda_delta *p);
cudaError_t gm_cuda_delta_states_many(const gm_cuda_how *how, const gm_cuda_delta *p,
                                      const gm_tile *run, int n_runs);
cudaError_t gm_cuda_delta_finish_many(const gm_cuda_how *how, const gm_cuda_delta *p);
/* Mamba2's gate and norm, a block a row and group of heads: of few rows in place; of many the last
 * of the three. */
cudaError_t gm_cuda_scan_finish_few(const gm_cuda_how *how, const gm_cuda_delta *p);
cudaError_t gm_cuda_scan_finish_many(const gm_cuda_how *how, const gm_cuda_delta *p);
/* A short convolution, a thread a channel and row: of few rows all of it; of many what is rounded,
 * then the history, which the former reads. */
cudaError_t gm_cuda_convolve_few(const gm_cuda_how *how, const gm_cuda_delta *p);
cudaError_t gm_cuda_convolve_many(const gm_cuda_how *how, const gm_cuda_delta *p);
cudaError_t gm_cuda_convolve_keep(const gm_cuda_how *how, const gm_cuda_delta *p);

/* ---- the router ---- */

/* Where the record of a step goes: layer-major as gm_record; NULL: not recorded. */
typedef struct gm_cuda_record {
    uint16_t *expert;
    float *gate, *mass, *margin, *logits;
} gm_cuda_record;

/* The session's edits, in device memory, so that other edits need no other graph. */
typedef struct gm_cuda_edits {
    const float *bias;     /* (n, L, E) */
    const uint8_t *active; /* (n, L) */
    const uint8_t *mode;   /* (n) */
    const uint8_t *mass;   /* (n) mass-matched */
    const uint8_t *phases; /* (n) */
    int32_t n;
} gm_cuda_edits;

typedef struct gm_cuda_route {
    const gm_row *row;
    const gm_cuda_edits *edits;     /* one, on the device */
    const float *x;                 /* few rows: residual */
    const float *norm, *norm_bias;  /* few rows; the latter may be NULL */
    const float *matrix;            /* few rows: (n_outputs, stride) */
    const float *bias, *correction; /* (E) or NULL */
    float *logits;                  /* (rows, logits_stride) */
    int32_t *expert;                /* (rows, K) */
    float *gate;                    /* (rows, K) */
    float *share;                   /* (rows) sigmoid of output E; NULL: there are E outputs */
    uint8_t *bad;                   /* (rows) */
    unsigned *ticket;               /* (rows), 0 between kernels; few rows only */
    gm_cuda_record record;          /* of this layer */
    size_t x_stride, stride, logits_stride;
    int n_rows, width, n_experts, n_outputs, n_chosen, moe, n_moe;
    float epsilon;
    gm_router_desc desc;
} gm_cuda_route;
/* Many rows, logits given: a block a row. */
cudaError_t gm_cuda_route_many(const gm_cuda_how *how, const gm_cuda_route *p);

/* Places of the choices by expert, stable by row and rank; bad rows have none. */
typedef struct gm_cuda_group {
    const int32_t *expert; /* (T,K) */
    int32_t *slot;         /* (T,K) */
    int32_t *slot_row;     /* (T K) */
    int32_t *count;        /* (E) scratch */
    int32_t *first;        /* (E + 1) */
    int n_choices, n_chosen, n_experts;
} gm_cuda_group;
cudaError_t gm_cuda_group_rows(const gm_cuda_how *how, const gm_cuda_group *p);

/* ---- experts ---- */

typedef struct gm_cuda_experts {
    const float *x, *norm, *norm_bias;        /* residual, its norm's; few rows */
    const float *always_norm;                 /* what `always` reads it through, and */
    const float *always_norm_bias;            /* its bias or NULL; few rows */
    float *out;                               /* (rows, x_stride) of `down` */
    const int32_t *expert;                    /* (rows, K) */
    const float *gate;                        /* (rows, K) of what experts give; NULL: 1 */
    const float *in_gate;                     /* (rows, K) of what they read; NULL: 1 */
    const float *share;                       /* (rows) factors of `always`; NULL: 1 */
    const float *scales;                      /* (E) in place of `scale`; or NULL */
    const void *gate_up, *down;               /* (E, 2F, d_stride), (E, D, f_stride) */
    size_t gate_up_bytes, down_bytes;         /* from one expert to the next */
    const float *in_bias, *out_bias;          /* (E, 2, in_stride), (E, out_stride); or NULL */
    const void *always_gate_up, *always_down; /* NULL: none */
    void *hidden; /* few: (rows, K, f_stride); many: (T K, f_stride) by place */
    void *always; /* (rows, a_stride) */
    size_t x_stride, d_stride, f_stride, a_stride, in_stride, out_stride;
    int n_rows, width, n_chosen, expert_width, always_width; /* n_chosen 0: a dense layer */
    int units; /* of the two rows of gate_up that a warp reads at once: 1, gate and up, or without
                  gates 2; their rows are even in number then */
    int expert_pairs, always_pairs; /* such rows, divided by two */
    int expert_apart, always_apart; /* rows from the first of a pair to the second */
    int piece, always_piece; /* hidden units that a warp of `down` takes at once: of an expert, of
                         `always` */
    gm_activation activation;
    float scale, always_scale, residual_scale, epsilon; /* always_scale: without `share` */
    gm_dtype dtype;                                     /* of the weights */
    bool add;                                           /* to out, residual_scale times */
} gm_cuda_experts;
/* Norm, logits and choice; at the same time gate and up of the MLP that all rows take, if there is
 * one. */
cudaError_t gm_cuda_route_few(const gm_cuda_how *how, const gm_cuda_route *p,
                              const gm_cuda_experts *always);
/* Gate and up of the rows' experts; in a dense layer, of the MLP that all rows take. */
cudaError_t gm_cuda_gate_up_few(const gm_cuda_how *how, const gm_cuda_experts *p);
cudaError_t gm_cuda_down_few(const gm_cuda_how *how, const gm_cuda_experts *p);

/* rows[i] = from[index[i]], i < index count that first[E] says. */
typedef struct gm_cuda_gather {
    const void *from;
    void *to;
    const int32_t *index, *n; /* (most), (1) */
    size_t row_bytes;         /* a multiple of 16 */
    int most;
} gm_cuda_gather;
cudaError_t gm_cuda_gather_rows(const gm_cuda_how *how, const gm_cuda_gather *p);

/* hidden[i][f] = silu(gate_up[i][f]) gate_up[i][width + f], or the other activation, rounded; i <
 * first[E] (NULL: most), and where experts have one, with the bias of the expert whose place i is;
 * before that gate_up times the gate of the choice whose place it is, where there are gates. */
typedef struct gm_cuda_swiglu {
    const float *gate_up;           /* (most, stride) */
    const float *bias;              /* (E, 2, bias_stride) or NULL */
    void *hidden;                   /* (most, hidden_stride) */
    const int32_t *first;           /* (E + 1) */
    const float *gate;              /* (rows, K) or NULL */
    const int32_t *slot, *slot_row; /* (rows, K), (most): as gm_cuda_group */
    size_t stride, bias_stride, hidden_stride;
    int most, width, n_experts, n_chosen;
    gm_activation activation;
    bool wide;
} gm_cuda_swiglu;
cudaError_t gm_cuda_swiglu_rows(const gm_cuda_how *how, const gm_cuda_swiglu *p);

/* x[r] (+= residual_scale) ((sum over k of gate[k] scale (y[slot[k]] + bias[expert[k]])) + share[r]
 * always[r]); the scale is the expert's own where these have one. */
typedef struct gm_cuda_combine {
    float *x;
    const float *y, *always; /* (places, y_stride), (rows, always_stride); or NULL */
    const float *bias;       /* (E, bias_stride) or NULL */
    const int32_t *expert, *slot;
    const float *gate, *share; /* NULL: 1 */
    const float *scales;       /* (E) or NULL */
    size_t x_stride, y_stride, bias_stride, always_stride;
    int n_rows, width, n_chosen;
    float scale, always_scale, residual_scale; /* always_scale: without `share` */
    bool add;
} gm_cuda_combine;
cudaError_t gm_cuda_combine_rows(const gm_cuda_how *how, const gm_cuda_combine *p);

/* Where what the experts and the MLP give has norms of its own, and their sum another:
 * x = (x + residual_scale norm(expert_norm(experts) + always_norm(always))) scale. */
typedef struct gm_cuda_out_norms {
    float *x, *experts;                            /* (rows, stride); the latter is scratch then */
    const float *always;                           /* (rows, always_stride) */
    const float *expert_norm, *always_norm, *norm; /* (width) */
    const float *scale;                            /* (1), or NULL: 1 */
    size_t stride, always_stride;
    int n_rows, width;
    float epsilon, residual_scale;
} gm_cuda_out_norms;
cudaError_t gm_cuda_add_normed(const gm_cuda_how *how, const gm_cuda_out_norms *p);

/* ---- ends ---- */

typedef struct gm_cuda_embed {
    const gm_row *row;
    const void *embed; /* (V, stride) in `dtype` */
    float *x;
    uint8_t *bad;
    uint32_t *token;       /* (pool blocks, 32) of the cache */
    const uint32_t *block; /* (sequences, blocks_per_sequence) */
    size_t stride, x_stride, blocks_per_sequence;
    int n_rows, width;
    float scale;
    gm_dtype dtype;
} gm_cuda_embed;
cudaError_t gm_cuda_embed_rows(const gm_cuda_how *how, const gm_cuda_embed *p);

typedef struct gm_cuda_finish {
    const gm_cuda_head *head;
    const gm_row *row;
    float *logits;            /* (n, stride); the repetition penalty is applied in place */
    float *weight;            /* (n, stride) scratch */
    unsigned *seen;           /* (n, seen_words) 0 between kernels */
    unsigned long long *best; /* (n) the same: strongest token so far */
    unsigned *ticket;         /* (n) the same */
    const uint32_t *token;    /* of the cache */
    const uint32_t *block;
    float *nll;        /* (rows) */
    uint32_t *sampled; /* (segments) */
    size_t stride, seen_words, blocks_per_sequence;
    int n, vocab;
} gm_cuda_finish;
/* logits = cap tanh(logits / cap) */
cudaError_t gm_cuda_cap_rows(const gm_cuda_how *how, const gm_cuda_finish *p, float cap);
cudaError_t gm_cuda_nll_rows(const gm_cuda_how *how, const gm_cuda_finish *p);
cudaError_t gm_cuda_sample_rows(const gm_cuda_how *how, const gm_cuda_finish *p);

/* End of a step of few rows: its results go to the host's ring, and the rows become those of
 * the next step: the sampled token, one position further. */
typedef struct gm_cuda_publish {
    const void *result; /* (bytes) what the step has written */
    void *ring;         /* pinned: GM_CUDA_SLOTS slots of slot_bytes */
    uint64_t *arrived;  /* pinned: (GM_CUDA_SLOTS) number of the step that a slot holds */
    uint64_t *step;     /* on the device: steps so far */
    gm_row *row;
    const gm_cuda_head *head;
    const uint32_t *sampled;
    size_t bytes, slot_bytes; /* multiples of 16 */
    int n_head;
} gm_cuda_publish;
cudaError_t gm_cuda_publish_step(const gm_cuda_how *how, const gm_cuda_publish *p);

/* Once a device: let kernels use up to GM_CUDA_SHARED_BYTES of shared memory. */
cudaError_t gm_cuda_project_prepare(void);
cudaError_t gm_cuda_prefill_prepare(void);
cudaError_t gm_cuda_route_prepare(void);
cudaError_t gm_cuda_experts_prepare(void);
cudaError_t gm_cuda_latent_prepare(void);
cudaError_t gm_cuda_latent_attend_prepare(void);

/* Do kernels wait for the previous one, as they must when they are started early? Code compiled for
 * 9.0 or later does, older PTX does not. */
cudaError_t gm_cuda_kernels_wait(bool *wait);

#ifdef __cplusplus
}
#endif
#endif
