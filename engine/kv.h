/* kv.h - the keys and values of all open sequences, in blocks of 32 positions.
 *
 * Block b of a sequence holds its positions 32 b .. 32 b + 31, wherever it lies in
 * the pool; so the same block is computed with in prefill and token by token. A block
 * of one layer and KV head is two small matrices in panels (cpu/pack.h), ready to be
 * multiplied with: keys (32 outputs, head_dim inputs) and values (value_dim outputs,
 * 32 inputs). Of latent attention (gm_latent, arch.h) there is one KV head, a key being a latent
 * and the part that turns, and its value the latent once more, for the two matrices' order differs.
 * Values are always finite: a key or value that is not, as it would be stored, becomes a key of NaN
 * with a value of 0, so it reaches those that attend to it and nobody else.
 */
#ifndef GM_KV_H
#define GM_KV_H

#include "engine/arch.h"
#include "engine/buf.h"

enum { GM_KV_BLOCK = 32 };

/* Beside these, what layers of Gated DeltaNet (gm_delta, arch.h) keep: as much for a sequence of
 * any length. Both count from a sequence's first token on: whoever computes position 0 puts zeros
 * there first, so nothing is to be done where a sequence begins or ends. They can only go forward.
 */
typedef struct gm_sequence {
    bool open;
    size_t capacity, length; /* tokens */
} gm_sequence;

typedef struct gm_kv {
    gm_buf k, v;    /* PANELS, count = layers with keys * blocks * KV heads */
    gm_buf state;   /* ROWS f32, count = layers of it * sequences, of a value head a row: for
                       16 values after the other (key, 16) */
    gm_buf history; /* ROWS f32, the same count, (taps - 1, q + k + v): what position p put into
                       the convolution is row p % (taps - 1) */
    size_t layer_states; /* states from one layer to the next: max_sequences; 0: all share them */
    size_t n_blocks, n_kv_heads, max_context;
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

/* one_layer: layers are computed one after the other over all rows, so that each writes over
 * what the one before needs no more. */
uint64_t gm_kv_bytes(const gm_arch *arch, gm_numerics numerics, size_t rows, size_t sequences,
                     bool one_layer);
/* The tables; keys and values are described, and a backend with memory of its own keeps them
 * there. The others allocate them. */
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

/* Which matrix of k and v a block is, in a layer, the nth with keys, and KV head. */
static inline size_t gm_kv_item(const gm_kv *kv, size_t layer, size_t block, size_t head)
{
    return (layer * kv->layer_blocks + block) * kv->n_kv_heads + head;
}

/* Which of `state` and `history` is a sequence's in the nth layer of Gated DeltaNet. */
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
