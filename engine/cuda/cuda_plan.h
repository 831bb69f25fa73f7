/* cuda_plan.h - how a session's device memory is divided, and where the results of a step are in
 * it: numbers only, nothing is allocated here.
 */
#ifndef GM_CUDA_PLAN_H
#define GM_CUDA_PLAN_H

#include "engine/cuda/cuda_kernels.h"

/* The regions of the one allocation, in this order. Rows T, as everywhere. */
#define GM_CUDA_REGIONS(X)                                           \
    X(RESIDUAL)       /* (T,D) */                                    \
    X(GIVEN)          /* (T,D) outputs before their norm */          \
    X(QKV)            /* (T, q + k + v) */                           \
    X(QUERIES)        /* (T, q) of latents of queries */             \
    X(LATENT)         /* (T, q latent) for products */               \
    X(OF_HEADS)       /* (T, H, plain or latent) for products */     \
    X(QUERY)          /* (T,H,head) rotated */                       \
    X(HEADS)          /* (T, H head) */                              \
    X(HEADS_ROUNDED)  /* the same for a product */                   \
    X(NORM)           /* (T,D) for products */                       \
    X(NORM_EXACT)     /* (T,D) for the router */                     \
    X(ROUTER)         /* (T, outputs) logits */                      \
    X(EXPERT)         /* (T,K) ids */                                \
    X(GATE)           /* (T,K) */                                    \
    X(SHARE)          /* (T) of the shared experts */                \
    X(SLOT)           /* (T,K) places by expert */                   \
    X(SLOT_ROW)       /* (T K) rows of places */                     \
    X(COUNT)          /* (E) */                                      \
    X(FIRST)          /* (E + 1) first places */                     \
    X(GATHERED)       /* (T K, D) */                                 \
    X(HIDDEN)         /* (T K, F) */                                 \
    X(ALWAYS)         /* (T, width of the MLP that all rows take) */ \
    X(WIDE)           /* (T K, 2 F or D) of a product */             \
    X(ALWAYS_WIDE)    /* (T, the same) */                            \
    X(VECTORS)        /* (T, q + k + v + rates) of gm_delta */       \
    X(PART)           /* (few, splits, H, head + 4) */               \
    X(TICKET)         /* (few, H + 1) */                             \
    X(HEAD_X)         /* (head rows, D) */                           \
    X(LOGITS)         /* (head rows, V) */                           \
    X(WEIGHT)         /* (head rows, V) of sampling */               \
    X(SEEN)           /* (head rows, V bits) */                      \
    X(BEST)           /* (head rows) strongest tokens */             \
    X(ARRIVED)        /* (head rows) tickets */                      \
    X(COSINE)         /* (positions, turning / 2 and growth) */      \
    X(SINE)           /* likewise */                                 \
    X(STEP_DATA)      /* rows, head rows, tiles, runs */             \
    X(BLOCKS)         /* block tables of the cache */                \
    X(TOKENS)         /* ids of the cache */                         \
    X(KEYS)           /* of all layers that have some */             \
    X(VALUES)         /* likewise; of latents none */                \
    X(HISTORY)        /* of all layers of gm_delta */                \
    X(STATES)         /* likewise; of short convolutions none */     \
    X(EDITS)          /* a gm_cuda_edits */                          \
    X(COUNTER)        /* steps so far */                             \
    X(WIDENED)        /* a matrix of 8 bits as bf16 */               \
    X(WIDENED_EXPERT) /* (lanes) an expert's */

#define GM_CUDA_REGION_ENUM(name) GM_CUDA_##name,
typedef enum gm_cuda_region {
    GM_CUDA_REGIONS(GM_CUDA_REGION_ENUM) GM_CUDA_N_REGIONS
} gm_cuda_region;

/* Attention's sizes in layers that are global (gm_arch_is_global), or in the others; elements. */
typedef struct gm_cuda_head_sizes {
    size_t at_k, at_v, at_gate;    /* parts of a row of qkv; shared values are at_k */
    size_t head;                   /* from one head to the next, where heads have rows */
    size_t angle, at_angle;        /* from one position's angles to the next; the first */
    size_t at_layers, layer_bytes; /* keys (or values): of the first layer; of each */
} gm_cuda_head_sizes;

typedef struct gm_cuda_plan {
    size_t at[GM_CUDA_N_REGIONS]; /* offsets, multiples of 256 */
    size_t bytes[GM_CUDA_N_REGIONS];
    size_t total;
    /* elements from one row to the next */
    size_t width, qkv, heads, experts, expert_width, always_width, wide, always_wide, vocab;
    size_t queries, latent, of_head; /* the same of latents, where there are some */
    gm_cuda_head_sizes of[2];        /* [1]: of global layers */
    size_t vectors;                  /* of gm_delta, after the convolution */
    size_t seen_words;
    size_t widened, widened_expert;      /* elements; 0: weights are not of 8 bits */
    size_t history_floats, state_floats; /* of a layer that has states, all sequences */
    int few;                             /* rows that the few-row kernels can take: shared memory */
    int n_splits;
} gm_cuda_plan;

/* Rows of `longest` inputs, of up to GM_CUDA_FEW, that fit into a block's shared memory together;
 * 0: none. */
int gm_cuda_plan_few(size_t longest);

/* Blocks that share the positions of a row, of at most `most`, if it sees `window` of them (0:
 * all): the stretches of GM_CUDA_SPLIT that so many neighbours can span. */
int gm_cuda_splits(int most, size_t window);

/* The type of experts' weights: that of the numerics, or GM_U8 for MXFP4 kept as in the checkpoint,
 * which bf16 represents exactly. */
gm_dtype gm_cuda_expert_dtype(const gm_arch *arch, gm_numerics numerics);

/* Hidden units of an MLP of so many that a warp takes at once: as few pieces of at most
 * GM_CUDA_PIECE as possible, of equal size, because the slowest warp is waited for. */
int gm_cuda_piece(int width);

gm_cuda_plan gm_cuda_plan_session(const gm_arch *arch, gm_numerics numerics, const gm_kv *kv,
                                  const gm_session_sizes *sizes);

/* What a step writes for the host; offsets are multiples of 16. */
typedef struct gm_cuda_results {
    size_t sampled, nll, bad; /* always present */
    size_t expert, gate, mass, margin, logits;
    size_t bytes;
} gm_cuda_results;
gm_cuda_results gm_cuda_plan_results(const gm_arch *arch, size_t n_rows, bool record,
                                     bool router_logits);

/* Where rows, head rows, tiles and runs of a step are in STEP_DATA. */
typedef struct gm_cuda_step_data {
    size_t row, head, tile, run, bytes;
} gm_cuda_step_data;
gm_cuda_step_data gm_cuda_plan_step(size_t n_rows, size_t n_head, size_t n_tiles, size_t n_runs);

#endif
