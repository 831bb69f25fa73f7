/* arch.h - what a checkpoint's config.json says, in the engine's own terms.
 *
 * One descriptor serves every family: a family is a row of the table in families.h (config names,
 * tensor names, flags), never a forward pass of its own. Sources: Hugging Face's config classes,
 * and the DeepSeekMoE (arXiv:2401.06066), OLMoE (arXiv:2409.02060), Qwen2 (arXiv:2407.10671), Qwen3
 * (arXiv:2505.09388), Mixtral (arXiv:2401.04088), gpt-oss (arXiv:2508.10925), Phi-3
 * (arXiv:2404.14219) and Granite 3.0 papers.
 */
#ifndef GM_ARCH_H
#define GM_ARCH_H

#include "base/json.h"
#include "engine/checkpoint.h" /* gm_slice */
#include "engine/engine.h"
#include "engine/rope.h"

enum { GM_MAX_HEAD_DIM = 1 << 12 };

typedef enum gm_scoring {
    GM_SCORE_SOFTMAX,      /* softmax over all experts, then top-k */
    GM_SCORE_SIGMOID,      /* sigmoid of each logit, then top-k */
    GM_SCORE_TOPK_SOFTMAX, /* top-k of the logits, then softmax over the chosen */
    GM_SCORE_SPARSEMIXER   /* top-k of the logits, each weighed in a round of its own */
} gm_scoring;

typedef struct gm_router_desc {
    gm_scoring scoring;
    bool has_bias;            /* a bias is added to the logits */
    bool has_correction;      /* a bias is added to the scores for the choice only */
    int n_groups, top_groups; /* 1, 1: no groups */
    bool renormalise;         /* chosen weights divided by (their sum + renorm_epsilon) */
    float renorm_epsilon;
    float least_sum;   /* a smaller sum counts as this */
    float scale;       /* routed_scaling_factor */
    float within;      /* sparsemixer: how much weaker an expert may be and count in a round */
    float logit_scale; /* of the products that are the logits */
    bool scales_input; /* gates multiply what experts read, not what they give */
} gm_router_desc;

/* What an MLP makes of gate and up: silu(gate) * up, or with a limit, clamped, or gelu(gate) * up
 * (cpu/kernels.h). */
typedef struct gm_activation {
    float limit;  /* 0: none */
    float slope;  /* of the gate in the sigmoid; 1 without a limit */
    bool gelu;    /* by tanh */
    bool squared; /* max(up, 0)^2 instead, and there is no gate */
} gm_activation;

/* What a layer has, each after a norm of its own and added to the residual. */
typedef enum gm_part {
    GM_PART_BOTH,  /* attention (or what it has instead), then an MLP */
    GM_PART_MIXER, /* attention alone */
    GM_PART_MLP    /* an MLP alone */
} gm_part;

typedef enum gm_qk_norm {
    GM_QK_NORM_NONE,
    GM_QK_NORM_FULL,
    GM_QK_NORM_HEAD,
    GM_QK_NORM_UNIT /* head by head, without weights, in layers whose heads turn */
} gm_qk_norm;

/* Multi-head latent attention: keys and values of all heads are products of one latent; a further
 * part of the key, the same for all heads, is rotated (Kimi-Linear's is not). The latent and that
 * part are cached, so attention has one KV head, whose keys are both and whose values are the
 * latent: a head's keys are multiplied into its query beforehand, its values into the result
 * afterwards. That takes as many products as making every head's keys and values, and keeps
 * DeepSeek-V2-Lite's cache at 1,088 numbers a token and layer (the latent is stored as key and as
 * value) instead of 5,120; attention itself takes 3.4 times the products, 3 % more in all for a
 * document of 512 tokens. Source: DeepSeek-V2, arXiv:2405.04434, section 2.1. */
typedef struct gm_latent {
    int q;     /* width of the queries' latent; 0: queries are products of the hidden state */
    int kv;    /* width of the latent of keys and values; 0: no latents */
    int plain; /* elements of a head's query and key before those whose part of the key is shared */
    int value; /* width of a head's value */
    int shared; /* elements of the key's further part, all rotated; or none, where rope.dim is 0 */
} gm_latent;

/* The norms of latents have an epsilon that no config changes. */
#define GM_LATENT_EPSILON 1e-6f

