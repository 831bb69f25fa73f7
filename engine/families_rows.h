/* families_rows.h - what the files that hold rows of the table of families share. */
#ifndef GM_FAMILIES_ROWS_H
#define GM_FAMILIES_ROWS_H

#include "engine/families.h"

/* Tensor names that every family so global shares with Llama; those of latents have no K and V. */
#define BASE_TENSORS                                                                            \
    [GM_ROLE_EMBED] = "model.embed_tokens.weight", [GM_ROLE_FINAL_NORM] = "model.norm.weight",  \
    [GM_ROLE_HEAD] = "lm_head.weight", [GM_ROLE_Q] = "model.layers.%d.self_attn.q_proj.weight", \
    [GM_ROLE_O] = "model.layers.%d.self_attn.o_proj.weight"

#define COMMON_TENSORS                                                            \
    BASE_TENSORS, [GM_ROLE_ATTN_NORM] = "model.layers.%d.input_layernorm.weight", \
                  [GM_ROLE_MLP_NORM] = "model.layers.%d.post_attention_layernorm.weight"

#define KV_TENSORS                                           \
    [GM_ROLE_K] = "model.layers.%d.self_attn.k_proj.weight", \
    [GM_ROLE_V] = "model.layers.%d.self_attn.v_proj.weight"

#define LLAMA_TENSORS COMMON_TENSORS, KV_TENSORS

/* Latent attention, queries from the hidden state (GM_ROLE_Q) or from a latent. */
#define QKV_LATENT_TENSORS                                                \
    [GM_ROLE_Q_LATENT] = "model.layers.%d.self_attn.q_a_proj.weight",     \
    [GM_ROLE_Q_NORM] = "model.layers.%d.self_attn.q_a_layernorm.weight",  \
    [GM_ROLE_Q_UP] = "model.layers.%d.self_attn.q_b_proj.weight",         \
    [GM_ROLE_K] = "model.layers.%d.self_attn.kv_a_proj_with_mqa.weight",  \
    [GM_ROLE_K_NORM] = "model.layers.%d.self_attn.kv_a_layernorm.weight", \
    [GM_ROLE_KEY_UP] = "model.layers.%d.self_attn.kv_b_proj.weight",      \
    [GM_ROLE_VALUE_UP] = "model.layers.%d.self_attn.kv_b_proj.weight"

/* Norms after attention and the MLP instead of before them. */
#define OUT_NORM_TENSORS                                                         \
    [GM_ROLE_ATTN_OUT_NORM] = "model.layers.%d.post_attention_layernorm.weight", \
    [GM_ROLE_MLP_OUT_NORM] = "model.layers.%d.post_feedforward_layernorm.weight"

#define QK_NORM_TENSORS                                           \
    [GM_ROLE_Q_NORM] = "model.layers.%d.self_attn.q_norm.weight", \
    [GM_ROLE_K_NORM] = "model.layers.%d.self_attn.k_norm.weight"

#define QKV_BIAS_TENSORS                                        \
    [GM_ROLE_Q_BIAS] = "model.layers.%d.self_attn.q_proj.bias", \
    [GM_ROLE_K_BIAS] = "model.layers.%d.self_attn.k_proj.bias", \
    [GM_ROLE_V_BIAS] = "model.layers.%d.self_attn.v_proj.bias"

#define O_BIAS_TENSOR [GM_ROLE_O_BIAS] = "model.layers.%d.self_attn.o_proj.bias"

#define NORM_BIAS_TENSORS                                              \
    [GM_ROLE_FINAL_NORM_BIAS] = "model.norm.bias",                     \
    [GM_ROLE_ATTN_NORM_BIAS] = "model.layers.%d.input_layernorm.bias", \
    [GM_ROLE_MLP_NORM_BIAS] = "model.layers.%d.post_attention_layernorm.bias"

#define DENSE_TENSORS                                              \
    [GM_ROLE_DENSE_GATE] = "model.layers.%d.mlp.gate_proj.weight", \
    [GM_ROLE_DENSE_UP] = "model.layers.%d.mlp.up_proj.weight",     \
    [GM_ROLE_DENSE_DOWN] = "model.layers.%d.mlp.down_proj.weight"

#define GATED_EXPERT_TENSORS [GM_ROLE_ROUTER] = "model.layers.%d.mlp.gate.weight", EXPERT_TENSORS

#define EXPERT_TENSORS                                                         \
    [GM_ROLE_EXPERT_GATE] = "model.layers.%d.mlp.experts.%d.gate_proj.weight", \
    [GM_ROLE_EXPERT_UP] = "model.layers.%d.mlp.experts.%d.up_proj.weight",     \
    [GM_ROLE_EXPERT_DOWN] = "model.layers.%d.mlp.experts.%d.down_proj.weight"

#define MIXTRAL_EXPERT_TENSORS                                                       \
    [GM_ROLE_ROUTER] = "model.layers.%d.block_sparse_moe.gate.weight",               \
    [GM_ROLE_EXPERT_GATE] = "model.layers.%d.block_sparse_moe.experts.%d.w1.weight", \
    [GM_ROLE_EXPERT_UP] = "model.layers.%d.block_sparse_moe.experts.%d.w3.weight",   \
    [GM_ROLE_EXPERT_DOWN] = "model.layers.%d.block_sparse_moe.experts.%d.w2.weight"

