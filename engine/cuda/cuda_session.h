/* cuda_session.h - what a model and a session keep on the GPU, shared by the files that run a
 * step.
 */
#ifndef GM_CUDA_SESSION_H
#define GM_CUDA_SESSION_H

#include "base/cuda/cuda_device.h"
#include "engine/cuda/cuda_kernels.h"
#include "engine/cuda/cuda_plan.h"

/* gm_weights.own */
typedef struct gm_cuda_model {
    gm_cuda_device device;
    gm_cuda_blas blas; /* the library; each session has handles of its own */
    void *memory;      /* all weights, one allocation */
    size_t bytes;
} gm_cuda_model;

/* A captured step of few rows, and what it was captured for. */
typedef struct gm_cuda_graph {
    size_t n_rows, n_head;
    bool record, router_logits, logits, nll, sampled;
    cudaGraphExec_t exec; /* NULL: this place is free */
    size_t n_nodes;       /* kernels and copies of a replay */
    uint64_t used;        /* number of the step that used it last */
} gm_cuda_graph;

enum {
    GM_CUDA_GRAPHS = 16,
    GM_CUDA_MAIN = GM_CUDA_LANES, /* the lane of products on the session's stream */
};

/* gm_step.own */
typedef struct gm_cuda_session {
    const gm_arch *arch;
    const gm_weights *weights;
    const gm_cuda_model *model;
    const gm_kv *kv; /* tables only */
    gm_session_sizes sizes;
    gm_cuda_plan plan;
    gm_cuda_how how;
    gm_cuda_blas blas; /* a lane for each of `lane`, then GM_CUDA_MAIN */
    bool wide;
    cudaStream_t stream, copies, lane[GM_CUDA_LANES]; /* of experts */
    cudaEvent_t ready, routed, fork, join[GM_CUDA_LANES];
    char *memory;        /* plan.total bytes */
    char *edit_memory;   /* of the tables that GM_CUDA_EDITS points to */
    char *result;        /* on the device: results of a step */
    size_t result_bytes; /* that it and a slot of the ring can hold */
    float *angles;       /* being sent to the device */
    /* pinned */
    char *upload;      /* rows, head rows, tiles of the next step */
    uint32_t *blocks;  /* the block tables as they are on the device */
    int32_t *first;    /* (E + 1) places of the experts, read back */
    float *logits;     /* (GM_HEAD_ROWS, V stride) */
    char *ring;        /* GM_CUDA_SLOTS results */
    uint64_t *arrived; /* (GM_CUDA_SLOTS) */
    gm_cuda_graph graph[GM_CUDA_GRAPHS];
    uint64_t n_steps; /* of few rows, launched */
    /* the step that runs */
    bool few;
    gm_cuda_results at; /* in `result` */
    bool record, router_logits, wants_logits;
    gm_status status; /* the first failure: the operations have no other way to say it */
    gm_error error;
} gm_cuda_session;

/* A region of the session's memory. */
static inline void *gm_cuda_at(const gm_cuda_session *s, gm_cuda_region region)
{
    return s->memory + s->plan.at[region];
}

/* A norm's weights; its bias, the second row, if it is LayerNorm, else NULL. */
static inline const float *gm_cuda_norm_bias(const gm_buf *norm)
{
    return norm->rows > 1 ? (const float *)norm->address + norm->stride : NULL;
}

/* What the MLP that all rows take counts, where it is not gated. */
static inline float gm_cuda_always_scale(const gm_arch *arch, const gm_layer *w)
{
    return w->moe >= 0 ? arch->shared_scale : 1.0f;
}

/* Where the outputs of attention or the MLP go: into the residual, or to where their norm reads. */
static inline float *gm_cuda_output(const gm_cuda_session *s, const gm_buf *norm)
{
    return gm_cuda_at(s, norm->address ? GM_CUDA_GIVEN : GM_CUDA_RESIDUAL);
}

/* Keep the first failure of a step. `what` is a verbal noun: "routing". */
void gm_cuda_note(gm_cuda_session *s, cudaError_t result, const char *what);

/* Refuse what the kernels cannot do. GM_EABSENT. */
gm_status gm_cuda_check_arch(const gm_arch *arch, gm_error *err) GM_MUST_USE;

gm_status gm_cuda_session_create(void **own, const gm_arch *arch, const gm_weights *weights,
                                 const gm_kv *kv, const gm_session_sizes *sizes, gm_error *err)
    GM_MUST_USE;
