/* cuda_layout.h - where a model's weights are in a GPU's memory, and which tensor goes where.
 *
 * All weights are one allocation. Matrices are rows of outputs, padded with zeros to a multiple of
 * 32 inputs (buf.h, ROWS); query, key and value are one matrix, and so are gate and up, the gate's
 * rows first. In latent attention queries (or their latent) and keys are one matrix, and key_up and
 * value_up have the heads' rows one after another.
 */
#ifndef GM_CUDA_LAYOUT_H
#define GM_CUDA_LAYOUT_H

#include "engine/weights.h"

/* A matrix or vector of the checkpoint (`expert`: of which expert or head) and its place: matrix
 * `item` of a buffer, row and column of its first element. If rows of two matrices alternate, one
 * job does both, and the second one's place is `apart` rows further. */
typedef struct gm_cuda_job {
    gm_role role;
    int layer, expert;
    gm_buf *to;
    size_t item, row, column, apart;
} gm_cuda_job;

typedef struct gm_cuda_layout {
    const gm_arch *arch;
    gm_cuda_job *job; /* (n) gm_free */
    size_t n, cap;
    char *base;   /* where the buffers begin; NULL while only sizes are computed */
    size_t bytes; /* of all buffers */
    bool full;    /* no memory for the list */
} gm_cuda_layout;

/* The buffers of *w, whose numerics and no_head are set, from `base` on (NULL: nowhere yet), and
 * the jobs that fill them; `embed` is the embedding's type. The jobs point into *w. GM_EMEM. */
gm_status gm_cuda_lay_out(gm_cuda_layout *out, gm_weights *w, const gm_arch *arch, gm_dtype embed,
                          void *base, gm_error *err) GM_MUST_USE;

/* Bytes that the weights would take under other numerics. GM_EMEM. */
gm_status gm_cuda_layout_bytes(const gm_weights *w, const gm_arch *arch, gm_numerics numerics,
                               gm_dtype embed, size_t *bytes, gm_error *err) GM_MUST_USE;

#endif