/* Gated DeltaNet, which some layers have instead of attention over keys. Each of its heads keeps a
 * (key, value) matrix, its state, that every token decays, reads and corrects; so neither a token's
 * cost nor the memory of a sequence grows with its length. Before that, each channel of queries,
 * keys and values is convolved with its last `taps` tokens. A key head serves value_heads /
 * key_heads neighbouring value heads. The steps of the computation: cpu/kernels.h. Source:
 * arXiv:2412.06464; transformers, models/qwen3_next. */
typedef struct gm_delta {
    int key_heads, value_heads; /* 0: no layer has it */
    int key, value;             /* width of a head's query and key; of its value */
    int taps;                   /* at least 2 */
    int rank;                   /* 0: rates of heads; otherwise Kimi Delta Attention's */
} gm_delta;

/* Kimi Delta Attention is Gated DeltaNet with a rate of decay for each channel of a head's keys
 * (equal ones are Gated DeltaNet's), a head of keys for each of values, as wide, and a sigmoid as
 * gate of the norm. Rates and gates are products of latents, `rank` wide each. Source:
 * arXiv:2510.26692, section 3; transformers, models/kimi_linear. */

/* Mamba2 (`mamba` below) has the same parts: a head's state decays, a token's key (B) times its
 * value (x) is added, times the step dt that the token takes, and the query (C) reads it; nothing
 * is corrected. A group is a key head. The value itself is added too, times a number of the head
 * (D), and what the heads of a group give is gated before its norm. Source: Dao & Gu 2024,
 * arXiv:2405.21060, section 6.1 and equation 1 (the recurrence that its chunks compute);
 * transformers, models/granitemoehybrid. */

/* A short convolution (LFM2's) is that convolution alone, between two gates: `key` is 0, so there
 * is no state, and each value head is a channel, its value multiplied by b before the convolution
 * and by z after it. Source: arXiv:2511.23404, section 2; transformers, models/lfm2_moe. */

/* Added to the squares of queries and keys of Gated DeltaNet, whose lengths become 1. */
#define GM_DELTA_EPSILON 1e-6f

/* Queries that grow with the position, by 1 + rate ln(1 + floor((position + ahead) / stretch)).
 * Source: arXiv:2501.19399; transformers, models/llama4 and mistral4. */
typedef struct gm_growth {
    float rate; /* 0: they do not */
    int ahead;  /* positions count from 0, or where this is 1 from 1 */
    double stretch;
} gm_growth;

/* What layers that see all positions have other than those with a window. Source: transformers,
 * models/gemma4 and llama4. */
typedef struct gm_global {
    int n_kv_heads, head_dim; /* 0: all layers are alike */
    int value_dim;            /* 0: head_dim */
    bool shared;              /* a value is its key before its norm: no products make values */
    gm_growth growth;
    gm_rope rope;
} gm_global;

/* Attention's sizes in a layer. */
typedef struct gm_heads {
    size_t kv;    /* KV heads */
    size_t key;   /* width of keys, and of the queries that meet them */
    size_t value; /* width of values */
    size_t out;   /* width of what a head gives O */
    bool shared;  /* as in gm_global */
    const gm_growth *growth;
    const gm_rope *rope;
} gm_heads;