void gm_cuda_session_free(void *own);
/* Bytes of the device that it takes, with room for the whole record of its longest step. */
uint64_t gm_cuda_session_bytes(const gm_arch *arch, gm_numerics numerics,
                               const gm_session_sizes *sizes);
gm_status gm_cuda_edits_set(void *own, const gm_edits *edits, gm_error *err) GM_MUST_USE;

/* Room for the results of a step in `result` and in the ring; graphs that point to the old
 * places are forgotten. Nothing may be running. */
gm_status gm_cuda_results_reserve(gm_cuda_session *s, size_t bytes, gm_error *err) GM_MUST_USE;

/* cuda_step.c */
gm_status gm_cuda_step(const gm_step *step, gm_watch *watch, gm_error *err) GM_MUST_USE;
size_t gm_cuda_launches(const void *own);
bool gm_cuda_decodes(void *own, size_t n_segments);
gm_status gm_cuda_decode(const gm_step *step, const gm_decoding *how, gm_watch *watch,
                         size_t *n_done, gm_error *err) GM_MUST_USE;

/* cuda_weights.c */
gm_status gm_cuda_weights_load(gm_weights *w, const gm_arch *arch, const gm_checkpoint *checkpoint,
                               const gm_model_options *options, int index, gm_error *err)
    GM_MUST_USE;
void gm_cuda_weights_free(gm_weights *w);

/* cuda_many.c: an operation for many rows, as in gm_ops */
void gm_cuda_attn_in_many(const gm_step *step, const gm_layer *w);
void gm_cuda_attn_many(const gm_step *step, const gm_layer *w);
/* What waits for a norm of outputs, through it into the residual; nothing without one. */
void gm_cuda_add_given(const gm_step *step, const gm_buf *norm);
void gm_cuda_attn_out_many(const gm_step *step, const gm_layer *w);
void gm_cuda_route_many_rows(const gm_step *step, const gm_layer *w);
void gm_cuda_moe_in_many(const gm_step *step, const gm_layer *w);
void gm_cuda_moe_out_many(const gm_step *step, const gm_layer *w);
/* A product with matrix `item` of weights (p.count of them with as many outputs each), whose part
 * of *p is filled in; weights of 4 and 8 bits are widened to bf16 in the region WIDENED. */
void gm_cuda_multiply_weights(gm_cuda_session *s, int lane, const gm_buf *w, size_t item,
                              void *widened, gm_cuda_product p);
void gm_cuda_head_many(const gm_step *step, const gm_cuda_head *head, size_t n);
/* The caller's logits of a block of head rows, once they are on the host. */
void gm_cuda_deliver_logits(const gm_step *step, size_t block);

/* cuda_latent.c: latent attention. Of few rows the first product and O are shared with other
 * attention; of many rows the first norm and product, and all after the heads. */
void gm_cuda_latent_in(const gm_step *step, const gm_layer *w);
void gm_cuda_latent_attend(const gm_step *step, const gm_layer *w);
void gm_cuda_latent_out(const gm_step *step, const gm_layer *w);

/* cuda_delta.c: Gated DeltaNet, Mamba2 or a short convolution between its product and O; of many
 * rows in two parts, before the states, and the states with all after them; rounded for O */
void gm_cuda_delta_in_many(const gm_step *step, const gm_layer *w);
void gm_cuda_delta_gates(const gm_step *step, const gm_layer *w); /* a and z from their latents */
void gm_cuda_delta_attend(const gm_step *step, const gm_layer *w);

/* cuda_out_norms.c: experts and the MLP that all rows take, where what they give has norms of its
 * own: both products of few rows, into GIVEN and ALWAYS_WIDE; these, normed, into the residual */
void gm_cuda_down_separate(const gm_step *step, const gm_layer *w);
void gm_cuda_add_normed_rows(const gm_step *step, const gm_layer *w);

/* cuda_tell.c: what both forms of an operation tell their kernels */
gm_cuda_attention gm_cuda_attention_of(const gm_step *step, const gm_layer *w);
gm_cuda_route gm_cuda_route_of(const gm_step *step, const gm_layer *w);
gm_cuda_experts gm_cuda_experts_of(const gm_step *step, const gm_layer *w);
/* (rows) weights of a layer's shared experts; NULL: all 1 */
float *gm_cuda_share_of(const gm_cuda_session *s, const gm_layer *w);

#endif