#define SHARED_EXPERT_TENSORS                                                      \
    [GM_ROLE_SHARED_GATE] = "model.layers.%d.mlp.shared_experts.gate_proj.weight", \
    [GM_ROLE_SHARED_UP] = "model.layers.%d.mlp.shared_experts.up_proj.weight",     \
    [GM_ROLE_SHARED_DOWN] = "model.layers.%d.mlp.shared_experts.down_proj.weight"

/* What Ling's and Sarvam's families call their numbers, each also by the name that transformers
 * saves as DeepSeek's. */
#define LING_KEYS                                                                                  \
    "num_experts", "n_routed_experts", "num_shared_experts", "n_shared_experts",                   \
        "moe_intermediate_size", "moe_shared_expert_intermediate_size", /* shapes show it */       \
        "first_k_dense_replace", "mlp_layer_types", "routed_scaling_factor", "n_group",            \
        "topk_group", "num_nextn_predict_layers", "scoring_func", "score_function", "topk_method", \
        "moe_router_enable_expert_bias", "use_qk_norm", "use_qkv_bias", "use_bias", "use_rmsnorm", \
        "router_dtype",                                                   /* f32, as here */       \
        "embedding_dropout", "output_dropout", "mtp_loss_scaling_factor", /* of training */        \
        "max_window_layers"                                               /* idle without windows */

#define CORRECTION_TENSOR \
    [GM_ROLE_ROUTER_CORRECTION] = "model.layers.%d.mlp.gate.e_score_correction_bias"

enum { GM_MAX_WIDTH = 1 << 20, GM_MAX_SHARED = 1 << 10, GM_MAX_EXPERTS = GM_NO_EXPERT };

/* A member that may be absent, or one of `known`, which ends with NULL. */
gm_status gm_expect_text(const gm_json *config, const char *key, const char *const *known,
                         const char *where, gm_error *err) GM_MUST_USE;

/* The same of a member that is true or false. */
gm_status gm_expect_bool(const gm_json *config, const char *key, bool known, const char *where,
                         gm_error *err) GM_MUST_USE;

/* DeepSeek v1's fields: experts, shared experts, which layers are dense. */
gm_status gm_read_deepseek(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
    GM_MUST_USE;

/* Groups of experts (router.h). */
gm_status gm_read_groups(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
    GM_MUST_USE;

/* gm_read_deepseek, and the router of DeepSeek-V3: sigmoids, a correction, groups, a scale; weights
 * are renormalised, as `renormalise` has it, where the config does not say. And n_mtp. */
gm_status gm_read_corrected(const gm_json *config, bool renormalise, const char *where,
                            gm_arch *arch, gm_error *err) GM_MUST_USE;

/* The rows of families_qwen.c in order; NULL after the last. */
const gm_family *gm_qwen_family_at(size_t i);

/* Those of families_corrected.c. */
const gm_family *gm_corrected_family_at(size_t i);

/* Those of families_latent.c. */
const gm_family *gm_latent_family_at(size_t i);

/* Those of families_norms.c. */
const gm_family *gm_norms_family_at(size_t i);

/* Those of families_delta.c. */
const gm_family *gm_delta_family_at(size_t i);

/* Those of families_mamba.c. */
const gm_family *gm_mamba_family_at(size_t i);

/* Those of families_conv.c. */
const gm_family *gm_conv_family_at(size_t i);

/* Those of families_windows.c. */
const gm_family *gm_windows_family_at(size_t i);

/* Those of families_fused.c. */
const gm_family *gm_fused_family_at(size_t i);

/* That of families_mimo.c. */
const gm_family *gm_mimo_family_at(size_t i);

/* That of families_kimi.c. */
const gm_family *gm_kimi_family_at(size_t i);

/* Which layers keep something else than keys and values (gm_delta), from "layer_types": what newer
 * and older files call these layers, and those of attention. GM_EFORMAT, GM_EMEM. */
gm_status gm_read_kinds(const gm_json *config, const char *const kept[2], const char *const keys[2],
                        const char *where, gm_arch *arch, gm_error *err) GM_MUST_USE;

/* Ling's and Sarvam's experts and router, which is DeepSeek-V3's; `scale` is that of the routed
 * experts where the config names none. */
gm_status gm_read_ling(const gm_json *config, double scale, const char *where, gm_arch *arch,
                       gm_error *err) GM_MUST_USE;

/* The experts and scales of Granite's families (families.c). */
gm_status gm_read_granite(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
    GM_MUST_USE;

/* Those of families_global.c. */
const gm_family *gm_global_family_at(size_t i);

/* Which layers see "sliding_window" positions only: as "layer_types" says; without it all but every
 * `every`th. GM_EFORMAT, GM_EMEM. */
gm_status gm_read_windows(const gm_json *config, int every, const char *where, gm_arch *arch,
                          gm_error *err) GM_MUST_USE;

/* The same for a window that the caller has read. */
gm_status gm_read_each_window(const gm_json *config, int window, int every, const char *where,
                              gm_arch *arch, gm_error *err) GM_MUST_USE;

/* The experts of Qwen's families, and which layers are dense (families_qwen.c). */
gm_status gm_read_qwen(const gm_json *config, const char *where, gm_arch *arch, gm_error *err)
    GM_MUST_USE;

#endif