typedef struct gm_arch {
    const struct gm_family *family;
    int n_layers, width, vocab, max_context;
    int n_heads, n_kv_heads;
    int head_dim;  /* width of keys, and of the queries that meet them */
    int value_dim; /* width of values; head_dim but for latents, and where they are narrower */
    int head_out;  /* width of what a head gives O; value_dim but for latents */
    gm_latent latent;
    gm_delta delta;
    int n_delta;          /* layers of Gated DeltaNet, of Mamba2 or of short convolutions */
    bool mamba;           /* they are Mamba2's */
    bool conv_bias;       /* their convolution has a bias */
    gm_part *part;        /* (n_layers); NULL: every layer has both */
    int *delta_of_layer;  /* (n_layers) place among these; -1: attention; NULL: there are none */
    bool gated_attention; /* the result of attention times sigmoid of as many further queries */
    bool attention_bias;  /* q, k, v have biases, and where the family has one o */
    int *window;          /* (n_layers) positions that a query sees, its own included; 0: all;
                             NULL: all in every layer */
    bool chunked;         /* a window begins at a multiple of its length instead */
    gm_growth growth;     /* of layers that are not global */
    gm_global global;
    gm_qk_norm qk_norm;
    bool qk_norm_last;     /* after the rotation */
    bool v_norm;           /* values too, head by head, without weights */
    float value_scale;     /* of values */
    float clip_qkv;        /* clamp of q, k, v to [-x, x]; 0: none */
    float attention_scale; /* 1/sqrt(head_dim) unless the config says otherwise */
    gm_rope rope;
    float norm_epsilon;
    bool centred_norms; /* a norm's weights are stored less 1 */
    bool layer_norm; /* norms of the model's width are LayerNorm, whether they have a bias or not */
    bool parallel;   /* attention and the MLP read the same norm of the same residual */
    float embed_scale;    /* of the embedding's rows */
    float residual_scale; /* of what attention and MLP add to the residual */
    float logits_scale;   /* of the head's outputs */
    float logits_cap;     /* x, of the outputs then: x tanh(output / x); 0: none */
    bool tied_head;
    bool head_bias;  /* added to the head's outputs, before they are scaled */
    int dense_width; /* FFN width of dense layers */
    gm_activation activation;
    int n_experts, n_chosen, expert_width;
    bool inside;                /* tensors have the names of a larger model's part */
    bool stacked;               /* experts are in the family's `stacked` tensors */
    bool dense_too;             /* dense layers in its `dense_too` tensors */
    gm_stored stored;           /* form of the matrices in a tensor that stacks experts */
    gm_scale_blocks blocks;     /* of matrices that may be F8_E4M3 */
    bool alternate;             /* rows of gate and up take turns in a tensor that holds both */
    int n_shared, shared_width; /* shared_width: fused width of all shared experts; 0: none */
    float shared_scale;         /* of what they give */
    bool gated_shared;          /* weighed by sigmoid of one more output of the router */
    gm_router_desc router;
    int n_moe;
    int *layer_of_moe; /* (n_moe) */
    int *moe_of_layer; /* (n_layers); -1: dense, or no MLP */
    int n_mtp;         /* parts that predict further tokens, which are not read */
    int64_t bos;
    int n_eos;
    uint32_t eos[GM_MAX_EOS];
    bool do_sample;
    double temperature, top_p, repetition_penalty;
    int top_k, max_new_tokens;
    char unknown_keys[256]; /* keys of config.json that are not known: "a, b" */
} gm_arch;

/* The tensors of a model: up to HEAD once, up to SHARED_DOWN once a layer, the rest once a layer
 * and expert. Some roles have a matrix for each head, all in one tensor: KEY_UP, VALUE_UP, in gated
 * attention Q and Q_GATE, and DELTA_Q to DELTA_A for each key head of Gated DeltaNet. */
