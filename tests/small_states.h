/* small_states.h - small models of the families whose sequences have states, with random weights:
 * for the tests of what configs say and of what sessions do.
 */
#ifndef GM_TESTS_SMALL_STATES_H
#define GM_TESTS_SMALL_STATES_H

#include "tests/config_text.h"
#include "tests/engine_run.h"
#include "tests/model_copy.h"
#include "tests/put_file.h"

/* A field a line, without and within the config of a larger model. */
#define SMALL                                                                                 \
    "  \"attention_bias\": false,\n  \"head_dim\": 12,\n  \"hidden_size\": 16,\n"             \
    "  \"linear_conv_kernel_dim\": 4,\n  \"linear_key_head_dim\": 6,\n"                       \
    "  \"linear_num_key_heads\": 2,\n  \"linear_num_value_heads\": 4,\n"                      \
    "  \"linear_value_head_dim\": 10,\n  \"max_position_embeddings\": 128,\n"                 \
    "  \"moe_intermediate_size\": 8,\n  \"num_attention_heads\": 4,\n  \"num_experts\": 6,\n" \
    "  \"num_experts_per_tok\": 2,\n  \"num_hidden_layers\": 3,\n"                            \
    "  \"num_key_value_heads\": 2,\n  \"partial_rotary_factor\": 0.5,\n"                      \
    "  \"shared_expert_intermediate_size\": 12,\n  \"vocab_size\": 290"
static const char small_next[] =
    "{\n  \"architectures\": [\"Qwen3NextForCausalLM\"],\n  \"full_attention_interval\": 3,\n"
    "  \"intermediate_size\": 36,\n  \"mlp_only_layers\": [1],\n  \"rope_scaling\": null,\n" SMALL
    "\n}\n";
static const char small_qwen35[] =
    "{\n  \"architectures\": [\"Qwen3_5MoeForConditionalGeneration\"],\n"
    "  \"tie_word_embeddings\": true,\n  \"text_config\": {\n  \"attn_output_gate\": true,\n"
    "  \"full_attention_interval\": 2,\n  \"output_gate_type\": \"swish\",\n" SMALL "\n  }\n}\n";
static const char small_hybrid[] =
    "{\n  \"architectures\": [\"GraniteMoeHybridForCausalLM\"],\n  \"hidden_size\": 18,\n"
    "  \"intermediate_size\": 7,\n  \"layer_types\": [\"mamba\", \"attention\", \"mamba\"],\n"
    "  \"mamba_conv_bias\": true,\n  \"mamba_d_conv\": 4,\n  \"mamba_d_head\": 6,\n"
    "  \"mamba_d_state\": 5,\n  \"mamba_expand\": 2,\n  \"mamba_n_groups\": 2,\n"
    "  \"mamba_n_heads\": 6,\n  \"max_position_embeddings\": 128,\n"
    "  \"num_attention_heads\": 3,\n  \"num_experts_per_tok\": 2,\n"
    "  \"num_hidden_layers\": 3,\n  \"num_key_value_heads\": 1,\n"
    "  \"num_local_experts\": 6,\n  \"position_embedding_type\": \"nope\",\n"
    "  \"shared_intermediate_size\": 10,\n  \"tie_word_embeddings\": true,\n"
    "  \"vocab_size\": 290\n}\n";

static const char small_nemotron[] =
    "{\n  \"architectures\": [\"NemotronHForCausalLM\"],\n  \"conv_kernel\": 3,\n"
    "  \"head_dim\": 10,\n  \"hidden_size\": 16,\n  \"hybrid_override_pattern\": \"ME*E-M\",\n"
    "  \"intermediate_size\": 21,\n  \"mamba_head_dim\": 6,\n  \"mamba_num_heads\": 4,\n"
    "  \"max_position_embeddings\": 128,\n  \"moe_intermediate_size\": 9,\n"
    "  \"moe_shared_expert_intermediate_size\": 13,\n  \"n_group\": 2,\n  \"n_groups\": 2,\n"
    "  \"n_routed_experts\": 8,\n  \"num_attention_heads\": 4,\n"
    "  \"num_experts_per_tok\": 2,\n  \"num_hidden_layers\": 6,\n"
    "  \"num_key_value_heads\": 2,\n  \"ssm_state_size\": 5,\n  \"topk_group\": 1,\n"
    "  \"use_conv_bias\": true,\n  \"vocab_size\": 290\n}\n";

static const char small_lfm[] =
    "{\n  \"architectures\": [\"Lfm2MoeForCausalLM\"],\n  \"conv_L_cache\": 4,\n"
    "  \"hidden_size\": 18,\n  \"intermediate_size\": 21,\n"
    "  \"layer_types\": [\"conv\", \"full_attention\", \"conv\"],\n"
    "  \"max_position_embeddings\": 128,\n  \"moe_intermediate_size\": 9,\n"
    "  \"norm_topk_prob\": true,\n  \"num_attention_heads\": 3,\n  \"num_dense_layers\": 1,\n"
    "  \"num_experts\": 8,\n  \"num_experts_per_tok\": 2,\n  \"num_hidden_layers\": 3,\n"
    "  \"num_key_value_heads\": 1,\n  \"tie_word_embeddings\": true,\n"
    "  \"use_expert_bias\": true,\n  \"vocab_size\": 290\n}\n";

static const char small_kimi[] =
    "{\n  \"architectures\": [\"KimiLinearForCausalLM\"],\n  \"first_k_dense_replace\": 1,\n"
    "  \"hidden_size\": 18,\n  \"intermediate_size\": 21,\n  \"kv_lora_rank\": 10,\n"
    "  \"linear_attn_config\": {\"full_attn_layers\": [2], \"head_dim\": 6, "
    "\"kda_layers\": [1, 3], \"num_heads\": 3, \"short_conv_kernel_size\": 4},\n"
    "  \"mla_use_nope\": true,\n  \"model_max_length\": 128,\n"
    "  \"moe_intermediate_size\": 9,\n  \"moe_renormalize\": true,\n"
    "  \"moe_router_activation_func\": \"sigmoid\",\n  \"num_attention_heads\": 3,\n"
    "  \"num_experts\": 8,\n  \"num_experts_per_token\": 2,\n  \"num_hidden_layers\": 3,\n"
    "  \"num_shared_experts\": 1,\n  \"q_lora_rank\": null,\n  \"qk_nope_head_dim\": 6,\n"
    "  \"qk_rope_head_dim\": 4,\n  \"rms_norm_eps\": 1e-05,\n"
    "  \"routed_scaling_factor\": 2.446,\n  \"use_grouped_topk\": true,\n"
    "  \"v_head_dim\": 5,\n  \"vocab_size\": 290\n}\n";

static inline gm_model *open_random(const char *config, bool headers_only)
{
    gm_error err = {0};
    gm_model *model = NULL;
    const gm_model_options options = {
        .device = "cpu", .headers_only = headers_only, .numerics = GM_NUMERICS_F32};
    CHECK_OK(gm_model_open_random(&model, "small", config, &options, &err), err);
    return model;
}

/* The folder `name` with a config.json and nothing else. */
static inline const char *write_config(const char *name, const char *config)
{
    char path[64];
    CHECK(mkdir(name, 0777) == 0 || errno == EEXIST);
    snprintf(path, sizeof path, "%s/config.json", name);
    put_text(path, config);
    return name;
}

#endif
