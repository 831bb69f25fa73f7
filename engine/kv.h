/* kv.h - the keys and values of all open sequences, in blocks of 32 positions.
 *
 * Block b of a sequence holds its positions 32 b .. 32 b + 31, anywhere in the pool, so prefill and
 * decode compute with the same blocks. For each layer and KV head a block is two small matrices in
 * panels (cpu/pack.h): keys (32 outputs, head_dim inputs) and values (value_dim outputs, 32
 * inputs). Latent attention (gm_latent, arch.h) has one KV head: a key is a latent and the rotated
 * part, its value the latent again, because the two matrices are ordered differently. Values are
 * always finite: a key or value that would not be is stored as a key of NaN with a value of 0, so
 * it reaches the queries that attend to it and no others.
 */
#ifndef GM_KV_H
#define GM_KV_H

#include "engine/arch.h"
#include "engine/buf.h"

enum { GM_KV_BLOCK = 32 };

typedef struct gm_sequence {
    bool open;
    size_t capacity, length;       /* tokens */
    size_t first_layer, end_layer; /* that its tokens have been through; while it has none, all */
} gm_sequence;

/* Keys and values of layers with the same heads. */
typedef struct gm_cached {
    gm_buf k, v; /* PANELS, count = layers * blocks * KV heads */
    size_t n_heads;
} gm_cached;

/* `state` and `history` belong to layers of Gated DeltaNet or Mamba2 (gm_delta, arch.h); those of
 * short convolutions have a history only. Their size
 * does not depend on a sequence's length, and they cannot be taken back. Whoever computes position
 * 0 starts from zeros, so nothing needs clearing. */
typedef struct gm_kv {
    gm_cached of[2]; /* [1]: of layers that are global (gm_arch_is_global), [0]: of all others */
    gm_buf state;    /* ROWS f32, count = its layers * sequences; a row a value head, 16 values
                        after another as (key, 16) */
    gm_buf history;  /* ROWS f32, the same count, (taps - 1, q + k + v): the convolution's input at
                        position p is row p % (taps - 1) */
    size_t layer_states; /* states from one layer to the next: max_sequences; 0: all share them */
    size_t n_blocks, max_context;
    size_t layer_blocks; /* blocks from one layer to the next: n_blocks; 0: all share them */
    size_t max_sequences, blocks_per_sequence;
    size_t n_free, rows_left;
    uint32_t *free_block;  /* (n_blocks), the first n_free count */
    uint32_t *block;       /* (max_sequences, blocks_per_sequence) */
    uint32_t *token;       /* (n_blocks * 32) ids of the tokens in the pool's rows */
    gm_sequence *sequence; /* (max_sequences) */
} gm_kv;

/* The sizes alone; nothing is allocated. */
void gm_kv_describe(gm_kv *kv, const gm_arch *arch, gm_numerics numerics, size_t rows,
                    size_t sequences, bool one_layer);

/* Bytes of a sequence's states in all layers. */
uint64_t gm_kv_state_bytes(const gm_arch *arch);

/* one_layer: each layer is computed over all rows before the next, and overwrites its cache. */
uint64_t gm_kv_bytes(const gm_arch *arch, gm_numerics numerics, size_t rows, size_t sequences,
                     bool one_layer);
/* gm_kv_create makes the tables and describes keys and values; gm_kv_allocate allocates these, for
 * backends without memory of their own. */
gm_status gm_kv_create(gm_kv *kv, const gm_arch *arch, gm_numerics numerics, size_t rows,
                       size_t sequences, bool one_layer, gm_error *err) GM_MUST_USE;
gm_status gm_kv_allocate(gm_kv *kv, gm_error *err) GM_MUST_USE;
void gm_kv_clear(gm_kv *kv);

gm_status gm_kv_open(gm_kv *kv, size_t capacity, int *id, gm_error *err) GM_MUST_USE;
void gm_kv_close(gm_kv *kv, int id);
bool gm_kv_is_open(const gm_kv *kv, int id);

/* The pool's block that holds a position of a sequence. */
static inline size_t gm_kv_block_of(const gm_kv *kv, int id, size_t position)
{
    return kv->block[(size_t)id * kv->blocks_per_sequence + position / GM_KV_BLOCK];
}

/* The matrix of k and v that is a block in `layer`, the nth of its kind, and KV head `head`. */
static inline size_t gm_kv_item(const gm_kv *kv, bool global, size_t layer, size_t block,
                                size_t head)
{
    return (layer * kv->layer_blocks + block) * kv->of[global].n_heads + head;
}

/* The matrix of `state` and `history` that is a sequence's in the nth layer that has them. */
static inline size_t gm_kv_state(const gm_kv *kv, size_t nth, int id)
{
    return nth * kv->layer_states + (size_t)id;
}

/* The id of the token at a position. */
static inline uint32_t *gm_kv_token(const gm_kv *kv, int id, size_t position)
{
    return &kv->token[gm_kv_block_of(kv, id, position) * GM_KV_BLOCK + position % GM_KV_BLOCK];
}

#endif
