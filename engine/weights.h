/* weights.h - a model's weights in the form that a backend's kernels read.
 *
 * Matrices become panels (buf.h) of f32, of bf16 under GM_NUMERICS_BF16, of int8 or of fp8; the
 * router, its biases and all norms stay f32; the embedding is copied in the type
 * of the checkpoint. Query, key and value are one matrix, its three parts starting
 * at multiples of 32 outputs; gate and up are one matrix whose panels alternate, so
 * that a pair of panels holds the gate and the up of the same 16 units.
 *
 * A layer is a router over E experts and one MLP that every token takes: the
 * shared experts, or in a dense layer the whole MLP (then n_experts is 0).
 */
#ifndef GM_WEIGHTS_H
#define GM_WEIGHTS_H

#include "engine/arch.h"
#include "engine/buf.h"

typedef struct gm_mlp {
    size_t width;   /* F; 0: this layer has none */
    gm_buf gate_up; /* PANELS, `count` matrices (2 x F rounded up to 32, D); without a gate half */
    gm_buf down;    /* PANELS, `count` matrices (D, F) */
} gm_mlp;

typedef struct gm_layer {
    int moe;                    /* index among the MoE layers; -1: dense */
    bool mixer, mlp;            /* which of the two parts it has */
    bool global;                /* gm_arch_is_global */
    size_t window;              /* positions that a query sees, as in gm_arch; 0: all */
    gm_buf attn_norm, mlp_norm; /* ROWS f32 (1, D), or (2, D): LayerNorm's, the second its bias */
    gm_buf attn_out_norm;   /* ROWS f32 (1, D) of what attention adds to the residual, or absent */
    gm_buf mlp_out_norm;    /* likewise of the MLP */
    gm_buf qkv;             /* PANELS (q + k + v, D); of latents, and where values are shared with
                               keys (gm_global), (q + k, D); of gated attention
                               (q + k + v + gate, D); of Gated DeltaNet and Mamba2 see gm_delta_place */
    gm_buf qkv_bias;        /* ROWS f32 (1, q + k + v), or not there */
    gm_buf q_norm, k_norm;  /* ROWS f32 (1, full, head or latent's width), or not there */
    gm_buf o;               /* PANELS (D, H head_out); of Gated DeltaNet and Mamba2 (D, value
                               heads values) */
    gm_buf router;          /* PANELS f32 (E, D), or (E + 1, D): the last for the shared */
    gm_buf router_bias;     /* ROWS f32 (1, E), or not there */
    gm_buf correction;      /* ROWS f32 (1, E), or not there */
    gm_mlp always;          /* shared experts or dense MLP */
    gm_mlp expert;          /* count = E */
    gm_buf o_bias;          /* ROWS f32 (1, D), or not there */
    gm_buf sinks;           /* ROWS f32 (1, H), or not there */
    gm_buf expert_in_bias;  /* ROWS f32 (E, rows of expert.gate_up), or not there */
    gm_buf expert_out_bias; /* ROWS f32 (E, D), or not there */
    gm_buf q_up;            /* PANELS (H (plain + shared), D or latent.q); of latents only */
    gm_buf key_up;          /* PANELS, count = H, (latent.kv, plain) */
    gm_buf value_up;        /* PANELS, count = H, (latent.value, latent.kv) */
    bool delta; /* gm_arch_is_delta: the layer has qkv, o and those of these that its kind has */
    size_t nth; /* gm_arch_nth */
    gm_buf delta_conv;      /* PANELS f32 (q + k + v, taps) */
    gm_buf delta_conv_bias; /* ROWS f32 (1, q + k + v), or not there */
    gm_buf delta_rate;      /* ROWS f32 (1, value heads) A_log */
    gm_buf delta_bias;      /* ROWS f32 (1, value heads, or their channels) of A's outputs */
    gm_buf delta_up;        /* PANELS, count = 2, (channels, rank): a and z of their latents */
    gm_buf delta_skip;      /* ROWS f32 (1, value heads) of Mamba2 */
    gm_buf delta_norm;      /* ROWS f32 (1, width of a value); of Mamba2 of all values */
    gm_buf router_norm;     /* ROWS f32 (1, D) of what the router reads, or not there: mlp_norm's */
    gm_buf expert_scale;    /* ROWS f32 (1, E), or not there */
    gm_buf always_norm;     /* ROWS f32 (1, D) of what `always` reads, or not there: mlp_norm's */
    gm_buf always_out_norm; /* ROWS f32 (1, D) of what `always` gives, or not there; */
    gm_buf expert_out_norm; /* of what the experts give; both or neither */
    gm_buf scale;           /* ROWS f32 (1, 1) of the residual after the layer, or not there */
} gm_layer;

/* All weights are one image: embedding and final norm, then the layers, then the head, each a
 * section of whole pages that can be read or mapped without the others. */
typedef struct gm_section {
    uint64_t offset; /* of the image */
    size_t n_bytes;  /* both multiples of GM_DISK_PAGE */
    bool padded;     /* some bytes belong to no tensor and have to be zero */
} gm_section;

enum { GM_SECTION_BUFFERS = 36 }; /* most buffers of a section */