typedef enum gm_role {
    GM_ROLE_EMBED,
    GM_ROLE_FINAL_NORM,
    GM_ROLE_FINAL_NORM_BIAS, /* where a norm has a bias it is LayerNorm */
    GM_ROLE_HEAD_BIAS,
    GM_ROLE_HEAD,
    GM_ROLE_ATTN_NORM,
    GM_ROLE_ATTN_NORM_BIAS,
    GM_ROLE_ATTN_OUT_NORM, /* of what attention adds to the residual */
    GM_ROLE_Q,
    GM_ROLE_K,
    GM_ROLE_V,
    GM_ROLE_O,
    GM_ROLE_Q_LATENT, /* these four and K: of latent attention */
    GM_ROLE_Q_UP,     /* queries from their latent; Q: from the hidden state */
    GM_ROLE_KEY_UP,   /* of one head, as it is multiplied with the head's query: (kv, plain) */
    GM_ROLE_VALUE_UP, /* of one head: (value, kv) */
    GM_ROLE_Q_BIAS,
    GM_ROLE_K_BIAS,
    GM_ROLE_V_BIAS,
    GM_ROLE_O_BIAS,
    GM_ROLE_SINKS, /* a logit per head, as of a key without a value */
    GM_ROLE_Q_GATE,
    GM_ROLE_Q_NORM,
    GM_ROLE_K_NORM,
    GM_ROLE_DELTA_Q, /* from here to DELTA_O: of layers of Gated DeltaNet, instead of Q to K_NORM */
    GM_ROLE_DELTA_K,
    GM_ROLE_DELTA_V,
    GM_ROLE_DELTA_Z,    /* gates the norm, by its sigmoid; or the latent of what does */
    GM_ROLE_DELTA_B,    /* how much is corrected, a value head */
    GM_ROLE_DELTA_A,    /* how fast the state decays, a value head; or the latent of this */
    GM_ROLE_DELTA_Z_UP, /* from their latents */
    GM_ROLE_DELTA_A_UP,
    GM_ROLE_DELTA_CONV,   /* (channels, taps), in the order q, k, v; Mamba2: v, k, q; q's alone, */
    GM_ROLE_DELTA_CONV_K, /* where these two have tensors of their own */
    GM_ROLE_DELTA_CONV_V,
    GM_ROLE_DELTA_CONV_BIAS,
    GM_ROLE_DELTA_RATE, /* A_log */
    GM_ROLE_DELTA_BIAS, /* dt_bias, added to A's outputs */
    GM_ROLE_DELTA_SKIP, /* Mamba2's D, a value head */
    GM_ROLE_DELTA_NORM,
    GM_ROLE_DELTA_O,
    GM_ROLE_MLP_NORM,
    GM_ROLE_MLP_NORM_BIAS,
    GM_ROLE_MLP_OUT_NORM, /* of what the MLP adds to it */
    GM_ROLE_DENSE_GATE,
    GM_ROLE_DENSE_UP,
    GM_ROLE_DENSE_DOWN,
    GM_ROLE_ROUTER,
    GM_ROLE_ROUTER_BIAS,
    GM_ROLE_ROUTER_CORRECTION,
    GM_ROLE_SHARE,           /* the router's output for the shared experts */
    GM_ROLE_ROUTER_NORM,     /* of what the router reads; absent: MLP_NORM's */
    GM_ROLE_EXPERT_SCALE,    /* (E) of what the experts give, beside their gates */
    GM_ROLE_SHARED_NORM,     /* of what shared experts read; absent: MLP_NORM's */
    GM_ROLE_SHARED_OUT_NORM, /* of what they give, before it is added to what experts give; */
    GM_ROLE_EXPERT_OUT_NORM, /* and of what these give: both or neither, and MLP_OUT_NORM then */
    GM_ROLE_LAYER_SCALE,     /* (1) of the residual after the layer */
    GM_ROLE_SHARED_GATE,
    GM_ROLE_SHARED_UP,
    GM_ROLE_SHARED_DOWN,
    GM_ROLE_EXPERT_GATE,
    GM_ROLE_EXPERT_UP,
    GM_ROLE_EXPERT_DOWN,
    GM_ROLE_EXPERT_GATE_BIAS,
    GM_ROLE_EXPERT_UP_BIAS,
    GM_ROLE_EXPERT_DOWN_BIAS,
    GM_N_ROLES
} gm_role;

/* Read config.json and generation_config.json of `folder` (the latter may be absent). Unknown
 * architectures, values that would change the mathematics, and missing fields without a default are
 * refused by name. An unknown key is only listed in unknown_keys: fine-tuning tools leave such
 * keys, and one that mattered would come with tensors, all of which are checked. GM_EFORMAT,
 * GM_EIO. */
gm_status gm_arch_read(gm_arch *out, const char *folder, gm_error *err) GM_MUST_USE;
void gm_arch_clear(gm_arch *arch);

/* The same from parsed documents; `generation` may be NULL. The two wheres name the files in
 * messages. */
gm_status gm_arch_from_json(gm_arch *out, const gm_json *config, const char *where,
                            const gm_json *generation, const char *generation_where, gm_error *err)
    GM_MUST_USE;

/* Where the checkpoint has the matrix (or vector, as one row) of a role. False when this model has
 * none (a dense role in a MoE layer, the head of a tied model). `expert` is the head in roles with
 * a matrix for each head; `layer` and `expert` are ignored where they do not apply. */
bool gm_arch_tensor(const gm_arch *arch, gm_role role, int layer, int expert, gm_slice *out);

/* Does a layer see all positions, and have other heads for it? */
static inline bool gm_arch_is_global(const gm_arch *arch, int layer)
{
    return arch->global.n_kv_heads > 0 && arch->window[layer] == 0;
}
/* Of layers that are so, or of the others. */
gm_heads gm_arch_heads(const gm_arch *arch, bool global);
/* By what queries of a position are multiplied. */
float gm_growth_at(const gm_growth *growth, size_t position);