typedef struct gm_weights {
    const struct gm_ops *ops;         /* the backend the weights are packed for */
    const struct gm_kernels *kernels; /* the CPU's inner loops */
    gm_numerics numerics;
    char device[16];   /* "cpu", "cuda:0" */
    char hardware[64]; /* name of the GPU; "" on the CPU */
    void *own;         /* what a backend with memory of its own keeps for the model */
    gm_buf embed;      /* ROWS (V, D) in the checkpoint's type */
    gm_buf final_norm; /* ROWS f32 (1, D) or (2, D), as a layer's */
    gm_buf head;       /* PANELS (V, D) */
    gm_buf head_bias;  /* ROWS f32 (1, V), or not there */
    size_t n_layers;
    gm_layer *layer;     /* (n_layers) */
    gm_section *section; /* (n_layers + 2) in the order of the image */
    uint64_t image_bytes;
    void *image;                    /* (resident_bytes) its resident part */
    size_t resident_bytes;          /* or bytes of the GPU's memory */
    struct gm_layer_stream *stream; /* layers come one by one; NULL: all are in memory */
    struct gm_packed *packed;       /* the cache that they are mapped or streamed from, or NULL */
    bool embed_in_place;            /* embed is in the checkpoint's mapping */
    bool no_head;                   /* nothing after the layers is computed */
} gm_weights;

/* The checkpoint's type of the embedding, which is kept as it is; GM_F32 where there is none. */
gm_dtype gm_weights_embed_dtype(const gm_arch *arch, const gm_checkpoint *checkpoint);

/* The buffers of section `i`, a layer's taken from *layer (NULL: the weights' own); how many. */
size_t gm_section_buffers(gm_weights *weights, size_t i, gm_layer *layer,
                          gm_buf *list[GM_SECTION_BUFFERS]);

/* Give the buffers their addresses in a section that begins at `base`. */
void gm_section_place(gm_buf *const *list, size_t n, void *base);

/* Where the parts of a query-key-value row start in layers that are `global` (gm_arch_is_global) or
 * the others; `all` is its length. In latent attention: the queries (or their latent), and as key
 * the latent and the rotated part; the value is a copy of the latent, not a product. */
typedef struct gm_qkv_place {
    size_t q, k, v, gate, all;
} gm_qkv_place;
gm_qkv_place gm_qkv_place_of(const gm_arch *arch, bool global);

/* The same for Gated DeltaNet: queries and keys of the key heads, values and z of the value heads,
 * then b and a, one number for each value head; `all` is a multiple of 32. The first `channels` are
 * convolved. Mamba2 has values, keys and queries in this order, and b, which is no product of it,
 * is where a token's step is kept. A short convolution has values, z and b alone. Of Kimi Delta
 * Attention the product ends after b and the latents of a and of z (low_a, low_z, at
 * multiples of 32; elsewhere they are a and z); the product of these follows, a for each channel of
 * the keys, and z. */
typedef struct gm_delta_place {
    size_t q, k, v, z, b, a, low_a, low_z, channels;
    size_t product; /* end of what is a product of the hidden state */
    size_t all;
} gm_delta_place;
gm_delta_place gm_delta_place_of(const gm_arch *arch);

/* Every buffer and section of weights whose numerics are set, without an address. GM_EMEM. */
gm_status gm_weights_describe(gm_weights *weights, const gm_arch *arch,
                              const gm_checkpoint *checkpoint, gm_error *err) GM_MUST_USE;

/* backend.c: the weights on the device that options->device names or leaves open (told to
 * options->device_notice). `info` gives folder, digest and numerics; options->progress is called
 * from this thread. GM_EARG (unknown device or kernels), GM_EABSENT (device or kernels not in this
 * build or machine, or asked for what it cannot do), GM_EMEM, GM_EDEVICE, GM_EIO, GM_EFORMAT,
 * GM_ESHAPE. */
gm_status gm_weights_create(gm_weights **out, const gm_arch *arch, const gm_checkpoint *checkpoint,
                            const gm_model_info *info, const gm_model_options *options,
                            gm_error *err) GM_MUST_USE;

/* hold.c: the same on the CPU, held as options->hold says: read and packed in parallel, or taken
 * from a cache of packed weights. */
gm_status gm_weights_hold(gm_weights **out, const gm_arch *arch, const gm_checkpoint *checkpoint,
                          const gm_model_info *info, const gm_model_options *options, gm_error *err)
    GM_MUST_USE;
void gm_weights_free(gm_weights *weights);

/* The type of the matrices that products read; the router's is f32. */
gm_dtype gm_weights_dtype(gm_numerics numerics);

/* Bytes that gm_weights_create takes (exact for its buffers); reads nothing but the embedding's
 * type. */
uint64_t gm_weights_bytes(const gm_arch *arch, const gm_checkpoint *checkpoint,
                          gm_numerics numerics, bool no_head);

/* The same under GM_HOLD_STREAMED: two layers, final norm, head (unless no_head). */
uint64_t gm_weights_stream_bytes(const gm_arch *arch, const gm_checkpoint *checkpoint,
                                 gm_numerics numerics, bool no_head);

/* "avx512f"; on a GPU its name */
const char *gm_weights_kernels(const gm_weights *weights);

#endif