/* Does a layer have Gated DeltaNet, Mamba2 or a short convolution? */
static inline bool gm_arch_is_delta(const gm_arch *arch, int layer)
{
    return arch->delta_of_layer && arch->delta_of_layer[layer] >= 0;
}
static inline bool gm_arch_has_mixer(const gm_arch *arch, int layer)
{
    return arch->part == NULL || arch->part[layer] != GM_PART_MLP;
}
static inline bool gm_arch_has_mlp(const gm_arch *arch, int layer)
{
    return arch->part == NULL || arch->part[layer] != GM_PART_MIXER;
}
/* Does it have keys and values? */
static inline bool gm_arch_has_keys(const gm_arch *arch, int layer)
{
    return gm_arch_has_mixer(arch, layer) && !gm_arch_is_delta(arch, layer);
}
/* Layers that do. */
int gm_arch_n_with_keys(const gm_arch *arch);

/* Are they short convolutions? */
static inline bool gm_arch_only_convolves(const gm_arch *arch)
{
    return arch->n_delta > 0 && arch->delta.key == 0;
}

/* What such layers are called. */
static inline const char *gm_arch_recurrence(const gm_arch *arch)
{
    return gm_arch_only_convolves(arch) ? "short convolutions"
           : arch->mamba                ? "Mamba2"
           : arch->delta.rank > 0       ? "Kimi Delta Attention"
                                        : "Gated DeltaNet";
}
/* The layer's place among those of its kind; the order of cached keys, and of states. */
int gm_arch_nth(const gm_arch *arch, int layer);

/* Does what attention or the MLP adds to the residual go through a norm of its own? */
bool gm_arch_norms_outputs(const gm_arch *arch);
/* Have the experts and the MLP that all rows take norms of their own, before and after? */
bool gm_arch_norms_apart(const gm_arch *arch);

/* SHA-256, 64 hex digits, of all that `arch` says about how the weights are used: everything but
 * the tensors' shapes, the context's length and the sampling defaults. Traces, atlases, plans and
 * sweeps store it, so a new field enters it only where it is not neutral: other models keep
 * their digest. */
void gm_arch_digest(const gm_arch *arch, char hex[65]);

/* Parameters in all; *active: those that one token touches, all but the experts not chosen (the
 * whole embedding and head included). */
uint64_t gm_arch_parameters(const gm_arch *arch, uint64_t *active);

/* Bytes of the largest matrix stored as columns, or packed so that it is read whole, too (others
 * are in pieces of rows); 0: there is none. */
size_t gm_arch_columns_bytes(const gm_arch *arch, const gm_checkpoint *checkpoint);

/* ---- for the rows of families.c ---- */

/* Does the config have this key, with a value other than null? NULL is no key. */
bool gm_config_has(const gm_json *config, const char *key);
/* An integer member of the config in [lo, hi]; _or: `fallback` when it is absent or null. */
gm_status gm_config_int(const gm_json *config, const char *key, int lo, int hi, int *out,
                        const char *where, gm_error *err) GM_MUST_USE;
gm_status gm_config_int_or(const gm_json *config, const char *key, int lo, int hi, int fallback,
                           int *out, const char *where, gm_error *err) GM_MUST_USE;
/* The same as _int; a list that holds one number for each layer counts as that number, if it is
 * always the same. */
gm_status gm_config_each(const gm_json *config, const char *key, int lo, int hi, int n_layers,
                         int *out, const char *where, gm_error *err) GM_MUST_USE;

/* Which layers are MoE layers: those in [first, end) (end 0: to the last) whose number + shift is a
 * multiple of `every`, or where the config has the key `sparse` (NULL: never), those listed there;
 * except those listed under the config's key `dense` (NULL: no such key).
 * A list under the key `types` (NULL: none) says 'dense' or 'sparse' of each layer and takes the
 * place of all this; if the config has the key `also` too, both must agree. */
typedef struct gm_moe_layers {
    int first, end, every, shift;
    const char *sparse, *dense, *types, *also;
} gm_moe_layers;

/* Fills n_moe and the two layer maps. GM_EFORMAT when no layer is left, or a list holds anything
 * else; GM_EMEM. */
gm_status gm_arch_place_moe(gm_arch *arch, const gm_moe_layers *layers, const gm_json *config,
                            const char *where, gm_error *err) GM_MUST_USE;

#endif
